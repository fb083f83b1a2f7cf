"""Convolution, pooling, flattening and upsampling in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from backprop_check.witness.activation import activate

if TYPE_CHECKING:
    import torch

    Made = tuple[torch.Tensor, torch.Tensor]


def _convolution(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> Made:
    function: Any = {"conv1d": F.conv1d, "conv2d": F.conv2d}[layer.kind]
    z = function(x, p["weight"], p.get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups)
    return activate(layer, z, dim=1), z


def _transposed(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> Made:
    function: Any = {"conv_transpose1d": F.conv_transpose1d, "conv_transpose2d": F.conv_transpose2d}[layer.kind]
    z = function(
        x, p["weight"], p.get("bias"), layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
    )
    return activate(layer, z, dim=1), z


def _max_pool(layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    function: Any = {"max_pool1d": F.max_pool1d, "max_pool2d": F.max_pool2d}[layer.kind]
    a = function(x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    return a, a


def _avg_pool1d(layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    a = F.avg_pool1d(x, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)
    return a, a


def _avg_pool2d(layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    a = F.avg_pool2d(
        x,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.ceil_mode,
        layer.count_include_pad,
        layer.divisor_override,
    )
    return a, a


def _global(layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    flat = x.flatten(2)
    pool: Any = {"global_avg_pool": F.adaptive_avg_pool1d, "global_max_pool": F.adaptive_max_pool1d}[layer.kind]
    a = pool(flat, 1).reshape(*x.shape[:2], *(1 for _ in x.shape[2:]))
    return a, a


def _flatten(_layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    a = x.flatten(1).clone()  # a copy, so that the gradient is with respect to this tensor
    return a, a


def _upsample(layer: Any, x: torch.Tensor, _p: Any, _case: Any) -> Made:
    how: dict[str, Any] = {} if layer.mode == "nearest" else {"align_corners": layer.align_corners}
    a = F.interpolate(x, scale_factor=tuple(map(float, layer.scale_factor)), mode=layer.mode, **how)
    return a, a


LAYERS = {
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv_transpose1d": _transposed,
    "conv_transpose2d": _transposed,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "avg_pool1d": _avg_pool1d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool": _global,
    "global_max_pool": _global,
    "flatten": _flatten,
    "upsample": _upsample,
}

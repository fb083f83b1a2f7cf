"""Convolution and pooling as ``torch.nn`` modules: the part of torch_layers.py that this family needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

_CONVOLUTIONS = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
}
_POOLS = {
    "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool1d": nn.AvgPool1d,
    "avg_pool2d": nn.AvgPool2d,
}
_OPTIONS = ("stride", "padding", "dilation", "groups", "output_padding")
_POOL_OPTIONS = ("stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override")


def _convolution(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    options = {name: layer[name] for name in _OPTIONS if name in layer}
    kind: Any = _CONVOLUTIONS[layer["kind"]]
    module: nn.Module = kind(
        shape[0], layer["out_channels"], layer["kernel_size"], bias="bias" in layer["parameters"], **options
    )
    return module


def _pool(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    options = {name: layer[name] for name in _POOL_OPTIONS if name in layer}
    kind: Any = _POOLS[layer["kind"]]
    module: nn.Module = kind(layer["kernel_size"], **options)
    return module


def _global(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    if layer["kind"] == "global_avg_pool":
        return nn.AdaptiveAvgPool1d(1) if len(shape) == 2 else nn.AdaptiveAvgPool2d(1)
    return nn.AdaptiveMaxPool1d(1) if len(shape) == 2 else nn.AdaptiveMaxPool2d(1)


def _flatten(_layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    return nn.Flatten()


def _upsample(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    mode = layer.get("mode", "nearest")
    aligned = None if mode == "nearest" else layer.get("align_corners", False)
    return nn.Upsample(scale_factor=tuple(map(float, layer["scale_factor"])), mode=mode, align_corners=aligned)


MODULES: dict[str, Callable[[dict[str, Any], tuple[int, ...]], nn.Module]] = {
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(_POOLS, _pool),
    "global_avg_pool": _global,
    "global_max_pool": _global,
    "flatten": _flatten,
    "upsample": _upsample,
}

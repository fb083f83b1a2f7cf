"""Convolutions in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from backprop_check.witness.activation import activate

if TYPE_CHECKING:
    import torch


def _conv2d(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> tuple[torch.Tensor, torch.Tensor]:
    z = F.conv2d(x, p["weight"], p.get("bias"), layer.stride, layer.padding, layer.dilation, layer.groups)
    return activate(layer, z, dim=1), z


LAYERS = {"conv2d": _conv2d}

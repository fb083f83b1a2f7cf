"""Dense layers in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from backprop_check.witness.activation import activate

if TYPE_CHECKING:
    import torch


def _dense(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> tuple[torch.Tensor, torch.Tensor]:
    z = F.linear(x.flatten(1), p["weights"], p["biases"])
    return activate(layer, z), z


LAYERS = {"dense": _dense}

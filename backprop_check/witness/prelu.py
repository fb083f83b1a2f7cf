"""PReLU in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

if TYPE_CHECKING:
    import torch


def _prelu(_layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> tuple[torch.Tensor, torch.Tensor]:
    a = F.prelu(x, p["weight"])
    return a, a


LAYERS = {"prelu": _prelu}

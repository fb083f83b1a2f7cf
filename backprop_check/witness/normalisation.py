"""Normalisation, dropout and embedding in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

if TYPE_CHECKING:
    from collections.abc import Callable

Made = tuple[torch.Tensor, torch.Tensor]


def _made(function: Callable[[Any, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]) -> Callable[..., Made]:
    def layer_of(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor], _case: Any) -> Made:
        a = function(layer, x, p)
        return a, a

    return layer_of


@_made
def _batch_norm(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    mean, variance = p.get("running_mean"), p.get("running_var")  # in training torch updates them in place
    momentum = 0.0 if layer.momentum is None else layer.momentum
    return F.batch_norm(x, mean, variance, p.get("weight"), p.get("bias"), layer.training, momentum, layer.eps)


@_made
def _layer_norm(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.layer_norm(x, layer.normalized_shape, p.get("weight"), p.get("bias"), layer.eps)


@_made
def _rms_norm(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    a: torch.Tensor = F.rms_norm(x, layer.normalized_shape, p.get("weight"), layer.eps)
    return a


@_made
def _group_norm(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    # PyTorch refuses a batch with one number per group and sample; the cases have at least two.
    return F.group_norm(x, layer.num_groups, p.get("weight"), p.get("bias"), layer.eps)


@_made
def _instance_norm(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.instance_norm(x, weight=p.get("weight"), bias=p.get("bias"), eps=layer.eps)


@_made
def _dropout(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    del p
    if not layer.training:
        return x * 1.0
    scale: torch.Tensor = torch.tensor(layer.mask, dtype=torch.float64) / (1.0 - layer.p)
    return x * scale


@_made
def _embedding(layer: Any, x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.embedding(x.detach().long(), p["weight"], layer.padding_idx)


LAYERS = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "dropout": _dropout,
    "embedding": _embedding,
}

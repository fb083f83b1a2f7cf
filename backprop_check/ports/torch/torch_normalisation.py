"""PyTorch's own modules of normalisation, dropout and embedding, for torch_layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def _batch_norm(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    made = kind(
        shape[0],
        eps=layer["eps"],
        momentum=layer.get("momentum"),
        affine="weight" in layer.get("parameters", {}),
        track_running_stats="buffers" in layer,
    )
    return made.train(layer["training"])


def _group_norm(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return nn.GroupNorm(layer["num_groups"], shape[0], eps=layer["eps"], affine="weight" in layer.get("parameters", {}))


def _instance_norm(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    kind = nn.InstanceNorm2d if len(shape) == 3 else nn.InstanceNorm1d
    return kind(shape[0], eps=layer["eps"], affine="weight" in layer.get("parameters", {}))


def _layer_norm(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    has = layer.get("parameters", {})
    return nn.LayerNorm(
        layer["normalized_shape"], eps=layer["eps"], elementwise_affine="weight" in has, bias="bias" in has
    )


def _rms_norm(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    return nn.RMSNorm(
        layer["normalized_shape"], eps=layer["eps"], elementwise_affine="weight" in layer.get("parameters", {})
    )


class GivenDropout(nn.Module):
    """Dropout with the mask of the case: ``nn.Dropout`` draws its own."""

    def __init__(self, layer: dict[str, Any]) -> None:
        super().__init__()
        self.p = layer["p"]
        self.mask = torch.tensor(layer["mask"]) if layer["training"] else None

    def forward(self, x: Tensor) -> Tensor:
        """x · mask/(1 − p), or x."""
        return x * 1.0 if self.mask is None else x * self.mask / (1 - self.p)


def _dropout(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    return GivenDropout(layer)


class WholeNumbers(nn.Embedding):
    """An embedding that reads indices which came as numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """The rows of these indices."""
        return super().forward(x.detach().long())


def _embedding(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    return WholeNumbers(layer["num_embeddings"], layer["embedding_dim"], padding_idx=layer.get("padding_idx"))


def _prelu(layer: dict[str, Any], _shape: tuple[int, ...]) -> nn.Module:
    return nn.PReLU(len(layer["parameters"]["weight"]))


#: For every kind of layer the module, from its JSON and the shape of one sample of its input.
MODULES = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    "dropout": _dropout,
    "embedding": _embedding,
    "prelu": _prelu,
}

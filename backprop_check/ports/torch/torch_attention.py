"""Attention and what belongs to it: PyTorch's modules for torch_layers.py.

``MODULES`` makes a module of a layer's JSON and of the shape (or, where it reads several layers, the shapes) of one
sample; ``RUN`` takes a batch through it and gives the pre-activation and the output. PyTorch keeps attention's scores
to itself: there the pre-activation is None, and neither z nor delta is reported.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Positions(nn.Module):
    """A sinusoid for every position and feature."""

    def __init__(self, tokens: int, width: int, base: float) -> None:
        super().__init__()
        position = torch.arange(tokens, dtype=torch.float64).unsqueeze(1)
        rate = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        waves = torch.zeros(tokens, width, dtype=torch.float64)
        waves[:, 0::2] = torch.sin(position * rate)
        waves[:, 1::2] = torch.cos(position * rate[: width // 2])
        self.register_buffer("waves", waves)

    def forward(self, x: Tensor) -> Tensor:
        """x with the waves added."""
        return x + self.waves


def _linear(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(shape[-1], layer["out_features"], bias="bias" in layer["parameters"])


def _positions(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return Positions(*shape, layer.get("base", 10000.0))


def _learned(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return nn.Embedding(layer["num_embeddings"], shape[1])


def _multihead(layer: dict[str, Any], shapes: list[tuple[int, ...]]) -> nn.Module:
    query, key, value = shapes[0], shapes[min(1, len(shapes) - 1)], shapes[-1]
    return nn.MultiheadAttention(
        query[1],
        layer["num_heads"],
        bias="in_proj_bias" in layer["parameters"],
        kdim=key[1],
        vdim=value[1],
        batch_first=True,
    )


def _block(layer: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    return nn.TransformerEncoderLayer(
        shape[1],
        layer["nhead"],
        layer["dim_feedforward"],
        dropout=0.0,
        activation=layer.get("activation", "relu"),
        layer_norm_eps=layer.get("layer_norm_eps", 1e-5),
        batch_first=True,
        norm_first=layer.get("norm_first", False),
        bias="linear1.bias" in layer["parameters"],
    )


MODULES = {
    "linear": _linear,
    "positional_encoding": _positions,
    "learned_positions": _learned,
    "narrow": lambda _layer, _shape: nn.Identity(),
    "scaled_dot_product_attention": lambda _layer, _shapes: nn.Identity(),
    "multihead_attention": _multihead,
    "transformer_block": _block,
}

#: Those that have an activation inside, and report only what comes out.
NO_Z = ("transformer_block",)

#: Those that read several layers one by one.
APART = ("scaled_dot_product_attention", "multihead_attention")


def _three(x: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return x[0], x[min(1, len(x) - 1)], x[-1]


def _causal(layer: dict[str, Any], queries: int, keys: int) -> Tensor | None:
    """True where a query must not look."""
    return torch.ones(queries, keys, dtype=torch.bool).triu(1) if layer.get("is_causal") else None


def _padding(mask: Any) -> Tensor | None:
    return None if mask is None else torch.tensor(mask)


def _run_learned(module: Any, _layer: dict[str, Any], x: Tensor) -> tuple[Tensor, Tensor]:
    a = x + module(torch.arange(x.shape[1]))
    return a, a


def _run_narrow(_module: Any, layer: dict[str, Any], x: Tensor) -> tuple[Tensor, Tensor]:
    a = x.narrow(1, layer["start"], layer["length"]) * 1.0
    return a, a


def _run_function(_module: Any, layer: dict[str, Any], x: list[Tensor]) -> tuple[None, Tensor]:
    query, key, value = _three(x)
    seen = torch.ones(len(query), query.shape[1], key.shape[1], dtype=torch.bool)
    causal, padding = _causal(layer, query.shape[1], key.shape[1]), _padding(layer.get("key_padding_mask"))
    if causal is not None:
        seen = seen & ~causal
    if padding is not None:
        seen = seen & ~padding[:, None, :]
    return None, nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=layer.get("scale"))


def _run_multihead(module: Any, layer: dict[str, Any], x: list[Tensor]) -> tuple[None, Tensor]:
    query, key, value = _three(x)
    a, _ = module(
        query,
        key,
        value,
        key_padding_mask=_padding(layer.get("key_padding_mask")),
        attn_mask=_causal(layer, query.shape[1], key.shape[1]),
        need_weights=False,
    )
    return None, a


def _run_block(module: Any, layer: dict[str, Any], x: Tensor) -> tuple[Tensor, Tensor]:
    a = module(
        x,
        src_mask=_causal(layer, x.shape[1], x.shape[1]),
        src_key_padding_mask=_padding(layer.get("src_key_padding_mask")),
    )
    return a, a


RUN = {
    "learned_positions": _run_learned,
    "narrow": _run_narrow,
    "scaled_dot_product_attention": _run_function,
    "multihead_attention": _run_multihead,
    "transformer_block": _run_block,
}

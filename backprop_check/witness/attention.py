"""Attention and related layers in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

from backprop_check.witness.activation import activate

if TYPE_CHECKING:
    from torch import Tensor

    Named = dict[str, Tensor]


def _linear(layer: Any, x: Tensor, p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    z = F.linear(x, p["weight"], p.get("bias"))
    return activate(layer, z), z


def _positional_encoding(layer: Any, x: Tensor, _p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    """The angles as an outer product; sine and cosine interleaved."""
    tokens, width = x.shape[1:]
    pairs = torch.arange(0, width + 1, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64), torch.pow(layer.base, -pairs / width))
    waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]
    a = x + waves
    return a, a


def _learned_positions(_layer: Any, x: Tensor, p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    a = x + F.embedding(torch.arange(x.shape[1]), p["weight"])
    return a, a


def _narrow(layer: Any, x: Tensor, _p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    a = x.narrow(1, layer.start, layer.length) * 1.0
    return a, a


def _hidden_from(layer: Any, mask: Any, queries: int, keys: int, heads: int) -> Tensor:
    """True where a query must not see a key: [sample, head, query, key], where an axis may have the length 1."""
    hidden = torch.zeros(1, heads, queries, keys, dtype=torch.bool)
    if layer.is_causal:
        hidden = hidden | torch.ones(queries, keys, dtype=torch.bool).triu(1)
    return hidden if mask is None else hidden | torch.tensor(mask)[:, None, None, :]


def _of_heads(x: Tensor, heads: int) -> Tensor:
    """The features of each head: [sample, head, token, feature]."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _attend(layer: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The contexts of the heads, and the scores."""
    scores = torch.einsum("nhie,nhje->nhij", q, k) * scale
    _, heads, queries, keys = scores.shape
    hidden = _hidden_from(layer, layer.key_padding_mask, queries, keys, heads)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return torch.einsum("nhij,nhje->nhie", weights, v), scores


def _three(x: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return x[0], x[min(1, len(x) - 1)], x[-1]


def _scaled_dot_product_attention(layer: Any, x: list[Tensor], _p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    q, k, v = (each.unsqueeze(1) for each in _three(x))
    scale = q.shape[-1] ** -0.5 if layer.scale is None else layer.scale
    context, scores = _attend(layer, q, k, v, scale)
    return context.squeeze(1), scores


def _multihead_attention(layer: Any, x: list[Tensor], p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    if "in_proj_weight" in p:
        weights = p["in_proj_weight"].chunk(3)
    else:
        weights = (p["q_proj_weight"], p["k_proj_weight"], p["v_proj_weight"])
    biases = p["in_proj_bias"].chunk(3) if "in_proj_bias" in p else (None,) * 3
    q, k, v = (
        _of_heads(F.linear(each, weight, bias), layer.num_heads)
        for each, weight, bias in zip(_three(x), weights, biases, strict=True)
    )
    context, scores = _attend(layer, q, k, v, q.shape[-1] ** -0.5)
    together = context.transpose(1, 2).flatten(2)
    return F.linear(together, p["out_proj.weight"], p.get("out_proj.bias")), scores


def _transformer_block(layer: Any, x: Tensor, p: Named, _case: Any) -> tuple[Tensor, Tensor]:
    width = x.shape[-1]

    def norm(number: int, x: Tensor) -> Tensor:
        return F.layer_norm(x, (width,), p[f"norm{number}.weight"], p.get(f"norm{number}.bias"), layer.layer_norm_eps)

    def attention(x: Tensor) -> Tensor:
        tokens = x.shape[1]
        projected = F.linear(x, p["self_attn.in_proj_weight"], p.get("self_attn.in_proj_bias"))
        q, k, v = (_of_heads(each, layer.nhead) for each in projected.chunk(3, -1))
        hidden = _hidden_from(layer, layer.src_key_padding_mask, tokens, tokens, 1)
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=~hidden)
        return F.linear(
            context.transpose(1, 2).flatten(2), p["self_attn.out_proj.weight"], p.get("self_attn.out_proj.bias")
        )

    def feedforward(x: Tensor) -> Tensor:
        hidden = getattr(F, layer.activation)(F.linear(x, p["linear1.weight"], p.get("linear1.bias")))
        return F.linear(hidden, p["linear2.weight"], p.get("linear2.bias"))

    if layer.norm_first:
        x = x + attention(norm(1, x))
        a = x + feedforward(norm(2, x))
        return a, a
    x = norm(1, x + attention(x))
    a = norm(2, x + feedforward(x))
    return a, a


LAYERS = {
    "linear": _linear,
    "positional_encoding": _positional_encoding,
    "learned_positions": _learned_positions,
    "narrow": _narrow,
    "scaled_dot_product_attention": _scaled_dot_product_attention,
    "multihead_attention": _multihead_attention,
    "transformer_block": _transformer_block,
}

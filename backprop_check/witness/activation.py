"""Activations and losses in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

if TYPE_CHECKING:
    from backprop_check.case.network import Case


def activate(layer: Any, z: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """a = φ(z); a softmax runs along ``dim``."""
    match layer.activation:
        case "identity":
            return z * 1.0
        case "leaky_relu":
            return F.leaky_relu(z, 0.01 if layer.alpha is None else layer.alpha)
        case "elu":
            return F.elu(z, 1.0 if layer.alpha is None else layer.alpha)
        case "softplus":  # F.softplus turns linear above 20, which float64 can tell
            return torch.logaddexp(z, torch.zeros_like(z))
        case "softmax" | "log_softmax":
            return getattr(torch, layer.activation)(z, dim=dim)  # type: ignore[no-any-return]
        case "hard_tanh":
            return F.hardtanh(z)
        case name:
            return getattr(F, name)(z)  # type: ignore[no-any-return]


def losses(  # noqa: PLR0912 - one branch a loss
    case: Case, z: torch.Tensor | None, a: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    """The loss of each sample, [sample], from ``a`` and ``t`` of shape [sample, output], by ``torch.nn.functional``.

    ``z`` is the input of a softmax or sigmoid at the end, where there is one. Raises ``NotImplementedError`` for a loss
    that is not listed here.
    """
    last = getattr(case.network.layers[-1], "activation", "identity")
    smoothing = case.loss.label_smoothing or 0.0
    match case.loss.kind:
        case "half_squared_error":
            return 0.5 * F.mse_loss(a, t, reduction="none").sum(-1)
        case "squared_error":
            return F.mse_loss(a, t, reduction="none").sum(-1)
        case "mean_squared_error":
            return F.mse_loss(a, t, reduction="none").mean(-1)
        case "mean_absolute_error":
            return F.l1_loss(a, t, reduction="none").mean(-1)
        case "huber":
            threshold = 1.0 if case.loss.threshold is None else case.loss.threshold
            return F.huber_loss(a, t, reduction="none", delta=threshold).mean(-1)
        case "binary_cross_entropy" if last == "sigmoid" and z is not None:
            return F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(-1)
        case "binary_cross_entropy":
            return -(torch.xlogy(t, a) + torch.xlogy(1 - t, 1 - a)).sum(-1)
        case "cross_entropy" if z is not None:
            return F.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)
        case "cross_entropy":
            return -torch.xlogy(t.lerp(torch.full_like(t, 1.0 / (case.network.classes or 1)), smoothing), a).sum(-1)
        case "negative_log_likelihood":
            return -(t * a).sum(-1)
        case "kl_divergence":
            return F.kl_div(a, t, reduction="none").sum(-1)
        case "hinge":
            return F.relu(1 - t * a).sum(-1)
        case name:
            msg = f"the second witness does not know the loss {name}: express it with PyTorch in witness/activation.py"
            raise NotImplementedError(msg)

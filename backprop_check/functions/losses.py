"""Losses: every ℓ(a, t) of one sample as a sum of terms, one per output, with the derivative ∂ℓ/∂aₖ of each term.

a is the output's activation, t its target, K the number of outputs. The term is divided by K where the loss is a mean
over the outputs (``mean_over_outputs``). A new loss is a pair of functions here and an entry in ``LOSSES``, with the
activations that it needs; the vocabulary, the schema, the claims of ports and the explanation follow from that entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backprop_check.functions.kinks import ABSOLUTE, HINGE

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Loss:
    """``term(m, a, t, threshold)`` and ``derivative(m, a, t, threshold)`` of one output.

    ``needs``: the output activations that the loss requires; if empty, any. ``matched``: the activation whose
    exponential the loss's logarithm undoes, so that δ simplifies to p Σt − t. ``later``: it was added after level 1, so
    an implementation that does not list its losses is not asked for it.
    """

    term: Callable[[Any, Any, Any, float], Any]
    derivative: Callable[[Any, Any, Any, float], Any]
    mean_over_outputs: bool = False
    needs: tuple[str, ...] = ()
    matched: str | None = None
    later: bool = False


def _huber(m: Any, a: Any, t: Any, threshold: float) -> Any:
    """½e² where |e| ≤ threshold, else threshold(|e| − ½ threshold) (Huber 1964)."""
    e = a - t
    size = abs(e)
    return m.where_positive(size - threshold, threshold * (size - threshold / 2), (e * e) / 2)


def _huber_derivative(m: Any, a: Any, t: Any, threshold: float) -> Any:
    e = a - t
    return m.where_positive(e - threshold, threshold, m.where_positive(-e - threshold, -threshold, e))


def _sign(m: Any, a: Any, t: Any, _threshold: float) -> Any:
    """d|e|/de, which is 0 at e = 0, as in PyTorch."""
    e = a - t
    return m.kink(ABSOLUTE, e, 1.0, -1.0, 0.0)


def _binary_cross_entropy(m: Any, a: Any, t: Any, _threshold: float) -> Any:
    """−[t ln a + (1 − t) ln(1 − a)]."""
    return -(m.log_or_zero(t, a) + m.log_or_zero(1 - t, 1 - a))


def _binary_cross_entropy_derivative(_m: Any, a: Any, t: Any, _threshold: float) -> Any:
    """(1 − t)/(1 − a) − t/a."""
    return (1 - t) / (1 - a) - t / a


LOSSES: dict[str, Loss] = {
    "half_squared_error": Loss(lambda _m, a, t, _: ((a - t) * (a - t)) / 2, lambda _m, a, t, _: a - t),
    "squared_error": Loss(lambda _m, a, t, _: (a - t) * (a - t), lambda _m, a, t, _: 2 * (a - t)),
    "mean_squared_error": Loss(
        lambda _m, a, t, _: (a - t) * (a - t), lambda _m, a, t, _: 2 * (a - t), mean_over_outputs=True
    ),
    "mean_absolute_error": Loss(lambda _m, a, t, _: abs(a - t), _sign, mean_over_outputs=True),
    "huber": Loss(_huber, _huber_derivative, mean_over_outputs=True),
    "binary_cross_entropy": Loss(
        _binary_cross_entropy, _binary_cross_entropy_derivative, needs=("sigmoid", "softmax"), matched="sigmoid"
    ),
    "cross_entropy": Loss(
        lambda m, a, t, _: -m.log_or_zero(t, a), lambda _m, a, t, _: -t / a, needs=("softmax",), matched="softmax"
    ),
    "negative_log_likelihood": Loss(lambda _m, a, t, _: -(t * a), lambda _m, _a, t, _: -t, needs=("log_softmax",)),
    "kl_divergence": Loss(
        lambda m, a, t, _: m.log_or_zero(t, t) - t * a, lambda _m, _a, t, _: -t, needs=("log_softmax",), later=True
    ),
    "hinge": Loss(
        lambda m, a, t, _: m.where_positive(1 - t * a, 1 - t * a, 0.0),
        lambda m, a, t, _: m.kink(HINGE, 1 - t * a, -t, 0.0 * t),
    ),
}


#: Pairs of an activation and the loss whose logarithm undoes its exponential: δ simplifies to p Σt − t.
MATCHED = {(loss.matched, name) for name, loss in LOSSES.items() if loss.matched}

"""Activations: every function a = φ(z) with its derivative φ′(z).

``m`` is the reading (``backprop_check.numbers``): it provides exp, tanh, erf and the branch ``m.where_positive(test,
then, otherwise)``. A derivative that jumps is ``m.kink(KINK, test, above, below)``; at the kink it has PyTorch's value:
relu′(0) = 0, leaky_relu′(0) = α, elu′(0) = α, hard_tanh′(±1) = 0.

A new elementwise activation is a pair of functions here and an entry in ``ELEMENTWISE``, with its default α and its
kinks. The vocabulary, the schema, the claims of ports and the explanation follow from that entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backprop_check.functions.kinks import ELU, HARD_TANH, LEAKY_RELU, RELU

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Elementwise:
    """φ and φ′ of one neuron: ``value(m, z, alpha)`` and ``derivative(m, z, a, alpha)``.

    ``kinks`` are the z at which φ′ jumps; generated cases keep away from them. ``alpha`` is PyTorch's default of α;
    None where there is no α. ``later``: it was added after level 1, so an implementation that does not list its
    activations is not asked for it.
    """

    value: Callable[[Any, Any, float], Any]
    derivative: Callable[[Any, Any, Any, float], Any]
    kinks: tuple[float, ...] = ()
    alpha: float | None = None
    later: bool = False


def _sigmoid(m: Any, z: Any, _alpha: float = 0.0) -> Any:
    """σ(z) = 1/(1 + e⁻ᶻ), with e⁻ᶻ or eᶻ, whichever cannot overflow; or ½(1 + tanh ½z), which is equal."""
    e = m.exp(-abs(z))
    return m.either(m.where_positive(z, 1 / (1 + e), e / (1 + e)), lambda: (1 + m.tanh(z / 2)) / 2)


def _tanh(m: Any, z: Any, _alpha: float) -> Any:
    return m.tanh(z)


def _tanh_derivative(m: Any, z: Any, a: Any, _alpha: float) -> Any:
    """1 − a², or 4/(eᶻ + e⁻ᶻ)², which is equal."""

    def by_exponentials() -> Any:
        e = m.exp(z) + m.exp(-z)
        return 4 / (e * e)

    return m.either(1 - a * a, by_exponentials)


def _relu(m: Any, z: Any, _alpha: float) -> Any:
    return m.where_positive(z, z, 0.0)


def _leaky_relu(m: Any, z: Any, alpha: float) -> Any:
    return m.where_positive(z, z, alpha * z)


def _elu(m: Any, z: Any, alpha: float) -> Any:
    """``z`` for z > 0, else α(eᶻ − 1)."""
    return m.where_positive(z, z, alpha * m.expm1(-m.where_positive(-z, -z, 0.0 * z)))


def _elu_derivative(m: Any, z: Any, a: Any, alpha: float) -> Any:
    """1 for z > 0, else αeᶻ, or a + α, which is equal."""
    below = m.either(alpha * m.exp(-m.where_positive(-z, -z, 0.0 * z)), lambda: a + alpha)
    return m.kink(ELU, z, 1.0, below)


def _softplus(m: Any, z: Any, _alpha: float) -> Any:
    """ln(1 + eᶻ) = max(z, 0) + ln(1 + e^(−|z|))."""
    return m.where_positive(z, z, 0.0) + m.log1p(m.exp(-abs(z)))


def _softplus_derivative(m: Any, z: Any, a: Any, _alpha: float) -> Any:
    """σ(z), or 1 − e⁻ᵃ, which is equal."""
    return m.either(_sigmoid(m, z), lambda: 1 - m.exp(-a))


def _softsign_derivative(m: Any, z: Any, a: Any, _alpha: float) -> Any:
    """1/(1 + |z|)², or (1 − |a|)², which is equal."""
    d = 1 + abs(z)
    return m.either(1 / (d * d), lambda: (1 - abs(a)) * (1 - abs(a)))


def _silu_derivative(m: Any, z: Any, _a: Any, _alpha: float) -> Any:
    """(z σ)′ = σ + z σ(1 − σ)."""
    s = _sigmoid(m, z)
    return s + z * (s * (1 - s))


def _phi(m: Any, z: Any) -> Any:
    """Φ(z) = ½(1 + erf(z/√2)), the distribution function of the standard normal distribution."""
    return m.number(0.5) * (1 + m.erf(z / m.sqrt(m.number(2.0))))


def _gelu_derivative(m: Any, z: Any, _a: Any, _alpha: float) -> Any:
    """(z Φ)′ = Φ(z) + z e^(−z²/2)/√(2π)."""
    return _phi(m, z) + z * (m.exp(-(z * z) / 2) / m.sqrt(2 * m.pi))


def _hard_tanh(m: Any, z: Any, _alpha: float) -> Any:
    return m.where_positive(z - 1, 1.0, m.where_positive(-z - 1, -1.0, z))


def _hard_tanh_derivative(m: Any, z: Any, _a: Any, _alpha: float) -> Any:
    return m.kink(HARD_TANH, 1 - abs(z), 1.0, 0.0)


ELEMENTWISE: dict[str, Elementwise] = {
    "identity": Elementwise(lambda _m, z, _: z, lambda _m, _z, _a, _: 1.0),
    "sigmoid": Elementwise(_sigmoid, lambda _m, _z, a, _: a * (1 - a)),
    "tanh": Elementwise(_tanh, _tanh_derivative),
    "relu": Elementwise(_relu, lambda m, z, _a, _: m.kink(RELU, z, 1.0, 0.0), kinks=(0.0,)),
    "leaky_relu": Elementwise(
        _leaky_relu, lambda m, z, _a, alpha: m.kink(LEAKY_RELU, z, 1.0, alpha), (0.0,), alpha=0.01
    ),
    "elu": Elementwise(_elu, _elu_derivative, kinks=(0.0,), alpha=1.0),
    "softplus": Elementwise(_softplus, _softplus_derivative),
    "softsign": Elementwise(lambda _m, z, _: z / (1 + abs(z)), _softsign_derivative),
    "silu": Elementwise(lambda m, z, _: z * _sigmoid(m, z), _silu_derivative),
    "gelu": Elementwise(lambda m, z, _: z * _phi(m, z), _gelu_derivative),
    "hard_tanh": Elementwise(_hard_tanh, _hard_tanh_derivative, kinks=(-1.0, 1.0)),
}

#: Activations over all neurons of a layer (or of a token, or a position) together: ``reference.rules.Softmax``.
LAYERWISE = ("softmax", "log_softmax")

"""Numbers that carry their error bound, in lanes: all neurons of a layer and all samples at once.

A ``Lane`` is an array of values and, beside each, a bound on how far a *right* implementation that
computes in arithmetic of unit roundoff u may be from it, whatever its order of summation, fused or
not. The rules are first order (Higham, *Accuracy and Stability of Numerical Algorithms*, §2.2, §3.1,
§3.3); with γₖ = ku/(1 − ku):

- sum and difference:     e₁ + e₂ + u|v|
- product:                |x|e_y + |y|e_x + e_x e_y + u|v|
- quotient:               (e_x + |v|e_y)/(|y| − e_y) + u|v|
- dot plus bias, n terms: Σ(|w|e_a + |a|e_w + e_a e_w) + e_b + γₙ₊₂(Σ|w||a| + |b|)
- f(x):                   max|f′| over [x − e, x + e] · e + κu|f|, κ = 4 ulps for a mathematics library,
                          plus c·u absolute where a textbook formula cancels (profile ``textbook``)
- a branch that rounding can take either way: both branches are covered.

The loop over neurons runs once, with the index ``EACH``: ``z[s, j] = dot(a[s, :], w[j, :], plus=b[j])``
is then one matrix product. The order of ``dot``'s arguments is the order of the result's indices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.float64]

#: The index that means "every one, side by side" (a lane), where ``:`` means "all, to be summed over".
EACH = Ellipsis

#: The functions of a mathematics library are trusted to this many ulps (glibc, V8, Dart, numpy, JVM).
KAPPA = 4.0

#: What a textbook formula that cancels may lose, in u, absolute (tanh as (e²ᶻ − 1)/(e²ᶻ + 1)).
TEXTBOOK = 8.0

#: A composed formula whose bound passes this share of the value is no longer a sound way to compute it.
SOUND = 2.0**-10


class Lane:
    """Values with their error bounds: ``value`` and ``error`` broadcast to one shape."""

    __slots__ = ("error", "u", "value")
    __array_priority__ = 1000  # so that ndarray ∘ Lane comes to Lane

    def __init__(self, value: Any, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def _other(self, other: Any) -> tuple[Any, Any]:
        return (other.value, other.error) if isinstance(other, Lane) else (other, 0.0)

    def __neg__(self) -> Lane:
        return Lane(-self.value, self.error, self.u)

    def __abs__(self) -> Lane:
        return Lane(abs(self.value), self.error, self.u)

    def __add__(self, other: Any) -> Lane:
        y, e = self._other(other)
        value = self.value + y
        return Lane(value, self.error + e + self.u * abs(value), self.u)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Lane:
        y, e = self._other(other)
        value = self.value - y
        return Lane(value, self.error + e + self.u * abs(value), self.u)

    def __rsub__(self, other: Any) -> Lane:
        value = other - self.value
        return Lane(value, self.error + self.u * abs(value), self.u)

    def __mul__(self, other: Any) -> Lane:
        value_of_product: Any
        if isinstance(other, Lane):
            value_of_product = self.value * other.value
            error = abs(self.value) * other.error + (abs(other.value) + other.error) * self.error
        else:
            value_of_product = self.value * other
            error = abs(other) * self.error
        return Lane(value_of_product, error + self.u * abs(value_of_product), self.u)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Lane:
        y, e = self._other(other)
        value = self.value / y
        room = abs(y) - e
        error = (self.error + abs(value) * e) / np.where(room > 0, room, 0.0)
        return Lane(value, error + self.u * abs(value), self.u)

    def __rtruediv__(self, other: Any) -> Lane:
        return Lane(np.asarray(other, dtype=float), 0.0, self.u) / self


class LaneGrid:
    """A table of lanes; the vector axis (the one written ``:``) always comes last."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: tuple[Any, Any]) -> Lane:
        if isinstance(at[0], slice):
            error = self.error if np.ndim(self.error) == 0 else self.error.T
            return Lane(self.value.T, error, self.u)
        return Lane(self.value, self.error, self.u)

    def __setitem__(self, at: tuple[Any, Any], lane: Lane | float) -> None:
        del at  # the one cell there is: every lane
        if isinstance(lane, Lane):
            self.value = np.broadcast_to(lane.value, self.value.shape)
            self.error = lane.error
        else:
            self.value, self.error = np.full(self.value.shape, lane), 0.0


class LaneLine:
    """A list of lanes (biases, losses of samples)."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: Any) -> Lane:
        return Lane(self.value, self.error, self.u)

    def __setitem__(self, at: Any, lane: Lane) -> None:
        # A sum over a vector keeps that axis, with length 1, so that it lines up with tables.
        self.value = np.reshape(lane.value, self.value.shape)
        self.error = np.reshape(np.broadcast_to(lane.error, np.shape(lane.value)), self.value.shape)


class Lanes:
    """The reading with error bounds, for arithmetic of unit roundoff ``u``.

    ``profile`` is ``textbook`` (the default: formulas that cancel, as textbooks print them, are
    admitted) or ``strict``.
    """

    def __init__(self, u: float, profile: str = "textbook") -> None:
        self.u = u
        self.cancelling = TEXTBOOK * u if profile == "textbook" else 0.0
        self.tiny = 2.0**-126 if u > 2.0**-40 else 2.0**-1022
        self.pi = math.pi
        self.sqrt: Callable[[float], float] = math.sqrt

    def number(self, x: float) -> float:
        """A constant of a formula: exact."""
        return x

    def each(self, count: int) -> tuple[Any, ...]:
        """Every index at once."""
        return (EACH,) if count else ()

    def grid(self, rows: int, columns: int) -> LaneGrid:
        """An empty table."""
        return LaneGrid(np.zeros((rows, columns)), 0.0, self.u)

    def line(self, count: int) -> LaneLine:
        """An empty list."""
        return LaneLine(np.zeros(count), 0.0, self.u)

    def given_grid(self, rows: Any) -> LaneGrid:
        """The case's own numbers: exact."""
        return LaneGrid(np.asarray(rows, dtype=np.float64), 0.0, self.u)

    def given_line(self, values: Any) -> LaneLine:
        """The case's own numbers: exact."""
        return LaneLine(np.asarray(values, dtype=np.float64), 0.0, self.u)

    def _gamma(self, terms: int) -> float:
        return terms * self.u / (1.0 - terms * self.u)

    def dot(self, xs: Lane, ys: Lane, plus: Lane | None = None) -> Lane:
        """Σ xᵢ yᵢ (+ plus) for every lane of xs with every lane of ys."""
        x, y = xs.value, ys.value.T
        value, size = x @ y, abs(x) @ abs(y)
        error: Any = 0.0
        if np.ndim(xs.error):
            error = xs.error @ abs(y)
        elif xs.error:
            error = xs.error * abs(y).sum(axis=0)
        if np.ndim(ys.error):
            error = error + (abs(x) + xs.error) @ ys.error.T
        elif ys.error:
            error = error + ys.error * (abs(x) + xs.error).sum(axis=-1, keepdims=True)
        if plus is not None:
            value, size, error = value + plus.value, size + abs(plus.value), error + plus.error
        # Two roundings more than the sum itself: a mean may be taken before or after it.
        return Lane(value, error + self._gamma(x.shape[-1] + 2) * size, self.u)

    def sum(self, xs: Lane) -> Lane:
        """Σ xᵢ along the vector, which stays as an axis of length 1."""
        value = xs.value.sum(axis=-1, keepdims=True)
        error = np.broadcast_to(xs.error, xs.value.shape).sum(axis=-1, keepdims=True)
        size = abs(xs.value).sum(axis=-1, keepdims=True)
        return Lane(value, error + self._gamma(xs.value.shape[-1] + 2) * size, self.u)

    def max(self, xs: Lane) -> Lane:
        """The largest along the vector, used as a shift only.

        2u|max| more admits exp(z − logsumexp) for the shifted softmax (Blanchard, Higham, Higham 2021).
        """
        value = xs.value.max(axis=-1, keepdims=True)
        error = np.broadcast_to(xs.error, xs.value.shape).max(axis=-1, keepdims=True)
        return Lane(value, error + 2 * self.u * abs(value), self.u)

    def exp(self, x: Lane) -> Lane:
        """e^x; the derivative is e^x itself, so the error grows by e^(e_x)."""
        value = np.exp(x.value)
        return Lane(value, value * np.expm1(x.error) + KAPPA * self.u * value + self.tiny, self.u)

    def log(self, x: Lane) -> Lane:
        """ln x; the derivative 1/x is steepest at x − e_x."""
        value = np.log(x.value)
        room = x.value - x.error
        error = x.error / np.where(room > 0, room, 0.0)
        return Lane(value, error + KAPPA * self.u * abs(value), self.u)

    def log1p(self, x: Lane) -> Lane:
        """ln(1 + x); the textbook writes it so, and loses u where x is small."""
        value = np.log1p(x.value)
        room = 1.0 + x.value - x.error
        error = x.error / np.where(room > 0, room, 0.0)
        return Lane(value, error + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def expm1(self, x: Lane) -> Lane:
        """e^x − 1; the textbook writes it so, and loses u where x is small."""
        value = np.expm1(x.value)
        steepest = np.exp(x.value + x.error)
        error = steepest * (x.error + self.cancelling)
        return Lane(value, error + KAPPA * self.u * abs(value), self.u)

    def tanh(self, x: Lane) -> Lane:
        """tanh x; the derivative 1 − tanh² is steepest at the end of [x − e, x + e] nearest to 0."""
        value = np.tanh(x.value)
        nearest = np.maximum(abs(value) - x.error, 0.0)
        error = (1.0 - nearest * nearest) * x.error
        return Lane(value, error + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def erf(self, x: Lane) -> Lane:
        """The error function; its derivative 2/√π e^(−x²) is steepest nearest to 0."""
        value = _erf(x.value)
        nearest = np.maximum(abs(x.value) - x.error, 0.0)
        error = 2.0 / math.sqrt(math.pi) * np.exp(-nearest * nearest) * x.error
        return Lane(value, error + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def where_positive(self, test: Lane, then: Any, otherwise: Any) -> Lane:
        """``then`` where test > 0, else ``otherwise``; both, where rounding can decide either way."""
        x, ex = (then.value, then.error) if isinstance(then, Lane) else (then, 0.0)
        y, ey = (otherwise.value, otherwise.error) if isinstance(otherwise, Lane) else (otherwise, 0.0)
        positive = test.value > 0
        value, error = np.where(positive, x, y), np.where(positive, ex, ey)
        # Exactly on a kink (no error at all) the convention decides: that is not a matter of rounding.
        unsure = (abs(test.value) <= test.error) & (np.asarray(test.error) > 0)
        if unsure.any():
            with np.errstate(invalid="ignore"):
                error = np.where(unsure, np.maximum(ex, ey) + abs(np.subtract(x, y)), error)
        return Lane(value, error, self.u)

    def log_or_zero(self, factor: Lane, x: Lane) -> Lane:
        """factor · ln x, and exactly 0 where the factor is 0."""
        none = factor.value == 0
        if not none.any():
            return factor * self.log(x)
        safe = Lane(np.where(none, 1.0, x.value), np.where(none, 0.0, x.error), self.u)
        return factor * self.log(safe)

    def either(self, fused: Lane, composed: Callable[[], Lane]) -> Lane:
        """Two right formulas for the same number: the first one's value, a bound that admits both.

        Where the second is no sound way to compute it (a probability has all but underflowed), only
        the first is admitted; what the second gives there is *unstable*.
        """
        other = composed()
        with np.errstate(invalid="ignore", over="ignore"):
            reach = abs(fused.value - other.value) + other.error
            sound = reach <= SOUND * np.maximum(abs(fused.value), abs(other.value))
            sound |= reach <= SOUND * SOUND
        return Lane(fused.value, np.where(sound, np.maximum(fused.error, reach), fused.error), self.u)


def _erf(x: Array) -> Array:
    flat = np.asarray(x, dtype=float)
    return np.array([math.erf(each) for each in flat.ravel()]).reshape(flat.shape)

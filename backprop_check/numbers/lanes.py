"""Numbers that carry their error bound, in lanes: all neurons of a layer and all samples at once.

A ``Lane`` is an array of values and, beside each, a bound on how far a *right* implementation that
computes in arithmetic of unit roundoff u may be from it, whatever its order of summation, fused or
not. The rules of + − × ÷ stand with ``Lane``; those of sums and functions here (Higham, *Accuracy and
Stability of Numerical Algorithms*, §3.1, §3.3); with γₖ = ku/(1 − ku):

- dot plus bias, n terms: Σ(|w|e_a + |a|e_w + e_a e_w) + e_b + γₙ₊₂(Σ|w||a| + |b|), and 0 where all that is
  added is a small multiple of one power of two: such sums are exact in any order, and a kink hit by one
  is hit by all
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

from backprop_check.numbers.given import as_array
from backprop_check.numbers.lane import EACH, QUANTUM, Array, Lane, LaneGrid, LaneLine, is_exact, is_multiple, parts
from backprop_check.numbers.showing import Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.numbers.choices import Choices
    from backprop_check.reference.kinks import Kink

#: The functions of a mathematics library are trusted to this many ulps (glibc, V8, Dart, numpy, JVM).
KAPPA = 4.0

#: What a textbook formula that cancels may lose, in u, absolute (tanh as (e²ᶻ − 1)/(e²ᶻ + 1)).
TEXTBOOK = 8.0

#: A composed formula whose bound passes this share of the value is no longer a sound way to compute it.
SOUND = 2.0**-7


class Lanes(Unchanged):
    """The reading with error bounds, for arithmetic of unit roundoff ``u``.

    ``profile`` is ``textbook`` (the default: formulas that cancel, as textbooks print them, are
    admitted) or ``strict``. ``dtype`` is what the values themselves are computed in: float64, or the
    implementation's own, to see where *that* overflows.
    """

    def __init__(self, u: float, profile: str = "textbook", dtype: Any = np.float64) -> None:
        self.u, self.dtype = u, dtype
        self.cancelling = TEXTBOOK * u if profile == "textbook" else 0.0
        self.tiny = 2.0**-126 if u > 2.0**-40 else 2.0**-1022
        self.pi = math.pi
        self.choices: Choices | None = None  # what is taken at kinks, where that is not PyTorch's choice

    def number(self, x: float) -> float:
        """A constant of a formula: exact."""
        return x

    def setting(self, x: float) -> Lane:
        """A number of the case that formulas go on working with (a rate, a β): exact, what comes of it is rounded."""
        return Lane(np.full(1, x, self.dtype), 0.0, self.u)

    def each(self, count: int) -> tuple[Any, ...]:
        """Every index at once."""
        return (EACH,) if count else ()

    def grid(self, rows: int, columns: int) -> LaneGrid:
        """An empty table."""
        return LaneGrid(np.empty((rows, columns), self.dtype), 0.0, self.u)

    def line(self, count: int) -> LaneLine:
        """An empty list."""
        return LaneLine(np.empty(count, self.dtype), 0.0, self.u)

    def given_grid(self, rows: Any) -> LaneGrid:
        """The case's own numbers: exact."""
        return LaneGrid(as_array(rows).astype(self.dtype, copy=False), 0.0, self.u)

    def given_line(self, values: Any) -> LaneLine:
        """The case's own numbers: exact."""
        return LaneLine(np.array(values, dtype=self.dtype), 0.0, self.u)

    def _gamma(self, terms: int) -> float:
        return terms * self.u / (1.0 - terms * self.u)

    def dot(self, xs: Lane, ys: Lane, plus: Lane | None = None) -> Lane:
        """Σ xᵢ yᵢ (+ plus) for every lane of xs with every lane of ys."""
        x, y = xs.value, ys.value.T
        value = x @ y
        if plus is not None:
            value = value + plus.value
        if is_exact(xs.error) and is_exact(ys.error) and self._is_exact_dot(x, y, plus):
            return Lane(value, 0.0, self.u)
        # Two roundings more than the sum itself: a mean may be taken before or after it.
        gamma = self._gamma(x.shape[-1] + 2)
        size = abs(x)
        share = gamma * size  # what multiplies |y|: one product for the rounding and for the error of xs
        error = (share if is_exact(xs.error) else share + xs.error) @ abs(y)
        if not is_exact(ys.error):
            size = size if is_exact(xs.error) else size + xs.error
            e = ys.error if ys.error.shape == ys.value.shape else np.broadcast_to(ys.error, ys.value.shape)
            error = error + size @ e.T
        if plus is not None:
            error = error + (gamma * abs(plus.value) + plus.error)
        return Lane(value, error, self.u)

    def _is_exact_dot(self, x: Array, y: Array, plus: Lane | None) -> bool:
        """Whether no order of summation rounds: all are multiples of ``QUANTUM``, and their sum is small."""
        if not (is_multiple(x) and is_multiple(y)):
            return False
        size = abs(x) @ abs(y)
        if plus is not None:
            if not (is_exact(plus.error) and is_multiple(plus.value)):
                return False
            size = size + abs(plus.value)
        return bool(size.max() * self.u <= QUANTUM * QUANTUM)

    def sum(self, xs: Lane) -> Lane:
        """Σ xᵢ along the vector, which stays as an axis of length 1."""
        x, e = xs.value, xs.error
        gamma = self._gamma(x.shape[-1] + 2)
        error = gamma * abs(x)
        error = error if is_exact(e) else error + e
        return Lane(np.add.reduce(x, axis=-1, keepdims=True), np.add.reduce(error, axis=-1, keepdims=True), self.u)

    def max(self, xs: Lane) -> Lane:
        """The largest along the vector, used as a shift only.

        2u|max| more admits exp(z − logsumexp) for the shifted softmax (Blanchard, Higham, Higham 2021).
        """
        value = np.maximum.reduce(xs.value, axis=-1, keepdims=True)
        error: Any = 2 * self.u * abs(value)
        if not is_exact(xs.error):
            error = error + np.maximum.reduce(np.broadcast_to(xs.error, xs.value.shape), axis=-1, keepdims=True)
        return Lane(value, error, self.u)

    def exp(self, x: Lane) -> Lane:
        """e^x; the derivative is e^x itself, so the error grows by e^(e_x)."""
        value = np.exp(x.value)
        return Lane(value, value * (np.expm1(x.error) + KAPPA * self.u) + self.tiny, self.u)

    def log(self, x: Lane) -> Lane:
        """ln x; the derivative 1/x is steepest at x − e_x."""
        value = np.log(x.value)
        room = x.value - x.error
        if not np.min(room) > 0:  # a bound that is no number counts as none
            room = np.where(room > 0, room, 0.0)
        return Lane(value, x.error / room + KAPPA * self.u * abs(value), self.u)

    def log1p(self, x: Lane) -> Lane:
        """ln(1 + x); the textbook writes it so, and loses u where x is small."""
        value = np.log1p(x.value)
        room = 1.0 + x.value - x.error
        if not np.min(room) > 0:  # a bound that is no number counts as none
            room = np.where(room > 0, room, 0.0)
        return Lane(value, x.error / room + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def expm1(self, x: Lane) -> Lane:
        """e^x − 1; the textbook writes it so, and loses u where x is small."""
        value = np.expm1(x.value)
        steepest = np.exp(x.value + x.error)
        error = steepest * (x.error + self.cancelling)
        return Lane(value, error + KAPPA * self.u * abs(value), self.u)

    def sqrt(self, x: Any) -> Any:
        """√x of a constant or a lane; steepest at x − e_x, which is never below 0."""
        if not isinstance(x, Lane):
            return math.sqrt(x)
        value = np.sqrt(x.value)
        error = KAPPA * self.u * value
        if is_exact(x.error):
            return Lane(value, error, self.u)
        e = np.asarray(x.error, dtype=float)
        # √x − √(x − e) = e/(√x + √(x − e)); where 0 is within reach neither end is farther than √e.
        down = value + np.sqrt(np.maximum(x.value - e, 0.0))
        safe = np.where(down > 0, down, 1.0)
        return Lane(value, np.where(x.value > e, e / safe, np.sqrt(e)) + error, self.u)

    def tanh(self, x: Lane) -> Lane:
        """tanh x; the derivative 1 − tanh² is steepest at the end of [x − e, x + e] nearest to 0."""
        value = np.tanh(x.value)
        size = abs(value)
        nearest = np.maximum(size - x.error, 0.0)
        error = (1.0 - nearest * nearest) * x.error
        return Lane(value, error + (KAPPA * self.u * size + self.cancelling), self.u)

    def erf(self, x: Lane) -> Lane:
        """The error function; its derivative 2/√π e^(−x²) is steepest nearest to 0."""
        value = _erf(x.value)
        nearest = np.maximum(abs(x.value) - x.error, 0.0)
        error = 2.0 / math.sqrt(math.pi) * np.exp(-nearest * nearest) * x.error
        return Lane(value, error + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def where_positive(self, test: Lane, then: Any, otherwise: Any) -> Lane:
        """``then`` where test > 0, else ``otherwise``; both, where rounding can decide either way."""
        x, ex = parts(then)
        y, ey = parts(otherwise)
        positive = test.value > 0
        value = np.where(positive, x, y)
        error = 0.0 if is_exact(ex) and is_exact(ey) else np.where(positive, ex, ey)
        if value.dtype != test.value.dtype:
            value = value.astype(test.value.dtype)
        # Exactly on a kink (no error at all) the convention decides: that is not a matter of rounding.
        if not is_exact(test.error):
            unsure = ~(abs(test.value) > test.error)  # also where the bound is no number
            if unsure.any():
                unsure &= np.asarray(test.error) != 0
                with np.errstate(invalid="ignore"):
                    error = np.where(unsure, np.maximum(ex, ey) + abs(np.subtract(x, y)), error)
        return Lane(value, error, self.u)

    def kink(self, kink: Kink, test: Lane, above: Any, below: Any, here: Any = None) -> Lane:
        """A derivative that jumps, with PyTorch's slope at the kink, or what ``choices`` takes there."""
        slope: Lane = super().kink(kink, test, above, below, here)
        return slope if self.choices is None else self.choices.slope(kink, test, (below, above), slope)

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
            sound = reach <= SOUND * np.maximum(abs(fused.value), SOUND)
        return Lane(fused.value, np.maximum(fused.error, np.where(sound, reach, 0.0)), self.u)


def _erf(x: Array) -> Array:
    return np.array([math.erf(each) for each in x.ravel().tolist()], dtype=x.dtype).reshape(x.shape)

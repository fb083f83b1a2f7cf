"""Numbers with error bounds, in lanes: all units of a table and all samples at once.

A ``Lane`` is an array of values, each with a bound on its distance from the value of any *right* implementation that
computes in arithmetic of unit roundoff u, whatever its order of summation, fused or not. The rules of + − × ÷ are in
``lane``, those of sums and functions here (Higham, *Accuracy and Stability of Numerical Algorithms*, §3.1, §3.3); with
γₖ = ku/(1 − ku):

- a sum of n terms w·x and biases: Σ(|w|e_x + |x|e_w + e_x e_w) + e_b + γₙ₊₂(Σ|w||x| + |b|), and 0 where all terms are
  small multiples of one power of two: such sums are exact in any order, so all implementations hit the same kinks
- f(x):                   max|f′| over [x − e, x + e] · e + κu|f|, κ = 4 ulps for a mathematics library,
                          plus c·u absolute where a textbook formula cancels (profile ``textbook``)
- a branch that rounding can decide either way: the bound covers both branches.

A loop runs once, with the index ``EACH``. Reading a table at an ``Index`` gives for every unit the vector of what it
reads (``vectors``); where the wiring is a product, the sum over it is a matrix product (``sums``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.kinds.given import GivenNumbers
from backprop_check.numbers.lane import EACH, QUANTUM, Array, Lane, is_exact, is_multiple, parts
from backprop_check.numbers.showing import Unchanged
from backprop_check.numbers.sums import part
from backprop_check.numbers.tables import LaneTable
from backprop_check.numbers.vectors import Block, Single, Vector, each_block, over_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.functions.kinks import Kink
    from backprop_check.numbers.choices import Choices
    from backprop_check.numbers.sums import Part

#: A unit roundoff below this is a float64's: 2⁻⁵³, or twice that where our own rounding is part of it.
_OF_FLOAT64 = 2.0**-51

#: The functions of a mathematics library are trusted to this many ulps (glibc, V8, Dart, numpy, JVM).
KAPPA = 4.0

#: What a textbook formula that cancels may lose, in u, absolute (tanh as (e²ᶻ − 1)/(e²ᶻ + 1)).
TEXTBOOK = 8.0

#: A composed formula whose bound passes this share of the value is no longer a sound way to compute it.
SOUND = 2.0**-7


class Lanes(Unchanged):
    """The reading with error bounds, for arithmetic of unit roundoff ``u``.

    ``profile`` is ``textbook`` (default; it allows formulas that cancel, as textbooks print them) or ``strict``.
    ``dtype`` is the type that the values are computed in: float64, or the implementation's own, to see where *that*
    overflows.
    """

    def __init__(self, u: float, profile: str = "textbook", dtype: Any = np.float64) -> None:
        self.u, self.dtype = u, dtype
        self.cancelling = TEXTBOOK * u if profile == "textbook" else 0.0
        self.tiny = 2.0**-126 if u > 2.0**-40 else 2.0**-1022
        self.pi = math.pi
        self.choices: Choices | None = None  # what is taken at kinks, where that is not PyTorch's choice

    def number(self, x: float) -> float:
        """A constant of a formula, exact."""
        return x

    def setting(self, x: float) -> Lane:
        """A number of the case that formulas compute with (a rate, a β): exact itself, but results with it are
        rounded.
        """
        return Lane(np.full(1, x, self.dtype), 0.0, self.u)

    def each(self, count: int) -> tuple[Any, ...]:
        """Every index at once."""
        return (EACH,) if count else ()

    def _gamma(self, terms: int) -> float:
        return terms * self.u / (1.0 - terms * self.u)

    def exp(self, x: Lane) -> Lane:
        """e^x with the error e^x (e^(e_x) − 1 + κu)."""
        value = np.exp(x.value)
        return Lane(value, value * (np.expm1(x.error) + KAPPA * self.u) + self.tiny, self.u)

    def log(self, x: Lane) -> Lane:
        """ln x with the error e_x/(x − e_x) + κu|ln x|."""
        value = np.log(x.value)
        room = x.value - x.error
        if not np.min(room) > 0:  # a bound that is no number counts as none
            room = np.where(room > 0, room, 0.0)
        return Lane(value, x.error / room + KAPPA * self.u * abs(value), self.u)

    def log1p(self, x: Lane) -> Lane:
        """ln(1 + x) with the error e_x/(1 + x − e_x) + κu|…|, plus c·u for the textbook formula ln(1 + x), which
        cancels.
        """
        value = np.log1p(x.value)
        room = 1.0 + x.value - x.error
        if not np.min(room) > 0:  # a bound that is no number counts as none
            room = np.where(room > 0, room, 0.0)
        return Lane(value, x.error / room + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def expm1(self, x: Lane) -> Lane:
        """e^x − 1 with the error e^(x + e_x)(e_x + c·u) + κu|…|; c·u is for the textbook formula e^x − 1, which
        cancels.
        """
        value = np.expm1(x.value)
        steepest = np.exp(x.value + x.error)
        error = steepest * (x.error + self.cancelling)
        return Lane(value, error + KAPPA * self.u * abs(value), self.u)

    def sqrt(self, x: Any) -> Any:
        """√x of a constant or a lane with the error √x − √(x − e_x) + κu√x, or √e_x where 0 is within the bound."""
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
        """tanh x with the error (1 − tanh²) e_x at the point of [x − e, x + e] closest to 0, + κu|tanh x| + c·u."""
        value = np.tanh(x.value)
        size = abs(value)
        nearest = np.maximum(size - x.error, 0.0)
        error = (1.0 - nearest * nearest) * x.error
        return Lane(value, error + (KAPPA * self.u * size + self.cancelling), self.u)

    def erf(self, x: Lane) -> Lane:
        """erf x with the error 2/√π e^(−x²) e_x at the point of [x − e, x + e] closest to 0, + κu|erf x| + c·u."""
        value = _erf(x.value)
        nearest = np.maximum(abs(x.value) - x.error, 0.0)
        error = 2.0 / math.sqrt(math.pi) * np.exp(-nearest * nearest) * x.error
        return Lane(value, error + KAPPA * self.u * abs(value) + self.cancelling, self.u)

    def where_positive(self, test: Lane, then: Any, otherwise: Any) -> Lane:
        """``then`` where test > 0, else ``otherwise``; where rounding can decide either way, the bound covers both."""
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
        """A derivative that jumps, with PyTorch's slope at the kink, or that of ``choices``."""
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
        """Two right formulas for one number: the value of the first, with a bound that covers both.

        Where the second is not sound (a probability has almost underflowed), the bound covers only the first; the
        result of the second is then called *unstable*.
        """
        other = composed()
        with np.errstate(invalid="ignore", over="ignore"):
            reach = abs(fused.value - other.value) + other.error
            sound = reach <= SOUND * np.maximum(abs(fused.value), SOUND)
        return Lane(fused.value, np.maximum(fused.error, np.where(sound, reach, 0.0)), self.u)

    def grid(self, rows: int, columns: int) -> LaneTable:
        """An empty table."""
        return LaneTable(np.zeros((rows, columns), self.dtype), 0.0, self.u)

    def row(self, count: int) -> LaneTable:
        """An empty row that all samples share."""
        return self.grid(1, count)

    def given_grid(self, rows: Any) -> LaneTable:
        """The case's own numbers [sample, unit]: exact, or with their radius as error."""
        values, radius = _given(rows)
        return LaneTable(values.astype(self.dtype, copy=False), radius, self.u)

    def given_row(self, values: Any, roundings: Any = None) -> LaneTable:
        """The case's own numbers, of any shape, one row for all samples: exact, or with their radius as error.

        ``roundings`` · u is added to the error of each.
        """
        numbers, error = _given(values)
        if roundings is not None:
            error = error + self.u * np.asarray(roundings, dtype=float)
        if not is_exact(error):
            error = error.reshape(1, -1)
        return LaneTable(numbers.astype(self.dtype, copy=False).reshape(1, -1), error, self.u)

    def joined(self, grids: Sequence[LaneTable]) -> LaneTable:
        """Tables next to each other."""
        if len(grids) == 1:
            return grids[0]
        errors = [np.broadcast_to(np.asarray(grid.error, dtype=float), grid.value.shape) for grid in grids]
        return LaneTable(np.concatenate([grid.value for grid in grids], 1), np.concatenate(errors, 1), self.u)

    def stacked(self, grids: Sequence[LaneTable]) -> LaneTable:
        """Tables below each other."""
        errors = [np.broadcast_to(np.asarray(grid.error, dtype=float), grid.value.shape) for grid in grids]
        return LaneTable(np.concatenate([grid.value for grid in grids]), np.concatenate(errors), self.u)

    def one(self, x: Lane | float) -> Vector:
        """A vector of one number."""
        return Single(x if isinstance(x, Lane) else Lane(np.asarray(x, dtype=self.dtype), 0.0, self.u))

    def vector(self, function: Callable[..., Any], *arguments: Lane) -> Vector:
        """A function applied to every number of vectors; single numbers are the same for a whole vector."""
        masks = [x.mask for x in arguments if isinstance(x, Vector) and x.mask is not None]
        width = next((x.width for x in arguments if isinstance(x, Block)), 0)
        spread = [x if isinstance(x, Vector) else self.one(each_block(x, width)) for x in arguments]
        found = function(*spread)
        mask, error = masks[0] if masks else None, found.error
        if mask is not None and not is_exact(error):
            error = np.where(mask, error, 0.0)
        value = found.value if mask is None else np.where(mask, found.value, 0.0)
        return Block(value, error, self.u, mask, width) if width else Vector(value, error, self.u, mask)

    def dots(self, terms: Sequence[tuple[Any, Any]], plus: Sequence[Lane]) -> Lane:
        """Σ xᵢ yᵢ over all pairs of vectors (y None: Σ xᵢ), plus single numbers, with the bound for any order of
        summation.
        """
        parts = [each for x, y in terms if (each := part(x, y)).count]
        count = len(plus) + sum([each.count for each in parts])
        if len(parts) == 1 and not plus:
            value: Any = parts[0].value()
        else:
            value = np.asarray(sum([each.value() for each in parts], 0.0))
            for x in plus:
                value = value + x.value
        exact = all([each.exact for each in parts]) and all([is_exact(x.error) for x in plus])  # noqa: C419 - faster
        if exact and self._is_exact_sum(parts, plus, count):
            return Lane(value, 0.0, self.u)
        rounds = count > 1 or any([each.multiplies for each in parts])  # noqa: C419
        gamma = self._gamma(count + 2) if rounds else 0.0
        error: Any = parts[0].error(gamma) if parts else 0.0
        for each in parts[1:]:
            error = error + each.error(gamma)
        for x in plus:
            error = error + (gamma * abs(x.value) if is_exact(x.error) else gamma * abs(x.value) + x.error)
        return Lane(value, error, self.u)

    def _is_exact_sum(self, parts: Sequence[Part], plus: Sequence[Lane], count: int) -> bool:
        """Whether no order of summation rounds.

        This holds where all terms are small multiples of one power of two, or there is one number of the case times 0
        or 1.
        """
        if count <= 1 and not any(each.multiplies for each in parts):
            return True
        if all(each.multiple for each in parts) and all(is_multiple(x.value) for x in plus):
            size: Any = sum((each.size() for each in parts), 0.0)
            size = sum((abs(x.value) for x in plus), size)
            return bool(np.max(size, initial=0.0) * self.u <= QUANTUM * QUANTUM)
        if plus or not all(each.copies and self._holds(each.y) for each in parts):
            return False
        return bool(np.max(sum((each.copied() for each in parts), 0)) <= 1)

    def _holds(self, y: Array) -> bool:
        """Whether an implementation's type contains these numbers: 0.01 and 1/9 are no float32 and would be rounded."""
        return self.u < _OF_FLOAT64 or bool((y == y.astype(np.float32)).all())

    def only(self, xs: Vector, keep: Vector) -> Vector:
        """Those numbers of a vector where ``keep`` is 1."""
        mask = keep.value > 0 if xs.mask is None else (keep.value > 0) & xs.mask
        error = xs.error if is_exact(xs.error) else np.where(mask, xs.error, 0.0)
        value = np.where(mask, xs.value, 0.0)
        return (
            Block(value, error, self.u, mask, xs.width) if isinstance(xs, Block) else Vector(value, error, self.u, mask)
        )

    def total(self, xs: Vector) -> Lane:
        """Σ xᵢ."""
        return self.dots([(xs, None)], [])

    def _candidates(self, xs: Vector) -> tuple[Array, Any]:
        error = 0.0 if is_exact(xs.error) else np.broadcast_to(xs.error, xs.value.shape)
        return (xs.value if xs.mask is None else np.where(xs.mask, xs.value, -np.inf)), error

    def top(self, xs: Vector) -> Lane:
        """The largest number, used only as a shift, with a bound that also covers exp(z − logsumexp)."""
        values, errors = self._candidates(xs)
        value = values.max(axis=-1)
        error = 2 * self.u * abs(value)
        return over_blocks(Lane(value, error if is_exact(errors) else error + errors.max(axis=-1), self.u), xs)

    def largest(self, xs: Vector) -> Lane:
        """The largest number, with a bound from the largest x − e to the largest x + e."""
        values, errors = self._candidates(xs)
        value = values.max(axis=-1)
        if is_exact(errors):
            return Lane(value, 0.0, self.u)
        below, above = (values - errors).max(axis=-1), (values + errors).max(axis=-1)
        return Lane(value, np.maximum(value - below, above - value), self.u)

    def winners(self, xs: Vector) -> Vector:
        """1 for the first of the largest, 0 for the others; either, where rounding can decide."""
        values, errors = self._candidates(xs)
        first = values.argmax(axis=-1)[..., None]
        won = Vector((np.arange(values.shape[-1]) == first).astype(self.dtype), 0.0, self.u, xs.mask)
        near = ~(values + errors < (values - errors).max(axis=-1)[..., None])  # also where a bound is no number
        if not is_exact(errors):
            won.error = (near & (near.sum(axis=-1)[..., None] > 1) & (errors != 0)).astype(float)
        if self.choices is not None:
            won.value, won.error = self.choices.shares(values, near if xs.mask is None else near & xs.mask, won)
        return won

    def where(self, _index: Any, mask: Sequence[bool], then: Any, otherwise: Any) -> Lane:
        """``then`` for the units (or weights) where ``mask`` is True, else ``otherwise``."""
        x, ex = parts(then)
        y, ey = parts(otherwise)
        wanted = np.asarray(mask)
        if isinstance(then, Vector) or isinstance(otherwise, Vector):
            masks = [each.mask for each in (then, otherwise) if isinstance(each, Vector) and each.mask is not None]
            wanted = wanted[:, None]
            return Vector(np.where(wanted, x, y), np.where(wanted, ex, ey), self.u, masks[0] if masks else None)
        return Lane(np.where(wanted, x, y), np.where(wanted, ex, ey), self.u)

    def single(self, table: LaneTable) -> LaneTable:
        """A table with every number rounded to single precision (for a named bug)."""
        return LaneTable(table.value.astype(np.float32).astype(np.float64), table.error, self.u)

    def exact(self, x: Lane) -> Lane:
        """x with error 0, to compare numbers that are either equal or not."""
        return Vector(x.value, 0.0, self.u, x.mask) if isinstance(x, Vector) else Lane(x.value, 0.0, self.u)


def _given(numbers: Any) -> tuple[Array, Any]:
    """The values of given numbers, or of lists of floats, and how far each may be off: 0.0 where they are exact."""
    if isinstance(numbers, GivenNumbers):
        return numbers.values, 0.0 if numbers.exact else np.broadcast_to(numbers.radius, numbers.shape)
    return np.array(numbers, dtype=np.float64), 0.0


def _erf(x: Array) -> Array:
    return np.array([math.erf(each) for each in x.ravel().tolist()], dtype=x.dtype).reshape(x.shape)

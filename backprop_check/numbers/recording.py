"""Numbers that record how they were computed: the reading behind every explanation.

``run_pass(case, Recording())`` is the same pass as on floats, bit for bit, but each of its numbers knows its operation
and its operands. An explanation is read from the pass, so no formula is written twice.

A number that is stored in a table (z, a, δ, …) becomes a *cell*: a number of its own that knows its place, so that a
reader of the record can name it by that place and need not look further down.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from backprop_check.numbers.scalars import Grid, Scalars, flattened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Operations of two numbers, as they are written.
PLUS, MINUS, TIMES, OVER = "+", "−", "·", "/"


class Recorded:
    """A float with the operation and the operands that gave it.

    ``place`` is (table, row, column) for a cell. ``taken`` is the branch that was used, 1 or 2, where the operands are
    (test, then, otherwise).
    """

    __slots__ = ("operands", "operation", "place", "taken", "value")

    def __init__(
        self,
        value: float,
        operation: str,
        operands: tuple[Recorded, ...] = (),
        place: tuple[Any, ...] | None = None,
        taken: int = 0,
    ) -> None:
        self.value, self.operation, self.operands, self.place, self.taken = value, operation, operands, place, taken

    def __repr__(self) -> str:
        return f"<{self.operation} {self.value!r}>"

    def __float__(self) -> float:
        return self.value

    def __neg__(self) -> Recorded:
        return Recorded(-self.value, "neg", (self,))

    def __abs__(self) -> Recorded:
        return Recorded(abs(self.value), "abs", (self,))

    def __add__(self, other: Any) -> Recorded:
        y = recorded(other)
        return Recorded(self.value + y.value, PLUS, (self, y))

    def __radd__(self, other: Any) -> Recorded:
        return recorded(other) + self

    def __sub__(self, other: Any) -> Recorded:
        y = recorded(other)
        return Recorded(self.value - y.value, MINUS, (self, y))

    def __rsub__(self, other: Any) -> Recorded:
        return recorded(other) - self

    def __mul__(self, other: Any) -> Recorded:
        y = recorded(other)
        return Recorded(self.value * y.value, TIMES, (self, y))

    def __rmul__(self, other: Any) -> Recorded:
        return recorded(other) * self

    def __truediv__(self, other: Any) -> Recorded:
        y = recorded(other)
        return Recorded(_quotient(self.value, y.value), OVER, (self, y))

    def __rtruediv__(self, other: Any) -> Recorded:
        return recorded(other) / self

    def __lt__(self, other: Any) -> bool:
        return self.value < float(other)

    def __gt__(self, other: Any) -> bool:
        return self.value > float(other)

    def __le__(self, other: Any) -> bool:
        return self.value <= float(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= float(other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float | Recorded) and self.value == float(other)

    __hash__ = object.__hash__


def recorded(x: Any) -> Recorded:
    """A recorded number unchanged; anything else as a constant of a formula."""
    return x if isinstance(x, Recorded) else Recorded(float(x), "constant")


def _quotient(x: float, y: float) -> float:
    """x/y as in IEEE 754, where Python would raise."""
    if y != 0:
        return x / y
    return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)


class RecordedGrid(Grid):
    """A table of cells."""

    def __setitem__(self, at: tuple[int, int], value: Any) -> None:
        row, column = at
        if isinstance(column, tuple):
            for i, each in zip(column, value, strict=True):
                self[row, i] = each
            return
        x = recorded(value)
        self.rows[row][column] = Recorded(x.value, "cell", (x,), (self, row, column))


class RecordedRow(RecordedGrid):
    """A row of cells that all samples share."""

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        return super().__getitem__((0, at[1]))

    def __setitem__(self, at: tuple[Any, int], value: Any) -> None:
        super().__setitem__((0, at[1]), value)


def _function(name: str, compute: Callable[[float], float], beyond: Callable[[float], float]) -> Any:
    """A recorded function of the mathematics library; ``beyond`` gives the result of IEEE 754 where Python raises."""

    def apply(x: Any) -> Recorded:
        operand = recorded(x)
        try:
            value = compute(operand.value)
        except (OverflowError, ValueError):
            value = beyond(operand.value)
        return Recorded(value, name, (operand,))

    return staticmethod(apply)


def _infinite(_x: float) -> float:
    return math.inf


def _not_a_number(_x: float) -> float:
    return math.nan


def _logarithm_of_nothing(least: float) -> Callable[[float], float]:
    return lambda x: -math.inf if x == least else math.nan


class _Functions:
    """The recorded mathematics library."""

    exp = _function("exp", math.exp, _infinite)
    expm1 = _function("expm1", math.expm1, _infinite)
    log = _function("log", math.log, _logarithm_of_nothing(0.0))
    log1p = _function("log1p", math.log1p, _logarithm_of_nothing(-1.0))
    tanh = _function("tanh", math.tanh, _not_a_number)
    erf = _function("erf", math.erf, _not_a_number)
    sqrt = _function("sqrt", math.sqrt, _not_a_number)
    pi = Recorded(math.pi, "π")


class Recording(Scalars):
    """The reading that records: floats, one neuron at a time, each with its history."""

    def __init__(self) -> None:
        super().__init__(recorded, _Functions)

    def grid(self, rows: int, columns: int) -> RecordedGrid:
        """An empty table whose cells know their place."""
        return RecordedGrid([[self.zero] * columns for _ in range(rows)])

    def given_grid(self, rows: Iterable[Iterable[float]]) -> RecordedGrid:
        """The case's own numbers as a table."""
        grid = RecordedGrid([])
        grid.rows = [
            [Recorded(float(x), "given", (), (grid, i, j)) for j, x in enumerate(row)] for i, row in enumerate(rows)
        ]
        return grid

    def row(self, count: int) -> RecordedRow:  # type: ignore[override]
        """An empty row whose cells know their place."""
        return RecordedRow([[self.zero] * count])

    def given_row(self, values: Iterable[Any], _roundings: Any = None) -> RecordedRow:  # type: ignore[override]
        """The case's own numbers, of any shape, as one row for all samples."""
        row = RecordedRow([])
        row.rows = [[Recorded(float(x), "given", (), (row, 0, i)) for i, x in enumerate(flattened(values))]]
        return row

    def dots(self, terms: Sequence[tuple[Sequence[Any], Sequence[Any] | None]], plus: Sequence[Any]) -> Recorded:
        """Σ xᵢ yᵢ over all pairs of vectors, plus single numbers, recorded as one sum; a single term is recorded
        as itself.
        """
        products: list[Recorded] = []
        for xs, ys in terms:
            products += map(recorded, xs if ys is None else [x * y for x, y in zip(xs, ys, strict=True)])
        operands = (*products, *map(recorded, plus))
        if len(operands) == 1:
            return operands[0]
        total = 0.0
        for operand in operands:
            total = total + operand.value
        return Recorded(total, "sum", operands)

    def sum(self, xs: Sequence[Any]) -> Recorded:
        """Σ xᵢ, recorded as one sum."""
        terms = tuple(map(recorded, xs))
        total = 0.0
        for term in terms:
            total = total + term.value
        return Recorded(total, "sum", terms)

    def max(self, xs: Sequence[Any]) -> Recorded:
        """The largest of xs."""
        operands = tuple(map(recorded, xs))
        return Recorded(max(x.value for x in operands), "max", operands)

    def where_positive(self, test: Any, then: Any, otherwise: Any) -> Recorded:
        """``then`` where test > 0, else ``otherwise``; both are recorded, and which one was used."""
        operands = (recorded(test), recorded(then), recorded(otherwise))
        taken = 1 if operands[0].value > 0 else 2
        return Recorded(operands[taken].value, "branch", operands, taken=taken)

    def log_or_zero(self, factor: Any, x: Any) -> Recorded:
        """factor · ln x, and 0 where the factor is 0."""
        weight, operand = recorded(factor), recorded(x)
        logarithm = _Functions.log(operand)
        product = weight * logarithm
        return Recorded(0.0 if weight.value == 0 else product.value, "t ln", (weight, logarithm))

    def either(self, fused: Any, composed: Callable[[], Any]) -> Recorded:
        """Two right formulas for one number; the value is that of the first, which is the stabler."""
        first = recorded(fused)
        return Recorded(first.value, "either", (first, recorded(composed())))

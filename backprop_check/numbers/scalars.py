"""One number at a time: floats, or any number type with the same operators (mpmath's)."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from backprop_check.numbers.showing import Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


def flattened(values: Iterable[Any]) -> Iterator[float]:
    """The numbers of an array or of nested lists in their order."""
    for value in values:
        if not isinstance(value, float | int):
            yield from flattened(value)
        else:
            yield value


class Grid:
    """A table ``grid[s, j]``; ``grid[s, :]`` is a row and ``grid[:, j]`` a column, as lists.

    ``grid[s, (3, 1)]`` are these elements of a row, ``grid[:, (3, 1)]`` those of every row.
    """

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        row, column = at
        if isinstance(column, tuple):
            if isinstance(row, slice):
                return [each[i] for each in self.rows[row] for i in column]
            return [self.rows[row][i] for i in column]
        if isinstance(row, slice):
            return [each[column] for each in self.rows[row]]
        return self.rows[row][column]

    def __setitem__(self, at: tuple[int, int], value: Any) -> None:
        row, column = at
        if isinstance(column, tuple):
            for i, each in zip(column, value, strict=True):
                self[row, i] = each
            return
        self.rows[row][column] = value

    def tolist(self) -> list[list[Any]]:
        """The rows as nested lists."""
        return self.rows


class Row(Grid):
    """A table of one row that all samples share, as they share parameters."""

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        return super().__getitem__((0, at[1]))

    def __setitem__(self, at: tuple[Any, int], value: Any) -> None:
        super().__setitem__((0, at[1]), value)


class Scalars(Unchanged):
    """The reading for one neuron of one sample at a time, as in a textbook.

    ``number`` converts a float; ``functions`` has ``exp``, ``log``, ``log1p``, ``expm1``, ``tanh``, ``erf``, ``sqrt``
    and ``pi``: the module ``math``, or an mpmath context.
    """

    def __init__(self, number: Callable[[float], Any], functions: Any) -> None:
        self.number = number
        self.zero = number(0.0)
        self.exp: Callable[[Any], Any] = functions.exp
        self.log: Callable[[Any], Any] = functions.log
        self.log1p: Callable[[Any], Any] = functions.log1p
        self.expm1: Callable[[Any], Any] = functions.expm1
        self.tanh: Callable[[Any], Any] = functions.tanh
        self.erf: Callable[[Any], Any] = functions.erf
        self.sqrt: Callable[[Any], Any] = functions.sqrt
        self.pi = functions.pi

    @classmethod
    def of_floats(cls) -> Scalars:
        """Python floats and the module ``math``."""
        return cls(float, math)

    @classmethod
    def of_mpmath(cls, digits: int = 50) -> Scalars:
        """Numbers with ``digits`` decimal digits (needs mpmath): the truth that everything else is compared with."""
        import mpmath  # noqa: PLC0415 - an optional dependency, wanted only here

        context = mpmath.MPContext()
        context.dps = digits
        return cls(context.mpf, context)

    def setting(self, x: Any) -> Any:
        """A number of the case that formulas compute with (a rate, a β), exact."""
        return self.number(x)

    def each(self, count: int) -> range:
        """0, 1, … count − 1."""
        return range(count)

    def grid(self, rows: int, columns: int) -> Grid:
        """An empty table."""
        return Grid([[self.zero] * columns for _ in range(rows)])

    def given_grid(self, rows: Iterable[Iterable[float]]) -> Grid:
        """The case's own numbers, exact, as a table."""
        return Grid([[self.number(x) for x in row] for row in rows])

    def row(self, count: int) -> Row:
        """An empty row that all samples share."""
        return Row([[self.zero] * count])

    def given_row(self, values: Iterable[Any], _roundings: Any = None) -> Row:
        """The case's own numbers, of any shape, as one row for all samples."""
        return Row([[self.number(x) for x in flattened(values)]])

    def joined(self, grids: Sequence[Grid]) -> Grid:
        """Tables next to each other."""
        return (
            grids[0]
            if len(grids) == 1
            else Grid([[x for row in rows for x in row] for rows in zip(*(g.rows for g in grids), strict=True)])
        )

    def stacked(self, grids: Sequence[Grid]) -> Grid:
        """Tables below each other."""
        return Grid([row for grid in grids for row in grid.rows])

    def one(self, x: Any) -> list[Any]:
        """A vector of one number."""
        return [x]

    def vector(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """A function applied to every number of vectors; single numbers are the same for a whole vector."""
        length = next(len(x) for x in arguments if isinstance(x, list))
        return [function(*(x[t] if isinstance(x, list) else x for x in arguments)) for t in range(length)]

    def dots(self, terms: Sequence[tuple[Sequence[Any], Sequence[Any] | None]], plus: Sequence[Any]) -> Any:
        """Σ xᵢ yᵢ over all pairs of vectors (y None: Σ xᵢ), plus single numbers."""
        total = None
        for xs, ys in terms:
            for product in xs if ys is None else [x * y for x, y in zip(xs, ys, strict=True)]:
                total = product if total is None else total + product
        for x in plus:
            total = x if total is None else total + x
        return self.zero if total is None else total

    def only(self, xs: Sequence[Any], keep: Sequence[Any]) -> list[Any]:
        """Those numbers of a vector where ``keep`` is positive; NaN where there is none."""
        return [x for x, kept in zip(xs, keep, strict=True) if kept > 0] or [self.number(math.nan)]

    def total(self, xs: Sequence[Any]) -> Any:
        """Σ xᵢ."""
        return self.sum(xs)

    def top(self, xs: Sequence[Any]) -> Any:
        """The largest of xs, used only as a shift."""
        return self.max(xs)

    def largest(self, xs: Sequence[Any]) -> Any:
        """The largest of xs."""
        return self.max(xs)

    def winners(self, xs: Sequence[Any]) -> list[Any]:
        """1 for the first of the largest, 0 for the others."""
        first = max(range(len(xs)), key=lambda i: xs[i])
        return [self.number(1.0 if i == first else 0.0) for i in range(len(xs))]

    def exact(self, x: Any) -> Any:
        """x unchanged."""
        return x

    def single(self, table: Any) -> Any:
        """A table or list with every number rounded to single precision (for a named bug)."""

        def rounded(x: Any) -> Any:
            return self.number(struct.unpack("f", struct.pack("f", float(x)))[0])

        if isinstance(table, list):
            return [rounded(x) for x in table]
        return type(table)([[rounded(x) for x in row] for row in table.rows])

    def where(self, index: int, mask: Sequence[bool], then: Any, otherwise: Any) -> Any:
        """``then`` for the units (or weights) where ``mask`` is True, else ``otherwise``."""
        return then if mask[index] else otherwise

    def sum(self, xs: Sequence[Any]) -> Any:
        """Σ xᵢ."""
        total = self.zero
        for x in xs:
            total = total + x
        return total

    def max(self, xs: Sequence[Any]) -> Any:
        """The largest of xs."""
        return max(xs)

    def where_positive(self, test: Any, then: Any, otherwise: Any) -> Any:
        """``then`` where test > 0, else ``otherwise``; every kink is written with this."""
        return then if test > 0 else otherwise

    def log_or_zero(self, factor: Any, x: Any) -> Any:
        """factor · ln x, and 0 where the factor is 0, whatever x is (the limit of t ln t)."""
        return self.zero if factor == 0 else factor * self.log(x)

    def either(self, fused: Any, composed: Callable[[], Any]) -> Any:  # noqa: ARG002
        """Two right formulas for one number; here the first, which is the stabler."""
        return fused

"""One number at a time: floats, or any number type with the same operators (mpmath's)."""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class Grid:
    """A table ``grid[s, j]``; ``grid[s, :]`` is a row and ``grid[:, j]`` a column, as lists."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        row, column = at
        if isinstance(row, slice):
            return [each[column] for each in self.rows[row]]
        return self.rows[row][column]

    def __setitem__(self, at: tuple[int, int], value: Any) -> None:
        row, column = at
        self.rows[row][column] = value

    def tolist(self) -> list[list[Any]]:
        """The rows as nested lists."""
        return self.rows


class Scalars:
    """The reading that takes one neuron of one sample at a time, as a textbook does.

    ``number`` makes a number of a float; ``functions`` has ``exp``, ``log``, ``log1p``, ``expm1``,
    ``tanh``, ``erf``, ``sqrt`` and ``pi``: the module ``math``, or an mpmath context.
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
        """Numbers with so many decimal digits (needs mpmath): the truth that all else is judged by."""
        import mpmath  # noqa: PLC0415 - an optional dependency, wanted only here

        context = mpmath.MPContext()
        context.dps = digits
        return cls(context.mpf, context)

    def setting(self, x: Any) -> Any:
        """A number of the case that formulas go on working with (a rate, a β): exact."""
        return self.number(x)

    def seen(self, _quantity: str, _layer: int | None, _step: int, value: Any, *, last: bool = False) -> Any:  # noqa: ARG002
        """What the next stage reads; here what the stage before computed."""
        return value

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Work in here is not shown to anybody (here nothing is)."""
        yield

    def each(self, count: int) -> range:
        """0, 1, … count − 1."""
        return range(count)

    def grid(self, rows: int, columns: int) -> Grid:
        """An empty table to be filled cell by cell."""
        return Grid([[self.zero] * columns for _ in range(rows)])

    def line(self, count: int) -> list[Any]:
        """An empty list to be filled cell by cell."""
        return [self.zero] * count

    def given_grid(self, rows: Iterable[Iterable[float]]) -> Grid:
        """The case's own numbers, exact, as a table."""
        return Grid([[self.number(x) for x in row] for row in rows])

    def given_line(self, values: Iterable[float]) -> list[Any]:
        """The case's own numbers, exact, as a list."""
        return [self.number(x) for x in values]

    def rearranged(self, grid: Grid, rows: int, columns: int, source: Callable[[Any, Any], Any]) -> Grid:
        """A table whose cell (r, c) is the cell ``source(r, c)`` of ``grid`` (for named bugs)."""
        return Grid([[grid[source(r, c)] for c in range(columns)] for r in range(rows)])

    def single(self, table: Any) -> Any:
        """A table or list with every number rounded to single precision (for a named bug)."""

        def rounded(x: Any) -> Any:
            return self.number(struct.unpack("f", struct.pack("f", float(x)))[0])

        if isinstance(table, list):
            return [rounded(x) for x in table]
        return Grid([[rounded(x) for x in row] for row in table.rows])

    def choose(self, index: int, wanted: int, then: Any, otherwise: Any) -> Any:
        """``then`` for the index that is ``wanted``, else ``otherwise``."""
        return then if index == wanted else otherwise

    def dot(self, xs: Sequence[Any], ys: Sequence[Any], plus: Any = None) -> Any:
        """Σ xᵢ yᵢ (+ plus), in the order in which a loop adds."""
        total = self.zero if plus is None else plus
        for x, y in zip(xs, ys, strict=True):
            total = total + x * y
        return total

    def sum(self, xs: Sequence[Any]) -> Any:
        """Σ xᵢ."""
        total = self.zero
        for x in xs:
            total = total + x
        return total

    def max(self, xs: Sequence[Any]) -> Any:
        """The largest of xs; used as a shift only."""
        return max(xs)

    def where_positive(self, test: Any, then: Any, otherwise: Any) -> Any:
        """``then`` where test > 0, else ``otherwise``: every kink is written with this."""
        return then if test > 0 else otherwise

    def log_or_zero(self, factor: Any, x: Any) -> Any:
        """factor · ln x, and 0 where the factor is 0 whatever x is (the limit of t ln t)."""
        return self.zero if factor == 0 else factor * self.log(x)

    def either(self, fused: Any, composed: Callable[[], Any]) -> Any:  # noqa: ARG002
        """Two right formulas for the same number; here the first, which is the stabler."""
        return fused

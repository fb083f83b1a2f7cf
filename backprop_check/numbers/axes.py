"""Lanes for any loop nest: every loop is an axis, so that a stage may index as it likes.

``Lanes`` knows two loops and the one cell of a table. A wrong stage reads other cells (the last neuron, all but
the last, a transposed or shifted table), so here each loop of a nest gets an axis of its own,
``each`` hands out an index that knows its axis, and a table puts what is read on the axes of its indexes:

- ``grid[s, j]`` with loop indexes: rows and columns on their loops' axes;
- ``grid[s, -1]``, ``grid[0, i]``: a row or column, on the one loop's axis;
- ``grid[s, :]``, ``grid[s, :-1]``, ``grid[:, i]``: a vector to be summed over, on a last axis of its own.

The error bounds are those of ``Lane`` and ``Lanes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers.lane import Lane, is_exact, parts
from backprop_check.numbers.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backprop_check.numbers.lane import Array

#: How deep loops can be nested.
AXES = 4


class Every:
    """The index of a loop: all its values at once, on ``axis``."""

    __slots__ = ("axis", "count")

    def __init__(self, axis: int, count: int) -> None:
        self.axis, self.count = axis, count


def _placed(array: Any, axes: list[int], vector: int | None) -> Any:
    """An array whose dimensions are ``axes`` (and the vector's, at position ``vector``) in the full layout."""
    if isinstance(array, float):
        return array
    if vector is not None:
        array = np.moveaxis(array, vector, -1) if vector != array.ndim - 1 else array
    if len(axes) == 2 and axes[0] > axes[1]:  # noqa: PLR2004 - a table
        array = array.swapaxes(0, 1)
        axes.reverse()
    shape = [1] * AXES + ([array.shape[-1]] if vector is not None else [])
    for axis, length in zip(axes, array.shape, strict=False):
        shape[axis] = length
    return array.reshape(shape)


class AxisGrid:
    """A table ``grid[row, column]`` of values with their error bounds."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: tuple[Any, Any]) -> Lane:
        key = tuple(slice(None) if isinstance(index, Every) else index for index in at)
        axes = [index.axis for index in at if isinstance(index, Every)]
        vector = next((i for i, index in enumerate(at) if isinstance(index, slice)), None)
        if vector == 1 and not isinstance(at[0], Every):
            vector = 0
        error = self.error if isinstance(self.error, float) else _placed(np.asarray(self.error[key]), axes, vector)
        return Lane(_placed(np.asarray(self.value[key]), axes, vector), error, self.u)

    def __setitem__(self, at: tuple[Any, Any], lane: Lane | float) -> None:
        value, error = parts(lane)
        if all(isinstance(index, Every) for index in at):
            self.value = self._cells(at, value)
            self.error = error if is_exact(error) else self._cells(at, error)
            return
        key = tuple(slice(None) if isinstance(index, Every) else index for index in at)
        errors = np.broadcast_to(np.asarray(self.error, dtype=float), self.value.shape).copy()
        values = self.value.copy()
        shape = values[key].shape
        values[key] = np.reshape(np.broadcast_to(np.reshape(value, -1), shape or 1), shape)
        errors[key] = np.reshape(np.broadcast_to(np.reshape(error, -1), shape or 1), shape)
        self.value, self.error = values, errors

    def _cells(self, at: tuple[Any, Any], value: Any) -> Any:
        rows, columns = self.value.shape
        full = [1] * AXES
        full[at[0].axis], full[at[1].axis] = rows, columns
        placed = np.broadcast_to(value, full)
        if at[0].axis < at[1].axis:
            return placed.reshape(rows, columns)
        return placed.reshape(columns, rows).T


class AxisLine:
    """A list ``line[j]`` of values with their error bounds."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: Any) -> Lane:
        if isinstance(at, Every):
            axes, vector = [at.axis], None
            key: Any = slice(None)
        else:
            axes, vector, key = [], 0 if isinstance(at, slice) else None, at
        error = self.error if isinstance(self.error, float) else _placed(np.asarray(self.error[key]), axes, vector)
        return Lane(_placed(np.asarray(self.value[key]), axes, vector), error, self.u)

    def __setitem__(self, at: Any, lane: Lane | float) -> None:
        value, error = parts(lane)
        length = len(self.value)
        if isinstance(at, Every):
            self.value = np.broadcast_to(np.reshape(value, -1), length)
            self.error = error if is_exact(error) else np.broadcast_to(np.reshape(error, -1), length)
            return
        values, errors = self.value.copy(), np.broadcast_to(np.asarray(self.error, dtype=float), length).copy()
        values[at], errors[at] = np.reshape(value, -1)[0], np.reshape(error, -1)[0]
        self.value, self.error = values, errors


class AxisLanes(Lanes):
    """The reading with error bounds for stages that index freely; ``u`` and ``profile`` as for ``Lanes``."""

    def __init__(self, u: float, profile: str = "textbook", dtype: Any = np.float64) -> None:
        super().__init__(u, profile, dtype)
        self._depth = 0

    def each(self, count: int) -> Iterator[Every]:  # type: ignore[override]
        """One index for all values of this loop, on the axis of its depth."""
        if not count:
            return
        self._depth += 1
        try:
            yield Every(self._depth - 1, count)
        finally:
            self._depth -= 1

    def grid(self, rows: int, columns: int) -> AxisGrid:  # type: ignore[override]
        """An empty table."""
        return AxisGrid(np.zeros((rows, columns), self.dtype), 0.0, self.u)

    def line(self, count: int) -> AxisLine:  # type: ignore[override]
        """An empty list."""
        return AxisLine(np.zeros(count, self.dtype), 0.0, self.u)

    def given_grid(self, rows: Any) -> AxisGrid:  # type: ignore[override]
        """The case's own numbers: exact."""
        return AxisGrid(np.asarray(rows, dtype=self.dtype), 0.0, self.u)

    def given_line(self, values: Any) -> AxisLine:  # type: ignore[override]
        """The case's own numbers: exact."""
        return AxisLine(np.asarray(values, dtype=self.dtype), 0.0, self.u)

    def rearranged(self, grid: AxisGrid, rows: int, columns: int, source: Callable[[Any, Any], Any]) -> AxisGrid:
        """A table whose cell (r, c) is the cell ``source(r, c)`` of ``grid``."""
        r, c = source(np.arange(rows)[:, None], np.arange(columns)[None, :])
        at = np.broadcast_arrays(r, c)
        error = grid.error if isinstance(grid.error, float) else grid.error[at[0], at[1]]
        return AxisGrid(grid.value[at[0], at[1]], error, self.u)

    def single(self, table: AxisGrid | AxisLine) -> AxisGrid | AxisLine:
        """A table or list with every number rounded to single precision (for a named bug)."""
        return type(table)(table.value.astype(np.float32).astype(np.float64), table.error, self.u)

    def choose(self, index: Every, wanted: int, then: Any, otherwise: Any) -> Any:
        """``then`` for the index that is ``wanted``, else ``otherwise``."""
        x, ex = parts(then)
        y, ey = parts(otherwise)
        shape = [1] * AXES
        shape[index.axis] = index.count
        mask = (np.arange(index.count) == wanted).reshape(shape)
        return Lane(np.where(mask, x, y), np.where(mask, ex, ey), self.u)

    def dot(self, xs: Lane, ys: Lane, plus: Lane | None = None) -> Lane:
        """Σ xᵢ yᵢ (+ plus), for all lanes of both."""
        terms = xs.value.shape[-1]
        value, size = _products(xs.value, ys.value), _products(abs(xs.value), abs(ys.value))
        error: Any = self._gamma(terms + 2) * size
        if not is_exact(xs.error):
            error = error + _products(xs.error, abs(ys.value))
        if not is_exact(ys.error):
            error = error + _products(abs(xs.value) + xs.error, ys.error)
        if plus is not None:
            value = value + plus.value
            error = error + self._gamma(terms + 2) * abs(plus.value)
            error = error if is_exact(plus.error) else error + plus.error
        return Lane(value, error, self.u)

    def sum(self, xs: Lane) -> Lane:
        """Σ xᵢ along the vector."""
        value, size = xs.value.sum(axis=-1), abs(xs.value).sum(axis=-1)
        error = self._gamma(xs.value.shape[-1] + 2) * size
        return Lane(value, error if is_exact(xs.error) else error + xs.error.sum(axis=-1), self.u)

    def max(self, xs: Lane) -> Lane:
        """The largest along the vector, used as a shift only (with room for exp(z − logsumexp), as in ``Lanes``)."""
        value = xs.value.max(axis=-1)
        error = 2 * self.u * abs(value)
        return Lane(value, error if is_exact(xs.error) else error + xs.error.max(axis=-1), self.u)


def _products(x: Array, y: Array) -> Array:
    """Σᵢ xᵢ yᵢ along the last axis: one matrix product where each side has one loop of its own."""
    a = [axis for axis in range(AXES) if x.shape[axis] > 1]
    b = [axis for axis in range(AXES) if y.shape[axis] > 1]
    if len(a) <= 1 and len(b) <= 1 and (not a or a != b):
        rows, columns, terms = (x.shape[a[0]] if a else 1), (y.shape[b[0]] if b else 1), x.shape[-1]
        table = x.reshape(rows, terms) @ y.reshape(columns, terms).T
        shape = [1] * AXES
        for axis, length in ((a, rows), (b, columns)):
            if axis:
                shape[axis[0]] = length
        return (table.T if a and b and a[0] > b[0] else table).reshape(shape)
    total: Array = (x * y).sum(axis=-1)
    return total

"""Lanes for circuits: all units and all samples at once, along any wiring.

A table is an array ``[sample, unit]`` with its error bounds. Reading it at an ``Index`` gives for every unit the vector
of what it reads, ``[sample, unit, term]``; where units read different numbers of others the shorter ones are filled
up with exact zeros. The bounds are those of ``Lane`` and ``Lanes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.kinds.wiring import Index, Places
from backprop_check.numbers.given import as_array
from backprop_check.numbers.lane import Lane, is_exact, parts
from backprop_check.numbers.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.numbers.lane import Array


#: A unit roundoff below this is a float64's: 2⁻⁵³, or twice that where our own rounding is part of it.
_OF_FLOAT64 = 2.0**-51


class Vector(Lane):
    """For every unit the vector of what it reads; ``mask`` is False where one was filled up (None: nowhere)."""

    __slots__ = ("mask",)

    def __init__(self, value: Any, error: Any, u: float, mask: Any = None) -> None:
        super().__init__(value, error, u)
        self.mask = mask


class WiredGrid:
    """A table of lanes; with one row where all samples share it (parameters)."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: tuple[Any, Any]) -> Lane:
        s, i = at
        if isinstance(i, Index):
            positions, mask = i.arrays
            return self._gathered(positions, mask, together=isinstance(s, slice))
        if isinstance(i, Places):
            if i.arrays is None:
                i.arrays = np.array(i.positions, dtype=np.intp)
            error = self.error if isinstance(self.error, float) else self.error[:, i.arrays]
            return Lane(self.value[:, i.arrays], error, self.u)
        if isinstance(i, slice):
            error = self.error if isinstance(self.error, float) else self.error[:, None, :]
            return Vector(self.value[:, None, :], error, self.u)
        return Lane(self.value, self.error, self.u)

    def _gathered(self, positions: Array, mask: Any, *, together: bool) -> Vector:
        def taken(array: Array) -> Array:
            found = array[:, positions]
            if mask is not None:
                found = np.where(mask, found, 0.0)
            if together:  # all samples in one vector
                found = found.transpose(1, 0, 2).reshape(1, len(positions), -1)
            return found

        error = self.error if isinstance(self.error, float) else taken(self.error)
        filled = np.tile(mask, (1, len(self.value))) if mask is not None and together else mask
        return Vector(taken(self.value), error, self.u, filled)

    def __setitem__(self, at: tuple[Any, Any], lane: Lane | float) -> None:
        value, error = parts(lane)
        shape = self.value.shape
        if isinstance(at[1], Index):
            positions, mask = at[1].arrays
            real = positions if mask is None else positions[mask]
            values, errors = self.value.copy(), np.zeros(shape)
            if not isinstance(self.error, float):
                errors[:] = self.error
            values[:, real] = value if mask is None else value[:, mask]
            spread = np.broadcast_to(error, value.shape)
            errors[:, real] = spread if mask is None else spread[:, mask]
            self.value, self.error = values, errors
            return
        self.value = np.broadcast_to(value, shape)
        self.error = error if is_exact(error) else np.broadcast_to(error, shape)

    def columns(self, start: int, stop: int) -> WiredGrid:
        """Some of its columns."""
        error = self.error if isinstance(self.error, float) else self.error[:, start:stop]
        return WiredGrid(self.value[:, start:stop], error, self.u)


class WiredLanes(Lanes):
    """The reading with error bounds for circuits; ``u`` and ``profile`` as for ``Lanes``."""

    def grid(self, rows: int, columns: int) -> WiredGrid:  # type: ignore[override]
        """An empty table."""
        return WiredGrid(np.zeros((rows, columns), self.dtype), 0.0, self.u)

    def row(self, count: int) -> WiredGrid:
        """An empty row that all samples share."""
        return self.grid(1, count)

    def given_grid(self, rows: Any) -> WiredGrid:  # type: ignore[override]
        """The case's own numbers: exact."""
        return WiredGrid(as_array(rows).astype(self.dtype, copy=False), 0.0, self.u)

    def given_row(self, values: Any, roundings: Any = None) -> WiredGrid:
        """The case's own numbers, the same for all samples: exact, or computed with so much of u to be off."""
        error = 0.0 if roundings is None else self.u * np.asarray(roundings, dtype=float).reshape(1, -1)
        return WiredGrid(np.asarray(values, dtype=self.dtype).reshape(1, -1), error, self.u)

    def joined(self, grids: Sequence[WiredGrid]) -> WiredGrid:
        """Tables side by side."""
        if len(grids) == 1:
            return grids[0]
        errors = [np.broadcast_to(np.asarray(grid.error, dtype=float), grid.value.shape) for grid in grids]
        return WiredGrid(np.concatenate([grid.value for grid in grids], 1), np.concatenate(errors, 1), self.u)

    def one(self, x: Lane | float) -> Vector:
        """A vector of one number."""
        value, error = parts(x)
        return Vector(np.asarray(value)[..., None], error if is_exact(error) else np.asarray(error)[..., None], self.u)

    def vector(self, function: Callable[..., Any], *arguments: Lane) -> Vector:
        """A function of every number of vectors; single numbers are the same for a whole vector."""
        masks = [x.mask for x in arguments if isinstance(x, Vector) and x.mask is not None]
        spread = [x if isinstance(x, Vector) else self.one(x) for x in arguments]
        found = function(*spread)
        if not masks:
            return Vector(found.value, found.error, self.u)
        error = found.error if is_exact(found.error) else np.where(masks[0], found.error, 0.0)
        return Vector(np.where(masks[0], found.value, 0.0), error, self.u, masks[0])

    def dots(self, terms: Sequence[tuple[Any, Any]], plus: Sequence[Lane]) -> Lane:
        """Σ xᵢ yᵢ over all pairs of vectors (y None: Σ xᵢ), plus single numbers; added in whatever order."""
        value: Any = 0.0
        size: Any = 0.0
        error: Any = 0.0
        count = len(plus)
        multiplied = False
        copied: Any = len(plus) * 2  # how many products are not 0, as long as each is an exact number times 0 or 1
        for xs, ys in terms:
            length = xs.value.shape[-1]
            if not length:
                continue
            count += length
            x, e = xs.value, xs.error
            if ys is None:
                value = value + x.sum(axis=-1)
                size = size + abs(x).sum(axis=-1)
                error = error if is_exact(e) else error + e.sum(axis=-1)
                copied = 2
                continue
            multiplied = True
            y, f = ys.value, ys.error
            value = value + (x * y).sum(axis=-1)
            if is_exact(e) and is_exact(f) and ((x == 0) | (x == 1)).all() and self._holds(y):
                copied = copied + ((x != 0) & (y != 0)).sum(axis=-1)
            else:
                copied = 2
            sizes = abs(x)
            size = size + (sizes * abs(y)).sum(axis=-1)
            if not is_exact(e):
                error = error + (e * abs(y)).sum(axis=-1)
                sizes = sizes + e
            if not is_exact(f):
                error = error + (sizes * f).sum(axis=-1)
        for x in plus:
            value = value + x.value
            size = size + abs(x.value)
            error = error if is_exact(x.error) else error + x.error
        if (multiplied or count > 1) and np.max(copied) > 1:
            error = error + self._gamma(count + 2) * size
        return Lane(np.asarray(value), error, self.u)

    def _holds(self, y: Array) -> bool:
        """Whether an implementation's numbers can be these: 0.01 and 1/9 are no float32, and are rounded there."""
        return self.u < _OF_FLOAT64 or bool((y == y.astype(np.float32)).all())

    def only(self, xs: Vector, keep: Vector) -> Vector:
        """Those of a vector that ``keep`` has a 1 for."""
        mask = keep.value > 0 if xs.mask is None else (keep.value > 0) & xs.mask
        error = xs.error if is_exact(xs.error) else np.where(mask, xs.error, 0.0)
        return Vector(np.where(mask, xs.value, 0.0), error, self.u, mask)

    def total(self, xs: Vector) -> Lane:
        """Σ xᵢ."""
        return self.dots([(xs, None)], [])

    def sum(self, xs: Lane) -> Lane:
        """Σ xᵢ; what stood in one row stays in a column."""
        return self.total(xs) if isinstance(xs, Vector) else super().sum(xs)

    def max(self, xs: Lane) -> Lane:
        """The largest, used as a shift only; what stood in one row stays in a column."""
        return self.top(xs) if isinstance(xs, Vector) else super().max(xs)

    def _candidates(self, xs: Vector) -> tuple[Array, Any]:
        error = 0.0 if is_exact(xs.error) else np.broadcast_to(xs.error, xs.value.shape)
        return (xs.value if xs.mask is None else np.where(xs.mask, xs.value, -np.inf)), error

    def top(self, xs: Vector) -> Lane:
        """The largest, used as a shift only (with room for exp(z − logsumexp), as in ``Lanes``)."""
        values, errors = self._candidates(xs)
        value = values.max(axis=-1)
        error = 2 * self.u * abs(value)
        return Lane(value, error if is_exact(errors) else error + errors.max(axis=-1), self.u)

    def largest(self, xs: Vector) -> Lane:
        """The largest: between the largest of x − e and the largest of x + e."""
        values, errors = self._candidates(xs)
        value = values.max(axis=-1)
        if is_exact(errors):
            return Lane(value, 0.0, self.u)
        below, above = (values - errors).max(axis=-1), (values + errors).max(axis=-1)
        return Lane(value, np.maximum(value - below, above - value), self.u)

    def winners(self, xs: Vector) -> Vector:
        """1 for the first that is largest, 0 for the others; either, where rounding can decide."""
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
        """``then`` for the units (or weights) that ``mask`` has, else ``otherwise``."""
        x, ex = parts(then)
        y, ey = parts(otherwise)
        wanted = np.asarray(mask)
        if isinstance(then, Vector) or isinstance(otherwise, Vector):
            masks = [each.mask for each in (then, otherwise) if isinstance(each, Vector) and each.mask is not None]
            wanted = wanted[:, None]
            return Vector(np.where(wanted, x, y), np.where(wanted, ex, ey), self.u, masks[0] if masks else None)
        return Lane(np.where(wanted, x, y), np.where(wanted, ex, ey), self.u)

    def single(self, table: WiredGrid) -> WiredGrid:
        """A table with every number rounded to single precision (for a named bug)."""
        return WiredGrid(table.value.astype(np.float32).astype(np.float64), table.error, self.u)

    def exact(self, x: Lane) -> Lane:
        """What x is, as if nothing had been rounded: where numbers are compared that are equal or are not."""
        return Vector(x.value, 0.0, self.u, x.mask) if isinstance(x, Vector) else Lane(x.value, 0.0, self.u)

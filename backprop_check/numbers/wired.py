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
from backprop_check.numbers.lane import QUANTUM, Lane, is_exact, is_multiple, parts
from backprop_check.numbers.lanes import Lanes
from backprop_check.numbers.sums import part
from backprop_check.numbers.vectors import Block, Operand, Single, Vector, each_block, over_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.numbers.lane import Array
    from backprop_check.numbers.sums import Part


#: A unit roundoff below this is a float64's: 2⁻⁵³, or twice that where our own rounding is part of it.
_OF_FLOAT64 = 2.0**-51


class WiredGrid:
    """A table of lanes; with one row where all samples share it (parameters)."""

    __slots__ = ("error", "u", "value")

    def __init__(self, value: Array, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __getitem__(self, at: tuple[Any, Any]) -> Lane:
        s, i = at
        if isinstance(i, Index):
            together = isinstance(s, slice)
            if i.operand is not None:
                return Operand(self, i, together=together)
            if i.width is not None and not together:
                return self._blocks(i.width)
            return self.gathered(*i.arrays, together=together)
        if isinstance(i, Places):
            error = self.error if isinstance(self.error, float) else self.error[:, i.arrays]
            return Lane(self.value[:, i.arrays], error, self.u)
        if isinstance(i, slice):
            error = self.error if isinstance(self.error, float) else self.error[:, None, :]
            return Vector(self.value[:, None, :], error, self.u)
        return Lane(self.value, self.error, self.u)

    def _blocks(self, width: int) -> Block:
        shape = (len(self.value), -1, width)
        error = self.error if isinstance(self.error, float) else self.error.reshape(shape)
        return Block(self.value.reshape(shape), error, self.u, None, width)

    def gathered(self, positions: Array, mask: Any, *, together: bool) -> Vector:
        """What stands at these positions, for every unit a vector."""

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
        self.value = value if getattr(value, "shape", None) == shape else np.broadcast_to(value, shape)
        self.error = error if is_exact(error) or error.shape == shape else np.broadcast_to(error, shape)

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
        """The case's own numbers, of any shape, the same for all samples: exact, or with so much of u to be off."""
        error = 0.0 if roundings is None else self.u * np.asarray(roundings, dtype=float).reshape(1, -1)
        return WiredGrid(as_array(values).astype(self.dtype, copy=False).reshape(1, -1), error, self.u)

    def joined(self, grids: Sequence[WiredGrid]) -> WiredGrid:
        """Tables side by side."""
        if len(grids) == 1:
            return grids[0]
        errors = [np.broadcast_to(np.asarray(grid.error, dtype=float), grid.value.shape) for grid in grids]
        return WiredGrid(np.concatenate([grid.value for grid in grids], 1), np.concatenate(errors, 1), self.u)

    def stacked(self, grids: Sequence[WiredGrid]) -> WiredGrid:
        """Tables one below the other."""
        errors = [np.broadcast_to(np.asarray(grid.error, dtype=float), grid.value.shape) for grid in grids]
        return WiredGrid(np.concatenate([grid.value for grid in grids]), np.concatenate(errors), self.u)

    def one(self, x: Lane | float) -> Vector:
        """A vector of one number."""
        return Single(x if isinstance(x, Lane) else Lane(np.asarray(x, dtype=self.dtype), 0.0, self.u))

    def vector(self, function: Callable[..., Any], *arguments: Lane) -> Vector:
        """A function of every number of vectors; single numbers are the same for a whole vector."""
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
        """Σ xᵢ yᵢ over all pairs of vectors (y None: Σ xᵢ), plus single numbers; added in whatever order."""
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

        All that is added is a small multiple of one power of two; or it is one number of the case times 0 or 1.
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
        """Whether an implementation's numbers can be these: 0.01 and 1/9 are no float32, and are rounded there."""
        return self.u < _OF_FLOAT64 or bool((y == y.astype(np.float32)).all())

    def only(self, xs: Vector, keep: Vector) -> Vector:
        """Those of a vector that ``keep`` has a 1 for."""
        mask = keep.value > 0 if xs.mask is None else (keep.value > 0) & xs.mask
        error = xs.error if is_exact(xs.error) else np.where(mask, xs.error, 0.0)
        value = np.where(mask, xs.value, 0.0)
        return (
            Block(value, error, self.u, mask, xs.width) if isinstance(xs, Block) else Vector(value, error, self.u, mask)
        )

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
        return over_blocks(Lane(value, error if is_exact(errors) else error + errors.max(axis=-1), self.u), xs)

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

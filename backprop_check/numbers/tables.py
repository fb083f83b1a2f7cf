"""Tables of lanes: ``[sample, unit]``, values with their error bounds; one row where all samples share it.

A table read at an ``Index`` gives the numbers that each unit reads, ``[sample, unit, term]``; shorter vectors are
padded with exact zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.kinds.wiring import Index, Places
from backprop_check.numbers.lane import Lane, is_exact, parts
from backprop_check.numbers.vectors import Block, Operand, Vector

if TYPE_CHECKING:
    from backprop_check.numbers.lane import Array


class LaneTable:
    """A table of lanes ``[sample, unit]``; of one row where all samples share it, as they share parameters."""

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
        """The numbers at these positions, one vector for each unit."""

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

    def columns(self, start: int, stop: int) -> LaneTable:
        """Some of its columns."""
        error = self.error if isinstance(self.error, float) else self.error[:, start:stop]
        return LaneTable(self.value[:, start:stop], error, self.u)

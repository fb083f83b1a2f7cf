"""Vectors: for every unit what it reads, ``[sample, unit, term]``, to be summed over or to be made one number of.

Shorter ones are filled up with exact zeros. Some are put together only where that is needed: the operands of a product,
of which a matrix product is enough, and what all units of a block read alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers.lane import Lane, is_exact, parts

if TYPE_CHECKING:
    from backprop_check.kinds.wiring import Index


class Vector(Lane):
    """For every unit the vector of what it reads; ``mask`` is False where one was filled up (None: nowhere)."""

    __slots__ = ("mask",)

    def __init__(self, value: Any, error: Any, u: float, mask: Any = None) -> None:
        super().__init__(value, error, u)
        self.mask = mask


class Block(Vector):
    """The vector of what each ``width`` units after one another read together: one for all of them."""

    __slots__ = ("width",)

    def __init__(self, value: Any, error: Any, u: float, mask: Any, width: int) -> None:
        super().__init__(value, error, u, mask)
        self.width = width


class Single(Vector):
    """A vector of one number a unit."""

    __slots__ = ("lane",)

    def __init__(self, lane: Lane) -> None:
        self.lane, self.u, self.mask = lane, lane.u, None

    @property
    def value(self) -> Any:
        """The numbers, each a vector of its own."""
        return np.asarray(self.lane.value)[..., None]

    @property
    def error(self) -> Any:
        """How far these may be off."""
        error = self.lane.error
        return error if is_exact(error) else np.asarray(error)[..., None]


class Operand(Vector):
    """What is read along a wiring that is a product: put together only where more than the product is asked for.

    ``grid`` is the table, ``index`` what is read of it; ``together``: of all samples in one vector.
    """

    __slots__ = ("_whole", "grid", "index", "together")

    def __init__(self, grid: Any, index: Index, *, together: bool) -> None:
        self.grid, self.index, self.together, self.u = grid, index, together, grid.u
        self._whole: Vector | None = None

    @property
    def whole(self) -> Vector:
        """The vectors themselves."""
        if self._whole is None:
            self._whole = self.grid.gathered(*self.index.arrays, together=self.together)
        return self._whole

    @property
    def value(self) -> Any:
        """Their numbers."""
        return self.whole.value

    @property
    def error(self) -> Any:
        """How far these may be off."""
        return self.whole.error

    @property
    def mask(self) -> Any:
        """Where one was filled up."""
        return self.whole.mask


def each_block(x: Any, width: int) -> Any:
    """Of a number that is the same for all units of a block, one a block."""
    if not width:
        return x
    value, error = parts(x)
    if np.ndim(value) < 2:  # noqa: PLR2004 - a constant
        return x
    return Lane(value[:, ::width], error if is_exact(error) else error[:, ::width], x.u)


def over_blocks(lane: Lane, of: Vector) -> Lane:
    """A number of each block, for every unit of it."""
    if not isinstance(of, Block):
        return lane
    error = lane.error if is_exact(lane.error) else np.repeat(lane.error, of.width, axis=-1)
    return Lane(np.repeat(lane.value, of.width, axis=-1), error, lane.u)

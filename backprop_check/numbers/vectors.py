"""Vectors: the numbers that each unit reads, ``[sample, unit, term]``, from which the unit's own number is computed.

Shorter vectors are padded with exact zeros. Two kinds are not built unless they are needed: the factors of a product,
for which a matrix product is enough, and the vectors of a block, whose units all read the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers.lane import Lane, is_exact, parts

if TYPE_CHECKING:
    from backprop_check.kinds.wiring import Index


class Vector(Lane):
    """The numbers that each unit reads. ``mask`` is False where a shorter vector was padded (None: nowhere)."""

    __slots__ = ("mask",)

    def __init__(self, value: Any, error: Any, u: float, mask: Any = None) -> None:
        super().__init__(value, error, u)
        self.mask = mask


class Block(Vector):
    """One vector for each block of ``width`` consecutive units, all of which read the same numbers."""

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
        """The numbers, ``[sample, unit, 1]``."""
        return np.asarray(self.lane.value)[..., None]

    @property
    def error(self) -> Any:
        """The error bounds of these numbers."""
        error = self.lane.error
        return error if is_exact(error) else np.asarray(error)[..., None]


class Operand(Vector):
    """One factor of a product of arrays. The vectors are built only where something else than the product is needed.

    ``grid`` is the table, ``index`` what is read of it; ``together``: of all samples in one vector.
    """

    __slots__ = ("_whole", "grid", "index", "together")

    def __init__(self, grid: Any, index: Index, *, together: bool) -> None:
        self.grid, self.index, self.together, self.u = grid, index, together, grid.u
        self._whole: Vector | None = None

    @property
    def whole(self) -> Vector:
        """The vectors, built from the table."""
        if self._whole is None:
            self._whole = self.grid.gathered(*self.index.arrays, together=self.together)
        return self._whole

    @property
    def value(self) -> Any:
        """The numbers of the vectors."""
        return self.whole.value

    @property
    def error(self) -> Any:
        """The error bounds of these numbers."""
        return self.whole.error

    @property
    def mask(self) -> Any:
        """False where a shorter vector was padded."""
        return self.whole.mask


def each_block(x: Any, width: int) -> Any:
    """One number for each block, whose units all have the same: ``[sample, unit]`` to ``[sample, block]``."""
    if not width:
        return x
    value, error = parts(x)
    if np.ndim(value) < 2:  # noqa: PLR2004 - a constant
        return x
    return Lane(value[:, ::width], error if is_exact(error) else error[:, ::width], x.u)


def over_blocks(lane: Lane, of: Vector) -> Lane:
    """Each block's number for every unit of the block: ``[sample, block]`` to ``[sample, unit]``."""
    if not isinstance(of, Block):
        return lane
    error = lane.error if is_exact(lane.error) else np.repeat(lane.error, of.width, axis=-1)
    return Lane(np.repeat(lane.value, of.width, axis=-1), error, lane.u)

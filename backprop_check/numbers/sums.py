"""The parts of a sum: products of vectors, each with its value, its size and its error bound.

With errors e of x and f of y, the error of Σ x·y is at most γ Σ|x||y| + Σ (e|y| + |x|f + e f), that of Σ x at most
γ Σ|x| + Σ e. γ = γₖ counts the roundings of the whole sum (Higham, *Accuracy and Stability*, §3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers.lane import is_exact, is_multiple
from backprop_check.numbers.product import SAMPLE, Contraction, Total, put, taken
from backprop_check.numbers.vectors import Block, Operand, Single, Vector

if TYPE_CHECKING:
    from backprop_check.kinds.wiring import Operand as Places


class Part:
    """Σ x·y, or Σ x where ``y`` is None, with error bounds ``e`` of x and ``f`` of y; at most ``count`` terms."""

    def __init__(self, x: Any, e: Any, y: Any, f: Any, count: int) -> None:
        self.x, self.e, self.y, self.f, self.count = x, e, y, f, count
        self.multiplies = y is not None
        self.exact = is_exact(e) and (y is None or is_exact(f))

    def sum(self, x: Any, y: Any) -> Any:
        """Σ x·y, or Σ x."""
        raise NotImplementedError

    @property
    def multiple(self) -> bool:
        """Whether all numbers are multiples of one power of two."""
        return is_multiple(self.x) and (self.y is None or is_multiple(self.y))

    @property
    def copies(self) -> bool:
        """Whether every x is 0 or 1, so that each product is 0 or a copy of y."""
        return self.multiplies and bool(((self.x == 0) | (self.x == 1)).all())

    def copied(self) -> Any:
        """How many products are not 0."""
        return self.sum((self.x != 0).astype(float), (self.y != 0).astype(float))

    def value(self) -> Any:
        """The sum."""
        return self.sum(self.x, self.y)

    def size(self) -> Any:
        """The sum of absolute values."""
        return self.sum(abs(self.x), None if self.y is None else abs(self.y))

    def error(self, gamma: float) -> Any:
        """The error bound of the sum: γ Σ|x||y| + Σ (e|y| + |x|f + e f), or γ Σ|x| + Σ e."""
        size, e = abs(self.x), self.e
        share = gamma * size if is_exact(e) else gamma * size + e
        if self.y is None:
            return self.sum(share, None)
        found = self.sum(share, abs(self.y))
        if is_exact(self.f):
            return found
        f = self.f if self.f.shape == self.y.shape else np.broadcast_to(self.f, self.y.shape)
        return found + self.sum(size if is_exact(e) else size + e, f)


class _OfVectors(Part):
    """The sum of products of vectors that were built."""

    def __init__(self, x: Vector, y: Vector | None) -> None:
        y_value, f = (None, None) if y is None else (y.value, y.error)
        super().__init__(x.value, x.error, y_value, f, x.value.shape[-1])
        self._width = x.width if isinstance(x, Block) else 1

    def sum(self, x: Any, y: Any) -> Any:
        """The sum along the vectors, once for all units of a block."""
        found = (x if y is None else x * y).sum(axis=-1)
        return np.repeat(found, self._width, axis=-1) if self._width > 1 else found


class _OfSingle(Part):
    """The product of one number per unit."""

    def __init__(self, x: Single, y: Single | None) -> None:
        y_value, f = (None, None) if y is None else (y.lane.value, y.lane.error)
        super().__init__(x.lane.value, x.lane.error, y_value, f, 1)

    def sum(self, x: Any, y: Any) -> Any:
        """The one term."""
        return x if y is None else x * y


class _OfProduct(Part):
    """The sum over the factors of a product of arrays, or over one of them: a matrix product."""

    def __init__(self, x: Operand, one: Places, y: Operand | None, other: Places | None) -> None:
        self._of, self._other, self._together = one.of, None if other is None else other.of, x.together
        self._product, self._rows = one.product, one.rows
        y_value, f = (None, None) if y is None else (y.grid.value, y.grid.error)
        count = self._product.terms(self._rows)
        if x.together:
            count *= max(len(x.grid.value), 0 if y_value is None else len(y_value))
        super().__init__(x.grid.value, x.grid.error, y_value, f, count)

    def sum(self, x: Any, y: Any) -> Any:
        """The contraction; its plan is cached with the wiring."""
        several = len(x) > 1, y is not None and len(y) > 1
        key = id(self._of), id(self._rows), several, y is None, self._together
        plan = self._product.plans.get(key)
        if plan is None:
            plan = self._product.plans[key] = self._plan(*several)
        samples = max(len(x), 0 if y is None else len(y))
        b = None if self._other is None else taken(y, self._other)
        return put(plan(taken(x, self._of), b, samples), self._rows)

    def _plan(self, of_x: bool, of_y: bool) -> Contraction | Total:  # noqa: FBT001 - which have several samples
        sizes = self._product.sizes
        out = SAMPLE * ((of_x or of_y) and not self._together) + self._rows.letters
        x = SAMPLE * of_x + self._of.letters
        if self._other is None:
            return Total(x, out, sizes)
        return Contraction(x, SAMPLE * of_y + self._other.letters, out, sizes)


def part(x: Vector, y: Vector | None) -> Part:
    """A part of a sum; as a product of arrays where x and y are the two factors of one, unchanged."""
    if isinstance(x, Operand):
        one = x.index.operand
        assert one is not None
        if y is None and not one.product.padded:
            return _OfProduct(x, one, None, None)
        other = y.index.operand if isinstance(y, Operand) and x.together == y.together else None
        if isinstance(y, Operand) and other is not None and other.pairs_with(one):
            return _OfProduct(x, one, y, other)
    if isinstance(x, Single) and (y is None or isinstance(y, Single)):
        return _OfSingle(x, y)
    return _OfVectors(x, y)

"""Arrays of values with their error bounds: the arithmetic of ``Lanes``, rule by rule.

With γₖ = ku/(1 − ku) and first order in u (Higham, *Accuracy and Stability of Numerical Algorithms*, §2.2):

- sum and difference:     e₁ + e₂ + u|v|, and 0 where exact numbers have an exact sum
- product:                |x|e_y + |y|e_x + e_x e_y + u|v|, and 0 for small multiples of ``QUANTUM``
- quotient:               (e_x + |v|e_y)/(|y| − e_y) + u|v|, and u|v| more for the reciprocal of a constant
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: The index that means "every one, side by side" (a lane), where ``:`` means "all, to be summed over".
EACH = Ellipsis

#: Products of multiples of this, and their sums, are exact while they are small, in any order.
QUANTUM = 2.0**-5


class Lane:
    """Values with their error bounds: ``value`` and ``error`` broadcast to one shape; ``u`` is the unit roundoff.

    ``error`` is the float 0.0 where every value is exact in any right implementation.
    """

    __slots__ = ("error", "u", "value")
    __array_priority__ = 1000  # so that ndarray ∘ Lane comes to Lane

    def __init__(self, value: Any, error: Any, u: float) -> None:
        self.value, self.error, self.u = value, error, u

    def __neg__(self) -> Lane:
        return Lane(-self.value, self.error, self.u)

    def __abs__(self) -> Lane:
        return Lane(abs(self.value), self.error, self.u)

    def _plus(self, other: Any, e: Any, value: Any) -> Lane:
        """The sum (or difference) ``value`` of self and ``other``, whose error is ``e``: e₁ + e₂ + u|v|."""
        if is_exact(self.error) and is_exact(e):
            if _sum_is_exact(self.value, other, value, self.u):
                return Lane(value, 0.0, self.u)
            return Lane(value, self.u * abs(value), self.u)
        error = self.u * abs(value)
        error = error if is_exact(self.error) else error + self.error
        return Lane(value, error if is_exact(e) else error + e, self.u)

    def __add__(self, other: Any) -> Lane:
        y, e = parts(other)
        return self._plus(y, e, self.value + y)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Lane:
        y, e = parts(other)
        return self._plus(-y, e, self.value - y)

    def __rsub__(self, other: Any) -> Lane:
        return (-self)._plus(other, 0.0, other - self.value)

    def __mul__(self, other: Any) -> Lane:
        y, e = parts(other)
        value = self.value * y
        if is_exact(self.error) and is_exact(e) and self._is_exact_product(y, value):
            return Lane(value, 0.0, self.u)
        error = self.u * abs(value)
        if not is_exact(self.error):
            error = error + (abs(y) if is_exact(e) else abs(y) + e) * self.error
        if not is_exact(e):
            error = error + abs(self.value) * e
        return Lane(value, error, self.u)

    __rmul__ = __mul__

    def _is_exact_product(self, y: Any, value: Any) -> bool:
        return is_multiple(self.value) and is_multiple(y) and bool(np.max(abs(value)) * self.u <= QUANTUM * QUANTUM)

    def __truediv__(self, other: Any) -> Lane:
        y, e = parts(other)
        value = self.value / y
        error = self.u * abs(value)
        if isinstance(other, float | int) and math.frexp(other)[0] not in (0.5, -0.5):
            error = 2.0 * error  # times 1/y, which was rounded first (a power of two needs no rounding)
        if is_exact(e):
            return Lane(value, error if is_exact(self.error) else error + self.error / abs(y), self.u)
        room = abs(y) - e
        if not np.min(room) > 0:  # a bound that is no number counts as none
            room = np.where(room > 0, room, 0.0)
        return Lane(value, error + (self.error + abs(value) * e) / room, self.u)

    def __rtruediv__(self, other: Any) -> Lane:
        return Lane(np.asarray(other, dtype=self.value.dtype), 0.0, self.u) / self


def parts(x: Any) -> tuple[Any, Any]:
    """Value and error of a lane, or of a constant, which is exact."""
    return (x.value, x.error) if isinstance(x, Lane) else (x, 0.0)


def is_exact(error: Any) -> bool:
    """Whether an error is the float 0.0. An array of zeros is not recognised, which only costs time."""
    return type(error) is float and error == 0.0


def is_multiple(x: Any) -> bool:
    """Whether all numbers are multiples of ``QUANTUM``. The first number alone usually shows that they are not."""
    first = (x.flat[0] if isinstance(x, np.ndarray) else x) / QUANTUM
    if first % 1 != 0:
        return False
    scaled = np.asarray(x) / QUANTUM
    return bool(np.all(scaled == np.floor(scaled)))


def _sum_is_exact(x: Any, y: Any, value: Any, u: float) -> bool:
    """Whether x + y needs no rounding (Knuth's TwoSum leaves no remainder), so that every implementation hits a
    kink.
    """
    if u > 2.0**-40 and not np.array_equal(np.asarray(value, dtype=np.float32), value):
        return False
    back = value - x
    return not np.any((x - (value - back)) + (y - back))

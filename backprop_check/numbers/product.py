"""Products of arrays with named axes, computed as matrix products.

``Contraction("Si", "oi", "So", sizes)`` computes Σᵢ a[S, i] b[o, i]. Axes that both arrays and the result have are
batches of matrix products; axes that only the arrays have are summed. The transpositions and shapes are found once
for each wiring, not once for each case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.kinds.wiring import Factor
    from backprop_check.numbers.lane import Array

#: The letter of the axis of samples, whose length is that of the arrays; a wiring's own axes have small letters.
SAMPLE = "S"


class _Shape:
    """The shape of an array whose axes are groups of letters. The number of samples is given with each call."""

    def __init__(self, groups: Sequence[Sequence[str]], sizes: Mapping[str, int]) -> None:
        self.fixed = [int(np.prod([sizes[letter] for letter in group if letter != SAMPLE])) for group in groups]
        self.at = next((at for at, group in enumerate(groups) if SAMPLE in group), None)

    def __call__(self, samples: int) -> list[int]:
        """The shape for this number of samples."""
        if self.at is None or samples == 1:
            return self.fixed
        found = [*self.fixed]
        found[self.at] *= samples
        return found


class _Turned:
    """Prepares one array for a product: sums over axes that are not needed, transposes, and reshapes to matrices."""

    def __init__(self, letters: str, groups: Sequence[Sequence[str]], sizes: Mapping[str, int]) -> None:
        needed = [letter for group in groups for letter in group]
        alone = tuple(axis for axis, letter in enumerate(letters) if letter not in needed)
        self.alone = alone or None
        left = [letter for letter in letters if letter in needed]
        order = [left.index(letter) for letter in needed]
        self.order = None if order == list(range(len(order))) else order
        self.start = _Shape([(letter,) for letter in letters], sizes) if alone or self.order else None
        self.end = _Shape(groups, sizes)

    def __call__(self, array: Array, samples: int) -> Array:
        """The array with one axis for each group of letters."""
        if self.start is not None:
            array = array.reshape(self.start(samples))
            if self.alone is not None:
                array = array.sum(axis=self.alone)
            if self.order is not None:
                array = array.transpose(self.order)
        return array.reshape(self.end(samples))


class Contraction:
    """Σ a·b over all axes that ``out`` does not have; the result is repeated along axes that only ``out`` has."""

    def __init__(self, a: str, b: str, out: str, sizes: Mapping[str, int]) -> None:
        batch = [letter for letter in out if letter in a and letter in b]
        summed = [letter for letter in a if letter in b and letter not in out]
        rows = [letter for letter in out if letter in a and letter not in b]
        columns = [letter for letter in out if letter in b and letter not in a]
        first = [batch] if batch else []
        self.summed = bool(summed)
        self.flat = not summed and not rows and not columns  # number by number
        self.a = _Turned(a, [batch] if self.flat else [*first, rows, summed], sizes)
        self.b = _Turned(b, [batch] if self.flat else [*first, summed, columns], sizes)
        self.result = _Result([*batch, *rows, *columns], out, sizes)

    def __call__(self, a: Array, b: Any, samples: int) -> Array:
        """The sums, [sample, place]; one row where ``out`` has no axis of samples."""
        left, right = self.a(a, samples), self.b(b, samples)
        return self.result(left @ right if self.summed else left * right, samples)


class Total:
    """Σ a over all axes that ``out`` does not have, including those that ``a`` does not have either."""

    def __init__(self, a: str, out: str, sizes: Mapping[str, int]) -> None:
        kept = [letter for letter in a if letter in out]
        self.times = float(np.prod([size for letter, size in sizes.items() if letter not in a and letter not in out]))
        self.a = _Turned(a, [kept], sizes)
        self.result = _Result(kept, out, sizes)

    def __call__(self, a: Array, b: Any, samples: int) -> Array:
        """The sums; there is no second array."""
        del b
        found = self.result(self.a(a, samples), samples)
        return found if self.times == 1.0 else self.times * found


class _Result:
    """Puts the axes of a product in the order of ``out``, and repeats it along axes that only ``out`` has."""

    def __init__(self, made: Sequence[str], out: str, sizes: Mapping[str, int]) -> None:
        order = [made.index(letter) for letter in out if letter in made]
        self.order = None if order == list(range(len(order))) else order
        self.repeated = len(order) < len(out)
        self.made = _Shape([(letter,) for letter in made], sizes)
        self.filled = _Shape([(letter,) if letter in made else () for letter in out], sizes)
        self.whole = _Shape([(letter,) for letter in out], sizes)
        self.end = _Shape([SAMPLE if SAMPLE in out else "", [letter for letter in out if letter != SAMPLE]], sizes)

    def __call__(self, array: Array, samples: int) -> Array:
        """The array as a table [sample, place]."""
        if self.order is not None:
            array = array.reshape(self.made(samples)).transpose(self.order)
        if self.repeated:
            array = np.broadcast_to(array.reshape(self.filled(samples)), self.whole(samples))
        return array.reshape(self.end(samples))


def taken(table: Array, factor: Factor) -> Array:
    """The elements of a factor, from its table: [sample, element]. Elements without a position are 0."""
    if factor.at is not None:
        at = factor.at.ravel()
        part = table[:, at]
        return np.where(at >= 0, part, 0.0) if (at < 0).any() else part
    if factor.size == factor.table:
        return table
    return table[:, factor.first : factor.first + factor.size]


def put(array: Array, factor: Factor) -> Array:
    """The inverse of ``taken``: a table [sample, place] with each element added at its position."""
    if factor.at is None:
        if factor.size == factor.table:
            return array
        whole = np.zeros((len(array), factor.table), array.dtype)
        whole[:, factor.first : factor.first + factor.size] = array
        return whole
    at = factor.at.ravel()
    inside = at >= 0
    rows: list[Any] = [np.bincount(at[inside], row[inside], factor.table) for row in array]
    return np.stack(rows).astype(array.dtype, copy=False)

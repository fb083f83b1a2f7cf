"""Wiring: which unit reads which, and through which weight.

All layers that compute sums (dense, convolution, pooling, recurrence, attention) differ only in their wiring: unit o
reads the units ``reads[o]`` through the weights ``uses[o]``. Units and weights have flat indexes, in row-major order.
The backward pass needs the inverse of the same wiring: the units that read unit i, and the units that use weight k.
"""

from __future__ import annotations

import functools
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Index:
    """For every unit a list of positions; a reading that computes all units at once gets the whole object.

    It is made from ``rows``, from arrays (``of_array``), or as an ``operand`` of a product; the other forms are
    computed on demand. ``width`` is set where the units form blocks of that width and each unit's list is its own block
    (``blocks``; there are ``units`` units).
    """

    operand: Operand | None = None
    width: int | None = None
    units = 0

    def __init__(self, rows: Iterable[Iterable[int]]) -> None:
        self.rows = tuple(tuple(row) for row in rows)

    @classmethod
    def of_array(cls, positions: Any, mask: Any = None) -> Index:
        """Positions as one array [unit, term]; ``mask``, of the same shape, is False where there is no term (None: all
        exist).
        """
        index = cls.__new__(cls)
        index.arrays = positions, mask
        return index

    @classmethod
    def of_operand(cls, operand: Operand) -> Index:
        """The positions of one factor of a product."""
        index = cls.__new__(cls)
        index.operand = operand
        return index

    @classmethod
    def blocks(cls, count: int, width: int) -> Index:
        """``count`` consecutive blocks of ``width`` units; the list of each unit is its whole block."""
        index = cls.__new__(cls)
        index.width, index.units = width, count * width
        return index

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The positions as one tuple per unit."""
        if self.width is not None:
            width = self.width
            return tuple(tuple(range(o // width * width, (o // width + 1) * width)) for o in range(self.units))
        positions, mask = self.arrays
        if mask is None:
            return tuple(map(tuple, positions.tolist()))
        return tuple(tuple(row[real].tolist()) for row, real in zip(positions, mask, strict=True))

    @cached_property
    def arrays(self) -> tuple[Any, Any]:
        """The positions as an array [unit, term], padded with 0, and a mask of the real ones (None: no padding)."""
        import numpy as np  # noqa: PLC0415 - heavy, and not every reading needs it

        if self.operand is not None:
            return self.operand.arrays()
        lengths = [len(row) for row in self.rows]
        longest = max(lengths, default=0)
        if min(lengths, default=0) == longest:
            return np.array(self.rows, dtype=np.intp).reshape(len(self.rows), longest), None
        array = np.zeros((len(lengths), longest), dtype=np.intp)
        mask = np.arange(longest)[None, :] < np.array(lengths)[:, None]
        array[mask] = [i for row in self.rows for i in row]
        return array, mask

    def __len__(self) -> int:
        if self.operand is not None:
            return self.operand.rows.table
        if self.width is not None:
            return self.units
        return len(self.__dict__["rows"]) if "rows" in self.__dict__ else len(self.arrays[0])

    def __getitem__(self, o: Any) -> Any:
        return self.rows[o] if isinstance(o, int) else self


class Factor:
    """One array of a product, its axes named by ``letters``, and the position of each element in a table.

    The table has ``table`` positions. In row-major order the elements have the positions from ``first`` on, or those in
    ``at`` (−1: no position; the element is 0).
    """

    def __init__(self, letters: str, shape: Sequence[int], table: int, first: int = 0, at: Any = None) -> None:
        self.letters, self.shape, self.table, self.first, self.at = letters, tuple(shape), table, first, at
        self.size = math.prod(self.shape)


class Product:
    """A wiring that is a product of arrays: outₒ = Σ x·w, over all axes of x and w that out does not have.

    ``"ti,oi->to"`` is a linear layer applied to every token t: outₜₒ = Σᵢ xₜᵢ wₒᵢ. A reading that computes all units at
    once needs only matrix products, in both directions: the gradients are ``"to,oi->ti"`` and ``"to,ti->oi"``.
    """

    def __init__(self, x: Factor, w: Factor, out: Factor) -> None:
        self.x, self.w, self.out = x, w, out
        self.sizes = {
            letter: size for each in (x, w, out) for letter, size in zip(each.letters, each.shape, strict=True)
        }

        #: Whether some elements have no position (padding). Their products are no terms of a sum.
        self.padded = any(each.at is not None and bool((each.at < 0).any()) for each in (x, w, out))
        self._terms: dict[int, int] = {}
        self.plans: dict[Any, Any] = {}  # how a reading computes the sums, kept for all cases

    def terms(self, of: Factor) -> int:
        """The largest number of terms in the sum for one position of a factor (or of the result)."""
        count = self._terms.get(id(of))
        if count is None:
            count = self._terms[id(of)] = self._counted(of)
        return count

    def _counted(self, of: Factor) -> int:
        count = math.prod(size for letter, size in self.sizes.items() if letter not in of.letters)
        if of.at is None:
            return count
        import numpy as np  # noqa: PLC0415

        return count * int(np.bincount(of.at[of.at >= 0].ravel(), minlength=1).max())

    def places(self, of: Factor, rows: Factor) -> tuple[Any, Any]:
        """For each element of ``rows`` the positions of its partners in ``of``: an array [row, term], and a mask (None:
        all).
        """
        import numpy as np  # noqa: PLC0415

        order = rows.letters + "".join(letter for letter in self.sizes if letter not in rows.letters)
        shape = [self.sizes[letter] for letter in order]
        found: Any = np.zeros(shape, dtype=np.intp)
        stride = 1
        for letter, size in zip(reversed(of.letters), reversed(of.shape), strict=True):
            axis = [1] * len(order)
            axis[order.index(letter)] = size
            found = found + (np.arange(size) * stride).reshape(axis)
            stride *= size
        found = found.reshape(rows.size, -1)
        if of.at is None:
            return found + of.first, None
        found = of.at.ravel()[found]
        return np.maximum(found, 0), None if (found >= 0).all() else found >= 0


class Operand:
    """For each element of ``rows``, the elements of the factor ``of`` that it is multiplied with or summed from."""

    def __init__(self, wiring: Wiring, rows: Factor, of: Factor) -> None:
        self.wiring, self.rows, self.of = wiring, rows, of
        assert wiring.product is not None
        self.product: Product = wiring.product

    def pairs_with(self, other: Operand) -> bool:
        """Whether the two are the factors of one sum."""
        return self.wiring is other.wiring and self.rows is other.rows and self.of is not other.of

    def arrays(self) -> tuple[Any, Any]:
        """The positions as one array [row, term], and which of them exist (None: all)."""
        import numpy as np  # noqa: PLC0415

        product, rows = self.product, self.rows
        if rows.at is None and rows.size == rows.table:
            return self._places()
        if rows.at is None:  # a part of a larger table: the other rows have no terms
            part, real = self._places()
            positions = np.zeros((rows.table, part.shape[1]), dtype=np.intp)
            mask = np.zeros(positions.shape, dtype=bool)
            inside = slice(rows.first, rows.first + rows.size)
            positions[inside], mask[inside] = part, True if real is None else real
            return positions, mask
        by, partner = self.wiring.reads, self.wiring.uses
        if rows is product.w:
            by, partner = partner, by
        units, companions = _turned_arrays(rows.table, by, partner)
        return (units if self.of is product.out else companions).arrays

    def _places(self) -> tuple[Any, Any]:
        """The same for rows that are a whole factor. A term is left out where either factor has no position."""
        product, rows = self.product, self.rows
        positions, real = product.places(self.of, rows)
        (other,) = (each for each in (product.x, product.w, product.out) if each is not self.of and each is not rows)
        if other.at is None:
            return positions, real
        also_real = product.places(other, rows)[1]
        if real is None or also_real is None:
            return positions, also_real if real is None else real
        return positions, real & also_real


class Wiring:
    """``reads[o]``: the units that unit o reads; ``uses[o]``: the weights that it reads them through, in the same
    order.

    There are ``inputs`` units to read and ``weights`` weights. ``product`` is the same as a product of arrays, where
    the wiring is one.
    """

    product: Product | None = None

    def __init__(
        self,
        inputs: int,
        weights: int,
        reads: Index | Sequence[Sequence[int]],
        uses: Index | Sequence[Sequence[int]],
    ) -> None:
        self.inputs, self.weights = inputs, weights
        self.reads = reads if isinstance(reads, Index) else Index(reads)
        self.uses = uses if isinstance(uses, Index) else Index(uses)

    @classmethod
    def of_product(cls, x: Factor, w: Factor, out: Factor) -> Wiring:
        """outₒ = Σ x·w over all axes that out does not have."""
        wiring = cls.__new__(cls)
        wiring.product = Product(x, w, out)
        wiring.inputs, wiring.weights = x.table, w.table
        wiring.reads, wiring.uses = (Index.of_operand(Operand(wiring, out, each)) for each in (x, w))
        assert out.at is None
        return wiring

    def turned(self) -> Wiring:
        """The inverse wiring: the units that were read now read, through the same weights."""
        wiring = Wiring(len(self.reads), self.weights, *self.by_input)
        if self.product is not None:
            x, w, out = self.product.x, self.product.w, self.product.out
            by_weight = Index.of_operand(Operand(self, w, x)), Index.of_operand(Operand(self, w, out))
            wiring.__dict__ |= {"by_input": (self.reads, self.uses), "by_weight": by_weight}
        return wiring

    @cached_property
    def by_input(self) -> tuple[Index, Index]:
        """For every unit that is read: the units that read it, and the weights that they read it through."""
        if self.product is not None:
            x, w, out = self.product.x, self.product.w, self.product.out
            return Index.of_operand(Operand(self, x, out)), Index.of_operand(Operand(self, x, w))
        return _turned(self.inputs, self.reads, self.uses)

    @cached_property
    def by_weight(self) -> tuple[Index, Index]:
        """For every weight: the units whose sums it is part of, and the input that it multiplies there."""
        if self.product is not None:
            x, w, out = self.product.x, self.product.w, self.product.out
            return Index.of_operand(Operand(self, w, out)), Index.of_operand(Operand(self, w, x))
        return _turned(self.weights, self.uses, self.reads)


#: Above this number of positions arrays are faster than lists.
_MANY = 400


def _turned(count: int, by: Index, partner: Index) -> tuple[Index, Index]:
    """For each of ``count`` positions: the rows of ``by`` that hold it, and what ``partner`` holds there."""
    if "rows" not in by.__dict__ or sum(map(len, by.rows)) > _MANY:
        return _turned_arrays(count, by, partner)
    rows: list[list[int]] = [[] for _ in range(count)]
    others: list[list[int]] = [[] for _ in range(count)]
    for o, (positions, companions) in enumerate(zip(by.rows, partner.rows, strict=True)):
        for position, companion in zip(positions, companions, strict=True):
            rows[position].append(o)
            others[position].append(companion)
    return Index(rows), Index(others)


def _turned_arrays(count: int, by: Index, partner: Index) -> tuple[Index, Index]:
    """The same with arrays: a stable sort by position, so the rows of each position stay in order."""
    import numpy as np  # noqa: PLC0415

    positions, mask = by.arrays
    units = np.broadcast_to(np.arange(len(positions))[:, None], positions.shape)
    real = slice(None) if mask is None else mask
    found, of, companions = (each[real].reshape(-1) for each in (positions, units, partner.arrays[0]))
    order = np.argsort(found, kind="stable")
    counts = np.bincount(found, minlength=count)
    filled = np.arange(counts.max(initial=0))[None, :] < counts[:, None]
    whole = bool(filled.all())
    turned = []
    for each in (of, companions):
        array = np.zeros(filled.shape, dtype=np.intp)
        array[filled] = each[order]
        turned.append(Index.of_array(array, None if whole else filled))
    return turned[0], turned[1]


@functools.lru_cache(maxsize=256)
def every(units: int, inputs: int) -> Wiring:
    """zₒ = Σᵢ w[o, i] xᵢ: every unit reads every input through a weight of its own, as in a dense layer."""
    return Wiring.of_product(
        Factor("i", (inputs,), inputs),
        Factor("oi", (units, inputs), units * inputs),
        Factor("o", (units,), units),
    )


@functools.lru_cache(maxsize=1024)
def rows_of(units: int, inputs: int, rows: int, first: int, tokens: int = 1) -> Wiring:
    """zₜₒ = Σᵢ w[first + o, i] xₜᵢ: every token t reads the same ``units`` rows of a matrix w [rows, inputs]."""
    return Wiring.of_product(
        Factor("ti", (tokens, inputs), tokens * inputs),
        Factor("oi", (units, inputs), rows * inputs, first * inputs),
        Factor("to", (tokens, units), tokens * units),
    )


@functools.lru_cache(maxsize=1024)
def part(inputs: int, first: int, count: int) -> Wiring:
    """outₒ = x[first + o] for ``count`` units: a slice of the input."""
    return Wiring.of_product(Factor("o", (count,), inputs, first), Factor("", (), 1), Factor("o", (count,), count))


def same(units: int) -> Wiring:
    """outₒ = xₒ."""
    return part(units, 0, units)


@functools.lru_cache(maxsize=1024)
def placed(units: int, first: int, count: int) -> Wiring:
    """out[first + o] = xₒ for ``count`` inputs; the other of the ``units`` units read nothing."""
    one = Factor("o", (count,), count)
    return Wiring.of_product(one, Factor("o", (count,), count), Factor("o", (count,), units, first))


@functools.lru_cache(maxsize=1024)
def own(units: int, weights: int, first: int) -> Wiring:
    """outₒ = w[first + o] xₒ: each unit reads the input of the same number, through a weight of its own."""
    return Wiring.of_product(
        Factor("o", (units,), units), Factor("o", (units,), weights, first), Factor("o", (units,), units)
    )


def picking(inputs: int, positions: Sequence[int]) -> Wiring:
    """outₒ = w₀ x[positions[o]], with one weight for all (usually none, which means 1)."""
    return Wiring(inputs, 1, [[position] for position in positions], [[0]] * len(positions))


class Places:
    """For every unit one position: that of its bias."""

    def __init__(self, positions: Iterable[int]) -> None:
        self.positions = positions if isinstance(positions, range) else tuple(positions)
        self._by: dict[int, Index] = {}

    @cached_property
    def arrays(self) -> Any:
        """The positions as an array, or as a slice where they follow one another."""
        import numpy as np  # noqa: PLC0415

        if isinstance(self.positions, range):
            return slice(self.positions.start, self.positions.stop)
        return np.array(self.positions, dtype=np.intp)

    def __getitem__(self, o: Any) -> Any:
        return self.positions[o] if isinstance(o, int) else self

    def by_place(self, count: int) -> Index:
        """For every position, of ``count`` in all, the units that have it."""
        if count not in self._by:
            self._by[count] = self._turned(count)
        return self._by[count]

    def _turned(self, count: int) -> Index:
        if isinstance(self.positions, range):
            return part(count, self.positions.start, len(self.positions)).by_input[0]
        rows: list[list[int]] = [[] for _ in range(count)]
        for o, position in enumerate(self.positions):
            rows[position].append(o)
        return Index(rows)


@functools.lru_cache(maxsize=512)
def _kept(positions: range | tuple[int, ...]) -> Places:
    return Places(positions)


def places(positions: Iterable[int]) -> Places:
    """The positions as ``Places``, cached. A range must have step 1."""
    return _kept(positions if isinstance(positions, range) else tuple(positions))

"""Wiring: which unit reads which, and through which weight.

All layers that sum (dense, convolution, pooling, recurrence, attention) differ in their wiring alone: unit o reads
the units ``reads[o]`` through the weights ``uses[o]``. Units and weights are counted through, in the order of the
array's nested lists. What the backward pass needs is the same wiring read from the other end: who reads unit i,
and where weight k is used.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Index:
    """For every unit a list of positions. A reading that takes all units at once is given the whole of it.

    It is made of ``rows`` or of arrays (``of_array``); whichever it was not made of follows when it is asked for.
    """

    def __init__(self, rows: Iterable[Iterable[int]]) -> None:
        self.rows = tuple(tuple(row) for row in rows)

    @classmethod
    def of_array(cls, positions: Any, mask: Any = None) -> Index:
        """Positions as one array [unit, term]; where ``mask`` is False there is none (None: all are)."""
        index = cls.__new__(cls)
        index.arrays = positions, mask
        return index

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The positions as lists."""
        positions, mask = self.arrays
        if mask is None:
            return tuple(map(tuple, positions.tolist()))
        return tuple(tuple(row[real].tolist()) for row, real in zip(positions, mask, strict=True))

    @cached_property
    def arrays(self) -> tuple[Any, Any]:
        """The positions as one array, and where they are real: shorter rows are filled up (None: all are)."""
        import numpy as np  # noqa: PLC0415 - heavy, and not every reading needs it

        lengths = [len(row) for row in self.rows]
        longest = max(lengths, default=0)
        if min(lengths, default=0) == longest:
            return np.array(self.rows, dtype=np.intp).reshape(len(self.rows), longest), None
        array = np.zeros((len(lengths), longest), dtype=np.intp)
        mask = np.arange(longest)[None, :] < np.array(lengths)[:, None]
        array[mask] = [i for row in self.rows for i in row]
        return array, mask

    def __len__(self) -> int:
        return len(self.__dict__["rows"]) if "rows" in self.__dict__ else len(self.arrays[0])

    def __getitem__(self, o: Any) -> Any:
        return self.rows[o] if isinstance(o, int) else self


class Wiring:
    """``reads[o]``: the units that o reads; ``uses[o]``: through which weights, in the same order.

    ``inputs`` is how many units there are to be read, ``weights`` how many weights.
    """

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

    @cached_property
    def by_input(self) -> tuple[Index, Index]:
        """For every unit that is read: the units that read it, and through which weights."""
        return _turned(self.inputs, self.reads, self.uses)

    @cached_property
    def by_weight(self) -> tuple[Index, Index]:
        """For every weight: the units whose sum it is part of, and what it multiplies there."""
        return _turned(self.weights, self.uses, self.reads)


#: From so many places on arrays are faster than lists.
_MANY = 400


def _turned(count: int, by: Index, beside: Index) -> tuple[Index, Index]:
    """By the positions in ``by``: the rows where each stands, and what stands ``beside`` it."""
    if "rows" not in by.__dict__ or sum(map(len, by.rows)) > _MANY:
        return _turned_arrays(count, by, beside)
    rows: list[list[int]] = [[] for _ in range(count)]
    others: list[list[int]] = [[] for _ in range(count)]
    for o, (positions, companions) in enumerate(zip(by.rows, beside.rows, strict=True)):
        for position, companion in zip(positions, companions, strict=True):
            rows[position].append(o)
            others[position].append(companion)
    return Index(rows), Index(others)


def _turned_arrays(count: int, by: Index, beside: Index) -> tuple[Index, Index]:
    """The same for many: sorted by position, which keeps the order of the rows."""
    import numpy as np  # noqa: PLC0415

    positions, mask = by.arrays
    units = np.broadcast_to(np.arange(len(positions))[:, None], positions.shape)
    real = slice(None) if mask is None else mask
    found, of, companions = (each[real].reshape(-1) for each in (positions, units, beside.arrays[0]))
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


def every(units: int, inputs: int) -> Wiring:
    """Every unit reads every input through a weight of its own, as in a dense layer: weight[o, i]."""
    rows = [range(inputs)] * units
    return Wiring(inputs, units * inputs, rows, [range(o * inputs, (o + 1) * inputs) for o in range(units)])


def picking(inputs: int, positions: Sequence[int]) -> Wiring:
    """Unit o is the input ``positions[o]``, as it is (times a weight that is shared by all: weight 0)."""
    return Wiring(inputs, 1, [[position] for position in positions], [[0]] * len(positions))


class Places:
    """For every unit one position, as the bias that it has."""

    def __init__(self, positions: Iterable[int]) -> None:
        self.positions = tuple(positions)
        self.arrays: Any = None
        self._by: Index | None = None

    def __getitem__(self, o: Any) -> Any:
        return self.positions[o] if isinstance(o, int) else self

    def by_place(self, count: int) -> Index:
        """For every position the units that have it."""
        if self._by is None:
            rows: list[list[int]] = [[] for _ in range(count)]
            for o, position in enumerate(self.positions):
                rows[position].append(o)
            self._by = Index(rows)
        return self._by

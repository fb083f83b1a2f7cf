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
    """For every unit a list of positions. A reading that takes all units at once is given the whole of it."""

    def __init__(self, rows: Iterable[Iterable[int]]) -> None:
        self.rows = tuple(tuple(row) for row in rows)
        self.arrays: Any = None  # a reading's own form of it, made once

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, o: Any) -> Any:
        return self.rows[o] if isinstance(o, int) else self


class Wiring:
    """``reads[o]``: the units that o reads; ``uses[o]``: through which weights, in the same order.

    ``inputs`` is how many units there are to be read, ``weights`` how many weights.
    """

    def __init__(
        self, inputs: int, weights: int, reads: Sequence[Sequence[int]], uses: Sequence[Sequence[int]]
    ) -> None:
        self.inputs, self.weights = inputs, weights
        self.reads, self.uses = Index(reads), Index(uses)

    @cached_property
    def by_input(self) -> tuple[Index, Index]:
        """For every unit that is read: the units that read it, and through which weights."""
        return _turned(self.inputs, self.reads, self.uses)

    @cached_property
    def by_weight(self) -> tuple[Index, Index]:
        """For every weight: the units whose sum it is part of, and what it multiplies there."""
        return _turned(self.weights, self.uses, self.reads)


def _turned(count: int, by: Index, beside: Index) -> tuple[Index, Index]:
    """By the positions in ``by``: the rows where each stands, and what stands ``beside`` it."""
    rows: list[list[int]] = [[] for _ in range(count)]
    others: list[list[int]] = [[] for _ in range(count)]
    for o, (positions, companions) in enumerate(zip(by.rows, beside.rows, strict=True)):
        for position, companion in zip(positions, companions, strict=True):
            rows[position].append(o)
            others[position].append(companion)
    return Index(rows), Index(others)


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

"""The parts of an explanation: steps, the terms of their sums, the factors of the chain rule."""

from __future__ import annotations

import msgspec


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a sum: where it comes from, its formula, its numbers, its value."""

    what: str
    symbolic: str
    numbers: str
    value: float


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One factor of the chain rule, such as ∂a/∂z."""

    symbol: str
    value: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One computed number: ``symbol = symbolic = numbers = value``.

    ``layer`` is counted from 0. For a dense weight, ``neuron`` and ``weight`` are the neuron and the input that it
    connects. ``quantity`` and ``at`` are its place in the reply, with all indexes but the first flattened into one.
    ``terms`` is set where several gradients are added, ``factors`` where the chain rule is spelt out. ``place`` says in
    words where it is, ``unit`` has the indexes (channel, row, column) of the unit or parameter, ``uses`` the (layer,
    unit) of the values and errors that it was computed from; layer −1 is the input.
    """

    stage: str
    sentence: str
    formula: str
    symbol: str
    symbolic: str
    numbers: str
    value: float
    layer: int | None = None
    layer_name: str = ""
    neuron: int | None = None
    weight: int | None = None
    sample: int | None = None
    round: int = 0
    equation: str | None = None
    quantity: str = ""
    at: list[int] = []
    terms: list[Term] = []
    factors: list[Factor] = []
    notes: list[str] = []
    place: str = ""
    unit: list[int] = []
    uses: list[list[int]] = []

"""Trace: what a pass computes, per neuron. Both witnesses and every implementation end in this type.

A trace maps a ``Slot`` (which quantity, of which layer, at which step) to an array. What a place in the array
means (sample, neuron, index of an input) is the quantity's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from backprop_check.reference import Pass

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What the axes of a quantity's array are.
AXES: dict[str, tuple[str, ...]] = {
    "z": ("sample", "neuron"),
    "a": ("sample", "neuron"),
    "loss": (),
    "delta": ("sample", "neuron"),
    "weight_gradient": ("neuron", "index"),
    "bias_gradient": ("neuron",),
    "input_gradient": ("sample", "index"),
    "updated_weight": ("neuron", "index"),
    "updated_bias": ("neuron",),
}


class Slot(NamedTuple):
    """One array of a trace. ``step`` is None for what stands outside ``trajectory``."""

    quantity: str
    layer: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrays by slot, in the order in which a pass computes them."""

    values: Mapping[Slot, Array]


class Alternative(NamedTuple):
    """What a right but unstable formula gives: its description, and (value, bound) by slot."""

    formula: str
    values: Mapping[Slot, tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Expected:
    """The reference's values and, for each, how far a right implementation may be from it.

    ``alternatives`` are worked out only when asked for: where something differs.
    """

    values: Mapping[Slot, Array]
    allowed: Mapping[Slot, Array]
    alternatives: Callable[[], Iterable[Alternative]] | None = None


def slots_of(passes: list[Pass]) -> list[tuple[Slot, object]]:
    """Every slot that a run of the reference fills, in the order of computing, with its number(s)."""
    first, last = passes[0], passes[-1]
    found: list[tuple[Slot, object]] = []
    for index, layer in enumerate(first.layers):
        found += [(Slot("z", index), layer.z), (Slot("a", index), layer.a)]
    found.append((Slot("loss"), first.loss))
    for index in reversed(range(len(first.layers))):
        layer = first.layers[index]
        found += [
            (Slot("delta", index), layer.delta),
            (Slot("weight_gradient", index), layer.weight_gradient),
            (Slot("bias_gradient", index), layer.bias_gradient),
        ]
    found.append((Slot("input_gradient"), first.input_gradient))
    for step, one in enumerate(passes):
        if one.updated is None:
            continue
        found.append((Slot("loss", None, step), one.loss))
        for index, (weights, biases) in enumerate(one.updated):
            found += [
                (Slot("updated_weight", index, step), weights),
                (Slot("updated_bias", index, step), biases),
            ]
    if last.updated is not None:
        for index, (weights, biases) in enumerate(last.updated):
            found += [(Slot("updated_weight", index), weights), (Slot("updated_bias", index), biases)]
    return found

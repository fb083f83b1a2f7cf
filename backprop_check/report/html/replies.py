"""What an implementation replied, as arrays: those that have the shape they should."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.trace import Slot

if TYPE_CHECKING:
    from backprop_check.trace import Array

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_reply(actual: dict[str, Any], values: dict[Slot, Array]) -> dict[Slot, Array]:
    """The arrays of a reply that have the shape they should; others are absent."""
    found: dict[Slot, Array] = {}
    layers = actual.get("layers")
    layers = layers if isinstance(layers, list) else []

    def take(slot: Slot, raw: Any) -> None:
        if slot in values and raw is not None:
            array = _array(raw, values[slot].shape)
            if array is not None:
                found[slot] = array

    take(Slot("loss"), actual.get("loss"))
    take(Slot("input_gradient"), actual.get("input_gradients"))
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict):
            continue
        for quantity in ("z", "a", "delta"):
            take(Slot(quantity, index), layer.get(quantity))
        for group, pattern in (("gradients", "{}_gradient"), ("updated", "updated_{}")):
            arrays = layer.get(group)
            if isinstance(arrays, dict):
                take(Slot(pattern.format("weight"), index), arrays.get("weights"))
                take(Slot(pattern.format("bias"), index), arrays.get("biases"))
    return found


_TYPES: list[Any] = [float | str, list[float | str], list[list[float | str]]]


def _array(raw: Any, shape: tuple[int, ...]) -> Array | None:
    try:
        value = msgspec.convert(raw, _TYPES[len(shape)])
        array = np.array(value, dtype=np.float64)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    return array if array.shape == shape else None


def number_of(value: float | str | None) -> float | None:
    """A number as a results file has it; None for any other text, and for nothing."""
    return _NOT_FINITE.get(value) if isinstance(value, str) else value

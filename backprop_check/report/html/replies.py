"""The arrays of a reply that have the right shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.trace import Slot

if TYPE_CHECKING:
    from backprop_check.compare.trace import Array, Form

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_reply(actual: dict[str, Any], values: dict[Slot, Array], form: Form) -> dict[Slot, Array]:
    """The arrays of a reply by slot; those that are malformed or of another shape than ``form`` requires are left
    out.
    """
    found: dict[Slot, Array] = {}
    layers = actual.get("layers")
    layers = layers if isinstance(layers, list) else []

    def take(slot: Slot, raw: Any) -> None:
        if slot in values and raw is not None:
            array = _array(raw, form.wire_shape(slot))
            if array is not None:
                found[slot] = array.reshape(values[slot].shape)

    take(Slot("loss"), actual.get("loss"))
    take(Slot("input_gradient"), actual.get("input_gradients"))
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict):
            continue
        for quantity in ("z", "a", "delta"):
            take(Slot(quantity, index), layer.get(quantity))
        for name in form.buffers[index] if index < len(form.buffers) else ():
            arrays = layer.get("buffers")
            if isinstance(arrays, dict):
                take(Slot(f"{name}_buffer", index), arrays.get(name))
        for group, pattern in (("gradients", "{}_gradient"), ("updated", "updated_{}")):
            arrays = layer.get(group)
            if isinstance(arrays, dict):
                for wire, name in (form.names[index] if index < len(form.names) else {}).items():
                    take(Slot(pattern.format(name), index), arrays.get(wire))
    return found


_TYPES: list[Any] = [
    float | str,
    list[float | str],
    list[list[float | str]],
    list[list[list[float | str]]],
    list[list[list[list[float | str]]]],
    list[list[list[list[list[float | str]]]]],
]


def _array(raw: Any, shape: tuple[int, ...]) -> Array | None:
    try:
        value = msgspec.convert(raw, _TYPES[len(shape)])
        array = np.array(value, dtype=np.float64)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    return array if array.shape == shape else None


def number_of(value: float | str | None) -> float | None:
    """A number of a results file; None for any other text."""
    return _NOT_FINITE.get(value) if isinstance(value, str) else value

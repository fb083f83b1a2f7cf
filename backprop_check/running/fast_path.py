"""The fast path for the most common case, a right reply: all arrays are compared at once.

All arrays of the reply are decoded together and compared together with the cached expected values. For anything else (a
missing or extra array, another shape, text in place of a number, a value outside its bound) ``right`` returns None, and
the caller uses ``compare``. So this module can only decide that everything is right.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from backprop_check.compare.compare import raw_arrays
from backprop_check.compare.trace import Slot, axes_of

if TYPE_CHECKING:
    from backprop_check.protocol.messages import Reply
    from backprop_check.running.witness_cache import Entry

#: The characters of JSON numbers, and the white space between them.
_DIGITS = b"0123456789+-.eE \t\r\n"

_numbers = msgspec.json.Decoder(list[float]).decode


class Right(NamedTuple):
    """What was compared in a right reply: the slots of the arrays, and the numbers of values and neurons."""

    slots: tuple[Slot, ...]
    values: int
    neurons: int


def right(entry: Entry, reply: Reply, rtol: float = 0.0, atol: float = 0.0) -> Right | None:
    """What was compared, if every value is within its bound; None if not, or if the reply has anything unusual."""
    slots, due = _slots(entry.slots)
    shapes, wire = entry.shapes, entry.wire or entry.shapes
    layers = reply.layers
    if layers is None or len(layers) != due:
        return None
    given: dict[Slot | str, bytes] = {}
    for slot, raw in raw_arrays(reply, due, entry):
        if raw is not None:
            given[slot] = bytes(raw)
    found = [given.pop(slot, None) for slot in slots]
    if given:  # an array that this case does not have
        return None
    values, allowed = np.frombuffer(entry.values, dtype="<f8"), np.frombuffer(entry.allowed, dtype="<f8")
    compared = slots
    if None in found:
        there = [raw is not None for raw in found]
        due_too = (slot.layer is not None and slot.quantity.endswith("_gradient") for slot in slots)
        if any(needed and not here for needed, here in zip(due_too, there, strict=True)):
            return None
        mask = np.repeat(there, [_size(shape) for shape in shapes])
        values, allowed = values[mask], allowed[mask]
        compared = tuple(slot for slot, is_there in zip(slots, there, strict=True) if is_there)
        shapes = [shape for shape, is_there in zip(shapes, there, strict=True) if is_there]
        wire = [shape for shape, is_there in zip(wire, there, strict=True) if is_there]
    text = b",".join([raw for raw in found if raw is not None])
    if text.translate(None, _DIGITS) != b",".join(map(_skeleton, wire)):
        return None
    try:
        numbers = np.array(_numbers(b"[" + text.translate(None, b"[]") + b"]"))
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None
    if numbers.shape != values.shape:
        return None
    if rtol or atol:
        allowed = np.maximum(allowed, atol + rtol * abs(values))
    with np.errstate(invalid="ignore", over="ignore"):
        if not (abs(numbers - values) <= allowed).all():
            return None
    return Right(compared, numbers.size, _neurons(compared, shapes))


@functools.lru_cache(maxsize=1024)
def _slots(packed: bytes) -> tuple[tuple[Slot, ...], int]:
    """The slots, and the number of layers."""
    slots = tuple(Slot(*each) for each in msgspec.msgpack.decode(packed))
    return slots, 1 + max(slot.layer for slot in slots if slot.layer is not None)


@functools.lru_cache(maxsize=4096)
def _skeleton(shape: tuple[int, ...]) -> bytes:
    """The JSON of an array of that shape without its numbers: ``[[,],[,]]``."""
    text = b""
    for size in reversed(shape):
        text = b"[" + b",".join([text] * size) + b"]"
    return text


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _neurons(slots: tuple[Slot, ...], shapes: list[tuple[int, ...]]) -> int:
    """The number of different neurons in these slots."""
    widths: dict[int | None, int] = {}
    for slot, shape in zip(slots, shapes, strict=True):
        axes = axes_of(slot.quantity, len(shape))
        at = axes.index("neuron") if "neuron" in axes else None
        if at is not None and slot.layer is not None and shape[at] > widths.get(slot.layer, 0):
            widths[slot.layer] = shape[at]
    return sum(widths.values())

"""Comparing a reply with the expected values: every value of a reply is within its bound, or is a finding.

A value is right if |got − expected| <= allowed; so NaN fails. An array that is missing, extra or of the wrong shape,
and a value that is not a number, are findings too, with layer, array, expected and actual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from backprop_check.compare.expected import disagreement
from backprop_check.compare.trace import Array, Expected, Mask, Slot, Trace, axes_of
from backprop_check.compare.unstable import most_telling
from backprop_check.protocol.parsing import decode_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backprop_check.compare.conventions import Convention
    from backprop_check.protocol.messages import Reply

#: The number of findings of a case that are kept with their numbers; further ones are only counted.
KEPT = 200

#: The names of a dense layer's parameters in a reply, and in a trace.
PARAMETERS = {"weights": "weight", "biases": "bias"}

_decoders = [
    msgspec.json.Decoder(kind).decode
    for kind in (
        float,
        list[float],
        list[list[float]],
        list[list[list[float]]],
        list[list[list[list[float]]]],
        list[list[list[list[list[float]]]]],
    )
]


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A finding about one value, or about an array as a whole.

    ``problem`` is ``wrong``, ``missing``, ``extra``, ``shape``, ``not_a_number`` (text, null, a boolean),
    or ``not_finite``. ``unstable`` says that a right but numerically unstable formula gives this value. ``neuron`` and
    ``index`` are flat indexes; ``at`` has the indexes as in a reply (channel, row, column).
    """

    quantity: str
    layer: int | None = None
    neuron: int | None = None
    sample: int | None = None
    index: list[int] = []
    step: int | None = None
    expected: float | str | None = None
    actual: float | str | None = None
    error: float | str | None = None
    allowed: float | str | None = None
    problem: str = "wrong"
    origin: str = "unknown"
    unstable: bool = False
    at: list[int] = []


class Comparison(msgspec.Struct, frozen=True):
    """The result of comparing one reply."""

    mismatches: list[Mismatch]
    count: int
    values_checked: int
    neurons_checked: int
    actual: dict[Slot, Array]
    notes: list[str]
    formula: str | None = None  # the right but unstable formula(s) that give what is marked unstable
    conventions: list[Convention] = []  # choices at kinks that are correct and not PyTorch's


class Named(Protocol):
    """Has, for each layer, the parameter names in a trace by their names in a reply."""

    names: list[dict[str, str]]


def raw_arrays(reply: Reply, layers: int, form: Named | None = None) -> Iterator[tuple[Slot | str, Any]]:
    """Every array of a reply, undecoded, with its slot; an array without a slot has a description in its place."""
    names = form.names if form is not None and form.names else [PARAMETERS] * layers
    yield Slot("loss"), reply.loss
    yield Slot("input_gradient"), reply.input_gradients
    for index, layer in enumerate(reply.layers or ()):
        if index < layers:
            for quantity in ("z", "a", "delta"):
                yield Slot(quantity, index), getattr(layer, quantity)
            yield from _named(names[index], layer.gradients, "{}_gradient", index, None)
            yield from _named(names[index], layer.updated, "updated_{}", index, None)
            yield from _buffers(layer.buffers, index, None)
    for step, one in enumerate(reply.trajectory or ()):
        yield Slot("loss", None, step), one.loss
        for index, layer in enumerate((one.layers or ())[:layers]):
            yield from _named(names[index], layer.updated, "updated_{}", index, step)
            yield from _buffers(layer.buffers, index, step)


def _buffers(arrays: Mapping[str, Any] | None, layer: int, step: int | None) -> Iterator[tuple[Slot, Any]]:
    """A layer's buffers, by slot."""
    return ((Slot(f"{name}_buffer", layer, step), raw) for name, raw in (arrays or {}).items())


def _named(
    names: Mapping[str, str], arrays: Mapping[str, Any] | None, pattern: str, layer: int, step: int | None
) -> Iterator[tuple[Slot | str, Any]]:
    for name, raw in (arrays or {}).items():
        if name in names:
            yield Slot(pattern.format(names[name]), layer, step), raw
        elif bytes(raw) != b"null":
            yield f"{pattern.format(name)} of layer {layer}", raw


def compare(expected: Expected, reply: Reply, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
    """Compare a reply with the expected values. ``rtol`` and ``atol`` widen the derived bounds."""
    layers = 1 + max(slot.layer for slot in expected.values if slot.layer is not None)
    asked = any(slot.quantity.startswith("updated_") for slot in expected.values)
    found: list[Mismatch] = []
    notes: list[str] = []
    actual: dict[Slot, Array] = {}
    broken: dict[Slot, list[Mismatch]] = {}
    if len(reply.layers or ()) != layers:
        found.append(_whole("layers", None, "shape", f"{layers} layers", f"{len(reply.layers or ())} layers"))
    for slot, raw in raw_arrays(reply, layers, expected.form):
        if raw is None or bytes(raw) == b"null":
            continue
        if isinstance(slot, str):
            found.append(_whole(slot, None, "extra", "no such array", "an array"))
        elif slot not in expected.values:
            if slot.quantity == "z" and expected.form is not None:
                notes.append("z was given for a layer that has no z; it was not judged")
            elif slot.quantity.endswith("_buffer"):
                notes.append("buffers were given that the case does not change; they were not judged")
            elif slot.quantity.startswith("updated") and not asked:
                notes.append("updated parameters were given though the case asks for none; they were not judged")
            else:
                found.append(_whole(slot.quantity, slot, "extra", "no such array", "an array"))
        else:
            shape = expected.values[slot].shape
            _read(slot, raw, shape, expected.form.wire_shape(slot) if expected.form else shape, actual, broken)
    found += _missing(expected, {*actual, *broken}, len(reply.layers or ()))
    suspects: dict[Slot, tuple[Mask, Array]] = {}
    count = _judge(expected, actual, broken, found, suspects, (rtol, atol))
    formula = None
    if suspects and expected.alternatives is not None:
        formula, admitted = most_telling(
            expected.alternatives(), suspects, {slot: (got, expected.allowed[slot]) for slot, got in actual.items()}
        )
        found = [_marked(one, admitted) for one in found]
    neurons = {
        (slot.layer, j)
        for slot, got in actual.items()
        if slot.layer is not None and "neuron" in axes_of(slot.quantity, got.ndim)
        for j in range(got.shape[axes_of(slot.quantity, got.ndim).index("neuron")])
    }
    values = sum(got.size for got in actual.values())
    return Comparison(found, count, values, len(neurons), actual, sorted(set(notes)), formula)


def _missing(expected: Expected, came: set[Slot], layers: int) -> list[Mismatch]:
    """A finding for each gradient that is missing in the layers of the reply."""
    found = []
    for slot, right in expected.values.items():
        asked = slot.quantity.endswith("_gradient") and slot.layer is not None and slot.layer < layers
        if asked and slot not in came:
            shape = expected.form.wire_shape(slot) if expected.form else right.shape
            found.append(_whole(slot.quantity, slot, "missing", f"an array of {_shape(shape)}", "nothing"))
    return found


def _judge(
    expected: Expected,
    actual: Mapping[Slot, Array],
    broken: Mapping[Slot, list[Mismatch]],
    found: list[Mismatch],
    suspects: dict[Slot, tuple[Mask, Array]],
    wider: tuple[float, float],
) -> int:
    """Add a finding for every value beyond its bound to ``found``, and its array to ``suspects``; their count."""
    count = len(found)
    if actual and not broken and not any(wider) and disagreement(expected, Trace(actual)) is None:
        return count  # the commonest, and several times faster than array by array
    for slot, right in expected.values.items():
        if slot in broken:
            count += len(broken[slot])
            found += broken[slot]
            nulls = [_at(one, right.ndim) for one in broken[slot] if one.actual == "null"]
            if nulls:  # JavaScript's way to write NaN
                suspects[slot] = (np.zeros(right.shape, dtype=bool), np.full(right.shape, np.nan))
                suspects[slot][0][tuple(np.transpose(nulls))] = True
        if slot not in actual:
            continue
        got, more = actual[slot], wider[1] + wider[0] * abs(right) if any(wider) else 0.0
        wrong = expected.wrong(slot, got, more)
        if wrong.any():
            allowed = np.maximum(expected.reach(slot, got), more)
            suspects[slot] = (wrong, got)
            places = np.argwhere(wrong)
            count += len(places)
            kept = places[: max(0, KEPT - len(found))]
            found += [value_mismatch(slot, tuple(at), right, got, allowed) for at in kept]
    return count


def _at(one: Mismatch, dimensions: int) -> tuple[int, ...]:
    """The index tuple of a finding's value in its array of so many dimensions."""
    named = {"sample": one.sample, "neuron": one.neuron, "index": one.index[0] if one.index else None}
    return tuple(named[axis] or 0 for axis in axes_of(one.quantity, dimensions))


def _marked(one: Mismatch, admitted: Mapping[Slot, Mask]) -> Mismatch:
    """The finding, marked as unstable where a right but unstable formula gives that value."""
    mask = admitted.get(Slot(one.quantity, one.layer, one.step))
    is_value = one.problem in ("wrong", "not_finite") or one.actual == "null"
    if mask is None or not is_value or not mask[_at(one, mask.ndim)]:
        return one
    return msgspec.structs.replace(one, unstable=True)


def _read(
    slot: Slot,
    raw: Any,
    shape: tuple[int, ...],
    wire: tuple[int, ...],
    actual: dict[Slot, Array],
    broken: dict[Slot, list[Mismatch]],
) -> None:
    """Decode one array of the shape ``wire``; put it into ``actual`` as ``shape``, or findings into ``broken``."""
    try:
        value: Any = _decoders[len(wire)](raw)
        array = np.array(value, dtype=np.float64)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        value = decode_value(raw)
        read, found = _leniently(slot, value, wire)
        if found:
            broken[slot] = found
        if read is None:
            return
        array = read
    if array.shape != wire:
        broken[slot] = [_whole(slot.quantity, slot, "shape", f"an array of {_shape(wire)}", _shape_of(value))]
        return
    actual[slot] = array.reshape(shape)


def _leniently(slot: Slot, value: Any, shape: tuple[int, ...]) -> tuple[Array | None, list[Mismatch]]:
    """The array, and a finding for each text, null or boolean in place of a number; None with any finding."""
    array, found = np.zeros(shape), []

    def walk(part: Any, at: tuple[int, ...]) -> bool:
        if len(at) < len(shape):
            if not isinstance(part, list) or len(part) != shape[len(at)]:
                return False
            return all(walk(item, (*at, i)) for i, item in enumerate(part))
        if isinstance(part, str) and part in ("NaN", "Infinity", "-Infinity"):
            array[at] = float(part.replace("Infinity", "inf"))
        elif isinstance(part, int | float) and not isinstance(part, bool):
            try:
                array[at] = float(part)
            except OverflowError:
                array[at] = np.inf if part > 0 else -np.inf
        elif isinstance(part, list):
            return False
        else:
            array[at] = np.nan
            got = (
                "null"
                if part is None
                else "an object"
                if isinstance(part, dict)
                else f"{type(part).__name__.replace('str', 'text')} {str(part)[:40]!r}"
            )
            found.append(
                Mismatch(**_place(slot, _flat(at, shape)), expected="a number", actual=got, problem="not_a_number")
            )
        return True

    if not walk(value, ()):
        return None, [_whole(slot.quantity, slot, "shape", f"an array of {_shape(shape)}", _shape_of(value))]
    return (None if found else array), found


def _flat(at: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """An index tuple with all indexes but the first flattened to one."""
    return at if len(at) < 2 else (at[0], int(np.ravel_multi_index(at[1:], shape[1:])))  # noqa: PLR2004 - a list


def _place(slot: Slot, at: tuple[int, ...]) -> dict[str, Any]:
    place: dict[str, Any] = {"quantity": slot.quantity, "layer": slot.layer, "step": slot.step, "index": []}
    for axis, i in zip(axes_of(slot.quantity, len(at)), at, strict=True):
        if axis == "index":
            place["index"].append(int(i))
        else:
            place[axis] = int(i)
    return place


def value_mismatch(slot: Slot, at: tuple[int, ...], right: Array, got: Array, allowed: Array) -> Mismatch:
    """The finding about the value at index ``at`` of a slot's array."""
    expected, actual = float(right[at]), float(got[at])
    return Mismatch(
        **_place(slot, at),
        expected=as_json(expected),
        actual=as_json(actual),
        error=as_json(abs(actual - expected)),
        allowed=as_json(float(np.broadcast_to(allowed, right.shape)[at])),
        problem="wrong" if np.isfinite(actual) else "not_finite",
    )


def _whole(quantity: str, slot: Slot | None, problem: str, expected: str, got: str) -> Mismatch:
    layer, step = (slot.layer, slot.step) if slot else (None, None)
    return Mismatch(quantity=quantity, layer=layer, step=step, expected=expected, actual=got, problem=problem)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _shape_of(value: Any) -> str:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len({len(item) if isinstance(item, list) else -1 for item in value}) > 1:
            return f"a list of {len(value)} with parts of different lengths"
        value = value[0] if value else None
    return f"an array of {_shape(tuple(shape))}" if shape else type(value).__name__


def as_json(x: float) -> float | str:
    """A number in the form of results files; NaN and the infinities become the protocol's strings."""
    if np.isnan(x):
        return "NaN"
    return x if np.isfinite(x) else ("Infinity" if x > 0 else "-Infinity")

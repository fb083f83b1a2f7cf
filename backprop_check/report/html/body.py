"""What the page contains for a failing case with its network, as JSON: the drawing, the numbers, the request."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.places import Places
from backprop_check.compare.trace import Slot
from backprop_check.explain.explanation import training_words
from backprop_check.kinds.dense import Dense
from backprop_check.protocol.text import one_line
from backprop_check.report.html.maths import Sentences, mathematics_of, share_of_page
from backprop_check.report.html.packing import packed
from backprop_check.report.html.sheets import ROOM, Sheet, choose, in_order, set_states, sheets_of, wrong_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array
    from backprop_check.report.html.read import Finding, Place

#: The longest request, in bytes, that the page offers to copy.
_REQUEST = 60_000


class Arrays(msgspec.Struct, frozen=True):
    """The arrays of a case by slot: expected, allowed, replied, whether a value is wrong, and its origin.

    For the slots in ``recovered``, which the reply lacks and which follow from other slots, only wrong values are
    known.
    """

    values: dict[Slot, Array]
    allowed: dict[Slot, Array]
    actual: dict[Slot, Array]
    wrong: dict[Slot, Any]
    origin: dict[Slot, Any]
    recovered: frozenset[Slot] = frozenset()


def body_of(
    case: Case,
    name: str,
    arrays: Arrays,
    findings: Sequence[Finding],
    first: Place | None,
    sentences: Sentences,
    room: int = ROOM,
    mathematics: int | None = None,
) -> dict[str, Any]:
    """The JSON of a case; ``first`` is the first wrong value according to the file, ``mathematics`` the bytes for
    formulas.
    """
    places = Places(case)
    sheets = sheets_of(case, arrays.values, places)
    set_states(sheets, arrays.actual, arrays.wrong, arrays.origin, findings)
    bad = wrong_samples(len(case.inputs), arrays.wrong)
    samples = choose(sheets, len(case.inputs), bad, room)
    order = _first_first(in_order(sheets), sheets, first)
    started = first.sample if first is not None and first.sample in samples else None
    turns = [s for s in dict.fromkeys([started, *bad, *samples]) if s is not None]
    body: dict[str, Any] = {
        "about": _about(case),
        "slug": case.name,
        "samples": len(case.inputs),
        "shownSamples": samples,
        "badSamples": [int(s in bad) for s in samples],
        "nodes": _nodes(case),
        "sheets": [_as_json(sheet, samples) for sheet in sheets],
        "slots": _slots(sheets, arrays, samples),
        "order": order,
        "wrong": sum(state in "rui" for sheet in sheets if sheet.of is None for state in sheet.state),
        "told": mathematics_of(case, sheets, order, turns, arrays.actual, sentences, mathematics or share_of_page(1)),
    }
    if case.steps > 1:
        body["steps"] = case.steps
    if case.trains:
        body["training"] = training_words(case)
    if all(isinstance(layer, Dense) for layer in case.network.layers):
        body["neurons"] = 1
    if all(sheet.whole for sheet in sheets) and len(samples) == len(case.inputs):
        with contextlib.suppress(UnicodeEncodeError):  # an untrusted name that is not valid text
            body |= _request(case, name, sheets, body["sheets"])
    return body


def _request(case: Case, name: str, sheets: list[Sheet], shown: list[dict[str, Any]]) -> dict[str, Any]:
    """The request to copy, and the paths that it adds to the case; numbers that it contains are not kept twice."""
    request = {**msgspec.json.decode(case.request()), "id": name}
    text = msgspec.json.encode({"type": "case", "id": name, **_without(request)}).decode()
    if len(text) > _REQUEST:
        return {}
    for sheet, one in zip(sheets, shown, strict=True):
        if not sheet.parameter or sheet.wire in request["network"]["layers"][sheet.node - 1].get("parameters", {}):
            one.pop("given", None)
    return {"request": text, "added": _added(request, case.to_dict())}


def _first_first(order: list[tuple[int, int]], sheets: list[Sheet], first: Place | None) -> list[tuple[int, int]]:
    """The order, with the file's own first wrong value before others of the same state."""
    for at, (number, unit) in enumerate(order):
        sheet = sheets[number]
        if first is None or (sheet.node - 1, unit, sheet.parameter) != (first.layer, first.neuron, False):
            continue
        if sheet.state[unit] == sheets[order[0][0]].state[order[0][1]]:
            return [order[at], *order[:at], *order[at + 1 :]]
    return order


def _slots(sheets: list[Sheet], arrays: Arrays, samples: list[int]) -> dict[str, Any]:
    slots = {}
    for sheet in sheets:
        for slot in sheet.slots:
            right, wrong = arrays.values[slot], sheet.picked(arrays.wrong[slot], samples)
            got = sheet.picked(arrays.actual[slot], samples) if slot in arrays.actual else None
            bound = sheet.picked(np.broadcast_to(arrays.allowed[slot], right.shape), samples)
            origin = sheet.picked(arrays.origin[slot], samples)
            found = packed(sheet.picked(right, samples), bound, wrong, origin, got)
            if slot in arrays.recovered:
                known = [x if bad else None for x, bad in zip(found["g"], wrong, strict=True)] if found["g"] else 0
                found |= {"g": known, "rec": 1}
            slots[key_of(slot)] = found
    loss = Slot("loss")
    right, bound, wrong, origin = (
        np.reshape(each[loss], 1) for each in (arrays.values, arrays.allowed, arrays.wrong, arrays.origin)
    )
    got = np.reshape(arrays.actual[loss], 1) if loss in arrays.actual else None
    slots["loss"] = packed(right, bound, wrong, origin, got)
    return slots


def key_of(slot: Slot) -> str:
    """The key of an array in the page: ``delta.1``, or ``loss``."""
    return slot.quantity + ("" if slot.layer is None else f".{slot.layer}")


def _about(case: Case) -> str:
    """The network, the loss and the training in one line."""
    network, count = case.network, len(case.inputs)
    shapes = zip(["input", *network.names()], [network.input_shape, *network.output_shapes], strict=True)
    layers = " → ".join(f"{one_line(name, 60)} {'×'.join(map(str, shape))}" for name, shape in shapes)
    loss = f"{case.loss.kind.replace('_', ' ')}, {case.reduction} of {count} sample{'s' * (count > 1)}"
    threshold = [] if case.loss.threshold is None else [f"threshold {case.loss.threshold:g}"]
    words = training_words(case)
    steps = [f"{case.steps} update{'s' * (case.steps > 1)}"] if words else []
    return " · ".join([layers, loss, *threshold, *([words] if words else []), *steps])


def _added(request: Any, own: Any, path: tuple[str | int, ...] = ()) -> list[list[str | int]]:
    """The paths of what the request writes out and the case leaves to its defaults."""
    if isinstance(request, dict) and isinstance(own, dict):
        new = [[*path, key] for key in request if key not in own and key not in ("type", "id")]
        return new + [each for key in request if key in own for each in _added(request[key], own[key], (*path, key))]
    if isinstance(request, list) and path[-1:] == ("layers",):
        return [each for n, one in enumerate(request) for each in _added(one, own[n], (*path, n))]
    return []


def _without(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in ("type", "id")}


def _nodes(case: Case) -> list[dict[str, Any]]:
    """The input and the layers: a few words about each, and which layers it reads."""
    network = case.network
    nodes: list[dict[str, Any]] = [{"name": "input", "about": "", "from": []}]
    for index, (layer, sources) in enumerate(zip(network.layers, network.sources, strict=True)):
        activation = layer.activation.replace("_", " ")
        words = [activation] if isinstance(layer, Dense) else [layer.kind] + [activation] * (activation != "identity")
        words += [f"{layer.combine} of {len(sources)}"] if len(sources) > 1 and layer.combine else []
        words += [f"shares {one_line(layer.shares, 40)}"] if layer.shares else []
        name = one_line(network.names()[index], 60)
        nodes.append({"name": name, "about": " · ".join(words), "from": [source + 1 for source in sources]})
    return nodes


def _as_json(sheet: Sheet, samples: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "node": sheet.node, "title": sheet.title, "shape": list(sheet.shape), "names": sheet.names,
        "keys": [key_of(slot) for slot in sheet.slots], "status": "".join(sheet.state[unit] for unit in sheet.shown),
        "bad": sum(state in "rui" for state in sheet.state),
    }  # fmt: skip
    if not sheet.whole:
        found["shown"] = sheet.shown
    if sheet.parameter:
        found["wire"] = sheet.wire
    if sheet.given is not None:
        found["given"] = sheet.picked(sheet.given, samples).tolist()
    found |= {key: value for key, value in (("of", sheet.of), ("reads", sheet.reads)) if value is not None}
    return found | ({"step": 1} if sheet.by_step else {})

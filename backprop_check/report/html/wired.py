"""A failing case of layers beyond the dense chain, as the page shows it.

Everything is a *sheet*: numbers that have their indexes in common, drawn as grids. The input is one, a layer's units
are one (two, where z has other indexes than a), every parameter is one. A number of a sheet has a state (right, root,
inherited, wrong, not reported), values by quantity, and for some, the wrong ones first, its mathematics: written here
by the explanation, so that the page holds no second copy of it.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.places import UNITS, Places
from backprop_check.compare.trace import Slot
from backprop_check.errors import BackpropCheckError
from backprop_check.explain.layout import chain_lines, equation_lines, term_lines
from backprop_check.explain.recall import recalled_passes
from backprop_check.explain.story import PassReader
from backprop_check.explain.tables import Names
from backprop_check.explain.told import told_of_parameter, told_of_unit
from backprop_check.explain.writing import Writer
from backprop_check.protocol.text import one_line
from backprop_check.report.html.packing import packed
from backprop_check.report.html.shown import ROOM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array
    from backprop_check.explain.steps import Step
    from backprop_check.report.html.read import Finding

#: Units of a sheet and samples that are kept, where all of them are too many.
_CAPS = ((1200, 4), (800, 2), (800, 1), (400, 1), (200, 1), (100, 1), (48, 1), (24, 1))

#: Of a parameter, where not all is kept.
_PARAMETERS = 225

#: So many numbers have their mathematics in the page, and with little room.
_TOLD, _TOLD_LITTLE = 10, 3

#: Of a sum no more terms are written into its formula there.
_TERMS = 6

#: A request of no more bytes stands in the page, to be copied.
_REQUEST = 60_000

#: Of what a unit is made of within its layer, so many numbers are told.
_BEHIND = 5

#: What a case at the edge of what numbers can hold may raise while it is told.
_UNTOLD = (BackpropCheckError, ArithmeticError, LookupError, ValueError, RecursionError)

_RANK = "?.iur"
_ORIGINS = {"root": "r", "inherited": "i"}


class Sheet(msgspec.Struct, kw_only=True):
    """Numbers that have their indexes in common; ``slots`` are those of a unit (a row a sample) or of a parameter."""

    node: int
    title: str
    shape: tuple[int, ...]
    names: list[str]
    slots: list[Slot]
    parameter: bool = False
    by_step: bool = False
    wire: str = ""
    given: Any = None
    state: list[str] = []
    shown: list[int] = []

    @property
    def units(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def sheets_of(case: Case, values: Mapping[Slot, Array], places: Places) -> list[Sheet]:
    """The input, then of every layer its units and its parameters."""
    shape = case.network.input_shape
    found = [
        Sheet(
            node=0, title="x", shape=shape, names=list(places.index_names(None)), slots=[Slot("input_gradient")],
            by_step=places.by_step(None), given=np.array(case.inputs),
        )
    ]  # fmt: skip
    for index, layer in enumerate(case.network.layers):
        groups: dict[tuple[int, ...], list[Slot]] = {}
        for quantity in ("a", "z", "delta"):
            if Slot(quantity, index) in values:
                groups.setdefault(places.shape(index, quantity), []).append(Slot(quantity, index))
        for shape, slots in groups.items():
            quantity = slots[0].quantity
            found.append(
                Sheet(
                    node=index + 1, title=quantity, shape=shape, names=list(places.index_names(index, quantity)),
                    slots=slots, by_step=places.by_step(index, quantity),
                )
            )  # fmt: skip
        for name, shape in places.form.buffers[index].items():
            given = np.array(layer.buffer_rows()[name], dtype=float).ravel()
            found.append(
                Sheet(
                    node=index + 1, title=name, shape=shape, names=[], parameter=True, wire=name, given=given,
                    slots=[slot for slot in [Slot(f"{name}_buffer", index)] if slot in values],
                )
            )  # fmt: skip
        if layer.shares:
            continue
        wires = {trace: wire for wire, trace in places.form.names[index].items()}
        for name, shape in places.form.parameters[index].items():
            slots = [Slot(f"{name}_gradient", index), Slot(f"updated_{name}", index)]
            given = np.array(layer.arrays()[wires[name]], dtype=float).ravel()
            found.append(
                Sheet(
                    node=index + 1, title=name, shape=shape, names=[], parameter=True, wire=wires[name], given=given,
                    slots=[slot for slot in slots if slot in values],
                )
            )  # fmt: skip
    return found


def wired_body(
    case: Case,
    name: str,
    values: Mapping[Slot, Array],
    allowed: Mapping[Slot, Array],
    actual: Mapping[Slot, Array],
    wrong: Mapping[Slot, Any],
    origin: Mapping[Slot, Any],
    findings: Sequence[Finding],
    room: int = ROOM,
) -> dict[str, Any]:
    """All that the page shows of the case, in plain JSON; arrays are by slot, as ``detail`` worked them out."""
    places = Places(case)
    sheets = sheets_of(case, values, places)
    for sheet in sheets:
        _states(sheet, actual, wrong, origin, findings, values)
    bad = _bad_samples(len(case.inputs), wrong)
    samples = _choose(sheets, len(case.inputs), bad, room)
    order = [
        (number, unit)
        for letter in "rui"
        for number, sheet in reversed(list(enumerate(sheets)))
        for unit in sheet.shown
        if sheet.state[unit] == letter
    ]
    slots = {}
    for sheet in sheets:
        for slot in sheet.slots:
            pick = _picked(sheet, samples)
            flat = {key: np.asarray(each).reshape(_flat(sheet, each))[pick].ravel() for key, each in (
                ("e", values[slot]), ("m", np.broadcast_to(allowed[slot], values[slot].shape)),
                ("x", wrong[slot]), ("o", origin[slot]))}  # fmt: skip
            got = actual[slot].reshape(_flat(sheet, actual[slot]))[pick].ravel() if slot in actual else None
            slots[_key(slot)] = packed(flat["e"], flat["m"], flat["x"], flat["o"], got)
    loss = Slot("loss")
    one = {key: np.asarray(each[loss]).reshape(1) for key, each in (("e", values), ("m", allowed))}
    got = np.asarray(actual[loss]).reshape(1) if loss in actual else None
    slots["loss"] = packed(one["e"], one["m"], wrong[loss].reshape(1), origin[loss].reshape(1), got)
    body: dict[str, Any] = {
        "wired": 1,
        "names": [one_line(each, 60) for each in case.network.names()],
        "slug": case.name,
        "samples": len(case.inputs),
        "shownSamples": samples,
        "badSamples": [int(s in bad) for s in samples],
        "loss": msgspec.to_builtins(case.loss),
        "reduction": case.reduction,
        "steps": case.steps,
        "nodes": _nodes(case),
        "sheets": [_as_json(sheet, samples) for sheet in sheets],
        "slots": slots,
        "wrong": sum(state in "rui" for sheet in sheets for state in sheet.state),
        "told": _told(case, sheets, order, (bad or [0])[0], room),
    }
    if all(len(sheet.shown) == sheet.units for sheet in sheets) and len(samples) == len(case.inputs):
        request = {**msgspec.json.decode(case.request()), "id": name}
        text = msgspec.json.encode({"type": "case", "id": name, **_without(request)}).decode()
        if len(text) <= _REQUEST:
            body["request"] = text
            body["added"] = _added(request, case.to_dict())
    return body


def _added(request: Any, own: Any, path: tuple[str | int, ...] = ()) -> list[list[str | int]]:
    """What the request writes out and the case leaves to its defaults, as paths."""
    if isinstance(request, dict) and isinstance(own, dict):
        new = [[*path, key] for key in request if key not in own and key not in ("type", "id")]
        return new + [each for key in request if key in own for each in _added(request[key], own[key], (*path, key))]
    if isinstance(request, list) and path[-1:] == ("layers",):
        return [each for n, one in enumerate(request) for each in _added(one, own[n], (*path, n))]
    return []


def _without(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in ("type", "id")}


def _key(slot: Slot) -> str:
    return slot.quantity + ("" if slot.layer is None else f".{slot.layer}")


def _flat(sheet: Sheet, array: Any) -> tuple[int, ...]:
    return (sheet.units,) if sheet.parameter else (array.shape[0], sheet.units)


def _picked(sheet: Sheet, samples: list[int]) -> Any:
    return np.array(sheet.shown, dtype=int) if sheet.parameter else np.ix_(samples, sheet.shown)


def _nodes(case: Case) -> list[dict[str, Any]]:
    """The input and the layers: what each is in a few words, and which it reads."""
    network = case.network
    nodes: list[dict[str, Any]] = [{"name": "input", "kind": "", "about": "", "from": []}]
    for index, (layer, sources) in enumerate(zip(network.layers, network.sources, strict=True)):
        words = [layer.kind] + [layer.activation.replace("_", " ")] * (layer.activation != "identity")
        words += [f"{layer.combine} of {len(sources)}"] if len(sources) > 1 and layer.combine else []
        words += [f"shares {one_line(layer.shares, 40)}"] if layer.shares else []
        name = one_line(network.names()[index], 60)
        nodes.append(
            {"name": name, "kind": layer.kind, "about": " · ".join(words), "from": [source + 1 for source in sources]}
        )
    return nodes


def _as_json(sheet: Sheet, samples: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "node": sheet.node, "title": sheet.title, "shape": list(sheet.shape), "names": sheet.names,
        "keys": [_key(slot) for slot in sheet.slots], "status": "".join(sheet.state[unit] for unit in sheet.shown),
        "bad": sum(state in "rui" for state in sheet.state),
    }  # fmt: skip
    if len(sheet.shown) < sheet.units:
        found["shown"] = sheet.shown
    if sheet.parameter:
        found["wire"] = sheet.wire
        found["given"] = sheet.given[sheet.shown].tolist()
    elif sheet.given is not None:
        found["given"] = sheet.given[np.ix_(samples, sheet.shown)].ravel().tolist()
    return found | ({"step": 1} if sheet.by_step else {})


def _states(
    sheet: Sheet,
    actual: Mapping[Slot, Array],
    wrong: Mapping[Slot, Any],
    origin: Mapping[Slot, Any],
    findings: Sequence[Finding],
    values: Mapping[Slot, Array],
) -> None:
    """The worst that is known of each number."""
    state = np.zeros(sheet.units, dtype=int)
    for slot in sheet.slots:
        if slot not in actual:
            continue
        shape = _flat(sheet, values[slot])
        mask, letters = wrong[slot].reshape(shape), origin[slot].reshape(shape)
        rank = np.ones(shape, dtype=int)
        for letter in "iur":
            hit = mask & ((letters == letter) | (letters == letter.upper()))
            rank[hit] = _RANK.index(letter)
        state = np.maximum(state, rank if sheet.parameter else rank.max(axis=0))
    for one in findings:  # a place that holds no number is wrong too
        slot = Slot(one.quantity, one.layer, one.step)
        if slot not in sheet.slots or one.neuron is None:
            continue
        unit = one.neuron
        if sheet.parameter:
            unit = one.neuron * math.prod(sheet.shape[1:]) + ((one.index or [0])[0])
        if 0 <= unit < sheet.units:
            state[unit] = max(state[unit], _RANK.index(_ORIGINS.get(one.origin, "u")))
    sheet.state = [_RANK[rank] for rank in state]


def _bad_samples(count: int, wrong: Mapping[Slot, Any]) -> list[int]:
    bad = np.zeros(count, dtype=bool)
    for slot, mask in wrong.items():
        if slot.quantity in UNITS or slot.quantity == "input_gradient":
            bad |= mask.any(axis=1)
    return [int(s) for s in np.flatnonzero(bad)]


def _choose(sheets: list[Sheet], count: int, bad: list[int], room: int) -> list[int]:
    """Choose the numbers of each sheet and the samples that stand in the page, the wrong ones first."""

    def room_of(sheet: Sheet, cap: int) -> int:
        return min(cap, _PARAMETERS) if sheet.parameter else cap

    def numbers(cap: int, samples: int) -> int:
        return sum(
            min(sheet.units, room_of(sheet, cap)) * 3 * len(sheet.slots) * (1 if sheet.parameter else samples)
            for sheet in sheets
        )

    cap, samples = max(sheet.units for sheet in sheets), count
    whole = sum(sheet.units * 3 * len(sheet.slots) * (1 if sheet.parameter else samples) for sheet in sheets) <= room
    if not whole:
        for cap, most in _CAPS:
            samples = min(count, most)
            if numbers(cap, samples) <= room * 3 // 2:
                break
    for sheet in sheets:
        sheet.shown = _some(sheet, sheet.units if whole else room_of(sheet, cap))
    first = [*bad, *(s for s in range(count) if s not in bad)]
    return sorted(first[:samples])


def _some(sheet: Sheet, cap: int) -> list[int]:
    """All of a sheet, or the wrong ones and what stands in the same grid as the first of them."""
    if sheet.units <= cap:
        return list(range(sheet.units))
    grid = math.prod(sheet.shape[-2:]) if len(sheet.shape) > 2 else sheet.units  # noqa: PLR2004 - images
    wrong = [unit for letter in "rui" for unit, state in enumerate(sheet.state) if state == letter]
    if grid <= cap < sheet.units and len(sheet.shape) > 2:  # noqa: PLR2004 - whole grids
        cap -= cap % grid
    kept = set(wrong[: cap - cap // 4])
    start = wrong[0] // grid * grid if wrong else 0
    order: Any = (*range(start, sheet.units), *range(start))
    if len(sheet.shape) == 2:  # noqa: PLR2004 - of a matrix a block, beginning where the first wrong one stands
        columns = sheet.shape[1]
        row, column = divmod(wrong[0], columns) if wrong else (0, 0)
        edge = math.isqrt(cap)
        row, column = max(0, min(row, sheet.shape[0] - edge)), max(0, min(column, columns - edge))
        block = [r * columns + c for r in range(row, min(row + edge, sheet.shape[0]))
                 for c in range(column, min(column + edge, columns))]  # fmt: skip
        order = (*block, *order)
    for unit in order:
        if len(kept) >= cap:
            break
        kept.add(unit)
    return sorted(kept)


# The mathematics of some numbers ------------------------------------------------------------------


def _told(
    case: Case, sheets: list[Sheet], order: list[tuple[int, int]], sample: int, room: int
) -> dict[str, dict[str, Any]]:
    """For the most telling numbers their steps, by ``sheet:unit``: of every sheet one, then the others in order."""
    try:
        p = recalled_passes(case)[0]
        reader = PassReader(case, p, Writer(Names(case, p), limit=_TERMS), sample=sample)
    except _UNTOLD:
        return {}  # the numbers stand in the page all the same
    first = {number: (number, unit) for number, unit in reversed(order)}
    ranked = list(dict.fromkeys([*order[:2], *reversed(list(first.values())), *order]))
    if not ranked:
        ranked = [(number, sheet.shown[0]) for number, sheet in enumerate(sheets) if sheet.shown]
    found = {}
    for number, unit in ranked[: _TOLD if room >= ROOM else _TOLD_LITTLE]:
        with contextlib.suppress(*_UNTOLD):
            found[f"{number}:{unit}"] = _told_of(case, sheets, reader, number, unit)
    return found


def _told_of(case: Case, sheets: list[Sheet], reader: PassReader, number: int, unit: int) -> dict[str, Any]:
    sheet = sheets[number]
    parameters: list[tuple[int, str, int]] = []
    if sheet.parameter:
        steps = told_of_parameter(reader, sheet.node - 1, sheet.title, unit)
    else:
        layer = None if sheet.node == 0 else sheet.node - 1
        steps, parameters = told_of_unit(reader, layer, sheet.title, unit, most=_BEHIND)
    return {
        "s": reader.sample,
        "steps": _steps_json(steps, batch=len(case.inputs) > 1),
        "uses": _uses(sheets, steps),
        "parts": _parts(sheets, parameters),
    }


def _steps_json(steps: Sequence[Step], *, batch: bool) -> list[dict[str, Any]]:
    """The steps of one number, as text; a sentence stands where it is said first."""
    said: set[str] = set()
    found = []
    for step in steps:
        lines = [*equation_lines(step, 6), *(f"  {line}" for line in term_lines(step, 6))]
        one: dict[str, Any] = {"stage": step.stage, "lines": [*lines, *chain_lines(step, 6, batch=batch)]}
        if step.place:
            one["place"] = step.place
        if step.sentence not in said:
            one["says"] = step.sentence
        notes = [note for note in step.notes if note not in said]
        if notes:
            one["notes"] = notes
        said |= {step.sentence, *notes}
        found.append(one)
    return found


def _uses(sheets: list[Sheet], steps: Sequence[Step]) -> list[list[int]]:
    """What the first step is made of, as (sheet, unit), to be marked in the picture."""
    if not steps:
        return []
    output = {sheet.node: number for number, sheet in reversed(list(enumerate(sheets))) if not sheet.parameter}
    found = [[output[layer + 1], unit] for layer, unit in steps[0].uses if layer + 1 in output]
    return [pair for pair in found if pair[1] < sheets[pair[0]].units]


def _parts(sheets: list[Sheet], parameters: Sequence[tuple[int, str, int]]) -> list[list[int]]:
    """The parameters that a unit is made of, as (sheet, number)."""
    by_name = {(sheet.node - 1, sheet.title): number for number, sheet in enumerate(sheets) if sheet.parameter}
    return [[by_name[layer, name], unit] for layer, name, unit in parameters[:40] if (layer, name) in by_name]

"""A case as sheets, that is, arrays of numbers with common indexes: what is drawn, and which numbers the page contains.

The input is a sheet, the units of a layer are one (two where z has other indexes than a), every parameter is one, and
so are the targets. Each number of a sheet has a state (right, root, inherited, wrong, not reported). A dense layer's
weight belongs to its neuron, whose state is the worst of both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.places import UNITS
from backprop_check.compare.trace import Slot
from backprop_check.kinds.dense import Dense

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.places import Places
    from backprop_check.compare.trace import Array
    from backprop_check.report.html.read import Finding

#: About how many numbers of a case are embedded; of larger cases only some units and samples.
ROOM = 30_000

#: The most units of a grid, neurons of a row, and samples; the first line that gives few enough numbers is used.
_CAPS = (
    (1200, 64, 64), (1200, 48, 48), (1200, 32, 32), (1200, 24, 32), (1200, 24, 16), (1200, 24, 4), (800, 24, 2),
    (800, 24, 1), (400, 16, 1), (200, 16, 1), (100, 12, 1), (48, 8, 1), (24, 4, 1),
)  # fmt: skip

#: The most elements of a parameter where not all are kept.
_PARAMETERS = 225

_RANK = "?.iur"

#: The letter of each origin of a wrong value; ``u`` is unknown.
ORIGINS = {"root": "r", "inherited": "i"}


class Sheet(msgspec.Struct, kw_only=True):
    """Numbers with common indexes; ``slots`` are those of a unit (one row per sample) or of a parameter.

    ``node`` is the number of the layer, from 1; 0 is the input, and the targets come last. ``given`` are its numbers in
    the case. For a parameter of a dense layer, ``of`` is the sheet of its neurons; for its weights, ``reads`` is the
    sheet of the neurons that they read, if that is a single row too: then the weights can be drawn as lines between
    circles.
    """

    node: int
    title: str
    shape: tuple[int, ...]
    names: list[str] = []
    slots: list[Slot] = []
    parameter: bool = False
    by_step: bool = False
    wire: str = ""
    given: Any = None
    of: int | None = None
    reads: int | None = None
    state: list[str] = []
    shown: list[int] = []

    @property
    def units(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether the page contains all of them."""
        return len(self.shown) == self.units

    def rows(self, array: Any) -> Any:
        """An array of one of its slots: one row per sample; for a parameter, one row."""
        array = np.asarray(array)
        return array.reshape(self.units) if self.parameter else array.reshape(array.shape[0], self.units)

    def picked(self, array: Any, samples: list[int]) -> Any:
        """The numbers of an array that the page contains, as a flat array."""
        rows = self.rows(array)
        return rows[self.shown] if self.parameter else rows[np.ix_(samples, self.shown)].ravel()


def sheets_of(case: Case, values: Mapping[Slot, Array], places: Places) -> list[Sheet]:
    """The input, then the units and parameters of each layer, then the targets."""
    network, last = case.network, len(case.network.layers)
    shape = network.input_shape
    found = [
        Sheet(
            node=0, title="x", shape=shape, names=list(places.index_names(None)), slots=[Slot("input_gradient")],
            by_step=places.by_step(None), given=case.inputs.values,
        )
    ]  # fmt: skip
    outputs = [0]  # the sheet of each node's output
    for index in range(last):
        outputs.append(len(found))
        found += _units(index, values, places)
        found += _parameters(case, index, values, places, outputs)
    shape = network.output_shapes[-1]
    if math.prod(shape) == len(case.targets[0]):
        names, by_step = list(places.index_names(last - 1)), places.by_step(last - 1)
        found.append(
            Sheet(node=last + 1, title="t", shape=shape, names=names, by_step=by_step, given=case.targets.values)
        )
    return found


def _units(index: int, values: Mapping[Slot, Array], places: Places) -> list[Sheet]:
    groups: dict[tuple[int, ...], list[Slot]] = {}
    for quantity in ("a", "z", "delta"):
        if Slot(quantity, index) in values:
            groups.setdefault(places.shape(index, quantity), []).append(Slot(quantity, index))
    return [
        Sheet(
            node=index + 1, title=slots[0].quantity, shape=shape,
            names=list(places.index_names(index, slots[0].quantity)), slots=slots,
            by_step=places.by_step(index, slots[0].quantity),
        )
        for shape, slots in groups.items()
    ]  # fmt: skip


def _parameters(
    case: Case, index: int, values: Mapping[Slot, Array], places: Places, outputs: list[int]
) -> list[Sheet]:
    layer, found = case.network.layers[index], []
    for name, shape in places.form.buffers[index].items():
        given = np.array(layer.buffer_rows()[name], dtype=float).ravel()
        slots = [slot for slot in [Slot(f"{name}_buffer", index)] if slot in values]
        found.append(
            Sheet(node=index + 1, title=name, shape=shape, parameter=True, wire=name, given=given, slots=slots)
        )
    if layer.shares:
        return found
    wires = {trace: wire for wire, trace in places.form.names[index].items()}
    sources = case.network.sources[index]
    row = len(sources) == 1 and len(places.shape(sources[0] if sources[0] >= 0 else None)) == 1
    for name, shape in places.form.parameters[index].items():
        both = [Slot(f"{name}_gradient", index), Slot(f"updated_{name}", index)]
        given = layer.arrays()[wires[name]].values.ravel()
        sheet = Sheet(
            node=index + 1, title=name, shape=shape, parameter=True, wire=wires[name], given=given,
            slots=[slot for slot in both if slot in values],
        )  # fmt: skip
        if isinstance(layer, Dense):
            sheet.of = outputs[index + 1]
            sheet.reads = outputs[sources[0] + 1] if row and len(shape) > 1 else None
        found.append(sheet)
    return found


# States -------------------------------------------------------------------------------------------


def set_states(
    sheets: list[Sheet],
    actual: Mapping[Slot, Array],
    wrong: Mapping[Slot, Any],
    origin: Mapping[Slot, Any],
    findings: Sequence[Finding],
) -> None:
    """Set the worst known state of each number; a neuron's state includes that of its parameters."""
    for sheet in sheets:
        rank = np.zeros(sheet.units, dtype=int)
        for slot in sheet.slots:
            if slot not in actual:
                continue
            mask, letters = sheet.rows(wrong[slot]), sheet.rows(origin[slot])
            here = np.ones(mask.shape, dtype=int)
            for letter in "iur":
                here[mask & ((letters == letter) | (letters == letter.upper()))] = _RANK.index(letter)
            rank = np.maximum(rank, here if sheet.parameter else here.max(axis=0))
        sheet.state = [_RANK[each] for each in rank]
    by_slot = {slot: sheet for sheet in sheets for slot in sheet.slots}
    for one in findings:  # a place without a number is wrong too
        found = by_slot.get(Slot(one.quantity, one.layer, one.step))
        unit = None if found is None else _unit_of(found, one)
        if found is not None and unit is not None:
            found.state[unit] = max(found.state[unit], ORIGINS.get(one.origin, "u"), key=_RANK.index)
    for sheet in sheets:
        if sheet.of is not None:
            neurons = sheets[sheet.of]
            worst = np.array([_RANK.index(state) for state in sheet.state]).reshape(neurons.units, -1).max(axis=1)
            neurons.state = [max(one, _RANK[n], key=_RANK.index) for one, n in zip(neurons.state, worst, strict=True)]


def _unit_of(sheet: Sheet, one: Finding) -> int | None:
    """The number of the unit that a finding concerns; None for a whole array, and for a place that does not exist."""
    index = (one.index or [0])[0]
    unit = index if one.layer is None else one.neuron
    if unit is None:
        return None
    if sheet.parameter:
        unit = unit * math.prod(sheet.shape[1:]) + index
    return unit if 0 <= unit < sheet.units else None


def wrong_samples(count: int, wrong: Mapping[Slot, Any]) -> list[int]:
    """The samples in which some unit is wrong."""
    bad = np.zeros(count, dtype=bool)
    for slot, mask in wrong.items():
        if slot.quantity in UNITS or slot.quantity == "input_gradient":
            bad |= mask.any(axis=1)
    return [int(s) for s in np.flatnonzero(bad)]


def in_order(sheets: list[Sheet]) -> list[tuple[int, int]]:
    """The wrong numbers in the page as (sheet, unit): roots first, then unknown, then inherited; a weight by its
    neuron.
    """
    return [
        (number, unit)
        for letter in "rui"
        for number, sheet in reversed(list(enumerate(sheets)))
        if sheet.of is None
        for unit in sheet.shown
        if sheet.state[unit] == letter
    ]


# What the page contains ---------------------------------------------------------------------------


def choose(sheets: list[Sheet], count: int, bad: list[int], room: int = ROOM) -> list[int]:
    """Choose the numbers of each sheet that the page contains, wrong ones first; returns the samples."""
    samples = count
    _show(sheets, None)
    if _numbers(sheets, samples) > room:
        for grid, row, most in _CAPS:
            samples = min(count, most)
            _show(sheets, (grid, row))
            if _numbers(sheets, samples) <= room * 6 // 5:
                break
    first = [*bad, *(s for s in range(count) if s not in bad)]
    return sorted(first[:samples])


def _numbers(sheets: list[Sheet], samples: int) -> int:
    """About how many numbers these are: expected, got and a bound for each slot."""
    return sum(len(sheet.shown) * (1 if sheet.parameter else samples) * (1 + 3 * len(sheet.slots)) for sheet in sheets)


def _show(sheets: list[Sheet], caps: tuple[int, int] | None) -> None:
    """Limit the units of each sheet; weights are shown between the neurons that are shown."""
    for sheet in sheets:
        if caps is None:
            sheet.shown = list(range(sheet.units))
        elif sheet.of is None:
            grid, row = caps
            cap = min(grid, _PARAMETERS) if sheet.parameter else row if len(sheet.shape) == 1 else grid
            sheet.shown = _some(sheet, cap)
    for sheet in sheets if caps is not None else ():
        if sheet.of is not None:
            columns = math.prod(sheet.shape[1:])
            rows = sheets[sheet.of].shown
            if sheet.reads is not None:
                sheet.shown = [j * columns + i for j in rows for i in sheets[sheet.reads].shown]
            else:
                sheet.shown = list(rows) if columns == 1 and len(sheet.shape) == 1 else _some(sheet, _PARAMETERS)


def _some(sheet: Sheet, cap: int) -> list[int]:
    """All units of a sheet; or the wrong ones, and those in the same grid as the first of them."""
    if sheet.units <= cap:
        return list(range(sheet.units))
    grid = math.prod(sheet.shape[-2:]) if len(sheet.shape) > 2 else sheet.units  # noqa: PLR2004 - images
    wrong = [unit for letter in "rui" for unit, state in enumerate(sheet.state) if state == letter]
    if grid <= cap < sheet.units and len(sheet.shape) > 2:  # noqa: PLR2004 - whole grids
        cap -= cap % grid
    kept = set(wrong[: cap - cap // 4])
    start = wrong[0] // grid * grid if wrong and len(sheet.shape) > 1 else 0
    order: Any = (*range(start, sheet.units), *range(start))
    if len(sheet.shape) == 2:  # noqa: PLR2004 - a block of the matrix that begins at the first wrong element
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

"""Which steps of a pass are shown: those of the neuron or weight asked for, or all that are not too many to read."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING

from backprop_check.compare.places import INPUT, find_unit, ravel
from backprop_check.errors import ConfigurationError
from backprop_check.explain.tables import NamedTable, named_below
from backprop_check.reference.rules import Function

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.case.network import Case
    from backprop_check.explain.steps import Step
    from backprop_check.explain.story import PassReader

#: Of more training steps than this, only the first and the last are shown in full.
_ROUNDS = 3

#: Of more units or weights than this, only the first three and the last are shown.
_SHOWN = 12

#: Of more tables of one layer than this (such as one per time step), only the first and the last few are shown.
_TABLES = 16

#: The most units of a network that can be shown in full.
MOST_UNITS = 2000

#: The most numbers of its layer that are shown as the parts of one unit.
_BEHIND = 24

#: Some units of each of several tables.
Chosen = list[tuple[NamedTable, list[int]]]


def behind(reader: PassReader, output: NamedTable, unit: int, most: int) -> tuple[Chosen, bool]:
    """A unit and what it was computed from within its layer, the nearest first; and whether there is more than
    ``most``.

    The z of another unit, which a softmax over the layer reads, is left out: it belongs to that unit.
    """
    names = reader.names
    chosen: dict[tuple[int, int], None] = {}
    waiting = [(output, unit)]
    while waiting and len(chosen) < most:
        one, i = waiting.pop(0)
        key = names.tables.index(one), i
        if key in chosen:
            continue
        chosen[key] = None
        for cell in named_below(names, one.table.values[reader.sample, i]):
            place = names.where(cell)
            if place is None or place[0].layer != output.layer or place[0].parameter or place[2]:
                continue
            if place[0].values != "z" or place[0].shape != output.shape or place[1] == unit:
                waiting.append(place[:2])
    tables = sorted({number for number, _ in chosen})
    found = [(names.tables[n], sorted(i for number, i in chosen if number == n)) for n in tables]
    return found, bool(waiting)


def used_by(reader: PassReader, units: Chosen) -> dict[int, dict[int, None]]:
    """The parameters that units are computed from: the numbers of their elements, by the identity of their table."""
    used: dict[int, dict[int, None]] = {}
    for one, some in units:
        for i in some:
            for cell in named_below(reader.names, one.table.values[reader.sample, i]):
                place = reader.names.where(cell)
                if place is not None and place[0].parameter:
                    used.setdefault(id(place[0]), {})[place[1]] = None
    return used


def backward(reader: PassReader, units: Chosen) -> Iterator[Step]:
    """The steps of the errors of units, the last table first; across a function unit by unit: its error, then its δ."""
    left = list(units)
    while left:
        one, some = left.pop()
        pairs = [(one, i) for i in some]
        if left and isinstance(one.table.made_by, Function) and one.table.made_by.x is left[-1][0].table:
            z, others = left.pop()
            pairs = sorted([*pairs, *((z, i) for i in others)], key=lambda pair: pair[1])
        for table, i in pairs:
            yield from reader.errors(table, i)


def steps_of_unit(
    reader: PassReader, layer: int | None, quantity: str, unit: int, *, most: int
) -> tuple[list[Step], list[tuple[int, str, int]]]:
    """The steps of one unit, forward and backward, with at most ``most`` numbers of its layer that it is computed from.

    Also returns the parameters that it is computed from, as (layer, name, number). For the input (layer None) only the
    gradient.
    """
    if layer is None:
        return [reader.input_gradient(unit)], []
    names, output = reader.names, None
    for one in names.tables:
        if one.layer != layer or not one.start <= unit < one.start + one.table.units:
            continue
        if one.values == quantity or (quantity == "a" and one.table is reader.p.layers[layer].output.a):
            output = one
    if output is None:
        return [], []
    units, _ = behind(reader, output, unit - output.start, most)
    steps = [step for one, some in units for i in some for step in reader.value(one, i)]
    if layer == reader.last and output.table is reader.p.layers[layer].output.a:
        steps += reader.loss_term(unit)
    own = [(one, some) for one, some in units if one is output or (quantity == "a" and one.values == "z")]
    steps += backward(reader, own)
    used = used_by(reader, units)
    parameters = [
        (own_layer, one.name, i)
        for own_layer, each in enumerate(names.parameters)
        for one in each
        for i in sorted(used.get(id(one), ()))
    ]
    return steps, parameters


def steps_of_parameter(reader: PassReader, layer: int, name: str, number: int) -> list[Step]:
    """The steps of a parameter's gradient and update, or of the new value of a buffer."""
    for one in reader.names.parameters[layer]:
        if one.name == name:
            return [reader.gradient(one, number), *reader.update(one, number)]
    moved = reader.p.layers[layer].output.buffers.get(name)
    return [step for one in reader.names.tables if one.table is moved for step in reader.value(one, number)]


class Selection:
    """Which steps are shown: those of the unit or weight asked for, or all that are not too many to read.

    Raises ``ConfigurationError`` for a unit or weight that does not exist, or is written wrongly.
    """

    def __init__(self, case: Case, unit: str | None, weight: str | None, *, everything: bool) -> None:
        self.case, self._skipped, self._cut = case, list[str](), list[str]()
        count = sum(case.network.widths) + case.network.input_units
        self.few = count <= MOST_UNITS
        self.everything = everything and self.few
        if everything and not self.few and unit is None:
            self._skip(f"most of {count} units: more than {MOST_UNITS} are too many to show at once")
        try:
            self.unit = None if unit is None else find_unit(case, unit)
        except ValueError as error:
            raise ConfigurationError("bad-neuron", f"--neuron {unit}: {error}") from None
        self.weight = None if weight is None else self._weight(weight)
        if self.weight is not None and self.unit is not None and self.unit[0] == INPUT:
            cause = f"--weight {weight}: an input has no weights of its own"
            raise ConfigurationError("input-has-no-weights", cause, "ask for the layer that reads it", "; ")

    def _weight(self, text: str) -> tuple[str, list[int]]:
        """Read ``2,0,1,1`` or ``bias:2`` as (name of the parameter or nothing, indexes). Raises
        ``ConfigurationError``.
        """
        name, _, indexes = text.rpartition(":")
        parts = [part.strip() for part in indexes.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts):
            cause = (
                f"--weight {text}: expected the indexes of a weight, such as 0,0,1,1 (or the number of a dense layer's "
                "input), or a parameter's name and its indexes, such as bias:0"
            )
            raise ConfigurationError("bad-weight", cause)
        return name, [int(part) for part in parts]

    def round(self, reader: PassReader) -> Iterator[Step]:
        """The steps of one training step."""
        if not self.everything and self.case.steps > _ROUNDS and 0 < reader.round < self.case.steps - 1:
            self._skip("the updates between the first and the last, except for their losses")
            yield from reader.loss()
            return
        units = self._units(reader)
        parameters = list(_by_neuron(self._parameters(reader, units)))
        for one, some in units:
            for i in some:
                yield from reader.value(one, i)
        last = len(self.case.network.layers) - 1
        if self.unit is None or self.unit[0] == last:
            chosen = None if self.unit is None else [self.unit[1]]
            for k in chosen or self._some(self.case.network.widths[-1], self._units_of(reader, last)):
                yield from reader.loss_term(k)
        yield from reader.loss()
        yield from backward(reader, units)
        yield from (reader.gradient(one, i) for one, i in parameters)
        if self.unit is None and self.weight is None:
            yield from (reader.input_gradient(i) for i in self._some(self.case.network.input_units, "inputs"))
        elif self.unit is not None and self.unit[0] == INPUT:
            yield reader.input_gradient(self.unit[1])
        for one, i in parameters:
            yield from reader.update(one, i)

    def left_out(self) -> str:
        """What was left out, in a sentence; empty where nothing was."""
        skipped = list(self._skipped)
        if self._cut:
            skipped.append(f"all but the first three and the last of {', '.join(self._cut)}")
        if not skipped:
            return ""
        whole = ", --full and --format json show all" if self.few else ""
        return f"Left out for brevity: {'; '.join(skipped)}. --neuron and --weight show any of them{whole}."

    # Choosing -----------------------------------------------------------------------------------

    def _units(self, reader: PassReader) -> Chosen:
        """The units shown of every table, in the order of computation."""
        if self.unit is not None and self.unit[0] == INPUT:
            return []
        if self.unit is not None:
            return self._behind(reader, *self.unit)
        found: Chosen = []
        for layer in range(len(self.case.network.layers)):
            own = [one for one in reader.names.tables if one.layer == layer]
            if len(own) > _TABLES and not self.everything:
                name = reader.layer_names[layer]
                self._skip(f"of the {len(own)} stages of {name} those between the first and the last")
                own = [*own[: _TABLES // 2], *own[-_TABLES // 4 :]]
            found += [(one, self._some(one.table.units, self._units_of(reader, layer))) for one in own]
        return found

    def _behind(self, reader: PassReader, layer: int, unit: int) -> Chosen:
        """A unit, and what it was computed from within its layer."""
        output = next(one for one in reader.names.tables if one.table is reader.p.layers[layer].output.a)
        found, more = behind(reader, output, unit, _BEHIND)
        if more:
            self._skip(f"what the unit is computed from, beyond the nearest {_BEHIND} numbers of its layer")
        return found

    def _parameters(self, reader: PassReader, units: Chosen) -> Chosen:
        """The parameters shown: the one asked for, those that the unit uses, or some of each."""
        every = [one for own in reader.names.parameters for one in own]
        if self.weight is not None:
            return self._asked_for(reader, every)
        if self.unit is None:
            return [(one, self._some_of(reader, one)) for one in every]
        used = used_by(reader, units)
        found: Chosen = []
        for one in every:
            own = sorted(used.get(id(one), ()))
            chosen = self._some(len(own), self._numbers_of(reader, one))
            found.append((one, [own[n] for n in chosen]))
        return found

    def _some_of(self, reader: PassReader, one: NamedTable) -> list[int]:
        """Some elements of a parameter; in a dense layer the weights of the neurons shown."""
        if not one.dense or one.shape is None:
            return self._some(one.table.units, self._numbers_of(reader, one))
        neurons, *inputs = one.shape
        rows = self._some(neurons, self._units_of(reader, one.layer or 0))
        columns = [
            self._some(count, f"weights of each neuron of {reader.layer_names[one.layer or 0]}") for count in inputs
        ]
        return [ravel(at, one.shape) for at in itertools.product(rows, *columns)]

    def _asked_for(self, reader: PassReader, every: list[NamedTable]) -> Chosen:
        assert self.weight is not None
        name, indexes = self.weight
        layers = range(len(self.case.network.layers)) if self.unit is None else [self.unit[0]]
        layers = [self.case.network.owner(layer) for layer in layers]
        found: Chosen = []
        shapes = []
        for one in every:
            wanted = name or "weight"
            if one.layer not in layers or wanted not in (one.name, f"{one.name}s", f"{one.name}es"):
                continue
            shape = one.shape or (one.table.units,)
            shapes.append(f"{one.name} of {reader.layer_names[one.layer or 0]}: {' x '.join(map(str, shape))}")
            chosen = self._at(reader, one, shape, indexes)
            if chosen:
                found.append((one, chosen))
        if not found:
            there = "; ".join(shapes) or ", ".join(sorted({one.name for one in every})) or "no parameters at all"
            asked = f"{name}:{','.join(map(str, indexes))}" if name else ",".join(map(str, indexes))
            cause = f"there is no weight {asked} here"
            raise ConfigurationError("no-such-weight", cause, f"the shapes are {there}", "; ")
        return found

    def _at(self, reader: PassReader, one: NamedTable, shape: tuple[int, ...], indexes: list[int]) -> list[int]:
        """The number of the element at these indexes; for a single index, the weight from that input to each
        neuron shown.
        """
        places = [indexes]
        if len(indexes) == 1 and len(shape) == 2 and self.unit is not None:  # noqa: PLR2004 - a matrix
            places = [[self.unit[1], *indexes]]
        elif len(indexes) == 1 and len(shape) == 2 and one.dense:  # noqa: PLR2004
            neurons = self._some(shape[0], self._units_of(reader, one.layer or 0))
            places = [[neuron, *indexes] for neuron in neurons]
        fitting = [at for at in places if len(at) == len(shape) and all(map(operator.lt, at, shape))]
        return [ravel(at, shape) for at in fitting]

    def _units_of(self, reader: PassReader, layer: int) -> str:
        """``neurons of hidden1``, ``units of conv1``."""
        names = reader.names.places.index_names(layer)
        return f"{names[0] if len(names) == 1 else 'unit'}s of {reader.layer_names[layer]}"

    @staticmethod
    def _numbers_of(reader: PassReader, one: NamedTable) -> str:
        return f"numbers of {one.name} of {reader.layer_names[one.layer or 0]}"

    def _some(self, count: int, what: str) -> list[int]:
        if count <= _SHOWN or self.everything:
            return list(range(count))
        if f"{count} {what}" not in self._cut:
            self._cut.append(f"{count} {what}")
        return [0, 1, 2, count - 1]

    def _skip(self, what: str) -> None:
        if what not in self._skipped:
            self._skipped.append(what)


def _by_neuron(parameters: Iterable[tuple[NamedTable, list[int]]]) -> Iterator[tuple[NamedTable, int]]:
    """The elements of parameters one by one; in a dense layer neuron by neuron, its weights and then its bias."""
    pairs = [(one, i) for one, some in parameters for i in some]
    for _, own in itertools.groupby(pairs, lambda pair: pair[0].layer):
        yield from sorted(own, key=lambda pair: pair[0].indexes(pair[1])[0] if pair[0].dense else 0)

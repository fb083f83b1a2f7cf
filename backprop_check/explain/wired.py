"""The steps of a pass through layers of any kind, unit by unit, read off its recalled cells.

Forward it is told how each table's unit was made; backward, what flows back to it, term by term through all that read
it; for a parameter, the sum over all the places (and samples) where it is used. All of it is generic: which tables
there are, who reads whom and where a weight is shared comes from the circuit, names and places from the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.errors import ConfigurationError
from backprop_check.explain.steps import Step, Term
from backprop_check.explain.story import PassReader, ways
from backprop_check.explain.tables import About, WiredNames, indexed, named_below
from backprop_check.explain.wording import COLLAPSE, NO_WEIGHTS, REMEMBERED, SIGMOID, SOFTMAX, UPDATES
from backprop_check.names import ACTIVATIONS
from backprop_check.numbers.recording import TIMES, Recorded
from backprop_check.places import INPUT, find_unit, ravel
from backprop_check.reference.circuit import Function, Largest, Softmax, WeightedSum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.explain.writing import Writer
    from backprop_check.network import Case
    from backprop_check.reference.wired import WiredPass

#: Of more units or weights than this, only the first three and the last are told.
_SHOWN = 12

#: Of more tables of one layer than this (a table a time step, say), only the first and the last few.
_TABLES = 16

#: With all there is to tell, no more units than this are told.
MOST_UNITS = 2000

#: Of what one unit is made of within its layer, so many numbers are told.
_BEHIND = 24

#: Of what a number is made of, so many units are named.
_USED = 64


class WiredReader(PassReader):
    """The steps of one pass of ``case``: ``round_`` is the number of the training step, ``sample`` which is told."""

    names: Any
    p: Any

    def __init__(self, case: Case, p: WiredPass, writer: Writer, *, round_: int = 0, sample: int = 0) -> None:
        self.wired: WiredNames = writer.names  # type: ignore[assignment]
        super().__init__(case, p, writer, round_=round_, sample=sample)  # type: ignore[arg-type]

    # Forward ------------------------------------------------------------------------------------

    def value(self, one: About, i: int) -> Step:
        """How a unit was made."""
        rule = one.table.made_by
        x = one.table.values[self.sample, i]
        symbol = self.wired.name_of(one, i)
        if one.also:
            symbol = f"{indexed(self.wired.symbol(one).replace(one.also, one.letter, 1), one.indexes(i))} = {symbol}"
        stage, what, notes = "weighted sum of any", "", []
        if isinstance(rule, WeightedSum):
            if not rule.biases and not any(source.weights for source in rule.sources):
                stage = "sum"
            notes = self._on_sum(rule, i)
        elif isinstance(rule, Function):
            stage, what = "activation" if rule.name in ACTIVATIONS else "function", rule.name.replace("_", " ")
            notes = [SIGMOID] if rule.name == "sigmoid" else []
        elif isinstance(rule, Softmax):
            stage, what, notes = "softmax", "log softmax" if rule.logarithm else "softmax", [SOFTMAX]
        elif isinstance(rule, Largest):
            stage, notes = "largest", self._winner(rule, i)
        return self._of_unit(stage, x, one, i, symbol=symbol, what=what, notes=notes, quantity=one.values)

    def _on_sum(self, rule: WeightedSum, i: int) -> list[str]:
        """Where weights are shared, and where a window reaches beyond the edge."""
        notes = []
        for source in rule.sources:
            reads, uses = source.wiring.reads, source.wiring.uses[i]
            if source.weights is None or not uses:
                continue
            name = self.names.of(source.weights.values[0, uses[0]])
            count = len(source.wiring.by_weight[0].rows[uses[0]])
            if source.weights.parameter and name is not None and count > 1:
                notes.append(f"Its weights are shared: {name} is used at {count} places of this layer.")
            longest = max(len(row) for row in reads.rows)
            if len(uses) < longest and source.weights.parameter:
                notes.append(
                    f"It reads {len(uses)} numbers where others read {longest}: what lies beyond the edge is 0."
                )
        return list(dict.fromkeys(notes))

    def _winner(self, rule: Largest, i: int) -> list[str]:
        positions = rule.wiring.reads[i]
        values = [rule.x.values[self.sample, position] for position in positions]
        best = max(range(len(values)), key=lambda n: values[n].value)
        name = self.write.name(values[best])
        return [f"The largest is {name}; the gradient will go back to it alone."] if len(values) > 1 else []

    # Backward -----------------------------------------------------------------------------------

    def errors(self, one: About, i: int) -> Iterator[Step]:
        """∂L/∂x of a unit: from the loss, through one function (the chain rule), or as a sum over all readers."""
        if one.table.error is None:
            return
        x = one.table.error[self.sample, i]
        symbol = self.wired.name_of(one, i, error=True)
        if one.table is self.p.layers[-1].output.a:
            yield self._of_unit("output error", x, one, i, symbol=symbol, quantity=one.errors)
            return
        readers = [rule for rule, _ in one.table.readers]
        if len(readers) == 1 and isinstance(readers[0], Function):
            slope = self._slope_in(x)
            if slope is not None:
                out = self._about(readers[0].out)
                above = "a" if out is None else self.wired.name_of(out, i)
                below = self.wired.name_of(one, i)
                name = f"∂{above}/∂{below}"
                what = readers[0].name.replace("_", " ")
                yield self._of_unit("slope", slope, one, i, symbol=name, what=what, quantity="")
                self.names.name_one(slope, name)
            yield self._delta("delta", x, one, i, symbol)
        elif len(readers) == 1 and isinstance(readers[0], Softmax):
            yield self._delta("layer delta", x, one, i, symbol)
        else:
            terms = [self._through(term) for term in self.write.terms(x)]
            yield self._of_unit(
                "error of any", x, one, i, symbol=symbol, quantity=one.errors,
                terms=terms if len(terms) > 1 else [], equation="BP2",
            )  # fmt: skip

    def _delta(self, stage: str, x: Recorded, one: About, i: int, symbol: str) -> Step:
        last = one.layer == self.last
        notes = self._long_way(x, COLLAPSE)
        return self._of_unit(
            stage, x, one, i, symbol=symbol, quantity=one.errors, notes=notes,
            equation="BP1" if last else "BP2",
        )  # fmt: skip

    def _about(self, table: Any) -> About | None:
        return next((one for one in self.wired.tables if one.table is table), None)

    def _slope_in(self, x: Recorded) -> Recorded | None:
        """The factor beside an error in what made ``x``."""
        for way in ways(x):
            if way.operation == TIMES:
                for left, right in (way.operands, way.operands[::-1]):
                    found = self.wired.where(left)
                    if found is not None and found[2] and right.place is None:
                        return right
        return None

    def _errors_in(self, term: Recorded) -> list[tuple[About, int, Recorded]]:
        """The errors that a term of a sum brings back."""
        cells = [term] if self.wired.where(term) is not None else named_below(self.wired, term)
        found = []
        for cell in cells:
            place = self.wired.where(cell)
            if place is not None and place[2]:
                found.append((place[0], place[1], cell))
        return found

    def _through(self, term: Recorded) -> Term:
        errors = self._errors_in(term)
        places = dict.fromkeys(self.wired.words(one, i) for one, i, _ in errors)
        what = f"through {next(iter(places))}" if places else "one more term"
        if len(places) > 1:
            what += f" and {len(places) - 1} more"
        return Term(what=what, symbolic=self.write.name(term), numbers=self._put_in(term), value=term.value)

    # Gradients ----------------------------------------------------------------------------------

    def gradient(self, one: About, i: int) -> Step:
        """∂L/∂w, added up over all places where the weight is used, and over the samples."""
        x = one.table.error[0, i]
        self.names.samples = len(self.case.inputs) > 1
        terms, places, samples = [], set(), set()
        for term in self.write.terms(x):
            errors = self._errors_in(term)
            what = "one more term"
            if errors:
                about, unit, cell = errors[0]
                sample = (cell.place or (None, 0))[1]
                places.add((id(about), unit))
                samples.add(sample)
                what = f"at {self.wired.words(about, unit, layer=about.layer != one.layer)}"
                what += f", sample {sample}" if len(self.case.inputs) > 1 else ""
            terms.append(Term(what=what, symbolic=self.write.name(term), numbers=self._put_in(term), value=term.value))
        self.names.samples = False
        notes = []
        if len(places) > 1:
            batch = f" in each of {len(samples)} samples" if len(samples) > 1 else ""
            used = f"This {one.name} is shared: it is used at {len(places)} places{batch}"
            notes = [f"{used}, and its gradient is the sum over all of them."]
        stage, number = {"weight": ("weight gradient of any", "BP4"), "bias": ("bias gradient of any", "BP3")}.get(
            one.name, ("gradient", "BP4")
        )
        return self._of_parameter(
            stage, x, one, i, f"{one.name}_gradient", symbol=self.wired.name_of(one, i, error=True),
            terms=terms if len(terms) > 1 else [], notes=notes, equation=number, what=one.name,
        )  # fmt: skip

    def update(self, one: About, i: int) -> Iterator[Step]:
        """w⁺."""
        if self.p.updated is None or self.p.learning_rate is None:
            return
        wire = next(wire for wire, table in self.p.layers[one.layer].parameters.items() if table is one.table)
        x = self.p.updated[one.layer][wire][0, i]
        symbol, quantity = f"{self.wired.name_of(one, i)}⁺", f"updated_{one.name}"
        if self.p.training is None:
            self.names.with_rate(self.p.learning_rate)
            yield self._of_parameter("update", x, one, i, quantity, symbol=symbol)
            self.names.with_rate(None)
            return
        assert self.case.optimizer is not None
        made = x.operands  # now what the optimizer remembers of it is recorded as well
        assert made
        assert one.layer is not None
        notes = self._name_training(one.layer)
        for (layer, name, what), table in self.p.training.after.tables.items():
            if (layer, name) == (one.layer, one.name):
                letter, *words = REMEMBERED[what]
                yield self._of_parameter("memory", table[0, i], one, i, "", symbol=f"{letter}⁺", words=tuple(words))
        said = UPDATES[self.case.optimizer.kind]
        yield self._of_parameter("update", x, one, i, quantity, symbol=symbol, words=said, notes=notes)

    def input_gradient(self, i: int) -> Step:
        """∂L/∂x of an input."""
        one = self.wired.input
        x = one.table.error[self.sample, i]
        terms = [self._through(term) for term in self.write.terms(x)]
        return self._of_unit(
            "input gradient of any", x, one, i, symbol=self.wired.name_of(one, i, error=True),
            quantity="input_gradient", terms=terms if len(terms) > 1 else [],
        )  # fmt: skip

    # Parts --------------------------------------------------------------------------------------

    def _of_unit(self, stage: str, x: Recorded, one: About, i: int, *, quantity: str, **more: Any) -> Step:
        at = one.start + i
        return self._step(
            stage, x, one.layer, at if one.layer is not None else None, quantity=quantity,
            at=[self.sample, at] if quantity else [], sample=self.sample, unit=list(one.indexes(i)),
            place=self.wired.words(one, i, layer=False),
            weight=at if one.layer is None else None, uses=self._uses(x), **more,
        )  # fmt: skip

    def _of_parameter(self, stage: str, x: Recorded, one: About, i: int, quantity: str, **more: Any) -> Step:
        shape = one.shape or (one.table.units,)
        at = [i] if len(shape) == 1 else list(divmod(i, one.table.units // shape[0]))
        place = self.wired.words(one, i).removesuffix(f" of {self.layer_names[one.layer or 0]}")
        unit = list(one.indexes(i))
        uses = self._uses(x)
        return self._step(stage, x, one.layer, quantity=quantity, at=at, unit=unit, place=place, uses=uses, **more)

    def _uses(self, x: Recorded) -> list[list[int]]:
        """The units that a number is made of, where they are not too many."""
        found = []
        for cell in named_below(self.wired, x):
            place = self.wired.where(cell)
            if place is not None and not place[0].parameter and (place[0].values or place[0].layer is None):
                found.append([-1 if place[0].layer is None else place[0].layer, place[0].start + place[1]])
        return [list(each) for each in dict.fromkeys(map(tuple, found))][:_USED]


def behind(reader: WiredReader, output: About, unit: int, most: int) -> tuple[list[tuple[About, list[int]]], bool]:
    """A unit, and what it was made of within its layer, the nearest first; and whether there is more than ``most``."""
    wired = reader.wired
    chosen: dict[tuple[int, int], None] = {}
    waiting = [(output, unit)]
    while waiting and len(chosen) < most:
        one, i = waiting.pop(0)
        key = wired.tables.index(one), i
        if key in chosen:
            continue
        chosen[key] = None
        for cell in named_below(wired, one.table.values[reader.sample, i]):
            place = wired.where(cell)
            if place is not None and place[0].layer == output.layer and not place[0].parameter and not place[2]:
                waiting.append(place[:2])
    tables = sorted({number for number, _ in chosen})
    found = [(wired.tables[n], sorted(i for number, i in chosen if number == n)) for n in tables]
    return found, bool(waiting)


def used_by(reader: WiredReader, units: list[tuple[About, list[int]]]) -> dict[int, dict[int, None]]:
    """The parameters that units are made of: by the table's identity the numbers."""
    used: dict[int, dict[int, None]] = {}
    for one, some in units:
        for i in some:
            for cell in named_below(reader.wired, one.table.values[reader.sample, i]):
                place = reader.wired.where(cell)
                if place is not None and place[0].parameter:
                    used.setdefault(id(place[0]), {})[place[1]] = None
    return used


def told_of_unit(
    reader: WiredReader, layer: int | None, quantity: str, unit: int, *, most: int
) -> tuple[list[Step], list[tuple[int, str, int]]]:
    """One unit's steps, forward and backward, with at most so many of its layer's numbers behind it.

    Also the parameters that it is made of, as (layer, name, number). Of the input (layer None) only its gradient.
    """
    if layer is None:
        return [reader.input_gradient(unit)], []
    wired, output = reader.wired, None
    for one in wired.tables:
        if one.layer != layer or not one.start <= unit < one.start + one.table.units:
            continue
        if one.values == quantity or (quantity == "a" and one.table is reader.p.layers[layer].output.a):
            output = one
    if output is None:
        return [], []
    units, _ = behind(reader, output, unit - output.start, most)
    steps = [reader.value(one, i) for one, some in units for i in some]
    if layer == reader.last and output.table is reader.p.layers[layer].output.a:
        steps += reader.loss_term(unit)
    own = [(one, some) for one, some in units if one is output or (quantity == "a" and one.values == "z")]
    steps += [step for one, some in reversed(own) for i in some for step in reader.errors(one, i)]
    used = used_by(reader, units)
    parameters = [
        (own_layer, one.name, i)
        for own_layer, each in enumerate(wired.parameters)
        for one in each
        for i in sorted(used.get(id(one), ()))
    ]
    return steps, parameters


def told_of_parameter(reader: WiredReader, layer: int, name: str, number: int) -> list[Step]:
    """A parameter's gradient and update; how a buffer came to its value."""
    for one in reader.wired.parameters[layer]:
        if one.name == name:
            return [reader.gradient(one, number), *reader.update(one, number)]
    moved = reader.p.layers[layer].output.buffers.get(name)
    return [reader.value(one, number) for one in reader.wired.tables if one.table is moved]


class ToldWired:
    """Which steps are told: of the unit or weight asked for, or of all but what is too much to read."""

    def __init__(self, case: Case, unit: str | None, weight: str | None, *, everything: bool) -> None:
        self.case, self._skipped, self._cut = case, list[str](), list[str]()
        count = sum(case.network.widths) + case.network.input_units
        self.everything = everything and count <= MOST_UNITS
        if everything and not self.everything and unit is None:
            self._skip(f"of {count} units all but some: more than {MOST_UNITS} are too many to be told at once")
        try:
            self.unit = None if unit is None else find_unit(case, unit)
        except ValueError as error:
            raise ConfigurationError(f"--neuron {unit}: {error}") from None
        self.weight = None if weight is None else self._weight(weight)
        if self.weight is not None and self.unit is not None and self.unit[0] == INPUT:
            raise ConfigurationError(NO_WEIGHTS.format(weight))

    def _weight(self, text: str) -> tuple[str, list[int]]:
        """``2,0,1,1`` or ``bias:2`` as (parameter's name or nothing, indexes)."""
        name, _, indexes = text.rpartition(":")
        parts = [part.strip() for part in indexes.split(",")]
        if not all(part.isascii() and part.isdigit() for part in parts):
            raise ConfigurationError(
                f"--weight {text}: expected the indexes of a weight, such as 0,0,1,1, after a parameter's name where"
                " it is another, such as bias:0"
            )
        return name, [int(part) for part in parts]

    def round(self, reader: WiredReader) -> Iterator[Step]:
        """The steps of one training step."""
        if not self.everything and self.case.steps > 3 and 0 < reader.round < self.case.steps - 1:  # noqa: PLR2004
            self._skip("the updates between the first and the last, but for their loss")
            yield from reader.loss()
            return
        units = self._units(reader)
        parameters = self._parameters(reader, units)
        for one, some in units:
            yield from (reader.value(one, i) for i in some)
        last = reader.wired.tables[-1].layer
        if self.unit is None or self.unit[0] == last:
            chosen = None if self.unit is None else [self.unit[1]]
            for k in chosen or self._some(self.case.network.widths[-1], "outputs"):
                yield from reader.loss_term(k)
        yield from reader.loss()
        for one, some in reversed(units):
            for i in some:
                yield from reader.errors(one, i)
        for one, some in parameters:
            yield from (reader.gradient(one, i) for i in some)
        if self.unit is None and self.weight is None:
            yield from (reader.input_gradient(i) for i in self._some(self.case.network.input_units, "inputs"))
        elif self.unit is not None and self.unit[0] == INPUT:
            yield reader.input_gradient(self.unit[1])
        for one, some in parameters:
            for i in some:
                yield from reader.update(one, i)

    def left_out(self) -> str:
        """What was too much, in a sentence; empty where nothing was."""
        skipped = list(self._skipped)
        if self._cut:
            skipped.append(f"all but the first three and the last of {', '.join(self._cut)}")
        return f"Left out for brevity: {'; '.join(skipped)}. --neuron and --weight tell any of them." if skipped else ""

    # Choosing -----------------------------------------------------------------------------------

    def _units(self, reader: WiredReader) -> list[tuple[About, list[int]]]:
        """Of every table that is told the units, in the order of computing."""
        if self.unit is not None and self.unit[0] == INPUT:
            return []
        if self.unit is not None:
            return self._behind(reader, *self.unit)
        found = []
        for layer in range(len(self.case.network.layers)):
            own = [one for one in reader.wired.tables if one.layer == layer]
            if len(own) > _TABLES and not self.everything:
                name = reader.layer_names[layer]
                self._skip(f"of the {len(own)} stages of {name} those between the first and the last")
                own = [*own[: _TABLES // 2], *own[-_TABLES // 4 :]]
            found += [(one, self._some(one.table.units, f"units of {reader.layer_names[layer]}")) for one in own]
        return found

    def _behind(self, reader: WiredReader, layer: int, unit: int) -> list[tuple[About, list[int]]]:
        """A unit, and what it was made of within its layer."""
        output = next(one for one in reader.wired.tables if one.table is reader.p.layers[layer].output.a)
        found, more = behind(reader, output, unit, _BEHIND)
        if more:
            self._skip(f"what the unit is made of, beyond the nearest {_BEHIND} numbers of its layer")
        return found

    def _parameters(self, reader: WiredReader, units: list[tuple[About, list[int]]]) -> list[tuple[About, list[int]]]:
        """The parameters that are told: the one asked for, those that the unit uses, or some of each."""
        every = [one for own in reader.wired.parameters for one in own]
        if self.weight is not None:
            return self._asked_for(reader, every)
        if self.unit is None:
            return [(one, self._some(one.table.units, self._numbers_of(reader, one))) for one in every]
        used = used_by(reader, units)
        found: list[tuple[About, list[int]]] = []
        for one in every:
            own = sorted(used.get(id(one), ()))
            chosen = self._some(len(own), self._numbers_of(reader, one))
            found.append((one, [own[n] for n in chosen]))
        return found

    def _asked_for(self, reader: WiredReader, every: list[About]) -> list[tuple[About, list[int]]]:
        assert self.weight is not None
        name, indexes = self.weight
        layers = range(len(self.case.network.layers)) if self.unit is None else [self.unit[0]]
        layers = [self.case.network.owner(layer) for layer in layers]
        found: list[tuple[About, list[int]]] = []
        shapes = []
        for one in every:
            wanted = name or "weight"
            if one.layer not in layers or wanted not in (one.name, f"{one.name}s", f"{one.name}es"):
                continue
            shape = one.shape or (one.table.units,)
            shapes.append(f"{one.name} of {reader.layer_names[one.layer or 0]}: {' x '.join(map(str, shape))}")
            at = indexes
            if len(at) == 1 and len(shape) == 2 and self.unit is not None:  # noqa: PLR2004 - a matrix
                at = [self.unit[1], *at]
            if len(at) == len(shape) and all(i < n for i, n in zip(at, shape, strict=True)):
                found.append((one, [ravel(at, shape)]))
        if not found:
            there = "; ".join(shapes) or ", ".join(sorted({one.name for one in every})) or "no parameters at all"
            asked = f"{name}:{','.join(map(str, indexes))}" if name else ",".join(map(str, indexes))
            raise ConfigurationError(f"there is no weight {asked} here; the shapes are {there}")
        return found

    @staticmethod
    def _numbers_of(reader: WiredReader, one: About) -> str:
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

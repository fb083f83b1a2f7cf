"""The steps of a pass, number by number, read from its recalled cells.

Forward, a step says how each unit of a table was computed; backward, how its gradient comes back, term by term, through
everything that reads it; for a parameter, the sum over all places (and samples) where it is used. All of this is
generic: the circuit says which tables there are, who reads whom and where a weight is shared, the kind gives names.

The only constants here are words: the name of a stage, its sentence, and the general formula as the field writes it,
which for a dense layer speaks of neurons. What a step computes, with which quantities and numbers, comes only from the
record; so a rule replaced by a named bug is shown as it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from backprop_check.explain.names import below
from backprop_check.explain.steps import Factor, Step, Term
from backprop_check.explain.tables import NamedTable, Names, named_below
from backprop_check.explain.ways import sum_below, ways
from backprop_check.explain.wording import (
    COLLAPSE,
    LOGARITHM,
    REMEMBERED,
    SETTINGS,
    SIGMOID,
    SOFTMAX,
    UPDATES,
    WORDS,
)
from backprop_check.functions.names import ALL_ACTIVATIONS as ACTIVATIONS
from backprop_check.kinds.dense import Dense
from backprop_check.numbers.recording import TIMES, Recorded
from backprop_check.protocol.text import one_line
from backprop_check.reference.rules import Function, Largest, Softmax, WeightedSum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.case.network import Case
    from backprop_check.explain.writing import Writer
    from backprop_check.reference.passes import Pass


#: The most units that are named as parts of a number.
_USED = 64


class PassReader:
    """The steps of one pass of ``case``: ``round_`` is the number of the training step, ``sample`` the sample shown.

    ``afresh``: the value of a step is that of its formula, even where a reported number replaces it.
    """

    def __init__(
        self, case: Case, p: Pass, writer: Writer, *, round_: int = 0, sample: int = 0, afresh: bool = False
    ) -> None:
        self.case, self.p, self.write, self.round, self.sample = case, p, writer, round_, sample
        self.afresh = afresh
        self.names: Names = writer.names  # type: ignore[assignment]
        self.layer_names = [one_line(name, 60) for name in case.network.names()]
        self.last = len(p.layers) - 1

    @functools.cached_property
    def _losses(self) -> tuple[list[Recorded], list[Recorded]]:
        """The cells of the samples' losses and of the outputs' terms, named, where the loss is a sum of such."""
        losses = sum_below(self._without_penalty(self.p.loss), self.write)
        if not losses or any(x.operation != "cell" for x in losses):
            return [], []
        terms = sum_below(losses[self.sample], self.write)
        if not terms or any(x.operation != "cell" for x in terms):
            return losses, []
        if losses[0].place and terms[0].place:
            self.names.name_losses(losses[0].place[0], terms[0].place[0], batch=len(losses) > 1)
        return losses, terms

    def _without_penalty(self, x: Recorded) -> Recorded:
        """The loss without the penalty that the case may add to it."""
        return self.write.made_by(x).operands[0] if self.case.regularization is not None else x

    # Forward ------------------------------------------------------------------------------------

    def value(self, one: NamedTable, i: int) -> Iterator[Step]:
        """How a unit was computed; where the activation is the identity, also the step a = z."""
        rule = one.table.made_by
        x = one.table.values[self.sample, i]
        stage, what, notes = "weighted sum" if one.dense else "weighted sum of any", "", []
        if isinstance(rule, WeightedSum):
            if not rule.biases and not any(source.weights for source in rule.sources):
                stage = "sum"
            notes = self._on_sum(rule, i)
        elif isinstance(rule, Function):
            stage, what = "activation" if rule.name in ACTIVATIONS else "function", _plain(rule.name)
            notes = [SIGMOID] if rule.name == "sigmoid" else []
        elif isinstance(rule, Softmax):
            stage, what = "layer activation" if one.dense else "softmax", "log softmax" if rule.logarithm else "softmax"
            notes = [SOFTMAX]
        elif isinstance(rule, Largest):
            stage, notes = "largest", self._winner(rule, i)
        symbol = self.names.called(one, i, one.letter)
        yield self._of_unit(stage, x, one, i, symbol=symbol, what=what, notes=notes, quantity=one.values)
        if one.also:
            name = self.names.called(one, i, one.also)
            yield self._of_unit(
                "activation", x, one, i, symbol=name, what="identity", quantity=one.also, symbolic=symbol
            )

    def _on_sum(self, rule: WeightedSum, i: int) -> list[str]:
        """Notes on where weights are shared, and where a window extends beyond the edge."""
        if is_dense(rule):
            return []
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
                    f"It reads {len(uses)} numbers where others read {longest}: beyond the edge the input is 0."
                )
        return list(dict.fromkeys(notes))

    def _winner(self, rule: Largest, i: int) -> list[str]:
        positions = rule.wiring.reads[i]
        values = [rule.x.values[self.sample, position] for position in positions]
        best = max(range(len(values)), key=lambda n: values[n].value)
        name = self.write.name(values[best])
        return [f"The largest is {name}; the gradient will go back to it alone."] if len(values) > 1 else []

    def loss_term(self, k: int) -> Iterator[Step]:
        """The term of output k in the loss of the sample."""
        _, terms = self._losses
        if terms:
            x, kind = terms[k], _plain(self.case.loss.kind)
            yield self._step(
                "loss term", x, self.last, k, symbol=f"ℓ{below(k)}", what=kind, notes=self._long_way(x, LOGARITHM)
            )

    def loss(self) -> Iterator[Step]:
        """The loss of the sample, if there are several, and that of the batch."""
        losses, _ = self._losses
        if len(losses) > 1:
            x = losses[self.sample]
            yield self._step("sample loss", x, sample=self.sample, symbol=f"ℓ⟨{self.sample}⟩")
        kind = "loss of one" if len(self.case.inputs) == 1 else "mean loss" if self.case.reduction == "mean" else "loss"
        yield self._step("loss", self.p.loss, symbol="L", quantity="loss", words=WORDS[kind])

    # Backward -----------------------------------------------------------------------------------

    def errors(self, one: NamedTable, i: int) -> Iterator[Step]:
        """∂L/∂x of a unit: from the loss, through one function (the chain rule), or as a sum over all readers."""
        if one.table.error is None:
            return
        x = one.table.error[self.sample, i]
        symbol = self.names.name_of(one, i, error=True)
        readers = [rule for rule, _ in one.table.readers]
        if len(readers) == 1 and isinstance(readers[0], Function | Softmax):
            yield from self._through_function(readers[0], x, one, i, symbol)
            return
        quantity = "" if one.also else one.errors
        error = self.names.called(one, i, f"∂L/∂{one.also}") if one.also else symbol
        if one.table is self.p.layers[-1].output.a:
            yield self._of_unit("output error", x, one, i, symbol=error, quantity=quantity)
        else:
            stage = "hidden error" if one.dense and all(map(is_dense, readers)) else "error of any"
            terms = [self._through(term) for term in self.write.terms(x)]
            yield self._of_unit(
                stage, x, one, i, symbol=error, quantity=quantity, terms=terms if len(terms) > 1 else [], equation="BP2"
            )
        if one.also:  # the derivative of the identity is 1
            yield self._of_unit(
                "delta", x, one, i, symbol=symbol, quantity=one.errors, symbolic=error, equation=self._number(one)
            )

    def _through_function(self, rule: Any, x: Recorded, one: NamedTable, i: int, symbol: str) -> Iterator[Step]:
        """The chain rule: ∂L/∂y of a function's output, times its slope."""
        slope = self._slope_in(x) if isinstance(rule, Function) else None
        if slope is not None:
            out = self.names.about(rule.out)
            above = "a" if out is None else self.names.name_of(out, i)
            name = f"∂{above}/∂{self.names.name_of(one, i)}"
            yield self._of_unit("slope", slope, one, i, symbol=name, what=_plain(rule.name), quantity="")
            self.names.name_one(slope, name)
        stage = "delta" if isinstance(rule, Function) else "layer delta"
        yield self._of_unit(
            stage, x, one, i, symbol=symbol, quantity=one.errors, notes=self._long_way(x, COLLAPSE),
            equation=self._number(one),
        )  # fmt: skip

    def _number(self, one: NamedTable) -> str:
        """The number of the equation that gives δ."""
        return "BP1" if one.layer == self.last else "BP2"

    def _slope_in(self, x: Recorded) -> Recorded | None:
        """The factor that multiplies an error in the formula of ``x``; None where there is none."""
        for way in ways(x):
            if way.operation == TIMES:
                for left, right in (way.operands, way.operands[::-1]):
                    found = self.names.where(left)
                    if found is not None and found[2] and right.place is None:
                        return right
        return None

    def _errors_in(self, term: Recorded) -> list[tuple[NamedTable, int, Recorded]]:
        """The errors (∂L/∂x of units) in a term of a sum."""
        cells = [term] if self.names.where(term) is not None else named_below(self.names, term)
        found = []
        for cell in cells:
            place = self.names.where(cell)
            if place is not None and place[2]:
                found.append((place[0], place[1], cell))
        return found

    def _through(self, term: Recorded) -> Term:
        errors = self._errors_in(term)
        places = dict.fromkeys(self.names.words(one, i) for one, i, _ in errors)
        what = f"through {next(iter(places))}" if places else "one more term"
        if len(places) > 1:
            what += f" and {len(places) - 1} more"
        return self._term(what, term)

    def _term(self, what: str, term: Recorded) -> Term:
        return Term(what=what, symbolic=self.write.name(term), numbers=self._put_in(term), value=term.value)

    # Gradients ----------------------------------------------------------------------------------

    def gradient(self, one: NamedTable, i: int) -> Step:
        """∂L/∂w, summed over all places where the weight is used, and over the samples."""
        x = one.table.error[0, i]
        batch = len(self.case.inputs) > 1
        self.names.samples = batch
        found = [(term, self._errors_in(term)) for term in self.write.terms(x)]
        places = {(id(errors[0][0]), errors[0][1]) for _, errors in found if errors}
        samples, terms = set(), []
        for term, errors in found:
            what = "one more term"
            if errors:
                about, unit, cell = errors[0]
                sample = (cell.place or (None, 0))[1]
                samples.add(sample)
                what = f"sample {sample}"
                if len(places) > 1 or not batch:
                    words = f"at {self.names.words(about, unit, layer=about.layer != one.layer)}"
                    what = f"{words}, {what}" if batch else words
            terms.append(self._term(what, term))
        self.names.samples = False
        notes = []
        if len(places) > 1:
            each = f" in each of {len(samples)} samples" if len(samples) > 1 else ""
            used = f"This {one.name} is shared: it is used at {len(places)} places{each}"
            notes = [f"{used}, and its gradient is the sum over all of them."]
        stage = f"{one.name} gradient" if one.name in ("weight", "bias") else "gradient"
        if not one.dense and stage != "gradient":
            stage += " of any"
        return self._of_parameter(
            stage, x, one, i, f"{one.name}_gradient", symbol=self.names.name_of(one, i, error=True),
            terms=terms if len(terms) > 1 else [], notes=notes, equation="BP3" if one.name == "bias" else "BP4",
            what=one.name, factors=self._chain(one, x, i),
        )  # fmt: skip

    def _chain(self, one: NamedTable, x: Recorded, i: int) -> list[Factor]:
        """The factors of ∂L/∂wⱼᵢ in a dense layer, where its term for this sample is delta times input; else none."""
        readers = one.table.readers
        if not one.dense or one.name != "weight" or len(readers) != 1 or one.layer is None:
            return []
        rule, (_, number) = readers[0]
        z, (j, source) = self.names.about(rule.out), one.indexes(i)
        made = self.write.terms(x) or [self.write.made_by(x)]
        if z is None or not isinstance(rule, WeightedSum) or self.sample >= len(made):
            return []
        delta, read = rule.out.error[self.sample, j], rule.sources[number].x.values[self.sample, source]
        part = made[self.sample]
        if part.operation != TIMES or not all(any(x is y for y in part.operands) for x in (delta, read)):
            return []
        output = self.names.about(self.p.layers[one.layer].output.a)
        last = Factor(symbol=f"∂{self.names.called(z, j, 'z')}/∂{self.names.name_of(one, i)}", value=read.value)
        slope = 1.0 if output is z else self._slope_in(delta)
        if slope is None or output is None:
            return [Factor(symbol=f"∂L/∂{self.names.called(z, j, 'z')}", value=delta.value), last]
        a = self.names.called(output, j, "a")
        return [
            Factor(symbol=f"∂L/∂{a}", value=output.table.error[self.sample, j].value),
            Factor(symbol=f"∂{a}/∂{self.names.called(z, j, 'z')}", value=float(slope)),
            last,
        ]

    def input_gradient(self, i: int) -> Step:
        """∂L/∂x of an input."""
        one = self.names.input
        x = one.table.error[self.sample, i]
        terms = [self._through(term) for term in self.write.terms(x)]
        dense = all(is_dense(rule) for rule, _ in one.table.readers)
        return self._of_unit(
            "input gradient" if dense else "input gradient of any", x, one, i,
            symbol=self.names.name_of(one, i, error=True), quantity="input_gradient",
            terms=terms if len(terms) > 1 else [],
        )  # fmt: skip

    # Update -------------------------------------------------------------------------------------

    def update(self, one: NamedTable, i: int) -> Iterator[Step]:
        """w⁺, after what an optimizer remembers about w."""
        if self.p.updated is None or self.case.optimizer is None or one.layer is None:
            return
        wire = next(wire for wire, table in self.p.layers[one.layer].parameters.items() if table is one.table)
        x = self.p.updated[one.layer][wire][0, i]
        symbol, quantity = f"{self.names.name_of(one, i)}⁺", f"updated_{one.name}"
        if self.p.training is None:
            self.names.with_rate(self.p.learning_rate)
            yield self._of_parameter("update", x, one, i, quantity, symbol=symbol)
            self.names.with_rate(None)
            return
        made = x.operands  # this also records what the optimizer remembers about it
        assert made
        notes = self._name_training(one.layer)
        for (layer, name, what), table in self.p.training.after.tables.items():
            if (layer, name) == (one.layer, one.name):
                letter, *words = REMEMBERED[what]
                yield self._of_parameter("memory", table[0, i], one, i, "", symbol=f"{letter}⁺", words=tuple(words))
        update = UPDATES[self.case.optimizer.kind]
        yield self._of_parameter("update", x, one, i, quantity, symbol=symbol, words=update, notes=notes)

    def _name_training(self, layer: int) -> list[str]:
        """Name what the update reads besides the gradients; returns the note about clipping."""
        training = self.p.training
        assert training is not None
        self.names.name_one(training.rate, "η")
        for name, value in training.settings.items():
            named = SETTINGS.get(name, name)
            pairs = zip(value, named, strict=True) if isinstance(value, tuple) else [(value, named)]
            for one, letter in pairs:
                self.names.name_one(one, str(letter))
        for memory, mark in ((training.before, ""), (training.after, "⁺")):
            for (index, _, name), table in memory.tables.items():
                if index == layer:
                    self.names.name_memory(table, REMEMBERED[name][0] + mark)
        if training.scale is None:
            return []
        self.names.name_one(training.scale, "c")
        norm, scale = self.write.number(training.norm.value), self.write.number(training.scale.value)
        return [f"The norm of all gradients together is {norm}: each is multiplied by c = {scale}."]

    # Parts --------------------------------------------------------------------------------------

    def _of_unit(self, stage: str, x: Recorded, one: NamedTable, i: int, *, quantity: str, **more: Any) -> Step:
        at = one.start + i
        return self._step(
            stage, x, one.layer, at if one.layer is not None else None, quantity=quantity,
            at=[self.sample, at] if quantity else [], sample=self.sample, unit=list(one.indexes(i)),
            place=self.names.words(one, i, layer=False),
            weight=at if one.layer is None else None, uses=self._uses(x), **more,
        )  # fmt: skip

    def _of_parameter(self, stage: str, x: Recorded, one: NamedTable, i: int, quantity: str, **more: Any) -> Step:
        shape = one.shape or (one.table.units,)
        at = [i] if len(shape) == 1 else list(divmod(i, one.table.units // shape[0]))
        place = self.names.words(one, i).removesuffix(f" of {self.layer_names[one.layer or 0]}")
        neuron, weight = (at[0], at[1] if len(at) > 1 else None) if one.dense else (None, None)
        return self._step(
            stage, x, one.layer, neuron, weight=weight, quantity=quantity, at=at, unit=list(one.indexes(i)),
            place=place, uses=self._uses(x), **more,
        )  # fmt: skip

    def _step(
        self,
        stage: str,
        x: Recorded,
        layer: int | None = None,
        neuron: int | None = None,
        *,
        symbol: str,
        what: str = "",
        notes: list[str] | None = None,
        quantity: str = "",
        words: tuple[str, ...] | None = None,
        symbolic: str = "",
        **more: Any,
    ) -> Step:
        """The step that computes the number ``x``; ``symbolic`` is its formula where no operation was recorded."""
        formula, sentence = words or WORDS[stage]
        self.names.samples = len(self.case.inputs) > 1 and bool(quantity) and "sample" not in more
        conditions = [] if symbolic else [f"Here {condition}." for condition in self.write.conditions(x)]
        step = Step(
            stage=stage.removeprefix("layer ").removesuffix(" of any"),
            sentence=sentence.format(what),
            formula=formula,
            symbol=symbol,
            symbolic=symbolic or self.write.symbolic(x),
            numbers=self.write.number(x.value) if symbolic else self.write.numbers(x),
            value=self.write.made_by(x).value if self.afresh else x.value,
            layer=layer,
            layer_name="" if layer is None else self.layer_names[layer],
            neuron=neuron,
            round=self.round,
            quantity=quantity,
            notes=[*conditions, *(notes or [])],
            **more,
        )
        self.names.samples = False
        return step

    def _put_in(self, term: Recorded) -> str:
        return self.write.number(term.value) if self.names.has(term) else self.write.numbers(term)

    def _long_way(self, x: Recorded, why: str) -> list[str]:
        """A note with the other formula, where the reference knows two for the same number and used the stabler one."""
        found = ways(x)
        if len(found) == 1:
            return []
        other = found[1]
        texts = self.write.symbolic(other), self.write.numbers(other), self.write.number(other.value)
        return [f"The long way: {' = '.join(dict.fromkeys(texts))}. {why}"]

    def _uses(self, x: Recorded) -> list[list[int]]:
        """The units that a number was computed from, if there are not too many."""
        if self.afresh:
            return []  # the pass that this one is compared with has them
        found = []
        for cell in named_below(self.names, x):
            place = self.names.where(cell)
            if place is not None and not place[0].parameter and (place[0].values or place[0].layer is None):
                found.append([-1 if place[0].layer is None else place[0].layer, place[0].start + place[1]])
        return [list(each) for each in dict.fromkeys(map(tuple, found))][:_USED]


def is_dense(rule: Any) -> bool:
    """Whether a rule is the weighted sum of a dense layer."""
    return (
        isinstance(rule, WeightedSum)
        and isinstance(rule.spec, Dense)
        and any(source.weights is not None for source in rule.sources)
    )


def _plain(name: str) -> str:
    return name.replace("_", " ")

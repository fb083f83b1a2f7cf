"""The steps of a dense chain whose stages a named bug replaces, for that bug's page.

It goes when the bugs of dense chains are rules of the circuit, as all others are: ``story`` then tells them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.explain.names import Cells, above, below
from backprop_check.explain.steps import Factor, Step, Term
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
from backprop_check.explain.writing import Writer
from backprop_check.numbers.recording import OVER, TIMES, Recorded, Recording
from backprop_check.protocol.text import one_line
from backprop_check.reference import Stages, run_pass
from backprop_check.reference.activations import LAYERWISE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass


class ChainReader:
    """The steps of one pass of ``case``: ``round`` is the number of the training step, ``sample`` which one is told."""

    def __init__(self, case: Case, p: Pass, writer: Writer, *, round_: int = 0, sample: int = 0) -> None:
        self.case, self.p, self.write, self.round, self.sample = case, p, writer, round_, sample
        self.names: Any = writer.names
        self.layer_names = [one_line(name, 60) for name in case.network.names()]
        self.last = len(p.layers) - 1
        self._find_losses()

    def _find_losses(self) -> None:
        """The cells of the samples' losses and of the outputs' terms, where the loss is the sum of such."""
        self.losses: list[Recorded] = []
        self.loss_terms: list[Recorded] = []
        total = _sum_below(self._without_penalty(self.p.loss), self.write)
        if total and all(x.operation == "cell" for x in total):
            self.losses = total
            terms = _sum_below(total[self.sample], self.write)
            if terms and all(x.operation == "cell" for x in terms):
                self.loss_terms = terms
        if self.losses and self.losses[0].place and self.loss_terms and self.loss_terms[0].place:
            self.names.name_losses(self.losses[0].place[0], self.loss_terms[0].place[0], batch=len(self.losses) > 1)

    def _without_penalty(self, x: Recorded) -> Recorded:
        """The loss of the data, where the case adds a penalty to it."""
        return self.write.made_by(x).operands[0] if self.case.regularization is not None else x

    # Forward ------------------------------------------------------------------------------------

    def weighted_sum(self, layer: int, j: int) -> Step:
        """zⱼ."""
        x = self.p.layers[layer].z[self.sample, j]
        return self._step("weighted sum", x, layer, j, quantity="z")

    def activation(self, layer: int, j: int) -> Step:
        """aⱼ."""
        l = self.p.layers[layer]
        stage = "layer activation" if l.activation in LAYERWISE else "activation"
        notes = [SIGMOID] if l.activation == "sigmoid" else [SOFTMAX] if l.activation in LAYERWISE else []
        x = l.a[self.sample, j]
        return self._step(stage, x, layer, j, quantity="a", what=_plain(l.activation), notes=notes)

    def loss_term(self, k: int) -> Iterator[Step]:
        """What output k adds to the loss of the sample."""
        if self.loss_terms:
            x, kind = self.loss_terms[k], _plain(self.case.loss.kind)
            yield self._step(
                "loss term", x, self.last, k, symbol=f"ℓ{below(k)}", what=kind, notes=self._long_way(x, LOGARITHM)
            )

    def loss(self) -> Iterator[Step]:
        """The loss of the sample, where there are several, and of the batch."""
        if len(self.losses) > 1:
            x = self.losses[self.sample]
            yield self._step("sample loss", x, sample=self.sample, symbol=f"ℓ⟨{self.sample}⟩")
        kind = "loss of one" if len(self.case.inputs) == 1 else "mean loss" if self.case.reduction == "mean" else "loss"
        yield self._step("loss", self.p.loss, symbol="L", quantity="loss", at=[], words=WORDS[kind])

    # Backward -----------------------------------------------------------------------------------

    def error(self, layer: int, j: int) -> Iterator[Step]:
        """∂L/∂aⱼ, term by term where the neuron feeds several."""
        x = self.p.layers[layer].error[self.sample, j]
        if x.operation != "cell":
            return  # this pass never computed it
        if layer == self.last:
            yield self._step("output error", x, layer, j)
            return
        terms = [self._term(layer + 1, term) for term in self.write.terms(x)]
        yield self._step("hidden error", x, layer, j, terms=terms if len(terms) > 1 else [], equation="BP2")

    def slope(self, layer: int, j: int) -> Iterator[Step]:
        """∂aⱼ/∂zⱼ, where the delta was made of it."""
        l = self.p.layers[layer]
        x = self._slope_of(l, j)
        if x is not None:
            above = self.names.above(layer)
            symbol = f"∂a{above}{below(j)}/∂z{above}{below(j)}"
            yield self._step("slope", x, layer, j, symbol=symbol, what=_plain(l.activation))
            self.names.name_one(x, symbol)

    def delta(self, layer: int, j: int) -> Step:
        """δⱼ."""
        l = self.p.layers[layer]
        x = l.delta[self.sample, j]
        stage = "layer delta" if l.activation in LAYERWISE else "delta"
        notes = self._long_way(x, COLLAPSE)
        equation = "BP1" if layer == self.last else "BP2"
        return self._step(stage, x, layer, j, quantity="delta", notes=notes, equation=equation)

    def weight_gradient(self, layer: int, j: int, i: int) -> Step:
        """∂L/∂wⱼᵢ."""
        l = self.p.layers[layer]
        x = l.weight_gradient[j, i]
        terms = self._per_sample(x)
        factors = self._chain(l, layer, x, j, i)
        return self._step(
            "weight gradient", x, layer, j, weight=i, quantity="weight_gradient", at=[j, i],
            terms=terms, factors=factors, equation="BP4",
        )  # fmt: skip

    def bias_gradient(self, layer: int, j: int) -> Step:
        """∂L/∂bⱼ."""
        x = self.p.layers[layer].bias_gradient[j]
        terms = self._per_sample(x)
        return self._step(
            "bias gradient", x, layer, j, quantity="bias_gradient", at=[j], terms=terms, equation="BP3"
        )  # fmt: skip

    def input_gradient(self, i: int) -> Step:
        """∂L/∂xᵢ."""
        x = self.p.input_gradient[self.sample, i]
        terms = [self._term(0, term) for term in self.write.terms(x)]
        at = [self.sample, i]
        return self._step(
            "input gradient", x, symbol=f"∂L/∂x{below(i)}", quantity="input_gradient", at=at,
            weight=i, sample=self.sample, terms=terms if len(terms) > 1 else [],
        )  # fmt: skip

    # Update -------------------------------------------------------------------------------------

    def updates(self, layer: int, j: int, weights: list[int], *, bias: bool = True) -> Iterator[Step]:
        """w⁺ and b⁺ of neuron j."""
        if self.p.updated is None or self.case.optimizer is None:
            return
        grid, line = self.p.updated[layer]
        l = self.p.layers[layer]
        plain = self.p.training is None
        if plain:
            self.names.with_rate(self.p.learning_rate)
        words = None if plain else UPDATES[self.case.optimizer.kind]
        notes = [] if plain else self._name_training(layer)
        for i in weights:
            yield from self._memory(layer, j, "weight", (j, i), i)
            symbol = f"{self.names.of(l.weights[j, i])}⁺"
            yield self._step(
                "update", grid[j, i], layer, j, weight=i, symbol=symbol, quantity="updated_weight", at=[j, i],
                words=words, notes=notes,
            )  # fmt: skip
        if bias:
            yield from self._memory(layer, j, "bias", j, None)
            symbol = f"{self.names.of(l.biases[j])}⁺"
            yield self._step(
                "update", line[j], layer, j, symbol=symbol, quantity="updated_bias", at=[j], words=words, notes=notes
            )
        self.names.with_rate(None)

    def _name_training(self, layer: int) -> list[str]:
        """Give names to what the update knows beside the gradients; what is to be said of clipping."""
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
        return [f"All gradients together have the norm {norm}: each is multiplied by c = {scale}."]

    def _memory(self, layer: int, j: int, kind: str, at: Any, weight: int | None) -> Iterator[Step]:
        """What the optimizer remembers of one parameter, after this step."""
        if self.p.training is None:
            return
        for (index, of, name), table in self.p.training.after.tables.items():
            if (index, of) == (layer, kind):
                letter, *words = REMEMBERED[name]
                symbol = f"{letter}⁺"
                yield self._step("memory", table[at], layer, j, symbol=symbol, words=tuple(words), weight=weight)

    # Parts --------------------------------------------------------------------------------------

    def _step(
        self,
        stage: str,
        x: Recorded,
        layer: int | None = None,
        neuron: int | None = None,
        *,
        symbol: str | None = None,
        what: str = "",
        notes: list[str] | None = None,
        at: list[int] | None = None,
        quantity: str = "",
        words: tuple[str, ...] | None = None,
        **more: Any,
    ) -> Step:
        formula, sentence = words or WORDS[stage]
        if quantity and at is None:
            at = [self.sample, neuron or 0]
            more["sample"] = self.sample
        self.names.samples = len(self.case.inputs) > 1 and more.get("sample", ...) is ... and bool(quantity)
        conditions = [f"Here {condition}." for condition in self.write.conditions(x)]
        step = Step(
            stage=stage.removeprefix("layer ").removesuffix(" of any"),
            sentence=sentence.format(what),
            formula=formula,
            symbol=symbol or self.names.of(x) or "",
            symbolic=self.write.symbolic(x),
            numbers=self.write.numbers(x),
            value=x.value,
            layer=layer,
            layer_name="" if layer is None else self.layer_names[layer],
            neuron=neuron,
            round=self.round,
            quantity=quantity,
            at=at or [],
            place=_place(neuron, more.get("weight"), parameter=stage == "bias gradient" or "updated" in quantity),
            notes=[*conditions, *(notes or [])],
            **more,
        )
        self.names.samples = False
        return step

    def _term(self, layer: int, x: Recorded) -> Term:
        """A term of a sum over the neurons of ``layer``, by the neuron whose delta it holds."""
        table = self.p.layers[layer].delta
        neurons = [y.place[2] for y in x.operands if y.place and y.place[0] is table]
        what = f"through neuron {neurons[0]} of {self.layer_names[layer]}" if neurons else "one more term"
        return Term(what=what, symbolic=self.write.name(x), numbers=self.write.numbers(x), value=x.value)

    def _per_sample(self, x: Recorded) -> list[Term]:
        terms = self.write.terms(x)
        if len(terms) < 2:  # noqa: PLR2004 - a sum of one is told by its formula
            return []
        self.names.samples = True
        found = [
            Term(what=f"sample {s}", symbolic=self.write.name(term), numbers=self._put_in(term), value=term.value)
            for s, term in enumerate(terms)
        ]
        self.names.samples = False
        return found

    def _put_in(self, term: Recorded) -> str:
        return self.write.number(term.value) if self.names.of(term) else self.write.numbers(term)

    def _slope_of(self, l: LayerPass, j: int) -> Recorded | None:
        """The factor beside ∂L/∂a in the delta (or in the long way to it)."""
        error = l.error[self.sample, j]
        for x in ways(l.delta[self.sample, j]):
            if x.operation == TIMES:
                for one, other in (x.operands, x.operands[::-1]):
                    if one.place is None or error.place is None:
                        continue
                    same = one.place[0] is error.place[0]
                    if same and one.place[1:] == error.place[1:] and other.place is None:
                        return other
        return None

    def _chain(self, l: LayerPass, layer: int, x: Recorded, j: int, i: int) -> list[Factor]:
        """The factors of ∂L/∂wⱼᵢ, where its part of this sample is delta times input."""
        terms = self.write.terms(x)
        if self.sample >= len(terms) or terms[self.sample].operation != TIMES:
            return []
        delta, source = l.delta[self.sample, j], l.previous[self.sample, i]
        if not all(any(one is two for two in terms[self.sample].operands) for one in (delta, source)):
            return []
        above = self.names.above(layer)
        a, z, w = (f"{letter}{above}{below(*at)}" for letter, at in (("a", (j,)), ("z", (j,)), ("w", (j, i))))
        last = Factor(symbol=f"∂{z}/∂{w}", value=source.value)
        slope = self._slope_of(l, j)
        if slope is None:
            return [Factor(symbol=f"∂L/∂{z}", value=delta.value), last]
        error = l.error[self.sample, j]
        return [
            Factor(symbol=f"∂L/∂{a}", value=error.value),
            Factor(symbol=f"∂{a}/∂{z}", value=slope.value),
            last,
        ]

    def _long_way(self, x: Recorded, why: str) -> list[str]:
        """The other formula, where the reference knows two for the same number and took the stabler."""
        found = ways(x)
        if len(found) == 1:
            return []
        other = found[1]
        texts = self.write.symbolic(other), self.write.numbers(other), self.write.number(other.value)
        return [f"The long way: {' = '.join(dict.fromkeys(texts))}. {why}"]


def _place(neuron: int | None, weight: int | None, *, parameter: bool) -> str:
    """In the words of ``Places``."""
    if weight is not None:
        return f"input {weight}" if neuron is None else f"weight from input {weight} into neuron {neuron}"
    return "" if neuron is None else f"bias of neuron {neuron}" if parameter else f"neuron {neuron}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def ways(x: Recorded) -> list[Recorded]:
    """What made a number, as one operation; two where there are two formulas for it."""
    while x.operation == "cell":
        x = x.operands[0]
    if x.operation != "either":
        return [x]
    return [way for operand in x.operands for way in ways(operand)]


def _sum_below(x: Recorded, write: Writer) -> list[Recorded]:
    """The terms of the sum that made ``x``, or whose quotient ``x`` is."""
    made = write.made_by(x)
    if made.operation == OVER:
        made = write.made_by(made.operands[0])
    return list(made.operands) if made.operation == "sum" else []


class ChainNames(Cells):
    """Which cell is called what in one pass of dense layers."""

    def __init__(self, p: Pass) -> None:
        super().__init__()
        self._layers = len(p.layers)
        self._table(p.layers[0].previous, "x")
        self._table(p.targets, "t")
        for index, l in enumerate(p.layers):
            mark = self.above(index)
            self._table(l.z, f"z{mark}")
            self._table(l.a, f"a{mark}")
            self._table(l.error, f"∂L/∂a{mark}")
            self._table(l.delta, f"δ{mark}")
            self._put(l.weights, lambda j, i, mark=mark: f"w{mark}{below(j, i)}")
            self._put(l.biases, lambda j, mark=mark: f"b{mark}{below(j)}")
            self._put(l.weight_gradient, lambda j, i, mark=mark: f"∂L/∂w{mark}{below(j, i)}")
            self._put(l.bias_gradient, lambda j, mark=mark: f"∂L/∂b{mark}{below(j)}")
            self._weights.add(id(l.weights))

    def above(self, layer: int) -> str:
        """``⁽²⁾`` for layer 1; nothing where there is only one layer."""
        return above(layer, self._layers)

    def _table(self, table: Any, letter: str) -> None:
        """Name the cells of a table ``[sample, neuron]``."""
        if id(table) in self._names:
            return  # a layer's inputs are the activations of the layer before, and have their name
        self._put(table, lambda s, j: f"{letter}{below(j)}" + (f"⟨{s}⟩" if self.samples else ""))


#: Of more neurons or weights than this, only the first three and the last are told.
_SHOWN = 12


def chain_steps(case: Case, stages: type[Stages], sample: int = 0, digits: int = 6) -> list[Step]:
    """The steps of all neurons, in the order of computing, but for those of a large layer that are too many to read."""
    passes = run_pass(case, Recording(), stages)
    return [
        step
        for index, p in enumerate(passes)
        for step in _round(ChainReader(case, p, Writer(ChainNames(p), digits), round_=index, sample=sample))
    ]


def _round(reader: ChainReader) -> Iterator[Step]:
    layers = [(layer, _some(l.units), _some(l.inputs)) for layer, l in enumerate(reader.p.layers)]
    for layer, neurons, _ in layers:
        yield from (reader.weighted_sum(layer, j) for j in neurons)
        yield from (reader.activation(layer, j) for j in neurons)
    for k in layers[-1][1]:
        yield from reader.loss_term(k)
    yield from reader.loss()
    for layer, neurons, _ in reversed(layers):
        for j in neurons:
            yield from reader.error(layer, j)
            yield from reader.slope(layer, j)
            yield reader.delta(layer, j)
    for layer, neurons, inputs in layers:
        for j in neurons:
            yield from (reader.weight_gradient(layer, j, i) for i in inputs)
            yield reader.bias_gradient(layer, j)
    yield from (reader.input_gradient(i) for i in layers[0][2])
    for layer, neurons, inputs in layers:
        for j in neurons:
            yield from reader.updates(layer, j, inputs)


def _some(count: int) -> list[int]:
    return list(range(count)) if count <= _SHOWN else [0, 1, 2, count - 1]

"""A case's whole pass as steps, in the order of computing; beside an implementation's numbers if there is one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from backprop_check.errors import ConfigurationError
from backprop_check.explain.beside import Beside, Judged, judge_steps
from backprop_check.explain.names import Names
from backprop_check.explain.steps import Step  # noqa: TC001 - a field of Explanation
from backprop_check.explain.story import PassReader, read_passes
from backprop_check.explain.wording import NO_WEIGHTS, OPTIMIZERS, SETTINGS
from backprop_check.explain.writing import TERMS_SHOWN, Writer, number_text
from backprop_check.places import INPUT, UNITS, Places
from backprop_check.protocol.text import one_line
from backprop_check.reference import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.explain.making import Found
    from backprop_check.network import Case
    from backprop_check.protocol import Implementation
    from backprop_check.training import Optimizer

#: A record of more updates than this is too long to keep, let alone to read.
MOST_STEPS = 1000

#: Of more training steps than this, only the first and the last are told in full.
_ROUNDS_TOLD = 3

#: Of more neurons or weights than this, only the first three and the last are told.
_SHOWN = 12


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to tell of a case. ``beside`` has an entry a step where an implementation was asked.

    Beyond the dense chain ``shapes`` has the shapes of the input and of every layer's output, ``by_step`` which of them
    are sequences, ``reads`` what each layer reads (−1 is the input), ``indexes`` what the indexes of each are called;
    ``sizes`` how many numbers of every quantity and parameter there are (of the input first), told or not.
    """

    case: str
    title: str
    source: str
    erratum: str | None
    network: str
    layers: list[str]
    widths: list[int]
    inputs: list[float]
    sample: int
    samples: int
    steps: list[Step]
    left_out: str = ""
    judged: Judged | None = None
    beside: list[Beside | None] = []
    shapes: list[list[int]] = []
    by_step: list[bool] = []
    reads: list[list[int]] = []
    indexes: list[list[str]] = []
    sizes: list[dict[str, int]] = []


def explain_case(
    found: Found,
    *,
    neuron: str | None = None,
    weight: int | str | None = None,
    sample: int = 0,
    digits: int = 6,
    everything: bool = False,
    stages: type[Stages] = Stages,
) -> Explanation:
    """Work a case out and tell it; ``neuron`` is ``hidden1:0`` (layer's name or number, neuron), ``conv1:2,1,0``.

    ``weight`` is the input that it comes from, or (beyond the dense chain) its indexes: ``2,0,1,1``, ``bias:2``.

    ``everything`` leaves no neuron, weight or term out, however many. Raises ``ConfigurationError`` for a neuron,
    weight or sample that is not there.
    """
    case = found.case
    if case.steps > MOST_STEPS:
        raise ConfigurationError(f"{case.steps} updates are too many to explain: at most {MOST_STEPS} (--steps)")
    if not 0 <= sample < len(case.inputs):
        raise ConfigurationError(f"there is no sample {sample}: the case has samples 0 to {len(case.inputs) - 1}")
    if not case.network.is_chain:
        return _explain_wired(found, neuron, weight, sample, digits, everything=everything, stages=stages)
    place = None if neuron is None else find_neuron(case, neuron)
    if weight is not None:
        if place is not None and place[0] == INPUT:
            raise ConfigurationError(NO_WEIGHTS.format(weight))
        weight = _whole(weight)
        widest = max(_fan_in(case, l) for l in range(len(case.network.layers)) if place is None or l == place[0])
        if not 0 <= weight < widest:
            raise ConfigurationError(f"there is no weight {weight}: they count from 0 to {widest - 1} here")
    passes = read_passes(case, stages)
    told = _Told(case, place, weight, everything=everything)
    limit = None if everything else TERMS_SHOWN
    found_steps = [
        step
        for index, p in enumerate(passes)
        for step in told.round(PassReader(case, p, Writer(Names(p), digits, limit), round_=index, sample=sample))
    ]
    return Explanation(
        case=case.id,
        title=one_line(found.title),
        source=one_line(found.source),
        erratum=found.erratum,
        network=describe(case),
        layers=[one_line(name, 60) for name in case.network.names()],
        widths=[case.network.inputs, *(layer.units for layer in case.network.layers)],
        inputs=list(case.inputs[sample]),
        sample=sample,
        samples=len(case.inputs),
        steps=found_steps,
        left_out=told.left_out(),
    )


def _explain_wired(
    found: Found,
    unit: str | None,
    weight: int | str | None,
    sample: int,
    digits: int,
    *,
    everything: bool,
    stages: type[Stages],
) -> Explanation:
    """The same for layers of any kind."""
    from backprop_check.explain.recall import recalled_passes  # noqa: PLC0415 - where it is needed
    from backprop_check.explain.tables import WiredNames  # noqa: PLC0415
    from backprop_check.explain.wired import ToldWired, WiredReader  # noqa: PLC0415

    case, network = found.case, found.case.network
    places, tables = Places(case), (None, *range(len(network.layers)))
    told = ToldWired(case, unit, None if weight is None else str(weight), everything=everything)
    limit = None if told.everything or (everything and unit is not None) else TERMS_SHOWN
    steps = [
        step
        for index, p in enumerate(recalled_passes(case, stages))
        for step in told.round(
            WiredReader(case, p, Writer(WiredNames(case, p), digits, limit), round_=index, sample=sample)
        )
    ]
    return Explanation(
        case=case.id,
        title=one_line(found.title),
        source=one_line(found.source),
        erratum=found.erratum,
        network=describe(case),
        layers=[one_line(name, 60) for name in network.names()],
        widths=[network.input_units, *network.widths],
        inputs=list(case.inputs[sample]),
        sample=sample,
        samples=len(case.inputs),
        steps=steps,
        left_out=told.left_out(),
        shapes=[list(shape) for shape in (network.input_shape, *network.output_shapes)],
        by_step=[places.by_step(layer) for layer in tables],
        indexes=[list(places.index_names(layer)) for layer in tables],
        sizes=[_sizes(places, layer) for layer in tables],
        reads=[list(sources) for sources in network.sources],
    )


def _sizes(places: Places, layer: int | None) -> dict[str, int]:
    """How many numbers a layer has of each quantity, and of each parameter."""
    if layer is None:
        return {"input": math.prod(places.shape(None))}
    found = {quantity: math.prod(places.shape(layer, quantity)) for quantity in UNITS}
    owner = places.network.owner(layer)
    return found | {name: math.prod(shape) for name, shape in places.form.parameters[owner].items()}


def _whole(weight: int | str) -> int:
    """The number of an input; raises ``ConfigurationError`` for what is none."""
    if isinstance(weight, str) and not (weight.isascii() and weight.isdigit()):
        raise ConfigurationError(f"--weight {weight}: expected the number of the input that it comes from")
    return int(weight)


def _described(case: Case) -> tuple[str, str]:
    """Inputs and layers in words."""
    network, layers = case.network, case.network.layers
    if network.is_chain:
        count = network.input_units
        parts = [f"{layer.units} {layer.activation.replace('_', ' ')}" for layer in layers]
        return f"{count} input{'s' * (count > 1)}", f"layers of {', '.join(parts)}"
    parts = []
    for layer, shape, name in zip(layers, network.output_shapes, network.names(), strict=True):
        activation = "" if layer.activation == "identity" else f", {layer.activation.replace('_', ' ')}"
        parts.append(f"{one_line(name, 60)} ({layer.kind}, {' x '.join(map(str, shape))}{activation})")
    return f"inputs {' x '.join(map(str, network.input_shape))}", f"the layers {', '.join(parts)}"


def describe(case: Case) -> str:
    """The case in a sentence."""
    count = len(case.inputs)
    batch = "one sample" if count == 1 else f"{count} samples, of whose losses the {case.reduction} is taken"
    rate = f"; {said}" if (said := training_words(case)) else ""
    inputs, layers = _described(case)
    return f"{inputs}, then {layers}; loss: {case.loss.kind.replace('_', ' ')}; {batch}{rate}"


def training_words(case: Case) -> str:
    """How a case trains: ``learning rate η = 0.5``, and what is more than plain gradient descent; may be empty."""
    said = [] if case.optimizer is None else [_optimizer_words(case.optimizer)]
    if case.clip is not None:
        said.append(f"gradients clipped by {case.clip.kind} at {number_text(case.clip.limit, 6)}")
    if case.regularization is not None:
        r = case.regularization
        parts = [f"{name} = {number_text(x, 6)}" for name, x in (("l1", r.l1), ("l2", r.l2)) if x]
        said.append(f"a penalty in the loss, {' and '.join(parts)}, on weights{' and biases' if r.biases else ''}")
    return "; ".join(said)


def _optimizer_words(optimizer: Optimizer) -> str:
    rates = optimizer.learning_rate if isinstance(optimizer.learning_rate, tuple) else (optimizer.learning_rate,)
    said = f"learning rate η = {', then '.join(number_text(rate, 6) for rate in rates)}"
    if optimizer.plain:
        return said
    parts = [OPTIMIZERS[optimizer.kind], said]
    for name, value in optimizer.settings.items():
        letters = SETTINGS.get(name, name)
        pairs = zip(letters, value, strict=True) if isinstance(value, tuple) else [(letters, value)]
        parts += [str(letter) if one is True else f"{letter} = {number_text(one, 6)}" for letter, one in pairs if one]
    return ", ".join(parts)


def find_neuron(case: Case, text: str) -> tuple[int, int]:
    """``hidden1:0`` or ``0:0`` as (layer, neuron); ``input:0`` has the layer ``INPUT``."""
    name, _, number = text.rpartition(":")
    names = case.network.names()
    if name == "input" and number.isascii() and number.isdigit():
        if int(number) >= case.network.input_units:
            raise ConfigurationError(f"--neuron {text}: the inputs are 0 to {case.network.input_units - 1}")
        return INPUT, int(number)
    layer = names.index(name) if name in names else int(name) if name.isascii() and name.isdigit() else -1
    if not (0 <= layer < len(names) and number.isascii() and number.isdigit()):
        raise ConfigurationError(
            f"--neuron {text}: expected layer:neuron, such as {one_line(names[0], 60)}:0; the layers are "
            f"{', '.join(one_line(each, 60) for each in names)} (or 0 to {len(names) - 1}), and input"
        )
    units = case.network.layers[layer].units
    if int(number) >= units:
        raise ConfigurationError(f"--neuron {text}: {one_line(names[layer], 60)} has neurons 0 to {units - 1}")
    return layer, int(number)


def _fan_in(case: Case, layer: int) -> int:
    return case.network.inputs if layer == 0 else case.network.layers[layer - 1].units


class _Told:
    """Which steps are told: of the neuron and weight asked for, or of all but what is too much to read."""

    def __init__(self, case: Case, place: tuple[int, int] | None, weight: int | None, *, everything: bool) -> None:
        self.case, self.place, self.weight, self.everything = case, place, weight, everything
        self._skipped: list[str] = []

    def round(self, reader: PassReader) -> Iterator[Step]:
        """The steps of one training step."""
        if not self.everything and self.case.steps > _ROUNDS_TOLD and 0 < reader.round < self.case.steps - 1:
            self._skip("the updates between the first and the last, but for their loss")
            yield from reader.loss()
            return
        yield from self._forward(reader)
        yield from self._backward(reader)

    def _forward(self, reader: PassReader) -> Iterator[Step]:
        for layer in range(len(self.case.network.layers)):
            for j in self._neurons(layer):
                yield reader.weighted_sum(layer, j)
            for j in self._neurons(layer):
                yield reader.activation(layer, j)
        if self.place is None or self.place[0] == reader.last:
            for k in self._neurons(reader.last):
                yield from reader.loss_term(k)
        yield from reader.loss()

    def _backward(self, reader: PassReader) -> Iterator[Step]:
        layers = range(len(self.case.network.layers))
        for layer in reversed(layers):
            for j in self._neurons(layer):
                yield from reader.error(layer, j)
                yield from reader.slope(layer, j)
                yield reader.delta(layer, j)
        for layer in layers:
            for j in self._neurons(layer):
                yield from (reader.weight_gradient(layer, j, i) for i in self._weights(layer))
                if self.weight is None:
                    yield reader.bias_gradient(layer, j)
        if self.place is None and self.weight is None:
            for i in self._some(self.case.network.inputs, "inputs"):
                yield reader.input_gradient(i)
        elif self.place is not None and self.place[0] == INPUT:
            yield reader.input_gradient(self.place[1])
        for layer in layers:
            for j in self._neurons(layer):
                yield from reader.updates(layer, j, self._weights(layer), bias=self.weight is None)

    def left_out(self) -> str:
        """What was too much, in a sentence; empty where nothing was."""
        if not self._skipped:
            return ""
        skipped = "; ".join(self._skipped)
        return f"Left out for brevity: {skipped}. --full, --neuron, --weight and --format json have them."

    def _neurons(self, layer: int) -> list[int]:
        if self.place is not None:
            return [self.place[1]] if layer == self.place[0] else []
        return self._some(self.case.network.layers[layer].units, "neurons")

    def _weights(self, layer: int) -> list[int]:
        fan_in = _fan_in(self.case, layer)
        if self.weight is not None:
            return [self.weight] if self.weight < fan_in else []
        return self._some(fan_in, "weights")

    def _some(self, count: int, what: str) -> list[int]:
        if count <= _SHOWN or self.everything:
            return list(range(count))
        self._skip(f"{what} 3 to {count - 2} where there are {count}")
        return [0, 1, 2, count - 1]

    def _skip(self, what: str) -> None:
        if what not in self._skipped:
            self._skipped.append(what)


def set_beside(explanation: Explanation, case: Case, implementation: Implementation) -> Explanation:
    """The same explanation beside the implementation's numbers, where it gave any."""
    judged, beside = judge_steps(explanation.steps, case, implementation)
    return msgspec.structs.replace(explanation, judged=judged, beside=beside)

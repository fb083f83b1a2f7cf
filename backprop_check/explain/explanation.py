"""The explanation of a case: its whole pass as steps in the order of computation, if asked for with a reply's
numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from backprop_check.compare.places import UNITS, Places
from backprop_check.errors import ConfigurationError
from backprop_check.explain.comparing import Compared, Judged, judge_steps
from backprop_check.explain.recall import recalled_passes
from backprop_check.explain.selection import Selection
from backprop_check.explain.steps import Step  # noqa: TC001 - a field of Explanation
from backprop_check.explain.story import PassReader
from backprop_check.explain.tables import Names
from backprop_check.explain.wording import OPTIMIZERS, SETTINGS
from backprop_check.explain.writing import TERMS_SHOWN, Writer, number_text
from backprop_check.kinds.dense import Dense
from backprop_check.protocol.text import one_line
from backprop_check.reference import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.case.network import Case
    from backprop_check.case.training import Optimizer
    from backprop_check.explain.making import Found
    from backprop_check.protocol import Implementation

#: The most updates that are explained.
MOST_STEPS = 1000


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The explanation of a case. ``compared`` has an entry per step where an implementation was asked.

    ``kinds`` are the layers' kinds, ``reads`` the layers that each one reads (−1 is the input). For the input and then
    for every layer, ``shapes`` has the shape of the output, ``by_step`` whether it is a sequence, ``indexes`` the names
    of its indexes, ``sizes`` how many numbers each quantity and parameter has in all.
    """

    case: str
    title: str
    source: str
    erratum: str | None
    network: str
    layers: list[str]
    kinds: list[str]
    widths: list[int]
    inputs: list[float]
    sample: int
    samples: int
    steps: list[Step]
    shapes: list[list[int]]
    by_step: list[bool]
    reads: list[list[int]]
    indexes: list[list[str]]
    sizes: list[dict[str, int]]
    left_out: str = ""
    judged: Judged | None = None
    compared: list[Compared | None] = msgspec.field(default_factory=list, name="beside")


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
    """Compute a case and explain it; ``neuron`` is ``hidden1:0`` (a layer's name or number, and a neuron) or
    ``conv1:2,1,0``.

    ``weight`` is the input that a dense layer's weight comes from, or a parameter's indexes: ``2,0,1,1``, ``bias:2``.
    With ``everything`` no neuron, weight or term is left out.

    Raises ``ConfigurationError`` for a neuron, weight or sample that does not exist, and for more than 1000 updates.
    """
    case, network = found.case, found.case.network
    if case.steps > MOST_STEPS:
        cause = f"{case.steps} updates are too many to explain"
        raise ConfigurationError("too-many-updates", cause, f"at most {MOST_STEPS} (--steps)")
    if not 0 <= sample < len(case.inputs):
        cause = f"there is no sample {sample}: the case has samples 0 to {len(case.inputs) - 1}"
        raise ConfigurationError("no-such-sample", cause)
    places, tables = Places(case), (None, *range(len(network.layers)))
    told = Selection(case, neuron, None if weight is None else str(weight), everything=everything)
    limit = None if told.everything or (everything and neuron is not None) else TERMS_SHOWN
    steps = list(selected_steps(case, told, stages, sample=sample, digits=digits, limit=limit))
    return Explanation(
        case=case.id,
        title=one_line(found.title),
        source=one_line(found.source),
        erratum=found.erratum,
        network=describe(case),
        layers=[one_line(name, 60) for name in network.names()],
        kinds=[layer.kind for layer in network.layers],
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


def selected_steps(
    case: Case,
    told: Selection,
    stages: type[Stages] = Stages,
    *,
    sample: int = 0,
    digits: int = 6,
    limit: int | None = None,
) -> Iterator[Step]:
    """The selected steps of a case, generated one by one; at most ``limit`` terms of a sum are written."""
    for index, p in enumerate(recalled_passes(case, stages)):
        yield from told.round(PassReader(case, p, Writer(Names(case, p), digits, limit), round_=index, sample=sample))


def _sizes(places: Places, layer: int | None) -> dict[str, int]:
    """How many numbers a layer has of each quantity, and of each parameter."""
    if layer is None:
        return {"input": math.prod(places.shape(None))}
    found = {quantity: math.prod(places.shape(layer, quantity)) for quantity in UNITS}
    owner = places.network.owner(layer)
    return found | {name: math.prod(shape) for name, shape in places.form.parameters[owner].items()}


def _described(case: Case) -> tuple[str, str]:
    """Inputs and layers in words."""
    network = case.network
    count, shape = network.input_units, network.input_shape
    inputs = f"{count} input{'s' * (count > 1)}" if len(shape) == 1 else f"inputs {' x '.join(map(str, shape))}"
    parts = []
    for layer, each, name in zip(network.layers, network.output_shapes, network.names(), strict=True):
        activation = layer.activation.replace("_", " ")
        words = f"{layer.kind}, {' x '.join(map(str, each))}" + f", {activation}" * (layer.activation != "identity")
        if isinstance(layer, Dense):
            words = f"{layer.units} neuron{'s' * (layer.units > 1)}, {activation}"
        parts.append(f"{one_line(name, 60)} ({words})")
    return inputs, f"the layer{'s' * (len(parts) > 1)} {', '.join(parts)}"


def describe(case: Case) -> str:
    """The network, loss, batch and training of a case in one sentence."""
    count = len(case.inputs)
    batch = "one sample" if count == 1 else f"{count} samples, of whose losses the {case.reduction} is taken"
    training = f"; {words}" if (words := training_words(case)) else ""
    inputs, layers = _described(case)
    return f"{inputs}, then {layers}; loss: {case.loss.kind.replace('_', ' ')}; {batch}{training}"


def training_words(case: Case) -> str:
    """How a case trains: ``learning rate η = 0.5``, and anything beyond plain gradient descent; may be empty."""
    words = [] if case.optimizer is None else [_optimizer_words(case.optimizer)]
    if case.clip is not None:
        words.append(f"gradients clipped by {case.clip.kind} at {number_text(case.clip.limit, 6)}")
    if case.regularization is not None:
        r = case.regularization
        parts = [f"{name} = {number_text(x, 6)}" for name, x in (("l1", r.l1), ("l2", r.l2)) if x]
        words.append(f"a penalty in the loss, {' and '.join(parts)}, on weights{' and biases' if r.biases else ''}")
    return "; ".join(words)


def _optimizer_words(optimizer: Optimizer) -> str:
    rates = optimizer.learning_rate if isinstance(optimizer.learning_rate, tuple) else (optimizer.learning_rate,)
    words = f"learning rate η = {', then '.join(number_text(rate, 6) for rate in rates)}"
    if optimizer.plain:
        return words
    parts = [OPTIMIZERS[optimizer.kind], words]
    for name, value in optimizer.settings.items():
        letters = SETTINGS.get(name, name)
        pairs = zip(letters, value, strict=True) if isinstance(value, tuple) else [(letters, value)]
        parts += [str(letter) if one is True else f"{letter} = {number_text(one, 6)}" for letter, one in pairs if one]
    return ", ".join(parts)


def with_comparison(explanation: Explanation, case: Case, implementation: Implementation) -> Explanation:
    """The same explanation with the implementation's numbers, if it returned any."""
    judged, by_step = judge_steps(explanation.steps, case, implementation)
    return msgspec.structs.replace(explanation, judged=judged, compared=by_step)

"""The pass: the stages strung together, forward, backward and update.

After each stage the reading is shown its result (``m.seen``) and may put something else in its place: what an
implementation itself reported, so that the next stage is judged on its own inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_check.network import DEFAULT_ALPHA, DEFAULT_THRESHOLD
from backprop_check.reference.losses import targets_of
from backprop_check.reference.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backprop_check.network import Case
    from backprop_check.reference.optimizers import Training
    from backprop_check.training import Clip, Optimizer, Regularization

Parameters = list[tuple[Any, Any]]


@dataclass(eq=False)
class LayerPass:
    """One layer's part of a pass: tables ``[sample, neuron]``, parameters, gradients."""

    index: int
    samples: int
    asked: str  # the activation that the case asks for
    activation: str
    alpha: float
    units: int
    inputs: int
    previous: Any  # a of the layer before, or the network's inputs
    weights: Any  # weights[j, i]: from neuron i of the layer before into neuron j
    biases: Any
    z: Any
    a: Any
    error: Any  # ∂L/∂a
    delta: Any  # ∂L/∂z
    weight_gradient: Any
    bias_gradient: Any
    before: LayerPass | None = None
    next: LayerPass | None = None

    @property
    def gradients(self) -> dict[str, Any]:
        """By the parameter's name."""
        return {"weight": self.weight_gradient, "bias": self.bias_gradient}


@dataclass(eq=False)
class Pass:
    """One pass over a whole batch, and the parameters after its update."""

    loss_kind: str
    threshold: float
    reduction: str
    samples: int
    inputs: Any
    targets: Any
    step: int = 0
    learning_rate: float | None = None
    layers: list[LayerPass] = field(default_factory=list)
    loss: Any = None
    input_gradient: Any = None
    updated: Parameters | None = None
    optimizer: Optimizer | None = None  # None where w⁺ = w − η ∂L/∂w and nothing else
    clip: Clip | None = None
    regularization: Regularization | None = None
    training: Training | None = None  # what the update knew beside the gradients, where it is more than a plain step

    def sums(self, m: Any, term: Callable[[Any], Any], *, gradients: bool = False) -> Iterator[tuple[str, Any]]:
        """For every array of parameters (or of their gradients) its name, and Σ term(x) over it."""
        for l in self.layers:
            weights, biases = (l.weight_gradient, l.bias_gradient) if gradients else (l.weights, l.biases)
            cells, rows, line = m.grid(l.units, l.inputs), m.line(l.units), m.line(l.units)
            for j in m.each(l.units):
                for i in m.each(l.inputs):
                    cells[j, i] = term(weights[j, i])
                rows[j] = m.sum(cells[j, :])
                line[j] = term(biases[j])
            yield "weight", m.sum(rows[:])
            yield "bias", m.sum(line[:])


def run_pass(case: Case, m: Any, stages: type[Stages] = Stages) -> list[Pass]:
    """Work a case out on the reading ``m``: one ``Pass`` a training step (at least one).

    ``stages`` is the right mathematics, or a subclass with some stages replaced.
    """
    parameters = [
        (m.given_grid(layer.parameters.weights), m.given_line(layer.parameters.biases)) for layer in case.network.layers
    ]
    using, passes = stages(m), []
    for step in range(case.steps):
        done = (using.pass_function or one_pass)(case, parameters, m, using, step)
        passes.append(done)
        if done.updated is None:
            break
        parameters = done.updated
    return passes


def one_pass(case: Case, parameters: Parameters, m: Any, stages: Stages, step: int = 0) -> Pass:
    """Forward, loss, backward, gradients and (where the case has an optimizer) the update."""
    p = begin(case, parameters, m, step, stages)
    stages.prepare(p)
    forward(p, m, stages)
    loss(p, m, stages)
    backward(p, m, stages)
    if p.learning_rate is not None:
        p.updated = update(p, p.learning_rate, m, stages, last=step == case.steps - 1)
    return p


def begin(case: Case, parameters: Parameters, m: Any, step: int = 0, stages: Stages | None = None) -> Pass:
    """A pass with its inputs and parameters, and nothing computed."""
    p = Pass(
        loss_kind=case.loss.kind,
        threshold=DEFAULT_THRESHOLD if case.loss.threshold is None else case.loss.threshold,
        reduction=case.reduction,
        samples=len(case.inputs),
        inputs=m.given_grid(case.inputs),
        targets=targets_of(case, m, (stages or Stages(m)).smoothed),
        step=step,
        learning_rate=None if case.optimizer is None else case.optimizer.rate(step),
        optimizer=None if case.plain else case.optimizer,
        clip=case.clip,
        regularization=case.regularization,
    )
    previous, width = p.inputs, case.network.inputs
    for index, (layer, (weights, biases)) in enumerate(zip(case.network.layers, parameters, strict=True)):
        l = LayerPass(
            index=index,
            samples=p.samples,
            asked=layer.activation,
            activation=layer.activation,
            alpha=DEFAULT_ALPHA.get(layer.activation, 0.0) if layer.alpha is None else layer.alpha,
            units=layer.units,
            inputs=width,
            previous=previous,
            weights=weights,
            biases=biases,
            z=m.grid(p.samples, layer.units),
            a=m.grid(p.samples, layer.units),
            error=m.grid(p.samples, layer.units),
            delta=m.grid(p.samples, layer.units),
            weight_gradient=m.grid(layer.units, width),
            bias_gradient=m.line(layer.units),
        )
        if p.layers:
            l.before = p.layers[-1]
            l.before.next = l
        p.layers.append(l)
        previous, width = l.a, layer.units
    return p


def forward(p: Pass, m: Any, stages: Stages) -> None:
    """From the inputs to the outputs, layer by layer."""
    for l in p.layers:
        if l.before is not None:
            l.previous = l.before.a
        for s in m.each(p.samples):
            for j in m.each(l.units):
                l.z[s, j] = stages.weighted_sum(l, s, j)
        l.z = m.seen("z", l.index, p.step, l.z)
        for s in m.each(p.samples):
            stages.activate(l, s)
        l.a = m.seen("a", l.index, p.step, l.a)


def loss(p: Pass, m: Any, stages: Stages) -> None:
    """The loss of the batch: the mean or the sum of its samples' losses."""
    units = p.layers[-1].units
    terms, losses = m.grid(p.samples, units), m.line(p.samples)
    for s in m.each(p.samples):
        for k in m.each(units):
            terms[s, k] = stages.loss_term(p, s, k)
        losses[s] = stages.sample_loss(p, terms, s)
    total = stages.batch_loss(p, m.sum(losses[:]))
    if p.regularization is not None:
        total = total + stages.penalty(p)
    p.loss = m.seen("loss", None, p.step, total)


def backward(p: Pass, m: Any, stages: Stages) -> None:
    """From the loss to every gradient, the last layer first."""
    for l in reversed(p.layers):
        for s in m.each(p.samples):
            if not stages.is_fused(p, l):
                for j in m.each(l.units):
                    l.error[s, j] = (
                        stages.output_error(p, s, j) if l.next is None else stages.error_behind(l.next, s, j)
                    )
            stages.delta(p, l, s)
        l.delta = m.seen("delta", l.index, p.step, l.delta)
    for l in p.layers:
        gradients(p, l, m, stages)
        l.weight_gradient = m.seen("weight_gradient", l.index, p.step, l.weight_gradient)
        l.bias_gradient = m.seen("bias_gradient", l.index, p.step, l.bias_gradient)
    first = p.layers[0]
    p.input_gradient = m.grid(p.samples, first.inputs)
    for s in m.each(p.samples):
        for i in m.each(first.inputs):
            p.input_gradient[s, i] = stages.error_behind(first, s, i)
    p.input_gradient = m.seen("input_gradient", None, p.step, p.input_gradient)


def gradients(p: Pass, l: LayerPass, m: Any, stages: Stages) -> None:
    """Those of a layer's parameters, with the part of the loss's penalty where it has one."""
    if p.regularization is None:
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                l.weight_gradient[j, i] = stages.weight_gradient(l, j, i)
            l.bias_gradient[j] = stages.bias_gradient(l, j)
        return
    weights, biases = m.grid(l.units, l.inputs), m.line(l.units)
    for j in m.each(l.units):
        for i in m.each(l.inputs):
            weights[j, i] = stages.weight_gradient(l, j, i)
            l.weight_gradient[j, i] = stages.penalized_weight(p, l, j, i, weights[j, i])
        biases[j] = stages.bias_gradient(l, j)
        l.bias_gradient[j] = stages.penalized_bias(p, l, j, biases[j])


def update(p: Pass, learning_rate: float, m: Any, stages: Stages, *, last: bool) -> Parameters:
    """Every parameter after the step, computed when all gradients are known."""
    stages.before_update(p)
    p.training = stages.training()
    result = []
    for l in p.layers:
        weights, biases = m.grid(l.units, l.inputs), m.line(l.units)
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                weights[j, i] = stages.updated_weight(l, j, i, learning_rate)
            biases[j] = stages.updated_bias(l, j, learning_rate)
        result.append(
            (
                m.seen("updated_weight", l.index, p.step, weights, last=last),
                m.seen("updated_bias", l.index, p.step, biases, last=last),
            )
        )
    return result

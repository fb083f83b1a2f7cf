"""The pass: the stages strung together, forward, backward and update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_check.network import DEFAULT_ALPHA, DEFAULT_THRESHOLD
from backprop_check.reference.losses import LOSSES, MATCHED
from backprop_check.reference.stages import Stages

if TYPE_CHECKING:
    from backprop_check.network import Case


@dataclass(eq=False)
class LayerPass:
    """One layer's part of a pass: tables ``[sample, neuron]``, parameters, gradients."""

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
    next: Any = None


@dataclass(eq=False)
class Pass:
    """One pass over a whole batch, and the parameters after its update."""

    loss_kind: str
    threshold: float
    reduction: str
    samples: int
    targets: Any
    layers: list[LayerPass] = field(default_factory=list)
    loss: Any = None
    input_gradient: Any = None
    updated: list[tuple[Any, Any]] | None = None


def run_pass(case: Case, m: Any, stages: type[Stages] = Stages) -> list[Pass]:
    """Work a case out on the reading ``m``: one ``Pass`` a training step (at least one).

    ``stages`` is the right mathematics, or a subclass with one stage replaced.
    """
    parameters = [
        (m.given_grid(layer.parameters.weights), m.given_line(layer.parameters.biases)) for layer in case.network.layers
    ]
    passes = []
    for _ in range(case.steps):
        done = one_pass(case, parameters, m, stages(m))
        passes.append(done)
        if done.updated is not None:
            parameters = done.updated
    return passes


def one_pass(case: Case, parameters: list[tuple[Any, Any]], m: Any, stages: Stages) -> Pass:
    """Forward, loss, backward, gradients and (where the case has an optimizer) the update."""
    p = Pass(
        loss_kind=case.loss.kind,
        threshold=DEFAULT_THRESHOLD if case.loss.threshold is None else case.loss.threshold,
        reduction=case.reduction,
        samples=len(case.inputs),
        targets=m.given_grid(case.targets),
    )
    forward(case, parameters, p, m, stages)
    loss(p, m, stages)
    backward(case, p, m, stages)
    if case.optimizer is not None:
        p.updated = update(p, case.optimizer.learning_rate, m, stages)
    return p


def forward(case: Case, parameters: list[tuple[Any, Any]], p: Pass, m: Any, stages: Stages) -> None:
    """From the inputs to the outputs, layer by layer."""
    previous, width = m.given_grid(case.inputs), case.network.inputs
    for layer, (weights, biases) in zip(case.network.layers, parameters, strict=True):
        alpha = DEFAULT_ALPHA.get(layer.activation, 0.0) if layer.alpha is None else layer.alpha
        l = LayerPass(
            activation=layer.activation,
            alpha=alpha,
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
            p.layers[-1].next = l
        p.layers.append(l)
        for s in m.each(p.samples):
            for j in m.each(l.units):
                l.z[s, j] = stages.weighted_sum(l, s, j)
            stages.activate(l, s)
        previous, width = l.a, layer.units


def loss(p: Pass, m: Any, stages: Stages) -> None:
    """The loss of the batch: the mean or the sum of its samples' losses."""
    units = p.layers[-1].units
    terms, losses = m.grid(p.samples, units), m.line(p.samples)
    for s in m.each(p.samples):
        for k in m.each(units):
            terms[s, k] = stages.loss_term(p, s, k)
        losses[s] = stages.sample_loss(p, terms, s)
    p.loss = stages.in_batch(p, m.sum(losses[:] if isinstance(losses, list) else losses[...]))


def backward(case: Case, p: Pass, m: Any, stages: Stages) -> None:
    """From the loss to every gradient, the last layer first."""
    for l in reversed(p.layers):
        for s in m.each(p.samples):
            if not (l.next is None and (l.activation, p.loss_kind) in MATCHED):
                for j in m.each(l.units):
                    l.error[s, j] = stages.output_error(p, s, j) if l.next is None else stages.hidden_error(l, s, j)
            stages.delta(p, l, s)
    for l in p.layers:
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                l.weight_gradient[j, i] = stages.weight_gradient(l, j, i)
            l.bias_gradient[j] = stages.bias_gradient(l, j)
    p.input_gradient = m.grid(p.samples, case.network.inputs)
    first = p.layers[0]
    for s in m.each(p.samples):
        for i in m.each(case.network.inputs):
            p.input_gradient[s, i] = m.dot(first.delta[s, :], first.weights[:, i])


def update(p: Pass, learning_rate: float, m: Any, stages: Stages) -> list[tuple[Any, Any]]:
    """Every parameter after the step, computed when all gradients are known."""
    result = []
    for l in p.layers:
        weights, biases = m.grid(l.units, l.inputs), m.line(l.units)
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                weights[j, i] = stages.updated(l.weights[j, i], l.weight_gradient[j, i], learning_rate)
            biases[j] = stages.updated(l.biases[j], l.bias_gradient[j], learning_rate)
        result.append((weights, biases))
    return result


__all__ = ["LOSSES", "LayerPass", "Pass", "one_pass", "run_pass"]

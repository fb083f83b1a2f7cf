"""The pass: forward through the layers, the loss, back through the circuit, gradients, update.

The equations of a layer are in its file in ``backprop_check.kinds``, the backward pass is in ``circuit``; activations,
losses and the update are the stages of ``stages``. After each step the reading gets its result (``m.seen``) and may
replace it by the value that an implementation reported, so that the next step is judged on its own inputs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_check.functions.names import DEFAULT_THRESHOLD
from backprop_check.kinds.kind import quantity_of, size
from backprop_check.kinds.wiring import Index
from backprop_check.reference.circuit import Circuit, Output
from backprop_check.reference.rules import ALL, Function, Given, Reported, Softmax, Table
from backprop_check.reference.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backprop_check.case.network import Case
    from backprop_check.case.training import Clip, Optimizer, Regularization
    from backprop_check.reference.optimizers import Training
    from backprop_check.reference.rules import Rule

#: The index of a table with a single unit.
ONE = Index([[0]])

#: Parameters of one layer by name: flat, in the order of the array's nested lists.
Named = dict[str, Any]


@dataclass(eq=False)
class LayerPass:
    """One layer's part of the pass. ``z``, ``a`` and ``delta`` are tables ``[sample, unit]``."""

    index: int
    output: Output
    units: int
    parameters: dict[str, Table]
    z: Any = None
    a: Any = None
    delta: Any = None
    gradients: Named = field(default_factory=dict)
    buffers: Named = field(default_factory=dict)


@dataclass(eq=False)
class Pass:
    """One pass over a whole batch, and the parameters after its update (by layer, then by name)."""

    case: Case
    circuit: Circuit
    loss_kind: str
    threshold: float
    reduction: str
    samples: int
    inputs: Table
    targets: Any
    step: int = 0
    learning_rate: float | None = None
    layers: list[LayerPass] = field(default_factory=list)
    loss: Any = None
    input_gradient: Any = None
    updated: list[Named] | None = None
    optimizer: Optimizer | None = None  # None where w⁺ = w − η ∂L/∂w and nothing else
    clip: Clip | None = None
    regularization: Regularization | None = None
    training: Training | None = None  # what the update knew beside the gradients, where it is more than a plain step

    def sums(self, m: Any, term: Callable[[Any], Any], *, gradients: bool = False) -> Iterator[tuple[str, Any]]:
        """For every array of parameters (or of their gradients) its name, and Σ term(x) over it."""
        for l in self.layers:
            for name, table in l.parameters.items():
                numbers, terms = table.error if gradients else table.values, m.row(table.units)
                for i in m.each(table.units):
                    terms[0, i] = term(numbers[0, i])
                yield quantity_of(name), m.total(terms[0, :])


def run_pass(case: Case, m: Any, stages: type[Stages] = Stages) -> list[Pass]:
    """Compute a case on the reading ``m``: one pass per training step (at least one)."""
    network = case.network
    parameters = [
        {} if layer.shares else {name: m.given_row(value) for name, value in layer.arrays().items()}
        for layer in network.layers
    ]
    buffers = [{name: m.given_row(value) for name, value in layer.buffer_rows().items()} for layer in network.layers]
    using, passes = stages(m), []
    for step in range(case.steps):
        p = using.whole_pass(one_pass, case, parameters, buffers, step)
        passes.append(p)
        if p.updated is None:
            break
        parameters, buffers = p.updated, [{**old, **l.buffers} for old, l in zip(buffers, p.layers, strict=True)]
    return passes


def one_pass(case: Case, parameters: list[Named], buffers: list[Named], m: Any, stages: Stages, step: int) -> Pass:
    """Forward, loss, backward, gradients and (if the case has an optimizer) the update."""
    p = begin(case, m, stages, step)
    through(p, parameters, buffers, m, stages)
    if p.learning_rate is not None:
        p.updated = update(p, p.learning_rate, m, stages, last=step_is_last(p))
    return p


def _targets(case: Case, m: Any, stages: Stages) -> Any:
    """The targets that the loss reads: those of the case, smoothed if the loss asks for it."""
    given, smoothing = m.given_grid(case.targets), case.loss.label_smoothing
    if smoothing is None:
        return given
    epsilon, units = m.setting(smoothing), case.network.widths[-1]
    targets = m.grid(len(case.targets), units)
    for s in m.each(len(case.targets)):
        for k in m.each(units):
            targets[s, k] = stages.smoothed(given[s, k], epsilon, case.network.classes or units)
    return targets


def begin(case: Case, m: Any, stages: Stages, step: int) -> Pass:
    """A pass with its inputs and targets, before anything is computed."""
    return Pass(
        case=case,
        circuit=Circuit(case, m, stages, step),
        loss_kind=case.loss.kind,
        threshold=DEFAULT_THRESHOLD if case.loss.threshold is None else case.loss.threshold,
        reduction=case.reduction,
        samples=len(case.inputs),
        inputs=Table(case.network.input_units, m.given_grid(case.inputs)),
        targets=_targets(case, m, stages),
        step=step,
        learning_rate=None if case.optimizer is None else case.optimizer.rate(step),
        optimizer=None if case.plain else case.optimizer,
        clip=case.clip,
        regularization=case.regularization,
    )


def through(p: Pass, parameters: list[Named], buffers: list[Named], m: Any, stages: Stages) -> None:
    """The pass up to its update: forward, loss, backward, gradients."""
    stages.prepare(p)
    forward(p, parameters, buffers, m, stages)
    loss(p, m, stages)
    backward(p, m, stages)


def forward(p: Pass, parameters: list[Named], buffers: list[Named], m: Any, stages: Stages) -> None:
    """Compute layer by layer; each layer reads the outputs of earlier ones."""
    network, c = p.case.network, p.circuit
    owned: list[dict[str, Table]] = []
    for index, layer in enumerate(network.layers):
        if layer.shares:
            owned.append(owned[network.owner(index)])
        else:
            rows = parameters[index].items()
            owned.append({name: Table(_count(row), row, parameter=True, role=name) for name, row in rows})
        c.layer, c.spec, c.inputs = index, layer, network.input_shapes[index]
        c.buffers = {
            name: Table(_count(row), row, parameter=True, fixed=True, across=True)
            for name, row in buffers[index].items()
        }
        outputs = [p.inputs if source < 0 else p.layers[source].output.a for source in network.sources[index]]
        x: Any = outputs if layer.apart else outputs[0]
        if len(outputs) > 1 and not layer.apart:
            combine = {"add": c.add, "multiply": _product_of(c), "concat": c.join}[layer.combine or "add"]
            x = combine(outputs, role="combined")
        output = stages.equations(c, layer, x, owned[index], network.input_shapes[index])
        l = LayerPass(
            index=index,
            output=output,
            units=network.widths[index],
            parameters={} if layer.shares else owned[index],
        )
        _report(l, layer.reported, p, m)
        for name, table in output.buffers.items():
            last = p.learning_rate is None or step_is_last(p)
            l.buffers[name] = m.seen_row(f"{name}_buffer", index, p.step, table.values, (table.units,), last=last)
        p.layers.append(l)


def step_is_last(p: Pass) -> bool:
    """Whether no pass follows."""
    return p.step == p.case.steps - 1


def _count(row: Any) -> int:
    rows = getattr(row, "rows", None)
    return len(rows[0]) if rows is not None else row.value.shape[1]


def _product_of(c: Circuit) -> Any:
    def product(tables: list[Table], role: str = "") -> Table:
        x = tables[0]
        for other in tables[1:]:
            x = c.multiply(x, other, role=role)
        return x

    return product


def _report(l: LayerPass, reported: tuple[str, ...], p: Pass, m: Any) -> None:
    """Show what the layer reports, and continue with what an implementation reported in its place."""
    for quantity, tables in (("z", l.output.z), ("a", [l.output.a])):
        if quantity == "z" and "z" not in reported and l.output.a in tables:
            for table in tables:
                table.reported = Reported(l.index, "z", 0, table.units)
            continue
        width, start = sum(table.units for table in tables), 0
        for table in tables:
            if table.reported is None or quantity != "z":  # else the layer has shown it already
                table.values = m.seen_part(quantity, l.index, p.step, table.values, start, width)
            if quantity == "z":
                table.reported = Reported(l.index, "z", start, width)
            start += table.units
        setattr(l, quantity, m.joined([table.values for table in tables]))


def loss(p: Pass, m: Any, stages: Stages) -> None:
    """L: the mean or the sum of the samples' losses, plus the penalty."""
    units, dense = p.layers[-1].units, as_dense(p)
    terms, losses = m.grid(p.samples, units), m.grid(p.samples, 1)
    for s in m.each(p.samples):
        for k in m.each(units):
            terms[s, k] = stages.loss_term(dense, s, k)
        losses[s, 0] = stages.sample_loss(dense, terms, s)
    (only,) = m.each(1)
    total = stages.batch_loss(dense, m.total(losses[ALL, ONE[only]]))
    if p.regularization is not None:
        total = total + stages.penalty(p)
    p.loss = m.seen("loss", None, p.step, total)


class _Last:
    """The last layer, in the form that the stages of the loss read."""

    def __init__(self, l: LayerPass, activation: str) -> None:
        self.units, self.activation, self.a, self.z = l.units, activation, l.a, l.z


class _AsDense:
    """A pass in the form that the stages of the loss read: with its last layer only."""

    def __init__(self, p: Pass) -> None:
        last = p.layers[-1]
        self.layers = [_Last(last, _function_of(last.output.a.made_by))]
        self.case, self.samples, self.reduction, self.targets = p.case, p.samples, p.reduction, p.targets
        self.loss_kind, self.threshold = p.loss_kind, p.threshold


def _function_of(rule: Rule | None) -> str:
    """The activation that a rule computes; a softmax over groups of the units gets another name than one over all."""
    if isinstance(rule, Softmax):
        groups, units = rule.groups, rule.out.units
        whole = groups.width == units if groups.width else all(len(row) == units for row in groups.rows)
        return rule.name if whole else f"{rule.name} in groups"
    return rule.name if isinstance(rule, Function) else "identity"


def as_dense(p: Pass) -> Any:
    """The pass in the form that the stages of the loss read."""
    return _AsDense(p)


def backward(p: Pass, m: Any, stages: Stages) -> None:
    """From the loss to every gradient, the last table first."""
    tables = list(p.circuit.tables)
    last = p.layers[-1].output.a
    matched = matched_rule(p, last)
    if matched is None:
        _seed(p, last, m, stages)
    for table in reversed(tables):
        if matched is not None and table is last:
            continue  # its loss undoes its activation: what is behind that has its ∂L/∂z already
        if matched is not None and table is matched.x:
            _matched_error(p, last, matched, m, stages)
        else:
            p.circuit.flow_back(table)
        if table.reported is not None:
            at = table.reported
            table.error = m.seen_part("delta", at.layer, p.step, table.error, at.start, at.width)
    for l in p.layers:
        l.delta = m.joined([table.error for table in l.output.z])
    network = p.case.network
    for l in p.layers:
        for name, table in l.parameters.items():
            p.circuit.flow_back(table)
            if p.regularization is not None:
                table.error = penalized(p, l, name, m, stages)
            shape = trace_shape(network.layers[l.index].parameter_shapes(network.input_shapes[l.index])[name])
            quantity = f"{quantity_of(name)}_gradient"
            table.error = m.seen_row(quantity, l.index, p.step, table.error, shape)
            l.gradients[quantity_of(name)] = table.error
    p.circuit.flow_back(p.inputs)
    p.input_gradient = m.seen_part("input_gradient", None, p.step, p.inputs.error, 0, p.inputs.units)


def _seed(p: Pass, last: Table, m: Any, stages: Stages) -> None:
    """Let the loss's derivative ∂L/∂a flow into the output."""
    given = Table(last.units, m.grid(p.samples, last.units))
    dense = as_dense(p)
    for s in m.each(p.samples):
        for k in m.each(last.units):
            given.values[s, k] = stages.output_error(dense, s, k)
    last.readers.append((Given(given), ("loss", 0)))


def matched_rule(p: Pass, last: Table) -> Any:
    """The output's activation, if the loss undoes it (sigmoid or softmax with its cross-entropy); else None."""
    rule = last.made_by
    if len(last.readers) or not p.circuit.stages.fused:
        return None
    if isinstance(rule, Function) and (rule.name, p.loss_kind) == ("sigmoid", "binary_cross_entropy"):
        return rule
    if isinstance(rule, Softmax) and not rule.logarithm and p.loss_kind == "cross_entropy":
        return rule
    return None


def _matched_error(p: Pass, last: Table, rule: Any, m: Any, stages: Stages) -> None:
    """∂L/∂z = p Σt − t, with the sum over the softmax's group (p − t for a sigmoid); or by the chain rule."""
    z: Table = rule.x
    last.error, z.error = m.grid(p.samples, last.units), m.grid(p.samples, z.units)
    dense = as_dense(p)

    def composed(s: Any, i: Any) -> Any:
        for k in m.each(last.units):
            last.error[s, k] = stages.output_error(dense, s, k)
        return m.dots([stages.share(rule, ("x", 0), s, i)], [])

    for s in m.each(p.samples):
        for i in m.each(z.units):
            z.error[s, i] = stages.matched_error(p, rule, s, i, functools.partial(composed, s, i))


def penalized(p: Pass, l: LayerPass, name: str, m: Any, stages: Stages) -> Any:
    """The gradients of a parameter with the derivative of the penalty."""
    table = l.parameters[name]
    row = m.row(table.units)
    for i in m.each(table.units):
        row[0, i] = stages.penalized_number(p, l, name, i, table.error[0, i])
    return row


def update(p: Pass, learning_rate: float, m: Any, stages: Stages, *, last: bool) -> list[Named]:
    """Every parameter after the step, computed when all gradients are known."""
    stages.before_update(p)
    p.training = stages.training()
    network, result = p.case.network, []
    for l in p.layers:
        named: Named = {}
        shapes = network.layers[l.index].parameter_shapes(network.input_shapes[l.index])
        for name, table in l.parameters.items():
            row = m.row(table.units)
            for i in m.each(table.units):
                row[0, i] = stages.updated_number(l, name, i, learning_rate)
            quantity = f"updated_{quantity_of(name)}"
            named[name] = m.seen_row(quantity, l.index, p.step, row, trace_shape(shapes[name]), last=last)
        result.append(named)
    return result


def trace_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A parameter's shape in a trace: its first index, and all others flattened into one."""
    return shape if len(shape) < 2 else (shape[0], size(shape[1:]))  # noqa: PLR2004 - a list

"""BP117: a recursion that visits a neuron once for each path to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import SwappedRules
from backprop_check.functions.activations import LAYERWISE
from backprop_check.kinds.kind import quantity_of
from backprop_check.kinds.wiring import Index, Places
from backprop_check.reference.passes import (
    backward,
    begin,
    forward,
    loss,
    penalized,
    step_is_last,
    trace_shape,
    update,
)
from backprop_check.reference.rules import ALL

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.reference.passes import LayerPass, Pass
    from backprop_check.reference.rules import Table

#: A recursion along every path takes as long as there are paths.
_PATHS = 300


class PathsVisitedAgain(SwappedRules):
    """A recursion that visits a neuron once for each path; ``piling_up``: δ accumulates, too.

    Each visit uses the whole error of the neuron so far. It is made in chains of dense layers.
    """

    piling_up: ClassVar[bool] = False

    def whole_pass(self, right: Any, case: Case, parameters: Any, buffers: Any, step: int) -> Any:
        del right
        m = self.m
        p = begin(case, m, self, step)
        forward(p, parameters, buffers, m, self)
        loss(p, m, self)
        with m.unseen():
            backward(p, m, self)  # for δ of the output
        recursion = _Recursion(p, m, piling_up=self.piling_up)
        for s in m.each(p.samples):
            recursion.of_sample(s)
        recursion.show(self)
        if p.learning_rate is not None:
            p.updated = update(p, p.learning_rate, m, self, last=step_is_last(p))
        return p

    @classmethod
    def matters(cls, case: Case) -> bool:
        layers = case.network.layers
        if case.network.families or len(layers) == 1 or any(each.activation in LAYERWISE for each in layers[:-1]):
            return False
        paths = 1
        for layer in layers:
            paths *= layer.units
        return paths <= _PATHS


class _Recursion:
    """The current values of the recursion: δ of every neuron, and the gradients of its parameters, sample by sample."""

    def __init__(self, p: Pass, m: Any, *, piling_up: bool) -> None:
        self.p, self.m, self.piling_up = p, m, piling_up
        self.output = p.layers[-1].output.z[0].error
        self.tables = {table: m.grid(p.samples, table.units) for table in [p.inputs, *map(_z, p.layers)]}
        self.tables |= {w: m.grid(p.samples, w.units) for l in p.layers for w in l.parameters.values()}

    def of_sample(self, s: Any) -> None:
        """Visit every output, and keep the values after that."""
        p, m, last = self.p, self.m, self.p.layers[-1]
        self.s = s
        self.so_far: dict[tuple[Table, int], Any] = {}
        nought = 0.0 * self._number(self.output, 0)
        for table in self.tables:
            self.so_far |= {(table, i): nought for i in range(table.units)}
        errors = {(l.output.a, i): nought for l in p.layers for i in range(l.units)}
        self.errors = errors | {(p.inputs, i): nought for i in range(p.inputs.units)}
        for k in range(last.units):
            self._visit(len(p.layers) - 1, k, self._number(self.output, k))
        self.so_far |= {(p.inputs, i): self.errors[p.inputs, i] for i in range(p.inputs.units)}
        for o in m.each(1):
            for (table, i), number in self.so_far.items():
                self.tables[table][s, Index([[i]])[o]] = m.one(number)

    def _number(self, values: Any, i: int) -> Any:
        """Column i of a table, for this sample."""
        (o,) = self.m.each(1)
        return values[self.s, Places([i])[o]]

    def _visit(self, layer: int, j: int, delta: Any) -> None:
        """Add to the neuron's gradients, and visit all neurons that it reads."""
        l = self.p.layers[layer]
        z, x = _z(l), self.p.layers[layer - 1].output.a if layer else self.p.inputs
        weights, biases = l.parameters["weights"], l.parameters["biases"]
        own = self.so_far[z, j] + delta if self.piling_up else delta
        self.so_far[z, j] = own
        self.so_far[biases, j] = self.so_far[biases, j] + own
        for i in range(x.units):
            k = j * x.units + i
            self.so_far[weights, k] = self.so_far[weights, k] + own * self._number(x.values, i)
            self.errors[x, i] = self.errors[x, i] + own * self._number(weights.values, k)
            if layer:
                self._visit(layer - 1, i, self._through(x, i))

    def _through(self, a: Table, i: int) -> Any:
        """The error of neuron i so far, times φ′(z)."""
        rule: Any = a.made_by
        (o,) = self.m.each(1)
        error = self.errors[a, i]
        return error * rule.slope(self.m, self.s, Places([i])[o]) if rule.out.role == "a" else error

    def show(self, stages: Any) -> None:
        """Report the δ and the gradients."""
        p, m, network = self.p, self.m, self.p.case.network
        for l in p.layers:
            z = _z(l)
            l.delta = z.error = m.seen_part("delta", l.index, p.step, self.tables[z], 0, z.units)
            shapes = network.layers[l.index].parameter_shapes(network.input_shapes[l.index])
            for name, table in l.parameters.items():
                table.error = self._over_samples(table)
                if p.regularization is not None:
                    table.error = penalized(p, l, name, m, stages)
                quantity, shape = f"{quantity_of(name)}_gradient", trace_shape(shapes[name])
                table.error = m.seen_row(quantity, l.index, p.step, table.error, shape)
                l.gradients[quantity_of(name)] = table.error
        p.inputs.error = self.tables[p.inputs]
        p.input_gradient = m.seen_part("input_gradient", None, p.step, p.inputs.error, 0, p.inputs.units)

    def _over_samples(self, table: Table) -> Any:
        """Σₛ of the gradients of a parameter."""
        row, own = self.m.row(table.units), Index([[k] for k in range(table.units)])
        for k in self.m.each(table.units):
            row[0, k] = self.m.total(self.tables[table][ALL, own[k]])
        return row


def _z(l: LayerPass) -> Table:
    """The pre-activations of a dense layer."""
    return l.output.z[0]

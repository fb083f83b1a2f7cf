"""The numbers in scope at a layer: those that were reported, and what follows from them, each with its bound."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.trace import Slot
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.functions.names import DEFAULT_ALPHA
from backprop_check.kinds.dense import Dense
from backprop_check.numbers.lane import Lane
from backprop_check.reference.passes import as_dense
from backprop_check.reference.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array
    from backprop_check.numbers.lanes import Lanes
    from backprop_check.reference import Pass


class Scope:
    """What a dense layer computes with: arrays ``[sample, neuron]``, and ``[neuron, input]`` for weights.

    The values are those that the implementation reported; what it did not report is computed from these. ``below`` is
    the dense layer that it reads, ``above`` the one that reads it; None where there is none.
    """

    def __init__(self, case: Case, p: Pass, m: Lanes, actual: Mapping[Slot, Array], index: int) -> None:
        self.case, self.p, self.m, self.actual, self.index = case, p, m, actual, index
        self.layer: Any = case.network.layers[index]
        self.last = index == len(case.network.layers) - 1
        self.activation: str = self.layer.activation
        self.samples, self.units = len(case.inputs), case.network.widths[index]
        self.inputs = case.network.input_units if self.source < 0 else case.network.widths[self.source]

    @property
    def source(self) -> int:
        """The layer that it reads; −1 is the network's input."""
        return self.case.network.sources[self.index][0]

    @functools.cached_property
    def below(self) -> Scope | None:
        """The layer that it reads."""
        return None if self.source < 0 else Scope(self.case, self.p, self.m, self.actual, self.source)

    @functools.cached_property
    def above(self) -> Scope | None:
        """The layer that reads it."""
        readers = [at for at, sources in enumerate(self.case.network.sources) if self.index in sources]
        return Scope(self.case, self.p, self.m, self.actual, readers[0]) if readers else None

    @property
    def alpha(self) -> float:
        """The activation's α."""
        given = self.layer.alpha
        return float(DEFAULT_ALPHA.get(self.activation, 0.0) if given is None else given)

    @functools.cached_property
    def z(self) -> Lane:
        """The pre-activations."""
        return _lane(self.p.layers[self.index].z)

    @functools.cached_property
    def a(self) -> Lane:
        """The activations."""
        return _lane(self.p.layers[self.index].a)

    @functools.cached_property
    def delta(self) -> Lane:
        """∂L/∂z."""
        (z,) = self.p.layers[self.index].output.z
        return _lane(z.error)

    @functools.cached_property
    def x(self) -> Lane:
        """What the layer reads."""
        return _lane(self.p.inputs.values) if self.below is None else self.below.a

    @functools.cached_property
    def t(self) -> Lane:
        """The targets."""
        return _lane(self.p.targets)

    @functools.cached_property
    def w(self) -> Lane:
        """The weights ``[neuron, input]``."""
        return self._parameter("weights", self.units, self.inputs)

    @functools.cached_property
    def b(self) -> Lane:
        """The biases."""
        return self._parameter("biases", 1, self.units)

    @functools.cached_property
    def w_new(self) -> Lane | None:
        """The weights after the step; None where the case has none, or they were not reported."""
        values = self.actual.get(Slot("updated_weight", self.index, 0))
        return None if values is None else Lane(values, self.m.u * abs(values) * 4.0, self.m.u)

    def gradient(self, quantity: str) -> Lane | None:
        """The reported gradient of ``weight`` or ``bias``."""
        values = self.actual.get(Slot(f"{quantity}_gradient", self.index))
        return None if values is None else Lane(values, self.m.u * abs(values) * 4.0, self.m.u)

    @functools.cached_property
    def e(self) -> Lane:
        """∂L/∂a: of the output by the loss, of others from the δ of the layer above, as these were reported."""
        if not self.last:
            return _lane(self.p.layers[self.index].output.a.error)
        m, dense = self.m, as_dense(self.p)
        grid, stages = m.grid(self.samples, self.units), Stages(m)
        with m.unseen(), np.errstate(all="ignore"):
            for s in m.each(self.samples):
                for k in m.each(self.units):
                    grid[s, k] = stages.output_error(dense, s, k)
        return _lane(grid)

    @functools.cached_property
    def e_without_slopes(self) -> Lane:
        """∂L/∂a sent back from the output through the weights alone, as if every slope were 1."""
        above = self.above
        return self.e if above is None else times(above.e_without_slopes, above.w)

    def slope(self, activation: str, z: Lane, a: Lane) -> Lane | None:
        """φ′ of an activation of one neuron, by its formula in z and a; None for a softmax."""
        function = ELEMENTWISE.get(activation)
        if function is None:
            return None
        alpha = self.alpha if activation == self.activation else float(DEFAULT_ALPHA.get(activation, 0.0))
        with np.errstate(all="ignore"):
            found = function.derivative(self.m, z, a, alpha)
        return found if isinstance(found, Lane) else Lane(np.full(z.value.shape, float(found)), 0.0, self.m.u)

    def apply(self, activation: str, z: Lane) -> Lane | None:
        """φ(z) of an activation of one neuron; None for a softmax."""
        function = ELEMENTWISE.get(activation)
        if function is None:
            return None
        alpha = self.alpha if activation == self.activation else float(DEFAULT_ALPHA.get(activation, 0.0))
        with np.errstate(all="ignore"):
            found: Lane = function.value(self.m, z, alpha)
        return found

    def _parameter(self, name: str, *shape: int) -> Lane:
        table = self.p.layers[self.index].parameters[name].values
        error = table.error if isinstance(table.error, float) else np.broadcast_to(table.error, table.value.shape)
        return Lane(table.value.reshape(shape), error if isinstance(error, float) else error.reshape(shape), self.m.u)


class Jacobian(Lane):
    """The slope of a softmax (or of its logarithm): no factor of each neuron, but a sum over the layer."""

    __slots__ = ("logarithm",)

    def __init__(self, a: Lane, *, logarithm: bool, m: Lanes) -> None:
        p = m.exp(a) if logarithm else a
        super().__init__(p.value, p.error, p.u)
        self.logarithm = logarithm

    def applied(self, g: Lane) -> Lane:
        """pⱼ (gⱼ − Σₖ gₖ pₖ), or gⱼ − pⱼ Σₖ gₖ for the logarithm."""
        p = Lane(self.value, self.error, self.u)
        if self.logarithm:
            return g - p * _over_neurons(g)
        return p * (g - _over_neurons(g * p))


def _over_neurons(x: Lane) -> Lane:
    """The sum over the neurons of each sample."""
    error = np.broadcast_to(x.error, x.value.shape).sum(axis=1, keepdims=True)
    bound = error + x.value.shape[1] * x.u * abs(x.value).sum(axis=1, keepdims=True)
    return Lane(x.value.sum(axis=1, keepdims=True), bound, x.u)


def usable(case: Case, index: int) -> bool:
    """Whether a layer's formulas are those of a dense layer among dense layers, each reading one other."""
    network = case.network
    sources = network.sources[index]
    readers = [at for at, read in enumerate(network.sources) if index in read]
    near = [index, *(source for source in sources if source >= 0), *readers]
    return (
        len(sources) == 1
        and len(readers) <= 1
        and all(type(network.layers[at]) is Dense and not network.layers[at].shares for at in near)
        and all(len(network.sources[at]) == 1 for at in near)
    )


def times(x: Lane, y: Lane) -> Lane:
    """The product of two matrices, with the bound of its sums (Higham §3.5)."""
    terms = x.value.shape[-1]
    ex, ey = (np.broadcast_to(each.error, each.value.shape) for each in (x, y))
    size_x, size_y = abs(x.value), abs(y.value)
    gamma = (terms + 2) * x.u
    with np.errstate(all="ignore"):
        error = size_x @ ey + ex @ size_y + ex @ ey + gamma * (size_x @ size_y)
        return Lane(x.value @ y.value, error, x.u)


def turned(x: Lane) -> Lane:
    """The transposed matrix."""
    return Lane(x.value.T, x.error if isinstance(x.error, float) else x.error.T, x.u)


def summed(x: Lane) -> Lane:
    """The sum over the samples."""
    error = np.broadcast_to(x.error, x.value.shape)
    with np.errstate(all="ignore"):
        bound = error.sum(axis=0) + len(x.value) * x.u * abs(x.value).sum(axis=0)
        return Lane(x.value.sum(axis=0), bound, x.u)


def _lane(table: Any) -> Lane:
    error = table.error
    return Lane(table.value, error if isinstance(error, float) else np.broadcast_to(error, table.value.shape), table.u)

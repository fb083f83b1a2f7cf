"""What named bugs of several families ask of a rule, and do to what flows back through it.

A share is what ``Rule.share`` gives: two vectors, ∂L/∂out and ∂out/∂i (None: 1 each), whose products are added.
"""

from __future__ import annotations

import functools
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np

from backprop_check.diagnose.bug import SwappedRules
from backprop_check.kinds.dense import Dense
from backprop_check.kinds.tokens import Linear
from backprop_check.kinds.wiring import Factor, Index, Places, Wiring
from backprop_check.reference.rules import Function, Given, Softmax, WeightedSum

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.kinds.kind import Shape
    from backprop_check.reference.rules import Rule, Table

Share = tuple[Any, Any]
Terms = list[tuple[Any, Any]]


def several_layers(case: Case) -> bool:
    """Whether a network has hidden layers."""
    return len(case.network.layers) > 1


def several_samples(case: Case) -> bool:
    """Whether a batch has more than one sample."""
    return len(case.inputs) > 1


def may_be_square(case: Case) -> bool:
    """Whether a dense layer has as many inputs as neurons, or a layer of tokens as many features out as in."""
    network = case.network
    return any(
        (isinstance(layer, Dense) and layer.units == math.prod(shape))
        or (isinstance(layer, Linear) and layer.out_features == shape[-1])
        for layer, shape in zip(network.layers, network.input_shapes, strict=True)
    )


def is_activation(rule: Rule | None) -> bool:
    """Whether a rule is a layer's activation (and no function inside of it, such as a gate's)."""
    return rule is not None and rule.out.role == "a" and isinstance(rule, Function | Softmax)


def is_slope(rule: Rule | None, names: Container[str] | None = None) -> TypeGuard[Function]:
    """Whether a rule is a layer's activation of single neurons, one of ``names`` (None: whichever)."""
    return isinstance(rule, Function) and is_activation(rule) and (names is None or rule.name in names)


def sloped(m: Any, rule: Rule, s: Any, i: Any, slope: Any) -> Share:
    """∂L/∂a and what is taken for φ′."""
    return m.one(rule.out.error[s, i]), m.one(slope)


def activated(z: Table) -> Table:
    """A layer's output by its pre-activations: these themselves, where it has no activation."""
    return next((reader.out for reader, _ in z.readers if is_activation(reader)), z)


def is_output(rule: Rule) -> bool:
    """Whether what the rule makes is the network's output. On the way back only.

    The loss reads it; or nothing does, where the loss gives ∂L/∂z at once.
    """
    return not rule.out.readers or any(isinstance(reader, Given) for reader, _ in rule.out.readers)


def is_last(rule: Rule) -> bool:
    """Whether a rule is of the network's last layer; in both directions."""
    return rule.layer == len(rule.case.network.layers) - 1


def is_dense(rule: Rule | None) -> bool:
    """Whether a rule is a dense layer's z = Σ w x + b."""
    if not isinstance(rule, WeightedSum) or rule.spec is None or rule.spec.kind != "dense":
        return False
    weights = rule.sources[0].weights
    return rule.out.role != "combined" and weights is not None and weights.parameter


def dense_or_linear(rule: Rule) -> bool:
    """Whether a rule is a dense layer's sum, or that of a layer that does the same with every token."""
    if is_dense(rule):
        return True
    if not isinstance(rule, WeightedSum) or rule.spec is None or rule.spec.kind != "linear":
        return False
    weights = rule.sources[0].weights
    return rule.out.role != "combined" and weights is not None and weights.parameter


def is_learnt(table: Table | None) -> TypeGuard[Table]:
    """Whether a table is a parameter, which has a gradient of its own."""
    return table is not None and table.parameter and not (table.fixed or table.across)


def parameter_beside(rule: Rule, role: tuple[str, int], what: str, kinds: tuple[str, ...]) -> Table | None:
    """The parameter by which a layer of these kinds multiplies, where its sum is read in the role ``what``."""
    if role[0] != what or not isinstance(rule, WeightedSum) or rule.spec.kind not in kinds:
        return None
    w = rule.sources[role[1]].weights
    return w if w is not None and w.parameter else None


def shape_of(rule: Rule, parameter: Table) -> Shape:
    """The shape of a parameter that a layer's rule reads, as the case has it: a dense layer's is (units, inputs)."""
    found: Shape = rule.spec.parameter_shapes(rule.inputs)[parameter.role]
    return found


def is_matrix(shape: Shape) -> bool:
    """Whether an array has rows and columns, as the weights of a dense layer: one row a neuron."""
    return len(shape) == 2  # noqa: PLR2004


def column_after_column(shape: Shape) -> list[int]:
    """For weight (r, c) of a matrix, row after row, the place c · rows + r: where it is if columns come first.

    In a square matrix that is the place of weight (c, r).
    """
    rows, columns = shape
    found: list[int] = np.arange(rows * columns).reshape(columns, rows).T.ravel().tolist()
    return found


def reordered(m: Any, values: Any, places: Sequence[int]) -> Any:
    """A row whose number k is number ``places[k]`` of ``values``."""
    row, at = m.row(len(places)), Places(places)
    for k in m.each(len(places)):
        row[0, k] = values[0, at[k]]
    return row


@functools.lru_cache(maxsize=256)
def column_major(wiring: Wiring, shape: Shape) -> Wiring:
    """The same wiring, its weights taken from where they are in a matrix of this shape whose columns come first."""
    places, product = np.array(column_after_column(shape)), wiring.product
    if product is None:
        positions, mask = wiring.uses.arrays
        return Wiring(wiring.inputs, wiring.weights, wiring.reads, Index.of_array(places[positions], mask))
    w = product.w
    at = np.arange(w.first, w.first + w.size) if w.at is None else w.at.ravel()
    at = np.where(at < 0, at, places[at]).reshape(w.shape)  # below 0: a place that no weight has
    return Wiring.of_product(product.x, Factor(w.letters, w.shape, w.table, at=at), product.out)


def terms(rule: WeightedSum, s: Any, o: Any) -> Terms:
    """What unit o of a weighted sum adds up, its biases apart: for every source a vector of x and one of weights."""
    return [
        (
            source.x.values[s, source.wiring.reads[o]],
            None if source.weights is None else source.weights.values[s, source.wiring.uses[o]],
        )
        for source in rule.sources
    ]


def nothing(m: Any, share: Share) -> Share:
    """The same share, with slopes of 0."""
    return share[0], m.vector(lambda x: 0.0 * x, share[0])


def times(m: Any, factor: float, share: Share) -> Share:
    """The same share, times a number."""
    g, slopes = share
    return m.vector(lambda x: m.number(factor) * x, g), slopes


def of_samples(m: Any, rule: Rule, portions: Sequence[float]) -> Any:
    """The errors of what a rule makes, those of each sample times its portion."""
    of, found = m.given_grid([[portion] for portion in portions]), m.grid(len(portions), rule.out.units)
    for s in m.each(len(portions)):
        for o in m.each(rule.out.units):
            found[s, o] = of[s, 0] * rule.out.error[s, o]
    return found


@contextmanager
def instead(of: Any, **other: Any) -> Iterator[None]:
    """Another ``values`` or ``error`` of a table, or ``targets`` of a pass, or method of a circuit, within a block."""
    right = {name: getattr(of, name) for name in other}
    try:
        vars(of).update(other)
        yield
    finally:
        vars(of).update(right)


class LinearLayersToo(SwappedRules):
    """An identity is a function like the others: usually it makes no rule."""

    common = True
    identity_too: ClassVar[bool] = True

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        """What the layer computes, its identity written as a = φ(z)."""
        if not self.identity_too:
            return super().equations(c, layer, x, parameters, inputs)
        right = c.activate

        def activate(
            name: str, z: Table, alpha: float | None = None, groups: Callable[[], Index] | None = None
        ) -> Table:
            made: Table = c.function(name, z, role="a") if name == "identity" else right(name, z, alpha, groups)
            return made

        with instead(c, activate=activate):
            return super().equations(c, layer, x, parameters, inputs)


class WithoutLast:
    """A wiring in which every unit reads all inputs but its last; and one in which the last unit that reads counts."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    @functools.cached_property
    def inputs(self) -> tuple[Index, Index]:
        """For every unit all that it reads but the last, and through which weights."""
        return _cut(self._wiring.reads, slice(-1)), _cut(self._wiring.uses, slice(-1))

    @functools.cached_property
    def readers(self) -> tuple[Index, Index]:
        """For every input all units that read it but the last, and through which weights."""
        units, weights = self._wiring.by_input
        return _cut(units, slice(-1)), _cut(weights, slice(-1))

    @functools.cached_property
    def last_reader(self) -> tuple[Index, Index]:
        """For every input the last unit that reads it, and through which weight."""
        units, weights = self._wiring.by_input
        return _cut(units, slice(-1, None)), _cut(weights, slice(-1, None))


def _cut(index: Index, part: slice) -> Index:
    return Index([row[part] for row in index.rows])


@functools.lru_cache(maxsize=256)
def without_last(wiring: Wiring) -> WithoutLast:
    """The parts of a wiring, found once."""
    return WithoutLast(wiring)

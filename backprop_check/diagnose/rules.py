"""Tests and transformations of rules that named bugs of several families use.

A share is the result of ``Rule.share``: two vectors, ∂L/∂out and ∂out/∂i (None: 1 each), whose products are summed.
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
    """Whether a dense layer has as many neurons as inputs, or a linear layer as many output as input features."""
    network = case.network
    return any(
        (isinstance(layer, Dense) and layer.units == math.prod(shape))
        or (isinstance(layer, Linear) and layer.out_features == shape[-1])
        for layer, shape in zip(network.layers, network.input_shapes, strict=True)
    )


def is_activation(rule: Rule | None) -> bool:
    """Whether a rule is a layer's activation (not a function inside a layer, such as that of a gate)."""
    return rule is not None and rule.out.role == "a" and isinstance(rule, Function | Softmax)


def is_slope(rule: Rule | None, names: Container[str] | None = None) -> TypeGuard[Function]:
    """Whether a rule is an elementwise activation of a layer, one of ``names`` (None: any)."""
    return isinstance(rule, Function) and is_activation(rule) and (names is None or rule.name in names)


def sloped(m: Any, rule: Rule, s: Any, i: Any, slope: Any) -> Share:
    """The share of ∂L/∂a and ``slope`` in place of φ′."""
    return m.one(rule.out.error[s, i]), m.one(slope)


def activated(z: Table) -> Table:
    """The output of a layer with these pre-activations; the table itself where there is no activation."""
    return next((reader.out for reader, _ in z.readers if is_activation(reader)), z)


def is_output(rule: Rule) -> bool:
    """Whether the rule computes the network's output. Known only in the backward pass.

    The loss reads it; or nothing does, where the loss gives ∂L/∂z directly.
    """
    return not rule.out.readers or any(isinstance(reader, Given) for reader, _ in rule.out.readers)


def is_last(rule: Rule) -> bool:
    """Whether a rule belongs to the network's last layer; known in both passes."""
    return rule.layer == len(rule.case.network.layers) - 1


def is_dense(rule: Rule | None) -> bool:
    """Whether a rule is z = Σ w x + b of a dense layer."""
    if not isinstance(rule, WeightedSum) or rule.spec is None or rule.spec.kind != "dense":
        return False
    weights = rule.sources[0].weights
    return rule.out.role != "combined" and weights is not None and weights.parameter


def dense_or_linear(rule: Rule) -> bool:
    """Whether a rule is the sum of a dense layer, or of a linear layer, which does the same for every token."""
    if is_dense(rule):
        return True
    if not isinstance(rule, WeightedSum) or rule.spec is None or rule.spec.kind != "linear":
        return False
    weights = rule.sources[0].weights
    return rule.out.role != "combined" and weights is not None and weights.parameter


def is_learnt(table: Table | None) -> TypeGuard[Table]:
    """Whether a table is a parameter that has a gradient."""
    return table is not None and table.parameter and not (table.fixed or table.across)


def parameter_factor(rule: Rule, role: tuple[str, int], what: str, kinds: tuple[str, ...]) -> Table | None:
    """The parameter that multiplies ``x`` in the sum of a layer of these kinds, if the share is that of ``what``;
    else None.
    """
    if role[0] != what or not isinstance(rule, WeightedSum) or rule.spec.kind not in kinds:
        return None
    w = rule.sources[role[1]].weights
    return w if w is not None and w.parameter else None


def shape_of(rule: Rule, parameter: Table) -> Shape:
    """The shape of a parameter in the case; that of a dense layer's weights is (units, inputs)."""
    found: Shape = rule.spec.parameter_shapes(rule.inputs)[parameter.role]
    return found


def is_matrix(shape: Shape) -> bool:
    """Whether an array has rows and columns, as a dense layer's weights have."""
    return len(shape) == 2  # noqa: PLR2004


def column_after_column(shape: Shape) -> list[int]:
    """For weight (r, c) of a matrix in row-major order, its position c · rows + r in column-major order.

    In a square matrix that is the position of weight (c, r).
    """
    rows, columns = shape
    found: list[int] = np.arange(rows * columns).reshape(columns, rows).T.ravel().tolist()
    return found


def reordered(m: Any, values: Any, places: Sequence[int]) -> Any:
    """A row whose number k is ``values[places[k]]``."""
    row, at = m.row(len(places)), Places(places)
    for k in m.each(len(places)):
        row[0, k] = values[0, at[k]]
    return row


@functools.lru_cache(maxsize=256)
def column_major(wiring: Wiring, shape: Shape) -> Wiring:
    """The same wiring with weights at their positions in a column-major matrix of this shape."""
    places, product = np.array(column_after_column(shape)), wiring.product
    if product is None:
        positions, mask = wiring.uses.arrays
        return Wiring(wiring.inputs, wiring.weights, wiring.reads, Index.of_array(places[positions], mask))
    w = product.w
    at = np.arange(w.first, w.first + w.size) if w.at is None else w.at.ravel()
    at = np.where(at < 0, at, places[at]).reshape(w.shape)  # below 0: no position
    return Wiring.of_product(product.x, Factor(w.letters, w.shape, w.table, at=at), product.out)


def terms(rule: WeightedSum, s: Any, o: Any) -> Terms:
    """The terms of unit o of a weighted sum without its biases: for every source a vector of x and one of weights."""
    return [
        (
            source.x.values[s, source.wiring.reads[o]],
            None if source.weights is None else source.weights.values[s, source.wiring.uses[o]],
        )
        for source in rule.sources
    ]


def nothing(m: Any, share: Share) -> Share:
    """The same share with slopes of 0."""
    return share[0], m.vector(lambda x: 0.0 * x, share[0])


def times(m: Any, factor: float, share: Share) -> Share:
    """The same share multiplied by a number."""
    g, slopes = share
    return m.vector(lambda x: m.number(factor) * x, g), slopes


def of_samples(m: Any, rule: Rule, portions: Sequence[float]) -> Any:
    """The errors of a rule's output, those of each sample multiplied by its portion."""
    of, found = m.given_grid([[portion] for portion in portions]), m.grid(len(portions), rule.out.units)
    for s in m.each(len(portions)):
        for o in m.each(rule.out.units):
            found[s, o] = of[s, 0] * rule.out.error[s, o]
    return found


@contextmanager
def instead(of: Any, **other: Any) -> Iterator[None]:
    """Replace attributes of an object (a table, a pass, a circuit) within a block."""
    right = {name: getattr(of, name) for name in other}
    try:
        vars(of).update(other)
        yield
    finally:
        vars(of).update(right)


class LinearLayersToo(SwappedRules):
    """Makes a rule of every identity activation, which normally has none."""

    common = True
    identity_too: ClassVar[bool] = True

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        """The layer's equations, with an identity activation written as a = φ(z)."""
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
    """The parts of a wiring without each unit's last input, without each input's last reader, and the last reader
    alone.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    @functools.cached_property
    def inputs(self) -> tuple[Index, Index]:
        """For every unit all inputs but the last, and their weights."""
        return _cut(self._wiring.reads, slice(-1)), _cut(self._wiring.uses, slice(-1))

    @functools.cached_property
    def readers(self) -> tuple[Index, Index]:
        """For every input all units that read it but the last, and their weights."""
        units, weights = self._wiring.by_input
        return _cut(units, slice(-1)), _cut(weights, slice(-1))

    @functools.cached_property
    def last_reader(self) -> tuple[Index, Index]:
        """For every input the last unit that reads it, and its weight."""
        units, weights = self._wiring.by_input
        return _cut(units, slice(-1, None)), _cut(weights, slice(-1, None))


def _cut(index: Index, part: slice) -> Index:
    return Index([row[part] for row in index.rows])


@functools.lru_cache(maxsize=256)
def without_last(wiring: Wiring) -> WithoutLast:
    """The parts of a wiring, cached."""
    return WithoutLast(wiring)

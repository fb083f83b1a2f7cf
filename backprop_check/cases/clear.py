"""Which generated cases are kept: those in which no number lies where rounding could decide the result.

A demand is a distance that must not be negative, such as |z − kink| − 0.004. Each suite has a list of demands, which
the numbers of every training step must meet.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backprop_check.numbers import Scalars
from backprop_check.numbers.lanes import Lanes
from backprop_check.reference.passes import begin, forward, run_pass
from backprop_check.reference.rules import Function, Largest
from backprop_check.reference.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Mask
    from backprop_check.reference.passes import Pass

    Demand = Callable[[Pass, float], Iterator[Array]]

#: The least distance of z, and of a loss's e, from a kink: far larger than a rounding error in float32.
CLEAR = 0.004

#: The least distance of probabilities from 0 and 1, where their logarithms have poles.
POLE = 0.02

#: The largest number in size; larger ones, which overflow or saturate exponentials, belong in edge cases.
LARGEST = 12.0

#: The largest error bound in double precision. In single precision a bound is 2²⁹ times as large: above this limit it
#: would be too large to find any error.
LOOSE = 2.0**20 * 2.0**-53

#: The smallest gradient in size, apart from an exact 0, because an adaptive optimizer divides by the root of g².
SMALLEST_GRADIENT = 0.004

#: The least distance from 0 of a weight under an l1 penalty.
FROM_ZERO = 0.01

#: The least relative distance of gradients, or of their norm, from the limit at which they are clipped.
FROM_LIMIT = 0.02

#: The sign of a distance this close to 0 depends on the order of summation; a reading with a fixed order decides.
NEAR = 1e-9


class _Loops(Scalars):
    """Plain floats; a sum starts with its bias, as a loop over a neuron's inputs does."""

    def dots(self, terms: Sequence[tuple[Sequence[Any], Sequence[Any] | None]], plus: Sequence[Any]) -> Any:
        """The numbers in ``plus``, and then Σ xᵢ yᵢ in the order of the terms."""
        return super().dots([(list(plus), None), *terms], [])


class _Forward(Stages):
    """A pass that ends with the outputs."""

    def whole_pass(self, _: Any, case: Case, parameters: list[Any], buffers: list[Any], step: int) -> Pass:
        p = begin(case, self.m, self, step)
        forward(p, parameters, buffers, self.m, self)
        return p


class Demands(NamedTuple):
    """The demands of a suite, and the readings that check them: the next one where a distance is within ``NEAR`` of 0.

    Without ``gradients`` no demand concerns them, and in cases of one step they are not computed.
    """

    distances: tuple[Demand, ...]
    readings: tuple[Callable[[], Any], ...]
    gradients: bool = True


def is_clear(case: Case, demands: Demands, clear: float = CLEAR) -> bool:
    """Whether every number of every step meets the demands; ``clear`` is the least distance from kinks (0: any)."""
    room, stages = -math.inf, Stages if demands.gradients or case.steps > 1 else _Forward
    for reading in demands.readings:
        try:
            with np.errstate(all="ignore"):
                passes = run_pass(case, reading(), stages)
                found = [each for p in passes for distance in demands.distances for each in distance(p, clear)]
                room = float(np.min([np.min(each, initial=np.inf) for each in found], initial=np.inf))
        except (ArithmeticError, ValueError):  # a number overflows
            return False
        if not abs(room) < NEAR:  # also where it is NaN
            break
    return room >= 0


def array(table: Any) -> Array:
    """The numbers of a table of any reading, as an array."""
    return np.asarray(table.rows if hasattr(table, "rows") else table.value, dtype=float)


def _small(tables: Iterable[Any]) -> Iterator[Array]:
    return (LARGEST - abs(array(table)) for table in tables)


def _pre_activations(p: Pass, _clear: float) -> Iterator[Array]:
    """LARGEST − |z|."""
    return _small(l.z for l in p.layers)


def _every_number(p: Pass, _clear: float) -> Iterator[Array]:
    """LARGEST − |x| for every number that is computed; 1 − e/LOOSE for its bound e, where the reading has bounds."""
    yield from _small(table.values for table in p.circuit.tables)
    grids = [grid for table in p.circuit.tables for grid in (table.values, table.error)]
    yield from (np.asarray(1 - grid.error / LOOSE) for grid in grids if hasattr(grid, "error"))


def _weights_in_the_end(p: Pass, _clear: float) -> Iterator[Array]:
    """LARGEST − |w⁺| after the last of several steps."""
    if 1 < p.case.steps == p.step + 1:
        yield from _small(row for named in p.updated or () for name, row in named.items() if "weight" in name)


def _every_kink(p: Pass, clear: float, *, everywhere: bool = True) -> Iterator[Array]:
    """|z − kink| − clear for every function; or only where its gradient is not 0, since elsewhere the slope does
    not matter.
    """
    for table in p.circuit.tables if clear else ():
        rule = table.made_by
        if isinstance(rule, Function) and rule.function.kinks:
            x = array(rule.x.values)
            if not everywhere:
                x, flows = np.broadcast_arrays(x, array(table.error) != 0)
                x = x[flows]
            yield from (abs(x - kink) - clear for kink in rule.function.kinks)


def _kinks_and_ties(p: Pass, clear: float) -> Iterator[Array]:
    """|z − kink| − clear where the gradient is not 0; and of each maximum the largest minus the second largest −
    clear.
    """
    yield from _every_kink(p, clear, everywhere=False)
    for table in p.circuit.tables if clear else ():
        rule = table.made_by
        if isinstance(rule, Largest) and rule.wiring.reads.arrays[0].shape[-1] > 1:
            read = _read(rule, array(rule.x.values), -np.inf)
            ordered = np.sort(read, axis=-1)
            near = read > ordered[..., -1:] - clear
            gaps = ordered[..., -1] - ordered[..., -2] - clear
            yield gaps[(near & _sloping(p.circuit.m, rule)).any(axis=-1)]  # elsewhere a tie does not matter


def _read(rule: Largest, x: Array, filling: float) -> Array:
    """The inputs of every unit, [sample, unit, term]; shorter rows are padded with ``filling``."""
    positions, mask = rule.wiring.reads.arrays
    return x[:, positions] if mask is None else np.where(mask, x[:, positions], filling)


def _sloping(m: Any, rule: Largest) -> Mask:
    """Where the derivative of the activation that gave the inputs is not 0, as that of a dead ReLU is."""
    made, shape = rule.x.made_by, array(rule.x.values).shape
    if not isinstance(made, Function):
        return np.ones((), dtype=bool)
    slopes = m.grid(*shape)
    for s in m.each(shape[0]):
        for i in m.each(shape[1]):
            slopes[s, i] = made.slope(m, s, i)
    sloping: Mask = _read(rule, array(slopes), 0.0) != 0
    return sloping


def _loss(p: Pass, clear: float, *, classes: bool = False) -> Iterator[Array]:
    """|e| − clear for the e = a − t or 1 − t a at whose 0 a loss has its kink; a and 1 − a minus POLE for its poles.

    Cross-entropy's pole is demanded only where ``classes`` is true.
    """
    kind, a, t = p.loss_kind, array(p.layers[-1].a), np.array(p.case.targets)
    if clear and kind == "mean_absolute_error":
        yield abs(a - t) - clear
    elif clear and kind == "huber":
        yield abs(abs(a - t) - p.threshold) - clear
    elif clear and kind == "hinge":
        yield abs(1 - t * a) - clear
    elif kind == "binary_cross_entropy":
        yield from (a - POLE, 1 - POLE - a)
    elif kind == "cross_entropy" and classes:
        yield a - POLE


def gradients_of(p: Pass) -> Array:
    """The gradients of all parameters as one vector, including the part of a penalty."""
    return _row(array(table.error) for l in p.layers for table in l.parameters.values())


def norm_of(gradients: Array) -> float:
    """√ Σ g²."""
    return math.sqrt(sum(g * g for g in gradients.tolist()))


def _row(arrays: Iterable[Array]) -> Array:
    return np.concatenate([np.zeros(0), *(each.reshape(-1) for each in arrays)])


def _update(p: Pass, _clear: float) -> Iterator[Array]:
    """Demands on the sizes of weights and gradients, and on their distance from kinks and from what rounding
    decides.
    """
    named = [(name, array(table.values)) for l in p.layers for name, table in l.parameters.items()]
    w, g, clip, optimizer = _row(values for _, values in named), gradients_of(p), p.case.clip, p.case.optimizer
    yield from (LARGEST - abs(w), LARGEST - abs(g))
    penalty = p.case.regularization
    if penalty is not None and penalty.l1:
        yield from (abs(values) - FROM_ZERO for name, values in named if penalty.biases or "weight" in name)
    if clip is not None:
        sizes = abs(g) if clip.kind == "value" else np.array([norm_of(g)])
        yield abs(sizes - clip.limit) - FROM_LIMIT * clip.limit
        shortened = g * min(1.0, clip.limit / (norm_of(g) or clip.limit))
        g = shortened if clip.kind == "norm" else np.copysign(np.minimum(abs(g), clip.limit), g)
    if optimizer is not None and optimizer.kind != "sgd":
        d = g + (optimizer.settings["weight_decay"] if optimizer.kind != "adamw" else 0.0) * w
        yield (abs(d) - SMALLEST_GRADIENT)[d != 0]


def in_arrays() -> Any:
    """The reading that computes whole arrays with error bounds (float64)."""
    return Lanes(2.0**-53)


#: Chains of dense layers, with plain gradient descent or none.
CHAIN = Demands(
    (_pre_activations, _every_kink, _loss, _weights_in_the_end), (in_arrays, _Loops.of_floats), gradients=False
)

#: The same with any optimizer. These networks are so small that floats are faster than arrays.
TRAINED_CHAIN = Demands((_pre_activations, _every_kink, _loss, _update), (_Loops.of_floats,))

#: Layers of any kind, trained or not.
ANY_LAYERS = Demands((_every_number, _kinks_and_ties, partial(_loss, classes=True)), (in_arrays, Scalars.of_floats))

"""The search: which product of two operands, times a constant, gives all the numbers of a site.

A few numbers of one failing case are tried first; what fits them is tried on all numbers of all cases, with the bounds
of ``Lanes``. A formula is accepted only with enough evidence: a number that could lie anywhere in a range of size R,
and that the formula gives within b, counts log₂(R/2b) bits; from their sum the logarithm of the number of formulas
tried is subtracted.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backprop_check.diagnose.formulas import operands
from backprop_check.diagnose.formulas.scope import Jacobian, summed, times, turned
from backprop_check.numbers.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from backprop_check.compare.trace import Array, Mask, Slot
    from backprop_check.diagnose.formulas.operands import Operand
    from backprop_check.diagnose.formulas.scope import Scope

#: The evidence from which a formula is believed, in bits.
ENOUGH = 30.0

#: The most evidence that one number gives.
_MOST_BITS = 40.0

#: The numbers of a case with which formulas are sieved, and how far their ratios to the formula may differ: a share, or
#: so many roundings of the number type.
_PROBES = 6
_SAME, _ROUNDINGS = 2.0**-20, 256.0

#: The most edits of one formula.
_EDITS = 3

#: The most formulas that are tried on all numbers.
_SURVIVORS = 40


class Constant(NamedTuple):
    """A factor of a formula: its symbol and its value at a layer."""

    symbol: str
    value: Callable[[Scope], float]
    says: str


def _rate(scope: Scope) -> float:
    optimizer = scope.case.optimizer
    return math.nan if optimizer is None else float(optimizer.rate(0))


#: The factors that people forget or add.
CONSTANTS = (
    Constant("", lambda _: 1.0, ""),
    Constant("−", lambda _: -1.0, "the sign is wrong"),
    Constant("2", lambda _: 2.0, "it is multiplied by 2"),
    Constant("½", lambda _: 0.5, "it is multiplied by ½"),
    Constant("−2", lambda _: -2.0, "it is multiplied by −2"),
    Constant("n", lambda scope: float(scope.samples), "it is multiplied by the number of samples"),
    Constant("1/n", lambda scope: 1.0 / scope.samples, "it is divided by the number of samples"),
    Constant("K", lambda scope: float(scope.units), "it is multiplied by the number of neurons of the layer"),
    Constant("1/K", lambda scope: 1.0 / scope.units, "it is divided by the number of neurons of the layer"),
    Constant("1/I", lambda scope: 1.0 / scope.inputs, "it is divided by the number of inputs of the layer"),
    Constant("η", _rate, "it is multiplied by the learning rate"),
    Constant("−η", lambda scope: -_rate(scope), "it is multiplied by minus the learning rate"),
)


@dataclass(frozen=True)
class Formula:
    """A formula of a quantity: the constant, the two operands and the samples that are summed over."""

    quantity: str
    constant: Constant
    left: Operand
    right: Operand
    samples: str = ""

    @property
    def edits(self) -> int:
        """How many replacements it has."""
        return self.left.edits + self.right.edits + bool(self.constant.says) + bool(self.samples)

    @property
    def says(self) -> str:
        """What is different, in words."""
        only = {"first": "only the first sample is counted", "last": "only the last sample is counted", "": ""}
        parts = [self.left.says, self.right.says, self.constant.says, only[self.samples]]
        return "; ".join(part for part in parts if part)

    def numbers(self, scope: Scope) -> Lane | None:
        """Its numbers at a layer, with their bounds; None where it has none there."""
        left, right = self.left.numbers(scope), self.right.numbers(scope)
        if left is None or right is None:
            return None
        with np.errstate(all="ignore"):
            found = combined(self.quantity, left, right, self.samples, scope)
            if found is None:
                return None
            factor = self.constant.value(scope)
            return found if factor == 1.0 else found * factor


def combined(quantity: str, left: Lane, right: Lane, samples: str, scope: Scope) -> Lane | None:
    """The left and the right operand, as the formula of the quantity combines them."""
    if quantity == "z":
        return left + right
    if quantity in ("delta", "a", "input_gradient"):
        found = right.applied(left) if isinstance(right, Jacobian) else left * right
        return Lane(np.broadcast_to(found.value, (scope.samples, scope.units)), found.error, found.u)
    chosen = {"": slice(None), "first": slice(0, 1), "last": slice(-1, None)}[samples]
    left = _rows(left, scope.samples, chosen)
    if quantity == "bias_gradient":
        return summed(left * _rows(right, scope.samples, chosen))
    if right.value.shape == (scope.units, scope.inputs) and right.value is scope.w.value:
        total = summed(left)
        return Lane(total.value[:, None], np.broadcast_to(total.error, total.value.shape)[:, None], total.u) * right
    right = _rows(right, scope.samples, chosen)
    spread = Lane(
        np.broadcast_to(right.value, (len(right.value), scope.inputs)),
        right.error
        if isinstance(right.error, float)
        else np.broadcast_to(right.error, (len(right.value), scope.inputs)),
        right.u,
    )
    return times(turned(left), spread)


def _rows(lane: Lane, samples: int, chosen: slice) -> Lane:
    width = lane.value.shape[-1]
    value = np.broadcast_to(lane.value, (samples, width))[chosen]
    error = lane.error if isinstance(lane.error, float) else np.broadcast_to(lane.error, (samples, width))[chosen]
    return Lane(value, error, lane.u)


@dataclass(eq=False)
class Instance:
    """One array of a site in one case: its reported numbers (None: right), the right ones, and where they are wrong."""

    scope: Scope
    slot: Slot
    reported: Array | None
    right: Array
    allowed: Array
    failure: int
    wrong: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @functools.cached_property
    def is_wrong(self) -> bool:
        """Whether any of its numbers is wrong given its own inputs."""
        return bool(self.wrong.any())


class Found(NamedTuple):
    """A group of instances, and the formulas that give all their numbers."""

    formulas: list[Formula]
    group: list[Instance]
    covers: Callable[[Instance], bool]
    """Whether an instance, perhaps of another case, belongs to the group."""

    @property
    def name(self) -> str:
        """The quantity; δ of the output has a formula of its own."""
        formula = self.formulas[0]
        output = formula.quantity == "delta" and all(each.scope.last for each in self.group)
        return "delta output" if output else formula.quantity

    @property
    def mistake(self) -> tuple[str, str]:
        """What makes two findings one mistake: the same difference, in the same kind of quantity."""
        formula = self.formulas[0]
        kind = "gradient" if formula.quantity.endswith("gradient") else formula.quantity
        return kind, formula.says


def lists(quantity: str, *, output: bool) -> tuple[list[Operand], list[Operand], tuple[str, ...]]:
    """The left operands, the right operands, and the choices of samples for a quantity."""
    one = [operands.Operand("", lambda scope: Lane(np.ones((1, 1)), 0.0, scope.m.u), "", 0)]
    if quantity == "z":
        return list(operands.of_inputs_in_sum()), list(operands.biases()), ("",)
    if quantity == "a":
        return list(operands.functions()), one, ("",)
    if quantity == "delta":
        return list(operands.output_errors() if output else operands.sent_back()), list(operands.slopes()), ("",)
    if quantity == "bias_gradient":
        # A slope that is left out of δ reads better than δ divided by it, so a factor counts as two edits here.
        factors = [dataclasses.replace(each, edits=2) for each in operands.slopes() if not each.right and each.symbol]
        return list(operands.of_neuron()), [*one, *factors], ("", "first", "last")
    return list(operands.of_neuron()), list(operands.of_input()), ("", "first", "last")


def from_z(*, output: bool) -> Formula:
    """The correct formula of δ, with φ′ computed from z alone."""
    left = next(operands.output_errors() if output else operands.sent_back())
    return Formula("delta", CONSTANTS[0], left, operands.SLOPE_OF_Z)


def fitting(quantity: str, instances: Sequence[Instance]) -> list[Formula]:
    """The formulas with the fewest edits that give every number of these instances, with enough evidence."""
    wrong = [each for each in instances if each.is_wrong]
    probe = max(wrong, key=lambda each: (min(int(each.wrong.sum()), 30), each.scope.samples > 1, -each.failure))
    outputs = {each.scope.last for each in instances}
    left, right, samples = lists(quantity, output=outputs == {True})
    tried = len(left) * len(right) * len(samples) * len(CONSTANTS)
    found: list[Formula] = []
    for number, formula in enumerate(_survivors(quantity, probe, left, right, samples)):
        if number == _SURVIVORS or (found and formula.edits > found[0].edits):
            break
        if all(fits(formula, each) for each in instances) and _evidence(formula, wrong) - math.log2(tried) >= ENOUGH:
            found.append(formula)
    return found


def _survivors(
    quantity: str, probe: Instance, left: Iterable[Operand], right: Iterable[Operand], samples: Iterable[str]
) -> list[Formula]:
    """The formulas that give a few numbers of one instance, those with the fewest edits first."""
    assert probe.reported is not None
    places = np.argwhere(probe.wrong & np.isfinite(probe.reported))
    places = places[np.linspace(0, len(places) - 1, min(len(places), _PROBES)).astype(int)] if len(places) else places
    target = probe.reported[tuple(places.T)]
    scope, found = probe.scope, []
    lefts = [(each, numbers) for each in left if (numbers := _known(each, scope)) is not None]
    rights = [(each, numbers) for each in right if (numbers := _known(each, scope)) is not None]
    for choice in samples:
        if choice and scope.samples == 1:
            continue
        for one, x in lefts:
            for other, y in rights:
                if one.edits + other.edits + bool(choice) > _EDITS or (one.right and other.right and quantity == "z"):
                    continue
                found += [
                    formula
                    for formula in _with_constant(quantity, one, other, choice, x, y, scope, places, target)
                    if 0 < formula.edits <= _EDITS
                ]
    return sorted(found, key=lambda each: each.edits)


def _known(operand: Operand, scope: Scope) -> Lane | None:
    with np.errstate(all="ignore"):
        return operand.numbers(scope)


def _with_constant(
    quantity: str,
    one: Operand,
    other: Operand,
    choice: str,
    x: Lane,
    y: Lane,
    scope: Scope,
    places: Any,
    target: Array,
) -> Iterator[Formula]:
    """The formulas of these operands that give the numbers at these places, with each constant that does."""
    same = max(_SAME, _ROUNDINGS * scope.m.u)
    with np.errstate(all="ignore"):
        product = combined(quantity, x, y, choice, scope)
        if product is None:
            return
        values = product.value[tuple(places.T)]
        if quantity == "z":
            ratios = np.where(abs(target - values) <= same * np.maximum(abs(target), abs(values)), 1.0, np.nan)
        else:
            ratios = target / values
        size = np.median(ratios)
        if not np.isfinite(size) or not (abs(ratios - size) <= same * abs(size)).all():
            return
    for constant in CONSTANTS:
        if abs(constant.value(scope) - size) <= same * abs(size):
            yield Formula(quantity, constant, one, other, choice)


def fits(formula: Formula, instance: Instance) -> bool:
    """Whether the formula gives every number of the instance: those reported, or the right ones of a passing case."""
    found = formula.numbers(instance.scope)
    if found is None:
        return False
    with np.errstate(all="ignore"):
        value = np.broadcast_to(found.value, instance.right.shape)
        bound = np.broadcast_to(found.error, value.shape) * 2.0 + instance.scope.m.tiny
        if instance.reported is None:
            near = abs(value - instance.right) <= bound + instance.allowed
            return bool((near | ~np.isfinite(value) | ~np.isfinite(instance.right)).all())
        near = abs(value - instance.reported) <= bound
        alike = np.isfinite(instance.reported) == np.isfinite(value)
        return bool((near | (~np.isfinite(instance.reported) & alike)).all())


def _evidence(formula: Formula, wrong: Sequence[Instance]) -> float:
    """How many bits speak for the formula: from different numbers only, since copies say nothing new."""
    bits, seen = 0.0, set()
    for each in wrong:
        found = formula.numbers(each.scope)
        if found is None or each.reported is None:
            continue
        bound = np.broadcast_to(found.error, each.reported.shape) * 2.0 + each.scope.m.tiny
        size = float(np.max(abs(each.reported), initial=0.0, where=np.isfinite(each.reported)))
        for x, b in zip(each.reported[each.wrong].tolist(), bound[each.wrong].tolist(), strict=True):
            if x in seen or x == 0.0 or not math.isfinite(x) or not b > 0:
                continue
            seen.add(x)
            bits += min(max(math.log2(size / b), 0.0), _MOST_BITS) if size > b else 0.0
    return bits

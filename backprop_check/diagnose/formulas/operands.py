"""The operands that may stand in the formula of a quantity, and what it means that one stands in another's place.

A formula is a product of a left and a right operand: of each neuron for δ, z and a; summed over the samples for the
gradients, where the left operand belongs to the neuron and the right one to its input. The first of every list is
right. Every other one says in words how it differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.diagnose.formulas.scope import Jacobian, Scope, times, turned
from backprop_check.functions.activations import ELEMENTWISE, LAYERWISE
from backprop_check.numbers.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: The operand's numbers at a layer; None where the layer has no such numbers.
    Numbers = Callable[[Scope], Lane | None]


@dataclass(frozen=True)
class Operand:
    """One operand: its symbol (empty: 1), the numbers, and how it differs from the right one (empty: not at all)."""

    symbol: str
    numbers: Numbers
    says: str = ""
    edits: int = 1

    @property
    def right(self) -> bool:
        """Whether it is the right operand."""
        return not self.says


def _right(symbol: str, numbers: Numbers) -> Operand:
    return Operand(symbol, numbers, "", 0)


def _instead(symbol: str, of: str, numbers: Numbers) -> Operand:
    return Operand(symbol, numbers, f"{symbol} stands in the place of {of}")


def _one(scope: Scope) -> Lane:
    return Lane(np.ones((1, 1)), 0.0, scope.m.u)


def _error(scope: Scope) -> Lane | None:
    """(a − t), divided by the number of samples where the loss is their mean."""
    if not scope.last:
        return None
    found = scope.a - scope.t
    return found / float(scope.samples) if scope.case.reduction == "mean" and scope.samples > 1 else found


def _same_width(scope: Scope, other: Scope | None) -> Scope | None:
    return other if other is not None and other.units == scope.units else None


def _slope(scope: Scope, at: Lane | None = None) -> Lane | None:
    """φ′ of the layer's own activation, of z or of other numbers."""
    if at is None:
        return scope.slope(scope.activation, scope.z, scope.a)
    value = scope.apply(scope.activation, at)
    return None if value is None else scope.slope(scope.activation, at, value)


def _own_slope(scope: Scope) -> Lane | None:
    """φ′(z); of a softmax its Jacobian."""
    if scope.activation in LAYERWISE:
        return Jacobian(scope.a, logarithm=scope.activation == "log_softmax", m=scope.m)
    return _slope(scope)


def _over(scope: Scope, numbers: Lane | None) -> Lane | None:
    with np.errstate(all="ignore"):
        return None if numbers is None else Lane(np.ones(1), 0.0, scope.m.u) / numbers


def _product(x: Lane | None, y: Lane | None) -> Lane | None:
    with np.errstate(all="ignore"):
        return None if x is None or y is None else x * y


def _of_other_layer(name: str) -> Numbers:
    def numbers(scope: Scope) -> Lane | None:
        other = _same_width(scope, getattr(scope, name))
        return None if other is None else _slope(other)

    return numbers


def _of_other_function(name: str, *, written_in_a: bool) -> Numbers:
    def numbers(scope: Scope) -> Lane | None:
        if name == scope.activation:
            return None
        value = scope.a if written_in_a else scope.apply(name, scope.z)
        return None if value is None else scope.slope(name, scope.z, value)

    return numbers


#: Activations whose derivative is usually written in a, with that formula.
_IN_A = {"sigmoid": "a(1 − a)", "tanh": "(1 − a²)"}


#: φ′(z), from z alone: with a = φ(z) where its formula has an a.
SLOPE_OF_Z = Operand("φ′(z)", lambda scope: _slope(scope, scope.z), "", 0)


def slopes() -> Iterator[Operand]:
    """What may stand where φ′(z) belongs."""
    yield _right("φ′(z)", _own_slope)
    yield Operand("", _one, "φ′(z) is missing")
    yield Operand("φ′(a)", lambda scope: _slope(scope, scope.a), "φ′ is taken of a, not of z")
    yield Operand(
        "φ′(z) with z for a",
        lambda scope: scope.slope(scope.activation, scope.z, scope.z) if scope.activation in _IN_A else None,
        "z stands in the place of a in φ′",
    )
    yield Operand("φ′(z)²", lambda scope: _product(_slope(scope), _slope(scope)), "φ′(z) is multiplied twice")
    yield Operand("1/φ′(z)", lambda scope: _over(scope, _slope(scope)), "it is divided by φ′(z), not multiplied")
    for name, formula in _IN_A.items():
        yield Operand(
            formula,
            _of_other_function(name, written_in_a=True),
            f"{formula}, the slope of {name}, stands in the place of φ′(z)",
        )
    for name in ELEMENTWISE:
        if name != "identity":
            words = name.replace("_", " ")
            yield Operand(
                f"{words}′(z)",
                _of_other_function(name, written_in_a=False),
                f"the slope of {words} stands in the place of φ′(z)",
            )
    yield _instead("a", "φ′(z)", lambda scope: scope.a)
    yield _instead("z", "φ′(z)", lambda scope: scope.z)
    yield _instead("(1 − a)", "φ′(z)", lambda scope: 1.0 - scope.a)
    yield Operand("φ′(∂L/∂a)", lambda scope: _slope(scope, scope.e), "φ′ is taken of ∂L/∂a, not of z")
    yield Operand("φ′ₗ₊₁(zₗ₊₁)", _of_other_layer("above"), "the slope of the layer above stands in the place of φ′(z)")
    yield Operand("φ′ₗ₋₁(zₗ₋₁)", _of_other_layer("below"), "the slope of the layer below stands in the place of φ′(z)")


def output_errors() -> Iterator[Operand]:
    """What may stand where ∂L/∂a belongs, in δ of the output."""
    yield _right("∂L/∂a", lambda scope: scope.e)
    yield _instead("(a − t)", "∂L/∂a", _error)
    yield _instead("(a − t)²", "∂L/∂a", lambda scope: _product(_error(scope), _error(scope)))
    yield _instead("|∂L/∂a|", "∂L/∂a", lambda scope: abs(scope.e))
    yield _instead("|a − t|", "∂L/∂a", lambda scope: abs(_error(scope)) if scope.last else None)  # type: ignore[arg-type]
    yield _instead("(z − t)", "∂L/∂a", lambda scope: scope.z - scope.t if scope.last else None)
    yield _instead("a", "∂L/∂a", lambda scope: scope.a)
    yield _instead("z", "∂L/∂a", lambda scope: scope.z)
    yield _instead("t", "∂L/∂a", lambda scope: scope.t if scope.last else None)


def _sent(numbers: Numbers, weights: Numbers = lambda scope: scope.w) -> Numbers:
    """Σₖ wₖⱼ gₖ over the neurons of the layer above, with g and w taken there."""

    def sent(scope: Scope) -> Lane | None:
        above = scope.above
        if above is None:
            return None
        g, w = numbers(above), weights(above)
        if g is None or w is None or g.value.shape[-1] != w.value.shape[0]:
            return None
        return times(g, w)

    return sent


def _transposed(scope: Scope) -> Lane | None:
    return turned(scope.w) if scope.units == scope.inputs else None


def _only(number: int) -> Numbers:
    def first_or_last(scope: Scope) -> Lane | None:
        kept = np.zeros_like(scope.delta.value)
        kept[:, number] = scope.delta.value[:, number]
        return Lane(kept, scope.delta.error, scope.m.u)

    return first_or_last


def sent_back() -> Iterator[Operand]:
    """What may stand where Σₖ wₖⱼ δₖ belongs: the error that the layer above sends back."""
    yield _right("Σ w δ", _sent(lambda above: above.delta))
    yield Operand(
        "Σ w ∂L/∂a",
        _sent(lambda above: above.e),
        "∂L/∂a of the layer above is sent back in the place of its δ: the slope there is missing",
    )
    yield Operand(
        "Σ w ∂L/∂a",
        _sent(lambda above: above.e_without_slopes),
        "∂L/∂a of the layer above is sent back in the place of its δ: the slopes are missing",
    )
    yield Operand(
        "Σ w (a − t)", _sent(_error), "a − t is sent back in the place of the output's δ: the slope there is missing"
    )
    yield Operand(
        "Σ w δ φ′(z)",
        _sent(lambda above: _product(above.delta, _slope(above))),
        "the slope of the layer above is multiplied twice",
    )
    yield Operand(
        "Σ w⁺ δ",
        _sent(lambda above: above.delta, lambda above: above.w_new),
        "δ is sent back through the updated weights w⁺, not through those of the forward pass",
    )
    yield Operand("Σ wᵀ δ", _sent(lambda above: above.delta, _transposed), "the weights are transposed on the way back")
    yield Operand(
        "Σ |w| δ", _sent(lambda above: above.delta, lambda above: abs(above.w)), "|w| stands in the place of w"
    )
    yield Operand(
        "|Σ w δ|",
        lambda scope: abs(sent) if (sent := _sent(lambda above: above.delta)(scope)) is not None else None,
        "|Σ w δ| stands in the place of Σ w δ",
    )
    yield Operand(
        "Σ w² δ", _sent(lambda above: above.delta, lambda above: above.w * above.w), "w² stands in the place of w"
    )
    yield Operand(
        "Σ δ",
        _sent(lambda above: above.delta, lambda above: Lane(np.ones_like(above.w.value), 0.0, above.m.u)),
        "the weights are missing on the way back",
    )
    yield Operand("w δ of the first neuron", _sent(_only(0)), "only the first neuron of the layer above sends back")
    yield Operand("w δ of the last neuron", _sent(_only(-1)), "only the last neuron of the layer above sends back")
    yield Operand(
        "Σ w φ′(δ)",
        _sent(lambda above: _slope(above, above.delta)),
        "φ′(δ) of the layer above is sent back in the place of its δ",
        2,
    )
    yield Operand("Σ w a", _sent(lambda above: above.a), "a of the layer above is sent back in the place of its δ")
    yield Operand("Σ w z", _sent(lambda above: above.z), "z of the layer above is sent back in the place of its δ")


def of_neuron() -> Iterator[Operand]:
    """What may stand where δ belongs in a gradient."""
    yield _right("δ", lambda scope: scope.delta)
    plain: list[tuple[str, Numbers]] = [("∂L/∂a", lambda scope: scope.e), ("(a − t)", _error)]
    for symbol, numbers in plain:
        yield Operand(symbol, numbers, f"{symbol} stands in the place of δ: φ′(z) is missing")
    for symbol, numbers in plain:
        yield Operand(
            f"{symbol} φ′(a)",
            lambda scope, numbers=numbers: _product(numbers(scope), _slope(scope, scope.a)),  # type: ignore[misc]
            f"{symbol} φ′(a) stands in the place of δ: φ′ is taken of a, not of z",
        )
        yield Operand(
            f"{symbol} φ′({symbol})",
            lambda scope, numbers=numbers: _at_itself(scope, numbers(scope)),  # type: ignore[misc]
            f"{symbol} φ′({symbol}) stands in the place of δ: φ′ is not taken of z",
            2,
        )
    yield Operand("δ φ′(z)", lambda scope: _product(scope.delta, _slope(scope)), "δ is multiplied by φ′(z) once more")
    yield Operand("δ φ′(δ)", lambda scope: _at_itself(scope, scope.delta), "δ is multiplied by φ′(δ)", 2)
    yield _instead("a", "δ", lambda scope: scope.a)
    yield _instead("z", "δ", lambda scope: scope.z)
    yield _instead("t", "δ", lambda scope: scope.t if scope.last else None)
    yield _instead("φ′(z)", "δ", _slope)
    yield Operand("|δ|", lambda scope: abs(scope.delta), "|δ| stands in the place of δ")
    yield Operand("δ²", lambda scope: scope.delta * scope.delta, "δ² stands in the place of δ")
    yield Operand(
        "δₗ₊₁",
        lambda scope: other.delta if (other := _same_width(scope, scope.above)) else None,
        "δ of the layer above stands in the place of the layer's own",
    )
    yield Operand(
        "δₗ₋₁",
        lambda scope: other.delta if (other := _same_width(scope, scope.below)) else None,
        "δ of the layer below stands in the place of the layer's own",
    )


def _at_itself(scope: Scope, numbers: Lane | None) -> Lane | None:
    return None if numbers is None else _product(numbers, _slope(scope, numbers))


def of_input() -> Iterator[Operand]:
    """What may stand where aₗ₋₁ belongs in a weight's gradient."""
    yield _right("aₗ₋₁", lambda scope: scope.x)
    yield Operand("", _one, "aₗ₋₁ is missing")
    yield _instead("zₗ₋₁", "aₗ₋₁", lambda scope: scope.below.z if scope.below else None)
    yield Operand(
        "aₗ₋₁ φ′(zₗ₋₁)",
        lambda scope: _product(scope.x, _slope(scope.below)) if scope.below else None,
        "aₗ₋₁ is multiplied by the slope of its own neuron",
    )
    yield _instead("φ′(zₗ₋₁)", "aₗ₋₁", lambda scope: _slope(scope.below) if scope.below else None)
    yield _instead("δₗ₋₁", "aₗ₋₁", lambda scope: scope.below.delta if scope.below else None)
    yield _instead(
        "x",
        "aₗ₋₁",
        lambda scope: (
            Lane(scope.p.inputs.values.value, 0.0, scope.m.u)
            if scope.below is not None and scope.case.network.input_units == scope.inputs
            else None
        ),
    )
    yield _instead("aₗ", "aₗ₋₁", lambda scope: scope.a if scope.units == scope.inputs else None)
    yield _instead("|aₗ₋₁|", "aₗ₋₁", lambda scope: abs(scope.x))
    yield _instead("aₗ₋₁²", "aₗ₋₁", lambda scope: scope.x * scope.x)
    yield _instead("w", "aₗ₋₁", lambda scope: scope.w)


def of_inputs_in_sum() -> Iterator[Operand]:
    """What may stand where Σ w aₗ₋₁ belongs in z."""
    yield _right("Σ w aₗ₋₁", lambda scope: times(scope.x, turned(scope.w)))
    yield Operand(
        "−Σ w aₗ₋₁", lambda scope: -times(scope.x, turned(scope.w)), "the weighted inputs have the wrong sign"
    )
    yield Operand(
        "Σ w zₗ₋₁",
        lambda scope: times(scope.below.z, turned(scope.w)) if scope.below else None,
        "zₗ₋₁ stands in the place of aₗ₋₁",
    )
    yield Operand(
        "Σ wᵀ aₗ₋₁",
        lambda scope: times(scope.x, scope.w) if scope.units == scope.inputs else None,
        "the weights are transposed",
    )
    yield Operand("Σ |w| aₗ₋₁", lambda scope: times(scope.x, abs(turned(scope.w))), "|w| stands in the place of w")
    yield Operand(
        "Σ aₗ₋₁",
        lambda scope: times(scope.x, Lane(np.ones_like(turned(scope.w).value), 0.0, scope.m.u)),
        "the weights are missing",
    )
    yield Operand(
        "Σ w x",
        lambda scope: (
            times(Lane(scope.p.inputs.values.value, 0.0, scope.m.u), turned(scope.w))
            if scope.below is not None and scope.case.network.input_units == scope.inputs
            else None
        ),
        "x, the network's input, stands in the place of aₗ₋₁",
    )


def biases() -> Iterator[Operand]:
    """What may be added in z."""
    yield _right("b", lambda scope: scope.b)
    yield Operand("0", lambda scope: Lane(np.zeros((1, scope.units)), 0.0, scope.m.u), "the bias is missing")
    yield Operand("−b", lambda scope: -scope.b, "the bias is subtracted")
    yield Operand("2b", lambda scope: 2.0 * scope.b, "the bias is added twice")
    yield Operand(
        "b of the first neuron",
        lambda scope: Lane(np.broadcast_to(scope.b.value[:, :1], (1, scope.units)), 0.0, scope.m.u),
        "every neuron adds the bias of the first",
    )
    yield Operand("1", lambda scope: Lane(np.ones((1, scope.units)), 0.0, scope.m.u), "1 is added, not the bias")


def functions() -> Iterator[Operand]:
    """What may stand where φ(z) belongs."""
    yield _right("φ(z)", lambda scope: scope.apply(scope.activation, scope.z))
    for name in ELEMENTWISE:
        words = "z" if name == "identity" else f"{name.replace('_', ' ')}(z)"

        def other(scope: Scope, name: str = name) -> Lane | None:
            return None if name == scope.activation else scope.apply(name, scope.z)

        yield Operand(words, other, f"{words} stands in the place of φ(z)")
    yield Operand("φ(−z)", lambda scope: scope.apply(scope.activation, -scope.z), "φ is taken of −z")
    yield Operand("φ(2z)", lambda scope: scope.apply(scope.activation, 2.0 * scope.z), "φ is taken of 2z")
    yield Operand("φ(z/2)", lambda scope: scope.apply(scope.activation, scope.z / 2.0), "φ is taken of z/2")

    def twice(scope: Scope) -> Lane | None:
        once = scope.apply(scope.activation, scope.z)
        return None if once is None else scope.apply(scope.activation, once)

    yield Operand("φ(φ(z))", twice, "φ is applied twice")
    yield Operand(
        "1 − φ(z)",
        lambda scope: 1.0 - value if (value := scope.apply(scope.activation, scope.z)) is not None else None,
        "1 − φ(z) stands in the place of φ(z)",
    )

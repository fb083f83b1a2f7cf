"""More bugs of dense networks where layers are not a plain chain: weights read the wrong way, slopes of their own.

Like those of ``wired``, these are further variants of bugs that have their pages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Variant, variant, variants
from backprop_check.diagnose.bugs.backward import gelu_by_tanh
from backprop_check.diagnose.bugs.wired import BesideChains
from backprop_check.diagnose.rules import OfActivation, instead, is_activation, parameter_beside
from backprop_check.kinds.dense import Dense
from backprop_check.kinds.tokens import Linear
from backprop_check.kinds.wiring import Index, Places
from backprop_check.names import DEFAULT_ALPHA
from backprop_check.reference.circuit import ALL, Function, Softmax, WeightedSum

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference.circuit import Rule, Table

_SQUARE = ("dense", "linear")


class OtherWeights(BesideChains):
    """Backward through other weights than forward, in layers where one sum reads them."""

    kinds: ClassVar[tuple[str, ...]] = ("dense", "linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        """The row of weights that is read instead; None for the right one."""
        raise NotImplementedError

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        w = parameter_beside(rule, role, "x", self.kinds_of(OtherWeights))
        other = None if w is None else self.weights(rule, role[1], w)  # type: ignore[arg-type] # a sum has weights
        if w is None or other is None:
            return super().share(rule, role, s, i)
        with instead(w, values=other):
            return super().share(rule, role, s, i)


class WeightsUpdatedTooEarly(OtherWeights):
    """w⁺ = w − η ∂L/∂w, with the gradient of this layer alone."""

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        self.rate_now = None if c.case.optimizer is None else c.case.optimizer.rate(c.step)
        return super().equations(c, layer, x, parameters, inputs)

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        if self.rate_now is None:
            return None
        late = self.m.row(w.units)
        for k in self.m.each(w.units):
            gradient = self.m.dots([super().share(rule, ("weights", number), ALL, k)], [])
            late[0, k] = self.updated(w.values[0, k], gradient, self.rate_now)
        return late

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None and super().matters(case)


def _side(rule: Rule, w: Table) -> int | None:
    """How many units a square layer has; None for one that is not square."""
    units: int = rule.spec.units if rule.spec.kind == "dense" else rule.spec.out_features
    return units if units * units == w.units else None


def _turned(side: int) -> list[int]:
    """Where each weight of a square layer stands, rows and columns swapped."""
    return [i * side + j for j in range(side) for i in range(side)]


def _may_be_square(case: Case) -> bool:
    """Whether a dense layer has as many inputs as neurons, or a layer of tokens as many features out as in."""
    network = case.network
    return any(
        (isinstance(layer, Dense) and layer.units == math.prod(shape))
        or (isinstance(layer, Linear) and layer.out_features == shape[-1])
        for layer, shape in zip(network.layers, network.input_shapes, strict=True)
    )


class WeightsTransposed(OtherWeights):
    """Σ w[j][k] δₖ for Σ w[k][j] δₖ, where a layer is square."""

    kinds = _SQUARE

    def weights(self, rule: WeightedSum, number: int, w: Table) -> Any:
        del number
        side = _side(rule, w)
        if side is None:
            return None
        turned, places = self.m.row(w.units), Places(_turned(side))
        for k in self.m.each(w.units):
            turned[0, k] = w.values[0, places[k]]
        return turned

    matters = staticmethod(_may_be_square)


class OfWeightGradient(BesideChains):
    """Something wrong in ∂L/∂w of layers whose parameters one sum reads."""

    kinds: ClassVar[tuple[str, ...]] = OtherWeights.kinds

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> tuple[Any, Any] | None:
        """The share that flows to weight k; None for the right one."""
        raise NotImplementedError

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        w = parameter_beside(rule, role, "weights", self.kinds_of(OfWeightGradient))
        wrong = None if w is None else self.wrong(rule, role[1], w, s, i)  # type: ignore[arg-type] # a sum has weights
        return wrong or super().share(rule, role, s, i)


class WeightGradientTransposed(OfWeightGradient):
    """dW[i][j] for dW[j][i], where a layer is square."""

    kinds = _SQUARE

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> tuple[Any, Any] | None:
        side = _side(rule, w)
        if side is None:
            return None
        units, inputs = (
            Index([index.rows[at] for at in _turned(side)]) for index in rule.sources[number].wiring.by_weight
        )
        return rule.out.error[s, units[k]], rule.sources[number].x.values[s, inputs[k]]

    matters = staticmethod(_may_be_square)


class PreActivationAsInput(OfWeightGradient):
    """dW = δ z of the layer before."""

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> tuple[Any, Any] | None:
        del w
        before = rule.sources[number].x.made_by
        if not isinstance(before, Function | Softmax) or not is_activation(before):
            return None
        units, inputs = rule.sources[number].wiring.by_weight
        return rule.out.error[s, units[k]], before.x.values[s, inputs[k]]


class LeakySlopeMissing(OfActivation, BesideChains):
    """The slope is 0 on the negative side."""

    names = frozenset(DEFAULT_ALPHA)

    def taken_slope(self, rule: Any, s: Any, i: Any) -> Any:
        return self.m.where_positive(rule.x.values[s, i], super().taken_slope(rule, s, i), 0.0)


class LeakySlopeIgnored(OfActivation, BesideChains):
    """An α of its own for the case's."""

    names = frozenset(DEFAULT_ALPHA)
    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = True

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and self.__is_activation(rule)):
            return super().value(rule, s, o)
        return rule.function.value(self.m, rule.x.values[s, o], DEFAULT_ALPHA[rule.name])

    @staticmethod
    def __is_activation(rule: Any) -> bool:
        return isinstance(rule, Function) and is_activation(rule) and rule.name in DEFAULT_ALPHA

    def taken_slope(self, rule: Any, s: Any, i: Any) -> Any:
        if not self.__backward:
            return super().taken_slope(rule, s, i)
        return rule.function.derivative(self.m, rule.x.values[s, i], rule.out.values[s, i], DEFAULT_ALPHA[rule.name])


class ReluMaskFromDelta(OfActivation, BesideChains):
    """The mask is δ > 0 for z > 0, or both (``guided``)."""

    names = frozenset({"relu"})
    guided: ClassVar[bool] = False

    def taken_slope(self, rule: Any, s: Any, i: Any) -> Any:
        right = super().taken_slope(rule, s, i)
        return self.m.where_positive(rule.out.error[s, i], right if self.guided else 0.0 * right + 1, 0.0 * right)


class GeluVariantsMixed(OfActivation, BesideChains):
    """½z(1 + tanh(√(2/π)(z + 0.044715 z³))) in one direction (or both), Φ exact in the other."""

    names = frozenset({"gelu"})
    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = False

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and self.here(rule)):
            return super().value(rule, s, o)
        z = rule.x.values[s, o]
        return self.m.number(0.5) * z * (1 + gelu_by_tanh(self.m, z)[0])

    def taken_slope(self, rule: Any, s: Any, i: Any) -> Any:
        if not self.__backward:
            return super().taken_slope(rule, s, i)
        z, half = rule.x.values[s, i], self.m.number(0.5)
        t, inner_slope = gelu_by_tanh(self.m, z)
        return half * (1 + t) + half * z * ((1 - t * t) * inner_slope)


#: By code: further variants of bugs that have their pages.
VARIANTS: dict[str, tuple[Variant, ...]] = {
    "BP107": variants(WeightsUpdatedTooEarly),
    "BP109": variants(WeightsTransposed),
    "BP110": variants(WeightGradientTransposed),
    "BP112": variants(PreActivationAsInput),
    "BP119": variants(
        variant(ReluMaskFromDelta, "where the error is positive"),
        variant(ReluMaskFromDelta, "where z and the error are positive", guided=True),
    ),
    "BP120": variants(LeakySlopeMissing),
    "BP121": variants(
        variant(LeakySlopeIgnored, "the default α"),
        variant(LeakySlopeIgnored, "the default α, forwards only", backward=False),
        variant(LeakySlopeIgnored, "the default α, backwards only", forward=False),
    ),
    "BP122": variants(
        variant(GeluVariantsMixed, "approximate forwards"),
        variant(GeluVariantsMixed, "approximate backwards", forward=False, backward=True),
        variant(GeluVariantsMixed, "approximate in both directions", backward=True),
    ),
}

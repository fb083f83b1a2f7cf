"""BP110 to BP116: the gradients of weights and biases, given the right δ."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants
from backprop_check.diagnose.bugs.passed_back import OtherWeights
from backprop_check.diagnose.rules import (
    activated,
    dense_or_linear,
    is_activation,
    may_be_square,
    nothing,
    parameter_factor,
    several_layers,
)
from backprop_check.kinds.wiring import Index
from backprop_check.reference.rules import Function, Softmax, WeightedSum

if TYPE_CHECKING:
    from backprop_check.diagnose.rules import Share
    from backprop_check.kinds.wiring import Wiring
    from backprop_check.reference.rules import Rule, Table

_OF_WEIGHTS = frozenset({"weight_gradient", "updated_weight"})
_OF_BIASES = frozenset({"bias_gradient", "updated_bias"})
_DENSE = ("dense", "linear")


class OfWeightGradient(SwappedRules):
    """The base of mistakes in ∂L/∂w of layers whose parameters one sum reads."""

    gives = _OF_WEIGHTS
    kinds: ClassVar[tuple[str, ...]] = OtherWeights.kinds

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> Share | None:
        """The wrong share of weight k; None for the right one."""
        raise NotImplementedError

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        w = parameter_factor(rule, role, "weights", self.kinds_of(OfWeightGradient))
        wrong = None if w is None else self.wrong(rule, role[1], w, s, i)  # type: ignore[arg-type] # a sum has weights
        return wrong or super().share(rule, role, s, i)


def _units(rule: WeightedSum) -> int:
    """The number of neurons of a dense layer, or of output features of a linear one."""
    units: int = rule.spec.units if rule.spec.kind == "dense" else rule.spec.out_features
    return units


class WeightGradientTransposed(OfWeightGradient):
    """dW[i][j] in place of dW[j][i], where a layer is square."""

    kinds = _DENSE

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> Share | None:
        side = _units(rule)
        if side * side != w.units:
            return None
        units, inputs = _turned(rule.sources[number].wiring, side)
        return rule.out.error[s, units[k]], rule.sources[number].x.values[s, inputs[k]]

    matters = staticmethod(may_be_square)


@functools.lru_cache(maxsize=256)
def _turned(wiring: Wiring, side: int) -> tuple[Index, Index]:
    """For each weight of a square layer, the units and inputs of the weight with rows and columns swapped."""
    places = [i * side + j for j in range(side) for i in range(side)]
    units, inputs = (Index([index.rows[at] for at in places]) for index in wiring.by_weight)
    return units, inputs


class WeightGradientFromOwnActivation(OfWeightGradient):
    """dW = δ a with a of the same layer: that of the weight's neuron, or that at the index of its input."""

    kinds = _DENSE
    by_input: ClassVar[bool] = False

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> Share | None:
        wiring, units = rule.sources[number].wiring, _units(rule)
        neurons, _ = wiring.by_weight
        read = _at_input(wiring, w.units // units, units) if self.by_input else neurons
        return rule.out.error[s, neurons[k]], activated(rule.out).values[s, read[k]]


@functools.lru_cache(maxsize=256)
def _at_input(wiring: Wiring, inputs: int, units: int) -> Index:
    """For every weight the neurons with the index of its input (modulo the number of neurons), token by token."""
    return Index([[at // inputs * units + at % inputs % units for at in row] for row in wiring.by_weight[1].rows])


class PreActivationAsInput(OfWeightGradient):
    """dW = δ z with z of the layer before."""

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> Share | None:
        del w
        before = rule.sources[number].x.made_by
        if not isinstance(before, Function | Softmax) or not is_activation(before):
            return None
        units, inputs = rule.sources[number].wiring.by_weight
        return rule.out.error[s, units[k]], before.x.values[s, inputs[k]]

    matters = staticmethod(several_layers)


class WeightGradientFromWeights(OfWeightGradient):
    """dW = δ w."""

    kinds = _DENSE

    def wrong(self, rule: WeightedSum, number: int, w: Table, s: Any, k: Any) -> Share | None:
        units, _ = rule.sources[number].wiring.by_weight
        return self.m.one(w.values[0, k]), self.m.one(self.m.total(rule.out.error[s, units[k]]))


class BiasGradientMissing(SwappedRules):
    """∂L/∂b = 0."""

    gives = _OF_BIASES

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        right = super().share(rule, role, s, i)
        return nothing(self.m, right) if role[0] == "bias" else right


class BiasGradientShared(SwappedRules):
    """Every bias gets the sum (or the mean) of its layer's δ."""

    gives = _OF_BIASES
    layer_mean: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if role[0] != "bias" or not dense_or_linear(rule):
            return super().share(rule, role, s, i)
        biases = rule.biases[role[1]][0].units
        total = self.m.total(rule.out.error[s, _all(rule.out.units, biases)[i]])
        return self.m.one(total / self.m.number(float(biases)) if self.layer_mean else total), None


@functools.lru_cache(maxsize=256)
def _all(units: int, times: int) -> Index:
    """All units, ``times`` times."""
    return Index([range(units)] * times)


class BiasGradientFromInput(SwappedRules):
    """∂L/∂b = Σ δ a, with the a that ``which`` names."""

    gives = _OF_BIASES
    __which: ClassVar[str] = "own"

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if role[0] != "bias" or not dense_or_linear(rule):
            return super().share(rule, role, s, i)
        source = rule.sources[0]
        bias, places = rule.biases[role[1]]
        neurons = places.by_place(bias.units)
        if self.__which == "own":
            return rule.out.error[s, neurons[i]], activated(rule.out).values[s, neurons[i]]
        units, inputs = _read(source.wiring, neurons, self.__which)
        return rule.out.error[s, units[i]], source.x.values[s, inputs[i]]


def _read(wiring: Wiring, neurons: Index, which: str) -> tuple[Index, Index]:
    """For every bias its neurons, each paired with the first or last input that it reads, or with every one."""
    part = {"first": slice(1), "last": slice(-1, None), "all": slice(None)}[which]
    pairs = [[(o, at) for o in row for at in wiring.reads.rows[o][part]] for row in neurons.rows]
    units, inputs = (Index([[pair[side] for pair in row] for row in pairs]) for side in (0, 1))
    return units, inputs


BUGS = (
    Bug(
        "BP110",
        "weight-gradient-transposed",
        "The weights' gradient has rows and columns swapped.",
        right="∂L/∂w[j][i] = δⱼ aᵢ",
        wrong="∂L/∂w[j][i] = δᵢ aⱼ",
        stays_right="the deltas and the biases' gradients; it raises no error where a layer is square",
        fix="row j of the gradient belongs to neuron j: it is δⱼ times every input",
        example="grad[j][i] += delta[i] * a[j]  # BP110\ngrad[j][i] += delta[j] * a[i]  # right\n",
        confused_with=("BP109",),
        variants=variants(WeightGradientTransposed),
    ),
    Bug(
        "BP111",
        "weight-gradient-from-own-activation",
        "The weights' gradient is multiplied by the layer's own activation instead of its input.",
        right="∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ of the layer before",
        wrong="∂L/∂wⱼᵢ = Σₛ δⱼ a of this layer",
        stays_right="the deltas and the biases' gradients",
        fix="use the activation of the layer before (for the first layer: the network's inputs)",
        example="grad[j][i] += delta[j] * a[l][i]      # BP111\ngrad[j][i] += delta[j] * a[l - 1][i]  # right\n",
        confused_with=("BP112", "BP105"),
        by_label={
            "the neuron's own": "∂L/∂wⱼᵢ = Σₛ δⱼ aⱼ, of this layer",
            "by the input's index": "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ of this layer",
        },
        variants=variants(
            variant(WeightGradientFromOwnActivation, "the neuron's own"),
            variant(WeightGradientFromOwnActivation, "by the input's index", by_input=True),
        ),
    ),
    Bug(
        "BP112",
        "pre-activation-as-input",
        "The weights' gradient is multiplied by z of the layer before instead of its activation a.",
        right="∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ",
        wrong="∂L/∂wⱼᵢ = Σₛ δⱼ zᵢ",
        stays_right="the first layer's gradients, the deltas, the biases' gradients",
        fix="keep both z and a of every layer; the gradient reads a",
        example="grad[j][i] += delta[j] * z[l - 1][i]  # BP112\ngrad[j][i] += delta[j] * a[l - 1][i]  # right\n",
        confused_with=("BP111",),
        variants=variants(PreActivationAsInput),
    ),
    Bug(
        "BP113",
        "weight-gradient-from-weights",
        "The weights' gradient is multiplied by the weight instead of the input.",
        right="∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ",
        wrong="∂L/∂wⱼᵢ = Σₛ δⱼ wⱼᵢ",
        stays_right="the deltas and the biases' gradients",
        fix="z = Σ w a + b, so ∂z/∂w is a (and ∂z/∂a is w)",
        example="grad[j][i] += delta[j] * w[j][i]  # BP113\ngrad[j][i] += delta[j] * a[i]     # right\n",
        variants=variants(WeightGradientFromWeights),
    ),
    Bug(
        "BP114",
        "bias-gradient-missing",
        "The biases have no gradient: they never learn.",
        right="∂L/∂bⱼ = Σₛ δⱼ",
        wrong="∂L/∂bⱼ = 0",
        stays_right="the deltas and the weights' gradients",
        fix="a bias is a weight whose input is always 1: its gradient is delta itself",
        example="for i in inputs: grad_w[j][i] += delta[j] * a[i]\ngrad_b[j] += delta[j]  # BP114: this line was missing\n",
        confused_with=("BP504",),
        variants=variants(BiasGradientMissing),
    ),
    Bug(
        "BP115",
        "bias-gradient-shared",
        "All neurons of a layer share one bias gradient: the sum (or mean) of the layer's deltas.",
        right="∂L/∂bⱼ = Σₛ δⱼ",
        wrong="∂L/∂bⱼ = Σₛ Σₖ δₖ, the same for all j",
        stays_right="the deltas and the weights' gradients; layers of one neuron",
        fix="each neuron has its own bias, whose gradient is its own delta",
        example="for j in neurons: grad_b[j] = sum(delta)  # BP115\nfor j in neurons: grad_b[j] = delta[j]    # right\n",
        by_label={"the mean": "∂L/∂bⱼ = Σₛ (1/K) Σₖ δₖ, the same for all j"},
        variants=variants(
            variant(BiasGradientShared, "the sum"),
            variant(BiasGradientShared, "the mean", layer_mean=True, usual=False),
        ),
    ),
    Bug(
        "BP116",
        "bias-gradient-from-input",
        "The bias's gradient is multiplied by an activation, as if it were a weight's.",
        right="∂L/∂bⱼ = Σₛ δⱼ",
        wrong="∂L/∂bⱼ = Σₛ δⱼ a",
        stays_right="the deltas and the weights' gradients",
        fix="z = Σ w a + b, so ∂z/∂b is 1: the gradient is delta alone",
        example="grad_b[j] += delta[j] * a[i]  # BP116\ngrad_b[j] += delta[j]         # right\n",
        confused_with=("BP114",),
        seen="rust0258/NLP#62",
        by_label={
            "the neuron's own activation": "∂L/∂bⱼ = Σₛ δⱼ aⱼ",
            "the first input": "∂L/∂bⱼ = Σₛ δⱼ a₀ of the layer before",
            "the last input": "∂L/∂bⱼ = Σₛ δⱼ aₙ of the layer before, n its last",
            "the sum of the inputs": "∂L/∂bⱼ = Σₛ δⱼ Σᵢ aᵢ",
        },
        variants=variants(
            variant(BiasGradientFromInput, "the neuron's own activation", which="own"),
            variant(BiasGradientFromInput, "the first input", which="first"),
            variant(BiasGradientFromInput, "the last input", which="last"),
            variant(BiasGradientFromInput, "the sum of the inputs", which="all"),
        ),
    ),
)

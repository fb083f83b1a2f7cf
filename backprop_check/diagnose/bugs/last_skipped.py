"""BP124: a loop that ends one iteration too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants
from backprop_check.diagnose.rules import (
    LinearLayersToo,
    dense_or_linear,
    instead,
    is_activation,
    is_dense,
    is_last,
    is_learnt,
    of_samples,
    without_last,
)
from backprop_check.reference.rules import read_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.diagnose.rules import Share
    from backprop_check.reference.passes import LayerPass
    from backprop_check.reference.rules import Rule

_OF_UPDATE = frozenset({"updated_weight", "updated_bias"})
_OF_GRADIENTS = _OF_UPDATE | {"weight_gradient", "bias_gradient"}
_GRADIENT = "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ"


def _last(units: int, each: int = 1) -> list[bool]:
    """True for the numbers of the last unit, of ``units`` with ``each`` numbers each."""
    return [False] * ((units - 1) * each) + [True] * each


def _last_of_each(units: int, each: int) -> list[bool]:
    """True for the last number of every unit."""
    return [k % each == each - 1 for k in range(units * each)]


class LastInputSkipped(SwappedRules):
    """z without the last input."""

    gives = frozenset({"z"})

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not dense_or_linear(rule):
            return super().value(rule, s, o)
        (source,) = rule.sources
        reads, uses = without_last(source.wiring).inputs
        terms = source.x.values[s, reads[o]], source.weights.values[s, uses[o]]
        return self.m.dots([terms], [bias.values[s, of[o]] for bias, of in rule.biases])


class LastDownstreamSkipped(SwappedRules):
    """Σ over all downstream neurons but the last."""

    gives = frozenset({"delta"})

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if role[0] != "x" or not dense_or_linear(rule):
            return super().share(rule, role, s, i)
        source = rule.sources[role[1]]
        readers, used = without_last(source.wiring).readers
        return rule.out.error[s, readers[i]], source.weights.values[s, used[i]]


class LastDeltaSkipped(LinearLayersToo):
    """The last neuron's δ stays 0; ``output_only``: only at the output."""

    gives = frozenset({"delta"})
    output_only: ClassVar[bool] = True

    def __here(self, rule: Any) -> bool:
        """Whether a rule computes the output of a dense layer from z."""
        return is_activation(rule) and is_dense(rule.x.made_by) and (is_last(rule) or not self.output_only)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        right = super().share(rule, role, s, i)
        if not self.__here(rule):
            return right
        delta = self.m.dots([right], [])
        return self.m.one(self.m.where(i, _last(rule.out.units), 0.0 * delta, delta)), None

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        right = super().matched_error(p, rule, s, i, composed)
        return self.m.where(i, _last(rule.out.units), 0.0 * right, right) if self.__here(rule) else right


class LastGradientSkipped(SwappedRules):
    """The gradients of the last input's weights, or of the last neuron, stay 0; or only that of its ``bias``."""

    gives = _OF_GRADIENTS
    skipped: ClassVar[str] = "input"

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        right = super().share(rule, role, s, i)
        what, number = role
        if what == "x" or not dense_or_linear(rule) or self.skipped == ("input" if what == "bias" else "bias"):
            return right
        table = rule.biases[number][0] if what == "bias" else rule.sources[number].weights
        units = rule.biases[0][0].units if rule.biases else rule.spec.out_features
        each = table.units // units
        mask = _last_of_each(units, each) if self.skipped == "input" else _last(units, each)
        g = self.m.dots([right], [])
        return self.m.one(self.m.where(i, mask, 0.0 * g, g)), None


class LastUpdateSkipped(SwappedRules):
    """The last neuron, or the last input's weights, are not updated."""

    gives = _OF_UPDATE
    skipped: ClassVar[str] = "neuron"

    def updated_number(self, l: LayerPass, name: str, i: Any, learning_rate: float) -> Any:
        right = super().updated_number(l, name, i, learning_rate)
        # Only a dense layer has parameters with these names.
        if name not in ("weights", "biases") or (name == "biases" and self.skipped == "input"):
            return right
        each = l.parameters[name].units // l.units
        mask = _last_of_each(l.units, each) if self.skipped == "input" else _last(l.units, each)
        return self.m.where(i, mask, l.parameters[name].values[0, i], right)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None


class LastOutputLossSkipped(SwappedRules):
    """The loss is summed over all outputs but the last."""

    gives = frozenset({"loss"})

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        right = super().loss_term(p, s, k)
        return self.m.where(k, _last(p.layers[-1].units), self.m.number(0.0), right)


class LastSampleSkipped(SwappedRules):
    """Gradients are summed over all samples but the last."""

    gives = _OF_GRADIENTS

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        if rule.out.parameter or not is_learnt(read_by(rule, role)):
            return super().share(rule, role, s, i)
        portions = [1.0] * (len(rule.case.inputs) - 1) + [0.0]
        with instead(rule.out, error=of_samples(self.m, rule, portions)):
            return super().share(rule, role, s, i)


BUGS = (
    Bug(
        "BP124",
        "last-neuron-skipped",
        "A loop ends one iteration too early: the last neuron, input, output or sample is left out.",
        right="Σ over all of them",
        wrong="Σ over all but the last",
        stays_right="everything that the last one has no part in",
        fix="let the loop run up to and including the last index (i < n, not i < n − 1)",
        example="for k in range(n - 1): error += w[k][j] * delta[k]  # BP124\nfor k in range(n): error += w[k][j] * delta[k]      # right\n",
        confused_with=("BP108",),
        by_label={
            "the last input in the weighted sum": ("zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ", "zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ, without the last i"),
            "the last downstream neuron in the sum that comes back": (
                "∂L/∂aⱼ = Σₖ wₖⱼ δₖ",
                "∂L/∂aⱼ = Σₖ wₖⱼ δₖ, without the last k",
            ),
            "the last output's delta": ("δₖ for every output k", "δₖ = 0 for the last output k"),
            "the last neuron's delta in every layer": ("δⱼ for every neuron j", "δⱼ = 0 for the last j of each layer"),
            "the last input's weight gradient": (_GRADIENT, "∂L/∂wⱼᵢ = 0 for the last i"),
            "the last neuron's gradients": (_GRADIENT, "∂L/∂wⱼᵢ = 0 and ∂L/∂bⱼ = 0 for the last j"),
            "the last neuron's bias gradient": ("∂L/∂bⱼ = Σₛ δⱼ", "∂L/∂bⱼ = 0 for the last j"),
            "the last neuron's update": ("w⁺ = w − η ∂L/∂w", "w⁺ = w and b⁺ = b for the last neuron"),
            "the last input's update": ("w⁺ = w − η ∂L/∂w", "w⁺ = w for the last input"),
            "the last output in the loss": ("ℓ = Σₖ ℓₖ", "ℓ = Σₖ ℓₖ, without the last k"),
            "the last sample in the gradients": (_GRADIENT, "∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ, without the last s"),
        },
        variants=variants(
            variant(LastInputSkipped, "the last input in the weighted sum"),
            variant(LastDownstreamSkipped, "the last downstream neuron in the sum that comes back"),
            variant(LastDeltaSkipped, "the last output's delta", output_only=True),
            variant(LastDeltaSkipped, "the last neuron's delta in every layer", output_only=False),
            variant(LastGradientSkipped, "the last input's weight gradient", skipped="input"),
            variant(LastGradientSkipped, "the last neuron's gradients", skipped="neuron"),
            variant(LastGradientSkipped, "the last neuron's bias gradient", skipped="bias"),
            variant(LastUpdateSkipped, "the last neuron's update", skipped="neuron"),
            variant(LastUpdateSkipped, "the last input's update", skipped="input"),
            variant(LastOutputLossSkipped, "the last output in the loss"),
            variant(LastSampleSkipped, "the last sample in the gradients"),
        ),
    ),
)

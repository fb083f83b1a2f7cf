"""BP6xx: softmax and log-softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from backprop_check.diagnose.bug import Bug, SwappedRules, activations_of, composed_too, variant, variants
from backprop_check.diagnose.rules import is_activation
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.functions.losses import MATCHED
from backprop_check.reference.rules import Softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.reference.rules import Rule


class OfSoftmax(SwappedRules):
    """The base of wrong formulas for δ of a softmax (or its logarithm)."""

    logarithm: ClassVar[bool] = False
    gives = frozenset({"delta"})

    def here(self, rule: Rule) -> TypeGuard[Softmax]:
        """Whether a rule is the activation of such a layer."""
        return isinstance(rule, Softmax) and is_activation(rule) and rule.logarithm is self.logarithm

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        return (self.m.one(self.delta_of(rule, s, i)), None) if self.here(rule) else super().share(rule, role, s, i)

    def delta_of(self, rule: Softmax, s: Any, i: Any) -> Any:
        """The wrong δᵢ."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return ("log_softmax" if cls.logarithm else "softmax") in activations_of(case)


class DiagonalOnly(OfSoftmax):
    """δᵢ = gᵢ pᵢ(1 − pᵢ)."""

    def delta_of(self, rule: Softmax, s: Any, i: Any) -> Any:
        p = rule.out.values[s, i]
        return rule.out.error[s, i] * (p * (1 - p))


class OffDiagonalSign(OfSoftmax):
    """δᵢ = pᵢ(gᵢ(1 − pᵢ) + Σₖ≠ᵢ gₖ pₖ)."""

    def delta_of(self, rule: Softmax, s: Any, i: Any) -> Any:
        g, p, group = rule.out.error, rule.out.values, rule.groups[i]
        others = self.m.dots([(g[s, group], p[s, group])], []) - g[s, i] * p[s, i]
        return p[s, i] * (g[s, i] * (1 - p[s, i]) + others)


class SigmoidDerivative(OfSoftmax):
    """δᵢ = gᵢ σ(zᵢ)(1 − σ(zᵢ))."""

    def delta_of(self, rule: Softmax, s: Any, i: Any) -> Any:
        sigmoid = ELEMENTWISE["sigmoid"].value(self.m, rule.x.values[s, i], 0.0)
        return rule.out.error[s, i] * (sigmoid * (1 - sigmoid))


class DerivativeTwice(SwappedRules):
    """(p − t) p (1 − p), although p − t includes the derivative. ``by``: p(1 − p), or σ(z)(1 − σ(z))."""

    __of: ClassVar[tuple[str, ...]] = ("softmax",)
    by: ClassVar[str] = "p"

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        right = super().matched_error(p, rule, s, i, composed)
        if rule.name not in self.__of:
            return right
        z, a = rule.x.values[s, i], rule.out.values[s, i]
        a = a if self.by == "p" else ELEMENTWISE["sigmoid"].value(self.m, z, 0.0)
        return right * (a * (1 - a))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any((activation, case.loss.kind) in MATCHED for activation in activations_of(case) & set(cls.__of))


class LogSoftmaxSumMissing(OfSoftmax):
    """δ of a log-softmax without Σg: gᵢ(1 − pᵢ), gᵢ − pᵢ, or gᵢ."""

    logarithm = True
    __how: ClassVar[str] = "diagonal"

    def delta_of(self, rule: Softmax, s: Any, i: Any) -> Any:
        g, p = rule.out.error[s, i], self.m.exp(rule.out.values[s, i])
        return {"diagonal": g * (1 - p), "p": g - p, "none": 1 * g}[self.__how]


class LogarithmOfSumMissing(SwappedRules):
    """ℓᵢ = zᵢ − max z."""

    gives = frozenset({"a"})

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        if not (isinstance(rule, Softmax) and is_activation(rule) and rule.logarithm):
            return super().value(rule, s, o)
        return rule.x.values[s, o] - self.m.top(rule.x.values[s, rule.groups[o]])

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "log_softmax" in activations_of(case)


class TargetSumAssumedOne(SwappedRules):
    """p − t in place of p Σt − t."""

    gives = frozenset({"delta"})

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        if not isinstance(rule, Softmax):
            return super().matched_error(p, rule, s, i, composed)
        return self.in_batch(p, rule.out.values[s, i] - p.targets[s, i])

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind == "cross_entropy"


BUGS = (
    Bug(
        "BP601",
        "softmax-jacobian-diagonal-only",
        "Softmax is differentiated as if its outputs did not depend on each other's z.",
        right="δⱼ = pⱼ (gⱼ − Σₖ gₖ pₖ), g = ∂L/∂p",
        wrong="δⱼ = gⱼ pⱼ (1 − pⱼ)",
        stays_right="the forward pass and the loss",
        fix="every z changes every p: use the full Jacobian ∂pₖ/∂zⱼ = pₖ([k = j] − pⱼ), or p − t with cross-entropy",
        example="delta[j] = g[j] * p[j] * (1 - p[j])                          # BP601\n"
        "delta[j] = p[j] * (g[j] - sum(g[k] * p[k] for k in outputs))  # right\n",
        confused_with=("BP604", "BP602"),
        variants=composed_too(variants(DiagonalOnly)),
    ),
    Bug(
        "BP602",
        "softmax-jacobian-off-diagonal-sign",
        "The softmax Jacobian's entries off the diagonal have the wrong sign.",
        right="∂pₖ/∂zⱼ = −pₖ pⱼ for k ≠ j",
        wrong="∂pₖ/∂zⱼ = +pₖ pⱼ for k ≠ j",
        stays_right="the forward pass and the loss",
        fix="off the diagonal it is minus: where one probability grows the others shrink",
        example="J[k][j] = p[k] * p[j]   # BP602\nJ[k][j] = -p[k] * p[j]  # right for k != j\n",
        confused_with=("BP601",),
        variants=composed_too(variants(OffDiagonalSign)),
    ),
    Bug(
        "BP603",
        "softmax-derivative-twice",
        "p − t is multiplied by the activation's derivative, which it already includes.",
        right="δ = p − t",
        wrong="δ = (p − t) p (1 − p)",
        stays_right="the forward pass and the loss",
        fix="with softmax and cross-entropy (or sigmoid and binary cross-entropy) stop at p − t",
        example="delta = (p - t) * p * (1 - p)  # BP603\ndelta = p - t                  # right\n",
        confused_with=("BP306", "BP601"),
        seen="tensorflow_cookbook#86",
        by_label={"by the derivative of a sigmoid": "δ = (p − t) σ(z)(1 − σ(z))"},
        variants=variants(
            variant(DerivativeTwice, "softmax with cross-entropy"),
            variant(DerivativeTwice, "softmax and sigmoid with their cross-entropies", of=("softmax", "sigmoid")),
            variant(DerivativeTwice, "sigmoid with binary cross-entropy", of=("sigmoid",)),
            variant(DerivativeTwice, "by the derivative of a sigmoid", by="sigmoid", usual=False),
        ),
    ),
    Bug(
        "BP604",
        "softmax-derivative-of-sigmoid",
        "Softmax is differentiated as a sigmoid of each z.",
        right="δⱼ = pⱼ (gⱼ − Σₖ gₖ pₖ)",
        wrong="δⱼ = gⱼ σ(zⱼ)(1 − σ(zⱼ))",
        stays_right="the forward pass and the loss",
        fix="use the softmax's own Jacobian",
        example="delta[j] = g[j] * sigmoid_derivative(z[j])                    # BP604\n"
        "delta[j] = p[j] * (g[j] - sum(g[k] * p[k] for k in outputs))  # right\n",
        confused_with=("BP601",),
        variants=composed_too(variants(SigmoidDerivative)),
    ),
    Bug(
        "BP605",
        "log-softmax-sum-missing",
        "Log-softmax lacks its sum over the layer.",
        right="ℓⱼ = zⱼ − ln Σₖ e^zₖ, δⱼ = gⱼ − pⱼ Σₖ gₖ",
        wrong="δⱼ = gⱼ (1 − pⱼ), gⱼ − pⱼ or gⱼ; or ℓⱼ = zⱼ − max z",
        stays_right="other layers' forward pass",
        fix="the logarithm of the sum depends on every z: its derivative brings p Σg back",
        example="delta[j] = g[j] - p[j]           # BP605\ndelta[j] = g[j] - p[j] * sum(g)  # right\n",
        confused_with=("BP601",),
        by_label={
            "g(1 − p)": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ (1 − pⱼ)"),
            "g − p": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ − pⱼ"),
            "g alone": ("δⱼ = gⱼ − pⱼ Σₖ gₖ", "δⱼ = gⱼ"),
            "in the forward pass": ("ℓⱼ = zⱼ − ln Σₖ e^zₖ", "ℓⱼ = zⱼ − max z"),
        },
        variants=variants(
            variant(LogSoftmaxSumMissing, "g(1 − p)"),
            variant(LogSoftmaxSumMissing, "g − p", how="p"),
            variant(LogSoftmaxSumMissing, "g alone", how="none"),
            variant(LogarithmOfSumMissing, "in the forward pass"),
        ),
    ),
    Bug(
        "BP606",
        "target-sum-assumed-one",
        "p − t is used although the targets of a sample do not add up to 1.",
        right="δⱼ = pⱼ Σₖ tₖ − tⱼ",
        wrong="δⱼ = pⱼ − tⱼ",
        stays_right="samples whose targets are a probability vector",
        fix="multiply p by the sum of the targets, or make sure that they add up to 1",
        example="delta = p - t           # BP606\ndelta = p * sum(t) - t  # right for any t\n",
        variants=variants(variant(TargetSumAssumedOne, usual=False)),
    ),
)

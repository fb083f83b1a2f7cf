"""BP6xx: softmax and log-softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, activations_of, composed_too, variant, variants
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.losses import MATCHED

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass


class OfSoftmax(Swapped):
    """δ of a softmax layer by another formula than its full Jacobian."""

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if l.activation != "softmax":
            super().composed_delta(l, s)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = self.of_softmax(l, s, j)

    def of_softmax(self, l: LayerPass, s: Any, j: Any) -> Any:
        """δⱼ."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "softmax" in activations_of(case)


class DiagonalOnly(OfSoftmax):
    """δⱼ = gⱼ pⱼ(1 − pⱼ)."""

    def of_softmax(self, l: LayerPass, s: Any, j: Any) -> Any:
        return l.error[s, j] * (l.a[s, j] * (1 - l.a[s, j]))


class OffDiagonalSign(OfSoftmax):
    """δⱼ = pⱼ(gⱼ(1 − pⱼ) + Σₖ≠ⱼ gₖ pₖ)."""

    def of_softmax(self, l: LayerPass, s: Any, j: Any) -> Any:
        own = l.error[s, j] * l.a[s, j]
        others = self.m.dot(l.error[s, :], l.a[s, :]) - own
        return l.a[s, j] * (l.error[s, j] * (1 - l.a[s, j]) + others)


class SigmoidDerivative(OfSoftmax):
    """δⱼ = gⱼ σ(zⱼ)(1 − σ(zⱼ))."""

    def of_softmax(self, l: LayerPass, s: Any, j: Any) -> Any:
        sigmoid = ELEMENTWISE["sigmoid"].value(self.m, l.z[s, j], 0.0)
        return l.error[s, j] * (sigmoid * (1 - sigmoid))


class DerivativeTwice(Swapped):
    """(p − t) p (1 − p): p − t holds the derivative already. ``by``: p(1 − p), or σ(z)(1 − σ(z))."""

    __of: ClassVar[tuple[str, ...]] = ("softmax",)
    by: ClassVar[str] = "p"

    def matched_delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        super().matched_delta(p, l, s)
        if l.activation in self.__of:
            for j in self.m.each(l.units):
                a = l.a[s, j] if self.by == "p" else ELEMENTWISE["sigmoid"].value(self.m, l.z[s, j], 0.0)
                l.delta[s, j] = l.delta[s, j] * (a * (1 - a))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any((activation, case.loss.kind) in MATCHED for activation in activations_of(case) & set(cls.__of))


class LogSoftmaxSumMissing(Swapped):
    """δ of a log-softmax without Σg: gⱼ(1 − pⱼ), gⱼ − pⱼ, or gⱼ; or (``forward``) a = z − max z."""

    __how: ClassVar[str] = "diagonal"

    def activate(self, l: LayerPass, s: Any) -> None:
        if l.activation != "log_softmax" or self.__how != "forward":
            super().activate(l, s)
            return
        for j in self.m.each(l.units):
            l.a[s, j] = l.z[s, j] - self.m.max(l.z[s, :])

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if l.activation != "log_softmax" or self.__how == "forward":
            super().composed_delta(l, s)
            return
        for j in self.m.each(l.units):
            g, p = l.error[s, j], self.m.exp(l.a[s, j])
            l.delta[s, j] = {"diagonal": g * (1 - p), "p": g - p, "none": 1 * g}[self.__how]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "log_softmax" in activations_of(case)


class TargetSumAssumedOne(Swapped):
    """p − t where it is p Σt − t."""

    def matched_delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        if l.activation != "softmax":
            super().matched_delta(p, l, s)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = self.in_batch(p, l.a[s, j] - p.targets[s, j])

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
        "p − t is multiplied by the activation's derivative, which it holds already.",
        right="δ = p − t",
        wrong="δ = (p − t) p (1 − p)",
        stays_right="the forward pass and the loss",
        fix="with softmax and cross-entropy (or sigmoid and binary cross-entropy) stop at p − t",
        example="delta = (p - t) * p * (1 - p)  # BP603\ndelta = p - t                  # right\n",
        confused_with=("BP306", "BP601"),
        seen="tensorflow_cookbook#86",
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
        variants=variants(
            variant(LogSoftmaxSumMissing, "g(1 − p)", how="diagonal"),
            variant(LogSoftmaxSumMissing, "g − p", how="p"),
            variant(LogSoftmaxSumMissing, "g alone", how="none"),
            variant(LogSoftmaxSumMissing, "in the forward pass", how="forward"),
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

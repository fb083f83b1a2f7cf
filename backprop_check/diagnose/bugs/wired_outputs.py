"""Bugs of activations and softmax where layers are not a plain chain of dense ones.

Like those of ``wired``, these are further variants of bugs that have their pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Swapped, SwappedRules, Variant, activations_of, composed_too, variant, variants
from backprop_check.diagnose.rules import is_activation
from backprop_check.names import DEFAULT_ALPHA
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.circuit import Function, Softmax
from backprop_check.reference.losses import MATCHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.network import Case
    from backprop_check.reference.circuit import Rule


class WrongActivation(SwappedRules):
    """Another function wherever the case asks for ``asked``; ``forward_only``: with the right derivative."""

    networks = "wired"

    __asked: ClassVar[str] = ""
    __used: ClassVar[str] = ""
    forward_only: ClassVar[bool] = False

    def __here(self, rule: Rule) -> bool:
        return isinstance(rule, Function) and is_activation(rule) and rule.name == self.__asked

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not self.__here(rule):
            return super().value(rule, s, o)
        return ELEMENTWISE[self.__used].value(self.m, rule.x.values[s, o], DEFAULT_ALPHA.get(self.__used, 0.0))

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if self.forward_only or not self.__here(rule):
            return super().share(rule, role, s, i)
        z, a = rule.x.values[s, i], rule.out.values[s, i]
        slope = ELEMENTWISE[self.__used].derivative(self.m, z, a, DEFAULT_ALPHA.get(self.__used, 0.0))
        return self.m.one(rule.out.error[s, i]), self.m.one(slope)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return cls.__asked in activations_of(case)


class OfSoftmax(SwappedRules):
    """δ of a softmax by another formula than its full Jacobian."""

    networks = "wired"

    logarithm: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not (isinstance(rule, Softmax) and is_activation(rule) and rule.logarithm == self.logarithm):
            return super().share(rule, role, s, i)
        return self.m.one(self.error(rule, s, i)), None

    def error(self, rule: Softmax, s: Any, i: Any) -> Any:
        """δᵢ."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return ("log_softmax" if cls.logarithm else "softmax") in activations_of(case)


class DiagonalOnly(OfSoftmax):
    """δᵢ = gᵢ pᵢ(1 − pᵢ)."""

    def error(self, rule: Softmax, s: Any, i: Any) -> Any:
        p = rule.out.values[s, i]
        return rule.out.error[s, i] * (p * (1 - p))


class OffDiagonalSign(OfSoftmax):
    """δᵢ = pᵢ(gᵢ(1 − pᵢ) + Σₖ≠ᵢ gₖ pₖ)."""

    def error(self, rule: Softmax, s: Any, i: Any) -> Any:
        g, p, group = rule.out.error, rule.out.values, rule.groups[i]
        others = self.m.dots([(g[s, group], p[s, group])], []) - g[s, i] * p[s, i]
        return p[s, i] * (g[s, i] * (1 - p[s, i]) + others)


class SigmoidDerivative(OfSoftmax):
    """δᵢ = gᵢ σ(zᵢ)(1 − σ(zᵢ))."""

    def error(self, rule: Softmax, s: Any, i: Any) -> Any:
        sigmoid = ELEMENTWISE["sigmoid"].value(self.m, rule.x.values[s, i], 0.0)
        return rule.out.error[s, i] * (sigmoid * (1 - sigmoid))


class LogSoftmaxSumMissing(OfSoftmax):
    """δ of a log-softmax without Σg: gᵢ(1 − pᵢ), gᵢ − pᵢ, or gᵢ."""

    logarithm = True
    __how: ClassVar[str] = "diagonal"

    def error(self, rule: Softmax, s: Any, i: Any) -> Any:
        g, p = rule.out.error[s, i], self.m.exp(rule.out.values[s, i])
        return {"diagonal": g * (1 - p), "p": g - p, "none": 1 * g}[self.__how]


class DerivativeTwice(Swapped):
    """(p − t) p (1 − p): p − t holds the derivative already."""

    networks = "wired"
    __of: ClassVar[tuple[str, ...]] = ("softmax",)

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        right = super().matched_error(p, rule, s, i, composed)
        a = rule.out.values[s, i]
        return right * (a * (1 - a)) if p.layers[-1].activation in self.__of else right

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any((activation, case.loss.kind) in MATCHED for activation in activations_of(case) & set(cls.__of))


def _wrong_activations() -> tuple[Variant, ...]:
    found = []
    for asked in ELEMENTWISE:
        for used in ELEMENTWISE:
            if used not in (asked, "identity"):
                said, ways = f"{used} where {asked} is asked for", {"asked": asked, "used": used}
                found.append(variant(WrongActivation, said, usual=False, **ways))
                found.append(variant(WrongActivation, f"{said}, forwards only", usual=False, forward_only=True, **ways))
    return tuple(found)


#: By code: further variants of bugs that have their pages.
VARIANTS: dict[str, tuple[Variant, ...]] = {
    "BP206": _wrong_activations(),
    "BP601": composed_too(variants(DiagonalOnly)),
    "BP602": composed_too(variants(OffDiagonalSign)),
    "BP603": variants(
        variant(DerivativeTwice, "softmax with cross-entropy"),
        variant(DerivativeTwice, "softmax and sigmoid with their cross-entropies", of=("softmax", "sigmoid")),
        variant(DerivativeTwice, "sigmoid with binary cross-entropy", of=("sigmoid",)),
    ),
    "BP604": composed_too(variants(SigmoidDerivative)),
    "BP605": variants(
        variant(LogSoftmaxSumMissing, "g(1 − p)"),
        variant(LogSoftmaxSumMissing, "g − p", how="p"),
        variant(LogSoftmaxSumMissing, "g alone", how="none"),
    ),
}

"""Bugs of dense networks where layers are not a plain chain: the same mistakes, in the rules of a circuit.

They are further variants of bugs that have their pages already (``VARIANTS``, by code), so that what is wrong in the dense
layers of a convolutional network, or of a graph, has the name that it has elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import SwappedRules, Variant, variant, variants
from backprop_check.diagnose.rules import is_activation, is_last, terms
from backprop_check.reference.circuit import WeightedSum
from backprop_check.reference.losses import LOSSES

if TYPE_CHECKING:
    from backprop_check.reference.circuit import Rule


class BesideChains(SwappedRules):
    """Something wrong in rules; in a chain of dense layers it is swapped as a stage (``backward``, ``forward``, …)."""

    networks = "wired"
    common = True


class BiasMissingForward(BesideChains):
    """z = Σ w x."""

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (isinstance(rule, WeightedSum) and rule.biases and rule.sources[0].weights is not None):
            return super().value(rule, s, o)
        return self.m.dots(terms(rule, s, o), [])


class ActivationMissing(BesideChains):
    """a = z, at the output or before it; ``slope_too``: φ′ = 1 there, else φ′ as it should be."""

    __output: ClassVar[bool] = True
    slope_too: ClassVar[bool] = True
    loss_of_a: ClassVar[bool] = False

    def __here(self, rule: Rule) -> bool:
        return is_activation(rule) and is_last(rule) is self.__output

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        return rule.x.values[s, o] if self.__here(rule) else super().value(rule, s, o)

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if self.slope_too and self.__here(rule):
            return self.m.one(rule.out.error[s, i]), None
        return super().share(rule, role, s, i)

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        if not self.loss_of_a:
            return super().loss_term(p, s, k)
        return LOSSES[p.loss_kind].term(self.m, p.layers[-1].a[s, k], p.targets[s, k], p.threshold)


#: By code: further variants of bugs that have their pages.
VARIANTS: dict[str, tuple[Variant, ...]] = {
    "BP201": variants(BiasMissingForward),
    "BP203": variants(
        variant(ActivationMissing, "forwards and backwards"),
        variant(ActivationMissing, "forwards only", slope_too=False),
        variant(ActivationMissing, "forwards and backwards", loss_of_a=True, usual=False),
        variant(ActivationMissing, "forwards only", slope_too=False, loss_of_a=True, usual=False),
        variant(ActivationMissing, "forwards and backwards", loss_of_a=True, fused=False, usual=False),
    ),
    "BP204": variants(
        variant(ActivationMissing, "forwards and backwards", output=False),
        variant(ActivationMissing, "forwards only", output=False, slope_too=False),
    ),
}

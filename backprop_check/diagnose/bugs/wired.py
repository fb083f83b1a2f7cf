"""Bugs of dense networks where layers are not a plain chain: the same mistakes, in the rules of a circuit.

They are further variants of bugs that have their pages already (``VARIANTS``, by code), so that what is wrong in the dense
layers of a convolutional network, or of a graph, has the name that it has elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import SwappedRules, Variant, activations_of, composed_too, variant, variants
from backprop_check.diagnose.rules import (
    is_activation,
    is_dense,
    is_last,
    is_learnt,
    is_output,
    nothing,
    several_layers,
    terms,
    times,
)
from backprop_check.kinds.wiring import Index
from backprop_check.reference.circuit import Function, WeightedSum, read_by
from backprop_check.reference.losses import LOSSES

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference.circuit import Rule, Table


class BesideChains(SwappedRules):
    """Something wrong in rules; in a chain of dense layers it is swapped as a stage (``backward``, ``forward``, …)."""

    networks = "wired"
    common = True


class SlopeMissing(BesideChains):
    """∂L/∂z = ∂L/∂a, at the output or before it."""

    __output: ClassVar[bool] = True

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if is_activation(rule) and is_output(rule) is self.__output:
            return self.m.one(rule.out.error[s, i]), None
        return super().share(rule, role, s, i)


class OtherSlope(BesideChains):
    """φ′ of something else than z: of a (``value``), a formula in a fed z (``fed_z``), or φ itself (``function``)."""

    __how: ClassVar[str] = "value"
    identity_too: ClassVar[bool] = False

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        if not self.identity_too:
            return super().equations(c, layer, x, parameters, inputs)
        right = c.activate

        def activate(name: str, z: Table, alpha: float | None = None, groups: Index | None = None) -> Table:
            """An identity as a function like the others: usually it is none."""
            made: Table = c.function(name, z, role="a") if name == "identity" else right(name, z, alpha, groups)
            return made

        c.activate = activate
        try:
            return super().equations(c, layer, x, parameters, inputs)
        finally:
            c.activate = right

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not (is_activation(rule) and isinstance(rule, Function)):
            return super().share(rule, role, s, i)
        m, z, a = self.m, rule.x.values[s, i], rule.out.values[s, i]
        if self.__how == "value":
            slope = rule.function.derivative(m, a, rule.function.value(m, a, rule.alpha), rule.alpha)
        elif self.__how == "fed_z":
            slope = rule.function.derivative(m, z, z, rule.alpha)
        else:
            slope = a
        return m.one(rule.out.error[s, i]), m.one(slope)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return cls.__how != "fed_z" or bool(activations_of(case) & {"sigmoid", "tanh"})


class LastNeuronOnly(BesideChains):
    """Σ over the neurons that read a unit: only the last one's part is left."""

    kinds = ("dense",)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if role[0] != "x" or not is_dense(rule):
            return super().share(rule, role, s, i)
        source = rule.sources[role[1]]
        readers, used = source.wiring.by_input
        last, through = (Index([row[-1:] for row in index.rows]) for index in (readers, used))
        return rule.out.error[s, last[i]], source.weights.values[s, through[i]]


class BiasGradientMissing(BesideChains):
    """∂L/∂b = 0."""

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        return nothing(self.m, right) if role[0] == "bias" else right


class HiddenErrorDoubled(BesideChains):
    """What comes back to a hidden layer is counted twice."""

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        table = read_by(rule, role)
        inside = table is None or table.made_by is None or table.made_by.layer == rule.layer
        return right if inside else times(self.m, 2.0, right)

    matters = staticmethod(several_layers)


class ErrorSignFlipped(BesideChains):
    """t − a for a − t, from the output's δ on."""

    def batch_loss(self, p: Any, total: Any) -> Any:
        return super().in_batch(p, total)

    def in_batch(self, p: Any, x: Any) -> Any:
        return -super().in_batch(p, x)


class ErrorSignFlippedAndAdded(ErrorSignFlipped):
    """The same, and the update added."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter + self.m.number(learning_rate) * gradient


class OfGradients(BesideChains):
    """The gradients of parameters times a number, the δ right."""

    def share_of_gradient(self) -> float:
        """Times what."""
        return -1.0

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        portion = self.share_of_gradient() if is_learnt(read_by(rule, role)) else 1.0
        return right if portion == 1.0 else times(self.m, portion, right)


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
    "BP101": composed_too(variants(variant(SlopeMissing, output=True))),
    "BP102": variants(variant(SlopeMissing, output=False)),
    "BP103": composed_too(variants(variant(OtherSlope, how="value"))),
    "BP104": composed_too(variants(variant(OtherSlope, how="fed_z"))),
    "BP105": composed_too(
        variants(
            variant(OtherSlope, how="function", identity_too=True),
            variant(OtherSlope, "but in linear layers", how="function"),
        )
    ),
    "BP108": variants(variant(LastNeuronOnly, "the last neuron that reads it")),
    "BP114": variants(BiasGradientMissing),
    "BP117": variants(variant(HiddenErrorDoubled, "the error of every hidden layer doubled")),
    "BP118": variants(
        variant(ErrorSignFlipped, "from the output's delta on"),
        variant(OfGradients, "the gradients only"),
        variant(ErrorSignFlippedAndAdded, "and the update is added"),
    ),
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

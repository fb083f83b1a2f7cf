"""BP101 to BP106: the derivative of an activation is missing or wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, activations_of, composed_too, variant, variants
from backprop_check.diagnose.rules import (
    LinearLayersToo,
    activated,
    is_activation,
    is_last,
    is_output,
    is_slope,
    several_layers,
    sloped,
)
from backprop_check.functions.activations import ELEMENTWISE, LAYERWISE
from backprop_check.kinds.wiring import Index
from backprop_check.reference.circuit import alpha_of
from backprop_check.reference.rules import Function, Softmax, Table, WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.diagnose.rules import Share
    from backprop_check.reference.rules import Rule

_DELTA = frozenset({"delta"})


class OutputDerivativeMissing(SwappedRules):
    """δ = ∂L/∂a at the output, without φ′."""

    gives = _DELTA

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        if is_activation(rule) and is_output(rule):
            return self.m.one(rule.out.error[s, i]), None
        return super().share(rule, role, s, i)


class HiddenDerivativeMissing(SwappedRules):
    """δ = Σ w δ in the hidden layers, without φ′."""

    gives = _DELTA

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> Share:
        if is_activation(rule) and not is_output(rule):
            return self.m.one(rule.out.error[s, i]), None
        return super().share(rule, role, s, i)


class DerivativeOfActivationValue(SwappedRules):
    """φ′(a) in place of φ′(z)."""

    gives = _DELTA

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule):
            return super().share(rule, role, s, i)
        a = rule.out.values[s, i]
        again = rule.function.value(self.m, a, rule.alpha)
        return sloped(self.m, rule, s, i, rule.function.derivative(self.m, a, again, rule.alpha))


class DerivativeOfActivationValueEverywhere(DerivativeOfActivationValue):
    """The same, in softmax layers too: the Jacobian of softmax at a."""

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not (isinstance(rule, Softmax) and is_activation(rule)):
            return super().share(rule, role, s, i)
        groups, logarithm = rule.groups, rule.logarithm
        other = Softmax(_table_of(self.m, rule), _copy(rule.out), groups, logarithm=logarithm)
        return _by(self.m, other, rule, s, i)


def _copy(table: Table) -> Table:
    """A table with the same values and no readers."""
    return Table(table.units, table.values)


def _table_of(m: Any, rule: Rule) -> Table:
    """An empty table with as many units and the same error."""
    table = Table(rule.out.units, m.grid(len(rule.case.inputs), rule.out.units))
    table.error = rule.out.error
    return table


def _by(m: Any, other: Rule, rule: Rule, s: Any, i: Any, values: Any = None) -> Share:
    """The share of another rule in place of ``rule``; ``values`` are its outputs, if they need not be computed."""
    if values is not None:
        other.out.values = values
    else:
        for o in m.each(rule.out.units):
            other.out.values[s, o] = other.value(m, s, o)
    return other.share(m, ("x", 0), s, i)


class DerivativeFedPreActivation(SwappedRules):
    """z(1 − z) in place of a(1 − a)."""

    gives = _DELTA

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule):
            return super().share(rule, role, s, i)
        z = rule.x.values[s, i]
        return sloped(self.m, rule, s, i, rule.function.derivative(self.m, z, z, rule.alpha))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & {"sigmoid", "tanh"})


class DerivativeIsTheFunction(LinearLayersToo):
    """φ(z) in place of φ′(z)."""

    gives = _DELTA

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule):
            return super().share(rule, role, s, i)
        return sloped(self.m, rule, s, i, rule.out.values[s, i])


class DerivativeOfNeighbour(LinearLayersToo):
    """φ′ of the layer before or after; or φ′ of the layer's own activation, at the ``values`` of the other layer."""

    gives = _DELTA
    forwards: ClassVar[bool] = True
    values: ClassVar[bool] = False
    own_activation: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        wrong = None
        if is_activation(rule) and not is_last(rule):  # the output has no layer after it
            wrong = self.__at_its_values(rule, s, i) if self.values else self.__of_its_function(rule, s, i)
        return wrong or super().share(rule, role, s, i)

    def __of_its_function(self, rule: Any, s: Any, i: Any) -> Share | None:
        """The derivative of the other layer's function at this layer's z; None where there is no such function."""
        m, layers = self.m, rule.case.network.layers
        at = rule.layer + (1 if self.forwards else -1)
        if at < 0 or not layers[at].activations:
            return None
        name, alpha = layers[at].activation, alpha_of(layers[at].activation, layers[at].alpha)
        if isinstance(rule, Function) and name not in LAYERWISE:
            function, z = ELEMENTWISE[name], rule.x.values[s, i]
            a = rule.out.values[s, i] if self.own_activation else function.value(m, z, alpha)
            return sloped(m, rule, s, i, function.derivative(m, z, a, alpha))
        out, z = _table_of(m, rule), _copy(rule.x)
        other: Rule = Function(out, z, name, alpha) if name not in LAYERWISE else _softmax(out, z, name)
        return _by(m, other, rule, s, i, rule.out.values if self.own_activation else None)

    def __at_its_values(self, rule: Any, s: Any, i: Any) -> Share | None:
        """The derivative of the layer's own function at the other layer's z and a; None where the numbers of
        units differ.
        """
        z = _z_after(rule) if self.forwards else _z_before(rule)
        if not is_slope(rule) or z is None or z.units != rule.out.units:
            return None
        slope = rule.function.derivative(self.m, z.values[s, i], activated(z).values[s, i], rule.alpha)
        return sloped(self.m, rule, s, i, slope)

    matters = staticmethod(several_layers)


def _softmax(out: Table, z: Table, name: str) -> Rule:
    return Softmax(out, z, Index([range(z.units)] * z.units), logarithm=name == "log_softmax")


def _z_after(rule: Rule) -> Table | None:
    """The pre-activations of the layer after."""
    return next(
        (
            reader.out
            for reader, _ in rule.out.readers
            if isinstance(reader, WeightedSum) and reader.layer == rule.layer + 1
        ),
        None,
    )


def _z_before(rule: Any) -> Table | None:
    """The pre-activations of the layer before."""
    made_by = rule.x.made_by
    before = made_by.sources[0].x.made_by if isinstance(made_by, WeightedSum) else None
    return before.x if is_slope(before) or isinstance(before, Softmax) else None


BUGS = (
    Bug(
        "BP101",
        "output-derivative-missing",
        "The output's delta is the error alone: the activation's derivative was forgotten.",
        right="δₖ = ∂L/∂aₖ · φ′(zₖ)",
        wrong="δₖ = ∂L/∂aₖ",
        stays_right="the forward pass and the loss; everything, where the output is linear or δ = p − t is meant (a cross-entropy)",
        fix="multiply the output's error by the derivative of its activation, unless the loss already cancels it",
        example="error = a - t\ndelta = error                # BP101\ndelta = error * a * (1 - a)  # right for a sigmoid\n",
        confused_with=("BP306", "BP102"),
        seen="Bot-Academy/NeuralNetworkFromScratch#3",
        variants=composed_too(variants(OutputDerivativeMissing)),
    ),
    Bug(
        "BP102",
        "hidden-derivative-missing",
        "A hidden neuron's delta is the sum that comes back to it: the activation's derivative was forgotten.",
        right="δⱼ = (Σₖ wₖⱼ δₖ) · φ′(zⱼ)",
        wrong="δⱼ = Σₖ wₖⱼ δₖ",
        stays_right="the forward pass, the output's delta and its gradients; linear hidden layers",
        fix="multiply the sum by the derivative of the hidden neuron's own activation at its own z",
        example="sum = 0\nfor k in downstream: sum += w[k][j] * delta[k]\ndelta[j] = sum                          # BP102\n"
        "delta[j] = sum * derivative(z[j])       # right\n",
        confused_with=("BP101", "BP103"),
        variants=variants(HiddenDerivativeMissing),
    ),
    Bug(
        "BP103",
        "derivative-of-activation-value",
        "The derivative is taken at a instead of z: its function expects the pre-activation and is fed the activation.",
        right="φ′(z)",
        wrong="φ′(a)",
        by_activation={
            "sigmoid": ("σ(z)(1 − σ(z))", "σ(a)(1 − σ(a))"),
            "tanh": ("1 − tanh²(z)", "1 − tanh²(a)"),
        },
        stays_right="the forward pass; ReLU's slope mostly (a > 0 where z > 0)",
        fix="feed the derivative the z that was kept in the forward pass, or write it in terms of a",
        example="def derivative(z): return sigmoid(z) * (1 - sigmoid(z))\ndelta = error * derivative(a)  # BP103\n"
        "delta = error * derivative(z)  # right\n",
        confused_with=("BP104",),
        variants=composed_too(
            variants(
                DerivativeOfActivationValue, variant(DerivativeOfActivationValueEverywhere, "in softmax layers too")
            )
        ),
    ),
    Bug(
        "BP104",
        "derivative-fed-pre-activation",
        "A derivative written in terms of a is fed z.",
        right="φ′ as a formula in a",
        wrong="the same formula in z",
        by_activation={"sigmoid": ("a(1 − a)", "z(1 − z)"), "tanh": ("1 − a²", "1 − z²")},
        stays_right="the forward pass; activations whose derivative is written in z",
        fix="feed the formula the activation a, not the weighted sum z",
        example="def derivative(a): return a * (1 - a)\ndelta = error * derivative(z)  # BP104\ndelta = error * derivative(a)  # right\n",
        confused_with=("BP103",),
        variants=composed_too(variants(DerivativeFedPreActivation)),
    ),
    Bug(
        "BP105",
        "derivative-is-the-function",
        "The activation itself is used where its derivative belongs.",
        right="φ′(z)",
        wrong="φ(z)",
        stays_right="the forward pass",
        fix="write the derivative of the activation and call that in the backward pass",
        example="delta = error * tanh(z)           # BP105\ndelta = error * (1 - tanh(z)**2)  # right\n",
        confused_with=("BP111",),
        seen="andersbll/nnet#4",
        by_label={"but in linear layers": "φ(z), and 1 in linear layers"},
        variants=composed_too(
            variants(
                DerivativeIsTheFunction, variant(DerivativeIsTheFunction, "but in linear layers", identity_too=False)
            )
        ),
    ),
    Bug(
        "BP106",
        "derivative-of-neighbouring-layer",
        "The derivative belongs to the layer before or after: an index of the layer is off by one.",
        right="δˡ = (Σ w δ) · φₗ′(zˡ)",
        wrong="δˡ = (Σ w δ) · φₗ₊₁′(zˡ), or with zˡ⁺¹, or l − 1",
        stays_right="the forward pass; networks with one activation everywhere, where only the function is mixed up",
        fix="use layer l's own activation and its own z in layer l's delta",
        example="delta[l] = back * derivative[l + 1](z[l])  # BP106\ndelta[l] = back * derivative[l](z[l])      # right\n",
        confused_with=("BP206",),
        by_label={
            "the function of the layer after": "δˡ = (Σ w δ) · φₗ₊₁′(zˡ)",
            "the function of the layer before": "δˡ = (Σ w δ) · φₗ₋₁′(zˡ)",
            "the formula of the layer after": "δˡ = (Σ w δ) · φₗ₊₁′, written in a, at aˡ",
            "the formula of the layer before": "δˡ = (Σ w δ) · φₗ₋₁′, written in a, at aˡ",
            "the values of the layer after": "δˡ = (Σ w δ) · φₗ′(zˡ⁺¹)",
            "the values of the layer before": "δˡ = (Σ w δ) · φₗ′(zˡ⁻¹)",
        },
        variants=variants(
            variant(DerivativeOfNeighbour, "the function of the layer after", forwards=True, values=False),
            variant(DerivativeOfNeighbour, "the function of the layer before", forwards=False, values=False),
            variant(
                DerivativeOfNeighbour,
                "the formula of the layer after, on this layer's activation",
                forwards=True,
                values=False,
                own_activation=True,
                usual=False,
            ),
            variant(
                DerivativeOfNeighbour,
                "the formula of the layer before, on this layer's activation",
                forwards=False,
                values=False,
                own_activation=True,
                usual=False,
            ),
            variant(DerivativeOfNeighbour, "the values of the layer after", forwards=True, values=True, usual=False),
            variant(DerivativeOfNeighbour, "the values of the layer before", forwards=False, values=True, usual=False),
        ),
    ),
)

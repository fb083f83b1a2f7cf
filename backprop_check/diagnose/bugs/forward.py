"""BP2xx: the forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, Variant, activations_of, variant, variants
from backprop_check.diagnose.bugs.numerics import ReadTransposed
from backprop_check.diagnose.rules import (
    column_major,
    instead,
    is_activation,
    is_last,
    is_learnt,
    is_matrix,
    several_samples,
    shape_of,
    terms,
)
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.functions.losses import LOSSES
from backprop_check.functions.names import ACTIVATIONS
from backprop_check.kinds.wiring import Index, Places
from backprop_check.reference.rules import ALL, Softmax, WeightedSum, read_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from backprop_check.case.network import Case
    from backprop_check.kinds.wiring import Wiring
    from backprop_check.reference.rules import Rule, Source, Table


def _adds_bias(rule: Rule) -> TypeGuard[WeightedSum]:
    """Whether a rule is a sum Σ w x + b."""
    return isinstance(rule, WeightedSum) and bool(rule.biases) and rule.sources[0].weights is not None


class BiasMissingForward(SwappedRules):
    """z = Σ w a, without b."""

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        return self.m.dots(terms(rule, s, o), []) if _adds_bias(rule) else super().value(rule, s, o)


class FirstBiasForAll(SwappedRules):
    """z = Σ w a + b₀ for every neuron."""

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        if not _adds_bias(rule):
            return super().value(rule, s, o)
        first = [(bias, Places([of.positions[0]] * rule.out.units)) for bias, of in rule.biases]
        return self.m.dots(terms(rule, s, o), [bias.values[s, of[o]] for bias, of in first])


class ActivationMissing(SwappedRules):
    """a = z at the output or in the hidden layers; with ``slope_too`` also φ′ = 1 there.

    ``loss_of_a``: the loss is computed from that a, not from z.
    """

    __output: ClassVar[bool] = True
    slope_too: ClassVar[bool] = True
    loss_of_a: ClassVar[bool] = False
    gives = frozenset({"a", "delta", "loss"})

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


class ForwardWeightsTransposed(SwappedRules):
    """z = Σ w[i][j] a, where the layer is square; with ``flat`` in any layer, from a flat list of weights."""

    __flat: ClassVar[bool] = False

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        if not isinstance(rule, WeightedSum):
            return super().value(rule, s, o)
        right = [source.wiring for source in rule.sources]
        try:
            for source in rule.sources:
                source.wiring = self.__wiring(rule, source)
            return super().value(rule, s, o)
        finally:
            for source, wiring in zip(rule.sources, right, strict=True):
                source.wiring = wiring

    def __wiring(self, rule: Rule, source: Source) -> Wiring:
        if not is_learnt(source.weights):
            return source.wiring
        shape = shape_of(rule, source.weights)
        turns = is_matrix(shape) and (self.__flat or shape[0] == shape[1])
        return column_major(source.wiring, shape) if turns else source.wiring


class WrongActivation(SwappedRules):
    """Another function wherever the case asks for ``asked``; ``forward_only``: with the right derivative."""

    __asked: ClassVar[str] = ""
    __used: ClassVar[str] = ""
    forward_only: ClassVar[bool] = False
    gives = frozenset({"a", "delta", "loss"})

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.__taken: dict[Table, Table] = {}  # the wrong a of each z, used only forwards

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        right = c.activate

        def activate(
            name: str, z: Table, alpha: float | None = None, groups: Callable[[], Index] | None = None
        ) -> Table:
            made: Table
            if name != self.__asked or not self.forward_only:
                made = right(self.__used, z, None, groups) if name == self.__asked else right(name, z, alpha, groups)
                return made
            self.__taken[z] = right(self.__used, c.cut(z), None, groups)
            made = c.function(name, z, role="a") if name == "identity" else right(name, z, alpha, groups)
            return made

        with instead(c, activate=activate):
            return super().equations(c, layer, x, parameters, inputs)

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if self.forward_only and is_activation(rule) and rule.name == self.__asked:
            return self.__taken[rule.x].values[s, o]
        return super().value(rule, s, o)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return cls.__asked in activations_of(case)


class OtherSoftmax(SwappedRules):
    """The base of mistakes in the softmax formula e^(z − max z) / Σ e^(z − max z)."""

    common = True
    gives = frozenset({"a"})

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        if isinstance(rule, Softmax) and is_activation(rule) and not rule.logarithm:
            return self.probability(rule, s, o)
        return super().value(rule, s, o)

    def probability(self, rule: Softmax, s: Any, o: Any) -> Any:
        """The wrong p of unit o."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "softmax" in activations_of(case)


class SoftmaxOverWrongAxis(OtherSoftmax):
    """pₛⱼ = e^zₛⱼ / Σᵣ e^zᵣⱼ: the softmax over the samples of the batch."""

    def probability(self, rule: Softmax, s: Any, o: Any) -> Any:
        m, z = self.m, rule.x.values
        column = z[ALL, Index([[j] for j in range(rule.x.units)])[o]]
        top = m.top(column)
        return m.exp(z[s, o] - top) / m.total(m.vector(lambda x, top: m.exp(x - top), column, top))


class SoftmaxUnshifted(OtherSoftmax):
    """p = e^z / Σ e^z without the shift: ∞/∞ for a large z."""

    def probability(self, rule: Softmax, s: Any, o: Any) -> Any:
        m, z = self.m, rule.x.values
        return m.exp(z[s, o]) / m.total(m.vector(m.exp, z[s, rule.groups[o]]))


class InputsReused(SwappedRules):
    """Every sample gets another sample's inputs; ``backward_too``: in the gradients of the weights as well."""

    __which: ClassVar[str] = "first"
    backward_too: ClassVar[bool] = True

    def prepare(self, p: Any) -> None:
        super().prepare(p)
        inputs, self.__table, self.__right = p.case.inputs, p.inputs, p.inputs.values
        read = [{"first": 0, "last": -1, "before": max(s - 1, 0)}[self.__which] for s in range(p.samples)]
        p.inputs.values = self.m.given_grid(inputs[read])

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if self.backward_too or not is_learnt(read_by(rule, role)):
            return super().share(rule, role, s, i)
        with instead(self.__table, values=self.__right):
            return super().share(rule, role, s, i)

    matters = staticmethod(several_samples)


def _wrong_activations() -> tuple[Variant, ...]:
    found = []
    for asked in ACTIVATIONS:
        for used in ACTIVATIONS:
            if used not in (asked, "identity", "log_softmax") and (asked in ELEMENTWISE or used in ELEMENTWISE):
                label, names = f"{used} where {asked} is asked for", {"asked": asked, "used": used}
                found.append(variant(WrongActivation, label, usual=False, **names))
                label = f"{label}, forwards only"
                found.append(variant(WrongActivation, label, usual=False, forward_only=True, **names))
    return tuple(found)


BUGS = (
    Bug(
        "BP201",
        "bias-missing-forward",
        "The weighted sum lacks the bias.",
        right="zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ",
        wrong="zⱼ = Σᵢ wⱼᵢ aᵢ",
        stays_right="neurons whose bias is 0",
        fix="start the sum with the bias",
        example="z = 0     # BP201\nz = b[j]  # right\nfor i in inputs: z += w[j][i] * a[i]\n",
        confused_with=("BP202",),
        variants=variants(BiasMissingForward),
    ),
    Bug(
        "BP202",
        "first-neuron-bias-for-all",
        "All neurons of a layer use the bias of its first neuron.",
        right="zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ",
        wrong="zⱼ = Σᵢ wⱼᵢ aᵢ + b₀",
        stays_right="the first neuron of each layer",
        fix="index the bias by the neuron",
        example="z = b[0]  # BP202\nz = b[j]  # right\n",
        confused_with=("BP201",),
        variants=variants(FirstBiasForAll),
    ),
    Bug(
        "BP203",
        "activation-missing-on-output",
        "The output layer's activation is left out: its z is passed on as a.",
        right="a = φ(z) at the output",
        wrong="a = z at the output",
        stays_right="z of every layer; linear outputs",
        fix="apply the output layer's own activation",
        example="output = z       # BP203\noutput = phi(z)  # right\n",
        confused_with=("BP206", "BP204"),
        by_label={
            "forwards and backwards": "a = z at the output, and φ′ = 1",
            "forwards only": "a = z at the output, but δ with φ′(z)",
        },
        variants=variants(
            variant(ActivationMissing, "forwards and backwards"),
            variant(ActivationMissing, "forwards only", slope_too=False),
            variant(ActivationMissing, "forwards and backwards", loss_of_a=True, usual=False),
            variant(ActivationMissing, "forwards only", slope_too=False, loss_of_a=True, usual=False),
            variant(ActivationMissing, "forwards and backwards", loss_of_a=True, fused=False, usual=False),
        ),
    ),
    Bug(
        "BP204",
        "activation-missing-on-hidden",
        "The hidden layers' activation is left out: their z is passed on as a.",
        right="a = φ(z) in hidden layers",
        wrong="a = z in hidden layers",
        stays_right="z of the first layer; networks without hidden layers",
        fix="apply each hidden layer's own activation (without it, all layers together are one linear layer)",
        example="a[l] = z[l]       # BP204\na[l] = phi(z[l])  # right\n",
        confused_with=("BP206", "BP203"),
        by_label={
            "forwards and backwards": "a = z in hidden layers, and φ′ = 1",
            "forwards only": "a = z in hidden layers, but δ with φ′(z)",
        },
        variants=variants(
            variant(ActivationMissing, "forwards and backwards", output=False),
            variant(ActivationMissing, "forwards only", output=False, slope_too=False),
        ),
    ),
    Bug(
        "BP205",
        "forward-weights-transposed",
        "The forward pass reads the weights with rows and columns swapped.",
        right="zⱼ = Σᵢ w[j][i] aᵢ + bⱼ",
        wrong="zⱼ = Σᵢ w[i][j] aᵢ + bⱼ",
        stays_right="it raises no error where a layer is square",
        fix="row j of the weights belongs to neuron j: w[j][i] is the weight from input i into neuron j",
        example="z += w[i][j] * a[i]  # BP205\nz += w[j][i] * a[i]  # right\n",
        confused_with=("BP008", "BP109"),
        by_label={
            "in a flat list of weights": "zⱼ = Σᵢ w aᵢ + bⱼ, with rows and columns swapped in a flat list",
            "the weights are read so": (
                "zⱼ = Σᵢ w[j][i] aᵢ + bⱼ, ∂L/∂aᵢ = Σⱼ w[j][i] δⱼ",
                "zⱼ = Σᵢ w[i][j] aᵢ + bⱼ, ∂L/∂aᵢ = Σⱼ w[i][j] δⱼ",
            ),
        },
        variants=variants(
            ForwardWeightsTransposed,
            variant(ForwardWeightsTransposed, "in a flat list of weights", flat=True, usual=False),
            variant(ReadTransposed, "the weights are read so, for both directions"),
        ),
    ),
    Bug(
        "BP206",
        "wrong-activation",
        "A layer uses another activation than the case asks for.",
        right="a = φ(z), with the φ that the layer names",
        wrong="a = ψ(z), with another function ψ",
        stays_right="z of the first layer; layers with other activations",
        fix="look the activation up by the layer's own name (and its derivative by the same name)",
        example="a = sigmoid(z)                    # BP206\na = activations[layer.kind](z)    # right\n",
        confused_with=("BP203", "BP204", "BP121"),
        variants=_wrong_activations(),
    ),
    Bug(
        "BP207",
        "softmax-over-wrong-axis",
        "Softmax is taken over the samples of the batch instead of the neurons of the layer.",
        right="pₛⱼ = e^zₛⱼ / Σₖ e^zₛₖ",
        wrong="pₛⱼ = e^zₛⱼ / Σᵣ e^zᵣⱼ",
        stays_right="everything before the softmax",
        fix="sum over the neurons of one sample: the probabilities of each sample add up to 1",
        example="p = exp(z) / exp(z).sum(axis=0)  # BP207\np = exp(z) / exp(z).sum(axis=1)  # right\n",
        variants=variants(SoftmaxOverWrongAxis),
    ),
    Bug(
        "BP208",
        "softmax-unshifted",
        "Softmax's exponentials overflow, or all become 0: the largest z is not subtracted first.",
        right="pⱼ = e^(zⱼ − max z) / Σₖ e^(zₖ − max z)",
        wrong="pⱼ = e^zⱼ / Σₖ e^zₖ, which is ∞/∞ for z beyond 709",
        stays_right="every layer whose z stay small",
        fix="subtract the layer's largest z from all of them before the exponential: the result is the same, and finite",
        example="e = [exp(x) for x in z]           # BP208\ne = [exp(x - max(z)) for x in z]  # right\n",
        confused_with=("BP005",),
        variants=variants(variant(SoftmaxUnshifted, usual=False)),
    ),
    Bug(
        "BP209",
        "inputs-reused-between-samples",
        "Samples are computed with another sample's inputs.",
        right="the first layer reads the inputs of sample s",
        wrong="the first layer reads the inputs of another sample for every s",
        stays_right="batches of one sample",
        fix="copy the inputs of each sample, and clear what a sample leaves behind before the next",
        example="layer.inputs = x[0]  # BP209\nlayer.inputs = x[s]  # right\n",
        confused_with=("BP404", "BP405"),
        variants=variants(
            variant(InputsReused, "the first sample's", which="first"),
            variant(InputsReused, "the last sample's", which="last"),
            variant(InputsReused, "the sample's before", which="before"),
            variant(InputsReused, "the first sample's, forwards only", which="first", backward_too=False, usual=False),
            variant(InputsReused, "the last sample's, forwards only", which="last", backward_too=False, usual=False),
            variant(
                InputsReused, "the sample's before, forwards only", which="before", backward_too=False, usual=False
            ),
        ),
    ),
)

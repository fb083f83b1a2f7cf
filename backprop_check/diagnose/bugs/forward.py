"""BP2xx: the forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, Variant, activations_of, variant, variants
from backprop_check.diagnose.bugs.numerics import ReadTransposed
from backprop_check.network import ACTIVATIONS, DEFAULT_ALPHA
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.losses import LOSSES

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass


class BiasMissingForward(Swapped):
    """z = Σ w a."""

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        return self.m.dot(l.previous[s, :], l.weights[j, :])


class FirstBiasForAll(Swapped):
    """z = Σ w a + b₀."""

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        return self.m.dot(l.previous[s, :], l.weights[j, :], plus=l.biases[0])


class ActivationMissing(Swapped):
    """a = z, at the output or in the hidden layers; ``slope_too``: φ′ = 1 there, else φ′ as it should be."""

    __output: ClassVar[bool] = True
    slope_too: ClassVar[bool] = True
    loss_of_a: ClassVar[bool] = False

    def __here(self, l: LayerPass) -> bool:
        return (l.next is None) is self.__output

    def activate(self, l: LayerPass, s: Any) -> None:
        if not self.__here(l):
            super().activate(l, s)
            return
        for j in self.m.each(l.units):
            l.a[s, j] = l.z[s, j]

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if not (self.__here(l) and self.slope_too):
            super().composed_delta(l, s)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = l.error[s, j]


class OutputActivationMissing(ActivationMissing):
    """At the output; ``loss_of_a``: the loss is taken of that a, not of z."""

    def loss_term(self, p: Pass, s: Any, k: Any) -> Any:
        if not self.loss_of_a:
            return super().loss_term(p, s, k)
        return LOSSES[p.loss_kind].term(self.m, p.layers[-1].a[s, k], p.targets[s, k], p.threshold)


class ForwardWeightsTransposed(Swapped):
    """z = Σ w[i][j] a, where the layer is square; ``flat``: in one list of numbers, anywhere."""

    __flat: ClassVar[bool] = False

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        if l.units != l.inputs and not self.__flat:
            return super().weighted_sum(l, s, j)
        turned = self.m.rearranged(
            l.weights, l.units, l.inputs, lambda r, c: ((c * l.units + r) // l.inputs, (c * l.units + r) % l.inputs)
        )
        return self.m.dot(l.previous[s, :], turned[j, :], plus=l.biases[j])


class WrongActivation(Swapped):
    """Another function wherever the case asks for ``asked``; ``forward_only``: with the right derivative."""

    __asked: ClassVar[str] = ""
    __used: ClassVar[str] = ""
    forward_only: ClassVar[bool] = False
    gives = frozenset({"a", "delta", "loss"})

    def prepare(self, p: Pass) -> None:
        super().prepare(p)
        for l in p.layers:
            if l.activation == self.__asked and not self.forward_only:
                l.activation, l.alpha = self.__used, DEFAULT_ALPHA.get(self.__used, 0.0)

    def activate(self, l: LayerPass, s: Any) -> None:
        if not (self.forward_only and l.activation == self.__asked):
            super().activate(l, s)
            return
        right = l.activation, l.alpha
        l.activation, l.alpha = self.__used, DEFAULT_ALPHA.get(self.__used, 0.0)
        super().activate(l, s)
        l.activation, l.alpha = right

    @classmethod
    def matters(cls, case: Case) -> bool:
        return cls.__asked in activations_of(case)


class SoftmaxOverWrongAxis(Swapped):
    """pₛⱼ = e^zₛⱼ / Σᵣ e^zᵣⱼ: over the samples of the batch."""

    def activate(self, l: LayerPass, s: Any) -> None:
        if l.activation != "softmax":
            super().activate(l, s)
            return
        m = self.m
        e = m.grid(l.samples, l.units)
        for r in m.each(l.samples):
            for j in m.each(l.units):
                e[r, j] = m.exp(l.z[r, j] - m.max(l.z[:, j]))
        for j in m.each(l.units):
            l.a[s, j] = m.exp(l.z[s, j] - m.max(l.z[:, j])) / m.sum(e[:, j])

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "softmax" in activations_of(case)


class SoftmaxUnshifted(Swapped):
    """p = e^z / Σ e^z without the shift: ∞/∞ for a large z."""

    def activate(self, l: LayerPass, s: Any) -> None:
        if l.activation != "softmax":
            super().activate(l, s)
            return
        m = self.m
        e = m.grid(l.samples, l.units)
        for k in m.each(l.units):
            e[s, k] = m.exp(l.z[s, k])
        total = m.sum(e[s, :])
        for j in m.each(l.units):
            l.a[s, j] = e[s, j] / total

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "softmax" in activations_of(case)


class InputsReused(Swapped):
    """Every sample is given another sample's inputs."""

    __which: ClassVar[str] = "first"
    backward_too: ClassVar[bool] = True

    def prepare(self, p: Pass) -> None:
        super().prepare(p)
        first = p.layers[0]
        sources = {"first": lambda r, c: (0 * r, c), "last": lambda r, c: (0 * r + p.samples - 1, c)}
        previous = lambda r, c: (r - 1 + (r == 0), c)  # noqa: E731 - beside the others
        self.__right = first.previous
        first.previous = self.m.rearranged(p.inputs, p.samples, first.inputs, sources.get(self.__which, previous))

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        if l.before is None and not self.backward_too:
            return self.m.dot(l.delta[:, j], self.__right[:, i])
        return super().weight_gradient(l, j, i)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return len(case.inputs) > 1


def _wrong_activations() -> tuple[Variant, ...]:
    found = []
    for asked in ACTIVATIONS:
        for used in ACTIVATIONS:
            if used not in (asked, "identity", "log_softmax") and (asked in ELEMENTWISE or used in ELEMENTWISE):
                said = f"{used} where {asked} is asked for"
                found += [
                    variant(WrongActivation, said, usual=False, asked=asked, used=used),
                    variant(
                        WrongActivation,
                        f"{said}, forwards only",
                        usual=False,
                        asked=asked,
                        used=used,
                        forward_only=True,
                    ),
                ]
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
        variants=variants(
            variant(OutputActivationMissing, "forwards and backwards"),
            variant(OutputActivationMissing, "forwards only", slope_too=False),
            variant(OutputActivationMissing, "forwards and backwards", loss_of_a=True, usual=False),
            variant(OutputActivationMissing, "forwards only", slope_too=False, loss_of_a=True, usual=False),
            variant(OutputActivationMissing, "forwards and backwards", loss_of_a=True, fused=False, usual=False),
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
        variants=variants(
            variant(ActivationMissing, "forwards and backwards", output=False, slope_too=True),
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

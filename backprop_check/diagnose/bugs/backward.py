"""BP1xx: the backward pass of dense networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, activations_of, composed_too, variant, variants
from backprop_check.network import DEFAULT_ALPHA
from backprop_check.reference.activations import ELEMENTWISE, LAYERWISE
from backprop_check.reference.backward import Parameters, begin, forward, loss, update

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass


def _deep(case: Case) -> bool:
    return len(case.network.layers) > 1


class OutputDerivativeMissing(Swapped):
    """δ = ∂L/∂a at the output."""

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if l.next is not None:
            super().composed_delta(l, s)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = l.error[s, j]


class HiddenDerivativeMissing(Swapped):
    """δ = Σ w δ in the hidden layers."""

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if l.next is None:
            super().composed_delta(l, s)
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = l.error[s, j]


class DerivativeOfActivationValue(Swapped):
    """φ′(a): the derivative's function is fed a."""

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        function = ELEMENTWISE[l.activation]
        a = l.a[s, j]
        return function.derivative(self.m, a, function.value(self.m, a, l.alpha), l.alpha)


class DerivativeOfActivationValueEverywhere(DerivativeOfActivationValue):
    """The same, in softmax layers too: the Jacobian of softmax(a)."""

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        if l.activation not in LAYERWISE:
            super().composed_delta(l, s)
            return
        again = self.m.grid(l.samples, l.units)
        LAYERWISE[l.activation].activate(self.m, l.a, s, l.units, again)
        LAYERWISE[l.activation].backpropagate(self.m, again, l.error, s, l.units, l.delta)


class DerivativeFedPreActivation(Swapped):
    """z(1 − z) for a(1 − a)."""

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        return ELEMENTWISE[l.activation].derivative(self.m, l.z[s, j], l.z[s, j], l.alpha)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & {"sigmoid", "tanh"})


class DerivativeIsTheFunction(Swapped):
    """φ(z) for φ′(z)."""

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        return l.a[s, j]


class DerivativeOfNeighbour(Swapped):
    """φ′ of the layer before or after."""

    forwards: ClassVar[bool] = True
    values: ClassVar[bool] = False
    own_activation: ClassVar[bool] = False

    def __other(self, l: LayerPass) -> LayerPass | None:
        """The layer that is read: none for the output, and for the first one there is none before."""
        return None if l.next is None else l.next if self.forwards else l.before

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        other = self.__other(l)
        if other is None or self.values or not {other.activation, l.activation} & set(LAYERWISE):
            super().composed_delta(l, s)
            return
        m, z, a = self.m, l.z, l.a
        if not self.own_activation:
            a = m.grid(l.samples, l.units)
            if other.activation in LAYERWISE:
                LAYERWISE[other.activation].activate(m, z, s, l.units, a)
            else:
                for j in m.each(l.units):
                    a[s, j] = ELEMENTWISE[other.activation].value(m, z[s, j], other.alpha)
        if other.activation in LAYERWISE:
            LAYERWISE[other.activation].backpropagate(m, a, l.error, s, l.units, l.delta)
            return
        for j in m.each(l.units):
            l.delta[s, j] = l.error[s, j] * ELEMENTWISE[other.activation].derivative(m, z[s, j], a[s, j], other.alpha)

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        other = self.__other(l)
        if other is None:
            return super().slope(l, s, j)
        if self.values:
            if other.units != l.units:
                return super().slope(l, s, j)
            return ELEMENTWISE[l.activation].derivative(self.m, other.z[s, j], other.a[s, j], l.alpha)
        function, z = ELEMENTWISE[other.activation], l.z[s, j]
        a = l.a[s, j] if self.own_activation else function.value(self.m, z, other.alpha)
        return function.derivative(self.m, z, a, other.alpha)

    matters = staticmethod(_deep)


class WeightsUpdatedTooEarly(Swapped):
    """Σ w⁺ δ: what a layer passes back goes through weights that have learnt already."""

    def delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        self.__rate: float | None = p.learning_rate
        self.__early: tuple[LayerPass, Any] | None = None
        super().delta(p, l, s)

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        if self.__rate is None:
            return super().error_behind(l, s, k)
        if self.__early is None or self.__early[0] is not l:
            self.__early = (l, self.__updated(l, self.__rate))
        return self.m.dot(l.delta[s, :], self.__early[1][:, k])

    def __updated(self, l: LayerPass, rate: float) -> Any:
        """w⁺ = w − η Σₛ δ a."""
        weights = self.m.grid(l.units, l.inputs)
        for j in self.m.each(l.units):
            for i in self.m.each(l.inputs):
                weights[j, i] = self.updated(l.weights[j, i], self.weight_gradient(l, j, i), rate)
        return weights

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None


class FanOutOverwritten(Swapped):
    """Only the last downstream neuron counts."""

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        return l.delta[s, l.units - 1] * l.weights[l.units - 1, k]


class WeightsTransposed(Swapped):
    """Σ w[j][k] δₖ for Σ w[k][j] δₖ, where the layer is square; ``flat``: in one list of numbers, anywhere."""

    __flat: ClassVar[bool] = False

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        if l.units != l.inputs and not self.__flat:
            return super().error_behind(l, s, k)
        turned = self.m.rearranged(l.weights, l.units, l.inputs, lambda j, i: divmod_pair(i * l.units + j, l.inputs))
        return self.m.dot(l.delta[s, :], turned[:, k])


def divmod_pair(position: Any, width: int) -> tuple[Any, Any]:
    """Row and column of a position in a flat list."""
    return position // width, position % width


class WeightGradientTransposed(Swapped):
    """dW[i][j] for dW[j][i], where the layer is square."""

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        if l.units != l.inputs:
            return super().weight_gradient(l, j, i)
        return super().weight_gradient(l, i, j)


class WeightGradientFromOwnActivation(Swapped):
    """dW = δ a of the same layer."""

    by_input: ClassVar[bool] = False

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        if not self.by_input:
            return self.m.dot(l.delta[:, j], l.a[:, j])
        own = self.m.rearranged(l.a, l.samples, l.inputs, lambda r, c: (r, c % l.units))
        return self.m.dot(l.delta[:, j], own[:, i])


class PreActivationAsInput(Swapped):
    """dW = δ z of the layer before."""

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        if l.before is None:
            return super().weight_gradient(l, j, i)
        return self.m.dot(l.delta[:, j], l.before.z[:, i])

    matters = staticmethod(_deep)


class WeightGradientFromWeights(Swapped):
    """dW = δ w."""

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        return l.weights[j, i] * self.m.sum(l.delta[:, j])


class BiasGradientMissing(Swapped):
    """∂L/∂b = 0."""

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return 0.0 * l.biases[j]


class BiasGradientShared(Swapped):
    """Every bias gets the sum (or the mean) of its layer's δ."""

    layer_mean: ClassVar[bool] = False

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:  # noqa: ARG002 - that is the mistake
        sums = self.m.line(l.samples)
        for s in self.m.each(l.samples):
            sums[s] = self.m.sum(l.delta[s, :])
        total = self.m.sum(sums[:])
        return total / self.m.number(float(l.units)) if self.layer_mean else total


class BiasGradientFromInput(Swapped):
    """∂L/∂b = Σ δ a, with the a of ``which``."""

    __which: ClassVar[str] = "own"

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        if self.__which == "own":
            return self.m.dot(l.delta[:, j], l.a[:, j])
        if self.__which != "all":
            return self.m.dot(l.delta[:, j], l.previous[:, 0 if self.__which == "first" else l.inputs - 1])
        sums = self.m.grid(l.samples, 1)
        for s in self.m.each(l.samples):
            sums[s, 0] = self.m.sum(l.previous[s, :])
        return self.m.dot(l.delta[:, j], sums[:, 0])


class PathsCountedTwice(Swapped):
    """What comes back to a hidden neuron is added twice."""

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        error = super().error_behind(l, s, k)
        return 2 * error if l.before is not None else error

    matters = staticmethod(_deep)


def _visiting_pass(case: Case, parameters: Parameters, m: Any, stages: Any, step: int) -> Pass:
    """A pass whose backward part visits a neuron once for each path to it, each time with all that came so far."""
    p = begin(case, parameters, m, step)
    forward(p, m, stages)
    loss(p, m, stages)
    output = p.layers[-1]
    for s in m.each(p.samples):
        if not stages.is_fused(p, output):
            for j in m.each(output.units):
                output.error[s, j] = stages.output_error(p, s, j)
        stages.delta(p, output, s)
        _Visits(p, m, stages, s).start()
    for l in p.layers:
        l.delta = m.seen("delta", l.index, step, l.delta)
        l.weight_gradient = m.seen("weight_gradient", l.index, step, l.weight_gradient)
        l.bias_gradient = m.seen("bias_gradient", l.index, step, l.bias_gradient)
    p.input_gradient = m.seen("input_gradient", None, step, p.input_gradient)
    if p.learning_rate is not None:
        p.updated = update(p, p.learning_rate, m, stages, last=step == case.steps - 1)
    return p


class _Visits:
    """The recursion of one sample (or of all side by side), with each neuron's δ, error and gradients so far."""

    def __init__(self, p: Pass, m: Any, stages: Any, s: Any) -> None:
        self.p, self.m, self.stages, self.s = p, m, stages, s
        nought = 0.0 * p.layers[-1].delta[s, 0]
        self.delta = [[nought] * l.units for l in p.layers]
        self.error = [[nought] * l.inputs for l in p.layers]
        self.weights = [[[nought] * l.inputs for _ in range(l.units)] for l in p.layers]
        self.biases = [[nought] * l.units for l in p.layers]

    def start(self) -> None:
        """Visit every output, then add the samples up."""
        p, m, s = self.p, self.m, self.s
        output = p.layers[-1]
        for k, delta in enumerate([output.delta[s, k] for k in range(output.units)]):
            self.visit(output, k, delta)
        p.input_gradient = m.grid(p.samples, p.layers[0].inputs) if p.input_gradient is None else p.input_gradient
        for i, error in enumerate(self.error[0]):
            p.input_gradient[s, i] = error
        for l in p.layers:
            for j in range(l.units):
                l.delta[s, j] = self.delta[l.index][j]
                l.bias_gradient[j] = l.bias_gradient[j] + self._over_samples(self.biases[l.index][j])
                for i in range(l.inputs):
                    l.weight_gradient[j, i] = l.weight_gradient[j, i] + self._over_samples(self.weights[l.index][j][i])

    def _over_samples(self, each: Any) -> Any:
        """Σₛ where samples stand side by side; one sample's own value where they come one by one."""
        if isinstance(self.s, int):
            return each
        column = self.m.grid(self.p.samples, 1)
        column[self.s, 0] = each
        return self.m.sum(column[:, 0])

    def visit(self, l: LayerPass, j: int, delta: Any) -> None:
        """Add to the neuron's gradients, and go on to all that it reads."""
        own = self.delta[l.index]
        own[j] = own[j] + delta if self.stages.piling_up else delta
        self.biases[l.index][j] = self.biases[l.index][j] + own[j]
        for i in range(l.inputs):
            row = self.weights[l.index][j]
            row[i] = row[i] + own[j] * l.previous[self.s, i]
            error = self.error[l.index]
            error[i] = error[i] + own[j] * l.weights[j, i]
            if l.before is not None:
                self.visit(l.before, i, error[i] * self.stages.slope(l.before, self.s, i))


class PathsVisitedAgain(Swapped):
    """A recursion that visits a neuron once for each path; ``piling_up``: its δ is added to, too."""

    pass_function = staticmethod(_visiting_pass)
    piling_up: ClassVar[bool] = False

    @classmethod
    def matters(cls, case: Case) -> bool:
        layers = case.network.layers
        paths = 1
        for layer in layers:
            paths *= layer.units
        no_rows = not any(layer.activation in LAYERWISE for layer in layers[:-1])
        return len(layers) > 1 and paths <= _PATHS and no_rows


#: A recursion along every path takes as long as there are paths.
_PATHS = 300


class ErrorSignFlipped(Swapped):
    """t − a for a − t."""

    def delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        super().delta(p, l, s)
        if l.next is None:
            for j in self.m.each(l.units):
                l.delta[s, j] = -l.delta[s, j]


class ErrorSignFlippedAndAdded(ErrorSignFlipped):
    """t − a, and the update added: training goes the right way, the gradients have the wrong sign."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter + self.m.number(learning_rate) * gradient


class GradientSignFlipped(Swapped):
    """Every gradient negated, the δ right."""

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        return -super().weight_gradient(l, j, i)

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return -super().bias_gradient(l, j)


class ReluMaskFromDelta(Swapped):
    """The mask is δ > 0, or both (``guided``), or z > 0 of the layer after (``after``)."""

    mask: ClassVar[str] = "delta"

    def composed_delta(self, l: LayerPass, s: Any) -> None:
        super().composed_delta(l, s)
        if l.activation != "relu":
            return
        m = self.m
        for j in m.each(l.units):
            error = l.error[s, j]
            if self.mask == "delta":
                l.delta[s, j] = m.where_positive(error, error, 0.0 * error)
            elif self.mask == "guided":
                l.delta[s, j] = m.where_positive(error, l.delta[s, j], 0.0 * error)
            else:
                other = self.__other(l)
                if other is not None and other.units == l.units:
                    l.delta[s, j] = m.where_positive(other.z[s, j], error, 0.0 * error)

    def __other(self, l: LayerPass) -> LayerPass | None:
        """The layer after, or the last ReLU layer of all (``last``)."""
        other, last = l.next, None
        while other is not None:
            if self.mask == "after":
                return other
            last = other if other.activation == "relu" else last
            other = other.next
        return last

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "relu" in activations_of(case)


class LeakySlopeMissing(Swapped):
    """The slope is 0 on the negative side."""

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        right = super().slope(l, s, j)
        return self.m.where_positive(l.z[s, j], right, 0.0) if l.activation in DEFAULT_ALPHA else right

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & set(DEFAULT_ALPHA))


class LeakySlopeIgnored(Swapped):
    """An α of its own for the case's."""

    alpha: ClassVar[float | None] = None
    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = True

    def __with_alpha(self, l: LayerPass, work: Any, *arguments: Any) -> Any:
        right = l.alpha
        if l.activation in DEFAULT_ALPHA:
            l.alpha = DEFAULT_ALPHA[l.activation] if self.alpha is None else self.alpha
        result = work(l, *arguments)
        l.alpha = right
        return result

    def activate(self, l: LayerPass, s: Any) -> None:
        work = super().activate
        self.__with_alpha(l, work, s) if self.__forward else work(l, s)

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        work = super().slope
        return self.__with_alpha(l, work, s, j) if self.__backward else work(l, s, j)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & set(DEFAULT_ALPHA))


def gelu_by_tanh(m: Any, z: Any) -> tuple[Any, Any]:
    """tanh u and du/dz of the approximation ½z(1 + tanh u), u = √(2/π)(z + 0.044715 z³)."""
    root = m.sqrt(m.number(2.0) / m.pi)
    return m.tanh(root * (z + m.number(0.044715) * (z * (z * z)))), root * (1 + m.number(3 * 0.044715) * (z * z))


class GeluVariantsMixed(Swapped):
    """½z(1 + tanh(√(2/π)(z + 0.044715 z³))) in one direction (or both), Φ exact in the other."""

    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = False

    def activate(self, l: LayerPass, s: Any) -> None:
        if l.activation != "gelu" or not self.__forward:
            super().activate(l, s)
            return
        for j in self.m.each(l.units):
            z = l.z[s, j]
            l.a[s, j] = self.m.number(0.5) * z * (1 + gelu_by_tanh(self.m, z)[0])

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        if l.activation != "gelu" or not self.__backward:
            return super().slope(l, s, j)
        z, half = l.z[s, j], self.m.number(0.5)
        t, inner_slope = gelu_by_tanh(self.m, z)
        return half * (1 + t) + half * z * ((1 - t * t) * inner_slope)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "gelu" in activations_of(case)


class DerivativeClipped(Swapped):
    """a(1 − a) of an a kept away from 0 and 1 (1 − a² away from ±1)."""

    edge: ClassVar[float] = 0.01

    def slope(self, l: LayerPass, s: Any, j: Any) -> Any:
        if l.activation not in ("sigmoid", "tanh"):
            return super().slope(l, s, j)
        low, high = (self.edge, 1 - self.edge) if l.activation == "sigmoid" else (2 * self.edge - 1, 1 - 2 * self.edge)
        m, a = self.m, l.a[s, j]
        clipped = m.where_positive(a - high, high, m.where_positive(low - a, low, a))
        return ELEMENTWISE[l.activation].derivative(m, l.z[s, j], clipped, l.alpha)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & {"sigmoid", "tanh"})


class LastInputSkipped(Swapped):
    """z without the last input."""

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        return self.m.dot(l.previous[s, : l.inputs - 1], l.weights[j, : l.inputs - 1], plus=l.biases[j])


class LastDownstreamSkipped(Swapped):
    """Σ over all downstream neurons but the last."""

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        return self.m.dot(l.delta[s, : l.units - 1], l.weights[: l.units - 1, k])


class LastDeltaSkipped(Swapped):
    """The last neuron's δ stays 0; ``output_only``: at the output."""

    output_only: ClassVar[bool] = True

    def delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        super().delta(p, l, s)
        if l.next is not None and self.output_only:
            return
        for j in self.m.each(l.units):
            l.delta[s, j] = self.m.choose(j, l.units - 1, 0.0 * l.delta[s, j], l.delta[s, j])


class LastGradientSkipped(Swapped):
    """The last input's, or the last neuron's gradients stay 0."""

    skipped: ClassVar[str] = "input"

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        right = super().weight_gradient(l, j, i)
        if self.skipped == "input":
            return self.m.choose(i, l.inputs - 1, 0.0 * right, right)
        return self.m.choose(j, l.units - 1, 0.0 * right, right) if self.skipped == "neuron" else right

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        right = super().bias_gradient(l, j)
        return right if self.skipped == "input" else self.m.choose(j, l.units - 1, 0.0 * right, right)


class LastUpdateSkipped(Swapped):
    """The last neuron, or the last input's weights, do not learn."""

    skipped: ClassVar[str] = "neuron"

    def updated_weight(self, l: LayerPass, j: Any, i: Any, learning_rate: float) -> Any:
        right, before = super().updated_weight(l, j, i, learning_rate), l.weights[j, i]
        if self.skipped == "input":
            return self.m.choose(i, l.inputs - 1, before, right)
        return self.m.choose(j, l.units - 1, before, right)

    def updated_bias(self, l: LayerPass, j: Any, learning_rate: float) -> Any:
        right = super().updated_bias(l, j, learning_rate)
        return right if self.skipped == "input" else self.m.choose(j, l.units - 1, l.biases[j], right)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.optimizer is not None


class LastOutputLossSkipped(Swapped):
    """The loss is summed over all outputs but the last."""

    def sample_loss(self, p: Pass, terms: Any, s: Any) -> Any:
        terms[s, p.layers[-1].units - 1] = self.m.number(0.0)
        return super().sample_loss(p, terms, s)


class LastSampleSkipped(Swapped):
    """Gradients are summed over all samples but the last."""

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        return self.m.dot(l.delta[: l.samples - 1, j], l.previous[: l.samples - 1, i])

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return self.m.sum(l.delta[: l.samples - 1, j])


_EDGES = (0.01, 0.02, 0.05, 0.1, 0.001)
_ALPHAS = (0.01, 0.1, 0.2, 0.3, 0.05, 0.5, 1.0)

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
        variants=composed_too(variants(DerivativeIsTheFunction)),
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
    Bug(
        "BP107",
        "weights-updated-too-early",
        "The error is passed back through weights that have already been updated.",
        right="δⱼ = (Σₖ wₖⱼ δₖ) · φ′(zⱼ), with the weights of the forward pass",
        wrong="δⱼ = (Σₖ wₖⱼ⁺ δₖ) · φ′(zⱼ), with w⁺ = w − η ∂L/∂w",
        stays_right="the output layer; everything, in a pass without an update",
        fix="compute the deltas of all layers first, then update all layers",
        example="for layer in reversed(layers):\n    layer.backward()\n    layer.update()        # BP107: the layer before reads these weights\n"
        "for layer in layers: layer.update()  # right: after the loop\n",
        confused_with=("BP505",),
        seen="joelgrus/data-science-from-scratch#31, CodingTrain/Toy-Neural-Network-JS#72, Mazur's page",
        variants=variants(WeightsUpdatedTooEarly),
    ),
    Bug(
        "BP108",
        "fan-out-overwritten",
        "A neuron that feeds several keeps only the last one's share: = was written for +=.",
        right="∂L/∂aⱼ = Σₖ wₖⱼ δₖ",
        wrong="∂L/∂aⱼ = wₙⱼ δₙ, of the last neuron n only",
        stays_right="the forward pass and the last layer; neurons that feed one neuron only",
        fix="add up what comes back from every downstream neuron: gradients that meet are added",
        example="for k in range(n): error[j] = w[k][j] * delta[k]   # BP108\nfor k in range(n): error[j] += w[k][j] * delta[k]  # right\n",
        confused_with=("BP124",),
        seen="the micrograd lecture",
        variants=variants(FanOutOverwritten),
    ),
    Bug(
        "BP109",
        "weights-transposed",
        "The backward sum reads the weights with rows and columns swapped.",
        right="∂L/∂aⱼ = Σₖ w[k][j] δₖ",
        wrong="∂L/∂aⱼ = Σₖ w[j][k] δₖ",
        stays_right="the forward pass and the last layer's delta; it raises no error where a layer is square",
        fix="going back, neuron j's error reads column j of the next layer's weights, not row j",
        example="error[j] += w[j][k] * delta[k]  # BP109\nerror[j] += w[k][j] * delta[k]  # right\n",
        confused_with=("BP205", "BP110"),
        seen="iamtrask/Grokking-Deep-Learning#22",
        variants=variants(
            WeightsTransposed, variant(WeightsTransposed, "in a flat list of weights", flat=True, usual=False)
        ),
    ),
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
        variants=variants(
            variant(BiasGradientFromInput, "the neuron's own activation", which="own"),
            variant(BiasGradientFromInput, "the first input", which="first"),
            variant(BiasGradientFromInput, "the last input", which="last"),
            variant(BiasGradientFromInput, "the sum of the inputs", which="all"),
        ),
    ),
    Bug(
        "BP117",
        "paths-counted-twice",
        "What comes back to a hidden neuron is counted twice: the node is propagated once for each path to it.",
        right="∂L/∂aⱼ = Σₖ wₖⱼ δₖ, once",
        wrong="∂L/∂aⱼ = 2 Σₖ wₖⱼ δₖ",
        stays_right="the forward pass and the output layer",
        fix="visit every neuron once, after all that it feeds (reverse topological order)",
        example="for child in node.children: child.grad += ...; child.backward()  # BP117: visited again and again\n"
        "for node in reversed(topological_order): node.backward()          # right\n",
        seen="karpathy/micrograd#64",
        variants=variants(
            variant(PathsCountedTwice, "the error of every hidden neuron doubled"),
            variant(PathsVisitedAgain, "one visit for each path", usual=False),
            variant(PathsVisitedAgain, "one visit for each path, and deltas pile up", piling_up=True, usual=False),
        ),
    ),
    Bug(
        "BP118",
        "error-sign-flipped",
        "Every gradient has the wrong sign: the error was taken as t − a.",
        right="∂L/∂a = a − t",
        wrong="∂L/∂a = t − a",
        stays_right="the forward pass and the loss",
        fix="take a − t (and go down: w −= η · gradient), or add the update; but a gradient is reported as ∂L/∂w",
        example="error = t - a  # BP118\nerror = a - t  # right\n",
        confused_with=("BP501",),
        variants=variants(
            variant(ErrorSignFlipped, "from the output's delta on"),
            variant(GradientSignFlipped, "the gradients only"),
            variant(ErrorSignFlippedAndAdded, "and the update is added"),
        ),
    ),
    Bug(
        "BP119",
        "relu-mask-from-delta",
        "The ReLU's backward mask looks at the error (or at another layer), not at its own z.",
        right="δⱼ = error if zⱼ > 0, else 0",
        wrong="δⱼ = error if error > 0, else 0",
        stays_right="the forward pass; layers without ReLU",
        fix="remember z (or a) of the forward pass and let the error through where that was positive",
        example="delta[j] = error if error > 0 else 0  # BP119\ndelta[j] = error if z[j] > 0 else 0   # right\n",
        confused_with=("BP102",),
        variants=variants(
            variant(ReluMaskFromDelta, "where the error is positive", mask="delta"),
            variant(ReluMaskFromDelta, "where z and the error are positive", mask="guided"),
            variant(ReluMaskFromDelta, "where the layer after is active", mask="after", usual=False),
            variant(ReluMaskFromDelta, "where the last ReLU layer is active", mask="last", usual=False),
        ),
    ),
    Bug(
        "BP120",
        "leaky-slope-missing",
        "The activation has no slope on the negative side in the backward pass, as if it were a ReLU.",
        right="φ′(z) ≠ 0 for z < 0",
        wrong="φ′(z) = 0 for z < 0",
        by_activation={"leaky_relu": ("α", "0"), "elu": ("α eᶻ", "0")},
        stays_right="the forward pass; neurons with z > 0",
        fix="use the same α in the derivative as in the function",
        example="slope = 1 if z > 0 else 0      # BP120\nslope = 1 if z > 0 else alpha  # right\n",
        confused_with=("BP121",),
        seen="brain.js#560",
        variants=variants(LeakySlopeMissing),
    ),
    Bug(
        "BP121",
        "leaky-slope-ignored",
        "The activation's own α is ignored: a constant stands in its place.",
        right="φ and φ′ with the layer's α",
        wrong="φ and φ′ with a constant α₀",
        stays_right="neurons with z > 0; layers whose α happens to be that constant",
        fix="read α from the layer, in the function and in its derivative",
        example="a = z if z > 0 else 0.01 * z   # BP121\na = z if z > 0 else alpha * z  # right\n",
        confused_with=("BP120", "BP206"),
        seen="deeplearning4j#8178",
        variants=variants(
            variant(LeakySlopeIgnored, "the default α"),
            variant(LeakySlopeIgnored, "the default α, backwards only", forward=False),
            variant(LeakySlopeIgnored, "the default α, forwards only", backward=False),
            *(
                variant(LeakySlopeIgnored, f"α = {alpha}{where}", alpha=alpha, usual=False, **parts)
                for alpha in _ALPHAS
                for where, parts in (
                    ("", {}),
                    (", backwards only", {"forward": False}),
                    (", forwards only", {"backward": False}),
                )
            ),
        ),
    ),
    Bug(
        "BP122",
        "gelu-variants-mixed",
        "Two kinds of GELU are mixed: the exact one (erf) and its approximation by tanh.",
        right="a = z Φ(z), φ′ = Φ(z) + z e^(−z²/2)/√(2π)",
        wrong="½z(1 + tanh(√(2/π)(z + 0.044715 z³))) in one direction or both",
        stays_right="other activations; the values agree to three digits or so",
        fix="use one of them in both directions; this suite asks for the exact one",
        example="a = 0.5 * z * (1 + tanh(0.79788 * (z + 0.044715 * z**3)))  # BP122\na = 0.5 * z * (1 + erf(z / sqrt(2)))                       # right\n",
        variants=variants(
            variant(GeluVariantsMixed, "approximate forwards", forward=True, backward=False),
            variant(GeluVariantsMixed, "approximate backwards", forward=False, backward=True),
            variant(GeluVariantsMixed, "approximate in both directions", forward=True, backward=True),
        ),
    ),
    Bug(
        "BP123",
        "derivative-clipped",
        "The derivative is evaluated on a clipped activation, so that it never becomes small.",
        right="φ′ at a",
        wrong="φ′ at c, which is a kept away from its limits",
        by_activation={
            "sigmoid": ("a(1 − a)", "c(1 − c) with c between ε and 1 − ε"),
            "tanh": ("1 − a²", "1 − c² with c between 2ε − 1 and 1 − 2ε"),
        },
        stays_right="the forward pass; neurons that are not saturated",
        fix="remove the clipping from the derivative",
        example="a = max(0.01, min(0.99, a))  # BP123\nslope = a * (1 - a)\n",
        seen="FANN",
        variants=variants(
            *(variant(DerivativeClipped, f"ε = {edge}", edge=edge, usual=edge == _EDGES[0]) for edge in _EDGES)
        ),
    ),
    Bug(
        "BP124",
        "last-neuron-skipped",
        "A loop ends one too early: the last neuron, input, output or sample is left out.",
        right="Σ over all of them",
        wrong="Σ over all but the last",
        stays_right="everything that the last one has no part in",
        fix="let the loop run up to and including the last index (i < n, not i < n − 1)",
        example="for k in range(n - 1): error += w[k][j] * delta[k]  # BP124\nfor k in range(n): error += w[k][j] * delta[k]      # right\n",
        confused_with=("BP108",),
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

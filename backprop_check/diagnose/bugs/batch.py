"""BP4xx: the batch, and what is kept between steps and cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backprop_check.diagnose.bug import Bug, Swapped, variant, variants
from backprop_check.diagnose.bugs.loss import ScaledError
from backprop_check.reference.backward import Parameters, backward, begin, forward, loss, one_pass, update

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass, Stages


def _many(case: Case) -> bool:
    return len(case.inputs) > 1


def _mean(case: Case) -> bool:
    return _many(case) and case.reduction == "mean"


def _sum(case: Case) -> bool:
    return _many(case) and case.reduction == "sum"


class ScaledGradient(Swapped):
    """The gradients of weights and biases times ``portion``, the δ right."""

    gives = frozenset({"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"})
    __mean: ClassVar[str] = "1"
    __sum: ClassVar[str] = "1"
    biases: ClassVar[str] = "both"

    def prepare(self, p: Pass) -> None:
        super().prepare(p)
        n = float(p.samples)
        factor = {"1": 1.0, "N": n, "1/N": 1.0 / n}
        self.__share = factor[self.__mean if p.reduction == "mean" else self.__sum]

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        right = super().weight_gradient(l, j, i)
        return right if self.__share == 1.0 or self.biases == "only" else self.m.number(self.__share) * right

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        right = super().bias_gradient(l, j)
        return right if self.__share == 1.0 or self.biases == "not" else self.m.number(self.__share) * right

    matters = staticmethod(_many)


class SumsAndMeans(Swapped):
    """Σ over the samples for the weights, their mean for the biases, whatever is asked for."""

    gives = frozenset({"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"})

    def prepare(self, p: Pass) -> None:
        super().prepare(p)
        n = float(p.samples)
        self.__weights, self.__biases = (n, 1.0) if p.reduction == "mean" else (1.0, 1.0 / n)

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        return self.m.number(self.__weights) * super().weight_gradient(l, j, i)

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return self.m.number(self.__biases) * super().bias_gradient(l, j)

    matters = staticmethod(_many)


class SumNotMean(ScaledError):
    """The sum over the samples for their mean, from the output's δ on."""

    def portion(self, p: Pass) -> float:
        return float(p.samples) if p.reduction == "mean" else 1.0

    matters = staticmethod(_mean)


class MeanNotSum(ScaledError):
    """The mean over the samples for their sum, from the output's δ on."""

    def portion(self, p: Pass) -> float:
        return 1.0 if p.reduction == "mean" else 1.0 / p.samples

    matters = staticmethod(_sum)


class DividedTwice(ScaledError):
    """The mean taken twice, from the output's δ on."""

    def portion(self, p: Pass) -> float:
        return 1.0 / p.samples if p.reduction == "mean" else 1.0

    matters = staticmethod(_mean)


class OneSampleOnly(Swapped):
    """The gradients of one sample; ``whole``: not divided by the number of samples."""

    gives = frozenset({"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"})
    __last: ClassVar[bool] = True
    __whole: ClassVar[bool] = False

    def prepare(self, p: Pass) -> None:
        super().prepare(p)
        self.__share = float(p.samples) if self.__whole and p.reduction == "mean" else 1.0

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        s = l.samples - 1 if self.__last else 0
        return self.m.number(self.__share) * (l.delta[s, j] * l.previous[s, i])

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return self.m.number(self.__share) * l.delta[l.samples - 1 if self.__last else 0, j]

    matters = staticmethod(_many)


class GradientsKept(Swapped):
    """Each step's gradients are added to those of the steps before."""

    biases_only: ClassVar[bool] = False

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.__kept: dict[Any, Any] = {}

    def __with_kept(self, key: Any, gradient: Any) -> Any:
        total = gradient if key not in self.__kept else self.__kept[key] + gradient
        self.__kept[key] = total
        return total

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        if self.biases_only:
            return super().weight_gradient(l, j, i)
        key = (l.index, getattr(j, "axis", j), getattr(i, "axis", i))
        return self.__with_kept(key, super().weight_gradient(l, j, i))

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return self.__with_kept((l.index, getattr(j, "axis", j)), super().bias_gradient(l, j))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.steps > 1


def _one_sample(case: Case, s: int) -> Case:
    return msgspec.structs.replace(case, inputs=(case.inputs[s],), targets=(case.targets[s],))


def _sample_by_sample(case: Case, parameters: Parameters, m: Any, stages: Any, step: int) -> Pass:
    """A pass whose update follows every sample. What else it reports is that of each sample when it came."""
    if case.optimizer is None:
        return one_pass(case, parameters, m, stages, step)
    remembered = stages.memory
    p = begin(case, parameters, m, step) if stages.moving else one_pass(case, parameters, m, stages, step)
    stages.memory = remembered
    share = 1.0 / len(case.inputs) if case.reduction == "mean" and not stages.whole else 1.0
    with m.unseen():
        samples = []
        for s in range(len(case.inputs)):
            one = begin(_one_sample(case, s), parameters, m, step)
            one.learning_rate = (p.learning_rate or 0.0) * share
            parameters = _update_of(one, m, stages)
            samples.append(one)
    if stages.moving:
        _gather(p, samples, m, stages, 1.0 / len(case.inputs) if case.reduction == "mean" else 1.0)
    last = step == case.steps - 1
    p.updated = [
        (
            m.seen("updated_weight", index, step, weights, last=last),
            m.seen("updated_bias", index, step, biases, last=last),
        )
        for index, (weights, biases) in enumerate(parameters)
    ]
    return p


def _update_of(one: Pass, m: Any, stages: Stages) -> Parameters:
    """Work one sample out and give the parameters after it."""
    stages.prepare(one)
    forward(one, m, stages)
    loss(one, m, stages)
    backward(one, m, stages)
    assert one.learning_rate is not None
    return update(one, one.learning_rate, m, stages, last=False)


def _gather(p: Pass, samples: list[Pass], m: Any, stages: Stages, share: float) -> None:
    """Put the samples' passes together as one of the batch."""
    total = m.number(0.0)
    for s, one in enumerate(samples):
        total = total + one.loss
        for l, own in zip(p.layers, one.layers, strict=True):
            for j in m.each(l.units):
                l.z[s, j], l.a[s, j] = own.z[0, j], own.a[0, j]
                l.delta[s, j] = m.number(share) * own.delta[0, j]
    p.loss = m.seen("loss", None, p.step, m.number(share) * total)
    for l in p.layers:
        if l.before is not None:
            l.previous = l.before.a
        for name in ("z", "a", "delta"):
            m.seen(name, l.index, p.step, getattr(l, name))
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                l.weight_gradient[j, i] = stages.weight_gradient(l, j, i)
            l.bias_gradient[j] = stages.bias_gradient(l, j)
        m.seen("weight_gradient", l.index, p.step, l.weight_gradient)
        m.seen("bias_gradient", l.index, p.step, l.bias_gradient)
    p.input_gradient = m.grid(p.samples, p.layers[0].inputs)
    for s, one in enumerate(samples):
        for i in m.each(p.layers[0].inputs):
            p.input_gradient[s, i] = m.number(share) * one.input_gradient[0, i]
    p.input_gradient = m.seen("input_gradient", None, p.step, p.input_gradient)


class UpdateAfterEverySample(Swapped):
    """The parameters move after each sample; ``whole``: by its whole gradient, not by its share in the mean.

    ``moving``: every value reported is that of its sample at the parameters of that moment.
    """

    pass_function = staticmethod(_sample_by_sample)
    whole: ClassVar[bool] = True
    moving: ClassVar[bool] = False

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _many(case) and case.optimizer is not None


BUGS = (
    Bug(
        "BP401",
        "batch-sum-not-mean",
        "The gradients of the batch are summed where their mean is asked for.",
        right="∂L/∂w = (1/N) Σₛ δₛ aₛ",
        wrong="∂L/∂w = Σₛ δₛ aₛ",
        stays_right="the forward pass; batches of one sample",
        fix="divide by the number of samples N, once",
        example="for s in batch: grad += delta[s] * a[s]  # BP401 for a mean\ngrad /= N                                # right\n",
        confused_with=("BP402", "BP303"),
        seen="DeepLearningZeroToAll#173",
        variants=variants(
            variant(SumNotMean, "from the output's delta on"),
            variant(SumNotMean, "from the output's delta on, and in the loss", loss_too=True),
            variant(ScaledGradient, "in the gradients only", mean="N", matters=staticmethod(_mean)),
        ),
    ),
    Bug(
        "BP402",
        "batch-mean-not-sum",
        "The gradients of the batch are averaged where their sum is asked for.",
        right="∂L/∂w = Σₛ δₛ aₛ",
        wrong="∂L/∂w = (1/N) Σₛ δₛ aₛ",
        stays_right="the forward pass; batches of one sample",
        fix='heed "reduction": with "sum" nothing is divided',
        example='grad /= N                            # BP402\nif reduction == "mean": grad /= N    # right\n',
        confused_with=("BP401",),
        variants=variants(
            variant(MeanNotSum, "from the output's delta on"),
            variant(MeanNotSum, "from the output's delta on, and in the loss", loss_too=True),
            variant(ScaledGradient, "in the gradients only", sum="1/N", matters=staticmethod(_sum)),
        ),
    ),
    Bug(
        "BP403",
        "batch-divided-twice",
        "The mean over the batch is taken twice.",
        right="∂L/∂w = (1/N) Σₛ δₛ aₛ",
        wrong="∂L/∂w = (1/N²) Σₛ δₛ aₛ",
        stays_right="the forward pass; batches of one sample",
        fix="divide in one place: where the loss is differentiated, or where gradients are summed up",
        example="delta = (a - t) / N\ngrad = sum(delta * x) / N  # BP403\ngrad = sum(delta * x)      # right\n",
        confused_with=("BP304",),
        seen="d2l-en#1000",
        variants=variants(
            variant(DividedTwice, "from the output's delta on"),
            variant(ScaledGradient, "in the gradients", mean="1/N", matters=staticmethod(_mean)),
        ),
    ),
    Bug(
        "BP404",
        "last-sample-only",
        "Only the last sample's gradients count: each sample overwrites the one before.",
        right="∂L/∂w = Σₛ δₛ aₛ",
        wrong="∂L/∂w = δ_N a_N, of the last sample",
        stays_right="the forward pass and the deltas; batches of one sample",
        fix="add each sample's gradients to those before: += and not =",
        example="for s in batch: grad = delta[s] * a[s]   # BP404\nfor s in batch: grad += delta[s] * a[s]  # right\n",
        confused_with=("BP405", "BP108"),
        variants=variants(OneSampleOnly, variant(OneSampleOnly, "not divided by N", whole=True)),
    ),
    Bug(
        "BP405",
        "first-sample-only",
        "Only the first sample's gradients count.",
        right="∂L/∂w = Σₛ δₛ aₛ",
        wrong="∂L/∂w = δ₁ a₁, of the first sample",
        stays_right="the forward pass and the deltas; batches of one sample",
        fix="run the backward pass over every sample of the batch and add up",
        example="grad = delta[0] * a[0]                   # BP405\nfor s in batch: grad += delta[s] * a[s]  # right\n",
        confused_with=("BP404",),
        variants=variants(
            variant(OneSampleOnly, last=False), variant(OneSampleOnly, "not divided by N", last=False, whole=True)
        ),
    ),
    Bug(
        "BP406",
        "gradients-kept-between-steps",
        "The gradients are not cleared: each step adds to those of the steps before.",
        right="w⁺ = w − η gₜ",
        wrong="w⁺ = w − η (g₁ + … + gₜ)",
        stays_right="the first step",
        fix="set all gradients to 0 before each backward pass",
        example="for step in steps: backward(); update()               # BP406\nfor step in steps: zero_gradients(); backward(); update()  # right\n",
        seen="karpathy/micrograd#102",
        variants=variants(GradientsKept, variant(GradientsKept, "those of the biases only", biases_only=True)),
    ),
    Bug(
        "BP407",
        "bias-mean-weights-sum",
        "Weights and biases are reduced differently over the batch: one is summed, the other averaged.",
        right="both by the reduction that is asked for",
        wrong="∂L/∂w = Σₛ δₛ aₛ but ∂L/∂b = (1/N) Σₛ δₛ",
        stays_right="the deltas; batches of one sample",
        fix="reduce both in the same way",
        example="grad_w = delta.T @ a            # BP407: a sum,\ngrad_b = delta.mean(axis=0)     # and a mean\n",
        confused_with=("BP401", "BP402"),
        seen="kvfrans/notes#5",
        variants=variants(
            variant(
                ScaledGradient, "the weights summed for a mean", mean="N", biases="not", matters=staticmethod(_mean)
            ),
            variant(
                ScaledGradient, "the biases averaged for a sum", sum="1/N", biases="only", matters=staticmethod(_sum)
            ),
            variant(ScaledGradient, "the biases averaged twice", mean="1/N", biases="only", usual=False),
            variant(SumsAndMeans, "the weights always summed, the biases always averaged"),
            variant(ScaledGradient, "the weights averaged for a sum", sum="1/N", biases="not", usual=False),
            variant(ScaledGradient, "the biases summed for a mean", mean="N", biases="only", usual=False),
        ),
    ),
    Bug(
        "BP408",
        "update-after-every-sample",
        "The parameters are updated after every sample instead of once for the batch.",
        right="w⁺ = w − η ∂L/∂w, of the whole batch",
        wrong="w⁺ = w − η ∂ℓ₁/∂w, then the next sample from there",
        stays_right="the first pass, where gradients are kept apart; batches of one sample",
        fix="add up the gradients of all samples, then update once",
        example="for s in batch: backward(s); update()  # BP408\nfor s in batch: backward(s)\nupdate()                               # right\n",
        variants=variants(
            variant(UpdateAfterEverySample, "by each sample's whole gradient"),
            variant(UpdateAfterEverySample, "by each sample's share of the mean", whole=False),
            variant(UpdateAfterEverySample, "all values taken while the parameters move", moving=True),
            variant(
                UpdateAfterEverySample,
                "all values taken while the parameters move, by shares",
                moving=True,
                whole=False,
            ),
        ),
    ),
    Bug(
        "BP409",
        "state-leaks-between-cases",
        "The same case is answered differently after another one: something is kept that should be new.",
        right="an answer depends on its own case alone",
        wrong="it depends on what came before",
        stays_right="the first case of a fresh process",
        fix="build the network, its gradients and its optimizer anew for each case (or clear all of them)",
        example="grad = zeros()        # outside the function: BP409\ndef backprop(case): grad = zeros()  # right\n",
        confused_with=("BP009", "BP406"),
    ),
)

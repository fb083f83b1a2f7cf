"""BP4xx: the batch, and what is kept between steps and cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backprop_check.diagnose.bug import Bug, Swapped, SwappedRules, report, report_update, variant, variants
from backprop_check.diagnose.bugs.loss import ScaledError
from backprop_check.diagnose.rules import instead, is_learnt, of_samples, several_samples, times
from backprop_check.errors import CaseError
from backprop_check.reference.passes import begin, step_is_last, through, update
from backprop_check.reference.rules import read_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.reference.passes import Named, Pass
    from backprop_check.reference.rules import Rule, Table

_OF_GRADIENTS = frozenset({"weight_gradient", "bias_gradient", "updated_weight", "updated_bias"})


def _mean(case: Case) -> bool:
    return several_samples(case) and case.reduction == "mean"


def _sum(case: Case) -> bool:
    return several_samples(case) and case.reduction == "sum"


class ScaledGradient(SwappedRules):
    """The gradients of weights and of biases times 1, N or 1/N; the δ are right.

    ``weights`` and ``biases`` are the factors where the mean of the batch is asked for, and where its sum is.
    """

    gives = _OF_GRADIENTS
    __weights: ClassVar[tuple[str, str]] = ("1", "1")
    __biases: ClassVar[tuple[str, str]] = ("1", "1")

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = super().share(rule, role, s, i)
        if not is_learnt(read_by(rule, role)):
            return right
        factor = _factor(rule.case, self.__biases if role[0] == "bias" else self.__weights)
        return right if factor == 1.0 else times(self.m, factor, right)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(_factor(case, of) != 1.0 for of in (cls.__weights, cls.__biases))


def _factor(case: Case, of: tuple[str, str]) -> float:
    n = float(len(case.inputs))
    return {"1": 1.0, "N": n, "1/N": 1.0 / n}[of[0] if case.reduction == "mean" else of[1]]


class SumNotMean(ScaledError):
    """The sum over the samples in place of their mean, from the output's δ on."""

    def portion(self, p: Any) -> float:
        return float(p.samples) if p.reduction == "mean" else 1.0

    matters = staticmethod(_mean)


class MeanNotSum(ScaledError):
    """The mean over the samples in place of their sum, from the output's δ on."""

    def portion(self, p: Any) -> float:
        return 1.0 if p.reduction == "mean" else 1.0 / p.samples

    matters = staticmethod(_sum)


class DividedTwice(ScaledError):
    """The mean over the samples taken twice, from the output's δ on."""

    def portion(self, p: Any) -> float:
        return 1.0 / p.samples if p.reduction == "mean" else 1.0

    matters = staticmethod(_mean)


class OneSampleOnly(SwappedRules):
    """The gradients of only one sample of the batch; ``whole``: not divided by the number of samples."""

    gives = _OF_GRADIENTS
    __last: ClassVar[bool] = True
    __whole: ClassVar[bool] = False

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.__alone: dict[Table, tuple[Any, Any]] = {}

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if rule.out.parameter or not is_learnt(read_by(rule, role)):
            return super().share(rule, role, s, i)
        with instead(rule.out, error=self.__of_one(rule)):
            return super().share(rule, role, s, i)

    def __of_one(self, rule: Rule) -> Any:
        """The errors of the rule's output, with those of all other samples set to 0."""
        error, alone = self.__alone.get(rule.out, (None, None))
        if error is not rule.out.error:
            alone = self.__without_others(rule)
            self.__alone[rule.out] = rule.out.error, alone
        return alone

    def __without_others(self, rule: Rule) -> Any:
        m, samples = self.m, len(rule.case.inputs)
        factor = float(samples) if self.__whole and rule.case.reduction == "mean" else 1.0
        one = samples - 1 if self.__last else 0
        return of_samples(m, rule, [factor if s == one else 0.0 for s in range(samples)])

    matters = staticmethod(several_samples)


class GradientsKept(SwappedRules):
    """Each step's gradients are added to those of the steps before."""

    gives = _OF_GRADIENTS
    biases_only: ClassVar[bool] = False

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.__names: dict[Table, tuple[int, str]] = {}
        self.__kept: dict[tuple[int, str, int], Any] = {}

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        for name, table in parameters.items():
            self.__names.setdefault(table, (c.layer, name))
        return super().equations(c, layer, x, parameters, inputs)

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right, table = super().share(rule, role, s, i), read_by(rule, role)
        name = None if table is None else self.__names.get(table)
        if table is None or name is None or (self.biases_only and "bias" not in name[1]):
            return right
        kept = self.__kept.setdefault((*name, table.readers.index((rule, role))), self.m.row(table.units))
        kept[0, i] = kept[0, i] + self.m.dots([right], [])
        return self.m.one(kept[0, i]), None

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.steps > 1


class UpdateAfterEverySample(Swapped):
    """The parameters are updated after each sample; ``whole``: by its own gradient, not by its share in the mean.

    ``moving``: every reported value is computed with the parameters at the time of its sample.
    """

    whole: ClassVar[bool] = True
    moving: ClassVar[bool] = False

    def whole_pass(
        self, right: Callable[..., Pass], case: Case, parameters: list[Named], buffers: list[Named], step: int
    ) -> Pass:
        if case.optimizer is None:
            done: Pass = super().whole_pass(right, case, parameters, buffers, step)
            return done
        m, p, samples = self.m, begin(case, self.m, self, step), []
        if not self.moving:
            through(p, parameters, buffers, m, self)
        with m.unseen():
            if self.moving:
                through(p, parameters, buffers, m, self)  # only its tables are used; their numbers are replaced
            for s in range(p.samples):
                one, updated = self.__pass_of(case, s, parameters, buffers, step)
                parameters = updated
                buffers = [{**old, **l.buffers} for old, l in zip(buffers, one.layers, strict=True)]
                samples.append(one)
        if self.moving:
            _gather(p, samples, m)
            report(p, m, last=step_is_last(p))
        p.updated = report_update(p, parameters, m, last=step_is_last(p))
        return p

    def __pass_of(
        self, case: Case, s: int, parameters: list[Named], buffers: list[Named], step: int
    ) -> tuple[Pass, list[Named]]:
        """The pass of one sample, and the parameters after it."""
        one = begin(_one_sample(case, s), self.m, self, step)
        through(one, parameters, buffers, self.m, self)
        share = 1.0 if self.whole or case.reduction == "sum" else 1.0 / len(case.inputs)
        one.learning_rate = (one.learning_rate or 0.0) * share
        return one, update(one, one.learning_rate, self.m, self, last=False)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return several_samples(case) and case.optimizer is not None and _can_come_alone(case)


def _can_come_alone(case: Case) -> bool:
    """Whether a sample can be a batch of its own; batch normalisation needs more than one number."""
    try:
        _one_sample(case, 0)
    except CaseError:
        return False
    return True


def _one_sample(case: Case, s: int) -> Case:
    layers = tuple(layer.of_samples((s,)) for layer in case.network.layers)
    network = case.network
    if any(own is not layer for own, layer in zip(layers, network.layers, strict=True)):
        network = msgspec.structs.replace(network, layers=layers)
    return msgspec.structs.replace(case, network=network, inputs=case.inputs[[s]], targets=case.targets[[s]])


def _gather(p: Pass, samples: list[Pass], m: Any) -> None:
    """Put the values of the samples' own passes into ``p``, as if it were a pass of the batch."""
    share = m.number(1.0 / p.samples if p.reduction == "mean" else 1.0)

    def scaled(table: Table) -> Any:
        found = m.grid(1, table.units)
        for s in m.each(1):
            for i in m.each(table.units):
                found[s, i] = share * table.error[s, i]
        return found

    for number, l in enumerate(p.layers):
        own = [one.layers[number] for one in samples]
        for at, table in enumerate((*l.output.z, l.output.a)):
            parts = [(*each.output.z, each.output.a)[at] for each in own]
            table.values = m.stacked([part.values for part in parts])
            table.error = m.stacked([scaled(part) for part in parts])
        for name, table in l.parameters.items():
            table.error = m.row(table.units)
            for i in m.each(table.units):
                table.error[0, i] = share * m.dots(
                    [(m.one(each.parameters[name].error[0, i]), None) for each in own], []
                )
        l.buffers = own[-1].buffers
    p.loss = share * m.dots([(m.one(one.loss), None) for one in samples], [])
    p.input_gradient = m.stacked([scaled(one.inputs) for one in samples])


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
        by_label={"and in the loss": ("L = (1/N) Σₛ ℓₛ, and its gradient", "L = Σₛ ℓₛ, and its gradient")},
        variants=variants(
            variant(SumNotMean, "from the output's delta on"),
            variant(SumNotMean, "from the output's delta on, and in the loss", loss_too=True),
            variant(ScaledGradient, "in the gradients only", weights=("N", "1"), biases=("N", "1")),
        ),
    ),
    Bug(
        "BP402",
        "batch-mean-not-sum",
        "The gradients of the batch are averaged where their sum is asked for.",
        right="∂L/∂w = Σₛ δₛ aₛ",
        wrong="∂L/∂w = (1/N) Σₛ δₛ aₛ",
        stays_right="the forward pass; batches of one sample",
        fix='follow "reduction": with "sum" nothing is divided',
        example='grad /= N                            # BP402\nif reduction == "mean": grad /= N    # right\n',
        confused_with=("BP401",),
        by_label={"and in the loss": ("L = Σₛ ℓₛ, and its gradient", "L = (1/N) Σₛ ℓₛ, and its gradient")},
        variants=variants(
            variant(MeanNotSum, "from the output's delta on"),
            variant(MeanNotSum, "from the output's delta on, and in the loss", loss_too=True),
            variant(ScaledGradient, "in the gradients only", weights=("1", "1/N"), biases=("1", "1/N")),
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
            variant(ScaledGradient, "in the gradients", weights=("1/N", "1"), biases=("1/N", "1")),
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
        by_label={"not divided by N": ("∂L/∂w = (1/N) Σₛ ∂ℓₛ/∂w", "∂L/∂w = ∂ℓ_N/∂w, of the last sample")},
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
        by_label={"not divided by N": ("∂L/∂w = (1/N) Σₛ ∂ℓₛ/∂w", "∂L/∂w = ∂ℓ₁/∂w, of the first sample")},
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
        by_label={"those of the biases only": ("b⁺ = b − η gₜ", "b⁺ = b − η (g₁ + … + gₜ)")},
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
        by_label={
            "the weights summed for a mean": ("∂L/∂w = (1/N) Σₛ δₛ aₛ", "∂L/∂w = Σₛ δₛ aₛ"),
            "the biases averaged for a sum": ("∂L/∂b = Σₛ δₛ", "∂L/∂b = (1/N) Σₛ δₛ"),
            "the biases averaged twice": ("∂L/∂b = (1/N) Σₛ δₛ", "∂L/∂b = (1/N²) Σₛ δₛ"),
            "the weights averaged for a sum": ("∂L/∂w = Σₛ δₛ aₛ", "∂L/∂w = (1/N) Σₛ δₛ aₛ"),
            "the biases summed for a mean": ("∂L/∂b = (1/N) Σₛ δₛ", "∂L/∂b = Σₛ δₛ"),
        },
        variants=variants(
            variant(ScaledGradient, "the weights summed for a mean", weights=("N", "1")),
            variant(ScaledGradient, "the biases averaged for a sum", biases=("1", "1/N")),
            variant(ScaledGradient, "the biases averaged twice", biases=("1/N", "1"), usual=False),
            variant(
                ScaledGradient,
                "the weights always summed, the biases always averaged",
                weights=("N", "1"),
                biases=("1", "1/N"),
            ),
            variant(ScaledGradient, "the weights averaged for a sum", weights=("1", "1/N"), usual=False),
            variant(ScaledGradient, "the biases summed for a mean", biases=("N", "1"), usual=False),
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
        by_label={
            "by each sample's share of the mean": "w⁺ = w − η (1/N) ∂ℓ₁/∂w, then the next sample from there",
            "all values taken while the parameters move": (
                "z, a, δ and gradients of all samples at the same w",
                "w⁺ = w − η ∂ℓ₁/∂w, then z, a, δ and gradients of the next sample at w⁺",
            ),
            "all values taken while the parameters move, by shares": (
                "z, a, δ and gradients of all samples at the same w",
                "w⁺ = w − η (1/N) ∂ℓ₁/∂w, then z, a, δ and gradients of the next sample at w⁺",
            ),
        },
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

"""BP506 to BP518: momentum, decay, and the optimizers that divide by what gradients usually are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, variant, variants
from backprop_check.reference.optimizers import Memory

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.reference.optimizers import Learning, Remembered

_ADAPTIVE = ("rmsprop", "adagrad", "adam", "adamw")
_ADAM = ("adam", "adamw")


def _kind(case: Case) -> str:
    """The optimizer's kind; empty where there is none."""
    return "" if case.optimizer is None else case.optimizer.kind


def _on(case: Case, name: str) -> bool:
    """Whether the optimizer has the option, and it is on."""
    return case.optimizer is not None and bool(case.optimizer.settings.get(name))


class OfMomentum(Swapped):
    """Something wrong with the velocity of every optimizer that has one, or of one ``kind``."""

    kind: ClassVar[str] = ""

    def velocity(self, d: Any, of: Remembered) -> Any:
        here = self.optimizer is not None and self.kind in ("", self.optimizer.kind)
        return self.wrong_velocity(d, of) if here else super().velocity(d, of)

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        """v⁺ as the bug has it."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "momentum") and case.steps > 1 and cls.kind in ("", _kind(case))


def _each_kind(wrong: type[OfMomentum], label: str = "") -> tuple[Any, ...]:
    """In every optimizer that has a velocity, and in each alone."""
    where = [label] if label else []
    return (
        variant(wrong, label),
        variant(wrong, ", ".join([*where, "in SGD"]), kind="sgd"),
        variant(wrong, ", ".join([*where, "in RMSprop"]), kind="rmsprop"),
    )


class MomentumSign(OfMomentum):
    """v⁺ = d − μ v."""

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        if "velocity" not in of:
            return of.keep("velocity", d)
        return of.keep("velocity", self.undampened(d) - self.settings["momentum"] * of["velocity"])


class LookAheadSign(Swapped):
    """g − μ v⁺."""

    def look_ahead(self, g: Any, v: Any) -> Any:
        return g - self.settings["momentum"] * v

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "nesterov")


class FirstStepDampened(Swapped):
    """v begins at 0, and the first gradient is dampened as all others are."""

    def velocity(self, d: Any, of: Remembered) -> Any:
        return super().velocity(d, of) if "velocity" in of else of.keep("velocity", self.undampened(d))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "dampening")


class VelocityReset(OfMomentum):
    """v begins anew in every step."""

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        return of.keep("velocity", d)


class MemoryReset(Swapped):
    """All that is remembered is lost after every step; ``counts``: but not how many there were."""

    __counts: ClassVar[bool] = False

    def before_update(self, p: Learning) -> None:
        self.memory = Memory(self.memory.time if self.__counts else 0)
        super().before_update(p)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.steps > 1 and (_on(case, "momentum") or _kind(case) in _ADAPTIVE)


class NesterovAsPlain(Swapped):
    """The direction is v⁺ itself."""

    def look_ahead(self, g: Any, v: Any) -> Any:  # noqa: ARG002 - that is the mistake
        return 1 * v

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "nesterov")


class DecayTimes(Swapped):
    """Another factor before λ: −1, ½ or 2."""

    __factor: ClassVar[float] = -1.0

    def decayed(self, w: Any, g: Any, of: Remembered) -> Any:
        if not self.has("weight_decay"):
            return super().decayed(w, g, of)
        return g + self.m.number(self.__factor) * (self.settings["weight_decay"] * w)

    def shrunk(self, w: Any, of: Remembered, rate: Any) -> Any:
        if not self.has("weight_decay"):
            return super().shrunk(w, of, rate)
        return w - self.m.number(self.__factor) * (self.m.number(rate) * self.settings["weight_decay"] * w)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "weight_decay")


class PenaltyTimes(Swapped):
    """Another factor before the l2 penalty's gradient, its part of the loss, or both."""

    __factor: ClassVar[float] = -1.0
    __in_loss: ClassVar[bool] = False
    in_gradient: ClassVar[bool] = True

    def l2_slope(self, l2: float, w: Any) -> Any:
        right = super().l2_slope(l2, w)
        return self.m.number(self.__factor) * right if self.in_gradient else right

    def l2_value(self, l2: float, total: Any) -> Any:
        right = super().l2_value(l2, total)
        return self.m.number(self.__factor) * right if self.__in_loss else right

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.regularization is not None and case.regularization.l2 != 0


class DecaySkipsBiases(Swapped):
    """Biases do not decay."""

    def decayed(self, w: Any, g: Any, of: Remembered) -> Any:
        return g if "bias" in of.parameter else super().decayed(w, g, of)

    def shrunk(self, w: Any, of: Remembered, rate: Any) -> Any:
        return w if "bias" in of.parameter else super().shrunk(w, of, rate)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _on(case, "weight_decay")


class PenaltySkipsBiases(Swapped):
    """Biases have no penalty in the gradient (and the loss) though the case asks for it."""

    __in_loss: ClassVar[bool] = True

    def counts_biases(self, p: Learning) -> bool:
        return False if self.__in_loss else super().counts_biases(p)

    def penalized(self, p: Learning, parameter: str, gradient: Any, w: Any) -> Any:
        return gradient if "bias" in parameter else super().penalized(p, parameter, gradient, w)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.regularization is not None and case.regularization.biases


class CorrectionMissing(Swapped):
    """m and v as they are; ``of``: or only one of them."""

    __of: ClassVar[str] = "both"

    def correction_of_mean(self, beta: Any) -> Any:
        return super().correction_of_mean(beta) if self.__of == "square" else self.m.number(1.0)

    def correction_of_square(self, beta: Any) -> Any:
        return super().correction_of_square(beta) if self.__of == "mean" else self.m.setting(1.0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in _ADAM


class OneMinusBeta(Swapped):
    """1 − β for 1 − βᵗ."""

    def correction(self, beta: Any) -> Any:
        return 1 - beta

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in _ADAM and case.steps > 1


class TimeOff(Swapped):
    """t is counted from another number than 1; where 1 − β⁰ would be 0, nothing is corrected."""

    __shift: ClassVar[int] = 1

    def correction(self, beta: Any) -> Any:
        time = self.time + self.__shift
        return 1 - self.power(beta, time) if time > 0 else self.m.setting(1.0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in _ADAM


class EpsilonInside(Swapped):
    """√(v + ε)."""

    inside: ClassVar[tuple[str, ...]] = _ADAPTIVE

    def root(self, v: Any) -> Any:
        return self.m.sqrt(v + self.settings["eps"]) if self.__here() else super().root(v)

    def adam_root(self, square: Any, beta2: Any) -> Any:
        if not self.__here():
            return super().adam_root(square, beta2)
        return self.m.sqrt(square / self.correction_of_square(beta2) + self.settings["eps"])

    def __here(self) -> bool:
        return self.optimizer is not None and self.optimizer.kind in self.inside

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in cls.inside


class EpsilonBeforeCorrection(Swapped):
    """(√v + ε)/√(1 − β₂ᵗ): the ε̂ of Adam's shorter formula."""

    def adam_root(self, square: Any, beta2: Any) -> Any:
        return (self.m.sqrt(square) + self.settings["eps"]) / self.m.sqrt(self.correction_of_square(beta2))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in _ADAM


class WithoutRoot(Swapped):
    """g/(v + ε)."""

    rootless: ClassVar[tuple[str, ...]] = ("rmsprop", "adagrad")

    def root(self, v: Any) -> Any:
        if self.optimizer is None or self.optimizer.kind not in self.rootless:
            return super().root(v)
        return v + self.settings["eps"]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) in cls.rootless


class DecayAsL2(Swapped):
    """AdamW with its decay in the gradient."""

    def adamw(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        return self.adam(w, g, of, rate)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _kind(case) == "adamw" and _on(case, "weight_decay")


def _factors(*factors: float) -> tuple[Any, ...]:
    """Decay, and each part of the penalty, with these factors."""
    words = {-1.0: "subtracted", 0.5: "half of it", 2.0: "twice"}
    found = []
    for factor in factors:
        said = words[factor]
        found += [
            variant(DecayTimes, f"weight decay, {said}", factor=factor),
            variant(PenaltyTimes, f"the penalty's gradient, {said}", factor=factor),
            variant(PenaltyTimes, f"the penalty, {said}, in loss and gradient", factor=factor, in_loss=True),
            variant(PenaltyTimes, f"the penalty's loss, {said}", factor=factor, in_loss=True, in_gradient=False),
        ]
    return tuple(found)


BUGS = (
    Bug(
        "BP506",
        "momentum-sign",
        "Momentum is subtracted: the velocity brakes where it should carry on.",
        right="u⁺ = μ u + ∂L/∂w, w⁺ = w − η u⁺",
        wrong="u⁺ = ∂L/∂w − μ u",
        stays_right="every gradient, and the first step without Nesterov",
        fix="keep one convention: either v = μ v + g and w −= η v, or v = μ v − η g and w += v",
        example="v = grad - mu * v; w -= rate * v  # BP506\nv = mu * v + grad; w -= rate * v  # right\n",
        confused_with=("BP501", "BP508"),
        seen="PaddlePaddle/Paddle#12231",
        variants=variants(*_each_kind(MomentumSign), variant(LookAheadSign, "in Nesterov's step")),
    ),
    Bug(
        "BP507",
        "momentum-first-step-dampened",
        "The first gradient is dampened too: the velocity begins at 0 instead of at the gradient.",
        right="u₁ = g₁, then u⁺ = μ u + (1 − τ) g, τ the dampening",
        wrong="u₁ = (1 − τ) g₁",
        stays_right="every gradient, and momentum without dampening",
        fix="let the first velocity be the gradient, as PyTorch does",
        example="v = 0; v = mu * v + (1 - damp) * grad                       # BP507\n"
        "v = grad if first else mu * v + (1 - damp) * grad           # right\n",
        confused_with=("BP508",),
        seen="ml-explore/mlx#473",
        variants=variants(FirstStepDampened),
    ),
    Bug(
        "BP508",
        "velocity-reset-each-step",
        "What the optimizer remembers is lost after every step: each begins as the first did.",
        right="u⁺ = μ u + ∂L/∂w, u from the step before",
        wrong="u⁺ = ∂L/∂w",
        stays_right="every gradient, and the first step",
        fix="make the buffers once, before the first step, and keep them",
        example="for step in range(steps): v = 0; v = mu * v + grad  # BP508\n"
        "v = 0\nfor step in range(steps): v = mu * v + grad         # right\n",
        confused_with=("BP507",),
        seen="kozistr/pytorch_optimizer#516, mitsuba-renderer/mitsuba3#20",
        variants=variants(
            *_each_kind(VelocityReset, "the velocity"),
            variant(MemoryReset, "everything"),
            variant(MemoryReset, "everything but the count of steps", counts=True),
        ),
    ),
    Bug(
        "BP509",
        "nesterov-as-plain",
        "Nesterov's momentum is asked for, and plain momentum is computed.",
        right="w⁺ = w − η (∂L/∂w + μ u⁺)",
        wrong="w⁺ = w − η u⁺",
        stays_right="every gradient, and momentum without Nesterov",
        fix="step along the gradient plus μ times the new velocity",
        example="w -= rate * v                # BP509\nw -= rate * (grad + mu * v)  # right\n",
        confused_with=("BP506",),
        seen="PaddlePaddle/Paddle#12231",
        variants=variants(NesterovAsPlain),
    ),
    Bug(
        "BP510",
        "decay-sign",
        "Weight decay, or the gradient of an l2 penalty, is subtracted: weights grow.",
        right="∂L/∂w + λ w",
        wrong="∂L/∂w − λ w",
        stays_right="everything without decay or penalty",
        fix="add λ w to the gradient",
        example="grad -= decay * w  # BP510\ngrad += decay * w  # right\n",
        confused_with=("BP511",),
        seen="chainer/chainer#261",
        variants=_factors(-1.0),
    ),
    Bug(
        "BP511",
        "decay-half-or-double",
        "Weight decay, or an l2 penalty, has a factor 2 too much or too little.",
        right="½ λ Σw² in the loss, λ w in the gradient",
        wrong="λ Σw² or ¼ λ Σw² in the loss, 2 λ w or ½ λ w in the gradient",
        stays_right="everything without decay or penalty",
        fix="the half in the loss is there to cancel the 2 of the derivative: use one convention in both",
        example="grad += 2 * decay * w  # BP511\ngrad += decay * w      # right\n",
        confused_with=("BP510", "BP301"),
        seen="titu1994/DenseNet#57, jingtinghuang/CS231n-Spring-2017#3",
        variants=_factors(2.0, 0.5),
    ),
    Bug(
        "BP512",
        "decay-skips-biases",
        "Decay leaves the biases out, where it is asked for all parameters.",
        right="every parameter decays, biases too (weight_decay, or a penalty with biases: true)",
        wrong="weights decay, biases do not",
        stays_right="every weight",
        fix="decay every parameter, or ask for a penalty that leaves biases out",
        example="w_grad += decay * w                       # BP512\n"
        "w_grad += decay * w; b_grad += decay * b  # right\n",
        confused_with=("BP504",),
        seen="d2l-ai/d2l-en#2284",
        variants=variants(
            variant(DecaySkipsBiases, "weight decay"),
            variant(PenaltySkipsBiases, "the penalty"),
            variant(PenaltySkipsBiases, "the penalty's gradient", in_loss=False),
        ),
    ),
    Bug(
        "BP513",
        "adam-bias-correction-missing",
        "Adam's averages are used as they are: begun at 0, they are too small at first.",
        right="m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)",
        wrong="m and v themselves",
        stays_right="every gradient, and every other optimizer",
        fix="divide both averages by 1 − βᵗ, t counted from 1",
        example="w -= rate * m / (sqrt(v) + eps)          # BP513\n"
        "w -= rate * (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + eps)  # right\n",
        confused_with=("BP514", "BP515"),
        seen="google-research/bert#153, oxiglade/mlx-rs#301",
        variants=variants(
            variant(CorrectionMissing, "of both averages"),
            variant(CorrectionMissing, "of the gradient's average", of="mean"),
            variant(CorrectionMissing, "of the square's average", of="square"),
        ),
    ),
    Bug(
        "BP514",
        "adam-one-minus-beta",
        "Adam's correction has no t: 1 − β in every step.",
        right="m̂ = m/(1 − β₁ᵗ)",
        wrong="m̂ = m/(1 − β₁)",
        stays_right="every gradient, and the first step",
        fix="raise β to the number of the step",
        example="m_hat = m / (1 - b1)     # BP514\nm_hat = m / (1 - b1**t)  # right\n",
        confused_with=("BP513", "BP515"),
        seen="eriklindernoren/ML-From-Scratch#35, PennyLaneAI/pennylane#1929",
        variants=variants(OneMinusBeta),
    ),
    Bug(
        "BP515",
        "adam-time-starts-at-zero",
        "Adam counts its steps from another number than 1: from 0, the first correction divides by 0.",
        right="t = 1 in the first step",
        wrong="t = 0 in the first step (no number, or an error), or t = 2",
        stays_right="every gradient, and every other optimizer",
        fix="count the step before it is corrected: t += 1, then 1 − βᵗ",
        example="m_hat = m / (1 - b1**t); t += 1  # BP515\nt += 1; m_hat = m / (1 - b1**t)  # right\n",
        confused_with=("BP513", "BP514"),
        seen="deeplearning4j/nd4j#1227, tracel-ai/burn#630",
        variants=variants(
            variant(TimeOff, "t is one ahead"),
            variant(TimeOff, "t is one behind, and the first step is not corrected", shift=-1),
        ),
    ),
    Bug(
        "BP516",
        "adam-epsilon-inside-sqrt",
        "ε stands in another place than beside the root of v̂.",
        right="√v̂ + ε",
        wrong="√(v̂ + ε), or ε added before v is corrected",
        stays_right="every gradient; with a tiny ε it hardly shows",
        fix="take the root first, then add ε; correct v before",
        example="g / sqrt(v + eps)    # BP516\ng / (sqrt(v) + eps)  # right\n",
        confused_with=("BP517",),
        seen="tensorflow/tensorflow#9047, keras-team/keras#4356",
        variants=variants(
            variant(EpsilonInside, "inside the root"),
            variant(EpsilonInside, "inside Adam's root", inside=_ADAM),
            variant(EpsilonInside, "inside RMSprop's root", inside=("rmsprop",)),
            variant(EpsilonInside, "inside Adagrad's root", inside=("adagrad",)),
            variant(EpsilonBeforeCorrection, "before v is corrected"),
        ),
    ),
    Bug(
        "BP517",
        "rmsprop-without-sqrt",
        "The gradient is divided by the average of its square, not by the root of that.",
        right="w⁺ = w − η g/(√v + ε)",
        wrong="w⁺ = w − η g/(v + ε)",
        stays_right="every gradient",
        fix="take the square root of v",
        example="w -= rate * g / (v + eps)        # BP517\nw -= rate * g / (sqrt(v) + eps)  # right\n",
        confused_with=("BP516",),
        seen="hiromis/notes#52",
        variants=variants(
            variant(WithoutRoot, "in RMSprop and Adagrad"),
            variant(WithoutRoot, "in RMSprop", rootless=("rmsprop",)),
            variant(WithoutRoot, "in Adagrad", rootless=("adagrad",)),
        ),
    ),
    Bug(
        "BP518",
        "adamw-decay-as-l2",
        "AdamW's decay goes through the gradient, as Adam's does: it is divided by the gradient's usual size.",
        right="w⁺ = w (1 − η λ) − η m̂/(√v̂ + ε)",
        wrong="g + λ w in place of g",
        stays_right="every gradient, and Adam",
        fix="shrink the parameter by itself, and leave the gradient alone",
        example="grad += decay * w; adam(w, grad)      # BP518\nw -= rate * decay * w; adam(w, grad)  # right\n",
        confused_with=("BP510",),
        seen="anhquan0412/basic_model_scratch#2",
        variants=variants(DecayAsL2),
    ),
)

"""BP506 to BP512: momentum, weight decay and penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, variant, variants
from backprop_check.reference.optimizers import Memory

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.diagnose.bug import Formula
    from backprop_check.reference.optimizers import Learning, Remembered

ADAPTIVE = ("rmsprop", "adagrad", "adam", "adamw")


def optimizer_of(case: Case) -> str:
    """The kind of the optimizer; empty where there is none."""
    return "" if case.optimizer is None else case.optimizer.kind


def has_on(case: Case, name: str) -> bool:
    """Whether an option of the optimizer is on."""
    return case.optimizer is not None and bool(case.optimizer.settings.get(name))


class OfMomentum(Swapped):
    """The base of mistakes in the velocity of every optimizer that has one, or only of one ``kind``."""

    kind: ClassVar[str] = ""

    def velocity(self, d: Any, of: Remembered) -> Any:
        here = self.optimizer is not None and self.kind in ("", self.optimizer.kind)
        return self.wrong_velocity(d, of) if here else super().velocity(d, of)

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        """The wrong v⁺."""
        raise NotImplementedError

    @classmethod
    def matters(cls, case: Case) -> bool:
        return has_on(case, "momentum") and case.steps > 1 and cls.kind in ("", optimizer_of(case))


def _each_kind(wrong: type[OfMomentum], label: str = "") -> tuple[Any, ...]:
    """The mistake in every optimizer that has a velocity, and in each alone."""
    where = [label] if label else []
    return (
        variant(wrong, label),
        variant(wrong, ", ".join([*where, "in SGD"]), kind="sgd"),
        variant(wrong, ", ".join([*where, "in RMSprop"]), kind="rmsprop"),
    )


class MomentumSign(OfMomentum):
    """v⁺ = d − μ v in place of d + μ v."""

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        if "velocity" not in of:
            return of.keep("velocity", d)
        return of.keep("velocity", self.undampened(d) - self.settings["momentum"] * of["velocity"])


class LookAheadSign(Swapped):
    """g − μ v⁺ in place of g + μ v⁺."""

    def look_ahead(self, g: Any, v: Any) -> Any:
        return g - self.settings["momentum"] * v

    @classmethod
    def matters(cls, case: Case) -> bool:
        return has_on(case, "nesterov")


class FirstStepDampened(Swapped):
    """v starts at 0, and the first gradient is dampened like all others."""

    def velocity(self, d: Any, of: Remembered) -> Any:
        return super().velocity(d, of) if "velocity" in of else of.keep("velocity", self.undampened(d))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return has_on(case, "dampening")


class VelocityReset(OfMomentum):
    """v is reset in every step."""

    def wrong_velocity(self, d: Any, of: Remembered) -> Any:
        return of.keep("velocity", d)


class MemoryReset(Swapped):
    """The optimizer's whole memory is lost after every step; with ``counts``, except for the number of steps."""

    __counts: ClassVar[bool] = False

    def before_update(self, p: Learning) -> None:
        self.memory = Memory(self.memory.time if self.__counts else 0)
        super().before_update(p)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.steps > 1 and (has_on(case, "momentum") or optimizer_of(case) in ADAPTIVE)


class NesterovAsPlain(Swapped):
    """The direction is v⁺ itself."""

    def look_ahead(self, g: Any, v: Any) -> Any:  # noqa: ARG002 - that is the mistake
        return 1 * v

    @classmethod
    def matters(cls, case: Case) -> bool:
        return has_on(case, "nesterov")


class DecayTimes(Swapped):
    """A wrong factor before λ: −1, ½ or 2."""

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
        return has_on(case, "weight_decay")


class PenaltyTimes(Swapped):
    """A wrong factor before the l2 penalty's gradient, its part of the loss, or both."""

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
        return has_on(case, "weight_decay")


class PenaltySkipsBiases(Swapped):
    """Biases have no penalty in the gradient (and the loss) although the case asks for it."""

    __in_loss: ClassVar[bool] = True

    def counts_biases(self, p: Learning) -> bool:
        return False if self.__in_loss else super().counts_biases(p)

    def penalized(self, p: Learning, parameter: str, gradient: Any, w: Any) -> Any:
        return gradient if "bias" in parameter else super().penalized(p, parameter, gradient, w)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.regularization is not None and case.regularization.biases


def _times(factor: str) -> dict[str, Formula]:
    """Formulas of decay and penalties with that factor before λ."""
    words = {"2": "twice", "½": "half of it"}[factor]
    in_loss = {"2": "λ Σw²", "½": "¼ λ Σw²"}[factor]
    return {
        f"weight decay, {words}": ("g + λ w", f"g + {factor} λ w"),
        f"the penalty's gradient, {words}": ("∂L/∂w + λ w", f"∂L/∂w + {factor} λ w"),
        f"the penalty, {words}, in loss and gradient": (
            "L + ½ λ Σw², ∂L/∂w + λ w",
            f"L + {in_loss}, ∂L/∂w + {factor} λ w",
        ),
        f"the penalty's loss, {words}": ("L + ½ λ Σw²", f"L + {in_loss}"),
    }


def _factors(*factors: float) -> tuple[Any, ...]:
    """Variants of decay, and of each part of the penalty, with these factors."""
    words = {-1.0: "subtracted", 0.5: "half of it", 2.0: "twice"}
    found = []
    for factor in factors:
        how = words[factor]
        found += [
            variant(DecayTimes, f"weight decay, {how}", factor=factor),
            variant(PenaltyTimes, f"the penalty's gradient, {how}", factor=factor),
            variant(PenaltyTimes, f"the penalty, {how}, in loss and gradient", factor=factor, in_loss=True),
            variant(PenaltyTimes, f"the penalty's loss, {how}", factor=factor, in_loss=True, in_gradient=False),
        ]
    return tuple(found)


BUGS = (
    Bug(
        "BP506",
        "momentum-sign",
        "Momentum is subtracted: the old velocity slows the step down instead of carrying it on.",
        right="u⁺ = μ u + ∂L/∂w, w⁺ = w − η u⁺",
        wrong="u⁺ = ∂L/∂w − μ u",
        stays_right="every gradient, and the first step without Nesterov",
        fix="keep one convention: either v = μ v + g and w −= η v, or v = μ v − η g and w += v",
        example="v = grad - mu * v; w -= rate * v  # BP506\nv = mu * v + grad; w -= rate * v  # right\n",
        confused_with=("BP501", "BP508"),
        seen="PaddlePaddle/Paddle#12231",
        by_label={"in Nesterov's step": ("w⁺ = w − η (g + μ u⁺)", "w⁺ = w − η (g − μ u⁺)")},
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
        by_label={
            "everything": (
                "what is remembered, from the step before",
                "what is remembered, and t, as in the first step",
            ),
            "everything but the count of steps": (
                "what is remembered, from the step before",
                "what is remembered, as in the first step, with t counting on",
            ),
        },
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
        by_label={
            "weight decay": ("w⁺ = w − η (g + λ w)", "w⁺ = w − η (g − λ w)"),
            "the penalty's gradient": ("∂L/∂w + λ w", "∂L/∂w − λ w"),
            "the penalty, subtracted": ("L + ½ λ Σw², ∂L/∂w + λ w", "L − ½ λ Σw², ∂L/∂w − λ w"),
            "the penalty's loss": ("L + ½ λ Σw²", "L − ½ λ Σw²"),
        },
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
        by_label={**_times("2"), **_times("½")},
        variants=_factors(2.0, 0.5),
    ),
    Bug(
        "BP512",
        "decay-skips-biases",
        "Biases do not decay, although decay is asked for all parameters.",
        right="every parameter decays, biases too (weight_decay, or a penalty with biases: true)",
        wrong="weights decay, biases do not",
        stays_right="every weight",
        fix="decay every parameter, or ask for a penalty that leaves biases out",
        example="w_grad += decay * w                       # BP512\n"
        "w_grad += decay * w; b_grad += decay * b  # right\n",
        confused_with=("BP504",),
        seen="d2l-ai/d2l-en#2284",
        by_label={
            "weight decay": ("w⁺ and b⁺ with weight decay", "w⁺ with weight decay, b⁺ without"),
            "the penalty": ("L + ½ λ (Σw² + Σb²), ∂L/∂b + λ b", "L + ½ λ Σw², ∂L/∂b"),
            "the penalty's gradient": ("∂L/∂b + λ b", "∂L/∂b"),
        },
        variants=variants(
            variant(DecaySkipsBiases, "weight decay"),
            variant(PenaltySkipsBiases, "the penalty"),
            variant(PenaltySkipsBiases, "the penalty's gradient", in_loss=False),
        ),
    ),
)

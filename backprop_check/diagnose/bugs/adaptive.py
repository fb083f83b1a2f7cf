"""BP513 to BP518: the optimizers that divide by the usual size of the gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, variant, variants
from backprop_check.diagnose.bugs.training import ADAPTIVE, has_on, optimizer_of

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.reference.optimizers import Remembered

_ADAM = ("adam", "adamw")


class CorrectionMissing(Swapped):
    """m and v without bias correction, or only one of them (``of``)."""

    __of: ClassVar[str] = "both"

    def correction_of_mean(self, beta: Any) -> Any:
        return super().correction_of_mean(beta) if self.__of == "square" else self.m.number(1.0)

    def correction_of_square(self, beta: Any) -> Any:
        return super().correction_of_square(beta) if self.__of == "mean" else self.m.setting(1.0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) in _ADAM


class OneMinusBeta(Swapped):
    """1 − β in place of 1 − βᵗ."""

    def correction(self, beta: Any) -> Any:
        return 1 - beta

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) in _ADAM and case.steps > 1


class TimeOff(Swapped):
    """t starts at another number than 1; where 1 − β⁰ would be 0, nothing is corrected."""

    __shift: ClassVar[int] = 1

    def correction(self, beta: Any) -> Any:
        time = self.time + self.__shift
        return 1 - self.power(beta, time) if time > 0 else self.m.setting(1.0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) in _ADAM


class EpsilonInside(Swapped):
    """√(v + ε) in place of √v + ε."""

    inside: ClassVar[tuple[str, ...]] = ADAPTIVE

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
        return optimizer_of(case) in cls.inside


class EpsilonBeforeCorrection(Swapped):
    """(√v + ε)/√(1 − β₂ᵗ): the ε̂ of Adam's shorter formula."""

    def adam_root(self, square: Any, beta2: Any) -> Any:
        return (self.m.sqrt(square) + self.settings["eps"]) / self.m.sqrt(self.correction_of_square(beta2))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) in _ADAM


class WithoutRoot(Swapped):
    """g/(v + ε) in place of g/(√v + ε)."""

    rootless: ClassVar[tuple[str, ...]] = ("rmsprop", "adagrad")

    def root(self, v: Any) -> Any:
        if self.optimizer is None or self.optimizer.kind not in self.rootless:
            return super().root(v)
        return v + self.settings["eps"]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) in cls.rootless


class DecayAsL2(Swapped):
    """AdamW's decay added to the gradient."""

    def adamw(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        return self.adam(w, g, of, rate)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return optimizer_of(case) == "adamw" and has_on(case, "weight_decay")


BUGS = (
    Bug(
        "BP513",
        "adam-bias-correction-missing",
        "Adam's averages are used without bias correction: they start at 0 and are too small at first.",
        right="m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)",
        wrong="m and v themselves",
        stays_right="every gradient, and every other optimizer",
        fix="divide both averages by 1 − βᵗ, t counted from 1",
        example="w -= rate * m / (sqrt(v) + eps)          # BP513\n"
        "w -= rate * (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + eps)  # right\n",
        confused_with=("BP514", "BP515"),
        seen="google-research/bert#153, oxiglade/mlx-rs#301",
        by_label={
            "of both averages": "m̂ = m, v̂ = v",
            "of the gradient's average": ("m̂ = m/(1 − β₁ᵗ)", "m̂ = m"),
            "of the square's average": ("v̂ = v/(1 − β₂ᵗ)", "v̂ = v"),
        },
        variants=variants(
            variant(CorrectionMissing, "of both averages"),
            variant(CorrectionMissing, "of the gradient's average", of="mean"),
            variant(CorrectionMissing, "of the square's average", of="square"),
        ),
    ),
    Bug(
        "BP514",
        "adam-one-minus-beta",
        "Adam's bias correction ignores the number of the step: it is 1 − β in every step.",
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
        by_label={
            "t is one ahead": "t = 2 in the first step",
            "t is one behind": "t = 0 in the first step, which is not corrected",
        },
        variants=variants(
            variant(TimeOff, "t is one ahead"),
            variant(TimeOff, "t is one behind, and the first step is not corrected", shift=-1),
        ),
    ),
    Bug(
        "BP516",
        "adam-epsilon-inside-sqrt",
        "ε is added in the wrong place: it belongs outside the root of v̂.",
        right="√v̂ + ε",
        wrong="√(v̂ + ε), or ε added before v is corrected",
        stays_right="every gradient; with a tiny ε it hardly shows",
        fix="take the root first, then add ε; correct v before",
        example="g / sqrt(v + eps)    # BP516\ng / (sqrt(v) + eps)  # right\n",
        confused_with=("BP517",),
        seen="tensorflow/tensorflow#9047, keras-team/keras#4356",
        by_label={
            "inside the root": "√(v̂ + ε)",
            "inside Adam's root": "√(v̂ + ε)",
            "inside RMSprop's root": ("√v + ε", "√(v + ε)"),
            "inside Adagrad's root": ("√s + ε", "√(s + ε)"),
            "before v is corrected": "(√v + ε)/√(1 − β₂ᵗ)",
        },
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
        "AdamW's decay is added to the gradient, as in Adam: so it is divided by the gradient's usual size.",
        right="w⁺ = w (1 − η λ) − η m̂/(√v̂ + ε)",
        wrong="g + λ w in place of g",
        stays_right="every gradient, and Adam",
        fix="shrink the parameter directly, and keep the decay out of the gradient",
        example="grad += decay * w; adam(w, grad)      # BP518\nw -= rate * decay * w; adam(w, grad)  # right\n",
        confused_with=("BP510",),
        seen="anhquan0412/basic_model_scratch#2",
        variants=variants(DecayAsL2),
    ),
)

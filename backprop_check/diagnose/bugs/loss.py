"""BP3xx: the loss and its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.case.network import LOSSES as KINDS
from backprop_check.diagnose.bug import Bug, Swapped, Variant, variant, variants
from backprop_check.diagnose.rules import instead
from backprop_check.functions.losses import LOSSES
from backprop_check.kinds.wiring import Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case


class ScaledError(Swapped):
    """The output's δ times ``portion(p)``; ``loss_too``: the loss as well."""

    __loss_too: ClassVar[bool] = False

    def portion(self, p: Any) -> float:
        """The factor."""
        raise NotImplementedError

    def in_batch(self, p: Any, x: Any) -> Any:
        return self.__times(p, super().in_batch(p, x))

    def batch_loss(self, p: Any, total: Any) -> Any:
        right = super().in_batch(p, total)
        return self.__times(p, right) if self.__loss_too else right

    def __times(self, p: Any, x: Any) -> Any:
        portion = self.portion(p)
        return x if portion == 1.0 else self.m.number(portion) * x


class FactorTwo(ScaledError):
    """2e in place of e."""

    def portion(self, p: Any) -> float:
        return 2.0 if p.loss_kind == "half_squared_error" else 1.0

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind == "half_squared_error"


class FactorTwoMissing(ScaledError):
    """``e`` in place of 2e."""

    def portion(self, p: Any) -> float:
        return 0.5 if p.loss_kind in ("squared_error", "mean_squared_error") else 1.0

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind in ("squared_error", "mean_squared_error")


class MeanOverOutputsMissing(ScaledError):
    """The sum over the outputs in place of their mean."""

    def portion(self, p: Any) -> float:
        return float(p.layers[-1].units) if LOSSES[p.loss_kind].mean_over_outputs else 1.0

    @classmethod
    def matters(cls, case: Case) -> bool:
        return LOSSES[case.loss.kind].mean_over_outputs


class MeanOverOutputsExtra(ScaledError):
    """The mean over the outputs in place of their sum."""

    def portion(self, p: Any) -> float:
        return 1.0 if LOSSES[p.loss_kind].mean_over_outputs else 1.0 / p.layers[-1].units

    @classmethod
    def matters(cls, case: Case) -> bool:
        return not LOSSES[case.loss.kind].mean_over_outputs


class AnotherLoss(Swapped):
    """∂ℓ/∂a of the loss ``used`` where the case asks for ``asked`` (empty: any other)."""

    fused = False
    __asked: ClassVar[str] = ""
    __used: ClassVar[str] = ""
    __loss_too: ClassVar[bool] = False

    def __here(self, p: Any) -> bool:
        return p.loss_kind != self.__used and self.__asked in ("", p.loss_kind)

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if not self.__here(p):
            return super().output_error(p, s, k)
        asked, p.loss_kind = p.loss_kind, self.__used
        error = super().output_error(p, s, k)
        p.loss_kind = asked
        return error

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        if not (self.__loss_too and self.__here(p)):
            return super().loss_term(p, s, k)
        return LOSSES[self.__used].term(self.m, p.layers[-1].a[s, k], p.targets[s, k], p.threshold)

    def sample_loss(self, p: Any, terms: Any, s: Any) -> Any:
        if not (self.__loss_too and self.__here(p)):
            return super().sample_loss(p, terms, s)
        total = self.m.total(terms[s, :])
        return total / float(p.layers[-1].units) if LOSSES[self.__used].mean_over_outputs else total

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind != cls.__used and cls.__asked in ("", case.loss.kind)


class HuberSignLost(Swapped):
    """+threshold beyond the threshold, whatever the sign of the error."""

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if p.loss_kind != "huber":
            return super().output_error(p, s, k)
        last, m = p.layers[-1], self.m
        e = last.a[s, k] - p.targets[s, k]
        slope = m.where_positive(abs(e) - p.threshold, p.threshold, e)
        return self.in_batch(p, slope / m.number(float(last.units)))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind == "huber"


class LabelOffByOne(Swapped):
    """The targets shifted by one class."""

    __shift: ClassVar[int] = 1
    classes_only: ClassVar[bool] = True

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.__right = self.__shifted = None

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        with instead(p, targets=self.__targets(p)):
            return super().loss_term(p, s, k)

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        with instead(p, targets=self.__targets(p)):
            return super().output_error(p, s, k)

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        with instead(p, targets=self.__targets(p)):
            return super().matched_error(p, rule, s, i, composed)

    def __targets(self, p: Any) -> Any:
        if self.__right is not p.targets:
            self.__right, self.__shifted = p.targets, self.__moved(p)
        return self.__shifted

    def __moved(self, p: Any) -> Any:
        m, units = self.m, p.case.network.widths[-1]
        classes = p.case.network.classes or units
        places = Places([k - k % classes + (k - self.__shift) % classes for k in range(units)])
        shifted = m.grid(p.samples, units)
        for s in m.each(p.samples):
            for k in m.each(units):
                shifted[s, k] = p.targets[s, places[k]]
        return shifted

    @classmethod
    def matters(cls, case: Case) -> bool:
        return not cls.classes_only or case.loss.kind in ("cross_entropy", "negative_log_likelihood")


class LossOnly(Swapped):
    """The reported loss times ``factor``; gradients are right."""

    __factor: ClassVar[str] = "2"

    def batch_loss(self, p: Any, total: Any) -> Any:
        n, k = float(p.samples), float(p.layers[-1].units)
        mean, over = p.reduction == "mean", LOSSES[p.loss_kind].mean_over_outputs
        factors = {
            "2": 2.0,
            "½": 0.5,
            "−1": -1.0,
            "N": n if mean else 1.0,
            "1/N": 1.0 if mean else 1 / n,
            "1/N again": 1 / n,
            "K": k if over else 1.0,
            "1/K": 1.0 if over else 1 / k,
            "1/ln 2": 1.4426950408889634,
        }
        return self.m.number(factors[self.__factor]) * super().batch_loss(p, total)


def _other_losses() -> tuple[Variant, ...]:
    found = []
    for used in KINDS:
        name = used.replace("_", " ")
        for loss_too in (False, True):
            tail = ", in the loss too" if loss_too else ""
            found.append(
                variant(AnotherLoss, f"that of {name}, always{tail}", usual=False, used=used, loss_too=loss_too)
            )
            found += [
                variant(
                    AnotherLoss,
                    f"that of {name} where {asked.replace('_', ' ')} is asked for{tail}",
                    usual=False,
                    used=used,
                    asked=asked,
                    loss_too=loss_too,
                )
                for asked in KINDS
                if asked != used
            ]
    return tuple(found)


BUGS = (
    Bug(
        "BP301",
        "factor-two",
        "The derivative of ½e² is taken as 2e: everything is twice as large.",
        right="∂L/∂a = a − t",
        wrong="∂L/∂a = 2(a − t)",
        stays_right="the forward pass and, mostly, the loss",
        fix="the ½ of the half squared error cancels the 2 of the derivative",
        example="error = 2 * (a - t)  # BP301\nerror = a - t        # right for half_squared_error\n",
        confused_with=("BP302", "BP401"),
        by_label={"in the loss too": ("ℓ = ½e², ∂L/∂a = a − t", "ℓ = e², ∂L/∂a = 2(a − t)")},
        variants=variants(FactorTwo, variant(FactorTwo, "in the loss too", loss_too=True, usual=False)),
    ),
    Bug(
        "BP302",
        "factor-two-missing",
        "The derivative of e² is taken as e: everything is half as large.",
        right="∂L/∂a = 2(a − t)",
        wrong="∂L/∂a = a − t",
        stays_right="the forward pass and, mostly, the loss",
        fix="keep the 2 of the derivative where the loss has no ½",
        example="error = a - t        # BP302\nerror = 2 * (a - t)  # right for squared_error\n",
        confused_with=("BP301", "BP306"),
        by_label={"in the loss too": ("ℓ = e², ∂L/∂a = 2(a − t)", "ℓ = ½e², ∂L/∂a = a − t")},
        variants=variants(FactorTwoMissing, variant(FactorTwoMissing, "in the loss too", loss_too=True, usual=False)),
    ),
    Bug(
        "BP303",
        "mean-over-outputs-missing",
        "The gradient is that of the sum over the outputs where the loss is their mean.",
        right="∂L/∂aₖ = (1/K) ∂ℓₖ/∂aₖ",
        wrong="∂L/∂aₖ = ∂ℓₖ/∂aₖ",
        stays_right="the forward pass; networks with one output",
        fix="divide by the number of outputs K",
        example="error = 2 * (a - t)      # BP303\nerror = 2 * (a - t) / K  # right for mean_squared_error\n",
        confused_with=("BP304", "BP401"),
        by_label={
            "in the loss too": ("ℓ = (1/K) Σₖ ℓₖ, ∂L/∂aₖ = (1/K) ∂ℓₖ/∂aₖ", "ℓ = Σₖ ℓₖ, ∂L/∂aₖ = ∂ℓₖ/∂aₖ"),
        },
        variants=variants(MeanOverOutputsMissing, variant(MeanOverOutputsMissing, "in the loss too", loss_too=True)),
    ),
    Bug(
        "BP304",
        "mean-over-outputs-extra",
        "The gradient is divided by the number of outputs where the loss is their sum.",
        right="∂L/∂aₖ = ∂ℓₖ/∂aₖ",
        wrong="∂L/∂aₖ = (1/K) ∂ℓₖ/∂aₖ",
        stays_right="the forward pass; networks with one output",
        fix="do not divide by the number of outputs: only the mean over samples, if asked for, divides",
        example="error = (a - t) / K  # BP304\nerror = a - t        # right\n",
        confused_with=("BP303", "BP403"),
        by_label={
            "in the loss too": ("ℓ = Σₖ ℓₖ, ∂L/∂aₖ = ∂ℓₖ/∂aₖ", "ℓ = (1/K) Σₖ ℓₖ, ∂L/∂aₖ = (1/K) ∂ℓₖ/∂aₖ"),
        },
        variants=variants(MeanOverOutputsExtra, variant(MeanOverOutputsExtra, "in the loss too", loss_too=True)),
    ),
    Bug(
        "BP306",
        "loss-derivative-of-another-loss",
        "The backward pass starts with the derivative of another loss.",
        right="∂L/∂a of the loss that is asked for",
        wrong="∂L/∂a of another loss",
        stays_right="the forward pass and the loss itself",
        fix="start the backward pass with the derivative of the very loss that is reported",
        example="loss = cross_entropy(p, t); error = p - t  # BP306 where p − t is then multiplied by φ′ once more\n",
        confused_with=("BP101", "BP302", "BP603"),
        by_label={
            "in the loss too": ("ℓ and ∂ℓ/∂a of the loss that is asked for", "ℓ and ∂ℓ/∂a of another loss"),
        },
        variants=_other_losses(),
    ),
    Bug(
        "BP308",
        "huber-sign-lost",
        "Huber's derivative loses its sign beyond the threshold.",
        right="∂ℓ/∂a = threshold · sign(e) for |e| > threshold",
        wrong="∂ℓ/∂a = threshold for |e| > threshold",
        stays_right="errors within the threshold, and positive ones",
        fix="multiply the threshold by the sign of the error",
        example="slope = threshold            # BP308\nslope = threshold * sign(e)  # right\n",
        variants=variants(HuberSignLost),
    ),
    Bug(
        "BP309",
        "label-off-by-one",
        "The target class is shifted by one: labels that count from 1 were read as if from 0, or the reverse.",
        right="tₖ = 1 for the class k",
        wrong="tₖ₊₁ = 1, or tₖ₋₁",
        stays_right="the forward pass",
        fix="check with one sample which output the target belongs to",
        example="target[label] = 1      # BP309 for labels from 1\ntarget[label - 1] = 1  # right\n",
        by_label={
            "one class up": "tₖ₊₁ = 1",
            "one class down": "tₖ₋₁ = 1",
            "one output up": ("aₖ is compared with tₖ", "aₖ is compared with tₖ₋₁"),
            "one output down": ("aₖ is compared with tₖ", "aₖ is compared with tₖ₊₁"),
        },
        variants=variants(
            variant(LabelOffByOne, "one class up", shift=1),
            variant(LabelOffByOne, "one class down", shift=-1),
            variant(LabelOffByOne, "one output up, with every loss", shift=1, classes_only=False, usual=False),
            variant(LabelOffByOne, "one output down, with every loss", shift=-1, classes_only=False, usual=False),
        ),
    ),
    Bug(
        "BP310",
        "loss-only",
        "The gradients are right, but the reported loss is not: a factor is missing or extra.",
        right="L = the mean (or sum) of the samples' losses",
        wrong="c · L",
        stays_right="everything but the loss",
        fix="report the loss whose gradients you compute (mind ½, the mean over samples, and log base e)",
        example="print(sum(losses))      # BP310\nprint(sum(losses) / N)  # right for a mean\n",
        confused_with=("BP401",),
        by_label={
            "by the factor 2": "2 L",
            "by the factor ½": "½ L",
            "by the factor −1": "−L",
            "by the factor N": ("L = (1/N) Σₛ ℓₛ", "L = Σₛ ℓₛ"),
            "by the factor 1/N": ("L = Σₛ ℓₛ", "L = (1/N) Σₛ ℓₛ"),
            "by the factor 1/N again": ("L = (1/N) Σₛ ℓₛ", "L = (1/N²) Σₛ ℓₛ"),
            "by the factor K": ("ℓ = (1/K) Σₖ ℓₖ", "ℓ = Σₖ ℓₖ"),
            "by the factor 1/K": ("ℓ = Σₖ ℓₖ", "ℓ = (1/K) Σₖ ℓₖ"),
            "by the factor 1/ln 2": ("−t ln a", "−t log₂ a"),
        },
        variants=variants(
            *(
                variant(LossOnly, f"by the factor {factor}", factor=factor, usual=factor in ("2", "½"))
                for factor in ("2", "½", "−1", "N", "1/N", "1/N again", "K", "1/K", "1/ln 2")
            )
        ),
    ),
)

__all__ = ["BUGS", "ScaledError"]

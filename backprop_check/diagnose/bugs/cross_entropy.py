"""BP305 and BP307: cross-entropies, their second half and their logarithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, Swapped, Variant, variant, variants, written

if TYPE_CHECKING:
    from backprop_check.case.network import Case

_BINARY = "binary_cross_entropy"

#: Common values of ε by their names: those of Keras, scikit-learn and textbooks, and the machine epsilons.
_USUAL = {
    "1e-07": 1e-7,
    "1e-15": 1e-15,
    "1e-12": 1e-12,
    "1e-08": 1e-8,
    "2.2e-16, the unit of float64": 2.0**-52,
    "1.2e-07, the unit of float32": 2.0**-23,
    "1e-16": 1e-16,
    "1e-10": 1e-10,
    "1e-09": 1e-9,
    "1e-06": 1e-6,
    "1e-05": 1e-5,
    "1e-04": 1e-4,
    "1e-03": 1e-3,
}


class BceHalfMissing(Swapped):
    """−t ln a without (1 − t) ln(1 − a)."""

    fused = False
    __gradient_too: ClassVar[bool] = True
    __loss_too: ClassVar[bool] = False

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if p.loss_kind != "binary_cross_entropy" or not self.__gradient_too:
            return super().output_error(p, s, k)
        return self.in_batch(p, -p.targets[s, k] / p.layers[-1].a[s, k])

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        if p.loss_kind != "binary_cross_entropy" or not self.__loss_too:
            return super().loss_term(p, s, k)
        return -self.m.log_or_zero(p.targets[s, k], p.layers[-1].a[s, k])

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind == "binary_cross_entropy"


class EpsilonInLog(Swapped):
    """ln(p + ε), and −t/(p + ε)."""

    fused = False
    epsilon: ClassVar[float] = 1e-8
    __gradient_too: ClassVar[bool] = True
    __loss_too: ClassVar[bool] = True

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if not self.__gradient_too or p.loss_kind not in ("cross_entropy", "binary_cross_entropy"):
            return super().output_error(p, s, k)
        a, t, e = p.layers[-1].a[s, k], p.targets[s, k], self.m.number(self.epsilon)
        slope = -t / (a + e)
        if p.loss_kind == "binary_cross_entropy":
            slope = slope + (1 - t) / (1 - a + e)
        return self.in_batch(p, slope)

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        if not self.__loss_too or p.loss_kind not in ("cross_entropy", "binary_cross_entropy"):
            return super().loss_term(p, s, k)
        m, a, t, e = self.m, p.layers[-1].a[s, k], p.targets[s, k], self.m.number(self.epsilon)
        term = m.log_or_zero(t, a + e)
        if p.loss_kind == "binary_cross_entropy":
            term = term + m.log_or_zero(1 - t, 1 - a + e)
        return -term

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.kind in ("cross_entropy", "binary_cross_entropy")


class ProbabilityClipped(Swapped):
    """ln c in place of ln p, where c is p clipped to [ε, 1 − ε], or only to at least ε (``above`` is False).

    ``gradient`` is ``right``, ``at_clipped`` (−t/c) or ``through`` (0 where p was clipped, as autograd computes it).
    """

    fused = False
    __epsilon: ClassVar[float] = 1e-7
    __gradient: ClassVar[str] = "right"
    __above: ClassVar[bool] = True

    def __clipped(self, a: Any, inside: Any, below: Any, beyond: Any) -> Any:
        """``below`` where a is less than ε, ``beyond`` where it is more than 1 − ε, else ``inside``."""
        m = self.m
        if self.__above:
            inside = m.where_positive(a - m.number(1.0 - self.__epsilon), beyond, inside)
        return m.where_positive(m.number(self.__epsilon) - a, below, inside)

    def __kept(self, a: Any) -> Any:
        return self.__clipped(a, a, self.m.number(self.__epsilon), self.m.number(1.0 - self.__epsilon))

    def __rest(self, a: Any) -> Any:
        """What is used for 1 − p."""
        return 1 - self.__kept(a) if self.__above else self.__kept(1 - a)

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        if not self.__of_probability(p.loss_kind):
            return super().loss_term(p, s, k)
        m, a, t = self.m, p.layers[-1].a[s, k], p.targets[s, k]
        term = m.log_or_zero(t, self.__kept(a))
        if p.loss_kind == _BINARY:
            term = term + m.log_or_zero(1 - t, self.__rest(a))
        return -term

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        if self.__gradient == "right" or not self.__of_probability(p.loss_kind):
            return super().output_error(p, s, k)
        a, t, none = p.layers[-1].a[s, k], p.targets[s, k], self.m.number(0.0)
        first, second = -t / self.__kept(a), (1 - t) / self.__rest(a)
        if self.__gradient == "through":
            first = self.__clipped(a, first, none, none)
            rest = a if self.__above else 1 - a
            second = self.__clipped(rest, second, none, none)
        return self.in_batch(p, first + second if p.loss_kind == _BINARY else first)

    @staticmethod
    def __of_probability(loss: str) -> bool:
        return loss in ("cross_entropy", _BINARY)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return cls.__of_probability(case.loss.kind)


_RIGHT = "ℓ = −t ln p, ∂ℓ/∂p = −t/p"

#: How the gradient is computed: its words in the label, and its formula.
_GRADIENTS = {
    "right": ("in the loss only", ""),
    "at_clipped": ("in the loss and in its derivative", ", ∂ℓ/∂p = −t/c"),
    "through": (
        "in the loss, so that no gradient comes back where it is clipped",
        ", ∂ℓ/∂p = −t/p, but 0 where p is clipped",
    ),
}


def _clipped(name: str, epsilon: float, gradient: str, *, above: bool) -> Variant:
    where, derivative = _GRADIENTS[gradient]
    bounds = "[ε, 1 − ε]" if above else "[ε, 1]"
    made = variant(
        ProbabilityClipped,
        f"p is clipped to {bounds} {where}, with ε = {name}",
        usual=False,
        epsilon=epsilon,
        gradient=gradient,
        fused=gradient == "right",
        above=above,
    )
    kept = "c = min(max(p, ε), 1 − ε)" if above else "c = max(p, ε)"
    sentence = (
        f"The probability is clipped to {bounds} before its logarithm is taken, and the result is no longer exact."
    )
    return written(made, f"ℓ = −t ln c{derivative}, with {kept}", _RIGHT, sentence)


def _epsilons() -> tuple[Variant, ...]:
    found = []
    for exponent in (8, 7, 9, 6, 10, 5, 12, 4, 3, 2, 15, 16):
        epsilon = 10.0**-exponent
        for where, parts in (
            ("", {}),
            (", in the gradient", {"loss_too": False}),
            (", in the loss", {"gradient_too": False, "fused": True}),
        ):
            found.append(
                variant(EpsilonInLog, f"ε = 1e-{exponent:02d}{where}", usual=exponent == 8, epsilon=epsilon, **parts)  # noqa: PLR2004
            )
    return tuple(found)


BUGS = (
    Bug(
        "BP305",
        "bce-half-missing",
        "Binary cross-entropy lacks its second half, for targets of 0.",
        right="∂L/∂a = (1 − t)/(1 − a) − t/a",
        wrong="∂L/∂a = −t/a",
        stays_right="outputs whose target is 1",
        fix="add the term of 1 − t: an output that should be 0 must be pushed down",
        example="loss = -t * log(a)                          # BP305\nloss = -t * log(a) - (1 - t) * log(1 - a)  # right\n",
        confused_with=("BP306",),
        by_label={
            "in the gradient and the loss": (
                "ℓ = −t ln a − (1 − t) ln(1 − a), ∂L/∂a = (1 − t)/(1 − a) − t/a",
                "ℓ = −t ln a, ∂L/∂a = −t/a",
            ),
            "in the loss": ("ℓ = −t ln a − (1 − t) ln(1 − a)", "ℓ = −t ln a"),
        },
        variants=variants(
            variant(BceHalfMissing, "in the gradient"),
            variant(BceHalfMissing, "in the gradient and the loss", loss_too=True),
            variant(BceHalfMissing, "in the loss", loss_too=True, gradient_too=False, fused=True),
        ),
    ),
    Bug(
        "BP307",
        "epsilon-in-log",
        "A small ε is added to the probability in the logarithm, and the result is no longer exact.",
        right="ℓ = −t ln p, ∂ℓ/∂p = −t/p",
        wrong="ℓ = −t ln(p + ε), ∂ℓ/∂p = −t/(p + ε)",
        stays_right="the forward pass; p − t, where the delta is taken so",
        fix="compute the logarithm from z (log-sum-exp), and the delta as p − t: then no ε is needed",
        example="loss = -t * log(p + 1e-8)  # BP307\nloss = log_sum_exp(z) - z[k]  # right, and finite for every z\n",
        by_label={
            "in the gradient": ("∂ℓ/∂p = −t/p", "∂ℓ/∂p = −t/(p + ε)"),
            "in the loss": ("ℓ = −t ln p", "ℓ = −t ln(p + ε)"),
        },
        variants=(
            *_epsilons(),
            *(
                _clipped(name, epsilon, gradient, above=above)
                for above in (True, False)
                for gradient in _GRADIENTS
                for name, epsilon in _USUAL.items()
            ),
        ),
    ),
)

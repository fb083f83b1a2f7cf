"""BP119 to BP123: mistakes in particular activations, mostly in their derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, activations_of, variant, variants
from backprop_check.diagnose.rules import activated, is_dense, is_slope, sloped
from backprop_check.functions.names import DEFAULT_ALPHA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.case.network import Case
    from backprop_check.diagnose.rules import Share
    from backprop_check.reference.rules import Rule

_DELTA = frozenset({"delta"})


class ReluMaskFromDelta(SwappedRules):
    """The mask is δ > 0, or both (``guided``), or z > 0 of the layer ``after``, or of the ``last`` ReLU layer."""

    gives = _DELTA
    mask: ClassVar[str] = "delta"

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule, {"relu"}):
            return super().share(rule, role, s, i)
        m, error = self.m, rule.out.error[s, i]
        if self.mask == "delta":
            return sloped(m, rule, s, i, m.where_positive(error, 0.0 * error + 1, 0.0 * error))
        if self.mask == "guided":
            return sloped(m, rule, s, i, m.where_positive(error, rule.slope(m, s, i), 0.0 * error))
        other = self.__other(rule)
        if other is None or other.out.units != rule.out.units:
            return super().share(rule, role, s, i)
        z = other.out.values[s, i]
        return sloped(m, rule, s, i, m.where_positive(z, 0.0 * error + 1, 0.0 * error))

    def __other(self, rule: Rule) -> Rule | None:
        """The rule that computes z of the next layer, or of the last ReLU layer of all."""
        if self.mask == "after":
            return next(_dense_after(rule), None)
        relus = [each for each in _dense_after(rule) if each.spec.activation == "relu"]
        return relus[-1] if relus else None

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "relu" in activations_of(case)


def _dense_after(rule: Rule) -> Iterator[Rule]:
    """The sums of the following dense layers, one after the other."""
    while True:
        after = next((reader for reader, _ in rule.out.readers if is_dense(reader)), None)
        if after is None:
            return
        yield after
        made_by = activated(after.out).made_by
        assert made_by is not None
        rule = made_by


def _has_alpha(case: Case) -> bool:
    return bool(activations_of(case) & set(DEFAULT_ALPHA))


class LeakySlopeMissing(SwappedRules):
    """φ′ = 0 on the negative side."""

    gives = _DELTA

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule, DEFAULT_ALPHA):
            return super().share(rule, role, s, i)
        slope = self.m.where_positive(rule.x.values[s, i], rule.slope(self.m, s, i), 0.0)
        return sloped(self.m, rule, s, i, slope)

    matters = staticmethod(_has_alpha)


class LeakySlopeIgnored(SwappedRules):
    """A constant α in place of the case's."""

    gives = frozenset({"a", "delta"})
    alpha: ClassVar[float | None] = None
    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = True

    def __constant(self, rule: Any) -> float:
        return DEFAULT_ALPHA[rule.name] if self.alpha is None else self.alpha

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and is_slope(rule, DEFAULT_ALPHA)):
            return super().value(rule, s, o)
        return rule.function.value(self.m, rule.x.values[s, o], self.__constant(rule))

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not (self.__backward and is_slope(rule, DEFAULT_ALPHA)):
            return super().share(rule, role, s, i)
        z, a = rule.x.values[s, i], rule.out.values[s, i]
        return sloped(self.m, rule, s, i, rule.function.derivative(self.m, z, a, self.__constant(rule)))

    matters = staticmethod(_has_alpha)


def gelu_by_tanh(m: Any, z: Any) -> tuple[Any, Any]:
    """tanh u and du/dz of the approximation ½z(1 + tanh u), u = √(2/π)(z + 0.044715 z³) (Hendrycks & Gimpel 2016)."""
    root = m.sqrt(m.number(2.0) / m.pi)
    return m.tanh(root * (z + m.number(0.044715) * (z * (z * z)))), root * (1 + m.number(3 * 0.044715) * (z * z))


class GeluVariantsMixed(SwappedRules):
    """The approximation by tanh in one direction (or both), the exact Φ in the other."""

    gives = frozenset({"a", "delta"})
    __forward: ClassVar[bool] = True
    __backward: ClassVar[bool] = False

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if not (self.__forward and is_slope(rule, {"gelu"})):
            return super().value(rule, s, o)
        z = rule.x.values[s, o]
        return self.m.number(0.5) * z * (1 + gelu_by_tanh(self.m, z)[0])

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not (self.__backward and is_slope(rule, {"gelu"})):
            return super().share(rule, role, s, i)
        z, half = rule.x.values[s, i], self.m.number(0.5)
        t, inner_slope = gelu_by_tanh(self.m, z)
        return sloped(self.m, rule, s, i, half * (1 + t) + half * z * ((1 - t * t) * inner_slope))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return "gelu" in activations_of(case)


class DerivativeClipped(SwappedRules):
    """a(1 − a) with a clipped away from 0 and 1 (1 − a², away from ±1)."""

    gives = _DELTA
    edge: ClassVar[float] = 0.01

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        if not is_slope(rule, {"sigmoid", "tanh"}):
            return super().share(rule, role, s, i)
        low, high = (self.edge, 1 - self.edge) if rule.name == "sigmoid" else (2 * self.edge - 1, 1 - 2 * self.edge)
        m, a = self.m, rule.out.values[s, i]
        clipped = m.where_positive(a - high, high, m.where_positive(low - a, low, a))
        return sloped(m, rule, s, i, rule.function.derivative(m, rule.x.values[s, i], clipped, rule.alpha))

    @classmethod
    def matters(cls, case: Case) -> bool:
        return bool(activations_of(case) & {"sigmoid", "tanh"})


_EDGES = (0.01, 0.02, 0.05, 0.1, 0.001)
_ALPHAS = (0.01, 0.1, 0.2, 0.3, 0.05, 0.5, 1.0)


BUGS = (
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
        by_label={
            "where z and the error are positive": "δⱼ = error if zⱼ > 0 and error > 0, else 0",
            "where the layer after is active": "δⱼ = error if zⱼ of the layer after is positive, else 0",
            "where the last ReLU layer is active": "δⱼ = error if zⱼ of the last ReLU layer is positive, else 0",
        },
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
        "The activation's own α is ignored: a constant is used instead.",
        right="φ and φ′ with the layer's α",
        wrong="φ and φ′ with a constant α₀",
        stays_right="neurons with z > 0; layers whose α happens to be that constant",
        fix="read α from the layer, in the function and in its derivative",
        example="a = z if z > 0 else 0.01 * z   # BP121\na = z if z > 0 else alpha * z  # right\n",
        confused_with=("BP120", "BP206"),
        seen="deeplearning4j#8178",
        by_label={
            "backwards only": ("φ′ with the layer's α", "φ′ with a constant α₀"),
            "forwards only": ("φ with the layer's α", "φ with a constant α₀, but φ′ with the layer's α"),
        },
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
        by_label={
            "approximate forwards": ("a = z Φ(z)", "a = ½z(1 + tanh(√(2/π)(z + 0.044715 z³)))"),
            "approximate backwards": (
                "φ′ = Φ(z) + z e^(−z²/2)/√(2π)",
                "φ′ of ½z(1 + tanh(√(2/π)(z + 0.044715 z³)))",
            ),
            "approximate in both directions": "a = ½z(1 + tanh(√(2/π)(z + 0.044715 z³))), and the derivative of that",
        },
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
)

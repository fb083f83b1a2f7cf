"""BP917, BP919: norms, residual connections and positions around attention; BP311, BP312: losses over classes and
tokens.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backprop_check.diagnose.bug import Bug, Swapped, SwappedRules, variant, variants
from backprop_check.diagnose.bugs.attention import OfAttention
from backprop_check.kinds.tokens import SEQUENCE, wave
from backprop_check.kinds.transformer import BlockParts

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case
    from backprop_check.reference import Stages

# Paths around -------------------------------------------------------------------------------------


def _without(*parts: int) -> type[BlockParts]:
    class Without(BlockParts):
        def around(self, c: Any, number: int, x: Any, read: Any, part: Any) -> Any:
            return part if number in parts else super().around(c, number, x, read, part)

    return Without


class OfBlock(OfAttention):
    """The base of mistakes in a transformer block."""

    kinds = ("transformer_block",)


class ResidualMissing(OfBlock):
    """The residual connection around the attention, or around the feed-forward part, is missing."""

    parts = _without(1, 2)


class ResidualGradientMissing(OfBlock):
    """The residual connection is right forwards; no gradient flows back through it."""

    __of: ClassVar[tuple[int, ...]] = (1, 2)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        g, slope = super().share(rule, role, s, i)
        if role == ("x", 0) and any(self.is_own(rule, f"residual{number}") for number in self.__of):
            return self.m.vector(lambda each: each * 0.0, g), slope
        return g, slope


class OfSum(SwappedRules):
    """Of the layers that a sum should add only one counts, forwards, backwards, or both."""

    __last: ClassVar[bool] = True
    ways: ClassVar[tuple[str, ...]] = ("forward", "backward")

    def _is_sum(self, rule: Any) -> bool:
        return rule.out.role == "combined" and getattr(rule.spec, "combine", None) == "add"

    def _counts(self, rule: Any) -> int:
        return len(rule.sources) - 1 if self.__last else 0

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if "forward" not in self.ways or not self._is_sum(rule):
            return super().value(rule, s, o)
        source = rule.sources[self._counts(rule)]
        return self.m.dots([(source.x.values[s, source.wiring.reads[o]], None)], [])

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        g, slope = super().share(rule, role, s, i)
        if "backward" not in self.ways or not self._is_sum(rule) or role[1] == self._counts(rule):
            return g, slope
        return self.m.vector(lambda each: each * 0.0, g), slope

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.combine == "add" for layer in case.network.layers)


# Norms --------------------------------------------------------------------------------------------


class FromNormed(BlockParts):
    """The residual connection starts at the norm of x instead of x."""

    def around(self, c: Any, number: int, x: Any, read: Any, part: Any) -> Any:
        del x
        return super().around(c, number, read, read, part)


class NormPlace(OfBlock):
    """The norms are at the other place."""

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in self.kinds_of(OfBlock):
            layer = msgspec.structs.replace(layer, norm_first=not layer.norm_first)
        return super().equations(c, layer, x, parameters, inputs)


class NormAlways(NormPlace):
    """The norms are always at one place, whatever is asked for."""

    __first: ClassVar[bool] = False

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in self.kinds_of(OfBlock):
            layer = msgspec.structs.replace(layer, norm_first=self.__first)
        return super(NormPlace, self).equations(c, layer, x, parameters, inputs)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in cls.kinds and getattr(layer, "norm_first", False) != cls.__first
            for layer in case.network.layers
        )


class ResidualFromNormed(OfBlock):
    """With norms first, the residual connection starts after the norm."""

    parts = FromNormed

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(getattr(layer, "norm_first", False) for layer in case.network.layers)


# Positions ----------------------------------------------------------------------------------------


def _of_angle(angle: float, e: int) -> tuple[float, float]:
    return (math.cos if e % 2 else math.sin)(angle), angle


def _twice(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """The exponent 2e/d of feature e."""
    return _of_angle(p / base ** (2 * e / width), e)


def _unpaired(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """The exponent e/d of feature e: sine and cosine of different angles."""
    return _of_angle(p / base ** (e / width), e)


def _in_halves(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """All sines, then all cosines."""
    half = (width + 1) // 2
    angle = p / base ** (2 * (e % half if e >= half else e) / width)
    return (math.cos if e >= half else math.sin)(angle), angle


def _exchanged(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """Cosine for even features, sine for odd ones."""
    angle = p / base ** (2 * (e // 2) / width)
    return (math.sin if e % 2 else math.cos)(angle), angle


def _from_one(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """Positions are counted from 1."""
    return wave(p + 1, e, width, base)


def _usual_base(p: int, e: int, width: int, _base: float) -> tuple[float, float]:
    """The base 10000, whatever is asked for."""
    return wave(p, e, width, 10000.0)


def _times(p: int, e: int, width: int, base: float) -> tuple[float, float]:
    """The angle is p · base^(2i/d), multiplied instead of divided."""
    return _of_angle(p * base ** (2 * (e // 2) / width), e)


class PositionLayout(SwappedRules):
    """Sinusoids by a wrong formula."""

    kinds = ("positional_encoding",)
    wave: ClassVar[Callable[..., tuple[float, float]]] = staticmethod(_twice)

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind not in self.kinds_of(PositionLayout):
            return super().equations(c, layer, x, parameters, inputs)
        return layer.worked(c, x, inputs, self.wave)


def _waves() -> tuple[Any, ...]:
    labels = {
        _unpaired: "the exponent e/d: sine and cosine are of different angles",
        _in_halves: "all sines, then all cosines",
        _exchanged: "cosine for even features, sine for odd ones",
        _from_one: "positions count from 1",
        _usual_base: "10000, whatever base is asked for",
        _times: "multiplied by base^(2i/d) instead of divided",
    }
    return tuple(variant(PositionLayout, text, usual=False, wave=staticmethod(each)) for each, text in labels.items())


# Losses -------------------------------------------------------------------------------------------


class SmoothedAmongOthers(Swapped):
    """ε is divided among the other classes, or in another wrong way."""

    __how: ClassVar[str] = "others"

    def smoothed(self, t: Any, epsilon: Any, classes: int) -> Any:
        m, count = self.m, self.m.number(float(classes))
        if self.__how == "others":
            return t * (1 - epsilon) + (1 - t) * (epsilon / m.number(float(max(classes - 1, 1))))
        if self.__how == "added":
            return t * (1 - epsilon) + epsilon / m.number(float(max(classes - 1, 1)))
        if self.__how == "kept":
            return t + epsilon / count
        if self.__how == "own":
            return t * (1 - epsilon / count) + epsilon / count
        if self.__how == "uniform":
            return t * (1 - epsilon) + 1 / count + epsilon * m.number(0.0)
        return t + epsilon * m.number(0.0)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return case.loss.label_smoothing is not None


class MeanOverTokens(SwappedRules):
    """The loss of a sample is the mean over its tokens (``elements``: over tokens and classes)."""

    elements: ClassVar[bool] = False
    tokens: ClassVar[float] = 1.0

    @classmethod
    def for_case(cls, case: Case) -> type[Stages]:
        shape = case.network.output_shapes[-1]
        return type(cls.__name__, (cls,), {"tokens": float(math.prod(shape) if cls.elements else shape[0])})

    def in_batch(self, p: Any, x: Any) -> Any:
        return super().in_batch(p, x) / self.m.number(self.tokens)

    @classmethod
    def matters(cls, case: Case) -> bool:
        return len(case.network.output_shapes[-1]) == SEQUENCE


#: Further ways to lose a path (BP913, whose page is in ``graph``).
_LOST = (
    *variants(
        variant(ResidualMissing, "around attention and around the linear layers"),
        variant(ResidualMissing, "around attention", parts=_without(1)),
        variant(ResidualMissing, "around the linear layers", parts=_without(2)),
        variant(ResidualGradientMissing, "in the backward pass only"),
        variant(ResidualGradientMissing, "around attention, in the backward pass only", of=(1,)),
        variant(ResidualGradientMissing, "around the linear layers, in the backward pass only", of=(2,)),
    ),
    *(
        variant(
            OfSum,
            f"of layers that are added only the {'last' if last else 'first'} counts{where}",
            usual=False,
            last=last,
            ways=ways,
        )
        for last in (True, False)
        for where, ways in ((", both ways", ("forward", "backward")), (", in the forward pass", ("forward",)))
    ),
)
VARIANTS = {"BP913": _LOST}

BUGS = (
    Bug(
        code="BP917",
        name="transformer-norm-misplaced",
        sentence="The layer norms of a transformer block are at another place than the case asks for.",
        right="norm_first: y = x + A(N(x)); else y = N(x + A(x))",
        wrong="the one where the other is asked for, or y = N(x) + A(N(x))",
        stays_right="the shapes; a norm of what is normalised already changes little",
        fix="Keep x itself for the sum; norm_first decides whether the part's input or the sum is normalised.",
        example="x = norm(x); x = x + attention(x)  # BP917\nx = x + attention(norm(x))         # right (norm_first)\n",
        confused_with=("BP913",),
        seen="pytorch/pytorch#61165, tracel-ai/burn#1056, harvardnlp/annotated-transformer#110",
        variants=variants(
            NormPlace,
            variant(NormAlways, "always after the sum", first=False),
            variant(NormAlways, "always before the part", first=True),
            variant(ResidualFromNormed, "the path around starts behind the norm"),
        ),
    ),
    Bug(
        code="BP919",
        name="positional-encoding-formula",
        sentence="Positions are encoded with a wrong formula of the sinusoids.",
        right="sin(p / base^(2i/d)) for feature 2i, cos(p / base^(2i/d)) for feature 2i + 1, p from 0",
        wrong="sin(p / base^(2e/d)) or cos of it for feature e",
        stays_right="the gradients that do not depend on the encoded values",
        fix="Both features of a pair have one angle, p / base^(2i/d): for feature e that is i = e // 2.",
        example="angle = p / base ** (2 * e / d)         # BP919\nangle = p / base ** (2 * (e // 2) / d)  # right\n",
        seen="shenweichen/DeepCTR#379, maxjcohen/transformer#62",
        variants=(*variants(PositionLayout), *_waves()),
    ),
    Bug(
        code="BP311",
        name="label-smoothing-formula",
        sentence="Labels are smoothed by another formula than t (1 − ε) + ε/K, or not at all.",
        right="t′ = t (1 − ε) + ε/K, K classes",
        wrong="t′ = t (1 − ε) + (1 − t) ε/(K − 1), or t′ = t",
        stays_right="the forward pass but for the loss; everything where labels are not smoothed",
        fix="Every class gets ε/K, the right one too (PyTorch's definition).",
        example="t = t * (1 - eps) + (1 - t) * eps / (K - 1)  # BP311\nt = t * (1 - eps) + eps / K                  # right\n",
        confused_with=("BP306",),
        seen="fastai/fastai#1814, TimDettmers/ConvE#55, ildoonet/pytorch-randaugment#30",
        by_label={
        "": "t′ = t (1 − ε) + (1 − t) ε/(K − 1)",
        "labels are not smoothed": "t′ = t",
        "ε/(K − 1) for every class": "t′ = t (1 − ε) + ε/(K − 1)",
        "the right class keeps all it had": "t′ = t + ε/K",
        "t (1 − ε/K) + ε/K": "t′ = t (1 − ε/K) + ε/K",
        "t (1 − ε) + 1/K": "t′ = t (1 − ε) + 1/K",
    },
        variants=variants(
            SmoothedAmongOthers,
            variant(SmoothedAmongOthers, "labels are not smoothed", how="not"),
            variant(SmoothedAmongOthers, "ε/(K − 1) for every class", usual=False, how="added"),
            variant(SmoothedAmongOthers, "the right class keeps all it had, t + ε/K", usual=False, how="kept"),
            variant(SmoothedAmongOthers, "t (1 − ε/K) + ε/K", usual=False, how="own"),
            variant(SmoothedAmongOthers, "t (1 − ε) + 1/K", usual=False, how="uniform"),
        ),
    ),
    Bug(
        code="BP312",
        name="loss-mean-over-tokens",
        sentence="The loss of a sequence is taken as the mean over its tokens where it is their sum.",
        right="ℓ = Σ over the tokens of a sample",
        wrong="ℓ = (1/T) Σ over the T tokens of a sample",
        stays_right="the forward pass but for the loss; sequences of one token",
        fix="Sum a sample's losses over its tokens; only the samples are averaged, where reduction is mean.",
        example='loss = F.cross_entropy(z.flatten(0, 1), t.flatten(0, 1))                        # BP312\n'
        'loss = F.cross_entropy(z.flatten(0, 1), t.flatten(0, 1), reduction="sum") / len(z)  # right\n',
        confused_with=("BP304", "BP403"),
        by_label={"over tokens and classes": "ℓ = (1/(T K)) Σ over the T tokens and K classes of a sample"},
        variants=variants(
            MeanOverTokens, variant(MeanOverTokens, "over tokens and classes", usual=False, elements=True)
        ),
    ),
)  # fmt: skip

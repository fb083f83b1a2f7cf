"""BP91x: the scale and the softmax of attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, variant, variants
from backprop_check.diagnose.bugs.attention import OfAttention, shown
from backprop_check.kinds.attention import kept
from backprop_check.kinds.heads import Heads, heads_of
from backprop_check.kinds.transformer import BlockParts
from backprop_check.kinds.wiring import Index

if TYPE_CHECKING:
    from backprop_check.kinds.attention import Mask
    from backprop_check.kinds.heads import Wirings


class NoScale(BlockParts):
    """Scores without a scale."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        del form, given
        return 1.0, 0.0


class ScaleOfAll(BlockParts):
    """1/√E, with the width E of all heads together."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        if given is not None:
            return given
        return 1.0 / math.sqrt(form.width), 4.0 / math.sqrt(form.width)


class ScaleWithoutRoot(BlockParts):
    """1/d in place of 1/√d."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        scale = form.heads / form.width
        return given or (scale, 4.0 * scale)


class ScaleUpsideDown(BlockParts):
    """√d in place of 1/√d."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        scale = math.sqrt(form.width // form.heads)
        return given or (scale, 4.0 * scale)


class DefaultScale(BlockParts):
    """1/√d, whatever scale is asked for."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        del given
        return super().scale(form, None)


class ScaleMissing(OfAttention):
    """A wrong scale in both passes."""

    parts = NoScale


class ScaleMissingBackward(OfAttention):
    """The gradients of queries and keys (``keys_only``: of keys) without the scale."""

    keys_only: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if self.is_own(rule, "scaled") and not self.keys_only:
            return super().share(rule, role, s, i)[0], None
        if self.is_own(rule, "scores") and role[0] == "weights":
            units, inputs = rule.sources[0].wiring.by_weight
            query = rule.sources[0].x.made_by.sources[0].x
            return rule.out.error[s, units[i]], query.values[s, inputs[i]]
        return super().share(rule, role, s, i)


class ScaleMissingForward(OfAttention):
    """The forward pass without the scale, the backward pass with it."""

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if self.is_own(rule, "scaled"):
            (source,) = rule.sources
            return self.m.dots([(source.x.values[s, source.wiring.reads[o]], None)], [])
        return super().value(rule, s, o)


class AllScores(BlockParts):
    """The softmax of all scores; hidden ones have weight 0."""

    def wirings(self, form: Heads) -> Wirings:
        return heads_of(form._replace(causal=False))

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        return c.softmax(scores, wirings.groups, keep=shown(c, form, wirings.visible, mask), role="attention")


class SoftmaxGradientMissing(OfAttention):
    """∂L/∂scores = ∂L/∂attention, or with only the diagonal of the Jacobian, or with only p.

    With ``hidden``, masked scores get a gradient too.
    """

    __how: ClassVar[str] = "none"
    hidden: ClassVar[bool] = False
    parts = AllScores

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not self.is_own(rule, "attention"):
            return super().share(rule, role, s, i)
        m, g, a = self.m, rule.out.error[s, i], rule.out.values[s, i]
        if self.__how == "none":
            return m.one(g), None if self.hidden else m.one(rule.keep.values[s, i])
        return m.one(g), m.one(a if self.__how == "factor" else a * (1 - a))


class OverQueries(BlockParts):
    """A softmax for every key, over the queries."""

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        seen = c.pick(scores, wirings.visible, role="visible") if form.causal else scores
        size = form.queries * form.keys
        places = [(at // size, at % form.keys) for at in wirings.visible]
        rows: dict[tuple[int, int], list[int]] = {}
        for place, at in enumerate(places):
            rows.setdefault(at, []).append(place)
        groups = Index(rows[at] for at in places)
        return c.softmax(seen, groups, keep=kept(c, mask, wirings, form), role="attention")


class OverAllScores(BlockParts):
    """One softmax over all queries and keys of a head."""

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        seen = c.pick(scores, wirings.visible, role="visible") if form.causal else scores
        of = [at // (form.queries * form.keys) for at in wirings.visible]
        rows = {head: [place for place, each in enumerate(of) if each == head] for head in set(of)}
        groups = Index(rows[head] for head in of)
        return c.softmax(seen, groups, keep=kept(c, mask, wirings, form), role="attention")


class SoftmaxOverQueries(OfAttention):
    """The softmax over the wrong axis."""

    parts = OverQueries


_SCALE_EXAMPLE = """scores = q @ k.T                       # BP910
scores = q @ k.T / math.sqrt(head_width)  # right
"""


BUGS = (
    Bug(
        code="BP910",
        name="attention-scale-missing",
        sentence="Attention's scores are divided by something else than the root of a head's width, or by nothing.",
        right="scores = q · k / √d, d the width of one head; ∂L/∂q = Σ ∂L/∂scores k / √d, ∂L/∂k alike",
        wrong="scores = q · k",
        stays_right="with heads of width 1, everything; queries, keys and values",
        fix="Divide by √d of one head's width, forward, and in the gradients of queries and of keys.",
        example=_SCALE_EXAMPLE,
        confused_with=("BP912", "BP916"),
        seen="delzac/cntkx#10, mlc-ai/mlc-llm#3426; lucidrains/vit-pytorch#65 (the whole width's root),"
        " esceptico/perceiver-io#9 (divided by 1/√d)",
        variants=variants(
            ScaleMissing,
            variant(ScaleMissingBackward, "in the backward pass only"),
            variant(ScaleMissingBackward, "in the keys' gradient only", usual=False, keys_only=True),
            variant(ScaleMissingForward, "in the forward pass only"),
            variant(ScaleMissing, "the root of the whole width, of all heads together", usual=False, parts=ScaleOfAll),
            variant(ScaleMissing, "divided by d itself", usual=False, parts=ScaleWithoutRoot),
            variant(ScaleMissing, "multiplied by √d", usual=False, parts=ScaleUpsideDown),
            variant(ScaleMissing, "1/√d where another scale is asked for", usual=False, parts=DefaultScale),
        ),
    ),
    Bug(
        code="BP911",
        name="attention-softmax-gradient-missing",
        sentence="The backward pass skips attention's softmax: the gradient of its weights is used as that of the scores.",
        right="∂L/∂scoresⱼ = pⱼ (gⱼ − Σₖ gₖ pₖ), g = ∂L/∂p, the sum over all keys of the query",
        wrong="∂L/∂scoresⱼ = gⱼ",
        stays_right="the forward pass, and the gradients of the values and of what follows",
        fix="Take the gradient through the softmax's full Jacobian, query by query.",
        example="d_scores = d_weights                                               # BP911\n"
        "d_scores = p * (d_weights - (d_weights * p).sum(-1, keepdims=True))  # right\n",
        confused_with=("BP601", "BP910"),
        variants=variants(
            SoftmaxGradientMissing,
            variant(SoftmaxGradientMissing, "of scores that a mask hides too", hidden=True),
            variant(SoftmaxGradientMissing, "only the Jacobian's diagonal, g p (1 − p)", how="diagonal"),
            variant(SoftmaxGradientMissing, "only the factor p, without Σ g p", how="factor"),
        ),
    ),
    Bug(
        code="BP914",
        name="attention-softmax-over-queries",
        sentence="Attention's softmax goes along the wrong axis: over the queries of a key, not over a query's keys.",
        right="p[i, j] = e^s[i, j] / Σⱼ e^s[i, j]",
        wrong="p[i, j] = e^s[i, j] / Σᵢ e^s[i, j]",
        stays_right="queries, keys, values and scores",
        fix="Normalise along the last axis, the keys: each row of weights has the sum 1.",
        example="p = softmax(scores, dim=1)   # BP914\np = softmax(scores, dim=-1)  # right\n",
        confused_with=("BP207", "BP912"),
        seen="labmlai/annotated_deep_learning_paper_implementations#146, PetrochukM/PyTorch-NLP#2",
        variants=variants(
            SoftmaxOverQueries,
            variant(SoftmaxOverQueries, "over all queries and keys of a head", usual=False, parts=OverAllScores),
        ),
    ),
)

"""BP91x: attention: its scale, its softmax, its masks, its heads."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants
from backprop_check.kinds.attention import Heads, apart, heads_of, kept, side_by_side, three
from backprop_check.kinds.transformer import BlockParts
from backprop_check.kinds.wiring import Index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.case.network import Case
    from backprop_check.kinds.attention import Mask, Wirings
    from backprop_check.kinds.kind import Shape
    from backprop_check.reference.rules import Rule

#: The kinds that attend.
KINDS = ("scaled_dot_product_attention", "multihead_attention", "transformer_block")

#: What a kind calls its padding mask.
PADDING = ("key_padding_mask", "src_key_padding_mask")


class OfAttention(SwappedRules):
    """Something wrong in an attention; its equations made of other ``parts``, if there are any."""

    kinds: ClassVar[tuple[str, ...]] = KINDS
    parts: ClassVar[type[BlockParts] | None] = None

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if self.parts is None or layer.kind not in self.kinds_of(OfAttention):
            return super().equations(c, layer, x, parameters, inputs)
        return layer.worked(c, x, parameters, inputs, self.parts())

    def is_own(self, rule: Rule, role: str) -> bool:
        """Whether a rule makes the table of that role in an attention."""
        return rule.out.role == role and rule.spec is not None and rule.spec.kind in self.kinds_of(OfAttention)


def heads(layer: Any) -> int:
    """How many heads a layer has."""
    return next((int(getattr(layer, name)) for name in ("num_heads", "nhead") if hasattr(layer, name)), 1)


def padding(layer: Any) -> Any:
    """A layer's padding mask, whatever it calls it."""
    return next((mask for name in PADDING if (mask := getattr(layer, name, None)) is not None), None)


# The scale ----------------------------------------------------------------------------------------


class NoScale(BlockParts):
    """Scores as they come."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        del form, given
        return 1.0, 0.0


class ScaleOfAll(BlockParts):
    """1/√E, E of all heads together."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        if given is not None:
            return given
        return 1.0 / math.sqrt(form.width), 4.0 / math.sqrt(form.width)


class ScaleWithoutRoot(BlockParts):
    """1/d."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        scale = form.heads / form.width
        return given or (scale, 4.0 * scale)


class ScaleUpsideDown(BlockParts):
    """√d."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        scale = math.sqrt(form.width // form.heads)
        return given or (scale, 4.0 * scale)


class DefaultScale(BlockParts):
    """1/√d, whatever is asked for."""

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        del given
        return super().scale(form, None)


class ScaleMissing(OfAttention):
    """Both ways."""

    parts = NoScale


class ScaleMissingBackward(OfAttention):
    """The gradients of queries and keys (``keys_only``: of keys) without it."""

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
    """The forward pass without it, the backward pass with it."""

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if self.is_own(rule, "scaled"):
            (source,) = rule.sources
            return self.m.dots([(source.x.values[s, source.wiring.reads[o]], None)], [])
        return super().value(rule, s, o)


# The softmax --------------------------------------------------------------------------------------


def shown(c: Any, form: Heads, visible: list[int], mask: Mask | None) -> Any:
    """A 1 for every score that no mask hides, of all queries and keys, for every sample."""
    rows, size = mask or ((False,) * form.keys,) * c.samples, form.queries * form.keys
    late = [form.causal and at % form.keys > at % size // form.keys for at in visible]
    return c.given(
        [[0.0 if hidden or row[at % form.keys] else 1.0 for at, hidden in zip(visible, late, strict=True)]
         for row in rows]
    )  # fmt: skip


class AllScores(BlockParts):
    """Hidden scores take part, with the weight 0."""

    def wirings(self, form: Heads) -> Wirings:
        return heads_of(form._replace(causal=False))

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        return c.softmax(scores, wirings.groups, keep=shown(c, form, wirings.visible, mask), role="attention")


class SoftmaxGradientMissing(OfAttention):
    """∂L/∂scores = ∂L/∂attention; or only the diagonal of the Jacobian, or p alone. A mask may hide gradients too."""

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
    """The wrong axis."""

    parts = OverQueries


# Masks --------------------------------------------------------------------------------------------


class OfMask(OfAttention):
    """Something wrong with the masks: it matters only where there is one."""

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in KINDS and (getattr(layer, "is_causal", False) or padding(layer) is not None)
            for layer in case.network.layers
        )


def _all_groups(form: Heads) -> Index:
    count = form.heads * form.queries
    return Index(range(row * form.keys, (row + 1) * form.keys) for row in range(count) for _ in range(form.keys))


class MaskAfterwards(BlockParts):
    """The softmax of all scores; what is hidden is set to 0 then, and the rest does not add up to 1."""

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        every = c.softmax(scores, _all_groups(form), role="attention")
        seen = c.pick(every, wirings.visible, role="visible") if form.causal else every
        keep = kept(c, mask, wirings, form)
        return seen if keep is None else c.multiply(seen, keep, role="kept")


class MaskedByZero(BlockParts):
    """A hidden score is set to 0 and takes part in the softmax: e⁰ = 1."""

    def wirings(self, form: Heads) -> Wirings:
        return heads_of(form._replace(causal=False))

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        masked = c.multiply(scores, shown(c, form, wirings.visible, mask), role="masked")
        return c.softmax(masked, wirings.groups, role="attention")


class MaskAfterSoftmax(OfMask):
    """Too late."""

    parts = MaskAfterwards


class MaskIgnored(OfMask):
    """A mask is passed over: the causal one, that of padding, or both."""

    causal: ClassVar[bool] = True
    padded: ClassVar[bool] = True

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in KINDS:
            layer = msgspec.structs.replace(layer, **self.changed(layer))
        return super().equations(c, layer, x, parameters, inputs)

    def changed(self, layer: Any) -> dict[str, Any]:
        """The fields that are read otherwise than they should be."""
        found: dict[str, Any] = {"is_causal": False} if self.causal else {}
        return found | ({name: None for name in PADDING if hasattr(layer, name)} if self.padded else {})

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in KINDS
            and ((cls.causal and getattr(layer, "is_causal", False)) or (cls.padded and padding(layer) is not None))
            for layer in case.network.layers
        )


class PaddingInverted(MaskIgnored):
    """True is taken for a key that counts."""

    causal = False

    def changed(self, layer: Any) -> dict[str, Any]:
        return {
            name: tuple(tuple(not each for each in row) for row in mask)
            for name in PADDING
            if (mask := getattr(layer, name, None)) is not None
        }


class OfLaterKeys(BlockParts):
    """The causal mask turned round: query i sees the keys from i on."""

    def wirings(self, form: Heads) -> Wirings:
        if not form.causal:
            return heads_of(form)
        whole, size = heads_of(form._replace(causal=False)), form.queries * form.keys
        visible = [at for at in whole.visible if at % form.keys >= at % size // form.keys]
        place = {at: number for number, at in enumerate(visible)}
        rows: dict[int, list[int]] = {}
        for at in visible:
            rows.setdefault(at // form.keys, []).append(place[at])
        kept_of = [
            [(read, place[use]) for read, use in zip(reads, uses, strict=True) if use in place]
            for reads, uses in zip(whole.context.reads.rows, whole.context.uses.rows, strict=True)
        ]
        context = type(whole.context)(
            whole.context.inputs,
            len(visible),
            [[read for read, _ in row] for row in kept_of],
            [[use for _, use in row] for row in kept_of],
        )
        return whole._replace(visible=visible, groups=Index(rows[at // form.keys] for at in visible), context=context)


class CausalTurnedRound(OfMask):
    """triu for tril."""

    parts = OfLaterKeys

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(getattr(layer, "is_causal", False) for layer in case.network.layers)


# Queries, keys, heads -----------------------------------------------------------------------------


def _permuted(order: tuple[int, int, int]) -> type[BlockParts]:
    class Permuted(BlockParts):
        def rows(self, number: int) -> int:
            return order[number]

    return Permuted


class QueryKeySwapped(OfAttention):
    """Queries are made by the keys' weights and keys by the queries' (``order``: whatever rows each takes)."""

    __order: ClassVar[tuple[int, int, int]] = (1, 0, 2)

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind not in KINDS:
            return super().equations(c, layer, x, parameters, inputs)
        if layer.kind == "scaled_dot_product_attention":
            return self._of_function(c, layer, x, parameters, inputs)
        if "q_proj_weight" in parameters:
            return layer.worked(c, x, self._renamed(parameters), inputs, _permuted(self.__order)())
        return layer.worked(c, x, parameters, inputs, _permuted(self.__order)())

    def _renamed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Weights of one shape change their places; others cannot."""
        weights = [parameters[f"{letter}_proj_weight"] for letter in "qkv"]
        taken = [weights[number] for number in self.__order]
        if [each.units for each in taken] != [each.units for each in weights]:
            return dict(parameters)
        return {**parameters, **{f"{letter}_proj_weight": each for letter, each in zip("qkv", taken, strict=True)}}

    def _of_function(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        query, key, value = apart(inputs)
        if self.__order != (1, 0, 2) or query != key:  # there are no thirds of rows here
            return super().equations(c, layer, x, parameters, inputs)
        q, k, v = three(x)
        return layer.worked(c, [k, q, v], parameters, (key, query, value), BlockParts())


def _by_head(form: Heads, width: int, tokens: int, at: tuple[int, int, int]) -> int:
    """As if the numbers of a sample stood head by head: a view for a transpose."""
    h, t, e = at
    return (h * tokens + t) * (width // form.heads) + e


def _in_turns(form: Heads, width: int, tokens: int, at: tuple[int, int, int]) -> int:
    """As if a token's features were of the heads in turns."""
    del tokens
    h, t, e = at
    return t * width + e * form.heads + h


class HeadsMixed(OfAttention):
    """Heads are split or merged by another layout than one head's features after the other's."""

    layouts: ClassVar[tuple[Any, Any]] = (_by_head, _by_head)

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind not in KINDS:
            return super().equations(c, layer, x, parameters, inputs)
        split, merge = self.layouts

        class Mixed(BlockParts):
            def wirings(self, form: Heads) -> Wirings:
                return heads_of(form, split, merge)

        return layer.worked(c, x, parameters, inputs, Mixed())

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(layer.kind in KINDS and heads(layer) > 1 for layer in case.network.layers)


class OneHead(HeadsMixed):
    """All features in one head, whatever is asked for."""

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in KINDS and heads(layer) > 1:
            name = "nhead" if layer.kind == "transformer_block" else "num_heads"
            if layer.kind == "multihead_attention":
                return self._alone(c, layer, x, parameters, inputs)
            return msgspec.structs.replace(layer, **{name: 1}).equations(c, x, parameters, inputs)
        return super(HeadsMixed, self).equations(c, layer, x, parameters, inputs)

    @staticmethod
    def _alone(c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        """The scores that are reported have a place for every head: they are not shown here."""
        form = layer.form(inputs)._replace(heads=1)
        shapes: tuple[Shape, Shape, Shape] = apart(inputs)
        a, scores = BlockParts().multihead(c, three(x), parameters, shapes, form, layer.key_padding_mask)
        size = form.queries * form.keys
        shown = c.pick(scores, [at % size for at in range(layer.num_heads * size)], role="shown")
        return c.output(a, shown)


def _orders() -> tuple[Any, ...]:
    names = ("query", "key", "value")
    found = []
    for order in itertools.permutations(range(3)):
        if order in ((0, 1, 2), (1, 0, 2)):
            continue
        said = ", ".join(names[order.index(third)] for third in range(3))
        found.append(variant(QueryKeySwapped, f"the thirds are taken for {said}", usual=False, order=order))
    return tuple(found)


_SCALE_EXAMPLE = """scores = q @ k.T                       # BP910
scores = q @ k.T / math.sqrt(head_width)  # right
"""

BUGS = (
    Bug(
        code="BP910",
        name="attention-scale-missing",
        sentence="Attention's scores are not divided by the root of a head's width, or by something else.",
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
        sentence="Backward, attention's softmax is passed over: the gradient of its weights is taken for that of the"
        " scores.",
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
        code="BP912",
        name="attention-key-query-swapped",
        sentence="Queries and keys change places: each is made by the other's weights.",
        right="q = W[0:E] x, k = W[E:2E] x, v = W[2E:3E] x",
        wrong="k = W[0:E] x, q = W[E:2E] x",
        stays_right="the values; with one key, everything",
        fix="Of in_proj_weight's rows the first third makes queries, the second keys, the last values.",
        example="k, q, v = in_proj(x).chunk(3)  # BP912\nq, k, v = in_proj(x).chunk(3)  # right\n",
        confused_with=("BP914",),
        seen="jsbaan/transformer-from-scratch#1 (keys and values)",
        variants=(*variants(QueryKeySwapped), *_orders()),
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
    Bug(
        code="BP915",
        name="attention-mask-after-softmax",
        sentence="The mask is applied when the softmax has been taken: what is hidden still counts in its sum.",
        right="p = softmax of the scores that are left; those that are hidden are −∞ before it",
        wrong="p = softmax of all scores, then 0 where hidden",
        stays_right="everything, where no mask hides anything",
        fix="Set hidden scores to −∞ before the softmax (or divide by what is left after it).",
        example="p = softmax(scores) * shown                            # BP915\n"
        "p = softmax(scores.masked_fill(~shown, -math.inf))     # right\n",
        confused_with=("BP918",),
        seen="huggingface/pytorch-image-models#2236; georg-wolflein/good-features#1 (0 instead of −∞)",
        variants=variants(
            MaskAfterSoftmax,
            variant(MaskAfterSoftmax, "hidden scores are set to 0, and e⁰ = 1 counts", parts=MaskedByZero),
        ),
    ),
    Bug(
        code="BP916",
        name="attention-heads-mixed",
        sentence="Features are shared out to the heads, or put together again, in another order than head by head.",
        right="head h has features h·d … (h + 1)·d − 1 of every token, and gives them back there",
        wrong="the numbers of a sample are viewed as [head][token][feature] without exchanging the axes",
        stays_right="with one head, everything; with one token too, where views are confused",
        fix="Reshape to [token][head][feature] and then exchange token and head; the same backwards after.",
        example="q = q.view(heads, tokens, d)                  # BP916\n"
        "q = q.view(tokens, heads, d).transpose(0, 1)  # right\n",
        confused_with=("BP910", "BP912"),
        seen="reczoo/FuxiCTR#30 (splitting), jsbaan/transformer-from-scratch#6 (merging),"
        " 649453932/Chinese-Text-Classification-Pytorch#10 (both)",
        variants=variants(
            HeadsMixed,
            variant(HeadsMixed, "when they are split", layouts=(_by_head, side_by_side)),
            variant(HeadsMixed, "when they are put together", layouts=(side_by_side, _by_head)),
            variant(HeadsMixed, "a token's features go to the heads in turns", usual=False,
                    layouts=(_in_turns, _in_turns)),
            variant(HeadsMixed, "in turns when they are put together", usual=False, layouts=(side_by_side, _in_turns)),
            variant(OneHead, "one head, however many are asked for", usual=False),
        ),
    ),
    Bug(
        code="BP918",
        name="attention-mask-ignored",
        sentence="A mask that the case has is not applied, or is read the other way round.",
        right="query i sees the keys 0 … i where it is causal, and no key that key_padding_mask has true for",
        wrong="every query sees every key",
        stays_right="everything, where there is no mask; the scores",
        fix="Apply both masks in every head: hidden is later than the query, or marked true in the padding mask.",
        example="p = softmax(scores)                                 # BP918\n"
        "p = softmax(scores.masked_fill(hidden, -math.inf))  # right\n",
        confused_with=("BP915",),
        variants=variants(
            MaskIgnored,
            variant(MaskIgnored, "the causal one", padded=False),
            variant(MaskIgnored, "that of padding", causal=False),
            variant(PaddingInverted, "true is taken for a key that counts"),
            variant(CausalTurnedRound, "the causal mask is turned round: a query sees the keys from its own on"),
        ),
    ),
)  # fmt: skip

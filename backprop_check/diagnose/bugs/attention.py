"""BP91x: the projections, masks and heads of attention."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from backprop_check.diagnose.bug import Bug, SwappedRules, variant, variants
from backprop_check.kinds.attention import apart, kept, three
from backprop_check.kinds.heads import Heads, heads_of, side_by_side
from backprop_check.kinds.transformer import BlockParts
from backprop_check.kinds.wiring import Index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.case.network import Case
    from backprop_check.kinds.attention import Mask
    from backprop_check.kinds.heads import Wirings
    from backprop_check.kinds.kind import Shape
    from backprop_check.reference.rules import Rule


#: The kinds of layers that contain attention.
KINDS = ("scaled_dot_product_attention", "multihead_attention", "transformer_block")


#: The names of the padding masks.
PADDING = ("key_padding_mask", "src_key_padding_mask")


class OfAttention(SwappedRules):
    """The base of mistakes in attention; ``parts`` are wrong formulas, if the mistake is in these."""

    kinds: ClassVar[tuple[str, ...]] = KINDS
    parts: ClassVar[type[BlockParts] | None] = None

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if self.parts is None or layer.kind not in self.kinds_of(OfAttention):
            return super().equations(c, layer, x, parameters, inputs)
        return layer.worked(c, x, parameters, inputs, self.parts())

    def is_own(self, rule: Rule, role: str) -> bool:
        """Whether a rule computes the table of that role in attention."""
        return rule.out.role == role and rule.spec is not None and rule.spec.kind in self.kinds_of(OfAttention)


def heads(layer: Any) -> int:
    """The number of heads of a layer."""
    return next((int(getattr(layer, name)) for name in ("num_heads", "nhead") if hasattr(layer, name)), 1)


def padding(layer: Any) -> Any:
    """The padding mask of a layer, under any of its names; None if there is none."""
    return next((mask for name in PADDING if (mask := getattr(layer, name, None)) is not None), None)


def shown(c: Any, form: Heads, visible: list[int], mask: Mask | None) -> Any:
    """For every sample and visible score a 1 if no mask hides it, else a 0."""
    rows, size = mask or ((False,) * form.keys,) * c.samples, form.queries * form.keys
    late = [form.causal and at % form.keys > at % size // form.keys for at in visible]
    return c.given(
        [[0.0 if hidden or row[at % form.keys] else 1.0 for at, hidden in zip(visible, late, strict=True)]
         for row in rows]
    )  # fmt: skip


class OfMask(OfAttention):
    """The base of mistakes in the masks, which matter only where there is one."""

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
    """The softmax of all scores; afterwards hidden ones are set to 0, and the rest does not add up to 1."""

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
    """The mask is applied after the softmax."""

    parts = MaskAfterwards


class MaskIgnored(OfMask):
    """A mask is ignored: the causal one, the padding mask, or both."""

    causal: ClassVar[bool] = True
    padded: ClassVar[bool] = True

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in KINDS:
            layer = msgspec.structs.replace(layer, **self.changed(layer))
        return super().equations(c, layer, x, parameters, inputs)

    def changed(self, layer: Any) -> dict[str, Any]:
        """The fields of the layer that are read wrongly, with these wrong values."""
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
    """True in the padding mask is read as a key that counts."""

    causal = False

    def changed(self, layer: Any) -> dict[str, Any]:
        return {
            name: tuple(tuple(not each for each in row) for row in mask)
            for name in PADDING
            if (mask := getattr(layer, name, None)) is not None
        }


class OfLaterKeys(BlockParts):
    """The causal mask inverted: query i sees the keys from i on."""

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
    """The upper triangle in place of the lower one."""

    parts = OfLaterKeys

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(getattr(layer, "is_causal", False) for layer in case.network.layers)


def _permuted(order: tuple[int, int, int]) -> type[BlockParts]:
    class Permuted(BlockParts):
        def rows(self, number: int) -> int:
            return order[number]

    return Permuted


class QueryKeySwapped(OfAttention):
    """Queries are computed with the keys' weights and keys with the queries' (``order``: the rows that each uses)."""

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
        """Weights of the same shape are exchanged; others cannot be."""
        weights = [parameters[f"{letter}_proj_weight"] for letter in "qkv"]
        taken = [weights[number] for number in self.__order]
        if [each.units for each in taken] != [each.units for each in weights]:
            return dict(parameters)
        return {**parameters, **{f"{letter}_proj_weight": each for letter, each in zip("qkv", taken, strict=True)}}

    def _of_function(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        query, key, value = apart(inputs)
        if self.__order != (1, 0, 2) or query != key:  # without weights only queries and keys can be swapped
            return super().equations(c, layer, x, parameters, inputs)
        q, k, v = three(x)
        return layer.worked(c, [k, q, v], parameters, (key, query, value), BlockParts())


def _by_head(form: Heads, width: int, tokens: int, at: tuple[int, int, int]) -> int:
    """The layout [head][token][feature], as after a view without a transpose."""
    h, t, e = at
    return (h * tokens + t) * (width // form.heads) + e


def _in_turns(form: Heads, width: int, tokens: int, at: tuple[int, int, int]) -> int:
    """The layout in which a token's features belong to the heads in turn."""
    del tokens
    h, t, e = at
    return t * width + e * form.heads + h


class HeadsMixed(OfAttention):
    """Heads are split or merged with another layout than head by head within a token."""

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
    """One head with all features, whatever is asked for."""

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        if layer.kind in KINDS and heads(layer) > 1:
            name = "nhead" if layer.kind == "transformer_block" else "num_heads"
            if layer.kind == "multihead_attention":
                return self._alone(c, layer, x, parameters, inputs)
            return msgspec.structs.replace(layer, **{name: 1}).equations(c, x, parameters, inputs)
        return super(HeadsMixed, self).equations(c, layer, x, parameters, inputs)

    @staticmethod
    def _alone(c: Any, layer: Any, x: Any, parameters: Any, inputs: Any) -> Any:
        """The scores of one head, repeated because the reply has a place for each head."""
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
        taken = ", ".join(names[order.index(third)] for third in range(3))
        found.append(variant(QueryKeySwapped, f"the thirds are taken for {taken}", usual=False, order=order))
    return tuple(found)


BUGS = (
    Bug(
        code="BP912",
        name="attention-key-query-swapped",
        sentence="Queries and keys are swapped: each is computed with the other's weights.",
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
        code="BP915",
        name="attention-mask-after-softmax",
        sentence="The mask is applied after the softmax: hidden keys still count in its sum.",
        right="p = softmax of the scores, with hidden ones set to −∞ before it",
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
        sentence="Features are split into heads, or merged again, in another order than head by head.",
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
            variant(
                HeadsMixed, "a token's features go to the heads in turns", usual=False, layouts=(_in_turns, _in_turns)
            ),
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
)

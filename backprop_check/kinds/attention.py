"""Attention: every query takes a mean of the values, weighted by how well their keys match it (Vaswani et al. 2017).

    scores[h, i, j] = (qᵢ · kⱼ) · scale of head h, attention = softmax of the scores over j, context = Σⱼ attention vⱼ

The scores are reported as z, ``[head][query][key]``: all of them, before any mask. A masked score takes no part in the
softmax, and its gradient is 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import Count, Positive, arrays, description, fail
from backprop_check.kinds.heads import Heads, Wirings, heads_of
from backprop_check.kinds.kind import Shape, drawn
from backprop_check.kinds.tokens import (
    SEQUENCE,
    OfTokens,
    check_parameters,
    check_tokens,
    linear,
    of_every_token,
    token_by_token,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Mask = Annotated[tuple[tuple[bool, ...], ...], description("[sample][key]: true where a key is ignored.")]


Causal = Annotated[bool, description("Query i sees the keys 0 to i.")]


#: The three projections, in the order of their rows in PyTorch's ``in_proj_weight``.
ROLES = ("query", "key", "value")


#: The largest relative error of 1/√d, however it is computed, in units of u.
_OF_SCALE = 4.0


def apart(inputs: Any) -> tuple[Shape, Shape, Shape]:
    """The shapes of queries, keys and values: the layer reads one layer for all, two (queries; keys and values),
    or three.
    """
    shapes = (inputs,) if isinstance(inputs[0], int) else tuple(inputs)
    return shapes[0], shapes[min(1, len(shapes) - 1)], shapes[-1]


def three(x: Any) -> tuple[Any, Any, Any]:
    """The tables of queries, keys and values."""
    return x[0], x[min(1, len(x) - 1)], x[-1]


def check_three(path: str, inputs: Any) -> tuple[Shape, Shape, Shape]:
    """The shapes of queries, keys and values. Raises ``CaseError`` where the layers that are read cannot be these."""
    if not isinstance(inputs[0], int) and len(inputs) > 3:  # noqa: PLR2004 - query, key, value
        fail(f"{path}.from", "one layer, or query and key_value, or query, key and value", f"{len(inputs)} layers")
    shapes = apart(inputs)
    for shape in shapes:
        check_tokens(path, shape)
    if shapes[1][0] != shapes[2][0]:
        fail(f"{path}.from", "as many keys as values", f"{shapes[1][0]} and {shapes[2][0]}")
    return shapes


def check_mask(path: str, mask: Mask | None, heads: Heads, samples: int) -> None:
    """Raises ``CaseError`` where a mask has not one flag per sample and key, or leaves a query without any key."""
    if mask is None:
        return
    if len(mask) != samples:
        fail(path, f"{samples} rows, one a sample", len(mask))
    for s, row in enumerate(mask):
        if len(row) != heads.keys:
            fail(f"{path}[{s}]", f"{heads.keys} flags, one a key (true: ignored)", len(row))
        for query in range(heads.queries):
            if all(row[: query + 1] if heads.causal else row):
                fail(f"{path}[{s}]", f"a key that is left for query {query}", "none")


class Attention(OfTokens, frozen=True, kw_only=True):
    """The common base of the two kinds of attention."""

    is_causal: Causal = False
    key_padding_mask: Mask | None = None

    reported: ClassVar[tuple[str, ...]] = ("z", "a")
    apart: ClassVar[bool] = True

    def form(self, inputs: Any) -> Heads:
        """The numbers of heads, queries and keys, and the widths."""
        raise NotImplementedError

    def worked(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Any, parts: Parts) -> Any:
        """The equations, computed with these ``parts``."""
        raise NotImplementedError

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Any) -> Any:
        """The equations with the right parts."""
        return self.worked(c, x, parameters, inputs, Parts())

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` where the padding mask does not suit the batch."""
        check_mask(f"{path}.key_padding_mask", self.key_padding_mask, self.form(inputs), len(samples))

    def of_samples(self, samples: Sequence[int]) -> Attention:
        """The same layer with the masks of these samples."""
        if self.key_padding_mask is None:
            return self
        kept = tuple(self.key_padding_mask[s] for s in samples)
        return msgspec.structs.replace(self, key_padding_mask=kept)


class ScaledDotProductAttention(Attention, frozen=True, kw_only=True, tag="scaled_dot_product_attention"):
    """a[i] = Σⱼ softmaxⱼ(qᵢ · kⱼ · scale) vⱼ, without parameters: PyTorch's function of that name.

    It reads (``from``) one layer (queries, keys and values are the same), two (queries; keys and values) or three.
    ``scale`` is 1/√width by default. ``is_causal``: query i sees the keys 0 … i. ``key_padding_mask`` [sample][key]:
    true where a key is ignored.
    """

    scale: Annotated[Positive | None, description("By default 1/√width.")] = None

    def check(self, path: str, inputs: Any) -> None:
        """Raises ``CaseError`` where the layers that are read are no queries, keys and values, or queries and
        keys differ in width.
        """
        query, key, _ = check_three(path, inputs)
        if query[1] != key[1]:
            fail(f"{path}.from", "queries and keys of one width", f"{query[1]} and {key[1]}")

    def products(self, inputs: Any) -> int:
        """One softmax group per score."""
        heads = self.form(inputs)
        return heads[0] * heads[1] * heads[2] * heads[2]

    def form(self, inputs: Any) -> Heads:
        """One head."""
        query, key, value = apart(inputs)
        return Heads(1, query[0], key[0], query[1], value[1], self.is_causal)

    def output_shape(self, inputs: Any) -> Shape:
        """[query][feature of a value]."""
        query, _, value = apart(inputs)
        return (query[0], value[1])

    def z_shape(self, inputs: Any) -> Shape:
        """The scores, [query][key]."""
        query, key, _ = apart(inputs)
        return (query[0], key[0])

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With and without masks and ``scale``."""
        if len(inputs) != SEQUENCE:
            return None
        scale = draw.one_of(({}, {}, {"scale": 0.5}, {"scale": 0.8}))
        return {"kind": "scaled_dot_product_attention", **draw_masks(draw, inputs[0], samples), **scale}

    @classmethod
    def draw_wired(cls, draw: Any, inputs: Shape, samples: int) -> list[dict[str, Any]] | None:
        """Queries and keys of one width; the values may have another."""
        if len(inputs) != SEQUENCE or inputs[0] < 3:  # noqa: PLR2004 - a query and two keys
            return None
        layers, names, keys = draw_sources(draw, inputs, (inputs[1], inputs[1], draw.whole(2, 3)))
        own = cls.draw(draw, (keys, inputs[1]), samples) or {}
        return [*layers, {**own, "from": names}]

    def worked(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Any, parts: Parts) -> Any:
        """Scores, softmax, and the mean of the values."""
        del parameters
        form, given = self.form(inputs), None if self.scale is None else (self.scale, 0.0)
        context, scores = parts.attend(c, *three(x), form, given, self.key_padding_mask, shown=True)
        return c.output(context, scores)


class MultiheadAttention(Attention, frozen=True, kw_only=True, tag="multihead_attention"):
    """PyTorch's ``MultiheadAttention`` (batch first, no dropout), with its names of the parameters.

    Queries, keys and values are linear in what is read: rows 0 … E − 1 of ``in_proj_weight`` [3E, E] make the queries,
    the next E the keys, the last E the values (``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` where keys or
    values are not E wide), ``in_proj_bias`` [3E] likewise. Head h has the features h·E/H … (h + 1)·E/H − 1 of each; the
    scale is 1/√(E/H). The contexts of all heads, concatenated, go through ``out_proj.weight`` [E, E] and
    ``out_proj.bias``. Both biases may be absent. Inputs and masks are those of ``scaled_dot_product_attention``.
    """

    num_heads: Count
    parameters: Annotated[
        dict[str, Any],
        arrays(
            {"out_proj.weight": "[E][E]"},
            {
                "in_proj_weight": "[3E][E]: queries, keys, values; else q_proj_weight, k_proj_weight and v_proj_weight",
                "q_proj_weight": "[E][features]",
                "k_proj_weight": "[E][features]",
                "v_proj_weight": "[E][features]",
                "in_proj_bias": "[3E], or absent",
                "out_proj.bias": "[E], or absent",
            },
        ),
    ]

    def check(self, path: str, inputs: Any) -> None:
        """Raises ``CaseError`` where the heads do not divide the features, or a parameter is missing or has not
        its shape.
        """
        query, _, _ = check_three(path, inputs)
        if query[1] % self.num_heads:
            fail(f"{path}.num_heads", f"a divisor of {query[1]} features", self.num_heads)
        check_parameters(path, self.parameters, self.parameter_shapes(inputs))

    def products(self, inputs: Any) -> int:
        """One softmax group per score."""
        heads = self.form(inputs)
        return heads[0] * heads[1] * heads[2] * heads[2]

    def form(self, inputs: Any) -> Heads:
        """``num_heads`` heads of E features together."""
        query, key, _ = apart(inputs)
        return Heads(self.num_heads, query[0], key[0], query[1], query[1], self.is_causal)

    def output_shape(self, inputs: Any) -> Shape:
        """The shape of the queries."""
        return apart(inputs)[0]

    def z_shape(self, inputs: Any) -> Shape:
        """The scores, [head][query][key]."""
        query, key, _ = apart(inputs)
        return (self.num_heads, query[0], key[0])

    def parameter_shapes(self, inputs: Any) -> dict[str, Shape]:
        """Those of PyTorch's ``state_dict``."""
        query, key, value = apart(inputs)
        width = query[1]
        if width == key[1] == value[1]:
            shapes: dict[str, Shape] = {"in_proj_weight": (3 * width, width)}
        else:
            shapes = {
                f"{name}_proj_weight": (width, each[1]) for name, each in zip("qkv", (query, key, value), strict=True)
            }
        biases = "in_proj_bias" in self.parameters or "out_proj.bias" in self.parameters
        shapes |= {"in_proj_bias": (3 * width,)} if biases else {}
        shapes["out_proj.weight"] = (width, width)
        return shapes | ({"out_proj.bias": (width,)} if biases else {})

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """One or more heads, with and without biases and masks."""
        if len(inputs) != SEQUENCE:
            return None
        return {**draw_heads(draw, inputs[1], (inputs[1],) * 3), **draw_masks(draw, inputs[0], samples)}

    @classmethod
    def draw_wired(cls, draw: Any, inputs: Shape, samples: int) -> list[dict[str, Any]] | None:
        """Keys and values of the queries' width, or of others."""
        if len(inputs) != SEQUENCE or inputs[0] < 3:  # noqa: PLR2004 - a query and two keys
            return None
        other = draw.one_of((inputs[1], inputs[1], inputs[1] + 1))
        widths = (inputs[1], other, draw.one_of((other, 2)))
        layers, names, keys = draw_sources(draw, inputs, widths)
        if len(names) < 3:  # noqa: PLR2004 - values are the keys
            widths = (inputs[1], widths[len(names) - 1], widths[len(names) - 1])
        return [*layers, {**draw_heads(draw, inputs[1], widths), **draw_masks(draw, keys, samples), "from": names}]

    def worked(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Any, parts: Parts) -> Any:
        """Projections, attention in every head, and the output projection."""
        shapes, form = apart(inputs), self.form(inputs)
        a, scores = parts.multihead(c, three(x), parameters, shapes, form, self.key_padding_mask, shown=True)
        return c.output(a, scores)


class Parts:
    """The formulas of attention, one per method. A named bug replaces one of them."""

    def multihead(
        self,
        c: Any,
        x: tuple[Any, Any, Any],
        parameters: Mapping[str, Any],
        shapes: tuple[Shape, Shape, Shape],
        form: Heads,
        mask: Mask | None,
        *,
        shown: bool = False,
    ) -> tuple[Any, Any]:
        """The output and the scores of a multi-head attention, whose ``parameters`` are named as in
        ``multihead_attention``.
        """
        query, key, value = (self.projected(c, n, x[n], parameters, shapes[n], form) for n in range(3))
        context, scores = self.attend(c, query, key, value, form, None, mask, shown=shown)
        weight, bias, shape = parameters["out_proj.weight"], parameters.get("out_proj.bias"), (form.queries, form.width)
        return of_every_token(c, context, weight, bias, shape, form.width, "projection"), scores

    def projected(self, c: Any, number: int, x: Any, parameters: Mapping[str, Any], shape: Shape, form: Heads) -> Any:
        """Queries (``number`` 0), keys (1) or values (2) of every token: W x + b with their rows of the weights
        and biases.
        """
        width, role = form.width, ROLES[number]
        rows = self.rows(number) * width
        if "in_proj_weight" in parameters:
            weight, first = parameters["in_proj_weight"], rows
        else:
            weight, first = parameters[f"{role[0]}_proj_weight"], 0
        wiring = token_by_token(shape[0], shape[1], width, first, weight.units // shape[1])
        places = [rows + o for _ in range(shape[0]) for o in range(width)]
        biases = [(parameters["in_proj_bias"], places)] if "in_proj_bias" in parameters else []
        return c.weighted_sum([(x, weight, wiring)], biases, role=role)

    def rows(self, number: int) -> int:
        """Which third of the rows of ``in_proj_weight`` makes the queries (0), keys (1) or values (2)."""
        return number

    def scale(self, form: Heads, given: tuple[float, float] | None) -> tuple[float, float]:
        """The factor of the scores, 1/√(width of a head) by default, and its error in units of u."""
        if given is not None:
            return given
        scale = 1.0 / math.sqrt(form.width // form.heads)
        return scale, 0.0 if math.frexp(scale)[0] == 0.5 else _OF_SCALE * scale  # noqa: PLR2004 - a power of two

    def attend(
        self,
        c: Any,
        query: Any,
        key: Any,
        value: Any,
        form: Heads,
        scale: tuple[float, float] | None,
        mask: Mask | None,
        *,
        shown: bool = False,
    ) -> tuple[Any, Any]:
        """The contexts of the heads, concatenated, and the scores: softmax(q·k·scale) v."""
        wirings = self.wirings(form)
        number, off = self.scale(form, scale)
        factor = c.constant([number], [off] if off else None)
        scaled = c.weighted_sum([(query, factor, wirings.scaled)], role="scaled")
        scores = c.weighted_sum([(scaled, key, wirings.scores)], role="scores")
        if shown:
            c.show(scores)
        weights = self.weights(c, scores, wirings, form, mask)
        return c.weighted_sum([(value, weights, wirings.context)], role="context"), scores

    def weights(self, c: Any, scores: Any, wirings: Wirings, form: Heads, mask: Mask | None) -> Any:
        """p = softmax(scores) of every query, over the keys that no mask hides."""
        seen = c.pick(scores, wirings.visible, role="visible") if form.causal else scores
        return c.softmax(seen, wirings.groups, keep=kept(c, mask, wirings, form), role="attention")

    def wirings(self, form: Heads) -> Wirings:
        """Which units the scores and contexts read."""
        return heads_of(form)


def kept(c: Any, mask: Mask | None, wirings: Wirings, form: Heads) -> Any:
    """For every sample and visible score: 0 where the padding mask ignores its key, else 1. None without a mask."""
    if mask is None:
        return None
    return c.given([[0.0 if row[at % form.keys] else 1.0 for at in wirings.visible] for row in mask])


def draw_masks(draw: Any, keys: int, samples: int) -> dict[str, Any]:
    """Causal or not, with and without a padding mask. The first key is never ignored, so that every query sees one."""
    found: dict[str, Any] = {"is_causal": True} if draw.whole(0, 2) == 0 else {}
    if draw.whole(0, 2) == 0 and keys > 1:
        found["key_padding_mask"] = [[False, *(draw.whole(0, 2) == 0 for _ in range(keys - 1))] for _ in range(samples)]
    return found


def draw_heads(draw: Any, width: int, widths: tuple[int, int, int]) -> dict[str, Any]:
    """A random multi-head attention without masks, for queries, keys and values of these widths."""
    bound = 1.6 / width**0.5
    parameters: dict[str, Any] = {}
    if set(widths) == {width}:
        parameters["in_proj_weight"] = drawn(draw, (3 * width, width), bound)
    else:
        for name, each in zip("qkv", widths, strict=True):
            parameters[f"{name}_proj_weight"] = drawn(draw, (width, each), 1.6 / each**0.5)
    biases = draw.whole(1, 4) > 1
    if biases:
        parameters["in_proj_bias"] = drawn(draw, (3 * width,), 0.5)
    parameters["out_proj.weight"] = drawn(draw, (width, width), bound)
    if biases:
        parameters["out_proj.bias"] = drawn(draw, (width,), 0.5)
    heads = draw.one_of([each for each in range(1, width + 1) if width % each == 0])
    return {"kind": "multihead_attention", "num_heads": heads, "parameters": parameters}


def draw_sources(draw: Any, inputs: Shape, widths: tuple[int, int, int]) -> tuple[list[dict[str, Any]], list[str], int]:
    """Layers that give queries, keys (and values) from parts of one sequence; the names to read; and the number
    of keys.
    """
    number, queries = draw.whole(2, 3), draw.whole(1, inputs[0] - 2)
    keys = inputs[0] - queries
    layers = [
        {**linear(draw, inputs[1], inputs[1], "tanh"), "name": "tokens"},
        {"kind": "narrow", "name": "asking", "start": 0, "length": queries, "from": ["tokens"]},
        {"kind": "narrow", "name": "memory", "start": queries, "length": keys, "from": ["tokens"]},
    ]
    names = ["asking"]
    for name, width in zip(("keys", "values")[: number - 1], widths[1:], strict=False):
        if width == inputs[1] and draw.whole(0, 1):
            names.append("memory")
            continue
        layers.append({**linear(draw, inputs[1], width, "identity"), "name": name, "from": ["memory"]})
        names.append(name)
    return layers, names, keys

"""The heads of an attention layer: which features of which tokens each head reads, for scores and for contexts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from backprop_check.kinds.wiring import Factor, Index, Wiring


class Heads(NamedTuple):
    """The sizes of an attention layer; ``width`` features in a query and a key, ``out`` in a value, over all heads."""

    heads: int
    queries: int
    keys: int
    width: int
    out: int
    causal: bool = False


class Wirings(NamedTuple):
    """The wirings of an attention layer. ``visible`` are the flat indexes of the scores that a causal mask leaves."""

    scaled: Wiring
    scores: Wiring
    visible: list[int]
    groups: Index
    context: Wiring


def side_by_side(form: Heads, width: int, tokens: int, at: tuple[int, int, int]) -> int:
    """The unit of feature e of head h of token t, where the ``width`` features of a token are ordered by head."""
    del tokens
    h, t, e = at
    return t * width + h * (width // form.heads) + e


Layout = Callable[[Heads, int, int, tuple[int, int, int]], int]


@functools.lru_cache(maxsize=64)
def heads_of(form: Heads, split: Layout = side_by_side, merge: Layout = side_by_side) -> Wirings:
    """The wirings of all heads; a score is unit (h, i, j). ``split`` and ``merge`` say where heads lie in a token."""
    heads, queries, keys, width, out, causal = form
    d, e = width // heads, out // heads
    triples = [(h, i, j) for h in range(heads) for i in range(queries) for j in range(keys)]
    if split is side_by_side and merge is side_by_side:
        return _products(form, [at for at, (_, i, j) in enumerate(triples) if j <= i or not causal])
    scores = Wiring(
        queries * width,
        keys * width,
        [[split(form, width, queries, (h, i, f)) for f in range(d)] for h, i, _ in triples],
        [[split(form, width, keys, (h, j, f)) for f in range(d)] for h, _, j in triples],
    )
    visible = [at for at, (_, i, j) in enumerate(triples) if j <= i or not causal]
    rows: dict[tuple[int, int], list[int]] = {}
    for place, at in enumerate(visible):
        rows.setdefault(triples[at][:2], []).append(place)
    units = {
        merge(form, out, queries, (h, i, f)): (h, i, f) for h in range(heads) for i in range(queries) for f in range(e)
    }
    contexts = [units[at] for at in range(queries * out)]
    context = Wiring(
        keys * out,
        len(visible),
        [[split(form, out, keys, (h, triples[visible[p]][2], f)) for p in rows[h, i]] for h, i, f in contexts],
        [rows[h, i] for h, i, _ in contexts],
    )
    count = queries * width
    return Wirings(
        Wiring(count, 1, [[i] for i in range(count)], [[0]] * count),
        scores,
        visible,
        Index(rows[triples[at][:2]] for at in visible),
        context,
    )


def _products(form: Heads, visible: list[int]) -> Wirings:
    """The same as products, for heads side by side: score[h, i, j] = Σ_f q[i, h, f] k[j, h, f]; contexts likewise."""
    import numpy as np  # noqa: PLC0415 - heavy, and only work with cases needs it

    heads, queries, keys, width, out, _ = form
    place = np.full(heads * queries * keys, -1)
    place[visible] = np.arange(len(visible))
    whole = len(visible) == len(place)
    hidden = Factor("hij", (heads, queries, keys), len(visible), at=None if whole else place)
    query, key = Factor("ihf", (queries, heads, width // heads), queries * width), (keys, heads, width // heads)
    value, context = (keys, heads, out // heads), Factor("ihf", (queries, heads, out // heads), queries * out)
    groups = Index.blocks(heads * queries, keys)
    if not whole:
        rows: dict[int, list[int]] = {}
        for number, at in enumerate(visible):
            rows.setdefault(at // keys, []).append(number)
        groups = Index(rows[at // keys] for at in visible)
    return Wirings(
        Wiring.of_product(
            Factor("x", (query.size,), query.size), Factor("", (), 1), Factor("x", (query.size,), query.size)
        ),
        Wiring.of_product(
            query, Factor("jhf", key, keys * width), Factor("hij", (heads, queries, keys), heads * queries * keys)
        ),
        visible,
        groups,
        Wiring.of_product(Factor("jhf", value, keys * out), hidden, context),
    )

"""Sums by matrix products are the sums of the same terms, with the same bounds, along every wiring that allows them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from backprop_check.kinds.heads import Heads, heads_of
from backprop_check.kinds.tokens import by_token
from backprop_check.kinds.transformer import norm_of
from backprop_check.kinds.windows import Window, convolving, transposed
from backprop_check.kinds.wiring import Index, Wiring, every, own, part, placed, rows_of
from backprop_check.numbers.lanes import Lanes
from backprop_check.numbers.product import Contraction, Total
from backprop_check.numbers.tables import LaneTable
from backprop_check.numbers.vectors import Block, Operand, Vector
from backprop_check.reference.rules import ALL

U = 2.0**-53
PADDED = Window((3, 2), (2, 1), (1, 1), (1, 2))

PLAIN, CAUSAL = heads_of(Heads(2, 3, 4, 6, 4, causal=False)), heads_of(Heads(2, 3, 3, 6, 4, causal=True))

WIRINGS = {
    "dense": every(4, 3),
    "some rows of a matrix": rows_of(2, 3, 7, 3),
    "tokens": rows_of(4, 3, 4, 0, tokens=5),
    "a weight each": own(4, 9, 2),
    "a part": part(7, 2, 3),
    "in its place": placed(6, 1, 3),
    "convolution": convolving((2, 5, 6), 4, 1, PADDED, PADDED.outputs((5, 6))),
    "convolution in groups": convolving((4, 5, 6), 6, 2, PADDED, PADDED.outputs((5, 6))),
    "transposed convolution": transposed((2, 3, 3), 2, 1, Window((2, 2), (1, 1), (0, 0), (1, 1)), (4, 4)),
    "scores": PLAIN.scores,
    "context": PLAIN.context,
    "context, causal": CAUSAL.context,
    **{f"norm, {name}": wiring for name, wiring in norm_of(3, 4).items()},
}


@pytest.mark.parametrize("seed", range(40))
def test_contractions_are_sums(seed: int) -> None:
    """Any letters, compared with numpy's own notation."""
    draw = random.Random(seed)  # noqa: S311 - letters
    sizes = {letter: draw.randint(1, 4) for letter in "abcd"}
    x, y = ("".join(draw.sample("Sabcd", draw.randint(1, 4))) for _ in range(2))
    known = sorted({*x, *y})
    out = "".join(draw.sample(known, draw.randint(0, len(known))))
    out = "S" * ("S" in out) + out.replace("S", "")
    lengths = {**sizes, "S": 3}
    arrays = [np.random.default_rng(seed).normal(size=[lengths[letter] for letter in each]) for each in (x, y)]
    flat = [each.reshape(3 if name.startswith("S") else 1, -1) for each, name in zip(arrays, (x, y), strict=True)]
    found = Contraction(x, y, out, sizes)(flat[0], flat[1], 3)
    expected = np.einsum(f"{x},{y}->{out}", *arrays)
    assert np.allclose(found.ravel(), expected.ravel(), rtol=1e-13, atol=1e-13)
    inside = "".join(letter for letter in out if letter in x)
    alone = Total(x, inside, {letter: sizes[letter] for letter in x if letter != "S"})(flat[0], None, 3)
    assert np.allclose(alone.ravel(), np.einsum(f"{x}->{inside}", arrays[0]).ravel(), rtol=1e-13, atol=1e-13)


def table(seed: int, samples: int, units: int, *, exact: bool) -> LaneTable:
    drawn = np.random.default_rng(seed)
    error = 0.0 if exact else abs(drawn.normal(size=(samples, units))) * 1e-9
    return LaneTable(drawn.normal(size=(samples, units)), error, U)


def put_together(vector: Any) -> Vector:
    """The vector itself, so that no product is taken."""
    assert isinstance(vector, Operand)
    return Vector(vector.value, vector.error, U, vector.mask)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", WIRINGS)
def test_products_are_sums_of_the_terms(name: str, samples: int) -> None:
    """Forward, backward to the sources and to the weights: the same values and bounds."""
    wiring, m = WIRINGS[name], Lanes(U)
    for exact, several in itertools.product((True, False), repeat=2):
        x = table(1, samples, wiring.inputs, exact=exact)
        w = table(2, samples if several else 1, wiring.weights, exact=exact)
        error = table(3, samples, len(wiring.reads), exact=False)
        pairs = [
            (x[0, wiring.reads], w[0, wiring.uses]),
            (error[0, wiring.by_input[0]], w[0, wiring.by_input[1]]),
            (error[ALL, wiring.by_weight[0]], x[ALL, wiring.by_weight[1]]),
        ]
        for one, other in pairs:
            for second in (other, None):
                product = m.dots([(one, second)], [])
                terms = m.dots([(put_together(one), None if second is None else put_together(second))], [])
                assert np.allclose(product.value, terms.value, rtol=1e-12, atol=1e-12)
                first, last = (np.broadcast_to(each.error, np.shape(terms.value)) for each in (product, terms))
                assert np.allclose(first, last, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("name", WIRINGS)
def test_products_have_the_places_of_their_lists(name: str) -> None:
    """The wiring converted to lists is the same, in both directions."""
    wiring = WIRINGS[name]
    listed = Wiring(wiring.inputs, wiring.weights, Index(wiring.reads.rows), Index(wiring.uses.rows))
    for one, other in ((wiring.by_input, listed.by_input), (wiring.by_weight, listed.by_weight)):
        pairs = [
            [sorted(zip(*rows, strict=True)) for rows in zip(*(index.rows for index in each), strict=True)]
            for each in (one, other)
        ]
        assert pairs[0] == pairs[1]


def test_a_block_is_what_each_of_its_units_reads() -> None:
    """A softmax over blocks of units reads each block once."""
    grid, index = table(4, 3, 6, exact=False), by_token(2, 3)
    block = grid[0, index]
    assert isinstance(block, Block)
    m, whole = Lanes(U), grid.gathered(*Index(index.rows).arrays, together=False)
    for found, expected in ((m.total(block), m.total(whole)), (m.top(block), m.top(whole))):
        assert np.allclose(found.value, expected.value)
        assert np.allclose(found.error, expected.error)

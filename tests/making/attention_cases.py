"""Writes cases/attention: worked examples and edge cases of attention, blocks, positions and losses over sequences.

``python tests/making/attention_cases.py`` rewrites the files; ``tests/levels/test_attention.py`` checks that they
are up to date. A worked example holds the digits that its source prints, or that were computed by hand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from case_writing import write

from backprop_check.case.network import Case
from backprop_check.kinds.kind import nested, size
from backprop_check.kinds.transformer import all_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


def case(name: str, layers: list[Json], inputs: list[Any], targets: list[Any], **more: Any) -> Case:
    """A case; ½ squared error and the mean unless said otherwise."""
    shape, part = [], inputs[0]
    while isinstance(part, list):
        shape.append(len(part))
        part = part[0]
    loss = more.pop("loss", "half_squared_error")
    return Case.from_dict(
        {
            "name": name,
            "network": {"inputs": shape[0] if len(shape) == 1 else shape, "layers": layers},
            "loss": {"kind": loss} if isinstance(loss, str) else loss,
            "reduction": "mean",
            "inputs": inputs,
            "targets": targets,
            **more,
        }
    )


def digits(shape: tuple[int, ...], seed: int = 0, scale: float = 1.0) -> Any:
    """An array of numbers with few digits, no two equal."""
    return nested([round(scale * math.sin(1.7 * k + seed) * 0.9, 3) for k in range(1, size(shape) + 1)], shape)


def attention(**more: Any) -> Json:
    """Attention without parameters of its own."""
    return {"kind": "scaled_dot_product_attention", **more}


def heads(width: int, count: int, seed: int = 1, *, bias: bool = True, **more: Any) -> Json:
    """A multi-head attention."""
    parameters = {
        "in_proj_weight": digits((3 * width, width), seed),
        "in_proj_bias": digits((3 * width,), seed + 1),
        "out_proj.weight": digits((width, width), seed + 2),
        "out_proj.bias": digits((width,), seed + 3),
    }
    if not bias:
        parameters = {name: each for name, each in parameters.items() if not name.endswith("bias")}
    return {"kind": "multihead_attention", "num_heads": count, **more, "parameters": parameters}


def linear(rows: int, width: int, seed: int, activation: str = "identity", *, bias: bool = True) -> Json:
    """A linear layer."""
    parameters = {"weight": digits((rows, width), seed), **({"bias": digits((rows,), seed + 1)} if bias else {})}
    return {"kind": "linear", "out_features": rows, "activation": activation, "parameters": parameters}


def block(width: int, hidden: int, count: int, **more: Any) -> Json:
    """A transformer block."""
    parameters = {
        name: [1.0 + x for x in digits(shape, at, 0.25)]
        if name in ("norm1.weight", "norm2.weight")
        else digits(shape, at)
        for at, (name, shape) in enumerate(all_shapes(width, hidden).items())
    }
    return {"kind": "transformer_block", "nhead": count, "dim_feedforward": hidden, **more, "parameters": parameters}


#: ln 3, written out: a library that rounds it differently must not make a different case.
LN_3 = 1.0986122886681098


def worked_examples() -> Iterator[tuple[Case, Json]]:
    """Every worked example with title, source, digits and erratum."""
    yield (
        case(
            "hand-two-tokens",
            [attention(scale=LN_3)],
            [[[1.0, 0.0], [0.0, 1.0]]],
            [[[0.25, 0.25], [0.25, 0.25]]],
        ),
        {
            "title": "Attention by hand: two tokens of two features, with weights of ¾ and ¼",
            "source": "worked by hand: with the scale ln 3 a token scores ln 3 with itself and 0 with the other, so its"
            " softmax is ¾, ¼; g = (½, 0), (0, ½); Σ g p = 3/8; ∂L/∂scores = ¾ (½ − 3/8) = 3/32;"
            " ∂L/∂v₁ = (3/8, 1/8); ∂L/∂q = ∂L/∂k = 3/32 ln 3 (1, −1); ∂L/∂x = their sum",
            "published": {
                "layers[0].z": [[[1.0986122887, 0.0], [0.0, 1.0986122887]]],
                "layers[0].a": [[[0.75, 0.25], [0.25, 0.75]]],
                "loss": 0.25,
                "layers[0].delta": [[[0.09375, -0.09375], [-0.09375, 0.09375]]],
                "input_gradients": [[[0.580989804, -0.080989804], [-0.080989804, 0.580989804]]],
            },
            "erratum": None,
        },
    )
    of = {  # transposed: a row holds the weights of one feature
        "query": [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]],
        "key": [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]],
        "value": [[0.0, 0.0, 1.0, 1.0], [2.0, 3.0, 0.0, 1.0], [0.0, 0.0, 3.0, 0.0]],
    }
    layers: list[Json] = [
        {"kind": "linear", "name": name, "from": ["input"], "out_features": 3, "activation": "identity",
         "parameters": {"weight": rows}}
        for name, rows in of.items()
    ]  # fmt: skip
    yield (
        case(
            "karim-self-attention",
            [*layers, {**attention(scale=1.0), "from": list(of)}],
            [[[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]]],
            [[[2.0, 7.0, 1.5], [2.0, 8.0, 0.0], [2.0, 7.5, 0.5]]],
        ),
        {
            "title": "Self-attention of three tokens, without a scale",
            "source": "Raimi Karim, Illustrated: Self-Attention (2019); the targets, and all gradients, are ours",
            "published": {
                "layers[0].a": [[[1.0, 0.0, 2.0], [2.0, 2.0, 2.0], [2.0, 1.0, 3.0]]],
                "layers[1].a": [[[0.0, 1.0, 1.0], [4.0, 4.0, 0.0], [2.0, 3.0, 1.0]]],
                "layers[2].a": [[[1.0, 2.0, 3.0], [2.0, 8.0, 0.0], [2.0, 6.0, 3.0]]],
                "layers[3].z": [[[2.0, 4.0, 4.0], [4.0, 16.0, 12.0], [4.0, 12.0, 10.0]]],
                "layers[3].a": [[[1.9366, 6.6831, 1.5951], [2.0000, 7.9640, 0.0540], [1.9997, 7.7599, 0.3584]]],
            },
            "erratum": None,
        },
    )


def edge_cases() -> Iterator[tuple[str, Case]]:
    """The title of each edge case, and the case."""
    three, four = digits((3, 2), 5), digits((3, 4), 6)
    yield (
        "one token: its weight is 1, and no gradient reaches the scores",
        case("one-token", [attention()], [[[0.5, -0.25]]], [[[1.0, 0.5]]]),
    )
    yield (
        "a causal mask: the first query sees one key only",
        case("causal", [attention(is_causal=True)], [three], [digits((3, 2), 9)]),
    )
    yield "a padding mask that leaves one key in one sample and all in another", case(
        "padding", [attention(key_padding_mask=[[True, False, True], [False, False, False]])],
        [three, digits((3, 2), 7)], [digits((3, 2), 9), digits((3, 2), 11)],
    )  # fmt: skip
    yield "both masks at once, of two heads", case(
        "causal-and-padding", [heads(4, 2, is_causal=True, key_padding_mask=[[False, True, False]])], [four],
        [digits((3, 4), 8)], optimizer={"kind": "sgd", "learning_rate": 0.1}, steps=2,
    )  # fmt: skip
    yield "a hidden score that is larger by far than any that is seen", case(
        "hidden-largest", [attention(is_causal=True, scale=1.0)], [[[1.0, 0.0], [0.5, 30.0], [0.25, 20.0]]],
        [digits((3, 2), 9)],
    )  # fmt: skip
    yield (
        "scores of ±100: the softmax is 1 and 0, and hardly any gradient is left",
        case("saturated", [attention(scale=1.0)], [[[10.0, 0.0], [-10.0, 0.5]]], [[[1.0, 0.5], [-1.0, 0.25]]]),
    )
    yield (
        "tokens that are all alike: every weight is the same",
        case("alike", [heads(2, 1, seed=4)], [[[0.5, -0.5]] * 4], [digits((4, 2), 3)]),
    )
    silent = heads(4, 2, seed=2)
    silent["parameters"]["in_proj_weight"][:8] = [[0.0] * 4 for _ in range(8)]
    yield (
        "queries and keys of weights 0: attention is a plain mean",
        case("silent-queries", [silent], [four], [digits((3, 4), 8)]),
    )
    yield (
        "heads of one feature each: the scale is 1",
        case("width-one-heads", [heads(4, 4, seed=5)], [four], [digits((3, 4), 8)]),
    )
    yield "no biases", case("no-biases", [heads(4, 2, seed=5, bias=False)], [four], [digits((3, 4), 8)])
    cross: list[Json] = [
        {**linear(4, 4, 3, "tanh"), "name": "tokens"},
        {"kind": "narrow", "name": "asking", "from": ["tokens"], "start": 0, "length": 1},
        {"kind": "narrow", "name": "memory", "from": ["tokens"], "start": 1, "length": 3},
        {**linear(3, 4, 7), "name": "keys", "from": ["memory"]},
        {**linear(2, 4, 8), "name": "values", "from": ["memory"]},
    ]
    apart = {
        "kind": "multihead_attention",
        "num_heads": 2,
        "from": ["asking", "keys", "values"],
        "parameters": {
            "q_proj_weight": digits((4, 4), 2),
            "k_proj_weight": digits((4, 3), 3),
            "v_proj_weight": digits((4, 2), 4),
            "in_proj_bias": digits((12,), 5),
            "out_proj.weight": digits((4, 4), 6),
            "out_proj.bias": digits((4,), 7),
        },
    }
    yield "queries, keys and values of different widths, one query for three keys", case(
        "cross-attention", [*cross, apart], [digits((4, 4), 1), digits((4, 4), 2)],
        [digits((1, 4), 3), digits((1, 4), 4)], optimizer={"kind": "sgd", "learning_rate": 0.1}, steps=1,
    )  # fmt: skip
    for first in (False, True):
        for activation in ("relu", "gelu"):
            yield (
                f"a block, its norms {'first' if first else 'last'}, {activation}",
                case(
                    f"block-{'pre' if first else 'post'}-{activation}",
                    [block(4, 5, 2, activation=activation, norm_first=first), linear(3, 4, 2, "softmax")],
                    [four, digits((3, 4), 2)],
                    [[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]], [[1.0, 0.0, 0.0]] * 3],
                    loss="cross_entropy",
                    optimizer={"kind": "sgd", "learning_rate": 0.1},
                    steps=1,
                ),
            )
    yield (
        "a block over tokens whose features are all alike: what is normalised is 0, and ε decides",
        case(
            "block-no-variance",
            [block(4, 3, 1, norm_first=True, layer_norm_eps=0.25)],
            [[[0.5] * 4, [-1.0] * 4]],
            [digits((2, 4), 8)],
        ),
    )
    yield (
        "positions of an odd number of features, and a base of 100",
        case(
            "positions-odd", [{"kind": "positional_encoding", "base": 100.0}], [digits((5, 3), 1)], [digits((5, 3), 2)]
        ),
    )
    yield (
        "forty positions",
        case("positions-40", [{"kind": "positional_encoding"}], [digits((40, 4), 1)], [digits((40, 4), 2)]),
    )
    learned = {"kind": "learned_positions", "num_embeddings": 4, "parameters": {"weight": digits((4, 2), 3)}}
    yield "learned positions of which the last two have no token: their gradient is 0", case(
        "positions-unused", [learned], [digits((2, 2), 1)], [digits((2, 2), 2)],
        optimizer={"kind": "sgd", "learning_rate": 0.5}, steps=1,
    )  # fmt: skip
    labels = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    for name, epsilon in (("smoothed", 0.1), ("smoothed-none", 0.0), ("smoothed-away", 1.0)):
        yield f"labels smoothed with ε = {epsilon}, a softmax at every token", case(
            name, [linear(3, 4, 2, "softmax")], [four], labels,
            loss={"kind": "cross_entropy", "label_smoothing": epsilon},
        )  # fmt: skip
    dense = {"kind": "dense", "units": 3, "activation": "softmax",
             "parameters": {"weights": digits((3, 2), 4), "biases": digits((3,), 5)}}  # fmt: skip
    yield "labels smoothed behind a dense layer", case(
        "smoothed-dense", [dense], [[0.5, -0.25], [1.0, 0.75]], [[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]],
        loss={"kind": "cross_entropy", "label_smoothing": 0.2}, optimizer={"kind": "sgd", "learning_rate": 0.5},
        steps=3,
    )  # fmt: skip
    yield "KL divergence where some of the targets are 0", case(
        "kl-zeros", [linear(3, 4, 2, "log_softmax")], [four],
        [[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]]], loss="kl_divergence",
    )  # fmt: skip
    even = {"kind": "dense", "units": 2, "activation": "log_softmax",
            "parameters": {"weights": [[0.0, 0.0]] * 2, "biases": [0.5, 0.5]}}  # fmt: skip
    yield (
        "KL divergence from what is forecast already: loss and gradient are 0",
        case("kl-right", [even], [[0.5, -0.25]], [[0.5, 0.5]], loss="kl_divergence"),
    )


def files() -> Iterator[tuple[Case, Json]]:
    """Every case with the other fields of its file."""
    yield from worked_examples()
    yield from ((one, {"title": title}) for title, one in edge_cases())


def main() -> None:
    """Write them all."""
    write("attention", files())


if __name__ == "__main__":
    main()

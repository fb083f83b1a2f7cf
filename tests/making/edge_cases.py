"""Writes cases/edge: networks at the limits of arithmetic, with the values that both witnesses give.

``python tests/making/edge_cases.py`` rewrites the files; ``tests/test_edge.py`` checks that they are up to date.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from case_writing import write

from backprop_check.case.network import DEFAULT_ALPHA, Case

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


def dense(activation: str, weights: list[list[float]], biases: list[float] | None = None, **more: Any) -> Json:
    """A layer; without biases they are 0. α is written out, as the protocol does."""
    more |= {"alpha": DEFAULT_ALPHA[activation]} if activation in DEFAULT_ALPHA and "alpha" not in more else {}
    parameters = {"weights": weights, "biases": [0.0] * len(weights) if biases is None else biases}
    return {"kind": "dense", "units": len(weights), "activation": activation, **more, "parameters": parameters}


def case(
    name: str, title: str, layers: list[Json], inputs: list[list[float]], targets: list[list[float]], **more: Any
) -> tuple[str, Case]:
    """The title of a case, and the case; ½ squared error and the mean unless given."""
    loss = more.pop("loss", "half_squared_error")
    whole = {
        "name": name,
        "network": {"inputs": len(inputs[0]), "layers": layers},
        "loss": {"kind": loss} if isinstance(loss, str) else loss,
        "reduction": more.pop("reduction", "mean"),
        "inputs": inputs,
        "targets": targets,
        **more,
    }
    return title, Case.from_dict(whole)


def sgd(rate: float) -> Json:
    return {"kind": "sgd", "learning_rate": rate}


def column(*weights: float) -> list[list[float]]:
    """Weights of neurons that read one input."""
    return [[weight] for weight in weights]


def digits(rows: int, columns: int, start: int = 1) -> list[list[float]]:
    """A table of numbers from −0.5 to 0.5 with two digits, none of them 0, neighbours different."""
    values = [((start + 37 * k) % 101 - 50) / 100 or 0.07 for k in range(rows * columns)]
    return [values[row * columns : (row + 1) * columns] for row in range(rows)]


def edge_cases() -> Iterator[tuple[str, Case]]:
    """Every edge case with its title."""
    yield from saturation()
    yield from certain_outputs()
    yield from zeros_and_ties()
    yield from kinks()
    yield from sizes()
    yield from training()


def saturation() -> Iterator[tuple[str, Case]]:
    far = column(40.0, -40.0, 700.0, -700.0, 0.5)
    for name in ("sigmoid", "tanh", "softplus", "softsign", "silu", "gelu", "elu", "hard_tanh", "relu", "leaky_relu"):
        layers = [dense(name, far), dense("identity", [[0.5, -0.25, 0.001, 0.75, 1.0]], [0.1])]
        title = f"{name} far out: z at ±40 and ±700"
        yield case(f"saturated-{name.replace('_', '-')}", title, layers, [[1.0], [-1.0]], [[0.5], [-0.5]])
    layers = [dense("sigmoid", far)]
    yield case("saturated-output", "sigmoid and ½ squared error, saturated at both ends", layers, [[1.0]], [[0.5] * 5])
    layers = [dense("identity", [[1e4, -1e4, 1.0]], [0.5]), dense("sigmoid", column(2.0))]
    yield case("cancelling-sum", "a weighted sum whose large terms cancel", layers, [[1.0, 1.0, 0.25]], [[0.1]])
    layers = [dense("tanh", digits(3, 2)), dense("identity", digits(1, 3, 5), [0.1])]
    yield case("tiny-inputs", "inputs near 1e-9", layers, [[1e-9, -3e-9], [2e-9, 5e-10]], [[0.2], [0.3]])
    yield case("huge-inputs", "inputs near 1e6", layers, [[1e6, -3e5], [2e5, 1e6]], [[0.2], [0.3]])


def certain_outputs() -> Iterator[tuple[str, Case]]:
    far, near = column(40.0, -40.0, 700.0, -700.0), column(30.0, -30.0, 17.0, -36.5)
    bce, ce, nll = "binary_cross_entropy", "cross_entropy", "negative_log_likelihood"
    for name, title, targets in (
        ("right", "sure, and right", [1.0, 0.0, 1.0, 0.0]),
        ("wrong", "sure, and wrong", [0.0, 1.0, 0.0, 1.0]),
        ("half", "sure, where nobody can be", [0.5, 0.5, 0.25, 0.75]),
    ):
        layers = [dense("sigmoid", far)]
        yield case(f"sigmoid-{name}", f"sigmoid {title}: z at ±40 and ±700", layers, [[1.0]], [targets], loss=bce)
        layers = [dense("sigmoid", near)]
        yield case(f"sigmoid-nearly-{name}", f"sigmoid nearly {title}: z from 17 to 36.5", layers, [[1.0]], [targets],
                   loss=bce, reduction="sum")  # fmt: skip
    apart = column(800.0, -800.0, 0.0)
    for name, title, targets in (
        ("right", "and right", [1.0, 0.0, 0.0]),
        ("wrong", "and wrong", [0.0, 1.0, 0.0]),
        ("shared", "where the target is shared", [0.5, 0.25, 0.25]),
    ):
        yield case(f"softmax-{name}", f"softmax at ±800, {title}", [dense("softmax", apart)], [[1.0]], [targets],
                   loss=ce)  # fmt: skip
        yield case(f"log-softmax-{name}", f"log-softmax at ±800, {title}", [dense("log_softmax", apart)], [[1.0]],
                   [targets], loss=nll)  # fmt: skip
    layers = [dense("softmax", apart)]
    yield case("softmax-squared", "softmax at ±800 with the squared error", layers, [[1.0]], [[0.5, 0.25, 0.25]],
               loss="squared_error")  # fmt: skip
    layers = [dense("softmax", apart), dense("identity", digits(2, 3), [0.1, 0.2])]
    yield case("softmax-hidden", "softmax at ±800 in a hidden layer", layers, [[1.0], [-1.0]], [[0.5, 0.25]] * 2)
    layers = [dense("softmax", column(800.0, 799.5, 800.25))]
    yield case("softmax-large-and-near", "logits that are large, and near to each other", layers, [[1.0]],
               [[0.0, 1.0, 0.0]], loss=ce)  # fmt: skip
    layers = [dense("softmax", digits(3, 2), [0.1, -0.2, 0.3])]
    yield case("softmax-binary", "targets at 0 and at 1 for every neuron of a softmax", layers, [[1.0, 0.5]] * 2,
               [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], loss=bce)  # fmt: skip


def zeros_and_ties() -> Iterator[tuple[str, Case]]:
    layers = [dense("relu", digits(4, 3), [-9.0] * 4), dense("identity", digits(2, 4), [0.1, 0.2])]
    yield case("dead-relus", "a layer of dead ReLUs: every gradient behind it is 0", layers,
               [[1.0, 0.5, -0.5], [0.25, -1.0, 2.0]], [[0.5, -0.5], [0.1, 0.3]], optimizer=sgd(0.5))  # fmt: skip
    for name in ("sigmoid", "relu", "tanh"):
        layers = [dense(name, [[0.0] * 2] * 3), dense(name, [[0.0] * 3] * 2)]
        yield case(f"zero-{name}", f"all weights and biases 0, {name}", layers, [[1.0, -2.0], [0.5, 0.25]],
                   [[0.5, 1.0], [-0.5, 0.25]], optimizer=sgd(0.5), steps=2)  # fmt: skip
    layers = [dense("softmax", [[0.0] * 2] * 3)]
    yield case("zero-softmax", "a softmax whose logits are all 0", layers, [[1.0, -2.0]], [[0.0, 1.0, 0.0]],
               loss="cross_entropy")  # fmt: skip
    layers = [dense("softmax", [[0.5, 0.25]] * 4, [0.75] * 4), dense("identity", digits(1, 4))]
    yield case("tied-neurons", "four neurons that are all alike", layers, [[1.0, -1.0]], [[0.5]])
    layers = [dense("tanh", digits(3, 2), [0.1, 0.2, -0.3]), dense("identity", digits(1, 3), [0.4])]
    yield case("zero-inputs", "inputs that are 0: the first layer's weights have gradient 0", layers, [[0.0, -0.0]],
               [[0.5]], optimizer=sgd(0.1))  # fmt: skip
    for name in ("identity", "sigmoid"):
        yield case(f"one-neuron-{name}", f"one neuron of one input, {name}", [dense(name, [[0.7]], [-0.2])], [[0.9]],
                   [[0.4]], optimizer=sgd(0.5))  # fmt: skip
    yield case("one-neuron-softmax", "a softmax of one neuron: always 1, and no gradient",
               [dense("softmax", [[0.7]], [-0.2])], [[0.9]], [[1.0]], loss="cross_entropy")  # fmt: skip


def kinks() -> Iterator[tuple[str, Case]]:
    """Numbers that every arithmetic represents exactly, so that z lies on the kink for everybody."""
    output = dense("identity", [[0.5, -0.75, 1.0]], [0.25])
    for name, at in (("relu", (0.0, 1.0, -1.0)), ("leaky_relu", (0.0, 1.0, -1.0)), ("elu", (0.0, 1.0, -1.0)),
                     ("hard_tanh", (1.0, -1.0, 0.5))):  # fmt: skip
        more = {"leaky_relu": {"alpha": 0.25}, "elu": {"alpha": 0.5}}.get(name, {})
        layers = [dense(name, column(1.0, 2.0, -1.5), [at[0] - 1.0, at[1] - 2.0, at[2] + 1.5], **more), output]
        title = f"{name} exactly on its kink: the derivative there is PyTorch's"
        yield case(f"kink-{name.replace('_', '-')}", title, layers, [[1.0]], [[0.5]])
    plain = [dense("identity", column(1.0, -1.0, 0.5, 2.0), [0.5, 0.25, 0.0, -1.0])]  # a = 1.5, −0.75, 0.5, 1
    yield case("kink-huber", "errors of exactly ± the threshold", plain, [[1.0]], [[0.75, 0.0, 0.0, 0.0]],
               loss={"kind": "huber", "threshold": 0.75})  # fmt: skip
    yield case("kink-mean-absolute-error", "an error of exactly 0", plain, [[1.0]], [[1.5, 0.0, 0.5, 2.0]],
               loss="mean_absolute_error")  # fmt: skip
    yield case("kink-hinge", "a margin of exactly 0", plain, [[1.0]], [[1.0, -1.0, 1.0, 1.0]], loss="hinge")


def sizes() -> Iterator[tuple[str, Case]]:
    layers = [dense("sigmoid", digits(2, 784), [0.1, -0.1]), dense("softmax", digits(2, 2), [0.1, 0.2])]
    yield case("width-784", "784 inputs", layers, digits(1, 784, 11), [[0.0, 1.0]], loss="cross_entropy")
    layers = [dense("tanh", digits(128, 1), digits(1, 128, 3)[0]), dense("identity", digits(1, 128), [0.1])]
    yield case("width-1x128x1", "128 neurons between one input and one output", layers, [[0.5]], [[0.3]])
    widths = (1, 7, 1, 5, 1)
    layers = [dense("silu", digits(units, width, 9 + width), digits(1, units, 4)[0]) for width, units in
              itertools.pairwise(widths)]  # fmt: skip
    yield case("width-1x7x1x5x1", "layers of one neuron between wider ones", layers, [[0.8], [-0.3]], [[0.3], [0.1]])
    for kind in ("tanh", "sigmoid", "relu"):
        deep = [dense(kind, [[2.0 * w for w in row] for row in digits(3, 3, 5 + 7 * k)], [0.1, 0.2, 0.3])
                for k in range(12)]  # fmt: skip
        yield case(f"deep-{kind}", f"12 layers deep, {kind}", deep, [[0.5, -0.4, 0.3], [1.0, 0.2, -0.7]],
                   [[0.2, 0.5, 0.7], [0.9, 0.1, 0.4]], optimizer=sgd(0.5))  # fmt: skip
    kinds = ("tanh", "softplus", "gelu", "softmax", "silu", "elu", "softsign", "sigmoid", "leaky_relu", "hard_tanh",
             "relu", "identity")  # fmt: skip
    deep = [dense(kind, [[2.0 * w for w in row] for row in digits(3, 3, 2 + 11 * k)], [0.1, 0.2, 0.3])
            for k, kind in enumerate(kinds)]  # fmt: skip
    yield case("deep-mixed", "12 layers deep, every activation once", deep, [[0.5, -0.4, 0.3]], [[0.2, 0.5, 0.7]])
    layers = [dense("tanh", digits(3, 2), [0.1, 0.2, -0.3]), dense("sigmoid", digits(2, 3), [0.4, -0.1])]
    inputs, targets = digits(64, 2, 17), [[abs(t) for t in row] for row in digits(64, 2, 29)]
    for name, reduction in (("mean", "mean"), ("sum", "sum")):
        yield case(f"batch-64-{name}", f"64 samples at a time, their {name}", layers, inputs, targets,
                   reduction=reduction)  # fmt: skip
    yield case("batch-64-alike", "64 samples that are all alike", layers, [[0.5, -0.25]] * 64, [[0.25, 0.75]] * 64,
               reduction="sum")  # fmt: skip


def training() -> Iterator[tuple[str, Case]]:
    layers = [dense("tanh", digits(3, 2), [0.1, 0.2, -0.3]), dense("identity", digits(1, 3), [0.4])]
    inputs, targets = [[0.5, -0.4], [0.9, 0.3]], [[0.2], [-0.6]]
    for name, title, rate, steps in (
        ("rate-tiny", "a learning rate so small that no parameter moves", 1e-30, 1),
        ("rate-small", "a learning rate at the last digits of the parameters", 1e-15, 2),
        ("rate-huge", "a learning rate of a million", 1e6, 1),
        ("rate-zero", "a learning rate of 0", 0.0, 2),
        ("rate-negative", "up the slope: a negative learning rate", -0.1, 1),
        ("steps-8", "eight training steps", 0.1, 8),
    ):
        yield case(name, title, layers, inputs, targets, optimizer=sgd(rate), steps=steps)


def main() -> None:
    """Write them all."""
    write("edge", ((one, {"title": title}) for title, one in edge_cases()), trajectory=False)


if __name__ == "__main__":
    main()

"""Writes cases/training: worked examples and edge cases of optimizers, clipping and penalties.

``python tests/making/training_cases.py`` rewrites the files; ``test_training_files.py`` checks that they
are up to date. A worked example holds the digits that its source prints, or that were computed by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from case_writing import CASES, write
from edge_cases import case, dense, digits

from backprop_check.case.network import Case
from backprop_check.cases.files import read_case_file

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

#: One neuron: z = 2 · 1 + 0.5 = 2.5, target 0.5, δ = 2, ∂L/∂w = 4, ∂L/∂b = 2.
NEURON = ([dense("identity", [[1.0]], [0.5])], [[2.0]], [[0.5]])


def worked_examples() -> Iterator[tuple[Case, Json]]:
    """Every worked example with title, source, digits and erratum."""
    momentum = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.5}
    yield (
        case("hand-momentum", "", *NEURON, optimizer=momentum, steps=3)[1],
        {
            "title": "Momentum by hand: in the third step the gradient is 0, and the neuron moves on",
            "source": "worked by hand: v = 4, then ½·4 + 2 = 4, then ½·4 + 0 = 2; for the bias 2, 2, 1",
            "published": {
                "layers[0].gradients.weights": [[4.0]],
                "layers[0].gradients.biases": [2.0],
                "trajectory[0].layers[0].updated.weights": [[0.6]],
                "trajectory[0].layers[0].updated.biases": [0.3],
                "trajectory[1].loss": 0.5,
                "trajectory[1].layers[0].updated.weights": [[0.2]],
                "trajectory[1].layers[0].updated.biases": [0.1],
                "trajectory[2].loss": 0.0,
                "layers[0].updated.weights": [[0.0]],
                "layers[0].updated.biases": [0.0],
            },
            "erratum": None,
        },
    )
    adam = {"kind": "adam", "learning_rate": 0.1, "betas": [0.5, 0.75]}
    yield (
        case("hand-adam", "", *NEURON, optimizer=adam, steps=2)[1],
        {
            "title": "Adam by hand: a weight and a bias whose gradients differ by a factor move alike",
            "source": "worked by hand: step 1 m̂ = 2/0.5 = 4, v̂ = 4/0.25 = 16; step 2 m̂ = 2.7/0.75 = 3.6, "
            "v̂ = 5.89/0.4375, 3.6/√v̂ = 0.981147",
            "published": {
                "trajectory[0].layers[0].updated.weights": [[0.9]],
                "trajectory[0].layers[0].updated.biases": [0.4],
                "trajectory[1].loss": 1.445,
                "layers[0].updated.weights": [[0.801885]],
                "layers[0].updated.biases": [0.301885],
            },
            "erratum": None,
        },
    )
    ng = read_case_file(CASES / "published" / "ng-ex4-2x2x4.json").case
    yield (
        msgspec.structs.replace(ng, name="ng-ex4-regularized", **_with(l2=1.0)),
        {
            "title": "Cross-entropy over sigmoids with a penalty: λ = 3 over 3 samples",
            "source": "Ng, machine-learning course, exercise 4",
            "published": {
                "loss": 16.457,
                "layers[0].gradients.weights": [[0.27246, 0.47507], [0.36416, 0.54614]],
                "layers[0].gradients.biases": [0.76614, 0.97990],
                "layers[1].gradients.weights": [
                    [1.55931, 1.97834], [1.54462, 1.96892], [1.55631, 1.95977], [1.71189, 2.12233],
                ],
                "layers[1].gradients.biases": [0.88342, 0.56876, 0.58467, 0.59814],
            },
            "erratum": None,
        },
    )  # fmt: skip
    net = read_case_file(CASES / "published" / "cs231n-two-layer-net.json").case
    for name, l2, loss in (("half", 1.0, 26.5948426952), ("whole", 2.0, 49.719461034881775)):
        convention = "½ λ Σw²" if name == "half" else "λ Σw²"
        yield (
            msgspec.structs.replace(net, name=f"cs231n-two-layer-{name}", **_with(l2=l2)),
            {
                "title": f"Softmax with a penalty of λ = 1 in the convention {convention}",
                "source": "CS231n, assignment 1, two-layer net",
                "published": {"loss": loss},
                "erratum": None,
            },
        )


def _with(l2: float) -> Json:
    made = Case.from_dict({**_SMALL, "regularization": {"l2": l2}})
    return {"regularization": made.regularization}


_SMALL: Json = case("small", "", *NEURON)[1].to_dict()


def edge_cases() -> Iterator[tuple[str, Case]]:
    """Every edge case with its title."""
    deep = ([dense("tanh", digits(3, 2), [0.1, 0.2, -0.3]), dense("identity", digits(1, 3), [0.4])],
            [[0.5, -0.4], [0.9, 0.3]], [[0.2], [-0.6]])  # fmt: skip
    right = (
        [dense("identity", [[0.5, -0.25]], [0.25])],
        [[1.0, 2.0]],
        [[0.25]],
    )  # the output equals the target: no gradient
    norm = ([dense("identity", [[1.0]], [0.0])], [[0.75]], [[-3.25]])  # ∂L/∂w = 3, ∂L/∂b = 4: their norm is 5
    zeros = ([dense("identity", [[0.0, 0.0]], [0.5])], [[1.0, 2.0]], [[0.25]])
    tiny = ([dense("identity", digits(1, 2), [0.1])], [[1e-6, -3e-6]], [[0.1]])
    sgd, adam = {"kind": "sgd", "learning_rate": 0.1}, {"kind": "adam", "learning_rate": 0.1}
    for kind in ("rmsprop", "adagrad", "adam", "adamw"):
        title = f"{kind} where no gradient is: nothing moves" + (" but by decay" if kind == "adamw" else "")
        yield case(f"{kind}-no-gradient", title, *right, optimizer={"kind": kind, "learning_rate": 0.1}, steps=2)
        yield case(f"{kind}-defaults", f"{kind} with all of its defaults", *deep,
                   optimizer={"kind": kind, "learning_rate": 0.05}, steps=3)  # fmt: skip
    yield case("adam-eps-dominates", "Adam's ε is larger than the gradients", *tiny, optimizer={**adam, "eps": 0.01})
    yield case("momentum-first-step", "the first step of momentum is not dampened", *deep,
               optimizer={**sgd, "momentum": 0.9, "dampening": 0.5})  # fmt: skip
    yield case("momentum-of-nothing", "momentum where no gradient is", *right, optimizer={**sgd, "momentum": 0.9},
               steps=2)  # fmt: skip
    yield case("nesterov", "Nesterov's momentum looks ahead in its first step too", *deep,
               optimizer={**sgd, "momentum": 0.9, "nesterov": True}, steps=2)  # fmt: skip
    yield case("decay-of-zero-weights", "decay where weights are 0: the bias alone decays", *zeros,
               optimizer={**sgd, "weight_decay": 0.5}, steps=2)  # fmt: skip
    yield case("decay-alone", "decay where no gradient is", *right, optimizer={**sgd, "weight_decay": 0.5})
    yield case("l1-at-zero", "a weight of 0 under an l1 penalty: sign(0) = 0", *zeros,
               regularization={"l1": 0.5})  # fmt: skip
    yield case("penalty-on-biases", "a penalty on biases too", *deep, optimizer=sgd,
               regularization={"l1": 0.125, "l2": 0.5, "biases": True})  # fmt: skip
    yield case("clip-norm-at-limit", "a norm that is its limit exactly: PyTorch's 10⁻⁶ shortens it all the same", *norm,
               optimizer=sgd, clip={"kind": "norm", "limit": 5.0})  # fmt: skip
    yield case("clip-norm-inactive", "a norm below its limit", *norm, optimizer=sgd,
               clip={"kind": "norm", "limit": 5.5})  # fmt: skip
    yield case("clip-norm-of-nothing", "a norm of 0", *right, optimizer=sgd, clip={"kind": "norm", "limit": 1.0})
    yield case("clip-value-at-limit", "a gradient that is its limit exactly", *norm, optimizer=sgd,
               clip={"kind": "value", "limit": 3.0})  # fmt: skip
    yield case("clip-before-decay", "decay is added to what is clipped already", *norm,
               optimizer={**sgd, "weight_decay": 0.5}, clip={"kind": "value", "limit": 1.0})  # fmt: skip
    yield case("schedule-with-a-pause", "a schedule that stands still for one step, and momentum that does not", *deep,
               optimizer={**sgd, "learning_rate": [0.1, 0.0, 0.05], "momentum": 0.9}, steps=3)  # fmt: skip
    yield case("steps-8-adam", "eight steps of Adam", *deep, optimizer=adam, steps=8)


def layer_cases() -> Iterator[tuple[str, Case]]:
    """Layers beyond the dense chain: an optimizer treats every array of parameters alike."""
    adam, sgd = {"kind": "adam", "learning_rate": 0.1, "eps": 0.01}, {"kind": "sgd", "learning_rate": 0.1}
    image = [[[0.5, -0.2, 0.1], [0.9, 0.3, -0.6], [-0.4, 0.7, 0.8]]]
    kernel = {"weight": [[[[0.4, -0.3], [0.2, 0.6]]]], "bias": [0.1]}
    end = {"kind": "dense", "units": 1, "activation": "identity",
           "parameters": {"weights": [[0.5, -0.8, 0.3, 0.7]], "biases": [-0.2]}}  # fmt: skip
    convolving = {
        "network": {
            "inputs": [1, 3, 3],
            "layers": [
                {
                    "kind": "conv2d",
                    "out_channels": 1,
                    "kernel_size": [2, 2],
                    "activation": "tanh",
                    "parameters": kernel,
                },
                end,
            ],
        },
        "inputs": [image],
        "targets": [[0.6]],
    }
    yield _layers("layers-cnn-adam", "a convolution's kernel by Adam", convolving, optimizer=adam, steps=3)
    yield _layers("layers-clip-norm", "one norm over kernel, weights and biases", convolving, optimizer=sgd,
                  clip={"kind": "norm", "limit": 0.2})  # fmt: skip
    square = {"kind": "dense", "units": 2, "activation": "tanh"}
    own = {"parameters": {"weights": digits(2, 2), "biases": [0.1, -0.2]}}
    tied = {
        "network": {"inputs": 2, "layers": [{**square, **own}, {**square, **own, "shares": "hidden1"}]},
        "inputs": [[0.5, -0.4], [0.9, 0.3]],
        "targets": [[0.2, -0.1], [-0.6, 0.4]],
    }
    yield _layers("layers-shared-momentum", "a shared weight moves once, and has one velocity", tied,
                  optimizer={**sgd, "momentum": 0.9}, steps=3)  # fmt: skip
    yield _layers("layers-shared-penalty", "a shared weight is penalized once", tied, optimizer=sgd,
                  regularization={"l1": 0.125, "l2": 0.5, "biases": True})  # fmt: skip
    recurring = {
        "network": {
            "inputs": [2, 1],
            "layers": [
                {
                    "kind": "rnn", "hidden_size": 1,
                    "parameters": {"weight_ih_l0": [[0.7]], "weight_hh_l0": [[-0.4]], "bias_ih_l0": [0.1],
                                   "bias_hh_l0": [0.2], "h0": [[0.5]]},
                },
            ],
        },
        "inputs": [[[0.3], [-0.8]]],
        "targets": [[[0.4], [-0.1]]],
    }  # fmt: skip
    yield _layers("layers-initial-states", "initial states move, and no penalty is on them", recurring, optimizer=adam,
                  steps=2, regularization={"l2": 0.5, "biases": True})  # fmt: skip


def _layers(name: str, title: str, of: Json, **training: Any) -> tuple[str, Case]:
    body = {"name": name, "loss": {"kind": "half_squared_error"}, "reduction": "mean", **of, "steps": 1, **training}
    return title, Case.from_dict(body)


def files() -> Iterator[tuple[Case, Json]]:
    """Every case with the other fields of its file."""
    yield from worked_examples()
    yield from ((one, {"title": title}) for title, one in (*edge_cases(), *layer_cases()))


def main() -> None:
    """Write them all."""
    write("training", files())


if __name__ == "__main__":
    main()

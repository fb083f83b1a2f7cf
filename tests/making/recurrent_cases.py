"""Write ``cases/recurrent``: published and hand-worked examples of recurrence, and its edge cases.

``python tests/making/recurrent_cases.py`` rewrites every file; ``tests/levels/test_recurrent.py`` checks that they
are up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from case_writing import write
from edge_cases import dense, digits

from backprop_check.case.network import Case
from backprop_check.kinds import KINDS
from backprop_check.kinds.kind import nested, size

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]

BOTH, ONE = ("bias_ih", "bias_hh"), ("bias_ih",)


def numbers(shape: tuple[int, ...], start: int, scale: float = 1.0) -> Any:
    """An array of numbers from −0.5 to 0.5 with two digits, none of them 0, neighbours different."""
    (row,) = digits(1, size(shape), start)
    return nested([round(x * scale, 3) for x in row], shape)


def layer(
    kind: str, hidden: int, features: int, has: tuple[str, ...] = BOTH, start: int = 1, scale: float = 1.0, **more: Any
) -> Json:
    """A recurrent layer with such numbers as its parameters; ``has`` names the optional parameters that it has."""
    spec: Json = {"kind": kind, "hidden_size": hidden, **more}
    given = spec.pop("parameters", {})
    unset: Json = dict.fromkeys(has)
    made_of: Any = msgspec.convert(spec | {"parameters": unset}, KINDS[kind])
    shapes = made_of.parameter_shapes((1, features))
    made = {name: numbers(shape, start + 29 * at, scale) for at, (name, shape) in enumerate(shapes.items())}
    return spec | {"parameters": made | given}


def case(name: str, title: str, layers: list[Json], inputs: Any, targets: Any, **more: Any) -> tuple[Json, Case]:
    """The fields that describe a case, and the case; ½ squared error and the mean unless given."""
    about: Json = {"title": title}
    about |= {key: more.pop(key) for key in ("source", "published") if key in more}
    whole = {
        "name": name,
        "network": {"inputs": [len(inputs[0]), len(inputs[0][0])], "layers": layers},
        "loss": {"kind": "half_squared_error"},
        "reduction": more.pop("reduction", "mean"),
        "inputs": inputs,
        "targets": targets,
        **more,
    }
    return about, Case.from_dict(whole)


def sgd(rate: float) -> Json:
    return {"kind": "sgd", "learning_rate": rate}


def evenly(first: float, last: float, count: int) -> list[float]:
    """Numpy's ``linspace``."""
    step = (last - first) / (count - 1)
    return [first + step * i for i in range(count - 1)] + [last]


def turned(flat: list[float], rows: int, columns: int, order: list[int]) -> list[list[float]]:
    """A [rows, columns] table, given row by row, transposed, with its four blocks in another order."""
    block = columns // 4
    return [[flat[row * columns + b * block + j] for row in range(rows)] for b in order for j in range(block)]


def published() -> Iterator[tuple[Json, Case]]:
    """The digits that a source prints, or that were computed by hand."""
    # CS231n's gates are i, f, o, g, and it computes x W, not W x. This is the first of 3 samples.
    order = [0, 1, 3, 2]
    yield case(
        "cs231n-lstm-step",
        "One step of an LSTM, from a given state",
        [{"kind": "lstm", "hidden_size": 5, "parameters": {
            "weight_ih_l0": turned(evenly(-2.1, 1.3, 80), 4, 20, order),
            "weight_hh_l0": turned(evenly(-0.7, 2.2, 100), 5, 20, order),
            "bias_ih_l0": [each for (each,) in turned(evenly(0.3, 0.7, 20), 1, 20, order)],
            "h0": [evenly(-0.3, 0.7, 15)[:5]],
            "c0": [evenly(-0.4, 0.9, 15)[:5]],
        }}],
        [[evenly(-0.4, 1.2, 12)[:4]]], [[[0.0] * 5]],
        source="CS231n, assignment 3, lstm_step_forward: next_h, sample 1 of 3",
        published={"layers[0].a": [[[0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904]]]},
    )  # fmt: skip
    yield case(
        "gomez-lstm",
        "Two steps of an LSTM of one unit, forward, backward and the update",
        [{"kind": "lstm", "hidden_size": 1, "parameters": {
            "weight_ih_l0": [[0.95, 0.8], [0.7, 0.45], [0.45, 0.25], [0.6, 0.4]],
            "weight_hh_l0": [[0.8], [0.1], [0.15], [0.25]],
            "bias_ih_l0": [0.65, 0.15, 0.2, 0.1],
        }}],
        [[[1.0, 2.0], [0.5, 3.0]]], [[[0.5], [1.25]]], optimizer=sgd(0.1),
        source="Gomez, Backpropogating an LSTM: A Numerical Example",
        published={
            "layers[0].a": [[[0.5363133979], [0.7719811058]]],
            "layers[0].updated.weight_ih_l0": [
                [0.95022037, 0.80066386], [0.70031533, 0.45189196], [0.45267162, 0.25922011], [0.60259241, 0.41626039],
            ],
            "layers[0].updated.weight_hh_l0": [[0.80005983], [0.10033823], [0.15103961], [0.25296999]],
            "layers[0].updated.bias_ih_l0": [0.65027615, 0.15063065, 0.20364084, 0.1053613],
        },
    )  # fmt: skip
    relu = {"kind": "rnn", "hidden_size": 1, "nonlinearity": "relu", "return_sequences": False, "parameters": {
        "weight_ih_l0": [[1.0]], "weight_hh_l0": [[2.0]], "bias_ih_l0": [0.0],
    }}  # fmt: skip
    yield case(
        "hand-rnn", "h = x + 2 h: every gradient can be worked out in the head", [relu],
        [[[1.0], [2.0], [3.0]]], [[10.0]],
        source="worked by hand: h = 1, 4, 11; δ = 1, 2, 4 from the last step to the first; dW = 1·3 + 2·2 + 4·1,"
        " dU = 1·4 + 2·1 + 4·0, db = 1 + 2 + 4, dx = δ",
        published={
            "loss": 0.5,
            "layers[0].z": [[[1.0], [4.0], [11.0]]],
            "layers[0].a": [[11.0]],
            "layers[0].delta": [[[4.0], [2.0], [1.0]]],
            "layers[0].gradients.weight_ih_l0": [[11.0]],
            "layers[0].gradients.weight_hh_l0": [[6.0]],
            "layers[0].gradients.bias_ih_l0": [7.0],
            "input_gradients": [[[4.0], [2.0], [1.0]]],
        },
    )  # fmt: skip
    yield case(
        "hand-rnn-truncated", "the same with chunks of two steps: the third step is alone", [{**relu, "truncate": 2}],
        [[[1.0], [2.0], [3.0]]], [[10.0]],
        source="worked by hand: between the second and the third step nothing flows back",
        published={
            "layers[0].a": [[11.0]],
            "layers[0].delta": [[[0.0], [0.0], [1.0]]],
            "layers[0].gradients.weight_ih_l0": [[3.0]],
            "layers[0].gradients.weight_hh_l0": [[4.0]],
            "layers[0].gradients.bias_ih_l0": [1.0],
        },
    )  # fmt: skip


def sequence(steps: int, features: int, start: int = 11, samples: int = 1) -> Any:
    """Inputs with two digits."""
    return numbers((samples, steps, features), start, 2.0)


def edges() -> Iterator[tuple[Json, Case]]:
    """Networks at the limits of arithmetic or of the options, each with a title."""
    yield from kinds()
    yield from saturation()
    yield from lengths_and_cuts()
    yield from wholes()


def kinds() -> Iterator[tuple[Json, Case]]:
    for kind in ("rnn", "gru", "lstm"):
        yield case(f"{kind}-one-of-everything", f"{kind}: one step, one unit, one feature", [layer(kind, 1, 1)],
                   [[[0.5]]], [[[0.2]]], optimizer=sgd(0.1))  # fmt: skip
        yield case(f"{kind}-no-biases", f"{kind} without biases", [layer(kind, 2, 2, ())], sequence(3, 2),
                   numbers((1, 3, 2), 5))  # fmt: skip
        yield case(f"{kind}-zeros", f"{kind}: every weight and input is 0",
                   [layer(kind, 2, 2, scale=0.0)], [[[0.0, 0.0]] * 3], numbers((1, 3, 2), 5),
                   optimizer=sgd(0.1))  # fmt: skip
        given = (*BOTH, "h0", "c0") if kind == "lstm" else (*BOTH, "h0")
        yield case(f"{kind}-initial-states", f"{kind}: both directions begin at states that are parameters",
                   [layer(kind, 2, 2, given, bidirectional=True)], sequence(3, 2, samples=3),
                   numbers((3, 3, 4), 5), reduction="sum", optimizer=sgd(0.05))  # fmt: skip
        yield case(f"{kind}-ends-of-both-directions", f"{kind}: the last state of each direction",
                   [layer(kind, 2, 2, bidirectional=True, num_layers=2, return_sequences=False)], sequence(4, 2),
                   numbers((1, 4), 5))  # fmt: skip
    yield case("gru-reset-before", "a GRU with the reset before the product, from a given state",
               [layer("gru", 2, 2, (*BOTH, "h0"), reset_after=False)], sequence(3, 2),
               numbers((1, 3, 2), 5))  # fmt: skip
    yield case("lstm-peepholes", "peepholes in two layers, from given states",
               [layer("lstm", 2, 2, (*BOTH, "h0", "c0", "peephole"), num_layers=2)], sequence(3, 2, samples=2),
               numbers((2, 3, 2), 5))  # fmt: skip
    yield case("rnn-relu-kink", "a ReLU RNN exactly on its kink: z = 0, and its derivative there is 0",
               [layer("rnn", 2, 1, ONE, nonlinearity="relu", parameters={
                   "weight_ih_l0": [[1.0], [-1.0]], "weight_hh_l0": [[0.5, 0.0], [0.0, 0.5]], "bias_ih_l0": [-1.0, 1.0],
               })], [[[1.0], [2.0], [1.0]]], [[[0.5, 0.5]] * 3])  # fmt: skip
    yield case("rnn-relu-dead", "a ReLU RNN whose units never fire",
               [layer("rnn", 2, 2, nonlinearity="relu", parameters={"bias_ih_l0": [-9.0, -8.0]})], sequence(3, 2),
               numbers((1, 3, 2), 5))  # fmt: skip
    yield case("rnn-no-recurrence", "recurrent weights of 0: every step for itself",
               [layer("rnn", 2, 2, parameters={"weight_hh_l0": [[0.0, 0.0], [0.0, 0.0]]})], sequence(3, 2),
               numbers((1, 3, 2), 5))  # fmt: skip


def saturation() -> Iterator[tuple[Json, Case]]:
    def biases(gates: list[float]) -> Json:
        return {"bias_ih_l0": [bias for bias in gates for _ in range(2)]}

    for name, title, gates in (
        ("lstm-remembers", "f is 1 and i is 0: the cell stays what it was", [-40.0, 40.0, 0.5, 0.5]),
        ("lstm-forgets", "f is 0: nothing comes from the step before but through h", [0.5, -40.0, 0.5, 0.5]),
        ("lstm-shows-nothing", "o is 0 to 17 digits: what flows back is as small", [0.5, 0.5, 0.5, -40.0]),
        ("lstm-saturated", "gates at z = 700 and −700, where e^z overflows", [700.0, -700.0, 700.0, 700.0]),
    ):
        yield case(name, title, [layer("lstm", 2, 2, (*ONE, "h0", "c0"), parameters=biases(gates))], sequence(4, 2),
                   numbers((1, 4, 2), 5))  # fmt: skip
    for name, title, gates in (
        ("gru-keeps", "z is 1: the state stays what it was", [0.5, 40.0, 0.5]),
        ("gru-replaces", "z is 0: the state is new at every step", [0.5, -40.0, 0.5]),
        ("gru-resets", "r is 0: the new state knows nothing of the old one", [-40.0, 0.5, 0.5]),
        ("gru-saturated", "gates at z = 700 and −700, where e^z overflows", [700.0, -700.0, 700.0]),
    ):
        yield case(name, title, [layer("gru", 2, 2, (*ONE, "h0"), parameters=biases(gates))], sequence(4, 2),
                   numbers((1, 4, 2), 5))  # fmt: skip
    yield case("lstm-cell-large", "a cell that counts up, where tanh is flat",
               [layer("lstm", 1, 1, ONE, parameters={"bias_ih_l0": [9.0, 9.0, 9.0, 1.0]})], [[[0.5]] * 12],
               [[[0.5]] * 12])  # fmt: skip
    yield case("rnn-vanishing", "forty steps through a weight of 0.3: the first step's δ is as good as 0",
               [layer("rnn", 1, 1, ONE, return_sequences=False, parameters={"weight_hh_l0": [[0.3]]})],
               [[[0.5]] * 40], [[0.5]])  # fmt: skip
    yield case("rnn-exploding", "thirty steps of a ReLU through a weight of 1.5",
               [layer("rnn", 1, 1, ONE, return_sequences=False, nonlinearity="relu", parameters={
                   "weight_ih_l0": [[0.01]], "weight_hh_l0": [[1.5]], "bias_ih_l0": [0.0],
               })], [[[0.5]] * 30], [[0.5]])  # fmt: skip


def lengths_and_cuts() -> Iterator[tuple[Json, Case]]:
    many, targets = sequence(4, 2, samples=3), numbers((3, 4, 2), 5)
    both = numbers((3, 4, 4), 5)
    yield case("lengths-all-full", "lengths, and every sample has all the steps",
               [layer("gru", 2, 2, lengths=[4, 4, 4])],
               many, targets)  # fmt: skip
    yield case(
        "lengths-of-one", "every sample has one step only", [layer("lstm", 2, 2, lengths=[1, 1, 1])], many, targets
    )
    yield case("lengths-unequal-both-directions", "the reverse direction begins at each sample's own last step",
               [layer("lstm", 2, 2, (*BOTH, "h0", "c0"), bidirectional=True, num_layers=2, lengths=[1, 4, 2])], many,
               both)  # fmt: skip
    yield case("lengths-last-states", "each sample's own last state",
               [layer("gru", 2, 2, (*BOTH, "h0"), bidirectional=True, return_sequences=False, lengths=[3, 1, 4])], many,
               numbers((3, 4), 5))  # fmt: skip
    yield case("lengths-large-padding", "what stands behind the end is large, and does not matter",
               [layer("rnn", 2, 2, lengths=[2])], [[[0.5, -0.4], [0.3, 0.2], [900.0, -800.0], [700.0, 900.0]]],
               [targets[0]])  # fmt: skip
    for k in (1, 2, 3, 4, 9):
        yield case(f"truncate-{k}", f"five steps in chunks of {k}",
                   [layer("lstm", 2, 2, (*BOTH, "h0", "c0"), truncate=k)], sequence(5, 2),
                   numbers((1, 5, 2), 5))  # fmt: skip
    yield case("truncate-both-directions", "chunks are counted from step 0 in both directions",
               [layer("gru", 2, 2, (*BOTH, "h0"), truncate=2, bidirectional=True, num_layers=2)], sequence(5, 2),
               numbers((1, 5, 4), 5))  # fmt: skip
    yield case("truncate-with-lengths", "a sample is not cut behind its end, nor before its beginning",
               [layer("lstm", 2, 2, (*BOTH, "h0", "c0"), truncate=2, bidirectional=True, return_sequences=False,
                      lengths=[1, 4, 2])], many, numbers((3, 4), 5))  # fmt: skip


def wholes() -> Iterator[tuple[Json, Case]]:
    tail = dense("softmax", digits(3, 3, 7), [0.1, -0.2, 0.3])
    yield case("sequence-to-class", "an RNN under an LSTM under a softmax: a sequence to one class",
               [layer("rnn", 3, 2, bidirectional=True), layer("lstm", 3, 6, start=5, return_sequences=False), tail],
               sequence(4, 2, samples=2), [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], loss={"kind": "cross_entropy"},
               optimizer=sgd(0.1))  # fmt: skip
    yield case("three-layers", "three layers on top of each other", [layer("gru", 2, 3, num_layers=3)], sequence(3, 3),
               numbers((1, 3, 2), 5))  # fmt: skip
    yield case("batch-16", "a batch of sixteen", [layer("lstm", 2, 2, return_sequences=False)],
               sequence(3, 2, samples=16), numbers((16, 2), 5))  # fmt: skip
    yield case("wide-16", "sixteen units", [layer("gru", 16, 2, scale=0.5)], sequence(3, 2), numbers((1, 3, 16), 5))
    around = [{**layer("rnn", 2, 2), "name": "low"}, {**layer("rnn", 2, 2, start=9), "name": "high"},
              {**layer("gru", 2, 2, start=4), "name": "top", "from": ["low", "high"], "combine": "add"}]  # fmt: skip
    yield case("way-around", "a layer that reads a sequence and what another layer made of it", around, sequence(3, 2),
               numbers((1, 3, 2), 5))  # fmt: skip
    yield case("steps-8", "eight training steps", [layer("lstm", 2, 2)], sequence(3, 2), numbers((1, 3, 2), 5),
               optimizer=sgd(0.1), steps=8)  # fmt: skip


def files() -> Iterator[tuple[Json, Case]]:
    """Every case with the other fields of its file."""
    yield from published()
    yield from edges()


def main() -> None:
    """Write them all."""
    write("recurrent", ((one, about) for about, one in files()))


if __name__ == "__main__":
    main()

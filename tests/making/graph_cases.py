"""Write ``cases/graph``: published examples of graphs, number by number, and the edge cases of wiring.

``python tests/making/graph_cases.py`` rewrites every file; ``tests/levels/test_graph.py`` checks that they are up to
date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from case_writing import write
from edge_cases import dense, digits

from backprop_check.case.network import Case

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


def node(name: str, read: str, activation: str = "identity", combine: str = "", **more: Any) -> Json:
    """A neuron that adds, multiplies or passes on its sources: weight 1 and no bias unless given."""
    sources = read.split()
    count = len(sources) if combine == "concat" else 1
    layer = dense(activation, more.pop("weights", [[1.0] * count]), more.pop("biases", None), name=name, **more)
    return layer | {"from": sources} | ({"combine": combine} if len(sources) > 1 else {})


def inputs_of(names: str) -> list[Json]:
    """A neuron for each input, so that its δ is the derivative with respect to that input."""
    each = names.split()
    rows = [[1.0 if i == j else 0.0 for i in range(len(each))] for j in range(len(each))]
    return [node(name, "input", weights=[row]) for name, row in zip(each, rows, strict=True)]


def wired(name: str, layer: Json, read: str = "", combine: str = "", shares: str = "") -> Json:
    """A layer with a name, and with sources."""
    more: Json = {"from": read.split()} if read else {}
    more |= {"combine": combine} if combine else {}
    more |= {"shares": shares} if shares else {}
    return {**layer, "name": name, **more}


def case(
    name: str, title: str, layers: list[Json], inputs: list[list[float]], targets: list[list[float]], **more: Any
) -> tuple[Json, Case]:
    """The fields that describe a case, and the case; ½ squared error and the mean unless given."""
    about: Json = {"title": title, **{key: more.pop(key) for key in ("source", "published") if key in more}}
    whole = {
        "name": name,
        "network": {"inputs": len(inputs[0]), "layers": layers},
        "loss": {"kind": more.pop("loss", "half_squared_error")},
        "reduction": more.pop("reduction", "mean"),
        "inputs": inputs,
        "targets": targets,
        **more,
    }
    return about, Case.from_dict(whole)


def published() -> Iterator[tuple[Json, Case]]:
    """The loss is ½ (f − t)² with t = f − 1, so that ∂L/∂f is 1 and every δ is ∂f/∂z."""
    yield case(
        "ng-computation-graph", "J = 3(a + bc) at a = 5, b = 3, c = 2",
        [*inputs_of("a b c"), node("u", "b c", combine="multiply"), node("v", "a u", combine="add"),
         node("j", "v", weights=[[3.0]])],
        [[5.0, 3.0, 2.0]], [[32.0]],
        source="Ng, Neural Networks and Deep Learning, computation graph",
        published={
            "layers[3].z": [[6.0]], "layers[4].z": [[11.0]], "layers[5].z": [[33.0]],
            "layers[4].delta": [[3.0]], "layers[3].delta": [[3.0]],
            "layers[0].delta": [[3.0]], "layers[1].delta": [[6.0]], "layers[2].delta": [[9.0]],
            "input_gradients": [[3.0, 6.0, 9.0]],
        },
    )  # fmt: skip
    yield case(
        "cs231n-sum-times", "f = (x + y) z at x = −2, y = 5, z = −4",
        [*inputs_of("x y z"), node("q", "x y", combine="add"), node("f", "q z", combine="multiply")],
        [[-2.0, 5.0, -4.0]], [[-13.0]],
        source="CS231n notes, optimization-2",
        published={
            "layers[3].a": [[3.0]], "layers[4].a": [[-12.0]], "layers[3].delta": [[-4.0]],
            "layers[0].delta": [[-4.0]], "layers[1].delta": [[-4.0]], "layers[2].delta": [[3.0]],
            "input_gradients": [[-4.0, -4.0, 3.0]],
        },
    )  # fmt: skip
    yield case(
        "cs231n-sigmoid-circuit", "σ(w₀x₀ + w₁x₁ + w₂), with the weights as inputs like the others",
        [*inputs_of("w0 x0 w1 x1 w2"), node("p0", "w0 x0", combine="multiply"), node("p1", "w1 x1", combine="multiply"),
         node("dot", "p0 p1 w2", combine="add"), node("f", "dot", "sigmoid")],
        [[2.0, -1.0, -3.0, -2.0, -3.0]], [[-0.2689414213699951]],
        source="CS231n notes, optimization-2",
        published={
            "layers[7].z": [[1.0]], "layers[8].a": [[0.7310585786300049]],
            "layers[0].delta": [[-0.19661193324148185]], "layers[1].delta": [[0.3932238664829637]],
            "layers[2].delta": [[-0.3932238664829637]], "layers[3].delta": [[-0.5898357997244456]],
            "layers[4].delta": [[0.19661193324148185]],
            "input_gradients": [[-0.19661193324148185, 0.3932238664829637, -0.3932238664829637, -0.5898357997244456,
                                 0.19661193324148185]],
        },
    )  # fmt: skip
    yield case(
        "hand-residual", "y = x + F(x), F(x) = 2x + 1: the gradient comes back by both ways, 1 + 2",
        [node("x", "input"), node("block", "x", weights=[[2.0]], biases=[1.0]), node("y", "x block", combine="add")],
        [[3.0]], [[9.0]],
        source="worked by hand: y = 3 + 7 = 10, ∂L/∂y = 1, ∂L/∂x = 1 + 2 = 3",
        published={
            "layers[1].a": [[7.0]], "layers[2].a": [[10.0]], "layers[2].delta": [[1.0]], "layers[1].delta": [[1.0]],
            "layers[0].delta": [[3.0]], "layers[1].gradients.weights": [[3.0]], "input_gradients": [[3.0]],
        },
    )  # fmt: skip
    tied = {"weights": [[0.5]], "biases": [0.25]}
    layer = {"kind": "dense", "units": 1, "activation": "identity", "parameters": tied}
    yield case(
        "hand-shared-twice", "y = w(wx + b) + b: two uses of one weight, whose gradients are added",
        [wired("first", layer), wired("second", layer, shares="first")],
        [[2.0]], [[-0.125]],
        source="worked by hand: z = 1.25, then 0.875, δ = 1, then 0.5; ∂L/∂w = 1 · 1.25 + 0.5 · 2, ∂L/∂b = 1 + 0.5",
        optimizer={"kind": "sgd", "learning_rate": 0.1},
        published={
            "layers[0].z": [[1.25]], "layers[1].z": [[0.875]], "layers[1].delta": [[1.0]], "layers[0].delta": [[0.5]],
            "layers[0].gradients.weights": [[2.25]], "layers[0].gradients.biases": [1.5],
            "layers[0].updated.weights": [[0.275]], "layers[0].updated.biases": [0.1],
        },
    )  # fmt: skip


def edges() -> Iterator[tuple[Json, Case]]:
    """Every edge case with its title."""
    yield from products()
    yield from readers()
    yield from shared()
    yield from sizes()
    yield from outputs()


X = [[0.5, -0.4], [0.9, 0.3]]
T = [[0.2, -0.6], [0.7, 0.1]]


def hidden(activation: str = "tanh", units: int = 2, inputs: int = 2, start: int = 1) -> Json:
    return dense(activation, digits(units, inputs, start), digits(1, units, start + 7)[0])


def products() -> Iterator[tuple[Json, Case]]:
    one = node("one", "input", weights=[[1.0, 0.0]])
    zero = node("zero", "input", weights=[[0.0, 1.0]])
    yield case("factor-zero", "a factor of 0: its gradient is the other factor, and nobody may divide by it",
               [one, zero, node("product", "one zero", combine="multiply")], [[0.75, 0.0]], [[0.5]])  # fmt: skip
    yield case("factors-both-zero", "two factors of 0, and a third: no gradient at all",
               [one, zero, node("product", "zero one zero", combine="multiply")], [[0.75, 0.0]], [[0.5]])  # fmt: skip
    yield case("square", "a layer times itself: each of the two factors gets its gradient",
               [wired("h", hidden()), wired("o", hidden("identity", start=9), "h h", "multiply")], X, T)  # fmt: skip
    yield case("cube", "a layer times itself, times itself",
               [wired("h", hidden()), wired("o", hidden("identity", start=9), "h h h", "multiply")], X, T)  # fmt: skip
    names = [wired(name, hidden(start=3 + 5 * k), "input") for k, name in enumerate("abcde")]
    yield case("five-factors", "a product of five layers",
               [*names, wired("o", hidden("identity", start=9), "a b c d e", "multiply")], X, T)  # fmt: skip
    shut = dense("sigmoid", [[0.0, 0.0], [0.0, 0.0]], [-40.0, 40.0])
    yield case("gate-shut", "a gate that is shut for one neuron and open for the other",
               [wired("gate", shut), wired("value", hidden(), "input"),
                wired("o", hidden("identity", start=9), "gate value", "multiply")], X, T)  # fmt: skip
    dead = dense("relu", [[0.5, 0.25], [0.75, -0.5]], [-4.0, -4.0])
    yield case("factor-dead", "a factor of dead ReLUs: nothing comes back to the other one",
               [wired("dead", dead), wired("value", hidden(), "input"),
                wired("o", hidden("identity", start=9), "dead value", "multiply")], X, T)  # fmt: skip


def readers() -> Iterator[tuple[Json, Case]]:
    yield case("twice-added", "a layer added to itself: its gradient comes twice",
               [wired("h", hidden()), wired("o", hidden("identity", start=9), "h h", "add")], X, T)  # fmt: skip
    yield case("twice-joined", "a layer beside itself",
               [wired("h", hidden()), wired("o", hidden("identity", 2, 4, 9), "h h", "concat")], X, T)  # fmt: skip
    yield case("read-by-none", "a layer that nobody reads: its gradients are 0",
               [wired("h", hidden()), wired("dead-end", hidden(start=5), "h"),
                wired("o", hidden("identity", start=9), "h")], X, T,
               optimizer={"kind": "sgd", "learning_rate": 0.5})  # fmt: skip
    yield case("past-the-input", "the output reads the input alone: all else is read by none",
               [wired("h", hidden()), wired("o", hidden("identity", start=9), "input")], X, T)  # fmt: skip
    yield case("input-added", "the input itself is a summand", [
        wired("h", hidden()), wired("o", hidden("identity", start=9), "input h", "add")], X, T)  # fmt: skip
    yield case("input-everywhere", "the input is read by every layer",
               [wired("a", hidden()), wired("b", hidden(start=5), "input a", "multiply"),
                wired("o", hidden("identity", 2, 6, 9), "b input a", "concat")], X, T)  # fmt: skip
    yield case("order-of-parts", "parts of unlike lengths that do not stand in the order of their layers",
               [wired("a", hidden(units=1)), wired("b", hidden(units=3, inputs=1, start=5)),
                wired("o", hidden("identity", 2, 6, 9), "b input a", "concat")], X, T)  # fmt: skip
    five = [wired(name, hidden(start=3 + 5 * k), "a") for k, name in enumerate("bcdef")]
    yield case("read-by-five", "one output that five layers read",
               [wired("a", hidden()), *five, wired("o", hidden("identity", start=9), "b c d e f", "add")],
               X, T)  # fmt: skip
    kink = dense("relu", [[1.0, -1.0], [1.0, 1.0]], [0.0, -0.5])
    yield case("kink-on-two-ways", "z exactly 0 in a ReLU that two layers read: its slope there is 0",
               [wired("a", kink), wired("b", hidden(start=5), "a"),
                wired("o", hidden("identity", start=9), "a b", "add")], [[0.25, 0.25]], [[0.3, -0.2]])  # fmt: skip
    soft = [wired("a", hidden("softmax")), wired("b", hidden("log_softmax", start=5), "a"),
            wired("o", hidden("identity", start=9), "a b", "add")]  # fmt: skip
    yield case("softmax-inside", "softmax and its logarithm as hidden layers, added", soft, X, T)
    xor = [
        node("or", "input", "sigmoid", weights=[[6.0, 6.0]], biases=[-3.0]),
        node("and", "input", "sigmoid", weights=[[4.0, 4.0]], biases=[-6.0]),
        node("out", "or and input", "sigmoid", "concat", weights=[[5.0, -8.0, 0.5, 0.5]], biases=[-2.0]),
    ]
    yield case("neat-xor", "single neurons as evolution wires them: XOR, with connections past the hidden ones", xor,
               [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0], [1.0], [1.0], [0.0]],
               loss="binary_cross_entropy", optimizer={"kind": "sgd", "learning_rate": 1.0}, steps=2)  # fmt: skip


def shared() -> Iterator[tuple[Json, Case]]:
    first = wired("h", hidden())
    again = [wired(f"h{k}", hidden(), shares="h") for k in range(2, 6)]
    yield case("shared-five-times", "one layer used five times in a row, as in time",
               [first, *again, wired("o", hidden("identity", start=9))], X, T,
               optimizer={"kind": "sgd", "learning_rate": 0.25}, steps=3)  # fmt: skip
    yield case("shared-by-a-sharer", "a layer that shares with one that shares itself",
               [first, wired("b", hidden(), shares="h"), wired("c", hidden(), "h b", "add", shares="b"),
                wired("o", hidden("identity", start=9))], X, T,
               optimizer={"kind": "sgd", "learning_rate": 0.25})  # fmt: skip
    yield case("shared-beside", "twins: two layers with the same weights read different things",
               [first, wired("left", hidden("sigmoid", start=5), "h"),
                wired("right", hidden("sigmoid", start=5), "input", shares="left"),
                wired("o", hidden("identity", start=9), "left right", "multiply")], X, T)  # fmt: skip
    yield case("owner-read-by-none", "the layer that owns the weights is read by none, the one that shares them is",
               [first, wired("b", hidden("relu"), "input", shares="h"),
                wired("o", hidden("identity", start=9), "b")], X, T,
               optimizer={"kind": "sgd", "learning_rate": 0.25})  # fmt: skip
    other = {**hidden(), "activation": "softmax"}
    yield case("shared-with-another-activation", "shared weights, but another activation",
               [first, wired("b", other, "input", shares="h"),
                wired("o", hidden("identity", start=9), "h b", "add")], X, T)  # fmt: skip
    yield case("shared-by-the-output", "the output has the hidden layer's weights",
               [first, wired("o", {**hidden(), "activation": "identity"}, "h input", "add", shares="h")], X, T,
               reduction="sum", optimizer={"kind": "sgd", "learning_rate": 0.25}, steps=2)  # fmt: skip


def sizes() -> Iterator[tuple[Json, Case]]:
    blocks: list[Json] = [wired("x0", hidden(units=3))]
    for k in range(1, 9):
        blocks += [
            wired(f"f{k}", hidden(units=3, inputs=3, start=2 * k), f"x{k - 1}"),
            wired(f"x{k}", hidden("identity", 3, 3, 3 * k), f"f{k} x{k - 1}", "add"),
        ]
    yield case("residual-8", "eight blocks with a way around each",
               [*blocks, wired("o", hidden("identity", 2, 3, 9))], X, T)  # fmt: skip
    dense_net: list[Json] = []
    for k, name in enumerate("abcd"):
        read = ["input", *"abcd"[:k]]
        layer = hidden(units=2, inputs=2 + 2 * k, start=3 * k + 1)
        dense_net.append(wired(name, layer, " ".join(read), "concat" if k else ""))
    yield case("dense-net", "every layer reads all before it",
               [*dense_net, wired("o", hidden("identity", 2, 10, 9), "input a b c d", "concat")], X, T)  # fmt: skip
    yield case("one-neuron", "a single neuron that reads the input twice",
               [wired("o", hidden("sigmoid", 1, 2), "input input", "add")], X, [[0.4], [0.6]])  # fmt: skip
    many = [[(((s * 7 + i * 3) % 19) - 9) / 10 or 0.05 for i in range(2)] for s in range(32)]
    yield case("batch-32", "a graph over 32 samples, their sum",
               [wired("h", hidden()), wired("g", hidden(start=5), "h"),
                wired("o", hidden("identity", start=9), "g h input", "multiply")], many,
               [[round(a * b, 3), round(a - b, 2)] for a, b in many], reduction="sum")  # fmt: skip
    wide = [wired("h", hidden(units=40)), wired("g", hidden(units=40, inputs=40, start=3)),
            wired("o", hidden("identity", 2, 40, 9), "g h", "add")]  # fmt: skip
    yield case("wide-40", "forty neurons with a way around them", wide, X[:1], T[:1])


def outputs() -> Iterator[tuple[Json, Case]]:
    certain = dense("softmax", [[30.0, 0.0], [0.0, 30.0]])
    yield case("certain-softmax", "probabilities of 1 and of 10⁻¹³, behind a sum",
               [wired("h", dense("identity", [[1.0, 0.0], [0.0, 1.0]])), wired("o", certain, "h input", "add")],
               [[0.5, 0.0]], [[0.0, 1.0]], loss="cross_entropy")  # fmt: skip
    yield case("certain-sigmoid", "a sigmoid at z = 40 with the target 0, behind a product",
               [wired("h", dense("identity", [[1.0, 0.0], [0.0, 1.0]])),
                wired("o", dense("sigmoid", [[40.0, 0.0]]), "h input", "multiply")],
               [[1.0, 0.5]], [[0.0]], loss="binary_cross_entropy")  # fmt: skip
    yield case("names-of-their-own", "layers without a name go by hidden1, hidden2 and output",
               [hidden(), {**hidden(start=5), "from": ["input"]},
                {**hidden("identity", start=9), "from": ["hidden1", "hidden2"], "combine": "add"}], X, T)  # fmt: skip


def files() -> Iterator[tuple[Json, Case]]:
    """Every case with the other fields of its file."""
    yield from published()
    yield from edges()


def main() -> None:
    """Write them all."""
    write("graph", ((one, about) for about, one in files()))


if __name__ == "__main__":
    main()

"""Networks of dense layers in any wiring, in an independent implementation: with matrices, with mistakes to switch on.

It shares nothing with the reference or the ports. ``backprop(case)`` is correct; ``backprop(case, mistake)`` makes the
mistake of that name, as somebody would write it. The samples are the rows of every matrix.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any  # numpy's, of either type
    Json = dict[str, Any]


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _softplus(z: Array) -> Array:
    return np.logaddexp(0.0, z)


@np.vectorize
def _erfc(x: float) -> float:
    import math  # noqa: PLC0415

    return math.erfc(x)


def _density(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


#: value(z, alpha) and derivative(z, a, alpha) of every activation but the softmaxes.
FUNCTIONS: dict[str, tuple[Callable[[Array, float], Array], Callable[[Array, Array, float], Array]]] = {
    "identity": (lambda z, _: z, lambda z, _a, _: np.ones_like(z)),
    "sigmoid": (lambda z, _: _sigmoid(z), lambda _z, a, _: a * (1 - a)),
    "tanh": (lambda z, _: np.tanh(z), lambda _z, a, _: 1 - a * a),
    "relu": (lambda z, _: np.maximum(z, 0), lambda z, _a, _: (z > 0) * 1.0),
    "leaky_relu": (lambda z, s: np.where(z > 0, z, s * z), lambda z, _a, s: np.where(z > 0, 1.0, s)),
    "elu": (
        lambda z, s: np.where(z > 0, z, s * np.expm1(np.minimum(z, 0))),
        lambda z, _a, s: np.where(z > 0, 1.0, s * np.exp(np.minimum(z, 0))),
    ),
    "softplus": (lambda z, _: _softplus(z), lambda z, _a, _: _sigmoid(z)),
    "softsign": (lambda z, _: z / (1 + abs(z)), lambda z, _a, _: 1 / (1 + abs(z)) ** 2),
    "silu": (lambda z, _: z * _sigmoid(z), lambda z, _a, _: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "gelu": (
        lambda z, _: (0.5 * z * _erfc(-z / np.sqrt(2))).astype(z.dtype),
        lambda z, _a, _: (0.5 * _erfc(-z / np.sqrt(2)) + z * _density(z)).astype(z.dtype),
    ),
    "hard_tanh": (lambda z, _: np.clip(z, -1, 1), lambda z, _a, _: (abs(z) < 1) * 1.0),
}

DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


def _loss(kind: Json, a: Array, t: Array) -> tuple[Array, Array]:
    """The loss of each sample, and its derivative."""
    e, n = a - t, a.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        match kind["kind"]:
            case "half_squared_error":
                return 0.5 * (e * e).sum(1), e
            case "squared_error":
                return (e * e).sum(1), 2 * e
            case "mean_squared_error":
                return (e * e).mean(1), 2 * e / n
            case "mean_absolute_error":
                return abs(e).mean(1), np.sign(e) / n
            case "huber":
                d = kind["threshold"]
                small = abs(e) <= d
                return np.where(small, 0.5 * e * e, d * (abs(e) - 0.5 * d)).mean(1), np.clip(e, -d, d) / n
            case "binary_cross_entropy":
                terms = np.where(t == 0, 0, t * np.log(a)) + np.where(t == 1, 0, (1 - t) * np.log(1 - a))
                slopes = np.where(t == 1, 0, (1 - t) / (1 - a)) - np.where(t == 0, 0, t / a)
                return -terms.sum(1), slopes
            case "cross_entropy":
                return -np.where(t == 0, 0, t * np.log(a)).sum(1), np.where(t == 0, 0, -t / a)
            case "negative_log_likelihood":
                return -(t * a).sum(1), -t
            case _:
                return np.maximum(0, 1 - t * a).sum(1), np.where(1 - t * a > 0, -t, 0.0)


class Node:
    """A layer: its sources, and the values of the pass that it keeps."""

    def __init__(self, layer: Json, parents: list[str]) -> None:
        self.layer, self.parents = layer, parents
        self.children: list[str] = []
        self.activation = layer["activation"]
        alpha = layer.get("alpha")
        self.alpha = DEFAULT_ALPHA.get(self.activation, 0.0) if alpha is None else alpha
        self.read: list[Array] = []
        self.x = self.z = self.a = self.delta = self.error = np.empty(0)


class Net:
    """One pass. Backward, a node is visited once all its readers have been."""

    def __init__(self, case: Json, weights: dict[str, Array], biases: dict[str, Array], mistake: str) -> None:
        self.case, self.weights, self.biases, self.mistake = case, weights, biases, mistake
        layers = case["network"]["layers"]
        self.names = names_of(layers)
        self.nodes: dict[str, Node] = {}
        dtype = next(iter(weights.values())).dtype
        self.inputs = np.array(case["inputs"], dtype=dtype)
        self.targets = np.array(case["targets"], dtype=dtype)
        self.input_error = np.zeros_like(self.inputs)
        before = "input"
        for name, layer in zip(self.names, layers, strict=True):
            self.nodes[name] = Node(layer, layer.get("from") or [before])
            before = name
        for name, node in self.nodes.items():
            for parent in node.parents:
                if parent != "input":
                    self.nodes[parent].children.append(name)

    def order(self, parents: list[str]) -> list[int]:
        """The indices of a node's sources, in the order of their layers."""
        known = ["input", *self.names]
        return sorted(range(len(parents)), key=lambda place: known.index(parents[place]))

    def key(self, name: str) -> str:
        """The name of the layer whose parameters a layer uses."""
        owner = self.nodes[name].layer.get("shares")
        return self.key(owner) if owner else name

    # Forward ------------------------------------------------------------------------------------

    def forward(self) -> None:
        for name, node in self.nodes.items():
            node.read = [self.inputs if parent == "input" else self.nodes[parent].a for parent in node.parents]
            node.x = self.combined(node)
            w, b = self.weights[self.key(name)], self.biases[self.key(name)]
            node.z = node.x @ w.T if self.mistake == "bias missing" else node.x @ w.T + b
            node.a = self.activated(node, last=name == self.names[-1])

    def combined(self, node: Node) -> Array:
        read = node.read
        if len(read) == 1:
            return read[0]
        how = node.layer["combine"]
        if how == "add":
            if self.mistake.startswith("skip not added forwards"):
                return read[self.order(node.parents)[-1]]
            return functools.reduce(np.add, read)
        if how == "multiply":
            return functools.reduce(np.multiply, read)
        if self.mistake.startswith("concat in the layers' order"):
            return np.concatenate([read[place] for place in self.order(node.parents)], 1)
        return np.concatenate(read, 1)

    def activated(self, node: Node, *, last: bool) -> Array:
        name, z = node.activation, node.z
        if self.mistake == ("no activation at the output" if last else "no activation in hidden layers"):
            return z
        if "softmax" in name:
            shifted = z - z.max(1, keepdims=True)
            logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
            return logs if name == "log_softmax" else np.exp(logs)
        return FUNCTIONS[name][0](z, node.alpha)

    def loss(self) -> tuple[float, Array]:
        output = self.nodes[self.names[-1]]
        t = self.targets
        losses, slopes = _loss(self.case["loss"], output.a, t)
        mean = self.case["reduction"] == "mean"
        total = losses.mean() if mean else losses.sum()
        divided = {"sum for mean": False, "mean for sum": True}.get(self.mistake, mean)
        return float(total), slopes / len(t) if divided else slopes

    # Backward -----------------------------------------------------------------------------------

    def backward(self, slopes: Array) -> None:
        output = self.nodes[self.names[-1]]
        output.error = -slopes if self.mistake == "t − a" else slopes
        self.weight_gradients = {name: np.zeros_like(w) for name, w in self.weights.items()}
        self.bias_gradients = {name: np.zeros_like(b) for name, b in self.biases.items()}
        for name, node in self.nodes.items():
            if name != self.names[-1]:
                node.error = np.zeros_like(node.a)
        for name in reversed(self.names):
            self.visit(name)

    def visit(self, name: str) -> None:
        node = self.nodes[name]
        error = node.error
        if self.mistake == "errors divided by what is read":
            error = error / len(node.parents)
        if self.mistake == "hidden errors doubled" and name != self.names[-1]:
            error = 2 * error
        if self.mistake == "visited once a reader" and len(node.children) > 1:
            error = len(node.children) * error
        node.delta = self.through_activation(node, error, last=name == self.names[-1])
        w_gradient, b_gradient = node.delta.T @ node.x, node.delta.sum(0)
        if self.mistake == "gradients negated":
            w_gradient, b_gradient = -w_gradient, -b_gradient
        if self.mistake == "no bias gradient":
            b_gradient = np.zeros_like(b_gradient)
        key = self.key(name)
        if self.mistake == "shared overwritten":
            self.weight_gradients[key], self.bias_gradients[key] = w_gradient, b_gradient
        elif self.mistake == "shared: the last use only":
            users = [other for other in self.names if self.key(other) == key]
            if users[-1] == name:
                self.weight_gradients[key], self.bias_gradients[key] = w_gradient, b_gradient
        elif self.mistake == "shared averaged":
            users = [other for other in self.names if self.key(other) == key]
            self.weight_gradients[key] += w_gradient / len(users)
            self.bias_gradients[key] += b_gradient / len(users)
        else:
            self.weight_gradients[key] += w_gradient
            self.bias_gradients[key] += b_gradient
        w = self.weights[key]
        back = node.delta @ w
        if self.mistake == "last neuron only":
            back = node.delta[:, -1:] * w[-1:, :]
        for place, share in enumerate(self.shares(node, back)):
            self.send(name, node.parents[place], share)

    def through_activation(self, node: Node, error: Array, *, last: bool) -> Array:
        name, z, a = node.activation, node.z, node.a
        mistake = self.mistake
        if mistake == ("no slope at the output" if last else "no slope in hidden layers"):
            return error
        if mistake == ("no activation at the output" if last else "no activation in hidden layers"):
            return error
        if name == "softmax":
            return a * (error - (error * a).sum(1, keepdims=True))
        if name == "log_softmax":
            return error - np.exp(a) * error.sum(1, keepdims=True)
        value, slope = FUNCTIONS[name]
        if mistake == "slope at a":
            return error * slope(a, value(a, node.alpha), node.alpha)
        if mistake == "slope fed z" and name in ("sigmoid", "tanh"):
            return error * slope(z, z, node.alpha)
        if mistake == "function for slope" or (mistake == "function for slope but of a line" and name != "identity"):
            return error * a
        if mistake == "tanh's slope without the square" and name == "tanh":
            return error * (1 - a)
        return error * slope(z, a, node.alpha)

    def shares(self, node: Node, back: Array) -> list[Array]:
        """The gradient that goes back to each of the node's sources."""
        read, mistake = node.read, self.mistake
        if len(read) == 1:
            return [back]
        how = node.layer["combine"]
        if how == "add":
            kept = {
                "skip gets nothing": self.order(node.parents)[-1],
                "skip not added forwards or backwards": self.order(node.parents)[-1],
                "block gets nothing": self.order(node.parents)[0],
                "the first summand only": 0,
                "the last summand only": len(read) - 1,
            }.get(mistake)
            return [back if kept in (None, place) else np.zeros_like(back) for place in range(len(read))]
        if how == "multiply":
            if mistake == "own factor":
                return [back * x for x in read]
            if mistake == "no factor":
                return [back for _ in read]
            return [
                back * functools.reduce(np.multiply, read[:place] + read[place + 1 :], np.ones_like(back))
                for place in range(len(read))
            ]
        order = list(range(len(read)))
        if mistake == "concat split in reverse":
            order.reverse()
        if mistake in ("concat in the layers' order", "concat split in the layers' order"):
            order = self.order(node.parents)
        found, start = [back] * len(read), 0
        for place in order:
            width = read[place].shape[1]
            found[place] = back[:, start : start + width]
            if mistake != "concat split from the start":
                start += width
        return found

    def send(self, child: str, parent: str, share: Array) -> None:
        """Add a gradient to the error of a source."""
        first = self.mistake == "readers overwrite"
        if parent == "input":
            self.input_error = share if first else self.input_error + share
            return
        node = self.nodes[parent]
        if self.mistake == "readers overwrite in the layers' order" and node.children[-1] != child:
            return
        overwrite = first or self.mistake == "readers overwrite in the layers' order"
        node.error = share if overwrite else node.error + share


def names_of(layers: list[Json]) -> list[str]:
    """Every layer's name: its own, or hidden1, hidden2, …, output."""
    last = len(layers) - 1
    return [layer.get("name") or ("output" if at == last else f"hidden{at + 1}") for at, layer in enumerate(layers)]


def backprop(case: Json, mistake: str = "", dtype: type = float) -> Json:
    """The reply to a case, with one mistake or none; ``dtype`` is the dtype of the computation."""
    layers = case["network"]["layers"]
    owners = [(name, layer) for name, layer in zip(names_of(layers), layers, strict=True) if not layer.get("shares")]
    weights: dict[str, Array] = {name: np.array(layer["parameters"]["weights"], dtype=dtype) for name, layer in owners}
    biases: dict[str, Array] = {name: np.array(layer["parameters"]["biases"], dtype=dtype) for name, layer in owners}
    reply: Json = {}
    steps: list[Json] = []
    for step in range(case["steps"] if case.get("optimizer") else 1):
        net = Net(case, weights, biases, mistake)
        net.forward()
        loss, slopes = net.loss()
        net.backward(slopes)
        if not step:
            reply = _first(case, net, loss)
        if case.get("optimizer"):
            rate = case["optimizer"]["learning_rate"]
            rate = rate[step] if isinstance(rate, list) else rate
            weights = {name: (w - rate * net.weight_gradients[name]).astype(dtype) for name, w in weights.items()}
            biases = {name: (b - rate * net.bias_gradients[name]).astype(dtype) for name, b in biases.items()}
            updated = [_arrays(name, weights, biases) for name in net.names]
            steps.append({"loss": loss, "layers": [{"updated": each} for each in updated]})
    for layer, each in zip(reply["layers"], steps[-1]["layers"] if steps else [], strict=False):
        layer["updated"] = each["updated"]
    if len(steps) > 1:
        reply["trajectory"] = steps
    return reply


def _first(case: Json, net: Net, loss: float) -> Json:
    return {
        "id": case["id"],
        "loss": loss,
        "layers": [
            {
                "z": node.z.tolist(),
                "a": node.a.tolist(),
                "delta": node.delta.tolist(),
                "gradients": _arrays(name, net.weight_gradients, net.bias_gradients),
            }
            for name, node in net.nodes.items()
        ],
        "input_gradients": net.input_error.tolist(),
    }


def _arrays(name: str, weights: dict[str, Array], biases: dict[str, Array]) -> Json:
    return {"weights": weights[name].tolist(), "biases": biases[name].tolist()} if name in weights else {}


#: Every mistake of the catalogue, with the code that it must be given.
MISTAKES = {
    "no slope at the output": "BP101",
    "no slope in hidden layers": "BP102",
    "slope at a": "BP103",
    "slope fed z": "BP104",
    "function for slope": "BP105",
    "function for slope but of a line": "BP105",
    "last neuron only": "BP108",
    "readers overwrite": "BP108",
    "readers overwrite in the layers' order": "BP108",
    "no bias gradient": "BP114",
    "hidden errors doubled": "BP117",
    "visited once a reader": "BP117",
    "t − a": "BP118",
    "gradients negated": "BP118",
    "shared overwritten": "BP125",
    "shared: the last use only": "BP125",
    "shared averaged": "BP125",
    "concat split in reverse": "BP126",
    "concat split from the start": "BP126",
    "concat split in the layers' order": "BP126",
    "concat in the layers' order": "BP126",
    "own factor": "BP127",
    "no factor": "BP127",
    "skip gets nothing": "BP913",
    "block gets nothing": "BP913",
    "the first summand only": "BP913",
    "the last summand only": "BP913",
    "skip not added forwards": "BP913",
    "skip not added forwards or backwards": "BP913",
    "bias missing": "BP201",
    "no activation at the output": "BP203",
    "no activation in hidden layers": "BP204",
    "sum for mean": "BP401",
    "mean for sum": "BP402",
}

#: Mistakes that the catalogue does not have.
UNNAMED = ("tanh's slope without the square", "errors divided by what is read")

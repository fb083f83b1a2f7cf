"""A port of another style: whole batches as matrices (lists of lists), layer by layer, no single neurons.

With ``--bug BP102`` (any of ``BUGS``) it makes that mistake, to show that a bug's name does not depend on how
a port is written.
"""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Matrix = list[list[float]]

BUGS = ("BP102", "BP104", "BP107", "BP114", "BP118", "BP201", "BP301", "BP401", "BP501", "BP601")

BUG = sys.argv[sys.argv.index("--bug") + 1] if "--bug" in sys.argv else ""


def product(a: Matrix, b: Matrix) -> Matrix:
    """The matrix product A B."""
    columns = transposed(b)
    return [[math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a]


def transposed(a: Matrix) -> Matrix:
    """Aᵀ."""
    return [list(column) for column in zip(*a, strict=True)]


def each(f: Any, *matrices: Matrix) -> Matrix:
    """f applied to the matrices, element by element."""
    return [[f(*numbers) for numbers in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def sigmoid(z: float) -> float:
    """σ(z) = ½ + ½ tanh(z/2), which never overflows."""
    return 0.5 * (1.0 + math.tanh(0.5 * z))


def softmax(row: list[float]) -> list[float]:
    """The softmax of one sample."""
    shifted = [math.exp(z - max(row)) for z in row]
    return [p / math.fsum(shifted) for p in shifted]


VALUES: dict[str, Callable[[float], float]] = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 else 0.0,
}
SLOPES: dict[str, Callable[[float, float], float]] = {
    "identity": lambda _z, _a: 1.0,
    "sigmoid": lambda z, a: z * (1 - z) if BUG == "BP104" else a * (1 - a),
    "tanh": lambda z, a: (1 - z) * (1 + z) if BUG == "BP104" else (1 - a) * (1 + a),
    "relu": lambda z, _a: float(z > 0),
}


def activated(kind: str, z: Matrix) -> Matrix:
    """The activations of a batch."""
    return [softmax(row) for row in z] if kind == "softmax" else each(VALUES[kind], z)


def through(kind: str, z: Matrix, a: Matrix, g: Matrix) -> Matrix:
    """∂L/∂z from ∂L/∂a."""
    if kind != "softmax":
        return each(lambda g_j, z_j, a_j: g_j * SLOPES[kind](z_j, a_j), g, z, a)
    if BUG == "BP601":
        return each(lambda g_j, a_j: g_j * a_j * (1 - a_j), g, a)
    means = [math.fsum(g_j * a_j for g_j, a_j in zip(g_s, a_s, strict=True)) for g_s, a_s in zip(g, a, strict=True)]
    return [
        [a_j * (g_j - mean) for g_j, a_j in zip(g_s, a_s, strict=True)]
        for g_s, a_s, mean in zip(g, a, means, strict=True)
    ]


def loss_of(kind: str, a: Matrix, t: Matrix) -> tuple[float, Matrix]:
    """The sum of the samples' losses, and its derivative with respect to a."""
    e = each(lambda x, y: x - y, a, t)
    width = len(a[0])
    if kind == "half_squared_error":
        factor = 2.0 if BUG == "BP301" else 1.0
        return 0.5 * math.fsum(x * x for row in e for x in row), each(lambda x: factor * x, e)
    if kind == "mean_squared_error":
        return math.fsum(x * x for row in e for x in row) / width, each(lambda x: 2 * x / width, e)
    return (
        -math.fsum(y * math.log(x) for x_s, y_s in zip(a, t, strict=True) for x, y in zip(x_s, y_s, strict=True) if y),
        each(lambda x, y: -y / x, a, t),
    )


def train(case: dict[str, Any], weights: list[Matrix], biases: list[list[float]], rate: float) -> dict[str, Any]:
    """One pass over the batch and one step of that learning rate; the reply's fields for the pass."""
    kinds = [layer["activation"] for layer in case["network"]["layers"]]
    x, zs, activations = case["inputs"], [], [case["inputs"]]
    for w, b, kind in zip(weights, biases, kinds, strict=True):
        z = product(x, transposed(w))
        zs.append(z if BUG == "BP201" else [[z_j + b_j for z_j, b_j in zip(row, b, strict=True)] for row in z])
        x = activated(kind, zs[-1])
        activations.append(x)
    loss, g = loss_of(case["loss"]["kind"], x, case["targets"])
    n = len(x) if case["reduction"] == "mean" else 1
    scale = (1.0 if BUG == "BP401" else 1.0 / n) * (-1.0 if BUG == "BP118" else 1.0)
    g = each(lambda s: s * scale, g)
    layers: list[dict[str, Any]] = [{} for _ in kinds]
    changes = []
    for index in reversed(range(len(kinds))):
        z, a, w = zs[index], activations[index + 1], weights[index]
        hidden = index < len(kinds) - 1
        delta = g if hidden and BUG == "BP102" else through(kinds[index], z, a, g)
        dw = product(transposed(delta), activations[index])
        db = [0.0 if BUG == "BP114" else math.fsum(column) for column in transposed(delta)]
        step = -rate if BUG == "BP501" else rate
        new_w = each(lambda p, d, step=step: p - step * d, w, dw)
        new_b = [p - step * d for p, d in zip(biases[index], db, strict=True)]
        changes.append((index, new_w, new_b))
        g = product(delta, new_w if BUG == "BP107" else w)
        layers[index] = {"z": z, "a": a, "delta": delta, "gradients": {"weights": dw, "biases": db}}
    for index, new_w, new_b in changes:
        weights[index], biases[index] = new_w, new_b
    return {"loss": loss / n, "layers": layers, "input_gradients": g}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request."""
    if request["type"] == "hello":
        can = {"layers": ["dense"], "activations": [*VALUES, "softmax"], "optimizers": ["sgd"]}
        losses = ["half_squared_error", "mean_squared_error", "cross_entropy"]
        return {"protocol": 1, "name": "matrices", "echo": request["echo"], "supports": {**can, "losses": losses}}
    parameters = [layer["parameters"] for layer in request["network"]["layers"]]
    weights, biases = [p["weights"] for p in parameters], [p["biases"] for p in parameters]
    rate = request.get("optimizer", {}).get("learning_rate", 0.0)
    first = train(request, weights, biases, rate)
    if not rate:
        return {"id": request["id"], **first}
    trajectory = [(first["loss"], list(weights), list(biases))]
    for _ in range(1, request["steps"]):
        loss = train(request, weights, biases, rate)["loss"]
        trajectory.append((loss, list(weights), list(biases)))
    steps = [
        {"loss": loss, "layers": [{"updated": {"weights": w, "biases": b}} for w, b in zip(ws, bs, strict=True)]}
        for loss, ws, bs in trajectory
    ]
    for layer, last in zip(first["layers"], steps[-1]["layers"], strict=True):
        layer.update(last)
    return {"id": request["id"], **first, **({"trajectory": steps} if len(steps) > 1 else {})}


def main() -> None:
    """Answer requests until stdin ends."""
    for text in sys.stdin:
        request = json.loads(text)
        try:
            reply = answer(request)
        except Exception as error:  # noqa: BLE001 - a port answers whatever goes wrong
            reply = {"id": request.get("id"), "error": repr(error)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

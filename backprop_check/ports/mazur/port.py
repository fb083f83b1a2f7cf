"""A beginner's network for backprop-check: sigmoid neurons, half squared error, gradient descent.

Its numbers end where those of Matt Mazur's "A Step by Step Backpropagation Example" end, and that takes a
mistake. Look for it before you read the README, or let backprop-check find it.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
from typing import Any


def sigmoid(z: float) -> float:
    """Squeeze any number into 0..1."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    return math.exp(z) / (1.0 + math.exp(z))  # the same, but e^-z would overflow


class Layer:
    """Sigmoid neurons that read the same inputs. All lists below are by sample, then by neuron."""

    def __init__(self, weights: list[list[float]], biases: list[float]) -> None:
        """Start with these parameters: ``weights[j][i]`` leads from input i into neuron j."""
        self.weights = weights
        self.biases = biases

    def forward(self, inputs: list[list[float]]) -> list[list[float]]:
        """Give the outputs of all neurons for all samples."""
        self.inputs = inputs
        self.z = [[self.pre_activation(j, x) for j in range(len(self.biases))] for x in inputs]
        self.a = [[sigmoid(z) for z in row] for row in self.z]
        return self.a

    def pre_activation(self, j: int, x: list[float]) -> float:
        """Give z of neuron j."""
        z = self.biases[j]
        for i in range(len(x)):
            z += self.weights[j][i] * x[i]
        return z

    def backward(self, activation_gradients: list[list[float]]) -> None:
        """Work out the gradients from dL/da: how the loss changes with each output."""
        self.delta = []
        self.weight_gradients = [[0.0] * len(row) for row in self.weights]
        self.bias_gradients = [0.0] * len(self.biases)
        for s, x in enumerate(self.inputs):
            self.delta.append([gradient * a * (1.0 - a) for gradient, a in zip(activation_gradients[s], self.a[s])])
            for j, delta_j in enumerate(self.delta[s]):
                for i in range(len(x)):
                    self.weight_gradients[j][i] += delta_j * x[i]
                self.bias_gradients[j] += delta_j

    def update(self, learning_rate: float) -> None:
        """Take one step down the slope."""
        for j, row in enumerate(self.weights):
            for i in range(len(row)):
                row[i] -= learning_rate * self.weight_gradients[j][i]
            self.biases[j] -= learning_rate * self.bias_gradients[j]

    def input_gradients(self) -> list[list[float]]:
        """Give dL/dx, how the loss changes with each input: that is dL/da of the layer before."""
        gradients = []
        for delta in self.delta:
            row = [0.0] * len(self.weights[0])
            for j, delta_j in enumerate(delta):
                for i in range(len(row)):
                    row[i] += delta_j * self.weights[j][i]
            gradients.append(row)
        return gradients

    def record(self) -> dict[str, Any]:
        """Write down what came out of the last pass."""
        gradients = {"weights": self.weight_gradients, "biases": self.bias_gradients}
        return {"gradients": gradients, "z": self.z, "a": self.a, "delta": self.delta}


def train_once(layers: list[Layer], request: dict[str, Any], learning_rate: float | None) -> float:
    """Send the batch forward and backward, and learn from it. Give the loss before that."""
    outputs = request["inputs"]
    for layer in layers:
        outputs = layer.forward(outputs)

    samples = len(outputs) if request["reduction"] == "mean" else 1
    loss = 0.0
    gradients = []
    for a_row, t_row in zip(outputs, request["targets"]):
        gradients.append([(a - t) / samples for a, t in zip(a_row, t_row)])
        loss += sum(0.5 * (a - t) ** 2 for a, t in zip(a_row, t_row)) / samples

    for layer in reversed(layers):
        layer.backward(gradients)
        if learning_rate is not None:
            layer.update(learning_rate)
        gradients = layer.input_gradients()
    return loss


def backprop(request: dict[str, Any]) -> dict[str, Any]:
    """Work out one case of backprop-check."""
    layers = []
    for description in request["network"]["layers"]:
        parameters = description["parameters"]
        layers.append(Layer([list(row) for row in parameters["weights"]], list(parameters["biases"])))

    if "optimizer" not in request:
        loss = train_once(layers, request, learning_rate=None)
        return {"id": request["id"], "loss": loss, "layers": [layer.record() for layer in layers]}

    optimizer = request["optimizer"]
    if optimizer.get("momentum") or optimizer.get("weight_decay"):
        return {"id": request["id"], "skip": "only plain gradient descent is there yet"}
    learning_rate = optimizer["learning_rate"]
    loss = train_once(layers, request, learning_rate)
    records = [layer.record() for layer in layers]
    for _ in range(1, request.get("steps", 1)):
        train_once(layers, request, learning_rate)
    for layer, record in zip(layers, records):
        record["updated"] = {"weights": layer.weights, "biases": layer.biases}
    return {"id": request["id"], "loss": loss, "layers": records}


def hello(request: dict[str, Any]) -> dict[str, Any]:
    """Say who we are and what we can do."""
    return {
        "protocol": 1,
        "name": "mazur",
        "language": "Python " + sys.version.split()[0],
        "version": "0.1.0",
        "dtype": "float64",
        "max_in_flight": 16,
        "supports": {
            "layers": ["dense"],
            "activations": ["sigmoid"],
            "losses": ["half_squared_error"],
            "optimizers": ["sgd"],
            "batch": True,
        },
        "echo": request.get("echo", []),
    }


def main() -> None:
    """Answer every line of stdin, one request, with one line on stdout."""
    for line in sys.stdin.buffer:
        request: dict[str, Any] = {}
        try:
            request = dict(json.loads(line))
            reply = hello(request) if request["type"] == "hello" else backprop(request)
        except Exception as error:
            reply = {"id": request.get("id"), "error": repr(error), "traceback": traceback.format_exc()}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

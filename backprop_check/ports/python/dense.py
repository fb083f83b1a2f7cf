"""A dense layer of network.py, as one kind of layer among others."""

from __future__ import annotations

import math
from typing import Any

from activations import ACTIVATIONS
from any_layer import AnyLayer, Rows, Shape
from backprop import known
from network import Layer, Neuron


class Dense(AnyLayer):
    """Neurons that read all of a sample."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        super().__init__(spec, shape)
        self.units, self.inputs = spec["units"], math.prod(shape)
        self.output_shape = self.z_shape = [self.units]
        self.read({"weights": [self.units, self.inputs], "biases": [self.units]})
        self.activation = ACTIVATIONS[known(spec["activation"], list(ACTIVATIONS), "activation")]()
        if spec.get("alpha") is not None:
            self.activation.alpha = float(spec["alpha"])

    def forward(self, batch: Rows) -> Rows:
        """Give the activations of all neurons, for every sample."""
        weights, n = self.parameters["weights"], self.inputs
        self.neurons = [Neuron(weights[j * n : j * n + n], bias) for j, bias in enumerate(self.parameters["biases"])]
        # One layer a sample, since each remembers its own pass. The neurons are the same: their gradients add up.
        self.samples = [Layer(self.neurons, self.activation) for _ in batch]
        a = [layer.forward(inputs) for layer, inputs in zip(self.samples, batch)]
        self.z = [layer.z for layer in self.samples]
        return a

    def backward(self, activation_gradients: Rows) -> Rows:
        """Take dL/da, and give dL/dx of the inputs."""
        pairs = zip(self.samples, activation_gradients)
        return self.backward_from_z([layer.hidden_deltas(gradients) for layer, gradients in pairs])

    def backward_from_z(self, delta: Rows) -> Rows:
        """Go on from dL/dz, where that is known."""
        self.delta = delta
        input_gradients = [layer.backward(delta_s) for layer, delta_s in zip(self.samples, delta)]
        self.gradients = {
            "weights": [gradient for neuron in self.neurons for gradient in neuron.weight_gradients],
            "biases": [neuron.bias_gradient for neuron in self.neurons],
        }
        return input_gradients

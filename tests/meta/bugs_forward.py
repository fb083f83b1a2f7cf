"""BP2xx and BP6xx: mistakes in the forward pass, and in softmax."""

from __future__ import annotations

from planting import (
    Case,
    Planted,
    activations,
    at,
    both,
    deep,
    has,
    hidden,
    loses,
    many,
    one_step,
    widths,
)
from planting import network as net

START_OF_Z = "        z = self.bias\n"
ROW = "        self.z = [neuron.pre_activation(inputs) for neuron in self.neurons]\n"
FORWARD = "        self.a = self.activation.activate(self.z)\n"
CHAIN = "            inputs = layer.forward(inputs)\n"
PAIRS = '    one_step = IN_ONE_STEP.get((request["network"]["layers"][-1]["activation"], kind))\n'
NO_PAIRS = net(PAIRS, "    one_step = None\n")
BUILT = '    layers = [build_layer(layer) for layer in request["network"]["layers"]]\n'
SAMPLE = "        network.forward(inputs)\n"
LOOP = "    for inputs, targets in samples:\n" + SAMPLE
AVERAGE = "        average = add_up([gradient * a_j for gradient, a_j in zip(activation_gradients, a)])\n"
JACOBIAN = "        return [a_k * (gradient - average) for gradient, a_k in zip(activation_gradients, a)]\n"
CROSS = "        return [a_k * total - t_k for a_k, t_k in zip(a, t)]\n"
LOG_JACOBIAN = "        return [gradient - math.exp(a_k) * total for gradient, a_k in zip(activation_gradients, a)]\n"
POWERS = "        powers = [math.exp(z_j - largest) for z_j in z]\n"

_COLUMNS = """        if len(self.neurons) == len(inputs):
            rows = [neuron.weights for neuron in self.neurons]
            self.z = [n.bias + add_up([row[j] * x for row, x in zip(rows, inputs)]) for j, n in enumerate(self.neurons)]
"""
_SUMMED = net(
    "from mathematics import Numbers\nfrom optimizers", "from mathematics import Numbers, add_up\nfrom optimizers"
)
_OVER_SAMPLES = '''def forward_all(network: Network, samples: list[Sample]) -> list[Any]:
    """Send the whole batch forward, layer by layer."""
    rows = [inputs for inputs, _ in samples]
    passed: list[Any] = [[] for _ in samples]
    for layer in network.layers:
        zs = [[neuron.pre_activation(row) for neuron in layer.neurons] for row in rows]
        if isinstance(layer.activation, Softmax):
            largest = [max(column) for column in zip(*zs)]
            powers = [[math.exp(z - m) for z, m in zip(row, largest)] for row in zs]
            totals = [add_up(list(column)) for column in zip(*powers)]
            activations = [[p / total for p, total in zip(row, totals)] for row in powers]
        else:
            activations = [layer.activation.activate(row) for row in zs]
        for s, row in enumerate(rows):
            passed[s].append((row, zs[s], activations[s]))
        rows = activations
    return passed


def gradients('''
_IMPORTED = (
    net(
        "from typing import Any\n\nfrom activations import ACTIVATIONS\n",
        "import math\nfrom typing import Any\n\nfrom activations import ACTIVATIONS, Softmax\n",
    ),
    net("from mathematics import Numbers\nfrom network", "from mathematics import Numbers, add_up\nfrom network"),
)


def _square(case: Case) -> bool:
    return any(a == b > 1 for a, b in zip(widths(case), widths(case)[1:], strict=False))


def _general_softmax(case: Case) -> bool:
    return "softmax" in hidden(case) or (activations(case)[-1] == "softmax" and not one_step(case))


def _output_bent(case: Case) -> bool:
    return activations(case)[-1] != "identity"


FORWARD_BUGS = [
    Planted("BP201", "bias left out forward", (net(START_OF_Z, "        z = 0.0\n"),), at("first", "z")),
    Planted(
        "BP202",
        "the first neuron's bias for all",
        (
            net(
                ROW,
                "        first = self.neurons[0].bias\n"
                "        self.z = [neuron.pre_activation(inputs) - neuron.bias + first for neuron in self.neurons]\n",
            ),
        ),
        at("any", "z"),
        lambda case: any(width > 1 for width in widths(case)[1:]),
    ),
    Planted(
        "BP203",
        "no activation on the output, but its derivative",
        (net(CHAIN, CHAIN + "        output = self.layers[-1]\n        inputs = output.a = output.z\n"),),
        at("output", "a"),
        _output_bent,
    ),
    Planted(
        "BP203",
        "a linear output layer",
        (net(BUILT, BUILT + '    layers[-1].activation = ACTIVATIONS["identity"]()\n'), NO_PAIRS),
        at("output", "a"),
        _output_bent,
    ),
    Planted(
        "BP204",
        "no activation in hidden layers, but its derivative",
        (
            net(
                CHAIN,
                CHAIN + "            if layer is not self.layers[-1]:\n                inputs = layer.a = layer.z\n",
            ),
        ),
        at("hidden", "a"),
        both(deep, lambda case: any(name != "identity" for name in hidden(case))),
    ),
    Planted(
        "BP204",
        "linear hidden layers",
        (net(BUILT, BUILT + '    for layer in layers[:-1]:\n        layer.activation = ACTIVATIONS["identity"]()\n'),),
        at("hidden", "a"),
        both(deep, lambda case: any(name != "identity" for name in hidden(case))),
    ),
    Planted(
        "BP205",
        "transposed forward, layers that are not square fail",
        (net(ROW, _COLUMNS + '        else:\n            raise ValueError("shapes do not match")\n'), _SUMMED),
        at("any", "z"),
        cases=200,
    ),
    Planted(
        "BP205",
        "transposed forward where the layer is square",
        (net(ROW, _COLUMNS + "        else:\n    " + ROW), _SUMMED),
        at("any", "z"),
        _square,
    ),
    Planted(
        "BP205",
        "weights read transposed where the layer is square",
        (
            net(
                '    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]\n',
                '    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]\n'
                "    if len(weights) == len(weights[0]):\n        weights = list(zip(*weights))\n",
            ),
        ),
        at("any", "z"),
        _square,
    ),
    Planted(
        "BP206",
        "gelu where silu is asked for",
        (net('    "silu": SiLU,\n', '    "silu": GELU,\n'),),
        at("any", "a"),
        has("silu"),
    ),
    Planted(
        "BP206",
        "leaky relu where relu is asked for",
        (net('    "relu": ReLU,\n', '    "relu": LeakyReLU,\n'),),
        at("any", "a"),
        has("relu"),
    ),
    Planted(
        "BP206",
        "sigmoid where tanh is asked for, forward only",
        (net("        return math.tanh(z)\n", "        return sigmoid(z)\n"),),
        at("any", "a"),
        has("tanh"),
    ),
    Planted(
        "BP207",
        "softmax over the samples",
        (
            net(
                LOOP,
                "    for (inputs, targets), passed in zip(samples, forward_all(network, samples)):\n"
                "        for layer, known in zip(network.layers, passed):\n"
                "            layer.inputs, layer.z, layer.a = known\n",
            ),
            net("def gradients(", _OVER_SAMPLES),
            *_IMPORTED,
        ),
        at("any", "a"),
        has("softmax"),
    ),
    Planted(
        "BP208",
        "softmax without the shift",
        (
            net(POWERS, "        powers = [math.exp(z_j) for z_j in z]\n"),
            net("        largest = max(z)\n        powers", "        powers"),
        ),
        at("any", "a"),
        has("softmax"),
        suite="edge",
    ),
    Planted(
        "BP209",
        "the first sample's inputs for all",
        (net(SAMPLE, "        network.forward(samples[0][0])\n"),),
        at("first", "z"),
        many,
    ),
    Planted(
        "BP209",
        "the last sample's inputs for all",
        (net(SAMPLE, "        network.forward(samples[-1][0])\n"),),
        at("first", "z"),
        many,
    ),
]

SOFTMAX_BUGS = [
    Planted(
        "BP601",
        "only the diagonal, the pair with cross-entropy is right",
        (
            net(
                AVERAGE + JACOBIAN,
                "        return [g * a_k * (1.0 - a_k) for g, a_k in zip(activation_gradients, a)]\n",
            ),
        ),
        at("any", "delta"),
        _general_softmax,
        also=("BP604",),
    ),
    Planted(
        "BP601",
        "only the diagonal, with cross-entropy as well",
        (
            net(
                AVERAGE + JACOBIAN,
                "        return [g * a_k * (1.0 - a_k) for g, a_k in zip(activation_gradients, a)]\n",
            ),
            NO_PAIRS,
        ),
        at("any", "delta"),
        has("softmax"),
        also=("BP604",),
    ),
    Planted(
        "BP602",
        "the off-diagonal of the jacobian is positive",
        (
            net(
                AVERAGE + JACOBIAN,
                "        others = add_up([g * a_j for g, a_j in zip(activation_gradients, a)])\n"
                "        return [\n"
                "            g * a_k * (1.0 - a_k) + a_k * (others - g * a_k)\n"
                "            for g, a_k in zip(activation_gradients, a)\n"
                "        ]\n",
            ),
        ),
        at("any", "delta"),
        _general_softmax,
    ),
    Planted(
        "BP603",
        "the derivative of softmax once more after p less t",
        (net(CROSS, "        return [(a_k * total - t_k) * a_k * (1.0 - a_k) for a_k, t_k in zip(a, t)]\n"),),
        at("output", "delta"),
        both(has("softmax"), loses("cross_entropy")),
        cases=200,
    ),
    Planted(
        "BP604",
        "sigmoid's derivative for softmax",
        (
            net(
                AVERAGE + JACOBIAN,
                "        values = [sigmoid(z_k) for z_k in z]\n"
                "        return [g * s * (1.0 - s) for g, s in zip(activation_gradients, values)]\n",
            ),
        ),
        at("any", "delta"),
        _general_softmax,
    ),
    Planted(
        "BP605",
        "log-softmax without the sum over the outputs backward",
        (net(LOG_JACOBIAN, "        return list(activation_gradients)\n"),),
        at("output", "delta"),
        has("log_softmax"),
    ),
    Planted(
        "BP605",
        "log-softmax with the neuron's own slope for the sum",
        (
            net(
                LOG_JACOBIAN,
                "        return [g - math.exp(a_k) * g for g, a_k in zip(activation_gradients, a)]\n",
            ),
        ),
        at("output", "delta"),
        has("log_softmax"),
    ),
    Planted(
        "BP605",
        "log-softmax without the logarithm of the sum forward",
        (
            net(
                "    return [z_j - largest - math.log(total) for z_j in z]\n",
                "    return [z_j - largest for z_j in z]\n",
            ),
        ),
        (*at("output", "a"), *at("none", "loss")),  # softmax with cross-entropy computes its loss from it
        lambda case: "log_softmax" in activations(case) or (one_step(case) and activations(case)[-1] == "softmax"),
    ),
]

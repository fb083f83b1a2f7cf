"""Bugs outside the catalogue: each is caught, and must not be given a name."""

from __future__ import annotations

from bugs_backward import BIAS_GRADIENT, CHAIN, FAN_OUT, HIDDEN, START, WEIGHT_GRADIENT
from bugs_forward import FORWARD, POWERS, START_OF_Z
from bugs_training import RECORD, UPDATE_BIAS, UPDATE_WEIGHT
from planting import Planted, at, by_id, deep, has, layers, many, updates, widths
from planting import network as net

_INDEXED = net(
    "        self.delta: Numbers = []\n\n",
    "        self.delta: Numbers = []\n        for j, neuron in enumerate(neurons):\n            neuron.index = j\n\n",
)
_SIGMOID = """    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    power = math.exp(z)
    return power / (1.0 + power)
"""

OUTSIDE: list[Planted] = [
    Planted(
        "",
        "gradients of neuron 0 scaled by 0.7312",
        (
            _INDEXED,
            net(
                WEIGHT_GRADIENT,
                "self.weight_gradients[i] += delta * x * (1.0 if self.index else 0.7312)",
            ),
        ),
        at("any", "weight_gradient", neuron=0),
    ),
    Planted(
        "",
        "sigmoid with base 2",
        (net(_SIGMOID, "    return 1.0 / (1.0 + 2.0**-z)\n"),),
        at("any", "a", "loss", "delta"),
        has("sigmoid", "softplus", "silu"),
    ),
    Planted(
        "",
        "square of the weight on the way back",
        (net(FAN_OUT, "                gradients[i] += delta_j * weight * weight\n"),),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
    ),
    Planted(
        "",
        "half of the neighbour's delta added",
        (
            net(
                HIDDEN,
                "own = layer.hidden_deltas(gradients)\n"
                "            gradients = layer.backward([own[j] + 0.5 * own[j - 1] for j in range(len(own))])",
            ),
        ),
        at("hidden", "delta"),
        deep,
    ),
    Planted(
        "",
        "absolute values of the weight gradients",
        (
            net(
                RECORD,
                "    for layer in network.layers:\n        for neuron in layer.neurons:\n"
                "            neuron.weight_gradients = [abs(g) for g in neuron.weight_gradients]\n" + RECORD,
            ),
        ),
        at("any", "weight_gradient"),
    ),
    Planted(
        "",
        "tanh of the output delta",
        (
            net("from activations import Activation\n", "import math\n\nfrom activations import Activation\n"),
            net(START, START.replace("delta_k / divisor", "math.tanh(delta_k / divisor)")),
        ),
        at("output", "delta"),
    ),
    Planted(
        "",
        "weights rounded to one decimal when read",
        (
            net(
                "Neuron(read_numbers(row), float(bias))",
                "Neuron([round(w, 1) for w in read_numbers(row)], float(bias))",
            ),
        ),
        at("any", "z"),
    ),
    Planted(
        "",
        "softmax at temperature 2",
        (net(POWERS, POWERS.replace("z_j - largest", "(z_j - largest) / 2.0")),),
        at("any", "a"),
        has("softmax"),
        cases=120,
    ),
    Planted(
        "",
        "every second neuron dropped out in the first layer",
        (
            net(
                FORWARD,
                FORWARD + "        if self.dropped:\n"
                "            self.a = [0.0 if j % 2 else 2.0 * a_j for j, a_j in enumerate(self.a)]\n",
            ),
            net(
                "        self.delta: Numbers = []\n\n",
                "        self.delta: Numbers = []\n        self.dropped = False\n\n",
            ),
            net(
                "    network = Network(layers, loss, one_step)\n",
                "    layers[0].dropped = len(layers) > 1\n    network = Network(layers, loss, one_step)\n",
            ),
        ),
        at("first", "a"),
        deep,
    ),
    Planted(
        "",
        "learning rate added to the gradient",
        (
            net(UPDATE_WEIGHT, "            self.weights[i] -= learning_rate + gradient\n"),
            net(UPDATE_BIAS, "        self.bias -= learning_rate + self.bias_gradient\n"),
        ),
        at("first", "updated_weight"),
        updates,
    ),
    Planted(
        "",
        "bias gradient with the root of the batch size",
        (
            net(BIAS_GRADIENT, "        self.bias_gradient += delta\n        self.seen += 1\n"),
            net("        self.bias_gradient = 0.0\n", "        self.bias_gradient = 0.0\n        self.seen = 0\n"),
            net('"biases": [neuron.bias_gradient for', '"biases": [neuron.bias_gradient / neuron.seen**0.5 for'),
        ),
        at("output", "bias_gradient"),
        many,
    ),
    Planted(
        "",
        "bias added twice forward",
        (net(START_OF_Z, "        z = self.bias + self.bias\n"),),
        at("first", "z"),
    ),
    Planted(
        "",
        "square root of the slope",
        (net(CHAIN, CHAIN.replace("self.derivative(z_j, a_j)", "math.sqrt(max(0.0, self.derivative(z_j, a_j)))")),),
        at("any", "delta"),
        lambda case: any(
            name not in ("identity", "relu", "hard_tanh") for name in (x["activation"] for x in layers(case))
        ),
    ),
    Planted(
        "",
        "inputs of a layer turned round on the way back",
        (net(WEIGHT_GRADIENT, "self.weight_gradients[-1 - i] += delta * x"),),
        at("any", "weight_gradient"),
        lambda case: max(widths(case)[:-1]) > 1,
    ),
    Planted(
        "",
        "hidden deltas cut off at 0.05",
        (
            net(
                HIDDEN,
                "own = layer.hidden_deltas(gradients)\n"
                "            gradients = layer.backward([max(-0.05, min(0.05, d)) for d in own])",
            ),
        ),
        at("hidden", "delta"),
        deep,
    ),
]

OUTSIDE_BY_ID = by_id(OUTSIDE)

"""All bugs that are planted in the Python port: alone, in one layer or neuron only, and two at once."""

from __future__ import annotations

from bugs_backward import BACKWARD, BIAS_GRADIENT, HIDDEN, START, WEIGHT_GRADIENT
from bugs_forward import FORWARD_BUGS, SOFTMAX_BUGS, START_OF_Z
from bugs_optimizers import OPTIMIZER_BUGS
from bugs_protocol import PROTOCOL_BUGS, REPEATED_BUGS
from bugs_training import BATCH_BUGS, LOSS_BUGS, UPDATE_BUGS
from planting import Planted, at, bent, by_id, deep, hidden, pair, updates, widths
from planting import network as net

ALONE: list[Planted] = [
    *PROTOCOL_BUGS,
    *BACKWARD,
    *FORWARD_BUGS,
    *LOSS_BUGS,
    *BATCH_BUGS,
    *UPDATE_BUGS,
    *OPTIMIZER_BUGS,
    *SOFTMAX_BUGS,
]

_INDEXED = net(
    "        self.delta: Numbers = []\n\n",
    "        self.delta: Numbers = []\n        for j, neuron in enumerate(neurons):\n            neuron.index = j\n\n",
)

#: The same mistakes, in one layer or one neuron only.
RESTRICTED: list[Planted] = [
    Planted(
        "BP102",
        "no derivative in the first layer only",
        (
            net(
                "            " + HIDDEN,
                "            if layer is self.layers[0]:\n"
                "                gradients = layer.backward(gradients)\n"
                "                continue\n            " + HIDDEN,
            ),
        ),
        at("first", "delta"),
        lambda case: deep(case) and hidden(case)[0] != "identity",
    ),
    Planted(
        "BP102",
        "no derivative in neuron 0 only",
        (
            net(
                HIDDEN,
                "deltas = layer.hidden_deltas(gradients)\n"
                "            gradients = layer.backward(gradients[:1] + deltas[1:])",
            ),
        ),
        at("hidden", "delta", neuron=0),
        bent,
    ),
    Planted(
        "BP201",
        "bias left out in neuron 0 only",
        (_INDEXED, net(START_OF_Z, "        z = self.bias if self.index else 0.0\n")),
        at("first", "z", neuron=0),
    ),
    Planted(
        "BP114",
        "bias gradient stays 0 in the output layer only",
        (
            net(START, "        for neuron in self.output.neurons:\n            neuron.unbiased = True\n" + START),
            net(BIAS_GRADIENT, '        if not hasattr(self, "unbiased"):\n    ' + BIAS_GRADIENT),
        ),
        at("output", "bias_gradient"),
    ),
    Planted(
        "BP113",
        "weight gradient from the weight in neuron 1 only",
        (
            _INDEXED,
            net(
                WEIGHT_GRADIENT,
                "self.weight_gradients[i] += delta * (self.weights[i] if self.index == 1 else x)",
            ),
        ),
        at("any", "weight_gradient", neuron=1),
        lambda case: max(widths(case)[1:]) > 1,
    ),
    Planted(
        "BP504",
        "biases stay in the output layer only",
        (
            net(
                "                neuron.update(learning_rate)\n",
                "                bias = neuron.bias\n"
                "                neuron.update(learning_rate)\n"
                "                if layer is self.layers[-1]:\n"
                "                    neuron.bias = bias\n",
            ),
        ),
        at("output", "updated_bias"),
        updates,
    ),
]

_ALONE = by_id(ALONE)

#: Two at once.
PAIRS: list[Planted] = [
    pair(
        _ALONE["BP102-hidden-delta-without-the-derivative"],
        _ALONE["BP401-gradients-of-the-sum-loss-of-the-mean"],
        "no derivative in hidden layers, and the sum for the mean",
    ),
    pair(
        _ALONE["BP118-target-less-output"],
        _ALONE["BP504-biases-stay"],
        "the sign, and biases that stay",
    ),
    pair(
        _ALONE["BP108-the-last-downstream-neuron-overwrites"],
        _ALONE["BP302-e-for-squared-error-and-its-mean"],
        "overwritten fan-out, and the factor two missing",
    ),
    pair(
        _ALONE["BP114-bias-gradient-stays-0"],
        _ALONE["BP503-the-learning-rate-twice"],
        "no bias gradients, and the learning rate twice",
    ),
    pair(
        _ALONE["BP201-bias-left-out-forward"],
        _ALONE["BP104-sigmoid-and-tanh-slopes-from-z"],
        "no bias forward, and slopes from z",
    ),
    pair(
        _ALONE["BP115-one-bias-a-layer"],
        _ALONE["BP301-2e-for-half-squared-error"],
        "one bias a layer, and the factor two",
    ),
]

PLANTED: list[Planted] = [*ALONE, *RESTRICTED, *PAIRS]

#: The first bug of every code; the others are variants of the same mistake.
ONE_OF_EACH = {bug.id for bug in {bug.code: bug for bug in reversed(PLANTED)}.values()}

#: Bugs that no single answer shows.
REPEATED: list[Planted] = REPEATED_BUGS

BY_ID = by_id([*PLANTED, *REPEATED])

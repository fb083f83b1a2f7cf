"""BP1xx: mistakes in the backward pass of dense layers."""

from __future__ import annotations

from planting import (
    Case,
    Edit,
    Planted,
    at,
    bent,
    both,
    deep,
    has,
    hidden,
    loses,
    one_step,
    port,
    updates,
    widths,
)
from planting import activations as all_activations
from planting import network as net

CHAIN = "return [gradient * self.derivative(z_j, a_j) for z_j, a_j, gradient in zip(z, a, activation_gradients)]"
IN_ONE_STEP = "        if self.one_step:\n            deltas = self.one_step.deltas(output.a, targets)\n"
OUTPUT = "output.activation.deltas(output.z, output.a, self.loss.activation_gradients(output.a, targets))"
HIDDEN = "gradients = layer.backward(layer.hidden_deltas(gradients))"
FAN_OUT = "                gradients[i] += delta_j * weight\n"
WEIGHT_GRADIENT = "self.weight_gradients[i] += delta * x"
BIAS_GRADIENT = "        self.bias_gradient += delta\n"
START = "        return [delta_k / divisor for delta_k in deltas]\n"
UPDATE = "        network.update(learning_rate)\n"
READ = "        samples, divisor = read_batch(request)\n"
RECORD = """        input_gradients.append(network.backward(targets, divisor))
        for layer, record in zip(network.layers, records):
            record["z"].append(layer.z)
            record["a"].append(layer.a)
            record["delta"].append(layer.delta)

"""
RECORDED = '    for layer, record in zip(network.layers, records):\n        record["gradients"] = gradients(layer)\n'
SUMS = """        for neuron, delta_j in zip(self.neurons, self.delta):
            for i, weight in enumerate(neuron.weights):
                gradients[i] += delta_j * weight
"""

_LAYER_BY_LAYER = """        batch.append([(layer.inputs, layer.z, layer.a) for layer in network.layers])
        slopes.append(network.output_deltas(targets, divisor))
        for layer, record in zip(network.layers, records):
            record["z"].append(layer.z)
            record["a"].append(layer.a)

    for index in reversed(range(len(network.layers))):
        layer = network.layers[index]
        for s in range(len(samples)):
            layer.inputs, layer.z, layer.a = batch[s][index]
            delta = slopes[s]
            if index < len(network.layers) - 1:
                delta = layer.hidden_deltas(slopes[s])
            records[index]["delta"].append(delta)
            for neuron, delta_j in zip(layer.neurons, delta):
                neuron.add_gradients(delta_j, layer.inputs)
        for neuron in layer.neurons:
            neuron.update(network.learning_rate)
        slopes = [
            [add_up([d * n.weights[i] for d, n in zip(delta, layer.neurons)]) for i in range(len(layer.inputs))]
            for delta in records[index]["delta"]
        ]
    input_gradients = slopes

"""
_EARLY = (
    net(RECORD, _LAYER_BY_LAYER),
    net("    input_gradients = []\n", "    input_gradients = []\n    batch, slopes = [], []\n"),
    net("from mathematics import Numbers\nfrom network", "from mathematics import Numbers, add_up\nfrom network"),
    net(READ, READ + "        network.learning_rate = learning_rate\n"),
    net(UPDATE, ""),
)

_RECURSION = """        self.slopes = [[0.0] * len(layer.inputs) for layer in self.layers]
        for layer in self.layers:
            layer.delta = [0.0] * len(layer.neurons)
        for k, delta_k in enumerate(self.output_deltas(targets, divisor)):
            self.visit(len(self.layers) - 1, k, delta_k)
        return self.slopes[0]

    def visit(self, index: int, j: int, delta_j: float) -> None:
        \"\"\"Send the slope of one neuron to its inputs, and on from there.\"\"\"
        layer, neuron = self.layers[index], self.layers[index].neurons[j]
        layer.delta[j] {assign} delta_j
        neuron.add_gradients(layer.delta[j], layer.inputs)
        for i, weight in enumerate(neuron.weights):
            self.slopes[index][i] += layer.delta[j] * weight
            if index > 0:
                before = self.layers[index - 1]
                slope = before.activation.derivative(before.z[i], before.a[i])
                self.visit(index - 1, i, self.slopes[index][i] * slope)
"""
_LOOP = """        gradients = self.output.backward(self.output_deltas(targets, divisor))
        for layer in reversed(self.layers[:-1]):
            # The inputs of the layer after are the activations of this one, and so are their gradients.
            gradients = layer.backward(layer.hidden_deltas(gradients))
        return gradients
"""
_NO_HIDDEN_SOFTMAX = net(
    '    one_step = IN_ONE_STEP.get((request["network"]["layers"][-1]["activation"], kind))\n',
    '    if any(layer["activation"] == "softmax" for layer in request["network"]["layers"][:-1]):\n'
    '        raise NotThereYet("softmax inside the network")\n'
    '    one_step = IN_ONE_STEP.get((request["network"]["layers"][-1]["activation"], kind))\n',
)

_NEIGHBOUR = """            near = self.layers[{index}].activation
            gradients = layer.backward(near.deltas(layer.z, {a}, gradients))"""
_NUMBERED = net(
    "        for layer in reversed(self.layers[:-1]):\n",
    "        for index, layer in reversed(list(enumerate(self.layers[:-1]))):\n",
)


def _neighbour(index: str, a: str) -> tuple[Edit, ...]:
    return (_NUMBERED, net("            " + HIDDEN, _NEIGHBOUR.format(index=index, a=a)))


_RELU = "        return max(0.0, z)\n"
_LEAKY = "return 1.0 if z > 0.0 else self.alpha\n"
_ELU = "return 1.0 if z > 0.0 else self.alpha * math.exp(z)"
_ALPHA = '    if layer.get("alpha") is not None:\n        activation.alpha = float(layer["alpha"])\n'
_GELU = "        return z * normal_probability(z)\n"
_GELU_SLOPE = "        return normal_probability(z) + z * normal_density(z)  # the product rule\n"
_LOSS_ALONE = "self.loss.activation_gradients(output.a, targets)"


def _output_bent(case: Case) -> bool:
    return all_activations(case)[-1] != "identity"


def _square(case: Case) -> bool:
    pairs = list(zip(widths(case), widths(case)[1:], strict=False))
    return any(a == b > 1 for a, b in pairs)


def _twin_relus(case: Case) -> bool:
    found = [w for w, a in zip(widths(case)[1:], all_activations(case), strict=True) if a == "relu"]
    return len(set(found)) < len(found)


def _leaky_by_itself(case: Case) -> bool:
    plain = {"leaky_relu": 0.01, "elu": 1.0}
    return any(
        layer.get("alpha", 0) != plain[layer["activation"]]
        for layer in case["network"]["layers"]
        if layer["activation"] in plain
    )


def _different_neighbours(case: Case) -> bool:
    return len(set(all_activations(case))) > 1 or _leaky_by_itself(case)


BACKWARD = [
    Planted(
        "BP101",
        "output delta is the slope of the loss",
        (net(IN_ONE_STEP, "        if False:\n            pass\n"), net(OUTPUT, _LOSS_ALONE)),
        at("output", "delta"),
        _output_bent,
    ),
    Planted(
        "BP101",
        "output delta is the slope of the loss, but the one-step pairs are right",
        (net(OUTPUT, _LOSS_ALONE),),
        at("output", "delta"),
        lambda case: _output_bent(case) and not one_step(case),
    ),
    Planted(
        "BP102",
        "hidden delta without the derivative",
        (net(HIDDEN, "gradients = layer.backward(gradients)"),),
        at("hidden", "delta"),
        bent,
    ),
    Planted(
        "BP103",
        "derivative fed the activation",
        (
            net(
                CHAIN,
                "return [g * self.derivative(a_j, self.value(a_j)) for a_j, g in zip(a, activation_gradients)]",
            ),
        ),
        at("any", "delta"),
    ),
    Planted(
        "BP103",
        "derivative fed the activation, in hidden layers",
        (
            net(
                HIDDEN,
                "again = layer.activation.activate(layer.a)\n"
                "            gradients = layer.backward(layer.activation.deltas(layer.a, again, gradients))",
            ),
        ),
        at("hidden", "delta"),
        bent,
    ),
    Planted(
        "BP104",
        "sigmoid and tanh slopes from z",
        (
            net("return a * (1.0 - a)\n", "return z * (1.0 - z)\n"),
            net("return 1.0 - a * a\n", "return 1.0 - z * z\n"),
        ),
        at("any", "delta"),
        has("sigmoid", "tanh"),
    ),
    Planted(
        "BP104",
        "sigmoid slope from z",
        (net("return a * (1.0 - a)\n", "return z * (1.0 - z)\n"),),
        at("any", "delta"),
        has("sigmoid"),
    ),
    Planted(
        "BP105",
        "slope is the function itself",
        (net(CHAIN, "return [gradient * self.value(z_j) for z_j, gradient in zip(z, activation_gradients)]"),),
        at("any", "delta"),
    ),
    Planted(
        "BP105",
        "tanh slope is tanh",
        (net("return 1.0 - a * a\n", "return math.tanh(z)\n"),),
        at("any", "delta"),
        has("tanh"),
    ),
    Planted(
        "BP106",
        "slope of the next layer's activation",
        _neighbour("index + 1", "near.activate(layer.z)"),
        at("hidden", "delta"),
        both(deep, _different_neighbours),
    ),
    Planted(
        "BP106",
        "slope of the previous layer's activation",
        _neighbour("max(0, index - 1)", "near.activate(layer.z)"),
        at("hidden", "delta"),
        lambda case: len(hidden(case)) > 1 and _different_neighbours(case),
        cases=120,
    ),
    Planted(
        "BP106",
        "next layer's formula on this layer's activation",
        _neighbour("index + 1", "layer.a"),
        at("hidden", "delta"),
        both(deep, _different_neighbours),
    ),
    Planted(
        "BP107",
        "layer by layer, each updated before the next is reached",
        _EARLY,
        (*at("hidden", "delta"), *at("none", "input_gradient")),
        updates,
    ),
    Planted(
        "BP107",
        "layer by layer, input gradients not reported",
        (*_EARLY, net(', "input_gradients": input_gradients}', "}")),
        at("hidden", "delta"),
        both(updates, deep),
    ),
    Planted(
        "BP107",
        "one sample at a time, each neuron updated on the way back",
        (
            port('"batch": True', '"batch": False'),
            net(
                "            neuron.add_gradients(delta_j, self.inputs)\n",
                "            neuron.add_gradients(delta_j, self.inputs)\n"
                "            neuron.update(self.learning_rate)\n",
            ),
            net(READ, READ + "        for layer in network.layers:\n            layer.learning_rate = learning_rate\n"),
            net(UPDATE, ""),
        ),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
        updates,
        cases=200,
    ),
    Planted(
        "BP108",
        "the last downstream neuron overwrites",
        (net(FAN_OUT, "                gradients[i] = delta_j * weight\n"),),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
        lambda case: any(width > 1 for width in widths(case)[1:]),
    ),
    Planted(
        "BP109",
        "transposed on the way back, layers that are not square fail",
        (
            net(
                SUMS,
                "        if len(self.neurons) != len(self.inputs):\n"
                '            raise ValueError("shapes do not match")\n'
                "        for i in range(len(self.inputs)):\n"
                "            for j, delta_j in enumerate(self.delta):\n"
                "                gradients[i] += delta_j * self.neurons[i].weights[j]\n",
            ),
        ),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
        cases=200,
    ),
    Planted(
        "BP109",
        "transposed on the way back where the layer is square",
        (
            net(
                FAN_OUT,
                "                if len(self.neurons) == len(self.inputs):\n"
                "                    weight = self.neurons[i].weights[self.neurons.index(neuron)]\n" + FAN_OUT,
            ),
        ),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
        _square,
    ),
    Planted(
        "BP110",
        "weight gradients reported transposed",
        (
            net(
                '"weights": [list(neuron.weight_gradients) for neuron in layer.neurons],',
                '"weights": [list(row) for row in zip(*[neuron.weight_gradients for neuron in layer.neurons])],',
            ),
        ),
        at("any", "weight_gradient"),
        lambda case: any(width > 1 for width in widths(case)),
    ),
    Planted(
        "BP110",
        "weight gradients transposed where the layer is square",
        (
            net(
                RECORDED,
                "    for layer in network.layers:\n"
                "        if len(layer.neurons) == len(layer.inputs):\n"
                "            columns = [list(row) for row in zip(*[n.weight_gradients for n in layer.neurons])]\n"
                "            for neuron, column in zip(layer.neurons, columns):\n"
                "                neuron.weight_gradients = column\n" + RECORDED,
            ),
        ),
        at("any", "weight_gradient"),
        _square,
    ),
    Planted(
        "BP111",
        "weight gradient from the neuron's own activation",
        (
            net(
                "            neuron.add_gradients(delta_j, self.inputs)\n",
                "            own = self.a[self.neurons.index(neuron)]\n"
                "            neuron.add_gradients(delta_j, [own] * len(self.inputs))\n",
            ),
        ),
        at("any", "weight_gradient"),
    ),
    Planted(
        "BP111",
        "weight gradient from the layer's own activations, of their number",
        (
            net(
                "            neuron.add_gradients(delta_j, self.inputs)\n",
                "            neuron.weight_gradients += [0.0] * (len(self.a) - len(neuron.weight_gradients))\n"
                "            del neuron.weight_gradients[len(self.a) :]\n"
                "            neuron.add_gradients(delta_j, self.a)\n",
            ),
        ),
        at("any", "weight_gradient"),
        also=("BP006",),
    ),
    Planted(
        "BP112",
        "inputs of a layer taken before the activation",
        (
            net(
                START,
                "        for before, layer in zip(self.layers, self.layers[1:]):\n"
                "            layer.inputs = before.z\n" + START,
            ),
        ),
        at("later", "weight_gradient"),
        bent,
    ),
    Planted(
        "BP113",
        "weight gradient from the weight",
        (net(WEIGHT_GRADIENT, "self.weight_gradients[i] += delta * self.weights[i]"),),
        at("any", "weight_gradient"),
    ),
    Planted("BP114", "bias gradient stays 0", (net(BIAS_GRADIENT, ""),), at("any", "bias_gradient")),
    Planted(
        "BP114",
        "bias gradient not reported",
        (net('        "biases": [neuron.bias_gradient for neuron in layer.neurons],\n', ""),),
        at("any", "bias_gradient"),
        also=("BP007",),
    ),
    Planted(
        "BP115",
        "one bias a layer",
        (
            net(
                "        self.delta = delta\n",
                "        self.delta = delta\n"
                "        for neuron in self.neurons:\n"
                "            neuron.bias_gradient += add_up(delta)\n",
            ),
            net(BIAS_GRADIENT, ""),
            net(
                "from mathematics import Numbers\nfrom optimizers",
                "from mathematics import Numbers, add_up\nfrom optimizers",
            ),
        ),
        at("any", "bias_gradient"),
        lambda case: any(width > 1 for width in widths(case)[1:]),
    ),
    Planted(
        "BP116",
        "bias gradient times the last input",
        (net(BIAS_GRADIENT, "        self.bias_gradient += delta * x\n"),),
        at("any", "bias_gradient"),
    ),
    Planted(
        "BP116",
        "bias gradient times every input in turn",
        (net(BIAS_GRADIENT, "            self.bias_gradient += delta * x\n"),),
        at("any", "bias_gradient"),
    ),
    Planted(
        "BP116",
        "bias gradient times the neuron's own activation",
        (
            net(BIAS_GRADIENT, ""),
            net(
                "            neuron.add_gradients(delta_j, self.inputs)\n",
                "            neuron.add_gradients(delta_j, self.inputs)\n"
                "            neuron.bias_gradient += delta_j * self.a[self.neurons.index(neuron)]\n",
            ),
        ),
        at("any", "bias_gradient"),
    ),
    Planted(
        "BP117",
        "recursion along every path",
        (net(_LOOP, _RECURSION.format(assign="=")), _NO_HIDDEN_SOFTMAX),
        (*at("hidden", "weight_gradient", "delta"), *at("none", "input_gradient")),
        deep,
    ),
    Planted(
        "BP117",
        "recursion along every path, deltas pile up as well",
        (net(_LOOP, _RECURSION.format(assign="+=")), _NO_HIDDEN_SOFTMAX),
        (*at("hidden", "weight_gradient", "delta"), *at("none", "input_gradient")),
        deep,
    ),
    Planted(
        "BP118",
        "target less output",
        (net(START, START.replace("delta_k / divisor", "-delta_k / divisor")),),
        at("output", "delta"),
    ),
    Planted(
        "BP118",
        "target less output in half squared error",
        (
            net(
                "        return 0.5 * (a - t) * (a - t)\n\n"
                "    def derivative(self, a: float, t: float) -> float:\n        return a - t\n",
                "        return 0.5 * (a - t) * (a - t)\n\n"
                "    def derivative(self, a: float, t: float) -> float:\n        return t - a\n",
            ),
        ),
        at("output", "delta"),
        loses("half_squared_error"),
    ),
    Planted(
        "BP118",
        "target less output, added in the update",
        (
            net(START, START.replace("delta_k / divisor", "-delta_k / divisor")),
            net("self.weights[i] -= learning_rate * gradient", "self.weights[i] += learning_rate * gradient"),
            net("self.bias -= learning_rate", "self.bias += learning_rate"),
        ),
        at("output", "delta"),
    ),
    Planted(
        "BP119",
        "relu lets positive slopes through",
        (
            net(
                _RELU,
                _RELU + "\n    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:\n"
                "        return [g if g > 0.0 else 0.0 for g in activation_gradients]\n",
            ),
        ),
        at("any", "delta"),
        has("relu"),
    ),
    Planted(
        "BP119",
        "one relu for all layers keeps the mask of the last",
        (
            net(
                _RELU,
                _RELU + "\n    def activate(self, z: Numbers) -> Numbers:\n"
                "        ReLU.mask = [z_j > 0.0 for z_j in z]\n"
                "        return super().activate(z)\n"
                "\n    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:\n"
                "        mask = ReLU.mask if len(ReLU.mask) == len(z) else [z_j > 0.0 for z_j in z]\n"
                "        return [g if on else 0.0 for g, on in zip(activation_gradients, mask)]\n",
            ),
        ),
        at("hidden", "delta"),
        _twin_relus,
        cases=200,
    ),
    Planted(
        "BP120",
        "leaky relu without its slope",
        (net(_LEAKY, "return 1.0 if z > 0.0 else 0.0\n"),),
        at("any", "delta"),
        has("leaky_relu"),
    ),
    Planted(
        "BP120",
        "leaky relu and elu without their slopes",
        (net(_LEAKY, "return 1.0 if z > 0.0 else 0.0\n"), net(_ELU, "return 1.0 if z > 0.0 else 0.0")),
        at("any", "delta"),
        has("leaky_relu", "elu"),
    ),
    Planted(
        "BP121",
        "alpha of the case never read",
        (net(_ALPHA, ""),),
        at("any", "a"),
        _leaky_by_itself,
    ),
    Planted(
        "BP121",
        "alpha of the case not used backward",
        (
            net(_LEAKY, "return 1.0 if z > 0.0 else LeakyReLU.alpha\n"),
            net(_ELU, "return 1.0 if z > 0.0 else ELU.alpha * math.exp(z)"),
        ),
        at("any", "delta"),
        _leaky_by_itself,
    ),
    Planted(
        "BP122",
        "gelu by tanh forward, exact backward",
        (
            net(
                _GELU,
                "        inner = math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)\n"
                "        return 0.5 * z * (1.0 + math.tanh(inner))\n",
            ),
        ),
        at("any", "a"),
        has("gelu"),
    ),
    Planted(
        "BP122",
        "gelu exact forward, by tanh backward",
        (
            net(
                _GELU_SLOPE,
                "        inner = math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)\n"
                "        t = math.tanh(inner)\n"
                "        slope = math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * z * z)\n"
                "        return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope\n",
            ),
        ),
        at("any", "delta"),
        has("gelu"),
    ),
    Planted(
        "BP123",
        "sigmoid and tanh clipped before the slope",
        (
            net("return a * (1.0 - a)\n", "a = min(0.99, max(0.01, a))\n        return a * (1.0 - a)\n"),
            net("return 1.0 - a * a\n", "a = min(0.98, max(-0.98, a))\n        return 1.0 - a * a\n"),
        ),
        at("any", "delta"),
        has("sigmoid", "tanh"),
        cases=200,
    ),
    Planted(
        "BP124",
        "the last neuron gets no gradient",
        (
            net(
                "for neuron, delta_j in zip(self.neurons, delta):\n            neuron.add",
                "for neuron, delta_j in zip(self.neurons[:-1], delta):\n            neuron.add",
            ),
        ),
        at("any", "weight_gradient", "bias_gradient"),
    ),
    Planted(
        "BP124",
        "the last input's weight gets no gradient",
        (net("for i, x in enumerate(inputs):", "for i, x in enumerate(inputs[:-1]):"),),
        at("any", "weight_gradient"),
    ),
    Planted(
        "BP124",
        "the last downstream neuron is left out",
        (
            net(
                FAN_OUT,
                "                if neuron is not self.neurons[-1]:\n    " + FAN_OUT,
            ),
        ),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
    ),
    Planted(
        "BP124",
        "the last input is left out of the weighted sum",
        (net("for weight, x in zip(self.weights, inputs):", "for weight, x in zip(self.weights[:-1], inputs):"),),
        at("first", "z"),
    ),
    Planted(
        "BP124",
        "the last neuron is never updated",
        (net("            for neuron in layer.neurons:\n                neuron.update(",
             "            for neuron in layer.neurons[:-1]:\n                neuron.update("),),
        at("any", "updated_weight", "updated_bias"),
        updates,
    ),
    Planted(
        "BP124",
        "the last output has no delta",
        (net(START, "        deltas[-1] = 0.0\n" + START),),
        at("output", "delta"),
    ),
]  # fmt: skip

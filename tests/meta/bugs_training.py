"""BP3xx, BP4xx and BP5xx: mistakes in the loss, over the batch, and in the update."""

from __future__ import annotations

from planting import (
    Case,
    Edit,
    Planted,
    again,
    at,
    both,
    deep,
    loses,
    loss,
    many,
    mean,
    several_outputs,
    total,
    updates,
)
from planting import network as net

_SIGNATURE = "\n\n    def derivative(self, a: float, t: float) -> float:\n        return "
HALF = "        return 0.5 * (a - t) * (a - t)" + _SIGNATURE + "a - t\n"
SQUARE_SLOPE = "        return 2.0 * (a - t)\n"
MEAN_SQUARED = '"""The square of the error, averaged over the outputs."""\n\n    mean_over_outputs = True\n'
DIVIDED = "        return [gradient / len(a) for gradient in gradients] if self.mean_over_outputs else gradients\n"
PAIRS = '    one_step = IN_ONE_STEP.get((request["network"]["layers"][-1]["activation"], kind))\n'
NO_PAIRS = net(PAIRS, "    one_step = None\n")
BCE_TERM = "        return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a))\n"
BCE_SLOPE = "        return -(divide(t, a) - divide(1.0 - t, 1.0 - a))\n"
CE_TERM = "        return -times_log(t, a)\n"
CE_SLOPE = "        return -divide(t, a)\n"
PAIR_BCE = "        return [a_k - t_k for a_k, t_k in zip(a, t)]\n"
HUBER_SLOPE = "        return self.threshold * sign(error)\n"
BACK = "        input_gradients.append(network.backward(targets, divisor))\n"
RETURN = '    return {"loss": loss / divisor, "layers": records, "input_gradients": input_gradients}\n'
RECORD = '    for layer, record in zip(network.layers, records):\n        record["gradients"] = gradients(layer)\n'
RESET = "    network.reset_gradients()\n    loss = 0.0\n"
SUMS = "            self.weight_gradients[i] += delta * x\n        self.bias_gradient += delta\n"
READ = "        samples, divisor = read_batch(request)\n"
SAMPLES = '    samples = [(read_numbers(x), read_numbers(t)) for x, t in zip(request["inputs"], request["targets"])]\n'
UPDATE = "        network.update(learning_rate)\n"
UPDATE_WEIGHT = "            self.weights[i] -= learning_rate * gradient\n"
UPDATE_BIAS = "        self.bias -= learning_rate * self.bias_gradient\n"
EVERY_LAYER = (
    "        for layer in self.layers:\n            for neuron in layer.neurons:\n                neuron.update("
)

_AVERAGED = ("mean_squared_error", "mean_absolute_error", "huber")


def _huber_far(case: Case) -> bool:
    return loss(case) == "huber"


def _epsilon(epsilon: str) -> tuple[Edit, ...]:
    return (
        NO_PAIRS,
        net(BCE_TERM, f"        return -(t * math.log(a + {epsilon}) + (1.0 - t) * math.log(1.0 - a + {epsilon}))\n"),
        net(BCE_SLOPE, f"        return -(t / (a + {epsilon}) - (1.0 - t) / (1.0 - a + {epsilon}))\n"),
        net(CE_TERM, f"        return -t * math.log(a + {epsilon})\n"),
        net(CE_SLOPE, f"        return -t / (a + {epsilon})\n"),
    )


LOSS_BUGS = [
    Planted(
        "BP301",
        "2e for half squared error",
        (net(HALF, HALF.replace("return a - t", "return 2.0 * (a - t)")),),
        at("output", "delta"),
        loses("half_squared_error"),
    ),
    Planted(
        "BP302",
        "e for squared error and its mean",
        (net(SQUARE_SLOPE, "        return a - t\n"),),
        at("output", "delta"),
        loses("squared_error", "mean_squared_error"),
    ),
    Planted(
        "BP302",
        "e for mean squared error",
        (net(SQUARE_SLOPE, "        return (a - t) if self.mean_over_outputs else 2.0 * (a - t)\n"),),
        at("output", "delta"),
        loses("mean_squared_error"),
    ),
    Planted(
        "BP303",
        "slopes not divided by the outputs",
        (net(DIVIDED, "        return gradients\n"),),
        at("output", "delta"),
        both(several_outputs, loses(*_AVERAGED)),
    ),
    Planted(
        "BP303",
        "mean squared error sums, in the loss as well",
        (net(MEAN_SQUARED, MEAN_SQUARED.replace("True", "False")),),
        at("none", "loss"),
        both(several_outputs, loses("mean_squared_error")),
    ),
    Planted(
        "BP304",
        "half squared error's slopes divided by the outputs",
        (
            net(
                HALF,
                HALF + "\n    def activation_gradients(self, a: Numbers, t: Numbers) -> Numbers:\n"
                "        return [(a_k - t_k) / len(a) for a_k, t_k in zip(a, t)]\n",
            ),
        ),
        at("output", "delta"),
        both(several_outputs, loses("half_squared_error")),
    ),
    Planted(
        "BP304",
        "half squared error is a mean, in the loss as well",
        (
            net(
                HALF,
                "        return 0.5 * (a - t) * (a - t)\n\n    mean_over_outputs = True\n" + _SIGNATURE[1:] + "a - t\n",
            ),
        ),
        at("none", "loss"),
        both(several_outputs, loses("half_squared_error")),
    ),
    Planted(
        "BP304",
        "binary cross-entropy's slopes divided by the outputs",
        (
            net(PAIR_BCE, "        return [(a_k - t_k) / len(a) for a_k, t_k in zip(a, t)]\n"),
            net(
                BCE_SLOPE,
                BCE_SLOPE + "\n    def activation_gradients(self, a: Numbers, t: Numbers) -> Numbers:\n"
                "        return [self.derivative(a_k, t_k) / len(a) for a_k, t_k in zip(a, t)]\n",
            ),
        ),
        at("output", "delta"),
        both(several_outputs, loses("binary_cross_entropy")),
        cases=200,
    ),
    Planted(
        "BP305",
        "binary cross-entropy without its second half",
        (
            NO_PAIRS,
            net(BCE_TERM, CE_TERM),
            net(BCE_SLOPE, CE_SLOPE),
        ),
        at("none", "loss"),
        loses("binary_cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP305",
        "binary cross-entropy's slope without its second half",
        (NO_PAIRS, net(BCE_SLOPE, CE_SLOPE)),
        at("output", "delta"),
        loses("binary_cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP306",
        "half squared error's slope for binary cross-entropy",
        (NO_PAIRS, net(BCE_SLOPE, "        return a - t\n")),
        at("output", "delta"),
        loses("binary_cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP306",
        "half squared error's slope for cross-entropy",
        (NO_PAIRS, net(CE_SLOPE, "        return a - t\n")),
        at("output", "delta"),
        loses("cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP306",
        "mean squared error's slope for mean absolute error",
        (net("        return sign(a - t)\n", SQUARE_SLOPE),),
        at("output", "delta"),
        loses("mean_absolute_error"),
    ),
    Planted(
        "BP306",
        "mean absolute error's slope for huber",
        (
            net(
                "        error = a - t\n        if abs(error) <= self.threshold:\n            return error\n"
                + HUBER_SLOPE,
                "        return sign(a - t)\n",
            ),
        ),
        at("output", "delta"),
        loses("huber"),
    ),
    Planted(
        "BP307",
        "epsilon of 1e-7 in the logarithm",
        _epsilon("1e-7"),
        (*at("none", "loss"), *at("output", "delta")),
        loses("binary_cross_entropy", "cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP307",
        "epsilon of 1e-10 in the logarithm",
        _epsilon("1e-10"),
        (*at("none", "loss"), *at("output", "delta")),
        loses("binary_cross_entropy", "cross_entropy"),
        cases=200,
    ),
    Planted(
        "BP308",
        "huber forgets the sign of a large error",
        (net(HUBER_SLOPE, "        return self.threshold\n"),),
        at("output", "delta"),
        _huber_far,
    ),
    Planted(
        "BP309",
        "labels one too high",
        (
            net(
                SAMPLES,
                SAMPLES + '    if request["loss"]["kind"] in ("cross_entropy", "negative_log_likelihood"):\n'
                "        samples = [(x, t[-1:] + t[:-1]) for x, t in samples]\n",
            ),
        ),
        at("none", "loss"),
        loses("cross_entropy", "negative_log_likelihood"),
        cases=200,
    ),
    Planted(
        "BP309",
        "labels counted from one",
        (
            net(
                SAMPLES,
                SAMPLES + '    if request["loss"]["kind"] in ("cross_entropy", "negative_log_likelihood"):\n'
                "        for x, t in samples:\n"
                "            if sorted(t)[-2:] != [0.0, 1.0]:\n"
                '                raise NotThereYet("a target that is not one label")\n'
                "            label = t.index(1.0) - 1\n"
                "            t[:] = [0.0] * len(t)\n"
                "            t[label] = 1.0\n",
            ),
        ),
        at("none", "loss"),
        loses("cross_entropy", "negative_log_likelihood"),
        cases=200,
    ),
    Planted(
        "BP310",
        "half squared error reported without its half",
        (net(HALF, HALF.replace("0.5 * (a - t) * (a - t)", "(a - t) * (a - t)")),),
        at("none", "loss"),
        loses("half_squared_error"),
    ),
    Planted(
        "BP310",
        "the loss is a sum where the gradients are a mean",
        (net(RETURN, RETURN.replace("loss / divisor", "loss")),),
        at("none", "loss"),
        mean,
    ),
    Planted(
        "BP310",
        "the loss is halved",
        (net(RETURN, RETURN.replace("loss / divisor", "0.5 * loss / divisor")),),
        at("none", "loss"),
    ),
]

_TOTALS = """    neurons = [neuron for layer in network.layers for neuron in layer.neurons]
    totals = [([0.0] * len(neuron.weights), 0.0) for neuron in neurons]

"""
_ONLINE = (
    BACK
    + """        for k, neuron in enumerate(neurons):
            neuron.update(network.learning_rate)
            weights, bias = totals[k]
            summed = [sum_i + g for sum_i, g in zip(weights, neuron.weight_gradients)]
            totals[k] = (summed, bias + neuron.bias_gradient)
            neuron.reset_gradients()
"""
)

BATCH_BUGS = [
    Planted(
        "BP401",
        "gradients of the sum, loss of the mean",
        (net(BACK, BACK.replace("divisor", "1.0")),),
        at("output", "delta"),
        mean,
    ),
    Planted(
        "BP401",
        "the sum for the mean, in the loss as well",
        (net('float(len(samples)) if reduction == "mean" else 1.0', "1.0"),),
        at("none", "loss"),
        mean,
    ),
    Planted(
        "BP402",
        "gradients of the mean, loss of the sum",
        (net(BACK, BACK.replace("divisor", "len(samples)")),),
        at("output", "delta"),
        total,
    ),
    Planted(
        "BP402",
        "the mean for the sum, in the loss as well",
        (net('float(len(samples)) if reduction == "mean" else 1.0', "float(len(samples))"),),
        at("none", "loss"),
        total,
    ),
    Planted(
        "BP403",
        "gradients divided once more at the end",
        (
            net(
                RECORD,
                "    for layer in network.layers:\n        for neuron in layer.neurons:\n"
                "            neuron.weight_gradients = [g / divisor for g in neuron.weight_gradients]\n"
                "            neuron.bias_gradient /= divisor\n" + RECORD,
            ),
        ),
        at("output", "weight_gradient", "bias_gradient"),
        mean,
    ),
    Planted(
        "BP403",
        "deltas divided twice",
        (net(BACK, BACK.replace("divisor", "divisor * divisor")),),
        at("output", "delta"),
        mean,
    ),
    Planted(
        "BP404",
        "the last sample overwrites",
        (net(SUMS, SUMS.replace("+=", "=")),),
        at("output", "weight_gradient", "bias_gradient"),
        many,
    ),
    Planted(
        "BP405",
        "the first sample only",
        (
            net(
                "        for i, x in enumerate(inputs):\n",
                "        if self.filled:\n            return\n        self.filled = True\n"
                "        for i, x in enumerate(inputs):\n",
            ),
            net(
                "        self.bias_gradient = 0.0\n", "        self.bias_gradient = 0.0\n        self.filled = False\n"
            ),
        ),
        at("output", "weight_gradient", "bias_gradient"),
        many,
    ),
    Planted(
        "BP406",
        "gradients never set back to 0",
        (net(RESET, "    loss = 0.0\n"),),
        at("any", "updated_weight", "updated_bias"),
        again,
    ),
    Planted(
        "BP406",
        "bias gradients never set back to 0",
        (
            net(
                RESET,
                "    for layer in network.layers:\n        for neuron in layer.neurons:\n"
                "            neuron.weight_gradients = [0.0] * len(neuron.weight_gradients)\n    loss = 0.0\n",
            ),
        ),
        at("any", "updated_bias"),
        again,
    ),
    Planted(
        "BP407",
        "weights summed, biases averaged",
        (
            net(
                RECORD,
                "    for layer in network.layers:\n        for neuron in layer.neurons:\n"
                "            neuron.weight_gradients = [g * divisor for g in neuron.weight_gradients]\n"
                "            neuron.bias_gradient *= divisor / len(samples)\n" + RECORD,
            ),
        ),
        at("output", "weight_gradient", "bias_gradient"),
        many,
    ),
    Planted(
        "BP408",
        "every sample updates at once",
        (
            net(RESET, RESET + _TOTALS),
            net(BACK, _ONLINE),
            net(
                RECORD,
                "    for neuron, (weights, bias) in zip(neurons, totals):\n"
                "        neuron.weight_gradients, neuron.bias_gradient = weights, bias\n" + RECORD,
            ),
            net(READ, READ + "        network.learning_rate = learning_rate\n"),
            net(UPDATE, ""),
        ),
        at("any", "z"),
        both(updates, many),
    ),
    Planted(
        "BP408",
        "training goes sample by sample, the reported gradients are the batch's",
        (
            net(
                UPDATE,
                "        for inputs, targets in samples:\n"
                "            network.reset_gradients()\n"
                "            network.forward(inputs)\n"
                "            network.backward(targets, divisor)\n    " + UPDATE,
            ),
        ),
        at("any", "updated_weight", "updated_bias"),
        both(updates, many),
    ),
    Planted(
        "BP409",
        "bias gradients live on from case to case",
        (
            net(
                RECORD,
                "    for index, layer in enumerate(network.layers):\n"
                "        for j, neuron in enumerate(layer.neurons):\n"
                "            neuron.bias_gradient += KEPT.get((index, j), 0.0)\n"
                "            KEPT[index, j] = neuron.bias_gradient\n" + RECORD,
            ),
            net("def gradients(", "KEPT: dict[Any, float] = {}\n\n\ndef gradients("),
        ),
        at("any", "bias_gradient"),
    ),
    Planted(
        "BP409",
        "the loss is added to that of the case before",
        (
            net("    loss = 0.0\n    input_gradients", "    loss = KEPT[0]\n    input_gradients"),
            net(RETURN, "    KEPT[0] = loss\n" + RETURN),
            net("def gradients(", "KEPT = [0.0]\n\n\ndef gradients("),
        ),
        at("none", "loss"),
    ),
]

UPDATE_BUGS = [
    Planted(
        "BP501",
        "up the slope",
        (net(UPDATE_WEIGHT, UPDATE_WEIGHT.replace("-=", "+=")), net(UPDATE_BIAS, UPDATE_BIAS.replace("-=", "+="))),
        at("any", "updated_weight", "updated_bias"),
        updates,
    ),
    Planted(
        "BP502",
        "no learning rate",
        (
            net(UPDATE_WEIGHT, UPDATE_WEIGHT.replace("learning_rate * ", "")),
            net(UPDATE_BIAS, UPDATE_BIAS.replace("learning_rate * ", "")),
        ),
        at("any", "updated_weight", "updated_bias"),
        updates,
    ),
    Planted(
        "BP503",
        "the learning rate twice",
        (net(UPDATE, UPDATE.replace("(learning_rate)", "(learning_rate * learning_rate)")),),
        at("any", "updated_weight", "updated_bias"),
        updates,
    ),
    Planted("BP504", "biases stay", (net(UPDATE_BIAS, ""),), at("any", "updated_bias"), updates),
    Planted(
        "BP505",
        "gradients taken again after the update",
        (
            net(
                UPDATE,
                UPDATE + "        if step == 0:\n            after = one_pass(network, samples, divisor)\n"
                '            for record, late in zip(reply["layers"], after["layers"]):\n'
                '                record["gradients"] = late["gradients"]\n',
            ),
        ),
        at("output", "weight_gradient", "bias_gradient"),
        updates,
    ),
    Planted(
        "BP505",
        "the whole pass reported after the update",
        (
            net(
                UPDATE,
                UPDATE + "        if step == 0:\n            reply.update(one_pass(network, samples, divisor))\n",
            ),
        ),
        at("any", "z"),
        updates,
        cases=60,
    ),
    Planted(
        "BP519",
        "only the first layer is updated",
        (net(EVERY_LAYER, EVERY_LAYER.replace("self.layers:", "self.layers[:1]:")),),
        at("later", "updated_weight", "updated_bias"),
        both(updates, deep),
    ),
]

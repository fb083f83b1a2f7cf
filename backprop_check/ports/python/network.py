"""A neural network of dense layers and its backpropagation, neuron by neuron, in plain Python.

Read it from top to bottom:

1. Activations   what a neuron makes of its weighted sum, and the slope of that
2. Losses        how wrong the output is, and the slope of that
3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
4. Layer         neurons that read the same inputs
5. Network       layers one after the other: forward, backward, update
6. backprop      from a case of backprop-check to its reply

The names are the field's: ``z`` is a neuron's weighted sum plus its bias, ``a`` its activation, ``t`` a
target, and ``delta`` is dL/dz, the slope of the loss L with regard to z. There are no arrays, only lists of
numbers, and nothing is imported but the standard library. Optimizers beyond the plain step down the slope, clipping and
penalties are in optimizers.py.
"""

from __future__ import annotations

import math
from typing import Any

from optimizers import OPTIMIZERS, Clip, Optimizer, Penalty

Numbers = list[float]
Sample = tuple[Numbers, Numbers]  # the inputs and the targets


# --------------------------------------------------------------------------------------------------
# 1. Activations
# --------------------------------------------------------------------------------------------------


class Activation:
    """A function of one neuron's z, and its derivative. Softmax, further down, is one of a whole layer's."""

    alpha = 0.0  # the slope parameter of leaky_relu and elu; a layer of a case may bring its own

    def value(self, z: float) -> float:
        """Give a, the activation."""
        raise NotImplementedError

    def derivative(self, z: float, a: float) -> float:
        """Give da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other."""
        raise NotImplementedError

    def activate(self, z: Numbers) -> Numbers:
        """Give the activations of a layer: here every neuron's for itself."""
        return [self.value(z_j) for z_j in z]

    def deltas(self, z: Numbers, a: Numbers, dloss_da: Numbers) -> Numbers:
        """Give dL/dz of a layer from its dL/da. The chain rule: dL/dz = dL/da * da/dz."""
        return [slope * self.derivative(z_j, a_j) for z_j, a_j, slope in zip(z, a, dloss_da)]


class Identity(Activation):
    """No activation: a = z."""

    def value(self, z: float) -> float:
        return z

    def derivative(self, z: float, a: float) -> float:
        return 1.0


class Sigmoid(Activation):
    """1 / (1 + e^-z): any number squeezed into 0..1."""

    def value(self, z: float) -> float:
        # e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
        if z >= 0.0:
            return 1.0 / (1.0 + math.exp(-z))
        power = math.exp(z)
        return power / (1.0 + power)

    def derivative(self, z: float, a: float) -> float:
        return a * (1.0 - a)


class Tanh(Activation):
    """The hyperbolic tangent: any number squeezed into -1..1."""

    def value(self, z: float) -> float:
        return math.tanh(z)

    def derivative(self, z: float, a: float) -> float:
        return 1.0 - a * a


class ReLU(Activation):
    """z where it is positive, else 0."""

    def value(self, z: float) -> float:
        return max(0.0, z)

    def derivative(self, z: float, a: float) -> float:
        # At z = 0 there is a kink and no slope. 0 is the usual convention.
        return 1.0 if z > 0.0 else 0.0


class LeakyReLU(Activation):
    """Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead."""

    alpha = 0.01

    def value(self, z: float) -> float:
        return z if z > 0.0 else self.alpha * z

    def derivative(self, z: float, a: float) -> float:
        return 1.0 if z > 0.0 else self.alpha


class ELU(Activation):
    """Like ReLU, but bending smoothly to -alpha on the negative side."""

    alpha = 1.0

    def value(self, z: float) -> float:
        # expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
        return z if z > 0.0 else self.alpha * math.expm1(z)

    def derivative(self, z: float, a: float) -> float:
        return 1.0 if z > 0.0 else self.alpha * math.exp(z)


class Softplus(Activation):
    """ln(1 + e^z): a smooth ReLU."""

    def value(self, z: float) -> float:
        # The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x.
        return max(0.0, z) + math.log1p(math.exp(-abs(z)))

    def derivative(self, z: float, a: float) -> float:
        return SIGMOID.value(z)


class Softsign(Activation):
    """z / (1 + |z|): like tanh, but slower to reach -1 and 1."""

    def value(self, z: float) -> float:
        return z / (1.0 + abs(z))

    def derivative(self, z: float, a: float) -> float:
        return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z)))


class SiLU(Activation):
    """z * sigmoid(z), also called swish."""

    def value(self, z: float) -> float:
        return z * SIGMOID.value(z)

    def derivative(self, z: float, a: float) -> float:
        s = SIGMOID.value(z)
        return s + z * s * (1.0 - s)  # the product rule


class GELU(Activation):
    """z * P(z), where P(z) is the probability that a standard normal number is below z."""

    def probability(self, z: float) -> float:
        """Give P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z."""
        return 0.5 * math.erfc(-z / math.sqrt(2.0))

    def value(self, z: float) -> float:
        return z * self.probability(z)

    def derivative(self, z: float, a: float) -> float:
        density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)  # the bell curve: dP/dz
        return self.probability(z) + z * density  # the product rule


class HardTanh(Activation):
    """z, cut off at -1 and 1."""

    def value(self, z: float) -> float:
        return min(1.0, max(-1.0, z))

    def derivative(self, z: float, a: float) -> float:
        return 1.0 if -1.0 < z < 1.0 else 0.0


class Softmax(Activation):
    """e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1."""

    def activate(self, z: Numbers) -> Numbers:
        # Taking the largest z off all of them changes no quotient, and no power can overflow.
        largest = max(z)
        powers = [math.exp(z_j - largest) for z_j in z]
        total = add_up(powers)
        return [power / total for power in powers]

    def deltas(self, z: Numbers, a: Numbers, dloss_da: Numbers) -> Numbers:
        # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        # Summed over all j that is a_k * (dL/da_k - average), where
        average = add_up([slope * a_j for slope, a_j in zip(dloss_da, a)])
        return [a_k * (slope - average) for slope, a_k in zip(dloss_da, a)]


class LogSoftmax(Activation):
    """The natural logarithm of softmax, without ever taking the logarithm of a 0."""

    def activate(self, z: Numbers) -> Numbers:
        largest = max(z)
        total = add_up([math.exp(z_j - largest) for z_j in z])
        return [z_j - largest - math.log(total) for z_j in z]

    def deltas(self, z: Numbers, a: Numbers, dloss_da: Numbers) -> Numbers:
        # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        total = add_up(dloss_da)
        return [slope - math.exp(a_k) * total for slope, a_k in zip(dloss_da, a)]


def add_up(numbers: Numbers) -> float:
    """Give the sum, from left to right. (The built-in ``sum`` rounds differently in newer Pythons.)"""
    total = 0.0
    for number in numbers:
        total += number
    return total


SIGMOID = Sigmoid()
SOFTPLUS = Softplus()
LOG_SOFTMAX = LogSoftmax()

ACTIVATIONS: dict[str, type[Activation]] = {
    "identity": Identity,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "softplus": Softplus,
    "softsign": Softsign,
    "silu": SiLU,
    "gelu": GELU,
    "hard_tanh": HardTanh,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
}


# --------------------------------------------------------------------------------------------------
# 2. Losses
# --------------------------------------------------------------------------------------------------


class Loss:
    """How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'."""

    mean_over_outputs = False  # True: that sum is divided by the number of outputs
    threshold = 0.0  # the parameter of huber; a case may bring its own

    def term(self, a: float, t: float) -> float:
        """Give one output's part of the loss."""
        raise NotImplementedError

    def derivative(self, a: float, t: float) -> float:
        """Give the derivative of that part with regard to a."""
        raise NotImplementedError

    def of_sample(self, a: Numbers, t: Numbers) -> float:
        """Give the loss of one sample."""
        total = add_up([self.term(a_k, t_k) for a_k, t_k in zip(a, t)])
        return total / len(a) if self.mean_over_outputs else total

    def dloss_da(self, a: Numbers, t: Numbers) -> Numbers:
        """Give dL/da of every output, where L is the loss of this one sample."""
        slopes = [self.derivative(a_k, t_k) for a_k, t_k in zip(a, t)]
        return [slope / len(a) for slope in slopes] if self.mean_over_outputs else slopes


class HalfSquaredError(Loss):
    """Half the square of the error a - t; the half is there to cancel the 2 of the derivative."""

    def term(self, a: float, t: float) -> float:
        return 0.5 * (a - t) * (a - t)

    def derivative(self, a: float, t: float) -> float:
        return a - t


class SquaredError(Loss):
    """The square of the error."""

    def term(self, a: float, t: float) -> float:
        return (a - t) * (a - t)

    def derivative(self, a: float, t: float) -> float:
        return 2.0 * (a - t)


class MeanSquaredError(SquaredError):
    """The square of the error, averaged over the outputs."""

    mean_over_outputs = True


class MeanAbsoluteError(Loss):
    """The size of the error, averaged over the outputs."""

    mean_over_outputs = True

    def term(self, a: float, t: float) -> float:
        return abs(a - t)

    def derivative(self, a: float, t: float) -> float:
        return sign(a - t)


class Huber(Loss):
    """Half the square of a small error; a straight line from there on for a large one."""

    mean_over_outputs = True
    threshold = 1.0

    def term(self, a: float, t: float) -> float:
        error = abs(a - t)
        if error <= self.threshold:
            return 0.5 * error * error
        return self.threshold * (error - 0.5 * self.threshold)

    def derivative(self, a: float, t: float) -> float:
        error = a - t
        if abs(error) <= self.threshold:
            return error
        return self.threshold * sign(error)


class BinaryCrossEntropy(Loss):
    """-[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1."""

    def term(self, a: float, t: float) -> float:
        return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a))

    def derivative(self, a: float, t: float) -> float:
        return -(divide(t, a) - divide(1.0 - t, 1.0 - a))


class CrossEntropy(Loss):
    """-t ln a: how surprising t is, where the outputs a are the probabilities of the classes."""

    def term(self, a: float, t: float) -> float:
        return -times_log(t, a)

    def derivative(self, a: float, t: float) -> float:
        return -divide(t, a)


class NegativeLogLikelihood(Loss):
    """-t a: cross-entropy where the output already is a logarithm (the activation log_softmax)."""

    def term(self, a: float, t: float) -> float:
        return -t * a

    def derivative(self, a: float, t: float) -> float:
        return -t


class KLDivergence(Loss):
    """t (ln t - a): how far the forecast is from t, where the output is a logarithm (the activation log_softmax)."""

    def term(self, a: float, t: float) -> float:
        return t * (math.log(t) - a) if t > 0.0 else 0.0

    def derivative(self, a: float, t: float) -> float:
        return -t


class Hinge(Loss):
    """max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on."""

    def term(self, a: float, t: float) -> float:
        return max(0.0, 1.0 - t * a)

    def derivative(self, a: float, t: float) -> float:
        return -t if 1.0 - t * a > 0.0 else 0.0


class OneStep:
    """The output's activation and its loss in one step, from z to the loss and back.

    Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
    nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
    """

    def of_sample(self, z: Numbers, t: Numbers) -> float:
        """Give the loss of one sample."""
        raise NotImplementedError

    def deltas(self, a: Numbers, t: Numbers) -> Numbers:
        """Give dL/dz of every output."""
        raise NotImplementedError


class SigmoidWithBinaryCrossEntropy(OneStep):
    """With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z)."""

    def of_sample(self, z: Numbers, t: Numbers) -> float:
        surprises = [t_k * SOFTPLUS.value(-z_k) + (1.0 - t_k) * SOFTPLUS.value(z_k) for z_k, t_k in zip(z, t)]
        return add_up(surprises)

    def deltas(self, a: Numbers, t: Numbers) -> Numbers:
        # dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
        return [a_k - t_k for a_k, t_k in zip(a, t)]


class SoftmaxWithCrossEntropy(OneStep):
    """With a = softmax(z), ln a is log_softmax(z)."""

    def of_sample(self, z: Numbers, t: Numbers) -> float:
        return add_up([-t_k * log_a for t_k, log_a in zip(t, LOG_SOFTMAX.activate(z))])

    def deltas(self, a: Numbers, t: Numbers) -> Numbers:
        # Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
        total = add_up(t)  # 1 for probabilities, and then this is the well-known a - t
        return [a_k * total - t_k for a_k, t_k in zip(a, t)]


def sign(x: float) -> float:
    """Give 1, -1, or 0 at the kink of |x|, where there is no slope."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0


def times_log(t: float, p: float) -> float:
    """Give t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity."""
    if t == 0.0:
        return 0.0
    if p > 0.0:
        return t * math.log(p)
    return -t * math.inf if p == 0.0 else math.nan


def divide(t: float, p: float) -> float:
    """Give t / p, the derivative of t ln p with regard to p."""
    if t == 0.0:
        return 0.0
    return t / p if p != 0.0 else t * math.inf


LOSSES: dict[str, type[Loss]] = {
    "half_squared_error": HalfSquaredError,
    "squared_error": SquaredError,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "binary_cross_entropy": BinaryCrossEntropy,
    "cross_entropy": CrossEntropy,
    "negative_log_likelihood": NegativeLogLikelihood,
    "hinge": Hinge,
    "kl_divergence": KLDivergence,
}

IN_ONE_STEP: dict[tuple[str, str], OneStep] = {
    ("sigmoid", "binary_cross_entropy"): SigmoidWithBinaryCrossEntropy(),
    ("softmax", "cross_entropy"): SoftmaxWithCrossEntropy(),
}


# --------------------------------------------------------------------------------------------------
# 3. Neuron
# --------------------------------------------------------------------------------------------------


class Neuron:
    """One neuron: a weight for each of its inputs, and a bias."""

    def __init__(self, weights: Numbers, bias: float) -> None:
        """Start with these parameters."""
        self.weights = weights
        self.bias = bias
        self.reset_gradients()

    def reset_gradients(self) -> None:
        """Start the sums over the samples at 0."""
        self.weight_gradients = [0.0] * len(self.weights)
        self.bias_gradient = 0.0

    def weighted_sum(self, inputs: Numbers) -> float:
        """Forward: give z, every input times its weight, plus the bias."""
        z = self.bias
        for weight, x in zip(self.weights, inputs):
            z += weight * x
        return z

    def add_gradients(self, delta: float, inputs: Numbers) -> None:
        """Backward: add one sample's part to the gradients.

        A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
        """
        # EXERCISE BEGIN gradients
        for i, x in enumerate(inputs):
            self.weight_gradients[i] += delta * x
        self.bias_gradient += delta
        # EXERCISE END gradients

    def update(self, learning_rate: float) -> None:
        """Take one step down the slope."""
        # EXERCISE BEGIN update
        for i, gradient in enumerate(self.weight_gradients):
            self.weights[i] -= learning_rate * gradient
        self.bias -= learning_rate * self.bias_gradient
        # EXERCISE END update


# --------------------------------------------------------------------------------------------------
# 4. Layer
# --------------------------------------------------------------------------------------------------


class Layer:
    """Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a."""

    def __init__(self, neurons: list[Neuron], activation: Activation) -> None:
        """Put the neurons side by side."""
        self.neurons = neurons
        self.activation = activation
        self.inputs: Numbers = []
        self.z: Numbers = []
        self.a: Numbers = []
        self.delta: Numbers = []

    def forward(self, inputs: Numbers) -> Numbers:
        """Give the activations of all neurons for one sample."""
        self.inputs = inputs
        self.z = [neuron.weighted_sum(inputs) for neuron in self.neurons]
        self.a = self.activation.activate(self.z)
        return self.a

    def backward(self, delta: Numbers) -> Numbers:
        """Add to the gradients, and give dL/dx of every input x: that is dL/da of the layer before.

        Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
        dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
        """
        self.delta = delta
        for neuron, delta_j in zip(self.neurons, delta):
            neuron.add_gradients(delta_j, self.inputs)

        dloss_dx = [0.0] * len(self.inputs)
        # EXERCISE BEGIN hidden delta
        for neuron, delta_j in zip(self.neurons, delta):
            for i, weight in enumerate(neuron.weights):
                dloss_dx[i] += delta_j * weight
        # EXERCISE END hidden delta
        return dloss_dx


# --------------------------------------------------------------------------------------------------
# 5. Network
# --------------------------------------------------------------------------------------------------


class Network:
    """Layers, each reading the activations of the one before."""

    def __init__(self, layers: list[Layer], loss: Loss, one_step: OneStep | None) -> None:
        """Put the layers one after the other."""
        self.layers = layers
        self.loss = loss
        self.one_step = one_step
        self.penalty: Penalty | None = None
        self.optimizer: Optimizer | None = None  # None: plain steps down the slope
        self.clip: Clip | None = None

    def forward(self, inputs: Numbers) -> Numbers:
        """Give the output of the network for one sample."""
        for layer in self.layers:
            inputs = layer.forward(inputs)
        return inputs

    def sample_loss(self, targets: Numbers) -> float:
        """Give the loss of the sample that went forward last."""
        output = self.layers[-1]
        if self.one_step:
            return self.one_step.of_sample(output.z, targets)
        return self.loss.of_sample(output.a, targets)

    def output_deltas(self, targets: Numbers) -> Numbers:
        """Give dL/dz of the output neurons, where backward begins."""
        output = self.layers[-1]
        # EXERCISE BEGIN output delta: return [0.0] * len(output.z)
        if self.one_step:
            return self.one_step.deltas(output.a, targets)
        return output.activation.deltas(output.z, output.a, self.loss.dloss_da(output.a, targets))
        # EXERCISE END output delta

    def backward(self, targets: Numbers, divisor: float) -> Numbers:
        """Send one sample's loss back through the network, last layer first. Give dL/dx of the inputs.

        The batch's loss is the mean of its samples' losses, or their sum: ``divisor`` is their number, or 1.
        """
        delta = [delta_k / divisor for delta_k in self.output_deltas(targets)]
        dloss_dx = self.layers[-1].backward(delta)
        for layer in reversed(self.layers[:-1]):
            # What the inputs of the layer after get back is what the activations of this one get back.
            # EXERCISE BEGIN hidden delta: delta = [0.0] * len(layer.z)
            delta = layer.activation.deltas(layer.z, layer.a, dloss_dx)
            # EXERCISE END hidden delta
            dloss_dx = layer.backward(delta)
        return dloss_dx

    def update(self, learning_rate: float) -> None:
        """Take one step down the slope, once all gradients are there."""
        if self.optimizer:
            self.train(self.optimizer, learning_rate)
            return
        for layer in self.layers:
            for neuron in layer.neurons:
                neuron.update(learning_rate)

    def train(self, optimizer: Optimizer, learning_rate: float) -> None:
        """Take the step of an optimizer that is more than that."""
        clip = self.clip
        if clip:
            clip.measure(self.all_gradients())
        optimizer.begin_step()
        for l, layer in enumerate(self.layers):
            for j, neuron in enumerate(layer.neurons):
                for i, gradient in enumerate(neuron.weight_gradients):
                    gradient = clip.clipped(gradient) if clip else gradient
                    neuron.weights[i] = optimizer.updated((l, j, i), neuron.weights[i], gradient, learning_rate)
                gradient = clip.clipped(neuron.bias_gradient) if clip else neuron.bias_gradient
                neuron.bias = optimizer.updated((l, j, -1), neuron.bias, gradient, learning_rate)

    def all_gradients(self) -> Numbers:
        """Give every gradient of the network."""
        neurons = [neuron for layer in self.layers for neuron in layer.neurons]
        return [g for neuron in neurons for g in [*neuron.weight_gradients, neuron.bias_gradient]]

    def penalize(self, penalty: Penalty) -> float:
        """Add a penalty's part to the gradients, and give its part of the loss."""
        total = 0.0
        for neuron in [neuron for layer in self.layers for neuron in layer.neurons]:
            for i, weight in enumerate(neuron.weights):
                total += penalty.value(weight)
                neuron.weight_gradients[i] += penalty.slope(weight)
            if penalty.biases:
                total += penalty.value(neuron.bias)
                neuron.bias_gradient += penalty.slope(neuron.bias)
        return total


# --------------------------------------------------------------------------------------------------
# 6. From a case of backprop-check to its reply
# --------------------------------------------------------------------------------------------------


class NotThereYet(Exception):  # noqa: N818
    """The case asks for something that this program has not learnt."""


def backprop(case: dict[str, Any]) -> dict[str, Any]:
    """Work out one case of backprop-check, and reply with all that the protocol knows."""
    try:
        network = build_network(case)
        steps, learning_rate = read_optimizer(case)
        samples, divisor = read_batch(case)
    except NotThereYet as reason:
        return {"id": case.get("id"), "skip": str(reason)}

    # Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    reply = {"id": case.get("id"), **penalized_pass(network, samples, divisor)}
    if steps is None:
        return reply

    trajectory = []
    loss = reply["loss"]
    for step in range(steps):
        if step > 0:
            learning_rate = rate_of(case, step)
            loss = penalized_pass(network, samples, divisor)["loss"]
        network.update(learning_rate)
        updated = [{"updated": parameters(layer)} for layer in network.layers]
        trajectory.append({"loss": loss, "layers": updated})
    for layer, layer_reply in zip(network.layers, reply["layers"]):
        layer_reply["updated"] = parameters(layer)
    if steps > 1:
        reply["trajectory"] = trajectory
    return reply


def one_pass(network: Network, samples: list[Sample], divisor: float) -> dict[str, Any]:
    """Send every sample forward and backward, and write down what came out of it."""
    for layer in network.layers:
        for neuron in layer.neurons:
            neuron.reset_gradients()

    loss = 0.0
    input_gradients = []
    layers: list[dict[str, Any]] = [{"z": [], "a": [], "delta": []} for _ in network.layers]
    for inputs, targets in samples:
        network.forward(inputs)
        loss += network.sample_loss(targets)
        input_gradients.append(network.backward(targets, divisor))
        for layer, record in zip(network.layers, layers):
            record["z"].append(layer.z)
            record["a"].append(layer.a)
            record["delta"].append(layer.delta)

    for layer, record in zip(network.layers, layers):
        record["gradients"] = {
            "weights": [list(neuron.weight_gradients) for neuron in layer.neurons],
            "biases": [neuron.bias_gradient for neuron in layer.neurons],
        }
    return {"loss": loss / divisor, "layers": layers, "input_gradients": input_gradients}


def penalized_pass(network: Network, samples: list[Sample], divisor: float) -> dict[str, Any]:
    """The same, with the penalty for large parameters that the loss may have."""
    result = one_pass(network, samples, divisor)
    if network.penalty:
        result["loss"] += network.penalize(network.penalty)
        for layer, record in zip(network.layers, result["layers"]):
            record["gradients"]["weights"] = [list(neuron.weight_gradients) for neuron in layer.neurons]
            record["gradients"]["biases"] = [neuron.bias_gradient for neuron in layer.neurons]
    return result


def parameters(layer: Layer) -> dict[str, Any]:
    """Give a copy of the layer's weights and biases as they are now."""
    return {
        "weights": [list(neuron.weights) for neuron in layer.neurons],
        "biases": [neuron.bias for neuron in layer.neurons],
    }


def build_network(case: dict[str, Any]) -> Network:
    """Build the network that the case describes."""
    layers = [build_layer(layer) for layer in case["network"]["layers"]]

    kind = known(case["loss"]["kind"], list(LOSSES), "loss")
    loss = LOSSES[kind]()
    if case["loss"].get("threshold") is not None:
        loss.threshold = float(case["loss"]["threshold"])

    one_step = IN_ONE_STEP.get((case["network"]["layers"][-1]["activation"], kind))
    network = Network(layers, loss, one_step)
    if case.get("regularization"):
        network.penalty = Penalty(case["regularization"])
    if case.get("clip"):
        network.clip = Clip(case["clip"])
    network.optimizer = build_optimizer(case)
    return network


def build_layer(layer: dict[str, Any]) -> Layer:
    """Build one layer with the parameters that the case gives it."""
    known(layer["kind"], ["dense"], "layer")
    if "from" in layer or "combine" in layer:
        raise NotThereYet("a layer that reads another one than the one before it is not there yet")

    activation = ACTIVATIONS[known(layer["activation"], list(ACTIVATIONS), "activation")]()
    if layer.get("alpha") is not None:
        activation.alpha = float(layer["alpha"])

    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]
    return Layer([Neuron(read_numbers(row), float(bias)) for row, bias in zip(weights, biases)], activation)


def read_optimizer(case: dict[str, Any]) -> tuple[int | None, float]:
    """Give the number of steps (None: no update is asked for) and the learning rate of the first."""
    if not case.get("optimizer"):
        return None, 0.0
    return case.get("steps", 1), rate_of(case, 0)


def rate_of(case: dict[str, Any], step: int) -> float:
    """Give the learning rate of a step: there is one for all, or a list with one for each."""
    rate = case["optimizer"]["learning_rate"]
    return float(rate[step] if isinstance(rate, list) else rate)


def build_optimizer(case: dict[str, Any]) -> Optimizer | None:
    """Give what makes the updates; None where they are plain steps down the slope, or where there are none."""
    settings = case.get("optimizer")
    if not settings:
        return None
    kind = known(settings["kind"], list(OPTIMIZERS), "optimizer")
    options = ("momentum", "dampening", "nesterov", "weight_decay")
    if kind == "sgd" and not case.get("clip") and not any(settings.get(option) for option in options):
        return None
    return OPTIMIZERS[kind](settings)


def read_batch(case: dict[str, Any]) -> tuple[list[Sample], float]:
    """Give the samples, and what to divide by to get from the sum of their losses to the batch's loss."""
    samples = [(read_numbers(x), read_numbers(t)) for x, t in zip(case["inputs"], case["targets"])]
    reduction = known(case.get("reduction", "mean"), ["mean", "sum"], "reduction")
    return samples, float(len(samples)) if reduction == "mean" else 1.0


def known(word: str, words: list[str], what: str) -> str:
    """Give the word if we know it."""
    if word not in words:
        raise NotThereYet(f"the {what} {word} is not there yet")
    return word


def read_numbers(numbers: list[Any]) -> Numbers:
    """Give floats. JSON has no NaN and no infinity, so these come as text, which ``float`` reads as well."""
    return [float(number) for number in numbers]

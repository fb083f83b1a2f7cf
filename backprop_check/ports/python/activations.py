"""Activations: what a layer makes of its pre-activations z, and the way back.

``a`` is a neuron's activation, and ``delta`` is dL/dz, the slope of the loss L with regard to z.
"""

from __future__ import annotations

import math

from mathematics import Numbers, add_up


class Activation:
    """What a layer makes of its z, and the way back."""

    alpha = 0.0  # the slope parameter of leaky_relu and elu; a layer of a case may bring its own

    def activate(self, z: Numbers) -> Numbers:
        """Give a, the activations of a layer."""
        raise NotImplementedError

    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:
        """Give dL/dz of a layer from its dL/da."""
        raise NotImplementedError


class NeuronActivation(Activation):
    """A function of one neuron's z, and its derivative. Most activations are of this kind."""

    def value(self, z: float) -> float:
        """Give a, the activation."""
        raise NotImplementedError

    def derivative(self, z: float, a: float) -> float:
        """Give da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other."""
        raise NotImplementedError

    def activate(self, z: Numbers) -> Numbers:
        return [self.value(z_j) for z_j in z]

    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:
        # The chain rule: dL/dz = dL/da * da/dz.
        return [gradient * self.derivative(z_j, a_j) for z_j, a_j, gradient in zip(z, a, activation_gradients)]


class Identity(NeuronActivation):
    """No activation: a = z."""

    def value(self, z: float) -> float:
        return z

    def derivative(self, z: float, a: float) -> float:
        return 1.0


class Sigmoid(NeuronActivation):
    """1 / (1 + e^-z): any number squeezed into 0..1."""

    def value(self, z: float) -> float:
        return sigmoid(z)

    def derivative(self, z: float, a: float) -> float:
        return a * (1.0 - a)


class Tanh(NeuronActivation):
    """The hyperbolic tangent: any number squeezed into -1..1."""

    def value(self, z: float) -> float:
        return math.tanh(z)

    def derivative(self, z: float, a: float) -> float:
        return 1.0 - a * a


class ReLU(NeuronActivation):
    """z where it is positive, else 0."""

    def value(self, z: float) -> float:
        return max(0.0, z)

    def derivative(self, z: float, a: float) -> float:
        # At z = 0 there is a kink and no slope. 0 is the usual convention.
        return 1.0 if z > 0.0 else 0.0


class LeakyReLU(NeuronActivation):
    """Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead."""

    alpha = 0.01

    def value(self, z: float) -> float:
        return z if z > 0.0 else self.alpha * z

    def derivative(self, z: float, a: float) -> float:
        return 1.0 if z > 0.0 else self.alpha


class ELU(NeuronActivation):
    """Like ReLU, but bending smoothly to -alpha on the negative side."""

    alpha = 1.0

    def value(self, z: float) -> float:
        # expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
        return z if z > 0.0 else self.alpha * math.expm1(z)

    def derivative(self, z: float, a: float) -> float:
        return 1.0 if z > 0.0 else self.alpha * math.exp(z)


class Softplus(NeuronActivation):
    """ln(1 + e^z): a smooth ReLU."""

    def value(self, z: float) -> float:
        return softplus(z)

    def derivative(self, z: float, a: float) -> float:
        return sigmoid(z)


class Softsign(NeuronActivation):
    """z / (1 + |z|): like tanh, but slower to reach -1 and 1."""

    def value(self, z: float) -> float:
        return z / (1.0 + abs(z))

    def derivative(self, z: float, a: float) -> float:
        return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z)))


class SiLU(NeuronActivation):
    """z * sigmoid(z), also called swish."""

    def value(self, z: float) -> float:
        return z * sigmoid(z)

    def derivative(self, z: float, a: float) -> float:
        s = sigmoid(z)
        return s + z * s * (1.0 - s)  # the product rule


class GELU(NeuronActivation):
    """z * P(z), where P(z) is the probability that a standard normal number is below z."""

    def value(self, z: float) -> float:
        return z * normal_probability(z)

    def derivative(self, z: float, a: float) -> float:
        return normal_probability(z) + z * normal_density(z)  # the product rule


class HardTanh(NeuronActivation):
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

    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:
        # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        # Summed over all j that is a_k * (dL/da_k - average), where
        average = add_up([gradient * a_j for gradient, a_j in zip(activation_gradients, a)])
        return [a_k * (gradient - average) for gradient, a_k in zip(activation_gradients, a)]


class LogSoftmax(Activation):
    """The natural logarithm of softmax, without ever taking the logarithm of a 0."""

    def activate(self, z: Numbers) -> Numbers:
        return log_softmax(z)

    def deltas(self, z: Numbers, a: Numbers, activation_gradients: Numbers) -> Numbers:
        # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        total = add_up(activation_gradients)
        return [gradient - math.exp(a_k) * total for gradient, a_k in zip(activation_gradients, a)]


def sigmoid(z: float) -> float:
    """Give 1 / (1 + e^-z)."""
    # e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    power = math.exp(z)
    return power / (1.0 + power)


def softplus(z: float) -> float:
    """Give ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x."""
    return max(0.0, z) + math.log1p(math.exp(-abs(z)))


def normal_probability(z: float) -> float:
    """Give P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_density(z: float) -> float:
    """Give dP/dz, the bell curve."""
    return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def log_softmax(z: Numbers) -> Numbers:
    """Give the natural logarithm of softmax."""
    largest = max(z)
    total = add_up([math.exp(z_j - largest) for z_j in z])
    return [z_j - largest - math.log(total) for z_j in z]


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

"""Losses: how wrong the outputs of a sample are, and the slope of that.

``a`` is an output's activation and ``t`` its target, ``z`` its pre-activation, and ``delta`` is dL/dz, the slope of the
loss L with regard to z.
"""

from __future__ import annotations

import math

from activations import log_softmax, softplus
from mathematics import Numbers, add_up, divide, sign, times_log


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

    def activation_gradients(self, a: Numbers, t: Numbers) -> Numbers:
        """Give dL/da of every output, where L is the loss of this one sample."""
        gradients = [self.derivative(a_k, t_k) for a_k, t_k in zip(a, t)]
        return [gradient / len(a) for gradient in gradients] if self.mean_over_outputs else gradients


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
        surprises = [t_k * softplus(-z_k) + (1.0 - t_k) * softplus(z_k) for z_k, t_k in zip(z, t)]
        return add_up(surprises)

    def deltas(self, a: Numbers, t: Numbers) -> Numbers:
        # dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
        return [a_k - t_k for a_k, t_k in zip(a, t)]


class SoftmaxWithCrossEntropy(OneStep):
    """With a = softmax(z), ln a is log_softmax(z)."""

    def of_sample(self, z: Numbers, t: Numbers) -> float:
        return add_up([-t_k * log_a for t_k, log_a in zip(t, log_softmax(z))])

    def deltas(self, a: Numbers, t: Numbers) -> Numbers:
        # Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
        total = add_up(t)  # 1 for probabilities, and then this is the well-known a - t
        return [a_k * total - t_k for a_k, t_k in zip(a, t)]


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

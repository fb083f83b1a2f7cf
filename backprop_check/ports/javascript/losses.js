/** Losses: how wrong the outputs of a sample are, and the slope of that. */

import { logSoftmax, softplus } from "./activations.js";
import { addUp, divide, timesLog } from "./mathematics.js";

/** How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'. */
class Loss {
  /**
   * `term(a, t)` is one output's part of the loss, of its activation a and its target t, and `derivative(a, t)` the
   * derivative of that part with regard to a. With `meanOverOutputs` the sum is divided by the number of outputs.
   */
  constructor(term, derivative, { meanOverOutputs = false } = {}) {
    this.term = term;
    this.derivative = derivative;
    this.meanOverOutputs = meanOverOutputs;
  }

  /** The loss of one sample. */
  ofSample(a, t) {
    const total = addUp(a.map((ak, k) => this.term(ak, t[k])));
    return this.meanOverOutputs ? total / a.length : total;
  }

  /** dL/da of every output, where L is the loss of this one sample. */
  activationGradients(a, t) {
    const gradients = a.map((ak, k) => this.derivative(ak, t[k]));
    return this.meanOverOutputs ? gradients.map((gradient) => gradient / a.length) : gradients;
  }
}

/** How to make each loss. Only one has a parameter. */
export const losses = {
  /** Half the square of the error a - t; the half is there to cancel the 2 of the derivative. */
  half_squared_error: () =>
    new Loss(
      (a, t) => 0.5 * (a - t) ** 2,
      (a, t) => a - t,
    ),

  /** The square of the error. */
  squared_error: () =>
    new Loss(
      (a, t) => (a - t) ** 2,
      (a, t) => 2.0 * (a - t),
    ),

  /** The square of the error, averaged over the outputs. */
  mean_squared_error: () =>
    new Loss(
      (a, t) => (a - t) ** 2,
      (a, t) => 2.0 * (a - t),
      { meanOverOutputs: true },
    ),

  /** The size of the error, averaged over the outputs. The sign is 0 at the kink, where there is no slope. */
  mean_absolute_error: () =>
    new Loss(
      (a, t) => Math.abs(a - t),
      (a, t) => Math.sign(a - t),
      { meanOverOutputs: true },
    ),

  /** Half the square of a small error; a straight line from there on for a large one. */
  huber: (threshold = 1.0) =>
    new Loss(
      (a, t) => {
        const error = Math.abs(a - t);
        return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
      },
      (a, t) => (Math.abs(a - t) <= threshold ? a - t : threshold * Math.sign(a - t)),
      { meanOverOutputs: true },
    ),

  /** -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1. */
  binary_cross_entropy: () =>
    new Loss(
      (a, t) => -(timesLog(t, a) + timesLog(1.0 - t, 1.0 - a)),
      (a, t) => -(divide(t, a) - divide(1.0 - t, 1.0 - a)),
    ),

  /** -t ln a: how surprising t is, where the outputs a are the probabilities of the classes. */
  cross_entropy: () =>
    new Loss(
      (a, t) => -timesLog(t, a),
      (a, t) => -divide(t, a),
    ),

  /** -t a: cross-entropy where the output already is a logarithm (the activation log_softmax). */
  negative_log_likelihood: () =>
    new Loss(
      (a, t) => -t * a,
      (a, t) => -t,
    ),

  /** max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on. */
  hinge: () =>
    new Loss(
      (a, t) => Math.max(0.0, 1.0 - t * a),
      (a, t) => (1.0 - t * a > 0.0 ? -t : 0.0),
    ),
};

/**
 * The output's activation and its loss in one step, from z to the loss and back: `ofSample(z, t)` is the loss of one
 * sample, and `deltas(a, t)` is dL/dz of every output.
 *
 * Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
 * nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
 */
export const inOneStep = {
  /** With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z). */
  "sigmoid + binary_cross_entropy": {
    ofSample: (z, t) => addUp(z.map((zk, k) => t[k] * softplus(-zk) + (1.0 - t[k]) * softplus(zk))),
    // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
    deltas: (a, t) => a.map((ak, k) => ak - t[k]),
  },

  /** With a = softmax(z), ln a is log_softmax(z). */
  "softmax + cross_entropy": {
    ofSample: (z, t) => addUp(logSoftmax(z).map((logA, k) => -t[k] * logA)),
    // Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
    deltas(a, t) {
      const total = addUp(t); // 1 for probabilities, and then this is the well-known a - t
      return a.map((ak, k) => ak * total - t[k]);
    },
  },
};

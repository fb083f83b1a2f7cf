/**
 * Activations and losses, each with its derivative.
 *
 * The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target.
 */

import { erfc } from "./mathematics.js";

// ------------------------------------------------------------------------------------------------
// Activations
// ------------------------------------------------------------------------------------------------

/**
 * An activation has two functions, both of a whole layer:
 *
 * - `activate(z)` gives a;
 * - `deltas(z, a, dLossDa)` gives dL/dz from dL/da.
 *
 * With most of them every neuron is on its own. `value(z)` gives its a, and `derivative(z, a)` gives da/dz: both z
 * and a are at hand, since some derivatives are simpler in one, some in the other.
 */
function ofOneNeuron(value, derivative) {
  return {
    activate: (z) => z.map((zj) => value(zj)),
    // The chain rule: dL/dz = dL/da * da/dz.
    deltas: (z, a, dLossDa) => z.map((zj, j) => dLossDa[j] * derivative(zj, a[j])),
  };
}

/** How to make each activation. Only two have a parameter. */
export const activations = {
  /** No activation: a = z. */
  identity: () =>
    ofOneNeuron(
      (z) => z,
      () => 1.0,
    ),

  /** 1 / (1 + e^-z): any number squeezed into 0..1. */
  sigmoid: () => ofOneNeuron(sigmoid, (z, a) => a * (1.0 - a)),

  /** The hyperbolic tangent: any number squeezed into -1..1. */
  tanh: () => ofOneNeuron(Math.tanh, (z, a) => 1.0 - a * a),

  /** z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention. */
  relu: () =>
    ofOneNeuron(
      (z) => Math.max(0.0, z),
      (z) => (z > 0.0 ? 1.0 : 0.0),
    ),

  /** Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead. */
  leaky_relu: (alpha = 0.01) =>
    ofOneNeuron(
      (z) => (z > 0.0 ? z : alpha * z),
      (z) => (z > 0.0 ? 1.0 : alpha),
    ),

  /** Like ReLU, but bending smoothly to -alpha. expm1(z) is e^z - 1 without the digits that the minus loses. */
  elu: (alpha = 1.0) =>
    ofOneNeuron(
      (z) => (z > 0.0 ? z : alpha * Math.expm1(z)),
      (z) => (z > 0.0 ? 1.0 : alpha * Math.exp(z)),
    ),

  /** ln(1 + e^z): a smooth ReLU. */
  softplus: () => ofOneNeuron(softplus, sigmoid),

  /** z / (1 + |z|): like tanh, but slower to reach -1 and 1. */
  softsign: () =>
    ofOneNeuron(
      (z) => z / (1.0 + Math.abs(z)),
      (z) => 1.0 / (1.0 + Math.abs(z)) ** 2,
    ),

  /** z * sigmoid(z), also called swish. The derivative is the product rule. */
  silu: () =>
    ofOneNeuron(
      (z) => z * sigmoid(z),
      (z) => sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)),
    ),

  /** z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule. */
  gelu: () =>
    ofOneNeuron(
      (z) => z * probabilityBelow(z),
      (z) => probabilityBelow(z) + z * bellCurve(z),
    ),

  /** z, cut off at -1 and 1. */
  hard_tanh: () =>
    ofOneNeuron(
      (z) => Math.min(1.0, Math.max(-1.0, z)),
      (z) => (-1.0 < z && z < 1.0 ? 1.0 : 0.0),
    ),

  /** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
  softmax: () => ({
    activate: softmax,
    deltas(z, a, dLossDa) {
      // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
      // Summed over all j that is a_k * (dL/da_k - average), where
      const average = addUp(a.map((aj, j) => dLossDa[j] * aj));
      return a.map((ak, k) => ak * (dLossDa[k] - average));
    },
  }),

  /** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
  log_softmax: () => ({
    activate: logSoftmax,
    deltas(z, a, dLossDa) {
      // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
      const total = addUp(dLossDa);
      return a.map((ak, k) => dLossDa[k] - Math.exp(ak) * total);
    },
  }),
};

function sigmoid(z) {
  // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if (z >= 0.0) return 1.0 / (1.0 + Math.exp(-z));
  const power = Math.exp(z);
  return power / (1.0 + power);
}

/** The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x. */
function softplus(z) {
  return Math.max(0.0, z) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
function probabilityBelow(z) {
  return 0.5 * erfc(-z / Math.SQRT2);
}

/** dP/dz. */
function bellCurve(z) {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math.PI);
}

function softmax(z) {
  // Taking the largest z off all of them changes no quotient, and no power can overflow.
  const largest = Math.max(...z);
  const powers = z.map((zj) => Math.exp(zj - largest));
  const total = addUp(powers);
  return powers.map((power) => power / total);
}

function logSoftmax(z) {
  const largest = Math.max(...z);
  const total = addUp(z.map((zj) => Math.exp(zj - largest)));
  return z.map((zj) => zj - largest - Math.log(total));
}

export function addUp(numbers) {
  let total = 0.0;
  for (const number of numbers) total += number;
  return total;
}

// ------------------------------------------------------------------------------------------------
// Losses
// ------------------------------------------------------------------------------------------------

/**
 * A loss has two functions of a sample's outputs: `ofSample(a, t)`, and `dLossDa(a, t)` with its slopes.
 *
 * Each output adds a term: `term(a, t)`, with `derivative(a, t)` with regard to a. A mean loss divides by their number.
 */
function sumOfTerms(term, derivative) {
  return {
    ofSample: (a, t) => addUp(a.map((ak, k) => term(ak, t[k]))),
    dLossDa: (a, t) => a.map((ak, k) => derivative(ak, t[k])),
  };
}

function meanOfTerms(term, derivative) {
  const sum = sumOfTerms(term, derivative);
  return {
    ofSample: (a, t) => sum.ofSample(a, t) / a.length,
    dLossDa: (a, t) => sum.dLossDa(a, t).map((slope) => slope / a.length),
  };
}

/** How to make each loss. Only one has a parameter. */
export const losses = {
  /** Half the square of the error a - t; the half is there to cancel the 2 of the derivative. */
  half_squared_error: () =>
    sumOfTerms(
      (a, t) => 0.5 * (a - t) ** 2,
      (a, t) => a - t,
    ),

  /** The square of the error. */
  squared_error: () =>
    sumOfTerms(
      (a, t) => (a - t) ** 2,
      (a, t) => 2.0 * (a - t),
    ),

  /** The square of the error, averaged over the outputs. */
  mean_squared_error: () =>
    meanOfTerms(
      (a, t) => (a - t) ** 2,
      (a, t) => 2.0 * (a - t),
    ),

  /** The size of the error, averaged over the outputs. The sign is 0 at the kink, where there is no slope. */
  mean_absolute_error: () =>
    meanOfTerms(
      (a, t) => Math.abs(a - t),
      (a, t) => Math.sign(a - t),
    ),

  /** Half the square of a small error; a straight line from there on for a large one. */
  huber: (threshold = 1.0) =>
    meanOfTerms(
      (a, t) => {
        const error = Math.abs(a - t);
        return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
      },
      (a, t) => (Math.abs(a - t) <= threshold ? a - t : threshold * Math.sign(a - t)),
    ),

  /** -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1. */
  binary_cross_entropy: () =>
    sumOfTerms(
      (a, t) => -(timesLog(t, a) + timesLog(1.0 - t, 1.0 - a)),
      (a, t) => -(divide(t, a) - divide(1.0 - t, 1.0 - a)),
    ),

  /** -t ln a: how surprising t is, where the outputs a are the probabilities of the classes. */
  cross_entropy: () =>
    sumOfTerms(
      (a, t) => -timesLog(t, a),
      (a, t) => -divide(t, a),
    ),

  /** -t a: cross-entropy where the output already is a logarithm (the activation log_softmax). */
  negative_log_likelihood: () =>
    sumOfTerms(
      (a, t) => -t * a,
      (a, t) => -t,
    ),

  /** max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on. */
  hinge: () =>
    sumOfTerms(
      (a, t) => Math.max(0.0, 1.0 - t * a),
      (a, t) => (1.0 - t * a > 0.0 ? -t : 0.0),
    ),
};

/** t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity. */
function timesLog(t, p) {
  return t === 0.0 ? 0.0 : t * Math.log(p);
}

/** t / p, the derivative of t ln p with regard to p. */
function divide(t, p) {
  return t === 0.0 ? 0.0 : t / p;
}

/**
 * The output's activation and its loss in one step, from z to the loss and back: `ofSample(z, t)`, `deltas(a, t)`.
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

/**
 * Activations: what a layer makes of its pre-activations z, and the way back.
 *
 * `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.
 */

import { addUp, erfc } from "./mathematics.ts";
import type { Numbers } from "./messages.ts";

/** What a layer makes of its z, and the way back. */
export interface Activation {
  /** a, the activations of a layer. */
  activate(z: Numbers): Numbers;

  /** dL/dz of a layer, from its dL/da. */
  deltas(z: Numbers, a: Numbers, activationGradients: Numbers): Numbers;
}

/** A function of one neuron's z, and its derivative. Most activations are of this kind. */
class NeuronActivation implements Activation {
  /** a, the activation. */
  value: (z: number) => number;

  /** da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other. */
  derivative: (z: number, a: number) => number;

  constructor(value: (z: number) => number, derivative: (z: number, a: number) => number) {
    this.value = value;
    this.derivative = derivative;
  }

  activate(z: Numbers): Numbers {
    return z.map((zj) => this.value(zj));
  }

  /** The chain rule: dL/dz = dL/da * da/dz. */
  deltas(z: Numbers, a: Numbers, activationGradients: Numbers): Numbers {
    return z.map((zj, j) => activationGradients[j] * this.derivative(zj, a[j]));
  }
}

/** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
class Softmax implements Activation {
  activate(z: Numbers): Numbers {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    const largest = Math.max(...z);
    const powers = z.map((zj) => Math.exp(zj - largest));
    const total = addUp(powers);
    return powers.map((power) => power / total);
  }

  deltas(_z: Numbers, a: Numbers, activationGradients: Numbers): Numbers {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    const average = addUp(a.map((aj, j) => activationGradients[j] * aj));
    return a.map((ak, k) => ak * (activationGradients[k] - average));
  }
}

/** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
class LogSoftmax implements Activation {
  activate(z: Numbers): Numbers {
    return logSoftmax(z);
  }

  deltas(_z: Numbers, a: Numbers, activationGradients: Numbers): Numbers {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    const total = addUp(activationGradients);
    return a.map((ak, k) => activationGradients[k] - Math.exp(ak) * total);
  }
}

/** How to make each activation. Only two have a parameter. */
export const activations: Record<string, (alpha?: number) => Activation> = {
  /** No activation: a = z. */
  identity: () =>
    new NeuronActivation(
      (z) => z,
      () => 1.0,
    ),

  /** 1 / (1 + e^-z): any number squeezed into 0..1. */
  sigmoid: () => new NeuronActivation(sigmoid, (_z, a) => a * (1.0 - a)),

  /** The hyperbolic tangent: any number squeezed into -1..1. */
  tanh: () => new NeuronActivation(Math.tanh, (_z, a) => 1.0 - a * a),

  /** z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention. */
  relu: () =>
    new NeuronActivation(
      (z) => Math.max(0.0, z),
      (z) => (z > 0.0 ? 1.0 : 0.0),
    ),

  /** Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead. */
  leaky_relu: (alpha = 0.01) =>
    new NeuronActivation(
      (z) => (z > 0.0 ? z : alpha * z),
      (z) => (z > 0.0 ? 1.0 : alpha),
    ),

  /** Like ReLU, but bending smoothly to -alpha. expm1(z) is e^z - 1 without the digits that the minus loses. */
  elu: (alpha = 1.0) =>
    new NeuronActivation(
      (z) => (z > 0.0 ? z : alpha * Math.expm1(z)),
      (z) => (z > 0.0 ? 1.0 : alpha * Math.exp(z)),
    ),

  /** ln(1 + e^z): a smooth ReLU. */
  softplus: () => new NeuronActivation(softplus, sigmoid),

  /** z / (1 + |z|): like tanh, but slower to reach -1 and 1. */
  softsign: () =>
    new NeuronActivation(
      (z) => z / (1.0 + Math.abs(z)),
      (z) => 1.0 / (1.0 + Math.abs(z)) ** 2,
    ),

  /** z * sigmoid(z), also called swish. The derivative is the product rule. */
  silu: () =>
    new NeuronActivation(
      (z) => z * sigmoid(z),
      (z) => sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)),
    ),

  /** z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule. */
  gelu: () =>
    new NeuronActivation(
      (z) => z * normalProbability(z),
      (z) => normalProbability(z) + z * normalDensity(z),
    ),

  /** z, cut off at -1 and 1. */
  hard_tanh: () =>
    new NeuronActivation(
      (z) => Math.min(1.0, Math.max(-1.0, z)),
      (z) => (-1.0 < z && z < 1.0 ? 1.0 : 0.0),
    ),

  softmax: () => new Softmax(),
  log_softmax: () => new LogSoftmax(),
};

function sigmoid(z: number): number {
  // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if (z >= 0.0) return 1.0 / (1.0 + Math.exp(-z));
  const power = Math.exp(z);
  return power / (1.0 + power);
}

/** The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x. */
export function softplus(z: number): number {
  return Math.max(0.0, z) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
function normalProbability(z: number): number {
  return 0.5 * erfc(-z / Math.SQRT2);
}

/** dP/dz, the bell curve. */
function normalDensity(z: number): number {
  return Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math.PI);
}

/** The natural logarithm of softmax. */
export function logSoftmax(z: Numbers): Numbers {
  const largest = Math.max(...z);
  const total = addUp(z.map((zj) => Math.exp(zj - largest)));
  return z.map((zj) => zj - largest - Math.log(total));
}

/**
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain TypeScript.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 *
 * The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
 * activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
 * dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
 */

import type { Activation } from "./activations.ts";
import type { Loss, OneStep } from "./losses.ts";
import type { Numbers } from "./messages.ts";

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/** One neuron: a weight for each of its inputs, and a bias. */
export class Neuron {
  weights: Numbers;
  bias: number;
  weightGradients: Numbers = [];
  biasGradient = 0.0;

  constructor(weights: Numbers, bias: number) {
    this.weights = weights;
    this.bias = bias;
    this.resetGradients();
  }

  /** Starts the sums over the samples at 0. */
  resetGradients(): void {
    this.weightGradients = zeros(this.weights.length);
    this.biasGradient = 0.0;
  }

  /** Forward: z, every input times its weight, plus the bias. */
  preActivation(inputs: Numbers): number {
    let z = this.bias;
    for (let i = 0; i < this.weights.length; i++) {
      z += this.weights[i] * inputs[i];
    }
    return z;
  }

  /**
   * Backward: adds one sample's part to the gradients.
   *
   * A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
   */
  addGradients(delta: number, inputs: Numbers): void {
    // EXERCISE BEGIN gradients
    for (let i = 0; i < inputs.length; i++) {
      this.weightGradients[i] += delta * inputs[i];
    }
    this.biasGradient += delta;
    // EXERCISE END gradients
  }

  /** Takes one step down the slope. */
  update(learningRate: number): void {
    // EXERCISE BEGIN update
    for (let i = 0; i < this.weights.length; i++) {
      this.weights[i] -= learningRate * this.weightGradients[i];
    }
    this.bias -= learningRate * this.biasGradient;
    // EXERCISE END update
  }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/** Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a. */
export class Layer {
  neurons: Neuron[];
  activation: Activation;
  inputs: Numbers = [];
  z: Numbers = [];
  a: Numbers = [];
  delta: Numbers = [];

  constructor(neurons: Neuron[], activation: Activation) {
    this.neurons = neurons;
    this.activation = activation;
  }

  /** The activations of all neurons for one sample. */
  forward(inputs: Numbers): Numbers {
    this.inputs = inputs;
    this.z = this.neurons.map((neuron) => neuron.preActivation(inputs));
    this.a = this.activation.activate(this.z);
    return this.a;
  }

  /** delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
  hiddenDeltas(activationGradients: Numbers): Numbers {
    // EXERCISE BEGIN hidden delta: return zeros(this.neurons.length);
    return this.activation.deltas(this.z, this.a, activationGradients);
    // EXERCISE END hidden delta
  }

  /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
  backward(delta: Numbers): Numbers {
    this.delta = delta;
    for (let j = 0; j < this.neurons.length; j++) {
      this.neurons[j].addGradients(delta[j], this.inputs);
    }
    return this.inputGradients();
  }

  /**
   * dL/dx of every input x, which is dL/da of the layer before.
   *
   * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
   * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
   */
  inputGradients(): Numbers {
    const gradients = zeros(this.inputs.length);
    // EXERCISE BEGIN hidden delta
    for (let j = 0; j < this.neurons.length; j++) {
      for (let i = 0; i < gradients.length; i++) {
        gradients[i] += this.delta[j] * this.neurons[j].weights[i];
      }
    }
    // EXERCISE END hidden delta
    return gradients;
  }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/** Layers, each reading the activations of the one before. */
export class Network {
  layers: Layer[];
  loss: Loss;
  /** The output's activation and loss in one, where there is such a thing. */
  oneStep: OneStep | undefined;

  constructor(layers: Layer[], loss: Loss, oneStep: OneStep | undefined) {
    this.layers = layers;
    this.loss = loss;
    this.oneStep = oneStep;
  }

  get output(): Layer {
    return this.layers[this.layers.length - 1];
  }

  /** The output of the network for one sample. */
  forward(inputs: Numbers): Numbers {
    let a = inputs;
    for (const layer of this.layers) a = layer.forward(a);
    return a;
  }

  /** The loss of the sample that went forward last. */
  sampleLoss(targets: Numbers): number {
    const { z, a } = this.output;
    return this.oneStep ? this.oneStep.ofSample(z, targets) : this.loss.ofSample(a, targets);
  }

  /**
   * dL/dz of the output neurons, where backward begins.
   *
   * L is the loss of the whole batch, the mean of its samples' losses or their sum: `divisor` is their number, or 1.
   */
  outputDeltas(targets: Numbers, divisor: number): Numbers {
    // EXERCISE BEGIN output delta: return zeros(targets.length);
    const { activation, z, a } = this.output;
    const deltas = this.oneStep
      ? this.oneStep.deltas(a, targets)
      : activation.deltas(z, a, this.loss.activationGradients(a, targets));
    return deltas.map((delta) => delta / divisor);
    // EXERCISE END output delta
  }

  /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
  backward(targets: Numbers, divisor: number): Numbers {
    let gradients = this.output.backward(this.outputDeltas(targets, divisor));
    for (let l = this.layers.length - 2; l >= 0; l--) {
      // The inputs of the layer after are the activations of this one, and so are their gradients.
      gradients = this.layers[l].backward(this.layers[l].hiddenDeltas(gradients));
    }
    return gradients;
  }

  resetGradients(): void {
    for (const layer of this.layers) {
      for (const neuron of layer.neurons) neuron.resetGradients();
    }
  }

  /** Takes one step down the slope, once all gradients are there. */
  update(learningRate: number): void {
    for (const layer of this.layers) {
      for (const neuron of layer.neurons) neuron.update(learningRate);
    }
  }
}

function zeros(length: number): Numbers {
  return new Array<number>(length).fill(0.0);
}

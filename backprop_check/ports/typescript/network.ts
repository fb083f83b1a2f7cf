/**
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain TypeScript.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the weighted sum forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 * 4. backprop   from a case of backprop-check to its reply
 *
 * The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, and `delta` is dL/dz,
 * the slope of the loss L with regard to z. There are no matrices, only lists of numbers.
 */

import { activations, inOneStep, losses } from "./functions.ts";
import type { Activation, Loss, OneStep } from "./functions.ts";
import type { CaseReply, CaseRequest, JsonNumber, LayerReply, LayerRequest } from "./messages.ts";
import type { Numbers, Parameters, Skip } from "./messages.ts";

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/** One neuron: a weight for each of its inputs, and a bias. */
class Neuron {
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
  weightedSum(inputs: Numbers): number {
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
class Layer {
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
    this.z = this.neurons.map((neuron) => neuron.weightedSum(inputs));
    this.a = this.activation.activate(this.z);
    return this.a;
  }

  /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
  backward(delta: Numbers): Numbers {
    this.delta = delta;
    for (let j = 0; j < this.neurons.length; j++) {
      this.neurons[j].addGradients(delta[j], this.inputs);
    }
    return this.inputSlopes();
  }

  /**
   * dL/dx of every input x, which is dL/da of the layer before.
   *
   * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
   * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
   */
  inputSlopes(): Numbers {
    const dLossDx = zeros(this.inputs.length);
    // EXERCISE BEGIN hidden delta
    for (let j = 0; j < this.neurons.length; j++) {
      for (let i = 0; i < dLossDx.length; i++) {
        dLossDx[i] += this.delta[j] * this.neurons[j].weights[i];
      }
    }
    // EXERCISE END hidden delta
    return dLossDx;
  }

  /** delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
  hiddenDeltas(dLossDa: Numbers): Numbers {
    // EXERCISE BEGIN hidden delta: return zeros(this.neurons.length);
    return this.activation.deltas(this.z, this.a, dLossDa);
    // EXERCISE END hidden delta
  }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/** Layers, each reading the activations of the one before. */
class Network {
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
      : activation.deltas(z, a, this.loss.dLossDa(a, targets));
    return deltas.map((delta) => delta / divisor);
    // EXERCISE END output delta
  }

  /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
  backward(targets: Numbers, divisor: number): Numbers {
    let dLossDx = this.output.backward(this.outputDeltas(targets, divisor));
    for (let l = this.layers.length - 2; l >= 0; l--) {
      // What the inputs of the layer after get back is what the activations of this one get back.
      dLossDx = this.layers[l].backward(this.layers[l].hiddenDeltas(dLossDx));
    }
    return dLossDx;
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

// ------------------------------------------------------------------------------------------------
// 4. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

interface Batch {
  samples: { inputs: Numbers; targets: Numbers }[];
  /** What to divide by to get from the sum of the samples' losses to the batch's loss. */
  divisor: number;
}

interface Optimizer {
  steps: number;
  learningRate: number;
}

/** The case asks for something that this program has not learnt. */
class NotThereYet extends Error {}

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
export function backprop(request: CaseRequest): CaseReply | Skip {
  let network: Network;
  let optimizer: Optimizer | undefined;
  let batch: Batch;
  try {
    network = buildNetwork(request);
    optimizer = readOptimizer(request);
    batch = readBatch(request);
  } catch (reason) {
    if (reason instanceof NotThereYet) return { id: request.id, skip: reason.message };
    throw reason;
  }

  // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  const first = onePass(network, batch);
  const reply: CaseReply = { id: request.id, ...first };
  if (!optimizer) return reply;

  const trajectory: CaseReply["trajectory"] = [];
  for (let step = 0; step < optimizer.steps; step++) {
    const { loss } = step === 0 ? first : onePass(network, batch);
    network.update(optimizer.learningRate);
    trajectory.push({ loss, layers: network.layers.map((layer) => ({ updated: parameters(layer) })) });
  }
  network.layers.forEach((layer, l) => (first.layers[l].updated = parameters(layer)));
  if (optimizer.steps > 1) reply.trajectory = trajectory;
  return reply;
}

/** Sends every sample forward and backward, and writes down what came out of it. */
function onePass(network: Network, { samples, divisor }: Batch): Omit<CaseReply, "id"> {
  network.resetGradients();
  let loss = 0.0;
  const input_gradients: Numbers[] = [];
  const layers = network.layers.map(newLayerReply);
  for (const { inputs, targets } of samples) {
    network.forward(inputs);
    loss += network.sampleLoss(targets);
    input_gradients.push(network.backward(targets, divisor));
    network.layers.forEach((layer, l) => {
      layers[l].z.push(layer.z);
      layers[l].a.push(layer.a);
      layers[l].delta.push(layer.delta);
    });
  }
  network.layers.forEach((layer, l) => {
    layers[l].gradients = {
      weights: layer.neurons.map((neuron) => [...neuron.weightGradients]),
      biases: layer.neurons.map((neuron) => neuron.biasGradient),
    };
  });
  return { loss: loss / divisor, layers, input_gradients };
}

function newLayerReply(): LayerReply {
  return { z: [], a: [], delta: [], gradients: { weights: [], biases: [] } };
}

/** A copy of the layer's weights and biases as they are now. */
function parameters(layer: Layer): Parameters {
  return {
    weights: layer.neurons.map((neuron) => [...neuron.weights]),
    biases: layer.neurons.map((neuron) => neuron.bias),
  };
}

/** The network that the case describes. */
function buildNetwork({ network: { layers }, loss: { kind, threshold } }: CaseRequest): Network {
  known(kind, Object.keys(losses), "loss");
  return new Network(
    layers.map(buildLayer),
    losses[kind](readOptional(threshold)),
    inOneStep[`${layers[layers.length - 1].activation} + ${kind}`],
  );
}

/** One layer with the parameters that the case gives it. */
function buildLayer(layer: LayerRequest): Layer {
  known(layer.kind, ["dense"], "layer");
  if ("from" in layer || "combine" in layer) {
    throw new NotThereYet("a layer that reads another one than the one before it is not there yet");
  }
  known(layer.activation, Object.keys(activations), "activation");
  const { weights, biases } = layer.parameters;
  return new Layer(
    weights.map((row, j) => new Neuron(row.map(readNumber), readNumber(biases[j]))),
    activations[layer.activation](readOptional(layer.alpha)),
  );
}

/** The number of steps and the learning rate; undefined where no update is asked for. */
function readOptimizer({ optimizer, steps }: CaseRequest): Optimizer | undefined {
  if (!optimizer) return undefined;
  known(optimizer.kind, ["sgd"], "optimizer");
  for (const option of ["momentum", "nesterov", "weight_decay"] as const) {
    if (optimizer[option]) throw new NotThereYet(`sgd with ${option} is not there yet`);
  }
  return { steps: steps ?? 1, learningRate: readNumber(optimizer.learning_rate) };
}

function readBatch({ inputs, targets, reduction = "mean" }: CaseRequest): Batch {
  known(reduction, ["mean", "sum"], "reduction");
  return {
    samples: inputs.map((row, s) => ({ inputs: row.map(readNumber), targets: targets[s].map(readNumber) })),
    divisor: reduction === "mean" ? inputs.length : 1,
  };
}

/** Refuses a word that we do not know. */
function known(word: string, words: string[], what: string): void {
  if (!words.includes(word)) throw new NotThereYet(`the ${what} ${word} is not there yet`);
}

/** JSON has no NaN and no infinity, so these come as text, which `Number` reads as well. */
function readNumber(number: JsonNumber): number {
  return Number(number);
}

function readOptional(number: JsonNumber | undefined): number | undefined {
  return number === undefined ? undefined : readNumber(number);
}

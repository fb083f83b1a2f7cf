/**
 * From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
 *
 * To test a network of your own, let `backprop` run it.
 */

import { activations } from "./activations.ts";
import { inOneStep, losses } from "./losses.ts";
import type {
  CaseReply,
  CaseRequest,
  JsonNumber,
  LayerReply,
  LayerRequest,
  Numbers,
  Parameters,
  Skip,
} from "./messages.ts";
import { Layer, Network, Neuron } from "./network.ts";

interface Batch {
  samples: { inputs: Numbers; targets: Numbers }[];
  /** What to divide by to get from the sum of the samples' losses to the batch's loss. */
  divisor: number;
}

interface Optimizer {
  steps: number;
  learningRate: number;
}

/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
class NotThereYet extends Error {
  constructor(what: string) {
    super(`${what} is not there yet`);
  }
}

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
  const records = network.layers.map(newRecord);
  for (const { inputs, targets } of samples) {
    network.forward(inputs);
    loss += network.sampleLoss(targets);
    input_gradients.push(network.backward(targets, divisor));
    network.layers.forEach((layer, l) => {
      records[l].z.push(layer.z);
      records[l].a.push(layer.a);
      records[l].delta.push(layer.delta);
    });
  }
  network.layers.forEach((layer, l) => {
    records[l].gradients = gradients(layer);
  });
  return { loss: loss / divisor, layers: records, input_gradients };
}

function newRecord(): LayerReply {
  return { z: [], a: [], delta: [], gradients: { weights: [], biases: [] } };
}

/** A copy of the layer's gradients as they are now. */
function gradients(layer: Layer): Parameters {
  return {
    weights: layer.neurons.map((neuron) => [...neuron.weightGradients]),
    biases: layer.neurons.map((neuron) => neuron.biasGradient),
  };
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
    throw new NotThereYet("a layer that reads another one than the one before it");
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
    if (optimizer[option]) throw new NotThereYet(`sgd with ${option}`);
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
  if (!words.includes(word)) throw new NotThereYet(`the ${what} ${word}`);
}

/** JSON has no NaN and no infinity, so these come as text, which `Number` reads as well. */
function readNumber(number: JsonNumber): number {
  return Number(number);
}

function readOptional(number: JsonNumber | undefined): number | undefined {
  return number === undefined ? undefined : readNumber(number);
}

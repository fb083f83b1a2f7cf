/**
 * From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
 *
 * To test a network of your own, let `backprop` run it.
 */

import { activations } from "./activations.js";
import { inOneStep, losses } from "./losses.js";
import { Layer, Network, Neuron } from "./network.js";

/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
class NotThereYet extends Error {
  constructor(what) {
    super(`${what} is not there yet`);
  }
}

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
export function backprop(request) {
  let network, optimizer, batch;
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
  const reply = { id: request.id, ...first };
  if (!optimizer) return reply;

  const trajectory = [];
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
function onePass(network, { samples, divisor }) {
  network.resetGradients();
  let loss = 0.0;
  const input_gradients = [];
  const records = network.layers.map(() => ({ z: [], a: [], delta: [] }));
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

/** A copy of the layer's gradients as they are now. */
function gradients(layer) {
  return {
    weights: layer.neurons.map((neuron) => [...neuron.weightGradients]),
    biases: layer.neurons.map((neuron) => neuron.biasGradient),
  };
}

/** A copy of the layer's weights and biases as they are now. */
function parameters(layer) {
  return {
    weights: layer.neurons.map((neuron) => [...neuron.weights]),
    biases: layer.neurons.map((neuron) => neuron.bias),
  };
}

/** The network that the case describes. */
function buildNetwork({ network: { layers }, loss: { kind, threshold } }) {
  known(kind, Object.keys(losses), "loss");
  return new Network(
    layers.map(buildLayer),
    losses[kind](readNumber(threshold)),
    inOneStep[`${layers.at(-1).activation} + ${kind}`],
  );
}

/** One layer with the parameters that the case gives it. */
function buildLayer(layer) {
  known(layer.kind, ["dense"], "layer");
  if ("from" in layer || "combine" in layer) {
    throw new NotThereYet("a layer that reads another one than the one before it");
  }
  known(layer.activation, Object.keys(activations), "activation");
  const { weights, biases } = layer.parameters;
  return new Layer(
    weights.map((row, j) => new Neuron(row.map(readNumber), readNumber(biases[j]))),
    activations[layer.activation](readNumber(layer.alpha)),
  );
}

/** The number of steps and the learning rate; undefined where no update is asked for. */
function readOptimizer({ optimizer, steps }) {
  if (!optimizer) return undefined;
  known(optimizer.kind, ["sgd"], "optimizer");
  for (const option of ["momentum", "nesterov", "weight_decay"]) {
    if (optimizer[option]) throw new NotThereYet(`sgd with ${option}`);
  }
  return { steps: steps ?? 1, learningRate: readNumber(optimizer.learning_rate) };
}

/** The samples, and what to divide by to get from the sum of their losses to the batch's loss. */
function readBatch({ inputs, targets, reduction = "mean" }) {
  known(reduction, ["mean", "sum"], "reduction");
  return {
    samples: inputs.map((row, s) => ({ inputs: row.map(readNumber), targets: targets[s].map(readNumber) })),
    divisor: reduction === "mean" ? inputs.length : 1,
  };
}

/** Refuses a word that we do not know. */
function known(word, words, what) {
  if (!words.includes(word)) throw new NotThereYet(`the ${what} ${word}`);
}

/** JSON has no NaN and no infinity, so these come as text, which `Number` reads as well. */
function readNumber(number) {
  return number === undefined || number === null ? undefined : Number(number);
}

/// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Dart.
///
/// Read it from top to bottom:
///
/// 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
/// 2. Layer      neurons that read the same inputs
/// 3. Network    layers one after the other: forward, backward, update
///
/// The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
/// activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
/// dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
/// Optimizers beyond the plain step down the slope, clipping and penalties are in optimizers.dart.
library;

import 'activations.dart';
import 'losses.dart';
import 'mathematics.dart';
import 'optimizers.dart';

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/// One neuron: a weight for each of its inputs, and a bias.
class Neuron {
  Neuron(this.weights, this.bias) {
    resetGradients();
  }

  final Numbers weights;
  double bias;

  late Numbers weightGradients;
  late double biasGradient;

  /// Starts the sums over the samples at 0.
  void resetGradients() {
    weightGradients = List.filled(weights.length, 0.0);
    biasGradient = 0.0;
  }

  /// Forward: z, every input times its weight, plus the bias.
  double preActivation(Numbers inputs) {
    var z = bias;
    for (var i = 0; i < weights.length; i++) {
      z += weights[i] * inputs[i];
    }
    return z;
  }

  /// Backward: adds one sample's part to the gradients.
  ///
  /// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
  void addGradients(double delta, Numbers inputs) {
    // EXERCISE BEGIN gradients
    for (var i = 0; i < weights.length; i++) {
      weightGradients[i] += delta * inputs[i];
    }
    biasGradient += delta;
    // EXERCISE END gradients
  }

  /// Takes one step down the slope.
  void update(double learningRate) {
    // EXERCISE BEGIN update
    for (var i = 0; i < weights.length; i++) {
      weights[i] -= learningRate * weightGradients[i];
    }
    bias -= learningRate * biasGradient;
    // EXERCISE END update
  }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
class Layer {
  Layer(this.neurons, this.activation);

  final List<Neuron> neurons;
  final Activation activation;

  Numbers inputs = [];
  Numbers z = [];
  Numbers a = [];
  Numbers delta = [];

  /// The activations of all neurons for one sample.
  Numbers forward(Numbers inputs) {
    this.inputs = inputs;
    z = [for (final neuron in neurons) neuron.preActivation(inputs)];
    a = activation.activate(z);
    return a;
  }

  /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
  Numbers hiddenDeltas(Numbers activationGradients) {
    // EXERCISE BEGIN hidden delta: return List.filled(neurons.length, 0.0);
    return activation.deltas(z, a, activationGradients);
    // EXERCISE END hidden delta
  }

  /// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
  Numbers backward(Numbers delta) {
    this.delta = delta;
    for (var j = 0; j < neurons.length; j++) {
      neurons[j].addGradients(delta[j], inputs);
    }
    return inputGradients();
  }

  /// dL/dx of every input x, which is dL/da of the layer before.
  ///
  /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
  /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
  Numbers inputGradients() {
    final gradients = List.filled(inputs.length, 0.0);
    // EXERCISE BEGIN hidden delta
    for (var j = 0; j < neurons.length; j++) {
      for (var i = 0; i < inputs.length; i++) {
        gradients[i] += delta[j] * neurons[j].weights[i];
      }
    }
    // EXERCISE END hidden delta
    return gradients;
  }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
class Network {
  /// [oneStep] is the output's activation and loss in one; null where there is no such thing.
  Network(this.layers, this.loss, this.oneStep);

  final List<Layer> layers;
  final Loss loss;
  final OneStep? oneStep;

  Penalty? penalty;
  Optimizer? optimizer; // null: plain steps down the slope
  Clip? clip;

  Layer get output => layers.last;

  /// The output of the network for one sample.
  Numbers forward(Numbers inputs) {
    var a = inputs;
    for (final layer in layers) {
      a = layer.forward(a);
    }
    return a;
  }

  /// The loss of the sample that went forward last.
  double sampleLoss(Numbers targets) =>
      oneStep?.ofSample(output.z, targets) ?? loss.ofSample(output.a, targets);

  /// dL/dz of the output neurons, where backward begins.
  ///
  /// L is the loss of the whole batch, the mean of its samples' losses or their sum: [divisor] is their number, or 1.
  Numbers outputDeltas(Numbers targets, double divisor) {
    // EXERCISE BEGIN output delta: return List.filled(targets.length, 0.0);
    final deltas = oneStep?.deltas(output.a, targets) ??
        output.activation.deltas(output.z, output.a, loss.activationGradients(output.a, targets));
    return [for (final deltaK in deltas) deltaK / divisor];
    // EXERCISE END output delta
  }

  /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
  Numbers backward(Numbers targets, double divisor) {
    var gradients = output.backward(outputDeltas(targets, divisor));
    for (final layer in layers.reversed.skip(1)) {
      // The inputs of the layer after are the activations of this one, and so are their gradients.
      gradients = layer.backward(layer.hiddenDeltas(gradients));
    }
    return gradients;
  }

  void resetGradients() {
    for (final layer in layers) {
      for (final neuron in layer.neurons) {
        neuron.resetGradients();
      }
    }
  }

  /// Takes one step down the slope, once all gradients are there.
  void update(double learningRate) {
    final optimizer = this.optimizer;
    if (optimizer != null) return train(optimizer, learningRate);
    for (final layer in layers) {
      for (final neuron in layer.neurons) {
        neuron.update(learningRate);
      }
    }
  }

  /// Takes the step of an optimizer that is more than that.
  void train(Optimizer optimizer, double learningRate) {
    final clip = this.clip;
    clip?.measure([
      for (final layer in layers)
        for (final neuron in layer.neurons) ...[...neuron.weightGradients, neuron.biasGradient],
    ]);
    double seen(double gradient) => clip?.clipped(gradient) ?? gradient;

    optimizer.beginStep();
    for (final (l, layer) in layers.indexed) {
      for (final (j, neuron) in layer.neurons.indexed) {
        for (final (i, weight) in neuron.weights.indexed) {
          neuron.weights[i] = optimizer.updated((l, j, i), weight, seen(neuron.weightGradients[i]), learningRate);
        }
        neuron.bias = optimizer.updated((l, j, -1), neuron.bias, seen(neuron.biasGradient), learningRate);
      }
    }
  }

  /// Adds a penalty's part to the gradients, and gives its part of the loss.
  double penalize(Penalty penalty) {
    var total = 0.0;
    for (final neuron in layers.expand((layer) => layer.neurons)) {
      for (final (i, weight) in neuron.weights.indexed) {
        total += penalty.value(weight);
        neuron.weightGradients[i] += penalty.derivative(weight);
      }
      if (!penalty.biases) continue;
      total += penalty.value(neuron.bias);
      neuron.biasGradient += penalty.derivative(neuron.bias);
    }
    return total;
  }
}

/// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Dart.
///
/// Read it from top to bottom:
///
/// 1. Activations   what a neuron makes of its weighted sum, and the slope of that
/// 2. Losses        how wrong the output is, and the slope of that
/// 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
/// 4. Layer         neurons that read the same inputs
/// 5. Network       layers one after the other: forward, backward, update
/// 6. backprop      from a case of backprop-check to its reply
///
/// The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target, and
/// `delta` is dL/dz, the slope of the loss L with regard to z. There are no arrays, only lists of numbers, and
/// nothing is imported but Dart's own libraries. Optimizers beyond the plain step down the slope, clipping and penalties
/// are in optimizers.dart.
library;

import 'dart:math';

import 'mathematics.dart';
import 'optimizers.dart';

typedef Numbers = List<double>;
typedef Sample = ({Numbers inputs, Numbers targets});
typedef Json = Map<String, dynamic>;

// ------------------------------------------------------------------------------------------------
// 1. Activations
// ------------------------------------------------------------------------------------------------

/// What a layer makes of its z, and the way back.
abstract class Activation {
  /// The activations of a layer.
  Numbers activate(Numbers z);

  /// dL/dz of a layer, from its dL/da.
  Numbers deltas(Numbers z, Numbers a, Numbers dLossDa);
}

/// A function of one neuron's z, and its derivative. Most activations are of this kind.
abstract class NeuronActivation extends Activation {
  /// a, the activation.
  double value(double z);

  /// da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.
  double derivative(double z, double a);

  @override
  Numbers activate(Numbers z) => [for (final zj in z) value(zj)];

  /// The chain rule: dL/dz = dL/da * da/dz.
  @override
  Numbers deltas(Numbers z, Numbers a, Numbers dLossDa) => [
        for (var j = 0; j < z.length; j++) dLossDa[j] * derivative(z[j], a[j]),
      ];
}

/// No activation: a = z.
class Identity extends NeuronActivation {
  @override
  double value(double z) => z;

  @override
  double derivative(double z, double a) => 1.0;
}

/// 1 / (1 + e^-z): any number squeezed into 0..1.
class Sigmoid extends NeuronActivation {
  @override
  double value(double z) => sigmoid(z);

  @override
  double derivative(double z, double a) => a * (1.0 - a);
}

/// The hyperbolic tangent: any number squeezed into -1..1.
class Tanh extends NeuronActivation {
  @override
  double value(double z) => tanh(z);

  @override
  double derivative(double z, double a) => 1.0 - a * a;
}

/// z where it is positive, else 0.
class Relu extends NeuronActivation {
  @override
  double value(double z) => max(0.0, z);

  // At z = 0 there is a kink and no slope. 0 is the usual convention.
  @override
  double derivative(double z, double a) => z > 0.0 ? 1.0 : 0.0;
}

/// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
class LeakyRelu extends NeuronActivation {
  LeakyRelu(double? alpha) : alpha = alpha ?? 0.01;

  final double alpha;

  @override
  double value(double z) => z > 0.0 ? z : alpha * z;

  @override
  double derivative(double z, double a) => z > 0.0 ? 1.0 : alpha;
}

/// Like ReLU, but bending smoothly to -alpha on the negative side.
class Elu extends NeuronActivation {
  Elu(double? alpha) : alpha = alpha ?? 1.0;

  final double alpha;

  // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
  @override
  double value(double z) => z > 0.0 ? z : alpha * expm1(z);

  @override
  double derivative(double z, double a) => z > 0.0 ? 1.0 : alpha * exp(z);
}

/// ln(1 + e^z): a smooth ReLU.
class Softplus extends NeuronActivation {
  @override
  double value(double z) => softplus(z);

  @override
  double derivative(double z, double a) => sigmoid(z);
}

/// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
class Softsign extends NeuronActivation {
  @override
  double value(double z) => z / (1.0 + z.abs());

  @override
  double derivative(double z, double a) => 1.0 / ((1.0 + z.abs()) * (1.0 + z.abs()));
}

/// z * sigmoid(z), also called swish.
class Silu extends NeuronActivation {
  @override
  double value(double z) => z * sigmoid(z);

  @override
  double derivative(double z, double a) {
    final s = sigmoid(z);
    return s + z * s * (1.0 - s); // the product rule
  }
}

/// z * P(z), where P(z) is the probability that a standard normal number is below z.
class Gelu extends NeuronActivation {
  /// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
  double probability(double z) => 0.5 * erfc(-z / sqrt2);

  @override
  double value(double z) => z * probability(z);

  @override
  double derivative(double z, double a) {
    final density = exp(-0.5 * z * z) / sqrt(2.0 * pi); // the bell curve: dP/dz
    return probability(z) + z * density; // the product rule
  }
}

/// z, cut off at -1 and 1.
class HardTanh extends NeuronActivation {
  @override
  double value(double z) => min(1.0, max(-1.0, z));

  @override
  double derivative(double z, double a) => -1.0 < z && z < 1.0 ? 1.0 : 0.0;
}

/// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
class Softmax extends Activation {
  @override
  Numbers activate(Numbers z) {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    final largest = z.reduce(max);
    final powers = [for (final zj in z) exp(zj - largest)];
    final total = addUp(powers);
    return [for (final power in powers) power / total];
  }

  @override
  Numbers deltas(Numbers z, Numbers a, Numbers dLossDa) {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    final average = addUp([for (var j = 0; j < a.length; j++) dLossDa[j] * a[j]]);
    return [for (var k = 0; k < a.length; k++) a[k] * (dLossDa[k] - average)];
  }
}

/// The natural logarithm of softmax, without ever taking the logarithm of a 0.
class LogSoftmax extends Activation {
  @override
  Numbers activate(Numbers z) => logSoftmax(z);

  @override
  Numbers deltas(Numbers z, Numbers a, Numbers dLossDa) {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    final total = addUp(dLossDa);
    return [for (var k = 0; k < a.length; k++) dLossDa[k] - exp(a[k]) * total];
  }
}

double sigmoid(double z) {
  // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if (z >= 0.0) return 1.0 / (1.0 + exp(-z));
  final power = exp(z);
  return power / (1.0 + power);
}

/// The same as ln(1 + e^z), but e^z would overflow.
double softplus(double z) => max(0.0, z) + log1p(exp(-z.abs()));

Numbers logSoftmax(Numbers z) {
  final largest = z.reduce(max);
  final total = addUp([for (final zj in z) exp(zj - largest)]);
  return [for (final zj in z) zj - largest - log(total)];
}

double addUp(Numbers numbers) {
  var total = 0.0;
  for (final number in numbers) {
    total += number;
  }
  return total;
}

/// How to make each activation. Only two have a parameter.
final Map<String, Activation Function(double? alpha)> activations = {
  'identity': (_) => Identity(),
  'sigmoid': (_) => Sigmoid(),
  'tanh': (_) => Tanh(),
  'relu': (_) => Relu(),
  'leaky_relu': LeakyRelu.new,
  'elu': Elu.new,
  'softplus': (_) => Softplus(),
  'softsign': (_) => Softsign(),
  'silu': (_) => Silu(),
  'gelu': (_) => Gelu(),
  'hard_tanh': (_) => HardTanh(),
  'softmax': (_) => Softmax(),
  'log_softmax': (_) => LogSoftmax(),
};

// ------------------------------------------------------------------------------------------------
// 2. Losses
// ------------------------------------------------------------------------------------------------

/// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
abstract class Loss {
  /// Whether that sum is divided by the number of outputs.
  bool get meanOverOutputs => false;

  /// One output's part of the loss.
  double term(double a, double t);

  /// The derivative of that part with regard to a.
  double derivative(double a, double t);

  /// The loss of one sample.
  double ofSample(Numbers a, Numbers t) {
    final total = addUp([for (var k = 0; k < a.length; k++) term(a[k], t[k])]);
    return meanOverOutputs ? total / a.length : total;
  }

  /// dL/da of every output, where L is the loss of this one sample.
  Numbers dLossDa(Numbers a, Numbers t) {
    final slopes = [for (var k = 0; k < a.length; k++) derivative(a[k], t[k])];
    return meanOverOutputs ? [for (final slope in slopes) slope / a.length] : slopes;
  }
}

/// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
class HalfSquaredError extends Loss {
  @override
  double term(double a, double t) => 0.5 * (a - t) * (a - t);

  @override
  double derivative(double a, double t) => a - t;
}

/// The square of the error.
class SquaredError extends Loss {
  @override
  double term(double a, double t) => (a - t) * (a - t);

  @override
  double derivative(double a, double t) => 2.0 * (a - t);
}

/// The square of the error, averaged over the outputs.
class MeanSquaredError extends SquaredError {
  @override
  bool get meanOverOutputs => true;
}

/// The size of the error, averaged over the outputs.
class MeanAbsoluteError extends Loss {
  @override
  bool get meanOverOutputs => true;

  @override
  double term(double a, double t) => (a - t).abs();

  // The sign is 1, -1, or 0 at the kink, where there is no slope.
  @override
  double derivative(double a, double t) => (a - t).sign;
}

/// Half the square of a small error; a straight line from there on for a large one.
class Huber extends Loss {
  Huber(double? threshold) : threshold = threshold ?? 1.0;

  final double threshold;

  @override
  bool get meanOverOutputs => true;

  @override
  double term(double a, double t) {
    final error = (a - t).abs();
    return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
  }

  @override
  double derivative(double a, double t) {
    final error = a - t;
    return error.abs() <= threshold ? error : threshold * error.sign;
  }
}

/// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
class BinaryCrossEntropy extends Loss {
  @override
  double term(double a, double t) => -(timesLog(t, a) + timesLog(1.0 - t, 1.0 - a));

  @override
  double derivative(double a, double t) => -(divide(t, a) - divide(1.0 - t, 1.0 - a));
}

/// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
class CrossEntropy extends Loss {
  @override
  double term(double a, double t) => -timesLog(t, a);

  @override
  double derivative(double a, double t) => -divide(t, a);
}

/// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
class NegativeLogLikelihood extends Loss {
  @override
  double term(double a, double t) => -t * a;

  @override
  double derivative(double a, double t) => -t;
}

/// t (ln t - a): how far the forecast is from t, where the output a is a logarithm (the activation log_softmax).
class KLDivergence extends Loss {
  @override
  double term(double a, double t) => t > 0.0 ? t * (log(t) - a) : 0.0;

  @override
  double derivative(double a, double t) => -t;
}

/// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
class Hinge extends Loss {
  @override
  double term(double a, double t) => max(0.0, 1.0 - t * a);

  @override
  double derivative(double a, double t) => 1.0 - t * a > 0.0 ? -t : 0.0;
}

/// The output's activation and its loss in one step, from z to the loss and back.
///
/// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
/// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
abstract class OneStep {
  /// The loss of one sample.
  double ofSample(Numbers z, Numbers t);

  /// dL/dz of every output.
  Numbers deltas(Numbers a, Numbers t);
}

/// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
class SigmoidWithBinaryCrossEntropy extends OneStep {
  @override
  double ofSample(Numbers z, Numbers t) => addUp([
        for (var k = 0; k < z.length; k++) t[k] * softplus(-z[k]) + (1.0 - t[k]) * softplus(z[k]),
      ]);

  // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
  @override
  Numbers deltas(Numbers a, Numbers t) => [for (var k = 0; k < a.length; k++) a[k] - t[k]];
}

/// With a = softmax(z), ln a is log_softmax(z).
class SoftmaxWithCrossEntropy extends OneStep {
  @override
  double ofSample(Numbers z, Numbers t) {
    final logA = logSoftmax(z);
    return addUp([for (var k = 0; k < z.length; k++) -t[k] * logA[k]]);
  }

  @override
  Numbers deltas(Numbers a, Numbers t) {
    // Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
    final total = addUp(t); // 1 for probabilities, and then this is the well-known a - t
    return [for (var k = 0; k < a.length; k++) a[k] * total - t[k]];
  }
}

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
double timesLog(double t, double p) => t == 0.0 ? 0.0 : t * log(p);

/// t / p, the derivative of t ln p with regard to p.
double divide(double t, double p) => t == 0.0 ? 0.0 : t / p;

/// How to make each loss. Only one has a parameter.
final Map<String, Loss Function(double? threshold)> losses = {
  'half_squared_error': (_) => HalfSquaredError(),
  'squared_error': (_) => SquaredError(),
  'mean_squared_error': (_) => MeanSquaredError(),
  'mean_absolute_error': (_) => MeanAbsoluteError(),
  'huber': Huber.new,
  'binary_cross_entropy': (_) => BinaryCrossEntropy(),
  'cross_entropy': (_) => CrossEntropy(),
  'negative_log_likelihood': (_) => NegativeLogLikelihood(),
  'hinge': (_) => Hinge(),
  'kl_divergence': (_) => KLDivergence(),
};

/// The pairs that have a step of their own, by the names of activation and loss.
final Map<(String, String), OneStep> inOneStep = {
  ('sigmoid', 'binary_cross_entropy'): SigmoidWithBinaryCrossEntropy(),
  ('softmax', 'cross_entropy'): SoftmaxWithCrossEntropy(),
};

// ------------------------------------------------------------------------------------------------
// 3. Neuron
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
  double weightedSum(Numbers inputs) {
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
// 4. Layer
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
    z = [for (final neuron in neurons) neuron.weightedSum(inputs)];
    a = activation.activate(z);
    return a;
  }

  /// Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
  ///
  /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
  /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
  Numbers backward(Numbers delta) {
    this.delta = delta;
    for (var j = 0; j < neurons.length; j++) {
      neurons[j].addGradients(delta[j], inputs);
    }

    final dLossDx = List.filled(inputs.length, 0.0);
    // EXERCISE BEGIN hidden delta
    for (var j = 0; j < neurons.length; j++) {
      for (var i = 0; i < inputs.length; i++) {
        dLossDx[i] += delta[j] * neurons[j].weights[i];
      }
    }
    // EXERCISE END hidden delta
    return dLossDx;
  }
}

// ------------------------------------------------------------------------------------------------
// 5. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
class Network {
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
  Numbers outputDeltas(Numbers targets) {
    // EXERCISE BEGIN output delta: return List.filled(output.z.length, 0.0);
    return oneStep?.deltas(output.a, targets) ??
        output.activation.deltas(output.z, output.a, loss.dLossDa(output.a, targets));
    // EXERCISE END output delta
  }

  /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
  ///
  /// The batch's loss is the mean of its samples' losses, or their sum: [divisor] is their number, or 1.
  Numbers backward(Numbers targets, double divisor) {
    var delta = [for (final deltaK in outputDeltas(targets)) deltaK / divisor];
    var dLossDx = output.backward(delta);
    for (final layer in layers.reversed.skip(1)) {
      // What the inputs of the layer after get back is what the activations of this one get back.
      // EXERCISE BEGIN hidden delta: delta = List.filled(layer.z.length, 0.0);
      delta = layer.activation.deltas(layer.z, layer.a, dLossDx);
      // EXERCISE END hidden delta
      dLossDx = layer.backward(delta);
    }
    return dLossDx;
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
        neuron.weightGradients[i] += penalty.slope(weight);
      }
      if (!penalty.biases) continue;
      total += penalty.value(neuron.bias);
      neuron.biasGradient += penalty.slope(neuron.bias);
    }
    return total;
  }
}

// ------------------------------------------------------------------------------------------------
// 6. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

/// The case asks for something that this program has not learnt.
class NotThereYet implements Exception {
  NotThereYet(this.what);

  final String what;
}

/// Works out one case of backprop-check, and replies with all that the protocol knows.
Json backprop(Json request) {
  final Network network;
  final ({int? steps, double learningRate}) optimizer;
  final ({List<Sample> samples, double divisor}) batch;
  try {
    network = buildNetwork(request);
    optimizer = readOptimizer(request);
    batch = readBatch(request);
  } on NotThereYet catch (reason) {
    return {'id': request['id'], 'skip': reason.what};
  }

  // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  final first = penalizedPass(network, batch.samples, batch.divisor);
  final reply = {'id': request['id'], ...first};
  final steps = optimizer.steps;
  if (steps == null) return reply;

  final trajectory = <Json>[];
  for (var step = 0; step < steps; step++) {
    final pass = step == 0 ? first : penalizedPass(network, batch.samples, batch.divisor);
    network.update(step == 0 ? optimizer.learningRate : rateOf(request, step));
    trajectory.add({
      'loss': pass['loss'],
      'layers': [
        for (final layer in network.layers) {'updated': parametersOf(layer)},
      ],
    });
  }
  for (final (l, layer) in network.layers.indexed) {
    first['layers'][l]['updated'] = parametersOf(layer);
  }
  if (steps > 1) reply['trajectory'] = trajectory;
  return reply;
}

/// Sends every sample forward and backward, and writes down what came out of it.
Json onePass(Network network, List<Sample> samples, double divisor) {
  network.resetGradients();
  var loss = 0.0;
  final inputGradients = <Numbers>[];
  final layers = [
    for (final _ in network.layers) <String, dynamic>{'z': <Numbers>[], 'a': <Numbers>[], 'delta': <Numbers>[]},
  ];
  for (final sample in samples) {
    network.forward(sample.inputs);
    loss += network.sampleLoss(sample.targets);
    inputGradients.add(network.backward(sample.targets, divisor));
    for (final (l, layer) in network.layers.indexed) {
      layers[l]['z'].add(layer.z);
      layers[l]['a'].add(layer.a);
      layers[l]['delta'].add(layer.delta);
    }
  }
  for (final (l, layer) in network.layers.indexed) {
    layers[l]['gradients'] = {
      'weights': [for (final neuron in layer.neurons) neuron.weightGradients.toList()],
      'biases': [for (final neuron in layer.neurons) neuron.biasGradient],
    };
  }
  return {'loss': loss / divisor, 'layers': layers, 'input_gradients': inputGradients};
}

/// The same, with the penalty for large parameters that the loss may have.
Json penalizedPass(Network network, List<Sample> samples, double divisor) {
  final result = onePass(network, samples, divisor);
  final penalty = network.penalty;
  if (penalty == null) return result;
  result['loss'] += network.penalize(penalty);
  for (final (l, layer) in network.layers.indexed) {
    final gradients = result['layers'][l]['gradients'];
    gradients['weights'] = [for (final neuron in layer.neurons) neuron.weightGradients.toList()];
    gradients['biases'] = [for (final neuron in layer.neurons) neuron.biasGradient];
  }
  return result;
}

/// A copy of the layer's weights and biases as they are now.
Json parametersOf(Layer layer) => {
      'weights': [for (final neuron in layer.neurons) neuron.weights.toList()],
      'biases': [for (final neuron in layer.neurons) neuron.bias],
    };

/// The network that the case describes.
Network buildNetwork(Json request) {
  final layers = request['network']['layers'] as List;
  final loss = request['loss'] as Json;
  final kind = known(loss['kind'], losses.keys, 'loss');
  final network = Network(
    [for (final layer in layers) buildLayer(layer)],
    losses[kind]!(optional(loss['threshold'])),
    inOneStep[(layers.last['activation'], kind)],
  );
  if (request['regularization'] != null) network.penalty = Penalty(request['regularization']);
  if (request['clip'] != null) network.clip = Clip(request['clip']);
  network.optimizer = buildOptimizer(request);
  return network;
}

/// One layer with the parameters that the case gives it.
Layer buildLayer(Json layer) {
  known(layer['kind'], ['dense'], 'layer');
  if (layer.containsKey('from') || layer.containsKey('combine')) {
    throw NotThereYet('a layer that reads another one than the one before it is not there yet');
  }
  final activation = known(layer['activation'], activations.keys, 'activation');
  final weights = layer['parameters']['weights'] as List;
  final biases = layer['parameters']['biases'] as List;
  return Layer(
    [for (var j = 0; j < weights.length; j++) Neuron(readNumbers(weights[j]), readNumber(biases[j]))],
    activations[activation]!(optional(layer['alpha'])),
  );
}

/// The number of steps (null: no update is asked for) and the learning rate of the first.
({int? steps, double learningRate}) readOptimizer(Json request) {
  if (request['optimizer'] == null) return (steps: null, learningRate: 0.0);
  return (steps: request['steps'] ?? 1, learningRate: rateOf(request, 0));
}

/// The learning rate of a step: there is one for all, or a list with one for each.
double rateOf(Json request, int step) {
  final rate = request['optimizer']['learning_rate'];
  return readNumber(rate is List ? rate[step] : rate);
}

/// What makes the updates; null where they are plain steps down the slope, or where there are none.
Optimizer? buildOptimizer(Json request) {
  final settings = request['optimizer'] as Json?;
  if (settings == null) return null;
  final kind = known(settings['kind'], optimizers.keys, 'optimizer');
  final options = ['momentum', 'dampening', 'nesterov', 'weight_decay'];
  final isPlain = options.every((option) => [null, false, 0].contains(settings[option]));
  return kind == 'sgd' && isPlain && request['clip'] == null ? null : optimizers[kind]!(settings);
}

/// The samples, and what to divide by to get from the sum of their losses to the batch's loss.
({List<Sample> samples, double divisor}) readBatch(Json request) {
  final inputs = request['inputs'] as List;
  final targets = request['targets'] as List;
  final reduction = known(request['reduction'] ?? 'mean', ['mean', 'sum'], 'reduction');
  return (
    samples: [
      for (var s = 0; s < inputs.length; s++)
        (inputs: readNumbers(inputs[s]), targets: readNumbers(targets[s])),
    ],
    divisor: reduction == 'mean' ? inputs.length.toDouble() : 1.0,
  );
}

/// The word, if we know it.
String known(String word, Iterable<String> words, String what) =>
    words.contains(word) ? word : throw NotThereYet('the $what $word is not there yet');

Numbers readNumbers(List<dynamic> numbers) => [for (final number in numbers) readNumber(number)];

double? optional(Object? number) => number == null ? null : readNumber(number);

/// JSON has no NaN and no infinity, so these come as text.
double readNumber(Object number) => number is num ? number.toDouble() : double.parse(number as String);

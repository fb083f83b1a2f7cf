/// Activations: what a layer makes of its pre-activations z, and the way back.
///
/// `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.
library;

import 'dart:math';

import 'mathematics.dart';

/// What a layer makes of its z, and the way back.
abstract class Activation {
  /// a, the activations of a layer.
  Numbers activate(Numbers z);

  /// dL/dz of a layer, from its dL/da.
  Numbers deltas(Numbers z, Numbers a, Numbers activationGradients);
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
  Numbers deltas(Numbers z, Numbers a, Numbers activationGradients) => [
        for (var j = 0; j < z.length; j++) activationGradients[j] * derivative(z[j], a[j]),
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
  @override
  double value(double z) => z * normalProbability(z);

  @override
  double derivative(double z, double a) => normalProbability(z) + z * normalDensity(z); // the product rule
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
    final largest = largestOf(z);
    final powers = [for (final zj in z) exp(zj - largest)];
    final total = addUp(powers);
    return [for (final power in powers) power / total];
  }

  @override
  Numbers deltas(Numbers z, Numbers a, Numbers activationGradients) {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    final average = addUp([for (var j = 0; j < a.length; j++) activationGradients[j] * a[j]]);
    return [for (var k = 0; k < a.length; k++) a[k] * (activationGradients[k] - average)];
  }
}

/// The natural logarithm of softmax, without ever taking the logarithm of a 0.
class LogSoftmax extends Activation {
  @override
  Numbers activate(Numbers z) => logSoftmax(z);

  @override
  Numbers deltas(Numbers z, Numbers a, Numbers activationGradients) {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    final total = addUp(activationGradients);
    return [for (var k = 0; k < a.length; k++) activationGradients[k] - exp(a[k]) * total];
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

/// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
double normalProbability(double z) => 0.5 * erfc(-z / sqrt2);

/// dP/dz, the bell curve.
double normalDensity(double z) => exp(-0.5 * z * z) / sqrt(2.0 * pi);

/// The natural logarithm of softmax.
Numbers logSoftmax(Numbers z) {
  final largest = largestOf(z);
  final total = addUp([for (final zj in z) exp(zj - largest)]);
  return [for (final zj in z) zj - largest - log(total)];
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

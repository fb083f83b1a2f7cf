/// Losses: how wrong the outputs of a sample are, and the slope of that.
library;

import 'dart:math';

import 'activations.dart';
import 'mathematics.dart';

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
  Numbers activationGradients(Numbers a, Numbers t) {
    final gradients = [for (var k = 0; k < a.length; k++) derivative(a[k], t[k])];
    return meanOverOutputs ? [for (final gradient in gradients) gradient / a.length] : gradients;
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

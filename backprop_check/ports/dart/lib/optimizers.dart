/// Optimizers: how parameters follow their gradients, when a plain step down the slope is not all that is asked for.
///
/// 1. Optimizers: SGD with momentum, RMSprop, Adagrad, Adam and AdamW, one parameter at a time
/// 2. Clipping: gradients that are too long are shortened before the update
/// 3. Penalty: what the loss adds for large parameters
///
/// Names, defaults and formulas are PyTorch's. `w` is a parameter (a weight or a bias), `g` its gradient, `rate` the
/// learning rate. An optimizer remembers something of every parameter from step to step: that is its `State`.
library;

import 'dart:math';

typedef Settings = Map<String, dynamic>;

/// Layer, neuron, and the input of a weight, or -1 for the bias (in graph.dart: layer, which parameter, which number).
typedef Place = (int, int, int);

// ------------------------------------------------------------------------------------------------
// 1. Optimizers
// ------------------------------------------------------------------------------------------------

/// What is remembered of one parameter. All begins at 0, but the first velocity of SGD is the gradient itself.
class State {
  double? velocity;
  double? sum;
  double mean = 0.0;
  double square = 0.0;
  double largest = 0.0;
}

/// Gives every parameter its new value, and remembers what it needs for the next step.
abstract class Optimizer {
  Optimizer(Settings settings) : weightDecay = number(settings['weight_decay'] ?? 0);

  final double weightDecay;
  final Map<Place, State> states = {};

  /// The number of this step, counted from 1.
  int time = 0;

  /// Says that all parameters are about to get their next value.
  void beginStep() => time++;

  /// The new value of the parameter at that place.
  double updated(Place place, double w, double g, double rate) =>
      step(w, decayed(w, g), states.putIfAbsent(place, State.new), rate);

  /// The gradient with weight decay: as if the loss had half of decay * w * w more.
  double decayed(double w, double g) => g + weightDecay * w;

  double step(double w, double g, State state, double rate);
}

/// Down the slope: with momentum, a ball that rolls, and does not stop where the slope does.
class Sgd extends Optimizer {
  Sgd(super.settings)
      : momentum = number(settings['momentum'] ?? 0),
        dampening = number(settings['dampening'] ?? 0),
        nesterov = settings['nesterov'] ?? false;

  final double momentum;
  final double dampening;
  final bool nesterov;

  @override
  double step(double w, double g, State state, double rate) {
    if (momentum == 0.0) return w - rate * g;
    final before = state.velocity;
    final velocity = before == null ? g : momentum * before + (1.0 - dampening) * g;
    state.velocity = velocity;
    // Nesterov looks where the velocity is about to lead.
    return w - rate * (nesterov ? g + momentum * velocity : velocity);
  }
}

/// Divides each gradient by its usual size: the root of a running average of its square.
class RmsProp extends Optimizer {
  RmsProp(super.settings)
      : alpha = number(settings['alpha']),
        eps = number(settings['eps']),
        centered = settings['centered'],
        momentum = number(settings['momentum']);

  final double alpha;
  final double eps;
  final bool centered;
  final double momentum;

  @override
  double step(double w, double g, State state, double rate) {
    state.square = average(state.square, g * g, alpha);
    var square = state.square;
    if (centered) {
      state.mean = average(state.mean, g, alpha);
      square -= state.mean * state.mean; // the variance
    }
    var direction = g / (sqrt(square) + eps);
    if (momentum != 0.0) direction = state.velocity = momentum * (state.velocity ?? 0.0) + direction;
    return w - rate * direction;
  }
}

/// Divides each gradient by the root of the sum of all its squares: steps grow shorter and shorter.
class Adagrad extends Optimizer {
  Adagrad(super.settings)
      : lrDecay = number(settings['lr_decay']),
        start = number(settings['initial_accumulator_value']),
        eps = number(settings['eps']);

  final double lrDecay;
  final double start;
  final double eps;

  @override
  double step(double w, double g, State state, double rate) {
    final sum = (state.sum ?? start) + g * g;
    state.sum = sum;
    return w - rate / (1.0 + (time - 1) * lrDecay) * g / (sqrt(sum) + eps);
  }
}

/// A running average of the gradient, divided by the root of one of its square.
class Adam extends Optimizer {
  Adam(super.settings)
      : beta1 = number(settings['betas'][0]),
        beta2 = number(settings['betas'][1]),
        eps = number(settings['eps']),
        amsgrad = settings['amsgrad'];

  final double beta1;
  final double beta2;
  final double eps;
  final bool amsgrad;

  @override
  double step(double w, double g, State state, double rate) {
    state.mean = average(state.mean, g, beta1);
    state.square = average(state.square, g * g, beta2);
    var square = state.square;
    if (amsgrad) square = state.largest = max(state.largest, square);
    // Averages that began at 0 are too small at first: after t steps by a factor of 1 - beta^t.
    final meanHat = state.mean / (1.0 - pow(beta1, time));
    final squareHat = square / (1.0 - pow(beta2, time));
    return w - rate * meanHat / (sqrt(squareHat) + eps);
  }
}

/// Adam, where decay shrinks the parameter itself, and the averages know nothing of it.
class AdamW extends Adam {
  AdamW(super.settings);

  @override
  double updated(Place place, double w, double g, double rate) =>
      step(w - rate * weightDecay * w, g, states.putIfAbsent(place, State.new), rate);
}

/// A running average: mostly what it was before, and a little of x.
double average(double before, double x, double beta) => beta * before + (1.0 - beta) * x;

final Map<String, Optimizer Function(Settings)> optimizers = {
  'sgd': Sgd.new,
  'rmsprop': RmsProp.new,
  'adagrad': Adagrad.new,
  'adam': Adam.new,
  'adamw': AdamW.new,
};

/// What this file knows beside the kinds of optimizers, in the protocol's words.
const List<String> features = [
  'momentum',
  'dampening',
  'nesterov',
  'weight_decay',
  'centered',
  'lr_decay',
  'amsgrad',
  'schedule',
  'clipping',
  'regularization',
];

// ------------------------------------------------------------------------------------------------
// 2. Clipping
// ------------------------------------------------------------------------------------------------

/// Holds gradients back before an update: each by its value, or all together by their norm.
class Clip {
  Clip(Settings settings)
      : byNorm = settings['kind'] == 'norm',
        limit = number(settings['limit']);

  final bool byNorm;
  final double limit;
  double scale = 1.0;

  /// Looks at all gradients of the network: their norm decides by how much each is shortened.
  void measure(Iterable<double> gradients) {
    var total = 0.0;
    for (final g in gradients) {
      total += g * g;
    }
    scale = byNorm ? min(1.0, limit / (sqrt(total) + 1e-6)) : 1.0;
  }

  /// One gradient as the update is to see it.
  double clipped(double g) => byNorm ? g * scale : max(-limit, min(limit, g));
}

// ------------------------------------------------------------------------------------------------
// 3. Penalty
// ------------------------------------------------------------------------------------------------

/// What the loss adds for large parameters: l1 * |w| + l2 / 2 * w * w for each.
class Penalty {
  Penalty(Settings settings)
      : l1 = number(settings['l1']),
        l2 = number(settings['l2']),
        biases = settings['biases'];

  final double l1;
  final double l2;
  final bool biases;

  /// One parameter's part of the loss.
  double value(double w) => l1 * w.abs() + 0.5 * l2 * w * w;

  /// The derivative of that part. At w = 0, the kink of |w|, 0 is the convention.
  double derivative(double w) => l1 * (w > 0.0 ? 1.0 : (w < 0.0 ? -1.0 : 0.0)) + l2 * w;
}

double number(Object x) => (x as num).toDouble();

/// Normalisation, dropout and embedding, number by number.
///
/// 1. Standardise    numbers made to have mean 0 and variance 1, and the gradient through mean and variance
/// 2. Norms          batch, layer, group, instance and RMS normalisation: which numbers are standardised together
/// 3. Dropout        some numbers dropped in training, the others made larger
/// 4. Embedding      rows of a table, looked up by index
/// 5. PReLU          a leaky ReLU that learns its slope
///
/// What is new in a normalisation: every x moves the mean and the variance, and these move ALL the numbers of its group.
/// So the gradient comes back to an x on three ways, which are added.
library;

import 'dart:math' as math;

import 'any_layer.dart';
import 'backprop.dart' show Json, readNumber;
import 'mathematics.dart';

/// A sample, and which of its numbers.
typedef Place = (int, int);

// ------------------------------------------------------------------------------------------------
// 1. Standardise
// ------------------------------------------------------------------------------------------------

/// x^ = (x - mean) / sqrt(variance + eps), for the numbers of one group.
class Standardise {
  Standardise(this.eps);

  /// Makes sure that nothing is divided by 0.
  final double eps;

  double mean = 0;
  double variance = 0;

  /// 1 / sqrt(variance + eps).
  double inverse = 0;

  /// x - mean.
  Numbers away = [];

  /// The standardised numbers.
  Numbers forward(Numbers xs) {
    mean = addUp(xs) / xs.length;
    return fromMean(xs);
  }

  /// Goes on from the mean.
  Numbers fromMean(Numbers xs) {
    away = [for (final x in xs) x - mean];
    variance = addUp([for (final d in away) d * d]) / xs.length;
    return fromVariance();
  }

  /// Goes on from the variance.
  Numbers fromVariance() {
    inverse = 1 / math.sqrt(variance + eps);
    return [for (final d in away) d * inverse];
  }

  /// From dL/dx^ to dL/dx.
  Numbers backward(Numbers xHatGradients) {
    final awayGradients = toAway(xHatGradients);
    // away = x - mean: each x moves its own away, and by the mean all of them a little.
    final meanGradient = -addUp(awayGradients);
    return [for (final gradient in awayGradients) gradient + meanGradient / awayGradients.length];
  }

  /// dL/d(x - mean), which moves its own x^, and by the variance all of them a little.
  Numbers toAway(Numbers xHatGradients) {
    final n = away.length;
    final inverseGradient = addUp([for (var i = 0; i < n; i++) xHatGradients[i] * away[i]]);
    // inverse = (variance + eps)^(-1/2), so its slope is -1/2 (variance + eps)^(-3/2).
    final varianceGradient = inverseGradient * -0.5 * inverse * inverse * inverse;
    return [for (var i = 0; i < n; i++) xHatGradients[i] * inverse + varianceGradient * 2 * away[i] / n];
  }
}

/// x^ = x / sqrt(mean of x^2 + eps): no mean is taken away.
class RootMeanSquare extends Standardise {
  RootMeanSquare(super.eps);

  @override
  Numbers forward(Numbers xs) => fromMean(xs); // the mean stays 0

  @override
  Numbers backward(Numbers xHatGradients) => toAway(xHatGradients);
}

/// The same with a mean and a variance from before, which no x moves: they are constants.
class ByRunning extends Standardise {
  ByRunning(super.eps, double mean, double variance) {
    this.mean = mean;
    this.variance = variance;
  }

  @override
  Numbers forward(Numbers xs) {
    away = [for (final x in xs) x - mean];
    return fromVariance();
  }

  @override
  Numbers backward(Numbers xHatGradients) => [for (final gradient in xHatGradients) gradient * inverse];
}

// ------------------------------------------------------------------------------------------------
// 2. Norms
// ------------------------------------------------------------------------------------------------

/// a = weight * x^ + bias. Its kinds differ in which numbers make a group, and whose weight and bias they have.
abstract class Norm extends AnyLayer {
  Norm(this.spec, this.outputShape) {
    final given = (spec['parameters'] ?? <String, dynamic>{}) as Json;
    parameters = {for (final MapEntry(:key, :value) in given.entries) key: flat(value as Object)};
  }

  final Json spec;

  @override
  final List<int> outputShape;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> get shapes => {for (final name in parameters.keys) name: parameterShape};

  /// The shape of weight and bias: one number a channel.
  List<int> get parameterShape => [outputShape.first];

  int get size => sizeOf(outputShape);

  /// How many positions each channel has.
  int get positions => size ~/ outputShape.first;

  double get eps => readNumber(spec['eps']);

  /// How many numbers in a row make a group.
  int get length;

  Rows xHat = [];
  List<List<Place>> places = [];
  List<Standardise> made = [];

  /// The weight and the bias that number [i] has: its channel's.
  int own(int i) => i ~/ positions;

  /// The groups of a batch: here so many numbers in a row, in every sample.
  List<List<Place>> groups(int samples) => [
        for (var s = 0; s < samples; s++)
          for (var start = 0; start < size; start += length)
            [for (var i = start; i < start + length; i++) (s, i)],
      ];

  /// What standardises a group.
  Standardise standardise(int group) => Standardise(eps);

  /// The weight that number [i] is scaled with.
  double weight(int i) => parameters['weight']?[own(i)] ?? 1;

  /// a = weight * x^ + bias of number [i], where it has them.
  double scaled(int i, double x) {
    final bias = parameters['bias'];
    return bias == null ? x * weight(i) : x * weight(i) + bias[own(i)];
  }

  @override
  Rows forward(Rows batch) {
    places = groups(batch.length);
    made = [for (var group = 0; group < places.length; group++) standardise(group)];
    xHat = [for (final _ in batch) List.filled(size, 0.0)];
    for (final (group, own) in places.indexed) {
      final numbers = made[group].forward([for (final (s, i) in own) batch[s][i]]);
      for (final (k, (s, i)) in own.indexed) {
        xHat[s][i] = numbers[k];
      }
    }
    return [
      for (final row in xHat) [for (final (i, x) in row.indexed) scaled(i, x)],
    ];
  }

  @override
  Rows backward(Rows activationGradients) {
    delta = activationGradients;
    gradients = {
      for (final MapEntry(:key, :value) in parameters.entries) key: List.filled(value.length, 0.0),
    };
    for (var s = 0; s < activationGradients.length; s++) {
      for (var i = 0; i < size; i++) {
        gradients['weight']?[own(i)] += activationGradients[s][i] * xHat[s][i];
        gradients['bias']?[own(i)] += activationGradients[s][i];
      }
    }
    final inputGradients = [for (final _ in activationGradients) List.filled(size, 0.0)];
    for (final (group, own) in places.indexed) {
      final back = made[group].backward([for (final (s, i) in own) activationGradients[s][i] * weight(i)]);
      for (final (k, (s, i)) in own.indexed) {
        inputGradients[s][i] = back[k];
      }
    }
    return inputGradients;
  }
}

/// A group is a channel, over the whole batch. Running statistics are kept for the time after training.
class BatchNorm extends Norm {
  BatchNorm(super.spec, super.outputShape);

  bool get training => spec['training'];

  @override
  int get length => positions;

  @override
  List<List<Place>> groups(int samples) => [
        for (var c = 0; c < outputShape.first; c++)
          [
            for (var s = 0; s < samples; s++)
              for (var i = c * positions; i < (c + 1) * positions; i++) (s, i),
          ],
      ];

  @override
  Standardise standardise(int group) {
    if (training) return super.standardise(group);
    double running(String name) => readNumber(spec['buffers'][name][group]);
    return ByRunning(eps, running('running_mean'), running('running_var'));
  }

  @override
  Rows forward(Rows batch) {
    final a = super.forward(batch);
    if (training && spec['buffers'] != null) move();
    return a;
  }

  /// Moves the running statistics a little towards the batch's. Their variance is divided by n - 1.
  void move() {
    if (buffers.isEmpty) {
      buffers = {for (final MapEntry(:key, :value) in (spec['buffers'] as Json).entries) key: flat(value as Object)};
    }
    final momentum = readNumber(spec['momentum']);
    for (final (c, group) in made.indexed) {
      final n = group.away.length;
      final batch = {'running_mean': group.mean, 'running_var': group.variance * n / (n - 1)};
      for (final MapEntry(key: name, value: fresh) in batch.entries) {
        buffers[name]![c] = (1 - momentum) * buffers[name]![c] + momentum * fresh;
      }
    }
  }
}

/// A group is the end of a sample's shape; each of its places has a weight and a bias of its own.
class LayerNorm extends Norm {
  LayerNorm(super.spec, super.outputShape);

  @override
  List<int> get parameterShape => readShape(spec['normalized_shape'] as Object);

  @override
  int get length => sizeOf(parameterShape);

  @override
  int own(int i) => i % length;
}

/// The same without a mean.
class RmsNorm extends LayerNorm {
  RmsNorm(super.spec, super.outputShape);

  @override
  Standardise standardise(int group) => RootMeanSquare(eps);
}

/// A group is some channels of a sample.
class GroupNorm extends Norm {
  GroupNorm(super.spec, super.outputShape);

  @override
  int get length => size ~/ (spec['num_groups'] as int);
}

/// A group is one channel of a sample.
class InstanceNorm extends Norm {
  InstanceNorm(super.spec, super.outputShape);

  @override
  int get length => positions;
}

// ------------------------------------------------------------------------------------------------
// 3. Dropout
// ------------------------------------------------------------------------------------------------

/// a = x * mask / (1 - p) in training: what is kept is made larger, so that the sum stays about what it was.
class Dropout extends AnyLayer {
  Dropout(Json spec, this.outputShape)
      : kept = 1 - readNumber(spec['p']),
        mask = spec['training'] ? [for (final mask in spec['mask'] as List) flat(mask as Object)] : null;

  @override
  final List<int> outputShape;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> get shapes => {};

  /// 1 - p.
  final double kept;

  /// 1 for what is kept, 0 for what is dropped; null after training, when everything is passed on.
  final Rows? mask;

  @override
  Rows forward(Rows batch) => masked(batch);

  /// Back through the same mask: what was dropped gets no gradient.
  @override
  Rows backward(Rows activationGradients) {
    delta = activationGradients;
    return masked(activationGradients);
  }

  Rows masked(Rows rows) => [
        for (final (s, row) in rows.indexed)
          [for (final (i, x) in row.indexed) mask == null ? x : x * mask![s][i] / kept],
      ];
}

// ------------------------------------------------------------------------------------------------
// 4. Embedding
// ------------------------------------------------------------------------------------------------

/// a[t] = weight[x[t]]: the numbers that it reads are indices, and each gives a row of the table.
class Embedding extends AnyLayer {
  Embedding(this.spec, List<int> shape) : outputShape = [...shape, spec['embedding_dim'] as int] {
    parameters = {'weight': flat(spec['parameters']['weight'])};
  }

  final Json spec;

  @override
  final List<int> outputShape;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> get shapes => {
        'weight': [spec['num_embeddings'], width],
      };

  int get width => spec['embedding_dim'];

  List<List<int>> indices = [];

  @override
  Rows forward(Rows batch) {
    final weight = parameters['weight']!;
    indices = [
      for (final row in batch) [for (final x in row) x.toInt()],
    ];
    return [
      for (final row in indices)
        [for (final index in row) ...weight.sublist(index * width, (index + 1) * width)],
    ];
  }

  /// Adds every place's gradient to the row that was looked up there. Nothing flows back into an index.
  @override
  Rows backward(Rows activationGradients) {
    delta = activationGradients;
    final total = List.filled(parameters['weight']!.length, 0.0);
    for (final (s, row) in indices.indexed) {
      for (final (t, index) in row.indexed) {
        if (index == spec['padding_idx']) continue; // padding stands for nothing, and learns nothing
        for (var j = 0; j < width; j++) {
          total[index * width + j] += activationGradients[s][t * width + j];
        }
      }
    }
    gradients = {'weight': total};
    return [for (final row in indices) List.filled(row.length, 0.0)];
  }
}

// ------------------------------------------------------------------------------------------------
// 5. PReLU
// ------------------------------------------------------------------------------------------------

/// a = x where x > 0, else w * x: the slope w is learnt, one for all numbers or one a channel.
class PReLU extends AnyLayer {
  PReLU(Json spec, this.outputShape) {
    parameters = {'weight': flat(spec['parameters']['weight'])};
  }

  @override
  final List<int> outputShape;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> get shapes => {
        'weight': [slopes],
      };

  int get slopes => parameters['weight']!.length;

  Rows inputs = [];

  /// Which slope number [i] has: its channel's, where there is more than one.
  int own(int i) => i * slopes ~/ sizeOf(outputShape);

  @override
  Rows forward(Rows batch) {
    inputs = batch;
    final w = parameters['weight']!;
    return [
      for (final row in batch)
        [for (final (i, x) in row.indexed) x > 0 ? x : w[own(i)] * x],
    ];
  }

  /// dL/dx; and a slope's gradient is the sum of what each number that it was used for brings back: dL/da * x.
  @override
  Rows backward(Rows activationGradients) {
    delta = activationGradients;
    final w = parameters['weight']!;
    final total = List.filled(slopes, 0.0);
    for (final (s, row) in inputs.indexed) {
      for (final (i, x) in row.indexed) {
        if (x <= 0) total[own(i)] += activationGradients[s][i] * x;
      }
    }
    gradients = {'weight': total};
    return [
      for (final (s, row) in inputs.indexed)
        [for (final (i, x) in row.indexed) x > 0 ? activationGradients[s][i] : activationGradients[s][i] * w[own(i)]],
    ];
  }
}

/// What every kind of layer has in common, so that graph.dart can wire them freely.
library;

import 'backprop.dart' show known, readNumber;
import 'mathematics.dart';

/// One list of numbers a sample, whatever the sample's shape: an image is its channels one after the other, row by row.
typedef Rows = List<Numbers>;

/// A layer of any kind, over a whole batch. It is made from its JSON and the shape of one sample of what it reads.
abstract class AnyLayer {
  /// The shape of one sample's output.
  List<int> get outputShape;

  /// The shape of its pre-activation; null where it has none.
  List<int>? get zShape;

  /// The shape of each parameter.
  Map<String, List<int>> get shapes;

  /// The numbers of each parameter. Layers that share parameters have the same map.
  Map<String, Numbers> parameters = {};

  /// dL/d(parameter), summed over the batch; set by [backward].
  Map<String, Numbers> gradients = {};

  /// What [forward] changes beside the parameters, such as running statistics. Most kinds have none.
  Map<String, Numbers> buffers = {};

  /// The pre-activations, set by [forward]; null where it has none.
  Rows? z;

  /// dL/dz (dL/da where it has no z), set by [backward].
  Rows delta = [];

  /// From the inputs of all samples to the outputs. It keeps what [backward] needs.
  Rows forward(Rows batch);

  /// From dL/d(outputs) to dL/d(inputs).
  Rows backward(Rows activationGradients);
}

/// A layer whose [backward] can begin at dL/dz, where that is known.
abstract class FromZ implements AnyLayer {
  Rows backwardFromZ(Rows delta);
}

/// The numbers of nested lists in one list, in their order.
Numbers flat(Object value) =>
    value is List ? [for (final part in value) ...flat(part as Object)] : [readNumber(value)];

/// The numbers as nested lists of that shape.
List<dynamic> nested(Numbers numbers, List<int> shape) {
  if (shape.length < 2) return numbers.toList();
  final rest = shape.sublist(1);
  final step = sizeOf(rest);
  return [for (var i = 0; i < shape[0]; i++) nested(numbers.sublist(i * step, (i + 1) * step), rest)];
}

/// How many numbers an array of that shape has.
int sizeOf(List<int> shape) => shape.fold(1, (product, length) => product * length);

/// A shape as JSON has it.
List<int> readShape(Object shape) => shape is List ? [for (final length in shape) length as int] : [shape as int];

/// Convolution and pooling, neuron by neuron, in plain Dart.
///
/// A neuron of a convolution is one position of one output channel. It reads a small window of the input, and its
/// weights are the kernel, which all positions of its channel SHARE. That is all that is new:
///
/// 1. Windows        which inputs each position reads: stride, padding, dilation
/// 2. Convolution    a neuron a position; a shared weight's gradient is added up from every position that used it
/// 3. Transposed     the same links from their other end: every input adds its kernel to the output
/// 4. Pooling        the largest of a window, or its mean
/// 5. Rearranging    flatten, upsample
///
/// Inside, an image is one list of numbers: its channels one after the other, each row by row. Along one axis (a
/// sequence) or two (an image) everything is the same, so a position is a list of one or two numbers.
library;

import 'dart:math';

import 'activations.dart';
import 'any_layer.dart';
import 'backprop.dart' show Json, known, optional;
import 'mathematics.dart';

typedef Position = List<int>;

/// An input, and the weight through which it is read.
typedef Link = ({int input, int weight});

// ------------------------------------------------------------------------------------------------
// 1. Windows
// ------------------------------------------------------------------------------------------------

/// Every choice of one element from each list, the last list's changing fastest.
List<List<T>> choices<T>(List<List<T>> lists) {
  var found = [<T>[]];
  for (final list in lists) {
    found = [
      for (final before in found)
        for (final each in list) [...before, each],
    ];
  }
  return found;
}

/// Every position of an image of that size, row by row.
List<Position> positions(List<int> sizes) => choices([
      for (final size in sizes) [for (var at = 0; at < size; at++) at],
    ]);

/// Where a position of a channel stands in the list of numbers.
int indexOf(int channel, Position position, List<int> sizes) {
  var index = channel;
  for (var axis = 0; axis < sizes.length; axis++) {
    index = index * sizes[axis] + position[axis];
  }
  return index;
}

/// The numbers of a field; null where it is not said.
List<int>? sizesOf(Json spec, String name) => spec[name] == null ? null : readShape(spec[name] as Object);

/// The kernel's size, and how it moves over the input, along each axis.
class Window {
  /// What is not said is PyTorch's default: a pooling window moves by its own size, a kernel by 1.
  Window(Json spec, int axes)
      : kernel = sizesOf(spec, 'kernel_size')!,
        stride = sizesOf(spec, 'stride') ??
            ((spec['kind'] as String).contains('pool') ? sizesOf(spec, 'kernel_size')! : List.filled(axes, 1)),
        padding = sizesOf(spec, 'padding') ?? List.filled(axes, 0),
        dilation = sizesOf(spec, 'dilation') ?? List.filled(axes, 1);

  final List<int> kernel;
  final List<int> stride;
  final List<int> padding;
  final List<int> dilation;

  /// How many inputs it spans along an axis.
  int reach(int axis) => dilation[axis] * (kernel[axis] - 1) + 1;

  /// How many positions it has along each axis of an input of that size.
  List<int> count(List<int> sizes, {bool ceil = false}) => [
        for (var axis = 0; axis < sizes.length; axis++) countAlong(axis, sizes[axis], ceil),
      ];

  int countAlong(int axis, int size, bool ceil) {
    final room = size + 2 * padding[axis] - reach(axis);
    final count = ((ceil ? room + stride[axis] - 1 : room) / stride[axis]).floor() + 1;
    // The last window would begin behind the input.
    return ceil && (count - 1) * stride[axis] >= size + padding[axis] ? count - 1 : count;
  }

  /// Every place of the kernel, row by row.
  List<Position> get places => positions(kernel);

  /// The input position that lies under a place of the kernel; null where that is in the padding.
  Position? read(Position output, Position place, List<int> sizes) {
    final found = <int>[];
    for (var axis = 0; axis < sizes.length; axis++) {
      final at = output[axis] * stride[axis] + place[axis] * dilation[axis] - padding[axis];
      if (at < 0 || at >= sizes[axis]) return null; // the padding is all zeros: nothing to add
      found.add(at);
    }
    return found;
  }
}

// ------------------------------------------------------------------------------------------------
// 2. Convolution
// ------------------------------------------------------------------------------------------------

/// conv1d and conv2d. `links[o]` are the inputs that output o reads, each with the weight that it is read through.
class Convolution extends AnyLayer {
  Convolution(Json spec, List<int> shape)
      : inChannels = shape[0],
        inSizes = shape.sublist(1),
        channels = spec['out_channels'],
        groups = spec['groups'] ?? 1,
        window = Window(spec, shape.length - 1),
        overChannels = (spec['activation'] ?? 'identity').contains('softmax'),
        activation = activations[known(spec['activation'] ?? 'identity', activations.keys, 'activation')]!(
          optional(spec['alpha']),
        ) {
    sizes = outputSizes(spec);
    shapes = {
      'weight': weightShape,
      if (spec['parameters']['bias'] != null) 'bias': [channels],
    };
    parameters = {for (final name in shapes.keys) name: flat(spec['parameters'][name])};
    count = sizeOf(sizes);
    links = [for (var neuron = 0; neuron < channels * count; neuron++) []];
    connect();
  }

  final int inChannels;
  final List<int> inSizes;
  final int channels;
  final int groups;
  final Window window;
  final bool overChannels;
  final Activation activation;

  /// The size of the output along each axis.
  late final List<int> sizes;

  /// How many positions each channel has.
  late final int count;
  late final List<List<Link>> links;

  Rows a = [];
  Rows inputs = [];

  @override
  late final Map<String, List<int>> shapes;

  @override
  List<int> get outputShape => [channels, ...sizes];

  @override
  List<int>? get zShape => outputShape;

  List<int> outputSizes(Json spec) => window.count(inSizes);

  /// A kernel for every output channel, with a slice for every input channel that it reads.
  List<int> get weightShape => [channels, inChannels ~/ groups, ...window.kernel];

  /// Find the links: what every neuron reads, and through which weight.
  void connect() {
    final depth = inChannels ~/ groups;
    final own = channels ~/ groups;
    for (var c = 0; c < channels; c++) {
      final first = c ~/ own * depth; // the first input channel of its group
      for (final output in positions(sizes)) {
        final neuron = indexOf(c, output, sizes);
        for (var i = 0; i < depth; i++) {
          for (final place in window.places) {
            final read = window.read(output, place, inSizes);
            if (read == null) continue;
            links[neuron].add((
              input: indexOf(first + i, read, inSizes),
              weight: indexOf(c * depth + i, place, window.kernel),
            ));
          }
        }
      }
    }
  }

  /// A neuron's bias: that of its channel.
  double bias(int neuron) => parameters['bias']?[neuron ~/ count] ?? 0.0;

  /// z = the sum over the window of weight times input, plus the channel's bias; then the activation.
  @override
  Rows forward(Rows batch) {
    inputs = batch;
    final weights = parameters['weight']!;
    final Rows z = [];
    for (final x in batch) {
      final row = <double>[];
      for (var neuron = 0; neuron < links.length; neuron++) {
        var total = bias(neuron);
        for (final link in links[neuron]) {
          total += weights[link.weight] * x[link.input];
        }
        row.add(total);
      }
      z.add(row);
    }
    this.z = z;
    a = [for (final row in z) activate(row)];
    return a;
  }

  /// Every link carries delta back to its input, and to its weight.
  @override
  Rows backward(Rows activationGradients) {
    delta = [for (var s = 0; s < activationGradients.length; s++) deltas(z![s], a[s], activationGradients[s])];
    final weights = parameters['weight']!;
    gradients = {for (final name in parameters.keys) name: List.filled(parameters[name]!.length, 0.0)};
    final Rows inputGradients = [];
    for (var s = 0; s < inputs.length; s++) {
      final dx = List.filled(inputs[s].length, 0.0);
      for (var neuron = 0; neuron < links.length; neuron++) {
        final d = delta[s][neuron];
        for (final link in links[neuron]) {
          dx[link.input] += weights[link.weight] * d; // added: other windows read this input too
          gradients['weight']![link.weight] += d * inputs[s][link.input]; // added: so do other positions its weight
        }
        if (gradients.containsKey('bias')) gradients['bias']![neuron ~/ count] += d;
      }
      inputGradients.add(dx);
    }
    return inputGradients;
  }

  /// The activations of a sample: a softmax goes over the channels of each position, all else is alone.
  Numbers activate(Numbers z) => overChannels
      ? byPosition([for (var at = 0; at < count; at++) activation.activate(group(z, at))])
      : activation.activate(z);

  /// dL/dz of a sample.
  Numbers deltas(Numbers z, Numbers a, Numbers activationGradients) => overChannels
      ? byPosition([
          for (var at = 0; at < count; at++)
            activation.deltas(group(z, at), group(a, at), group(activationGradients, at)),
        ])
      : activation.deltas(z, a, activationGradients);

  /// The numbers of all channels at a position.
  Numbers group(Numbers numbers, int at) => [for (var c = 0; c < channels; c++) numbers[c * count + at]];

  /// Back in their places.
  Numbers byPosition(List<Numbers> groups) => [
        for (var c = 0; c < channels; c++)
          for (final group in groups) group[c],
      ];
}

// ------------------------------------------------------------------------------------------------
// 3. Transposed convolution
// ------------------------------------------------------------------------------------------------

/// conv_transpose1d and conv_transpose2d: every input adds its kernel, times itself, to a window of the output.
///
/// That is a convolution from the output to the input with its arrows turned round. The links are found from there; all
/// the rest stays as it is.
class TransposedConvolution extends Convolution {
  TransposedConvolution(super.spec, super.shape);

  @override
  List<int> outputSizes(Json spec) {
    final extra = sizesOf(spec, 'output_padding') ?? List.filled(inSizes.length, 0);
    return [
      for (var axis = 0; axis < inSizes.length; axis++)
        (inSizes[axis] - 1) * window.stride[axis] - 2 * window.padding[axis] + window.reach(axis) + extra[axis],
    ];
  }

  @override
  List<int> get weightShape => [inChannels, channels ~/ groups, ...window.kernel];

  @override
  void connect() {
    final depth = inChannels ~/ groups;
    final own = channels ~/ groups;
    for (var i = 0; i < inChannels; i++) {
      final first = i ~/ depth * own; // the first output channel of its group
      for (final position in positions(inSizes)) {
        for (var c = 0; c < own; c++) {
          for (final place in window.places) {
            final reached = window.read(position, place, sizes);
            if (reached == null) continue;
            links[indexOf(first + c, reached, sizes)].add((
              input: indexOf(i, position, inSizes),
              weight: indexOf(i * own + c, place, window.kernel),
            ));
          }
        }
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------
// 4. Pooling
// ------------------------------------------------------------------------------------------------

/// A layer without parameters: it has no z, and its delta is dL/da.
abstract class Plain extends AnyLayer {
  Plain(List<int> shape)
      : channels = shape[0],
        inSizes = shape.sublist(1),
        size = sizeOf(shape);

  final int channels;
  final List<int> inSizes;
  final int size;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> get shapes => {};

  @override
  Rows backward(Rows activationGradients) {
    delta = activationGradients;
    return [for (var s = 0; s < activationGradients.length; s++) back(s, activationGradients[s])];
  }

  /// dL/dx of sample s.
  Numbers back(int s, Numbers gradients);
}

/// `windows[o]` are the inputs that output o is made of: each channel by itself.
abstract class Pooling extends Plain {
  Pooling(Json spec, List<int> shape)
      : window = Window(
          (spec['kind'] as String).startsWith('global') ? {...spec, 'kernel_size': shape.sublist(1)} : spec,
          shape.length - 1,
        ),
        super(shape) {
    sizes = window.count(inSizes, ceil: spec['ceil_mode'] ?? false);
    windows = [
      for (var c = 0; c < channels; c++)
        for (final output in positions(sizes))
          [
            for (final place in window.places)
              if (window.read(output, place, inSizes) case final read?) indexOf(c, read, inSizes),
          ],
    ];
  }

  final Window window;
  late final List<int> sizes;
  late final List<List<int>> windows;

  @override
  List<int> get outputShape => [channels, ...sizes];
}

/// The largest of each window. Only that input moved the output, so only it gets the gradient.
class MaxPooling extends Pooling {
  MaxPooling(super.spec, super.shape);

  /// For every sample and output which input it was.
  List<List<int>> largest = [];

  @override
  Rows forward(Rows batch) {
    largest = [
      for (final x in batch) [for (final window in windows) largestOf(window, x)],
    ];
    return [
      for (var s = 0; s < batch.length; s++) [for (final i in largest[s]) batch[s][i]],
    ];
  }

  /// The first of several that are largest, as in PyTorch.
  int largestOf(List<int> window, Numbers x) => window.reduce((best, i) => x[i] > x[best] ? i : best);

  @override
  Numbers back(int s, Numbers gradients) {
    final dx = List.filled(size, 0.0);
    for (var o = 0; o < gradients.length; o++) {
      dx[largest[s][o]] += gradients[o]; // added: an input can be the largest of several windows
    }
    return dx;
  }
}

/// The mean of each window.
class AveragePooling extends Pooling {
  AveragePooling(Json spec, List<int> shape) : super(spec, shape) {
    final each = [for (final output in positions(sizes)) divisor(spec, output)];
    divisors = [for (var c = 0; c < channels; c++) ...each];
  }

  late final List<int> divisors;

  /// How many positions a window has: with those in the padding, or without.
  int divisor(Json spec, Position output) {
    if (spec['divisor_override'] != null) return spec['divisor_override'];
    var count = 1;
    for (var axis = 0; axis < inSizes.length; axis++) {
      final size = inSizes[axis];
      final padding = window.padding[axis];
      var start = output[axis] * window.stride[axis] - padding;
      var stop = min(start + window.kernel[axis], size + padding); // never beyond the padded input's end
      if (!(spec['count_include_pad'] ?? true)) {
        start = max(start, 0);
        stop = min(stop, size);
      }
      count *= stop - start;
    }
    return count;
  }

  @override
  Rows forward(Rows batch) => [
        for (final x in batch)
          [
            for (var o = 0; o < windows.length; o++)
              windows[o].fold(0.0, (total, i) => total + x[i]) / divisors[o],
          ],
      ];

  @override
  Numbers back(int s, Numbers gradients) {
    final dx = List.filled(size, 0.0);
    for (var o = 0; o < gradients.length; o++) {
      for (final i in windows[o]) {
        dx[i] += gradients[o] / divisors[o]; // each moves the mean by so much
      }
    }
    return dx;
  }
}

// ------------------------------------------------------------------------------------------------
// 5. Rearranging
// ------------------------------------------------------------------------------------------------

/// The same numbers as one row, which they are already here. Only the shape changes.
class Flatten extends Plain {
  Flatten(Json spec, super.shape);

  @override
  List<int> get outputShape => [size];

  @override
  Rows forward(Rows batch) => [for (final x in batch) x.toList()];

  @override
  Numbers back(int s, Numbers gradients) => gradients.toList();
}

/// An input that an output is a mixture of, and its share.
typedef Part = ({int input, double share});

/// A larger image: every output is a mixture of its nearest inputs. `mixed[o]` are those, each with its share.
class Upsample extends Plain {
  Upsample(Json spec, super.shape)
      : mode = known(spec['mode'] ?? 'nearest', ['nearest', 'linear', 'bilinear'], 'way of upsampling'),
        alignCorners = spec['align_corners'] ?? false,
        factors = sizesOf(spec, 'scale_factor')! {
    final axes = [
      for (var axis = 0; axis < inSizes.length; axis++)
        [
          for (var at = 0; at < inSizes[axis] * factors[axis]; at++) nearest(at, inSizes[axis], factors[axis]),
        ],
    ];
    mixed = [
      for (var c = 0; c < channels; c++)
        for (final along in choices(axes))
          [
            // In two axes: of two rows and two columns.
            for (final corner in choices(along))
              (
                input: indexOf(c, [for (final part in corner) part.input], inSizes),
                share: corner.fold(1.0, (product, part) => product * part.share),
              ),
          ],
    ];
  }

  final String mode;
  final bool alignCorners;
  final List<int> factors;
  late final List<List<Part>> mixed;

  @override
  List<int> get outputShape => [
        channels,
        for (var axis = 0; axis < inSizes.length; axis++) inSizes[axis] * factors[axis],
      ];

  /// The inputs next to an output along one axis.
  List<Part> nearest(int output, int size, int factor) {
    if (mode == 'nearest') return [(input: output ~/ factor, share: 1.0)];
    final double at;
    if (alignCorners) {
      at = size * factor > 1 ? output * (size - 1) / (size * factor - 1) : 0.0;
    } else {
      at = max(0.0, (output + 0.5) / factor - 0.5);
    }
    final low = min(at.floor(), size - 1);
    return [
      (input: low, share: 1.0 - (at - low)),
      (input: min(low + 1, size - 1), share: at - low),
    ];
  }

  @override
  Rows forward(Rows batch) => [
        for (final x in batch)
          [
            for (final mixture in mixed) mixture.fold(0.0, (total, part) => total + part.share * x[part.input]),
          ],
      ];

  @override
  Numbers back(int s, Numbers gradients) {
    final dx = List.filled(size, 0.0);
    for (var o = 0; o < gradients.length; o++) {
      for (final part in mixed[o]) {
        dx[part.input] += part.share * gradients[o];
      }
    }
    return dx;
  }
}

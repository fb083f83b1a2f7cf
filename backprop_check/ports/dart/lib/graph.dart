/// Networks of any wiring, and of any kinds of layers: what network.dart does for dense layers one after the other.
///
/// A layer may read the layer before it, or several earlier ones (`from`) whose outputs are added, multiplied or put
/// one after the other (`combine`). One layer's output may be read by many, and one layer's parameters used by several
/// (`shares`). Read it from top to bottom:
///
/// 1. Combining      several outputs made one, and the gradient sent back to each
/// 2. Graph          the layers and who reads whom: forward, backward, update
/// 3. graphBackprop  from a case of backprop-check to its reply
///
/// Two rules are all that is new. Who is read by many gets a part of the gradient back from each, and they are ADDED.
/// And a parameter that is used in several places gets a part of its gradient from each, which are added as well.
///
/// Every kind of layer is an [AnyLayer]; layers.dart has them all.
library;

import 'any_layer.dart';
import 'attention.dart' show smoothed;
import 'backprop.dart';
import 'layers.dart';
import 'losses.dart';
import 'mathematics.dart';
import 'optimizers.dart';

// ------------------------------------------------------------------------------------------------
// 1. Combining
// ------------------------------------------------------------------------------------------------

/// How the outputs of several layers are made one, sample by sample. Here: there is only one, taken as it is.
class Combine {
  /// The shape of the whole.
  List<int> shape(List<List<int>> shapes) => shapes.first;

  /// Forward: the whole.
  Numbers value(Rows parts) => parts.first;

  /// Backward: every part's share of the whole's dL/dx.
  Rows backward(Rows parts, Numbers gradients) => [gradients];
}

/// x + y + ...: each part moves the whole as much as itself, so all of dL/dx goes back to every one of them.
class Add extends Combine {
  @override
  Numbers value(Rows parts) => [
        for (var i = 0; i < parts.first.length; i++) addUp([for (final part in parts) part[i]]),
      ];

  @override
  Rows backward(Rows parts, Numbers gradients) => [for (final _ in parts) gradients];
}

/// x * y * ...: the slope with regard to x is y, all the others multiplied.
class Multiply extends Combine {
  @override
  Numbers value(Rows parts) => [for (var i = 0; i < parts.first.length; i++) product(parts, i)];

  @override
  Rows backward(Rows parts, Numbers gradients) => [
        for (var number = 0; number < parts.length; number++)
          [for (var i = 0; i < gradients.length; i++) gradients[i] * product(parts, i, without: number)],
      ];

  double product(Rows parts, int i, {int? without}) {
    var result = 1.0;
    for (final (number, part) in parts.indexed) {
      if (number != without) result *= part[i];
    }
    return result;
  }
}

/// One after the other: each part gets back what belongs to its own places.
class Concat extends Combine {
  @override
  List<int> shape(List<List<int>> shapes) => [
        shapes.fold(0, (sum, shape) => sum + shape.first),
        ...shapes.first.skip(1),
      ];

  @override
  Numbers value(Rows parts) => [for (final part in parts) ...part];

  @override
  Rows backward(Rows parts, Numbers gradients) {
    final Rows shares = [];
    var start = 0;
    for (final part in parts) {
      shares.add(gradients.sublist(start, start + part.length));
      start += part.length;
    }
    return shares;
  }
}

/// For a layer that takes several outputs one by one: it is told the shape of each, and finds them side by side.
class Apart extends Concat {
  @override
  List<int> shape(List<List<int>> shapes) => [for (final shape in shapes) ...shape];
}

final Map<String, Combine> combinations = {'add': Add(), 'multiply': Multiply(), 'concat': Concat()};

// ------------------------------------------------------------------------------------------------
// 2. Graph
// ------------------------------------------------------------------------------------------------

/// A layer in the graph: whom it reads (by number, -1 is the network's input), and whose parameters it uses.
class Node {
  Node(this.layer, this.reads, this.combine, this.owner);

  final AnyLayer layer;
  final List<int> reads;
  final Combine combine;

  /// Null where the parameters are its own.
  final int? owner;

  Rows a = [];

  /// For every sample what was read, from each layer.
  List<Rows> parts = [];
}

/// Layers in an order in which each reads earlier ones only. The last one is the output.
class Graph {
  Graph(this.nodes, this.loss, this.oneStep);

  final List<Node> nodes;
  final Loss loss;
  final OneStep? oneStep;

  Optimizer? optimizer; // null: plain steps down the slope
  Clip? clip;
  Penalty? penalty;

  Rows inputs = [];

  /// Sends all samples forward.
  void forward(Rows inputs) {
    this.inputs = inputs;
    for (final node in nodes) {
      final read = [for (final number in node.reads) number >= 0 ? nodes[number].a : inputs];
      node.parts = [
        for (var s = 0; s < inputs.length; s++) [for (final rows in read) rows[s]],
      ];
      node.a = node.layer.forward([for (final parts in node.parts) node.combine.value(parts)]);
    }
  }

  /// The sum of the samples' losses.
  double batchLoss(Rows targets) {
    final output = nodes.last;
    return addUp([
      for (var s = 0; s < targets.length; s++)
        oneStep?.ofSample(output.layer.z![s], targets[s]) ?? loss.ofSample(output.a[s], targets[s]),
    ]);
  }

  /// Sends the losses back, from the output to the network's input. Gives dL/dx of the inputs.
  ///
  /// By the time a layer's turn comes, all who read it have had theirs: its dL/da is complete.
  Rows backward(Rows targets, double divisor) {
    final activationGradients = [
      for (final node in nodes) [for (final row in node.a) List.filled(row.length, 0.0)],
    ];
    final inputGradients = [for (final row in inputs) List.filled(row.length, 0.0)];
    for (var number = nodes.length - 1; number >= 0; number--) {
      final node = nodes[number];
      final back = number < nodes.length - 1
          ? node.layer.backward(activationGradients[number])
          : oneStep == null
              ? node.layer.backward(divided(loss.activationGradients, targets, divisor))
              : (node.layer as FromZ).backwardFromZ(divided(oneStep!.deltas, targets, divisor));
      for (final (s, gradients) in back.indexed) {
        for (final (n, share) in node.combine.backward(node.parts[s], gradients).indexed) {
          final into = node.reads[n] >= 0 ? activationGradients[node.reads[n]][s] : inputGradients[s];
          for (var i = 0; i < share.length; i++) {
            into[i] += share[i]; // added: others may read it too
          }
        }
      }
    }
    gather();
    return inputGradients;
  }

  /// Where backward begins: the slope of the batch's loss, which is the samples' divided by [divisor].
  Rows divided(Numbers Function(Numbers a, Numbers t) gradientsOf, Rows targets, double divisor) => [
        for (var s = 0; s < targets.length; s++)
          [for (final gradient in gradientsOf(nodes.last.a[s], targets[s])) gradient / divisor],
      ];

  /// Adds the gradients of shared parameters up, where their owner is.
  void gather() {
    for (final node in nodes) {
      if (node.owner == null) continue;
      for (final MapEntry(key: name, value: gradient) in nodes[node.owner!].layer.gradients.entries) {
        for (var k = 0; k < gradient.length; k++) {
          gradient[k] += node.layer.gradients[name]![k];
        }
      }
    }
  }

  /// Every parameter once, whoever shares it: its layer, which of its parameters, name, numbers, gradients.
  Iterable<(int, int, String, Numbers, Numbers)> get owned sync* {
    for (final (number, node) in nodes.indexed) {
      if (node.owner != null) continue;
      for (final (which, MapEntry(key: name, value: numbers)) in node.layer.parameters.entries.indexed) {
        yield (number, which, name, numbers, node.layer.gradients[name]!);
      }
    }
  }

  /// Adds a penalty's part to the gradients, and gives its part of the loss: of weights, and perhaps of biases.
  double penalize(Penalty penalty) {
    var total = 0.0;
    for (final (_, _, name, numbers, gradients) in owned) {
      if (!name.contains('weight') && !(penalty.biases && name.contains('bias'))) continue;
      for (final (k, w) in numbers.indexed) {
        total += penalty.value(w);
        gradients[k] += penalty.derivative(w);
      }
    }
    return total;
  }

  /// Takes one step down the slope. A shared parameter is one list of numbers, which takes it once.
  void update(double learningRate) {
    final optimizer = this.optimizer;
    if (optimizer != null) return train(optimizer, learningRate);
    for (final (_, _, _, numbers, gradients) in owned) {
      for (var k = 0; k < numbers.length; k++) {
        numbers[k] -= learningRate * gradients[k];
      }
    }
  }

  /// Takes the step of an optimizer that is more than that.
  void train(Optimizer optimizer, double learningRate) {
    final clip = this.clip;
    clip?.measure([for (final (_, _, _, _, gradients) in owned) ...gradients]);
    optimizer.beginStep();
    for (final (number, which, _, numbers, gradients) in owned) {
      for (var k = 0; k < numbers.length; k++) {
        final seen = clip?.clipped(gradients[k]) ?? gradients[k];
        numbers[k] = optimizer.updated((number, which, k), numbers[k], seen, learningRate);
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------
// 3. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

/// Works out one case of backprop-check: by network.dart where that can do it, else as a graph.
Json graphBackprop(Json request) {
  final epsilon = optional((request['loss'] as Json?)?['label_smoothing']);
  if (epsilon != null) request = {...request, 'targets': smoothed(request['targets'] as List, epsilon)};
  if (isPlain(request)) return backprop(request);
  try {
    return graphReply(request);
  } on NotThereYet catch (reason) {
    return {'id': request['id'], 'skip': reason.message};
  }
}

/// Whether the layers are all dense, each reading the one before.
bool isPlain(Json request) {
  final Json network = request['network'];
  return network['inputs'] is int &&
      (network['layers'] as List)
          .every((layer) => layer['kind'] == 'dense' && layer['from'] == null && layer['shares'] == null);
}

/// The reply: loss, gradients, z, a and delta of the first pass, and the parameters after every step.
Json graphReply(Json request) {
  final graph = buildGraph(request);
  final steps = readOptimizer(request).steps ?? 0;
  final inputs = [for (final x in request['inputs'] as List) flat(x as Object)];
  final targets = [for (final t in request['targets'] as List) flat(t as Object)];
  final divisor = known(request['reduction'] ?? 'mean', ['mean', 'sum'], 'reduction') == 'mean' ? inputs.length.toDouble() : 1.0;

  Json pass() => graphPass(graph, readShape(request['network']['inputs'] as Object), inputs, targets, divisor);
  final first = pass();
  final reply = {'id': request['id'], ...first};
  final trajectory = <Json>[];
  for (var step = 0; step < steps; step++) {
    final loss = step == 0 ? first['loss'] : pass()['loss'];
    graph.update(rateOf(request, step));
    trajectory.add({
      'loss': loss,
      'layers': [
        for (final node in graph.nodes) {'updated': updated(node), ...buffers(node)},
      ],
    });
  }
  for (final (l, node) in graph.nodes.indexed) {
    if (steps > 0) first['layers'][l]['updated'] = updated(node);
    (first['layers'][l] as Json).addAll(buffers(node));
  }
  if (steps > 1) reply['trajectory'] = trajectory;
  return reply;
}

/// Sends the batch forward and backward, and writes down what came out of it.
Json graphPass(Graph graph, List<int> inputShape, Rows inputs, Rows targets, double divisor) {
  graph.forward(inputs);
  var loss = graph.batchLoss(targets) / divisor;
  final inputGradients = graph.backward(targets, divisor);
  if (graph.penalty != null) loss += graph.penalize(graph.penalty!);
  return {
    'loss': loss,
    'layers': <Json>[
      for (final node in graph.nodes)
        {
          'a': [for (final row in node.a) nested(row, node.layer.outputShape)],
          if (node.layer.z != null) 'z': [for (final row in node.layer.z!) nested(row, node.layer.zShape!)],
          'delta': [
            for (final row in node.layer.delta)
              nested(row, node.layer.z == null ? node.layer.outputShape : node.layer.zShape!),
          ],
          // Those of shared parameters are in their owner's.
          'gradients': node.owner != null ? <String, dynamic>{} : arrays(node.layer, node.layer.gradients),
        },
    ],
    'input_gradients': [for (final row in inputGradients) nested(row, inputShape)],
  };
}

/// A copy of a layer's own parameters as they are now.
Json updated(Node node) => node.owner != null ? {} : arrays(node.layer, node.layer.parameters);

/// What a layer has kept beside its parameters, as it is after the last pass; nothing where it has none.
Json buffers(Node node) => {
      if (node.layer.buffers.isNotEmpty)
        'buffers': {for (final MapEntry(:key, :value) in node.layer.buffers.entries) key: value.toList()},
    };

/// A layer's parameters, or their gradients, as nested lists.
Json arrays(AnyLayer layer, Map<String, Numbers> numbers) => {
      for (final MapEntry(key: name, value: shape) in layer.shapes.entries) name: nested(numbers[name]!, shape),
    };

/// The network that the case describes.
Graph buildGraph(Json request) {
  final specs = [for (final spec in request['network']['layers'] as List) spec as Json];
  final inputShape = readShape(request['network']['inputs'] as Object);
  final names = [
    'input',
    for (final (number, spec) in specs.indexed)
      (spec['name'] ?? (number == specs.length - 1 ? 'output' : 'hidden${number + 1}')) as String,
  ];
  final List<Node> nodes = [];
  for (final (number, spec) in specs.indexed) {
    final from = spec['from'] as List?;
    final reads = from == null ? [number - 1] : [for (final name in from) names.indexOf(name as String) - 1];
    final combine = apart.contains(spec['kind'])
        ? Apart()
        : reads.length == 1
        ? Combine()
        : combinations[known(spec['combine'] ?? 'none', combinations.keys, 'combination')]!;
    final shape = combine.shape([
      for (final read in reads) read >= 0 ? nodes[read].layer.outputShape : inputShape,
    ]);
    final layer = layers[known(spec['kind'], layers.keys, 'layer')]!(spec, shape);
    int? owner;
    if (spec['shares'] != null) {
      owner = names.indexOf(spec['shares'] as String) - 1;
      owner = nodes[owner].owner ?? owner; // it may itself share another's
      layer.parameters = nodes[owner].layer.parameters; // not a copy: the same lists
    }
    nodes.add(Node(layer, reads, combine, owner));
  }

  final loss = request['loss'] as Json;
  final kind = known(loss['kind'], losses.keys, 'loss');
  final oneStep = inOneStep[(specs.last['activation'] ?? 'identity', kind)];
  final graph = Graph(nodes, losses[kind]!(optional(loss['threshold'])), nodes.last.layer is FromZ ? oneStep : null);
  graph.optimizer = buildOptimizer(request);
  if (request['clip'] != null) graph.clip = Clip(request['clip']);
  if (request['regularization'] != null) graph.penalty = Penalty(request['regularization']);
  return graph;
}

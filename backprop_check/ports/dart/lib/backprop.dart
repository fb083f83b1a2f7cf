/// From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
///
/// To test a network of your own, let `backprop` run it.
library;

import 'activations.dart';
import 'losses.dart';
import 'mathematics.dart';
import 'network.dart';
import 'optimizers.dart';

typedef Json = Map<String, dynamic>;
typedef Sample = ({Numbers inputs, Numbers targets});

/// The case asks for something that this program has not learnt: it is skipped, which is no failure.
class NotThereYet implements Exception {
  NotThereYet(String what) : message = '$what is not there yet';

  final String message;
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
    return {'id': request['id'], 'skip': reason.message};
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
        for (final layer in network.layers) {'updated': parameters(layer)},
      ],
    });
  }
  for (final (l, layer) in network.layers.indexed) {
    first['layers'][l]['updated'] = parameters(layer);
  }
  if (steps > 1) reply['trajectory'] = trajectory;
  return reply;
}

/// Sends every sample forward and backward, and writes down what came out of it.
Json onePass(Network network, List<Sample> samples, double divisor) {
  network.resetGradients();
  var loss = 0.0;
  final inputGradients = <Numbers>[];
  final records = [
    for (final _ in network.layers) <String, dynamic>{'z': <Numbers>[], 'a': <Numbers>[], 'delta': <Numbers>[]},
  ];
  for (final sample in samples) {
    network.forward(sample.inputs);
    loss += network.sampleLoss(sample.targets);
    inputGradients.add(network.backward(sample.targets, divisor));
    for (final (l, layer) in network.layers.indexed) {
      records[l]['z'].add(layer.z);
      records[l]['a'].add(layer.a);
      records[l]['delta'].add(layer.delta);
    }
  }
  for (final (l, layer) in network.layers.indexed) {
    records[l]['gradients'] = gradients(layer);
  }
  return {'loss': loss / divisor, 'layers': records, 'input_gradients': inputGradients};
}

/// The same, with the penalty for large parameters that the loss may have.
Json penalizedPass(Network network, List<Sample> samples, double divisor) {
  final result = onePass(network, samples, divisor);
  final penalty = network.penalty;
  if (penalty == null) return result;
  result['loss'] += network.penalize(penalty);
  for (final (l, layer) in network.layers.indexed) {
    result['layers'][l]['gradients'] = gradients(layer);
  }
  return result;
}

/// A copy of the layer's gradients as they are now.
Json gradients(Layer layer) => {
      'weights': [for (final neuron in layer.neurons) neuron.weightGradients.toList()],
      'biases': [for (final neuron in layer.neurons) neuron.biasGradient],
    };

/// A copy of the layer's weights and biases as they are now.
Json parameters(Layer layer) => {
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
    throw NotThereYet('a layer that reads another one than the one before it');
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
    words.contains(word) ? word : throw NotThereYet('the $what $word');

Numbers readNumbers(List<dynamic> numbers) => [for (final number in numbers) readNumber(number)];

double? optional(Object? number) => number == null ? null : readNumber(number);

/// JSON has no NaN and no infinity, so these come as text.
double readNumber(Object number) => number is num ? number.toDouble() : double.parse(number as String);

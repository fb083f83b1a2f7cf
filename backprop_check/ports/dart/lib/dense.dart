/// A dense layer of network.dart, as one kind of layer among others.
library;

import 'activations.dart';
import 'any_layer.dart';
import 'backprop.dart' show Json, known, optional;
import 'network.dart';

class Dense extends AnyLayer implements FromZ {
  Dense(Json spec, List<int> shape)
      : units = spec['units'],
        inputs = sizeOf(shape),
        activation = activations[known(spec['activation'], activations.keys, 'activation')]!(optional(spec['alpha'])) {
    parameters = {for (final name in shapes.keys) name: flat(spec['parameters'][name])};
  }

  final int units;
  final int inputs;
  final Activation activation;

  List<Neuron> neurons = [];
  List<Layer> samples = [];

  @override
  List<int> get outputShape => [units];

  @override
  List<int>? get zShape => [units];

  @override
  Map<String, List<int>> get shapes => {
        'weights': [units, inputs],
        'biases': [units],
      };

  @override
  Rows forward(Rows batch) {
    final weights = parameters['weights']!;
    final biases = parameters['biases']!;
    neurons = [
      for (var j = 0; j < units; j++) Neuron(weights.sublist(j * inputs, (j + 1) * inputs), biases[j]),
    ];
    // One layer a sample, since each remembers its own pass. The neurons are the same: their gradients add up.
    samples = [for (final _ in batch) Layer(neurons, activation)];
    final a = [for (var s = 0; s < batch.length; s++) samples[s].forward(batch[s])];
    z = [for (final layer in samples) layer.z];
    return a;
  }

  @override
  Rows backward(Rows activationGradients) => backwardFromZ([
        for (final (s, gradients) in activationGradients.indexed) samples[s].hiddenDeltas(gradients),
      ]);

  @override
  Rows backwardFromZ(Rows delta) {
    this.delta = delta;
    final inputGradients = [for (var s = 0; s < delta.length; s++) samples[s].backward(delta[s])];
    gradients = {
      'weights': [for (final neuron in neurons) ...neuron.weightGradients],
      'biases': [for (final neuron in neurons) neuron.biasGradient],
    };
    return inputGradients;
  }
}

/// A dense layer of network.dart, as one kind of layer among others.
library;

import 'any_layer.dart';
import 'network.dart';

class DenseLayer extends AnyLayer implements FromZ {
  DenseLayer(Json spec, List<int> shape)
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
  Rows backward(Rows errors) => backwardFromZ([
        for (var s = 0; s < errors.length; s++) activation.deltas(samples[s].z, samples[s].a, errors[s]),
      ]);

  @override
  Rows backwardFromZ(Rows delta) {
    this.delta = delta;
    final dLossDx = [for (var s = 0; s < delta.length; s++) samples[s].backward(delta[s])];
    gradients = {
      'weights': [for (final neuron in neurons) ...neuron.weightGradients],
      'biases': [for (final neuron in neurons) neuron.biasGradient],
    };
    return dLossDx;
  }
}

/// Recurrent layers: a layer that reads a sequence step by step, and at each step its own state of the step before.
///
/// Read it from top to bottom:
///
/// 1. Parameter       a table of weights that every step uses again: its gradient is the sum over all steps
/// 2. Cells           what one step does, forward and backward: RNN, GRU, LSTM
/// 3. Direction       a cell carried along the sequence, and back again
/// 4. Recurrent  directions beside each other and on top of each other: a whole layer, as graph.dart knows one
///
/// Backpropagation through time is nothing new. Unroll the loop, and a recurrent layer is a deep network whose layers
/// all have the same weights: each step gets a gradient from its output and from the step after it, and they are ADDED.
///
/// A sample is a list of steps here, and a step a list of numbers (its features). A state is a list of numbers, one a
/// unit, and there are one or two of them: `h`, which is the output too, and an LSTM's cell `c`.
library;

import 'activations.dart';
import 'any_layer.dart';
import 'backprop.dart' show Json;
import 'mathematics.dart';

typedef States = Map<String, Numbers>;

// ------------------------------------------------------------------------------------------------
// 1. Parameter
// ------------------------------------------------------------------------------------------------

/// A table of weights, row by row in one list, and its gradient. The lists belong to the layer.
class Parameter {
  Parameter(this.numbers, this.columns, this.gradient);

  final Numbers numbers;
  final int columns;
  final Numbers gradient;

  /// Forward: every input times its weight in the row, added up.
  double weightedSum(int row, Numbers inputs) {
    var total = 0.0;
    for (var i = 0; i < inputs.length; i++) {
      total += numbers[row * columns + i] * inputs[i];
    }
    return total;
  }

  /// Backward: dL/dw = delta * x for the weights, and dL/dx = delta * w is added to those of the inputs.
  ///
  /// The += matters twice: other rows read the same inputs, and other steps use the same weights.
  void sendBack(int row, double delta, Numbers inputs, Numbers inputGradients) {
    for (var i = 0; i < inputs.length; i++) {
      gradient[row * columns + i] += delta * inputs[i];
      inputGradients[i] += delta * numbers[row * columns + i];
    }
  }
}

// ------------------------------------------------------------------------------------------------
// 2. Cells
// ------------------------------------------------------------------------------------------------

/// What one step read and made. Backward needs all of it.
class Step {
  Step(this.x, this.before);

  final Numbers x;
  final States before;

  /// By gate: its weighted sums, what it makes of them, and dL/dz, which backward sets.
  final Map<String, Numbers> z = {}, a = {}, dz = {};

  /// A GRU's W_hn h + b_hn.
  Numbers product = [];

  final States after = {};
}

/// What happens in one step. A [Direction] gives the weighted sums, by gate.
abstract class Cell {
  /// In the order in which their rows stand in the parameters.
  List<String> get gates;

  List<String> get states => ['h'];

  /// Sets z, a and the states after the step.
  void forward(Step step, Direction d);

  /// Takes dL/d(states after), gives dL/dx and dL/d(states before). Sets dz.
  (Numbers, States) backward(Step step, Direction d, States stateGradients);
}

/// h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or the same with ReLU.
class Rnn extends Cell {
  Rnn({required this.relu});

  final bool relu;

  @override
  List<String> get gates => ['h'];

  @override
  void forward(Step step, Direction d) {
    final z = step.z['h'] = add(d.fromInput('h', step.x), d.fromState('h', step.before['h']!));
    step.after['h'] = [for (final zj in z) relu ? (zj > 0.0 ? zj : 0.0) : tanh(zj)];
  }

  @override
  (Numbers, States) backward(Step step, Direction d, States stateGradients) {
    final z = step.z['h']!, h = step.after['h']!, gradients = stateGradients['h']!;
    final dz = step.dz['h'] = [
      for (var j = 0; j < z.length; j++) gradients[j] * (relu ? (z[j] > 0.0 ? 1.0 : 0.0) : 1.0 - h[j] * h[j]),
    ];
    return (d.backToInput('h', dz, step.x), {'h': d.backToState('h', dz, step.before['h']!)});
  }
}

/// h' = (1 - z) * n + z * h: the gate z keeps some of the old state, and n is new.
///
/// How much of the old state goes into n is up to the gate r, the reset. It stands after the product with the weights
/// (PyTorch: n = tanh(W_in x + b_in + r * (W_hn h + b_hn))), or before it (the paper: W_hn (r * h) + b_hn).
class Gru extends Cell {
  Gru({required this.resetAfter});

  final bool resetAfter;

  @override
  List<String> get gates => ['r', 'z', 'n'];

  @override
  void forward(Step step, Direction d) {
    final h = step.before['h']!;
    for (final gate in ['r', 'z']) {
      final sums = step.z[gate] = add(d.fromInput(gate, step.x), d.fromState(gate, h));
      step.a[gate] = [for (final zj in sums) sigmoid(zj)];
    }
    final r = step.a['r']!, z = step.a['z']!;
    if (resetAfter) step.product = d.fromState('n', h);
    final fromState = resetAfter ? times(r, step.product) : d.fromState('n', times(r, h));
    final sums = step.z['n'] = add(d.fromInput('n', step.x), fromState);
    final n = step.a['n'] = [for (final zj in sums) tanh(zj)];
    step.after['h'] = [for (var j = 0; j < h.length; j++) (1.0 - z[j]) * n[j] + z[j] * h[j]];
  }

  @override
  (Numbers, States) backward(Step step, Direction d, States stateGradients) {
    final h = step.before['h']!, gradients = stateGradients['h']!;
    final r = step.a['r']!, z = step.a['z']!, n = step.a['n']!;
    var dh = times(gradients, z); // the part of the old state that was kept

    final dzn = step.dz['n'] = [for (var j = 0; j < h.length; j++) gradients[j] * (1.0 - z[j]) * (1.0 - n[j] * n[j])];
    final Numbers dr;
    if (resetAfter) {
      dr = times(dzn, step.product);
      dh = add(dh, d.backToState('n', times(dzn, r), h));
    } else {
      final dReset = d.backToState('n', dzn, times(r, h));
      dr = times(dReset, h);
      dh = add(dh, times(dReset, r));
    }
    step.dz['r'] = throughSigmoid(dr, r);
    step.dz['z'] = throughSigmoid([for (var j = 0; j < h.length; j++) gradients[j] * (h[j] - n[j])], z);

    var dx = d.backToInput('n', dzn, step.x);
    for (final gate in ['r', 'z']) {
      dx = add(dx, d.backToInput(gate, step.dz[gate]!, step.x));
      dh = add(dh, d.backToState(gate, step.dz[gate]!, h));
    }
    return (dx, {'h': dh});
  }
}

/// c' = f * c + i * g, h' = o * tanh(c').
///
/// The cell c is a memory that nothing squeezes: the gate f says how much of it stays, i how much of the new content g
/// comes in, and o how much is shown. With peepholes the gates see the cell: i and f the old one, o the new one.
class Lstm extends Cell {
  @override
  List<String> get gates => ['i', 'f', 'g', 'o'];

  @override
  List<String> get states => ['h', 'c'];

  @override
  void forward(Step step, Direction d) {
    final h = step.before['h']!, c = step.before['c']!;
    final z = step.z, a = step.a;
    for (final gate in gates) {
      z[gate] = add(d.fromInput(gate, step.x), d.fromState(gate, h));
    }
    for (final gate in ['i', 'f']) {
      z[gate] = add(z[gate]!, d.peephole(gate, c));
      a[gate] = [for (final zj in z[gate]!) sigmoid(zj)];
    }
    a['g'] = [for (final zj in z['g']!) tanh(zj)];

    final cell = step.after['c'] = add(times(a['f']!, c), times(a['i']!, a['g']!));
    z['o'] = add(z['o']!, d.peephole('o', cell));
    a['o'] = [for (final zj in z['o']!) sigmoid(zj)];
    step.after['h'] = times(a['o']!, [for (final cj in cell) tanh(cj)]);
  }

  @override
  (Numbers, States) backward(Step step, Direction d, States stateGradients) {
    final c = step.before['c']!, cell = step.after['c']!, dh = stateGradients['h']!;
    final i = step.a['i']!, f = step.a['f']!, g = step.a['g']!, o = step.a['o']!;
    final shown = [for (final cj in cell) tanh(cj)];
    step.dz['o'] = throughSigmoid(times(dh, shown), o);

    // The cell has two readers or three: the step after this one, tanh, and perhaps the peephole of o.
    final dCell = add(stateGradients['c']!, d.backToCell('o', step.dz['o']!, cell));
    for (var j = 0; j < cell.length; j++) {
      dCell[j] += dh[j] * o[j] * (1.0 - shown[j] * shown[j]);
    }
    step.dz['i'] = throughSigmoid(times(dCell, g), i);
    step.dz['f'] = throughSigmoid(times(dCell, c), f);
    step.dz['g'] = [for (var j = 0; j < cell.length; j++) dCell[j] * i[j] * (1.0 - g[j] * g[j])];

    var dc = times(dCell, f);
    for (final gate in ['i', 'f']) {
      dc = add(dc, d.backToCell(gate, step.dz[gate]!, c));
    }
    var dx = zeros(step.x.length), dBefore = zeros(cell.length);
    for (final gate in gates) {
      dx = add(dx, d.backToInput(gate, step.dz[gate]!, step.x));
      dBefore = add(dBefore, d.backToState(gate, step.dz[gate]!, step.before['h']!));
    }
    return (dx, {'h': dBefore, 'c': dc});
  }
}

/// dL/dz of a sigmoid's z: the slope is a (1 - a).
Numbers throughSigmoid(Numbers gradients, Numbers a) => [
      for (var j = 0; j < a.length; j++) gradients[j] * a[j] * (1.0 - a[j]),
    ];

// ------------------------------------------------------------------------------------------------
// 3. Direction
// ------------------------------------------------------------------------------------------------

/// A cell carried along the sequence of one sample, from its first step to its last or the other way round.
///
/// [run] counts the directions of all layers, the lowest first.
class Direction {
  Direction(this.layer, this.run);

  final Recurrent layer;
  final int run;

  late final bool backwards = layer.directions == 2 && run.isOdd;
  late final String suffix = '_l${run ~/ layer.directions}${backwards ? '_reverse' : ''}';

  List<Step> steps = [];

  // The weighted sums of a gate's units, and the way back through them ---------------------------

  /// One of this direction's parameters; null where the layer has none of that name.
  Parameter? parameter(String kind) {
    final name = kind + suffix;
    final shape = layer.shapes[name];
    if (shape == null) return null;
    final columns = shape.length == 2 ? shape[1] : 1; // a bias is a weight whose input is always 1
    return Parameter(layer.parameters[name]!, columns, layer.gradients[name]!);
  }

  /// The weighted sum, and the bias, of every unit of a gate.
  Numbers sums(String weights, String biases, String gate, Numbers inputs) {
    final w = parameter(weights), b = parameter(biases);
    return [
      for (final row in rows(gate)) w!.weightedSum(row, inputs) + (b == null ? 0.0 : b.weightedSum(row, [1.0])),
    ];
  }

  /// Adds to the gradients of weights and biases, and gives dL/d(inputs).
  Numbers back(String weights, String biases, String gate, Numbers dz, Numbers inputs) {
    final w = parameter(weights), b = parameter(biases);
    final gradients = zeros(inputs.length);
    for (final (j, row) in rows(gate).indexed) {
      w!.sendBack(row, dz[j], inputs, gradients);
      b?.sendBack(row, dz[j], [1.0], [0.0]);
    }
    return gradients;
  }

  /// The rows of a gate: the parameters have a block for each.
  Iterable<int> rows(String gate) {
    final first = layer.cell.gates.indexOf(gate) * layer.hidden;
    return Iterable.generate(layer.hidden, (j) => first + j);
  }

  /// W_ih x + b_ih.
  Numbers fromInput(String gate, Numbers x) => sums('weight_ih', 'bias_ih', gate, x);

  /// Back through W_ih x + b_ih.
  Numbers backToInput(String gate, Numbers dz, Numbers x) => back('weight_ih', 'bias_ih', gate, dz, x);

  /// W_hh h + b_hh.
  Numbers fromState(String gate, Numbers h) => sums('weight_hh', 'bias_hh', gate, h);

  /// Back through W_hh h + b_hh.
  Numbers backToState(String gate, Numbers dz, Numbers h) => back('weight_hh', 'bias_hh', gate, dz, h);

  /// p * c, unit by unit; nothing where there are no peepholes.
  Numbers peephole(String gate, Numbers cell) {
    final p = parameter('peephole')?.numbers;
    final first = 'ifo'.indexOf(gate) * cell.length;
    return [for (var j = 0; j < cell.length; j++) p == null ? 0.0 : p[first + j] * cell[j]];
  }

  /// Back through p * c.
  Numbers backToCell(String gate, Numbers dz, Numbers cell) {
    final p = parameter('peephole');
    if (p == null) return zeros(cell.length);
    final first = 'ifo'.indexOf(gate) * cell.length;
    for (var j = 0; j < cell.length; j++) {
      p.gradient[first + j] += dz[j] * cell[j];
    }
    return [for (var j = 0; j < cell.length; j++) dz[j] * p.numbers[first + j]];
  }

  // Along the sequence -----------------------------------------------------------------------------

  /// The state h after every step, in the order of the sequence.
  Rows forward(Rows sequence) {
    var states = initial();
    steps = [];
    for (final x in backwards ? sequence.reversed : sequence) {
      final step = Step(x, states);
      layer.cell.forward(step, this);
      steps.add(step);
      states = step.after;
    }
    final hs = [for (final step in steps) step.after['h']!];
    return backwards ? hs.reversed.toList() : hs;
  }

  /// The states before the first step: 0, or this direction's row of h0 (and c0).
  States initial() {
    final n = layer.hidden;
    return {
      for (final name in layer.cell.states)
        name: layer.parameters['${name}0']?.sublist(run * n, (run + 1) * n) ?? zeros(n),
    };
  }

  /// Takes dL/dh of every step's output, and gives dL/dx of every step's input.
  ///
  /// The step that was read last has nobody behind it. Every other one gets what the step after it sends back.
  Rows backward(Rows activationGradients) {
    final gradients = backwards ? activationGradients.reversed.toList() : activationGradients;
    final n = layer.hidden;
    States none() => {for (final name in layer.cell.states) name: zeros(n)};

    var flowing = none();
    final Rows inputGradients = [];
    for (var number = steps.length - 1; number >= 0; number--) {
      flowing['h'] = add(flowing['h']!, gradients[number]);
      final (dx, before) = layer.cell.backward(steps[number], this, flowing);
      inputGradients.add(dx);
      flowing = before;
      final edge = backwards ? steps.length - number : number; // the steps before it and from it on, by time
      final truncate = layer.truncate;
      if (number > 0 && truncate != null && edge % truncate == 0) flowing = none(); // go back no further
    }
    for (final MapEntry(key: name, value: gradients) in flowing.entries) {
      final ofInitial = layer.gradients['${name}0'];
      if (ofInitial == null) continue;
      for (var j = 0; j < n; j++) {
        ofInitial[run * n + j] += gradients[j];
      }
    }
    return backwards ? inputGradients : inputGradients.reversed.toList();
  }

  /// The step at time [t].
  Step at(int t) => steps[backwards ? steps.length - 1 - t : t];

  /// The weighted sums of step [t], gate by gate.
  Numbers z(int t) => [for (final gate in layer.cell.gates) ...at(t).z[gate]!];

  /// dL/dz of step [t], gate by gate.
  Numbers delta(int t) => [for (final gate in layer.cell.gates) ...at(t).dz[gate]!];
}

// ------------------------------------------------------------------------------------------------
// 4. Recurrent
// ------------------------------------------------------------------------------------------------

/// A recurrent layer over a batch.
///
/// Samples know nothing of each other, so they go one by one; one that has an end of its own (`lengths`) is simply a
/// shorter sequence, and what is reported behind it is 0.
class Recurrent extends AnyLayer {
  Recurrent(Json spec, List<int> shape)
      : length = shape[0],
        hidden = spec['hidden_size'],
        depth = spec['num_layers'] ?? 1,
        directions = spec['bidirectional'] ?? false ? 2 : 1,
        sequences = spec['return_sequences'] ?? true,
        truncate = spec['truncate'],
        lengths = (spec['lengths'] as List?)?.cast<int>(),
        cell = cells[spec['kind']]!(spec) {
    final Json given = spec['parameters'];
    final gateRows = cell.gates.length * hidden;
    final every = {
      'weight_hh': [gateRows, hidden],
      'bias_ih': [gateRows],
      'bias_hh': [gateRows],
      'peephole': [3, hidden],
    };
    for (final name in given.keys) {
      shapes[name] = name.startsWith('weight_ih')
          ? [gateRows, name.contains('_l0') ? shape[1] : directions * hidden]
          : every[name.split('_l').first] ?? [depth * directions, hidden]; // h0 and c0
    }
    parameters = {for (final name in given.keys) name: flat(given[name] as Object)};
  }

  final int length, hidden, depth, directions;
  final bool sequences;
  final int? truncate;
  final List<int>? lengths;
  final Cell cell;

  @override
  final Map<String, List<int>> shapes = {};

  /// For every sample the directions of all layers.
  List<List<Direction>> samples = [];

  @override
  List<int> get outputShape => [if (sequences) length, directions * hidden];

  @override
  List<int>? get zShape => [length, depth * directions * cell.gates.length * hidden];

  @override
  Rows forward(Rows batch) {
    resetGradients();
    samples = [
      for (final _ in batch) [for (var run = 0; run < depth * directions; run++) Direction(this, run)],
    ];
    final Rows zs = [], outputs = [];
    for (final (s, row) in batch.indexed) {
      final runs = samples[s];
      var sequence = cut(row, length).sublist(0, lengthOf(s));
      List<Rows> both = [];
      for (var first = 0; first < runs.length; first += directions) {
        // Each layer reads what the one below it made: the states of both its directions, side by side.
        both = [for (var n = 0; n < directions; n++) runs[first + n].forward(sequence)];
        sequence = [
          for (var t = 0; t < sequence.length; t++) [for (final part in both) ...part[t]],
        ];
      }
      zs.add(padded([
        for (var t = 0; t < sequence.length; t++) [for (final run in runs) ...run.z(t)],
      ]));
      // Else the last state that each direction came to: the reverse one's is that of step 0.
      outputs.add(sequences ? padded(sequence) : [...both.first.last, if (directions == 2) ...both.last.first]);
    }
    z = zs;
    return outputs;
  }

  @override
  Rows backward(Rows activationGradients) {
    resetGradients();
    delta = [];
    final Rows inputGradients = [];
    for (final (s, row) in activationGradients.indexed) {
      final runs = samples[s];
      var stepGradients = sequences ? cut(row, length).sublist(0, lengthOf(s)) : ofEnds(row, lengthOf(s));
      for (var first = runs.length - directions; first >= 0; first -= directions) {
        // Both directions read the same steps: what they send back is added.
        final shares = [
          for (var n = 0; n < directions; n++)
            runs[first + n].backward([for (final step in stepGradients) step.sublist(n * hidden, (n + 1) * hidden)]),
        ];
        stepGradients = [
          for (var t = 0; t < stepGradients.length; t++)
            directions == 1 ? shares[0][t] : add(shares[0][t], shares[1][t]),
        ];
      }
      delta.add(padded([
        for (var t = 0; t < stepGradients.length; t++) [for (final run in runs) ...run.delta(t)],
      ]));
      inputGradients.add(padded(stepGradients));
    }
    return inputGradients;
  }

  /// Starts the sums over samples and steps at 0.
  void resetGradients() => gradients = {for (final name in shapes.keys) name: zeros(parameters[name]!.length)};

  /// dL/dh of every step where only the last states were shown: 0 but for the ends.
  Rows ofEnds(Numbers gradients, int count) {
    final steps = [for (var t = 0; t < count; t++) zeros(gradients.length)];
    steps.last.setRange(0, hidden, gradients);
    if (directions == 2) steps.first.setRange(hidden, 2 * hidden, gradients, hidden);
    return steps;
  }

  /// The number of steps of a sample.
  int lengthOf(int s) => lengths?[s] ?? length;

  /// The numbers of all steps in one list, and 0 for the steps that the sample does not have.
  Numbers padded(Rows steps) => [
        for (final step in steps) ...step,
        ...zeros(steps.first.length * (length - steps.length)),
      ];
}

final Map<String, Cell Function(Json spec)> cells = {
  'rnn': (spec) => Rnn(relu: spec['nonlinearity'] == 'relu'),
  'gru': (spec) => Gru(resetAfter: spec['reset_after'] ?? true),
  'lstm': (_) => Lstm(),
};

/// The sums, number by number.
Numbers add(Numbers xs, Numbers ys) => [for (var i = 0; i < xs.length; i++) xs[i] + ys[i]];

/// The products, number by number.
Numbers times(Numbers xs, Numbers ys) => [for (var i = 0; i < xs.length; i++) xs[i] * ys[i]];

Numbers zeros(int count) => List.filled(count, 0.0);

/// A list in so many parts of one length.
Rows cut(Numbers row, int count) {
  final width = row.length ~/ count;
  return [for (var t = 0; t < count; t++) row.sublist(t * width, (t + 1) * width)];
}

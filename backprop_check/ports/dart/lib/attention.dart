/// Attention and what belongs to it, number by number: how a transformer learns.
///
/// Read it from top to bottom:
///
/// 1. Tokens            a sequence: one list of numbers a token, and layers that do the same to each
/// 2. Positions         what tells a token where it stands
/// 3. Attention         every query takes a mean of the values, weighted by how well their keys agree with it
/// 4. Heads             several attentions side by side, each over a part of the features
/// 5. Norm              every token brought to mean 0 and variance 1
/// 6. Block             a transformer's layer: attention and two linear layers, each with a path around it
/// 7. smoothed          labels of which every class gets a little
///
/// `q`, `k` and `v` are queries, keys and values. A weighted mean has two kinds of inputs, the weights and what they
/// weigh, and a gradient flows back to both. Wherever a number is used twice (a token is query and key and value, a
/// path goes around a part) its gradients are added.
library;

import 'dart:math';

import 'activations.dart';
import 'any_layer.dart';
import 'backprop.dart' show Json, known, optional, readNumber;
import 'mathematics.dart';

// ------------------------------------------------------------------------------------------------
// 1. Tokens
// ------------------------------------------------------------------------------------------------

/// One list of numbers a token.
typedef Tokens = List<Numbers>;

/// One sample cut into its tokens.
Tokens tokensOf(Numbers row, int width) => [
      for (var t = 0; t < row.length; t += width) row.sublist(t, t + width),
    ];

/// Number by number multiplied, and added up.
double dot(Numbers x, Numbers y) => addUp([for (var i = 0; i < x.length; i++) x[i] * y[i]]);

/// Number by number added.
Numbers added(Numbers x, Numbers y) => [for (var i = 0; i < x.length; i++) x[i] + y[i]];

/// All numbers of all tokens in one list.
Numbers joined(Iterable<Numbers> tokens) => [for (final token in tokens) ...token];

/// Rows of weights and a bias for each, that every token is sent through: z = W x + b. No bias: null.
class Weights {
  Weights(this.rows, this.biases)
      : gradients = [for (final row in rows) List.filled(row.length, 0.0)],
        biasGradients = List.filled(rows.length, 0.0);

  final List<Numbers> rows;
  final Numbers? biases;
  final List<Numbers> gradients;
  final Numbers biasGradients;

  /// One number for each row.
  Numbers forward(Numbers x) {
    final z = [for (final row in rows) dot(row, x)];
    return biases == null ? z : added(z, biases!);
  }

  /// Takes dL/dz of one token and its x: adds to the gradients of all weights, and gives dL/dx.
  Numbers backward(Numbers x, Numbers delta) {
    for (var j = 0; j < delta.length; j++) {
      biasGradients[j] += delta[j];
      for (var i = 0; i < x.length; i++) {
        gradients[j][i] += delta[j] * x[i];
      }
    }
    return [
      for (var i = 0; i < x.length; i++) addUp([for (var j = 0; j < delta.length; j++) delta[j] * rows[j][i]]),
    ];
  }
}

/// What the layers here have in common. They work sample by sample: [one] sends a sample forward and gives what it
/// must remember of it, [back] takes that and the gradient of its output.
abstract class TokenLayer extends AnyLayer {
  TokenLayer(this.spec, this.shape);

  final Json spec;
  final List<int> shape;
  List<Object?> memories = [];

  @override
  List<int> get outputShape => shape;

  @override
  List<int>? get zShape => null;

  @override
  Map<String, List<int>> shapes = {};

  /// Reads the parameters of these shapes; those that may be left out are left out together.
  void read(Map<String, List<int>> known) {
    final given = spec['parameters'] as Json;
    shapes = {
      for (final MapEntry(key: name, value: shape) in known.entries)
        if (given.containsKey(name)) name: shape,
    };
    parameters = {for (final name in shapes.keys) name: flat(given[name] as Object)};
  }

  /// The rows of a parameter from [first] on, so many of them ([count]), with their biases.
  Weights weights(String name, String bias, {int first = 0, int? count}) {
    final [rows, width] = shapes[name]!;
    final taken = count ?? rows;
    final start = taken < rows ? first : 0;
    return Weights(
      [for (var j = start; j < start + taken; j++) parameters[name]!.sublist(j * width, (j + 1) * width)],
      parameters[bias]?.sublist(first, first + taken),
    );
  }

  /// Writes down the gradients of a parameter whose rows were shared out among these.
  void keep(String name, String bias, List<Weights> parts) {
    gradients[name] = [for (final part in parts) ...joined(part.gradients)];
    if (parameters.containsKey(bias)) gradients[bias] = [for (final part in parts) ...part.biasGradients];
  }

  /// Makes ready for a batch: the parameters as they are now, and gradients of 0.
  void begin() {}

  /// Writes the gradients of a batch down.
  void end() {}

  /// Sends one sample forward: its output, and what [back] needs to know of it.
  (Numbers, Object?) one(int sample, Numbers x);

  /// Sends dL/da of one sample back: its dL/dx.
  Numbers back(int sample, Object? memory, Numbers gradients);

  @override
  Rows forward(Rows batch) {
    begin();
    final passes = [for (final (sample, x) in batch.indexed) one(sample, x)];
    memories = [for (final (_, memory) in passes) memory];
    return [for (final (a, _) in passes) a];
  }

  @override
  Rows backward(Rows activationGradients) {
    delta = [for (final row in activationGradients) row];
    final inputGradients = [for (final (s, row) in activationGradients.indexed) back(s, memories[s], row)];
    end();
    return inputGradients;
  }
}

/// The same neurons for every token.
class Linear extends TokenLayer {
  Linear(super.spec, super.shape)
      : units = spec['out_features'],
        width = shape.last,
        activation =
            activations[known(spec['activation'] ?? 'identity', activations.keys, 'activation')]!(optional(spec['alpha'])) {
    read({
      'weight': [units, width],
      'bias': [units],
    });
  }

  final int units;
  final int width;
  final Activation activation;
  late Weights neurons;

  @override
  List<int> get outputShape => [...shape.take(shape.length - 1), units];

  @override
  List<int>? get zShape => outputShape;

  @override
  void begin() {
    neurons = weights('weight', 'bias');
    z = [];
  }

  @override
  (Numbers, Object?) one(int sample, Numbers x) {
    final tokens = tokensOf(x, width);
    final zs = [for (final token in tokens) neurons.forward(token)];
    final a = [for (final zOfToken in zs) activation.activate(zOfToken)]; // a softmax is one token's
    z!.add(joined(zs));
    return (joined(a), (tokens, zs, a));
  }

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) {
    final (tokens, zs, a) = memory as (Tokens, Tokens, Tokens);
    final ofTokens = tokensOf(gradients, units);
    final deltas = [for (var t = 0; t < tokens.length; t++) activation.deltas(zs[t], a[t], ofTokens[t])];
    delta[sample] = joined(deltas);
    return joined([for (var t = 0; t < tokens.length; t++) neurons.backward(tokens[t], deltas[t])]);
  }

  @override
  void end() => keep('weight', 'bias', [neurons]);
}

/// Some tokens of a sequence: those that are left out get no gradient.
class Narrow extends TokenLayer {
  Narrow(super.spec, super.shape);

  int get step => sizeOf(shape.sublist(1));
  int get first => (spec['start'] as int) * step;
  int get last => first + (spec['length'] as int) * step;

  @override
  List<int> get outputShape => [spec['length'] as int, ...shape.skip(1)];

  @override
  (Numbers, Object?) one(int sample, Numbers x) => (x.sublist(first, last), null);

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) => [
        ...List.filled(first, 0.0),
        ...gradients,
        ...List.filled(sizeOf(shape) - last, 0.0),
      ];
}

// ------------------------------------------------------------------------------------------------
// 2. Positions
// ------------------------------------------------------------------------------------------------

/// Waves of ever longer wavelength, added: a sine for even features, a cosine of the same angle for the next.
class PositionalEncoding extends TokenLayer {
  PositionalEncoding(super.spec, super.shape) : base = optional(spec['base']) ?? 10000.0;

  final double base;

  /// What is added to feature [e] of the token at position [p].
  double wave(int p, int e) {
    final angle = p / pow(base, 2 * (e ~/ 2) / shape[1]);
    return e.isEven ? sin(angle) : cos(angle);
  }

  @override
  (Numbers, Object?) one(int sample, Numbers x) {
    final width = shape[1];
    return ([for (var i = 0; i < x.length; i++) x[i] + wave(i ~/ width, i % width)], null);
  }

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) => gradients; // a number that is added changes no slope
}

/// A row of numbers for every position, added; each learns from the tokens that stand there.
class LearnedPositions extends TokenLayer {
  LearnedPositions(super.spec, super.shape) {
    read({
      'weight': [spec['num_embeddings'] as int, shape[1]],
    });
  }

  @override
  void begin() => gradients = {'weight': List.filled(parameters['weight']!.length, 0.0)};

  @override
  (Numbers, Object?) one(int sample, Numbers x) => (added(x, parameters['weight']!), null); // as many as x has

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) {
    for (var i = 0; i < gradients.length; i++) {
      this.gradients['weight']![i] += gradients[i];
    }
    return gradients;
  }
}

// ------------------------------------------------------------------------------------------------
// 3. Attention
// ------------------------------------------------------------------------------------------------

/// One head's pass over one sample.
class Attention {
  /// Query i sees the keys up to i where it is [causal], and none that is [ignored].
  Attention(this.scale, {required this.causal, required this.ignored});

  final double scale;
  final bool causal;
  final List<dynamic>? ignored;

  Tokens q = [];
  Tokens k = [];
  Tokens v = [];
  List<Numbers> scores = [];
  List<Numbers> p = [];
  List<Numbers> delta = [];

  /// Whether query i sees key j.
  bool sees(int i, int j) => !(causal && j > i) && !(ignored?[j] == true);

  /// A token for every query: the mean of the values, weighted by the softmax of its scores.
  Tokens forward(Tokens q, Tokens k, Tokens v) {
    this.q = q;
    this.k = k;
    this.v = v;
    scores = [
      for (final qOfI in q) [for (final kOfJ in k) dot(qOfI, kOfJ) * scale],
    ];
    p = [for (var i = 0; i < q.length; i++) softmax(i)];
    return [
      for (final weights in p)
        [
          for (var e = 0; e < v.first.length; e++)
            addUp([for (var j = 0; j < v.length; j++) weights[j] * v[j][e]]),
        ],
    ];
  }

  /// The weights of query i; a key that it does not see has the weight 0.
  Numbers softmax(int i) {
    final seen = [for (var j = 0; j < k.length; j++) if (sees(i, j)) scores[i][j]];
    final largest = seen.reduce(max);
    final powers = [for (var j = 0; j < k.length; j++) sees(i, j) ? exp(scores[i][j] - largest) : 0.0];
    final total = addUp(powers);
    return [for (final power in powers) power / total];
  }

  /// Takes dL/d(what [forward] gave), and gives dL/dq, dL/dk and dL/dv.
  List<Tokens> backward(Tokens gradients) {
    // 1. The mean: a value counts as much as its weight, a weight as much as its value.
    final dv = [
      for (var j = 0; j < v.length; j++)
        [
          for (var e = 0; e < v[j].length; e++)
            addUp([for (var i = 0; i < p.length; i++) p[i][j] * gradients[i][e]]),
        ],
    ];
    final dp = [
      for (final g in gradients) [for (final vOfJ in v) dot(g, vOfJ)],
    ];
    // 2. The softmax: its weights add up to 1, so that one can only grow where the others shrink.
    delta = [
      for (var i = 0; i < p.length; i++)
        [for (var j = 0; j < k.length; j++) p[i][j] * (dp[i][j] - dot(p[i], dp[i]))],
    ];
    // 3. The scores: a query moves them as its keys say, a key as its queries say.
    final d = q.first.length;
    final dq = [
      for (final row in delta)
        [for (var e = 0; e < d; e++) addUp([for (var j = 0; j < k.length; j++) row[j] * k[j][e]]) * scale],
    ];
    final dk = [
      for (var j = 0; j < k.length; j++)
        [for (var e = 0; e < d; e++) addUp([for (var i = 0; i < q.length; i++) delta[i][j] * q[i][e]]) * scale],
    ];
    return [dq, dk, dv];
  }
}

/// A layer that reads queries, keys and values: from one layer, from two, or each from its own.
///
/// What it reads stands side by side in one list; [shape] has the tokens and features of each.
abstract class Apart extends TokenLayer {
  Apart(super.spec, super.shape);

  late final List<List<int>> readShapes = [
    for (var i = 0; i < shape.length; i += 2) shape.sublist(i, i + 2),
  ];

  /// Which of them has the queries, the keys, the values.
  late final List<int> sources = [0, min(1, readShapes.length - 1), readShapes.length - 1];

  int get queries => readShapes.first.first;
  int get keys => readShapes.last.first;
  bool get causal => spec['is_causal'] == true;

  /// The tokens that queries, keys and values are made of.
  List<Tokens> three(Numbers x) {
    final List<Tokens> found = [];
    var start = 0;
    for (final [tokens, width] in readShapes) {
      found.add(tokensOf(x.sublist(start, start + tokens * width), width));
      start += tokens * width;
    }
    return [for (final source in sources) found[source]];
  }

  /// What flows back to each layer that is read, added up, and put side by side.
  Numbers together(List<Tokens> gradients) {
    final found = [for (final readShape in readShapes) List.filled(sizeOf(readShape), 0.0)];
    for (final (n, source) in sources.indexed) {
      found[source] = added(found[source], joined(gradients[n]));
    }
    return joined(found);
  }

  /// Which keys of a sample are ignored.
  List<dynamic>? ignored(int sample) => (spec['key_padding_mask'] as List?)?[sample] as List?;
}

/// Attention as it is, of one head.
class ScaledDotProductAttention extends Apart {
  ScaledDotProductAttention(super.spec, super.shape);

  late final double scale = optional(spec['scale']) ?? 1.0 / sqrt(shape[1]);

  @override
  List<int> get outputShape => [queries, readShapes.last[1]];

  @override
  List<int>? get zShape => [queries, keys];

  @override
  void begin() => z = [];

  @override
  (Numbers, Object?) one(int sample, Numbers x) {
    final head = Attention(scale, causal: causal, ignored: ignored(sample));
    final [q, k, v] = three(x);
    final a = head.forward(q, k, v);
    z!.add(joined(head.scores));
    return (joined(a), head);
  }

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) {
    final head = memory as Attention;
    final back = head.backward(tokensOf(gradients, outputShape[1]));
    delta[sample] = joined(head.delta);
    return together(back);
  }
}

// ------------------------------------------------------------------------------------------------
// 4. Heads
// ------------------------------------------------------------------------------------------------

/// What [Heads] remember of a sample: what was read, every head's pass, and their contexts side by side.
typedef HeadsMemory = (List<Tokens> read, List<Attention> heads, Tokens context);

/// Several heads: queries, keys and values are made by weights, and each head takes a part of their features.
class Heads {
  /// [makers] make the queries, the keys and the values, [output] what comes out of all heads together.
  Heads(this.count, this.makers, this.output);

  final int count;
  final List<Weights> makers;
  final Weights output;

  /// Head h's features of every token.
  Tokens part(Tokens tokens, int h) {
    final d = tokens.first.length ~/ count;
    return [for (final token in tokens) token.sublist(h * d, (h + 1) * d)];
  }

  /// The heads' features side by side again, token by token.
  Tokens sideBySide(List<Tokens> heads) => [
        for (var t = 0; t < heads.first.length; t++) joined([for (final head in heads) head[t]]),
      ];

  /// Sends one sample forward: its tokens, and what [backward] needs.
  (Tokens, HeadsMemory) forward(List<Tokens> read, {required bool causal, required List<dynamic>? ignored}) {
    final [q, k, v] = [
      for (final (n, maker) in makers.indexed) [for (final token in read[n]) maker.forward(token)],
    ];
    final scale = 1.0 / sqrt(q.first.length ~/ count);
    final heads = [for (var h = 0; h < count; h++) Attention(scale, causal: causal, ignored: ignored)];
    final context = sideBySide([
      for (final (h, head) in heads.indexed) head.forward(part(q, h), part(k, h), part(v, h)),
    ]);
    return ([for (final token in context) output.forward(token)], (read, heads, context));
  }

  /// Sends dL/d(tokens) back: dL/dx of what queries, keys and values were made of.
  List<Tokens> backward(HeadsMemory memory, Tokens gradients) {
    final (read, heads, context) = memory;
    final dContext = [for (var t = 0; t < context.length; t++) output.backward(context[t], gradients[t])];
    final ofHeads = [for (final (h, head) in heads.indexed) head.backward(part(dContext, h))];
    final List<Tokens> back = [];
    for (final (n, maker) in makers.indexed) {
      final made = sideBySide([for (final ofHead in ofHeads) ofHead[n]]);
      back.add([for (var t = 0; t < made.length; t++) maker.backward(read[n][t], made[t])]);
    }
    return back;
  }
}

/// Attention of several heads.
class MultiheadAttention extends Apart {
  MultiheadAttention(super.spec, super.shape) {
    final widths = [for (final source in sources) readShapes[source][1]];
    read({
      'in_proj_weight': [3 * width, width],
      'q_proj_weight': [width, widths[0]],
      'k_proj_weight': [width, widths[1]],
      'v_proj_weight': [width, widths[2]],
      'in_proj_bias': [3 * width],
      'out_proj.weight': [width, width],
      'out_proj.bias': [width],
    });
  }

  late Heads heads;

  int get width => readShapes.first[1];

  /// Whether one parameter makes queries, keys and values; else each has its own.
  bool get inOne => shapes.containsKey('in_proj_weight');

  List<String> get names => inOne
      ? List.filled(3, 'in_proj_weight')
      : ['q_proj_weight', 'k_proj_weight', 'v_proj_weight'];

  @override
  List<int> get outputShape => [queries, width];

  @override
  List<int>? get zShape => [spec['num_heads'] as int, queries, keys];

  @override
  void begin() {
    final makers = [
      for (final (n, name) in names.indexed) weights(name, 'in_proj_bias', first: n * width, count: width),
    ];
    heads = Heads(spec['num_heads'] as int, makers, weights('out_proj.weight', 'out_proj.bias'));
    z = [];
  }

  @override
  (Numbers, Object?) one(int sample, Numbers x) {
    final (a, memory) = heads.forward(three(x), causal: causal, ignored: ignored(sample));
    z!.add([for (final head in memory.$2) ...joined(head.scores)]);
    return (joined(a), memory);
  }

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) {
    final ofHeads = memory as HeadsMemory;
    final back = heads.backward(ofHeads, tokensOf(gradients, width));
    delta[sample] = [for (final head in ofHeads.$2) ...joined(head.delta)];
    return together(back);
  }

  @override
  void end() {
    if (inOne) {
      keep('in_proj_weight', 'in_proj_bias', heads.makers);
    } else {
      for (final (n, name) in names.indexed) {
        keep(name, '', [heads.makers[n]]);
      }
      if (parameters.containsKey('in_proj_bias')) {
        gradients['in_proj_bias'] = [for (final maker in heads.makers) ...maker.biasGradients];
      }
    }
    keep('out_proj.weight', 'out_proj.bias', [heads.output]);
  }
}

// ------------------------------------------------------------------------------------------------
// 5. Norm
// ------------------------------------------------------------------------------------------------

/// What a [Norm] remembers of a token: its normal numbers, and the root that they were divided by.
typedef NormMemory = (Numbers normal, double root);

/// Every token is brought to mean 0 and variance 1; what comes then is learnt: a scale and a shift a feature.
class Norm {
  Norm(this.scale, this.shift, this.eps)
      : scaleGradients = List.filled(scale.length, 0.0),
        shiftGradients = List.filled(scale.length, 0.0);

  final Numbers scale;
  final Numbers? shift;
  final double eps;
  final Numbers scaleGradients;
  final Numbers shiftGradients;

  /// The token, and what [backward] needs.
  (Numbers, NormMemory) forward(Numbers x) {
    final mean = addUp(x) / x.length;
    final off = [for (final number in x) number - mean];
    final root = sqrt(dot(off, off) / x.length + eps);
    final normal = [for (final number in off) number / root];
    final y = [for (var e = 0; e < x.length; e++) normal[e] * scale[e]];
    return (shift == null ? y : added(y, shift!), (normal, root));
  }

  /// dL/dx: what a number moves by itself, less its part in the mean and in the variance.
  Numbers backward(NormMemory memory, Numbers gradients) {
    final (normal, root) = memory;
    for (var e = 0; e < gradients.length; e++) {
      scaleGradients[e] += gradients[e] * normal[e];
      shiftGradients[e] += gradients[e];
    }
    final g = [for (var e = 0; e < gradients.length; e++) gradients[e] * scale[e]];
    final throughMean = addUp(g) / g.length;
    final throughVariance = dot(g, normal) / g.length;
    return [
      for (var e = 0; e < g.length; e++) (g[e] - throughMean - normal[e] * throughVariance) / root,
    ];
  }
}

// ------------------------------------------------------------------------------------------------
// 6. Block
// ------------------------------------------------------------------------------------------------

/// Attention, then two linear layers; what each gives is added to what it read.
class TransformerBlock extends TokenLayer {
  TransformerBlock(super.spec, super.shape)
      : activation = activations[known(spec['activation'] ?? 'relu', ['relu', 'gelu'], 'activation')]!(null) {
    final hidden = spec['dim_feedforward'] as int;
    read({
      'self_attn.in_proj_weight': [3 * width, width],
      'self_attn.in_proj_bias': [3 * width],
      'self_attn.out_proj.weight': [width, width],
      'self_attn.out_proj.bias': [width],
      'linear1.weight': [hidden, width],
      'linear1.bias': [hidden],
      'linear2.weight': [width, hidden],
      'linear2.bias': [width],
      'norm1.weight': [width],
      'norm1.bias': [width],
      'norm2.weight': [width],
      'norm2.bias': [width],
    });
  }

  final Activation activation;
  late Heads heads;
  late Weights linear1;
  late Weights linear2;
  late List<Norm> norms;

  int get width => shape[1];
  bool get normFirst => spec['norm_first'] == true;

  @override
  void begin() {
    final makers = [
      for (var n = 0; n < 3; n++)
        weights('self_attn.in_proj_weight', 'self_attn.in_proj_bias', first: n * width, count: width),
    ];
    heads = Heads(spec['nhead'] as int, makers, weights('self_attn.out_proj.weight', 'self_attn.out_proj.bias'));
    linear1 = weights('linear1.weight', 'linear1.bias');
    linear2 = weights('linear2.weight', 'linear2.bias');
    final eps = optional(spec['layer_norm_eps']) ?? 1e-5;
    norms = [
      for (final n in [1, 2]) Norm(parameters['norm$n.weight']!, parameters['norm$n.bias'], eps),
    ];
  }

  /// Part 0: the tokens look at each other.
  (Tokens, Object?) attend(int sample, Tokens x) {
    final mask = (spec['src_key_padding_mask'] as List?)?[sample] as List?;
    return heads.forward([x, x, x], causal: spec['is_causal'] == true, ignored: mask);
  }

  /// A token was query, key and value: three gradients, added.
  Tokens attendBack(Object? memory, Tokens gradients) {
    final [q, k, v] = heads.backward(memory as HeadsMemory, gradients);
    return [for (var t = 0; t < q.length; t++) added(added(q[t], k[t]), v[t])];
  }

  /// Part 1: every token for itself through two linear layers.
  (Tokens, Object?) feed(Tokens x) {
    final zs = [for (final token in x) linear1.forward(token)];
    final a = [for (final zOfToken in zs) activation.activate(zOfToken)];
    return ([for (final token in a) linear2.forward(token)], (x, zs, a));
  }

  /// Back through both.
  Tokens feedBack(Object? memory, Tokens gradients) {
    final (x, zs, a) = memory as (Tokens, Tokens, Tokens);
    return [
      for (var t = 0; t < x.length; t++)
        linear1.backward(x[t], activation.deltas(zs[t], a[t], linear2.backward(a[t], gradients[t]))),
    ];
  }

  (Tokens, Object?) part(int n, int sample, Tokens x) => n == 0 ? attend(sample, x) : feed(x);

  Tokens partBack(int n, Object? memory, Tokens gradients) =>
      n == 0 ? attendBack(memory, gradients) : feedBack(memory, gradients);

  /// Every token through a norm.
  (Tokens, List<NormMemory>) normed(int n, Tokens x) {
    final passes = [for (final token in x) norms[n].forward(token)];
    return ([for (final (token, _) in passes) token], [for (final (_, memory) in passes) memory]);
  }

  /// And back.
  Tokens normedBack(int n, List<NormMemory> memories, Tokens gradients) => [
        for (final (t, memory) in memories.indexed) norms[n].backward(memory, gradients[t]),
      ];

  Tokens sum(Tokens x, Tokens y) => [for (var t = 0; t < x.length; t++) added(x[t], y[t])];

  @override
  (Numbers, Object?) one(int sample, Numbers x) {
    var tokens = tokensOf(x, width);
    final List<(List<NormMemory>, Object?)> kept = [];
    for (var n = 0; n < 2; n++) {
      if (normFirst) {
        final (read, ofNorm) = normed(n, tokens);
        final (given, ofPart) = part(n, sample, read);
        tokens = sum(tokens, given);
        kept.add((ofNorm, ofPart));
      } else {
        final (given, ofPart) = part(n, sample, tokens);
        final (after, ofNorm) = normed(n, sum(tokens, given));
        tokens = after;
        kept.add((ofNorm, ofPart));
      }
    }
    return (joined(tokens), kept);
  }

  @override
  Numbers back(int sample, Object? memory, Numbers gradients) {
    final kept = memory as List<(List<NormMemory>, Object?)>;
    var ofTokens = tokensOf(gradients, width);
    for (var n = 1; n >= 0; n--) {
      final (ofNorm, ofPart) = kept[n];
      if (!normFirst) ofTokens = normedBack(n, ofNorm, ofTokens);
      var inside = partBack(n, ofPart, ofTokens);
      if (normFirst) inside = normedBack(n, ofNorm, inside);
      ofTokens = sum(ofTokens, inside); // both paths
    }
    return joined(ofTokens);
  }

  @override
  void end() {
    keep('self_attn.in_proj_weight', 'self_attn.in_proj_bias', heads.makers);
    keep('self_attn.out_proj.weight', 'self_attn.out_proj.bias', [heads.output]);
    keep('linear1.weight', 'linear1.bias', [linear1]);
    keep('linear2.weight', 'linear2.bias', [linear2]);
    for (final (n, norm) in norms.indexed) {
      gradients['norm${n + 1}.weight'] = norm.scaleGradients;
      if (parameters.containsKey('norm${n + 1}.bias')) gradients['norm${n + 1}.bias'] = norm.shiftGradients;
    }
  }
}

// ------------------------------------------------------------------------------------------------
// 7. Smoothed labels
// ------------------------------------------------------------------------------------------------

/// Every class gets a little of the label: t (1 - epsilon) + epsilon / K, K the number of classes.
List<dynamic> smoothed(List<dynamic> targets, double epsilon) => targets.first is List
    ? [for (final each in targets) smoothed(each as List, epsilon)]
    : [for (final t in targets) readNumber(t) * (1.0 - epsilon) + epsilon / targets.length];

/// Every kind of layer that this port has. A family of kinds is one file, and has a line in each part of this one.
library;

import 'any_layer.dart';
import 'attention.dart';

// convolution.dart

import 'dense.dart';
import 'network.dart';

// normalisation.dart

// recurrent.dart

/// How to make each kind of layer, from its JSON and the shape of one sample of what it reads.
final Map<String, AnyLayer Function(Json spec, List<int> shape)> layers = {
  'dense': DenseLayer.new,

  // convolution

  // recurrent

  // normalisation

  // attention
  'linear': LinearLayer.new,
  'narrow': NarrowLayer.new,
  'positional_encoding': PositionalEncodingLayer.new,
  'learned_positions': LearnedPositionsLayer.new,
  'scaled_dot_product_attention': ScaledDotProductAttentionLayer.new,
  'multihead_attention': MultiheadAttentionLayer.new,
  'transformer_block': TransformerBlockLayer.new,
};

/// Those that take several outputs one by one.
const apart = ['scaled_dot_product_attention', 'multihead_attention'];

/// What the port can say of itself under `features`: layers wired freely, and what some kinds of layers can do.
const layerFeatures = [
  'graph',

  // convolution

  // recurrent

  // normalisation

  // attention
  'label_smoothing',
];

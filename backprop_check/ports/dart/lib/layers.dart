/// Every kind of layer that this port has. A family of kinds is one file, and has a line in each part of this one.
library;

import 'any_layer.dart';
import 'attention.dart';
import 'backprop.dart' show Json;
import 'convolution.dart';
import 'dense.dart';
import 'normalisation.dart';
import 'recurrent.dart';

/// How to make each kind of layer, from its JSON and the shape of one sample of what it reads.
final Map<String, AnyLayer Function(Json spec, List<int> shape)> layers = {
  'dense': Dense.new,

  // convolution
  'conv1d': Convolution.new,
  'conv2d': Convolution.new,
  'conv_transpose1d': TransposedConvolution.new,
  'conv_transpose2d': TransposedConvolution.new,
  'max_pool1d': MaxPooling.new,
  'max_pool2d': MaxPooling.new,
  'avg_pool1d': AveragePooling.new,
  'avg_pool2d': AveragePooling.new,
  'global_avg_pool': AveragePooling.new,
  'global_max_pool': MaxPooling.new,
  'flatten': Flatten.new,
  'upsample': Upsample.new,

  // recurrent
  'rnn': Recurrent.new,
  'gru': Recurrent.new,
  'lstm': Recurrent.new,

  // normalisation
  'batch_norm': BatchNorm.new,
  'layer_norm': LayerNorm.new,
  'group_norm': GroupNorm.new,
  'instance_norm': InstanceNorm.new,
  'rms_norm': RmsNorm.new,
  'dropout': Dropout.new,
  'prelu': PReLU.new,
  'embedding': Embedding.new,

  // attention
  'linear': Linear.new,
  'narrow': Narrow.new,
  'positional_encoding': PositionalEncoding.new,
  'learned_positions': LearnedPositions.new,
  'scaled_dot_product_attention': ScaledDotProductAttention.new,
  'multihead_attention': MultiheadAttention.new,
  'transformer_block': TransformerBlock.new,
};

/// Those that take several outputs one by one.
const apart = ['scaled_dot_product_attention', 'multihead_attention'];

/// What the port can say of itself under `features`: layers wired freely, and what some kinds of layers can do.
const layerFeatures = [
  'graph',

  // convolution

  // recurrent
  'bidirectional', 'stacked', 'initial_states', 'lengths', 'truncation', 'peepholes', 'reset_before',

  // normalisation

  // attention
  'label_smoothing',
];

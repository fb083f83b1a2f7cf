# frozen_string_literal: true

# A neural network of dense layers and its backpropagation, neuron by neuron, in plain Ruby.
#
# Read it from top to bottom:
#
# 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
# 2. Layer      neurons that read the same inputs
# 3. Network    layers one after the other: forward, backward, update
#
# The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
# activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
# dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only arrays of numbers.

# ------------------------------------------------------------------------------------------------
# 1. Neuron
# ------------------------------------------------------------------------------------------------

# One neuron: a weight for each of its inputs, and a bias.
class Neuron
  attr_reader :weights, :bias, :weight_gradients, :bias_gradient

  def initialize(weights, bias)
    @weights = weights
    @bias = bias
    reset_gradients
  end

  # Starts the sums over the samples at 0.
  def reset_gradients
    @weight_gradients = Array.new(@weights.length, 0.0)
    @bias_gradient = 0.0
  end

  # Forward: z, every input times its weight, plus the bias.
  def pre_activation(inputs)
    z = @bias
    @weights.each_with_index { |weight, i| z += weight * inputs[i] }
    z
  end

  # Backward: adds one sample's part to the gradients.
  #
  # A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
  def add_gradients(delta, inputs)
    # EXERCISE BEGIN gradients
    inputs.each_with_index { |x, i| @weight_gradients[i] += delta * x }
    @bias_gradient += delta
    # EXERCISE END gradients
  end

  # Takes one step down the slope.
  def update(learning_rate)
    # EXERCISE BEGIN update
    @weight_gradients.each_with_index { |gradient, i| @weights[i] -= learning_rate * gradient }
    @bias -= learning_rate * @bias_gradient
    # EXERCISE END update
  end
end

# ------------------------------------------------------------------------------------------------
# 2. Layer
# ------------------------------------------------------------------------------------------------

# Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
class Layer
  attr_reader :neurons, :activation, :z, :a, :delta

  def initialize(neurons, activation)
    @neurons = neurons
    @activation = activation
  end

  # The activations of all neurons for one sample.
  def forward(inputs)
    @inputs = inputs
    @z = @neurons.map { |neuron| neuron.pre_activation(inputs) }
    @a = @activation.activate(@z)
  end

  # delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
  def hidden_deltas(activation_gradients)
    # EXERCISE BEGIN hidden delta: Array.new(@neurons.length, 0.0)
    @activation.deltas(@z, @a, activation_gradients)
    # EXERCISE END hidden delta
  end

  # Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
  def backward(delta)
    @delta = delta
    @neurons.each_with_index { |neuron, j| neuron.add_gradients(delta[j], @inputs) }
    input_gradients
  end

  # dL/dx of every input x, which is dL/da of the layer before.
  #
  # Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
  # dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
  def input_gradients
    gradients = Array.new(@inputs.length, 0.0)
    # EXERCISE BEGIN hidden delta
    @neurons.each_with_index do |neuron, j|
      neuron.weights.each_with_index { |weight, i| gradients[i] += @delta[j] * weight }
    end
    # EXERCISE END hidden delta
    gradients
  end
end

# ------------------------------------------------------------------------------------------------
# 3. Network
# ------------------------------------------------------------------------------------------------

# Layers, each reading the activations of the one before.
class Network
  attr_reader :layers

  # one_step is the output's activation and loss in one; nil where there is no such thing.
  def initialize(layers, loss, one_step)
    @layers = layers
    @loss = loss
    @one_step = one_step
  end

  def output = @layers.last

  # The output of the network for one sample.
  def forward(inputs)
    @layers.inject(inputs) { |x, layer| layer.forward(x) }
  end

  # The loss of the sample that went forward last.
  def sample_loss(targets)
    @one_step ? @one_step.of_sample(output.z, targets) : @loss.of_sample(output.a, targets)
  end

  # dL/dz of the output neurons, where backward begins.
  #
  # L is the loss of the whole batch, the mean of its samples' losses or their sum: divisor is their number, or 1.
  def output_deltas(targets, divisor)
    # EXERCISE BEGIN output delta: Array.new(targets.length, 0.0)
    deltas =
      if @one_step
        @one_step.deltas(output.a, targets)
      else
        output.activation.deltas(output.z, output.a, @loss.activation_gradients(output.a, targets))
      end
    deltas.map { |delta_k| delta_k / divisor }
    # EXERCISE END output delta
  end

  # Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
  def backward(targets, divisor)
    gradients = output.backward(output_deltas(targets, divisor))
    @layers[0...-1].reverse_each do |layer|
      # The inputs of the layer after are the activations of this one, and so are their gradients.
      gradients = layer.backward(layer.hidden_deltas(gradients))
    end
    gradients
  end

  def reset_gradients
    @layers.each { |layer| layer.neurons.each(&:reset_gradients) }
  end

  # Takes one step down the slope, once all gradients are there.
  def update(learning_rate)
    @layers.each { |layer| layer.neurons.each { |neuron| neuron.update(learning_rate) } }
  end
end

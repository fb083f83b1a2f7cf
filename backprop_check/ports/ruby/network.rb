# frozen_string_literal: true

# A neural network of dense layers and its backpropagation, neuron by neuron, in plain Ruby.
#
# Read it from top to bottom:
#
# 1. Activations   what a neuron makes of its weighted sum, and the slope of that
# 2. Losses        how wrong the output is, and the slope of that
# 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
# 4. Layer         neurons that read the same inputs
# 5. Network       layers one after the other: forward, backward, update
# 6. backprop      from a case of backprop-check to its reply
#
# The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target, and
# `delta` is dL/dz, the slope of the loss L with regard to z. There are no matrices, only arrays of numbers.

# ------------------------------------------------------------------------------------------------
# 1. Activations
# ------------------------------------------------------------------------------------------------

# What several activations and losses are made of.
module Functions
  module_function

  # ln(1 + x). For a small x, 1 + x is rounded; the factor x / (what is left of x) undoes that.
  def log1p(x)
    u = 1.0 + x
    return x if u == 1.0

    x > 1.0 ? Math.log(u) : Math.log(u) * (x / (u - 1.0))
  end

  # e^x - 1. For a small x the subtraction loses digits; the factor x / ln(e^x) brings them back.
  def expm1(x)
    u = Math.exp(x)
    return u - 1.0 if x.abs > 0.5

    u == 1.0 ? x : (u - 1.0) * (x / Math.log(u))
  end

  # From left to right. (Array#sum corrects its rounding errors on the way: no mistake, but not what a loop does.)
  def add_up(numbers)
    numbers.inject(0.0) { |total, number| total + number }
  end

  # (Array#max raises where a number is NaN.)
  def largest_of(numbers)
    numbers.inject { |largest, number| number > largest ? number : largest }
  end

  def sigmoid(z)
    # e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    return 1.0 / (1.0 + Math.exp(-z)) if z >= 0.0

    power = Math.exp(z)
    power / (1.0 + power)
  end

  # The same as ln(1 + e^z), but e^z would overflow.
  def softplus(z)
    (z > 0.0 ? z : 0.0) + log1p(Math.exp(-z.abs))
  end

  def log_softmax(z)
    largest = largest_of(z)
    total = add_up(z.map { |z_j| Math.exp(z_j - largest) })
    z.map { |z_j| z_j - largest - Math.log(total) }
  end
end

# A function of one neuron's z, and its derivative. Softmax, further down, is one of a whole layer's.
class Activation
  include Functions

  # alpha is the slope parameter of leaky_relu and elu; nil where the case brings none.
  def initialize(alpha = nil)
    @alpha = alpha || default_alpha
  end

  def default_alpha = nil

  # The activations of a layer: here every neuron's for itself.
  def activate(z)
    z.map { |z_j| value(z_j) }
  end

  # dL/dz of a layer from its dL/da. The chain rule: dL/dz = dL/da * da/dz.
  def deltas(z, a, dloss_da)
    z.each_index.map { |j| dloss_da[j] * derivative(z[j], a[j]) }
  end
end

# In each of these, value(z) is a, and derivative(z, a) is da/dz. Both z and a are at hand: some derivatives are
# simpler in one, some in the other.

# No activation: a = z.
class Identity < Activation
  def value(z) = z
  def derivative(_z, _a) = 1.0
end

# 1 / (1 + e^-z): any number squeezed into 0..1.
class Sigmoid < Activation
  def value(z) = sigmoid(z)
  def derivative(_z, a) = a * (1.0 - a)
end

# The hyperbolic tangent: any number squeezed into -1..1.
class Tanh < Activation
  def value(z) = Math.tanh(z)
  def derivative(_z, a) = 1.0 - a * a
end

# z where it is positive, else 0.
class Relu < Activation
  def value(z) = z > 0.0 ? z : 0.0

  # At z = 0 there is a kink and no slope. 0 is the usual convention.
  def derivative(z, _a) = z > 0.0 ? 1.0 : 0.0
end

# Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
class LeakyRelu < Activation
  def default_alpha = 0.01
  def value(z) = z > 0.0 ? z : @alpha * z
  def derivative(z, _a) = z > 0.0 ? 1.0 : @alpha
end

# Like ReLU, but bending smoothly to -alpha on the negative side.
class Elu < Activation
  def default_alpha = 1.0
  def value(z) = z > 0.0 ? z : @alpha * expm1(z)
  def derivative(z, _a) = z > 0.0 ? 1.0 : @alpha * Math.exp(z)
end

# ln(1 + e^z): a smooth ReLU.
class Softplus < Activation
  def value(z) = softplus(z)
  def derivative(z, _a) = sigmoid(z)
end

# z / (1 + |z|): like tanh, but slower to reach -1 and 1.
class Softsign < Activation
  def value(z) = z / (1.0 + z.abs)
  def derivative(z, _a) = 1.0 / ((1.0 + z.abs) * (1.0 + z.abs))
end

# z * sigmoid(z), also called swish.
class Silu < Activation
  def value(z) = z * sigmoid(z)

  def derivative(z, _a)
    s = sigmoid(z)
    s + z * s * (1.0 - s) # the product rule
  end
end

# z * P(z), where P(z) is the probability that a standard normal number is below z.
class Gelu < Activation
  # P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
  def probability(z) = 0.5 * Math.erfc(-z / Math.sqrt(2.0))

  def value(z) = z * probability(z)

  def derivative(z, _a)
    density = Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math::PI) # the bell curve: dP/dz
    probability(z) + z * density # the product rule
  end
end

# z, cut off at -1 and 1.
class HardTanh < Activation
  def value(z)
    return z if z.abs <= 1.0

    z > 0.0 ? 1.0 : -1.0
  end

  def derivative(z, _a) = z.abs < 1.0 ? 1.0 : 0.0
end

# e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
class Softmax < Activation
  def activate(z)
    # Taking the largest z off all of them changes no quotient, and no power can overflow.
    largest = largest_of(z)
    powers = z.map { |z_j| Math.exp(z_j - largest) }
    total = add_up(powers)
    powers.map { |power| power / total }
  end

  def deltas(_z, a, dloss_da)
    # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    # Summed over all j that is a_k * (dL/da_k - average), where
    average = add_up(a.zip(dloss_da).map { |a_j, slope| slope * a_j })
    a.zip(dloss_da).map { |a_k, slope| a_k * (slope - average) }
  end
end

# The natural logarithm of softmax, without ever taking the logarithm of a 0.
class LogSoftmax < Activation
  def activate(z) = log_softmax(z)

  def deltas(_z, a, dloss_da)
    # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    total = add_up(dloss_da)
    a.zip(dloss_da).map { |a_k, slope| slope - Math.exp(a_k) * total }
  end
end

ACTIVATIONS = {
  "identity" => Identity,
  "sigmoid" => Sigmoid,
  "tanh" => Tanh,
  "relu" => Relu,
  "leaky_relu" => LeakyRelu,
  "elu" => Elu,
  "softplus" => Softplus,
  "softsign" => Softsign,
  "silu" => Silu,
  "gelu" => Gelu,
  "hard_tanh" => HardTanh,
  "softmax" => Softmax,
  "log_softmax" => LogSoftmax
}.freeze

# ------------------------------------------------------------------------------------------------
# 2. Losses
# ------------------------------------------------------------------------------------------------

# How wrong one output neuron is (term), and the derivative of that with regard to a. A sample's loss sums up its
# outputs'.
class Loss
  include Functions

  # threshold is the parameter of huber; nil where the case brings none.
  def initialize(threshold = nil)
    @threshold = threshold || 1.0
  end

  # Whether the sum over the outputs is divided by their number.
  def mean_over_outputs? = false

  # The loss of one sample.
  def of_sample(a, t)
    total = add_up(a.zip(t).map { |a_k, t_k| term(a_k, t_k) })
    mean_over_outputs? ? total / a.length : total
  end

  # dL/da of every output, where L is the loss of this one sample.
  def dloss_da(a, t)
    slopes = a.zip(t).map { |a_k, t_k| derivative(a_k, t_k) }
    mean_over_outputs? ? slopes.map { |slope| slope / a.length } : slopes
  end

  private

  # 1, -1, or 0 at the kink of |x|, where there is no slope.
  def sign(x) = (x <=> 0.0).to_f

  # t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
  def times_log(t, p)
    return 0.0 if t.zero?

    p.negative? ? Float::NAN : t * Math.log(p)
  end

  # t / p, the derivative of t ln p with regard to p.
  def divide(t, p) = t.zero? ? 0.0 : t / p
end

# Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
class HalfSquaredError < Loss
  def term(a, t) = 0.5 * (a - t) * (a - t)
  def derivative(a, t) = a - t
end

# The square of the error.
class SquaredError < Loss
  def term(a, t) = (a - t) * (a - t)
  def derivative(a, t) = 2.0 * (a - t)
end

# The square of the error, averaged over the outputs.
class MeanSquaredError < SquaredError
  def mean_over_outputs? = true
end

# The size of the error, averaged over the outputs.
class MeanAbsoluteError < Loss
  def mean_over_outputs? = true
  def term(a, t) = (a - t).abs
  def derivative(a, t) = sign(a - t)
end

# Half the square of a small error; a straight line from there on for a large one.
class Huber < Loss
  def mean_over_outputs? = true

  def term(a, t)
    error = (a - t).abs
    error <= @threshold ? 0.5 * error * error : @threshold * (error - 0.5 * @threshold)
  end

  def derivative(a, t)
    error = a - t
    error.abs <= @threshold ? error : @threshold * sign(error)
  end
end

# -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
class BinaryCrossEntropy < Loss
  def term(a, t) = -(times_log(t, a) + times_log(1.0 - t, 1.0 - a))
  def derivative(a, t) = -(divide(t, a) - divide(1.0 - t, 1.0 - a))
end

# -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
class CrossEntropy < Loss
  def term(a, t) = -times_log(t, a)
  def derivative(a, t) = -divide(t, a)
end

# -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
class NegativeLogLikelihood < Loss
  def term(a, t) = -t * a
  def derivative(_a, t) = -t
end

# max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
class Hinge < Loss
  def term(a, t) = missing(a, t) > 0.0 ? missing(a, t) : 0.0
  def derivative(a, t) = missing(a, t) > 0.0 ? -t : 0.0

  private

  def missing(a, t) = 1.0 - t * a
end

# Two activations belong together with their loss so well that most of the chain rule cancels. What is left goes
# from z to the loss and back in one step, shorter and safer: nothing is divided by a probability that was rounded
# to 0, and no logarithm is taken of it.

# With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
class SigmoidWithBinaryCrossEntropy
  include Functions

  def of_sample(z, t)
    add_up(z.zip(t).map { |z_k, t_k| t_k * softplus(-z_k) + (1.0 - t_k) * softplus(z_k) })
  end

  # dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
  def deltas(a, t)
    a.zip(t).map { |a_k, t_k| a_k - t_k }
  end
end

# With a = softmax(z), ln a is log_softmax(z).
class SoftmaxWithCrossEntropy
  include Functions

  def of_sample(z, t)
    add_up(log_softmax(z).zip(t).map { |log_a, t_k| -t_k * log_a })
  end

  # Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
  def deltas(a, t)
    total = add_up(t) # 1 for probabilities, and then this is the well-known a - t
    a.zip(t).map { |a_k, t_k| a_k * total - t_k }
  end
end

LOSSES = {
  "half_squared_error" => HalfSquaredError,
  "squared_error" => SquaredError,
  "mean_squared_error" => MeanSquaredError,
  "mean_absolute_error" => MeanAbsoluteError,
  "huber" => Huber,
  "binary_cross_entropy" => BinaryCrossEntropy,
  "cross_entropy" => CrossEntropy,
  "negative_log_likelihood" => NegativeLogLikelihood,
  "hinge" => Hinge
}.freeze

IN_ONE_STEP = {
  %w[sigmoid binary_cross_entropy] => SigmoidWithBinaryCrossEntropy.new,
  %w[softmax cross_entropy] => SoftmaxWithCrossEntropy.new
}.freeze

# ------------------------------------------------------------------------------------------------
# 3. Neuron
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
  def weighted_sum(inputs)
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
# 4. Layer
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
    @z = @neurons.map { |neuron| neuron.weighted_sum(inputs) }
    @a = @activation.activate(@z)
  end

  # Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
  #
  # Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
  # dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
  def backward(delta)
    @delta = delta
    @neurons.each_with_index { |neuron, j| neuron.add_gradients(delta[j], @inputs) }

    dloss_dx = Array.new(@inputs.length, 0.0)
    # EXERCISE BEGIN hidden delta
    @neurons.each_with_index do |neuron, j|
      neuron.weights.each_with_index { |weight, i| dloss_dx[i] += delta[j] * weight }
    end
    # EXERCISE END hidden delta
    dloss_dx
  end
end

# ------------------------------------------------------------------------------------------------
# 5. Network
# ------------------------------------------------------------------------------------------------

# Layers, each reading the activations of the one before.
class Network
  attr_reader :layers

  # one_step is what goes from the output's z to the loss and back at once, or nil.
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
  def output_deltas(targets)
    # EXERCISE BEGIN output delta: Array.new(output.z.length, 0.0)
    if @one_step
      @one_step.deltas(output.a, targets)
    else
      output.activation.deltas(output.z, output.a, @loss.dloss_da(output.a, targets))
    end
    # EXERCISE END output delta
  end

  # Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
  #
  # The batch's loss is the mean of its samples' losses, or their sum: divisor is their number, or 1.
  def backward(targets, divisor)
    delta = output_deltas(targets).map { |delta_k| delta_k / divisor }
    dloss_dx = output.backward(delta)
    @layers[0...-1].reverse_each do |layer|
      # What the inputs of the layer after get back is what the activations of this one get back.
      # EXERCISE BEGIN hidden delta: delta = Array.new(layer.z.length, 0.0)
      delta = layer.activation.deltas(layer.z, layer.a, dloss_dx)
      # EXERCISE END hidden delta
      dloss_dx = layer.backward(delta)
    end
    dloss_dx
  end

  def reset_gradients
    @layers.each { |layer| layer.neurons.each(&:reset_gradients) }
  end

  # Takes one step down the slope, once all gradients are there.
  def update(learning_rate)
    @layers.each { |layer| layer.neurons.each { |neuron| neuron.update(learning_rate) } }
  end
end

# ------------------------------------------------------------------------------------------------
# 6. From a case of backprop-check to its reply
# ------------------------------------------------------------------------------------------------

# The case asks for something that this program has not learnt.
class NotThereYet < StandardError; end

# Works out one case of backprop-check, and replies with all that the protocol knows.
def backprop(request)
  network = build_network(request)
  steps, learning_rate = read_optimizer(request)
  samples, divisor = read_batch(request)

  # Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  reply = { "id" => request["id"], **one_pass(network, samples, divisor) }
  return reply if steps.nil?

  loss = reply["loss"]
  trajectory = (0...steps).map do |step|
    loss = one_pass(network, samples, divisor)["loss"] if step.positive?
    network.update(learning_rate)
    { "loss" => loss, "layers" => network.layers.map { |layer| { "updated" => parameters(layer) } } }
  end
  network.layers.zip(reply["layers"]) { |layer, record| record["updated"] = parameters(layer) }
  reply["trajectory"] = trajectory if steps > 1
  reply
rescue NotThereYet => e
  { "id" => request["id"], "skip" => e.message }
end

# Sends every sample forward and backward, and writes down what came out of it.
def one_pass(network, samples, divisor)
  network.reset_gradients
  loss = 0.0
  input_gradients = []
  records = network.layers.map { { "z" => [], "a" => [], "delta" => [] } }
  samples.each do |inputs, targets|
    network.forward(inputs)
    loss += network.sample_loss(targets)
    input_gradients << network.backward(targets, divisor)
    network.layers.zip(records) do |layer, record|
      record["z"] << layer.z
      record["a"] << layer.a
      record["delta"] << layer.delta
    end
  end
  network.layers.zip(records) do |layer, record|
    record["gradients"] = {
      "weights" => layer.neurons.map(&:weight_gradients),
      "biases" => layer.neurons.map(&:bias_gradient)
    }
  end
  { "loss" => loss / divisor, "layers" => records, "input_gradients" => input_gradients }
end

# A copy of the layer's weights and biases as they are now.
def parameters(layer)
  { "weights" => layer.neurons.map { |neuron| neuron.weights.dup }, "biases" => layer.neurons.map(&:bias) }
end

# The network that the case describes.
def build_network(request)
  layers = request["network"]["layers"]
  kind = known(request["loss"]["kind"], LOSSES.keys, "loss")
  threshold = request["loss"]["threshold"]
  Network.new(
    layers.map { |layer| build_layer(layer) },
    LOSSES[kind].new(threshold && read_number(threshold)),
    IN_ONE_STEP[[layers.last["activation"], kind]]
  )
end

# One layer with the parameters that the case gives it.
def build_layer(layer)
  known(layer["kind"], ["dense"], "layer")
  if layer.key?("from") || layer.key?("combine")
    raise NotThereYet, "a layer that reads another one than the one before it is not there yet"
  end

  activation = ACTIVATIONS[known(layer["activation"], ACTIVATIONS.keys, "activation")]
  alpha = layer["alpha"] && read_number(layer["alpha"])
  weights, biases = layer["parameters"].values_at("weights", "biases")
  neurons = weights.zip(biases).map { |row, bias| Neuron.new(read_numbers(row), read_number(bias)) }
  Layer.new(neurons, activation.new(alpha))
end

# The number of steps (nil: no update is asked for) and the learning rate.
def read_optimizer(request)
  optimizer = request["optimizer"]
  return [nil, 0.0] if optimizer.nil?

  known(optimizer["kind"], ["sgd"], "optimizer")
  %w[momentum nesterov weight_decay].each do |option|
    raise NotThereYet, "sgd with #{option} is not there yet" unless [nil, false, 0].include?(optimizer[option])
  end
  [request["steps"] || 1, read_number(optimizer["learning_rate"])]
end

# The samples, and what to divide by to get from the sum of their losses to the batch's loss.
def read_batch(request)
  samples = request["inputs"].zip(request["targets"]).map { |x, t| [read_numbers(x), read_numbers(t)] }
  reduction = known(request["reduction"] || "mean", %w[mean sum], "reduction")
  [samples, reduction == "mean" ? samples.length.to_f : 1.0]
end

# The word, if we know it.
def known(word, words, what)
  words.include?(word) ? word : raise(NotThereYet, "the #{what} #{word} is not there yet")
end

def read_numbers(numbers) = numbers.map { |number| read_number(number) }

NOT_NUMBERS = { "NaN" => Float::NAN, "Infinity" => Float::INFINITY, "-Infinity" => -Float::INFINITY }.freeze

# JSON has no NaN and no infinity, so these come as text. Float() matters: in Ruby 1 / 2 is 0, and 1.0 / 2 is 0.5.
def read_number(number) = NOT_NUMBERS[number] || Float(number)

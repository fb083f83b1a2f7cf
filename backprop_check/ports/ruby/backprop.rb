# frozen_string_literal: true

# From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
#
# To test a network of your own, let `backprop` run it.

require_relative "activations"
require_relative "losses"
require_relative "network"

# The case asks for something that this program has not learnt: it is skipped, which is no failure.
class NotThereYet < StandardError
  def initialize(what)
    super("#{what} is not there yet")
  end
end

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
    record["gradients"] = gradients(layer)
  end
  { "loss" => loss / divisor, "layers" => records, "input_gradients" => input_gradients }
end

# The layer's gradients. They stay as they are: reset_gradients makes new ones.
def gradients(layer)
  { "weights" => layer.neurons.map(&:weight_gradients), "biases" => layer.neurons.map(&:bias_gradient) }
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
    raise NotThereYet, "a layer that reads another one than the one before it"
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
    raise NotThereYet, "sgd with #{option}" unless [nil, false, 0].include?(optimizer[option])
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
  words.include?(word) ? word : raise(NotThereYet, "the #{what} #{word}")
end

def read_numbers(numbers) = numbers.map { |number| read_number(number) }

NOT_NUMBERS = { "NaN" => Float::NAN, "Infinity" => Float::INFINITY, "-Infinity" => -Float::INFINITY }.freeze

# JSON has no NaN and no infinity, so these come as text. Float() matters: in Ruby 1 / 2 is 0, and 1.0 / 2 is 0.5.
def read_number(number) = NOT_NUMBERS[number] || Float(number)

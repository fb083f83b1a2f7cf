-- From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
--
-- To test a network of your own, let `backprop` run it: it is the last function here, as Lua knows only what stands
-- above.

local activations = require("activations").activations
local losses = require("losses").losses
local in_one_step = require("losses").in_one_step
local mathematics = require("mathematics")
local network = require("network")

local map = mathematics.map
local Neuron, Layer, Network = network.Neuron, network.Layer, network.Network

-- Ends the case: it asks for something that this program has not learnt. It is skipped, which is no failure.
local function not_there_yet(what)
  error({ skip = what .. " is not there yet" })
end

-- What the table has for the word, if it knows it.
local function known(word, words, what)
  return words[word] or not_there_yet("the " .. what .. " " .. word)
end

local NOT_NUMBERS = { NaN = 0.0 / 0.0, Infinity = math.huge, ["-Infinity"] = -math.huge }

-- JSON has no NaN and no infinity, so these come as text. And 1 comes as an integer: + 0.0 makes it the float 1.0.
local function read_number(number)
  return NOT_NUMBERS[number] or number + 0.0
end

local function read_numbers(numbers)
  return map(numbers, read_number)
end

-- The samples, and what to divide by to get from the sum of their losses to the batch's loss.
local function read_batch(request)
  local samples = map(request.inputs, function(inputs, s)
    return { inputs = read_numbers(inputs), targets = read_numbers(request.targets[s]) }
  end)
  return samples, known(request.reduction or "mean", { mean = #samples + 0.0, sum = 1.0 }, "reduction")
end

-- The number of steps (nil: no update is asked for) and the learning rate.
local function read_optimizer(request)
  local optimizer = request.optimizer
  if not optimizer then return nil, 0.0 end
  known(optimizer.kind, { sgd = true }, "optimizer")
  for _, option in ipairs({ "momentum", "nesterov", "weight_decay" }) do
    local value = optimizer[option]
    if value and value ~= 0 then not_there_yet("sgd with " .. option) end
  end
  return request.steps or 1, read_number(optimizer.learning_rate)
end

-- One layer with the parameters that the case gives it.
local function build_layer(layer)
  known(layer.kind, { dense = true }, "layer")
  if layer.from or layer.combine then not_there_yet("a layer that reads another one than the one before it") end

  local activation = known(layer.activation, activations, "activation")
  local alpha = layer.alpha and read_number(layer.alpha) or activation.alpha
  local neurons = map(layer.parameters.weights, function(row, j)
    return Neuron.new(read_numbers(row), read_number(layer.parameters.biases[j]))
  end)
  return Layer.new(neurons, activation, alpha)
end

-- The network that the case describes.
local function build_network(request)
  local layers, kind = request.network.layers, request.loss.kind
  local loss = known(kind, losses, "loss")
  local threshold = request.loss.threshold and read_number(request.loss.threshold) or loss.threshold
  local with_losses = in_one_step[layers[#layers].activation] or {}
  return Network.new(map(layers, build_layer), loss, threshold, with_losses[kind])
end

-- A copy of the layer's weights and biases as they are now.
local function parameters(layer)
  return {
    weights = map(layer.neurons, function(neuron) return map(neuron.weights, function(weight) return weight end) end),
    biases = map(layer.neurons, function(neuron) return neuron.bias end),
  }
end

-- The layer's gradients. They stay as they are: reset_gradients makes new ones.
local function gradients(layer)
  return {
    weights = map(layer.neurons, function(neuron) return neuron.weight_gradients end),
    biases = map(layer.neurons, function(neuron) return neuron.bias_gradient end),
  }
end

-- Sends every sample forward and backward, and writes down what came out of it.
local function one_pass(network, samples, divisor)
  network:reset_gradients()
  local loss = 0.0
  local input_gradients = {}
  local records = map(network.layers, function() return { z = {}, a = {}, delta = {} } end)
  for s, sample in ipairs(samples) do
    network:forward(sample.inputs)
    loss = loss + network:sample_loss(sample.targets)
    input_gradients[s] = network:backward(sample.targets, divisor)
    for l, layer in ipairs(network.layers) do
      records[l].z[s] = layer.z
      records[l].a[s] = layer.a
      records[l].delta[s] = layer.delta
    end
  end
  for l, layer in ipairs(network.layers) do
    records[l].gradients = gradients(layer)
  end
  return { loss = loss / divisor, layers = records, input_gradients = input_gradients }
end

-- Works out one case of backprop-check, and replies with all that the protocol knows.
local function backprop(request)
  local network = build_network(request)
  local steps, learning_rate = read_optimizer(request)
  local samples, divisor = read_batch(request)

  -- Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  local reply = one_pass(network, samples, divisor)
  reply.id = request.id
  if not steps then return reply end

  local trajectory = {}
  for step = 1, steps do
    local pass = step == 1 and reply or one_pass(network, samples, divisor)
    network:update(learning_rate)
    local updated = map(network.layers, function(layer) return { updated = parameters(layer) } end)
    trajectory[step] = { loss = pass.loss, layers = updated }
  end
  for l, layer in ipairs(network.layers) do
    reply.layers[l].updated = parameters(layer)
  end
  if steps > 1 then reply.trajectory = trajectory end
  return reply
end

return backprop

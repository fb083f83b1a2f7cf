-- A neural network of dense layers and its backpropagation, neuron by neuron, in plain Lua.
--
-- Read it from top to bottom:
--
-- 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
-- 2. Layer      neurons that read the same inputs
-- 3. Network    layers one after the other: forward, backward, update
--
-- The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
-- activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
-- dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
--
-- Lua counts from 1: the first neuron is neuron 1 here, and neuron 0 in what backprop-check says.

local mathematics = require("mathematics")

local map, zeros = mathematics.map, mathematics.zeros

-- ------------------------------------------------------------------------------------------------
-- 1. Neuron
-- ------------------------------------------------------------------------------------------------

-- One neuron: a weight for each of its inputs, and a bias.
local Neuron = {}
Neuron.__index = Neuron

function Neuron.new(weights, bias)
  local neuron = setmetatable({ weights = weights, bias = bias }, Neuron)
  neuron:reset_gradients()
  return neuron
end

-- Starts the sums over the samples at 0.
function Neuron:reset_gradients()
  self.weight_gradients = zeros(#self.weights)
  self.bias_gradient = 0.0
end

-- Forward: gives z, every input times its weight, plus the bias.
function Neuron:pre_activation(inputs)
  local z = self.bias
  for i, weight in ipairs(self.weights) do
    z = z + weight * inputs[i]
  end
  return z
end

-- Backward: adds one sample's part to the gradients.
--
-- A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
function Neuron:add_gradients(delta, inputs)
  -- EXERCISE BEGIN gradients
  for i, x in ipairs(inputs) do
    self.weight_gradients[i] = self.weight_gradients[i] + delta * x
  end
  self.bias_gradient = self.bias_gradient + delta
  -- EXERCISE END gradients
end

-- Takes one step down the slope.
function Neuron:update(learning_rate)
  -- EXERCISE BEGIN update
  for i, gradient in ipairs(self.weight_gradients) do
    self.weights[i] = self.weights[i] - learning_rate * gradient
  end
  self.bias = self.bias - learning_rate * self.bias_gradient
  -- EXERCISE END update
end

-- ------------------------------------------------------------------------------------------------
-- 2. Layer
-- ------------------------------------------------------------------------------------------------

-- Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
local Layer = {}
Layer.__index = Layer

function Layer.new(neurons, activation, alpha)
  return setmetatable({ neurons = neurons, activation = activation, alpha = alpha }, Layer)
end

-- Gives the activations of all neurons for one sample.
function Layer:forward(inputs)
  self.inputs = inputs
  self.z = map(self.neurons, function(neuron) return neuron:pre_activation(inputs) end)
  self.a = self.activation.activate(self.z, self.alpha)
  return self.a
end

-- Gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
function Layer:hidden_deltas(activation_gradients)
  -- EXERCISE BEGIN hidden delta: return zeros(#self.neurons)
  return self.activation.deltas(self.z, self.a, activation_gradients, self.alpha)
  -- EXERCISE END hidden delta
end

-- Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
function Layer:backward(delta)
  self.delta = delta
  for j, neuron in ipairs(self.neurons) do
    neuron:add_gradients(delta[j], self.inputs)
  end
  return self:input_gradients()
end

-- Gives dL/dx of every input x, which is dL/da of the layer before.
--
-- Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
-- dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
function Layer:input_gradients()
  local gradients = zeros(#self.inputs)
  -- EXERCISE BEGIN hidden delta
  for j, neuron in ipairs(self.neurons) do
    for i, weight in ipairs(neuron.weights) do
      gradients[i] = gradients[i] + self.delta[j] * weight
    end
  end
  -- EXERCISE END hidden delta
  return gradients
end

-- ------------------------------------------------------------------------------------------------
-- 3. Network
-- ------------------------------------------------------------------------------------------------

-- Layers, each reading the activations of the one before.
local Network = {}
Network.__index = Network

-- one_step is the output's activation and loss in one; nil where there is no such thing.
function Network.new(layers, loss, threshold, one_step)
  local fields = { layers = layers, output = layers[#layers], loss = loss, threshold = threshold, one_step = one_step }
  return setmetatable(fields, Network)
end

-- Gives the output of the network for one sample.
function Network:forward(inputs)
  for _, layer in ipairs(self.layers) do
    inputs = layer:forward(inputs)
  end
  return inputs
end

-- Gives the loss of the sample that went forward last.
function Network:sample_loss(targets)
  if self.one_step then return self.one_step.of_sample(self.output.z, targets) end
  return self.loss.of_sample(self.output.a, targets, self.threshold)
end

-- Gives dL/dz of the output neurons, where backward begins.
--
-- L is the loss of the whole batch, the mean of its samples' losses or their sum: divisor is their number, or 1.
function Network:output_deltas(targets, divisor)
  -- EXERCISE BEGIN output delta: return zeros(#targets)
  local output, deltas = self.output, nil
  if self.one_step then
    deltas = self.one_step.deltas(output.a, targets)
  else
    local gradients = self.loss.activation_gradients(output.a, targets, self.threshold)
    deltas = output.activation.deltas(output.z, output.a, gradients, output.alpha)
  end
  return map(deltas, function(delta_k) return delta_k / divisor end)
  -- EXERCISE END output delta
end

-- Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
function Network:backward(targets, divisor)
  local gradients = self.output:backward(self:output_deltas(targets, divisor))
  for l = #self.layers - 1, 1, -1 do
    -- The inputs of the layer after are the activations of this one, and so are their gradients.
    gradients = self.layers[l]:backward(self.layers[l]:hidden_deltas(gradients))
  end
  return gradients
end

function Network:reset_gradients()
  for _, layer in ipairs(self.layers) do
    for _, neuron in ipairs(layer.neurons) do
      neuron:reset_gradients()
    end
  end
end

-- Takes one step down the slope, once all gradients are there.
function Network:update(learning_rate)
  for _, layer in ipairs(self.layers) do
    for _, neuron in ipairs(layer.neurons) do
      neuron:update(learning_rate)
    end
  end
end

return { Neuron = Neuron, Layer = Layer, Network = Network }

-- A neural network of dense layers and its backpropagation, neuron by neuron, in plain Lua.
--
-- Read it from top to bottom:
--
-- 1. Activations   what a neuron makes of its weighted sum, and the slope of that
-- 2. Losses        how wrong the output is, and the slope of that
-- 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
-- 4. Layer         neurons that read the same inputs
-- 5. Network       layers one after the other: forward, backward, update
-- 6. backprop      from a case of backprop-check to its reply
--
-- The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target, and
-- `delta` is dL/dz, the slope of the loss L with regard to z. There are no matrices, only lists of numbers. Lua
-- counts from 1: the first neuron is neuron 1 here, and neuron 0 in what backprop-check says.

local mathematics = require("mathematics")

local exp, log, abs, sqrt, max, min = math.exp, math.log, math.abs, math.sqrt, math.max, math.min

-- A new list: what the function gives for each index and number of the list.
local function map(list, make)
  local made = {}
  for i, item in ipairs(list) do
    made[i] = make(item, i)
  end
  return made
end

local function add_up(numbers)
  local total = 0.0
  for _, number in ipairs(numbers) do
    total = total + number
  end
  return total
end

local function largest_of(numbers)
  local largest = numbers[1]
  for _, number in ipairs(numbers) do
    largest = max(largest, number)
  end
  return largest
end

local function zeros(count)
  local list = {}
  for i = 1, count do
    list[i] = 0.0
  end
  return list
end

-- ------------------------------------------------------------------------------------------------
-- 1. Activations
-- ------------------------------------------------------------------------------------------------

local function sigmoid(z)
  -- e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if z >= 0.0 then return 1.0 / (1.0 + exp(-z)) end
  local power = exp(z)
  return power / (1.0 + power)
end

-- The same as ln(1 + e^z), but e^z would overflow.
local function softplus(z)
  return max(0.0, z) + mathematics.log1p(exp(-abs(z)))
end

-- P(z), the probability that a standard normal number is below z: (1 + erf(z / sqrt 2)) / 2. By erfc = 1 - erf it
-- stays precise for a very negative z.
local function probability(z)
  return 0.5 * mathematics.erfc(-z / sqrt(2.0))
end

-- Of one neuron's z: `value` gives a, the activation, and `derivative` gives da/dz. Both z and a are at hand: some
-- derivatives are simpler in one, some in the other. alpha is the parameter of two of them.
local activations = {
  -- No activation: a = z.
  identity = {
    value = function(z) return z end,
    derivative = function() return 1.0 end,
  },
  -- 1 / (1 + e^-z): any number squeezed into 0..1.
  sigmoid = {
    value = sigmoid,
    derivative = function(_, a) return a * (1.0 - a) end,
  },
  -- The hyperbolic tangent: any number squeezed into -1..1.
  tanh = {
    value = mathematics.tanh,
    derivative = function(_, a) return 1.0 - a * a end,
  },
  -- z where it is positive, else 0. At z = 0 there is a kink and no slope. 0 is the usual convention.
  relu = {
    value = function(z) return max(0.0, z) end,
    derivative = function(z) return z > 0.0 and 1.0 or 0.0 end,
  },
  -- Like relu, but with a small slope alpha on the negative side, so that no neuron is ever dead.
  leaky_relu = {
    alpha = 0.01,
    value = function(z, alpha) return z > 0.0 and z or alpha * z end,
    derivative = function(z, _, alpha) return z > 0.0 and 1.0 or alpha end,
  },
  -- Like relu, but bending smoothly to -alpha on the negative side.
  elu = {
    alpha = 1.0,
    value = function(z, alpha) return z > 0.0 and z or alpha * mathematics.expm1(z) end,
    derivative = function(z, _, alpha) return z > 0.0 and 1.0 or alpha * exp(z) end,
  },
  -- ln(1 + e^z): a smooth relu.
  softplus = {
    value = softplus,
    derivative = sigmoid,
  },
  -- z / (1 + |z|): like tanh, but slower to reach -1 and 1.
  softsign = {
    value = function(z) return z / (1.0 + abs(z)) end,
    derivative = function(z) return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))) end,
  },
  -- z * sigmoid(z), also called swish.
  silu = {
    value = function(z) return z * sigmoid(z) end,
    derivative = function(z)
      local s = sigmoid(z)
      return s + z * s * (1.0 - s) -- the product rule
    end,
  },
  -- z * P(z).
  gelu = {
    value = function(z) return z * probability(z) end,
    derivative = function(z)
      local density = exp(-0.5 * z * z) / sqrt(2.0 * math.pi) -- the bell curve: dP/dz
      return probability(z) + z * density -- the product rule
    end,
  },
  -- z, cut off at -1 and 1.
  hard_tanh = {
    value = function(z) return min(1.0, max(-1.0, z)) end,
    derivative = function(z) return z > -1.0 and z < 1.0 and 1.0 or 0.0 end,
  },
}

-- Most activations look at each neuron for itself. The chain rule: dL/dz = dL/da * da/dz.
for _, activation in pairs(activations) do
  function activation.activate(z, alpha)
    return map(z, function(z_j) return activation.value(z_j, alpha) end)
  end

  function activation.deltas(z, a, dloss_da, alpha)
    return map(z, function(z_j, j) return dloss_da[j] * activation.derivative(z_j, a[j], alpha) end)
  end
end

-- e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
activations.softmax = {
  activate = function(z)
    -- Taking the largest z off all of them changes no quotient, and no power can overflow.
    local largest = largest_of(z)
    local powers = map(z, function(z_j) return exp(z_j - largest) end)
    local total = add_up(powers)
    return map(powers, function(power) return power / total end)
  end,
  deltas = function(_, a, dloss_da)
    -- Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    -- Summed over all j that is a_k * (dL/da_k - average), where
    local average = add_up(map(a, function(a_j, j) return dloss_da[j] * a_j end))
    return map(a, function(a_k, k) return a_k * (dloss_da[k] - average) end)
  end,
}

-- The natural logarithm of softmax, without ever taking the logarithm of a 0.
activations.log_softmax = {
  activate = function(z)
    local largest = largest_of(z)
    local total = add_up(map(z, function(z_j) return exp(z_j - largest) end))
    return map(z, function(z_j) return z_j - largest - log(total) end)
  end,
  deltas = function(_, a, dloss_da)
    -- da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    local total = add_up(dloss_da)
    return map(a, function(a_k, k) return dloss_da[k] - exp(a_k) * total end)
  end,
}

-- ------------------------------------------------------------------------------------------------
-- 2. Losses
-- ------------------------------------------------------------------------------------------------

-- 1, -1, or 0 at the kink of |x|, where there is no slope.
local function sign(x)
  return x > 0.0 and 1.0 or x < 0.0 and -1.0 or 0.0
end

-- t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
local function times_log(t, p)
  return t == 0.0 and 0.0 or t * log(p)
end

-- t / p, the derivative of t ln p with regard to p.
local function divide(t, p)
  return t == 0.0 and 0.0 or t / p
end

-- How wrong one output neuron is (`term`), and the `derivative` of that with regard to a. A sample's loss sums up
-- its outputs'; with `mean_over_outputs` that sum is divided by their number.
local losses = {
  -- Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
  half_squared_error = {
    term = function(a, t) return 0.5 * (a - t) * (a - t) end,
    derivative = function(a, t) return a - t end,
  },
  -- The square of the error.
  squared_error = {
    term = function(a, t) return (a - t) * (a - t) end,
    derivative = function(a, t) return 2.0 * (a - t) end,
  },
  -- The square of the error, averaged over the outputs.
  mean_squared_error = {
    mean_over_outputs = true,
    term = function(a, t) return (a - t) * (a - t) end,
    derivative = function(a, t) return 2.0 * (a - t) end,
  },
  -- The size of the error, averaged over the outputs.
  mean_absolute_error = {
    mean_over_outputs = true,
    term = function(a, t) return abs(a - t) end,
    derivative = function(a, t) return sign(a - t) end,
  },
  -- Half the square of a small error; a straight line from there on for a large one.
  huber = {
    mean_over_outputs = true,
    threshold = 1.0,
    term = function(a, t, threshold)
      local size = abs(a - t)
      return size <= threshold and 0.5 * size * size or threshold * (size - 0.5 * threshold)
    end,
    derivative = function(a, t, threshold)
      local difference = a - t
      return abs(difference) <= threshold and difference or threshold * sign(difference)
    end,
  },
  -- -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
  binary_cross_entropy = {
    term = function(a, t) return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a)) end,
    derivative = function(a, t) return -(divide(t, a) - divide(1.0 - t, 1.0 - a)) end,
  },
  -- -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
  cross_entropy = {
    term = function(a, t) return -times_log(t, a) end,
    derivative = function(a, t) return -divide(t, a) end,
  },
  -- -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
  negative_log_likelihood = {
    term = function(a, t) return -t * a end,
    derivative = function(_, t) return -t end,
  },
  -- max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
  hinge = {
    term = function(a, t) return max(0.0, 1.0 - t * a) end,
    derivative = function(a, t) return 1.0 - t * a > 0.0 and -t or 0.0 end,
  },
}

-- The output's activation and its loss in one step, from z to the loss and back.
--
-- Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
-- nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
local in_one_step = {
  sigmoid = {
    binary_cross_entropy = {
      -- With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
      of_sample = function(z, t)
        return add_up(map(z, function(z_k, k) return t[k] * softplus(-z_k) + (1.0 - t[k]) * softplus(z_k) end))
      end,
      -- dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
      deltas = function(a, t)
        return map(a, function(a_k, k) return a_k - t[k] end)
      end,
    },
  },
  softmax = {
    cross_entropy = {
      -- With a = softmax(z), ln a is log_softmax(z).
      of_sample = function(z, t)
        return add_up(map(activations.log_softmax.activate(z), function(log_a, k) return -t[k] * log_a end))
      end,
      -- Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
      deltas = function(a, t)
        local total = add_up(t) -- 1 for probabilities, and then this is the well-known a - t
        return map(a, function(a_k, k) return a_k * total - t[k] end)
      end,
    },
  },
}

-- ------------------------------------------------------------------------------------------------
-- 3. Neuron
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
function Neuron:weighted_sum(inputs)
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
-- 4. Layer
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
  self.z = map(self.neurons, function(neuron) return neuron:weighted_sum(inputs) end)
  self.a = self.activation.activate(self.z, self.alpha)
  return self.a
end

-- Gives dL/dz of the neurons from their dL/da.
function Layer:deltas(dloss_da)
  return self.activation.deltas(self.z, self.a, dloss_da, self.alpha)
end

-- Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
--
-- Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
-- dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
function Layer:backward(delta)
  self.delta = delta
  for j, neuron in ipairs(self.neurons) do
    neuron:add_gradients(delta[j], self.inputs)
  end

  local dloss_dx = zeros(#self.inputs)
  -- EXERCISE BEGIN hidden delta
  for j, neuron in ipairs(self.neurons) do
    for i, weight in ipairs(neuron.weights) do
      dloss_dx[i] = dloss_dx[i] + delta[j] * weight
    end
  end
  -- EXERCISE END hidden delta
  return dloss_dx
end

-- ------------------------------------------------------------------------------------------------
-- 5. Network
-- ------------------------------------------------------------------------------------------------

-- Layers, each reading the activations of the one before.
local Network = {}
Network.__index = Network

-- one_step is what goes from the output's z to the loss and back at once, or nil.
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
  local terms = map(self.output.a, function(a_k, k) return self.loss.term(a_k, targets[k], self.threshold) end)
  return self.loss.mean_over_outputs and add_up(terms) / #terms or add_up(terms)
end

-- Gives dL/da of every output, where L is the loss of this one sample.
function Network:dloss_da(targets)
  local divisor = self.loss.mean_over_outputs and #targets or 1
  return map(self.output.a, function(a_k, k)
    return self.loss.derivative(a_k, targets[k], self.threshold) / divisor
  end)
end

-- Gives dL/dz of the output neurons, where backward begins.
function Network:output_deltas(targets)
  -- EXERCISE BEGIN output delta: return zeros(#targets)
  if self.one_step then return self.one_step.deltas(self.output.a, targets) end
  return self.output:deltas(self:dloss_da(targets))
  -- EXERCISE END output delta
end

-- Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
--
-- The batch's loss is the mean of its samples' losses, or their sum: the divisor is their number, or 1.
function Network:backward(targets, divisor)
  local delta = map(self:output_deltas(targets), function(delta_k) return delta_k / divisor end)
  local dloss_dx = self.output:backward(delta)
  for l = #self.layers - 1, 1, -1 do
    local layer = self.layers[l]
    -- What the inputs of the layer after get back is what the activations of this one get back.
    -- EXERCISE BEGIN hidden delta: delta = zeros(#layer.neurons)
    delta = layer:deltas(dloss_dx)
    -- EXERCISE END hidden delta
    dloss_dx = layer:backward(delta)
  end
  return dloss_dx
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

-- ------------------------------------------------------------------------------------------------
-- 6. From a case of backprop-check to its reply
-- ------------------------------------------------------------------------------------------------

-- Ends the case: it asks for something that this program has not learnt.
local function not_there_yet(what)
  error({ skip = what .. " is not there yet" })
end

local NOT_NUMBERS = { NaN = 0.0 / 0.0, Infinity = math.huge, ["-Infinity"] = -math.huge }

-- JSON has no NaN and no infinity, so these come as text. And 1 comes as an integer: + 0.0 makes it the float 1.0.
local function read_number(number)
  return NOT_NUMBERS[number] or number + 0.0
end

local function read_numbers(numbers)
  return map(numbers, read_number)
end

-- One layer with the parameters that the case gives it.
local function build_layer(layer)
  if layer.kind ~= "dense" then not_there_yet("the layer " .. layer.kind) end
  if layer.from or layer.combine then not_there_yet("a layer that reads another one than the one before it") end

  local activation = activations[layer.activation] or not_there_yet("the activation " .. layer.activation)
  local alpha = layer.alpha and read_number(layer.alpha) or activation.alpha
  local neurons = map(layer.parameters.weights, function(row, j)
    return Neuron.new(read_numbers(row), read_number(layer.parameters.biases[j]))
  end)
  return Layer.new(neurons, activation, alpha)
end

-- The network that the case describes.
local function build_network(request)
  local layers, kind = request.network.layers, request.loss.kind
  local loss = losses[kind] or not_there_yet("the loss " .. kind)
  local threshold = request.loss.threshold and read_number(request.loss.threshold) or loss.threshold
  local with_losses = in_one_step[layers[#layers].activation] or {}
  return Network.new(map(layers, build_layer), loss, threshold, with_losses[kind])
end

-- The number of steps (nil: no update is asked for) and the learning rate.
local function read_optimizer(request)
  local optimizer = request.optimizer
  if not optimizer then return nil, 0.0 end
  if optimizer.kind ~= "sgd" then not_there_yet("the optimizer " .. optimizer.kind) end
  for _, option in ipairs({ "momentum", "nesterov", "weight_decay" }) do
    local value = optimizer[option]
    if value and value ~= 0 then not_there_yet("sgd with " .. option) end
  end
  return request.steps or 1, read_number(optimizer.learning_rate)
end

-- The samples, and what to divide by to get from the sum of their losses to the batch's loss.
local function read_batch(request)
  local samples = map(request.inputs, function(inputs, s)
    return { inputs = read_numbers(inputs), targets = read_numbers(request.targets[s]) }
  end)
  local reduction = request.reduction or "mean"
  if reduction == "mean" then return samples, #samples + 0.0 end
  if reduction == "sum" then return samples, 1.0 end
  not_there_yet("the reduction " .. reduction)
end

-- A copy of the layer's weights and biases as they are now.
local function parameters(layer)
  return {
    weights = map(layer.neurons, function(neuron) return map(neuron.weights, function(weight) return weight end) end),
    biases = map(layer.neurons, function(neuron) return neuron.bias end),
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
    records[l].gradients = {
      weights = map(layer.neurons, function(neuron) return neuron.weight_gradients end),
      biases = map(layer.neurons, function(neuron) return neuron.bias_gradient end),
    }
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

return { activations = activations, losses = losses, backprop = backprop }

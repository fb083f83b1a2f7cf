-- Activations: what a layer makes of its pre-activations z, and the way back.
--
-- `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.

local mathematics = require("mathematics")

local exp, log, abs, sqrt, max, min = math.exp, math.log, math.abs, math.sqrt, math.max, math.min
local add_up, largest_of, map = mathematics.add_up, mathematics.largest_of, mathematics.map

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
local function normal_probability(z)
  return 0.5 * mathematics.erfc(-z / sqrt(2.0))
end

-- dP/dz, the bell curve.
local function normal_density(z)
  return exp(-0.5 * z * z) / sqrt(2.0 * math.pi)
end

-- The natural logarithm of softmax.
local function log_softmax(z)
  local largest = largest_of(z)
  local total = add_up(map(z, function(z_j) return exp(z_j - largest) end))
  return map(z, function(z_j) return z_j - largest - log(total) end)
end

-- A function of one neuron's z, and its derivative. Most activations are of this kind.
--
-- value(z, alpha) is a, the activation, and derivative(z, a, alpha) is da/dz. Both z and a are at hand: some
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
    value = function(z) return z * normal_probability(z) end,
    derivative = function(z) return normal_probability(z) + z * normal_density(z) end, -- the product rule
  },
  -- z, cut off at -1 and 1.
  hard_tanh = {
    value = function(z) return min(1.0, max(-1.0, z)) end,
    derivative = function(z) return z > -1.0 and z < 1.0 and 1.0 or 0.0 end,
  },
}

-- What a layer makes of its z, and the way back: activate(z, alpha) gives a, the activations of a layer, and
-- deltas(z, a, activation_gradients, alpha) gives dL/dz of a layer, from its dL/da.
for _, activation in pairs(activations) do
  function activation.activate(z, alpha)
    return map(z, function(z_j) return activation.value(z_j, alpha) end)
  end

  -- The chain rule: dL/dz = dL/da * da/dz.
  function activation.deltas(z, a, activation_gradients, alpha)
    return map(z, function(z_j, j) return activation_gradients[j] * activation.derivative(z_j, a[j], alpha) end)
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
  deltas = function(_, a, activation_gradients)
    -- Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    -- Summed over all j that is a_k * (dL/da_k - average), where
    local average = add_up(map(a, function(a_j, j) return activation_gradients[j] * a_j end))
    return map(a, function(a_k, k) return a_k * (activation_gradients[k] - average) end)
  end,
}

-- The natural logarithm of softmax, without ever taking the logarithm of a 0.
activations.log_softmax = {
  activate = log_softmax,
  deltas = function(_, a, activation_gradients)
    -- da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    local total = add_up(activation_gradients)
    return map(a, function(a_k, k) return activation_gradients[k] - exp(a_k) * total end)
  end,
}

return { activations = activations, softplus = softplus, log_softmax = log_softmax }

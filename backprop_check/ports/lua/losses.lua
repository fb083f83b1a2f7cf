-- Losses: how wrong the outputs of a sample are, and the slope of that.

local activations = require("activations")
local mathematics = require("mathematics")

local abs, max = math.abs, math.max
local add_up, divide, sign, times_log = mathematics.add_up, mathematics.divide, mathematics.sign, mathematics.times_log
local softplus, log_softmax, map = activations.softplus, activations.log_softmax, mathematics.map

-- How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
--
-- term(a, t, threshold) is one output's part of the loss, of its activation a and its target t, and
-- derivative(a, t, threshold) the derivative of that part with regard to a. With mean_over_outputs that sum is divided
-- by the number of outputs. threshold is the parameter of huber.
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

for _, loss in pairs(losses) do
  local function divisor(a) return loss.mean_over_outputs and #a or 1 end

  -- The loss of one sample.
  function loss.of_sample(a, t, threshold)
    return add_up(map(a, function(a_k, k) return loss.term(a_k, t[k], threshold) end)) / divisor(a)
  end

  -- dL/da of every output, where L is the loss of this one sample.
  function loss.activation_gradients(a, t, threshold)
    return map(a, function(a_k, k) return loss.derivative(a_k, t[k], threshold) / divisor(a) end)
  end
end

-- The output's activation and its loss in one step, from z to the loss and back: of_sample(z, t) is the loss of one
-- sample, and deltas(a, t) is dL/dz of every output.
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
        return add_up(map(log_softmax(z), function(log_a, k) return -t[k] * log_a end))
      end,
      -- Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
      deltas = function(a, t)
        local total = add_up(t) -- 1 for probabilities, and then this is the well-known a - t
        return map(a, function(a_k, k) return a_k * total - t[k] end)
      end,
    },
  },
}

return { losses = losses, in_one_step = in_one_step }

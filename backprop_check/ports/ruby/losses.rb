# frozen_string_literal: true

# Losses: how wrong the outputs of a sample are, and the slope of that.

require_relative "activations"
require_relative "mathematics"

# How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
#
# term(a, t) is one output's part of the loss, of its activation a and its target t, and derivative(a, t) the derivative
# of that part with regard to a.
class Loss
  # threshold is the parameter of huber; nil where the case brings none.
  def initialize(threshold = nil)
    @threshold = threshold || 1.0
  end

  # Whether that sum is divided by the number of outputs.
  def mean_over_outputs? = false

  # The loss of one sample.
  def of_sample(a, t)
    total = add_up(a.zip(t).map { |a_k, t_k| term(a_k, t_k) })
    mean_over_outputs? ? total / a.length : total
  end

  # dL/da of every output, where L is the loss of this one sample.
  def activation_gradients(a, t)
    gradients = a.zip(t).map { |a_k, t_k| derivative(a_k, t_k) }
    mean_over_outputs? ? gradients.map { |gradient| gradient / a.length } : gradients
  end
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

# The output's activation and its loss in one step, from z to the loss and back: of_sample(z, t) is the loss of one
# sample, and deltas(a, t) is dL/dz of every output.
#
# Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer: nothing is
# divided by a probability that was rounded to 0, and no logarithm is taken of it.

# With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
class SigmoidWithBinaryCrossEntropy
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

# frozen_string_literal: true

# Activations: what a layer makes of its pre-activations z, and the way back.
#
# `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.

require_relative "mathematics"

# What a layer makes of its z, and the way back: activate(z) gives a, the activations of a layer, and
# deltas(z, a, activation_gradients) gives dL/dz of a layer, from its dL/da.
class Activation
  # alpha is the slope parameter of leaky_relu and elu; nil where the case brings none.
  def initialize(alpha = nil)
    @alpha = alpha || default_alpha
  end

  def default_alpha = nil
end

# A function of one neuron's z, and its derivative. Most activations are of this kind.
#
# value(z) is a, the activation, and derivative(z, a) is da/dz. Both z and a are at hand: some derivatives are simpler
# in one, some in the other.
class NeuronActivation < Activation
  def activate(z)
    z.map { |z_j| value(z_j) }
  end

  # The chain rule: dL/dz = dL/da * da/dz.
  def deltas(z, a, activation_gradients)
    z.each_index.map { |j| activation_gradients[j] * derivative(z[j], a[j]) }
  end
end

# No activation: a = z.
class Identity < NeuronActivation
  def value(z) = z
  def derivative(_z, _a) = 1.0
end

# 1 / (1 + e^-z): any number squeezed into 0..1.
class Sigmoid < NeuronActivation
  def value(z) = sigmoid(z)
  def derivative(_z, a) = a * (1.0 - a)
end

# The hyperbolic tangent: any number squeezed into -1..1.
class Tanh < NeuronActivation
  def value(z) = Math.tanh(z)
  def derivative(_z, a) = 1.0 - a * a
end

# z where it is positive, else 0.
class ReLU < NeuronActivation
  def value(z) = z > 0.0 ? z : 0.0

  # At z = 0 there is a kink and no slope. 0 is the usual convention.
  def derivative(z, _a) = z > 0.0 ? 1.0 : 0.0
end

# Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
class LeakyReLU < NeuronActivation
  def default_alpha = 0.01
  def value(z) = z > 0.0 ? z : @alpha * z
  def derivative(z, _a) = z > 0.0 ? 1.0 : @alpha
end

# Like ReLU, but bending smoothly to -alpha on the negative side.
class ELU < NeuronActivation
  def default_alpha = 1.0
  def value(z) = z > 0.0 ? z : @alpha * expm1(z)
  def derivative(z, _a) = z > 0.0 ? 1.0 : @alpha * Math.exp(z)
end

# ln(1 + e^z): a smooth ReLU.
class Softplus < NeuronActivation
  def value(z) = softplus(z)
  def derivative(z, _a) = sigmoid(z)
end

# z / (1 + |z|): like tanh, but slower to reach -1 and 1.
class Softsign < NeuronActivation
  def value(z) = z / (1.0 + z.abs)
  def derivative(z, _a) = 1.0 / ((1.0 + z.abs) * (1.0 + z.abs))
end

# z * sigmoid(z), also called swish.
class SiLU < NeuronActivation
  def value(z) = z * sigmoid(z)

  def derivative(z, _a)
    s = sigmoid(z)
    s + z * s * (1.0 - s) # the product rule
  end
end

# z * P(z), where P(z) is the probability that a standard normal number is below z.
class GELU < NeuronActivation
  def value(z) = z * normal_probability(z)
  def derivative(z, _a) = normal_probability(z) + z * normal_density(z) # the product rule
end

# z, cut off at -1 and 1.
class HardTanh < NeuronActivation
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

  def deltas(_z, a, activation_gradients)
    # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    # Summed over all j that is a_k * (dL/da_k - average), where
    average = add_up(a.zip(activation_gradients).map { |a_j, gradient| gradient * a_j })
    a.zip(activation_gradients).map { |a_k, gradient| a_k * (gradient - average) }
  end
end

# The natural logarithm of softmax, without ever taking the logarithm of a 0.
class LogSoftmax < Activation
  def activate(z) = log_softmax(z)

  def deltas(_z, a, activation_gradients)
    # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    total = add_up(activation_gradients)
    a.zip(activation_gradients).map { |a_k, gradient| gradient - Math.exp(a_k) * total }
  end
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

# P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
def normal_probability(z) = 0.5 * Math.erfc(-z / Math.sqrt(2.0))

# dP/dz, the bell curve.
def normal_density(z) = Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math::PI)

# The natural logarithm of softmax.
def log_softmax(z)
  largest = largest_of(z)
  total = add_up(z.map { |z_j| Math.exp(z_j - largest) })
  z.map { |z_j| z_j - largest - Math.log(total) }
end

ACTIVATIONS = {
  "identity" => Identity,
  "sigmoid" => Sigmoid,
  "tanh" => Tanh,
  "relu" => ReLU,
  "leaky_relu" => LeakyReLU,
  "elu" => ELU,
  "softplus" => Softplus,
  "softsign" => Softsign,
  "silu" => SiLU,
  "gelu" => GELU,
  "hard_tanh" => HardTanh,
  "softmax" => Softmax,
  "log_softmax" => LogSoftmax
}.freeze

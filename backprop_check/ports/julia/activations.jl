# Activations: what a layer makes of its pre-activations z, and the way back.
#
# `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.

include("mathematics.jl")

"What a layer makes of its z, and the way back: `activate` and `deltas`."
abstract type Activation end

# A function of one neuron's z, and its derivative. Most activations are of this kind: `value` gives a, the activation,
# and `derivative` gives da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.

abstract type NeuronActivation <: Activation end

"Gives a, the activations of a layer."
activate(f::NeuronActivation, z::Numbers) = [value(f, z_j) for z_j in z]

"Gives dL/dz of a layer, from its dL/da. The chain rule: dL/dz = dL/da * da/dz."
deltas(f::NeuronActivation, z::Numbers, a::Numbers, activation_gradients::Numbers) =
    [gradient * derivative(f, z_j, a_j) for (z_j, a_j, gradient) in zip(z, a, activation_gradients)]

function sigmoid(z)
    # e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    z >= 0.0 && return 1.0 / (1.0 + exp(-z))
    power = exp(z)
    return power / (1.0 + power)
end

"The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x."
softplus(z) = max(0.0, z) + log1p(exp(-abs(z)))

"P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z."
normal_probability(z) = 0.5 * erfc(-z / sqrt(2.0))

"dP/dz, the bell curve."
normal_density(z) = exp(-0.5 * z * z) / sqrt(2.0 * pi)

"The natural logarithm of softmax."
function log_softmax(z)
    largest = maximum(z)
    total = add_up(exp(z_j - largest) for z_j in z)
    return [z_j - largest - log(total) for z_j in z]
end

"No activation: a = z."
struct Identity <: NeuronActivation end
value(::Identity, z) = z
derivative(::Identity, z, a) = 1.0

"1 / (1 + e^-z): any number squeezed into 0..1."
struct Sigmoid <: NeuronActivation end
value(::Sigmoid, z) = sigmoid(z)
derivative(::Sigmoid, z, a) = a * (1.0 - a)

"The hyperbolic tangent: any number squeezed into -1..1."
struct Tanh <: NeuronActivation end
value(::Tanh, z) = tanh(z)
derivative(::Tanh, z, a) = 1.0 - a * a

"z where it is positive, else 0. At z = 0 there is a kink and no slope. 0 is the usual convention."
struct ReLU <: NeuronActivation end
value(::ReLU, z) = max(0.0, z)
derivative(::ReLU, z, a) = z > 0.0 ? 1.0 : 0.0

"Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead."
struct LeakyReLU <: NeuronActivation
    alpha::Float64
end
value(f::LeakyReLU, z) = z > 0.0 ? z : f.alpha * z
derivative(f::LeakyReLU, z, a) = z > 0.0 ? 1.0 : f.alpha

"Like ReLU, but bending smoothly to -alpha on the negative side."
struct ELU <: NeuronActivation
    alpha::Float64
end
value(f::ELU, z) = z > 0.0 ? z : f.alpha * expm1(z) # e^z - 1, without the digits that the subtraction loses near 0
derivative(f::ELU, z, a) = z > 0.0 ? 1.0 : f.alpha * exp(z)

"ln(1 + e^z): a smooth ReLU."
struct Softplus <: NeuronActivation end
value(::Softplus, z) = softplus(z)
derivative(::Softplus, z, a) = sigmoid(z)

"z / (1 + |z|): like tanh, but slower to reach -1 and 1."
struct Softsign <: NeuronActivation end
value(::Softsign, z) = z / (1.0 + abs(z))
derivative(::Softsign, z, a) = 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z)))

"z * sigmoid(z), also called swish."
struct SiLU <: NeuronActivation end
value(::SiLU, z) = z * sigmoid(z)
function derivative(::SiLU, z, a)
    s = sigmoid(z)
    return s + z * s * (1.0 - s) # the product rule
end

"z * P(z), where P(z) is the probability that a standard normal number is below z."
struct GELU <: NeuronActivation end
value(::GELU, z) = z * normal_probability(z)
derivative(::GELU, z, a) = normal_probability(z) + z * normal_density(z) # the product rule

"z, cut off at -1 and 1."
struct HardTanh <: NeuronActivation end
value(::HardTanh, z) = clamp(z, -1.0, 1.0)
derivative(::HardTanh, z, a) = -1.0 < z < 1.0 ? 1.0 : 0.0

"e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1."
struct Softmax <: Activation end

function activate(::Softmax, z::Numbers)
    # Taking the largest z off all of them changes no quotient, and no power can overflow.
    largest = maximum(z)
    powers = [exp(z_j - largest) for z_j in z]
    total = add_up(powers)
    return [power / total for power in powers]
end

function deltas(::Softmax, z::Numbers, a::Numbers, activation_gradients::Numbers)
    # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    # Summed over all j that is a_k * (dL/da_k - average), where
    average = add_up(gradient * a_j for (a_j, gradient) in zip(a, activation_gradients))
    return [a_k * (gradient - average) for (a_k, gradient) in zip(a, activation_gradients)]
end

"The natural logarithm of softmax, without ever taking the logarithm of a 0."
struct LogSoftmax <: Activation end

activate(::LogSoftmax, z::Numbers) = log_softmax(z)

function deltas(::LogSoftmax, z::Numbers, a::Numbers, activation_gradients::Numbers)
    # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    total = add_up(activation_gradients)
    return [gradient - exp(a_k) * total for (a_k, gradient) in zip(a, activation_gradients)]
end

"How to make each activation. Only two have a parameter; it is nothing where the case brings none."
const ACTIVATIONS = Dict{String,Function}(
    "identity" => alpha -> Identity(),
    "sigmoid" => alpha -> Sigmoid(),
    "tanh" => alpha -> Tanh(),
    "relu" => alpha -> ReLU(),
    "leaky_relu" => alpha -> LeakyReLU(something(alpha, 0.01)),
    "elu" => alpha -> ELU(something(alpha, 1.0)),
    "softplus" => alpha -> Softplus(),
    "softsign" => alpha -> Softsign(),
    "silu" => alpha -> SiLU(),
    "gelu" => alpha -> GELU(),
    "hard_tanh" => alpha -> HardTanh(),
    "softmax" => alpha -> Softmax(),
    "log_softmax" => alpha -> LogSoftmax(),
)

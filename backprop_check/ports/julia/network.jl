# A neural network of dense layers and its backpropagation, neuron by neuron, in plain Julia.
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
# `delta` is dL/dz, the slope of the loss L with regard to z. There are no matrices, only lists of numbers. Julia
# counts from 1: the first neuron is neuron 1 here, and neuron 0 in what backprop-check says.

include("mathematics.jl")

const Numbers = Vector{Float64}

"The sum, from left to right. (Base's `sum` adds in another order: no mistake, but not what a loop does.)"
add_up(numbers) = foldl(+, numbers; init = 0.0)

# ------------------------------------------------------------------------------------------------
# 1. Activations
# ------------------------------------------------------------------------------------------------

# Of one neuron's z: `value` gives a, the activation, and `derivative` gives da/dz. Both z and a are at hand: some
# derivatives are simpler in one, some in the other.

abstract type Activation end

"Gives the activations of a layer: here every neuron's for itself."
activate(f::Activation, z::Numbers) = [value(f, z_j) for z_j in z]

"Gives dL/dz of a layer from its dL/da. The chain rule: dL/dz = dL/da * da/dz."
deltas(f::Activation, z::Numbers, a::Numbers, dloss_da::Numbers) =
    [slope * derivative(f, z_j, a_j) for (z_j, a_j, slope) in zip(z, a, dloss_da)]

function sigmoid(z)
    # e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    z >= 0.0 && return 1.0 / (1.0 + exp(-z))
    power = exp(z)
    return power / (1.0 + power)
end

"The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x."
softplus(z) = max(0.0, z) + log1p(exp(-abs(z)))

function log_softmax(z)
    largest = maximum(z)
    total = add_up(exp(z_j - largest) for z_j in z)
    return [z_j - largest - log(total) for z_j in z]
end

"No activation: a = z."
struct Identity <: Activation end
value(::Identity, z) = z
derivative(::Identity, z, a) = 1.0

"1 / (1 + e^-z): any number squeezed into 0..1."
struct Sigmoid <: Activation end
value(::Sigmoid, z) = sigmoid(z)
derivative(::Sigmoid, z, a) = a * (1.0 - a)

"The hyperbolic tangent: any number squeezed into -1..1."
struct Tanh <: Activation end
value(::Tanh, z) = tanh(z)
derivative(::Tanh, z, a) = 1.0 - a * a

"z where it is positive, else 0. At z = 0 there is a kink and no slope. 0 is the usual convention."
struct ReLU <: Activation end
value(::ReLU, z) = max(0.0, z)
derivative(::ReLU, z, a) = z > 0.0 ? 1.0 : 0.0

"Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead."
struct LeakyReLU <: Activation
    alpha::Float64
end
value(f::LeakyReLU, z) = z > 0.0 ? z : f.alpha * z
derivative(f::LeakyReLU, z, a) = z > 0.0 ? 1.0 : f.alpha

"Like ReLU, but bending smoothly to -alpha on the negative side."
struct ELU <: Activation
    alpha::Float64
end
value(f::ELU, z) = z > 0.0 ? z : f.alpha * expm1(z) # e^z - 1, without the digits that the subtraction loses near 0
derivative(f::ELU, z, a) = z > 0.0 ? 1.0 : f.alpha * exp(z)

"ln(1 + e^z): a smooth ReLU."
struct Softplus <: Activation end
value(::Softplus, z) = softplus(z)
derivative(::Softplus, z, a) = sigmoid(z)

"z / (1 + |z|): like tanh, but slower to reach -1 and 1."
struct Softsign <: Activation end
value(::Softsign, z) = z / (1.0 + abs(z))
derivative(::Softsign, z, a) = 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z)))

"z * sigmoid(z), also called swish."
struct SiLU <: Activation end
value(::SiLU, z) = z * sigmoid(z)
function derivative(::SiLU, z, a)
    s = sigmoid(z)
    return s + z * s * (1.0 - s) # the product rule
end

"z * P(z), where P(z) is the probability that a standard normal number is below z."
struct GELU <: Activation end
value(::GELU, z) = z * probability(z)
function derivative(::GELU, z, a)
    density = exp(-0.5 * z * z) / sqrt(2.0 * pi) # the bell curve: dP/dz
    return probability(z) + z * density # the product rule
end

"P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z."
probability(z) = 0.5 * erfc(-z / sqrt(2.0))

"z, cut off at -1 and 1."
struct HardTanh <: Activation end
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

function deltas(::Softmax, z::Numbers, a::Numbers, dloss_da::Numbers)
    # Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    # Summed over all j that is a_k * (dL/da_k - average), where
    average = add_up(slope * a_j for (a_j, slope) in zip(a, dloss_da))
    return [a_k * (slope - average) for (a_k, slope) in zip(a, dloss_da)]
end

"The natural logarithm of softmax, without ever taking the logarithm of a 0."
struct LogSoftmax <: Activation end

activate(::LogSoftmax, z::Numbers) = log_softmax(z)

function deltas(::LogSoftmax, z::Numbers, a::Numbers, dloss_da::Numbers)
    # da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    total = add_up(dloss_da)
    return [slope - exp(a_k) * total for (a_k, slope) in zip(a, dloss_da)]
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

# ------------------------------------------------------------------------------------------------
# 2. Losses
# ------------------------------------------------------------------------------------------------

# How wrong one output neuron is (`term`), and the `derivative` of that with regard to a. A sample's loss sums up its
# outputs'.

abstract type Loss end

"Whether that sum is divided by the number of outputs."
mean_over_outputs(::Loss) = false

"Gives the loss of one sample."
function of_sample(loss::Loss, a::Numbers, t::Numbers)
    total = add_up(term(loss, a_k, t_k) for (a_k, t_k) in zip(a, t))
    return mean_over_outputs(loss) ? total / length(a) : total
end

"Gives dL/da of every output, where L is the loss of this one sample."
function dloss_da(loss::Loss, a::Numbers, t::Numbers)
    slopes = [derivative(loss, a_k, t_k) for (a_k, t_k) in zip(a, t)]
    return mean_over_outputs(loss) ? [slope / length(a) for slope in slopes] : slopes
end

"t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity."
times_log(t, p) = t == 0.0 ? 0.0 : p < 0.0 ? NaN : t * log(p)

"t / p, the derivative of t ln p with regard to p."
divide(t, p) = t == 0.0 ? 0.0 : t / p

"Half the square of the error a - t; the half is there to cancel the 2 of the derivative."
struct HalfSquaredError <: Loss end
term(::HalfSquaredError, a, t) = 0.5 * (a - t) * (a - t)
derivative(::HalfSquaredError, a, t) = a - t

"The square of the error."
struct SquaredError <: Loss end
term(::SquaredError, a, t) = (a - t) * (a - t)
derivative(::SquaredError, a, t) = 2.0 * (a - t)

"The square of the error, averaged over the outputs."
struct MeanSquaredError <: Loss end
mean_over_outputs(::MeanSquaredError) = true
term(::MeanSquaredError, a, t) = (a - t) * (a - t)
derivative(::MeanSquaredError, a, t) = 2.0 * (a - t)

"The size of the error, averaged over the outputs."
struct MeanAbsoluteError <: Loss end
mean_over_outputs(::MeanAbsoluteError) = true
term(::MeanAbsoluteError, a, t) = abs(a - t)
derivative(::MeanAbsoluteError, a, t) = sign(a - t) # 0 at the kink, where there is no slope

"Half the square of a small error; a straight line from there on for a large one."
struct Huber <: Loss
    threshold::Float64
end
mean_over_outputs(::Huber) = true
function term(loss::Huber, a, t)
    size = abs(a - t)
    return size <= loss.threshold ? 0.5 * size * size : loss.threshold * (size - 0.5 * loss.threshold)
end
derivative(loss::Huber, a, t) = abs(a - t) <= loss.threshold ? a - t : loss.threshold * sign(a - t)

"-[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1."
struct BinaryCrossEntropy <: Loss end
term(::BinaryCrossEntropy, a, t) = -(times_log(t, a) + times_log(1.0 - t, 1.0 - a))
derivative(::BinaryCrossEntropy, a, t) = -(divide(t, a) - divide(1.0 - t, 1.0 - a))

"-t ln a: how surprising t is, where the outputs a are the probabilities of the classes."
struct CrossEntropy <: Loss end
term(::CrossEntropy, a, t) = -times_log(t, a)
derivative(::CrossEntropy, a, t) = -divide(t, a)

"-t a: cross-entropy where the output already is a logarithm (the activation log_softmax)."
struct NegativeLogLikelihood <: Loss end
term(::NegativeLogLikelihood, a, t) = -t * a
derivative(::NegativeLogLikelihood, a, t) = -t

"max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on."
struct Hinge <: Loss end
term(::Hinge, a, t) = max(0.0, 1.0 - t * a)
derivative(::Hinge, a, t) = 1.0 - t * a > 0.0 ? -t : 0.0

"How to make each loss. Only one has a parameter; it is nothing where the case brings none."
const LOSSES = Dict{String,Function}(
    "half_squared_error" => threshold -> HalfSquaredError(),
    "squared_error" => threshold -> SquaredError(),
    "mean_squared_error" => threshold -> MeanSquaredError(),
    "mean_absolute_error" => threshold -> MeanAbsoluteError(),
    "huber" => threshold -> Huber(something(threshold, 1.0)),
    "binary_cross_entropy" => threshold -> BinaryCrossEntropy(),
    "cross_entropy" => threshold -> CrossEntropy(),
    "negative_log_likelihood" => threshold -> NegativeLogLikelihood(),
    "hinge" => threshold -> Hinge(),
)

# Two activations belong together with their loss so well that most of the chain rule cancels. What is left goes from
# z to the loss and back in one step, shorter and safer: nothing is divided by a probability that was rounded to 0,
# and no logarithm is taken of it. `sample_loss` gives the loss of one sample from z, and `output_deltas` gives dL/dz;
# here for any other pair, which takes two steps:

sample_loss(::Activation, loss::Loss, z, a, t) = of_sample(loss, a, t)
output_deltas(f::Activation, loss::Loss, z, a, t) = deltas(f, z, a, dloss_da(loss, a, t))

# With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
sample_loss(::Sigmoid, ::BinaryCrossEntropy, z, a, t) =
    add_up(t_k * softplus(-z_k) + (1.0 - t_k) * softplus(z_k) for (z_k, t_k) in zip(z, t))

# dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
output_deltas(::Sigmoid, ::BinaryCrossEntropy, z, a, t) = [a_k - t_k for (a_k, t_k) in zip(a, t)]

# With a = softmax(z), ln a is log_softmax(z).
sample_loss(::Softmax, ::CrossEntropy, z, a, t) = add_up(-t_k * log_a for (t_k, log_a) in zip(t, log_softmax(z)))

# Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
function output_deltas(::Softmax, ::CrossEntropy, z, a, t)
    total = add_up(t) # 1 for probabilities, and then this is the well-known a - t
    return [a_k * total - t_k for (a_k, t_k) in zip(a, t)]
end

# ------------------------------------------------------------------------------------------------
# 3. Neuron
# ------------------------------------------------------------------------------------------------

"One neuron: a weight for each of its inputs, and a bias."
mutable struct Neuron
    weights::Numbers
    bias::Float64
    weight_gradients::Numbers
    bias_gradient::Float64
end

Neuron(weights, bias) = Neuron(weights, bias, zeros(length(weights)), 0.0)

"Starts the sums over the samples at 0."
function reset_gradients!(neuron::Neuron)
    neuron.weight_gradients = zeros(length(neuron.weights))
    neuron.bias_gradient = 0.0
end

"Forward: gives z, every input times its weight, plus the bias."
function weighted_sum(neuron::Neuron, inputs::Numbers)
    z = neuron.bias
    for (weight, x) in zip(neuron.weights, inputs)
        z += weight * x
    end
    return z
end

"""
Backward: adds one sample's part to the gradients.

A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
"""
function add_gradients!(neuron::Neuron, delta::Float64, inputs::Numbers)
    # EXERCISE BEGIN gradients
    for (i, x) in enumerate(inputs)
        neuron.weight_gradients[i] += delta * x
    end
    neuron.bias_gradient += delta
    # EXERCISE END gradients
end

"Takes one step down the slope."
function update!(neuron::Neuron, learning_rate::Float64)
    # EXERCISE BEGIN update
    for (i, gradient) in enumerate(neuron.weight_gradients)
        neuron.weights[i] -= learning_rate * gradient
    end
    neuron.bias -= learning_rate * neuron.bias_gradient
    # EXERCISE END update
end

# ------------------------------------------------------------------------------------------------
# 4. Layer
# ------------------------------------------------------------------------------------------------

"Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a."
mutable struct Layer
    neurons::Vector{Neuron}
    activation::Activation
    inputs::Numbers
    z::Numbers
    a::Numbers
    delta::Numbers
end

Layer(neurons, activation) = Layer(neurons, activation, [], [], [], [])

"Gives the activations of all neurons for one sample."
function forward!(layer::Layer, inputs::Numbers)
    layer.inputs = inputs
    layer.z = [weighted_sum(neuron, inputs) for neuron in layer.neurons]
    layer.a = activate(layer.activation, layer.z)
    return layer.a
end

"""
Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.

Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
"""
function backward!(layer::Layer, delta::Numbers)
    layer.delta = delta
    for (neuron, delta_j) in zip(layer.neurons, delta)
        add_gradients!(neuron, delta_j, layer.inputs)
    end

    dloss_dx = zeros(length(layer.inputs))
    # EXERCISE BEGIN hidden delta
    for (neuron, delta_j) in zip(layer.neurons, delta)
        for (i, weight) in enumerate(neuron.weights)
            dloss_dx[i] += delta_j * weight
        end
    end
    # EXERCISE END hidden delta
    return dloss_dx
end

# ------------------------------------------------------------------------------------------------
# 5. Network
# ------------------------------------------------------------------------------------------------

"Layers, each reading the activations of the one before."
struct Network
    layers::Vector{Layer}
    loss::Loss
end

"Gives the output of the network for one sample."
function forward!(network::Network, inputs::Numbers)
    for layer in network.layers
        inputs = forward!(layer, inputs)
    end
    return inputs
end

"Gives the loss of the sample that went forward last."
function sample_loss(network::Network, targets::Numbers)
    output = last(network.layers)
    return sample_loss(output.activation, network.loss, output.z, output.a, targets)
end

"Gives dL/dz of the output neurons, where backward begins."
function output_deltas(network::Network, targets::Numbers)
    output = last(network.layers)
    # EXERCISE BEGIN output delta: return zeros(length(output.z))
    return output_deltas(output.activation, network.loss, output.z, output.a, targets)
    # EXERCISE END output delta
end

"""
Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.

The batch's loss is the mean of its samples' losses, or their sum: `divisor` is their number, or 1.
"""
function backward!(network::Network, targets::Numbers, divisor::Float64)
    delta = [delta_k / divisor for delta_k in output_deltas(network, targets)]
    dloss_dx = backward!(last(network.layers), delta)
    for layer in reverse(network.layers[1:end-1])
        # What the inputs of the layer after get back is what the activations of this one get back.
        # EXERCISE BEGIN hidden delta: delta = zeros(length(layer.z))
        delta = deltas(layer.activation, layer.z, layer.a, dloss_dx)
        # EXERCISE END hidden delta
        dloss_dx = backward!(layer, delta)
    end
    return dloss_dx
end

function reset_gradients!(network::Network)
    for layer in network.layers, neuron in layer.neurons
        reset_gradients!(neuron)
    end
end

"Takes one step down the slope, once all gradients are there."
function update!(network::Network, learning_rate::Float64)
    for layer in network.layers, neuron in layer.neurons
        update!(neuron, learning_rate)
    end
end

# ------------------------------------------------------------------------------------------------
# 6. From a case of backprop-check to its reply
# ------------------------------------------------------------------------------------------------

const Json = Dict{String,Any}
const Sample = Tuple{Numbers,Numbers} # the inputs and the targets

"The case asks for something that this program has not learnt."
struct NotThereYet <: Exception
    what::String
end

"Works out one case of backprop-check, and replies with all that the protocol knows."
function backprop(request)
    try
        network = build_network(request)
        steps, learning_rate = read_optimizer(request)
        samples, divisor = read_batch(request)
        return train(request["id"], network, samples, divisor, steps, learning_rate)
    catch reason
        reason isa NotThereYet || rethrow()
        return Json("id" => request["id"], "skip" => reason.what)
    end
end

"Takes the steps. Whatever their number: loss, gradients, z, a and delta are those of the first pass."
function train(id, network, samples, divisor, steps, learning_rate)
    reply = one_pass(network, samples, divisor)
    reply["id"] = id
    steps === nothing && return reply

    trajectory = Json[]
    for step in 1:steps
        loss = step == 1 ? reply["loss"] : one_pass(network, samples, divisor)["loss"]
        update!(network, learning_rate)
        updated = [Json("updated" => parameters(layer)) for layer in network.layers]
        push!(trajectory, Json("loss" => loss, "layers" => updated))
    end
    for (layer, record) in zip(network.layers, reply["layers"])
        record["updated"] = parameters(layer)
    end
    if steps > 1
        reply["trajectory"] = trajectory
    end
    return reply
end

"Sends every sample forward and backward, and writes down what came out of it."
function one_pass(network::Network, samples::Vector{Sample}, divisor::Float64)
    reset_gradients!(network)
    loss = 0.0
    input_gradients = Numbers[]
    records = [Json("z" => Numbers[], "a" => Numbers[], "delta" => Numbers[]) for _ in network.layers]
    for (inputs, targets) in samples
        forward!(network, inputs)
        loss += sample_loss(network, targets)
        push!(input_gradients, backward!(network, targets, divisor))
        for (layer, record) in zip(network.layers, records)
            push!(record["z"], layer.z)
            push!(record["a"], layer.a)
            push!(record["delta"], layer.delta)
        end
    end
    for (layer, record) in zip(network.layers, records)
        record["gradients"] = Json(
            "weights" => [neuron.weight_gradients for neuron in layer.neurons],
            "biases" => [neuron.bias_gradient for neuron in layer.neurons],
        )
    end
    return Json("loss" => loss / divisor, "layers" => records, "input_gradients" => input_gradients)
end

"A copy of the layer's weights and biases as they are now."
parameters(layer::Layer) = Json(
    "weights" => [copy(neuron.weights) for neuron in layer.neurons],
    "biases" => [neuron.bias for neuron in layer.neurons],
)

"The network that the case describes."
function build_network(request)
    loss = request["loss"]
    make_loss = known(LOSSES, loss["kind"], "loss")
    layers = [build_layer(layer) for layer in request["network"]["layers"]]
    return Network(layers, make_loss(read_optional(loss, "threshold")))
end

"One layer with the parameters that the case gives it."
function build_layer(layer)
    layer["kind"] == "dense" || throw(NotThereYet("the layer $(layer["kind"]) is not there yet"))
    if haskey(layer, "from") || haskey(layer, "combine")
        throw(NotThereYet("a layer that reads another one than the one before it is not there yet"))
    end
    make_activation = known(ACTIVATIONS, layer["activation"], "activation")
    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]
    neurons = [Neuron(read_numbers(row), read_number(bias)) for (row, bias) in zip(weights, biases)]
    return Layer(neurons, make_activation(read_optional(layer, "alpha")))
end

"The number of steps (nothing: no update is asked for) and the learning rate."
function read_optimizer(request)
    optimizer = get(request, "optimizer", nothing)
    optimizer === nothing && return nothing, 0.0
    optimizer["kind"] == "sgd" || throw(NotThereYet("the optimizer $(optimizer["kind"]) is not there yet"))
    for option in ("momentum", "nesterov", "weight_decay")
        if !(get(optimizer, option, nothing) in (nothing, false, 0)) # false == 0 == 0.0
            throw(NotThereYet("sgd with $option is not there yet"))
        end
    end
    return Int(get(request, "steps", 1)), read_number(optimizer["learning_rate"])
end

"The samples, and what to divide by to get from the sum of their losses to the batch's loss."
function read_batch(request)
    samples = Sample[(read_numbers(x), read_numbers(t)) for (x, t) in zip(request["inputs"], request["targets"])]
    reduction = get(request, "reduction", "mean")
    reduction == "mean" && return samples, Float64(length(samples))
    reduction == "sum" && return samples, 1.0
    throw(NotThereYet("the reduction $reduction is not there yet"))
end

"What the dictionary has for the word."
known(words, word, what) = get(() -> throw(NotThereYet("the $what $word is not there yet")), words, word)

read_optional(owner, name) = get(owner, name, nothing) === nothing ? nothing : read_number(owner[name])

read_numbers(numbers) = Float64[read_number(number) for number in numbers]

"JSON has no NaN and no infinity, so these come as text, which `parse` reads as well."
read_number(number::Real) = Float64(number)
read_number(text::AbstractString) = parse(Float64, text)

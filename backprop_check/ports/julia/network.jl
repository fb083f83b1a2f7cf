# A neural network of dense layers and its backpropagation, neuron by neuron, in plain Julia.
#
# Read it from top to bottom:
#
# 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
# 2. Layer      neurons that read the same inputs
# 3. Network    layers one after the other: forward, backward, update
#
# The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
# activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
# dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
#
# Julia counts from 1: the first neuron is neuron 1 here, and neuron 0 in what backprop-check says.

include("losses.jl")

# ------------------------------------------------------------------------------------------------
# 1. Neuron
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
function pre_activation(neuron::Neuron, inputs::Numbers)
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
# 2. Layer
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
    layer.z = [pre_activation(neuron, inputs) for neuron in layer.neurons]
    layer.a = activate(layer.activation, layer.z)
    return layer.a
end

"Gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation."
function hidden_deltas(layer::Layer, activation_gradients::Numbers)
    # EXERCISE BEGIN hidden delta: return zeros(length(layer.neurons))
    return deltas(layer.activation, layer.z, layer.a, activation_gradients)
    # EXERCISE END hidden delta
end

"Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x."
function backward!(layer::Layer, delta::Numbers)
    layer.delta = delta
    for (neuron, delta_j) in zip(layer.neurons, delta)
        add_gradients!(neuron, delta_j, layer.inputs)
    end
    return input_gradients(layer)
end

"""
Gives dL/dx of every input x, which is dL/da of the layer before.

Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
"""
function input_gradients(layer::Layer)
    gradients = zeros(length(layer.inputs))
    # EXERCISE BEGIN hidden delta
    for (neuron, delta_j) in zip(layer.neurons, layer.delta)
        for (i, weight) in enumerate(neuron.weights)
            gradients[i] += delta_j * weight
        end
    end
    # EXERCISE END hidden delta
    return gradients
end

# ------------------------------------------------------------------------------------------------
# 3. Network
# ------------------------------------------------------------------------------------------------

"Layers, each reading the activations of the one before."
struct Network
    layers::Vector{Layer}
    loss::Loss
    one_step::Union{OneStep,Nothing} # the output's activation and loss in one, where there is such a thing
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
    network.one_step === nothing && return of_sample(network.loss, output.a, targets)
    return of_sample(network.one_step, output.z, targets)
end

"""
Gives dL/dz of the output neurons, where backward begins.

L is the loss of the whole batch, the mean of its samples' losses or their sum: `divisor` is their number, or 1.
"""
function output_deltas(network::Network, targets::Numbers, divisor::Float64)
    # EXERCISE BEGIN output delta: return zeros(length(targets))
    output = last(network.layers)
    if network.one_step === nothing
        gradients = activation_gradients(network.loss, output.a, targets)
        found = deltas(output.activation, output.z, output.a, gradients)
    else
        found = deltas(network.one_step, output.a, targets)
    end
    return [delta_k / divisor for delta_k in found]
    # EXERCISE END output delta
end

"Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs."
function backward!(network::Network, targets::Numbers, divisor::Float64)
    gradients = backward!(last(network.layers), output_deltas(network, targets, divisor))
    for layer in reverse(network.layers[1:end-1])
        # The inputs of the layer after are the activations of this one, and so are their gradients.
        gradients = backward!(layer, hidden_deltas(layer, gradients))
    end
    return gradients
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

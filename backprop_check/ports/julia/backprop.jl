# From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
#
# To test a network of your own, let `backprop` run it.

include("network.jl")

const Json = Dict{String,Any}
const Sample = Tuple{Numbers,Numbers} # the inputs and the targets

"The case asks for something that this program has not learnt: it is skipped, which is no failure."
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
        return Json("id" => request["id"], "skip" => "$(reason.what) is not there yet")
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
        record["gradients"] = gradients(layer)
    end
    return Json("loss" => loss / divisor, "layers" => records, "input_gradients" => input_gradients)
end

"The layer's gradients. They stay as they are: reset_gradients! makes new ones."
gradients(layer::Layer) = Json(
    "weights" => [neuron.weight_gradients for neuron in layer.neurons],
    "biases" => [neuron.bias_gradient for neuron in layer.neurons],
)

"A copy of the layer's weights and biases as they are now."
parameters(layer::Layer) = Json(
    "weights" => [copy(neuron.weights) for neuron in layer.neurons],
    "biases" => [neuron.bias for neuron in layer.neurons],
)

"The network that the case describes."
function build_network(request)
    loss = request["loss"]
    make_loss = known(loss["kind"], LOSSES, "loss")
    layers = [build_layer(layer) for layer in request["network"]["layers"]]
    pair = (last(request["network"]["layers"])["activation"], loss["kind"])
    return Network(layers, make_loss(read_optional(loss, "threshold")), get(IN_ONE_STEP, pair, nothing))
end

"One layer with the parameters that the case gives it."
function build_layer(layer)
    known(layer["kind"], Dict("dense" => true), "layer")
    if haskey(layer, "from") || haskey(layer, "combine")
        throw(NotThereYet("a layer that reads another one than the one before it"))
    end
    make_activation = known(layer["activation"], ACTIVATIONS, "activation")
    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]
    neurons = [Neuron(read_numbers(row), read_number(bias)) for (row, bias) in zip(weights, biases)]
    return Layer(neurons, make_activation(read_optional(layer, "alpha")))
end

"The number of steps (nothing: no update is asked for) and the learning rate."
function read_optimizer(request)
    optimizer = get(request, "optimizer", nothing)
    optimizer === nothing && return nothing, 0.0
    known(optimizer["kind"], Dict("sgd" => true), "optimizer")
    for option in ("momentum", "nesterov", "weight_decay")
        if !(get(optimizer, option, nothing) in (nothing, false, 0)) # false == 0 == 0.0
            throw(NotThereYet("sgd with $option"))
        end
    end
    return Int(get(request, "steps", 1)), read_number(optimizer["learning_rate"])
end

"The samples, and what to divide by to get from the sum of their losses to the batch's loss."
function read_batch(request)
    samples = Sample[(read_numbers(x), read_numbers(t)) for (x, t) in zip(request["inputs"], request["targets"])]
    divisors = Dict("mean" => Float64(length(samples)), "sum" => 1.0)
    return samples, known(get(request, "reduction", "mean"), divisors, "reduction")
end

"What the dictionary has for the word."
known(word, words, what) = get(() -> throw(NotThereYet("the $what $word")), words, word)

read_optional(owner, name) = get(owner, name, nothing) === nothing ? nothing : read_number(owner[name])

read_numbers(numbers) = Float64[read_number(number) for number in numbers]

"JSON has no NaN and no infinity, so these come as text, which `parse` reads as well."
read_number(number::Real) = Float64(number)
read_number(text::AbstractString) = parse(Float64, text)

// From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
//
// To test a network of your own, let `backprop` run it.

import Foundation

typealias Json = [String: Any]

/// The case asks for something that this program has not learnt: it is skipped, which is no failure.
struct NotThereYet: Error {
    let what: String

    init(_ what: String) {
        self.what = what + " is not there yet"
    }
}

/// The case is not as it should be.
struct BadCase: Error, CustomStringConvertible {
    let description: String
}

struct Sample {
    let inputs: Numbers
    let targets: Numbers
}

/// What one pass over the batch gives; `records` has what the reply says of each layer.
struct Pass {
    var loss = 0.0
    var records: [Json] = []
    var inputGradients: [Numbers] = []
}

/// Works out one case of backprop-check, and replies with all that the protocol knows.
func backprop(_ request: Json) throws -> Json {
    let network = try buildNetwork(request)
    let (steps, learningRate) = try readOptimizer(request)
    let (samples, divisor) = try readBatch(request, network)

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    var first = onePass(network, samples, divisor)
    var trajectory: [Json] = []
    for step in 0..<steps {
        let loss = step == 0 ? first.loss : onePass(network, samples, divisor).loss
        network.update(learningRate)
        let updated: [Json] = network.layers.map { ["updated": parameters($0)] }
        trajectory.append(["loss": loss, "layers": updated])
    }
    if steps > 0 {
        for (l, layer) in network.layers.enumerated() {
            first.records[l]["updated"] = parameters(layer)
        }
    }
    var reply: Json = ["loss": first.loss, "layers": first.records, "input_gradients": first.inputGradients]
    if steps > 1 {
        reply["trajectory"] = trajectory
    }
    return reply
}

/// Sends every sample forward and backward, and writes down what came out of it.
func onePass(_ network: Network, _ samples: [Sample], _ divisor: Double) -> Pass {
    network.resetGradients()
    var pass = Pass()
    var z = [[Numbers]](repeating: [], count: network.layers.count)
    var a = z
    var delta = z
    for sample in samples {
        network.forward(sample.inputs)
        pass.loss += network.sampleLoss(sample.targets)
        pass.inputGradients.append(network.backward(sample.targets, divisor))
        for (l, layer) in network.layers.enumerated() {
            z[l].append(layer.z)
            a[l].append(layer.a)
            delta[l].append(layer.delta)
        }
    }
    pass.loss /= divisor
    for (l, layer) in network.layers.enumerated() {
        pass.records.append(["z": z[l], "a": a[l], "delta": delta[l], "gradients": gradients(layer)])
    }
    return pass
}

/// The layer's gradients as they are now.
func gradients(_ layer: Layer) -> Json {
    ["weights": layer.neurons.map { $0.weightGradients }, "biases": layer.neurons.map { $0.biasGradient }]
}

/// The layer's weights and biases as they are now.
func parameters(_ layer: Layer) -> Json {
    ["weights": layer.neurons.map { $0.weights }, "biases": layer.neurons.map { $0.bias }]
}

/// The network that the case describes.
func buildNetwork(_ request: Json) throws -> Network {
    let layers: [Json] = try read("layers", of: try read("network", of: request))
    guard let last = layers.last else { throw BadCase(description: "a network without a layer") }
    let loss: Json = try read("loss", of: request)
    let kind: String = try read("kind", of: loss)
    return Network(
        layers: try layers.map(buildLayer),
        loss: try makeLoss(kind, threshold: try loss["threshold"].map(readNumber)),
        oneStep: makeOneStep(try read("activation", of: last), kind)
    )
}

/// One layer with the parameters that the case gives it.
func buildLayer(_ layer: Json) throws -> Layer {
    try known(try read("kind", of: layer), ["dense"], "layer")
    if layer["from"] != nil || layer["combine"] != nil {
        throw NotThereYet("a layer that reads another one than the one before it")
    }
    let parameters: Json = try read("parameters", of: layer)
    let weights: [[Any]] = try read("weights", of: parameters)
    let biases: Numbers = try readNumbers(try read("biases", of: parameters))
    let activation = try makeActivation(try read("activation", of: layer), alpha: try layer["alpha"].map(readNumber))
    let neurons = try zip(weights, biases).map { row, bias in Neuron(weights: try readNumbers(row), bias: bias) }
    return Layer(neurons: neurons, activation: activation)
}

/// The number of steps (0: no update is asked for) and the learning rate.
func readOptimizer(_ request: Json) throws -> (steps: Int, learningRate: Double) {
    guard let optimizer = request["optimizer"] as? Json else { return (0, 0.0) }
    try known(try read("kind", of: optimizer), ["sgd"], "optimizer")
    for option in ["momentum", "nesterov", "weight_decay"] {
        if let value = optimizer[option] as? NSNumber, value.doubleValue != 0.0 {
            throw NotThereYet("sgd with \(option)")
        }
    }
    let learningRate = try readNumber(try read("learning_rate", of: optimizer) as Any)
    return (request["steps"] as? Int ?? 1, learningRate)
}

/// The samples, and what to divide by to get from the sum of their losses to the batch's loss.
func readBatch(_ request: Json, _ network: Network) throws -> (samples: [Sample], divisor: Double) {
    let inputs: [[Any]] = try read("inputs", of: request)
    let targets: [[Any]] = try read("targets", of: request)
    let samples = try zip(inputs, targets).map { Sample(inputs: try readNumbers($0), targets: try readNumbers($1)) }

    // Swift ends the program at an index that is not there, so look before the loops do.
    let count = network.layers[0].neurons.first?.weights.count
    for sample in samples where sample.inputs.count != count || sample.targets.count != network.output.neurons.count {
        throw BadCase(description: "a sample has \(sample.inputs.count) inputs and \(sample.targets.count) targets")
    }
    let reduction = try known(request["reduction"] as? String ?? "mean", ["mean", "sum"], "reduction")
    return (samples, reduction == "mean" ? Double(samples.count) : 1.0)
}

/// The word, if we know it.
@discardableResult
func known(_ word: String, _ words: [String], _ what: String) throws -> String {
    guard words.contains(word) else { throw NotThereYet("the \(what) \(word)") }
    return word
}

/// What stands under the key, if it is of the type that is asked for.
func read<Value>(_ key: String, of owner: Json) throws -> Value {
    guard let value = owner[key] as? Value else { throw BadCase(description: "\(key): \(Value.self) expected") }
    return value
}

func readNumbers(_ numbers: [Any]) throws -> Numbers {
    try numbers.map(readNumber)
}

/// JSON has no NaN and no infinity, so these come as text.
func readNumber(_ value: Any) throws -> Double {
    if let number = value as? NSNumber { return number.doubleValue }
    switch value as? String {
    case "NaN": return Double.nan
    case "Infinity": return Double.infinity
    case "-Infinity": return -Double.infinity
    default: throw BadCase(description: "a number expected, not \(value)")
    }
}

// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Swift.
//
// Read it from top to bottom:
//
// 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
// 2. Layer      neurons that read the same inputs
// 3. Network    layers one after the other: forward, backward, update
//
// The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
// activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
// dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only arrays of numbers.

// ------------------------------------------------------------------------------------------------
// MARK: 1. Neuron
// ------------------------------------------------------------------------------------------------

/// One neuron: a weight for each of its inputs, and a bias.
final class Neuron {
    var weights: Numbers
    var bias: Double
    var weightGradients: Numbers
    var biasGradient = 0.0

    init(weights: Numbers, bias: Double) {
        self.weights = weights
        self.bias = bias
        weightGradients = Numbers(repeating: 0.0, count: weights.count)
    }

    /// Starts the sums over the samples at 0.
    func resetGradients() {
        weightGradients = Numbers(repeating: 0.0, count: weights.count)
        biasGradient = 0.0
    }

    /// Forward: z, every input times its weight, plus the bias.
    func preActivation(_ inputs: Numbers) -> Double {
        var z = bias
        for (weight, x) in zip(weights, inputs) {
            z += weight * x
        }
        return z
    }

    /// Backward: adds one sample's part to the gradients.
    ///
    /// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
    func addGradients(_ delta: Double, _ inputs: Numbers) {
        // EXERCISE BEGIN gradients
        for (i, x) in inputs.enumerated() {
            weightGradients[i] += delta * x
        }
        biasGradient += delta
        // EXERCISE END gradients
    }

    /// Takes one step down the slope.
    func update(_ learningRate: Double) {
        // EXERCISE BEGIN update
        for (i, gradient) in weightGradients.enumerated() {
            weights[i] -= learningRate * gradient
        }
        bias -= learningRate * biasGradient
        // EXERCISE END update
    }
}

// ------------------------------------------------------------------------------------------------
// MARK: 2. Layer
// ------------------------------------------------------------------------------------------------

/// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
final class Layer {
    let neurons: [Neuron]
    let activation: Activation
    var inputs: Numbers = []
    var z: Numbers = []
    var a: Numbers = []
    var delta: Numbers = []

    init(neurons: [Neuron], activation: Activation) {
        self.neurons = neurons
        self.activation = activation
    }

    /// The activations of all neurons for one sample.
    func forward(_ inputs: Numbers) -> Numbers {
        self.inputs = inputs
        z = neurons.map { $0.preActivation(inputs) }
        a = activation.activate(z)
        return a
    }

    /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
    func hiddenDeltas(_ activationGradients: Numbers) -> Numbers {
        // EXERCISE BEGIN hidden delta: return Numbers(repeating: 0.0, count: neurons.count)
        return activation.deltas(z, a, activationGradients)
        // EXERCISE END hidden delta
    }

    /// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
    func backward(_ delta: Numbers) -> Numbers {
        self.delta = delta
        for (neuron, deltaJ) in zip(neurons, delta) {
            neuron.addGradients(deltaJ, inputs)
        }
        return inputGradients()
    }

    /// dL/dx of every input x, which is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    func inputGradients() -> Numbers {
        var gradients = Numbers(repeating: 0.0, count: inputs.count)
        // EXERCISE BEGIN hidden delta
        for (neuron, deltaJ) in zip(neurons, delta) {
            for (i, weight) in neuron.weights.enumerated() {
                gradients[i] += deltaJ * weight
            }
        }
        // EXERCISE END hidden delta
        return gradients
    }
}

// ------------------------------------------------------------------------------------------------
// MARK: 3. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
final class Network {
    let layers: [Layer]
    let output: Layer
    let loss: Loss
    let oneStep: OneStep?

    /// There must be a layer. `oneStep` is the output's activation and loss in one; nil where there is no such thing.
    init(layers: [Layer], loss: Loss, oneStep: OneStep?) {
        self.layers = layers
        self.output = layers[layers.count - 1]
        self.loss = loss
        self.oneStep = oneStep
    }

    /// Sends one sample through the network.
    func forward(_ inputs: Numbers) {
        var a = inputs
        for layer in layers {
            a = layer.forward(a)
        }
    }

    /// The loss of the sample that went forward last.
    func sampleLoss(_ targets: Numbers) -> Double {
        oneStep?.ofSample(output.z, targets) ?? loss.ofSample(output.a, targets)
    }

    /// dL/dz of the output neurons, where backward begins.
    ///
    /// L is the loss of the whole batch, the mean of its samples' losses or their sum: `divisor` is their number, or 1.
    func outputDeltas(_ targets: Numbers, _ divisor: Double) -> Numbers {
        // EXERCISE BEGIN output delta: return Numbers(repeating: 0.0, count: targets.count)
        let deltas =
            oneStep?.deltas(output.a, targets)
            ?? output.activation.deltas(output.z, output.a, loss.activationGradients(output.a, targets))
        return deltas.map { $0 / divisor }
        // EXERCISE END output delta
    }

    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    func backward(_ targets: Numbers, _ divisor: Double) -> Numbers {
        var gradients = output.backward(outputDeltas(targets, divisor))
        for layer in layers.dropLast().reversed() {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            gradients = layer.backward(layer.hiddenDeltas(gradients))
        }
        return gradients
    }

    func resetGradients() {
        for layer in layers {
            for neuron in layer.neurons {
                neuron.resetGradients()
            }
        }
    }

    /// Takes one step down the slope, once all gradients are there.
    func update(_ learningRate: Double) {
        for layer in layers {
            for neuron in layer.neurons {
                neuron.update(learningRate)
            }
        }
    }
}

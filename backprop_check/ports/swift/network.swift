// A neural network of dense layers and its backpropagation, neuron by neuron, in plain Swift.
//
// Read it from top to bottom:
//
// 1. Activations   what a neuron makes of its weighted sum, and the slope of that
// 2. Losses        how wrong the output is, and the slope of that
// 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
// 4. Layer         neurons that read the same inputs
// 5. Network       layers one after the other: forward, backward, update
// 6. backprop      from a case of backprop-check to its reply
//
// The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target, and
// `delta` is dL/dz, the slope of the loss L with regard to z. There are no matrices, only arrays of numbers.

import Foundation

typealias Numbers = [Double]

func addUp(_ numbers: Numbers) -> Double {
    numbers.reduce(0.0, +)
}

// ------------------------------------------------------------------------------------------------
// MARK: 1. Activations
// ------------------------------------------------------------------------------------------------

/// What a layer makes of its z, and the way back.
protocol Activation {
    /// The activations of a layer.
    func activate(_ z: Numbers) -> Numbers

    /// dL/dz of a layer, from its dL/da.
    func deltas(_ z: Numbers, _ a: Numbers, _ dLossDa: Numbers) -> Numbers
}

/// A function of one neuron's z, and its derivative. Most activations are of this kind.
protocol NeuronActivation: Activation {
    /// a, the activation.
    func value(_ z: Double) -> Double

    /// da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.
    func derivative(_ z: Double, _ a: Double) -> Double
}

extension NeuronActivation {
    func activate(_ z: Numbers) -> Numbers {
        z.map(value)
    }

    /// The chain rule: dL/dz = dL/da * da/dz.
    func deltas(_ z: Numbers, _ a: Numbers, _ dLossDa: Numbers) -> Numbers {
        z.indices.map { j in dLossDa[j] * derivative(z[j], a[j]) }
    }
}

/// No activation: a = z.
struct Identity: NeuronActivation {
    func value(_ z: Double) -> Double { z }
    func derivative(_ z: Double, _ a: Double) -> Double { 1.0 }
}

/// 1 / (1 + e^-z): any number squeezed into 0..1.
struct Sigmoid: NeuronActivation {
    func value(_ z: Double) -> Double { sigmoid(z) }
    func derivative(_ z: Double, _ a: Double) -> Double { a * (1.0 - a) }
}

/// The hyperbolic tangent: any number squeezed into -1..1.
struct Tanh: NeuronActivation {
    func value(_ z: Double) -> Double { tanh(z) }
    func derivative(_ z: Double, _ a: Double) -> Double { 1.0 - a * a }
}

/// z where it is positive, else 0.
struct ReLU: NeuronActivation {
    func value(_ z: Double) -> Double { max(0.0, z) }

    // At z = 0 there is a kink and no slope. 0 is the usual convention.
    func derivative(_ z: Double, _ a: Double) -> Double { z > 0.0 ? 1.0 : 0.0 }
}

/// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
struct LeakyReLU: NeuronActivation {
    let alpha: Double
    func value(_ z: Double) -> Double { z > 0.0 ? z : alpha * z }
    func derivative(_ z: Double, _ a: Double) -> Double { z > 0.0 ? 1.0 : alpha }
}

/// Like ReLU, but bending smoothly to -alpha on the negative side.
struct ELU: NeuronActivation {
    let alpha: Double

    // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
    func value(_ z: Double) -> Double { z > 0.0 ? z : alpha * expm1(z) }
    func derivative(_ z: Double, _ a: Double) -> Double { z > 0.0 ? 1.0 : alpha * exp(z) }
}

/// ln(1 + e^z): a smooth ReLU.
struct Softplus: NeuronActivation {
    func value(_ z: Double) -> Double { softplus(z) }
    func derivative(_ z: Double, _ a: Double) -> Double { sigmoid(z) }
}

/// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
struct Softsign: NeuronActivation {
    func value(_ z: Double) -> Double { z / (1.0 + abs(z)) }
    func derivative(_ z: Double, _ a: Double) -> Double { 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))) }
}

/// z * sigmoid(z), also called swish.
struct SiLU: NeuronActivation {
    func value(_ z: Double) -> Double { z * sigmoid(z) }

    func derivative(_ z: Double, _ a: Double) -> Double {
        let s = sigmoid(z)
        return s + z * s * (1.0 - s)  // the product rule
    }
}

/// z * P(z), where P(z) is the probability that a standard normal number is below z.
struct GELU: NeuronActivation {
    /// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
    private func probability(_ z: Double) -> Double { 0.5 * erfc(-z / 2.0.squareRoot()) }

    func value(_ z: Double) -> Double { z * probability(z) }

    func derivative(_ z: Double, _ a: Double) -> Double {
        let density = exp(-0.5 * z * z) / (2.0 * Double.pi).squareRoot()  // the bell curve: dP/dz
        return probability(z) + z * density  // the product rule
    }
}

/// z, cut off at -1 and 1.
struct HardTanh: NeuronActivation {
    func value(_ z: Double) -> Double { min(1.0, max(-1.0, z)) }
    func derivative(_ z: Double, _ a: Double) -> Double { z > -1.0 && z < 1.0 ? 1.0 : 0.0 }
}

/// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
struct Softmax: Activation {
    func activate(_ z: Numbers) -> Numbers {
        // Taking the largest z off all of them changes no quotient, and no power can overflow.
        let largest = z.max() ?? 0.0
        let powers = z.map { exp($0 - largest) }
        let total = addUp(powers)
        return powers.map { $0 / total }
    }

    func deltas(_ z: Numbers, _ a: Numbers, _ dLossDa: Numbers) -> Numbers {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        let average = addUp(zip(a, dLossDa).map { a_j, slope in slope * a_j })
        return zip(a, dLossDa).map { a_k, slope in a_k * (slope - average) }
    }
}

/// The natural logarithm of softmax, without ever taking the logarithm of a 0.
struct LogSoftmax: Activation {
    func activate(_ z: Numbers) -> Numbers { logSoftmax(z) }

    func deltas(_ z: Numbers, _ a: Numbers, _ dLossDa: Numbers) -> Numbers {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        let total = addUp(dLossDa)
        return zip(a, dLossDa).map { a_k, slope in slope - exp(a_k) * total }
    }
}

func sigmoid(_ z: Double) -> Double {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if z >= 0.0 { return 1.0 / (1.0 + exp(-z)) }
    let power = exp(z)
    return power / (1.0 + power)
}

/// The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x.
func softplus(_ z: Double) -> Double {
    max(0.0, z) + log1p(exp(-abs(z)))
}

func logSoftmax(_ z: Numbers) -> Numbers {
    let largest = z.max() ?? 0.0
    let total = addUp(z.map { exp($0 - largest) })
    return z.map { $0 - largest - log(total) }
}

let activationNames = [
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign", "silu", "gelu", "hard_tanh",
    "softmax", "log_softmax",
]

/// The activation of that name. Only two have a parameter; it is nil where the case brings none.
func makeActivation(_ name: String, alpha: Double?) throws -> Activation {
    switch name {
    case "identity": return Identity()
    case "sigmoid": return Sigmoid()
    case "tanh": return Tanh()
    case "relu": return ReLU()
    case "leaky_relu": return LeakyReLU(alpha: alpha ?? 0.01)
    case "elu": return ELU(alpha: alpha ?? 1.0)
    case "softplus": return Softplus()
    case "softsign": return Softsign()
    case "silu": return SiLU()
    case "gelu": return GELU()
    case "hard_tanh": return HardTanh()
    case "softmax": return Softmax()
    case "log_softmax": return LogSoftmax()
    default: throw NotThereYet("the activation \(name)")
    }
}

// ------------------------------------------------------------------------------------------------
// MARK: 2. Losses
// ------------------------------------------------------------------------------------------------

/// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
protocol Loss {
    /// Whether that sum is divided by the number of outputs.
    var meanOverOutputs: Bool { get }

    /// One output's part of the loss.
    func term(_ a: Double, _ t: Double) -> Double

    /// The derivative of that part with regard to a.
    func derivative(_ a: Double, _ t: Double) -> Double
}

extension Loss {
    var meanOverOutputs: Bool { false }

    /// The loss of one sample.
    func ofSample(_ a: Numbers, _ t: Numbers) -> Double {
        let total = addUp(zip(a, t).map(term))
        return meanOverOutputs ? total / Double(a.count) : total
    }

    /// dL/da of every output, where L is the loss of this one sample.
    func dLossDa(_ a: Numbers, _ t: Numbers) -> Numbers {
        let slopes = zip(a, t).map(derivative)
        return meanOverOutputs ? slopes.map { $0 / Double(a.count) } : slopes
    }
}

/// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
struct HalfSquaredError: Loss {
    func term(_ a: Double, _ t: Double) -> Double { 0.5 * (a - t) * (a - t) }
    func derivative(_ a: Double, _ t: Double) -> Double { a - t }
}

/// The square of the error; averaged over the outputs, it is the mean squared error.
struct SquaredError: Loss {
    let meanOverOutputs: Bool
    func term(_ a: Double, _ t: Double) -> Double { (a - t) * (a - t) }
    func derivative(_ a: Double, _ t: Double) -> Double { 2.0 * (a - t) }
}

/// The size of the error, averaged over the outputs.
struct MeanAbsoluteError: Loss {
    let meanOverOutputs = true
    func term(_ a: Double, _ t: Double) -> Double { abs(a - t) }
    func derivative(_ a: Double, _ t: Double) -> Double { sign(a - t) }
}

/// Half the square of a small error; a straight line from there on for a large one.
struct Huber: Loss {
    let threshold: Double
    let meanOverOutputs = true

    func term(_ a: Double, _ t: Double) -> Double {
        let error = abs(a - t)
        return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold)
    }

    func derivative(_ a: Double, _ t: Double) -> Double {
        let error = a - t
        return abs(error) <= threshold ? error : threshold * sign(error)
    }
}

/// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
struct BinaryCrossEntropy: Loss {
    func term(_ a: Double, _ t: Double) -> Double { -(timesLog(t, a) + timesLog(1.0 - t, 1.0 - a)) }
    func derivative(_ a: Double, _ t: Double) -> Double { -(divide(t, a) - divide(1.0 - t, 1.0 - a)) }
}

/// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
struct CrossEntropy: Loss {
    func term(_ a: Double, _ t: Double) -> Double { -timesLog(t, a) }
    func derivative(_ a: Double, _ t: Double) -> Double { -divide(t, a) }
}

/// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
struct NegativeLogLikelihood: Loss {
    func term(_ a: Double, _ t: Double) -> Double { -t * a }
    func derivative(_ a: Double, _ t: Double) -> Double { -t }
}

/// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
struct Hinge: Loss {
    func term(_ a: Double, _ t: Double) -> Double { max(0.0, 1.0 - t * a) }
    func derivative(_ a: Double, _ t: Double) -> Double { 1.0 - t * a > 0.0 ? -t : 0.0 }
}

/// The output's activation and its loss in one step, from z to the loss and back.
///
/// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
/// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
protocol OneStep {
    /// The loss of one sample.
    func ofSample(_ z: Numbers, _ t: Numbers) -> Double

    /// dL/dz of every output.
    func deltas(_ a: Numbers, _ t: Numbers) -> Numbers
}

/// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
struct SigmoidWithBinaryCrossEntropy: OneStep {
    func ofSample(_ z: Numbers, _ t: Numbers) -> Double {
        addUp(zip(z, t).map { z_k, t_k in t_k * softplus(-z_k) + (1.0 - t_k) * softplus(z_k) })
    }

    // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
    func deltas(_ a: Numbers, _ t: Numbers) -> Numbers {
        zip(a, t).map { a_k, t_k in a_k - t_k }
    }
}

/// With a = softmax(z), ln a is log_softmax(z).
struct SoftmaxWithCrossEntropy: OneStep {
    func ofSample(_ z: Numbers, _ t: Numbers) -> Double {
        addUp(zip(logSoftmax(z), t).map { logA, t_k in -t_k * logA })
    }

    // Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
    func deltas(_ a: Numbers, _ t: Numbers) -> Numbers {
        let total = addUp(t)  // 1 for probabilities, and then this is the well-known a - t
        return zip(a, t).map { a_k, t_k in a_k * total - t_k }
    }
}

/// 1, -1, or 0 at the kink of |x|, where there is no slope.
func sign(_ x: Double) -> Double {
    x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0
}

/// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
func timesLog(_ t: Double, _ p: Double) -> Double {
    t == 0.0 ? 0.0 : t * log(p)
}

/// t / p, the derivative of t ln p with regard to p.
func divide(_ t: Double, _ p: Double) -> Double {
    t == 0.0 ? 0.0 : t / p
}

let lossNames = [
    "half_squared_error", "squared_error", "mean_squared_error", "mean_absolute_error", "huber",
    "binary_cross_entropy", "cross_entropy", "negative_log_likelihood", "hinge",
]

/// The loss of that name. Only one has a parameter; it is nil where the case brings none.
func makeLoss(_ name: String, threshold: Double?) throws -> Loss {
    switch name {
    case "half_squared_error": return HalfSquaredError()
    case "squared_error": return SquaredError(meanOverOutputs: false)
    case "mean_squared_error": return SquaredError(meanOverOutputs: true)
    case "mean_absolute_error": return MeanAbsoluteError()
    case "huber": return Huber(threshold: threshold ?? 1.0)
    case "binary_cross_entropy": return BinaryCrossEntropy()
    case "cross_entropy": return CrossEntropy()
    case "negative_log_likelihood": return NegativeLogLikelihood()
    case "hinge": return Hinge()
    default: throw NotThereYet("the loss \(name)")
    }
}

/// The one step of an activation with a loss; nil for most, which take two.
func makeOneStep(_ activation: String, _ loss: String) -> OneStep? {
    switch (activation, loss) {
    case ("sigmoid", "binary_cross_entropy"): return SigmoidWithBinaryCrossEntropy()
    case ("softmax", "cross_entropy"): return SoftmaxWithCrossEntropy()
    default: return nil
    }
}

// ------------------------------------------------------------------------------------------------
// MARK: 3. Neuron
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
    func weightedSum(_ inputs: Numbers) -> Double {
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
// MARK: 4. Layer
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
        z = neurons.map { $0.weightedSum(inputs) }
        a = activation.activate(z)
        return a
    }

    /// Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    func backward(_ delta: Numbers) -> Numbers {
        self.delta = delta
        for (neuron, delta_j) in zip(neurons, delta) {
            neuron.addGradients(delta_j, inputs)
        }

        var dLossDx = Numbers(repeating: 0.0, count: inputs.count)
        // EXERCISE BEGIN hidden delta
        for (neuron, delta_j) in zip(neurons, delta) {
            for (i, weight) in neuron.weights.enumerated() {
                dLossDx[i] += delta_j * weight
            }
        }
        // EXERCISE END hidden delta
        return dLossDx
    }
}

// ------------------------------------------------------------------------------------------------
// MARK: 5. Network
// ------------------------------------------------------------------------------------------------

/// Layers, each reading the activations of the one before.
final class Network {
    let layers: [Layer]
    let output: Layer
    let loss: Loss
    let oneStep: OneStep?

    /// There must be a layer.
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
    func outputDeltas(_ targets: Numbers) -> Numbers {
        // EXERCISE BEGIN output delta: return Numbers(repeating: 0.0, count: output.z.count)
        if let oneStep = oneStep {
            return oneStep.deltas(output.a, targets)
        }
        return output.activation.deltas(output.z, output.a, loss.dLossDa(output.a, targets))
        // EXERCISE END output delta
    }

    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    ///
    /// The batch's loss is the mean of its samples' losses, or their sum: the divisor is their number, or 1.
    func backward(_ targets: Numbers, divisor: Double) -> Numbers {
        var delta = outputDeltas(targets).map { $0 / divisor }
        var dLossDx = output.backward(delta)
        for layer in layers.dropLast().reversed() {
            // What the inputs of the layer after get back is what the activations of this one get back.
            // EXERCISE BEGIN hidden delta: delta = Numbers(repeating: 0.0, count: layer.z.count)
            delta = layer.activation.deltas(layer.z, layer.a, dLossDx)
            // EXERCISE END hidden delta
            dLossDx = layer.backward(delta)
        }
        return dLossDx
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

// ------------------------------------------------------------------------------------------------
// MARK: 6. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

typealias Json = [String: Any]

/// The case asks for something that this program has not learnt.
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

struct Pass {
    var loss = 0.0
    var layers: [Json] = []
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
            first.layers[l]["updated"] = parameters(layer)
        }
    }
    var reply: Json = ["loss": first.loss, "layers": first.layers, "input_gradients": first.inputGradients]
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
        pass.inputGradients.append(network.backward(sample.targets, divisor: divisor))
        for (l, layer) in network.layers.enumerated() {
            z[l].append(layer.z)
            a[l].append(layer.a)
            delta[l].append(layer.delta)
        }
    }
    pass.loss /= divisor
    for (l, layer) in network.layers.enumerated() {
        let gradients: Json = [
            "weights": layer.neurons.map { $0.weightGradients },
            "biases": layer.neurons.map { $0.biasGradient },
        ]
        pass.layers.append(["z": z[l], "a": a[l], "delta": delta[l], "gradients": gradients])
    }
    return pass
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
    let kind: String = try read("kind", of: layer)
    if kind != "dense" { throw NotThereYet("the layer \(kind)") }
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
    let kind: String = try read("kind", of: optimizer)
    if kind != "sgd" { throw NotThereYet("the optimizer \(kind)") }
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
    let reduction = request["reduction"] as? String ?? "mean"
    switch reduction {
    case "mean": return (samples, Double(samples.count))
    case "sum": return (samples, 1.0)
    default: throw NotThereYet("the reduction \(reduction)")
    }
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

// Activations: what a layer makes of its pre-activations z, and the way back.
//
// `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.

import Foundation

/// What a layer makes of its z, and the way back.
protocol Activation {
    /// a, the activations of a layer.
    func activate(_ z: Numbers) -> Numbers

    /// dL/dz of a layer, from its dL/da.
    func deltas(_ z: Numbers, _ a: Numbers, _ activationGradients: Numbers) -> Numbers
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
    func deltas(_ z: Numbers, _ a: Numbers, _ activationGradients: Numbers) -> Numbers {
        z.indices.map { j in activationGradients[j] * derivative(z[j], a[j]) }
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
    func value(_ z: Double) -> Double { z * normalProbability(z) }

    func derivative(_ z: Double, _ a: Double) -> Double {
        normalProbability(z) + z * normalDensity(z)  // the product rule
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
        let largest = largestOf(z)
        let powers = z.map { exp($0 - largest) }
        let total = addUp(powers)
        return powers.map { $0 / total }
    }

    func deltas(_ z: Numbers, _ a: Numbers, _ activationGradients: Numbers) -> Numbers {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        let average = addUp(zip(a, activationGradients).map { aj, gradient in gradient * aj })
        return zip(a, activationGradients).map { ak, gradient in ak * (gradient - average) }
    }
}

/// The natural logarithm of softmax, without ever taking the logarithm of a 0.
struct LogSoftmax: Activation {
    func activate(_ z: Numbers) -> Numbers { logSoftmax(z) }

    func deltas(_ z: Numbers, _ a: Numbers, _ activationGradients: Numbers) -> Numbers {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        let total = addUp(activationGradients)
        return zip(a, activationGradients).map { ak, gradient in gradient - exp(ak) * total }
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

/// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
func normalProbability(_ z: Double) -> Double {
    0.5 * erfc(-z / 2.0.squareRoot())
}

/// dP/dz, the bell curve.
func normalDensity(_ z: Double) -> Double {
    exp(-0.5 * z * z) / (2.0 * Double.pi).squareRoot()
}

/// The natural logarithm of softmax.
func logSoftmax(_ z: Numbers) -> Numbers {
    let largest = largestOf(z)
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

// Losses: how wrong the outputs of a sample are, and the slope of that.

import Foundation

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
    func activationGradients(_ a: Numbers, _ t: Numbers) -> Numbers {
        let gradients = zip(a, t).map(derivative)
        return meanOverOutputs ? gradients.map { $0 / Double(a.count) } : gradients
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
        addUp(zip(z, t).map { zk, tk in tk * softplus(-zk) + (1.0 - tk) * softplus(zk) })
    }

    // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
    func deltas(_ a: Numbers, _ t: Numbers) -> Numbers {
        zip(a, t).map { ak, tk in ak - tk }
    }
}

/// With a = softmax(z), ln a is log_softmax(z).
struct SoftmaxWithCrossEntropy: OneStep {
    func ofSample(_ z: Numbers, _ t: Numbers) -> Double {
        addUp(zip(logSoftmax(z), t).map { logA, tk in -tk * logA })
    }

    // Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
    func deltas(_ a: Numbers, _ t: Numbers) -> Numbers {
        let total = addUp(t)  // 1 for probabilities, and then this is the well-known a - t
        return zip(a, t).map { ak, tk in ak * total - tk }
    }
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

/// The step of this pair; nil for most, which take two.
func makeOneStep(_ activation: String, _ loss: String) -> OneStep? {
    switch (activation, loss) {
    case ("sigmoid", "binary_cross_entropy"): return SigmoidWithBinaryCrossEntropy()
    case ("softmax", "cross_entropy"): return SoftmaxWithCrossEntropy()
    default: return nil
    }
}

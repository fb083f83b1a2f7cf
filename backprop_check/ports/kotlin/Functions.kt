/**
 * Activations and losses, each with its derivative.
 *
 * The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target.
 */

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.expm1
import kotlin.math.ln
import kotlin.math.ln1p
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sign
import kotlin.math.sqrt
import kotlin.math.tanh

// ------------------------------------------------------------------------------------------------
// Activations
// ------------------------------------------------------------------------------------------------

/** What a layer makes of its z, and the way back. */
interface Activation {
    /** a, the activations. */
    fun activate(z: DoubleArray): DoubleArray

    /** dL/dz from dL/da. */
    fun deltas(z: DoubleArray, a: DoubleArray, dLossDa: DoubleArray): DoubleArray
}

/**
 * An activation where every neuron is on its own. `value(z)` gives its a, and `derivative(z, a)` gives da/dz: both z
 * and a are at hand, since some derivatives are simpler in one, some in the other.
 */
class OfOneNeuron(
    private val value: (z: Double) -> Double,
    private val derivative: (z: Double, a: Double) -> Double
) : Activation {
    override fun activate(z: DoubleArray) = DoubleArray(z.size) { j -> value(z[j]) }

    /** The chain rule: dL/dz = dL/da * da/dz. */
    override fun deltas(z: DoubleArray, a: DoubleArray, dLossDa: DoubleArray) =
        DoubleArray(z.size) { j -> dLossDa[j] * derivative(z[j], a[j]) }
}

/** How to make each activation, with its parameter alpha, which only two have and a case may leave out. */
val activations: Map<String, (alpha: Double?) -> Activation> = mapOf(
    // No activation: a = z.
    "identity" to { _ -> OfOneNeuron({ z -> z }, { _, _ -> 1.0 }) },

    // 1 / (1 + e^-z): any number squeezed into 0..1.
    "sigmoid" to { _ -> OfOneNeuron(::sigmoid, { _, a -> a * (1.0 - a) }) },

    // The hyperbolic tangent: any number squeezed into -1..1.
    "tanh" to { _ -> OfOneNeuron({ z -> tanh(z) }, { _, a -> 1.0 - a * a }) },

    // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
    "relu" to { _ -> OfOneNeuron({ z -> max(0.0, z) }, { z, _ -> if (z > 0.0) 1.0 else 0.0 }) },

    // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
    "leaky_relu" to { alpha -> leakyRelu(alpha ?: 0.01) },

    // Like ReLU, but bending smoothly to -alpha on the negative side.
    "elu" to { alpha -> elu(alpha ?: 1.0) },

    // ln(1 + e^z): a smooth ReLU.
    "softplus" to { _ -> OfOneNeuron(::softplus, { z, _ -> sigmoid(z) }) },

    // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
    "softsign" to { _ ->
        OfOneNeuron({ z -> z / (1.0 + abs(z)) }, { z, _ -> 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))) })
    },

    // z * sigmoid(z), also called swish. The derivative is the product rule.
    "silu" to { _ ->
        OfOneNeuron({ z -> z * sigmoid(z) }, { z, _ -> sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)) })
    },

    // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
    "gelu" to { _ ->
        OfOneNeuron({ z -> z * probabilityBelow(z) }, { z, _ -> probabilityBelow(z) + z * bellCurve(z) })
    },

    // z, cut off at -1 and 1.
    "hard_tanh" to { _ ->
        OfOneNeuron({ z -> min(1.0, max(-1.0, z)) }, { z, _ -> if (-1.0 < z && z < 1.0) 1.0 else 0.0 })
    },

    "softmax" to { _ -> Softmax },
    "log_softmax" to { _ -> LogSoftmax }
)

private fun leakyRelu(alpha: Double) =
    OfOneNeuron({ z -> if (z > 0.0) z else alpha * z }, { z, _ -> if (z > 0.0) 1.0 else alpha })

/** expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0. */
private fun elu(alpha: Double) =
    OfOneNeuron({ z -> if (z > 0.0) z else alpha * expm1(z) }, { z, _ -> if (z > 0.0) 1.0 else alpha * exp(z) })

/** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
object Softmax : Activation {
    override fun activate(z: DoubleArray): DoubleArray {
        // Taking the largest z off all of them changes no quotient, and no power can overflow.
        val largest = largest(z)
        val powers = DoubleArray(z.size) { j -> exp(z[j] - largest) }
        val total = addUp(powers)
        return DoubleArray(z.size) { j -> powers[j] / total }
    }

    override fun deltas(z: DoubleArray, a: DoubleArray, dLossDa: DoubleArray): DoubleArray {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        val average = addUp(DoubleArray(a.size) { j -> dLossDa[j] * a[j] })
        return DoubleArray(a.size) { k -> a[k] * (dLossDa[k] - average) }
    }
}

/** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
object LogSoftmax : Activation {
    override fun activate(z: DoubleArray): DoubleArray {
        val largest = largest(z)
        val total = addUp(DoubleArray(z.size) { j -> exp(z[j] - largest) })
        return DoubleArray(z.size) { j -> z[j] - largest - ln(total) }
    }

    override fun deltas(z: DoubleArray, a: DoubleArray, dLossDa: DoubleArray): DoubleArray {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        val total = addUp(dLossDa)
        return DoubleArray(a.size) { k -> dLossDa[k] - exp(a[k]) * total }
    }
}

private fun sigmoid(z: Double): Double {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if (z >= 0.0) return 1.0 / (1.0 + exp(-z))
    val power = exp(z)
    return power / (1.0 + power)
}

/** The same as ln(1 + e^z), but e^z would overflow. ln1p(x) is ln(1 + x), precise for a small x. */
private fun softplus(z: Double) = max(0.0, z) + ln1p(exp(-abs(z)))

/** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
private fun probabilityBelow(z: Double) = 0.5 * erfc(-z / sqrt(2.0))

/** dP/dz. */
private fun bellCurve(z: Double) = exp(-0.5 * z * z) / sqrt(2.0 * PI)

private fun largest(numbers: DoubleArray) = numbers.fold(Double.NEGATIVE_INFINITY) { x, y -> max(x, y) }

private fun addUp(numbers: DoubleArray) = numbers.fold(0.0) { sum, number -> sum + number }

// ------------------------------------------------------------------------------------------------
// Losses
// ------------------------------------------------------------------------------------------------

/**
 * How wrong the outputs of a sample are.
 *
 * Every output adds a term, `term(a, t)`, with `derivative(a, t)` with regard to a.
 */
class Loss(
    private val meanOverOutputs: Boolean = false, // whether the sum of the terms is divided by their number
    private val term: (a: Double, t: Double) -> Double,
    private val derivative: (a: Double, t: Double) -> Double
) {
    /** The loss of one sample. */
    fun ofSample(a: DoubleArray, t: DoubleArray) =
        addUp(DoubleArray(a.size) { k -> term(a[k], t[k]) }) / divisor(a)

    /** dL/da of every output, where L is the loss of this one sample. */
    fun dLossDa(a: DoubleArray, t: DoubleArray) =
        DoubleArray(a.size) { k -> derivative(a[k], t[k]) / divisor(a) }

    private fun divisor(a: DoubleArray) = if (meanOverOutputs) a.size.toDouble() else 1.0
}

/** How to make each loss, with its parameter threshold, which only one has and a case may leave out. */
val losses: Map<String, (threshold: Double?) -> Loss> = mapOf(
    // Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
    "half_squared_error" to { _ ->
        Loss(term = { a, t -> 0.5 * (a - t) * (a - t) }, derivative = { a, t -> a - t })
    },

    // The square of the error.
    "squared_error" to { _ ->
        Loss(term = { a, t -> (a - t) * (a - t) }, derivative = { a, t -> 2.0 * (a - t) })
    },

    // The square of the error, averaged over the outputs.
    "mean_squared_error" to { _ ->
        Loss(true, term = { a, t -> (a - t) * (a - t) }, derivative = { a, t -> 2.0 * (a - t) })
    },

    // The size of the error, averaged over the outputs. The sign is 0 at the kink, where there is no slope.
    "mean_absolute_error" to { _ ->
        Loss(true, term = { a, t -> abs(a - t) }, derivative = { a, t -> sign(a - t) })
    },

    // Half the square of a small error; a straight line from there on for a large one.
    "huber" to { threshold -> huber(threshold ?: 1.0) },

    // -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
    "binary_cross_entropy" to { _ ->
        Loss(
            term = { a, t -> -(timesLog(t, a) + timesLog(1.0 - t, 1.0 - a)) },
            derivative = { a, t -> -(divide(t, a) - divide(1.0 - t, 1.0 - a)) }
        )
    },

    // -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
    "cross_entropy" to { _ ->
        Loss(term = { a, t -> -timesLog(t, a) }, derivative = { a, t -> -divide(t, a) })
    },

    // -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
    "negative_log_likelihood" to { _ ->
        Loss(term = { a, t -> -t * a }, derivative = { _, t -> -t })
    },

    // max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on.
    "hinge" to { _ ->
        Loss(term = { a, t -> max(0.0, 1.0 - t * a) }, derivative = { a, t -> if (1.0 - t * a > 0.0) -t else 0.0 })
    }
)

private fun huber(threshold: Double) = Loss(
    true,
    term = { a, t ->
        val size = abs(a - t)
        if (size <= threshold) 0.5 * size * size else threshold * (size - 0.5 * threshold)
    },
    derivative = { a, t -> if (abs(a - t) <= threshold) a - t else threshold * sign(a - t) }
)

/** t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity. */
private fun timesLog(t: Double, p: Double) = if (t == 0.0) 0.0 else t * ln(p)

/** t / p, the derivative of t ln p with regard to p. */
private fun divide(t: Double, p: Double) = if (t == 0.0) 0.0 else t / p

/**
 * The output's activation and its loss in one step, from z to the loss and back.
 *
 * Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
 * nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
 */
interface OneStep {
    /** The loss of one sample. */
    fun ofSample(z: DoubleArray, t: DoubleArray): Double

    /** dL/dz of every output. */
    fun deltas(a: DoubleArray, t: DoubleArray): DoubleArray
}

/** With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z). */
private object SigmoidWithBinaryCrossEntropy : OneStep {
    override fun ofSample(z: DoubleArray, t: DoubleArray) =
        addUp(DoubleArray(z.size) { k -> t[k] * softplus(-z[k]) + (1.0 - t[k]) * softplus(z[k]) })

    /** dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left. */
    override fun deltas(a: DoubleArray, t: DoubleArray) = DoubleArray(a.size) { k -> a[k] - t[k] }
}

/** With a = softmax(z), ln a is log_softmax(z). */
private object SoftmaxWithCrossEntropy : OneStep {
    override fun ofSample(z: DoubleArray, t: DoubleArray): Double {
        val logA = LogSoftmax.activate(z)
        return addUp(DoubleArray(z.size) { k -> -t[k] * logA[k] })
    }

    /** Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left. */
    override fun deltas(a: DoubleArray, t: DoubleArray): DoubleArray {
        val total = addUp(t) // 1 for probabilities, and then this is the well-known a - t
        return DoubleArray(a.size) { k -> a[k] * total - t[k] }
    }
}

/** The pairs that have a step of their own, by the names of activation and loss. */
val inOneStep: Map<Pair<String, String>, OneStep> = mapOf(
    Pair("sigmoid", "binary_cross_entropy") to SigmoidWithBinaryCrossEntropy,
    Pair("softmax", "cross_entropy") to SoftmaxWithCrossEntropy
)

/**
 * Activations: what a layer makes of its pre-activations z, and the way back.
 *
 * `a` is a neuron's activation, and `delta` is dL/dz, the slope of the loss L with regard to z.
 */

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.expm1
import kotlin.math.ln
import kotlin.math.ln1p
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sqrt
import kotlin.math.tanh

/** What a layer makes of its z, and the way back. */
interface Activation {
    /** a, the activations of a layer. */
    fun activate(z: DoubleArray): DoubleArray

    /** dL/dz of a layer, from its dL/da. */
    fun deltas(z: DoubleArray, a: DoubleArray, activationGradients: DoubleArray): DoubleArray
}

/**
 * A function of one neuron's z, and its derivative. Most activations are of this kind.
 *
 * `value(z)` is a, the activation, and `derivative(z, a)` is da/dz. Both z and a are at hand: some derivatives are
 * simpler in one, some in the other.
 */
class NeuronActivation(
    private val value: (z: Double) -> Double,
    private val derivative: (z: Double, a: Double) -> Double
) : Activation {
    override fun activate(z: DoubleArray) = DoubleArray(z.size) { j -> value(z[j]) }

    /** The chain rule: dL/dz = dL/da * da/dz. */
    override fun deltas(z: DoubleArray, a: DoubleArray, activationGradients: DoubleArray) =
        DoubleArray(z.size) { j -> activationGradients[j] * derivative(z[j], a[j]) }
}

/** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
object Softmax : Activation {
    override fun activate(z: DoubleArray): DoubleArray {
        // Taking the largest z off all of them changes no quotient, and no power can overflow.
        val largest = largestOf(z)
        val powers = DoubleArray(z.size) { j -> exp(z[j] - largest) }
        val total = addUp(powers)
        return DoubleArray(z.size) { j -> powers[j] / total }
    }

    override fun deltas(z: DoubleArray, a: DoubleArray, activationGradients: DoubleArray): DoubleArray {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        val average = addUp(DoubleArray(a.size) { j -> activationGradients[j] * a[j] })
        return DoubleArray(a.size) { k -> a[k] * (activationGradients[k] - average) }
    }
}

/** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
object LogSoftmax : Activation {
    override fun activate(z: DoubleArray) = logSoftmax(z)

    override fun deltas(z: DoubleArray, a: DoubleArray, activationGradients: DoubleArray): DoubleArray {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        val total = addUp(activationGradients)
        return DoubleArray(a.size) { k -> activationGradients[k] - exp(a[k]) * total }
    }
}

/** How to make each activation, with its parameter alpha, which only two have and a case may leave out. */
val activations: Map<String, (alpha: Double?) -> Activation> = mapOf(
    // No activation: a = z.
    "identity" to { _ -> NeuronActivation({ z -> z }, { _, _ -> 1.0 }) },

    // 1 / (1 + e^-z): any number squeezed into 0..1.
    "sigmoid" to { _ -> NeuronActivation(::sigmoid, { _, a -> a * (1.0 - a) }) },

    // The hyperbolic tangent: any number squeezed into -1..1.
    "tanh" to { _ -> NeuronActivation({ z -> tanh(z) }, { _, a -> 1.0 - a * a }) },

    // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
    "relu" to { _ -> NeuronActivation({ z -> max(0.0, z) }, { z, _ -> if (z > 0.0) 1.0 else 0.0 }) },

    // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
    "leaky_relu" to { alpha -> leakyRelu(alpha ?: 0.01) },

    // Like ReLU, but bending smoothly to -alpha on the negative side.
    "elu" to { alpha -> elu(alpha ?: 1.0) },

    // ln(1 + e^z): a smooth ReLU.
    "softplus" to { _ -> NeuronActivation(::softplus, { z, _ -> sigmoid(z) }) },

    // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
    "softsign" to { _ ->
        NeuronActivation({ z -> z / (1.0 + abs(z)) }, { z, _ -> 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))) })
    },

    // z * sigmoid(z), also called swish. The derivative is the product rule.
    "silu" to { _ ->
        NeuronActivation({ z -> z * sigmoid(z) }, { z, _ -> sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)) })
    },

    // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
    "gelu" to { _ ->
        NeuronActivation({ z -> z * normalProbability(z) }, { z, _ -> normalProbability(z) + z * normalDensity(z) })
    },

    // z, cut off at -1 and 1.
    "hard_tanh" to { _ ->
        NeuronActivation({ z -> min(1.0, max(-1.0, z)) }, { z, _ -> if (-1.0 < z && z < 1.0) 1.0 else 0.0 })
    },

    "softmax" to { _ -> Softmax },
    "log_softmax" to { _ -> LogSoftmax }
)

private fun leakyRelu(alpha: Double) =
    NeuronActivation({ z -> if (z > 0.0) z else alpha * z }, { z, _ -> if (z > 0.0) 1.0 else alpha })

/** expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0. */
private fun elu(alpha: Double) =
    NeuronActivation({ z -> if (z > 0.0) z else alpha * expm1(z) }, { z, _ -> if (z > 0.0) 1.0 else alpha * exp(z) })

private fun sigmoid(z: Double): Double {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if (z >= 0.0) return 1.0 / (1.0 + exp(-z))
    val power = exp(z)
    return power / (1.0 + power)
}

/** The same as ln(1 + e^z), but e^z would overflow. ln1p(x) is ln(1 + x), precise for a small x. */
fun softplus(z: Double) = max(0.0, z) + ln1p(exp(-abs(z)))

/** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
private fun normalProbability(z: Double) = 0.5 * erfc(-z / sqrt(2.0))

/** dP/dz, the bell curve. */
private fun normalDensity(z: Double) = exp(-0.5 * z * z) / sqrt(2.0 * PI)

/** The natural logarithm of softmax. */
fun logSoftmax(z: DoubleArray): DoubleArray {
    val largest = largestOf(z)
    val total = addUp(DoubleArray(z.size) { j -> exp(z[j] - largest) })
    return DoubleArray(z.size) { j -> z[j] - largest - ln(total) }
}

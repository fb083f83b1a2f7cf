/** Losses: how wrong the outputs of a sample are, and the slope of that. */

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.sign

/**
 * How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
 *
 * `term(a, t)` is one output's part of the loss, of its activation a and its target t, and `derivative(a, t)` the
 * derivative of that part with regard to a.
 */
class Loss(
    private val meanOverOutputs: Boolean = false, // whether that sum is divided by the number of outputs
    private val term: (a: Double, t: Double) -> Double,
    private val derivative: (a: Double, t: Double) -> Double
) {
    /** The loss of one sample. */
    fun ofSample(a: DoubleArray, t: DoubleArray) =
        addUp(DoubleArray(a.size) { k -> term(a[k], t[k]) }) / divisor(a)

    /** dL/da of every output, where L is the loss of this one sample. */
    fun activationGradients(a: DoubleArray, t: DoubleArray) =
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
        val logA = logSoftmax(z)
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

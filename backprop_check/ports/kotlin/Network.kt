/**
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain Kotlin.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 *
 * The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
 * activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
 * dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only arrays of numbers.
 */

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/** One neuron: a weight for each of its inputs, and a bias. */
class Neuron(val weights: DoubleArray, var bias: Double) {
    val weightGradients = DoubleArray(weights.size)
    var biasGradient = 0.0

    /** Starts the sums over the samples at 0. */
    fun resetGradients() {
        weightGradients.fill(0.0)
        biasGradient = 0.0
    }

    /** Forward: z, every input times its weight, plus the bias. */
    fun preActivation(inputs: DoubleArray): Double {
        var z = bias
        for (i in weights.indices) {
            z += weights[i] * inputs[i]
        }
        return z
    }

    /**
     * Backward: adds one sample's part to the gradients.
     *
     * A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
     */
    fun addGradients(delta: Double, inputs: DoubleArray) {
        // EXERCISE BEGIN gradients
        for (i in inputs.indices) {
            weightGradients[i] += delta * inputs[i]
        }
        biasGradient += delta
        // EXERCISE END gradients
    }

    /** Takes one step down the slope. */
    fun update(learningRate: Double) {
        // EXERCISE BEGIN update
        for (i in weights.indices) {
            weights[i] -= learningRate * weightGradients[i]
        }
        bias -= learningRate * biasGradient
        // EXERCISE END update
    }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/** Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a. */
class Layer(val neurons: List<Neuron>, val activation: Activation) {
    var inputs = DoubleArray(0)
    var z = DoubleArray(0)
    var a = DoubleArray(0)
    var delta = DoubleArray(0)

    /** The activations of all neurons for one sample. */
    fun forward(inputs: DoubleArray): DoubleArray {
        this.inputs = inputs
        z = DoubleArray(neurons.size) { j -> neurons[j].preActivation(inputs) }
        a = activation.activate(z)
        return a
    }

    /** delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
    fun hiddenDeltas(activationGradients: DoubleArray): DoubleArray {
        // EXERCISE BEGIN hidden delta: return DoubleArray(neurons.size)
        return activation.deltas(z, a, activationGradients)
        // EXERCISE END hidden delta
    }

    /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
    fun backward(delta: DoubleArray): DoubleArray {
        this.delta = delta
        for (j in neurons.indices) {
            neurons[j].addGradients(delta[j], inputs)
        }
        return inputGradients()
    }

    /**
     * dL/dx of every input x, which is dL/da of the layer before.
     *
     * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
     * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
     */
    fun inputGradients(): DoubleArray {
        val gradients = DoubleArray(inputs.size)
        // EXERCISE BEGIN hidden delta
        for (j in neurons.indices) {
            for (i in gradients.indices) {
                gradients[i] += delta[j] * neurons[j].weights[i]
            }
        }
        // EXERCISE END hidden delta
        return gradients
    }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/**
 * Layers, each reading the activations of the one before.
 *
 * `oneStep` is the output's activation and loss in one, where there is such a thing.
 */
class Network(val layers: List<Layer>, private val loss: Loss, private val oneStep: OneStep?) {
    private val output = layers.last()

    /** The output of the network for one sample. */
    fun forward(inputs: DoubleArray): DoubleArray {
        var a = inputs
        for (layer in layers) {
            a = layer.forward(a)
        }
        return a
    }

    /** The loss of the sample that went forward last. */
    fun sampleLoss(targets: DoubleArray): Double =
        oneStep?.ofSample(output.z, targets) ?: loss.ofSample(output.a, targets)

    /**
     * dL/dz of the output neurons, where backward begins.
     *
     * L is the loss of the whole batch, the mean of its samples' losses or their sum: `divisor` is their number, or 1.
     */
    fun outputDeltas(targets: DoubleArray, divisor: Double): DoubleArray {
        // EXERCISE BEGIN output delta: return DoubleArray(targets.size)
        val deltas = oneStep?.deltas(output.a, targets)
            ?: output.activation.deltas(output.z, output.a, loss.activationGradients(output.a, targets))
        return DoubleArray(deltas.size) { k -> deltas[k] / divisor }
        // EXERCISE END output delta
    }

    /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
    fun backward(targets: DoubleArray, divisor: Double): DoubleArray {
        var gradients = output.backward(outputDeltas(targets, divisor))
        for (layer in layers.dropLast(1).reversed()) {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            gradients = layer.backward(layer.hiddenDeltas(gradients))
        }
        return gradients
    }

    fun resetGradients() {
        for (layer in layers) {
            layer.neurons.forEach { it.resetGradients() }
        }
    }

    /** Takes one step down the slope, once all gradients are there. */
    fun update(learningRate: Double) {
        for (layer in layers) {
            layer.neurons.forEach { it.update(learningRate) }
        }
    }
}

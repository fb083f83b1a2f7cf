/**
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain Kotlin.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the weighted sum forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 * 4. backprop   from a case of backprop-check to its reply
 *
 * The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, and `delta` is dL/dz,
 * the slope of the loss L with regard to z. There are no matrices, only arrays of numbers.
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
    fun weightedSum(inputs: DoubleArray): Double {
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
        z = DoubleArray(neurons.size) { j -> neurons[j].weightedSum(inputs) }
        a = activation.activate(z)
        return a
    }

    /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
    fun backward(delta: DoubleArray): DoubleArray {
        this.delta = delta
        for (j in neurons.indices) {
            neurons[j].addGradients(delta[j], inputs)
        }
        return inputSlopes()
    }

    /**
     * dL/dx of every input x, which is dL/da of the layer before.
     *
     * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
     * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
     */
    fun inputSlopes(): DoubleArray {
        val dLossDx = DoubleArray(inputs.size)
        // EXERCISE BEGIN hidden delta
        for (j in neurons.indices) {
            for (i in dLossDx.indices) {
                dLossDx[i] += delta[j] * neurons[j].weights[i]
            }
        }
        // EXERCISE END hidden delta
        return dLossDx
    }

    /** delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
    fun hiddenDeltas(dLossDa: DoubleArray): DoubleArray {
        // EXERCISE BEGIN hidden delta: return DoubleArray(neurons.size)
        return activation.deltas(z, a, dLossDa)
        // EXERCISE END hidden delta
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
            ?: output.activation.deltas(output.z, output.a, loss.dLossDa(output.a, targets))
        return DoubleArray(deltas.size) { k -> deltas[k] / divisor }
        // EXERCISE END output delta
    }

    /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
    fun backward(targets: DoubleArray, divisor: Double): DoubleArray {
        var dLossDx = output.backward(outputDeltas(targets, divisor))
        for (layer in layers.dropLast(1).reversed()) {
            // What the inputs of the layer after get back is what the activations of this one get back.
            dLossDx = layer.backward(layer.hiddenDeltas(dLossDx))
        }
        return dLossDx
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

// ------------------------------------------------------------------------------------------------
// 4. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
class NotThereYet(what: String) : Exception("$what is not there yet")

/** `divisor` is what leads from the sum of the samples' losses to the batch's loss. */
private class Batch(val inputs: List<DoubleArray>, val targets: List<DoubleArray>, val divisor: Double)

private class Optimizer(val steps: Int, val learningRate: Double)

/** What one pass over the batch gives, ready for the reply. */
private class Pass(val loss: Double, val layers: List<JsonObject>, val inputGradients: List<DoubleArray>)

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
fun backprop(request: JsonObject): JsonObject {
    val network = buildNetwork(request)
    val optimizer = readOptimizer(request)
    val batch = readBatch(request)

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    val first = onePass(network, batch)
    val reply = mapOf("id" to request["id"], "loss" to first.loss, "input_gradients" to first.inputGradients)
    if (optimizer == null) return reply + ("layers" to first.layers)

    val trajectory = List(optimizer.steps) { step ->
        val pass = if (step == 0) first else onePass(network, batch)
        network.update(optimizer.learningRate)
        mapOf("loss" to pass.loss, "layers" to network.layers.map { mapOf("updated" to parameters(it)) })
    }
    val layers = first.layers.zip(network.layers) { record, layer -> record + ("updated" to parameters(layer)) }
    val more = if (optimizer.steps > 1) mapOf("trajectory" to trajectory) else emptyMap()
    return reply + ("layers" to layers) + more
}

/** Sends every sample forward and backward, and writes down what came out of it. */
private fun onePass(network: Network, batch: Batch): Pass {
    network.resetGradients()
    var loss = 0.0
    val inputGradients = mutableListOf<DoubleArray>()
    val z = network.layers.map { mutableListOf<DoubleArray>() } // by layer, then by sample
    val a = network.layers.map { mutableListOf<DoubleArray>() }
    val delta = network.layers.map { mutableListOf<DoubleArray>() }
    for ((inputs, targets) in batch.inputs.zip(batch.targets)) {
        network.forward(inputs)
        loss += network.sampleLoss(targets)
        inputGradients += network.backward(targets, batch.divisor)
        network.layers.forEachIndexed { l, layer ->
            z[l] += layer.z
            a[l] += layer.a
            delta[l] += layer.delta
        }
    }
    val layers = network.layers.mapIndexed { l, layer ->
        mapOf("gradients" to gradients(layer), "z" to z[l], "a" to a[l], "delta" to delta[l])
    }
    return Pass(loss / batch.divisor, layers, inputGradients)
}

/** A copy of the layer's gradients as they are now. */
private fun gradients(layer: Layer): JsonObject = mapOf(
    "weights" to layer.neurons.map { it.weightGradients.copyOf() },
    "biases" to layer.neurons.map { it.biasGradient }
)

/** A copy of the layer's weights and biases as they are now. */
private fun parameters(layer: Layer): JsonObject = mapOf(
    "weights" to layer.neurons.map { it.weights.copyOf() },
    "biases" to layer.neurons.map { it.bias }
)

/** The network that the case describes. */
private fun buildNetwork(request: JsonObject): Network {
    val described = request["network"].asObject()["layers"].asList().map { it.asObject() }
    val loss = request["loss"].asObject()
    val kind = loss["kind"].asText()
    val makeLoss = losses[kind] ?: throw NotThereYet("the loss $kind")
    return Network(
        described.map { buildLayer(it) },
        makeLoss(loss["threshold"]?.asNumber()),
        inOneStep[Pair(described.last()["activation"].asText(), kind)]
    )
}

/** One layer with the parameters that the case gives it. */
private fun buildLayer(layer: JsonObject): Layer {
    val kind = layer["kind"].asText()
    if (kind != "dense") throw NotThereYet("the layer $kind")
    if ("from" in layer || "combine" in layer) {
        throw NotThereYet("a layer that reads another one than the one before it")
    }
    val name = layer["activation"].asText()
    val makeActivation = activations[name] ?: throw NotThereYet("the activation $name")

    val parameters = layer["parameters"].asObject()
    val biases = parameters["biases"].asNumbers()
    val neurons = parameters["weights"].asList().mapIndexed { j, row -> Neuron(row.asNumbers(), biases[j]) }
    return Layer(neurons, makeActivation(layer["alpha"]?.asNumber()))
}

/** The number of steps and the learning rate; null where no update is asked for. */
private fun readOptimizer(request: JsonObject): Optimizer? {
    val optimizer = request["optimizer"]?.asObject() ?: return null
    val kind = optimizer["kind"].asText()
    if (kind != "sgd") throw NotThereYet("the optimizer $kind")
    for (option in listOf("momentum", "nesterov", "weight_decay")) {
        if (optimizer[option] !in listOf(null, false, 0.0)) throw NotThereYet("sgd with $option")
    }
    return Optimizer(request["steps"]?.asNumber()?.toInt() ?: 1, optimizer["learning_rate"].asNumber())
}

private fun readBatch(request: JsonObject): Batch {
    val inputs = request["inputs"].asList().map { it.asNumbers() }
    val targets = request["targets"].asList().map { it.asNumbers() }
    val divisor = when (val reduction = request["reduction"]?.asText() ?: "mean") {
        "mean" -> inputs.size.toDouble()
        "sum" -> 1.0
        else -> throw NotThereYet("the reduction $reduction")
    }
    return Batch(inputs, targets, divisor)
}

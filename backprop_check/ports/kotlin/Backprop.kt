/**
 * From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
 *
 * To test a network of your own, let `backprop` run it.
 */

/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
class NotThereYet(what: String) : Exception("$what is not there yet")

/** `divisor` is what leads from the sum of the samples' losses to the batch's loss. */
private class Batch(val inputs: List<DoubleArray>, val targets: List<DoubleArray>, val divisor: Double)

private class Optimizer(val steps: Int, val learningRate: Double)

/** What one pass over the batch gives; `records` has what the reply says of each layer. */
private class Pass(val loss: Double, val records: List<JsonObject>, val inputGradients: List<DoubleArray>)

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
fun backprop(request: JsonObject): JsonObject {
    val network = buildNetwork(request)
    val optimizer = readOptimizer(request)
    val batch = readBatch(request)

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    val first = onePass(network, batch)
    val reply = mapOf("id" to request["id"], "loss" to first.loss, "input_gradients" to first.inputGradients)
    if (optimizer == null) return reply + ("layers" to first.records)

    val trajectory = List(optimizer.steps) { step ->
        val pass = if (step == 0) first else onePass(network, batch)
        network.update(optimizer.learningRate)
        mapOf("loss" to pass.loss, "layers" to network.layers.map { mapOf("updated" to parameters(it)) })
    }
    val records = first.records.zip(network.layers) { record, layer -> record + ("updated" to parameters(layer)) }
    val more = if (optimizer.steps > 1) mapOf("trajectory" to trajectory) else emptyMap()
    return reply + ("layers" to records) + more
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
    val records = network.layers.mapIndexed { l, layer ->
        mapOf("gradients" to gradients(layer), "z" to z[l], "a" to a[l], "delta" to delta[l])
    }
    return Pass(loss / batch.divisor, records, inputGradients)
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
    val kind = known(loss["kind"].asText(), losses.keys, "loss")
    return Network(
        described.map { buildLayer(it) },
        losses.getValue(kind)(loss["threshold"]?.asNumber()),
        inOneStep[Pair(described.last()["activation"].asText(), kind)]
    )
}

/** One layer with the parameters that the case gives it. */
private fun buildLayer(layer: JsonObject): Layer {
    known(layer["kind"].asText(), listOf("dense"), "layer")
    if ("from" in layer || "combine" in layer) {
        throw NotThereYet("a layer that reads another one than the one before it")
    }
    val activation = known(layer["activation"].asText(), activations.keys, "activation")
    val parameters = layer["parameters"].asObject()
    val biases = parameters["biases"].asNumbers()
    val neurons = parameters["weights"].asList().mapIndexed { j, row -> Neuron(row.asNumbers(), biases[j]) }
    return Layer(neurons, activations.getValue(activation)(layer["alpha"]?.asNumber()))
}

/** The number of steps and the learning rate; null where no update is asked for. */
private fun readOptimizer(request: JsonObject): Optimizer? {
    val optimizer = request["optimizer"]?.asObject() ?: return null
    known(optimizer["kind"].asText(), listOf("sgd"), "optimizer")
    for (option in listOf("momentum", "nesterov", "weight_decay")) {
        if (optimizer[option] !in listOf(null, false, 0.0)) throw NotThereYet("sgd with $option")
    }
    return Optimizer(request["steps"]?.asNumber()?.toInt() ?: 1, optimizer["learning_rate"].asNumber())
}

private fun readBatch(request: JsonObject): Batch {
    val inputs = request["inputs"].asList().map { it.asNumbers() }
    val targets = request["targets"].asList().map { it.asNumbers() }
    val reduction = known(request["reduction"]?.asText() ?: "mean", listOf("mean", "sum"), "reduction")
    return Batch(inputs, targets, if (reduction == "mean") inputs.size.toDouble() else 1.0)
}

/** The word, if we know it. */
private fun known(word: String, words: Collection<String>, what: String): String =
    if (word in words) word else throw NotThereYet("the $what $word")

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
 *
 * To test a network of your own, let {@code reply} run it.
 */
final class Backprop {
    private record Batch(List<double[]> inputs, List<double[]> targets, double divisor) {}

    private record Optimizer(int steps, double learningRate) {}

    /** Works out one case of backprop-check, and replies with all that the protocol knows. */
    static Map<String, Object> reply(Map<String, Object> request) {
        Network network = buildNetwork(request);
        Optimizer optimizer = readOptimizer(request);
        Batch batch = readBatch(request);

        // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
        Map<String, Object> reply = Json.of("id", request.get("id"));
        reply.putAll(onePass(network, batch));
        if (optimizer == null) return reply;

        List<Object> trajectory = new ArrayList<>();
        for (int step = 0; step < optimizer.steps; step++) {
            Object loss = (step == 0 ? reply : onePass(network, batch)).get("loss");
            network.update(optimizer.learningRate);
            List<?> layers = network.layers.stream().map(layer -> Json.of("updated", parameters(layer))).toList();
            trajectory.add(Json.of("loss", loss, "layers", layers));
        }
        List<?> records = Json.list(reply.get("layers"));
        for (int l = 0; l < records.size(); l++) {
            Json.object(records.get(l)).put("updated", parameters(network.layers.get(l)));
        }
        if (optimizer.steps > 1) reply.put("trajectory", trajectory);
        return reply;
    }

    /** Sends every sample forward and backward, and writes down what came out of it. */
    private static Map<String, Object> onePass(Network network, Batch batch) {
        network.resetGradients();
        double loss = 0.0;
        List<double[]> inputGradients = new ArrayList<>();
        int count = network.layers.size();
        List<List<double[]>> z = lists(count), a = lists(count), delta = lists(count); // layer, then sample
        for (int s = 0; s < batch.inputs.size(); s++) {
            double[] targets = batch.targets.get(s);
            network.forward(batch.inputs.get(s));
            loss += network.sampleLoss(targets);
            inputGradients.add(network.backward(targets, batch.divisor));
            for (int l = 0; l < count; l++) {
                z.get(l).add(network.layers.get(l).z);
                a.get(l).add(network.layers.get(l).a);
                delta.get(l).add(network.layers.get(l).delta);
            }
        }

        List<Object> records = new ArrayList<>();
        for (int l = 0; l < count; l++) {
            Map<String, Object> gradients = gradients(network.layers.get(l));
            records.add(Json.of("gradients", gradients, "z", z.get(l), "a", a.get(l), "delta", delta.get(l)));
        }
        return Json.of("loss", loss / batch.divisor, "layers", records, "input_gradients", inputGradients);
    }

    private static List<List<double[]>> lists(int count) {
        List<List<double[]>> lists = new ArrayList<>();
        for (int l = 0; l < count; l++) {
            lists.add(new ArrayList<>());
        }
        return lists;
    }

    /** A copy of the layer's gradients as they are now. */
    private static Map<String, Object> gradients(Network.Layer layer) {
        return Json.of(
                "weights", layer.neurons.stream().map(neuron -> neuron.weightGradients.clone()).toList(),
                "biases", layer.neurons.stream().mapToDouble(neuron -> neuron.biasGradient).toArray());
    }

    /** A copy of the layer's weights and biases as they are now. */
    private static Map<String, Object> parameters(Network.Layer layer) {
        return Json.of(
                "weights", layer.neurons.stream().map(neuron -> neuron.weights.clone()).toList(),
                "biases", layer.neurons.stream().mapToDouble(neuron -> neuron.bias).toArray());
    }

    /** The network that the case describes. */
    private static Network buildNetwork(Map<String, Object> request) {
        List<?> described = Json.list(Json.object(request.get("network")).get("layers"));
        List<Network.Layer> layers = described.stream().map(layer -> buildLayer(Json.object(layer))).toList();

        Map<String, Object> loss = Json.object(request.get("loss"));
        String kind = known(loss.get("kind"), Loss.NAMES, "loss");
        String activation = Json.text(Json.object(described.get(described.size() - 1)).get("activation"));
        return new Network(
                layers,
                Loss.named(kind, Json.optional(loss.get("threshold"))),
                Loss.OneStep.named(activation, kind));
    }

    /** One layer with the parameters that the case gives it. */
    private static Network.Layer buildLayer(Map<String, Object> layer) {
        known(layer.get("kind"), List.of("dense"), "layer");
        if (layer.containsKey("from") || layer.containsKey("combine")) {
            throw new NotThereYet("a layer that reads another one than the one before it");
        }

        Map<String, Object> parameters = Json.object(layer.get("parameters"));
        List<?> weights = Json.list(parameters.get("weights"));
        double[] biases = Json.numbers(parameters.get("biases"));
        List<Network.Neuron> neurons = new ArrayList<>();
        for (int j = 0; j < biases.length; j++) {
            neurons.add(new Network.Neuron(Json.numbers(weights.get(j)), biases[j]));
        }
        String activation = known(layer.get("activation"), Activation.NAMES, "activation");
        return new Network.Layer(neurons, Activation.named(activation, Json.optional(layer.get("alpha"))));
    }

    /** The number of steps and the learning rate; null where no update is asked for. */
    private static Optimizer readOptimizer(Map<String, Object> request) {
        if (request.get("optimizer") == null) return null;
        Map<String, Object> optimizer = Json.object(request.get("optimizer"));
        known(optimizer.get("kind"), List.of("sgd"), "optimizer");
        for (String option : List.of("momentum", "nesterov", "weight_decay")) {
            Object value = optimizer.get(option);
            boolean off = value == null || value.equals(false) || value.equals(0.0);
            if (!off) throw new NotThereYet("sgd with " + option);
        }
        Double steps = Json.optional(request.get("steps"));
        return new Optimizer(steps == null ? 1 : steps.intValue(), Json.number(optimizer.get("learning_rate")));
    }

    /** The samples, and what to divide by to get from the sum of their losses to the batch's loss. */
    private static Batch readBatch(Map<String, Object> request) {
        List<double[]> inputs = Json.list(request.get("inputs")).stream().map(Json::numbers).toList();
        List<double[]> targets = Json.list(request.get("targets")).stream().map(Json::numbers).toList();
        String reduction = known(request.getOrDefault("reduction", "mean"), List.of("mean", "sum"), "reduction");
        return new Batch(inputs, targets, reduction.equals("mean") ? inputs.size() : 1.0);
    }

    /** The word, if we know it. */
    private static String known(Object word, List<String> words, String what) {
        String text = Json.text(word);
        if (!words.contains(text)) throw new NotThereYet("the " + what + " " + text);
        return text;
    }
}

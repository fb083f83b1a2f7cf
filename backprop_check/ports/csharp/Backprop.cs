// From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
//
// To test a network of your own, let Backprop.Reply run it.

using System;
using System.Collections.Generic;
using System.Linq;

/// <summary>
/// The case asks for something that this program has not learnt: it is skipped, which is no failure.
/// </summary>
sealed class NotThereYet : Exception
{
    public NotThereYet(string what) : base(what + " is not there yet")
    {
    }
}

static class Backprop
{
    sealed class Batch
    {
        public double[][] Inputs;
        public double[][] Targets;
        public double Divisor; // from the sum of the samples' losses to the batch's loss
    }

    /// <summary>Works out one case of backprop-check, and replies with all that the protocol knows.</summary>
    public static Dictionary<string, object> Reply(Dictionary<string, object> request)
    {
        var network = BuildNetwork(request);
        var (steps, learningRate) = ReadOptimizer(request);
        var batch = ReadBatch(request);

        // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
        var (loss, records, inputGradients) = OnePass(network, batch);
        var reply = new Dictionary<string, object>
        {
            ["id"] = request["id"],
            ["loss"] = loss,
            ["layers"] = records,
            ["input_gradients"] = inputGradients,
        };
        if (steps == null) return reply;

        var trajectory = new List<object>();
        for (var step = 0; step < steps; step++)
        {
            if (step > 0) loss = OnePass(network, batch).loss;
            network.Update(learningRate);
            trajectory.Add(new Dictionary<string, object>
            {
                ["loss"] = loss,
                ["layers"] = network.Layers
                    .Select(layer => new Dictionary<string, object> { ["updated"] = Parameters(layer) })
                    .ToArray(),
            });
        }
        for (var l = 0; l < records.Length; l++)
        {
            records[l]["updated"] = Parameters(network.Layers[l]);
        }
        if (steps > 1) reply["trajectory"] = trajectory;
        return reply;
    }

    /// <summary>Sends every sample forward and backward, and writes down what came out of it.</summary>
    static (double loss, Dictionary<string, object>[] records, List<double[]> inputGradients) OnePass(
        Network network, Batch batch)
    {
        network.ResetGradients();
        var loss = 0.0;
        var inputGradients = new List<double[]>();
        var z = network.Layers.Select(_ => new List<double[]>()).ToArray(); // by layer, then by sample
        var a = network.Layers.Select(_ => new List<double[]>()).ToArray();
        var delta = network.Layers.Select(_ => new List<double[]>()).ToArray();
        for (var s = 0; s < batch.Inputs.Length; s++)
        {
            network.Forward(batch.Inputs[s]);
            loss += network.SampleLoss(batch.Targets[s]);
            inputGradients.Add(network.Backward(batch.Targets[s], batch.Divisor));
            for (var l = 0; l < network.Layers.Length; l++)
            {
                z[l].Add(network.Layers[l].Z);
                a[l].Add(network.Layers[l].A);
                delta[l].Add(network.Layers[l].Delta);
            }
        }
        var records = network.Layers.Select((layer, l) => new Dictionary<string, object>
        {
            ["gradients"] = Gradients(layer),
            ["z"] = z[l],
            ["a"] = a[l],
            ["delta"] = delta[l],
        });
        return (loss / batch.Divisor, records.ToArray(), inputGradients);
    }

    /// <summary>A copy of the layer's gradients as they are now.</summary>
    static Dictionary<string, object> Gradients(Layer layer) => new Dictionary<string, object>
    {
        ["weights"] = layer.Neurons.Select(neuron => neuron.WeightGradients.ToArray()).ToArray(),
        ["biases"] = layer.Neurons.Select(neuron => neuron.BiasGradient).ToArray(),
    };

    /// <summary>A copy of the layer's weights and biases as they are now.</summary>
    static Dictionary<string, object> Parameters(Layer layer) => new Dictionary<string, object>
    {
        ["weights"] = layer.Neurons.Select(neuron => neuron.Weights.ToArray()).ToArray(),
        ["biases"] = layer.Neurons.Select(neuron => neuron.Bias).ToArray(),
    };

    /// <summary>The network that the case describes.</summary>
    static Network BuildNetwork(Dictionary<string, object> request)
    {
        var described = Json.List(Json.Object(request["network"])["layers"]).Select(Json.Object).ToArray();
        var loss = Json.Object(request["loss"]);
        var kind = Known(loss["kind"], Loss.Named.Keys, "loss");
        return new Network(
            described.Select(BuildLayer).ToArray(),
            Loss.Named[kind](Json.OptionalNumber(loss, "threshold")),
            OneStep.Named(Json.Text(described.Last()["activation"]), kind));
    }

    /// <summary>One layer with the parameters that the case gives it.</summary>
    static Layer BuildLayer(Dictionary<string, object> layer)
    {
        Known(layer["kind"], new[] { "dense" }, "layer");
        if (layer.ContainsKey("from") || layer.ContainsKey("combine"))
        {
            throw new NotThereYet("a layer that reads another one than the one before it");
        }
        var activation = Known(layer["activation"], Activation.Named.Keys, "activation");
        var parameters = Json.Object(layer["parameters"]);
        var biases = Json.Numbers(parameters["biases"]);
        var neurons = Json.List(parameters["weights"]).Select((row, j) => new Neuron(Json.Numbers(row), biases[j]));
        return new Layer(neurons.ToArray(), Activation.Named[activation](Json.OptionalNumber(layer, "alpha")));
    }

    /// <summary>The number of steps (null: no update is asked for) and the learning rate.</summary>
    static (int? steps, double learningRate) ReadOptimizer(Dictionary<string, object> request)
    {
        if (Json.Optional(request, "optimizer") == null) return (null, 0.0);
        var optimizer = Json.Object(request["optimizer"]);
        Known(optimizer["kind"], new[] { "sgd" }, "optimizer");
        foreach (var option in new[] { "momentum", "nesterov", "weight_decay" })
        {
            var value = Json.Optional(optimizer, option);
            if (value != null && !value.Equals(false) && !value.Equals(0.0))
            {
                throw new NotThereYet("sgd with " + option);
            }
        }
        return ((int)(Json.OptionalNumber(request, "steps") ?? 1.0), Json.Number(optimizer["learning_rate"]));
    }

    static Batch ReadBatch(Dictionary<string, object> request)
    {
        var inputs = Json.List(request["inputs"]).Select(Json.Numbers).ToArray();
        var targets = Json.List(request["targets"]).Select(Json.Numbers).ToArray();
        var reduction = Known(Json.Optional(request, "reduction") ?? "mean", new[] { "mean", "sum" }, "reduction");
        return new Batch { Inputs = inputs, Targets = targets, Divisor = reduction == "mean" ? inputs.Length : 1.0 };
    }

    /// <summary>The word, if we know it.</summary>
    static string Known(object word, IEnumerable<string> words, string what)
    {
        var text = Json.Text(word);
        return words.Contains(text) ? text : throw new NotThereYet("the " + what + " " + text);
    }
}

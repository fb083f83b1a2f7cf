// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C#.
//
// Read it from top to bottom:
//
// 1. Neuron     weights and a bias: the weighted sum forward, the gradients backward, the update
// 2. Layer      neurons that read the same inputs
// 3. Network    layers one after the other: forward, backward, update
// 4. Backprop   from a case of backprop-check to its reply
//
// The names are the field's: z is a neuron's weighted sum plus its bias, a its activation, and delta is dL/dz, the
// slope of the loss L with regard to z. There are no matrices, only arrays of numbers.

using System;
using System.Collections.Generic;
using System.Linq;

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/// <summary>One neuron: a weight for each of its inputs, and a bias.</summary>
sealed class Neuron
{
    public double[] Weights { get; }
    public double Bias { get; private set; }
    public double[] WeightGradients { get; }
    public double BiasGradient { get; private set; }

    public Neuron(double[] weights, double bias)
    {
        Weights = weights;
        Bias = bias;
        WeightGradients = new double[weights.Length];
    }

    /// <summary>Starts the sums over the samples at 0.</summary>
    public void ResetGradients()
    {
        Array.Clear(WeightGradients, 0, WeightGradients.Length);
        BiasGradient = 0.0;
    }

    /// <summary>Forward: z, every input times its weight, plus the bias.</summary>
    public double WeightedSum(double[] inputs)
    {
        var z = Bias;
        for (var i = 0; i < Weights.Length; i++)
        {
            z += Weights[i] * inputs[i];
        }
        return z;
    }

    /// <summary>
    /// Backward: adds one sample's part to the gradients.
    ///
    /// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
    /// </summary>
    public void AddGradients(double delta, double[] inputs)
    {
        // EXERCISE BEGIN gradients
        for (var i = 0; i < inputs.Length; i++)
        {
            WeightGradients[i] += delta * inputs[i];
        }
        BiasGradient += delta;
        // EXERCISE END gradients
    }

    /// <summary>Takes one step down the slope.</summary>
    public void Update(double learningRate)
    {
        // EXERCISE BEGIN update
        for (var i = 0; i < Weights.Length; i++)
        {
            Weights[i] -= learningRate * WeightGradients[i];
        }
        Bias -= learningRate * BiasGradient;
        // EXERCISE END update
    }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/// <summary>
/// Neurons that read the same inputs. It remembers its last pass: Backward needs the inputs, z and a.
/// </summary>
sealed class Layer
{
    public Neuron[] Neurons { get; }
    public Activation Activation { get; }
    public double[] Inputs { get; private set; }
    public double[] Z { get; private set; }
    public double[] A { get; private set; }
    public double[] Delta { get; private set; }

    public Layer(Neuron[] neurons, Activation activation)
    {
        Neurons = neurons;
        Activation = activation;
    }

    /// <summary>The activations of all neurons for one sample.</summary>
    public double[] Forward(double[] inputs)
    {
        Inputs = inputs;
        Z = Neurons.Select(neuron => neuron.WeightedSum(inputs)).ToArray();
        A = Activation.Activate(Z);
        return A;
    }

    /// <summary>Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.</summary>
    public double[] Backward(double[] delta)
    {
        Delta = delta;
        for (var j = 0; j < Neurons.Length; j++)
        {
            Neurons[j].AddGradients(delta[j], Inputs);
        }
        return InputSlopes();
    }

    /// <summary>
    /// dL/dx of every input x, which is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    /// </summary>
    public double[] InputSlopes()
    {
        var dLossDx = new double[Inputs.Length];
        // EXERCISE BEGIN hidden delta
        for (var j = 0; j < Neurons.Length; j++)
        {
            for (var i = 0; i < dLossDx.Length; i++)
            {
                dLossDx[i] += Delta[j] * Neurons[j].Weights[i];
            }
        }
        // EXERCISE END hidden delta
        return dLossDx;
    }

    /// <summary>
    /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
    /// </summary>
    public double[] HiddenDeltas(double[] dLossDa)
    {
        // EXERCISE BEGIN hidden delta: return new double[Neurons.Length];
        return Activation.Deltas(Z, A, dLossDa);
        // EXERCISE END hidden delta
    }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/// <summary>Layers, each reading the activations of the one before.</summary>
sealed class Network
{
    readonly Loss loss;
    readonly OneStep oneStep;

    public Layer[] Layers { get; }

    Layer Output => Layers[Layers.Length - 1];

    /// <summary>oneStep is the output's activation and loss in one; null where there is no such thing.</summary>
    public Network(Layer[] layers, Loss loss, OneStep oneStep)
    {
        Layers = layers;
        this.loss = loss;
        this.oneStep = oneStep;
    }

    /// <summary>The output of the network for one sample.</summary>
    public double[] Forward(double[] inputs)
    {
        var a = inputs;
        foreach (var layer in Layers)
        {
            a = layer.Forward(a);
        }
        return a;
    }

    /// <summary>The loss of the sample that went forward last.</summary>
    public double SampleLoss(double[] targets) =>
        oneStep != null ? oneStep.OfSample(Output.Z, targets) : loss.OfSample(Output.A, targets);

    /// <summary>
    /// dL/dz of the output neurons, where Backward begins.
    ///
    /// L is the loss of the whole batch, the mean of its samples' losses or their sum: divisor is their number, or 1.
    /// </summary>
    public double[] OutputDeltas(double[] targets, double divisor)
    {
        // EXERCISE BEGIN output delta: return new double[targets.Length];
        var deltas = oneStep != null
            ? oneStep.Deltas(Output.A, targets)
            : Output.Activation.Deltas(Output.Z, Output.A, loss.DLossDa(Output.A, targets));
        return deltas.Select(delta => delta / divisor).ToArray();
        // EXERCISE END output delta
    }

    /// <summary>
    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    /// </summary>
    public double[] Backward(double[] targets, double divisor)
    {
        var dLossDx = Output.Backward(OutputDeltas(targets, divisor));
        for (var l = Layers.Length - 2; l >= 0; l--)
        {
            // What the inputs of the layer after get back is what the activations of this one get back.
            dLossDx = Layers[l].Backward(Layers[l].HiddenDeltas(dLossDx));
        }
        return dLossDx;
    }

    public void ResetGradients()
    {
        foreach (var neuron in Layers.SelectMany(layer => layer.Neurons))
        {
            neuron.ResetGradients();
        }
    }

    /// <summary>Takes one step down the slope, once all gradients are there.</summary>
    public void Update(double learningRate)
    {
        foreach (var neuron in Layers.SelectMany(layer => layer.Neurons))
        {
            neuron.Update(learningRate);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// 4. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

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
        var (loss, layers, inputGradients) = OnePass(network, batch);
        var reply = new Dictionary<string, object>
        {
            ["id"] = request["id"],
            ["loss"] = loss,
            ["layers"] = layers,
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
        for (var l = 0; l < layers.Length; l++)
        {
            layers[l]["updated"] = Parameters(network.Layers[l]);
        }
        if (steps > 1) reply["trajectory"] = trajectory;
        return reply;
    }

    /// <summary>Sends every sample forward and backward, and writes down what came out of it.</summary>
    static (double loss, Dictionary<string, object>[] layers, List<double[]> inputGradients) OnePass(
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
        var layers = network.Layers.Select((layer, l) => new Dictionary<string, object>
        {
            ["gradients"] = Gradients(layer),
            ["z"] = z[l],
            ["a"] = a[l],
            ["delta"] = delta[l],
        });
        return (loss / batch.Divisor, layers.ToArray(), inputGradients);
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
        var kind = Json.Text(loss["kind"]);
        if (!Loss.Named.TryGetValue(kind, out var makeLoss)) throw new NotThereYet("the loss " + kind);
        return new Network(
            described.Select(BuildLayer).ToArray(),
            makeLoss(Json.OptionalNumber(loss, "threshold")),
            OneStep.Of(Json.Text(described.Last()["activation"]), kind));
    }

    /// <summary>One layer with the parameters that the case gives it.</summary>
    static Layer BuildLayer(Dictionary<string, object> layer)
    {
        var kind = Json.Text(layer["kind"]);
        if (kind != "dense") throw new NotThereYet("the layer " + kind);
        if (layer.ContainsKey("from") || layer.ContainsKey("combine"))
        {
            throw new NotThereYet("a layer that reads another one than the one before it");
        }
        var name = Json.Text(layer["activation"]);
        if (!Activation.Named.TryGetValue(name, out var make)) throw new NotThereYet("the activation " + name);

        var parameters = Json.Object(layer["parameters"]);
        var biases = Json.Numbers(parameters["biases"]);
        var neurons = Json.List(parameters["weights"]).Select((row, j) => new Neuron(Json.Numbers(row), biases[j]));
        return new Layer(neurons.ToArray(), make(Json.OptionalNumber(layer, "alpha")));
    }

    /// <summary>The number of steps (null: no update is asked for) and the learning rate.</summary>
    static (int? steps, double learningRate) ReadOptimizer(Dictionary<string, object> request)
    {
        if (Json.Optional(request, "optimizer") == null) return (null, 0.0);
        var optimizer = Json.Object(request["optimizer"]);
        var kind = Json.Text(optimizer["kind"]);
        if (kind != "sgd") throw new NotThereYet("the optimizer " + kind);
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
        var reduction = Json.Text(Json.Optional(request, "reduction") ?? "mean");
        if (reduction != "mean" && reduction != "sum") throw new NotThereYet("the reduction " + reduction);
        return new Batch { Inputs = inputs, Targets = targets, Divisor = reduction == "mean" ? inputs.Length : 1.0 };
    }
}

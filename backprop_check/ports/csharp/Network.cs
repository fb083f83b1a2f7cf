// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C#.
//
// Read it from top to bottom:
//
// 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
// 2. Layer      neurons that read the same inputs
// 3. Network    layers one after the other: forward, backward, update
//
// The names are the field's: z is a neuron's pre-activation (the weighted sum of its inputs plus its bias), a its
// activation, and delta is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
// dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only arrays of numbers.

using System;
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
    public double PreActivation(double[] inputs)
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
        Z = Neurons.Select(neuron => neuron.PreActivation(inputs)).ToArray();
        A = Activation.Activate(Z);
        return A;
    }

    /// <summary>
    /// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
    /// </summary>
    public double[] HiddenDeltas(double[] activationGradients)
    {
        // EXERCISE BEGIN hidden delta: return new double[Neurons.Length];
        return Activation.Deltas(Z, A, activationGradients);
        // EXERCISE END hidden delta
    }

    /// <summary>Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.</summary>
    public double[] Backward(double[] delta)
    {
        Delta = delta;
        for (var j = 0; j < Neurons.Length; j++)
        {
            Neurons[j].AddGradients(delta[j], Inputs);
        }
        return InputGradients();
    }

    /// <summary>
    /// dL/dx of every input x, which is dL/da of the layer before.
    ///
    /// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
    /// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
    /// </summary>
    public double[] InputGradients()
    {
        var gradients = new double[Inputs.Length];
        // EXERCISE BEGIN hidden delta
        for (var j = 0; j < Neurons.Length; j++)
        {
            for (var i = 0; i < gradients.Length; i++)
            {
                gradients[i] += Delta[j] * Neurons[j].Weights[i];
            }
        }
        // EXERCISE END hidden delta
        return gradients;
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
            : Output.Activation.Deltas(Output.Z, Output.A, loss.ActivationGradients(Output.A, targets));
        return deltas.Select(delta => delta / divisor).ToArray();
        // EXERCISE END output delta
    }

    /// <summary>
    /// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
    /// </summary>
    public double[] Backward(double[] targets, double divisor)
    {
        var gradients = Output.Backward(OutputDeltas(targets, divisor));
        for (var l = Layers.Length - 2; l >= 0; l--)
        {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            gradients = Layers[l].Backward(Layers[l].HiddenDeltas(gradients));
        }
        return gradients;
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

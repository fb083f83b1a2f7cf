// Activations: what a layer makes of its pre-activations z, and the way back.
//
// a is a neuron's activation, and delta is dL/dz, the slope of the loss L with regard to z.

using System;
using System.Collections.Generic;
using System.Linq;

/// <summary>What a layer makes of its z, and the way back.</summary>
abstract class Activation
{
    /// <summary>a, the activations of a layer.</summary>
    public abstract double[] Activate(double[] z);

    /// <summary>dL/dz of a layer, from its dL/da.</summary>
    public abstract double[] Deltas(double[] z, double[] a, double[] activationGradients);

    /// <summary>How to make each of them, with its parameter alpha, which only two have.</summary>
    public static readonly Dictionary<string, Func<double?, Activation>> Named =
        new Dictionary<string, Func<double?, Activation>>
        {
            // No activation: a = z.
            ["identity"] = _ => new NeuronActivation(z => z, (z, a) => 1.0),

            // 1 / (1 + e^-z): any number squeezed into 0..1.
            ["sigmoid"] = _ => new NeuronActivation(Sigmoid, (z, a) => a * (1.0 - a)),

            // The hyperbolic tangent: any number squeezed into -1..1.
            ["tanh"] = _ => new NeuronActivation(Math.Tanh, (z, a) => 1.0 - a * a),

            // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
            ["relu"] = _ => new NeuronActivation(z => Math.Max(0.0, z), (z, a) => z > 0.0 ? 1.0 : 0.0),

            // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
            ["leaky_relu"] = alpha => LeakyReLU(alpha ?? 0.01),

            // Like ReLU, but bending smoothly to -alpha on the negative side.
            ["elu"] = alpha => ELU(alpha ?? 1.0),

            // ln(1 + e^z): a smooth ReLU.
            ["softplus"] = _ => new NeuronActivation(Softplus, (z, a) => Sigmoid(z)),

            // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
            ["softsign"] = _ => new NeuronActivation(
                z => z / (1.0 + Math.Abs(z)),
                (z, a) => 1.0 / ((1.0 + Math.Abs(z)) * (1.0 + Math.Abs(z)))),

            // z * sigmoid(z), also called swish. The derivative is the product rule.
            ["silu"] = _ => new NeuronActivation(
                z => z * Sigmoid(z),
                (z, a) => Sigmoid(z) + z * Sigmoid(z) * (1.0 - Sigmoid(z))),

            // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
            ["gelu"] = _ => new NeuronActivation(
                z => z * NormalProbability(z),
                (z, a) => NormalProbability(z) + z * NormalDensity(z)),

            // z, cut off at -1 and 1.
            ["hard_tanh"] = _ => new NeuronActivation(
                z => Math.Min(1.0, Math.Max(-1.0, z)),
                (z, a) => -1.0 < z && z < 1.0 ? 1.0 : 0.0),

            ["softmax"] = _ => new Softmax(),
            ["log_softmax"] = _ => new LogSoftmax(),
        };

    static Activation LeakyReLU(double alpha) =>
        new NeuronActivation(z => z > 0.0 ? z : alpha * z, (z, a) => z > 0.0 ? 1.0 : alpha);

    /// <summary>Expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.</summary>
    static Activation ELU(double alpha) =>
        new NeuronActivation(
            z => z > 0.0 ? z : alpha * Mathematics.Expm1(z),
            (z, a) => z > 0.0 ? 1.0 : alpha * Math.Exp(z));

    public static double Sigmoid(double z)
    {
        // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
        if (z >= 0.0) return 1.0 / (1.0 + Math.Exp(-z));
        var power = Math.Exp(z);
        return power / (1.0 + power);
    }

    /// <summary>The same as ln(1 + e^z), but e^z would overflow.</summary>
    public static double Softplus(double z) => Math.Max(0.0, z) + Mathematics.Log1p(Math.Exp(-Math.Abs(z)));

    /// <summary>
    /// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
    /// </summary>
    static double NormalProbability(double z) => 0.5 * Mathematics.Erfc(-z / Math.Sqrt(2.0));

    /// <summary>dP/dz, the bell curve.</summary>
    static double NormalDensity(double z) => Math.Exp(-0.5 * z * z) / Math.Sqrt(2.0 * Math.PI);
}

/// <summary>A function of one neuron's z, and its derivative. Most activations are of this kind.</summary>
sealed class NeuronActivation : Activation
{
    readonly Func<double, double> value;
    readonly Func<double, double, double> derivative;

    /// <summary>
    /// value(z) is a, the activation, and derivative(z, a) is da/dz. Both z and a are at hand: some derivatives are
    /// simpler in one, some in the other.
    /// </summary>
    public NeuronActivation(Func<double, double> value, Func<double, double, double> derivative)
    {
        this.value = value;
        this.derivative = derivative;
    }

    public override double[] Activate(double[] z) => z.Select(value).ToArray();

    /// <summary>The chain rule: dL/dz = dL/da * da/dz.</summary>
    public override double[] Deltas(double[] z, double[] a, double[] activationGradients) =>
        z.Select((zj, j) => activationGradients[j] * derivative(zj, a[j])).ToArray();
}

/// <summary>
/// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
/// </summary>
sealed class Softmax : Activation
{
    public override double[] Activate(double[] z)
    {
        // Taking the largest z off all of them changes no quotient, and no power can overflow.
        var largest = z.Max();
        var powers = z.Select(zj => Math.Exp(zj - largest)).ToArray();
        var total = powers.Sum();
        return powers.Select(power => power / total).ToArray();
    }

    public override double[] Deltas(double[] z, double[] a, double[] activationGradients)
    {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        var average = a.Select((aj, j) => activationGradients[j] * aj).Sum();
        return a.Select((ak, k) => ak * (activationGradients[k] - average)).ToArray();
    }
}

/// <summary>The natural logarithm of softmax, without ever taking the logarithm of a 0.</summary>
sealed class LogSoftmax : Activation
{
    public override double[] Activate(double[] z)
    {
        var largest = z.Max();
        var total = z.Select(zj => Math.Exp(zj - largest)).Sum();
        return z.Select(zj => zj - largest - Math.Log(total)).ToArray();
    }

    public override double[] Deltas(double[] z, double[] a, double[] activationGradients)
    {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        var total = activationGradients.Sum();
        return a.Select((ak, k) => activationGradients[k] - Math.Exp(ak) * total).ToArray();
    }
}

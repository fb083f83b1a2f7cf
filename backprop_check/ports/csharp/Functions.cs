// Activations and losses, each with its derivative.
//
// The names are the field's: z is a neuron's weighted sum plus its bias, a its activation, t a target.

using System;
using System.Collections.Generic;
using System.Linq;

// ------------------------------------------------------------------------------------------------
// Activations
// ------------------------------------------------------------------------------------------------

/// <summary>What a layer makes of its z, and the way back.</summary>
abstract class Activation
{
    /// <summary>a, the activations.</summary>
    public abstract double[] Activate(double[] z);

    /// <summary>dL/dz from dL/da.</summary>
    public abstract double[] Deltas(double[] z, double[] a, double[] dLossDa);

    /// <summary>How to make each of them, with its parameter alpha, which only two have.</summary>
    public static readonly Dictionary<string, Func<double?, Activation>> Named =
        new Dictionary<string, Func<double?, Activation>>
        {
            // No activation: a = z.
            ["identity"] = _ => new OfOneNeuron(z => z, (z, a) => 1.0),

            // 1 / (1 + e^-z): any number squeezed into 0..1.
            ["sigmoid"] = _ => new OfOneNeuron(Sigmoid, (z, a) => a * (1.0 - a)),

            // The hyperbolic tangent: any number squeezed into -1..1.
            ["tanh"] = _ => new OfOneNeuron(Math.Tanh, (z, a) => 1.0 - a * a),

            // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
            ["relu"] = _ => new OfOneNeuron(z => Math.Max(0.0, z), (z, a) => z > 0.0 ? 1.0 : 0.0),

            // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
            ["leaky_relu"] = alpha => LeakyReLU(alpha ?? 0.01),

            // Like ReLU, but bending smoothly to -alpha on the negative side.
            ["elu"] = alpha => ELU(alpha ?? 1.0),

            // ln(1 + e^z): a smooth ReLU.
            ["softplus"] = _ => new OfOneNeuron(Softplus, (z, a) => Sigmoid(z)),

            // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
            ["softsign"] = _ => new OfOneNeuron(
                z => z / (1.0 + Math.Abs(z)),
                (z, a) => 1.0 / ((1.0 + Math.Abs(z)) * (1.0 + Math.Abs(z)))),

            // z * sigmoid(z), also called swish. The derivative is the product rule.
            ["silu"] = _ => new OfOneNeuron(
                z => z * Sigmoid(z),
                (z, a) => Sigmoid(z) + z * Sigmoid(z) * (1.0 - Sigmoid(z))),

            // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
            ["gelu"] = _ => new OfOneNeuron(
                z => z * ProbabilityBelow(z),
                (z, a) => ProbabilityBelow(z) + z * BellCurve(z)),

            // z, cut off at -1 and 1.
            ["hard_tanh"] = _ => new OfOneNeuron(
                z => Math.Min(1.0, Math.Max(-1.0, z)),
                (z, a) => -1.0 < z && z < 1.0 ? 1.0 : 0.0),

            ["softmax"] = _ => new Softmax(),
            ["log_softmax"] = _ => new LogSoftmax(),
        };

    static Activation LeakyReLU(double alpha) =>
        new OfOneNeuron(z => z > 0.0 ? z : alpha * z, (z, a) => z > 0.0 ? 1.0 : alpha);

    /// <summary>Expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.</summary>
    static Activation ELU(double alpha) =>
        new OfOneNeuron(
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
    static double ProbabilityBelow(double z) => 0.5 * Mathematics.Erfc(-z / Math.Sqrt(2.0));

    /// <summary>dP/dz.</summary>
    static double BellCurve(double z) => Math.Exp(-0.5 * z * z) / Math.Sqrt(2.0 * Math.PI);
}

/// <summary>An activation where every neuron is on its own.</summary>
sealed class OfOneNeuron : Activation
{
    readonly Func<double, double> value;
    readonly Func<double, double, double> derivative;

    /// <summary>
    /// value(z) gives a, and derivative(z, a) gives da/dz: both z and a are at hand, since some derivatives are
    /// simpler in one, some in the other.
    /// </summary>
    public OfOneNeuron(Func<double, double> value, Func<double, double, double> derivative)
    {
        this.value = value;
        this.derivative = derivative;
    }

    public override double[] Activate(double[] z) => z.Select(value).ToArray();

    /// <summary>The chain rule: dL/dz = dL/da * da/dz.</summary>
    public override double[] Deltas(double[] z, double[] a, double[] dLossDa) =>
        z.Select((zj, j) => dLossDa[j] * derivative(zj, a[j])).ToArray();
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

    public override double[] Deltas(double[] z, double[] a, double[] dLossDa)
    {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        var average = a.Select((aj, j) => dLossDa[j] * aj).Sum();
        return a.Select((ak, k) => ak * (dLossDa[k] - average)).ToArray();
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

    public override double[] Deltas(double[] z, double[] a, double[] dLossDa)
    {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        var total = dLossDa.Sum();
        return a.Select((ak, k) => dLossDa[k] - Math.Exp(ak) * total).ToArray();
    }
}

// ------------------------------------------------------------------------------------------------
// Losses
// ------------------------------------------------------------------------------------------------

/// <summary>How wrong the outputs of a sample are.</summary>
sealed class Loss
{
    readonly Func<double, double, double> term;
    readonly Func<double, double, double> derivative;
    readonly bool meanOverOutputs;

    /// <summary>
    /// Every output adds a term(a, t), with derivative(a, t) with regard to a. Where meanOverOutputs is true, the sum
    /// of the terms is divided by their number.
    /// </summary>
    Loss(
        Func<double, double, double> term,
        Func<double, double, double> derivative,
        bool meanOverOutputs = false)
    {
        this.term = term;
        this.derivative = derivative;
        this.meanOverOutputs = meanOverOutputs;
    }

    /// <summary>The loss of one sample.</summary>
    public double OfSample(double[] a, double[] t) => a.Zip(t, term).Sum() / Divisor(a);

    /// <summary>dL/da of every output, where L is the loss of this one sample.</summary>
    public double[] DLossDa(double[] a, double[] t) =>
        a.Zip(t, derivative).Select(slope => slope / Divisor(a)).ToArray();

    double Divisor(double[] a) => meanOverOutputs ? a.Length : 1.0;

    /// <summary>How to make each of them, with its parameter threshold, which only one has.</summary>
    public static readonly Dictionary<string, Func<double?, Loss>> Named = new Dictionary<string, Func<double?, Loss>>
    {
        // Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
        ["half_squared_error"] = _ => new Loss((a, t) => 0.5 * (a - t) * (a - t), (a, t) => a - t),

        // The square of the error.
        ["squared_error"] = _ => new Loss((a, t) => (a - t) * (a - t), (a, t) => 2.0 * (a - t)),

        // The square of the error, averaged over the outputs.
        ["mean_squared_error"] = _ => new Loss(
            (a, t) => (a - t) * (a - t), (a, t) => 2.0 * (a - t), meanOverOutputs: true),

        // The size of the error, averaged over the outputs. The sign is 0 at the kink, where there is no slope.
        ["mean_absolute_error"] = _ => new Loss(
            (a, t) => Math.Abs(a - t), (a, t) => Sign(a - t), meanOverOutputs: true),

        // Half the square of a small error; a straight line from there on for a large one.
        ["huber"] = threshold => Huber(threshold ?? 1.0),

        // -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
        ["binary_cross_entropy"] = _ => new Loss(
            (a, t) => -(TimesLog(t, a) + TimesLog(1.0 - t, 1.0 - a)),
            (a, t) => -(Divide(t, a) - Divide(1.0 - t, 1.0 - a))),

        // -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
        ["cross_entropy"] = _ => new Loss((a, t) => -TimesLog(t, a), (a, t) => -Divide(t, a)),

        // -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
        ["negative_log_likelihood"] = _ => new Loss((a, t) => -t * a, (a, t) => -t),

        // max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on.
        ["hinge"] = _ => new Loss(
            (a, t) => Math.Max(0.0, 1.0 - t * a), (a, t) => 1.0 - t * a > 0.0 ? -t : 0.0),
    };

    static Loss Huber(double threshold) => new Loss(
        (a, t) =>
        {
            var size = Math.Abs(a - t);
            return size <= threshold ? 0.5 * size * size : threshold * (size - 0.5 * threshold);
        },
        (a, t) => Math.Abs(a - t) <= threshold ? a - t : threshold * Sign(a - t),
        meanOverOutputs: true);

    /// <summary>1, -1, or 0 at the kink of |x|. (Math.Sign throws for NaN.)</summary>
    static double Sign(double x) => x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;

    /// <summary>
    /// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
    /// </summary>
    static double TimesLog(double t, double p) => t == 0.0 ? 0.0 : t * Math.Log(p);

    /// <summary>t / p, the derivative of t ln p with regard to p.</summary>
    static double Divide(double t, double p) => t == 0.0 ? 0.0 : t / p;
}

/// <summary>
/// The output's activation and its loss in one step, from z to the loss and back.
///
/// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer: nothing
/// is divided by a probability that was rounded to 0, and no logarithm is taken of it.
/// </summary>
abstract class OneStep
{
    /// <summary>The loss of one sample.</summary>
    public abstract double OfSample(double[] z, double[] t);

    /// <summary>dL/dz of every output.</summary>
    public abstract double[] Deltas(double[] a, double[] t);

    /// <summary>The step of this pair, or null where it has none.</summary>
    public static OneStep Of(string activation, string loss)
    {
        switch (activation + " + " + loss)
        {
            case "sigmoid + binary_cross_entropy": return new SigmoidWithBinaryCrossEntropy();
            case "softmax + cross_entropy": return new SoftmaxWithCrossEntropy();
            default: return null;
        }
    }
}

/// <summary>With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).</summary>
sealed class SigmoidWithBinaryCrossEntropy : OneStep
{
    public override double OfSample(double[] z, double[] t) =>
        z.Zip(t, (zk, tk) => tk * Activation.Softplus(-zk) + (1.0 - tk) * Activation.Softplus(zk)).Sum();

    /// <summary>dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.</summary>
    public override double[] Deltas(double[] a, double[] t) => a.Zip(t, (ak, tk) => ak - tk).ToArray();
}

/// <summary>With a = softmax(z), ln a is log_softmax(z).</summary>
sealed class SoftmaxWithCrossEntropy : OneStep
{
    public override double OfSample(double[] z, double[] t) =>
        new LogSoftmax().Activate(z).Zip(t, (logA, tk) => -tk * logA).Sum();

    /// <summary>
    /// Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
    /// </summary>
    public override double[] Deltas(double[] a, double[] t)
    {
        var total = t.Sum(); // 1 for probabilities, and then this is the well-known a - t
        return a.Zip(t, (ak, tk) => ak * total - tk).ToArray();
    }
}

// Losses: how wrong the outputs of a sample are, and the slope of that.

using System;
using System.Collections.Generic;
using System.Linq;

/// <summary>
/// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
/// </summary>
sealed class Loss
{
    readonly Func<double, double, double> term;
    readonly Func<double, double, double> derivative;
    readonly bool meanOverOutputs;

    /// <summary>
    /// term(a, t) is one output's part of the loss, of its activation a and its target t, and derivative(a, t) the
    /// derivative of that part with regard to a. With meanOverOutputs that sum is divided by the number of outputs.
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
    public double[] ActivationGradients(double[] a, double[] t) =>
        a.Zip(t, derivative).Select(gradient => gradient / Divisor(a)).ToArray();

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
            (a, t) => Math.Abs(a - t), (a, t) => Mathematics.Sign(a - t), meanOverOutputs: true),

        // Half the square of a small error; a straight line from there on for a large one.
        ["huber"] = threshold => Huber(threshold ?? 1.0),

        // -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
        ["binary_cross_entropy"] = _ => new Loss(
            (a, t) => -(Mathematics.TimesLog(t, a) + Mathematics.TimesLog(1.0 - t, 1.0 - a)),
            (a, t) => -(Mathematics.Divide(t, a) - Mathematics.Divide(1.0 - t, 1.0 - a))),

        // -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
        ["cross_entropy"] = _ => new Loss((a, t) => -Mathematics.TimesLog(t, a), (a, t) => -Mathematics.Divide(t, a)),

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
        (a, t) => Math.Abs(a - t) <= threshold ? a - t : threshold * Mathematics.Sign(a - t),
        meanOverOutputs: true);

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
    public static OneStep Named(string activation, string loss)
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

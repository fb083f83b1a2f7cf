import java.util.List;
import java.util.function.DoubleBinaryOperator;

/**
 * How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
 *
 * {@code term(a, t)} is one output's part of the loss, of its activation a and its target t, and
 * {@code derivative(a, t)} the derivative of that part with regard to a. With {@code meanOverOutputs} that sum is
 * divided by the number of outputs.
 */
record Loss(boolean meanOverOutputs, DoubleBinaryOperator term, DoubleBinaryOperator derivative) {
    /** The loss of one sample. */
    double ofSample(double[] a, double[] t) {
        double total = 0.0;
        for (int k = 0; k < a.length; k++) {
            total += term.applyAsDouble(a[k], t[k]);
        }
        return meanOverOutputs ? total / a.length : total;
    }

    /** dL/da of every output, where L is the loss of this one sample. */
    double[] activationGradients(double[] a, double[] t) {
        var gradients = new double[a.length];
        for (int k = 0; k < a.length; k++) {
            double gradient = derivative.applyAsDouble(a[k], t[k]);
            gradients[k] = meanOverOutputs ? gradient / a.length : gradient;
        }
        return gradients;
    }

    static final List<String> NAMES = List.of("half_squared_error", "squared_error", "mean_squared_error",
            "mean_absolute_error", "huber", "binary_cross_entropy", "cross_entropy", "negative_log_likelihood",
            "hinge");

    /** The loss of that name. Only one has the parameter threshold, which the case may leave out. */
    static Loss named(String name, Double threshold) {
        return switch (name) {
            // Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
            case "half_squared_error" -> sum((a, t) -> 0.5 * (a - t) * (a - t), (a, t) -> a - t);

            // The square of the error.
            case "squared_error" -> sum((a, t) -> (a - t) * (a - t), (a, t) -> 2.0 * (a - t));

            // The square of the error, averaged over the outputs.
            case "mean_squared_error" -> mean((a, t) -> (a - t) * (a - t), (a, t) -> 2.0 * (a - t));

            // The size of the error, averaged over the outputs. The sign is 0 at the kink, where there is no slope.
            case "mean_absolute_error" -> mean((a, t) -> Math.abs(a - t), (a, t) -> Math.signum(a - t));

            // Half the square of a small error; a straight line from there on for a large one.
            case "huber" -> huber(threshold == null ? 1.0 : threshold);

            // -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
            case "binary_cross_entropy" -> sum(
                    (a, t) -> -(Mathematics.timesLog(t, a) + Mathematics.timesLog(1.0 - t, 1.0 - a)),
                    (a, t) -> -(Mathematics.divide(t, a) - Mathematics.divide(1.0 - t, 1.0 - a)));

            // -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
            case "cross_entropy" -> sum((a, t) -> -Mathematics.timesLog(t, a), (a, t) -> -Mathematics.divide(t, a));

            // -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
            case "negative_log_likelihood" -> sum((a, t) -> -t * a, (a, t) -> -t);

            // max(0, 1 - t a), t being -1 or 1: nothing to pay on the right side, from a margin of 1 on.
            case "hinge" -> sum((a, t) -> Math.max(0.0, 1.0 - t * a), (a, t) -> 1.0 - t * a > 0.0 ? -t : 0.0);

            default -> throw new IllegalArgumentException("no loss is called " + name);
        };
    }

    private static Loss sum(DoubleBinaryOperator term, DoubleBinaryOperator derivative) {
        return new Loss(false, term, derivative);
    }

    private static Loss mean(DoubleBinaryOperator term, DoubleBinaryOperator derivative) {
        return new Loss(true, term, derivative);
    }

    private static Loss huber(double threshold) {
        return mean(
                (a, t) -> {
                    double size = Math.abs(a - t);
                    return size <= threshold ? 0.5 * size * size : threshold * (size - 0.5 * threshold);
                },
                (a, t) -> Math.abs(a - t) <= threshold ? a - t : threshold * Math.signum(a - t));
    }

    /**
     * The output's activation and its loss in one step, from z to the loss and back.
     *
     * Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
     * nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
     */
    interface OneStep {
        /** The loss of one sample. */
        double ofSample(double[] z, double[] t);

        /** dL/dz of every output. */
        double[] deltas(double[] a, double[] t);

        /** The step of this pair, or null where it has none. */
        static OneStep named(String activation, String loss) {
            return switch (activation + " + " + loss) {
                case "sigmoid + binary_cross_entropy" -> new SigmoidWithBinaryCrossEntropy();
                case "softmax + cross_entropy" -> new SoftmaxWithCrossEntropy();
                default -> null;
            };
        }
    }

    /** With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z). */
    private record SigmoidWithBinaryCrossEntropy() implements OneStep {
        @Override
        public double ofSample(double[] z, double[] t) {
            double loss = 0.0;
            for (int k = 0; k < z.length; k++) {
                loss += t[k] * Activation.softplus(-z[k]) + (1.0 - t[k]) * Activation.softplus(z[k]);
            }
            return loss;
        }

        @Override
        public double[] deltas(double[] a, double[] t) {
            // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = a[k] - t[k];
            }
            return deltas;
        }
    }

    /** With a = softmax(z), ln a is log_softmax(z). */
    private record SoftmaxWithCrossEntropy() implements OneStep {
        @Override
        public double ofSample(double[] z, double[] t) {
            double[] logA = Activation.logSoftmax(z);
            double loss = 0.0;
            for (int k = 0; k < z.length; k++) {
                loss += -t[k] * logA[k];
            }
            return loss;
        }

        @Override
        public double[] deltas(double[] a, double[] t) {
            // Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
            double total = Mathematics.addUp(t); // 1 for probabilities, and then this is the well-known a - t
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = a[k] * total - t[k];
            }
            return deltas;
        }
    }
}

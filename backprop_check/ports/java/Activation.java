import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;

/**
 * What a layer makes of its pre-activations z, and the way back.
 *
 * {@code a} is a neuron's activation, and {@code delta} is dL/dz, the slope of the loss L with regard to z.
 */
interface Activation {
    /** a, the activations of a layer. */
    double[] activate(double[] z);

    /** dL/dz of a layer, from its dL/da. */
    double[] deltas(double[] z, double[] a, double[] activationGradients);

    List<String> NAMES = List.of("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign",
            "silu", "gelu", "hard_tanh", "softmax", "log_softmax");

    /** The activation of that name. Only two have the parameter alpha, which the case may leave out. */
    static Activation named(String name, Double alpha) {
        return switch (name) {
            // No activation: a = z.
            case "identity" -> neuronActivation(z -> z, (z, a) -> 1.0);

            // 1 / (1 + e^-z): any number squeezed into 0..1.
            case "sigmoid" -> neuronActivation(Activation::sigmoid, (z, a) -> a * (1.0 - a));

            // The hyperbolic tangent: any number squeezed into -1..1.
            case "tanh" -> neuronActivation(Math::tanh, (z, a) -> 1.0 - a * a);

            // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
            case "relu" -> neuronActivation(z -> Math.max(0.0, z), (z, a) -> z > 0.0 ? 1.0 : 0.0);

            // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
            case "leaky_relu" -> leakyRelu(alpha == null ? 0.01 : alpha);

            // Like ReLU, but bending smoothly to -alpha on the negative side.
            case "elu" -> elu(alpha == null ? 1.0 : alpha);

            // ln(1 + e^z): a smooth ReLU.
            case "softplus" -> neuronActivation(Activation::softplus, (z, a) -> sigmoid(z));

            // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
            case "softsign" -> neuronActivation(
                    z -> z / (1.0 + Math.abs(z)),
                    (z, a) -> 1.0 / ((1.0 + Math.abs(z)) * (1.0 + Math.abs(z))));

            // z * sigmoid(z), also called swish. The derivative is the product rule.
            case "silu" -> neuronActivation(
                    z -> z * sigmoid(z),
                    (z, a) -> sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)));

            // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
            case "gelu" -> neuronActivation(
                    z -> z * normalProbability(z),
                    (z, a) -> normalProbability(z) + z * normalDensity(z));

            // z, cut off at -1 and 1.
            case "hard_tanh" -> neuronActivation(
                    z -> Math.min(1.0, Math.max(-1.0, z)),
                    (z, a) -> -1.0 < z && z < 1.0 ? 1.0 : 0.0);

            case "softmax" -> new Softmax();
            case "log_softmax" -> new LogSoftmax();
            default -> throw new IllegalArgumentException("no activation is called " + name);
        };
    }

    /**
     * A function of one neuron's z, and its derivative. Most activations are of this kind.
     *
     * {@code value} gives a, the activation, and {@code derivative} gives da/dz. Both z and a are at hand: some
     * derivatives are simpler in one, some in the other.
     */
    private static Activation neuronActivation(DoubleUnaryOperator value, DoubleBinaryOperator derivative) {
        return new Activation() {
            @Override
            public double[] activate(double[] z) {
                return Arrays.stream(z).map(value).toArray();
            }

            @Override
            public double[] deltas(double[] z, double[] a, double[] activationGradients) {
                var deltas = new double[z.length];
                for (int j = 0; j < z.length; j++) {
                    deltas[j] = activationGradients[j] * derivative.applyAsDouble(z[j], a[j]); // the chain rule
                }
                return deltas;
            }
        };
    }

    private static Activation leakyRelu(double alpha) {
        return neuronActivation(z -> z > 0.0 ? z : alpha * z, (z, a) -> z > 0.0 ? 1.0 : alpha);
    }

    private static Activation elu(double alpha) {
        // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
        return neuronActivation(
                z -> z > 0.0 ? z : alpha * Math.expm1(z),
                (z, a) -> z > 0.0 ? 1.0 : alpha * Math.exp(z));
    }

    /** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
    record Softmax() implements Activation {
        @Override
        public double[] activate(double[] z) {
            // Taking the largest z off all of them changes no quotient, and no power can overflow.
            double largest = Mathematics.largestOf(z);
            double[] powers = Arrays.stream(z).map(zj -> Math.exp(zj - largest)).toArray();
            double total = Mathematics.addUp(powers);
            return Arrays.stream(powers).map(power -> power / total).toArray();
        }

        @Override
        public double[] deltas(double[] z, double[] a, double[] activationGradients) {
            // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
            // Summed over all j that is a_k * (dL/da_k - average), where
            double average = 0.0;
            for (int j = 0; j < a.length; j++) {
                average += activationGradients[j] * a[j];
            }
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = a[k] * (activationGradients[k] - average);
            }
            return deltas;
        }
    }

    /** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
    record LogSoftmax() implements Activation {
        @Override
        public double[] activate(double[] z) {
            return logSoftmax(z);
        }

        @Override
        public double[] deltas(double[] z, double[] a, double[] activationGradients) {
            // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
            double total = Mathematics.addUp(activationGradients);
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = activationGradients[k] - Math.exp(a[k]) * total;
            }
            return deltas;
        }
    }

    static double sigmoid(double z) {
        // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
        if (z >= 0.0) return 1.0 / (1.0 + Math.exp(-z));
        double power = Math.exp(z);
        return power / (1.0 + power);
    }

    /** The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x. */
    static double softplus(double z) {
        return Math.max(0.0, z) + Math.log1p(Math.exp(-Math.abs(z)));
    }

    /** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
    private static double normalProbability(double z) {
        return 0.5 * Mathematics.erfc(-z / Math.sqrt(2.0));
    }

    /** dP/dz, the bell curve. */
    private static double normalDensity(double z) {
        return Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math.PI);
    }

    /** The natural logarithm of softmax. */
    static double[] logSoftmax(double[] z) {
        double largest = Mathematics.largestOf(z);
        double total = Mathematics.addUp(Arrays.stream(z).map(zj -> Math.exp(zj - largest)).toArray());
        return Arrays.stream(z).map(zj -> zj - largest - Math.log(total)).toArray();
    }
}

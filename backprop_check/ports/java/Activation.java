import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;

/**
 * What a layer makes of its z, and the way back.
 *
 * The names are the field's: {@code z} is a neuron's weighted sum plus its bias, {@code a} its activation.
 */
interface Activation {
    /** a, the activations. */
    double[] activate(double[] z);

    /** dL/dz from dL/da. */
    double[] deltas(double[] z, double[] a, double[] dLossDa);

    List<String> NAMES = List.of("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign",
            "silu", "gelu", "hard_tanh", "softmax", "log_softmax");

    /** The activation of that name. Only two have the parameter alpha, which the case may leave out. */
    static Activation named(String name, Double alpha) {
        return switch (name) {
            // No activation: a = z.
            case "identity" -> ofOneNeuron(z -> z, (z, a) -> 1.0);

            // 1 / (1 + e^-z): any number squeezed into 0..1.
            case "sigmoid" -> ofOneNeuron(Activation::sigmoid, (z, a) -> a * (1.0 - a));

            // The hyperbolic tangent: any number squeezed into -1..1.
            case "tanh" -> ofOneNeuron(Math::tanh, (z, a) -> 1.0 - a * a);

            // z where it is positive, else 0. At z = 0 there is a kink and no slope; 0 is the usual convention.
            case "relu" -> ofOneNeuron(z -> Math.max(0.0, z), (z, a) -> z > 0.0 ? 1.0 : 0.0);

            // Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
            case "leaky_relu" -> leakyRelu(alpha == null ? 0.01 : alpha);

            // Like ReLU, but bending smoothly to -alpha on the negative side.
            case "elu" -> elu(alpha == null ? 1.0 : alpha);

            // ln(1 + e^z): a smooth ReLU.
            case "softplus" -> ofOneNeuron(Activation::softplus, (z, a) -> sigmoid(z));

            // z / (1 + |z|): like tanh, but slower to reach -1 and 1.
            case "softsign" -> ofOneNeuron(
                    z -> z / (1.0 + Math.abs(z)),
                    (z, a) -> 1.0 / ((1.0 + Math.abs(z)) * (1.0 + Math.abs(z))));

            // z * sigmoid(z), also called swish. The derivative is the product rule.
            case "silu" -> ofOneNeuron(
                    z -> z * sigmoid(z),
                    (z, a) -> sigmoid(z) + z * sigmoid(z) * (1.0 - sigmoid(z)));

            // z * P(z), P(z) the probability that a standard normal number is below z. Again the product rule.
            case "gelu" -> ofOneNeuron(
                    z -> z * probabilityBelow(z),
                    (z, a) -> probabilityBelow(z) + z * bellCurve(z));

            // z, cut off at -1 and 1.
            case "hard_tanh" -> ofOneNeuron(
                    z -> Math.min(1.0, Math.max(-1.0, z)),
                    (z, a) -> -1.0 < z && z < 1.0 ? 1.0 : 0.0);

            case "softmax" -> new Softmax();
            case "log_softmax" -> new LogSoftmax();
            default -> throw new NotThereYet("the activation " + name);
        };
    }

    /**
     * An activation where every neuron is on its own. {@code value} gives its a from z, and {@code derivative} gives
     * da/dz: both z and a are at hand, since some derivatives are simpler in one, some in the other.
     */
    private static Activation ofOneNeuron(DoubleUnaryOperator value, DoubleBinaryOperator derivative) {
        return new Activation() {
            @Override
            public double[] activate(double[] z) {
                return Arrays.stream(z).map(value).toArray();
            }

            @Override
            public double[] deltas(double[] z, double[] a, double[] dLossDa) {
                var deltas = new double[z.length];
                for (int j = 0; j < z.length; j++) {
                    deltas[j] = dLossDa[j] * derivative.applyAsDouble(z[j], a[j]); // the chain rule
                }
                return deltas;
            }
        };
    }

    private static Activation leakyRelu(double alpha) {
        return ofOneNeuron(z -> z > 0.0 ? z : alpha * z, (z, a) -> z > 0.0 ? 1.0 : alpha);
    }

    private static Activation elu(double alpha) {
        // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
        return ofOneNeuron(
                z -> z > 0.0 ? z : alpha * Math.expm1(z),
                (z, a) -> z > 0.0 ? 1.0 : alpha * Math.exp(z));
    }

    /** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
    record Softmax() implements Activation {
        @Override
        public double[] activate(double[] z) {
            // Taking the largest z off all of them changes no quotient, and no power can overflow.
            double largest = largest(z);
            double[] powers = Arrays.stream(z).map(zj -> Math.exp(zj - largest)).toArray();
            double total = addUp(powers);
            return Arrays.stream(powers).map(power -> power / total).toArray();
        }

        @Override
        public double[] deltas(double[] z, double[] a, double[] dLossDa) {
            // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
            // Summed over all j that is a_k * (dL/da_k - average), where
            double average = 0.0;
            for (int j = 0; j < a.length; j++) {
                average += dLossDa[j] * a[j];
            }
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = a[k] * (dLossDa[k] - average);
            }
            return deltas;
        }
    }

    /** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
    record LogSoftmax() implements Activation {
        @Override
        public double[] activate(double[] z) {
            double largest = largest(z);
            double total = addUp(Arrays.stream(z).map(zj -> Math.exp(zj - largest)).toArray());
            return Arrays.stream(z).map(zj -> zj - largest - Math.log(total)).toArray();
        }

        @Override
        public double[] deltas(double[] z, double[] a, double[] dLossDa) {
            // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
            double total = addUp(dLossDa);
            var deltas = new double[a.length];
            for (int k = 0; k < a.length; k++) {
                deltas[k] = dLossDa[k] - Math.exp(a[k]) * total;
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
    private static double probabilityBelow(double z) {
        return 0.5 * Mathematics.erfc(-z / Math.sqrt(2.0));
    }

    /** dP/dz. */
    private static double bellCurve(double z) {
        return Math.exp(-0.5 * z * z) / Math.sqrt(2.0 * Math.PI);
    }

    private static double largest(double[] numbers) {
        return Arrays.stream(numbers).max().orElseThrow();
    }

    static double addUp(double[] numbers) {
        double total = 0.0;
        for (double number : numbers) {
            total += number;
        }
        return total;
    }
}

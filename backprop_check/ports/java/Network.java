import java.util.List;

/**
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain Java.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 *
 * The names are the field's: {@code z} is a neuron's pre-activation (the weighted sum of its inputs plus its bias),
 * {@code a} its activation, and {@code delta} is dL/dz, the slope of the loss L with regard to z. Every other slope of
 * L is a gradient: dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only arrays of
 * numbers.
 */
final class Network {

    // --------------------------------------------------------------------------------------------
    // 1. Neuron
    // --------------------------------------------------------------------------------------------

    /** One neuron: a weight for each of its inputs, and a bias. */
    static final class Neuron {
        final double[] weights;
        double bias;

        final double[] weightGradients;
        double biasGradient;

        Neuron(double[] weights, double bias) {
            this.weights = weights;
            this.bias = bias;
            this.weightGradients = new double[weights.length];
        }

        /** Starts the sums over the samples at 0. */
        void resetGradients() {
            for (int i = 0; i < weightGradients.length; i++) {
                weightGradients[i] = 0.0;
            }
            biasGradient = 0.0;
        }

        /** Forward: z, every input times its weight, plus the bias. */
        double preActivation(double[] inputs) {
            double z = bias;
            for (int i = 0; i < weights.length; i++) {
                z += weights[i] * inputs[i];
            }
            return z;
        }

        /**
         * Backward: adds one sample's part to the gradients.
         *
         * A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
         */
        void addGradients(double delta, double[] inputs) {
            // EXERCISE BEGIN gradients
            for (int i = 0; i < inputs.length; i++) {
                weightGradients[i] += delta * inputs[i];
            }
            biasGradient += delta;
            // EXERCISE END gradients
        }

        /** Takes one step down the slope. */
        void update(double learningRate) {
            // EXERCISE BEGIN update
            for (int i = 0; i < weights.length; i++) {
                weights[i] -= learningRate * weightGradients[i];
            }
            bias -= learningRate * biasGradient;
            // EXERCISE END update
        }
    }

    // --------------------------------------------------------------------------------------------
    // 2. Layer
    // --------------------------------------------------------------------------------------------

    /** Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a. */
    static final class Layer {
        final List<Neuron> neurons;
        final Activation activation;

        double[] inputs;
        double[] z;
        double[] a;
        double[] delta;

        Layer(List<Neuron> neurons, Activation activation) {
            this.neurons = neurons;
            this.activation = activation;
        }

        /** The activations of all neurons for one sample. */
        double[] forward(double[] inputs) {
            this.inputs = inputs;
            z = new double[neurons.size()];
            for (int j = 0; j < z.length; j++) {
                z[j] = neurons.get(j).preActivation(inputs);
            }
            a = activation.activate(z);
            return a;
        }

        /** delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
        double[] hiddenDeltas(double[] activationGradients) {
            // EXERCISE BEGIN hidden delta: return new double[neurons.size()];
            return activation.deltas(z, a, activationGradients);
            // EXERCISE END hidden delta
        }

        /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
        double[] backward(double[] delta) {
            this.delta = delta;
            for (int j = 0; j < delta.length; j++) {
                neurons.get(j).addGradients(delta[j], inputs);
            }
            return inputGradients();
        }

        /**
         * dL/dx of every input x, which is dL/da of the layer before.
         *
         * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
         * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
         */
        double[] inputGradients() {
            var gradients = new double[inputs.length];
            // EXERCISE BEGIN hidden delta
            for (int j = 0; j < delta.length; j++) {
                for (int i = 0; i < gradients.length; i++) {
                    gradients[i] += delta[j] * neurons.get(j).weights[i];
                }
            }
            // EXERCISE END hidden delta
            return gradients;
        }
    }

    // --------------------------------------------------------------------------------------------
    // 3. Network: layers, each reading the activations of the one before
    // --------------------------------------------------------------------------------------------

    final List<Layer> layers;
    private final Loss loss;
    private final Loss.OneStep oneStep;

    /** {@code oneStep} is the output's activation and loss in one; null where there is no such thing. */
    Network(List<Layer> layers, Loss loss, Loss.OneStep oneStep) {
        this.layers = layers;
        this.loss = loss;
        this.oneStep = oneStep;
    }

    private Layer output() {
        return layers.get(layers.size() - 1);
    }

    /** The output of the network for one sample. */
    double[] forward(double[] inputs) {
        double[] a = inputs;
        for (Layer layer : layers) {
            a = layer.forward(a);
        }
        return a;
    }

    /** The loss of the sample that went forward last. */
    double sampleLoss(double[] targets) {
        return oneStep != null ? oneStep.ofSample(output().z, targets) : loss.ofSample(output().a, targets);
    }

    /**
     * dL/dz of the output neurons, where backward begins.
     *
     * L is the loss of the whole batch, the mean of its samples' losses or their sum: {@code divisor} is their number,
     * or 1.
     */
    double[] outputDeltas(double[] targets, double divisor) {
        // EXERCISE BEGIN output delta: return new double[targets.length];
        Layer output = output();
        double[] deltas = oneStep != null
                ? oneStep.deltas(output.a, targets)
                : output.activation.deltas(output.z, output.a, loss.activationGradients(output.a, targets));
        for (int k = 0; k < deltas.length; k++) {
            deltas[k] /= divisor;
        }
        return deltas;
        // EXERCISE END output delta
    }

    /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
    double[] backward(double[] targets, double divisor) {
        double[] gradients = output().backward(outputDeltas(targets, divisor));
        for (int l = layers.size() - 2; l >= 0; l--) {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            gradients = layers.get(l).backward(layers.get(l).hiddenDeltas(gradients));
        }
        return gradients;
    }

    void resetGradients() {
        for (Layer layer : layers) {
            layer.neurons.forEach(Neuron::resetGradients);
        }
    }

    /** Takes one step down the slope, once all gradients are there. */
    void update(double learningRate) {
        for (Layer layer : layers) {
            layer.neurons.forEach(neuron -> neuron.update(learningRate));
        }
    }
}

<?php

declare(strict_types=1);

/*
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain PHP.
 *
 * Read it from top to bottom:
 *
 * 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
 * 2. Layer      neurons that read the same inputs
 * 3. Network    layers one after the other: forward, backward, update
 *
 * The names are the field's: $z is a neuron's pre-activation (the weighted sum of its inputs plus its bias), $a its
 * activation, and $delta is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
 * dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.
 */

require_once __DIR__ . '/activations.php';
require_once __DIR__ . '/losses.php';

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

/** One neuron: a weight for each of its inputs, and a bias. */
final class Neuron
{
    public array $weight_gradients;
    public float $bias_gradient;

    public function __construct(public array $weights, public float $bias)
    {
        $this->reset_gradients();
    }

    /** Starts the sums over the samples at 0. */
    public function reset_gradients(): void
    {
        $this->weight_gradients = array_fill(0, count($this->weights), 0.0);
        $this->bias_gradient = 0.0;
    }

    /** Forward: gives z, every input times its weight, plus the bias. */
    public function pre_activation(array $inputs): float
    {
        $z = $this->bias;
        foreach ($this->weights as $i => $weight) {
            $z += $weight * $inputs[$i];
        }
        return $z;
    }

    /**
     * Backward: adds one sample's part to the gradients.
     *
     * A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
     */
    public function add_gradients(float $delta, array $inputs): void
    {
        // EXERCISE BEGIN gradients
        foreach ($inputs as $i => $x) {
            $this->weight_gradients[$i] += $delta * $x;
        }
        $this->bias_gradient += $delta;
        // EXERCISE END gradients
    }

    /** Takes one step down the slope. */
    public function update(float $learning_rate): void
    {
        // EXERCISE BEGIN update
        foreach ($this->weight_gradients as $i => $gradient) {
            $this->weights[$i] -= $learning_rate * $gradient;
        }
        $this->bias -= $learning_rate * $this->bias_gradient;
        // EXERCISE END update
    }
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

/** Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a. */
final class Layer
{
    public array $inputs = [];
    public array $z = [];
    public array $a = [];
    public array $delta = [];

    /** @param Neuron[] $neurons */
    public function __construct(public readonly array $neurons, public readonly Activation $activation)
    {
    }

    /** Gives the activations of all neurons for one sample. */
    public function forward(array $inputs): array
    {
        $this->inputs = $inputs;
        $this->z = array_map(fn (Neuron $neuron) => $neuron->pre_activation($inputs), $this->neurons);
        $this->a = $this->activation->activate($this->z);
        return $this->a;
    }

    /** Gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation. */
    public function hidden_deltas(array $activation_gradients): array
    {
        // EXERCISE BEGIN hidden delta: return array_fill(0, count($this->neurons), 0.0);
        return $this->activation->deltas($this->z, $this->a, $activation_gradients);
        // EXERCISE END hidden delta
    }

    /** Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x. */
    public function backward(array $delta): array
    {
        $this->delta = $delta;
        foreach ($this->neurons as $j => $neuron) {
            $neuron->add_gradients($delta[$j], $this->inputs);
        }
        return $this->input_gradients();
    }

    /**
     * Gives dL/dx of every input x, which is dL/da of the layer before.
     *
     * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
     * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
     */
    public function input_gradients(): array
    {
        $gradients = array_fill(0, count($this->inputs), 0.0);
        // EXERCISE BEGIN hidden delta
        foreach ($this->neurons as $j => $neuron) {
            foreach ($neuron->weights as $i => $weight) {
                $gradients[$i] += $this->delta[$j] * $weight;
            }
        }
        // EXERCISE END hidden delta
        return $gradients;
    }
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

/** Layers, each reading the activations of the one before. */
final class Network
{
    /**
     * $one_step is the output's activation and loss in one; null where there is no such thing.
     *
     * @param Layer[] $layers
     */
    public function __construct(
        public readonly array $layers,
        private readonly Loss $loss,
        private readonly ?OneStep $one_step,
    ) {
    }

    private function output(): Layer
    {
        return $this->layers[array_key_last($this->layers)];
    }

    /** Gives the output of the network for one sample. */
    public function forward(array $inputs): array
    {
        foreach ($this->layers as $layer) {
            $inputs = $layer->forward($inputs);
        }
        return $inputs;
    }

    /** Gives the loss of the sample that went forward last. */
    public function sample_loss(array $targets): float
    {
        return $this->one_step?->of_sample($this->output()->z, $targets)
            ?? $this->loss->of_sample($this->output()->a, $targets);
    }

    /**
     * Gives dL/dz of the output neurons, where backward begins.
     *
     * L is the loss of the whole batch, the mean of its samples' losses or their sum: $divisor is their number, or 1.
     */
    public function output_deltas(array $targets, float $divisor): array
    {
        // EXERCISE BEGIN output delta: return array_fill(0, count($targets), 0.0);
        $output = $this->output();
        $deltas = $this->one_step?->deltas($output->a, $targets) ?? $output->activation->deltas(
            $output->z,
            $output->a,
            $this->loss->activation_gradients($output->a, $targets),
        );
        return array_map(fn ($delta_k) => $delta_k / $divisor, $deltas);
        // EXERCISE END output delta
    }

    /** Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs. */
    public function backward(array $targets, float $divisor): array
    {
        $gradients = $this->output()->backward($this->output_deltas($targets, $divisor));
        foreach (array_reverse(array_slice($this->layers, 0, -1)) as $layer) {
            // The inputs of the layer after are the activations of this one, and so are their gradients.
            $gradients = $layer->backward($layer->hidden_deltas($gradients));
        }
        return $gradients;
    }

    public function reset_gradients(): void
    {
        foreach ($this->layers as $layer) {
            foreach ($layer->neurons as $neuron) {
                $neuron->reset_gradients();
            }
        }
    }

    /** Takes one step down the slope, once all gradients are there. */
    public function update(float $learning_rate): void
    {
        foreach ($this->layers as $layer) {
            foreach ($layer->neurons as $neuron) {
                $neuron->update($learning_rate);
            }
        }
    }
}

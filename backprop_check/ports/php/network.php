<?php

declare(strict_types=1);

/*
 * A neural network of dense layers and its backpropagation, neuron by neuron, in plain PHP.
 *
 * Read it from top to bottom:
 *
 * 1. Activations   what a neuron makes of its weighted sum, and the slope of that
 * 2. Losses        how wrong the output is, and the slope of that
 * 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
 * 4. Layer         neurons that read the same inputs
 * 5. Network       layers one after the other: forward, backward, update
 * 6. backprop      from a case of backprop-check to its reply
 *
 * The names are the field's: $z is a neuron's weighted sum plus its bias, $a its activation, $t a target, and
 * $delta is dL/dz, the slope of the loss L with regard to z. There are no matrices, only lists of numbers.
 */

require_once __DIR__ . '/mathematics.php';

// ------------------------------------------------------------------------------------------------
// 1. Activations
// ------------------------------------------------------------------------------------------------

/** What a layer makes of its z, and the way back. */
interface Activation
{
    /** Gives the activations of a layer. */
    public function activate(array $z): array;

    /** Gives dL/dz of a layer, from its dL/da. */
    public function deltas(array $z, array $a, array $dloss_da): array;
}

/** A function of one neuron's z, and its derivative. Most activations are of this kind. */
abstract class NeuronActivation implements Activation
{
    /** Gives a, the activation. */
    abstract public function value(float $z): float;

    /** Gives da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other. */
    abstract public function derivative(float $z, float $a): float;

    public function activate(array $z): array
    {
        return array_map($this->value(...), $z);
    }

    /** The chain rule: dL/dz = dL/da * da/dz. */
    public function deltas(array $z, array $a, array $dloss_da): array
    {
        return array_map(fn ($z_j, $a_j, $slope) => $slope * $this->derivative($z_j, $a_j), $z, $a, $dloss_da);
    }
}

/** No activation: a = z. */
final class Identity extends NeuronActivation
{
    public function value(float $z): float
    {
        return $z;
    }

    public function derivative(float $z, float $a): float
    {
        return 1.0;
    }
}

/** 1 / (1 + e^-z): any number squeezed into 0..1. */
final class Sigmoid extends NeuronActivation
{
    public function value(float $z): float
    {
        return sigmoid($z);
    }

    public function derivative(float $z, float $a): float
    {
        return $a * (1.0 - $a);
    }
}

/** The hyperbolic tangent: any number squeezed into -1..1. */
final class Tanh extends NeuronActivation
{
    public function value(float $z): float
    {
        return tanh($z);
    }

    public function derivative(float $z, float $a): float
    {
        return 1.0 - $a * $a;
    }
}

/** z where it is positive, else 0. */
final class ReLU extends NeuronActivation
{
    public function value(float $z): float
    {
        return max(0.0, $z);
    }

    public function derivative(float $z, float $a): float
    {
        // At z = 0 there is a kink and no slope. 0 is the usual convention.
        return $z > 0.0 ? 1.0 : 0.0;
    }
}

/** Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead. */
final class LeakyReLU extends NeuronActivation
{
    public function __construct(private readonly float $alpha)
    {
    }

    public function value(float $z): float
    {
        return $z > 0.0 ? $z : $this->alpha * $z;
    }

    public function derivative(float $z, float $a): float
    {
        return $z > 0.0 ? 1.0 : $this->alpha;
    }
}

/** Like ReLU, but bending smoothly to -alpha on the negative side. */
final class ELU extends NeuronActivation
{
    public function __construct(private readonly float $alpha)
    {
    }

    public function value(float $z): float
    {
        // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
        return $z > 0.0 ? $z : $this->alpha * expm1($z);
    }

    public function derivative(float $z, float $a): float
    {
        return $z > 0.0 ? 1.0 : $this->alpha * exp($z);
    }
}

/** ln(1 + e^z): a smooth ReLU. */
final class Softplus extends NeuronActivation
{
    public function value(float $z): float
    {
        return softplus($z);
    }

    public function derivative(float $z, float $a): float
    {
        return sigmoid($z);
    }
}

/** z / (1 + |z|): like tanh, but slower to reach -1 and 1. */
final class Softsign extends NeuronActivation
{
    public function value(float $z): float
    {
        return $z / (1.0 + abs($z));
    }

    public function derivative(float $z, float $a): float
    {
        return 1.0 / ((1.0 + abs($z)) * (1.0 + abs($z)));
    }
}

/** z * sigmoid(z), also called swish. */
final class SiLU extends NeuronActivation
{
    public function value(float $z): float
    {
        return $z * sigmoid($z);
    }

    public function derivative(float $z, float $a): float
    {
        $s = sigmoid($z);
        return $s + $z * $s * (1.0 - $s); // the product rule
    }
}

/** z * P(z), where P(z) is the probability that a standard normal number is below z. */
final class GELU extends NeuronActivation
{
    /** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
    private function probability(float $z): float
    {
        return 0.5 * erfc(-$z / M_SQRT2);
    }

    public function value(float $z): float
    {
        return $z * $this->probability($z);
    }

    public function derivative(float $z, float $a): float
    {
        $density = exp(-0.5 * $z * $z) / sqrt(2.0 * M_PI); // the bell curve: dP/dz
        return $this->probability($z) + $z * $density; // the product rule
    }
}

/** z, cut off at -1 and 1. */
final class HardTanh extends NeuronActivation
{
    public function value(float $z): float
    {
        return min(1.0, max(-1.0, $z));
    }

    public function derivative(float $z, float $a): float
    {
        return $z > -1.0 && $z < 1.0 ? 1.0 : 0.0;
    }
}

/** e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1. */
final class Softmax implements Activation
{
    public function activate(array $z): array
    {
        // Taking the largest z off all of them changes no quotient, and no power can overflow.
        $largest = max($z);
        $powers = array_map(fn ($z_j) => exp($z_j - $largest), $z);
        $total = array_sum($powers);
        return array_map(fn ($power) => $power / $total, $powers);
    }

    public function deltas(array $z, array $a, array $dloss_da): array
    {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        $average = array_sum(array_map(fn ($a_j, $slope) => $slope * $a_j, $a, $dloss_da));
        return array_map(fn ($a_k, $slope) => $a_k * ($slope - $average), $a, $dloss_da);
    }
}

/** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
final class LogSoftmax implements Activation
{
    public function activate(array $z): array
    {
        return log_softmax($z);
    }

    public function deltas(array $z, array $a, array $dloss_da): array
    {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        $total = array_sum($dloss_da);
        return array_map(fn ($a_k, $slope) => $slope - exp($a_k) * $total, $a, $dloss_da);
    }
}

function sigmoid(float $z): float
{
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if ($z >= 0.0) {
        return 1.0 / (1.0 + exp(-$z));
    }
    $power = exp($z);
    return $power / (1.0 + $power);
}

/** The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x. */
function softplus(float $z): float
{
    return max(0.0, $z) + log1p(exp(-abs($z)));
}

function log_softmax(array $z): array
{
    $largest = max($z);
    $total = array_sum(array_map(fn ($z_j) => exp($z_j - $largest), $z));
    return array_map(fn ($z_j) => $z_j - $largest - log($total), $z);
}

/** How to make each activation. Only two have a parameter. */
const ACTIVATIONS = [
    'identity' => Identity::class,
    'sigmoid' => Sigmoid::class,
    'tanh' => Tanh::class,
    'relu' => ReLU::class,
    'leaky_relu' => LeakyReLU::class,
    'elu' => ELU::class,
    'softplus' => Softplus::class,
    'softsign' => Softsign::class,
    'silu' => SiLU::class,
    'gelu' => GELU::class,
    'hard_tanh' => HardTanh::class,
    'softmax' => Softmax::class,
    'log_softmax' => LogSoftmax::class,
];

const DEFAULT_ALPHA = ['leaky_relu' => 0.01, 'elu' => 1.0];

// ------------------------------------------------------------------------------------------------
// 2. Losses
// ------------------------------------------------------------------------------------------------

/** How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'. */
abstract class Loss
{
    /** Whether that sum is divided by the number of outputs. */
    protected const MEAN_OVER_OUTPUTS = false;

    /** The threshold is the parameter of huber. */
    public function __construct(protected readonly float $threshold = 1.0)
    {
    }

    /** Gives one output's part of the loss. */
    abstract public function term(float $a, float $t): float;

    /** Gives the derivative of that part with regard to a. */
    abstract public function derivative(float $a, float $t): float;

    /** Gives the loss of one sample. */
    public function of_sample(array $a, array $t): float
    {
        $total = array_sum(array_map($this->term(...), $a, $t));
        return static::MEAN_OVER_OUTPUTS ? $total / count($a) : $total;
    }

    /** Gives dL/da of every output, where L is the loss of this one sample. */
    public function dloss_da(array $a, array $t): array
    {
        $slopes = array_map($this->derivative(...), $a, $t);
        return static::MEAN_OVER_OUTPUTS ? array_map(fn ($slope) => $slope / count($a), $slopes) : $slopes;
    }
}

/** Half the square of the error a - t; the half is there to cancel the 2 of the derivative. */
final class HalfSquaredError extends Loss
{
    public function term(float $a, float $t): float
    {
        return 0.5 * ($a - $t) * ($a - $t);
    }

    public function derivative(float $a, float $t): float
    {
        return $a - $t;
    }
}

/** The square of the error. */
class SquaredError extends Loss
{
    public function term(float $a, float $t): float
    {
        return ($a - $t) * ($a - $t);
    }

    public function derivative(float $a, float $t): float
    {
        return 2.0 * ($a - $t);
    }
}

/** The square of the error, averaged over the outputs. */
final class MeanSquaredError extends SquaredError
{
    protected const MEAN_OVER_OUTPUTS = true;
}

/** The size of the error, averaged over the outputs. */
final class MeanAbsoluteError extends Loss
{
    protected const MEAN_OVER_OUTPUTS = true;

    public function term(float $a, float $t): float
    {
        return abs($a - $t);
    }

    public function derivative(float $a, float $t): float
    {
        return sign($a - $t);
    }
}

/** Half the square of a small error; a straight line from there on for a large one. */
final class Huber extends Loss
{
    protected const MEAN_OVER_OUTPUTS = true;

    public function term(float $a, float $t): float
    {
        $error = abs($a - $t);
        return $error <= $this->threshold
            ? 0.5 * $error * $error
            : $this->threshold * ($error - 0.5 * $this->threshold);
    }

    public function derivative(float $a, float $t): float
    {
        $error = $a - $t;
        return abs($error) <= $this->threshold ? $error : $this->threshold * sign($error);
    }
}

/** -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1. */
final class BinaryCrossEntropy extends Loss
{
    public function term(float $a, float $t): float
    {
        return -(times_log($t, $a) + times_log(1.0 - $t, 1.0 - $a));
    }

    public function derivative(float $a, float $t): float
    {
        return -(divide($t, $a) - divide(1.0 - $t, 1.0 - $a));
    }
}

/** -t ln a: how surprising t is, where the outputs a are the probabilities of the classes. */
final class CrossEntropy extends Loss
{
    public function term(float $a, float $t): float
    {
        return -times_log($t, $a);
    }

    public function derivative(float $a, float $t): float
    {
        return -divide($t, $a);
    }
}

/** -t a: cross-entropy where the output already is a logarithm (the activation log_softmax). */
final class NegativeLogLikelihood extends Loss
{
    public function term(float $a, float $t): float
    {
        return -$t * $a;
    }

    public function derivative(float $a, float $t): float
    {
        return -$t;
    }
}

/** max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on. */
final class Hinge extends Loss
{
    public function term(float $a, float $t): float
    {
        return max(0.0, 1.0 - $t * $a);
    }

    public function derivative(float $a, float $t): float
    {
        return 1.0 - $t * $a > 0.0 ? -$t : 0.0;
    }
}

/**
 * The output's activation and its loss in one step, from z to the loss and back.
 *
 * Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
 * nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
 */
interface OneStep
{
    /** Gives the loss of one sample. */
    public function of_sample(array $z, array $t): float;

    /** Gives dL/dz of every output. */
    public function deltas(array $a, array $t): array;
}

/** With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z). */
final class SigmoidWithBinaryCrossEntropy implements OneStep
{
    public function of_sample(array $z, array $t): float
    {
        return array_sum(array_map(fn ($z_k, $t_k) => $t_k * softplus(-$z_k) + (1.0 - $t_k) * softplus($z_k), $z, $t));
    }

    public function deltas(array $a, array $t): array
    {
        // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
        return array_map(fn ($a_k, $t_k) => $a_k - $t_k, $a, $t);
    }
}

/** With a = softmax(z), ln a is log_softmax(z). */
final class SoftmaxWithCrossEntropy implements OneStep
{
    public function of_sample(array $z, array $t): float
    {
        return array_sum(array_map(fn ($log_a, $t_k) => -$t_k * $log_a, log_softmax($z), $t));
    }

    public function deltas(array $a, array $t): array
    {
        // Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
        $total = array_sum($t); // 1 for probabilities, and then this is the well-known a - t
        return array_map(fn ($a_k, $t_k) => $a_k * $total - $t_k, $a, $t);
    }
}

/** 1, -1, or 0 at the kink of |x|, where there is no slope. */
function sign(float $x): float
{
    return (float) ($x <=> 0.0);
}

/** t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity. */
function times_log(float $t, float $p): float
{
    return $t === 0.0 || $t === -0.0 ? 0.0 : $t * log($p);
}

/** t / p, the derivative of t ln p with regard to p. (PHP's / throws where p is 0; fdiv gives infinity.) */
function divide(float $t, float $p): float
{
    return $t === 0.0 || $t === -0.0 ? 0.0 : fdiv($t, $p);
}

const LOSSES = [
    'half_squared_error' => HalfSquaredError::class,
    'squared_error' => SquaredError::class,
    'mean_squared_error' => MeanSquaredError::class,
    'mean_absolute_error' => MeanAbsoluteError::class,
    'huber' => Huber::class,
    'binary_cross_entropy' => BinaryCrossEntropy::class,
    'cross_entropy' => CrossEntropy::class,
    'negative_log_likelihood' => NegativeLogLikelihood::class,
    'hinge' => Hinge::class,
];

/** The one step of an activation with a loss; null for most, which take two. */
function in_one_step(string $activation, string $loss): ?OneStep
{
    return match ([$activation, $loss]) {
        ['sigmoid', 'binary_cross_entropy'] => new SigmoidWithBinaryCrossEntropy(),
        ['softmax', 'cross_entropy'] => new SoftmaxWithCrossEntropy(),
        default => null,
    };
}

// ------------------------------------------------------------------------------------------------
// 3. Neuron
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
    public function weighted_sum(array $inputs): float
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
// 4. Layer
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
        $this->z = array_map(fn (Neuron $neuron) => $neuron->weighted_sum($inputs), $this->neurons);
        $this->a = $this->activation->activate($this->z);
        return $this->a;
    }

    /**
     * Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
     *
     * Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
     * dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
     */
    public function backward(array $delta): array
    {
        $this->delta = $delta;
        foreach ($this->neurons as $j => $neuron) {
            $neuron->add_gradients($delta[$j], $this->inputs);
        }

        $dloss_dx = array_fill(0, count($this->inputs), 0.0);
        // EXERCISE BEGIN hidden delta
        foreach ($this->neurons as $j => $neuron) {
            foreach ($neuron->weights as $i => $weight) {
                $dloss_dx[$i] += $delta[$j] * $weight;
            }
        }
        // EXERCISE END hidden delta
        return $dloss_dx;
    }
}

// ------------------------------------------------------------------------------------------------
// 5. Network
// ------------------------------------------------------------------------------------------------

/** Layers, each reading the activations of the one before. */
final class Network
{
    /** @param Layer[] $layers */
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

    /** Gives dL/dz of the output neurons, where backward begins. */
    public function output_deltas(array $targets): array
    {
        $output = $this->output();
        // EXERCISE BEGIN output delta: return array_fill(0, count($output->z), 0.0);
        return $this->one_step?->deltas($output->a, $targets)
            ?? $output->activation->deltas($output->z, $output->a, $this->loss->dloss_da($output->a, $targets));
        // EXERCISE END output delta
    }

    /**
     * Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
     *
     * The batch's loss is the mean of its samples' losses, or their sum: the divisor is their number, or 1.
     */
    public function backward(array $targets, float $divisor): array
    {
        $delta = array_map(fn ($delta_k) => $delta_k / $divisor, $this->output_deltas($targets));
        $dloss_dx = $this->output()->backward($delta);
        foreach (array_reverse(array_slice($this->layers, 0, -1)) as $layer) {
            // What the inputs of the layer after get back is what the activations of this one get back.
            // EXERCISE BEGIN hidden delta: $delta = array_fill(0, count($layer->z), 0.0);
            $delta = $layer->activation->deltas($layer->z, $layer->a, $dloss_dx);
            // EXERCISE END hidden delta
            $dloss_dx = $layer->backward($delta);
        }
        return $dloss_dx;
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

// ------------------------------------------------------------------------------------------------
// 6. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

/** The case asks for something that this program has not learnt. */
final class NotThereYet extends Exception
{
}

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
function backprop(array $request): array
{
    try {
        $network = build_network($request);
        [$steps, $learning_rate] = read_optimizer($request);
        [$samples, $divisor] = read_batch($request);
    } catch (NotThereYet $reason) {
        return ['id' => $request['id'], 'skip' => $reason->getMessage()];
    }

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    $reply = ['id' => $request['id'], ...one_pass($network, $samples, $divisor)];
    if ($steps === null) {
        return $reply;
    }

    $trajectory = [];
    $loss = $reply['loss'];
    for ($step = 0; $step < $steps; $step++) {
        if ($step > 0) {
            $loss = one_pass($network, $samples, $divisor)['loss'];
        }
        $network->update($learning_rate);
        $updated = array_map(fn (Layer $layer) => ['updated' => parameters($layer)], $network->layers);
        $trajectory[] = ['loss' => $loss, 'layers' => $updated];
    }
    foreach ($network->layers as $l => $layer) {
        $reply['layers'][$l]['updated'] = parameters($layer);
    }
    if ($steps > 1) {
        $reply['trajectory'] = $trajectory;
    }
    return $reply;
}

/** Sends every sample forward and backward, and writes down what came out of it. */
function one_pass(Network $network, array $samples, float $divisor): array
{
    $network->reset_gradients();
    $loss = 0.0;
    $input_gradients = [];
    $records = [];
    foreach ($samples as [$inputs, $targets]) {
        $network->forward($inputs);
        $loss += $network->sample_loss($targets);
        $input_gradients[] = $network->backward($targets, $divisor);
        foreach ($network->layers as $l => $layer) {
            $records[$l]['z'][] = $layer->z;
            $records[$l]['a'][] = $layer->a;
            $records[$l]['delta'][] = $layer->delta;
        }
    }
    foreach ($network->layers as $l => $layer) {
        $records[$l]['gradients'] = [
            'weights' => array_map(fn (Neuron $neuron) => $neuron->weight_gradients, $layer->neurons),
            'biases' => array_map(fn (Neuron $neuron) => $neuron->bias_gradient, $layer->neurons),
        ];
    }
    return ['loss' => $loss / $divisor, 'layers' => $records, 'input_gradients' => $input_gradients];
}

/** The layer's weights and biases as they are now. (PHP copies an array when it is changed.) */
function parameters(Layer $layer): array
{
    return [
        'weights' => array_map(fn (Neuron $neuron) => $neuron->weights, $layer->neurons),
        'biases' => array_map(fn (Neuron $neuron) => $neuron->bias, $layer->neurons),
    ];
}

/** The network that the case describes. */
function build_network(array $request): Network
{
    $layers = $request['network']['layers'];
    $kind = known($request['loss']['kind'], array_keys(LOSSES), 'loss');
    $threshold = read_number($request['loss']['threshold'] ?? 1.0);
    return new Network(
        array_map(build_layer(...), $layers),
        new (LOSSES[$kind])($threshold),
        in_one_step($layers[array_key_last($layers)]['activation'], $kind),
    );
}

/** One layer with the parameters that the case gives it. */
function build_layer(array $layer): Layer
{
    known($layer['kind'], ['dense'], 'layer');
    if (isset($layer['from']) || isset($layer['combine'])) {
        throw new NotThereYet('a layer that reads another one than the one before it is not there yet');
    }
    $kind = known($layer['activation'], array_keys(ACTIVATIONS), 'activation');
    $class = ACTIVATIONS[$kind];
    $activation = isset(DEFAULT_ALPHA[$kind])
        ? new $class(read_number($layer['alpha'] ?? DEFAULT_ALPHA[$kind]))
        : new $class();
    $neurons = array_map(
        fn ($row, $bias) => new Neuron(read_numbers($row), read_number($bias)),
        $layer['parameters']['weights'],
        $layer['parameters']['biases'],
    );
    return new Layer($neurons, $activation);
}

/** The number of steps (null: no update is asked for) and the learning rate. */
function read_optimizer(array $request): array
{
    $optimizer = $request['optimizer'] ?? null;
    if ($optimizer === null) {
        return [null, 0.0];
    }
    known($optimizer['kind'], ['sgd'], 'optimizer');
    foreach (['momentum', 'nesterov', 'weight_decay'] as $option) {
        if (!empty($optimizer[$option])) {
            throw new NotThereYet("sgd with $option is not there yet");
        }
    }
    return [$request['steps'] ?? 1, read_number($optimizer['learning_rate'])];
}

/** The samples, and what to divide by to get from the sum of their losses to the batch's loss. */
function read_batch(array $request): array
{
    $samples = array_map(
        fn ($inputs, $targets) => [read_numbers($inputs), read_numbers($targets)],
        $request['inputs'],
        $request['targets'],
    );
    $reduction = known($request['reduction'] ?? 'mean', ['mean', 'sum'], 'reduction');
    return [$samples, $reduction === 'mean' ? (float) count($samples) : 1.0];
}

/** The word, if we know it. */
function known(string $word, array $words, string $what): string
{
    return in_array($word, $words, true) ? $word : throw new NotThereYet("the $what $word is not there yet");
}

function read_numbers(array $numbers): array
{
    return array_map(read_number(...), $numbers);
}

/** JSON has no NaN and no infinity, so these come as text. And 1 comes as an int: (float) makes it 1.0. */
function read_number(float|int|string $number): float
{
    return match ($number) {
        'NaN' => NAN,
        'Infinity' => INF,
        '-Infinity' => -INF,
        default => (float) $number,
    };
}

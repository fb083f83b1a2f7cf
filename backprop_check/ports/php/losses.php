<?php

declare(strict_types=1);

/*
 * Losses: how wrong the outputs of a sample are, and the slope of that.
 */

require_once __DIR__ . '/activations.php';
require_once __DIR__ . '/mathematics.php';

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
    public function activation_gradients(array $a, array $t): array
    {
        $gradients = array_map($this->derivative(...), $a, $t);
        return static::MEAN_OVER_OUTPUTS ? array_map(fn ($gradient) => $gradient / count($a), $gradients) : $gradients;
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

/** The step of this pair; null for most, which take two. */
function one_step_named(string $activation, string $loss): ?OneStep
{
    return match ([$activation, $loss]) {
        ['sigmoid', 'binary_cross_entropy'] => new SigmoidWithBinaryCrossEntropy(),
        ['softmax', 'cross_entropy'] => new SoftmaxWithCrossEntropy(),
        default => null,
    };
}

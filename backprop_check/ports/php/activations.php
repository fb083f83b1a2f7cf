<?php

declare(strict_types=1);

/*
 * Activations: what a layer makes of its pre-activations z, and the way back.
 *
 * $a is a neuron's activation, and $delta is dL/dz, the slope of the loss L with regard to z.
 */

require_once __DIR__ . '/mathematics.php';

/** What a layer makes of its z, and the way back. */
interface Activation
{
    /** Gives a, the activations of a layer. */
    public function activate(array $z): array;

    /** Gives dL/dz of a layer, from its dL/da. */
    public function deltas(array $z, array $a, array $activation_gradients): array;
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
    public function deltas(array $z, array $a, array $activation_gradients): array
    {
        return array_map(
            fn ($z_j, $a_j, $gradient) => $gradient * $this->derivative($z_j, $a_j),
            $z,
            $a,
            $activation_gradients,
        );
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
    public function value(float $z): float
    {
        return $z * normal_probability($z);
    }

    public function derivative(float $z, float $a): float
    {
        return normal_probability($z) + $z * normal_density($z); // the product rule
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

    public function deltas(array $z, array $a, array $activation_gradients): array
    {
        // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
        // Summed over all j that is a_k * (dL/da_k - average), where
        $average = array_sum(array_map(fn ($a_j, $gradient) => $gradient * $a_j, $a, $activation_gradients));
        return array_map(fn ($a_k, $gradient) => $a_k * ($gradient - $average), $a, $activation_gradients);
    }
}

/** The natural logarithm of softmax, without ever taking the logarithm of a 0. */
final class LogSoftmax implements Activation
{
    public function activate(array $z): array
    {
        return log_softmax($z);
    }

    public function deltas(array $z, array $a, array $activation_gradients): array
    {
        // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
        $total = array_sum($activation_gradients);
        return array_map(fn ($a_k, $gradient) => $gradient - exp($a_k) * $total, $a, $activation_gradients);
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

/** P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z. */
function normal_probability(float $z): float
{
    return 0.5 * erfc(-$z / M_SQRT2);
}

/** dP/dz, the bell curve. */
function normal_density(float $z): float
{
    return exp(-0.5 * $z * $z) / sqrt(2.0 * M_PI);
}

/** The natural logarithm of softmax. */
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

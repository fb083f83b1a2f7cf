#include "activations.h"

#include <math.h>
#include <string.h>

#include "arena.h"
#include "mathematics.h"

static double sigmoid(double z) {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if (z >= 0.0) return 1.0 / (1.0 + exp(-z));
    const double power = exp(z);
    return power / (1.0 + power);
}

// The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x.
double softplus(double z) { return fmax(0.0, z) + log1p(exp(-fabs(z))); }

// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
static double normal_probability(double z) { return 0.5 * erfc(-z / sqrt(2.0)); }

// dP/dz, the bell curve.
static double normal_density(double z) {
    const double pi = 3.14159265358979323846;
    return exp(-0.5 * z * z) / sqrt(2.0 * pi);
}

double *log_softmax(size_t units, const double *z) {
    double *log_a = new_numbers(units);
    const double largest = largest_of(z, units);
    double total = 0.0;
    for (size_t j = 0; j < units; j++) total += exp(z[j] - largest);
    for (size_t j = 0; j < units; j++) log_a[j] = z[j] - largest - log(total);
    return log_a;
}

// ------------------------------------------------------------------------------------------------
// Of one neuron
// ------------------------------------------------------------------------------------------------

// No activation: a = z.
static double identity_value(double z, double alpha) { return z; }
static double identity_derivative(double z, double a, double alpha) { return 1.0; }

// 1 / (1 + e^-z): any number squeezed into 0..1.
static double sigmoid_value(double z, double alpha) { return sigmoid(z); }
static double sigmoid_derivative(double z, double a, double alpha) { return a * (1.0 - a); }

// The hyperbolic tangent: any number squeezed into -1..1.
static double tanh_value(double z, double alpha) { return tanh(z); }
static double tanh_derivative(double z, double a, double alpha) { return 1.0 - a * a; }

// z where it is positive, else 0. At z = 0 there is a kink and no slope. 0 is the usual convention.
static double relu_value(double z, double alpha) { return z > 0.0 ? z : 0.0; }
static double relu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : 0.0; }

// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
static double leaky_relu_value(double z, double alpha) { return z > 0.0 ? z : alpha * z; }
static double leaky_relu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : alpha; }

// Like ReLU, but bending smoothly to -alpha on the negative side. expm1(z) is e^z - 1, without the digits that the
// subtraction loses near z = 0.
static double elu_value(double z, double alpha) { return z > 0.0 ? z : alpha * expm1(z); }
static double elu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : alpha * exp(z); }

// ln(1 + e^z): a smooth ReLU.
static double softplus_value(double z, double alpha) { return softplus(z); }
static double softplus_derivative(double z, double a, double alpha) { return sigmoid(z); }

// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
static double softsign_value(double z, double alpha) { return z / (1.0 + fabs(z)); }
static double softsign_derivative(double z, double a, double alpha) {
    return 1.0 / ((1.0 + fabs(z)) * (1.0 + fabs(z)));
}

// z * sigmoid(z), also called swish.
static double silu_value(double z, double alpha) { return z * sigmoid(z); }
static double silu_derivative(double z, double a, double alpha) {
    const double s = sigmoid(z);
    return s + z * s * (1.0 - s);  // the product rule
}

// z * P(z), where P(z) is the probability that a standard normal number is below z.
static double gelu_value(double z, double alpha) { return z * normal_probability(z); }
static double gelu_derivative(double z, double a, double alpha) {
    return normal_probability(z) + z * normal_density(z);  // the product rule
}

// z, cut off at -1 and 1.
static double hard_tanh_value(double z, double alpha) { return fmin(1.0, fmax(-1.0, z)); }
static double hard_tanh_derivative(double z, double a, double alpha) { return z > -1.0 && z < 1.0 ? 1.0 : 0.0; }

// ------------------------------------------------------------------------------------------------
// Of a whole layer
// ------------------------------------------------------------------------------------------------

// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
static double *softmax_activate(size_t units, const double *z) {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    const double largest = largest_of(z, units);
    double *a = new_numbers(units);
    for (size_t j = 0; j < units; j++) a[j] = exp(z[j] - largest);
    const double total = add_up(a, units);
    for (size_t j = 0; j < units; j++) a[j] /= total;
    return a;
}
static double *softmax_deltas(size_t units, const double *a, const double *activation_gradients) {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    double average = 0.0;
    for (size_t j = 0; j < units; j++) average += activation_gradients[j] * a[j];
    double *delta = new_numbers(units);
    for (size_t k = 0; k < units; k++) delta[k] = a[k] * (activation_gradients[k] - average);
    return delta;
}

// The natural logarithm of softmax, without ever taking the logarithm of a 0.
static double *log_softmax_deltas(size_t units, const double *a, const double *activation_gradients) {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    const double total = add_up(activation_gradients, units);
    double *delta = new_numbers(units);
    for (size_t k = 0; k < units; k++) delta[k] = activation_gradients[k] - exp(a[k]) * total;
    return delta;
}

// ------------------------------------------------------------------------------------------------
// All of them
// ------------------------------------------------------------------------------------------------

const Activation ACTIVATIONS[] = {
    {.name = "identity", .value = identity_value, .derivative = identity_derivative},
    {.name = "sigmoid", .value = sigmoid_value, .derivative = sigmoid_derivative},
    {.name = "tanh", .value = tanh_value, .derivative = tanh_derivative},
    {.name = "relu", .value = relu_value, .derivative = relu_derivative},
    {.name = "leaky_relu", .value = leaky_relu_value, .derivative = leaky_relu_derivative, .alpha = 0.01},
    {.name = "elu", .value = elu_value, .derivative = elu_derivative, .alpha = 1.0},
    {.name = "softplus", .value = softplus_value, .derivative = softplus_derivative},
    {.name = "softsign", .value = softsign_value, .derivative = softsign_derivative},
    {.name = "silu", .value = silu_value, .derivative = silu_derivative},
    {.name = "gelu", .value = gelu_value, .derivative = gelu_derivative},
    {.name = "hard_tanh", .value = hard_tanh_value, .derivative = hard_tanh_derivative},
    {.name = "softmax", .activate = softmax_activate, .deltas = softmax_deltas},
    {.name = "log_softmax", .activate = log_softmax, .deltas = log_softmax_deltas},
};

const size_t ACTIVATION_COUNT = sizeof ACTIVATIONS / sizeof *ACTIVATIONS;

const Activation *activation_named(const char *name) {
    for (size_t i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(ACTIVATIONS[i].name, name) == 0) return &ACTIVATIONS[i];
    }
    fail(NOT_THERE_YET, "the activation %s is not there yet", name);
}

double *activation_activate(const Activation *activation, size_t units, const double *z) {
    if (activation->activate) return activation->activate(units, z);
    double *a = new_numbers(units);
    for (size_t j = 0; j < units; j++) a[j] = activation->value(z[j], activation->alpha);
    return a;
}

double *activation_deltas(const Activation *activation, size_t units, const double *z, const double *a,
                          const double *activation_gradients) {
    if (activation->deltas) return activation->deltas(units, a, activation_gradients);
    double *delta = new_numbers(units);
    for (size_t j = 0; j < units; j++) {
        // The chain rule: dL/dz = dL/da * da/dz.
        delta[j] = activation_gradients[j] * activation->derivative(z[j], a[j], activation->alpha);
    }
    return delta;
}

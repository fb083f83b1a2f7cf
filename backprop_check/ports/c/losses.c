#include "losses.h"

#include <math.h>
#include <string.h>

#include "activations.h"
#include "arena.h"
#include "mathematics.h"

// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
static double half_squared_error_term(double a, double t, double threshold) { return 0.5 * (a - t) * (a - t); }
static double half_squared_error_derivative(double a, double t, double threshold) { return a - t; }

// The square of the error.
static double squared_error_term(double a, double t, double threshold) { return (a - t) * (a - t); }
static double squared_error_derivative(double a, double t, double threshold) { return 2.0 * (a - t); }

// The size of the error.
static double absolute_error_term(double a, double t, double threshold) { return fabs(a - t); }
static double absolute_error_derivative(double a, double t, double threshold) { return sign(a - t); }

// Half the square of a small error; a straight line from there on for a large one.
static double huber_term(double a, double t, double threshold) {
    const double error = fabs(a - t);
    return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
}
static double huber_derivative(double a, double t, double threshold) {
    const double error = a - t;
    return fabs(error) <= threshold ? error : threshold * sign(error);
}

// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
static double binary_cross_entropy_term(double a, double t, double threshold) {
    return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a));
}
static double binary_cross_entropy_derivative(double a, double t, double threshold) {
    return -(divide(t, a) - divide(1.0 - t, 1.0 - a));
}

// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
static double cross_entropy_term(double a, double t, double threshold) { return -times_log(t, a); }
static double cross_entropy_derivative(double a, double t, double threshold) { return -divide(t, a); }

// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
static double negative_log_likelihood_term(double a, double t, double threshold) { return -t * a; }
static double negative_log_likelihood_derivative(double a, double t, double threshold) { return -t; }

// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
static double hinge_term(double a, double t, double threshold) { return fmax(0.0, 1.0 - t * a); }
static double hinge_derivative(double a, double t, double threshold) { return 1.0 - t * a > 0.0 ? -t : 0.0; }

const Loss LOSSES[] = {
    {"half_squared_error", half_squared_error_term, half_squared_error_derivative},
    {"squared_error", squared_error_term, squared_error_derivative},
    {"mean_squared_error", squared_error_term, squared_error_derivative, .mean_over_outputs = true},
    {"mean_absolute_error", absolute_error_term, absolute_error_derivative, .mean_over_outputs = true},
    {"huber", huber_term, huber_derivative, .mean_over_outputs = true, .threshold = 1.0},
    {"binary_cross_entropy", binary_cross_entropy_term, binary_cross_entropy_derivative},
    {"cross_entropy", cross_entropy_term, cross_entropy_derivative},
    {"negative_log_likelihood", negative_log_likelihood_term, negative_log_likelihood_derivative},
    {"hinge", hinge_term, hinge_derivative},
};

const size_t LOSS_COUNT = sizeof LOSSES / sizeof *LOSSES;

const Loss *loss_named(const char *name) {
    for (size_t i = 0; i < LOSS_COUNT; i++) {
        if (strcmp(LOSSES[i].name, name) == 0) return &LOSSES[i];
    }
    fail(NOT_THERE_YET, "the loss %s is not there yet", name);
}

double loss_of_sample(const Loss *loss, size_t outputs, const double *a, const double *t) {
    double total = 0.0;
    for (size_t k = 0; k < outputs; k++) total += loss->term(a[k], t[k], loss->threshold);
    return loss->mean_over_outputs ? total / (double)outputs : total;
}

double *loss_activation_gradients(const Loss *loss, size_t outputs, const double *a, const double *t) {
    double *gradients = new_numbers(outputs);
    for (size_t k = 0; k < outputs; k++) {
        gradients[k] = loss->derivative(a[k], t[k], loss->threshold);
        if (loss->mean_over_outputs) gradients[k] /= (double)outputs;
    }
    return gradients;
}

// ------------------------------------------------------------------------------------------------
// In one step
// ------------------------------------------------------------------------------------------------

// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
static double sigmoid_with_binary_cross_entropy(size_t outputs, const double *z, const double *t) {
    double loss = 0.0;
    for (size_t k = 0; k < outputs; k++) loss += t[k] * softplus(-z[k]) + (1.0 - t[k]) * softplus(z[k]);
    return loss;
}

// dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
static double *sigmoid_with_binary_cross_entropy_deltas(size_t outputs, const double *a, const double *t) {
    double *delta = new_numbers(outputs);
    for (size_t k = 0; k < outputs; k++) delta[k] = a[k] - t[k];
    return delta;
}

// With a = softmax(z), ln a is log_softmax(z).
static double softmax_with_cross_entropy(size_t outputs, const double *z, const double *t) {
    const double *log_a = log_softmax(outputs, z);
    double loss = 0.0;
    for (size_t k = 0; k < outputs; k++) loss += -t[k] * log_a[k];
    return loss;
}

// Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
static double *softmax_with_cross_entropy_deltas(size_t outputs, const double *a, const double *t) {
    const double total = add_up(t, outputs);  // 1 for probabilities, and then this is the well-known a - t
    double *delta = new_numbers(outputs);
    for (size_t k = 0; k < outputs; k++) delta[k] = a[k] * total - t[k];
    return delta;
}

static const OneStep IN_ONE_STEP[] = {
    {"sigmoid", "binary_cross_entropy", sigmoid_with_binary_cross_entropy, sigmoid_with_binary_cross_entropy_deltas},
    {"softmax", "cross_entropy", softmax_with_cross_entropy, softmax_with_cross_entropy_deltas},
};

const OneStep *one_step_named(const char *activation, const char *loss) {
    for (size_t i = 0; i < sizeof IN_ONE_STEP / sizeof *IN_ONE_STEP; i++) {
        const OneStep *pair = &IN_ONE_STEP[i];
        if (strcmp(pair->activation, activation) == 0 && strcmp(pair->loss, loss) == 0) return pair;
    }
    return NULL;
}

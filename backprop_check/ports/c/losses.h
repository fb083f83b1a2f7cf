// Losses: how wrong the outputs of a sample are, and the slope of that.
#ifndef LOSSES_H
#define LOSSES_H

#include <stdbool.h>
#include <stddef.h>

// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
typedef struct {
    const char *name;

    // Gives one output's part of the loss.
    double (*term)(double a, double t, double threshold);

    // Gives the derivative of that part with regard to a.
    double (*derivative)(double a, double t, double threshold);

    bool mean_over_outputs;  // that sum is divided by the number of outputs
    double threshold;        // the parameter of huber: this one where the case brings none
} Loss;

extern const Loss LOSSES[];
extern const size_t LOSS_COUNT;

// Gives the loss of that name. Fails where there is none (see arena.h).
const Loss *loss_named(const char *name);

// Gives the loss of one sample.
double loss_of_sample(const Loss *loss, size_t outputs, const double *a, const double *t);

// Gives dL/da of every output, where L is the loss of this one sample.
double *loss_activation_gradients(const Loss *loss, size_t outputs, const double *a, const double *t);

// The output's activation and its loss in one step, from z to the loss and back.
//
// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
typedef struct {
    const char *activation, *loss;

    // Gives the loss of one sample.
    double (*of_sample)(size_t outputs, const double *z, const double *t);

    // Gives dL/dz of every output.
    double *(*deltas)(size_t outputs, const double *a, const double *t);
} OneStep;

// Gives the step of this pair; NULL for most, which take two.
const OneStep *one_step_named(const char *activation, const char *loss);

#endif

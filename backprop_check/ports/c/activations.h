// Activations: what a layer makes of its pre-activations z, and the way back.
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H

#include <stddef.h>

// Most activations look at each neuron for itself, and have the first two functions; two look at the whole layer, and
// have the other two.
typedef struct {
    const char *name;

    // Gives a, the activation.
    double (*value)(double z, double alpha);

    // Gives da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.
    double (*derivative)(double z, double a, double alpha);

    // Gives the activations of a layer.
    double *(*activate)(size_t units, const double *z);

    // Gives dL/dz of a layer, from its dL/da.
    double *(*deltas)(size_t units, const double *a, const double *activation_gradients);

    double alpha;  // the parameter of two of them: this one where the case brings none
} Activation;

extern const Activation ACTIVATIONS[];
extern const size_t ACTIVATION_COUNT;

// Gives the activation of that name. Fails where there is none (see arena.h).
const Activation *activation_named(const char *name);

// Gives a, the activations of a layer.
double *activation_activate(const Activation *activation, size_t units, const double *z);

// Gives dL/dz of a layer, from its dL/da.
double *activation_deltas(const Activation *activation, size_t units, const double *z, const double *a,
                          const double *activation_gradients);

// Gives ln(1 + e^z).
double softplus(double z);

// Gives the natural logarithm of softmax.
double *log_softmax(size_t units, const double *z);

#endif

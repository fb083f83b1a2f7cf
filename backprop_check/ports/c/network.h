// A neural network of dense layers: what backprop.c needs of it. The mathematics is in network.c.
#ifndef NETWORK_H
#define NETWORK_H

#include <stddef.h>

#include "activations.h"
#include "losses.h"

// One neuron: a weight for each of its inputs, and a bias.
typedef struct {
    size_t inputs;  // their number
    double *weights, bias;
    double *weight_gradients, bias_gradient;
} Neuron;

// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
typedef struct {
    size_t inputs_count, units;
    Neuron *neurons;
    Activation activation;
    const double *inputs;
    double *z, *a, *delta;
} Layer;

// Layers, each reading the activations of the one before.
typedef struct {
    size_t count;
    Layer *layers, *output;
    Loss loss;
    const OneStep *one_step;  // the output's activation and loss in one; NULL where there is no such thing
} Network;

// Gives the output of the network for one sample.
const double *network_forward(Network *network, const double *inputs);

// Gives the loss of the sample that went forward last.
double network_sample_loss(const Network *network, const double *targets);

// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
double *network_backward(Network *network, const double *targets, double divisor);

void network_reset_gradients(Network *network);

// Takes one step down the slope, once all gradients are there.
void network_update(Network *network, double learning_rate);

#endif

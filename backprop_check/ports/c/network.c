// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C.
//
// Read it from top to bottom:
//
// 1. Neuron     weights and a bias: the pre-activation forward, the gradients backward, the update
// 2. Layer      neurons that read the same inputs
// 3. Network    layers one after the other: forward, backward, update
//
// The names are the field's: `z` is a neuron's pre-activation (the weighted sum of its inputs plus its bias), `a` its
// activation, and `delta` is dL/dz, the slope of the loss L with regard to z. Every other slope of L is a gradient:
// dL/dw of a weight, dL/dx of an input, dL/da of an activation. There are no matrices, only lists of numbers.

#include "network.h"

#include "arena.h"

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

// Starts the sums over the samples at 0.
static void neuron_reset_gradients(Neuron *neuron) {
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weight_gradients[i] = 0.0;
    neuron->bias_gradient = 0.0;
}

// Forward: gives z, every input times its weight, plus the bias.
static double neuron_pre_activation(const Neuron *neuron, const double *inputs) {
    double z = neuron->bias;
    for (size_t i = 0; i < neuron->inputs; i++) z += neuron->weights[i] * inputs[i];
    return z;
}

// Backward: adds one sample's part to the gradients.
//
// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
static void neuron_add_gradients(Neuron *neuron, double delta, const double *inputs) {
    // EXERCISE BEGIN gradients
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weight_gradients[i] += delta * inputs[i];
    neuron->bias_gradient += delta;
    // EXERCISE END gradients
}

// Takes one step down the slope.
static void neuron_update(Neuron *neuron, double learning_rate) {
    // EXERCISE BEGIN update
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weights[i] -= learning_rate * neuron->weight_gradients[i];
    neuron->bias -= learning_rate * neuron->bias_gradient;
    // EXERCISE END update
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

// Gives the activations of all neurons for one sample. z and a are new each time: those of before may be in use still.
static const double *layer_forward(Layer *layer, const double *inputs) {
    layer->inputs = inputs;
    layer->z = new_numbers(layer->units);
    for (size_t j = 0; j < layer->units; j++) layer->z[j] = neuron_pre_activation(&layer->neurons[j], inputs);
    layer->a = activation_activate(&layer->activation, layer->units, layer->z);
    return layer->a;
}

// Gives delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
static double *layer_hidden_deltas(const Layer *layer, const double *activation_gradients) {
    // EXERCISE BEGIN hidden delta: return new_numbers(layer->units);
    return activation_deltas(&layer->activation, layer->units, layer->z, layer->a, activation_gradients);
    // EXERCISE END hidden delta
}

// Gives dL/dx of every input x, which is dL/da of the layer before.
//
// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
static double *layer_input_gradients(const Layer *layer) {
    double *gradients = new_numbers(layer->inputs_count);
    // EXERCISE BEGIN hidden delta
    for (size_t j = 0; j < layer->units; j++) {
        for (size_t i = 0; i < layer->inputs_count; i++) gradients[i] += layer->delta[j] * layer->neurons[j].weights[i];
    }
    // EXERCISE END hidden delta
    return gradients;
}

// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
static double *layer_backward(Layer *layer, double *delta) {
    layer->delta = delta;
    for (size_t j = 0; j < layer->units; j++) neuron_add_gradients(&layer->neurons[j], delta[j], layer->inputs);
    return layer_input_gradients(layer);
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

const double *network_forward(Network *network, const double *inputs) {
    for (size_t l = 0; l < network->count; l++) inputs = layer_forward(&network->layers[l], inputs);
    return inputs;
}

double network_sample_loss(const Network *network, const double *targets) {
    const Layer *output = network->output;
    if (network->one_step) return network->one_step->of_sample(output->units, output->z, targets);
    return loss_of_sample(&network->loss, output->units, output->a, targets);
}

// Gives dL/dz of the output neurons, where backward begins.
//
// L is the loss of the whole batch, the mean of its samples' losses or their sum: the divisor is their number, or 1.
static double *network_output_deltas(const Network *network, const double *targets, double divisor) {
    const Layer *output = network->output;
    // EXERCISE BEGIN output delta: return new_numbers(output->units);
    double *deltas;
    if (network->one_step) {
        deltas = network->one_step->deltas(output->units, output->a, targets);
    } else {
        const double *gradients = loss_activation_gradients(&network->loss, output->units, output->a, targets);
        deltas = activation_deltas(&output->activation, output->units, output->z, output->a, gradients);
    }
    for (size_t k = 0; k < output->units; k++) deltas[k] /= divisor;
    return deltas;
    // EXERCISE END output delta
}

double *network_backward(Network *network, const double *targets, double divisor) {
    double *gradients = layer_backward(network->output, network_output_deltas(network, targets, divisor));
    for (size_t l = network->count - 1; l-- > 0;) {
        // The inputs of the layer after are the activations of this one, and so are their gradients.
        Layer *layer = &network->layers[l];
        gradients = layer_backward(layer, layer_hidden_deltas(layer, gradients));
    }
    return gradients;
}

void network_reset_gradients(Network *network) {
    for (size_t l = 0; l < network->count; l++) {
        Layer *layer = &network->layers[l];
        for (size_t j = 0; j < layer->units; j++) neuron_reset_gradients(&layer->neurons[j]);
    }
}

void network_update(Network *network, double learning_rate) {
    for (size_t l = 0; l < network->count; l++) {
        Layer *layer = &network->layers[l];
        for (size_t j = 0; j < layer->units; j++) neuron_update(&layer->neurons[j], learning_rate);
    }
}

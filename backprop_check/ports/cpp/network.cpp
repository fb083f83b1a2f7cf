// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C++.
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

#include "network.hpp"

#include <utility>

// ------------------------------------------------------------------------------------------------
// 1. Neuron
// ------------------------------------------------------------------------------------------------

Neuron::Neuron(Numbers weights, double bias) : weights(std::move(weights)), bias(bias) { reset_gradients(); }

// Starts the sums over the samples at 0.
void Neuron::reset_gradients() {
  weight_gradients.assign(weights.size(), 0.0);
  bias_gradient = 0.0;
}

// Forward: z, every input times its weight, plus the bias.
double Neuron::pre_activation(const Numbers& inputs) const {
  double z = bias;
  for (std::size_t i = 0; i < weights.size(); ++i) z += weights[i] * inputs[i];
  return z;
}

// Backward: adds one sample's part to the gradients.
//
// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
void Neuron::add_gradients(double delta, const Numbers& inputs) {
  // EXERCISE BEGIN gradients
  for (std::size_t i = 0; i < weights.size(); ++i) weight_gradients[i] += delta * inputs[i];
  bias_gradient += delta;
  // EXERCISE END gradients
}

// Takes one step down the slope.
void Neuron::update(double learning_rate) {
  // EXERCISE BEGIN update
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] -= learning_rate * weight_gradients[i];
  bias -= learning_rate * bias_gradient;
  // EXERCISE END update
}

// ------------------------------------------------------------------------------------------------
// 2. Layer
// ------------------------------------------------------------------------------------------------

Layer::Layer(std::vector<Neuron> neurons, std::unique_ptr<Activation> activation)
    : neurons(std::move(neurons)), activation(std::move(activation)) {}

// The activations of all neurons for one sample.
const Numbers& Layer::forward(const Numbers& x) {
  inputs = x;
  z.clear();
  for (const Neuron& neuron : neurons) z.push_back(neuron.pre_activation(inputs));
  a = activation->activate(z);
  return a;
}

// delta = dL/dz of every neuron, from its dL/da: the chain rule, with the slope of the activation.
Numbers Layer::hidden_deltas(const Numbers& activation_gradients) const {
  // EXERCISE BEGIN hidden delta: return Numbers(neurons.size(), 0.0);
  return activation->deltas(z, a, activation_gradients);
  // EXERCISE END hidden delta
}

// Takes the deltas of the neurons, adds to their gradients, and gives dL/dx for every input x.
Numbers Layer::backward(const Numbers& deltas) {
  delta = deltas;
  for (std::size_t j = 0; j < neurons.size(); ++j) neurons[j].add_gradients(delta[j], inputs);
  return input_gradients();
}

// dL/dx of every input x, which is dL/da of the layer before.
//
// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
Numbers Layer::input_gradients() const {
  Numbers gradients(inputs.size(), 0.0);
  // EXERCISE BEGIN hidden delta
  for (std::size_t j = 0; j < neurons.size(); ++j) {
    for (std::size_t i = 0; i < inputs.size(); ++i) gradients[i] += delta[j] * neurons[j].weights[i];
  }
  // EXERCISE END hidden delta
  return gradients;
}

// ------------------------------------------------------------------------------------------------
// 3. Network
// ------------------------------------------------------------------------------------------------

// The output of the network for one sample.
Numbers Network::forward(Numbers a) {
  for (Layer& layer : layers) a = layer.forward(a);
  return a;
}

// The loss of the sample that went forward last.
double Network::sample_loss(const Numbers& targets) const {
  return one_step ? one_step->of_sample(output().z, targets) : loss->of_sample(output().a, targets);
}

// dL/dz of the output neurons, where backward begins.
//
// L is the loss of the whole batch, the mean of its samples' losses or their sum: the divisor is their number, or 1.
Numbers Network::output_deltas(const Numbers& targets, double divisor) const {
  // EXERCISE BEGIN output delta: return Numbers(targets.size(), 0.0);
  const Layer& output = this->output();
  Numbers deltas = one_step
                       ? one_step->deltas(output.a, targets)
                       : output.activation->deltas(output.z, output.a, loss->activation_gradients(output.a, targets));
  for (double& delta_k : deltas) delta_k /= divisor;
  return deltas;
  // EXERCISE END output delta
}

// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
Numbers Network::backward(const Numbers& targets, double divisor) {
  Numbers gradients = layers.back().backward(output_deltas(targets, divisor));
  for (std::size_t l = layers.size() - 1; l-- > 0;) {
    // The inputs of the layer after are the activations of this one, and so are their gradients.
    gradients = layers[l].backward(layers[l].hidden_deltas(gradients));
  }
  return gradients;
}

void Network::reset_gradients() {
  for (Layer& layer : layers) {
    for (Neuron& neuron : layer.neurons) neuron.reset_gradients();
  }
}

// Takes one step down the slope, once all gradients are there.
void Network::update(double learning_rate) {
  for (Layer& layer : layers) {
    for (Neuron& neuron : layer.neurons) neuron.update(learning_rate);
  }
}

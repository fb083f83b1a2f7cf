// A neural network of dense layers: a neuron, a layer of neurons, and the network of layers. The mathematics is in
// network.cpp.
#pragma once

#include <memory>
#include <vector>

#include "activations.hpp"
#include "losses.hpp"
#include "mathematics.hpp"

// One neuron: a weight for each of its inputs, and a bias.
struct Neuron {
  Neuron(Numbers weights, double bias);

  void reset_gradients();
  double pre_activation(const Numbers& inputs) const;
  void add_gradients(double delta, const Numbers& inputs);
  void update(double learning_rate);

  Numbers weights;
  double bias;
  Numbers weight_gradients;
  double bias_gradient = 0.0;
};

// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
struct Layer {
  Layer(std::vector<Neuron> neurons, std::unique_ptr<Activation> activation);

  const Numbers& forward(const Numbers& x);
  Numbers hidden_deltas(const Numbers& activation_gradients) const;
  Numbers backward(const Numbers& deltas);
  Numbers input_gradients() const;

  std::vector<Neuron> neurons;
  std::unique_ptr<Activation> activation;
  Numbers inputs, z, a, delta;
};

// Layers, each reading the activations of the one before.
struct Network {
  const Layer& output() const { return layers.back(); }

  Numbers forward(Numbers a);
  double sample_loss(const Numbers& targets) const;
  Numbers output_deltas(const Numbers& targets, double divisor) const;
  Numbers backward(const Numbers& targets, double divisor);
  void reset_gradients();
  void update(double learning_rate);

  std::vector<Layer> layers;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<OneStep> one_step;  // the output's activation and loss in one, or none
};

// Losses: how wrong the outputs of a sample are, and the slope of that.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "activations.hpp"
#include "mathematics.hpp"

// How wrong one output neuron is, and the derivative of that. A sample's loss sums up its outputs'.
class Loss {
 public:
  // With mean_over_outputs that sum is divided by the number of outputs.
  explicit Loss(bool mean_over_outputs = false) : mean_over_outputs_(mean_over_outputs) {}
  virtual ~Loss() = default;

  // One output's part of the loss.
  virtual double term(double a, double t) const = 0;

  // The derivative of that part with regard to a.
  virtual double derivative(double a, double t) const = 0;

  // The loss of one sample.
  double of_sample(const Numbers& a, const Numbers& t) const;

  // dL/da of every output, where L is the loss of this one sample.
  Numbers activation_gradients(const Numbers& a, const Numbers& t) const;

 private:
  bool mean_over_outputs_;
};

// How to make each loss. Only one has a parameter.
using MakeLoss = std::function<std::unique_ptr<Loss>(Parameter threshold)>;
extern const std::map<std::string, MakeLoss> kLosses;

// The output's activation and its loss in one step, from z to the loss and back.
//
// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
class OneStep {
 public:
  virtual ~OneStep() = default;

  // The loss of one sample.
  virtual double of_sample(const Numbers& z, const Numbers& t) const = 0;

  // dL/dz of every output.
  virtual Numbers deltas(const Numbers& a, const Numbers& t) const = 0;
};

// The step of this pair; nullptr for most, which take two.
std::unique_ptr<OneStep> one_step_named(const std::string& activation, const std::string& loss);

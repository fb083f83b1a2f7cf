// Activations: what a layer makes of its pre-activations z, and the way back.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "mathematics.hpp"

// What a layer makes of its z, and the way back.
class Activation {
 public:
  virtual ~Activation() = default;

  // a, the activations of a layer.
  virtual Numbers activate(const Numbers& z) const = 0;

  // dL/dz of a layer, from its dL/da.
  virtual Numbers deltas(const Numbers& z, const Numbers& a, const Numbers& activation_gradients) const = 0;
};

using Parameter = std::optional<double>;  // one that a case may bring or leave out

// How to make each activation. Only two have a parameter.
using MakeActivation = std::function<std::unique_ptr<Activation>(Parameter alpha)>;
extern const std::map<std::string, MakeActivation> kActivations;

// ln(1 + e^z).
double softplus(double z);

// The natural logarithm of softmax.
Numbers log_softmax(const Numbers& z);

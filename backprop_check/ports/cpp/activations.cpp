#include "activations.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

// The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x.
double softplus(double z) { return std::max(0.0, z) + std::log1p(std::exp(-std::abs(z))); }

Numbers log_softmax(const Numbers& z) {
  const double largest = largest_of(z);
  double total = 0.0;
  for (const double z_j : z) total += std::exp(z_j - largest);
  Numbers log_a;
  for (const double z_j : z) log_a.push_back(z_j - largest - std::log(total));
  return log_a;
}

namespace {

double sigmoid(double z) {
  // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if (z >= 0.0) return 1.0 / (1.0 + std::exp(-z));
  const double power = std::exp(z);
  return power / (1.0 + power);
}

// P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
double normal_probability(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

// dP/dz, the bell curve.
double normal_density(double z) { return std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi); }

// A function of one neuron's z, and its derivative. Most activations are of this kind.
class NeuronActivation : public Activation {
 public:
  // a, the activation.
  virtual double value(double z) const = 0;

  // da/dz. Both z and a are at hand: some derivatives are simpler in one, some in the other.
  virtual double derivative(double z, double a) const = 0;

  Numbers activate(const Numbers& z) const override {
    Numbers a;
    for (const double z_j : z) a.push_back(value(z_j));
    return a;
  }

  // The chain rule: dL/dz = dL/da * da/dz.
  Numbers deltas(const Numbers& z, const Numbers& a, const Numbers& activation_gradients) const override {
    Numbers delta;
    for (std::size_t j = 0; j < z.size(); ++j) delta.push_back(activation_gradients[j] * derivative(z[j], a[j]));
    return delta;
  }
};

// No activation: a = z.
struct Identity : NeuronActivation {
  double value(double z) const override { return z; }
  double derivative(double, double) const override { return 1.0; }
};

// 1 / (1 + e^-z): any number squeezed into 0..1.
struct Sigmoid : NeuronActivation {
  double value(double z) const override { return sigmoid(z); }
  double derivative(double, double a) const override { return a * (1.0 - a); }
};

// The hyperbolic tangent: any number squeezed into -1..1.
struct Tanh : NeuronActivation {
  double value(double z) const override { return std::tanh(z); }
  double derivative(double, double a) const override { return 1.0 - a * a; }
};

// z where it is positive, else 0.
struct ReLU : NeuronActivation {
  double value(double z) const override { return std::max(0.0, z); }

  // At z = 0 there is a kink and no slope. 0 is the usual convention.
  double derivative(double z, double) const override { return z > 0.0 ? 1.0 : 0.0; }
};

// Like ReLU, but with a small slope alpha on the negative side, so that no neuron is ever dead.
struct LeakyReLU : NeuronActivation {
  explicit LeakyReLU(double alpha) : alpha(alpha) {}
  double value(double z) const override { return z > 0.0 ? z : alpha * z; }
  double derivative(double z, double) const override { return z > 0.0 ? 1.0 : alpha; }

  double alpha;
};

// Like ReLU, but bending smoothly to -alpha on the negative side.
struct ELU : NeuronActivation {
  explicit ELU(double alpha) : alpha(alpha) {}

  // expm1(z) is e^z - 1, without the digits that the subtraction loses near z = 0.
  double value(double z) const override { return z > 0.0 ? z : alpha * std::expm1(z); }
  double derivative(double z, double) const override { return z > 0.0 ? 1.0 : alpha * std::exp(z); }

  double alpha;
};

// ln(1 + e^z): a smooth ReLU.
struct Softplus : NeuronActivation {
  double value(double z) const override { return softplus(z); }
  double derivative(double z, double) const override { return sigmoid(z); }
};

// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
struct Softsign : NeuronActivation {
  double value(double z) const override { return z / (1.0 + std::abs(z)); }
  double derivative(double z, double) const override { return 1.0 / ((1.0 + std::abs(z)) * (1.0 + std::abs(z))); }
};

// z * sigmoid(z), also called swish.
struct SiLU : NeuronActivation {
  double value(double z) const override { return z * sigmoid(z); }

  double derivative(double z, double) const override {
    const double s = sigmoid(z);
    return s + z * s * (1.0 - s);  // the product rule
  }
};

// z * P(z), where P(z) is the probability that a standard normal number is below z.
struct GELU : NeuronActivation {
  double value(double z) const override { return z * normal_probability(z); }

  double derivative(double z, double) const override {
    return normal_probability(z) + z * normal_density(z);  // the product rule
  }
};

// z, cut off at -1 and 1.
struct HardTanh : NeuronActivation {
  double value(double z) const override { return std::clamp(z, -1.0, 1.0); }
  double derivative(double z, double) const override { return z > -1.0 && z < 1.0 ? 1.0 : 0.0; }
};

// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
struct Softmax : Activation {
  Numbers activate(const Numbers& z) const override {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    const double largest = largest_of(z);
    Numbers a;
    for (const double z_j : z) a.push_back(std::exp(z_j - largest));
    const double total = add_up(a);
    for (double& a_j : a) a_j /= total;
    return a;
  }

  Numbers deltas(const Numbers&, const Numbers& a, const Numbers& activation_gradients) const override {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    double average = 0.0;
    for (std::size_t j = 0; j < a.size(); ++j) average += activation_gradients[j] * a[j];
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(a[k] * (activation_gradients[k] - average));
    return delta;
  }
};

// The natural logarithm of softmax, without ever taking the logarithm of a 0.
struct LogSoftmax : Activation {
  Numbers activate(const Numbers& z) const override { return log_softmax(z); }

  Numbers deltas(const Numbers&, const Numbers& a, const Numbers& activation_gradients) const override {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    const double total = add_up(activation_gradients);
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(activation_gradients[k] - std::exp(a[k]) * total);
    return delta;
  }
};

template <typename Kind>
std::unique_ptr<Activation> plain(Parameter) {
  return std::make_unique<Kind>();
}

}  // namespace

const std::map<std::string, MakeActivation> kActivations = {
    {"identity", plain<Identity>},
    {"sigmoid", plain<Sigmoid>},
    {"tanh", plain<Tanh>},
    {"relu", plain<ReLU>},
    {"leaky_relu", [](Parameter alpha) { return std::make_unique<LeakyReLU>(alpha.value_or(0.01)); }},
    {"elu", [](Parameter alpha) { return std::make_unique<ELU>(alpha.value_or(1.0)); }},
    {"softplus", plain<Softplus>},
    {"softsign", plain<Softsign>},
    {"silu", plain<SiLU>},
    {"gelu", plain<GELU>},
    {"hard_tanh", plain<HardTanh>},
    {"softmax", plain<Softmax>},
    {"log_softmax", plain<LogSoftmax>},
};

#include "losses.hpp"

#include <algorithm>
#include <cmath>

double Loss::of_sample(const Numbers& a, const Numbers& t) const {
  double total = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) total += term(a[k], t[k]);
  return mean_over_outputs_ ? total / static_cast<double>(a.size()) : total;
}

Numbers Loss::activation_gradients(const Numbers& a, const Numbers& t) const {
  Numbers gradients;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double gradient = derivative(a[k], t[k]);
    gradients.push_back(mean_over_outputs_ ? gradient / static_cast<double>(a.size()) : gradient);
  }
  return gradients;
}

namespace {

// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
struct HalfSquaredError : Loss {
  double term(double a, double t) const override { return 0.5 * (a - t) * (a - t); }
  double derivative(double a, double t) const override { return a - t; }
};

// The square of the error.
struct SquaredError : Loss {
  using Loss::Loss;
  double term(double a, double t) const override { return (a - t) * (a - t); }
  double derivative(double a, double t) const override { return 2.0 * (a - t); }
};

// The square of the error, averaged over the outputs.
struct MeanSquaredError : SquaredError {
  MeanSquaredError() : SquaredError(true) {}
};

// The size of the error, averaged over the outputs.
struct MeanAbsoluteError : Loss {
  MeanAbsoluteError() : Loss(true) {}
  double term(double a, double t) const override { return std::abs(a - t); }
  double derivative(double a, double t) const override { return sign(a - t); }
};

// Half the square of a small error; a straight line from there on for a large one.
struct Huber : Loss {
  explicit Huber(double threshold) : Loss(true), threshold(threshold) {}

  double term(double a, double t) const override {
    const double error = std::abs(a - t);
    return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
  }

  double derivative(double a, double t) const override {
    const double error = a - t;
    return std::abs(error) <= threshold ? error : threshold * sign(error);
  }

  double threshold;
};

// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
struct BinaryCrossEntropy : Loss {
  double term(double a, double t) const override { return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a)); }
  double derivative(double a, double t) const override { return -(divide(t, a) - divide(1.0 - t, 1.0 - a)); }
};

// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
struct CrossEntropy : Loss {
  double term(double a, double t) const override { return -times_log(t, a); }
  double derivative(double a, double t) const override { return -divide(t, a); }
};

// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
struct NegativeLogLikelihood : Loss {
  double term(double a, double t) const override { return -t * a; }
  double derivative(double, double t) const override { return -t; }
};

// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
struct Hinge : Loss {
  double term(double a, double t) const override { return std::max(0.0, 1.0 - t * a); }
  double derivative(double a, double t) const override { return 1.0 - t * a > 0.0 ? -t : 0.0; }
};

// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
struct SigmoidWithBinaryCrossEntropy : OneStep {
  double of_sample(const Numbers& z, const Numbers& t) const override {
    double loss = 0.0;
    for (std::size_t k = 0; k < z.size(); ++k) loss += t[k] * softplus(-z[k]) + (1.0 - t[k]) * softplus(z[k]);
    return loss;
  }

  // dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
  Numbers deltas(const Numbers& a, const Numbers& t) const override {
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(a[k] - t[k]);
    return delta;
  }
};

// With a = softmax(z), ln a is log_softmax(z).
struct SoftmaxWithCrossEntropy : OneStep {
  double of_sample(const Numbers& z, const Numbers& t) const override {
    const Numbers log_a = log_softmax(z);
    double loss = 0.0;
    for (std::size_t k = 0; k < z.size(); ++k) loss += -t[k] * log_a[k];
    return loss;
  }

  // Put dL/da = -t / a into the chain rule of Softmax, and a * (sum of t) - t is left.
  Numbers deltas(const Numbers& a, const Numbers& t) const override {
    const double total = add_up(t);  // 1 for probabilities, and then this is the well-known a - t
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(a[k] * total - t[k]);
    return delta;
  }
};

template <typename Kind>
std::unique_ptr<Loss> plain(Parameter) {
  return std::make_unique<Kind>();
}

}  // namespace

const std::map<std::string, MakeLoss> kLosses = {
    {"half_squared_error", plain<HalfSquaredError>},
    {"squared_error", plain<SquaredError>},
    {"mean_squared_error", plain<MeanSquaredError>},
    {"mean_absolute_error", plain<MeanAbsoluteError>},
    {"huber", [](Parameter threshold) { return std::make_unique<Huber>(threshold.value_or(1.0)); }},
    {"binary_cross_entropy", plain<BinaryCrossEntropy>},
    {"cross_entropy", plain<CrossEntropy>},
    {"negative_log_likelihood", plain<NegativeLogLikelihood>},
    {"hinge", plain<Hinge>},
};

std::unique_ptr<OneStep> one_step_named(const std::string& activation, const std::string& loss) {
  if (activation == "sigmoid" && loss == "binary_cross_entropy") {
    return std::make_unique<SigmoidWithBinaryCrossEntropy>();
  }
  if (activation == "softmax" && loss == "cross_entropy") return std::make_unique<SoftmaxWithCrossEntropy>();
  return nullptr;
}

// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C++.
//
// Read it from top to bottom:
//
// 1. Activations   what a neuron makes of its weighted sum, and the slope of that
// 2. Losses        how wrong the output is, and the slope of that
// 3. Neuron        weights and a bias: the weighted sum forward, the gradients backward, the update
// 4. Layer         neurons that read the same inputs
// 5. Network       layers one after the other: forward, backward, update
// 6. backprop      from a case of backprop-check to its reply
//
// The names are the field's: `z` is a neuron's weighted sum plus its bias, `a` its activation, `t` a target, and
// `delta` is dL/dz, the slope of the loss L with regard to z. There are no matrices, only lists of numbers.

#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numbers>
#include <optional>
#include <utility>

namespace {

using Numbers = std::vector<double>;

double add_up(const Numbers& numbers) {
  double total = 0.0;
  for (const double number : numbers) total += number;
  return total;
}

// ------------------------------------------------------------------------------------------------
// 1. Activations
// ------------------------------------------------------------------------------------------------

// What a layer makes of its z, and the way back.
class Activation {
 public:
  virtual ~Activation() = default;

  // The activations of a layer.
  virtual Numbers activate(const Numbers& z) const = 0;

  // dL/dz of a layer, from its dL/da.
  virtual Numbers deltas(const Numbers& z, const Numbers& a, const Numbers& dloss_da) const = 0;
};

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
  Numbers deltas(const Numbers& z, const Numbers& a, const Numbers& dloss_da) const override {
    Numbers delta;
    for (std::size_t j = 0; j < z.size(); ++j) delta.push_back(dloss_da[j] * derivative(z[j], a[j]));
    return delta;
  }
};

double sigmoid(double z) {
  // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
  if (z >= 0.0) return 1.0 / (1.0 + std::exp(-z));
  const double power = std::exp(z);
  return power / (1.0 + power);
}

// The same as ln(1 + e^z), but e^z would overflow. log1p(x) is ln(1 + x), precise for a small x.
double softplus(double z) { return std::max(0.0, z) + std::log1p(std::exp(-std::abs(z))); }

Numbers log_softmax(const Numbers& z) {
  const double largest = *std::max_element(z.begin(), z.end());
  double total = 0.0;
  for (const double z_j : z) total += std::exp(z_j - largest);
  Numbers log_a;
  for (const double z_j : z) log_a.push_back(z_j - largest - std::log(total));
  return log_a;
}

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
  // P(z) = (1 + erf(z / sqrt 2)) / 2; by erfc = 1 - erf it stays precise for a very negative z.
  static double probability(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

  double value(double z) const override { return z * probability(z); }

  double derivative(double z, double) const override {
    const double density = std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi);  // the bell curve: dP/dz
    return probability(z) + z * density;  // the product rule
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
    const double largest = *std::max_element(z.begin(), z.end());
    Numbers a;
    for (const double z_j : z) a.push_back(std::exp(z_j - largest));
    const double total = add_up(a);
    for (double& a_j : a) a_j /= total;
    return a;
  }

  Numbers deltas(const Numbers&, const Numbers& a, const Numbers& dloss_da) const override {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    double average = 0.0;
    for (std::size_t j = 0; j < a.size(); ++j) average += dloss_da[j] * a[j];
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(a[k] * (dloss_da[k] - average));
    return delta;
  }
};

// The natural logarithm of softmax, without ever taking the logarithm of a 0.
struct LogSoftmax : Activation {
  Numbers activate(const Numbers& z) const override { return log_softmax(z); }

  Numbers deltas(const Numbers&, const Numbers& a, const Numbers& dloss_da) const override {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    const double total = add_up(dloss_da);
    Numbers delta;
    for (std::size_t k = 0; k < a.size(); ++k) delta.push_back(dloss_da[k] - std::exp(a[k]) * total);
    return delta;
  }
};

using Parameter = std::optional<double>;  // one that a case may bring or leave out

template <typename Kind>
std::unique_ptr<Activation> plain(Parameter) {
  return std::make_unique<Kind>();
}

// How to make each activation. Only two have a parameter.
const std::map<std::string, std::function<std::unique_ptr<Activation>(Parameter alpha)>> kActivations = {
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

// ------------------------------------------------------------------------------------------------
// 2. Losses
// ------------------------------------------------------------------------------------------------

// 1, -1, or 0 at the kink of |x|, where there is no slope.
double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
double times_log(double t, double p) { return t == 0.0 ? 0.0 : t * std::log(p); }

// t / p, the derivative of t ln p with regard to p.
double divide(double t, double p) { return t == 0.0 ? 0.0 : t / p; }

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
  double of_sample(const Numbers& a, const Numbers& t) const {
    double total = 0.0;
    for (std::size_t k = 0; k < a.size(); ++k) total += term(a[k], t[k]);
    return mean_over_outputs_ ? total / static_cast<double>(a.size()) : total;
  }

  // dL/da of every output, where L is the loss of this one sample.
  Numbers dloss_da(const Numbers& a, const Numbers& t) const {
    Numbers slopes;
    for (std::size_t k = 0; k < a.size(); ++k) {
      const double slope = derivative(a[k], t[k]);
      slopes.push_back(mean_over_outputs_ ? slope / static_cast<double>(a.size()) : slope);
    }
    return slopes;
  }

 private:
  bool mean_over_outputs_;
};

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

template <typename Kind>
std::unique_ptr<Loss> simple(Parameter) {
  return std::make_unique<Kind>();
}

// How to make each loss. Only one has a parameter.
const std::map<std::string, std::function<std::unique_ptr<Loss>(Parameter threshold)>> kLosses = {
    {"half_squared_error", simple<HalfSquaredError>},
    {"squared_error", simple<SquaredError>},
    {"mean_squared_error", simple<MeanSquaredError>},
    {"mean_absolute_error", simple<MeanAbsoluteError>},
    {"huber", [](Parameter threshold) { return std::make_unique<Huber>(threshold.value_or(1.0)); }},
    {"binary_cross_entropy", simple<BinaryCrossEntropy>},
    {"cross_entropy", simple<CrossEntropy>},
    {"negative_log_likelihood", simple<NegativeLogLikelihood>},
    {"hinge", simple<Hinge>},
};

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

// The one step of an activation with a loss; nullptr for most, which take two.
std::unique_ptr<OneStep> in_one_step(const std::string& activation, const std::string& loss) {
  if (activation == "sigmoid" && loss == "binary_cross_entropy") {
    return std::make_unique<SigmoidWithBinaryCrossEntropy>();
  }
  if (activation == "softmax" && loss == "cross_entropy") return std::make_unique<SoftmaxWithCrossEntropy>();
  return nullptr;
}

// ------------------------------------------------------------------------------------------------
// 3. Neuron
// ------------------------------------------------------------------------------------------------

// One neuron: a weight for each of its inputs, and a bias.
struct Neuron {
  Neuron(Numbers weights, double bias) : weights(std::move(weights)), bias(bias) { reset_gradients(); }

  // Starts the sums over the samples at 0.
  void reset_gradients() {
    weight_gradients.assign(weights.size(), 0.0);
    bias_gradient = 0.0;
  }

  // Forward: z, every input times its weight, plus the bias.
  double weighted_sum(const Numbers& inputs) const {
    double z = bias;
    for (std::size_t i = 0; i < weights.size(); ++i) z += weights[i] * inputs[i];
    return z;
  }

  // Backward: adds one sample's part to the gradients.
  //
  // A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
  void add_gradients(double delta, const Numbers& inputs) {
    // EXERCISE BEGIN gradients
    for (std::size_t i = 0; i < weights.size(); ++i) weight_gradients[i] += delta * inputs[i];
    bias_gradient += delta;
    // EXERCISE END gradients
  }

  // Takes one step down the slope.
  void update(double learning_rate) {
    // EXERCISE BEGIN update
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] -= learning_rate * weight_gradients[i];
    bias -= learning_rate * bias_gradient;
    // EXERCISE END update
  }

  Numbers weights;
  double bias;
  Numbers weight_gradients;
  double bias_gradient = 0.0;
};

// ------------------------------------------------------------------------------------------------
// 4. Layer
// ------------------------------------------------------------------------------------------------

// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
struct Layer {
  Layer(std::vector<Neuron> neurons, std::unique_ptr<Activation> activation)
      : neurons(std::move(neurons)), activation(std::move(activation)) {}

  // The activations of all neurons for one sample.
  const Numbers& forward(const Numbers& x) {
    inputs = x;
    z.clear();
    for (const Neuron& neuron : neurons) z.push_back(neuron.weighted_sum(inputs));
    a = activation->activate(z);
    return a;
  }

  // Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
  //
  // Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
  // dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
  Numbers backward(const Numbers& dloss_dz) {
    delta = dloss_dz;
    for (std::size_t j = 0; j < neurons.size(); ++j) neurons[j].add_gradients(delta[j], inputs);

    Numbers dloss_dx(inputs.size(), 0.0);
    // EXERCISE BEGIN hidden delta
    for (std::size_t j = 0; j < neurons.size(); ++j) {
      for (std::size_t i = 0; i < inputs.size(); ++i) dloss_dx[i] += delta[j] * neurons[j].weights[i];
    }
    // EXERCISE END hidden delta
    return dloss_dx;
  }

  std::vector<Neuron> neurons;
  std::unique_ptr<Activation> activation;
  Numbers inputs, z, a, delta;
};

// ------------------------------------------------------------------------------------------------
// 5. Network
// ------------------------------------------------------------------------------------------------

// Layers, each reading the activations of the one before.
struct Network {
  // The output of the network for one sample.
  Numbers forward(Numbers a) {
    for (Layer& layer : layers) a = layer.forward(a);
    return a;
  }

  // The loss of the sample that went forward last.
  double sample_loss(const Numbers& targets) const {
    const Layer& output = layers.back();
    return one_step ? one_step->of_sample(output.z, targets) : loss->of_sample(output.a, targets);
  }

  // dL/dz of the output neurons, where backward begins.
  Numbers output_deltas(const Numbers& targets) const {
    const Layer& output = layers.back();
    // EXERCISE BEGIN output delta: return Numbers(output.z.size(), 0.0);
    if (one_step) return one_step->deltas(output.a, targets);
    return output.activation->deltas(output.z, output.a, loss->dloss_da(output.a, targets));
    // EXERCISE END output delta
  }

  // Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
  //
  // The batch's loss is the mean of its samples' losses, or their sum: the divisor is their number, or 1.
  Numbers backward(const Numbers& targets, double divisor) {
    Numbers delta = output_deltas(targets);
    for (double& delta_k : delta) delta_k /= divisor;
    Numbers dloss_dx = layers.back().backward(delta);
    for (std::size_t l = layers.size() - 1; l-- > 0;) {
      Layer& layer = layers[l];
      // What the inputs of the layer after get back is what the activations of this one get back.
      // EXERCISE BEGIN hidden delta: delta = Numbers(layer.z.size(), 0.0);
      delta = layer.activation->deltas(layer.z, layer.a, dloss_dx);
      // EXERCISE END hidden delta
      dloss_dx = layer.backward(delta);
    }
    return dloss_dx;
  }

  void reset_gradients() {
    for (Layer& layer : layers) {
      for (Neuron& neuron : layer.neurons) neuron.reset_gradients();
    }
  }

  // Takes one step down the slope, once all gradients are there.
  void update(double learning_rate) {
    for (Layer& layer : layers) {
      for (Neuron& neuron : layer.neurons) neuron.update(learning_rate);
    }
  }

  std::vector<Layer> layers;
  std::unique_ptr<Loss> loss;
  std::unique_ptr<OneStep> one_step;  // or none
};

// ------------------------------------------------------------------------------------------------
// 6. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

struct Sample {
  Numbers inputs;
  Numbers targets;
};

struct Batch {
  std::vector<Sample> samples;
  double divisor;  // of the sum of the samples' losses, to get the batch's
};

struct Steps {
  int count;
  double learning_rate;
};

Numbers read_numbers(const Json& json) {
  Numbers numbers;
  for (const Json& number : json.array()) numbers.push_back(number.number());
  return numbers;
}

Parameter read_parameter(const Json& owner, const char* name) {
  const Json* found = owner.find(name);
  return found ? Parameter(found->number()) : std::nullopt;
}

// What the map has for the word.
template <typename Map>
auto known(const Map& map, const std::string& word, const std::string& what) {
  const auto found = map.find(word);
  if (found == map.end()) throw NotThereYet("the " + what + " " + word);
  return found->second;
}

// One layer with the parameters that the case gives it.
Layer build_layer(const Json& layer) {
  const std::string& kind = layer["kind"].text();
  if (kind != "dense") throw NotThereYet("the layer " + kind);
  if (layer.find("from") || layer.find("combine")) {
    throw NotThereYet("a layer that reads another one than the one before it");
  }
  const auto make = known(kActivations, layer["activation"].text(), "activation");
  const Json::Array& weights = layer["parameters"]["weights"].array();
  const Numbers biases = read_numbers(layer["parameters"]["biases"]);
  std::vector<Neuron> neurons;
  for (std::size_t j = 0; j < weights.size(); ++j) neurons.emplace_back(read_numbers(weights[j]), biases.at(j));
  return {std::move(neurons), make(read_parameter(layer, "alpha"))};
}

// The network that the case describes.
Network build_network(const Json& request) {
  const Json::Array& layers = request["network"]["layers"].array();
  const Json& loss = request["loss"];
  const auto make_loss = known(kLosses, loss["kind"].text(), "loss");

  Network network;
  for (const Json& layer : layers) network.layers.push_back(build_layer(layer));
  network.loss = make_loss(read_parameter(loss, "threshold"));
  network.one_step = in_one_step(layers.back()["activation"].text(), loss["kind"].text());
  return network;
}

// How many steps, and how long; nothing where no update is asked for.
std::optional<Steps> read_optimizer(const Json& request) {
  const Json* optimizer = request.find("optimizer");
  if (!optimizer) return std::nullopt;
  const std::string& kind = (*optimizer)["kind"].text();
  if (kind != "sgd") throw NotThereYet("the optimizer " + kind);
  for (const char* option : {"momentum", "nesterov", "weight_decay"}) {
    const Json* value = optimizer->find(option);
    if (value && value->truthy()) throw NotThereYet(std::string("sgd with ") + option);
  }
  const Json* steps = request.find("steps");
  return Steps{steps ? static_cast<int>(steps->number()) : 1, (*optimizer)["learning_rate"].number()};
}

Batch read_batch(const Json& request) {
  const Json::Array& inputs = request["inputs"].array();
  const Json::Array& targets = request["targets"].array();
  const Json* given = request.find("reduction");
  const std::string reduction = given ? given->text() : "mean";
  if (reduction != "mean" && reduction != "sum") throw NotThereYet("the reduction " + reduction);

  Batch batch{{}, reduction == "mean" ? static_cast<double>(inputs.size()) : 1.0};
  for (std::size_t s = 0; s < inputs.size(); ++s) {
    batch.samples.push_back({read_numbers(inputs[s]), read_numbers(targets.at(s))});
  }
  return batch;
}

// The layer's weights and biases as they are now.
Json parameters(const Layer& layer) {
  Json::Array weights, biases;
  for (const Neuron& neuron : layer.neurons) {
    weights.emplace_back(neuron.weights);
    biases.emplace_back(neuron.bias);
  }
  return Json::Object{{"weights", weights}, {"biases", biases}};
}

Json gradients(const Layer& layer) {
  Json::Array weights, biases;
  for (const Neuron& neuron : layer.neurons) {
    weights.emplace_back(neuron.weight_gradients);
    biases.emplace_back(neuron.bias_gradient);
  }
  return Json::Object{{"weights", weights}, {"biases", biases}};
}

// What one pass over the batch gives.
struct Pass {
  double loss = 0.0;
  std::vector<Json::Object> layers;
  Json::Array input_gradients;
};

// Sends every sample forward and backward, and writes down what came out of it.
Pass one_pass(Network& network, const Batch& batch) {
  network.reset_gradients();
  Pass pass;
  std::vector<Json::Array> z(network.layers.size()), a = z, delta = z;
  for (const auto& [inputs, targets] : batch.samples) {
    network.forward(inputs);
    pass.loss += network.sample_loss(targets);
    pass.input_gradients.emplace_back(network.backward(targets, batch.divisor));
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      z[l].emplace_back(network.layers[l].z);
      a[l].emplace_back(network.layers[l].a);
      delta[l].emplace_back(network.layers[l].delta);
    }
  }
  pass.loss /= batch.divisor;
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    pass.layers.push_back({{"z", z[l]}, {"a", a[l]}, {"delta", delta[l]}, {"gradients", gradients(network.layers[l])}});
  }
  return pass;
}

}  // namespace

std::vector<std::string> activation_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kActivations) names.push_back(name);
  return names;
}

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kLosses) names.push_back(name);
  return names;
}

Json backprop(const Json& request) {
  Network network = build_network(request);
  const std::optional<Steps> steps = read_optimizer(request);
  const Batch batch = read_batch(request);

  // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  Pass first = one_pass(network, batch);
  Json::Array trajectory;
  for (int step = 0; steps && step < steps->count; ++step) {
    const double loss = step == 0 ? first.loss : one_pass(network, batch).loss;
    network.update(steps->learning_rate);
    Json::Array layers;
    for (const Layer& layer : network.layers) layers.push_back(Json::Object{{"updated", parameters(layer)}});
    trajectory.push_back(Json::Object{{"loss", loss}, {"layers", layers}});
  }
  if (steps) {
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      first.layers[l].emplace_back("updated", parameters(network.layers[l]));
    }
  }

  Json::Object reply{
      {"id", request["id"]},
      {"loss", first.loss},
      {"layers", Json::Array(first.layers.begin(), first.layers.end())},
      {"input_gradients", first.input_gradients},
  };
  if (steps && steps->count > 1) reply.emplace_back("trajectory", trajectory);
  return reply;
}

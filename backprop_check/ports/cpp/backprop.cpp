#include "backprop.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "network.hpp"

namespace {

struct Sample {
  Numbers inputs;
  Numbers targets;
};

struct Batch {
  std::vector<Sample> samples;
  double divisor;  // of the sum of the samples' losses, to get the batch's
};

struct Optimizer {
  int steps;
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

// The word, if it is one of those that we know.
std::string known(const std::string& word, const std::vector<std::string>& words, const std::string& what) {
  if (std::find(words.begin(), words.end(), word) == words.end()) throw NotThereYet("the " + what + " " + word);
  return word;
}

// The same, where each word has something: gives that.
template <typename Value>
const Value& known(const std::string& word, const std::map<std::string, Value>& words, const std::string& what) {
  const auto found = words.find(word);
  if (found == words.end()) throw NotThereYet("the " + what + " " + word);
  return found->second;
}

Batch read_batch(const Json& request) {
  const Json::Array& inputs = request["inputs"].array();
  const Json::Array& targets = request["targets"].array();
  const Json* given = request.find("reduction");
  const std::string reduction = known(given ? given->text() : "mean", {"mean", "sum"}, "reduction");

  Batch batch{{}, reduction == "mean" ? static_cast<double>(inputs.size()) : 1.0};
  for (std::size_t s = 0; s < inputs.size(); ++s) {
    batch.samples.push_back({read_numbers(inputs[s]), read_numbers(targets.at(s))});
  }
  return batch;
}

// The number of steps and the learning rate; nothing where no update is asked for.
std::optional<Optimizer> read_optimizer(const Json& request) {
  const Json* optimizer = request.find("optimizer");
  if (!optimizer) return std::nullopt;
  known((*optimizer)["kind"].text(), {"sgd"}, "optimizer");
  for (const char* option : {"momentum", "nesterov", "weight_decay"}) {
    const Json* value = optimizer->find(option);
    if (value && value->truthy()) throw NotThereYet(std::string("sgd with ") + option);
  }
  const Json* steps = request.find("steps");
  return Optimizer{steps ? static_cast<int>(steps->number()) : 1, (*optimizer)["learning_rate"].number()};
}

// One layer with the parameters that the case gives it.
Layer build_layer(const Json& layer) {
  known(layer["kind"].text(), {"dense"}, "layer");
  if (layer.find("from") || layer.find("combine")) {
    throw NotThereYet("a layer that reads another one than the one before it");
  }
  const MakeActivation& make = known(layer["activation"].text(), kActivations, "activation");
  const Json::Array& weights = layer["parameters"]["weights"].array();
  const Numbers biases = read_numbers(layer["parameters"]["biases"]);
  std::vector<Neuron> neurons;
  for (std::size_t j = 0; j < weights.size(); ++j) neurons.emplace_back(read_numbers(weights[j]), biases.at(j));
  return {std::move(neurons), make(read_parameter(layer, "alpha"))};
}

// The network that the case describes.
Network build_network(const Json& request) {
  const Json::Array& layers = request["network"]["layers"].array();
  if (layers.empty()) throw std::runtime_error("a network without a layer");
  const Json& loss = request["loss"];
  const MakeLoss& make = known(loss["kind"].text(), kLosses, "loss");

  Network network;
  for (const Json& layer : layers) network.layers.push_back(build_layer(layer));
  network.loss = make(read_parameter(loss, "threshold"));
  network.one_step = one_step_named(layers.back()["activation"].text(), loss["kind"].text());
  return network;
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
  std::vector<Json::Object> records;  // one a layer
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
    Json::Object record{{"z", z[l]}, {"a", a[l]}, {"delta", delta[l]}, {"gradients", gradients(network.layers[l])}};
    pass.records.push_back(std::move(record));
  }
  return pass;
}

}  // namespace

Json backprop(const Json& request) {
  Network network = build_network(request);
  const std::optional<Optimizer> optimizer = read_optimizer(request);
  const Batch batch = read_batch(request);

  // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
  Pass first = one_pass(network, batch);
  Json::Array trajectory;
  for (int step = 0; optimizer && step < optimizer->steps; ++step) {
    const double loss = step == 0 ? first.loss : one_pass(network, batch).loss;
    network.update(optimizer->learning_rate);
    Json::Array layers;
    for (const Layer& layer : network.layers) layers.push_back(Json::Object{{"updated", parameters(layer)}});
    trajectory.push_back(Json::Object{{"loss", loss}, {"layers", layers}});
  }
  if (optimizer) {
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      first.records[l].emplace_back("updated", parameters(network.layers[l]));
    }
  }

  Json::Object reply{
      {"id", request["id"]},
      {"loss", first.loss},
      {"layers", Json::Array(first.records.begin(), first.records.end())},
      {"input_gradients", first.input_gradients},
  };
  if (optimizer && optimizer->steps > 1) reply.emplace_back("trajectory", trajectory);
  return reply;
}

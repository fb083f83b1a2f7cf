// The port: how backprop-check talks to the network in network.cpp.
//
// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
// There is no mathematics here. Keep this file, and put your own network behind `backprop`.

#include <exception>
#include <iostream>
#include <string>

#include "activations.hpp"
#include "backprop.hpp"
#include "json.hpp"
#include "losses.hpp"

namespace {

// Says who we are and what we can do. What is not listed under "supports" is never asked for.
Json hello(const Json& request) {
  Json::Array activations, losses;
  for (const auto& [name, make] : kActivations) activations.emplace_back(name);
  for (const auto& [name, make] : kLosses) losses.emplace_back(name);
  Json::Object reply{
      {"protocol", 1},
      {"name", "vanilla-cpp"},
      {"language", "C++" + std::to_string(__cplusplus / 100 % 100)},
      {"version", "0.1.0"},
      {"dtype", "float64"},
      {"max_in_flight", 16},
      {"supports", Json::Object{
                       {"layers", Json::Array{"dense"}},
                       {"activations", activations},
                       {"losses", losses},
                       {"optimizers", Json::Array{"sgd"}},
                       {"batch", true},
                   }},
  };
  if (const Json* echo = request.find("echo")) {
    reply.emplace_back("echo", *echo);  // shows that no digit is lost on the way in and out
  }
  return reply;
}

// The reply to one request.
Json answer(const std::string& line) {
  Json id;
  try {
    const Json request = Json::parse(line);
    if (const Json* given = request.find("id")) id = *given;
    const std::string& type = request["type"].text();
    if (type == "hello") return hello(request);
    if (type == "case") return backprop(request);
    throw NotThereYet("the request " + type);
  } catch (const NotThereYet& reason) {
    return Json::Object{{"id", id}, {"skip", reason.what()}};
  } catch (const std::exception& error) {
    // One case that fails must not end the others: say what happened, and go on.
    return Json::Object{{"id", id}, {"error", error.what()}};
  }
}

}  // namespace

// Answers until stdin ends.
int main() {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    // Without the flush the answer would wait in a buffer, and the harness for the answer.
    std::cout << answer(line).dump() << '\n' << std::flush;
  }
}

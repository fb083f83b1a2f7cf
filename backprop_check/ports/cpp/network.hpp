// What the port needs of the network: the words that it knows, and the answer to a case.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "json.hpp"

// The case asks for something that this program has not learnt.
struct NotThereYet : std::runtime_error {
  explicit NotThereYet(const std::string& what) : std::runtime_error(what + " is not there yet") {}
};

std::vector<std::string> activation_names();
std::vector<std::string> loss_names();

// Works out one case of backprop-check, and replies with all that the protocol knows. Throws NotThereYet.
Json backprop(const Json& request);

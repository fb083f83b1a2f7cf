// From a case of backprop-check to its reply.
#pragma once

#include <stdexcept>
#include <string>

#include "json.hpp"

// The case asks for something that this program has not learnt: it is skipped, which is no failure.
struct NotThereYet : std::runtime_error {
  explicit NotThereYet(const std::string& what) : std::runtime_error(what + " is not there yet") {}
};

// Works out one case of backprop-check, and replies with all that the protocol knows. Throws NotThereYet.
//
// To test a network of your own, let this run it.
Json backprop(const Json& request);

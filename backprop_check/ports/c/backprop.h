// From a case of backprop-check to its reply.
#ifndef BACKPROP_H
#define BACKPROP_H

#include "json.h"

// Works out one case of backprop-check, and writes all that the protocol knows: a whole reply.
//
// To test a network of your own, let this run it.
void backprop(const Json *request, Writer *reply);

#endif

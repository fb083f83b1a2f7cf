// What the port needs of the network: the words that it knows, and the answer to a case.
#ifndef NETWORK_H
#define NETWORK_H

#include "json.h"

void write_activation_names(Writer *writer);
void write_loss_names(Writer *writer);

// Works out one case of backprop-check, and writes all that the protocol knows: a whole reply.
void backprop(const Json *request, Writer *reply);

#endif

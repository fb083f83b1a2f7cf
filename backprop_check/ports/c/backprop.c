#include "backprop.h"

#include <string.h>

#include "arena.h"
#include "network.h"

// ------------------------------------------------------------------------------------------------
// The case: a network, and what to do with it
// ------------------------------------------------------------------------------------------------

typedef struct {
    size_t samples;
    double **inputs, **targets;
    double divisor;  // of the sum of the samples' losses, to get the batch's
} Batch;

// Reads a list of so many numbers.
static double *read_numbers(const Json *json, size_t count, const char *what) {
    if (!json || json->kind != JSON_ARRAY || json->count != count) {
        fail(FAILED, "%s: %zu numbers expected", what, count);
    }
    double *numbers = new_numbers(count);
    for (size_t i = 0; i < count; i++) numbers[i] = json_number(&json->items[i]);
    return numbers;
}

static double read_optional(const Json *owner, const char *key, double otherwise) {
    const Json *found = json_find(owner, key);
    return found ? json_number(found) : otherwise;
}

// Gives the word, if it is one of those that we know: these end with NULL.
static const char *known(const char *word, const char *const words[], const char *what) {
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0) return word;
    }
    fail(NOT_THERE_YET, "the %s %s is not there yet", what, word);
}

static Batch read_batch(const Json *request, const Network *network) {
    const Json *inputs = json_array(request, "inputs"), *targets = json_array(request, "targets");
    if (inputs->count != targets->count) fail(FAILED, "as many targets as inputs expected");

    const char *given = json_find(request, "reduction") ? json_text(request, "reduction") : "mean";
    const char *reduction = known(given, (const char *[]){"mean", "sum", NULL}, "reduction");

    Batch batch = {.samples = inputs->count};
    batch.divisor = strcmp(reduction, "mean") == 0 ? (double)batch.samples : 1.0;
    batch.inputs = arena_get(batch.samples, sizeof(double *));
    batch.targets = arena_get(batch.samples, sizeof(double *));
    for (size_t s = 0; s < batch.samples; s++) {
        batch.inputs[s] = read_numbers(&inputs->items[s], network->layers[0].inputs_count, "inputs");
        batch.targets[s] = read_numbers(&targets->items[s], network->output->units, "targets");
    }
    return batch;
}

// Gives the number of steps, and the learning rate; 0 steps where no update is asked for.
static size_t read_optimizer(const Json *request, double *learning_rate) {
    const Json *optimizer = json_find(request, "optimizer");
    if (!optimizer) return 0;
    known(json_text(optimizer, "kind"), (const char *[]){"sgd", NULL}, "optimizer");
    const char *options[] = {"momentum", "nesterov", "weight_decay"};
    for (size_t i = 0; i < 3; i++) {
        const Json *option = json_find(optimizer, options[i]);
        if (option && (option->kind == JSON_BOOL ? option->truth : json_number(option) != 0.0)) {
            fail(NOT_THERE_YET, "sgd with %s is not there yet", options[i]);
        }
    }
    *learning_rate = json_number(json_find(optimizer, "learning_rate"));
    return (size_t)read_optional(request, "steps", 1.0);
}

// One layer with the parameters that the case gives it.
static Layer build_layer(const Json *json, size_t inputs_count) {
    known(json_text(json, "kind"), (const char *[]){"dense", NULL}, "layer");
    if (json_find(json, "from") || json_find(json, "combine")) {
        fail(NOT_THERE_YET, "a layer that reads another one than the one before it is not there yet");
    }
    const Json *parameters = json_object(json, "parameters");
    const Json *weights = json_array(parameters, "weights");
    Layer layer = {.inputs_count = inputs_count, .units = weights->count};
    layer.activation = *activation_named(json_text(json, "activation"));
    layer.activation.alpha = read_optional(json, "alpha", layer.activation.alpha);

    const double *biases = read_numbers(json_array(parameters, "biases"), layer.units, "biases");
    layer.neurons = arena_get(layer.units, sizeof *layer.neurons);
    for (size_t j = 0; j < layer.units; j++) {
        layer.neurons[j] = (Neuron){
            .inputs = inputs_count,
            .weights = read_numbers(&weights->items[j], inputs_count, "weights of a neuron"),
            .bias = biases[j],
            .weight_gradients = new_numbers(inputs_count),
        };
    }
    return layer;
}

// The network that the case describes.
static Network build_network(const Json *request) {
    const Json *json = json_object(request, "network"), *layers = json_array(json, "layers");
    if (layers->count == 0) fail(FAILED, "a network without a layer");

    Network network = {.count = layers->count, .layers = arena_get(layers->count, sizeof(Layer))};
    size_t inputs = (size_t)json_number(json_find(json, "inputs"));
    for (size_t l = 0; l < network.count; l++) {
        network.layers[l] = build_layer(&layers->items[l], inputs);
        inputs = network.layers[l].units;
    }
    network.output = &network.layers[network.count - 1];
    if (network.output->units == 0) fail(FAILED, "an output without a neuron");

    const Json *loss = json_object(request, "loss");
    network.loss = *loss_named(json_text(loss, "kind"));
    network.loss.threshold = read_optional(loss, "threshold", network.loss.threshold);
    network.one_step = one_step_named(network.output->activation.name, network.loss.name);
    return network;
}

// ------------------------------------------------------------------------------------------------
// One pass
// ------------------------------------------------------------------------------------------------

// What a layer has of every neuron, a list and a number: its parameters, or their gradients.
typedef struct {
    size_t inputs_count, units;
    double **weights, *biases;
} Parameters;

static Parameters new_parameters(const Layer *layer) {
    Parameters made = {.inputs_count = layer->inputs_count, .units = layer->units};
    made.weights = arena_get(layer->units, sizeof(double *));
    made.biases = new_numbers(layer->units);
    for (size_t j = 0; j < layer->units; j++) made.weights[j] = new_numbers(layer->inputs_count);
    return made;
}

// A copy of the layer's weights and biases as they are now.
static Parameters parameters(const Layer *layer) {
    Parameters copy = new_parameters(layer);
    for (size_t j = 0; j < layer->units; j++) {
        for (size_t i = 0; i < layer->inputs_count; i++) copy.weights[j][i] = layer->neurons[j].weights[i];
        copy.biases[j] = layer->neurons[j].bias;
    }
    return copy;
}

// A copy of the layer's gradients as they are now.
static Parameters gradients(const Layer *layer) {
    Parameters copy = new_parameters(layer);
    for (size_t j = 0; j < layer->units; j++) {
        for (size_t i = 0; i < layer->inputs_count; i++) copy.weights[j][i] = layer->neurons[j].weight_gradients[i];
        copy.biases[j] = layer->neurons[j].bias_gradient;
    }
    return copy;
}

// What one pass over the batch gives of a layer: z, a and delta by sample, and the gradients.
typedef struct {
    double **z, **a, **delta;
    Parameters gradients;
} Record;

typedef struct {
    double loss;
    double **input_gradients;
    Record *records;  // one a layer
} Pass;

// Sends every sample forward and backward, and writes down what came out of it.
static Pass one_pass(Network *network, const Batch *batch) {
    network_reset_gradients(network);
    Pass pass = {.input_gradients = arena_get(batch->samples, sizeof(double *))};
    pass.records = arena_get(network->count, sizeof *pass.records);
    for (size_t l = 0; l < network->count; l++) {
        pass.records[l].z = arena_get(batch->samples, sizeof(double *));
        pass.records[l].a = arena_get(batch->samples, sizeof(double *));
        pass.records[l].delta = arena_get(batch->samples, sizeof(double *));
    }
    for (size_t s = 0; s < batch->samples; s++) {
        network_forward(network, batch->inputs[s]);
        pass.loss += network_sample_loss(network, batch->targets[s]);
        pass.input_gradients[s] = network_backward(network, batch->targets[s], batch->divisor);
        for (size_t l = 0; l < network->count; l++) {
            const Layer *layer = &network->layers[l];
            pass.records[l].z[s] = layer->z;
            pass.records[l].a[s] = layer->a;
            pass.records[l].delta[s] = layer->delta;
        }
    }
    pass.loss /= batch->divisor;
    for (size_t l = 0; l < network->count; l++) pass.records[l].gradients = gradients(&network->layers[l]);
    return pass;
}

// One step: the loss before it, and the parameters of every layer after it.
typedef struct {
    double loss;
    Parameters *updated;
} Step;

// ------------------------------------------------------------------------------------------------
// The reply
// ------------------------------------------------------------------------------------------------

static void write_lists(Writer *reply, const char *key, size_t count, double **lists, size_t length) {
    write_key(reply, key);
    write_begin(reply, '[');
    for (size_t s = 0; s < count; s++) write_numbers(reply, lists[s], length);
    write_end(reply, ']');
}

static void write_parameters(Writer *reply, const char *key, const Parameters *parameters) {
    write_key(reply, key);
    write_begin(reply, '{');
    write_lists(reply, "weights", parameters->units, parameters->weights, parameters->inputs_count);
    write_key(reply, "biases");
    write_numbers(reply, parameters->biases, parameters->units);
    write_end(reply, '}');
}

static void write_trajectory(Writer *reply, const Network *network, const Step *trajectory, size_t steps) {
    write_key(reply, "trajectory");
    write_begin(reply, '[');
    for (size_t step = 0; step < steps; step++) {
        write_begin(reply, '{');
        write_key(reply, "loss");
        write_number(reply, trajectory[step].loss);
        write_key(reply, "layers");
        write_begin(reply, '[');
        for (size_t l = 0; l < network->count; l++) {
            write_begin(reply, '{');
            write_parameters(reply, "updated", &trajectory[step].updated[l]);
            write_end(reply, '}');
        }
        write_end(reply, ']');
        write_end(reply, '}');
    }
    write_end(reply, ']');
}

void backprop(const Json *request, Writer *reply) {
    Network network = build_network(request);
    double learning_rate = 0.0;
    const size_t steps = read_optimizer(request, &learning_rate);
    const Batch batch = read_batch(request, &network);

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    const Pass first = one_pass(&network, &batch);
    Step *trajectory = arena_get(steps, sizeof *trajectory);
    for (size_t step = 0; step < steps; step++) {
        trajectory[step].loss = step == 0 ? first.loss : one_pass(&network, &batch).loss;
        network_update(&network, learning_rate);
        trajectory[step].updated = arena_get(network.count, sizeof(Parameters));
        for (size_t l = 0; l < network.count; l++) trajectory[step].updated[l] = parameters(&network.layers[l]);
    }

    write_begin(reply, '{');
    write_key(reply, "id");
    write_json(reply, json_find(request, "id"));
    write_key(reply, "loss");
    write_number(reply, first.loss);
    write_key(reply, "layers");
    write_begin(reply, '[');
    for (size_t l = 0; l < network.count; l++) {
        const Record *record = &first.records[l];
        const size_t units = network.layers[l].units;
        write_begin(reply, '{');
        write_parameters(reply, "gradients", &record->gradients);
        write_lists(reply, "z", batch.samples, record->z, units);
        write_lists(reply, "a", batch.samples, record->a, units);
        write_lists(reply, "delta", batch.samples, record->delta, units);
        if (steps > 0) write_parameters(reply, "updated", &trajectory[steps - 1].updated[l]);
        write_end(reply, '}');
    }
    write_end(reply, ']');
    write_lists(reply, "input_gradients", batch.samples, first.input_gradients, network.layers[0].inputs_count);
    if (steps > 1) write_trajectory(reply, &network, trajectory, steps);
    write_end(reply, '}');
}

// A neural network of dense layers and its backpropagation, neuron by neuron, in plain C.
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

#include "network.h"

#include <math.h>
#include <string.h>

#include "arena.h"

static double *new_numbers(size_t count) { return arena_get(count, sizeof(double)); }

static double add_up(const double *numbers, size_t count) {
    double total = 0.0;
    for (size_t i = 0; i < count; i++) total += numbers[i];
    return total;
}

static double largest_of(const double *numbers, size_t count) {
    double largest = numbers[0];
    for (size_t i = 1; i < count; i++) largest = fmax(largest, numbers[i]);
    return largest;
}

// ------------------------------------------------------------------------------------------------
// 1. Activations
// ------------------------------------------------------------------------------------------------

// Most activations look at each neuron for itself. value gives a, the activation, and derivative gives da/dz. Both z
// and a are at hand: some derivatives are simpler in one, some in the other. alpha is the parameter of two of them.
typedef double Value(double z, double alpha);
typedef double Derivative(double z, double a, double alpha);

// Two look at the whole layer. activate writes the activations to a, and deltas writes dL/dz, from dL/da, to delta.
typedef void Activate(size_t units, const double *z, double *a);
typedef void Deltas(size_t units, const double *a, const double *dloss_da, double *delta);

typedef struct {
    const char *name;
    Value *value;            // these two,
    Derivative *derivative;
    Activate *activate;      // or these two
    Deltas *deltas;
    double alpha;            // where the case brings none
} Activation;

// No activation: a = z.
static double identity(double z, double alpha) { return z; }
static double identity_derivative(double z, double a, double alpha) { return 1.0; }

// 1 / (1 + e^-z): any number squeezed into 0..1.
static double sigmoid_of(double z) {
    // e^-z overflows for a very negative z, e^z for a very positive one: take the one that cannot.
    if (z >= 0.0) return 1.0 / (1.0 + exp(-z));
    const double power = exp(z);
    return power / (1.0 + power);
}
static double sigmoid(double z, double alpha) { return sigmoid_of(z); }
static double sigmoid_derivative(double z, double a, double alpha) { return a * (1.0 - a); }

// The hyperbolic tangent: any number squeezed into -1..1.
static double tanh_(double z, double alpha) { return tanh(z); }
static double tanh_derivative(double z, double a, double alpha) { return 1.0 - a * a; }

// z where it is positive, else 0. At z = 0 there is a kink and no slope. 0 is the usual convention.
static double relu(double z, double alpha) { return z > 0.0 ? z : 0.0; }
static double relu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : 0.0; }

// Like relu, but with a small slope alpha on the negative side, so that no neuron is ever dead.
static double leaky_relu(double z, double alpha) { return z > 0.0 ? z : alpha * z; }
static double leaky_relu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : alpha; }

// Like relu, but bending smoothly to -alpha on the negative side. expm1(z) is e^z - 1, without the digits that the
// subtraction loses near z = 0.
static double elu(double z, double alpha) { return z > 0.0 ? z : alpha * expm1(z); }
static double elu_derivative(double z, double a, double alpha) { return z > 0.0 ? 1.0 : alpha * exp(z); }

// ln(1 + e^z): a smooth relu. Written so that e^z cannot overflow; log1p(x) is ln(1 + x), precise for a small x.
static double softplus_of(double z) { return fmax(0.0, z) + log1p(exp(-fabs(z))); }
static double softplus(double z, double alpha) { return softplus_of(z); }
static double softplus_derivative(double z, double a, double alpha) { return sigmoid_of(z); }

// z / (1 + |z|): like tanh, but slower to reach -1 and 1.
static double softsign(double z, double alpha) { return z / (1.0 + fabs(z)); }
static double softsign_derivative(double z, double a, double alpha) {
    return 1.0 / ((1.0 + fabs(z)) * (1.0 + fabs(z)));
}

// z * sigmoid(z), also called swish.
static double silu(double z, double alpha) { return z * sigmoid_of(z); }
static double silu_derivative(double z, double a, double alpha) {
    const double s = sigmoid_of(z);
    return s + z * s * (1.0 - s);  // the product rule
}

// z * P(z), where P(z) is the probability that a standard normal number is below z: (1 + erf(z / sqrt 2)) / 2.
// By erfc = 1 - erf it stays precise for a very negative z.
static double probability(double z) { return 0.5 * erfc(-z / sqrt(2.0)); }
static double gelu(double z, double alpha) { return z * probability(z); }
static double gelu_derivative(double z, double a, double alpha) {
    const double pi = 3.14159265358979323846;
    const double density = exp(-0.5 * z * z) / sqrt(2.0 * pi);  // the bell curve: dP/dz
    return probability(z) + z * density;  // the product rule
}

// z, cut off at -1 and 1.
static double hard_tanh(double z, double alpha) { return fmin(1.0, fmax(-1.0, z)); }
static double hard_tanh_derivative(double z, double a, double alpha) {
    return z > -1.0 && z < 1.0 ? 1.0 : 0.0;
}

// e^z of every neuron, divided by the sum of them all: a layer's probabilities, which add up to 1.
static void softmax(size_t units, const double *z, double *a) {
    // Taking the largest z off all of them changes no quotient, and no power can overflow.
    const double largest = largest_of(z, units);
    for (size_t j = 0; j < units; j++) a[j] = exp(z[j] - largest);
    const double total = add_up(a, units);
    for (size_t j = 0; j < units; j++) a[j] /= total;
}
static void softmax_deltas(size_t units, const double *a, const double *dloss_da, double *delta) {
    // Every z is in the sum, so every z moves every a: da_j/dz_k = a_j * ((1 if j == k else 0) - a_k).
    // Summed over all j that is a_k * (dL/da_k - average), where
    double average = 0.0;
    for (size_t j = 0; j < units; j++) average += dloss_da[j] * a[j];
    for (size_t k = 0; k < units; k++) delta[k] = a[k] * (dloss_da[k] - average);
}

// The natural logarithm of softmax, without ever taking the logarithm of a 0.
static void log_softmax(size_t units, const double *z, double *a) {
    const double largest = largest_of(z, units);
    double total = 0.0;
    for (size_t j = 0; j < units; j++) total += exp(z[j] - largest);
    for (size_t j = 0; j < units; j++) a[j] = z[j] - largest - log(total);
}
static void log_softmax_deltas(size_t units, const double *a, const double *dloss_da, double *delta) {
    // da_j/dz_k = (1 if j == k else 0) - p_k, where p = e^a is the softmax.
    const double total = add_up(dloss_da, units);
    for (size_t k = 0; k < units; k++) delta[k] = dloss_da[k] - exp(a[k]) * total;
}

static const Activation ACTIVATIONS[] = {
    {.name = "identity", .value = identity, .derivative = identity_derivative},
    {.name = "sigmoid", .value = sigmoid, .derivative = sigmoid_derivative},
    {.name = "tanh", .value = tanh_, .derivative = tanh_derivative},
    {.name = "relu", .value = relu, .derivative = relu_derivative},
    {.name = "leaky_relu", .value = leaky_relu, .derivative = leaky_relu_derivative, .alpha = 0.01},
    {.name = "elu", .value = elu, .derivative = elu_derivative, .alpha = 1.0},
    {.name = "softplus", .value = softplus, .derivative = softplus_derivative},
    {.name = "softsign", .value = softsign, .derivative = softsign_derivative},
    {.name = "silu", .value = silu, .derivative = silu_derivative},
    {.name = "gelu", .value = gelu, .derivative = gelu_derivative},
    {.name = "hard_tanh", .value = hard_tanh, .derivative = hard_tanh_derivative},
    {.name = "softmax", .activate = softmax, .deltas = softmax_deltas},
    {.name = "log_softmax", .activate = log_softmax, .deltas = log_softmax_deltas},
};

enum { ACTIVATION_COUNT = sizeof ACTIVATIONS / sizeof *ACTIVATIONS };

// ------------------------------------------------------------------------------------------------
// 2. Losses
// ------------------------------------------------------------------------------------------------

// How wrong one output neuron is (term), and the derivative of that with regard to a. A sample's loss sums up its
// outputs'. threshold is the parameter of huber.
typedef double Term(double a, double t, double threshold);

typedef struct {
    const char *name;
    Term *term, *derivative;
    bool mean_over_outputs;  // that sum is divided by the number of outputs
} Loss;

// 1, -1, or 0 at the kink of |x|, where there is no slope.
static double sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0; }

// t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity.
static double times_log(double t, double p) { return t == 0.0 ? 0.0 : t * log(p); }

// t / p, the derivative of t ln p with regard to p.
static double divide(double t, double p) { return t == 0.0 ? 0.0 : t / p; }

// Half the square of the error a - t; the half is there to cancel the 2 of the derivative.
static double half_square(double a, double t, double threshold) { return 0.5 * (a - t) * (a - t); }
static double half_square_derivative(double a, double t, double threshold) { return a - t; }

// The square of the error.
static double square(double a, double t, double threshold) { return (a - t) * (a - t); }
static double square_derivative(double a, double t, double threshold) { return 2.0 * (a - t); }

// The size of the error.
static double size(double a, double t, double threshold) { return fabs(a - t); }
static double size_derivative(double a, double t, double threshold) { return sign(a - t); }

// Half the square of a small error; a straight line from there on for a large one.
static double huber(double a, double t, double threshold) {
    const double error = fabs(a - t);
    return error <= threshold ? 0.5 * error * error : threshold * (error - 0.5 * threshold);
}
static double huber_derivative(double a, double t, double threshold) {
    const double error = a - t;
    return fabs(error) <= threshold ? error : threshold * sign(error);
}

// -[t ln a + (1 - t) ln(1 - a)]: how surprising t is, where a is the probability of a 1.
static double binary(double a, double t, double threshold) {
    return -(times_log(t, a) + times_log(1.0 - t, 1.0 - a));
}
static double binary_derivative(double a, double t, double threshold) {
    return -(divide(t, a) - divide(1.0 - t, 1.0 - a));
}

// -t ln a: how surprising t is, where the outputs a are the probabilities of the classes.
static double cross(double a, double t, double threshold) { return -times_log(t, a); }
static double cross_derivative(double a, double t, double threshold) { return -divide(t, a); }

// -t a: cross-entropy where the output already is a logarithm (the activation log_softmax).
static double negative(double a, double t, double threshold) { return -t * a; }
static double negative_derivative(double a, double t, double threshold) { return -t; }

// max(0, 1 - t a), where t is -1 or 1: nothing to pay on the right side, from a margin of 1 on.
static double hinge(double a, double t, double threshold) { return fmax(0.0, 1.0 - t * a); }
static double hinge_derivative(double a, double t, double threshold) {
    return 1.0 - t * a > 0.0 ? -t : 0.0;
}

static const Loss LOSSES[] = {
    {"half_squared_error", half_square, half_square_derivative, false},
    {"squared_error", square, square_derivative, false},
    {"mean_squared_error", square, square_derivative, true},
    {"mean_absolute_error", size, size_derivative, true},
    {"huber", huber, huber_derivative, true},
    {"binary_cross_entropy", binary, binary_derivative, false},
    {"cross_entropy", cross, cross_derivative, false},
    {"negative_log_likelihood", negative, negative_derivative, false},
    {"hinge", hinge, hinge_derivative, false},
};

enum { LOSS_COUNT = sizeof LOSSES / sizeof *LOSSES };

// The output's activation and its loss in one step, from z to the loss and back.
//
// Two pairs belong together so well that most of the chain rule cancels. What is left is shorter, and safer:
// nothing is divided by a probability that was rounded to 0, and no logarithm is taken of it.
typedef struct {
    const char *activation, *loss;
    double (*of_sample)(size_t units, const double *z, const double *t);               // the loss of one sample
    void (*deltas)(size_t units, const double *a, const double *t, double *delta);  // dL/dz of every output
} OneStep;

// With a = sigmoid(z), -ln a is softplus(-z), and -ln(1 - a) is softplus(z).
static double sigmoid_binary(size_t units, const double *z, const double *t) {
    double loss = 0.0;
    for (size_t k = 0; k < units; k++) loss += t[k] * softplus_of(-z[k]) + (1.0 - t[k]) * softplus_of(z[k]);
    return loss;
}

// dL/da = (a - t) / (a (1 - a)) times da/dz = a (1 - a): only a - t is left.
static void sigmoid_binary_deltas(size_t units, const double *a, const double *t, double *delta) {
    for (size_t k = 0; k < units; k++) delta[k] = a[k] - t[k];
}

// With a = softmax(z), ln a is log_softmax(z).
static double softmax_cross(size_t units, const double *z, const double *t) {
    double *log_a = new_numbers(units);
    log_softmax(units, z, log_a);
    double loss = 0.0;
    for (size_t k = 0; k < units; k++) loss += -t[k] * log_a[k];
    return loss;
}

// Put dL/da = -t / a into the chain rule of softmax, and a * (sum of t) - t is left.
static void softmax_cross_deltas(size_t units, const double *a, const double *t, double *delta) {
    const double total = add_up(t, units);  // 1 for probabilities, and then this is the well-known a - t
    for (size_t k = 0; k < units; k++) delta[k] = a[k] * total - t[k];
}

static const OneStep IN_ONE_STEP[] = {
    {"sigmoid", "binary_cross_entropy", sigmoid_binary, sigmoid_binary_deltas},
    {"softmax", "cross_entropy", softmax_cross, softmax_cross_deltas},
};

enum { ONE_STEP_COUNT = sizeof IN_ONE_STEP / sizeof *IN_ONE_STEP };

// ------------------------------------------------------------------------------------------------
// 3. Neuron
// ------------------------------------------------------------------------------------------------

// One neuron: a weight for each of its inputs, and a bias.
typedef struct {
    size_t inputs;  // their number
    double *weights, bias;
    double *weight_gradients, bias_gradient;
} Neuron;

// Starts the sums over the samples at 0.
static void neuron_reset_gradients(Neuron *neuron) {
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weight_gradients[i] = 0.0;
    neuron->bias_gradient = 0.0;
}

// Forward: gives z, every input times its weight, plus the bias.
static double neuron_weighted_sum(const Neuron *neuron, const double *inputs) {
    double z = neuron->bias;
    for (size_t i = 0; i < neuron->inputs; i++) z += neuron->weights[i] * inputs[i];
    return z;
}

// Backward: adds one sample's part to the gradients.
//
// A weight moves z by its input: dL/dw = dL/dz * x. The bias moves it by itself: dL/db = dL/dz.
static void neuron_add_gradients(Neuron *neuron, double delta, const double *inputs) {
    // EXERCISE BEGIN gradients
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weight_gradients[i] += delta * inputs[i];
    neuron->bias_gradient += delta;
    // EXERCISE END gradients
}

// Takes one step down the slope.
static void neuron_update(Neuron *neuron, double learning_rate) {
    // EXERCISE BEGIN update
    for (size_t i = 0; i < neuron->inputs; i++) neuron->weights[i] -= learning_rate * neuron->weight_gradients[i];
    neuron->bias -= learning_rate * neuron->bias_gradient;
    // EXERCISE END update
}

// ------------------------------------------------------------------------------------------------
// 4. Layer
// ------------------------------------------------------------------------------------------------

// Neurons that read the same inputs. It remembers its last pass: backward needs the inputs, z and a.
typedef struct {
    size_t inputs_count, units;
    Neuron *neurons;
    const Activation *activation;
    double alpha;
    const double *inputs;
    double *z, *a, *delta;
} Layer;

// Gives the activations of all neurons for one sample. z and a are new each time: those of before may be in use still.
static const double *layer_forward(Layer *layer, const double *inputs) {
    layer->inputs = inputs;
    layer->z = new_numbers(layer->units);
    layer->a = new_numbers(layer->units);
    for (size_t j = 0; j < layer->units; j++) layer->z[j] = neuron_weighted_sum(&layer->neurons[j], inputs);

    const Activation *activation = layer->activation;
    if (activation->activate) {
        activation->activate(layer->units, layer->z, layer->a);
    } else {
        for (size_t j = 0; j < layer->units; j++) layer->a[j] = activation->value(layer->z[j], layer->alpha);
    }
    return layer->a;
}

// Gives dL/dz of the neurons from their dL/da. The chain rule: dL/dz = dL/da * da/dz.
static double *layer_deltas(const Layer *layer, const double *dloss_da) {
    double *delta = new_numbers(layer->units);
    const Activation *activation = layer->activation;
    if (activation->deltas) {
        activation->deltas(layer->units, layer->a, dloss_da, delta);
    } else {
        for (size_t j = 0; j < layer->units; j++) {
            delta[j] = dloss_da[j] * activation->derivative(layer->z[j], layer->a[j], layer->alpha);
        }
    }
    return delta;
}

// Adds to the gradients, and gives dL/dx of every input x: that is dL/da of the layer before.
//
// Input i goes into every neuron of this layer, so each of them sends a part of the loss back to it:
// dL/dx_i = the sum over the neurons j of delta_j * weights_j[i].
static double *layer_backward(Layer *layer, double *delta) {
    layer->delta = delta;
    for (size_t j = 0; j < layer->units; j++) neuron_add_gradients(&layer->neurons[j], delta[j], layer->inputs);

    double *dloss_dx = new_numbers(layer->inputs_count);
    // EXERCISE BEGIN hidden delta
    for (size_t j = 0; j < layer->units; j++) {
        for (size_t i = 0; i < layer->inputs_count; i++) dloss_dx[i] += delta[j] * layer->neurons[j].weights[i];
    }
    // EXERCISE END hidden delta
    return dloss_dx;
}

// ------------------------------------------------------------------------------------------------
// 5. Network
// ------------------------------------------------------------------------------------------------

// Layers, each reading the activations of the one before.
typedef struct {
    size_t count;
    Layer *layers, *output;
    const Loss *loss;
    double threshold;
    const OneStep *one_step;  // NULL where activation and loss take two
} Network;

// Gives the output of the network for one sample.
static const double *network_forward(Network *network, const double *inputs) {
    for (size_t l = 0; l < network->count; l++) inputs = layer_forward(&network->layers[l], inputs);
    return inputs;
}

// Gives the loss of the sample that went forward last.
static double network_sample_loss(const Network *network, const double *targets) {
    const Layer *output = network->output;
    if (network->one_step) return network->one_step->of_sample(output->units, output->z, targets);
    double loss = 0.0;
    for (size_t k = 0; k < output->units; k++) {
        loss += network->loss->term(output->a[k], targets[k], network->threshold);
    }
    return network->loss->mean_over_outputs ? loss / (double)output->units : loss;
}

// Gives dL/da of every output, where L is the loss of this one sample.
static double *network_dloss_da(const Network *network, const double *targets) {
    const Layer *output = network->output;
    double *dloss_da = new_numbers(output->units);
    for (size_t k = 0; k < output->units; k++) {
        dloss_da[k] = network->loss->derivative(output->a[k], targets[k], network->threshold);
        if (network->loss->mean_over_outputs) dloss_da[k] /= (double)output->units;
    }
    return dloss_da;
}

// Gives dL/dz of the output neurons, where backward begins.
static double *network_output_deltas(const Network *network, const double *targets) {
    const Layer *output = network->output;
    // EXERCISE BEGIN output delta: return new_numbers(output->units);
    if (!network->one_step) return layer_deltas(output, network_dloss_da(network, targets));
    double *delta = new_numbers(output->units);
    network->one_step->deltas(output->units, output->a, targets, delta);
    return delta;
    // EXERCISE END output delta
}

// Sends one sample's loss back through the network, last layer first. Gives dL/dx of the inputs.
//
// The batch's loss is the mean of its samples' losses, or their sum: the divisor is their number, or 1.
static double *network_backward(Network *network, const double *targets, double divisor) {
    double *delta = network_output_deltas(network, targets);
    for (size_t k = 0; k < network->output->units; k++) delta[k] /= divisor;
    double *dloss_dx = layer_backward(network->output, delta);
    for (size_t l = network->count - 1; l-- > 0;) {
        Layer *layer = &network->layers[l];
        // What the inputs of the layer after get back is what the activations of this one get back.
        // EXERCISE BEGIN hidden delta: delta = new_numbers(layer->units);
        delta = layer_deltas(layer, dloss_dx);
        // EXERCISE END hidden delta
        dloss_dx = layer_backward(layer, delta);
    }
    return dloss_dx;
}

static void network_reset_gradients(Network *network) {
    for (size_t l = 0; l < network->count; l++) {
        Layer *layer = &network->layers[l];
        for (size_t j = 0; j < layer->units; j++) neuron_reset_gradients(&layer->neurons[j]);
    }
}

// Takes one step down the slope, once all gradients are there.
static void network_update(Network *network, double learning_rate) {
    for (size_t l = 0; l < network->count; l++) {
        Layer *layer = &network->layers[l];
        for (size_t j = 0; j < layer->units; j++) neuron_update(&layer->neurons[j], learning_rate);
    }
}

// ------------------------------------------------------------------------------------------------
// 6. From a case of backprop-check to its reply
// ------------------------------------------------------------------------------------------------

typedef struct {
    size_t samples;
    double **inputs, **targets;
    double divisor;  // of the sum of the samples' losses, to get the batch's
} Batch;

static _Noreturn void not_there_yet(const char *what, const char *word) {
    fail(NOT_THERE_YET, "%s %s is not there yet", what, word);
}

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

static const Activation *find_activation(const char *name) {
    for (size_t i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(ACTIVATIONS[i].name, name) == 0) return &ACTIVATIONS[i];
    }
    not_there_yet("the activation", name);
}

static const Loss *find_loss(const char *name) {
    for (size_t i = 0; i < LOSS_COUNT; i++) {
        if (strcmp(LOSSES[i].name, name) == 0) return &LOSSES[i];
    }
    not_there_yet("the loss", name);
}

static const OneStep *find_one_step(const char *activation, const char *loss) {
    for (size_t i = 0; i < ONE_STEP_COUNT; i++) {
        const OneStep *pair = &IN_ONE_STEP[i];
        if (strcmp(pair->activation, activation) == 0 && strcmp(pair->loss, loss) == 0) return pair;
    }
    return NULL;
}

// One layer with the parameters that the case gives it.
static Layer build_layer(const Json *json, size_t inputs_count) {
    const char *kind = json_text(json, "kind");
    if (strcmp(kind, "dense") != 0) not_there_yet("the layer", kind);
    if (json_find(json, "from") || json_find(json, "combine")) {
        not_there_yet("a layer that reads another one than", "the one before it");
    }
    const Json *parameters = json_object(json, "parameters");
    const Json *weights = json_array(parameters, "weights");
    Layer layer = {.inputs_count = inputs_count, .units = weights->count};
    layer.activation = find_activation(json_text(json, "activation"));
    layer.alpha = read_optional(json, "alpha", layer.activation->alpha);

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
    network.loss = find_loss(json_text(loss, "kind"));
    network.threshold = read_optional(loss, "threshold", 1.0);
    network.one_step = find_one_step(network.output->activation->name, network.loss->name);
    return network;
}

// Gives the number of steps, and the learning rate; 0 steps where no update is asked for.
static size_t read_optimizer(const Json *request, double *learning_rate) {
    const Json *optimizer = json_find(request, "optimizer");
    if (!optimizer) return 0;
    const char *kind = json_text(optimizer, "kind");
    if (strcmp(kind, "sgd") != 0) not_there_yet("the optimizer", kind);
    const char *options[] = {"momentum", "nesterov", "weight_decay"};
    for (size_t i = 0; i < 3; i++) {
        const Json *option = json_find(optimizer, options[i]);
        if (option && (option->kind == JSON_BOOL ? option->truth : json_number(option) != 0.0)) {
            not_there_yet("sgd with", options[i]);
        }
    }
    *learning_rate = json_number(json_find(optimizer, "learning_rate"));
    return (size_t)read_optional(request, "steps", 1.0);
}

static Batch read_batch(const Json *request, const Network *network) {
    const Json *inputs = json_array(request, "inputs"), *targets = json_array(request, "targets");
    if (inputs->count != targets->count) fail(FAILED, "as many targets as inputs expected");

    const char *reduction = json_find(request, "reduction") ? json_text(request, "reduction") : "mean";
    const bool mean = strcmp(reduction, "mean") == 0;
    if (!mean && strcmp(reduction, "sum") != 0) not_there_yet("the reduction", reduction);

    Batch batch = {.samples = inputs->count, .divisor = mean ? (double)inputs->count : 1.0};
    batch.inputs = arena_get(batch.samples, sizeof(double *));
    batch.targets = arena_get(batch.samples, sizeof(double *));
    for (size_t s = 0; s < batch.samples; s++) {
        batch.inputs[s] = read_numbers(&inputs->items[s], network->layers[0].inputs_count, "inputs");
        batch.targets[s] = read_numbers(&targets->items[s], network->output->units, "targets");
    }
    return batch;
}

// A copy of what a layer has, a list for every neuron and a number for every neuron: its parameters, or its gradients.
typedef struct {
    size_t inputs_count, units;
    double **weights, *biases;
} Parameters;

static Parameters copy_of(const Layer *layer, bool gradients) {
    Parameters copy = {.inputs_count = layer->inputs_count, .units = layer->units};
    copy.weights = arena_get(layer->units, sizeof(double *));
    copy.biases = new_numbers(layer->units);
    for (size_t j = 0; j < layer->units; j++) {
        const Neuron *neuron = &layer->neurons[j];
        copy.weights[j] = new_numbers(layer->inputs_count);
        for (size_t i = 0; i < layer->inputs_count; i++) {
            copy.weights[j][i] = gradients ? neuron->weight_gradients[i] : neuron->weights[i];
        }
        copy.biases[j] = gradients ? neuron->bias_gradient : neuron->bias;
    }
    return copy;
}

// What one pass over the batch gives: of every layer z, a and delta by sample, and the gradients.
typedef struct {
    double **z, **a, **delta;
    Parameters gradients;
} LayerRecord;

typedef struct {
    double loss;
    double **input_gradients;
    LayerRecord *layers;
} Pass;

// Sends every sample forward and backward, and writes down what came out of it.
static Pass one_pass(Network *network, const Batch *batch) {
    network_reset_gradients(network);
    Pass pass = {.input_gradients = arena_get(batch->samples, sizeof(double *))};
    pass.layers = arena_get(network->count, sizeof *pass.layers);
    for (size_t l = 0; l < network->count; l++) {
        pass.layers[l].z = arena_get(batch->samples, sizeof(double *));
        pass.layers[l].a = arena_get(batch->samples, sizeof(double *));
        pass.layers[l].delta = arena_get(batch->samples, sizeof(double *));
    }
    for (size_t s = 0; s < batch->samples; s++) {
        network_forward(network, batch->inputs[s]);
        pass.loss += network_sample_loss(network, batch->targets[s]);
        pass.input_gradients[s] = network_backward(network, batch->targets[s], batch->divisor);
        for (size_t l = 0; l < network->count; l++) {
            const Layer *layer = &network->layers[l];
            pass.layers[l].z[s] = layer->z;
            pass.layers[l].a[s] = layer->a;
            pass.layers[l].delta[s] = layer->delta;
        }
    }
    pass.loss /= batch->divisor;
    for (size_t l = 0; l < network->count; l++) pass.layers[l].gradients = copy_of(&network->layers[l], true);
    return pass;
}

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

// One step: the loss before it, and the parameters of every layer after it.
typedef struct {
    double loss;
    Parameters *updated;
} Step;

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
        for (size_t l = 0; l < network.count; l++) trajectory[step].updated[l] = copy_of(&network.layers[l], false);
    }

    write_begin(reply, '{');
    write_key(reply, "id");
    write_json(reply, json_find(request, "id"));
    write_key(reply, "loss");
    write_number(reply, first.loss);
    write_key(reply, "layers");
    write_begin(reply, '[');
    for (size_t l = 0; l < network.count; l++) {
        const LayerRecord *layer = &first.layers[l];
        const size_t units = network.layers[l].units;
        write_begin(reply, '{');
        write_parameters(reply, "gradients", &layer->gradients);
        write_lists(reply, "z", batch.samples, layer->z, units);
        write_lists(reply, "a", batch.samples, layer->a, units);
        write_lists(reply, "delta", batch.samples, layer->delta, units);
        if (steps > 0) write_parameters(reply, "updated", &trajectory[steps - 1].updated[l]);
        write_end(reply, '}');
    }
    write_end(reply, ']');
    write_lists(reply, "input_gradients", batch.samples, first.input_gradients, network.layers[0].inputs_count);
    if (steps > 1) write_trajectory(reply, &network, trajectory, steps);
    write_end(reply, '}');
}

void write_activation_names(Writer *writer) {
    write_begin(writer, '[');
    for (size_t i = 0; i < ACTIVATION_COUNT; i++) write_text(writer, ACTIVATIONS[i].name);
    write_end(writer, ']');
}

void write_loss_names(Writer *writer) {
    write_begin(writer, '[');
    for (size_t i = 0; i < LOSS_COUNT; i++) write_text(writer, LOSSES[i].name);
    write_end(writer, ']');
}

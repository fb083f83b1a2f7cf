<?php

declare(strict_types=1);

/*
 * From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.
 *
 * To test a network of your own, let backprop() run it.
 */

require_once __DIR__ . '/activations.php';
require_once __DIR__ . '/losses.php';
require_once __DIR__ . '/network.php';

/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
final class NotThereYet extends Exception
{
    public function __construct(string $what)
    {
        parent::__construct("$what is not there yet");
    }
}

/** Works out one case of backprop-check, and replies with all that the protocol knows. */
function backprop(array $request): array
{
    try {
        $network = build_network($request);
        [$steps, $learning_rate] = read_optimizer($request);
        [$samples, $divisor] = read_batch($request);
    } catch (NotThereYet $reason) {
        return ['id' => $request['id'], 'skip' => $reason->getMessage()];
    }

    // Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    $reply = ['id' => $request['id'], ...one_pass($network, $samples, $divisor)];
    if ($steps === null) {
        return $reply;
    }

    $trajectory = [];
    $loss = $reply['loss'];
    for ($step = 0; $step < $steps; $step++) {
        if ($step > 0) {
            $loss = one_pass($network, $samples, $divisor)['loss'];
        }
        $network->update($learning_rate);
        $updated = array_map(fn (Layer $layer) => ['updated' => parameters($layer)], $network->layers);
        $trajectory[] = ['loss' => $loss, 'layers' => $updated];
    }
    foreach ($network->layers as $l => $layer) {
        $reply['layers'][$l]['updated'] = parameters($layer);
    }
    if ($steps > 1) {
        $reply['trajectory'] = $trajectory;
    }
    return $reply;
}

/** Sends every sample forward and backward, and writes down what came out of it. */
function one_pass(Network $network, array $samples, float $divisor): array
{
    $network->reset_gradients();
    $loss = 0.0;
    $input_gradients = [];
    $records = [];
    foreach ($samples as [$inputs, $targets]) {
        $network->forward($inputs);
        $loss += $network->sample_loss($targets);
        $input_gradients[] = $network->backward($targets, $divisor);
        foreach ($network->layers as $l => $layer) {
            $records[$l]['z'][] = $layer->z;
            $records[$l]['a'][] = $layer->a;
            $records[$l]['delta'][] = $layer->delta;
        }
    }
    foreach ($network->layers as $l => $layer) {
        $records[$l]['gradients'] = gradients($layer);
    }
    return ['loss' => $loss / $divisor, 'layers' => $records, 'input_gradients' => $input_gradients];
}

/** The layer's gradients as they are now. (PHP copies an array when it is changed.) */
function gradients(Layer $layer): array
{
    return [
        'weights' => array_map(fn (Neuron $neuron) => $neuron->weight_gradients, $layer->neurons),
        'biases' => array_map(fn (Neuron $neuron) => $neuron->bias_gradient, $layer->neurons),
    ];
}

/** The layer's weights and biases as they are now. */
function parameters(Layer $layer): array
{
    return [
        'weights' => array_map(fn (Neuron $neuron) => $neuron->weights, $layer->neurons),
        'biases' => array_map(fn (Neuron $neuron) => $neuron->bias, $layer->neurons),
    ];
}

/** The network that the case describes. */
function build_network(array $request): Network
{
    $layers = $request['network']['layers'];
    $kind = known($request['loss']['kind'], array_keys(LOSSES), 'loss');
    $threshold = read_number($request['loss']['threshold'] ?? 1.0);
    return new Network(
        array_map(build_layer(...), $layers),
        new (LOSSES[$kind])($threshold),
        one_step_named($layers[array_key_last($layers)]['activation'], $kind),
    );
}

/** One layer with the parameters that the case gives it. */
function build_layer(array $layer): Layer
{
    known($layer['kind'], ['dense'], 'layer');
    if (isset($layer['from']) || isset($layer['combine'])) {
        throw new NotThereYet('a layer that reads another one than the one before it');
    }
    $kind = known($layer['activation'], array_keys(ACTIVATIONS), 'activation');
    $class = ACTIVATIONS[$kind];
    $activation = isset(DEFAULT_ALPHA[$kind])
        ? new $class(read_number($layer['alpha'] ?? DEFAULT_ALPHA[$kind]))
        : new $class();
    $neurons = array_map(
        fn ($row, $bias) => new Neuron(read_numbers($row), read_number($bias)),
        $layer['parameters']['weights'],
        $layer['parameters']['biases'],
    );
    return new Layer($neurons, $activation);
}

/** The number of steps (null: no update is asked for) and the learning rate. */
function read_optimizer(array $request): array
{
    $optimizer = $request['optimizer'] ?? null;
    if ($optimizer === null) {
        return [null, 0.0];
    }
    known($optimizer['kind'], ['sgd'], 'optimizer');
    foreach (['momentum', 'nesterov', 'weight_decay'] as $option) {
        if (!empty($optimizer[$option])) {
            throw new NotThereYet("sgd with $option");
        }
    }
    return [$request['steps'] ?? 1, read_number($optimizer['learning_rate'])];
}

/** The samples, and what to divide by to get from the sum of their losses to the batch's loss. */
function read_batch(array $request): array
{
    $samples = array_map(
        fn ($inputs, $targets) => [read_numbers($inputs), read_numbers($targets)],
        $request['inputs'],
        $request['targets'],
    );
    $reduction = known($request['reduction'] ?? 'mean', ['mean', 'sum'], 'reduction');
    return [$samples, $reduction === 'mean' ? (float) count($samples) : 1.0];
}

/** The word, if we know it. */
function known(string $word, array $words, string $what): string
{
    return in_array($word, $words, true) ? $word : throw new NotThereYet("the $what $word");
}

function read_numbers(array $numbers): array
{
    return array_map(read_number(...), $numbers);
}

/** JSON has no NaN and no infinity, so these come as text. And 1 comes as an int: (float) makes it 1.0. */
function read_number(float|int|string $number): float
{
    return match ($number) {
        'NaN' => NAN,
        'Infinity' => INF,
        '-Infinity' => -INF,
        default => (float) $number,
    };
}

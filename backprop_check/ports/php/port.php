<?php

declare(strict_types=1);

/*
 * The port: how backprop-check talks to the network in network.php.
 *
 * A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
 * There is no mathematics here. Keep this file, and put your own network behind backprop().
 */

require_once __DIR__ . '/activations.php';
require_once __DIR__ . '/backprop.php';
require_once __DIR__ . '/losses.php';

ini_set('display_errors', 'stderr'); // a warning of PHP must not stand among the answers
ini_set('serialize_precision', '-1'); // as many digits as it takes to read the same number again
ini_set('memory_limit', '-1');
set_error_handler(function (int $level, string $message, string $file, int $line): never {
    throw new ErrorException($message, 0, $level, $file, $line); // an undefined index is an error, not a null
});

main();

/** Answers until stdin ends. */
function main(): void
{
    while (($line = fgets(STDIN)) !== false) {
        if (trim($line) !== '') {
            fwrite(STDOUT, to_json(answer($line)) . "\n");
            fflush(STDOUT); // without it the answer could wait in a buffer, and the harness for the answer
        }
    }
}

/** The reply to one request. */
function answer(string $line): array
{
    $request = [];
    try {
        $request = (array) json_decode($line, associative: true, flags: JSON_THROW_ON_ERROR);
        return match ($request['type']) {
            'hello' => hello($request),
            'case' => backprop($request),
            default => ['id' => $request['id'] ?? null, 'skip' => "the request {$request['type']} is not there yet"],
        };
    } catch (Throwable $error) {
        // One case that fails must not end the others: say what happened, and go on.
        return [
            'id' => $request['id'] ?? null,
            'error' => $error::class . ': ' . $error->getMessage(),
            'traceback' => $error->getTraceAsString(),
        ];
    }
}

/** Says who we are and what we can do. What is not listed under "supports" is never asked for. */
function hello(array $request): array
{
    $reply = [
        'protocol' => 1,
        'name' => 'vanilla-php',
        'language' => 'PHP ' . PHP_VERSION,
        'version' => '0.1.0',
        'dtype' => 'float64',
        'max_in_flight' => 16,
        'supports' => [
            'layers' => ['dense'],
            'activations' => array_keys(ACTIVATIONS),
            'losses' => array_keys(LOSSES),
            'optimizers' => ['sgd'],
            'batch' => true,
        ],
    ];
    if (isset($request['echo'])) {
        $reply['echo'] = $request['echo']; // shows that no digit is lost on the way in and out
    }
    return $reply;
}

/** The reply as one line. Without PRESERVE_ZERO_FRACTION 1.0 would become 1, and -0.0 lose its sign. */
function to_json(array $reply): string
{
    $flags = JSON_PRESERVE_ZERO_FRACTION | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE;
    $json = json_encode($reply, $flags);
    // false: there is a NaN or an infinity in it
    return $json !== false ? $json : json_encode(without_nan($reply), $flags | JSON_THROW_ON_ERROR);
}

/** The same value with NaN and infinity as text, since JSON has no numbers for them. */
function without_nan(mixed $value): mixed
{
    return match (true) {
        is_array($value) => array_map(without_nan(...), $value),
        is_float($value) && is_nan($value) => 'NaN',
        is_float($value) && is_infinite($value) => $value > 0.0 ? 'Infinity' : '-Infinity',
        default => $value,
    };
}

/// The port: how backprop-check talks to the networks in lib/network.dart and lib/graph.dart.
///
/// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
/// There is no mathematics here. Keep this file, and put your own network behind `backprop`.
library;

import 'dart:convert';
import 'dart:io';

import '../lib/activations.dart';
import '../lib/backprop.dart';
import '../lib/graph.dart';
import '../lib/layers.dart';
import '../lib/losses.dart';
import '../lib/optimizers.dart';

/// Answers until stdin ends.
Future<void> main() async {
  final lines = stdin.transform(utf8.decoder).transform(const LineSplitter());
  await for (final line in lines) {
    if (line.trim().isEmpty) continue;
    stdout.writeln(toJson(answer(line)));
    await stdout.flush(); // without it the answer would wait in a buffer, and the harness for the answer
  }
}

/// The reply to one request.
Json answer(String line) {
  Json request = {};
  try {
    request = jsonDecode(line) as Json;
    return request['type'] == 'hello' ? hello(request) : graphBackprop(request);
  } catch (error, stackTrace) {
    // One case that fails must not end the others: say what happened, and go on.
    return {'id': request['id'], 'error': '$error', 'traceback': '$stackTrace'};
  }
}

/// Says who we are and what we can do. What is not listed under `supports` is never asked for.
Json hello(Json request) => {
      'protocol': 1,
      'name': 'vanilla-dart',
      'language': 'Dart ${Platform.version.split(' ').first}',
      'version': '0.1.0',
      'dtype': 'float64',
      'max_in_flight': 16,
      'supports': {
        'layers': layers.keys.toList(),
        'activations': activations.keys.toList(),
        'losses': losses.keys.toList(),
        'optimizers': optimizers.keys.toList(),
        'features': [...features, ...layerFeatures],
        'batch': true,
      },
      // Shows that no digit is lost on the way in and out.
      if (request.containsKey('echo')) 'echo': request['echo'],
    };

/// The reply as one line. What JSON has no number for, NaN and infinity, is written as text.
String toJson(Json reply) => jsonEncode(reply, toEncodable: (value) => value.toString());

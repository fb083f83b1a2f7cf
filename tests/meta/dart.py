"""Eight bugs planted in the Dart port, by edits of the same kind."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from planting import (
    PORTS,
    Edit,
    Planted,
    at,
    bent,
    both,
    by_id,
    deep,
    loses,
    mean,
    plain,
    replaced,
    several_outputs,
    updates,
)

if TYPE_CHECKING:
    from pathlib import Path

DART_PORT = PORTS / "dart"


def edit(name: str, old: str, new: str) -> Edit:
    """An edit of lib/NAME.dart."""
    return Edit(f"lib/{name}.dart", old, new)


def network(old: str, new: str) -> Edit:
    """An edit of lib/network.dart."""
    return edit("network", old, new)


DART: list[Planted] = [
    Planted(
        "BP102",
        "hidden delta without the derivative",
        (
            network(
                "layer.backward(layer.hiddenDeltas(gradients));",
                "layer.backward(gradients);",
            ),
        ),
        at("hidden", "delta"),
        bent,
    ),
    Planted(
        "BP108",
        "the last downstream neuron overwrites",
        (
            network(
                "gradients[i] += delta[j] * neurons[j].weights[i];",
                "gradients[i] = delta[j] * neurons[j].weights[i];",
            ),
        ),
        (*at("hidden", "delta"), *at("none", "input_gradient")),
    ),
    Planted(
        "BP118",
        "target less output",
        (
            network(
                "for (final deltaK in deltas) deltaK / divisor",
                "for (final deltaK in deltas) -deltaK / divisor",
            ),
        ),
        at("output", "delta"),
    ),
    Planted(
        "BP124",
        "the last input is left out of the weighted sum",
        (
            network(
                "    var z = bias;\n    for (var i = 0; i < weights.length; i++) {",
                "    var z = bias;\n    for (var i = 0; i < weights.length - 1; i++) {",
            ),
        ),
        at("first", "z"),
    ),
    Planted(
        "BP201",
        "bias left out forward",
        (network("    var z = bias;\n", "    var z = 0.0;\n"),),
        at("first", "z"),
    ),
    Planted(
        "BP303",
        "slopes not divided by the outputs",
        (
            edit(
                "losses",
                "    return meanOverOutputs ? [for (final gradient in gradients) gradient / a.length] : gradients;\n",
                "    return gradients;\n",
            ),
        ),
        at("output", "delta"),
        both(several_outputs, loses("mean_squared_error", "mean_absolute_error", "huber")),
    ),
    Planted(
        "BP401",
        "gradients of the sum, loss of the mean",
        (edit("backprop", "network.backward(sample.targets, divisor)", "network.backward(sample.targets, 1.0)"),),
        at("output", "delta"),
        mean,
    ),
    Planted(
        "BP519",
        "only the first layer is updated",
        (
            network(
                "    for (final layer in layers) {\n      for (final neuron in layer.neurons) {\n"
                "        neuron.update(",
                "    for (final layer in layers.take(1)) {\n      for (final neuron in layer.neurons) {\n"
                "        neuron.update(",
            ),
        ),
        at("later", "updated_weight", "updated_bias"),
        both(updates, deep),
    ),
]

DART_BY_ID = by_id(DART)


def write_dart(planted: Planted, folder: Path) -> Path:
    """Write the broken Dart port and give the path of its program."""
    shutil.copytree(DART_PORT, folder, dirs_exist_ok=True)
    files = {
        name: plain((DART_PORT / name).read_text(encoding="utf-8")) for name in {edit.file for edit in planted.edits}
    }
    for name, text in replaced(files, planted.edits, planted.id).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "bin" / "port.dart"

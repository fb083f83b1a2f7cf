"""A mistake in a dense layer gets the same name in a chain, in a graph and behind a convolution.

The mistakes are planted in the port in plain Python, whose dense layer is the same in all three.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import backprop_check
from backprop_check.api import check

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(backprop_check.__file__).parent / "ports" / "python"))
activations, dense, graph, losses, network = (
    cast("Any", importlib.import_module(name)) for name in ("activations", "dense", "graph", "losses", "network")
)

Patch = pytest.MonkeyPatch


def in_gradients(patch: Patch, change: Callable[[Any], None]) -> None:
    """Change a dense layer's gradients after they are computed."""
    right = dense.Dense.backward_from_z

    def backward_from_z(self: Any, delta: Any) -> Any:
        back = right(self, delta)
        change(self)
        return back

    patch.setattr(dense.Dense, "backward_from_z", backward_from_z)


def weights_by(number: Callable[[Any, int, int], float]) -> Callable[[Patch], None]:
    """∂L/∂w of a dense layer as a function of (layer, neuron, input)."""

    def change(layer: Any) -> None:
        rows = [[number(layer, j, i) for i in range(layer.inputs)] for j in range(layer.units)]
        layer.gradients["weights"] = [g for row in rows for g in row]

    return lambda patch: in_gradients(patch, change)


def biases_by(number: Callable[[Any, int], float]) -> Callable[[Patch], None]:
    """∂L/∂b of a dense layer as a function of (layer, neuron)."""

    def change(layer: Any) -> None:
        layer.gradients["biases"] = [number(layer, j) for j in range(layer.units)]

    return lambda patch: in_gradients(patch, change)


def over_samples(layer: Any, j: int, factor: Callable[[Any], float]) -> float:
    """Σₛ δⱼ times a number that depends on the sample."""
    return float(sum(sample.delta[j] * factor(sample) for sample in layer.samples))


def kept(layer: Any, name: str, k: int) -> float:
    """The right gradient."""
    return float(layer.gradients[name][k])


def slope_of_the_layer_after(patch: Patch) -> None:
    """φ′ of the next layer in the list."""
    build = graph.build_graph

    def build_graph(request: Any) -> Any:
        made = build(request)
        for node, after in zip(made.nodes, made.nodes[1:], strict=False):
            node.layer.after = after.layer
        return made

    def backward(self: Any, activation_gradients: Any) -> Any:
        other = getattr(self, "after", self).activation
        pairs = zip(self.samples, activation_gradients, strict=True)
        return self.backward_from_z([other.deltas(each.z, other.activate(each.z), g) for each, g in pairs])

    patch.setattr(graph, "build_graph", build_graph)
    patch.setattr(dense.Dense, "backward", backward)


def transposed_in_a_flat_list(patch: Patch) -> None:
    """Rows and columns of a flat list swapped in the backward pass."""

    def input_gradients(self: Any) -> list[float]:
        flat, n = [w for neuron in self.neurons for w in neuron.weights], len(self.neurons)
        return [sum(d * flat[i * n + j] for j, d in enumerate(self.delta)) for i in range(len(self.inputs))]

    patch.setattr(network.Layer, "input_gradients", input_gradients)


def only(first: slice) -> Callable[[Patch], None]:
    """Only some of the neurons send their error back."""

    def mistake(patch: Patch) -> None:
        def input_gradients(self: Any) -> list[float]:
            pairs = list(zip(self.neurons, self.delta, strict=True))[first]
            return [sum(d * neuron.weights[i] for neuron, d in pairs) for i in range(len(self.inputs))]

        patch.setattr(network.Layer, "input_gradients", input_gradients)

    return mistake


def without_the_last_input(patch: Patch) -> None:
    """z = Σ w x + b over all inputs but the last."""
    patch.setattr(
        network.Neuron,
        "pre_activation",
        lambda self, x: self.bias + sum(w * each for w, each in zip(self.weights[:-1], x, strict=False)),
    )


def last_delta_is_0(patch: Patch) -> None:
    """δ of the last neuron of every layer."""
    right = dense.Dense.backward_from_z
    patch.setattr(dense.Dense, "backward_from_z", lambda self, delta: right(self, [[*row[:-1], 0.0] for row in delta]))


def last_neuron_keeps_its_parameters(patch: Patch) -> None:
    """The last neuron is not updated."""
    right = graph.Graph.update

    def update(self: Any, learning_rate: float) -> None:
        for node in self.nodes:
            if isinstance(node.layer, dense.Dense) and node.owner is None:
                for name, each in (("weights", node.layer.inputs), ("biases", 1)):
                    node.layer.gradients[name][-each:] = [0.0] * each
        right(self, learning_rate)

    patch.setattr(graph.Graph, "update", update)


MISTAKES: dict[str, tuple[str, Callable[[Patch], None]]] = {
    "slope of the layer after": ("BP106", slope_of_the_layer_after),
    "last neuron only": ("BP108", only(slice(-1, None))),
    "transposed in a flat list": ("BP109", transposed_in_a_flat_list),
    "own activation": ("BP111", weights_by(lambda l, j, _i: over_samples(l, j, lambda s: s.a[j]))),
    "own activation by input": (
        "BP111",
        weights_by(lambda l, j, i: over_samples(l, j, lambda s: s.a[i % l.units])),
    ),
    "weight for input": (
        "BP113",
        weights_by(lambda l, j, i: over_samples(l, j, lambda _: l.parameters["weights"][j * l.inputs + i])),
    ),
    "biases shared": (
        "BP115",
        biases_by(lambda l, _: sum(over_samples(l, k, lambda _: 1.0) for k in range(l.units))),
    ),
    "bias times own activation": ("BP116", biases_by(lambda l, j: over_samples(l, j, lambda s: s.a[j]))),
    "bias times first input": ("BP116", biases_by(lambda l, j: over_samples(l, j, lambda s: s.inputs[0]))),
    "bias times every input": ("BP116", biases_by(lambda l, j: over_samples(l, j, lambda s: sum(s.inputs)))),
    "without the last input": ("BP124", without_the_last_input),
    "without the last downstream": ("BP124", only(slice(-1))),
    "last delta": ("BP124", last_delta_is_0),
    "last input's gradient": (
        "BP124",
        weights_by(lambda l, j, i: 0.0 if i == l.inputs - 1 else kept(l, "weights", j * l.inputs + i)),
    ),
    "last bias": ("BP124", biases_by(lambda l, j: 0.0 if j == l.units - 1 else kept(l, "biases", j))),
    "last neuron's update": ("BP124", last_neuron_keeps_its_parameters),
}

#: The networks: the suite, the number of its cases, and the kinds of layers in them.
PLACES = {
    "chain": ("generated", 60, ["dense"]),
    "graph": ("graph", 60, ["dense"]),
    "convolution": ("convolution", 120, ["dense", "conv1d", "conv2d", "flatten"]),
}


def python(case: dict[str, Any]) -> dict[str, Any]:
    """The port in plain Python, with all networks as graphs."""
    reply: dict[str, Any] = graph.graph_reply(case)
    return reply


SUPPORTS = {
    "activations": list(activations.ACTIVATIONS),
    "losses": list(losses.LOSSES),
    "optimizers": ["sgd"],
    "batch": True,
    "features": ["graph"],
}


def named(mistake: str, place: str, patch: Patch) -> set[str | None]:
    """The codes of the causes found for a mistake in these networks."""
    MISTAKES[mistake][1](patch)
    suite, count, layers = PLACES[place]
    python.supports = {**SUPPORTS, "layers": layers}  # type: ignore[attr-defined]
    results = check(python, suites=[suite], cases=count)
    assert results.failed
    return {cause.code for cause in results.causes}


#: Behind convolutions no dense layer is followed by another one.
EVERYWHERE = [
    (mistake, place)
    for mistake in MISTAKES
    for place in PLACES
    if (mistake, place) != ("slope of the layer after", "convolution")
]


@pytest.mark.thorough
@pytest.mark.parametrize(("mistake", "place"), EVERYWHERE)
def test_one_name_wherever_it_is(mistake: str, place: str, monkeypatch: Patch) -> None:
    """That name, and no other."""
    assert named(mistake, place, monkeypatch) == {MISTAKES[mistake][0]}


@pytest.mark.parametrize("place", PLACES)
def test_weights_taken_for_inputs(place: str, monkeypatch: Patch) -> None:
    """One of them in all three."""
    assert named("weight for input", place, monkeypatch) == {"BP113"}

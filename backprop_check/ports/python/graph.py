"""Networks of any wiring, and of any kinds of layers: what network.py does for dense layers one after the other.

A layer may read the layer before it, or several earlier ones (``from``) whose outputs are added, multiplied or put one
after the other (``combine``). One layer's output may be read by many, and one layer's parameters used by several
(``shares``). Read it from top to bottom:

1. Dense          network.py's layer of neurons, as one kind of layer among others
2. Combining      several outputs made one, and the gradient sent back to each
3. Graph          the layers and who reads whom: forward, backward, update
4. backprop       from a case of backprop-check to its reply

Two rules are all that is new. Who is read by many gets a part of the gradient back from each, and they are ADDED. And a
parameter that is used in several places gets a part of its gradient from each, which are added as well.

Every kind of layer is a class with the same few members, found in ``LAYERS``. Inside, a sample is a plain list of
numbers, whatever its shape: an image is its channels one after the other, each row by row. ``Dense`` shows the
members.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import network
from network import (
    ACTIVATIONS,
    IN_ONE_STEP,
    LOSSES,
    Layer,
    Loss,
    Neuron,
    NotThereYet,
    Numbers,
    OneStep,
    add_up,
    known,
    rate_of,
    read_batch,
)

Rows = list[Numbers]  # one list of numbers a sample
Shape = list[int]


# --------------------------------------------------------------------------------------------------
# 1. Dense
# --------------------------------------------------------------------------------------------------


class Dense:
    """A dense layer over a whole batch. Every kind of layer has these members:

    ``output_shape``  the shape of one sample's output
    ``z_shape``       that of its pre-activation, or None where it has none
    ``shapes``        the shape of each parameter, by name
    ``parameters``    each parameter by name: its numbers in one list
    ``gradients``     the same for dL/d(parameter), summed over the batch; set by ``backward``
    ``z``             the pre-activations, set by ``forward``; None where it has none
    ``delta``         dL/dz (dL/da where it has no z), set by ``backward``
    ``forward``       from the inputs of all samples to the outputs
    ``backward``      from dL/d(outputs) to dL/d(inputs)

    A kind may also have ``buffers``: lists by name that ``forward`` changes, such as running statistics.
    """

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it; ``shape`` is that of one sample of what it reads."""
        self.units, self.inputs = spec["units"], math.prod(shape)
        self.output_shape: Shape = [self.units]
        self.z_shape: Shape | None = [self.units]
        self.shapes = {"weights": [self.units, self.inputs], "biases": [self.units]}
        self.parameters = {name: flat(spec["parameters"][name]) for name in self.shapes}
        self.gradients: dict[str, Numbers] = {}
        self.activation = ACTIVATIONS[known(spec["activation"], list(ACTIVATIONS), "activation")]()
        if spec.get("alpha") is not None:
            self.activation.alpha = float(spec["alpha"])
        self.z: Rows | None = None
        self.delta: Rows = []

    def forward(self, batch: Rows) -> Rows:
        """Give the activations of all neurons, for every sample."""
        weights, n = self.parameters["weights"], self.inputs
        self.neurons = [Neuron(weights[j * n : j * n + n], bias) for j, bias in enumerate(self.parameters["biases"])]
        # One layer a sample, since each remembers its own pass. The neurons are the same: their gradients add up.
        self.samples = [Layer(self.neurons, self.activation) for _ in batch]
        a = [layer.forward(inputs) for layer, inputs in zip(self.samples, batch)]
        self.z = [layer.z for layer in self.samples]
        return a

    def backward(self, errors: Rows) -> Rows:
        """Take dL/da, and give dL/dx of the inputs."""
        return self.backward_from_z(
            [self.activation.deltas(layer.z, layer.a, dloss_da) for layer, dloss_da in zip(self.samples, errors)]
        )

    def backward_from_z(self, delta: Rows) -> Rows:
        """Go on from dL/dz, where that is known."""
        self.delta = delta
        dloss_dx = [layer.backward(delta_s) for layer, delta_s in zip(self.samples, delta)]
        self.gradients = {
            "weights": [gradient for neuron in self.neurons for gradient in neuron.weight_gradients],
            "biases": [neuron.bias_gradient for neuron in self.neurons],
        }
        return dloss_dx


#: Every kind of layer, by its name in a case. The files of the other kinds stand beside this one; each can be left out.
LAYERS: dict[str, Any] = {"dense": Dense}

#: What a port can say of itself under ``features``: layers wired freely, and what some kinds of layers can do.
FEATURES = ["graph", "label_smoothing"]

for _file in ("convolution", "recurrent", "normalisation", "attention"):
    if Path(__file__).with_name(_file + ".py").is_file():
        _module = importlib.import_module(_file)
        LAYERS.update(_module.LAYERS)
        FEATURES.extend(getattr(_module, "FEATURES", []))


# --------------------------------------------------------------------------------------------------
# 2. Combining
# --------------------------------------------------------------------------------------------------


class Combine:
    """How the outputs of several layers are made one, sample by sample. Here: there is only one, taken as it is."""

    def shape(self, shapes: list[Shape]) -> Shape:
        """Give the shape of the whole."""
        return shapes[0]

    def value(self, parts: list[Numbers]) -> Numbers:
        """Forward: give the whole."""
        return parts[0]

    def backward(self, parts: list[Numbers], dloss: Numbers) -> list[Numbers]:
        """Backward: give every part its share of the whole's dL/dx."""
        return [dloss]


class Add(Combine):
    """x + y + ...: each part moves the whole as much as itself, so all of dL/dx goes back to every one of them."""

    def value(self, parts: list[Numbers]) -> Numbers:
        return [add_up(list(numbers)) for numbers in zip(*parts)]

    def backward(self, parts: list[Numbers], dloss: Numbers) -> list[Numbers]:
        return [dloss for _ in parts]


class Multiply(Combine):
    """x * y * ...: the slope with regard to x is y, all the others multiplied."""

    def value(self, parts: list[Numbers]) -> Numbers:
        return [math.prod(numbers) for numbers in zip(*parts)]

    def backward(self, parts: list[Numbers], dloss: Numbers) -> list[Numbers]:
        shares = []
        for number in range(len(parts)):
            others = parts[:number] + parts[number + 1 :]
            shares.append([slope * math.prod(numbers) for slope, *numbers in zip(dloss, *others)])
        return shares


class Concat(Combine):
    """One after the other: each part gets back what belongs to its own places."""

    def shape(self, shapes: list[Shape]) -> Shape:
        return [sum(shape[0] for shape in shapes), *shapes[0][1:]]

    def value(self, parts: list[Numbers]) -> Numbers:
        return [x for part in parts for x in part]

    def backward(self, parts: list[Numbers], dloss: Numbers) -> list[Numbers]:
        shares, start = [], 0
        for part in parts:
            shares.append(dloss[start : start + len(part)])
            start += len(part)
        return shares


class Apart(Concat):
    """For a layer that takes several outputs one by one: it is told the shape of each, and finds them side by side."""

    def shape(self, shapes: list[Shape]) -> Shape:
        return [length for shape in shapes for length in shape]


COMBINE: dict[str, type[Combine]] = {"add": Add, "multiply": Multiply, "concat": Concat}


# --------------------------------------------------------------------------------------------------
# 3. Graph
# --------------------------------------------------------------------------------------------------


class Node:
    """A layer in the graph: whom it reads (by number, -1 is the network's input), and whose parameters it uses."""

    def __init__(self, layer: Any, reads: list[int], combine: Combine, owner: int | None) -> None:
        """Put the layer into its place. ``owner`` is None where the parameters are its own."""
        self.layer = layer
        self.reads = reads
        self.combine = combine
        self.owner = owner
        self.a: Rows = []
        self.parts: list[list[Numbers]] = []  # for every sample what was read, from each layer


class Graph:
    """Layers in an order in which each reads earlier ones only."""

    def __init__(self, nodes: list[Node], loss: Loss, one_step: OneStep | None) -> None:
        """Put the layers together. The last one is the output."""
        self.nodes = nodes
        self.loss = loss
        self.one_step = one_step
        self.inputs: Rows = []

    def forward(self, inputs: Rows) -> None:
        """Send all samples forward."""
        self.inputs = inputs
        for node in self.nodes:
            read = [self.nodes[number].a if number >= 0 else inputs for number in node.reads]
            node.parts = [list(parts) for parts in zip(*read)]
            node.a = node.layer.forward([node.combine.value(parts) for parts in node.parts])

    def batch_loss(self, targets: Rows) -> float:
        """Give the sum of the samples' losses."""
        output = self.nodes[-1]
        if self.one_step:
            return add_up([self.one_step.of_sample(z, t) for z, t in zip(output.layer.z, targets)])
        return add_up([self.loss.of_sample(a, t) for a, t in zip(output.a, targets)])

    def backward(self, targets: Rows, divisor: float) -> Rows:
        """Send the losses back, from the output to the network's input. Give dL/dx of the inputs.

        By the time a layer's turn comes, all who read it have had theirs: its dL/da is complete.
        """
        dloss_da = [[[0.0] * len(row) for row in node.a] for node in self.nodes]
        dloss_dx = [[0.0] * len(row) for row in self.inputs]
        for number in reversed(range(len(self.nodes))):
            node = self.nodes[number]
            if number < len(self.nodes) - 1:
                back = node.layer.backward(dloss_da[number])
            elif self.one_step:
                back = node.layer.backward_from_z(self.divided(self.one_step.deltas, targets, divisor))
            else:
                back = node.layer.backward(self.divided(self.loss.dloss_da, targets, divisor))
            for s, dloss in enumerate(back):
                for reads, share in zip(node.reads, node.combine.backward(node.parts[s], dloss)):
                    into = dloss_da[reads][s] if reads >= 0 else dloss_dx[s]
                    for i, part in enumerate(share):
                        into[i] += part  # added: others may read it too
        self.gather()
        return dloss_dx

    def divided(self, slope: Any, targets: Rows, divisor: float) -> Rows:
        """Give where backward begins: the slope of the batch's loss, which is the samples' divided by ``divisor``."""
        return [[part / divisor for part in slope(a, t)] for a, t in zip(self.nodes[-1].a, targets)]

    def gather(self) -> None:
        """Add the gradients of shared parameters up, where their owner is."""
        for node in self.nodes:
            if node.owner is not None:
                for name, gradient in self.nodes[node.owner].layer.gradients.items():
                    for k, part in enumerate(node.layer.gradients[name]):
                        gradient[k] += part

    def update(self, learning_rate: float) -> None:
        """Take one step down the slope. A shared parameter is one list of numbers, which takes it once."""
        for node in self.nodes:
            if node.owner is None:
                for name, numbers in node.layer.parameters.items():
                    for k, gradient in enumerate(node.layer.gradients[name]):
                        numbers[k] -= learning_rate * gradient


# --------------------------------------------------------------------------------------------------
# 4. From a case of backprop-check to its reply
# --------------------------------------------------------------------------------------------------


def backprop(case: dict[str, Any]) -> dict[str, Any]:
    """Work out one case of backprop-check: by network.py where that can do it, else as a graph."""
    epsilon = case.get("loss", {}).get("label_smoothing")
    if epsilon is not None:
        case = {**case, "targets": smoothed(case["targets"], float(epsilon))}
    if is_plain(case):
        return network.backprop(case)
    try:
        return graph_reply(case)
    except NotThereYet as reason:
        return {"id": case.get("id"), "skip": str(reason)}


def smoothed(targets: Any, epsilon: float) -> Any:
    """Give every class a little of the label: t (1 - epsilon) + epsilon / K, K the number of classes."""
    if isinstance(targets[0], list):
        return [smoothed(each, epsilon) for each in targets]
    return [t * (1.0 - epsilon) + epsilon / len(targets) for t in targets]


def is_plain(case: dict[str, Any]) -> bool:
    """Tell whether the layers are all dense, each reading the one before."""
    if not isinstance(case["network"]["inputs"], int):
        return False
    return all(
        layer["kind"] == "dense" and not layer.get("from") and not layer.get("shares")
        for layer in case["network"]["layers"]
    )


def graph_reply(case: dict[str, Any]) -> dict[str, Any]:
    """Give the reply: loss, gradients, z, a and delta of the first pass, and the parameters after every step."""
    graph = build_graph(case)
    steps = read_steps(case)
    inputs, targets = [flat(x) for x in case["inputs"]], [flat(t) for t in case["targets"]]
    _, divisor = read_batch({**case, "inputs": inputs, "targets": targets})

    reply: dict[str, Any] = {"id": case.get("id"), **one_pass(graph, case, inputs, targets, divisor)}
    trajectory = []
    loss = reply["loss"]
    for step in range(steps):
        if step > 0:
            loss = one_pass(graph, case, inputs, targets, divisor)["loss"]
        graph.update(rate_of(case, step))
        layers = [{"updated": updated(node), **buffers(node)} for node in graph.nodes]
        trajectory.append({"loss": loss, "layers": layers})
    for node, record in zip(graph.nodes, reply["layers"]):
        record.update(buffers(node))
    if steps:
        for node, record in zip(graph.nodes, reply["layers"]):
            record["updated"] = updated(node)
    if steps > 1:
        reply["trajectory"] = trajectory
    return reply


def one_pass(graph: Graph, case: dict[str, Any], inputs: Rows, targets: Rows, divisor: float) -> dict[str, Any]:
    """Send the batch forward and backward, and write down what came out of it."""
    graph.forward(inputs)
    loss = graph.batch_loss(targets) / divisor
    dloss_dx = graph.backward(targets, divisor)
    layers = []
    for node in graph.nodes:
        layer = node.layer
        record: dict[str, Any] = {"a": [nested(row, layer.output_shape) for row in node.a]}
        if layer.z is not None:
            record["z"] = [nested(row, layer.z_shape) for row in layer.z]
        delta_shape = layer.output_shape if layer.z is None else layer.z_shape
        record["delta"] = [nested(row, delta_shape) for row in layer.delta]
        record["gradients"] = {}
        if node.owner is None:  # those of shared parameters are in their owner's
            record["gradients"] = {name: nested(layer.gradients[name], shape) for name, shape in layer.shapes.items()}
        layers.append(record)
    return {
        "loss": loss,
        "layers": layers,
        "input_gradients": [nested(row, input_shape(case)) for row in dloss_dx],
    }


def updated(node: Node) -> dict[str, Any]:
    """Give a copy of a layer's own parameters as they are now."""
    if node.owner is not None:
        return {}
    return {name: nested(node.layer.parameters[name], shape) for name, shape in node.layer.shapes.items()}


def buffers(node: Node) -> dict[str, Any]:
    """Give what a layer has kept beside its parameters, as it is after the last pass; nothing where it has none."""
    kept = getattr(node.layer, "buffers", {})
    return {"buffers": {name: list(numbers) for name, numbers in kept.items()}} if kept else {}


def build_graph(case: dict[str, Any]) -> Graph:
    """Build the network that the case describes."""
    specs = case["network"]["layers"]
    names = ["input"] + [
        spec.get("name") or ("output" if number == len(specs) - 1 else f"hidden{number + 1}")
        for number, spec in enumerate(specs)
    ]
    nodes: list[Node] = []
    for number, spec in enumerate(specs):
        reads = [names.index(name) - 1 for name in spec["from"]] if spec.get("from") else [number - 1]
        combine = Combine()
        if getattr(LAYERS.get(spec["kind"]), "apart", False):
            combine = Apart()
        elif len(reads) > 1:
            combine = COMBINE[known(spec.get("combine"), list(COMBINE), "combination")]()
        shape = combine.shape([nodes[read].layer.output_shape if read >= 0 else input_shape(case) for read in reads])
        layer = LAYERS[known(spec["kind"], list(LAYERS), "layer")](spec, shape)
        owner: int | None = None
        if spec.get("shares"):
            sharer = nodes[names.index(spec["shares"]) - 1]
            owner = nodes.index(sharer) if sharer.owner is None else sharer.owner  # it may itself share another's
            layer.parameters = nodes[owner].layer.parameters  # not a copy: the same lists
        nodes.append(Node(layer, reads, combine, owner))

    kind = known(case["loss"]["kind"], list(LOSSES), "loss")
    loss = LOSSES[kind]()
    if case["loss"].get("threshold") is not None:
        loss.threshold = float(case["loss"]["threshold"])
    one_step = IN_ONE_STEP.get((specs[-1].get("activation", "identity"), kind))
    return Graph(nodes, loss, one_step if hasattr(nodes[-1].layer, "backward_from_z") else None)


def read_steps(case: dict[str, Any]) -> int:
    """Give the number of steps; 0 where no update is asked for."""
    settings = case.get("optimizer")
    if case.get("clip") or case.get("regularization"):
        raise NotThereYet("clipping or a penalty for such a network is not there yet")
    if not settings:
        return 0
    known(settings["kind"], ["sgd"], "optimizer (for such a network)")
    for option in ("momentum", "dampening", "nesterov", "weight_decay"):
        if settings.get(option):
            raise NotThereYet(f"sgd with {option} for such a network is not there yet")
    return int(case.get("steps", 1))


def input_shape(case: dict[str, Any]) -> Shape:
    """Give the shape of one sample."""
    shape = case["network"]["inputs"]
    return [shape] if isinstance(shape, int) else list(shape)


def flat(value: Any) -> Numbers:
    """Give the numbers of nested lists in one list, in their order."""
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]


def nested(numbers: Numbers, shape: Shape) -> Any:
    """Give the numbers as nested lists of that shape."""
    if len(shape) < 2:
        return list(numbers)
    step = math.prod(shape[1:])
    return [nested(numbers[i * step : i * step + step], shape[1:]) for i in range(shape[0])]

"""From a case of backprop-check to its reply: build the network, send the batch through it, write down what came out.

To test a network of your own, let ``backprop`` run it.
"""

from __future__ import annotations

from typing import Any

from activations import ACTIVATIONS
from losses import IN_ONE_STEP, LOSSES
from mathematics import Numbers
from network import Layer, Network, Neuron
from optimizers import OPTIMIZERS, Clip, Optimizer, Penalty

Sample = tuple[Numbers, Numbers]  # the inputs and the targets


class NotThereYet(Exception):  # noqa: N818
    """The case asks for something that this program has not learnt: it is skipped, which is no failure."""

    def __init__(self, what: str) -> None:
        """Say what."""
        super().__init__(f"{what} is not there yet")


def backprop(request: dict[str, Any]) -> dict[str, Any]:
    """Work out one case of backprop-check, and reply with all that the protocol knows."""
    try:
        network = build_network(request)
        steps, learning_rate = read_optimizer(request)
        samples, divisor = read_batch(request)
    except NotThereYet as reason:
        return {"id": request.get("id"), "skip": str(reason)}

    # Whatever the number of steps: loss, gradients, z, a and delta are those of the first pass.
    reply = {"id": request.get("id"), **penalized_pass(network, samples, divisor)}
    if steps is None:
        return reply

    trajectory = []
    loss = reply["loss"]
    for step in range(steps):
        if step > 0:
            learning_rate = rate_of(request, step)
            loss = penalized_pass(network, samples, divisor)["loss"]
        network.update(learning_rate)
        updated = [{"updated": parameters(layer)} for layer in network.layers]
        trajectory.append({"loss": loss, "layers": updated})
    for layer, record in zip(network.layers, reply["layers"]):
        record["updated"] = parameters(layer)
    if steps > 1:
        reply["trajectory"] = trajectory
    return reply


def one_pass(network: Network, samples: list[Sample], divisor: float) -> dict[str, Any]:
    """Send every sample forward and backward, and write down what came out of it."""
    network.reset_gradients()
    loss = 0.0
    input_gradients = []
    records: list[dict[str, Any]] = [{"z": [], "a": [], "delta": []} for _ in network.layers]
    for inputs, targets in samples:
        network.forward(inputs)
        loss += network.sample_loss(targets)
        input_gradients.append(network.backward(targets, divisor))
        for layer, record in zip(network.layers, records):
            record["z"].append(layer.z)
            record["a"].append(layer.a)
            record["delta"].append(layer.delta)

    for layer, record in zip(network.layers, records):
        record["gradients"] = gradients(layer)
    return {"loss": loss / divisor, "layers": records, "input_gradients": input_gradients}


def penalized_pass(network: Network, samples: list[Sample], divisor: float) -> dict[str, Any]:
    """The same, with the penalty for large parameters that the loss may have."""
    result = one_pass(network, samples, divisor)
    if network.penalty:
        result["loss"] += network.penalize(network.penalty)
        for layer, record in zip(network.layers, result["layers"]):
            record["gradients"] = gradients(layer)
    return result


def gradients(layer: Layer) -> dict[str, Any]:
    """Give a copy of the layer's gradients as they are now."""
    return {
        "weights": [list(neuron.weight_gradients) for neuron in layer.neurons],
        "biases": [neuron.bias_gradient for neuron in layer.neurons],
    }


def parameters(layer: Layer) -> dict[str, Any]:
    """Give a copy of the layer's weights and biases as they are now."""
    return {
        "weights": [list(neuron.weights) for neuron in layer.neurons],
        "biases": [neuron.bias for neuron in layer.neurons],
    }


def build_network(request: dict[str, Any]) -> Network:
    """Build the network that the case describes."""
    layers = [build_layer(layer) for layer in request["network"]["layers"]]

    kind = known(request["loss"]["kind"], list(LOSSES), "loss")
    loss = LOSSES[kind]()
    if request["loss"].get("threshold") is not None:
        loss.threshold = float(request["loss"]["threshold"])

    one_step = IN_ONE_STEP.get((request["network"]["layers"][-1]["activation"], kind))
    network = Network(layers, loss, one_step)
    if request.get("regularization"):
        network.penalty = Penalty(request["regularization"])
    if request.get("clip"):
        network.clip = Clip(request["clip"])
    network.optimizer = build_optimizer(request)
    return network


def build_layer(layer: dict[str, Any]) -> Layer:
    """Build one layer with the parameters that the case gives it."""
    known(layer["kind"], ["dense"], "layer")
    if "from" in layer or "combine" in layer:
        raise NotThereYet("a layer that reads another one than the one before it")

    activation = ACTIVATIONS[known(layer["activation"], list(ACTIVATIONS), "activation")]()
    if layer.get("alpha") is not None:
        activation.alpha = float(layer["alpha"])

    weights, biases = layer["parameters"]["weights"], layer["parameters"]["biases"]
    return Layer([Neuron(read_numbers(row), float(bias)) for row, bias in zip(weights, biases)], activation)


def read_optimizer(request: dict[str, Any]) -> tuple[int | None, float]:
    """Give the number of steps (None: no update is asked for) and the learning rate of the first."""
    if not request.get("optimizer"):
        return None, 0.0
    return request.get("steps", 1), rate_of(request, 0)


def rate_of(request: dict[str, Any], step: int) -> float:
    """Give the learning rate of a step: there is one for all, or a list with one for each."""
    rate = request["optimizer"]["learning_rate"]
    return float(rate[step] if isinstance(rate, list) else rate)


def build_optimizer(request: dict[str, Any]) -> Optimizer | None:
    """Give what makes the updates; None where they are plain steps down the slope, or where there are none."""
    settings = request.get("optimizer")
    if not settings:
        return None
    kind = known(settings["kind"], list(OPTIMIZERS), "optimizer")
    options = ("momentum", "dampening", "nesterov", "weight_decay")
    if kind == "sgd" and not request.get("clip") and not any(settings.get(option) for option in options):
        return None
    return OPTIMIZERS[kind](settings)


def read_batch(request: dict[str, Any]) -> tuple[list[Sample], float]:
    """Give the samples, and what to divide by to get from the sum of their losses to the batch's loss."""
    samples = [(read_numbers(x), read_numbers(t)) for x, t in zip(request["inputs"], request["targets"])]
    reduction = known(request.get("reduction", "mean"), ["mean", "sum"], "reduction")
    return samples, float(len(samples)) if reduction == "mean" else 1.0


def known(word: str, words: list[str], what: str) -> str:
    """Give the word if we know it."""
    if word not in words:
        raise NotThereYet(f"the {what} {word}")
    return word


def read_numbers(numbers: list[Any]) -> Numbers:
    """Give floats. JSON has no NaN and no infinity, so these come as text, which ``float`` reads as well."""
    return [float(number) for number in numbers]

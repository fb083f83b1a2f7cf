"""Right implementations of training that share nothing with the package: passes of ``benchmarks/variants`` in numpy,
with updates as papers and textbooks write them, or made by PyTorch's own optimizers in the same dtype.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from variants import Network, Style

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays = list[Any]


class Papers:
    """Updates in numpy as the papers write them: in other orders and groupings than PyTorch's."""

    def __init__(self, optimizer: dict[str, Any], real: Callable[[float], Any]) -> None:
        self.o, self.real = optimizer, real
        self.state: dict[str, Arrays] = {}
        self.t = 0

    def option(self, name: str) -> Any:
        return self.real(self.o.get(name, 0.0))

    def past(self, name: str, like: Arrays, start: float = 0.0) -> Arrays:
        return self.state.setdefault(name, [np.full_like(x, start) for x in like])

    def step(self, parameters: Arrays, gradients: Arrays, rate: float) -> Arrays:
        """The parameters after the update."""
        self.t += 1
        if self.o["kind"] != "adamw" and self.o.get("weight_decay"):
            gradients = [self.option("weight_decay") * w + g for w, g in zip(parameters, gradients, strict=True)]
        moves = getattr(self, self.o["kind"])(gradients, self.real(rate))
        if self.o["kind"] == "adamw":
            shrink = self.real(rate) * self.option("weight_decay")
            return [w - shrink * w - move for w, move in zip(parameters, moves, strict=True)]
        return [w - move for w, move in zip(parameters, moves, strict=True)]

    def velocity(self, directions: Arrays, dampening: Any) -> Arrays:
        if "v" not in self.state:
            self.state["v"] = [d.copy() for d in directions]
        else:
            mu = self.option("momentum")
            self.state["v"] = [(1 - dampening) * d + v * mu for v, d in zip(self.state["v"], directions, strict=True)]
        return self.state["v"]

    def sgd(self, gradients: Arrays, rate: Any) -> Arrays:
        if not self.o.get("momentum"):
            return [rate * g for g in gradients]
        v = self.velocity(gradients, self.option("dampening"))
        if self.o["nesterov"]:
            return [rate * g + rate * self.option("momentum") * x for g, x in zip(gradients, v, strict=True)]
        return [rate * x for x in v]

    def rmsprop(self, gradients: Arrays, rate: Any) -> Arrays:
        alpha, eps = self.option("alpha"), self.option("eps")
        square = self.past("square", gradients)
        # As a linear interpolation: old + (new − old)(1 − α).
        square = [v + (g * g - v) * (1 - alpha) for v, g in zip(square, gradients, strict=True)]
        self.state["square"] = square
        if self.o["centered"]:
            mean = [m + (g - m) * (1 - alpha) for m, g in zip(self.past("mean", gradients), gradients, strict=True)]
            self.state["mean"] = mean
            square = [v - m**2 for v, m in zip(square, mean, strict=True)]
        moves = [g / (np.sqrt(v) + eps) for g, v in zip(gradients, square, strict=True)]
        if self.o["momentum"]:
            moves = self.velocity(moves, self.real(0.0))
        return [rate * move for move in moves]

    def adagrad(self, gradients: Arrays, rate: Any) -> Arrays:
        total = self.past("sum", gradients, self.o["initial_accumulator_value"])
        total = [s + g**2 for s, g in zip(total, gradients, strict=True)]
        self.state["sum"] = total
        rate = rate / (1 + (self.t - 1) * self.option("lr_decay"))
        return [(rate / (np.sqrt(s) + self.option("eps"))) * g for s, g in zip(total, gradients, strict=True)]

    def adam(self, gradients: Arrays, rate: Any) -> Arrays:
        b1, b2 = (self.real(b) for b in self.o["betas"])
        m = [b1 * m + (1 - b1) * g for m, g in zip(self.past("m", gradients), gradients, strict=True)]
        v = [b2 * v + ((1 - b2) * g) * g for v, g in zip(self.past("v", gradients), gradients, strict=True)]
        self.state["m"], self.state["v"] = m, v
        v_hat = v
        if self.o["amsgrad"]:
            v_hat = [np.maximum(x, y) for x, y in zip(self.past("largest", v), v, strict=True)]
            self.state["largest"] = v_hat
        t = self.t
        m_hat = [x / (1 - b1**t) for x in m]
        v_hat = [x / (1 - b2**t) for x in v_hat]
        return [rate * x / (np.sqrt(y) + self.option("eps")) for x, y in zip(m_hat, v_hat, strict=True)]

    adamw = adam


class Torch:
    """PyTorch's own optimizers, in the implementation's dtype."""

    def __init__(self, optimizer: dict[str, Any], real: Callable[[float], Any]) -> None:
        del real
        self.o = optimizer
        self.made: Any = None
        self.parameters: Arrays = []

    def step(self, parameters: Arrays, gradients: Arrays, rate: float) -> Arrays:
        """The parameters after the update."""
        if self.made is None:
            names = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}
            given = {key: value for key, value in self.o.items() if key not in ("kind", "learning_rate")}
            self.parameters = [torch.tensor(w) for w in parameters]
            self.made = getattr(torch.optim, names[self.o["kind"]])(self.parameters, lr=rate, **given)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        self.made.param_groups[0]["lr"] = rate
        self.made.step()
        return [parameter.numpy().copy() for parameter in self.parameters]


def clipped(gradients: Arrays, clip: dict[str, Any] | None, real: Callable[[float], Any], *, by_torch: bool) -> Arrays:
    """The clipped gradients: by value to [−limit, limit], or by norm, g · min(1, limit/(‖g‖ + 1e-6))."""
    if clip is None:
        return gradients
    limit = real(clip["limit"])
    if by_torch:
        held = [torch.zeros(g.shape, dtype=torch.tensor(g).dtype) for g in gradients]
        for parameter, gradient in zip(held, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        by = torch.nn.utils.clip_grad_norm_ if clip["kind"] == "norm" else torch.nn.utils.clip_grad_value_
        by(held, clip["limit"])
        return [parameter.grad.numpy() for parameter in held if parameter.grad is not None]
    if clip["kind"] == "value":
        return [np.clip(g, -limit, limit) for g in gradients]
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(real(1.0), limit / (norm + real(1e-6))) for g in gradients]


def trained(
    case: dict[str, Any], style: Style, random: np.random.Generator, kind: type[Papers | Torch] = Papers
) -> dict[str, Any]:
    """The reply to a case with training."""
    with np.errstate(all="ignore"):
        return _trained(case, style, random, kind)


def _trained(case: dict[str, Any], style: Style, random: np.random.Generator, kind: Any) -> dict[str, Any]:
    network = Network(case, style, random)
    first = penalized(network, network.run(), case.get("regularization"))
    optimizer = case.get("optimizer")
    if optimizer is None:
        return first
    rates = optimizer["learning_rate"]
    learner = kind(optimizer, network.real)
    trajectory, done = [], first
    for step in range(case["steps"]):
        done = penalized(network, network.run(), case.get("regularization")) if step else first
        parameters = [x for weights, biases, _ in network.layers for x in (weights, biases)]
        gradients = [x for one in done["layers"] for x in (one["gradients"]["weights"], one["gradients"]["biases"])]
        gradients = clipped(gradients, case.get("clip"), network.real, by_torch=kind is Torch)
        new = learner.step(parameters, gradients, rates[step] if isinstance(rates, list) else rates)
        network.layers = [
            (new[2 * index], new[2 * index + 1], layer) for index, (_, _, layer) in enumerate(network.layers)
        ]
        updated = [{"updated": {"weights": w, "biases": b}} for w, b, _ in network.layers]
        trajectory.append({"loss": done["loss"], "layers": updated})
    for reply, last in zip(first["layers"], trajectory[-1]["layers"], strict=True):
        reply["updated"] = last["updated"]
    if len(trajectory) > 1:
        first["trajectory"] = trajectory
    return first


def penalized(network: Any, reply: dict[str, Any], r: dict[str, Any] | None) -> dict[str, Any]:
    """The reply with the penalty l1 Σ|w| + l2/2 Σw² in the loss and its derivative in the gradients."""
    if r is None:
        return reply
    l1, l2 = network.real(r["l1"]), network.real(r["l2"])
    for (weights, biases, _), one in zip(network.layers, reply["layers"], strict=True):
        for name, table in (("weights", weights), ("biases", biases)):
            if name == "weights" or r["biases"]:
                reply["loss"] = reply["loss"] + l1 * abs(table).sum() + l2 / 2 * (table**2).sum()
                one["gradients"][name] = one["gradients"][name] + (l1 * np.sign(table) + l2 * table)
    return reply


def as_line(reply: Any) -> Any:
    """The reply with arrays as nested lists."""
    if isinstance(reply, dict):
        return {key: as_line(value) for key, value in reply.items()}
    if isinstance(reply, list):
        return [as_line(value) for value in reply]
    return reply.tolist() if hasattr(reply, "tolist") else reply

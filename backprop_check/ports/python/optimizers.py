"""Optimizers: how parameters follow their gradients, when a plain step down the slope is not all that is asked for.

Read it from top to bottom:

1. Optimizers    SGD with momentum, RMSprop, Adagrad, Adam and AdamW, one parameter at a time
2. Clipping      gradients that are too long are shortened before the update
3. Penalty       what the loss adds for large parameters

Names, defaults and formulas are PyTorch's. ``w`` is a parameter (a weight or a bias), ``g`` its gradient, ``rate`` the
learning rate. An optimizer remembers something of every parameter from step to step: that is ``state``, a dictionary
of its own for each. Nothing is imported but the standard library.
"""

from __future__ import annotations

import math
from typing import Any

State = dict[str, float]
Place = tuple[int, int, int]  # layer, neuron, and the input of a weight, or -1 for the bias


# --------------------------------------------------------------------------------------------------
# 1. Optimizers
# --------------------------------------------------------------------------------------------------


class Optimizer:
    """Gives every parameter its new value, and remembers what it needs for the next step."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Read the settings that all have."""
        self.weight_decay = float(settings.get("weight_decay", 0.0))
        self.time = 0  # the number of this step, counted from 1
        self.states: dict[Place, State] = {}

    def begin_step(self) -> None:
        """Say that all parameters are about to get their next value."""
        self.time += 1

    def updated(self, place: Place, w: float, g: float, rate: float) -> float:
        """Give the new value of the parameter at that place."""
        state = self.states.setdefault(place, {})
        return self.step(w, self.decayed(w, g), state, rate)

    def decayed(self, w: float, g: float) -> float:
        """Give the gradient with weight decay: as if the loss had half of decay * w * w more."""
        return g + self.weight_decay * w

    def step(self, w: float, g: float, state: State, rate: float) -> float:
        """Take one step."""
        raise NotImplementedError


class SGD(Optimizer):
    """Down the slope: with momentum, a ball that rolls, and does not stop where the slope does."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.momentum = float(settings.get("momentum", 0.0))
        self.dampening = float(settings.get("dampening", 0.0))
        self.nesterov = bool(settings.get("nesterov", False))

    def step(self, w: float, g: float, state: State, rate: float) -> float:
        if self.momentum:
            velocity = self.velocity(g, state)
            # Nesterov looks where the velocity is about to lead.
            g = g + self.momentum * velocity if self.nesterov else velocity
        return w - rate * g

    def velocity(self, g: float, state: State) -> float:
        """Give the velocity; the first one is the gradient itself."""
        if "velocity" in state:
            state["velocity"] = self.momentum * state["velocity"] + (1.0 - self.dampening) * g
        else:
            state["velocity"] = g
        return state["velocity"]


class RMSprop(Optimizer):
    """Divides each gradient by its usual size: the root of a running average of its square."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.alpha = float(settings["alpha"])
        self.eps = float(settings["eps"])
        self.centered = bool(settings["centered"])
        self.momentum = float(settings["momentum"])

    def step(self, w: float, g: float, state: State, rate: float) -> float:
        square = state["square"] = average(state.get("square", 0.0), g * g, self.alpha)
        if self.centered:
            mean = state["mean"] = average(state.get("mean", 0.0), g, self.alpha)
            square = square - mean * mean  # the variance
        direction = g / (math.sqrt(square) + self.eps)
        if self.momentum:
            direction = state["velocity"] = self.momentum * state.get("velocity", 0.0) + direction
        return w - rate * direction


class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of all its squares: steps grow shorter and shorter."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.lr_decay = float(settings["lr_decay"])
        self.start = float(settings["initial_accumulator_value"])
        self.eps = float(settings["eps"])

    def step(self, w: float, g: float, state: State, rate: float) -> float:
        total = state["sum"] = state.get("sum", self.start) + g * g
        rate = rate / (1.0 + (self.time - 1) * self.lr_decay)
        return w - rate * g / (math.sqrt(total) + self.eps)


class Adam(Optimizer):
    """A running average of the gradient, divided by the root of one of its square."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.beta1, self.beta2 = (float(beta) for beta in settings["betas"])
        self.eps = float(settings["eps"])
        self.amsgrad = bool(settings["amsgrad"])

    def step(self, w: float, g: float, state: State, rate: float) -> float:
        mean = state["mean"] = average(state.get("mean", 0.0), g, self.beta1)
        square = state["square"] = average(state.get("square", 0.0), g * g, self.beta2)
        if self.amsgrad:
            square = state["largest"] = max(state.get("largest", 0.0), square)
        # Averages that began at 0 are too small at first: after t steps by a factor of 1 - beta^t.
        mean_hat = mean / (1.0 - self.beta1**self.time)
        square_hat = square / (1.0 - self.beta2**self.time)
        return w - rate * mean_hat / (math.sqrt(square_hat) + self.eps)


class AdamW(Adam):
    """Adam, where decay shrinks the parameter itself, and the averages know nothing of it."""

    def updated(self, place: Place, w: float, g: float, rate: float) -> float:
        state = self.states.setdefault(place, {})
        return self.step(w - rate * self.weight_decay * w, g, state, rate)


def average(before: float, x: float, beta: float) -> float:
    """Give a running average: mostly what it was before, and a little of x."""
    return beta * before + (1.0 - beta) * x


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
}

#: What this file knows beside the kinds of optimizers, in the protocol's words.
FEATURES = [
    "momentum",
    "dampening",
    "nesterov",
    "weight_decay",
    "centered",
    "lr_decay",
    "amsgrad",
    "schedule",
    "clipping",
    "regularization",
]


# --------------------------------------------------------------------------------------------------
# 2. Clipping
# --------------------------------------------------------------------------------------------------


class Clip:
    """Holds gradients back before an update: each by its value, or all together by their norm."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Read the kind and the limit."""
        self.by_norm = settings["kind"] == "norm"
        self.limit = float(settings["limit"])
        self.scale = 1.0

    def measure(self, gradients: list[float]) -> None:
        """Look at all gradients of the network: their norm decides by how much each is shortened."""
        norm = math.sqrt(sum(g * g for g in gradients))
        self.scale = min(1.0, self.limit / (norm + 1e-6)) if self.by_norm else 1.0

    def clipped(self, g: float) -> float:
        """Give one gradient as the update is to see it."""
        return g * self.scale if self.by_norm else max(-self.limit, min(self.limit, g))


# --------------------------------------------------------------------------------------------------
# 3. Penalty
# --------------------------------------------------------------------------------------------------


class Penalty:
    """What the loss adds for large parameters: l1 * |w| + l2 / 2 * w * w for each."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Read the two factors, and whether biases count too."""
        self.l1 = float(settings["l1"])
        self.l2 = float(settings["l2"])
        self.biases = bool(settings["biases"])

    def value(self, w: float) -> float:
        """Give one parameter's part of the loss."""
        return self.l1 * abs(w) + 0.5 * self.l2 * w * w

    def slope(self, w: float) -> float:
        """Give the derivative of that part. At w = 0, the kink of |w|, 0 is the convention."""
        sign = 1.0 if w > 0.0 else -1.0 if w < 0.0 else 0.0
        return self.l1 * sign + self.l2 * w

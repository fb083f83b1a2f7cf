"""BP506 to BP518: mistakes in optimizers, decay and penalties, in the port's own optimizers.py and network.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planting import Case, Edit, Planted, at, both, optimizers
from planting import network as net

if TYPE_CHECKING:
    from collections.abc import Callable

UPDATED = at("any", "updated_weight", "updated_bias")
VELOCITY = 'state["velocity"] = self.momentum * state["velocity"] + (1.0 - self.dampening) * g'
FIRST = '            state["velocity"] = g\n'
DECAY = "        return g + self.weight_decay * w\n"
LOOK_AHEAD = "g = g + self.momentum * velocity if self.nesterov else velocity"
SLOPE = "        return self.l1 * sign + self.l2 * w\n"
VALUE = "        return self.l1 * abs(w) + 0.5 * self.l2 * w * w\n"
MEAN_HAT = "mean_hat = mean / (1.0 - self.beta1**self.time)"
SQUARE_HAT = "square_hat = square / (1.0 - self.beta2**self.time)"
ADAM = "return w - rate * mean_hat / (math.sqrt(square_hat) + self.eps)"
RMSPROP = "direction = g / (math.sqrt(square) + self.eps)"
ADAGRAD = "return w - rate * g / (math.sqrt(total) + self.eps)"
SHRINK = "return self.step(w - rate * self.weight_decay * w, g, state, rate)"
UPDATED_PLACE = "        return self.step(w, self.decayed(w, g), state, rate)\n"
BIASES = "            if penalty.biases:\n"


def kind(*names: str) -> Callable[[Case], bool]:
    """One of these optimizers."""
    return lambda case: "optimizer" in case and case["optimizer"]["kind"] in names


def option(name: str) -> Callable[[Case], bool]:
    """An option that is switched on."""
    return lambda case: bool(case.get("optimizer", {}).get(name))


def penalty(name: str) -> Callable[[Case], bool]:
    """A part of the loss's penalty."""
    return lambda case: bool(case.get("regularization", {}).get(name))


def again(case: Case) -> bool:
    """More than one step."""
    return bool(case["steps"] > 1) if "steps" in case else False


def decays(case: Case) -> bool:
    """Weight decay as a part of the gradient."""
    return option("weight_decay")(case) and not kind("adamw")(case)


def planted(code: str, name: str, edits: tuple[Edit, ...], needs: Callable[[Case], bool], **more: Any) -> Planted:
    """A bug that shows in the suite of training."""
    more = {"where": UPDATED, "suite": "training", "cases": 400, **more}
    return Planted(code=code, name=name, edits=edits, needs=needs, **more)


OPTIMIZER_BUGS = [
    planted(
        "BP506",
        "momentum subtracted",
        (optimizers(VELOCITY, VELOCITY.replace("= self.momentum", "= -self.momentum")),),
        both(kind("sgd"), option("momentum"), again),
    ),
    planted(
        "BP506",
        "the look ahead subtracted",
        (optimizers(LOOK_AHEAD, LOOK_AHEAD.replace("g + self", "g - self")),),
        option("nesterov"),
    ),
    planted(
        "BP507",
        "the first step dampened",
        (optimizers(FIRST, FIRST.replace("= g", "= (1.0 - self.dampening) * g")),),
        option("dampening"),
    ),
    planted(
        "BP508",
        "velocity forgotten",
        (optimizers('if "velocity" in state:', "if False:"),),
        both(kind("sgd"), option("momentum"), again),
    ),
    planted(
        "BP508",
        "all states forgotten, the time kept",
        (optimizers("        self.time += 1\n", "        self.time += 1\n        self.states = {}\n"),),
        both(again, lambda case: option("momentum")(case) or kind("rmsprop", "adagrad", "adam", "adamw")(case)),
    ),
    planted(
        "BP508",
        "a new optimizer in every step",
        (optimizers("        self.time += 1\n", "        self.time = 1\n        self.states = {}\n"),),
        both(again, lambda case: option("momentum")(case) or kind("rmsprop", "adagrad", "adam", "adamw")(case)),
    ),
    planted(
        "BP509",
        "Nesterov is plain momentum",
        (optimizers(LOOK_AHEAD, "g = velocity"),),
        option("nesterov"),
    ),
    planted(
        "BP510",
        "weight decay subtracted",
        (optimizers(DECAY, DECAY.replace("+", "-")), optimizers(SHRINK, SHRINK.replace("w - rate", "w + rate"))),
        option("weight_decay"),
    ),
    planted(
        "BP510",
        "the penalty's slope subtracted",
        (optimizers(SLOPE, SLOPE.replace("+ self.l2", "- self.l2")),),
        penalty("l2"),
        where=at("any", "weight_gradient", "bias_gradient"),
    ),
    planted(
        "BP511",
        "twice the weight decay",
        (
            optimizers(DECAY, DECAY.replace("+ self", "+ 2.0 * self")),
            optimizers(SHRINK, SHRINK.replace("- rate", "- 2.0 * rate")),
        ),
        option("weight_decay"),
    ),
    planted(
        "BP511",
        "twice the penalty's slope",
        (optimizers(SLOPE, SLOPE.replace("+ self.l2", "+ 2.0 * self.l2")),),
        penalty("l2"),
        where=at("any", "weight_gradient", "bias_gradient"),
    ),
    planted(
        "BP511",
        "the penalty without its half, in loss and slope",
        (
            optimizers(SLOPE, SLOPE.replace("+ self.l2", "+ 2.0 * self.l2")),
            optimizers(VALUE, VALUE.replace("0.5 * ", "")),
        ),
        penalty("l2"),
        where=at("none", "loss"),
    ),
    planted(
        "BP511",
        "the penalty's loss without its half",
        (optimizers(VALUE, VALUE.replace("0.5 * ", "")),),
        penalty("l2"),
        where=at("none", "loss"),
    ),
    planted(
        "BP512",
        "biases do not decay",
        (
            optimizers(UPDATED_PLACE, UPDATED_PLACE.replace("(w, g)", "(w, g) if place[2] >= 0 else g")),
            optimizers(SHRINK, SHRINK.replace("rate * self", "(place[2] >= 0) * rate * self")),
        ),
        option("weight_decay"),
        where=at("any", "updated_bias"),
    ),
    planted(
        "BP512",
        "biases have no penalty",
        (net(BIASES, "            if False:\n"),),
        penalty("biases"),
        where=at("any", "bias_gradient", "loss"),
    ),
    planted(
        "BP513",
        "no correction",
        (optimizers(MEAN_HAT, "mean_hat = mean"), optimizers(SQUARE_HAT, "square_hat = square")),
        kind("adam", "adamw"),
    ),
    planted(
        "BP513",
        "no correction of the square",
        (optimizers(SQUARE_HAT, "square_hat = square"),),
        kind("adam", "adamw"),
    ),
    planted(
        "BP514",
        "one minus beta",
        (
            optimizers(MEAN_HAT, MEAN_HAT.replace("**self.time", "")),
            optimizers(SQUARE_HAT, SQUARE_HAT.replace("**self.time", "")),
        ),
        both(kind("adam", "adamw"), again),
    ),
    planted(
        "BP515",
        "time starts at 0",
        (
            optimizers(MEAN_HAT, MEAN_HAT.replace("self.time", "(self.time - 1)")),
            optimizers(SQUARE_HAT, SQUARE_HAT.replace("self.time", "(self.time - 1)")),
        ),
        kind("adam", "adamw"),
    ),
    planted(
        "BP515",
        "time starts at 2",
        (
            optimizers(MEAN_HAT, MEAN_HAT.replace("self.time", "(self.time + 1)")),
            optimizers(SQUARE_HAT, SQUARE_HAT.replace("self.time", "(self.time + 1)")),
        ),
        kind("adam", "adamw"),
    ),
    planted(
        "BP516",
        "epsilon inside the root of Adam",
        (optimizers(ADAM, ADAM.replace("(math.sqrt(square_hat) + self.eps)", "math.sqrt(square_hat + self.eps)")),),
        kind("adam", "adamw"),
    ),
    planted(
        "BP516",
        "epsilon before the correction",
        (
            optimizers(
                ADAM,
                "root = (math.sqrt(square) + self.eps) / math.sqrt(1.0 - self.beta2**self.time)\n"
                "        return w - rate * mean_hat / root",
            ),
        ),
        kind("adam", "adamw"),
    ),
    planted(
        "BP516",
        "epsilon inside every root",
        (
            optimizers(ADAM, ADAM.replace("(math.sqrt(square_hat) + self.eps)", "math.sqrt(square_hat + self.eps)")),
            optimizers(RMSPROP, RMSPROP.replace("(math.sqrt(square) + self.eps)", "math.sqrt(square + self.eps)")),
            optimizers(ADAGRAD, ADAGRAD.replace("(math.sqrt(total) + self.eps)", "math.sqrt(total + self.eps)")),
        ),
        kind("rmsprop", "adagrad", "adam", "adamw"),
    ),
    planted(
        "BP517",
        "RMSprop without a root",
        (optimizers(RMSPROP, RMSPROP.replace("math.sqrt(square)", "square")),),
        kind("rmsprop"),
    ),
    planted(
        "BP517",
        "Adagrad without a root",
        (optimizers(ADAGRAD, ADAGRAD.replace("math.sqrt(total)", "total")),),
        kind("adagrad"),
    ),
    planted(
        "BP518",
        "AdamW is Adam",
        (optimizers(SHRINK, "return self.step(w, self.decayed(w, g), state, rate)"),),
        both(kind("adamw"), option("weight_decay")),
    ),
]

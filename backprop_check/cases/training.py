"""The suite ``training``: optimizers, their options, schedules, clipping and penalties, on small networks.

Any 200 consecutive cases contain every combination of an optimizer with its options, each with and without a schedule,
clipping and a penalty, over 1 to 5 steps. Where layers other than dense chains are supported, every fifth case trains a
network of another suite.

In addition to the demands on kinks, no gradient of a chain is so small that rounding decides what an adaptive optimizer
makes of it, no weight under an l1 penalty is close to 0, and no norm or gradient is close to the limit at which it is
clipped. In other networks many gradients are 0 apart from rounding errors; there an adaptive optimizer has a larger ε,
so that it does not magnify these errors.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from backprop_check.case.network import Case
from backprop_check.case.training import FEATURES, SETTINGS
from backprop_check.cases.clear import ANY_LAYERS, NEAR, TRAINED_CHAIN, Demands, gradients_of, norm_of
from backprop_check.cases.draw import REDUCTIONS, THRESHOLDS, Draw, dense, loss_of, rows_of, target_of
from backprop_check.cases.families import family_case
from backprop_check.cases.generate import tried
from backprop_check.cases.within import ALL_TRAINING, Within, families
from backprop_check.errors import NothingToDrawError
from backprop_check.functions.names import LATER_LOSSES
from backprop_check.reference.passes import run_pass

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Increased whenever the same (seed, index) would give another case.
TRAINING_VERSION = 1

#: One in this many cases trains layers other than dense chains, where such are supported.
EVERY = 5

#: The ε of an adaptive optimizer in such a case.
_EPSILONS = (1e-3, 0.02)

#: Networks with more parameters are not trained.
_MOST_PARAMETERS = 400

#: Limits of clipping relative to the gradients' size (the last clips nothing); ``_LEAST`` is the smallest limit.
_SHARES = (0.2, 0.5, 0.7, 1.7)
_LEAST = 0.02

#: The largest number of attempts to draw a chain, and a network of another suite.
_ATTEMPTS, _ATTEMPTS_OF_FAMILIES = 400, 60


class Recipe(NamedTuple):
    """An optimizer and those of its options that are used."""

    kind: str
    options: tuple[str, ...]


def _recipes() -> list[Recipe]:
    with_momentum = [("momentum",), ("momentum", "dampening"), ("momentum", "nesterov")]
    choices: dict[str, list[tuple[tuple[str, ...], ...]]] = {
        "sgd": [((), *with_momentum), ((), ("weight_decay",))],
        "rmsprop": [((), ("centered",)), ((), ("momentum",)), ((), ("weight_decay",))],
        "adagrad": [((), ("lr_decay",)), ((), ("weight_decay",))],
        "adam": [((), ("amsgrad",)), ((), ("weight_decay",))],
        "adamw": [((), ("amsgrad",))],
    }
    return [
        Recipe(kind, tuple(itertools.chain.from_iterable(parts)))
        for kind, every in choices.items()
        for parts in itertools.product(*every)
    ]


RECIPES = _recipes()


def recipes(within: Within) -> list[Recipe]:
    """The recipes that an implementation supports."""
    return [each for each in RECIPES if each.kind in within.optimizers and set(each.options) <= set(within.features)]


def training_case(index: int, seed: int = 0, within: Within = ALL_TRAINING) -> Case:
    """Case ``index`` of the suite, for an implementation that supports ``within``."""
    possible = recipes(within)
    round_number, at = divmod(index + seed, len(possible))
    key = f"training:{TRAINING_VERSION}:{seed}:{index}:{label(within)}"
    trained = _Trained(index, seed, within, possible[at], *_extras(at, round_number, within))
    if index % EVERY == EVERY - 1 and families(within):
        case, clear = tried(f"{key}:layers", trained.network, _ATTEMPTS_OF_FAMILIES, ANY_LAYERS)
        if case is not None and clear:
            return case
    case, _ = tried(key, trained.chain, _ATTEMPTS, TRAINED_CHAIN)
    assert case is not None
    return case


def training_cases(count: int, seed: int = 0, start: int = 0, within: Within = ALL_TRAINING) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1``, generated one by one on demand; none where nothing can be trained."""
    able = within.trains() and within.has_chains()
    return (training_case(index, seed, within) for index in range(start, start + count * able))


def label(within: Within) -> str:
    """What of ``within`` the cases depend on, as text; empty where all training of dense chains is supported."""
    layers = f":{','.join((*within.layers, *within.features))}:{int(within.batch)}" if families(within) else ""
    within = replace(
        within,
        losses=tuple(loss for loss in within.losses if loss not in LATER_LOSSES),
        features=tuple(feature for feature in within.features if feature in FEATURES),
    )
    return ("" if _words(within) == _words(ALL_TRAINING) else _words(within)) + layers


def _words(within: Within) -> str:
    known = (within.activations, within.losses, within.optimizers, within.features)
    return ":".join(",".join(sorted(each)) for each in known) + f":{int(within.batch)}"


def _extras(at: int, round_number: int, within: Within) -> tuple[bool, str, str]:
    """Whether there is a schedule, which clipping and which penalty: all combinations in turn, for every recipe."""
    clips = ("", "value", "norm") if "clipping" in within.features else ("",)
    penalties = ("", "l2", "l1", "both") if "regularization" in within.features else ("",)
    return (
        "schedule" in within.features and (at + round_number // 2) % 2 == 1,
        clips[(at + round_number) % len(clips)],
        penalties[(at // 2 + round_number) % len(penalties)],
    )


@dataclass(frozen=True, slots=True)
class _Trained:
    """Case ``number``: its optimizer, schedule, clipping and penalty."""

    number: int
    seed: int
    within: Within
    recipe: Recipe
    schedule: bool
    clip: str
    penalty: str

    def chain(self, draw: Draw, _attempt: int) -> Case:
        """A trained chain of dense layers."""
        steps = self.number % 5 + 1
        options = "-".join((self.recipe.kind, *(name.replace("_", "-") for name in self.recipe.options)))
        body = {**_chain(draw, self.within), "name": f"{options}-s{self.number:04d}", "steps": steps}
        return _limited(draw, Case.from_dict(body | self._training(draw, steps)), TRAINED_CHAIN)

    def network(self, draw: Draw, attempt: int) -> Case | None:
        """A trained case of another suite; None where it has no parameters, or too many."""
        able, turn = families(self.within), self.number // EVERY
        number = turn + attempt * 1000
        try:
            case = family_case(able[number % len(able)], number, self.seed, self.within)
        except NothingToDrawError:
            return None
        parameters = sum(np.size(each) for l in case.network.layers if not l.shares for each in l.arrays().values())
        if not 0 < parameters <= _MOST_PARAMETERS:
            return None
        steps = turn % 3 + 1
        body = case.to_dict() | self._training(draw, steps)
        if body["optimizer"]["kind"] != "sgd":
            body["optimizer"]["eps"] = draw.one_of(_EPSILONS)
        name = f"{body['optimizer']['kind']}-{body['name'].rsplit('-', 1)[0]}-s{self.number:04d}"
        return _limited(draw, Case.from_dict(body | {"name": name, "steps": steps}), ANY_LAYERS)

    def _training(self, draw: Draw, steps: int) -> dict[str, Any]:
        """The fields that say how a network is trained; the limit of clipping is set later."""
        fields: dict[str, Any] = {"optimizer": _optimizer(draw, self.recipe, steps if self.schedule else 0)}
        if self.penalty:
            fields["regularization"] = {
                **({"l1": draw.one_of((0.01, 0.05, 0.2))} if self.penalty != "l2" else {}),
                **({"l2": draw.one_of((0.03, 0.1, 0.5))} if self.penalty != "l1" else {}),
                **({"biases": True} if draw.whole(1, 3) == 1 else {}),
            }
        if self.clip:
            fields["clip"] = {"kind": self.clip, "limit": 1.0}
        return fields


def _chain(draw: Draw, within: Within) -> dict[str, Any]:
    """A small chain of dense layers with its loss and its batch."""
    activation, loss = draw.one_of(within.pairs())
    hidden = within.hidden()
    widths = [draw.whole(1, 3) for _ in range(draw.whole(2, 3) if hidden else 2)]
    if activation in ("softmax", "log_softmax"):
        widths[-1] = max(2, widths[-1])
    if hidden == ["softmax"]:  # the softmax of one neuron is always 1: its gradients are rounding errors
        widths = [max(2, width) for width in widths]
    layers = []
    for position, (fan_in, units) in enumerate(itertools.pairwise(widths)):
        possible = [name for name in hidden if name != "softmax" or units > 1]
        kind = activation if position == len(widths) - 2 else draw.one_of(possible)
        layers.append(dense(draw, fan_in, units, kind, 1.2, 0.6))
    samples = draw.whole(1, 4) if within.batch else 1
    return {
        "network": {"inputs": widths[0], "layers": layers},
        "loss": loss_of(loss, draw.one_of(THRESHOLDS) if loss == "huber" else 0.0),
        "reduction": draw.one_of(REDUCTIONS),
        "inputs": rows_of(draw, samples, widths[0]),
        "targets": [target_of(draw, activation, loss, widths[-1]) for _ in range(samples)],
    }


def _optimizer(draw: Draw, recipe: Recipe, scheduled: int) -> dict[str, Any]:
    rates = (0.05, 0.1, 0.3) if recipe.kind == "sgd" else (0.01, 0.02, 0.05)
    rate = draw.one_of(rates)
    settings: dict[str, Any] = {
        "momentum": draw.one_of((0.5, 0.8, 0.9)),
        "dampening": draw.one_of((0.1, 0.3)),
        "nesterov": True,
        "weight_decay": draw.one_of((0.02, 0.1, 0.3)),
        "centered": True,
        "lr_decay": draw.one_of((0.1, 0.5)),
        "amsgrad": True,
    }
    chosen = {name: settings[name] for name in recipe.options}
    if recipe.kind == "adamw" and draw.whole(0, 2):
        chosen["weight_decay"] = settings["weight_decay"]
    if "eps" in SETTINGS[recipe.kind] and draw.whole(0, 1):
        chosen["eps"] = draw.one_of((1e-3, 0.02))
    if "betas" in SETTINGS[recipe.kind] and draw.whole(0, 1):
        chosen["betas"] = [draw.one_of((0.7, 0.8)), draw.one_of((0.9, 0.95))]
    if recipe.kind == "rmsprop" and draw.whole(0, 1):
        chosen["alpha"] = draw.one_of((0.8, 0.9))
    if recipe.kind == "adagrad" and draw.whole(0, 1):
        chosen["initial_accumulator_value"] = draw.one_of((0.05, 0.1))
    # A schedule halves the rate every other step; no two of its rates are equal.
    rates_of = [round(rate * 0.5 ** ((step + 1) // 2) * (1 + 0.1 * (step % 2)), 5) for step in range(scheduled)]
    return {"kind": recipe.kind, "learning_rate": rates_of or rate, **chosen}


def _limited(draw: Draw, case: Case, of: Demands) -> Case:
    """The case with its limit of clipping: a share of the largest first gradient, or of the norm of them all."""
    if case.clip is None:
        return case
    share = draw.one_of(_SHARES)
    first = msgspec.structs.replace(case, steps=1, optimizer=None, clip=None)
    limit = 0.0
    for reading in of.readings:
        with np.errstate(all="ignore"):
            gradients = gradients_of(run_pass(first, reading())[0])
        limit = share * (norm_of(gradients) if case.clip.kind == "norm" else float(abs(gradients).max(initial=0.0)))
        if abs(limit * 1000 % 1 - 0.5) > NEAR * 1000:  # otherwise the order of summation decides the rounding
            break
    return msgspec.structs.replace(case, clip=msgspec.structs.replace(case.clip, limit=max(_LEAST, round(limit, 3))))

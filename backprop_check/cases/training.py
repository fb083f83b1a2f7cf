"""The suite ``training``: optimizers, their options, schedules, clipping and penalties, on small networks.

Case i depends on (suite version, seed, i, what is supported) and on nothing else. Any 200 in a row contain every
combination of an optimizer with its options, each with and without a schedule, a clip and a penalty, over 1 to 5
steps. Where other layers than dense chains are supported too, every fifth trains a network of these. Besides keeping
clear of kinks, no gradient is so small that rounding decides what an adaptive optimizer makes of it, no weight under an
l1 penalty is near 0, and no norm or gradient is near the limit it is clipped at.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from backprop_check.cases import training_layers
from backprop_check.cases.generate import CLEAR, EVERYTHING, LARGEST, PAIRS, Draw, Within, pass_is_clear, target_of
from backprop_check.names import LATER_LOSSES
from backprop_check.network import Case
from backprop_check.numbers import Scalars
from backprop_check.reference.backward import run_pass
from backprop_check.training import FEATURES, OPTIMIZERS, SETTINGS, Clip, Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.reference.backward import Pass

#: Raised whenever the same (seed, i) would give another case.
TRAINING_VERSION = 1

#: An adaptive optimizer divides by the root of g²: no gradient but an exact 0 is smaller.
SMALLEST_GRADIENT = 0.004

#: No weight under an l1 penalty is nearer to 0.
FROM_ZERO = 0.01

#: Relative distance of gradients, or their norm, from the limit they are clipped at.
FROM_LIMIT = 0.02

#: All there is to support of training.
ALL_TRAINING = Within(optimizers=OPTIMIZERS, features=FEATURES)

_ATTEMPTS = 400


class Recipe(NamedTuple):
    """An optimizer with the options that are on."""

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
    """Those that an implementation can follow."""
    return [each for each in RECIPES if each.kind in within.optimizers and set(each.options) <= set(within.features)]


def training_case(index: int, seed: int = 0, within: Within = ALL_TRAINING) -> Case:
    """Case ``index`` of the suite, for an implementation that supports what is ``within``."""
    possible = recipes(within)
    round_number, at = divmod(index + seed, len(possible))
    key = f"training:{TRAINING_VERSION}:{seed}:{index}:{label(within)}"
    extras = _extras(at, round_number, within)
    if index % training_layers.EVERY == training_layers.EVERY - 1 and training_layers.families(within):
        found = training_layers.trained_layers(
            lambda attempt: Draw(f"{key}:layers:{attempt}"),
            index,
            seed,
            lambda draw, steps: _training(draw, possible[at], extras, steps),
            within,
        )
        if found is not None:
            return found
    case = None
    for attempt in range(_ATTEMPTS):
        draw = Draw(f"{key}:{attempt}")
        case = _candidate(draw, index, possible[at], extras, within)
        if is_clear(case):
            return case
    assert case is not None
    return case


def training_cases(count: int, seed: int = 0, start: int = 0, within: Within = ALL_TRAINING) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1``, made as they are asked for; none where nothing can be trained."""
    able = within.trains() and within.has_chains()
    return (training_case(index, seed, within) for index in range(start, start + count * able))


def label(within: Within) -> str:
    """What makes an implementation's cases different from another's; empty for all there is to train dense chains."""
    others = training_layers.families(within)
    layers = f":{','.join((*within.layers, *within.features))}:{int(within.batch)}" if others else ""
    within = replace(
        within,
        losses=tuple(loss for loss in within.losses if loss not in LATER_LOSSES),
        features=tuple(feature for feature in within.features if feature in FEATURES),
    )
    return ("" if _words(within) == _words(ALL_TRAINING) else _words(within)) + layers


def _words(within: Within) -> str:
    known = (within.activations, within.losses, within.optimizers, within.features)
    return ":".join(",".join(sorted(each)) for each in known) + f":{int(within.batch)}"


class _Extras(NamedTuple):
    schedule: bool
    clip: str
    penalty: str


def _extras(at: int, round_number: int, within: Within) -> _Extras:
    """What comes beside the optimizer: each kind of it in turn, for every recipe."""
    clips = ("", "value", "norm") if "clipping" in within.features else ("",)
    penalties = ("", "l2", "l1", "both") if "regularization" in within.features else ("",)
    return _Extras(
        "schedule" in within.features and (at + round_number // 2) % 2 == 1,
        clips[(at + round_number) % len(clips)],
        penalties[(at // 2 + round_number) % len(penalties)],
    )


def _candidate(draw: Draw, index: int, recipe: Recipe, extras: _Extras, within: Within) -> Case:
    pairs = [pair for pair in PAIRS if pair[0] in within.activations and pair[1] in within.losses]
    activation, loss = draw.one_of(pairs)
    hidden = [name for name in EVERYTHING.activations if name in within.activations and name != "log_softmax"]
    widths = [draw.whole(1, 3) for _ in range(draw.whole(2, 3) if hidden else 2)]
    if activation in ("softmax", "log_softmax"):
        widths[-1] = max(2, widths[-1])
    if hidden == ["softmax"]:  # one neuron's softmax is always 1: its gradients are 0 but for rounding
        widths = [max(2, width) for width in widths]
    layers = []
    for position, (fan_in, units) in enumerate(itertools.pairwise(widths)):
        possible = [name for name in hidden if name != "softmax" or units > 1]
        kind = activation if position == len(widths) - 2 else draw.one_of(possible)
        layers.append(
            {
                "kind": "dense",
                "units": units,
                "activation": kind,
                "parameters": {
                    "weights": [[draw.number(1.2) for _ in range(fan_in)] for _ in range(units)],
                    "biases": [draw.number(0.6) for _ in range(units)],
                },
            }
        )
    batch = draw.whole(1, 4) if within.batch else 1
    steps = index % 5 + 1
    options = "-".join((recipe.kind, *(name.replace("_", "-") for name in recipe.options)))
    body: dict[str, Any] = {
        "name": f"{options}-s{index:04d}",
        "network": {"inputs": widths[0], "layers": layers},
        "loss": {"kind": loss, **({"threshold": draw.one_of((0.5, 0.8, 1.5))} if loss == "huber" else {})},
        "reduction": draw.one_of(("mean", "sum")),
        "inputs": [[draw.number(1.5, 2) for _ in range(widths[0])] for _ in range(batch)],
        "targets": [target_of(draw, activation, loss, widths[-1]) for _ in range(batch)],
        "steps": steps,
    }
    training = _training(draw, recipe, extras, steps)
    training.pop("clip", None)  # its limit depends on the gradients
    case = Case.from_dict(body | training)
    return _clipped(draw, case, extras.clip) if extras.clip else case


def _training(draw: Draw, recipe: Recipe, extras: _Extras, steps: int) -> dict[str, Any]:
    """The fields that say how a network is trained; the limit of clipping is yet to be set."""
    fields: dict[str, Any] = {"optimizer": _optimizer(draw, recipe, steps if extras.schedule else 0)}
    if extras.penalty:
        fields["regularization"] = {
            **({"l1": draw.one_of((0.01, 0.05, 0.2))} if extras.penalty != "l2" else {}),
            **({"l2": draw.one_of((0.03, 0.1, 0.5))} if extras.penalty != "l1" else {}),
            **({"biases": True} if draw.whole(1, 3) == 1 else {}),
        }
    if extras.clip:
        fields["clip"] = {"kind": extras.clip, "limit": 1.0}
    return fields


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
    # A schedule halves the rate now and then, and never repeats itself quite.
    rates_of = [round(rate * 0.5 ** ((step + 1) // 2) * (1 + 0.1 * (step % 2)), 5) for step in range(scheduled)]
    return {"kind": recipe.kind, "learning_rate": rates_of or rate, **chosen}


def _clipped(draw: Draw, case: Case, kind: str) -> Case:
    """The case with a limit that clips its gradients, now and then one that does not."""
    first = run_pass(msgspec.structs.replace(case, steps=1, optimizer=Optimizer("sgd", 0.1)), Scalars.of_floats())[0]
    sizes = [abs(g) for g in _gradients(first)]
    size = max(sizes) if kind == "value" else math.sqrt(sum(g * g for g in sizes))
    limit = max(0.02, round(size * draw.one_of((0.2, 0.5, 0.7, 1.7)), 3))
    return msgspec.structs.replace(case, clip=Clip("value" if kind == "value" else "norm", limit))


def _gradients(p: Pass) -> Iterator[float]:
    for l in p.layers:
        yield from itertools.chain.from_iterable(l.weight_gradient.rows)
        yield from l.bias_gradient


def is_clear(case: Case) -> bool:
    """Whether every step is clear of kinks, of gradients that are all rounding, and of the limits of clipping."""
    try:
        passes = run_pass(case, Scalars.of_floats())
    except (OverflowError, ValueError, ZeroDivisionError):
        return False
    return all(pass_is_clear(case, p, CLEAR) and _step_is_clear(case, p) for p in passes)


def _step_is_clear(case: Case, p: Pass) -> bool:
    optimizer = case.optimizer
    gradients = list(_gradients(p))
    sizes = [abs(g) for g in gradients]
    if max(sizes) > LARGEST:
        return False
    weights = [abs(w) for l in p.layers for row in l.weights.rows for w in row]
    biases = [abs(b) for l in p.layers for b in l.biases]
    if max(*weights, *biases) > LARGEST:
        return False
    r = case.regularization
    if r is not None and r.l1 and min(weights + (biases if r.biases else [])) < FROM_ZERO:
        return False
    scale, limit = 1.0, math.inf
    if case.clip is not None:
        limit = case.clip.limit
        norm = math.sqrt(sum(g * g for g in gradients))
        near = [norm] if case.clip.kind == "norm" else sizes
        if any(abs(size - limit) < FROM_LIMIT * limit for size in near):
            return False
        if case.clip.kind == "norm":
            scale, limit = min(1.0, limit / norm) if norm else 1.0, math.inf
    if optimizer is None or optimizer.kind == "sgd":
        return True
    decay = optimizer.settings["weight_decay"] if optimizer.kind != "adamw" else 0.0
    parameters = [w for l in p.layers for w in (*itertools.chain.from_iterable(l.weights.rows), *l.biases)]
    held = [math.copysign(min(abs(scale * g), limit), g) for g in gradients]
    directions = [g + decay * w for g, w in zip(held, parameters, strict=True)]
    return all(d == 0 or abs(d) >= SMALLEST_GRADIENT for d in directions)

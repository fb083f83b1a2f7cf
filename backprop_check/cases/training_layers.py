"""Training of layers beyond the dense chain: networks of the other suites, with an optimizer and what comes with it.

An adaptive optimizer divides by the size of a gradient, and here many are 0 but for rounding: its ε is not tiny, so
that rounding stays rounding.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.cases.wired import FAMILIES, is_clear, kinds_of, wired_case
from backprop_check.errors import CaseError, NothingToDrawError
from backprop_check.network import Case
from backprop_check.numbers.wired import WiredLanes
from backprop_check.reference.wired import run_wired

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.cases.generate import Draw, Within

#: One case of the suite in so many is such a one, where other layers are supported.
EVERY = 5

#: What an adaptive optimizer's ε is at least, and the limits of clipping as shares of the gradients' size.
_EPSILONS = (1e-3, 0.02)
_SHARES = (0.2, 0.5, 0.7, 1.7)

#: Beyond this many numbers a network is another suite's.
_MOST_PARAMETERS = 400

_ATTEMPTS = 60


def families(within: Within) -> list[str]:
    """Those that have layers which an implementation supports."""
    return [family for family in FAMILIES if kinds_of(family, within)]


def trained_layers(
    draw_of: Callable[[int], Draw],
    index: int,
    seed: int,
    training: Callable[[Draw, int], dict[str, Any]],
    within: Within,
) -> Case | None:
    """A case of another suite, trained: ``training`` draws the fields that say how; None where none can be drawn."""
    able, turn = families(within), index // EVERY
    for attempt in range(_ATTEMPTS):
        draw = draw_of(attempt)
        number = turn + attempt * 1000
        try:
            found = wired_case(able[number % len(able)], number, seed, within)
        except NothingToDrawError:
            continue
        parameters = [layer.arrays() for layer in found.network.layers if not layer.shares]
        if not any(parameters) or sum(_count(own) for own in parameters) > _MOST_PARAMETERS:
            continue
        steps = turn % 3 + 1
        body = found.to_dict() | training(draw, steps)
        if body["optimizer"]["kind"] != "sgd":
            body["optimizer"]["eps"] = draw.one_of(_EPSILONS)
        body["name"] = f"{body['optimizer']['kind']}-{body['name'].rsplit('-', 1)[0]}-s{index:04d}"
        try:
            case = _limited(draw, Case.from_dict(body | {"steps": steps}))
            if is_clear(case):
                return case
        except CaseError:
            continue
    return None


def _count(arrays: dict[str, Any]) -> int:
    return sum(np.asarray(each).size for each in arrays.values())


def _limited(draw: Draw, case: Case) -> Case:
    """The case, its clip's limit a share of the gradients' size."""
    if case.clip is None or case.optimizer is None:
        return case
    one_step = msgspec.structs.replace(case, steps=1, optimizer=case.optimizer.over(1), clip=None)
    with np.errstate(all="ignore"):
        first = run_wired(one_step, WiredLanes(2.0**-53))[0]
    sizes = [abs(row.value) for l in first.layers for row in l.gradients.values()]
    largest = max(itertools.chain([0.0], (float(size.max(initial=0.0)) for size in sizes)))
    size = largest if case.clip.kind == "value" else math.sqrt(sum(float((size**2).sum()) for size in sizes))
    limit = max(0.02, round(size * draw.one_of(_SHARES), 3))
    return msgspec.structs.replace(case, clip=msgspec.structs.replace(case.clip, limit=limit))

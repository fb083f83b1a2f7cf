"""How cases are generated; and the suite ``generated``: chains of dense layers with every output, loss and batch size.

Candidates are drawn one after the other, each from a key of its own, until one keeps clear of kinks (``clear``). A case
depends only on (suite version, seed, index) and, for implementations that do not support everything, on what they
support.

Any 200 consecutive cases of ``generated`` contain every admissible pair of output activation and loss, batches of 1 to
32, both reductions and layers that are not square. Weights, inputs and targets have few digits, are never 0 and differ
from each other, so that a transposed, swapped or skipped one shows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backprop_check.case.network import Case
from backprop_check.cases.clear import CHAIN, Demands, is_clear
from backprop_check.cases.draw import (
    PAIRS,
    REDUCTIONS,
    THRESHOLDS,
    Draw,
    dense,
    loss_of,
    rate_of,
    rows_of,
    slope_of,
    target_of,
)
from backprop_check.cases.within import LEVEL_1, Within
from backprop_check.errors import CaseError
from backprop_check.functions.names import DEFAULT_ALPHA, LATER_LOSSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Increased whenever the same (seed, index) would give another case of ``generated``.
SUITE_VERSION = 1

_ATTEMPTS = 1000


def tried(
    key: str, candidate: Callable[[Draw, int], Case | None], attempts: int, demands: Demands
) -> tuple[Case | None, bool]:
    """The first candidate that meets the demands, and True; otherwise the last one drawn, or None, and False.

    ``candidate(draw, attempt)`` draws one; it returns None or raises ``CaseError`` where what it drew is no case.
    """
    found = None
    for attempt in range(attempts):
        try:
            case = candidate(Draw(f"{key}:{attempt}"), attempt)
        except CaseError:
            continue
        if case is not None and is_clear(case, demands):
            return case, True
        found = case or found
    return found, False


def generated_case(index: int, seed: int = 0, within: Within = LEVEL_1) -> Case:
    """Case ``index`` of the suite; where that is not ``within``, another one that is, if there is any."""
    key = f"{SUITE_VERSION}:{seed}:{index}"
    case = _clear(key, index, PAIRS[(index * 37 + seed) % len(PAIRS)], LEVEL_1)  # 37 and their number: coprime
    pairs = within.pairs()
    if within.has(case) or not pairs:
        return case
    return _clear(f"{key}{label(within)}", index, pairs[(index + seed) % len(pairs)], within)


def _clear(key: str, index: int, pair: tuple[str, str], within: Within) -> Case:
    case, _ = tried(key, lambda draw, _: _candidate(draw, index, *pair, within), _ATTEMPTS, CHAIN)
    assert case is not None
    return case


def generated_cases(count: int, seed: int = 0, start: int = 0, within: Within = LEVEL_1) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1``, generated one by one on demand; none where ``within`` allows no
    dense chain.
    """
    return (generated_case(index, seed, within) for index in range(start, start + count * within.has_chains()))


def label(within: Within) -> str:
    """What of ``within`` the cases depend on, as text; empty where all of level 1 is supported."""
    losses = tuple(loss for loss in within.losses if loss not in LATER_LOSSES)
    if replace(within, losses=losses, optimizers=("sgd",), features=(), layers=("dense",), claimed=True) == LEVEL_1:
        return ""
    names = (",".join(sorted(each)) for each in (within.activations, losses))
    return f":{':'.join(names)}:{int(within.batch)}{int(within.updates)}"


def _candidate(draw: Draw, index: int, activation: str, loss: str, within: Within) -> Case:
    batch = index // 2 % 32 + 1 if index % 2 else draw.whole(1, 4)
    widths = _widths(draw, activation, bool(within.hidden()))
    batch = batch if within.batch else 1
    updates = within.updates and index % 2
    layers = []
    for position, (fan_in, units) in enumerate(itertools.pairwise(widths)):
        last = position == len(widths) - 2
        layer = dense(draw, fan_in, units, activation if last else draw.one_of(within.hidden()))
        if layer["activation"] in DEFAULT_ALPHA and draw.whole(1, 2) == 1:
            layer["alpha"] = slope_of(draw, layer["activation"])
        layers.append(layer)
    reduction = REDUCTIONS[index // 3 % 2]
    body: dict[str, Any] = {
        "name": f"mlp-{'x'.join(map(str, widths))}-{activation.replace('_', '-')}-s{index:04d}",
        "network": {"inputs": widths[0], "layers": layers},
        "loss": loss_of(loss, draw.one_of(THRESHOLDS) if loss == "huber" else 0.0),
        "reduction": reduction,
        "inputs": rows_of(draw, batch, widths[0]),
        "targets": [target_of(draw, activation, loss, widths[-1]) for _ in range(batch)],
    }
    if updates:
        body["optimizer"] = {"kind": "sgd", "learning_rate": rate_of(draw, (0.05, 0.1, 0.5), reduction, batch)}
        body |= {"steps": draw.whole(2, 3)} if index % 8 == 5 else {}  # noqa: PLR2004 - now and then
    return Case.from_dict(body)


def _widths(draw: Draw, activation: str, several: bool) -> list[int]:  # noqa: FBT001
    """The number of inputs, and the units of each layer: one layer, or ``several``."""
    widths = [draw.whole(1, 5) for _ in range(draw.one_of((1, 2, 2, 2, 3, 3, 4)) + 1)]
    if not several:
        widths = widths[:2]
    if len(widths) > 2 and draw.whole(1, 4) == 1:  # noqa: PLR2004 - a square layer, whose transpose has the same shape
        widths[1] = widths[0] = draw.whole(2, 4)
    elif widths[0] == widths[1]:
        widths[0] += 1
    if activation in ("softmax", "log_softmax"):
        widths[-1] = max(2, widths[-1])
    return widths

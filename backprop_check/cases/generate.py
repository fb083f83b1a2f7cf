"""Generated cases: case i depends on (suite version, seed, i) and on nothing else.

Any 200 in a row contain every admissible pair of output activation and loss, batches of 1 to 32, both
reductions and non-square layers. Weights, inputs and targets have few digits, are never 0 and differ from
each other, so that a transposed, swapped or skipped one shows; no z and no loss sits on a kink, in whatever
training step.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backprop_check.names import LATER_LOSSES
from backprop_check.network import ACTIVATIONS, DEFAULT_ALPHA, LOSSES, NEEDS_OUTPUT, Case
from backprop_check.numbers import Scalars
from backprop_check.reference.activations import ELEMENTWISE
from backprop_check.reference.backward import begin, forward, run_pass
from backprop_check.reference.stages import Stages
from backprop_check.training import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.reference.backward import Pass

#: Raised whenever the same (seed, i) would give another case.
SUITE_VERSION = 1

#: How far z, and a loss's e, stay from a kink: far beyond a float32's rounding.
CLEAR = 0.004

#: How far binary cross-entropy's a stays from 0 and 1, where it has poles.
POLE = 0.02

#: No z of any training step, and no weight after it, is larger: where exponentials take over is for edge cases.
LARGEST = 12.0

_ANY_LOSS = [loss for loss in LOSSES if loss not in NEEDS_OUTPUT]

PAIRS: list[tuple[str, str]] = [
    (activation, loss)
    for loss in _ANY_LOSS
    for activation in ACTIVATIONS
    if not (loss == "hinge" and activation in ("softmax", "log_softmax"))
] + [(activation, loss) for loss, needed in NEEDS_OUTPUT.items() if loss in LOSSES for activation in needed]

_HIDDEN = [name for name in ACTIVATIONS if name != "log_softmax"]


class Draw:
    """Random choices from ``random.Random.random`` alone: the one method whose sequence is guaranteed."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random  # noqa: S311 - not for secrets

    def whole(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def one_of(self, values: Any) -> Any:
        """One of the values."""
        return values[self.whole(0, len(values) - 1)]

    def number(self, size: float, digits: int = 3) -> float:
        """A number of either sign from 5% of ``size`` to ``size``, of few digits, never 0."""
        sign = -1.0 if self._random() < 0.5 else 1.0  # noqa: PLR2004 - a coin
        least = 10.0**-digits
        return sign * max(least, round(size * (0.05 + 0.95 * self._random()), digits))


@dataclass(frozen=True, slots=True)
class Within:
    """What an implementation supports; its generated cases keep to it.

    ``optimizers`` and ``features`` are those of the training suite: level 1 knows nothing but plain ``sgd``.
    """

    activations: tuple[str, ...] = ACTIVATIONS
    losses: tuple[str, ...] = LOSSES
    batch: bool = True
    updates: bool = True
    optimizers: tuple[str, ...] = ("sgd",)
    features: tuple[str, ...] = ()
    layers: tuple[str, ...] = ("dense",)

    def has(self, case: Case) -> bool:
        """Whether a case keeps to it."""
        layers, optimizer = case.network.layers, case.optimizer
        return (
            {layer.kind for layer in layers} <= set(self.layers)
            and {layer.activation for layer in layers if layer.activations} <= set(self.activations)
            and case.loss.kind in self.losses
            and (self.batch or len(case.inputs) == 1)
            and (optimizer is None or (self.updates if optimizer.kind == "sgd" else optimizer.kind in self.optimizers))
            and set(case.features) <= set(self.features)
        )

    def has_chains(self) -> bool:
        """Whether any chain of dense layers keeps to it: then every generated case does."""
        return "dense" in self.layers and bool(self.pairs())

    def trains(self) -> bool:
        """Whether there is anything to train with beyond level 1's plain gradient descent."""
        able = any(kind != "sgd" for kind in self.optimizers) or bool(set(self.features) & set(FEATURES))
        return able and bool(self.pairs()) and bool(self.optimizers)

    def label(self) -> str:
        """What makes its cases of level 1 different from another's; empty where everything is supported."""
        losses = tuple(loss for loss in self.losses if loss not in LATER_LOSSES)
        if replace(self, losses=losses, optimizers=EVERYTHING.optimizers, features=(), layers=("dense",)) == EVERYTHING:
            return ""
        names = (",".join(sorted(each)) for each in (self.activations, losses))
        return f":{':'.join(names)}:{int(self.batch)}{int(self.updates)}"

    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of output activation and loss that are left."""
        return [pair for pair in PAIRS if pair[0] in self.activations and pair[1] in self.losses]


EVERYTHING = Within()


def generated_case(index: int, seed: int = 0, within: Within = EVERYTHING) -> Case:
    """Case ``index`` of the generated suite; where that is not ``within``, another one that is, if any can be.

    It depends on (suite version, seed, index) and, in the second case, on what is supported.
    """
    pair = (index * 37 + seed) % len(PAIRS)  # 37 and the number of pairs have no common factor
    case = _clear(f"{SUITE_VERSION}:{seed}:{index}", index, PAIRS[pair], EVERYTHING)
    pairs = within.pairs()
    if within.has(case) or not pairs:
        return case
    key = f"{SUITE_VERSION}:{seed}:{index}{within.label()}"
    return _clear(key, index, pairs[(index + seed) % len(pairs)], within)


def _clear(key: str, index: int, pair: tuple[str, str], within: Within) -> Case:
    """The first candidate that keeps clear of kinks."""
    for attempt in range(1000):
        case = _candidate(Draw(f"{key}:{attempt}"), index, *pair, within)
        if attempt == 999 or is_clear_of_kinks(case):  # noqa: PLR2004
            return case
    raise AssertionError


def generated_cases(count: int, seed: int = 0, start: int = 0, within: Within = EVERYTHING) -> Iterator[Case]:
    """Cases ``start`` to ``start + count − 1``, made as they are asked for; none where there can be none."""
    return (generated_case(index, seed, within) for index in range(start, start + count * within.has_chains()))


def _candidate(draw: Draw, index: int, activation: str, loss: str, within: Within) -> Case:
    batch = index // 2 % 32 + 1 if index % 2 else draw.whole(1, 4)
    hidden = [kind for kind in _HIDDEN if kind in within.activations]
    widths = [draw.whole(1, 5) for _ in range(draw.one_of((1, 2, 2, 2, 3, 3, 4)) + 1)]
    if not hidden:
        widths = widths[:2]
    batch = batch if within.batch else 1
    updates = within.updates and index % 2
    if len(widths) > 2 and draw.whole(1, 4) == 1:  # noqa: PLR2004 - a square layer, where transposing hides
        widths[1] = widths[0] = draw.whole(2, 4)
    elif widths[0] == widths[1]:
        widths[0] += 1
    if activation in ("softmax", "log_softmax"):
        widths[-1] = max(2, widths[-1])
    layers = []
    for position, (fan_in, units) in enumerate(itertools.pairwise(widths)):
        last = position == len(widths) - 2
        kind = activation if last else draw.one_of(hidden)
        size = 1.6 / fan_in**0.5
        layer: dict[str, Any] = {
            "kind": "dense",
            "units": units,
            "activation": kind,
            "parameters": {
                "weights": [[draw.number(size) for _ in range(fan_in)] for _ in range(units)],
                "biases": [draw.number(0.5) for _ in range(units)],
            },
        }
        if kind in DEFAULT_ALPHA and draw.whole(1, 2) == 1:
            layer["alpha"] = slope_of(draw, kind)
        layers.append(layer)
    reduction = ("mean", "sum")[index // 3 % 2]
    return Case.from_dict(
        {
            "name": f"mlp-{'x'.join(map(str, widths))}-{activation.replace('_', '-')}-s{index:04d}",
            "network": {"inputs": widths[0], "layers": layers},
            "loss": {
                "kind": loss,
                **({"threshold": draw.one_of((0.5, 0.8, 1.5))} if loss == "huber" else {}),
            },
            "reduction": reduction,
            "inputs": [[draw.number(1.5, 2) for _ in range(widths[0])] for _ in range(batch)],
            "targets": [target_of(draw, activation, loss, widths[-1]) for _ in range(batch)],
            **({"optimizer": {"kind": "sgd", "learning_rate": _rate(draw, reduction, batch)}} if updates else {}),
            **({"steps": draw.whole(2, 3)} if updates and index % 8 == 5 else {}),  # noqa: PLR2004
        }
    )


def _rate(draw: Draw, reduction: str, batch: int) -> float:
    """A learning rate that trains: a sum over a batch needs a smaller one than a mean."""
    rate: float = draw.one_of((0.05, 0.1, 0.5))
    return round(rate / batch, 4) if reduction == "sum" else rate


def slope_of(draw: Draw, activation: str) -> float:
    """An α that is not the default."""
    return float(draw.one_of((0.1, 0.2, 0.3)) if activation == "leaky_relu" else draw.one_of((0.5, 0.7, 1.3)))


def target_of(draw: Draw, activation: str, loss: str, width: int) -> list[float]:
    """A sample's targets, as its loss reads them."""
    if loss == "hinge":
        return [1.0 if draw.whole(0, 1) else -1.0 for _ in range(width)]
    if loss in ("cross_entropy", "negative_log_likelihood"):
        if draw.whole(0, 1):
            hot = draw.whole(0, width - 1)
            return [1.0 if k == hot else 0.0 for k in range(width)]
        shares = [draw.whole(1, 12) for _ in range(width)]
        return [share / sum(shares) for share in shares]
    if loss == "binary_cross_entropy":
        return [draw.one_of((0.0, 1.0, 0.2, 0.7)) for _ in range(width)]
    low = activation == "log_softmax"
    return [draw.number(1.4, 2) - (2.0 if low else 0.0) for _ in range(width)]


def is_clear_of_kinks(case: Case, clear: float = CLEAR) -> bool:
    """Whether every z and every error, of every training step, is ``clear`` of the kinks of its function.

    Nor may training blow up: with numbers beyond ``LARGEST`` rounding alone would decide the next steps.
    """
    m = Scalars.of_floats()
    if case.steps == 1:
        parameters = [
            (m.given_grid(x.parameters.weights), m.given_line(x.parameters.biases)) for x in case.network.layers
        ]
        p = begin(case, parameters, m)
        forward(p, m, Stages(m))
        return pass_is_clear(case, p, clear)
    try:
        passes = run_pass(case, m)
        tame = all(abs(w) <= LARGEST for grid, _ in passes[-1].updated or () for row in grid.rows for w in row)
        return tame and all(pass_is_clear(case, p, clear) for p in passes)
    except OverflowError:
        return False


def pass_is_clear(case: Case, p: Pass, clear: float) -> bool:
    """The same of one pass."""
    for layer in p.layers:
        if max(abs(z) for row in layer.z.rows for z in row) > LARGEST:
            return False
        kinks = ELEMENTWISE[layer.activation].kinks if layer.activation in ELEMENTWISE else ()
        if kinks and any(abs(z - kink) < clear for row in layer.z.rows for z in row for kink in kinks):
            return False
    kind, threshold = case.loss.kind, p.threshold
    for row, targets in zip(p.layers[-1].a.rows, case.targets, strict=True):
        for a, t in zip(row, targets, strict=True):
            if kind == "mean_absolute_error" and abs(a - t) < clear:
                return False
            if kind == "huber" and abs(abs(a - t) - threshold) < clear:
                return False
            if kind == "hinge" and abs(1 - t * a) < clear:
                return False
            if kind == "binary_cross_entropy" and not POLE < a < 1 - POLE:
                return False
    return True

"""Drawing random parts of generated cases: numbers of few digits, dense layers, losses and targets."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.errors import CaseError
from backprop_check.functions.names import ACTIVATIONS, DEFAULT_ALPHA, LOSSES, NEEDS_OUTPUT
from backprop_check.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.kinds import Kind, Shape

#: Every admissible pair of output activation and loss. Hinge needs outputs of both signs, which no softmax gives.
PAIRS: list[tuple[str, str]] = [
    (activation, loss)
    for loss in LOSSES
    if loss not in NEEDS_OUTPUT
    for activation in ACTIVATIONS
    if not (loss == "hinge" and activation in ("softmax", "log_softmax"))
] + [(activation, loss) for loss, needed in NEEDS_OUTPUT.items() if loss in LOSSES for activation in needed]

#: The activations of layers before the last.
HIDDEN = tuple(name for name in ACTIVATIONS if name != "log_softmax")

#: How the losses of a batch are combined; the thresholds of Huber's loss.
REDUCTIONS = ("mean", "sum")
THRESHOLDS = (0.5, 0.8, 1.5)


class Draw:
    """A random generator that uses only ``random.Random.random``, the one method whose sequence Python guarantees."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random  # noqa: S311 - not for secrets

    def whole(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + int(self._random() * (high - low + 1))

    def one_of(self, values: Any) -> Any:
        """One of the values."""
        return values[self.whole(0, len(values) - 1)]

    def number(self, size: float, digits: int = 3) -> float:
        """A number of either sign, from 5% of ``size`` to ``size`` in absolute value, with few digits, never 0."""
        sign = -1.0 if self._random() < 0.5 else 1.0  # noqa: PLR2004 - a coin
        least = 10.0**-digits
        return sign * max(least, round(size * (0.05 + 0.95 * self._random()), digits))


def dense(
    draw: Draw, fan_in: int, units: int, activation: str, weight: float | None = None, bias: float = 0.5
) -> dict[str, Any]:
    """A dense layer as JSON, with few digits; no weight exceeds ``weight`` (default 1.6/√fan_in), no bias exceeds
    ``bias``.
    """
    largest = 1.6 / fan_in**0.5 if weight is None else weight
    return {
        "kind": "dense",
        "units": units,
        "activation": activation,
        "parameters": {
            "weights": [[draw.number(largest) for _ in range(fan_in)] for _ in range(units)],
            "biases": [draw.number(bias) for _ in range(units)],
        },
    }


def layer_of(draw: Draw, kind: type[Kind], inputs: Shape, samples: int) -> tuple[dict[str, Any], Shape]:
    """A random layer of a kind, and the shape of its output. Raises ``CaseError`` where no layer can read such an
    input.
    """
    layer = kind.draw(draw, inputs, samples)
    if layer is None:
        raise CaseError("$.network", f"an input that suits {kind.__name__}", str(inputs))
    return layer, output_of(layer, inputs)


def output_of(layer: dict[str, Any], inputs: Shape) -> Shape:
    """The shape of the output of a layer given as JSON. Raises ``CaseError`` where the input does not suit it."""
    made: Kind = msgspec.convert(layer, KINDS[layer["kind"]])
    made.check("$", inputs)
    return made.output_shape(inputs)


def own_slopes(draw: Draw, layers: list[dict[str, Any]]) -> None:
    """Give some of the activations that have an α a value other than the default."""
    for layer in layers:
        if layer.get("activation") in DEFAULT_ALPHA and "alpha" not in layer and draw.whole(0, 1):
            layer["alpha"] = slope_of(draw, layer["activation"])


def slope_of(draw: Draw, activation: str) -> float:
    """An α that is not the default."""
    return float(draw.one_of((0.1, 0.2, 0.3)) if activation == "leaky_relu" else draw.one_of((0.5, 0.7, 1.3)))


def loss_of(kind: str, threshold: float) -> dict[str, Any]:
    """A loss as JSON; ``threshold`` is used for Huber's loss only."""
    return {"kind": kind, **({"threshold": threshold} if kind == "huber" else {})}


def rate_of(draw: Draw, rates: Sequence[float], reduction: str, samples: int) -> float:
    """A learning rate; it is smaller for a sum over the batch than for a mean."""
    rate: float = draw.one_of(rates)
    return round(rate / samples, 4) if reduction == "sum" else rate


def rows_of(draw: Draw, samples: int, width: int) -> list[list[float]]:
    """The inputs of a batch, [sample][input]."""
    return [[draw.number(1.5, 2) for _ in range(width)] for _ in range(samples)]


def target_of(draw: Draw, activation: str, loss: str, width: int) -> list[float]:
    """The targets of one sample, valid for the loss."""
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

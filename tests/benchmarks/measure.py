"""error/bound of every value of a reply: the figures that the benchmarks print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.trace import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.compare.trace import Expected


def slots(reply: dict[str, Any]) -> Iterator[tuple[Slot, Any]]:
    """Every array of a reply, by slot."""
    yield Slot("loss"), reply["loss"]
    yield Slot("input_gradient"), reply["input_gradients"]
    for index, layer in enumerate(reply["layers"]):
        yield from ((Slot(quantity, index), layer[quantity]) for quantity in ("z", "a", "delta"))
        yield Slot("weight_gradient", index), layer["gradients"]["weights"]
        yield Slot("bias_gradient", index), layer["gradients"]["biases"]
        if "updated" in layer:
            yield Slot("updated_weight", index), layer["updated"]["weights"]
            yield Slot("updated_bias", index), layer["updated"]["biases"]
    for step, one in enumerate(reply.get("trajectory", ())):
        yield Slot("loss", None, step), one["loss"]
        for index, layer in enumerate(one["layers"]):
            yield Slot("updated_weight", index, step), layer["updated"]["weights"]
            yield Slot("updated_bias", index, step), layer["updated"]["biases"]


def largest_share(expected: Expected, got: dict[Slot, Any]) -> tuple[float, Slot | None]:
    """The largest error/bound, and its slot; infinity where a value is not finite or has no finite bound."""
    worst, where = -1.0, None
    for slot, values in got.items():
        bound = expected.allowed[slot]
        with np.errstate(all="ignore"):
            share = np.asarray(abs(values - expected.values[slot]), dtype=float) / bound
            largest = float(np.max(np.where(np.isfinite(share) & np.isfinite(bound), share, np.inf)))
        if largest > worst:
            worst, where = largest, slot
    return worst, where

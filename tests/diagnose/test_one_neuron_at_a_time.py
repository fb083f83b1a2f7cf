"""Every bug's stages give for one neuron of one sample what they give for all at once."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backprop_check.case.network import Case
from backprop_check.compare.trace import AXES, Slot
from backprop_check.diagnose.catalogue import all_variants
from backprop_check.numbers import UNIT_ROUNDOFF, Scalars
from backprop_check.numbers.lanes import Lanes
from backprop_check.reference import Stages, run_pass

if TYPE_CHECKING:
    from collections.abc import Iterator

U = UNIT_ROUNDOFF["float64"]


class Remembers:
    """Keeps the values that every stage shows, by slot."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shown: dict[Slot, Any] = {}
        self.blind = False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        before, self.blind = self.blind, True
        try:
            yield
        finally:
            self.blind = before

    def seen(self, quantity: str, layer: int | None, step: int, value: Any, *, last: bool = False) -> Any:  # noqa: ARG002
        if not self.blind:
            self.shown[Slot(quantity, layer, step)] = value
        return value

    def seen_part(self, quantity: str, layer: int | None, step: int, value: Any, start: int, width: int) -> Any:  # noqa: ARG002
        return self.seen(quantity, layer, step, value)

    def seen_row(
        self,
        quantity: str,
        layer: int,
        step: int,
        value: Any,
        shape: tuple[int, ...],  # noqa: ARG002
        *,
        last: bool = False,  # noqa: ARG002
    ) -> Any:
        return self.seen(quantity, layer, step, value)


class Plain(Remembers, Scalars):
    """One neuron at a time."""


class Tables(Remembers, Lanes):
    """All at once."""


def small(name: str, body: dict[str, Any]) -> Case:
    return Case.from_dict({"name": name, "reduction": "mean", **body})


def dense(units: int, inputs: int, activation: str, shift: float) -> dict[str, Any]:
    weights = [[round(0.9 * math.sin(2.3 * j + 1.7 * i + shift), 3) for i in range(inputs)] for j in range(units)]
    biases = [round(0.4 * math.cos(1.1 * j + shift), 3) for j in range(units)]
    made = {"kind": "dense", "units": units, "activation": activation}
    more = {"alpha": 0.2} if activation == "leaky_relu" else {}
    return {**made, **more, "parameters": {"weights": weights, "biases": biases}}


CASES = [
    small(
        "classes",
        {
            "network": {
                "inputs": 3,
                "layers": [
                    dense(3, 3, "tanh", 0.3),
                    dense(2, 3, "leaky_relu", 1.0),
                    dense(3, 2, "softmax", 2.0),
                ],
            },
            "loss": {"kind": "cross_entropy"},
            "inputs": [[0.4, -0.7, 0.9], [0.1, 0.8, -0.3], [-0.6, 0.2, 0.5]],
            "targets": [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.25, 0.5]],
            "optimizer": {"kind": "sgd", "learning_rate": 0.3},
            "steps": 2,
        },
    ),
    small(
        "signs",
        {
            "network": {
                "inputs": 2,
                "layers": [dense(3, 2, "relu", 0.7), dense(3, 3, "gelu", 1.9), dense(2, 3, "sigmoid", 0.1)],
            },
            "loss": {"kind": "binary_cross_entropy"},
            "reduction": "sum",
            "inputs": [[0.9, -0.4], [0.3, 0.7]],
            "targets": [[0.0, 1.0], [0.3, 0.6]],
        },
    ),
    small(
        "curves",
        {
            "network": {
                "inputs": 2,
                "layers": [dense(2, 2, "softplus", 0.2), dense(2, 2, "log_softmax", 1.4), dense(2, 2, "elu", 2.2)],
            },
            "loss": {"kind": "huber", "threshold": 0.25},
            "inputs": [[0.5, -0.25], [-0.8, 0.35]],
            "targets": [[0.1, -0.9], [0.6, 0.05]],
            "optimizer": {"kind": "sgd", "learning_rate": 0.5},
        },
    ),
]


def plain(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(value.tolist() if hasattr(value, "tolist") else value, dtype=float)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_variant_is_the_same_one_neuron_at_a_time(case: Case) -> None:
    """Each named bug's stages give for one neuron of one sample what they give for all at once."""
    unlike, compared = [], 0
    for bug, variant in [(None, None), *all_variants()]:
        stages: Any = Stages if variant is None else variant.stages
        if variant is not None and not variant.stages.matters(case):
            continue
        label = "right" if bug is None or variant is None else f"{bug.code} {variant.label}"
        one, many = Plain(float, math), Tables(U)
        try:
            run_pass(case, one, stages)
        except (ValueError, OverflowError, ZeroDivisionError):
            continue  # the module math raises where numpy gives NaN
        with np.errstate(all="ignore"):
            run_pass(case, many, stages)
        assert set(one.shown) == set(many.shown), label
        for slot, value in one.shown.items():
            x = plain(value)
            y = np.reshape(many.shown[slot].value, x.shape) if AXES[slot.quantity] else plain(many.shown[slot].value)
            compared += 1
            if not np.allclose(x, np.reshape(y, x.shape), rtol=1e-9, atol=1e-12, equal_nan=True):
                unlike.append(f"{label}: {slot}")
                break
    assert not unlike, "\n".join(unlike)
    assert compared > 4000

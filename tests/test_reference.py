"""The reference and torch are compared with mpmath's 50 digits."""

from __future__ import annotations

import numpy as np
import pytest

from backprop_check.case.network import Case
from backprop_check.cases.draw import PAIRS
from backprop_check.cases.generate import generated_cases
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.numbers import Scalars
from backprop_check.witness.autograd import autograd_pass

MAZUR = {
    "name": "mazur-2x2x2",
    "network": {
        "inputs": 2,
        "layers": [
            {"kind": "dense", "units": 2, "activation": "sigmoid",
             "parameters": {"weights": [[0.15, 0.2], [0.25, 0.3]], "biases": [0.35, 0.35]}},
            {"kind": "dense", "units": 2, "activation": "sigmoid",
             "parameters": {"weights": [[0.4, 0.45], [0.5, 0.55]], "biases": [0.6, 0.6]}},
        ],
    },
    "loss": {"kind": "half_squared_error"}, "reduction": "mean",
    "inputs": [[0.05, 0.1]], "targets": [[0.01, 0.99]],
    "optimizer": {"kind": "sgd", "learning_rate": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reference_torch_and_textbook_agree_with_mpmath_within_the_bounds(dtype: str) -> None:
    """Every value of every generated case is within its bound of the 50-digit value, for all three."""
    for case in generated_cases(len(PAIRS), seed=7):
        rounded = case.rounded(dtype)
        expected = expect(rounded, dtype)
        truth = textbook_pass(rounded, Scalars.of_mpmath())
        others = (expected.values, autograd_pass(rounded).values, textbook_pass(rounded).values)
        for slot, exact in truth.values.items():
            for values in others:
                error = np.asarray(abs(values[slot] - exact), dtype=float)
                assert (error <= expected.allowed[slot]).all(), (case.id, slot)


def test_mazur_digits() -> None:
    """All printed digits of Mazur's page are reproduced."""
    values = textbook_pass(Case.from_dict(MAZUR)).values

    assert [round(float(x), 9) for x in values[Slot("updated_weight", 0)].ravel()] == [
        0.149780716, 0.199561432, 0.249751144, 0.299502287,
    ]  # fmt: skip
    assert round(float(values[Slot("loss")]), 9) == 0.298371109

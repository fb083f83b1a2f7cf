"""The reference and torch are judged by the truth: mpmath's 50 digits."""

from __future__ import annotations

import numpy as np
import pytest

from backprop_check.cases.generate import PAIRS, generated_case, generated_cases
from backprop_check.expected import expect, textbook_pass
from backprop_check.network import Case
from backprop_check.numbers import Scalars
from backprop_check.oracle import autograd_pass

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
    """Every value of every generated case is within its bound of the 50-digit truth, for all three."""
    for case in generated_cases(len(PAIRS), seed=7):
        rounded = case.rounded(dtype)
        expected = expect(rounded, dtype)
        truth = textbook_pass(rounded, Scalars.of_mpmath())
        others = (expected.values, autograd_pass(rounded).values, textbook_pass(rounded).values)
        for slot, exact in truth.values.items():
            for values in others:
                error = np.asarray(abs(values[slot] - exact), dtype=float)
                assert (error <= expected.allowed[slot]).all(), (case.id, slot)


def test_bounds_are_sharp() -> None:
    """At float64 the median bound on a weight's gradient is far below 1e-9 of its value."""
    shares = []
    for case in generated_cases(100):
        expected = expect(case)
        for slot, values in expected.values.items():
            if slot.quantity == "weight_gradient":
                with np.errstate(divide="ignore"):
                    shares += (expected.allowed[slot] / abs(values)).ravel().tolist()
    assert float(np.median(shares)) < 1e-11


def test_mazur_digits() -> None:
    """The numbers printed on Mazur's page come out, to all their digits."""
    from backprop_check.trace import Slot  # noqa: PLC0415

    values = textbook_pass(Case.from_dict(MAZUR)).values

    assert [round(float(x), 9) for x in values[Slot("updated_weight", 0)].ravel()] == [
        0.149780716, 0.199561432, 0.249751144, 0.299502287,
    ]  # fmt: skip
    assert round(float(values[Slot("loss")]), 9) == 0.298371109


def test_any_200_cases_hold_every_pair_batch_and_reduction() -> None:
    """200 in a row, wherever they begin, contain all that the suite promises."""
    for start in (0, 131):
        cases = list(generated_cases(200, seed=3, start=start))
        pairs = {(case.network.layers[-1].activation, case.loss.kind) for case in cases}
        assert pairs == set(PAIRS)
        assert {len(case.inputs) for case in cases} == set(range(1, 33))
        assert {case.reduction for case in cases} == {"mean", "sum"}


def test_a_case_depends_on_seed_and_index_alone() -> None:
    """Case 5 is the same whether asked for alone or among others, and has the same id for ever."""
    assert generated_case(5).id == list(generated_cases(6))[5].id
    assert generated_case(5).id != generated_case(5, seed=1).id

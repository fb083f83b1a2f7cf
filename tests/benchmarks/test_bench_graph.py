"""Graphs: 2,000 cases without a false alarm in float32 and float64, and the time per case."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from backprop_check.cases.families import family_case
from backprop_check.cases.within import Within
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import textbook_pass
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import witnesses

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[2] / "backprop_check" / "ports" / "torch"))

pytestmark = pytest.mark.slow
torch_layers: Any = importlib.import_module("torch_layers")

CASES = 2000
DENSE = Within(layers=("dense",), features=("graph",))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_false_alarm(dtype: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]) -> None:
    """PyTorch's modules in both dtypes: every value within its bound."""
    monkeypatch.setattr(torch_layers, "DTYPE", getattr(torch_layers.torch, dtype))
    largest = 0.0
    for index in range(CASES):
        case = family_case("graph", index, seed=5, within=DENSE).rounded(dtype)
        expected = witnesses(case, dtype)
        reply: Any = torch_layers.backprop(msgspec.json.decode(case.request(dtype)))
        comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(reply), type=Reply))
        assert comparison.mismatches == [], case.id
        for slot, array in comparison.actual.items():
            largest = max(largest, float(np.max(abs(array - expected.values[slot]) / expected.allowed[slot])))
    record_property("largest error/bound", largest)
    assert largest < 1


def test_bounds_hold_for_50_digits(record_property: Callable[..., None]) -> None:
    """A tenth of the cases against mpmath, with 50 digits."""
    largest = 0.0
    for index in range(0, CASES, 10):
        case = family_case("graph", index, seed=5, within=DENSE)
        expected, truth = witnesses(case), textbook_pass(case, Scalars.of_mpmath(40))
        for slot, value in expected.values.items():
            error = np.asarray(abs(value - truth.values[slot]), dtype=float)
            largest = max(largest, float(np.max(error / expected.allowed[slot])))
    record_property("largest error/bound", largest)
    assert largest < 1


def test_a_case_costs_little(record_property: Callable[..., None]) -> None:
    """Generated and judged by both witnesses in 20 ms."""
    start = time.process_time()
    for index in range(200):
        witnesses(family_case("graph", index, seed=6, within=DENSE))
    each = (time.process_time() - start) / 200
    record_property("seconds a case", each)
    assert each < 0.02

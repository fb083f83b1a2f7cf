"""Level 6: no false alarm in 2,000 cases, and how long a case takes.

``BACKPROP_CHECK_FULL=1 pytest tests/benchmarks/test_bench_normalisation.py -s`` prints the largest error/bound.
"""

from __future__ import annotations

import importlib
import json
import os
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
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import witnesses

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "levels"), str(ROOT / "backprop_check" / "ports" / "torch")]
from numpy_normalisation import KINDS, Implementation  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

COUNT = 2000 if os.environ.get("BACKPROP_CHECK_FULL") == "1" else 100

OWN = Within(layers=("dense", *KINDS))

#: The seconds in which a case must be made and judged.
LIMIT = 0.02


def torch_modules(dtype: str) -> Callable[[Any], Any]:
    """PyTorch's own modules in that dtype."""
    import torch  # noqa: PLC0415

    layers: Any = importlib.import_module("torch_layers")

    def of(case: Any) -> Any:
        layers.DTYPE = getattr(torch, dtype)
        return layers.backprop(case)

    return of


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_false_alarm(dtype: str) -> None:
    """PyTorch's modules, and numpy in every correct way of computing a normalisation."""
    ways = [
        (backward, variance) for backward in ("closed", "chain") for variance in ("two passes", "squares", "Welford")
    ]
    hands: dict[str, Callable[[Any], Any]] = {"torch": torch_modules(dtype)}
    hands |= {f"{way[0]}, {way[1]}": Implementation("", getattr(np, dtype), *way) for way in ways}
    worst: dict[str, tuple[float, str]] = dict.fromkeys(hands, (0.0, ""))
    for index in range(COUNT):
        case = family_case("normalisation", index, 5, OWN).rounded(dtype)
        expected, request = witnesses(case, dtype), json.loads(case.request(dtype))
        for name, function in hands.items():
            reply = msgspec.json.decode(msgspec.json.encode(function(request)), type=Reply)
            comparison = compare(expected, reply)
            assert comparison.mismatches == [], (name, case.name)
            for slot, got in comparison.actual.items():
                # An update's last rounding alone may use up the whole bound.
                share = float(np.max(abs(got - expected.values[slot]) / expected.allowed[slot]))
                if not slot.quantity.startswith("updated"):
                    worst[name] = max(worst[name], (share, f"{slot.quantity} of {case.name}"))
    for name, (share, where) in worst.items():
        print(f"{dtype} {name}: {share:.3f} of the bound ({where})")  # noqa: T201
        assert share <= 1


def test_bounds_hold_against_50_digits() -> None:
    worst = (0.0, "")
    for index in range(0, COUNT, 5):
        case = family_case("normalisation", index, 6, OWN)
        expected, truth = expect(case), textbook_pass(case, Scalars.of_mpmath()).values
        for slot, values in expected.values.items():
            share = np.max(np.asarray(abs(values - truth[slot]), dtype=float) / expected.allowed[slot])
            worst = max(worst, (float(share), f"{slot.quantity} of {case.name}"))
    print(f"50 digits: {worst[0]:.3f} of the bound ({worst[1]})")  # noqa: T201
    assert worst[0] <= 1


def test_a_case_is_made_and_judged_quickly() -> None:
    began = time.process_time()
    for index in range(100):
        case = family_case("normalisation", index, 7, OWN)
        witnesses(case)
    each = (time.process_time() - began) / 100
    print(f"{1000 * each:.1f} ms a case")  # noqa: T201
    assert each <= LIMIT

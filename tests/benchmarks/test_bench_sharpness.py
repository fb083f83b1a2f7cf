"""Sharpness: how small an error in one weight's gradient is found, and how close to the exact values the witnesses are.

``BACKPROP_CHECK_FULL=1 pytest tests/benchmarks -s`` measures 5,000 cases and prints the figures.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from sizes import CASES

from backprop_check.cases.generate import generated_cases
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.numbers import Scalars
from backprop_check.witness.autograd import autograd_pass

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("profile", ["textbook", "strict"])
def test_a_relative_error_of_1e_9_in_one_weight_is_found(profile: str) -> None:
    """In at least 99 of 100 cases of up to four layers; a gradient of exactly 0 has no relative error."""
    draw = random.Random(9)  # noqa: S311 - not for secrets
    found, missed, zero, sharpness = 0, [], 0, []
    for case in generated_cases(CASES, seed=21):
        expected, right = expect(case, profile=profile), textbook_pass(case).values
        layer = draw.randrange(len(case.network.layers))
        slot = Slot("weight_gradient", layer)
        at = tuple(draw.randrange(n) for n in right[slot].shape)
        gradient = right[slot][at]
        if gradient == 0.0:
            zero += 1
            continue
        sharpness.append(expected.allowed[slot][at] / abs(gradient))
        if abs(gradient * (1 + 1e-9) - expected.values[slot][at]) > expected.allowed[slot][at]:
            found += 1
        else:
            missed.append((case.id, layer, at, gradient, sharpness[-1]))
    share = found / (found + len(missed))
    assert share >= 0.99, missed[:5]
    median, worst = float(np.median(sharpness)), float(np.quantile(sharpness, 0.99))
    print(f"{profile}: found in {share:.2%} of {found + len(missed)} cases ({zero} exact zeros left out); ")  # noqa: T201
    print(f"  bound/gradient: median {median:.1e}, 99% below {worst:.1e}; missed: {missed}")  # noqa: T201


def test_reference_torch_and_mpmath_agree() -> None:
    """Every value of both witnesses, and of the textbook pass, is within its bound of mpmath's 50 digits."""
    mpmath = Scalars.of_mpmath()
    names = ("reference in lanes", "reference on floats", "torch")
    worst: dict[str, tuple[float, str, object]] = dict.fromkeys(names, (0.0, "", None))
    for case in generated_cases(CASES, seed=33):
        expected = expect(case, profile="strict")
        others = {
            "reference in lanes": expected.values,
            "reference on floats": textbook_pass(case).values,
            "torch": autograd_pass(case).values,
        }
        for slot, exact in textbook_pass(case, mpmath).values.items():
            for name, values in others.items():
                error = np.asarray(abs(values[slot] - exact), dtype=float)
                share = float(np.max(error / expected.allowed[slot]))
                assert share <= 1, (name, case.id, slot)
                worst[name] = max(worst[name], (share, case.id, slot), key=lambda one: one[0])
    for name, (share, case_id, where) in worst.items():
        print(f"{name}: largest error/bound {share:.3f} over {CASES} cases ({case_id}, {where})")  # noqa: T201

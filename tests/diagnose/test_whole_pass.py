"""A bug may recompute a whole pass in another way; its values are then reported as those of a normal pass."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backprop_check.cases.files import SUITES
from backprop_check.cases.plan import select_cases
from backprop_check.diagnose.bug import EVERY_QUANTITY, Swapped, report, swapped_quantities
from backprop_check.diagnose.given import Local, given
from backprop_check.diagnose.restrict import both, fit_together

if TYPE_CHECKING:
    from backprop_check.case.network import Case


class WorkedOutUnseen(Swapped):
    """The right pass, computed first and reported at the end."""

    networks = "any"

    def whole_pass(self, right: Any, case: Case, parameters: Any, buffers: Any, step: int) -> Any:
        with self.m.unseen():
            p = super().whole_pass(right, case, parameters, buffers, step)
        report(p, self.m, last=step == case.steps - 1)
        return p


class Doubled(Swapped):
    """Twice the step."""

    def updated(self, parameter: Any, gradient: Any, learning_rate: Any) -> Any:
        return parameter - self.m.number(learning_rate) * (2 * gradient)


def equal(one: Local, other: Local) -> bool:
    """The same values and bounds in the same slots."""
    return one.values.keys() == other.values.keys() and all(
        np.array_equal(one.values[slot], other.values[slot], equal_nan=True)
        and np.array_equal(one.allowed[slot], other.allowed[slot], equal_nan=True)
        for slot in one.values
    )


@pytest.mark.parametrize("suite", SUITES)
def test_a_pass_reported_later_is_the_same(suite: str) -> None:
    """Whatever the layers: each value has the slot of a normal pass."""
    for case in itertools.islice(select_cases([suite], 40), 0, None, 7):
        assert equal(given(case, {}), given(case, {}, stages=WorkedOutUnseen)), case.id


def test_such_a_bug_is_made_in_a_whole_pass() -> None:
    """All its values may be wrong, in every network; it can be paired with another bug, but not with a second
    such one.
    """
    assert WorkedOutUnseen.strings_pass()
    assert swapped_quantities(WorkedOutUnseen) == EVERY_QUANTITY
    other = type("Other", (Swapped,), {"whole_pass": WorkedOutUnseen.whole_pass})
    assert not fit_together(WorkedOutUnseen, other)
    assert fit_together(WorkedOutUnseen, Doubled)
    case = next(iter(select_cases(["training"], 1)))
    assert equal(given(case, {}, stages=Doubled), given(case, {}, stages=both(WorkedOutUnseen, Doubled)))

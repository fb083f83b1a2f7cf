"""Stages on reported inputs: values that follow from them fit, and only a stage that is itself wrong does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asking import answered, cases, curved, deep, without

from backprop_check.compare.trace import Array, Slot
from backprop_check.diagnose.bugs.slopes import HiddenDerivativeMissing
from backprop_check.diagnose.given import given


def unfit(case: Any, values: dict[Slot, Array], **options: Any) -> set[Slot]:
    """The slots in which a value differs from what its stage gives for the reported inputs."""
    local = given(case, values, **options)
    return {slot for slot, array in values.items() if not local.fits(slot, array).all()}


@pytest.mark.parametrize("profile", ["textbook", "strict"])
def test_a_right_implementation_fits_everywhere(profile: str) -> None:
    """Numbers of another program, with another order of operations: each is right given its own inputs."""
    for case in cases():
        values = answered(case)
        assert set(values) == set(given(case, {}).values), case.id
        assert unfit(case, values, profile=profile) == set(), case.id


def test_float32_fits_with_its_own_unit_roundoff_only() -> None:
    """Single precision is right for an implementation that declares float32, and for no other."""
    for case in cases()[:15]:
        rounded = case.rounded("float32")
        values = answered(rounded, dtype="float32")
        assert unfit(rounded, values, dtype="float32") == set(), case.id
        assert unfit(rounded, values), case.id


@pytest.mark.parametrize(
    ("slot", "at"),
    [
        (Slot("z", 0), (0, 0)),
        (Slot("a", 0), (0, 1)),
        (Slot("z", 1), (1, 0)),
        (Slot("a", 1), (0, 0)),
        (Slot("delta", 1), (1, 1)),
        (Slot("delta", 0), (0, 1)),
        (Slot("weight_gradient", 0), (1, 0)),
        (Slot("weight_gradient", 1), (0, 1)),
        (Slot("bias_gradient", 0), (1,)),
        (Slot("loss"), ()),
    ],
)
def test_a_changed_value_is_wrong_at_its_own_stage(slot: Slot, at: tuple[int, ...]) -> None:
    """A relative change of 1e-9 in one value: it does not fit; its neighbours and the stages before it do."""
    case = curved()
    values = answered(case)
    changed = {**values, slot: values[slot].copy()}
    changed[slot][at] = values[slot][at] * (1 + 1e-9)
    local = given(case, changed)
    fits = local.fits(slot, changed[slot])
    assert not fits[at]
    assert np.sum(~fits) == 1
    # The stages before it do not read it.
    order = list(local.values)
    for before in order[: order.index(slot)]:
        if before in changed and before.quantity != "loss":
            assert local.fits(before, changed[before]).all(), before


@pytest.mark.parametrize(
    "mistake", ["hidden-derivative-missing", "neighbour-added", "bias-twice", "absolute-weights", "output-delta-root"]
)
def test_what_is_computed_from_a_wrong_value_fits(mistake: str) -> None:
    """A whole program with one mistake: wrong at that stage only, right (given its inputs) everywhere after it."""
    stage = {
        "hidden-derivative-missing": {"delta"},
        "neighbour-added": {"delta"},
        "bias-twice": {"z"},
        "absolute-weights": {"weight_gradient"},
        "output-delta-root": {"delta"},
    }[mistake]
    wrong = 0
    for case in cases():
        if case.optimizer is not None and case.steps > 1:
            continue  # later steps are separate passes with reported parameters
        values = without(answered(case, mistake), ["loss"] if mistake == "bias-twice" else [])
        found = {slot.quantity for slot in unfit(case, values)}
        assert found <= stage, case.id
        wrong += bool(found)
    assert wrong > 15


def test_swapped_stages_fit_the_program_with_that_mistake() -> None:
    """A program with a missing derivative gives the numbers of the swapped stage, in every case."""
    for case in cases():
        values = answered(case, "hidden-derivative-missing")
        local = given(case, values, stages=HiddenDerivativeMissing)
        assert all(local.fits(slot, array).all() for slot, array in values.items()), case.id


def test_not_finite_fits_only_what_is_not_finite_in_the_same_way() -> None:
    """NaN is never within a bound; an infinity is right only where the same infinity is expected."""
    case = deep()
    values = answered(case)
    for bad in (np.nan, np.inf, -np.inf):
        changed = {**values, Slot("z", 0): values[Slot("z", 0)].copy()}
        changed[Slot("z", 0)][0, 0] = bad
        fits = given(case, changed).fits(Slot("z", 0), changed[Slot("z", 0)])
        assert not fits[0, 0]
        assert fits.sum() == fits.size - 1


def test_what_is_not_reported_is_worked_out() -> None:
    """Gradients alone are judged on computed values, with the bounds of the whole computation."""
    for case in cases()[:20]:
        values = answered(case)
        alone = {slot: array for slot, array in values.items() if slot.quantity.endswith("_gradient")}
        assert unfit(case, alone) == set(), case.id
        slot = Slot("weight_gradient", len(case.network.layers) - 1)
        changed = {**alone, slot: alone[slot] * (1 + 1e-6)}
        if abs(alone[slot]).max() > 1e-3:
            assert unfit(case, changed) == {slot}, case.id

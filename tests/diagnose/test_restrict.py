"""Wrong stages in one place only, and two at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asking import answered, cases, curved

from backprop_check.compare.trace import Slot
from backprop_check.diagnose.bugs.forward import BiasMissingForward
from backprop_check.diagnose.bugs.parameter_gradients import BiasGradientShared
from backprop_check.diagnose.bugs.slopes import HiddenDerivativeMissing
from backprop_check.diagnose.catalogue import all_variants, find_bug
from backprop_check.diagnose.given import Local, given
from backprop_check.diagnose.restrict import Place, both, only, places


def changed(right: Local, wrong: Local) -> set[tuple[Any, ...]]:
    """Quantity, layer and neuron of every value of the first pass that differs."""
    found: set[tuple[Any, ...]] = set()
    for slot, array in right.values.items():
        if slot.step is None and not slot.quantity.startswith("updated") and array.shape:
            for at in np.argwhere(abs(array - wrong.values[slot]) > 1e-9):
                neuron = at[1] if slot.quantity in ("z", "a", "delta") else at[0]
                found.add((slot.quantity, slot.layer, int(neuron)))
    return found


def local_change(stages: Any, place: Place) -> set[tuple[Any, ...]]:
    """The slots that differ where every stage reads right inputs."""
    case = curved()
    values = answered(case)
    return changed(given(case, values), given(case, values, stages=only(stages, place)))


@pytest.mark.parametrize(
    ("stages", "place", "expected"),
    [
        (BiasMissingForward, Place(layer=0), {("z", 0, 0), ("z", 0, 1)}),
        (BiasMissingForward, Place(layer=-1), {("z", 1, 0), ("z", 1, 1)}),
        (BiasMissingForward, Place(hidden=True), {("z", 0, 0), ("z", 0, 1)}),
        (BiasMissingForward, Place(neuron=1), {("z", 0, 1), ("z", 1, 1)}),
        (BiasMissingForward, Place(layer=-1, neuron=0), {("z", 1, 0)}),
        (BiasMissingForward, Place(activation="tanh"), {("z", 0, 0), ("z", 0, 1)}),
        (BiasMissingForward, Place(activation="relu"), set()),
        (HiddenDerivativeMissing, Place(layer=0, neuron=1), {("delta", 0, 1)}),
        (HiddenDerivativeMissing, Place(layer=-1), set()),
        (BiasGradientShared, Place(layer=0, neuron=0), {("bias_gradient", 0, 0)}),
    ],
)
def test_only_that_place_is_wrong(stages: Any, place: Place, expected: set[tuple[Any, ...]]) -> None:
    """The stage is wrong where the place says; every other neuron's stage is the right one."""
    assert local_change(stages, place) == expected


def test_every_usual_variant_may_be_restricted() -> None:
    """Nothing changes at a place that a network does not have, whatever the bug; and no variant fails.

    BP002 is left out: it rounds the case itself, which is in no layer.
    """
    case, nowhere = curved(), Place(layer=7)
    right = given(case, {})
    count = 0
    for bug, variant in all_variants():
        if bug.code == "BP002" or variant.stages.strings_pass() or not variant.stages.matters(case):
            continue
        wrong = given(case, {}, stages=only(variant.stages, nowhere))
        assert changed(right, wrong) == set(), (bug.code, variant.label)
        count += 1
    assert count > 60


def test_a_neuron_that_a_layer_lacks_is_not_another_one() -> None:
    """Neuron 1 of layer 0 only: where that layer has one neuron, everything is right."""
    case = next(each for each in cases() if len(each.network.layers) > 1 and each.network.layers[0].units == 1)
    wrong = given(case, {}, stages=only(BiasMissingForward, Place(layer=0, neuron=1)))
    assert changed(given(case, {}), wrong) == set()


def test_a_condition_decides_whether_a_case_matters() -> None:
    """A loss or an activation that a case does not have: the restricted bug does not touch it."""
    case = curved()
    assert only(BiasMissingForward, Place(loss="half_squared_error")).matters(case)
    assert not only(BiasMissingForward, Place(loss="hinge")).matters(case)
    assert only(BiasMissingForward, Place(activation="tanh")).matters(case)
    assert not only(BiasMissingForward, Place(activation="relu")).matters(case)


def test_two_at_once() -> None:
    """Both stages are wrong, each where it would be wrong alone."""
    case = curved()
    values = answered(case)
    right = given(case, values)
    pair = given(case, values, stages=both(HiddenDerivativeMissing, BiasGradientShared))
    alone = [given(case, values, stages=each) for each in (HiddenDerivativeMissing, BiasGradientShared)]
    assert changed(right, pair) == changed(right, alone[0]) | changed(right, alone[1])
    assert {slot for slot, _, _ in changed(right, pair)} == {"delta", "bias_gradient"}


def test_any_two_bugs_can_be_put_together() -> None:
    """A pair is searched among all bugs: no two bugs may break each other's helper functions.

    One variant of each bug that matters for the case, every pair, in both orders.
    """
    case = curved()
    first: dict[str, Any] = {}
    for bug, variant in all_variants():
        if variant.stages.matters(case):
            first.setdefault(bug.code, variant.stages)
    broken = []
    for a, one in first.items():
        for b, other in first.items():
            if a != b:
                try:
                    given(case, {}, stages=both(one, other))
                except Exception as error:  # noqa: BLE001 - whatever it is, it would end a run
                    broken.append(f"{a} and {b}: {type(error).__name__}: {error}")
    assert not broken, f"{len(broken)}: " + "; ".join(broken[:5])
    assert len(first) > 25


def test_a_pair_whose_helpers_have_one_name() -> None:
    """Another loss's derivative and a missing activation, each with a helper of the same name: the pair can be
    tried.
    """
    case = curved()
    wrong = [
        next(variant.stages for variant in find_bug(code).variants if variant.stages.matters(case))
        for code in ("BP306", "BP203")
    ]
    assert Slot("delta", 0) in given(case, {}, stages=both(wrong[0], wrong[1])).values
    assert Slot("delta", 0) in given(case, {}, stages=both(wrong[1], wrong[0])).values


def test_a_pair_of_which_one_does_not_matter() -> None:
    """A bug that a case cannot show takes no part in a pair there: the recursion supports no softmax in a hidden
    layer.
    """
    case = next(each for each in cases() if "softmax" in {layer.activation for layer in each.network.layers[:-1]})
    visiting = [
        variant.stages
        for variant in find_bug("BP117").variants
        if variant.stages.strings_pass() and not variant.stages.matters(case)
    ]
    assert visiting
    for stages in visiting:
        for pair in (both(stages, BiasMissingForward), both(BiasMissingForward, stages)):
            if pair.matters(case):
                assert Slot("delta", 0) in given(case, {}, stages=pair).values


def test_places_of_a_network() -> None:
    """The loss, the activations, the output, the hidden layers, each layer, then neurons; each with its text."""
    found = list(places(curved()))
    assert len(found) == len(set(found))
    assert Place(layer=0, neuron=1) in found
    assert Place(layer=-1, neuron=1) in found
    words = [place.words() for place in found]
    assert "in the hidden layers only" in words
    assert "in the output layer only" in words
    assert "in neuron 1 of layer 0 only" in words
    assert "in tanh layers only" in words
    assert "with the loss half squared error only" in words
    assert Place().words() == ""

"""Blame: roots are wrong given their own inputs; all other wrong values are inherited, or of unknown origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from asking import answered, cases, compared, deep
from tiny import Tiny, implementation

from backprop_check.case.network import Case
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.blame import blame, origins, place_in, recover
from backprop_check.protocol import CallableImplementation
from backprop_check.running.one_case import Settings, judge_answer

if TYPE_CHECKING:
    from backprop_check.compare.compare import Mismatch


def blamed(case: Case, function: Any) -> list[Mismatch]:
    """The mismatches of the implementation's reply, with their origin."""
    found = compared(case, function)
    return blame(case, expect(case), found.actual, found.mismatches, "float64", "textbook")


def roots(found: list[Mismatch]) -> set[tuple[Any, ...]]:
    return {(each.quantity, each.layer, each.neuron, each.sample) for each in found if each.origin == "root"}


class OneDelta(Tiny):
    """A tenth is added to one sample's δ of one hidden neuron, and everything after is computed with it."""

    def hidden_delta(self, index: int, behind: Any, z: Any, a: Any) -> Any:
        delta = super().hidden_delta(index, behind, z, a)
        if index == 0:
            delta[0, 1] += 0.1
        return delta


def one_delta(case: Any) -> Any:
    return OneDelta(case, frozenset(), np.float64, {}).reply()


def test_one_wrong_delta_is_the_only_root() -> None:
    """The neuron and sample with the planted δ, and none of the values computed from it."""
    count = 0
    for case in cases():
        if len(case.network.layers) < 2 or case.network.layers[0].units < 2 or case.steps > 1:
            continue
        found = blamed(case, one_delta)
        count += 1
        assert roots(found) == {("delta", 0, 1, 0)}, case.id
        assert {each.origin for each in found[1:]} == {"inherited"}, case.id
        assert {each.quantity for each in found} >= {"delta", "weight_gradient", "bias_gradient", "input_gradient"}
    assert count > 10


def in_order(case: Case, found: list[Mismatch]) -> bool:
    """Whether the mismatches are in the order of computing."""
    order = list(expect(case).values)
    places = [order.index(Slot(each.quantity, each.layer, each.step)) for each in found]
    return places == sorted(places)


def test_roots_stand_first_and_all_in_the_order_of_computing() -> None:
    """Two mistakes far apart: both roots come before all inherited mismatches."""
    case = deep(samples=2)
    found = blamed(case, implementation("bias-twice", "absolute-weights"))
    inherited = [each.origin == "inherited" for each in found]
    assert inherited == sorted(inherited)
    assert any(inherited)
    for part in (True, False):
        assert in_order(case, [each for each in found if (each.origin == "inherited") is part])
    assert (found[0].quantity, found[0].layer) == ("z", 0)


def without_forward(*mistakes: str) -> Any:
    """``tiny`` that reports deltas and gradients, but neither z nor a nor the loss."""

    def reply(request: Any) -> Any:
        found = implementation(*mistakes)(request)
        found.pop("loss")
        for layer in found["layers"]:
            layer.pop("z")
            layer.pop("a")
        return found

    return reply


def test_the_outputs_delta_is_first_though_its_inputs_were_not_reported() -> None:
    """A hidden layer's value that is wrong given its own inputs comes after it, not before."""
    case = next(
        each
        for each in cases()
        if len(each.network.layers) > 1
        and each.loss.kind in ("squared_error", "mean_squared_error")
        and each.network.layers[0].units > 1
    )
    found = blamed(case, without_forward("factor-two-missing", "bias-gradient-shared"))
    assert "root" in {each.origin for each in found[1:]}
    assert (found[0].quantity, found[0].layer) == ("delta", len(case.network.layers) - 1)
    assert found[0].origin == "unknown"


def test_a_gradient_of_the_first_pass_is_before_every_update() -> None:
    """An update that does not follow from the reported gradients is a root, but not the first wrong value."""
    case = next(each for each in cases() if each.optimizer is not None and each.steps > 1 and len(each.inputs) > 1)

    def reply(request: Any) -> Any:
        found = implementation("hidden-derivative-missing", "bias-gradient-shared", report="gradients")(request)
        whole = implementation("hidden-derivative-missing", "bias-gradient-shared", "gradient-ascent")(request)
        return {**found, "trajectory": whole["trajectory"]}

    found = blamed(case, reply)
    assert any(each.quantity.startswith("updated") and each.origin == "root" for each in found)
    assert found[0].quantity.endswith("_gradient")


def test_where_inputs_are_not_reported_nothing_is_said() -> None:
    """Several samples, gradients only: a wrong δ may come from any stage before it, so the origin is unknown."""
    case = deep(samples=2)
    found = blamed(case, implementation("hidden-derivative-missing", report="gradients"))
    assert found
    assert {each.origin for each in found} == {"unknown"}


def test_a_wrong_gradient_of_reported_deltas_is_a_root() -> None:
    """With z, a and δ reported, a wrong sum over the samples cannot be explained by them."""
    case = deep(samples=2)
    found = blamed(case, implementation("absolute-weights"))
    assert {(each.quantity, each.origin) for each in found if each.origin == "root"} == {("weight_gradient", "root")}


def test_delta_and_a_are_recovered_from_one_sample() -> None:
    """∂L/∂b = δ and ∂L/∂w = δ aᵀ: both are recovered as the program that gave the gradients had them."""
    count = 0
    for case in cases():
        if len(case.inputs) > 1:
            continue
        values = answered(case)
        alone = {slot: array for slot, array in values.items() if slot.quantity in ("weight_gradient", "bias_gradient")}
        recovered = recover(case, alone)
        for slot, array in recovered.items():
            assert np.allclose(array, values[slot], rtol=1e-9, atol=1e-12), (case.id, slot)
        count += sum(slot.quantity == "delta" for slot in recovered)
        assert any(slot.quantity == "a" for slot in recovered) or len(case.network.layers) == 1 or not alone
    assert count > 3


def test_recovery_needs_one_sample_and_gradients_of_rank_one() -> None:
    """Nothing is recovered where the gradients are a sum, or not a product of a δ and an a."""
    several = deep(samples=2)
    assert recover(several, answered(several, report="gradients")) == {}
    one = next(case for case in cases() if len(case.inputs) == 1 and case.network.inputs > 1)
    values = answered(one, report="gradients")
    values[Slot("weight_gradient", 0)] = values[Slot("weight_gradient", 0)].copy()
    values[Slot("weight_gradient", 0)][0, 0] += 0.5
    assert Slot("delta", 0) not in recover(one, values)


def test_a_recovered_delta_is_told_but_is_never_the_first_wrong_value() -> None:
    """Gradients of one sample show which δ is wrong; but it was not reported, so the gradient is the first wrong
    value.
    """
    case = next(
        each
        for each in cases()
        if len(each.inputs) == 1
        and len(each.network.layers) > 1
        and each.network.layers[0].activation in ("tanh", "sigmoid")
    )
    found = blamed(case, implementation("hidden-derivative-missing", report="gradients"))
    deltas = [each for each in found if each.problem == "recovered"]
    assert deltas
    assert {(each.quantity, each.layer) for each in deltas} == {("delta", 0)}
    assert {each.origin for each in deltas} == {"inherited"}
    assert (found[0].quantity, found[0].layer, found[0].origin) == ("weight_gradient", 0, "root")
    opened = CallableImplementation(implementation("hidden-derivative-missing", report="gradients"))
    (answer,) = opened.exchange([(case.id, case.request())])
    result = judge_answer(case, answer, "float64", Settings()).result
    assert result.message.startswith("first wrong value: the weight gradient of neuron 0 of hidden1")
    assert "delta" not in result.message


def test_where_every_value_of_a_long_list_comes_from() -> None:
    """The origin is known also beyond the mismatches kept: "unknown" means only that inputs were not reported."""
    case = big_case()
    found = compared(case, implementation("bias-twice", "absolute-weights"))
    assert found.count > 2 * len(found.mismatches)
    letters = origins(case, found.actual, {}, "float64", "textbook")
    assert letters.keys() == found.actual.keys()
    assert not any((each == "u").any() for each in letters.values())
    assert (letters[Slot("z", 2)][:, 1:] == "r").all()  # the first bias is 0, and doubling it changes nothing
    assert (letters[Slot("a", 2)] == "i").all()
    for each in blame(case, expect(case), found.actual, found.mismatches, "float64", "textbook"):
        slot = Slot(each.quantity, each.layer, each.step)
        at = place_in(slot, each)
        assert at is not None
        assert letters[slot][at] == each.origin[0]


def big_case() -> Case:
    """A network wide enough for more than 200 wrong values."""
    wave = [[round(float(np.sin(3.1 * j + 1.3 * i)) / 3, 3) for i in range(24)] for j in range(24)]
    layer = {"kind": "dense", "units": 24, "activation": "tanh", "parameters": {"weights": wave, "biases": wave[0]}}
    return Case.from_dict(
        {
            "name": "wide",
            "network": {"inputs": 24, "layers": [layer, layer, layer]},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [wave[1], wave[2]],
            "targets": [wave[3], wave[4]],
        }
    )


def test_more_than_200_wrong_values_crowd_out_no_root() -> None:
    """The root is the very last value computed; thousands of values before it are wrong by another mistake."""
    case = big_case()
    found = compared(case, implementation("bias-twice", "absolute-weights"))
    assert found.count > 1000
    all_of_them = blame(case, expect(case), found.actual, found.mismatches, "float64", "textbook")
    layers = {(each.quantity, each.layer) for each in all_of_them if each.origin == "root"}
    assert {("z", 0), ("z", 1), ("z", 2)} <= layers
    assert {("weight_gradient", 0), ("weight_gradient", 1), ("weight_gradient", 2)} <= layers
    places = [(each.quantity, each.layer, each.step, each.sample, each.neuron, *each.index) for each in all_of_them]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda layer: layer["gradients"].pop("biases"), "missing"),
        (lambda layer: layer.update(z=[[1.0]]), "shape"),
        (lambda layer: layer["delta"][0].__setitem__(0, "x"), "not_a_number"),
    ],
)
def test_what_is_malformed_is_its_own_root(spoil: Any, problem: str) -> None:
    """Missing, of another shape, not a number: no other value explains it."""
    case = deep(samples=2)

    def spoilt(request: Any) -> Any:
        reply = implementation()(request)
        spoil(reply["layers"][0])
        return reply

    found = blamed(case, spoilt)
    assert [(each.problem, each.origin) for each in found if each.problem == problem] == [(problem, "root")]


def test_the_message_of_a_case_says_the_first_root() -> None:
    """The first place in the message is the root's, not the first in the order of the reply."""
    case = deep(samples=2)
    opened = CallableImplementation(one_delta)
    (answer,) = opened.exchange([(case.id, case.request())])
    result = judge_answer(case, answer, "float64", Settings()).result
    assert result.first_wrong == {"layer": 0, "neuron": 1, "quantity": "delta", "sample": 0, "at": [1]}
    assert "delta" in result.message
    assert "neuron 1" in result.message

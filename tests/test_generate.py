"""The generator: what any 200 cases contain, that cases stay the same, are clear of kinks, and distinguish bugs."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import numpy as np
import pytest

from backprop_check.case.network import ACTIVATIONS, DEFAULT_ALPHA, LOSSES, NEEDS_OUTPUT, Case
from backprop_check.cases.clear import CHAIN, CLEAR, LARGEST, is_clear
from backprop_check.cases.draw import PAIRS
from backprop_check.cases.generate import generated_case, generated_cases
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Form, Slot, slots_of
from backprop_check.numbers import Scalars
from backprop_check.reference import Stages, run_pass
from backprop_check.reference.rules import Function, Softmax, WeightedSum


@pytest.mark.parametrize(("seed", "start"), [(0, 0), (3, 131), (11, 12_345)])
def test_any_200_cases_hold_what_is_promised(seed: int, start: int) -> None:
    """Any 200 consecutive cases."""
    cases = list(generated_cases(200, seed=seed, start=start))
    assert {(case.network.layers[-1].activation, case.loss.kind) for case in cases} == set(PAIRS)
    assert {len(case.inputs) for case in cases} == set(range(1, 33))
    assert {(case.reduction, len(case.inputs) > 1) for case in cases} == set(
        itertools.product(("mean", "sum"), (True, False))
    )
    hidden = {layer.activation for case in cases for layer in case.network.layers[:-1]}
    assert hidden == set(ACTIVATIONS) - {"log_softmax"}
    assert {len(case.network.layers) for case in cases} == {1, 2, 3, 4}
    square = [
        layer for case in cases for layer in case.network.layers if layer.units == len(layer.parameters.weights[0])
    ]
    others = sum(len(case.network.layers) for case in cases) - len(square)
    assert len(square) > 20
    assert others > 200
    for name in DEFAULT_ALPHA:
        alphas = {layer.alpha for case in cases for layer in case.network.layers if layer.activation == name}
        assert None in alphas
        assert len(alphas) > 2
    assert {case.loss.threshold for case in cases if case.loss.kind == "huber"} == {0.5, 0.8, 1.5}
    assert {case.steps for case in cases} == {1, 2, 3}
    assert sum(case.optimizer is not None for case in cases) == 100


def test_every_admissible_pair_is_there() -> None:
    """Each output activation with each loss that takes it; hinge needs signs, which no softmax gives."""
    for activation, loss in itertools.product(ACTIVATIONS, LOSSES):
        needed = NEEDS_OUTPUT.get(loss, ACTIVATIONS)
        wanted = activation in needed and not (loss == "hinge" and activation in ("softmax", "log_softmax"))
        assert ((activation, loss) in PAIRS) == wanted


def test_cases_stay_the_same_for_ever() -> None:
    """The id ends in a hash of the content: another id is another case, and needs another SUITE_VERSION."""
    assert [generated_case(index).id for index in (0, 1, 199, 19_999)] == [
        "mlp-1x2x5x4x5-identity-s0000-c09069a5",
        "mlp-3x2x5-softmax-s0001-66d61fab",
        "mlp-4x1x1x4x2-relu-s0199-5a40583c",
        "mlp-1x3x2x5x1-leaky-relu-s19999-997a79ef",
    ]
    assert generated_case(5, seed=3).id == "mlp-4x3x4-tanh-s0005-2b5027e5"


def test_a_case_depends_on_seed_and_index_alone() -> None:
    """Case 5 is the same whether asked for alone or among others."""
    assert generated_case(5).id == list(generated_cases(6))[5].id
    assert generated_case(5).id != generated_case(5, seed=1).id


def test_the_median_size_is_small() -> None:
    """Two layers, 4 samples, 7 neurons, 27 parameters: what the speed figures are about."""
    cases = list(generated_cases(1000))
    layers = [case.network.layers for case in cases]
    assert statistics.median(len(each) for each in layers) == 2
    assert statistics.median(len(case.inputs) for case in cases) == 4
    assert statistics.median(sum(layer.units for layer in each) for each in layers) == 7
    parameters = [sum(layer.units * (len(layer.parameters.weights[0]) + 1) for layer in each) for each in layers]
    assert statistics.median(parameters) == 27


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_step_comes_near_a_kink_or_blows_up(dtype: str) -> None:
    """At every training step, and also rounded to float32: rounding could not decide anything."""
    several = 0
    for case in generated_cases(300, seed=8):
        rounded = case.rounded(dtype)
        assert is_clear(rounded, CHAIN, clear=CLEAR / 2), case.id
        expected = expect(rounded, dtype)
        for slot, allowed in expected.allowed.items():
            if slot.quantity in ("z", "updated_weight", "updated_bias"):  # everything that the next z depends on
                assert allowed.max() < CLEAR / 2, (case.id, slot)
                assert abs(expected.values[slot]).max() <= LARGEST
            assert np.isfinite(allowed).all()
            if dtype == "float64":
                assert (allowed <= 1e-9 * np.maximum(1, abs(expected.values[slot]).max())).all(), (case.id, slot)
        several += case.steps > 1
    assert several > 30


def test_a_later_step_on_a_kink_is_seen() -> None:
    """A first pass clear of kinks does not make a case clear: the second may cross one."""
    one = {
        "name": "crossing",
        "network": {
            "inputs": 1,
            "layers": [
                {
                    "kind": "dense",
                    "units": 1,
                    "activation": "relu",
                    "parameters": {"weights": [[1.0]], "biases": [0.0]},
                }
            ],
        },
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": [[1.0]],
        "targets": [[0.0]],
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    }  # z = 1 at first, and exactly 0 after one step: w = 1 − ½, b = −½
    assert is_clear(Case.from_dict(one), CHAIN)
    assert not is_clear(Case.from_dict({**one, "steps": 2}), CHAIN)


# Bugs that people make ------------------------------------------------------------------------------


class Swapped(Stages):
    """The right mathematics, except for the gradients of some rules."""

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Any:
        right = super().share(rule, role, s, i)
        wrong = getattr(self, f"of_{type(rule).__name__.lower()}", None)
        return right if wrong is None else wrong(rule, role[0], s, i, right)


def is_last(rule: Any) -> bool:
    return bool(rule.layer == len(rule.case.network.layers) - 1)


def is_square(rule: Any) -> bool:
    return bool(rule.out.units == rule.sources[0].x.units)


class HiddenDerivativeMissing(Swapped):
    def of_function(self, rule: Any, _role: str, _s: Any, _i: Any, right: Any) -> Any:
        return right if is_last(rule) else (right[0], [1.0])


class OutputDerivativeMissing(Swapped):
    def of_function(self, rule: Any, _role: str, _s: Any, _i: Any, right: Any) -> Any:
        return (right[0], [1.0]) if is_last(rule) else right


class AlphaIgnored(Swapped):
    def of_function(self, rule: Any, _role: str, s: Any, i: Any, right: Any) -> Any:
        z, a, alpha = rule.x.values[s, i], rule.out.values[s, i], DEFAULT_ALPHA.get(rule.name, rule.alpha)
        return right[0], [rule.function.derivative(self.m, z, a, alpha)]


class WeightsTransposed(Swapped):
    def of_weightedsum(self, rule: Any, role: str, s: Any, i: Any, right: Any) -> Any:
        row = tuple(i * rule.out.units + j for j in range(rule.out.units))
        return (right[0], rule.sources[0].weights.values[s, row]) if role == "x" and is_square(rule) else right


class LastNeuronSkipped(Swapped):
    def of_weightedsum(self, _rule: Any, role: str, _s: Any, _i: Any, right: Any) -> Any:
        return (right[0][:-1], right[1][:-1]) if role == "x" else right


class WeightGradientTransposed(Swapped):
    def of_weightedsum(self, rule: Any, role: str, s: Any, i: Any, right: Any) -> Any:
        if role != "weights" or not is_square(rule):
            return right
        j, k = divmod(i, rule.out.units)
        return rule.out.error[s, k], rule.sources[0].x.values[s, j]


class LastSampleOnly(Swapped):
    def of_weightedsum(self, _rule: Any, role: str, _s: Any, _i: Any, right: Any) -> Any:
        return (right[0][-1:], right[1][-1:]) if role == "weights" else right


class PreActivationAsInput(Swapped):
    def of_weightedsum(self, rule: Any, role: str, s: Any, i: Any, right: Any) -> Any:
        before = rule.sources[0].x.made_by
        if role != "weights" or not isinstance(before, Function | Softmax):
            return right
        return right[0], before.x.values[s, i % rule.sources[0].x.units]


class BiasGradientMissing(Swapped):
    def of_weightedsum(self, _rule: Any, role: str, _s: Any, _i: Any, right: Any) -> Any:
        return ([0.0], None) if role == "bias" else right


class BiasGradientShared(Swapped):
    def of_weightedsum(self, rule: Any, role: str, s: Any, _i: Any, right: Any) -> Any:
        return (rule.out.error[s, tuple(range(rule.out.units))], None) if role == "bias" else right


class FirstBiasForAll(Stages):
    def value(self, rule: Any, s: Any, o: Any) -> Any:
        found = super().value(rule, s, o)
        biases = [bias.values for bias, _ in rule.biases] if isinstance(rule, WeightedSum) else []
        return found + sum(each[s, 0] - each[s, o] for each in biases)


class NeverAveraged(Stages):
    def in_batch(self, p: Any, x: Any) -> Any:  # noqa: ARG002
        return x


class SignOfTheUpdate(Stages):
    def updated(self, parameter: Any, gradient: Any, learning_rate: float) -> Any:
        return parameter + learning_rate * gradient


class BiasNotUpdated(Stages):
    def updated_number(self, l: Any, name: str, i: Any, learning_rate: float) -> Any:
        right = super().updated_number(l, name, i, learning_rate)
        return l.parameters[name].values[0, i] if name == "biases" else right


BUGS = [
    HiddenDerivativeMissing, OutputDerivativeMissing, AlphaIgnored, WeightsTransposed, LastNeuronSkipped,
    WeightGradientTransposed, LastSampleOnly, PreActivationAsInput, BiasGradientMissing, BiasGradientShared,
    FirstBiasForAll, NeverAveraged, SignOfTheUpdate, BiasNotUpdated,
]  # fmt: skip


def test_common_bugs_show_and_are_told_apart() -> None:
    """Each shows in several of 200 cases, and any two of them give different numbers in some case."""
    shown = dict.fromkeys(BUGS, 0)
    apart: set[tuple[type[Stages], type[Stages]]] = set()
    for case in generated_cases(200):
        if len(case.inputs) > 8:  # the small ones suffice, and are quick
            continue
        expected = expect(case)
        values = {}
        for bug in BUGS:
            with np.errstate(all="ignore"):
                values[bug] = worked_out(case, bug)
            shown[bug] += _differs(expected.values, values[bug], expected.allowed)
        apart |= {
            (a, b)
            for a, b in itertools.combinations(BUGS, 2)
            if (a, b) not in apart and _differs(values[a], values[b], expected.allowed)
        }
    assert {bug.__name__: count for bug, count in shown.items() if count < 5} == {}
    assert set(itertools.combinations(BUGS, 2)) == apart


def worked_out(case: Case, stages: type[Stages]) -> dict[Slot, Any]:
    """The numbers of an implementation with a bug, computed neuron by neuron."""
    form, passes = Form(case), run_pass(case, Scalars.of_floats(), stages)
    return {slot: np.array(_plain(number)).reshape(form.trace_shape(slot)) for slot, number in slots_of(passes)}


def _plain(number: Any) -> Any:
    return number.tolist() if hasattr(number, "tolist") else number


def _differs(a: Any, b: Any, allowed: Any) -> bool:
    return any((abs(a[slot] - b[slot]) > 10 * allowed[slot]).any() for slot in allowed)

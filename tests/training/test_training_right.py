"""Right implementations of training always pass, whatever they are written in; and the witnesses agree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from right import Papers, Torch, as_line, trained
from variants import style

from backprop_check.case.network import Case
from backprop_check.cases.clear import FROM_LIMIT, SMALLEST_GRADIENT, TRAINED_CHAIN, is_clear
from backprop_check.cases.training import RECIPES, training_case, training_cases
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.reference import run_pass
from backprop_check.running.one_case import Settings, compared, witnesses
from backprop_check.witness.autograd import autograd_pass

if TYPE_CHECKING:
    from backprop_check.compare.compare import Comparison
    from backprop_check.compare.trace import Expected

pytestmark = pytest.mark.thorough

each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def judged(case: Case, dtype: str, reply: dict[str, Any]) -> tuple[Expected, Comparison]:
    """A reply as a run judges it."""
    rounded = case.rounded(dtype)
    message = msgspec.json.decode(msgspec.json.encode({"id": case.id, **as_line(reply)}), type=Reply)
    return compared(rounded, expect(rounded, dtype), message, dtype, Settings())


def no_false_alarm(cases: list[Case], dtype: str) -> dict[str, float]:
    """Judge each case's answers of both implementations; return the largest error/bound of an update."""
    random = np.random.default_rng(1)
    worst: dict[str, float] = {}
    for case in cases:
        request = msgspec.json.decode(case.request(dtype))
        for kind in (Papers, Torch):
            reply = trained(request, style("everything mixed", dtype, random), random, kind)
            expected, comparison = judged(case, dtype, reply)
            assert comparison.mismatches == [], (case.id, dtype, kind)
            for slot, array in comparison.actual.items():
                if slot.quantity.startswith("updated"):
                    share = float((abs(array - expected.values[slot]) / expected.allowed[slot]).max())
                    worst[kind.__name__] = max(worst.get(kind.__name__, 0.0), share)
    return worst


@each_dtype
def test_no_false_alarm(dtype: str) -> None:
    """The formulas of the papers in numpy, and PyTorch's own optimizers, in the same dtype."""
    worst = no_false_alarm(list(training_cases(100, seed=7)), dtype)
    assert set(worst) == {"Papers", "Torch"}


@pytest.mark.slow
@each_dtype
def test_no_false_alarm_in_two_thousand(dtype: str) -> None:
    """The same in 2,000 cases; prints the largest error/bound."""
    worst = no_false_alarm(list(training_cases(2000, seed=7)), dtype)
    print(f"{dtype}: no false alarm in 2,000 cases; the largest error of an update, of its bound: {worst}")  # noqa: T201


def test_torch_and_mpmath_agree_with_the_reference() -> None:
    """300 generated cases: every value of both witnesses, and of 50 digits, within the bounds, which are finite."""
    for case in training_cases(300, seed=3):
        expected = witnesses(case)
        truth = textbook_pass(case, Scalars.of_mpmath()).values
        for slot, value in expected.values.items():
            error = np.asarray(abs(value - truth[slot]), dtype=float)
            assert (error <= expected.allowed[slot]).all(), (case.id, slot)


def test_the_second_witness_is_pytorchs_optimizers() -> None:
    """Its functional forms give the same numbers as the classes, up to the last digits."""
    random = np.random.default_rng(2)
    for case in training_cases(60, seed=11):
        request = msgspec.json.decode(case.request())
        theirs = trained(request, style("library", "float64", random), random, Torch)
        ours = autograd_pass(case).values
        for index, layer in enumerate(theirs["layers"]):
            for quantity, name in (("updated_weight", "weights"), ("updated_bias", "biases")):
                array = next(
                    value for slot, value in ours.items() if slot[:2] == (quantity, index) and slot.step is None
                )
                np.testing.assert_allclose(array, layer["updated"][name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("start", [0, 37, 400])
def test_any_two_hundred_hold_every_combination(start: int) -> None:
    """Every optimizer with every set of options, with schedules, clips and penalties, over 1 to 5 steps."""
    found: dict[tuple[Any, ...], list[Case]] = {}
    for case in training_cases(200, start=start):
        assert case.optimizer is not None
        options = frozenset(case.optimizer.features()) - {"schedule"}
        found.setdefault((case.optimizer.kind, options), []).append(case)
    assert set(found) == {(kind, frozenset(options)) for kind, options in RECIPES}
    for cases in found.values():
        assert {"schedule" in case.features for case in cases} == {False, True}
        assert {None if case.clip is None else case.clip.kind for case in cases} == {None, "value", "norm"}
        penalties = {(bool(r.l1), bool(r.l2)) for case in cases if (r := case.regularization) is not None}
        assert penalties >= {(False, True), (True, False)}
        assert len({case.steps for case in cases}) >= 3
    assert {case.steps for cases in found.values() for case in cases} == {1, 2, 3, 4, 5}


def test_a_case_depends_on_its_number_alone() -> None:
    assert training_case(17).id == list(training_cases(20))[17].id
    assert training_case(17).id != training_case(17, seed=1).id
    assert len({case.id for case in training_cases(300)}) == 300


def test_cases_are_clear_of_what_rounding_would_decide() -> None:
    """No gradient of an adaptive optimizer is only rounding; no norm is at its limit; the clips take effect."""
    clipped = 0
    for case in training_cases(200, seed=5):
        assert is_clear(case, TRAINED_CHAIN), case.id
        assert case.optimizer is not None
        for p in run_pass(case, Scalars.of_floats()):
            gradients = [g for l in p.layers for row in l.gradients.values() for g in row[0, :]]
            if case.clip is None and case.optimizer.kind != "sgd" and not case.optimizer.settings["weight_decay"]:
                assert all(g == 0 or abs(g) >= SMALLEST_GRADIENT for g in gradients), case.id
            if case.clip is not None and case.clip.kind == "norm":
                norm = float(np.linalg.norm(gradients))
                assert abs(norm - case.clip.limit) >= 0.99 * FROM_LIMIT * case.clip.limit
                clipped += norm > case.clip.limit
    assert clipped > 20


def test_a_wrong_update_does_not_hide() -> None:
    """One value that is off by 1e-9, in the second of several steps: found there, and no earlier step is blamed."""
    random = np.random.default_rng(3)
    hits = 0
    for case in training_cases(100, seed=9):
        if case.steps < 3:
            continue
        reply = as_line(trained(msgspec.json.decode(case.request()), style("library", "float64", random), random))
        reply["trajectory"][1]["layers"][0]["updated"]["biases"][0] += 1e-9
        _, comparison = judged(case, "float64", reply)
        wrong = [(one.quantity, one.layer, one.neuron, one.step) for one in comparison.mismatches]
        assert ("updated_bias", 0, 0, 1) in wrong, case.id
        assert all(step is None or step >= 1 for *_, step in wrong), case.id
        hits += 1
    assert hits > 20


def after(step: dict[str, Any]) -> dict[str, Any]:
    """The part of a trajectory for one step."""
    return {"loss": step["loss"], "layers": [{"updated": layer["updated"]} for layer in step["layers"]]}


def test_errors_do_not_accumulate() -> None:
    """An implementation that continues correctly from a wrong update has only that update wrong."""
    random = np.random.default_rng(3)
    options = {"kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.5}
    for case in (each for each in training_cases(60, seed=9) if each.steps >= 3):
        whole = Case.from_dict({**case.to_dict(), "optimizer": options})
        request = msgspec.json.decode(whole.request())
        first = as_line(trained({**request, "steps": 1}, style("library", "float64", random), random))
        for layer, one in zip(request["network"]["layers"], first["layers"], strict=True):
            one["updated"]["biases"][0] += 0.01  # a wrong first update
            layer["parameters"] = one["updated"]
        rest = as_line(trained({**request, "steps": case.steps - 1}, style("library", "float64", random), random))
        steps = rest.get("trajectory") or [{"loss": rest["loss"], "layers": rest["layers"]}]
        layers = [{**l, "updated": r["updated"]} for l, r in zip(first["layers"], rest["layers"], strict=True)]
        _, comparison = judged(
            whole, "float64", {**first, "layers": layers, "trajectory": [after(first), *map(after, steps)]}
        )
        found = {(one.quantity, one.neuron, one.step) for one in comparison.mismatches}
        assert found == {("updated_bias", 0, 0)}, case.id


@each_dtype
def test_updates_have_bounds_that_tell_something(dtype: str) -> None:
    """Judged step by step, nine updates in ten are known to a thousandth of their size, in float32 too."""
    random, widths = np.random.default_rng(4), []
    for case in training_cases(100, seed=13):
        reply = trained(msgspec.json.decode(case.request(dtype)), style("library", dtype, random), random)
        expected, comparison = judged(case, dtype, reply)
        for slot in comparison.actual:
            if slot.quantity.startswith("updated"):
                widths += (expected.allowed[slot] / np.maximum(abs(expected.values[slot]), 0.01)).ravel().tolist()
    assert np.quantile(widths, 0.9) < {"float64": 1e-11, "float32": 1e-3}[dtype]
    assert np.isfinite(widths).all()

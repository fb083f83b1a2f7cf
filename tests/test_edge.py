"""The edge cases: saturation, kinks, zeros, ties, sizes, learning rates; and the verdict *unstable*."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from backprop_check.api import check
from backprop_check.case.network import ACTIVATIONS, Case
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cases.plan import select_cases
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import disagreement, expect, textbook_pass
from backprop_check.compare.trace import Alternative, Expected, Slot
from backprop_check.compare.unstable import (
    NEAR,
    NEAR_OF_SOFTPLUS,
    SAID,
    SOMEWHERE,
    most_telling,
    raised_sentence,
    unstable_sentence,
)
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.witness.autograd import autograd_pass

sys.path.insert(0, str(Path(__file__).with_name("benchmarks")))
from edge_cases import edge_cases
from variants import STYLES, Style, backprop, style

FILES = suite_files("edge")
IDS = [file.case.name for file in FILES]

each_file = pytest.mark.parametrize("file", FILES, ids=IDS)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def test_the_files_are_what_the_script_makes() -> None:
    """The same cases, titles and ids, none missing and none too many."""
    made = {case.name: (title, case) for title, case in edge_cases()}
    assert sorted(made) == sorted(IDS)
    for file in FILES:
        assert made[file.case.name] == (file.title, file.case)
        assert file.expected["id"] == file.case.id


def test_the_suite_runs_by_default() -> None:
    """Without --suite the edge cases run too, after the published ones."""
    names = [case.name for case in select_cases(count=3)]
    assert set(IDS) < set(names)
    assert [case.name for case in select_cases(["edge"])] == IDS


def test_the_suite_holds_what_it_promises() -> None:
    """Every activation, widths from 1 to 784, 12 layers, batches of 1 and 64, several steps."""
    cases = [file.case for file in FILES]
    assert {layer.activation for case in cases for layer in case.network.layers} == set(ACTIVATIONS)
    widths = {case.network.inputs for case in cases} | {layer.units for case in cases for layer in case.network.layers}
    assert {1, 2, 128, 784} <= widths
    assert max(len(case.network.layers) for case in cases) == 12
    assert {1, 64} <= {len(case.inputs) for case in cases}
    assert max(case.steps for case in cases) == 8
    rates = {case.optimizer.learning_rate for case in cases if case.optimizer is not None}
    assert {1e-30, 1e6, 0.0} <= rates


@each_file
@each_dtype
def test_witnesses_and_file_agree_with_mpmath(file: CaseFile, dtype: str) -> None:
    """Reference, torch, 50 digits, and the committed values: within the bounds, and every bound is finite."""
    case = file.case.rounded(dtype)
    expected = expect(case, dtype)
    for slot, allowed in expected.allowed.items():
        assert np.isfinite(allowed).all(), slot
        assert np.isfinite(expected.values[slot]).all(), slot
    truth, floats = textbook_pass(case, Scalars.of_mpmath()).values, textbook_pass(case).values
    for slot, exact in truth.items():
        for values in (expected.values, floats, autograd_pass(case).values):
            assert (np.asarray(abs(values[slot] - exact), dtype=float) <= expected.allowed[slot]).all(), slot
    if dtype == "float64":
        assert disagreement(expected, autograd_pass(case)) is None
        comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply))
        assert comparison.mismatches == []
        assert comparison.values_checked > 5


@each_dtype
@pytest.mark.parametrize("name", list(STYLES))
def test_right_implementations_are_right_or_unstable_but_never_wrong(name: str, dtype: Any) -> None:
    """An implementation that avoids overflow passes everything; others are told so, at every single value."""
    random = np.random.default_rng(4)
    how = style(name, dtype, random)
    results = check(lambda case: backprop(case, how, random), cases=[file.case for file in FILES], dtype=dtype)
    outcomes = {result.id: result.outcome for result in results.cases}
    assert set(outcomes.values()) <= {"passed", "mismatched"}
    for result in results.cases:
        assert [one for one in result.mismatches if not one.unstable] == [], (how, result.id)
    if how.formulas == "library" and how.slopes == "library" and how.loss == "fused":
        assert set(outcomes.values()) == {"passed"}


TEXTBOOK = Style(formulas="textbook", slopes="textbook", loss="chain")


def _verdict(case: Case, spoil: Any = None, how: Style = TEXTBOOK) -> Any:
    """The comparison of a textbook implementation's reply; ``spoil`` may change the reply first."""
    request = msgspec.json.decode(case.request())
    reply = backprop(request, how, np.random.default_rng(0))
    if spoil is not None:
        spoil(reply)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        listed = np.asarray(value).tolist()
        return _written(listed)

    text = msgspec.json.encode({"id": case.id, **plain(reply)})
    return compare(expect(case), msgspec.json.decode(text, type=Reply))


def _written(value: Any) -> Any:
    if isinstance(value, list):
        return [_written(item) for item in value]
    return (
        value if value is None or np.isfinite(value) else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")
    )


def _named(name: str) -> Case:
    return next(file.case for file in FILES if file.case.name == name)


def test_the_verdict_says_which_formula() -> None:
    """A softmax without its shift and a sigmoid's logarithm are distinguished, in words with a remedy."""
    softmax = _verdict(_named("softmax-wrong"))
    assert "without its shift" in softmax.formula
    assert all(one.unstable for one in softmax.mismatches)
    logarithm = _verdict(_named("sigmoid-wrong"))
    assert "rounded to 0 or 1" in logarithm.formula
    sentence = unstable_sentence(logarithm.formula)
    assert "right mathematics" in sentence
    assert "compute the loss from z" in sentence
    assert set(SAID) >= {"unshifted", "unguarded"}


def test_a_shift_that_is_there_is_not_missed() -> None:
    """Log-softmax's activations are right, so its softmax is shifted: the division in its backward pass gives NaN."""

    def spoil(reply: dict[str, Any]) -> None:
        layer = reply["layers"][0]
        for array in (layer["delta"], layer["gradients"]["weights"], layer["gradients"]["biases"]):
            array[:] = np.nan

    comparison = _verdict(_named("log-softmax-right"), spoil, Style())
    assert comparison.mismatches
    assert all(one.unstable for one in comparison.mismatches)
    assert "shift" not in comparison.formula
    assert "divides by a probability that has underflowed" in comparison.formula


def test_a_formula_that_activations_speak_against_is_not_named() -> None:
    """Its numbers are still marked unstable."""
    delta, a = Slot("delta", 0), Slot("a", 0)
    nothing, one = np.array([[np.nan]]), np.array([[1.0]])
    alternative = Alternative("an exponential", {delta: (nothing, one), a: (nothing, one)})
    suspects = {delta: (np.array([[True]]), nothing)}
    formula, found = most_telling([alternative], suspects, {a: (one, 1e-15 * one)})
    assert formula == SOMEWHERE
    assert found[delta].all()
    assert most_telling([alternative], suspects, {})[0] == "an exponential"


def test_a_wrong_value_beside_unstable_ones_stays_wrong() -> None:
    """A value that no unstable formula gives is wrong, though everything around it is unstable."""

    def spoil(reply: dict[str, Any]) -> None:
        reply["layers"][0]["z"][0, 2] = 1.5

    comparison = _verdict(_named("softmax-wrong"), spoil)
    wrong = [one for one in comparison.mismatches if not one.unstable]
    assert [(one.quantity, one.neuron, one.actual) for one in wrong] == [("z", 2, 1.5)]
    assert len(comparison.mismatches) > 5


def test_a_sign_error_at_saturation_is_wrong() -> None:
    """The verdict "unstable" is no excuse: t − p for p − t is wrong at the edge as anywhere."""

    def spoil(reply: dict[str, Any]) -> None:
        reply["layers"][0]["delta"] *= -1

    comparison = _verdict(_named("sigmoid-wrong"), spoil, Style())
    assert comparison.mismatches
    assert not any(one.unstable for one in comparison.mismatches)
    assert comparison.formula is None


def test_null_is_unstable_where_nan_would_be() -> None:
    """JavaScript writes null for NaN."""

    def spoil(reply: dict[str, Any]) -> None:
        delta = reply["layers"][0]["delta"].tolist()
        reply["layers"][0]["delta"] = [[None if x != x else x for x in row] for row in delta]  # noqa: PLR0124 - NaN

    comparison = _verdict(_named("sigmoid-wrong"), spoil)
    nulls = [one for one in comparison.mismatches if one.actual == "null"]
    assert nulls
    assert all(one.unstable for one in nulls)


def test_a_nan_where_nothing_saturates_is_wrong() -> None:
    """Near 0 no formula overflows, so NaN is a bug there."""
    case = _named("one-neuron-sigmoid")

    def spoil(reply: dict[str, Any]) -> None:
        reply["layers"][0]["delta"][:] = np.nan

    comparison = _verdict(case, spoil)
    assert [one.problem for one in comparison.mismatches] == ["not_finite"]
    assert not comparison.mismatches[0].unstable


def test_an_error_that_an_overflow_raises_is_known() -> None:
    """Python raises where other languages give ∞; an ordinary error is not taken for that."""
    for value, function in ((800.0, math.exp), (0.0, math.log), (0.0, lambda x: 1 / x)):
        with pytest.raises((OverflowError, ValueError, ZeroDivisionError)) as caught:
            function(value)
        sentence = raised_sentence(f"{type(caught.value).__name__}: {caught.value}")
        assert sentence is not None
        assert "log-sum-exp" in sentence
    assert raised_sentence("RangeError (index): Invalid value: Not in inclusive range 0..1: 2") is None
    assert raised_sentence("java.lang.StackOverflowError") is None


def test_a_softplus_loses_its_digits_early() -> None:
    """z + ln(1 + e^−z) at z = −7, with a logarithm that is off by an ulp as on some machines: unstable, not wrong."""
    layer = {"kind": "dense", "units": 1, "activation": "softplus"}
    network = {"inputs": 1, "layers": [{**layer, "parameters": {"weights": [[-7.0]], "biases": [0.0]}}]}
    one = {"name": "near", "network": network, "loss": {"kind": "half_squared_error"}, "reduction": "mean"}
    case = Case.from_dict({**one, "inputs": [[1.0]], "targets": [[0.25]]})

    expected = expect(case)
    right = {slot.quantity: values.tolist() for slot, values in expected.values.items()}
    a = Slot("a", 0)
    layer = {
        "z": right["z"],
        "a": (expected.values[a] + 2 * expected.allowed[a]).tolist(),
        "delta": right["delta"],
        "gradients": {"weights": right["weight_gradient"], "biases": right["bias_gradient"]},
    }
    reply = msgspec.json.decode(msgspec.json.encode({"id": case.id, "layers": [layer]}), type=Reply)
    assert [(each.quantity, each.unstable) for each in compare(expected, reply).mismatches] == [("a", True)]


def test_near_is_near() -> None:
    """If no value exceeds ``NEAR``, no habit leaves the bounds: not looking there misses nothing."""
    from backprop_check.compare import unstable  # noqa: PLC0415

    for dtype in ("float64", "float32"):
        for activation, loss, near in (
            ("sigmoid", "binary_cross_entropy", NEAR),
            ("tanh", "half_squared_error", NEAR),
            ("softplus", "half_squared_error", NEAR_OF_SOFTPLUS),
            ("silu", "half_squared_error", NEAR),
        ):
            for z in (-near, near, near / 2):
                case = Case.from_dict(
                    {
                        "name": "near",
                        "network": {
                            "inputs": 1,
                            "layers": [
                                {
                                    "kind": "dense",
                                    "units": 1,
                                    "activation": activation,
                                    "parameters": {"weights": [[z]], "biases": [0.0]},
                                }
                            ],
                        },
                        "loss": {"kind": loss},
                        "reduction": "mean",
                        "inputs": [[1.0]],
                        "targets": [[0.25]],
                    }
                ).rounded(dtype)
                expected = expect(case, dtype)
                far = {Slot("z", 0): np.array([[NEAR * 2]])}
                tried = 0
                for one in unstable.alternatives(case, dtype, "textbook", far):
                    tried += 1
                    for slot, (value, _) in one.values.items():
                        assert (abs(value - expected.values[slot]) <= expected.allowed[slot]).all(), (one.formula, slot)
                assert tried >= 4


KINKS = {
    "kink-relu": (Slot("delta", 0), [[0.0, 0.75, 0.0]]),
    "kink-hard-tanh": (Slot("delta", 0), None),
    "kink-huber": (Slot("delta", 0), [[0.75 / 4, -0.75 / 4, 0.5 / 4, 0.75 / 4]]),
    "kink-mean-absolute-error": (Slot("delta", 0), [[0.0, -0.25, 0.0, -0.25]]),
    "kink-hinge": (Slot("delta", 0), [[0.0, 1.0, -1.0, 0.0]]),
}


@pytest.mark.parametrize("name", list(KINKS))
@each_dtype
def test_the_convention_at_a_kink_is_judged(name: str, dtype: str) -> None:
    """z on a kink is exact in every arithmetic, so the other derivative is a finding, not rounding."""
    expected: Expected = expect(_named(name).rounded(dtype), dtype)
    slot, values = KINKS[name]
    if values is not None:
        assert expected.values[slot].tolist() == values
    assert (expected.allowed[slot] < 1e-5).all()
    if name.removeprefix("kink-") in ("relu", "hard-tanh"):
        assert expected.allowed[Slot("z", 0)].max() < 1e-30

"""From failures to causes: which bug explains which case, in which order, and what a further case decides."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from asking import cases, compared
from tiny import SUPPORTS, implementation

from backprop_check import check
from backprop_check.case.network import Case
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.cause import Cause, Failure
from backprop_check.diagnose.causes import Diagnostician
from backprop_check.diagnose.effort import Effort

Json = dict[str, Any]


def diagnosed(
    function: Any, chosen: Any, *, asking: bool = True, effort: Effort | None = None
) -> tuple[list[Cause], list[str]]:
    """The causes, and the ids of the further cases that were sent to distinguish candidate bugs."""
    found, asked = Diagnostician(), []
    for case in chosen:
        comparison = compared(case, function)
        if comparison.count:
            found.failed(Failure(case, comparison.mismatches, comparison.actual))
        else:
            found.passed(case, list(comparison.actual))

    def ask(case: Case) -> Any:
        if not {layer.activation for layer in case.network.layers} <= set(SUPPORTS["activations"]):
            return None
        if case.loss.kind not in SUPPORTS["losses"]:
            return None
        asked.append(case.id)
        return compared(case, function).actual

    return found.causes(effort, ask if asking else None), asked


def ambiguous() -> Case:
    """One hidden neuron and one output, one sample: several bugs give the same numbers here."""
    neuron = {"kind": "dense", "units": 1, "parameters": {"weights": [[0.5]], "biases": [0.25]}}
    return Case.from_dict(
        {
            "name": "ambiguous",
            "network": {
                "inputs": 1,
                "layers": [{**neuron, "activation": "tanh"}, {**neuron, "activation": "identity"}],
            },
            "loss": {"kind": "squared_error"},
            "reduction": "mean",
            "inputs": [[0.5]],
            "targets": [[-0.25]],
        }
    )


def test_a_further_case_tells_names_apart() -> None:
    """With one output a mean is a sum: without further cases several names fit, with one of them a single name is left.

    Most generated cases are not supported by this implementation: such a case decides nothing, and another
    one is looked for.
    """
    function = implementation("factor-two-missing")
    alone, none = diagnosed(function, [ambiguous()], asking=False)
    assert none == []
    assert len({alone[0].code, *alone[0].equivalent}) > 1
    assert "BP302" in {alone[0].code, *alone[0].equivalent}
    told, asked = diagnosed(function, [ambiguous()])
    assert asked
    assert (told[0].code, told[0].equivalent) == ("BP302", [])


def test_equivalents_stay_where_no_answer_comes() -> None:
    """Bugs that cannot be distinguished are all listed, not guessed between."""
    found = Diagnostician()
    case = ambiguous()
    comparison = compared(case, implementation("factor-two-missing"))
    found.failed(Failure(case, comparison.mismatches, comparison.actual))
    (cause,) = found.causes(None, lambda _: None)
    assert cause.equivalent


def test_passing_cases_refute() -> None:
    """A bug that would have shown in a case that passed is not the name: one broken case among right ones gets none."""
    right, wrong = implementation(), implementation("hidden-derivative-missing")
    deep = [case for case in cases()[:20] if len(case.network.layers) > 1]

    def once(case: Json) -> Json:
        return wrong(case) if case["id"] == deep[3].id else right(case)

    causes, _ = diagnosed(once, deep)
    assert all(cause.code != "BP102" or cause.scope for cause in causes)
    assert sum(cause.cases for cause in causes) == 1


def test_nothing_failed() -> None:
    """No cause, and no work."""
    assert diagnosed(implementation(), cases()[:5], effort=Effort.of(0)) == ([], [])


def test_a_pair_explains_its_own_cases() -> None:
    """Each of two causes lists the cases in which it matters; together they are every failing case."""
    causes, _ = diagnosed(implementation("hidden-derivative-missing", "bias-gradient-shared"), cases()[:20])
    assert [cause.code for cause in causes] == ["BP102", "BP115"]
    deep = {case.id for case in cases()[:20] if len(case.network.layers) > 1}
    assert set(causes[0].explains) <= deep
    assert causes[1].cases > causes[0].cases


def test_the_form_of_a_reply_comes_first() -> None:
    """A missing array is a cause of its own, before the wrong numbers."""
    wrong = implementation("hidden-derivative-missing")

    def spoilt(case: Json) -> Json:
        reply = wrong(case)
        for layer in reply["layers"]:
            del layer["gradients"]["biases"]
        return reply

    causes, _ = diagnosed(spoilt, cases()[:14])
    assert [cause.code for cause in causes][:1] == ["BP114"]
    assert "BP102" in {cause.code for cause in causes}
    assert "bias gradient (missing)" in causes[0].detail


def test_errors_that_are_overflows() -> None:
    """An implementation that answers with an overflow error gets that name; other errors get none."""

    def overflowing(case: Json) -> Json:
        if case["network"]["layers"][-1]["activation"] == "sigmoid":
            raise OverflowError("math range error")
        return implementation()(case)

    def failing(case: Json) -> Json:
        raise KeyError(case["id"])

    for function in (overflowing, failing):
        function.supports = SUPPORTS  # type: ignore[attr-defined]
    results = check(overflowing, cases=cases()[:20])
    assert [cause.code for cause in results.causes] == ["BP005"]
    assert results.causes[0].cases == results.summary.counts["errors"] > 0
    assert check(failing, cases=cases()[:5]).causes == []


def test_what_is_not_finite_has_a_name() -> None:
    """NaN in every δ of a hidden layer."""

    def spoilt(case: Json) -> Json:
        reply = implementation()(case)
        for layer in reply["layers"][:-1]:
            layer["delta"] = np.full_like(layer["delta"], np.nan)
            layer["gradients"] = {name: np.full_like(x, np.nan) for name, x in layer["gradients"].items()}
        return reply

    causes, _ = diagnosed(spoilt, cases()[:14])
    assert [cause.code for cause in causes] == ["BP004"]
    assert "delta" in causes[0].detail


def test_where_the_work_is_spent_no_claim_is_made() -> None:
    """With no effort left there is a cause without a name; and it does not say that no known bug fits."""
    (cause,), _ = diagnosed(implementation("hidden-derivative-missing"), cases()[:14], effort=Effort.of(0))
    assert (cause.code, cause.title) == (None, "no name found")
    assert "some of the usual mistakes" in cause.sentence
    assert "No bug of the catalogue gives these numbers" not in cause.sentence


@pytest.mark.thorough
def test_diagnosis_never_fails_a_run() -> None:
    """Whatever numbers a reply holds: there are causes or none, and no exception."""
    rng = np.random.default_rng(5)

    def noise(case: Json) -> Json:
        reply = implementation()(case)
        for layer in reply["layers"]:
            for name in ("z", "a", "delta"):
                layer[name] = rng.choice([np.nan, np.inf, 0.0, 1e308, -1e-320], np.shape(layer[name]))
            layer["gradients"] = {
                name: rng.choice([0.0, 1e300, np.inf, -1.0], np.shape(x)) for name, x in layer["gradients"].items()
            }
        return reply

    causes, _ = diagnosed(noise, cases()[:14])
    assert causes
    assert sum(cause.cases for cause in causes) >= 14


@pytest.mark.parametrize("mistake", ["hidden-derivative-missing", "weights-squared"])
def test_a_cause_is_data(mistake: str) -> None:
    """Every field can be written as JSON, and the counts agree."""
    causes, _ = diagnosed(implementation(mistake), cases()[:14])
    for cause in causes:
        data = msgspec.json.decode(msgspec.json.encode(cause))
        assert data["cases"] == len(data["explains"]) > 0
        assert data["first_case"] == data["explains"][0]
        assert data["sentence"].endswith(".")
        assert bool(data["code"]) == bool(data["fix"])
        assert bool(data["right"]) == bool(data["implemented"])


def test_slots_of_the_passing_cases_decide() -> None:
    """A name is not refuted by a passing case that did not report what the bug would have changed."""
    case = cases()[0]
    found = Diagnostician()
    found.passed(case, [Slot("loss")])
    assert expect(case).values.keys() > {Slot("loss")}
    assert found.causes() == []

"""Names for whole programs with one mistake or two, written independently of the stages that name them."""

from __future__ import annotations

from typing import Any

import pytest
from asking import cases, judged, named
from tiny import implementation

from backprop_check import check


def causes_of(
    *mistakes: str, report: str = "all", count: int = 16, **parameters: Any
) -> list[tuple[str | None, str, str]]:
    """Code, scope and detail of the causes that the diagnosis finds in that many cases (more for a parameter)."""
    chosen = cases()[: count if mistakes else 40]
    return named(judged(implementation(*mistakes, report=report, **parameters), chosen))


@pytest.mark.parametrize("report", ["all", "gradients"])
@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ("hidden-derivative-missing", "BP102"),
        ("updated-too-early", "BP107"),
        ("bias-missing", "BP201"),
        ("bias-gradient-shared", "BP115"),
        ("factor-two-missing", "BP302"),
        ("last-input-skipped", "BP124"),
    ],
)
def test_named(mistake: str, code: str, report: str) -> None:
    """One mistake everywhere: its name and no other, without a restriction."""
    found = causes_of(mistake, report=report)
    assert [(each[0], each[1]) for each in found] == [(code, "")]


@pytest.mark.parametrize(("mistake", "code"), [("gradient-ascent", "BP501"), ("rate-twice", "BP503")])
def test_named_by_the_update(mistake: str, code: str) -> None:
    """What shows in updated parameters only."""
    assert [each[0] for each in causes_of(mistake)] == [code]


@pytest.mark.thorough
@pytest.mark.parametrize("report", ["all", "gradients"])
@pytest.mark.parametrize(
    ("mistake", "code", "scope"),
    [
        ("derivative-missing-in-layer-0", "BP102", "in layer 0 only"),
        ("derivative-missing-in-neuron-1", "BP102", "in neuron 1 of layer 0 only"),
        ("tanh-derivative-missing", "BP102", "in tanh layers only"),
    ],
)
def test_restricted(mistake: str, code: str, scope: str, report: str) -> None:
    """A mistake in one place only is named with that place, where there are enough cases to decide it."""
    found = causes_of(mistake, report=report, count=40)
    assert [(each[0], each[1]) for each in found] == [(code, scope)]


@pytest.mark.thorough
@pytest.mark.parametrize("report", ["all", "gradients"])
def test_a_pair_of_bugs(report: str) -> None:
    """Two mistakes at once are two causes, the one to fix first before the other."""
    found = causes_of("hidden-derivative-missing", "bias-gradient-shared", report=report)
    assert [each[0] for each in found] == ["BP102", "BP115"]


@pytest.mark.thorough
def test_a_pair_that_includes_the_forward_pass() -> None:
    """The mistake in the forward pass comes first."""
    found = causes_of("hidden-derivative-missing", "bias-missing")
    assert [each[0] for each in found] == ["BP201", "BP102"]


@pytest.mark.parametrize(
    ("parameters", "code", "detail"),
    [
        ({"epsilon": 1e-7}, "BP307", "ε = 1e-07"),
        ({"epsilon": 1e-10}, "BP307", "ε = 1e-10"),
        ({"alpha": 0.1}, "BP121", "α = 0.1"),
        ({"alpha": 0.3}, "BP121", "α = 0.3"),
        ({"digits": 7}, "BP001", "7 significant digits fit"),
        ({"digits": 10}, "BP001", "10 significant digits fit"),
    ],
)
def test_a_parameter_is_fitted(parameters: dict[str, Any], code: str, detail: str) -> None:
    """Which ε, which α, how many digits."""
    found = causes_of(**parameters)
    assert [each[0] for each in found] == [code]
    assert detail in found[0][2]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mistake", "report", "quantity"),
    [
        ("weights-squared", "all", "delta"),
        ("tanh-of-delta", "gradients", ""),
        ("absolute-weights", "all", "weight gradient"),
        ("gradient-73", "gradients", ""),
        ("neighbour-added", "all", "delta"),
        ("output-delta-root", "gradients", ""),
        ("bias-twice", "all", "z"),
    ],
)
def test_no_name_for_what_the_catalogue_does_not_have(mistake: str, report: str, quantity: str) -> None:
    """The cause says the formula that was written, or "no name fits" with the pattern of the wrong values."""
    results = judged(implementation(mistake, report=report), cases()[:14])
    assert {cause.code for cause in results.causes} == {None}
    cause = results.causes[0]
    is_formula = mistake in ("weights-squared", "absolute-weights", "bias-twice") and report == "all"
    assert cause.title == ("another formula was written" if is_formula else "no name fits")
    assert len({id_ for each in results.causes for id_ in each.explains}) == len(results.failed) > 3
    if is_formula:
        assert cause.implemented
    elif quantity:
        assert f"wrong given their own inputs: {quantity}" in cause.sentence


def test_single_precision_said_so_has_no_findings() -> None:
    """float32 arithmetic is right where the implementation declares float32."""
    results = check(implementation(dtype="float32"), cases=cases())
    assert results.failed == []
    assert results.causes == []
    assert results.summary.counts["passed"] == len(cases())


def test_single_precision_passed_off_as_double_is_named() -> None:
    """The same arithmetic declared as float64 is BP002."""
    single = implementation(dtype="float32")
    results = check(single, cases=cases()[:30], dtype="float64")
    assert [cause.code for cause in results.causes] == ["BP002"]


def test_a_bug_in_single_precision_is_named() -> None:
    """Names are found within the bounds of float32, too."""
    results = judged(implementation("hidden-derivative-missing", dtype="float32"), cases()[:20])
    assert [cause.code for cause in results.causes] == ["BP102"]


def test_a_right_implementation_has_no_causes() -> None:
    """A right implementation gets no cause."""
    results = check(implementation(), cases=cases())
    assert (results.failed, results.causes, results.conclusion.failed) == ([], [], [])

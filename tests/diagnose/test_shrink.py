"""The smallest network that shows a cause."""

from __future__ import annotations

from typing import Any

import pytest
from asking import cases, deep
from tiny import implementation

from backprop_check.case.network import Case
from backprop_check.diagnose.effort import Effort
from backprop_check.diagnose.shrink import shrink
from backprop_check.protocol import CallableImplementation
from backprop_check.running.judging import Run
from backprop_check.running.kept_failures import keep, kept_failures
from backprop_check.running.one_case import judge


def neurons(case: Case) -> int:
    return sum(layer.units for layer in case.network.layers)


def smallest(function: Any, count: int = 20) -> tuple[Run, Any, Case | None]:
    """The run, its first cause, and its smallest network."""
    run = Run(CallableImplementation(function))
    for _ in run.judge(cases()[:count]):
        pass
    (cause, *_) = run.conclude().causes
    return run, cause, run.smallest(cause)


@pytest.mark.parametrize(
    ("mistakes", "parameters", "most"),
    [
        (["hidden-derivative-missing"], {}, 3),
        (["updated-too-early"], {}, 3),
        (["bias-missing"], {}, 1),
        (["bias-gradient-shared"], {}, 3),
        (["factor-two-missing"], {}, 2),
        (["gradient-ascent"], {}, 2),
        (["last-input-skipped"], {}, 2),
        ([], {"digits": 7}, 2),
        (["weights-squared"], {}, 3),
        (["gradient-73"], {}, 2),
    ],
)
def test_at_most_three_neurons(mistakes: list[str], parameters: dict[str, Any], most: int) -> None:
    """A single-stage bug is shown by a network that fits on a sheet of paper, and still fails there."""
    function = implementation(*mistakes, **parameters)
    _, _, case = smallest(function)
    assert case is not None
    assert neurons(case) <= most, case.id
    assert len(case.inputs) <= 2
    (result,) = judge([case], CallableImplementation(function))
    assert result.outcome == "mismatched"


def test_it_fails_for_the_same_cause() -> None:
    """Judged alone, the smallest network gets the same name."""
    function = implementation("hidden-derivative-missing")
    _, cause, case = smallest(function)
    assert case is not None
    run = Run(CallableImplementation(function))
    assert [each.result.outcome for each in run.judge([case])] == ["mismatched"]
    again = run.conclude().causes
    assert cause.code in {code for each in again for code in (each.code, *each.equivalent)}


def test_of_two_causes_each_has_its_own() -> None:
    """A network that shows one bug of a pair is not shrunk to one that shows only the other."""
    function = implementation("hidden-derivative-missing", "bias-gradient-shared")
    run = Run(CallableImplementation(function))
    for _ in run.judge(cases()[:16]):
        pass
    causes = run.conclude().causes
    assert [cause.code for cause in causes] == ["BP102", "BP115"]
    for cause in causes:
        case = run.smallest(cause)
        assert case is not None
        if cause.code == "BP102":
            assert len(case.network.layers) > 1, case.id


def test_what_is_no_case_is_never_asked() -> None:
    """``holds`` gets valid cases only, each once, and never a larger one."""
    case, asked = deep(samples=2), []

    def holds(candidate: Case) -> bool:
        asked.append(candidate.id)
        assert neurons(candidate) <= len(candidate.network.layers) * max(x.units for x in case.network.layers)
        assert Case.from_dict(candidate.to_dict()).id == candidate.id
        return len(candidate.network.layers) > 1

    found = shrink(case, holds)
    assert len(asked) == len(set(asked))
    assert found.id in asked
    assert neurons(found) == len(found.network.layers) == 2 or neurons(found) <= 3


def test_nothing_smaller_shows_it() -> None:
    """The case itself, where no reduction shows the bug."""
    case = deep()
    assert shrink(case, lambda _: False) is case


def asked_about(effort: Effort, *, among: int = 1) -> list[str]:
    """The cases that are tried within an effort, up to a network of two layers."""
    asked: list[str] = []

    def holds(case: Case) -> bool:
        asked.append(case.id)
        return len(case.network.layers) > 1

    shrink(deep(samples=2), holds, effort, among=among)
    return asked


def test_questions_are_bounded() -> None:
    """The number of tries is bounded, and an effort's tries are divided among the causes."""
    whole = asked_about(Effort.of(None, None))
    assert 12 < len(whole) <= 200
    effort = Effort(questions=7)
    assert asked_about(effort) == whole[:7]
    assert effort.questions == 0
    assert asked_about(effort) == []
    assert asked_about(Effort(questions=7), among=3) == whole[:3]


def test_work_is_bounded() -> None:
    """It is counted: the same every time, whatever else the machine does."""
    whole = asked_about(Effort.of(None, None))
    few = [asked_about(Effort(smallest=1_000_000)) for _ in range(2)]
    assert few[0] == few[1] == whole[: len(few[0])]
    assert 0 < len(few[0]) < len(whole)
    assert asked_about(Effort(smallest=0)) == []


def test_a_user_s_time_is_bounded() -> None:
    """When the user's time limit is over, nothing more is tried."""
    assert asked_about(Effort.within(0.0)) == []
    assert asked_about(Effort.within(3600.0)) == asked_about(Effort())


def test_a_limit_never_changes_an_answer() -> None:
    """An answer given before the limit still holds after it: a slow port loses no verdict (it once caused an
    exception).
    """
    for questions in range(1, 40):
        case = shrink(deep(samples=2), lambda each: len(each.network.layers) < 3, Effort(questions=questions))
        assert len(case.network.layers) < 3 or case.id == deep(samples=2).id


def test_what_cannot_show_it_is_not_asked_about() -> None:
    """Where the bug's own mathematics says that a case does not show it, the case is not tried."""
    asked: list[Case] = []

    def holds(case: Case) -> bool:
        asked.append(case)
        return True

    shrink(deep(samples=2), holds, may_hold=lambda case: len(case.network.layers) > 1)
    assert asked
    assert all(len(case.network.layers) > 1 for case in asked)


def test_the_same_result_every_time() -> None:
    """The search uses no randomness."""
    case = deep(samples=2)
    found = {shrink(case, lambda each: len(each.network.layers) > 1).id for _ in range(2)}
    assert len(found) == 1


def test_a_kept_one_replays(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written and read, it is the same case, and fails; for a right implementation it passes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    function = implementation("hidden-derivative-missing")
    _, cause, case = smallest(function)
    assert case is not None
    keep(case, code=cause.code, sentence=cause.sentence, found_in=cause.first_case, command="x", root=tmp_path)
    (kept,) = kept_failures(tmp_path)
    assert (kept.code, kept.command) == (cause.code, "x")
    assert kept.file.case.request().split(b'"network"')[1] == case.request().split(b'"network"')[1]
    for again, outcome in ((function, "mismatched"), (implementation(), "passed")):
        assert [each.outcome for each in judge([kept.file.case], CallableImplementation(again))] == [outcome]

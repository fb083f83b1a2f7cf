"""The results file: valid JSON at every moment, and the same numbers everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from backprop_check.compare.compare import Mismatch
from backprop_check.diagnose.cause import Cause
from backprop_check.errors import ResultsError
from backprop_check.protocol import ImplementationInfo
from backprop_check.running.one_case import Outcome, Result
from backprop_check.running.results_file import Conclusion, ResultsFile, Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INFO = ImplementationInfo(name="n", language="l", version="v", command="c", dtype="float64")
OUTCOMES: tuple[Outcome, ...] = (
    "passed", "mismatched", "error", "crash", "timeout", "protocol_error", "skipped", "not_applicable", "not_run",
)  # fmt: skip


def result(number: int, outcome: Outcome = "passed", **more: Any) -> Result:
    return Result(id=f"case-{number}", outcome=outcome, values_checked=10, neurons_checked=2, **more)


def opened(path: Path) -> ResultsFile:
    return ResultsFile(path, INFO, {"seed": 3, "profile": "textbook"}, ["run", "c"])


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_whole_after_every_result(tmp_path: Path) -> None:
    """At any moment another program can read the finished results, and that they are not complete."""
    path = tmp_path / "deep" / "r.json"
    with opened(path) as file:
        assert read(path)["cases"] == []
        for number in range(5):
            file.add(result(number, "passed" if number % 2 else "mismatched", message="ä" * 50))
            data = read(path)
            assert [case["id"] for case in data["cases"]] == [f"case-{n}" for n in range(number + 1)]
            assert data["summary"]["cases"] == number + 1
            assert data["summary"]["complete"] is False
            assert data["harness"]["seed"] == 3
    assert read(path)["summary"]["complete"] is False


def test_finished(tmp_path: Path) -> None:
    """Complete, with the causes, and each failing case's names; one line per case; no other file is left in the
    folder.
    """
    path = tmp_path / "r.json"
    cause = Cause(code="BP102", bug="hidden-derivative-missing", title="t", sentence="s", cases=1, explains=["case-1"])
    with opened(path) as file:
        for number in range(3):
            file.add(result(number, "mismatched" if number else "passed"))
        file.finish(Conclusion([cause]))
    data = read(path)
    assert data["summary"]["complete"] is True
    assert [case["diagnosis"] for case in data["cases"]] == [[], ["hidden-derivative-missing"], []]
    assert data["diagnoses"][0]["code"] == "BP102"
    assert sum(line.startswith(b'{"id":') for line in path.read_bytes().splitlines()) == 3
    assert list(tmp_path.iterdir()) == [path]


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("{}")
    other.replace(path)


def _overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"xyz")


def _added_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


DISTURBED: list[tuple[str, Callable[[Path], object], str]] = [
    ("emptied", lambda path: path.write_bytes(b""), "was cut or made longer, from"),
    ("added to", _added_to, "was cut or made longer, from"),
    ("removed", lambda path: path.unlink(), "was removed or replaced"),
    ("replaced", _replaced, "was removed or replaced"),
    ("overwritten", _overwritten, "was overwritten"),
    ("right in its cases", lambda path: path.write_bytes(path.read_bytes().replace(b"mismatched", b"passedpass")),
     "was overwritten"),
]  # fmt: skip


@pytest.mark.parametrize("again", [False, True], ids=["at the end", "in the middle"])
@pytest.mark.parametrize(("disturb", "how"), [pytest.param(*each[1:], id=each[0]) for each in DISTURBED])
def test_who_else_writes_to_it_is_noticed_and_harms_nothing(
    disturb: Callable[[Path], object], how: str, tmp_path: Path, *, again: bool
) -> None:
    """The file at the end is that of an undisturbed run, with a note that says what was done to it."""
    texts = []
    for name, harm in (("calm.json", lambda _: None), ("r.json", disturb)):
        with opened(tmp_path / name) as file:
            for number in range(4):
                file.add(result(number, "mismatched" if number == 1 else "passed", message="m" * 100))
                if number == 2:
                    harm(tmp_path / name)
                    if not again:
                        break
            file.finish(Conclusion())
            texts.append(file.disturbed)
    assert texts[0] == ""
    assert how in texts[1]
    assert "an implementation must not write there" in texts[1]
    calm, found = read(tmp_path / "calm.json"), read(tmp_path / "r.json")
    assert found.pop("notes") == [texts[1]]
    assert calm.pop("notes") == []
    assert found == calm


def test_in_the_middle_it_is_whole_again_with_the_next_result(tmp_path: Path) -> None:
    """A run that is killed later still leaves all finished results."""
    path = tmp_path / "r.json"
    with opened(path) as file:
        file.add(result(0))
        path.write_bytes(b"")
        file.add(result(1))
        assert [case["id"] for case in read(path)["cases"]] == ["case-0", "case-1"]
        path.unlink()
        file.add(result(2))
        assert [case["id"] for case in read(path)["cases"]] == ["case-0", "case-1", "case-2"]


def test_where_its_name_is_taken_it_stands_beside(tmp_path: Path) -> None:
    """If a folder has its name now, the sentence says where the results are."""
    path = tmp_path / "r.json"
    with opened(path) as file:
        file.add(result(0))
        path.unlink()
        (path / "x").mkdir(parents=True)
        file.add(result(1))
        with pytest.raises(ResultsError, match=r"they are in .*r-kept\.json"):
            file.finish(Conclusion())
    assert [case["id"] for case in read(tmp_path / "r-kept.json")["cases"]] == ["case-0", "case-1"]


def test_a_shorter_tail_leaves_no_rest(tmp_path: Path) -> None:
    """The closing part is overwritten; nothing of a longer one remains after it."""
    path = tmp_path / "r.json"
    path.write_text("x" * 100_000)
    with opened(path) as file:
        file.add(result(0))
        assert read(path)["summary"]["cases"] == 1
        file.finish(Conclusion(), complete=False)
    assert read(path)["summary"]["complete"] is False


def test_texts_that_look_like_json_stay_texts(tmp_path: Path) -> None:
    """Untrusted messages with quotes, newlines and ends of lists do not end the list."""
    path = tmp_path / "r.json"
    hostile = '"}\n],"summary":{"complete":true}} \u2028 "outcome":"mismatched"'
    with opened(path) as file:
        file.add(result(0, "error", message=hostile, notes=[hostile]))
        file.add(result(1, "mismatched", message=hostile))
        file.finish(Conclusion([Cause(code=None, bug="b", title="", sentence="", explains=["case-0", "case-1"])]))
    data = read(path)
    assert [case["message"] for case in data["cases"]] == [hostile, hostile]
    assert data["cases"][0]["notes"] == [hostile]
    assert data["cases"][1]["diagnosis"] == ["b"]


def test_not_finite_numbers_are_the_protocols_strings(tmp_path: Path) -> None:
    """A mismatch with an infinity is written and read as JSON."""
    path = tmp_path / "r.json"
    with opened(path) as file:
        file.add(result(0, "mismatched", mismatches=[Mismatch(quantity="z", actual="Infinity", error="NaN")]))
        file.finish(Conclusion())
    (one,) = read(path)["cases"][0]["mismatches"]
    assert (one["actual"], one["error"]) == ("Infinity", "NaN")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_counted_once(outcome: Outcome) -> None:
    """Each outcome has its count and may fail the run; a case that is not applicable does not count as a case."""
    summary = Summary()
    summary.add(result(0, outcome))
    counts = {name: n for name, n in summary.counts.items() if n}
    assert list(counts.values()) == [1]
    assert summary.cases == (0 if outcome == "not_applicable" else 1)
    assert summary.failed == (0 if outcome in ("passed", "skipped", "not_applicable") else 1)
    assert (summary.values_checked, summary.neurons_checked) == (10, 2)
    plural = {"error": "errors", "crash": "crashes", "timeout": "timeouts", "protocol_error": "protocol_errors"}
    assert summary.to_dict()[plural.get(outcome, outcome)] == 1


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    """One sentence with the path and the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"file/r\.json cannot be written: .*choose another path"):
        opened(tmp_path / "file" / "r.json")

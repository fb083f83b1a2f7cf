"""``check``, and the methods of its results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import command_line
import numpy as np
import pytest
import small_port

from backprop_check import check
from backprop_check.api import VALUES, Mismatched
from backprop_check.cases.generate import generated_cases
from backprop_check.compare.compare import Mismatch
from backprop_check.compare.expected import expect
from backprop_check.errors import BackpropCheckError, ConfigurationError, StartError

if TYPE_CHECKING:
    from pathlib import Path

    from backprop_check import Results

GENERATED: Any = {"suites": ["generated"]}


@pytest.fixture(scope="module")
def wrong() -> Results:
    return check(small_port.hidden, cases=12, keep_values=True, **GENERATED)


@pytest.fixture(scope="module")
def right() -> Results:
    return check(small_port.right, cases=6, keep_values=True, **GENERATED)


def test_repr(right: Results, wrong: Results) -> None:
    """A one-line summary."""
    assert repr(right) == "<Results: 6 of 6 cases passed>"
    assert repr(wrong) == f"<Results: {12 - len(wrong.failed)} of 12 cases passed>"


def test_raise_for_mismatch(right: Results, wrong: Results) -> None:
    """Nothing for a right implementation; for a wrong one an AssertionError with count, cause, help and the first
    cases.
    """
    right.raise_for_mismatch()
    with pytest.raises(AssertionError) as caught:
        wrong.raise_for_mismatch()
    assert isinstance(caught.value, Mismatched)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{len(wrong.failed)} of 12 judged cases fail"
    assert lines[1].startswith("BP102: ")
    assert wrong.causes[0].fix in lines[1]
    assert lines[2].startswith(f"{wrong.failed[0].id}: mismatched: first wrong value: the delta")
    assert len(lines) == 2 + min(5, len(wrong.failed))


def test_nothing_judged_is_no_success() -> None:
    """A callable that supports nothing has not passed."""

    def nothing(case: Any) -> Any:
        return small_port.right(case)

    nothing.supports = {"activations": []}  # type: ignore[attr-defined]
    results = check(nothing, cases=3, **GENERATED)
    assert results.summary.cases == 0
    with pytest.raises(Mismatched, match="no case was judged"):
        results.raise_for_mismatch()


def test_mismatches_as_a_data_frame(right: Results, wrong: Results) -> None:
    """One row per mismatch, with case, diagnosis and all of the mismatch's fields; the same columns without rows."""
    frame = wrong.to_dataframe()
    assert len(frame) == sum(len(case.mismatches) for case in wrong.cases)
    assert set(frame["diagnosis"]) == {"hidden-derivative-missing"}
    assert set(frame.columns) >= set(Mismatch.__struct_fields__) | {"case", "outcome"}
    first = frame.groupby("case", sort=False).first()
    assert set(first["origin"]) == {"root"}
    assert set(first["quantity"]) == {"delta"}
    empty = right.to_dataframe()
    assert len(empty) == 0
    assert list(empty.columns) == list(frame.columns)


def test_values_as_a_data_frame(right: Results, wrong: Results) -> None:
    """One row per compared value: as many as the summary counts, right where the results say so."""
    frame = right.to_dataframe("values")
    assert list(frame.columns) == list(VALUES)
    assert frame["ok"].all()
    assert len(frame) == right.summary.values_checked
    assert (frame["error"] <= frame["allowed"]).all()
    case = next(iter(generated_cases(6, 0)))
    assert set(frame["case"]) >= {case.id}
    z = frame[(frame["case"] == case.id) & (frame["quantity"] == "z") & (frame["layer"] == 0)]
    expected = next(array for slot, array in expect(case).values.items() if slot.quantity == "z" and slot.layer == 0)
    assert z["expected"].tolist() == expected.ravel().tolist()
    assert z["neuron"].tolist() == list(range(expected.shape[1])) * expected.shape[0]
    bad = wrong.to_dataframe("values")
    assert set(bad[~bad["ok"]]["case"]) == {case.id for case in wrong.failed}
    assert (~bad["ok"]).sum() == sum(case.mismatch_count for case in wrong.cases)


def test_values_are_judged_as_the_run_judged_them() -> None:
    """With ``dtype``, ``profile`` and ``rtol`` the rows agree with the cases: no row of a passed case is wrong."""

    def single(case: Any) -> Any:
        reply = small_port.right(case)

        def rounded(value: Any) -> Any:
            if isinstance(value, list):
                return [rounded(item) for item in value]
            if isinstance(value, dict):
                return {key: rounded(item) if key != "id" else item for key, item in value.items()}
            return float(np.float32(value))

        return rounded(reply)

    results = check(single, cases=6, dtype="float32", keep_values=True, **GENERATED)
    assert results.failed == []
    assert results.to_dataframe("values")["ok"].all()
    loose = check(single, cases=6, rtol=1e-4, atol=1e-4, keep_values=True, **GENERATED)
    assert loose.failed == []
    assert loose.to_dataframe("values")["ok"].all()


def test_html(wrong: Results, tmp_path: Path) -> None:
    """The report as a file, and a summary for notebooks that names the cause."""
    path = wrong.to_html(tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert "BP102" in text
    summary = wrong._repr_html_()
    assert "BP102" in summary
    assert "<html" not in summary
    assert "<script" not in summary


def test_as_a_results_file_holds_them(wrong: Results) -> None:
    """The same parts as ``--json``."""
    data = wrong.to_dict()
    assert data["schema"] == 1
    assert data["summary"]["complete"] is True
    assert data["implementation"]["name"] == "hidden"
    assert [each["code"] for each in data["diagnoses"]] == ["BP102"]
    assert len(data["cases"]) == 12


def test_cases_of_ones_own_and_an_impl_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any iterable of cases; an IMPL as on the command line."""
    own = list(generated_cases(3, 9))
    assert [case.id for case in check(small_port.right, cases=iter(own)).cases] == [case.id for case in own]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "api_net.py").write_text("from small_port import right as backprop\n")
    assert check("python:api_net:backprop", cases=2, **GENERATED).summary.counts["passed"] == 2


@pytest.mark.parametrize(
    ("function", "outcome", "said"),
    [
        (lambda case: 1 / 0, "error", "ZeroDivisionError"),  # noqa: ARG005
        (lambda case: None, "protocol_error", "where a dict is expected"),  # noqa: ARG005
        (lambda case: {}, "mismatched", "got 0 layers"),  # noqa: ARG005
        (lambda case: {"id": "x"}, "protocol_error", "id"),  # noqa: ARG005
        (lambda case: {"skip": "later"}, "skipped", "later"),  # noqa: ARG005
        (lambda case: {"layers": object()}, "protocol_error", "object"),  # noqa: ARG005
    ],
)
def test_whatever_a_callable_does_is_an_outcome(function: Any, outcome: str, said: str) -> None:
    """No exception of the implementation reaches the caller."""
    results = check(function, cases=3, **GENERATED)
    assert {case.outcome for case in results.cases} == {outcome}
    assert all(said in case.message for case in results.cases)


def test_what_the_caller_does_wrong_is_raised() -> None:
    """As one of the package's own exceptions."""
    with pytest.raises(ConfigurationError, match="nonsense"):
        check(small_port.right, suites=["nonsense"])
    with pytest.raises(BackpropCheckError, match="no-such-program"):
        check("no-such-program-anywhere")


def test_a_configured_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up in the folder's configuration, as by the command line; any other word is a command."""
    monkeypatch.chdir(tmp_path)
    command = json.dumps(command_line.small_port("right"))
    (tmp_path / "backprop-check.toml").write_text(f"[implementations.mine]\ncommand = {command}\n")
    assert check("mine", cases=2, **GENERATED).summary.counts["passed"] == 2
    with pytest.raises(StartError, match='the command "yours" was not found'):
        check("yours", cases=2, **GENERATED)


def test_what_the_witnesses_said_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time the witnesses compute nothing, with the same results; with cache=False they do."""
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(tmp_path))
    first = check(small_port.right, cases=20, **GENERATED)
    assert list(tmp_path.glob("*.chunk"))
    monkeypatch.setattr("backprop_check.running.chunks.witnesses", None)
    again = check(small_port.right, cases=20, **GENERATED)
    assert [each.id for each in again.cases] == [each.id for each in first.cases]
    assert again.summary.to_dict() == first.summary.to_dict()
    monkeypatch.undo()
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(tmp_path / "other"))
    check(small_port.right, cases=2, cache=False, **GENERATED)
    assert not (tmp_path / "other").exists()

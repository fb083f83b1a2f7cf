"""Layers beyond the dense chain, from the command line to every written file: no output says "neuron 14"."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner, Result

import backprop_check
from backprop_check.case.network import Case
from backprop_check.cases.families import family_cases
from backprop_check.cases.files import read_case_file
from backprop_check.cli import main
from backprop_check.compare.expected import expect
from backprop_check.compare.reply_form import as_reply
from backprop_check.report.html import render

pytest_plugins = ["pytester"]

IMPLEMENTATION = """
import numpy as np
from backprop_check.compare.expected import expect
from backprop_check.case.network import Case
from backprop_check.compare.reply_form import as_reply


def right(request):
    case = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
    expected = expect(case)
    return {"id": request["id"], **as_reply(expected.values, len(case.network.layers), form=expected.form)}


def wrong(request):
    reply = right(request)
    for layer, told in zip(request["network"]["layers"], reply["layers"]):
        if layer["kind"] == "conv2d":
            weight = np.array(told["gradients"]["weight"])
            weight[-1, 0, 0, 0] += 1
            told["gradients"]["weight"] = weight.tolist()
    return reply


right.supports = wrong.supports = {"layers": ["dense", "conv2d"]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with two implementations."""
    (tmp_path / "mine.py").write_text(IMPLEMENTATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[1]}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BACKPROP_CHECK_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result


def generated(path: Path) -> list[dict[str, Any]]:
    """The failing generated cases of a results file."""
    cases = json.loads(path.read_text())["cases"]
    return [case for case in cases if case["outcome"] == "mismatched" and case["id"].startswith("convolution-conv2d")]


def test_a_failing_run_and_all_its_files(folder: Path) -> None:
    """Terminal, results, CSV, JUnit, page, kept failure: each has the weight's own indexes."""
    files = ["--json", "r.json", "--csv", "r.csv", "--junit", "r.xml", "--html", "r.html"]
    said = run("run", "python:mine:wrong", "--suite", "convolution", "--cases", "16", *files, code=1).output
    failing = generated(folder / "r.json")
    assert failing
    assert re.search(r" \w+\[\d+,0,0,0\] ", said)
    for case in failing:
        layer = case["first_wrong"]["layer"]
        weight = np.array(case["case"]["network"]["layers"][layer]["parameters"]["weight"])
        at = [len(weight) - 1, 0, 0, 0]
        assert case["first_wrong"]["at"] == at
        name = "output" if layer == len(case["case"]["network"]["layers"]) - 1 else f"hidden{layer + 1}"
        assert f"the gradient of weight [{', '.join(map(str, at))}] of {name}: expected" in case["message"]
        assert case["mismatches"][0]["at"] == at
    rows = [row for row in csv.DictReader((folder / "r.csv").open()) if row["case"] == failing[0]["id"]]
    assert rows[0]["at"] == " ".join(map(str, failing[0]["first_wrong"]["at"]))
    messages = [one.get("message", "") for one in ET.parse(folder / "r.xml").iter("failure")]  # noqa: S314 - our own
    assert any("the gradient of weight [" in message for message in messages)
    assert (folder / "r.html").stat().st_size > 100_000
    (kept,) = (folder / ".backprop-check" / "failures").iterdir()
    assert len(read_case_file(kept).case.inputs) == 1  # a smaller case that shows the cause
    assert "FAILED" in run("replay", code=1).output
    assert "FIXED" in run("replay", "--impl", "python:mine:right").output


def test_hints_only_name_the_place_and_no_number(folder: Path) -> None:
    """For students: the place only."""
    run(
        "run",
        "python:mine:wrong",
        "--suite",
        "convolution",
        "--cases",
        "24",
        "--hints-only",
        "--json",
        "h.json",
        code=1,
    )
    case = generated(folder / "h.json")[0]
    assert case["message"].startswith("the gradient is wrong: weight [")
    assert case["case"] is None
    assert all(one["expected"] is None and one["at"] for one in case["mismatches"])
    page = render([json.loads((folder / "h.json").read_text())]).decode()
    assert "weight gradient, [" in page


def test_exported_cases_are_read_and_explained(folder: Path) -> None:
    """With their expected values, in the form of a reply."""
    run("cases", "--suite", "convolution", "--cases", "12", "--export", "out")
    files = sorted((folder / "out").glob("convolution-*.json"))
    assert files
    for path in files:
        file = read_case_file(path)
        right = expect(file.case)
        found = as_reply(right.values, len(file.case.network.layers), trajectory=False, form=right.form)
        assert file.expected["layers"] == json.loads(json.dumps(found["layers"]))
    assert "Forward" in run("explain", str(files[0])).output


def test_results_in_python(folder: Path) -> None:
    """``check``: the data frames have the indexes, the notebook and the page have the sentence."""
    del folder
    cases = [case for case in family_cases("convolution", 30) if case.network.layers[0].kind == "conv2d"]

    def wrong(request: dict[str, Any]) -> dict[str, Any]:
        case = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
        right = expect(case)
        reply = as_reply(right.values, len(case.network.layers), form=right.form)
        reply["layers"][0]["a"][0][0][0][0] += 1
        return {"id": request["id"], **reply}

    wrong.supports = {"layers": sorted({layer.kind for case in cases for layer in case.network.layers})}  # type: ignore[attr-defined]
    results = backprop_check.check(wrong, cases=cases, keep_values=True)
    assert len(results.failed) == len(cases)
    assert set(map(tuple, results.to_dataframe()["at"])) >= {(0, 0, 0)}
    assert len(results.to_dataframe("values")) == sum(case.values_checked for case in results.cases)
    assert "channel 0, row 0, column 0 of" in results._repr_html_()
    with pytest.raises(backprop_check.Mismatched, match="the a of channel 0, row 0, column 0 of"):
        results.raise_for_mismatch()


@pytest.mark.thorough
def test_pytest_judges_a_family(folder: Path, pytester: pytest.Pytester) -> None:
    """``--backprop-suite=convolution``: one test per case, with the place in its message."""
    pytester.makepyprojecttoml('[tool.backprop-check.implementations.mine]\npython = "mine:wrong"\n')
    (pytester.path / "mine.py").write_text((folder / "mine.py").read_text())
    arguments = ["--backprop-check", "--backprop-suite=convolution", "--backprop-cases=12", "-p", "no:cacheprovider"]
    done = pytester.runpytest_subprocess(*arguments)
    text = done.stdout.str()
    assert "mine::kernel-1x1-" in text
    assert "the gradient of weight [" in text
    assert done.parseoutcomes()["failed"] > 0

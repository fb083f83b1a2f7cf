"""The commands end to end: exit codes, error sentences, files, and what graders must not show."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command_line import called, sentence_of, small_port
from usual_signals import AS_IN_A_TERMINAL

from backprop_check.commands.options import keeping_from
from backprop_check.compare.compare import Mismatch
from backprop_check.protocol import ImplementationInfo, Opening
from backprop_check.report.files import write_csv
from backprop_check.running.judging import Run
from backprop_check.running.one_case import Result
from backprop_check.running.results_file import Conclusion, ResultsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backprop_check.protocol import Implementation
    from backprop_check.running.chunks import Work
    from backprop_check.running.one_case import Judged

GENERATED = ("--suite", "generated", "--cases")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the files of the user's state folder in a temporary folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


# Exit codes -------------------------------------------------------------------------------------


def test_exit_0_conforms(tmp_path: Path) -> None:
    """Every case right."""
    done = called(tmp_path, "run", small_port(), *GENERATED, "8")
    assert done.exit_code == 0, done.output
    assert "computes all 8 cases right" in done.output


def test_exit_1_a_case_fails(tmp_path: Path) -> None:
    """A mismatch, its cause by name, how to run the smallest network again."""
    done = called(tmp_path, "run", small_port("hidden"), *GENERATED, "20")
    assert done.exit_code == 1, done.output
    assert "does not compute backpropagation right" in done.output
    assert "BP102" in done.output
    assert "first wrong value" in done.output
    assert "Again: backprop-check replay small-" in done.output


def test_exit_1_errors_of_the_implementation(tmp_path: Path) -> None:
    """Errors are failures, too, even if no number was wrong."""
    done = called(tmp_path, "run", small_port("bad"), *GENERATED, "8")
    assert done.exit_code == 1, done.output
    assert "2 errors" in done.output
    assert "2 skipped" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "'unclosed"], ["cannot be split", "closing quotation"]),
        (["run", ""], ["the command is empty", "dart run"]),
        (["run", "python:no_such_module:backprop"], ["no module", "no_such_module"]),
        (["run", "python:json"], ["python:module:callable"]),
        (["run", "python:json:dump_s"], ["no", "dump_s", "did you mean dumps"]),
        (["run", "x", "--suite", "nonsense"], ["--suite", "published", "generated"]),
        (["run", "x", "--cases", "-3"], ["--cases"]),
        (["run", "x", "--profile", "loose"], ["textbook"]),
        (["run", "x", "--update-known"], ["--known"]),
        (["run", "x", "--exercise", "--hints-only"], ["--exercise shows", "--hints-only"]),
        (["run", "x", "--known", "nowhere.toml"], ["nowhere.toml", "[[known]]"]),
        (["replay", "no-such-id"], ["no-such-id", "none"]),
        (["explain", "BP999"], ["BP999"]),
        (["cases", "--suite", "nonsense"], ["--suite"]),
        (["report", "nowhere.json", "--html", "x.html"], ["nowhere.json"]),
        (["no-such-command"], ["no-such-command"]),
    ],
)
def test_exit_2_one_sentence(tmp_path: Path, arguments: list[str], said: list[str]) -> None:
    """A wrong call gives a sentence with the place and what would be right."""
    sentence = sentence_of(tmp_path, *arguments, code=2)
    for text in said:
        assert text.casefold() in sentence.casefold(), sentence


def test_exit_2_a_case_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt --case is an error, not a run without cases."""
    sentence = sentence_of(tmp_path, "run", small_port(), *GENERATED, "2", "--case", "mlp-typo", code=2)
    assert "mlp-typo" in sentence
    assert "backprop-check cases" in sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda case: case["network"]["layers"][0].update(activation="sigmoyd"), ["activation", "'sigmoyd'"]),
        (
            lambda case: case["network"]["layers"][1]["parameters"].update(biases=[0.1]),
            ["$.network.layers[1].parameters.biases", "expected 2 numbers"],
        ),
        (lambda case: case.update(inputs=[["a", 1.0]]), ["$.inputs[0][0]", "expected a number", "got 'a'"]),
        (lambda case: case.pop("loss"), ["loss"]),
        (lambda case: case.update(stepz=1), ["stepz"]),
        (lambda case: case.update(reduction="median"), ["$.reduction"]),
    ],
)
def test_exit_2_a_bad_case_file(tmp_path: Path, change: Any, said: list[str]) -> None:
    """File, place in the JSON, what was expected, what came."""
    called(tmp_path, "cases", "--suite", "published", "--export", "out")
    good = next((tmp_path / "out").glob("mazur-2x2x2*"))
    content = json.loads(good.read_text())
    change(content["case"])
    kept = tmp_path / ".backprop-check" / "failures"
    kept.mkdir(parents=True)
    (kept / "bad.json").write_text(json.dumps(content))
    sentence = sentence_of(tmp_path, "replay", "--impl", small_port(), code=2)
    assert "bad.json" in sentence
    for text in said:
        assert text in sentence
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"case": 3}', "\x00\xff"])
def test_exit_2_a_case_file_that_is_none(tmp_path: Path, text: str) -> None:
    """Cut off, empty, another JSON value."""
    kept = tmp_path / ".backprop-check" / "failures"
    kept.mkdir(parents=True)
    (kept / "bad.json").write_text(text, encoding="latin-1")
    assert "bad.json" in sentence_of(tmp_path, "replay", "--impl", small_port(), code=2)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program-anywhere", ["no-such-program-anywhere"]),
        (f'"{sys.executable}" -c "print(1)"', ["hello"]),
        (f'"{sys.executable}" -c "raise SystemExit(7)"', ["7"]),
    ],
)
def test_exit_3_it_cannot_be_run(tmp_path: Path, command: str, said: list[str]) -> None:
    """Not found, no hello, ended at once."""
    for name in ("run", "smoke"):
        sentence = sentence_of(tmp_path, name, command, code=3)
        for text in said:
            assert text in sentence


# Files ------------------------------------------------------------------------------------------


def outputs(folder: Path, *options: str, fault: str = "hidden", count: str = "20") -> dict[str, str]:
    """Everything that a failing run writes, as text."""
    names = {"json": "r.json", "csv": "r.csv", "junit": "r.xml", "html": "r.html"}
    files = [part for kind, name in names.items() for part in (f"--{kind}", name)]
    done = called(folder, "run", small_port(fault), *GENERATED, count, *files, *options)
    assert done.exit_code == 1, done.output
    return {"stdout": done.output, **{kind: (folder / name).read_text() for kind, name in names.items()}}


def test_hints_only_shows_no_expected_value(tmp_path: Path) -> None:
    """No expected number, and no difference, in stdout, JSON, CSV, JUnit or HTML."""
    (tmp_path / "open").mkdir()
    (tmp_path / "hints").mkdir()
    written = outputs(tmp_path / "open")
    shown = json.loads(written["json"])
    secret = {
        repr(each[field])
        for case in shown["cases"]
        for each in case["mismatches"]
        for field in ("expected", "error")
        if isinstance(each[field], float) and len(repr(abs(each[field])).split("e")[0]) > 8
    }
    assert len(secret) > 50
    assert all(any(number[:9] in text for number in secret) for text in (written["csv"], written["stdout"]))
    hinted = outputs(tmp_path / "hints", "--hints-only")
    for place, text in hinted.items():
        leaked = [number for number in secret if re.sub(r"e.*", "", number).lstrip("-")[:9] in text]
        assert leaked == [], place
        assert "BP102" in text or "hidden-derivative-missing" in text or place == "html", place
    data = json.loads(hinted["json"])
    failing = [case for case in data["cases"] if case["outcome"] == "mismatched"]
    assert failing
    for case in failing:
        assert case["case"] is None
        assert case["actual"] is None
        assert case["first_wrong"]["quantity"] == "delta"
        assert all(each[field] is None for each in case["mismatches"] for field in ("expected", "error", "allowed"))
    solution = ("right", "implemented", "fix", "stays_right", "detail", "smallest", "smallest_case", "shown")
    assert [cause[key] for cause in data["diagnoses"] for key in solution if cause[key]] == []
    fixes = {text for cause in shown["diagnoses"] for key in ("right", "fix") if (text := cause[key])}
    assert fixes
    assert [(place, text) for place, said in hinted.items() for text in fixes if text in said] == []
    assert not (tmp_path / "hints" / ".backprop-check").exists()


def test_hints_only_of_what_has_no_name(tmp_path: Path) -> None:
    """No formula and no ratio either: only the place."""
    (tmp_path / "open").mkdir()
    shown = json.loads(outputs(tmp_path / "open", fault="offset", count="8")["json"])
    expected = {repr(each["expected"]) for case in shown["cases"] for each in case["mismatches"]}
    hinted = outputs(tmp_path, "--hints-only", fault="offset", count="8")
    for place, text in hinted.items():
        assert [number for number in expected if len(number) > 10 and number.lstrip("-")[:9] in text] == [], place
    assert "bias gradient is wrong" in hinted["json"]


def test_junit_has_the_right_counts(tmp_path: Path) -> None:
    """A parser reads it; failures, errors and skipped cases are counted as the results file counts them."""
    written = outputs(tmp_path, fault="bad", count="24")
    suite = ET.fromstring(written["junit"]).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    summary = json.loads(written["json"])["summary"]
    assert summary["skipped"] == 6
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {
        "tests": summary["cases"] + summary["not_applicable"],
        "failures": summary["mismatched"],
        "errors": summary["errors"],
        "skipped": summary["skipped"] + summary["not_applicable"],
    }
    assert counts["errors"] == 6
    assert len(suite.findall("testcase")) == counts["tests"]
    assert len(suite.findall("testcase/failure")) == counts["failures"]
    assert len(suite.findall("testcase/error")) == counts["errors"]
    assert len(suite.findall("testcase/skipped")) == counts["skipped"]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """No escape reaches the terminal, no formula a spreadsheet, no tag a page."""
    written = outputs(tmp_path, fault="bad", count="24")
    for place, text in written.items():
        assert "\x1b" not in text, place
        assert "\u202e" not in text, place
        assert "\x00" not in text, place
    assert "<script>alert" not in written["html"]
    assert "<script>" not in written["junit"]
    rows = list(csv.reader(written["csv"].splitlines()))
    cells = [cell for row in rows[1:] for cell in row]
    assert any("cmd|" in cell for cell in cells)
    for cell in cells:
        assert cell[:1] not in ("=", "@", "\t", "\r"), cell
        if cell[:1] in ("+", "-"):
            float(cell)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_a_formula(tmp_path: Path, first: str) -> None:
    """Whatever an implementation's message begins with, a spreadsheet shows it as text; an infinity is still a
    number.
    """
    message = f"{first}1+cmd|' /C calc'!A0"
    wrong = Mismatch(quantity="z", layer=0, neuron=0, actual="-Infinity", expected=-0.5)
    found = [Result(id="a", outcome="error", message=message), Result(id="b", outcome="mismatched", mismatches=[wrong])]
    write_csv(tmp_path / "r.csv", found)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["message"] == f"'{message}"
    assert (rows[1]["actual"], rows[1]["expected"]) == ("-Infinity", "-0.5")


def test_csv_has_a_row_a_mismatch(tmp_path: Path) -> None:
    """The same findings as the results file, in columns."""
    written = outputs(tmp_path)
    rows = list(csv.DictReader(written["csv"].splitlines()))
    found = [each for case in json.loads(written["json"])["cases"] for each in case["mismatches"]]
    assert sum(row["quantity"] != "" for row in rows) == len(found)
    wrong = [row for row in rows if row["quantity"] == "delta"]
    assert {row["diagnosis"] for row in wrong} == {"hidden-derivative-missing"}
    assert float(wrong[0]["error"]) > float(wrong[0]["allowed"])


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """One sentence with the path."""
    (tmp_path / "file").write_text("")
    for option in ("--json", "--csv", "--junit"):
        sentence = sentence_of(tmp_path, "run", small_port(), *GENERATED, "1", option, "file/x", code=2)
        assert "file/x" in sentence


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    """The rest is not judged, and the file does not claim so."""
    done = called(tmp_path, "run", small_port("hidden"), *GENERATED, "40", "--fail-fast", "--json", "r.json")
    assert done.exit_code == 1
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["summary"]["complete"] is False
    assert data["summary"]["mismatched"] == 1
    assert data["cases"][-1]["outcome"] == "mismatched"
    assert len(data["cases"]) < 40


def test_ctrl_c_leaves_a_readable_file(tmp_path: Path) -> None:
    """A real process and a real SIGINT: the finished results are there, and the file says that it is incomplete."""
    arguments = ["run", small_port("slow"), *GENERATED, "2000", "--json", "r.json"]
    with subprocess.Popen(
        [sys.executable, "-c", f"{AS_IN_A_TERMINAL}main()", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    ) as process:
        results, deadline = tmp_path / "r.json", time.monotonic() + 600
        while (
            time.monotonic() < deadline
            and process.poll() is None
            and not (results.exists() and b'"outcome":"passed"' in results.read_bytes())
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    data = json.loads(results.read_text())
    assert data["summary"]["complete"] is False
    assert 0 < len(data["cases"]) == data["summary"]["passed"] < 2000
    assert "not finished" in output
    assert "Traceback" not in output


def test_ctrl_c_twice_is_like_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the judging processes are being ended: no traceback is printed."""
    ignored: list[Any] = []

    def twice(work: Work, implementation: Implementation, *_: object) -> Callable[[int], Iterator[Judged]]:
        def judging(start: int) -> Iterator[Judged]:
            try:
                yield from work.judge_all(implementation, [range(start, len(work.plan))])
            finally:
                raise KeyboardInterrupt

        return judging

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backprop_check.commands.gathered.judges", twice)
    monkeypatch.setattr(Run, "take", interrupted)
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    done = called(tmp_path, "run", small_port(), *GENERATED, "3", "--json", "r.json")
    assert (done.exit_code, ignored) == (1, [])
    assert "interrupted" in done.output


def test_exit_2_a_bad_configuration(tmp_path: Path) -> None:
    """File, key, what would be right."""
    (tmp_path / "backprop-check.toml").write_text('[implementations.mine]\ncomand = "x"\n')
    sentence = sentence_of(tmp_path, "run", "mine", code=2)
    assert "backprop-check.toml" in sentence
    assert "implementations.mine.comand" in sentence
    assert "did you mean 'command'" in sentence


def test_a_configured_name_is_run_after_its_setup(tmp_path: Path) -> None:
    """The setup runs first; if it fails, the message has its output, and the exit code is 3."""
    made = f"\"{sys.executable}\" -c \"open('made', 'w')\""
    config = "[implementations.mine]\ncommand = {command}\nsetup = {setup}\n"
    (tmp_path / "backprop-check.toml").write_text(
        config.format(command=json.dumps(small_port()), setup=json.dumps(made))
    )
    assert called(tmp_path, "smoke", "mine").exit_code == 0
    assert (tmp_path / "made").exists()
    broken = f'"{sys.executable}" -c "raise SystemExit(\'no pub here\')"'
    (tmp_path / "backprop-check.toml").write_text(
        config.format(command=json.dumps(small_port()), setup=json.dumps(broken))
    )
    sentence = sentence_of(tmp_path, "smoke", "mine", code=3)
    assert "no pub here" in sentence
    assert "exit code 1" in sentence


# Smoke, cases, bugs -----------------------------------------------------------------------------


def test_smoke_says_what_is_wired_wrong(tmp_path: Path) -> None:
    """One line per check, FAIL at the failing one, and what to do next."""
    good = called(tmp_path, "smoke", small_port())
    assert good.exit_code == 0
    assert good.output.count("ok  ") == 3
    assert "The port works" in good.output
    bad = called(tmp_path, "smoke", small_port("offset"))
    assert bad.exit_code == 1
    assert "FAIL  one neuron" in bad.output
    assert "Fix the first line" in bad.output


def test_cases_are_listed_and_exported(tmp_path: Path) -> None:
    """One id per line; one file each with the request and a right reply, with which a port can be tested."""
    done = called(tmp_path, "cases", *GENERATED, "5", "--seed", "3", "--export", "out")
    ids = done.output.split()
    assert len(ids) == 5
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(ids)
    for name in ids:
        content = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert content["case"]["id"] == content["expected"]["id"] == name
        layers = content["expected"]["layers"]
        assert [len(layer["gradients"]["biases"]) for layer in layers] == [
            layer["units"] for layer in content["case"]["network"]["layers"]
        ]


def test_bugs_are_listed(tmp_path: Path) -> None:
    """By family; as JSON with every page."""
    text = called(tmp_path, "bugs").output
    pages = json.loads(called(tmp_path, "bugs", "--json").output)
    assert len(pages) > 60
    for page in pages:
        assert f"{page['code']}  {page['name']}" in text
        assert page["sentence"]
        assert page["fix"]


def test_help_of_every_command(tmp_path: Path) -> None:
    """It says what the command does, and exits with 0."""
    listed = called(tmp_path, "--help").output
    for name in ("run", "smoke", "init", "explain", "guide", "bugs", "replay", "report", "cases"):
        assert f"  {name} " in listed
        done = called(tmp_path, name, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.output


def test_what_a_run_writes_is_known_before_it_begins(tmp_path: Path) -> None:
    """The sandbox hides all output files: also those next to the results, and those that a kill leaves there."""
    results = tmp_path / "r.json"
    info = ImplementationInfo("n", "l", "v", "c", "float64")
    with contextlib.chdir(tmp_path):
        files = [Path("r.json"), Path("r.csv")]
        outputs = keeping_from(Opening(sandbox=True), files, results=files[0]).outputs
    assert {tmp_path / "r.json", tmp_path / "r.csv", tmp_path / ".backprop-check"} <= set(outputs)
    written: set[Path] = set()

    def look(_: object) -> None:
        written.update(tmp_path.iterdir())

    with pytest.MonkeyPatch.context() as patched, ResultsFile(results, info, {}, []) as file:
        patched.setattr("os.fsync", look)
        file.early(1, Result(id="b", outcome="passed"))
        file._early.tidy()  # noqa: SLF001 - which a long run does now and then
        file.add(Result(id="a", outcome="passed"))
        file.finish(Conclusion(), complete=False)
    assert {path.name for path in written} >= {"r.json", ".r.json.ahead", ".r.json.ahead.new", ".r.json.new"}
    assert written <= set(outputs)

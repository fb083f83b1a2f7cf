"""Asked to stop at any point, a run ends with the verdict on the judged cases, says so, and has written its files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from usual_signals import AS_IN_A_TERMINAL, usual_signals

from backprop_check.protocol import Interruption
from backprop_check.protocol.signals import held

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
PORT = f'"{sys.executable}" "{HERE / "stopping_port.py"}"'
CALLABLE = "python:stopping_port:backprop"
CASES = ("--suite", "generated", "--cases", "20", "--timeout", "300", "--start-timeout", "300", "--no-cache")
FILES = ("--json", "r.json", "--html", "r.html", "--junit", "r.xml", "--csv", "r.csv")
MAIN = f"{AS_IN_A_TERMINAL}main(prog_name='backprop-check')"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process is sent signals as on POSIX")


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    """Signals that pytest inherited as ignored work nevertheless."""
    with usual_signals():
        yield


def stopped(folder: Path, *arguments: str, at: object, by: str = "SIGTERM", code: str = MAIN, fault: str = "") -> str:
    """The output of a run that its own port asks to stop; it must end with exit code 1, and print no traceback."""
    (folder / "stopped").unlink(missing_ok=True)
    environment = {
        **os.environ,
        "STOP_AT": str(at), "STOP_BY": by, "STOP_UNDER": str(os.getpid()), "FAULT": fault or "right",
        "PYTHONPATH": str(HERE), "XDG_STATE_HOME": str(folder),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "Aborted" not in said
    assert "Exception ignored" not in said
    return " ".join(said.split())


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    return found


def written(folder: Path, count: int) -> None:
    """All four files are complete, with that many cases; the page has the same verdict as the terminal."""
    data = results(folder)
    assert len(data["cases"]) == count
    assert sum(data["summary"][key] for key in ("passed", "mismatched", "not_applicable")) == count
    if count:
        assert len({row["case"] for row in csv.DictReader((folder / "r.csv").open(encoding="utf-8"))}) == count
    assert len(ET.parse(folder / "r.xml").findall(".//testcase")) == count  # noqa: S314 - our own
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert "</html>" in page
    if not data["summary"]["complete"]:
        assert "it was interrupted" in page


@pytest.mark.thorough
def test_a_slow_callable_in_the_diagnosis(tmp_path: Path) -> None:
    """All 20 cases judged, then SIGTERM: the verdict on 20 cases; with --resume, the same again."""
    said = stopped(tmp_path, "run", CALLABLE, *CASES, *FILES, at=21)
    sentence = "The run was not finished: it was interrupted (SIGTERM) while the cause was looked for, after 20 of 20"
    assert sentence in said
    assert "computes the 20 cases that were judged right" in said
    written(tmp_path, 20)
    assert results(tmp_path)["summary"]["interrupted"].startswith(sentence)
    again = stopped(tmp_path, "run", CALLABLE, *CASES, *FILES, "--resume", at=21)
    assert sentence in again
    assert "computes the 20 cases that were judged right" in again
    written(tmp_path, 20)


@pytest.mark.parametrize("implementation", [PORT, CALLABLE], ids=["command", "callable"])
def test_in_the_middle_of_judging(implementation: str, tmp_path: Path) -> None:
    """The cases judged until then are right, and no more is claimed."""
    said = stopped(tmp_path, "run", implementation, *CASES, *FILES, at=7, by="SIGINT")
    assert "it was interrupted (Ctrl-C) while its cases were judged, after 6 of 20 cases." in said
    assert "computes the 6 cases that were judged right" in said
    written(tmp_path, 6)


def test_at_the_first_case(tmp_path: Path) -> None:
    """Nothing was judged, which does not mean that nothing is supported: neither in the terminal nor on the page."""
    said = stopped(tmp_path, "run", PORT, *CASES, *FILES, at=1, by="SIGHUP")
    assert "it was interrupted (SIGHUP) while its cases were judged, after 0 of 20 cases." in said
    assert "Nothing was judged: vanilla-python had not answered any case by then." in said
    assert "supports none" not in said
    assert "supports none" not in (tmp_path / "r.html").read_text(encoding="utf-8")
    written(tmp_path, 0)


@pytest.mark.thorough
@pytest.mark.parametrize(("implementation", "at"), [(PORT, "hello"), (CALLABLE, "import")], ids=["hello", "import"])
def test_before_the_hello(implementation: str, at: str, tmp_path: Path) -> None:
    """There is nothing to judge yet; a file of an earlier run is unchanged."""
    (tmp_path / "r.json").write_text("earlier")
    said = stopped(tmp_path, "run", implementation, *CASES, *FILES, at=at)
    assert "it was interrupted (SIGTERM) while the implementation was started. Nothing was judged." in said
    assert (tmp_path / "r.json").read_text() == "earlier"


@pytest.mark.thorough
def test_while_it_is_shrunk(tmp_path: Path) -> None:
    """The bug already has its name, and keeps it."""
    said = stopped(tmp_path, "run", PORT, *CASES, *FILES, at="small-", fault="hidden")
    assert "it was interrupted (SIGTERM) while the smallest network was looked for, after 20 of 20 cases." in said
    assert "The cause: " in said
    assert "(BP102)" in said
    written(tmp_path, 20)
    assert results(tmp_path)["diagnoses"][0]["code"] == "BP102"


@pytest.mark.thorough
def test_with_several_processes(tmp_path: Path) -> None:
    """The file, the verdict and the sentence agree on the cases."""
    said = stopped(tmp_path, "run", PORT, *CASES, *FILES, "--jobs", "2", at=12)
    count = len(results(tmp_path)["cases"])
    assert f"it was interrupted (SIGTERM) while its cases were judged, after {count} of 20 cases." in said
    assert f"computes the {count} cases that were judged right" in said or "Nothing was judged: " in said
    written(tmp_path, count)


@pytest.mark.thorough
def test_while_its_files_are_written(tmp_path: Path) -> None:
    """They are written to the end, and the verdict is the one on all cases."""
    code = (
        "import os, signal, backprop_check.commands.ending as ending; write = ending.write_csv\n"
        "ending.write_csv = lambda *all: (os.kill(os.getpid(), signal.SIGTERM), write(*all))\n" + MAIN
    )
    said = stopped(tmp_path, "run", PORT, *CASES, *FILES, at="never", code=code)
    assert "computes all 20 cases right" in said
    assert "The run was interrupted (SIGTERM) after all was done: nothing is missing." in said
    written(tmp_path, 20)
    assert results(tmp_path)["summary"]["complete"] is True


@pytest.mark.thorough
def test_known_failures_stay_known(tmp_path: Path) -> None:
    """A run that saw half of the cases keeps the known failures of the other half, and does not call them gone."""
    known = tmp_path / "known.toml"
    text = '[[known]]\nid = "mlp-not-reached"\noutcome = "mismatched"\n'
    known.write_text(text, encoding="utf-8")
    short = [each for each in CASES if each not in ("--suite", "generated")]
    said = stopped(tmp_path, "run", PORT, *short, "--known", "known.toml", "--update-known", at=5)
    assert "known failures not written: known.toml is unchanged" in said
    assert known.read_text() == text
    said = stopped(tmp_path, "run", PORT, *short, "--known", "known.toml", at=5)
    assert "matches no case" not in said
    assert "Every failure is known" not in said


@pytest.mark.thorough
def test_an_exercise_is_not_done(tmp_path: Path) -> None:
    """Cases that were not sent do not count as right."""
    said = stopped(tmp_path, "run", PORT, *CASES, "--exercise", at=3)
    assert "it was interrupted (SIGTERM) while its cases were judged, after 2 of 20 cases." in said


@pytest.mark.thorough
def test_of_many_the_one_under_way_has_its_row(tmp_path: Path) -> None:
    """The table has it with its judged cases, and its file; the following ones are not begun."""
    for name in ("anna", "ben", "carl"):
        (tmp_path / "in" / name).mkdir(parents=True)
    command = f'"{sys.executable}" "{HERE / "stopping_port.py"}" {{}}'
    many = ("run", "--submissions", "in", "--command", command, *CASES, "--json", "out", "--html", "r.html")
    said = stopped(tmp_path, *many, "--no-diagnosis", at=26)
    assert "ok anna: 20 of 20 cases right" in said
    assert "FAIL ben: 5 of 5 cases right, interrupted" in said
    assert "Interrupted (SIGTERM): 2 of 3 were not judged completely." in said
    assert len(json.loads((tmp_path / "out" / "ben.json").read_text())["cases"]) == 5
    assert not (tmp_path / "out" / "carl.json").exists()
    assert "ben" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_smoke(tmp_path: Path) -> None:
    """Other commands say it in a sentence."""
    said = stopped(tmp_path, "smoke", PORT, "--timeout", "300", at=1)
    assert said.endswith("backprop-check: interrupted (ended by SIGTERM) before it had finished")


# The mechanism -----------------------------------------------------------------------------------


def test_only_an_attempt_is_interrupted() -> None:
    """Elsewhere a signal is noted, and later attempts are not begun; then everything is as before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption() as interruption:
        assert interruption.attempt("it worked", lambda: 3) == 3
        assert not interruption
        signal.raise_signal(signal.SIGTERM)
        assert interruption
        assert (interruption.reason, interruption.phase) == ("SIGTERM", "it worked")
        assert interruption.attempt("it went on", lambda: 4) is None
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_attempt_is_interrupted_once() -> None:
    """A second signal does not interrupt the cleanup after the first; a nested attempt ends with the outer one."""
    done = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            done.append("went on")
        finally:
            signal.raise_signal(signal.SIGTERM)
            done.append("cleared up")

    with Interruption() as interruption:
        interruption.attempt("all was done", lambda: interruption.attempt("a part was done", work))
    assert done == ["cleared up"]
    assert (interruption.reason, interruption.phase) == ("Ctrl-C", "a part was done")


def test_what_is_held_is_finished_first() -> None:
    """Counting and writing a result are not separated."""
    done = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGTERM)
            done.append("written")
        done.append("went on")

    with Interruption() as interruption:
        interruption.attempt("it was judged", work)
    assert done == ["written"]
    assert interruption.reason == "SIGTERM"


def test_an_error_is_no_interruption() -> None:
    """It passes through an attempt."""
    with Interruption() as interruption, pytest.raises(ZeroDivisionError):
        interruption.attempt("it was divided", lambda: 1 // 0)
    assert not interruption

"""The work of a diagnosis is counted, so that a busy machine gives the same answer as an idle one."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import cases, deep, judged
from tiny import SUPPORTS, implementation
from usual_signals import AS_IN_A_TERMINAL

from backprop_check import check
from backprop_check.diagnose.effort import Effort, work
from backprop_check.diagnose.match import Search
from backprop_check.protocol import CallableImplementation
from backprop_check.running.judging import INTERRUPTED, OUT_OF_TIME, Run

HERE = Path(__file__).parent


def concluded(function: Any, effort: Effort | None = None) -> tuple[Run, Any]:
    run = Run(CallableImplementation(function))
    for _ in run.judge(cases()[:14]):
        pass
    return run, run.conclude(effort)


def test_work_grows_with_what_is_multiplied() -> None:
    """steps · (samples · products + 10,000 · (layers + 2))."""
    case = deep(samples=2)
    assert work(case) == len(case.inputs) * case.network.products + 10_000 * (len(case.network.layers) + 2)


def test_a_busy_machine_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every clock advances by a thousand seconds at each look: the cause and the smallest network stay the same."""
    function = implementation("hidden-derivative-missing")
    run, conclusion = concluded(function)
    smallest = run.smallest(conclusion.causes[0])
    for clock in ("monotonic", "perf_counter", "process_time", "thread_time", "time"):
        ticks = itertools.count(time.time(), 1000.0)
        monkeypatch.setattr(time, clock, lambda ticks=ticks: next(ticks))
    again, other = concluded(function)
    assert other.causes == conclusion.causes
    assert again.smallest(other.causes[0]) == smallest


def test_the_user_s_limit_is_heeded_and_said() -> None:
    """A ``diagnosis_timeout`` of 0: no name, no claim that none fits, and a note with the reason."""
    function = implementation("hidden-derivative-missing")
    results = check(function, cases=cases()[:14], diagnosis_timeout=0.0)
    assert [cause.title for cause in results.causes] == ["no name found"]
    assert OUT_OF_TIME in results.conclusion.notes
    unlimited = check(function, cases=cases()[:14], diagnosis_timeout=3600.0)
    assert [cause.code for cause in unlimited.causes] == ["BP102"]
    assert OUT_OF_TIME not in unlimited.conclusion.notes


def test_ctrl_c_ends_the_diagnosis_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged cases keep their verdict, every failing case has a cause, and a note says that the diagnosis was
    interrupted.
    """

    def interrupted(self: Search) -> Any:
        if not self.effort.whole.interrupted:
            raise KeyboardInterrupt
        return names(self)

    names = Search.names
    monkeypatch.setattr(Search, "names", interrupted)
    run, conclusion = concluded(implementation("hidden-derivative-missing"))
    assert conclusion.notes == [INTERRUPTED]
    assert {case for cause in conclusion.causes for case in cause.explains} == {
        each.id for each in run.diagnostician.failures
    }


def test_what_is_tried_is_told() -> None:
    """While it searches it reports what it is looking for, and how much of the work is spent."""
    told: list[str] = []
    run, conclusion = concluded(implementation("weights-squared"), effort := Effort(tell=told.append))
    run.smallest(conclusion.causes[0], effort)
    assert any("known mistakes" in each and "% of the work" in each for each in told)
    assert any("smallest network" in each for each in told)


def test_what_was_left_out_is_said() -> None:
    """With too little work left, the cause says what was not tried; with enough, it says the formula."""
    for multiplications, left_out in ((1_000_000, "some of the usual mistakes"), (4_000_000, "rarer ways")):
        few = judged(
            implementation("weights-squared"), cases()[:14], effort=replace(Effort.of(multiplications), formulas=0)
        )
        (cause,) = few.causes
        assert cause.title == "no name found"
        assert left_out in cause.sentence
        assert "formulas of single layers" in cause.sentence
    assert [cause.title for cause in judged(implementation("weights-squared"), cases()[:14]).causes] == [
        "another formula was written"
    ]


@pytest.mark.thorough
def test_a_slow_port_that_is_wrong_in_small_networks_keeps_its_verdict() -> None:
    """The shrinker's limit once changed an answer that it had given, and an exception lost the verdict."""
    wrong, right = implementation("hidden-derivative-missing"), implementation()

    def small(case: dict[str, Any]) -> Any:
        return (wrong if len(case["network"]["layers"]) < 3 else right)(case)

    small.supports = SUPPORTS  # type: ignore[attr-defined]
    for questions in (1, 3, 5, 8):
        run, conclusion = concluded(small)
        case = run.smallest(conclusion.causes[0], Effort(questions=questions))
        assert case is not None
        assert len(case.network.layers) < 3


#: A port with a bug that sends Ctrl-C to the harness at the first question after the run's cases.
INTERRUPTING = """
import json, os, signal, sys
sys.path.insert(0, {here!r})
from tiny import SUPPORTS, implementation
answer, count = implementation("hidden-derivative-missing"), 0
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] == "hello":
        reply = {{"protocol": 1, "echo": request["echo"], "supports": SUPPORTS}}
    else:
        count += 1
        if count == {after}:
            os.kill(int(open({pid!r}).read()), signal.SIGINT)
        reply = {{"id": request["id"], **answer(request)}}
    print(json.dumps(reply, default=lambda x: x.tolist()), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal here")
def test_ctrl_c_in_the_diagnosis_keeps_the_files(tmp_path: Path) -> None:
    """The run ends with its verdict; JSON, CSV and page are written with all cases and a note."""
    pid, port = tmp_path / "pid", tmp_path / "port.py"
    port.write_text(INTERRUPTING.format(here=str(HERE), pid=str(pid), after=16))
    files = [tmp_path / name for name in ("out.json", "out.csv", "out.html")]
    argv = [
        sys.executable,
        "-c",
        f"{AS_IN_A_TERMINAL}main()",
        "run",
        f'"{sys.executable}" "{port}"',
        "--suite",
        "generated",
    ]
    argv += ["--cases", "15", "--json", files[0], "--csv", files[1], "--html", files[2]]  # type: ignore[list-item]
    run = subprocess.Popen(
        argv,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pid.write_text(str(run.pid))
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1, said
    assert "does not compute backpropagation right" in said
    assert "it was interrupted (Ctrl-C) while" in said, said
    assert "after 15 of 15 cases" in said
    data = json.loads(files[0].read_text())
    assert data["summary"]["complete"] is False  # with --resume the diagnosis is made again
    assert data["summary"]["cases"] == len(data["cases"]) == 15
    assert all(path.stat().st_size for path in files)

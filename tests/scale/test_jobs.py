"""Several processes judge one run: the same results in the same order, even if processes die."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from scale_support import LONG, alive, finish, odd, output_of, pids_in, start, until, without_times

from backprop_check.cases.plan import Plan
from backprop_check.protocol import Opening, open_implementation
from backprop_check.running.chunks import CHUNK, Order, Work, chunks
from backprop_check.running.one_case import Settings
from backprop_check.running.processes import Pool
from backprop_check.running.resume import read_unfinished

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough

PORTS: dict[str, dict[str, object]] = {
    "right": {},
    "a bug": {"bug": "delta"},
    "errors, a noisy start, little support": {"error": 5, "noise": 1, "supports": "tanh,relu,softmax,identity,sigmoid"},
    "crashes": {"crash": 12},
}


@pytest.mark.parametrize("kind", PORTS)
def test_the_results_are_those_of_one_process(kind: str, tmp_path: Path) -> None:
    """Byte for byte except for times, with 2 processes and with 3."""
    files = []
    for jobs in (1, 2, 3) if kind == "crashes" else (1, 2):
        files.append(tmp_path / f"{jobs}.json")
        port, cases = odd(**PORTS[kind]), 10 if kind == "a bug" else 40
        code, out = finish(
            "run", port, "--suite", "generated", "--cases", cases, "--jobs", jobs, "--json", files[-1], cwd=tmp_path
        )
        assert code == (0 if kind == "right" else 1), out
    first = without_times(files[0])
    assert b'"complete": true' in first
    for other in files[1:]:
        assert without_times(other) == first


def test_a_port_that_always_dies_is_given_up_alike(tmp_path: Path) -> None:
    """Every case after the last attempt is "not run", and the sentence says why."""
    files = []
    for jobs in (1, 2):
        files.append(tmp_path / f"{jobs}.json")
        code, _ = finish("run", odd(crash=1), "--no-diagnosis", "--jobs", jobs, "--json", files[-1], cwd=tmp_path)
        assert code == 1
    assert without_times(files[0]) == without_times(files[1])
    text = files[0].read_text()
    assert "is given up; the last problem: the process exited with code 7" in text
    assert text.count('"outcome":"not_run"') > 150


def _work(count: int, **port: object) -> Work:
    plan = Plan(suites=("generated",), count=count)
    return Work(spec=odd(**port), opening=Opening(timeout=LONG), plan=plan, settings=Settings())


def test_a_worker_that_dies_costs_only_time(tmp_path: Path) -> None:
    """kill -9 at random: every result arrives, in order, and no process of a dead worker is left."""
    work, pids = _work(120, sleep=0.01, pid=tmp_path / "pids"), tmp_path / "pids"
    pool, dice, killed, ids = Pool(work, 2), random.Random(6), 0, []  # noqa: S311 - no secret
    for number, judged in enumerate(pool.judging(0)):
        ids.append(judged.result.id)
        assert judged.result.outcome == "passed"
        if number % 30 == 10:
            os.kill(dice.choice(pool.processes), signal.SIGKILL)
            killed += 1
    assert killed == 4
    assert ids == [work.plan.case(position).id for position in range(120)]
    assert pool.processes == []
    until(lambda: alive(pids_in(pids)) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_processes_end_with_the_run(number: signal.Signals, tmp_path: Path) -> None:
    """Asked to end or killed, the parent leaves no process, and a readable results file."""
    pids, results = tmp_path / "pids", tmp_path / "results.json"
    port = odd(sleep=0.05, pid=pids)
    with start("run", port, "--cases", 5000, "--jobs", 2, "--json", results, cwd=tmp_path) as process:
        until(lambda: results.exists() and results.read_bytes().count(b"\n") > 20)
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        assert len(pids_in(pids)) == 3
        process.send_signal(number)
        out = output_of(process)
    until(lambda: alive([*family, *pids_in(pids)]) == [])
    assert b'"complete":false' in results.read_bytes()
    if number != signal.SIGKILL:
        assert process.returncode == 1
        assert "interrupted" in out
        assert "Traceback" not in out


#: Signal settings that a run may inherit from a script or a supervisor, and passes on to its own children.
INHERITED = {
    "ignored": "import signal\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)",
    "blocked": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [1, 2, 15])",
}


@pytest.mark.parametrize("inherited", INHERITED)
def test_no_process_is_left_where_signals_are_inherited(inherited: str, tmp_path: Path) -> None:
    """A run that ignores or blocks the signals to end is killed: its workers end, though the port hangs."""
    pids, results = tmp_path / "pids", tmp_path / "results.json"
    port = odd(pid=pids, slow=Plan(suites=("generated",)).case(0).id)
    command = ["run", port, "--suite", "generated", "--cases", 5000, "--jobs", 2, "--timeout", LONG, "--json", results]
    with start(*command, before=INHERITED[inherited], cwd=tmp_path) as process:
        until(lambda: results.exists() and len(read_unfinished(results).ahead) > 8)
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        output_of(process)
    until(lambda: alive([*family, *pids_in(pids)]) == [])


@pytest.mark.parametrize(
    ("signals", "apart"),
    [
        ([signal.SIGINT, signal.SIGINT], 0.02),
        ([signal.SIGINT, signal.SIGINT], 0.3),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], 0.1),
        ([signal.SIGHUP, signal.SIGHUP], 0.05),
    ],
)
def test_asked_again_and_again_to_end(signals: list[signal.Signals], apart: float, tmp_path: Path) -> None:
    """An impatient user, a closed terminal: the children end, the file is complete, and only text is printed, no
    traceback.

    Its port hangs: it would not end by itself.
    """
    pids, results = tmp_path / "pids", tmp_path / "results.json"
    hanging = Plan(suites=("generated",)).case(24).id
    port = odd(sleep=0.02, pid=pids, slow=hanging)
    command = ["run", port, "--suite", "generated", "--cases", 5000, "--jobs", 2, "--timeout", LONG, "--json", results]
    with start(*command, cwd=tmp_path) as process:
        until(lambda: results.exists() and results.read_bytes().count(b"\n") > 8)
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        for number in signals:
            if process.poll() is None:
                process.send_signal(number)
            time.sleep(apart)
        out = output_of(process)
    until(lambda: alive([*family, *pids_in(pids)]) == [])
    # A signal that arrives when everything is closed already ends the rest of the process at once.
    assert process.returncode in (1, *(-number for number in signals[1:]))
    assert "Traceback" not in out
    assert "Exception ignored" not in out
    assert read_unfinished(results).count >= 6
    assert json.loads(results.read_bytes())["summary"]["complete"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are set as on Linux")
@pytest.mark.parametrize("room", [9_000, 30_000])
def test_a_disk_that_fills_up(room: int, tmp_path: Path) -> None:
    """Exit 2 and a sentence, the workers end, the file is complete; with room again the run can be resumed."""
    results, pids = tmp_path / "results.json", tmp_path / "pids"
    port = odd(pid=pids)
    command = ["run", port, "--cases", 150, "--jobs", 2, "--json", results]
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    code, out = finish(
        *command, cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    )
    assert code == 2, out
    assert "cannot be written: File too large. The results finished before are kept" in " ".join(out.split())
    assert "Traceback" not in out
    until(lambda: alive(pids_in(pids)) == [])
    assert json.loads(results.read_bytes())["summary"]["complete"] is False
    code, out = finish(*command, "--resume", cwd=tmp_path)
    assert code == 0, out
    finish(*command[:-1], tmp_path / "whole.json", cwd=tmp_path)
    assert without_times(results) == without_times(tmp_path / "whole.json")
    assert sorted(os.listdir(tmp_path)) == ["pids", "results.json", "whole.json"]  # noqa: PTH208 - names are enough


@pytest.mark.slow  # three processes in a row must die at one case: on a busy machine another case may come in between
def test_a_case_that_ends_every_worker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three dead processes at one case the run ends with a sentence, and does not continue forever."""
    from backprop_check.errors import HarnessError  # noqa: PLC0415 - here alone

    (tmp_path / "deadly.py").write_text("import os\ndef backprop(case):\n    os.kill(os.getppid(), 9)\n")
    monkeypatch.chdir(tmp_path)
    plan = Plan(suites=("generated",), count=20)
    work = Work(spec="python:deadly:backprop", opening=Opening(), plan=plan, settings=Settings())
    with pytest.raises(HarnessError, match="3 processes of backprop-check ended one after the other at case mlp-"):
        list(Pool(work, 2).judging(0))


def test_chunks_end_where_they_would_in_an_unbroken_run() -> None:
    assert [list(each) for each in chunks(CHUNK - 2, 2 * CHUNK + 1)] == [
        [CHUNK - 2, CHUNK - 1],
        list(range(CHUNK, 2 * CHUNK)),
        [2 * CHUNK],
    ]


def test_the_plan_counts_and_finds() -> None:
    """Positions run through the suites; named cases are a plan of their own."""
    plan = Plan(count=5, seed=3)
    names = [plan.case(position).name for position in range(len(plan))]
    assert names[-1].endswith("s0004")
    assert len(set(names)) == len(names) == len(Plan(count=0)) + 5
    some = plan.only([names[1], plan.case(len(plan) - 2).id])
    assert [some.case(position).name for position in range(len(some))] == [names[1], names[-2]]


def test_order_counts_what_was_before() -> None:
    """A resumed run knows how often the implementation has died before."""
    plan = Plan(suites=("generated",), count=200)
    with open_implementation(odd(crash=1)) as implementation:
        work = Work(spec="", opening=Opening(), plan=plan, settings=Settings())
        before = [judged.result for judged in list(work.judge(implementation, range(2 * CHUNK)))]
        order = Order(plan, implementation.hello, ())
        for result in before:
            order.count(result)
        rest = [each.result for each in order.run(lambda _: iter(()))]
    assert {each.outcome for each in rest} == {"not_run"}
    assert len(rest) == 200 - 2 * CHUNK

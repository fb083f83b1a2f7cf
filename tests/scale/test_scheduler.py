"""The same run on a Dask cluster: byte-identical results, a dead worker costs only time, a sentence without Dask."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from scale_support import LONG, alive, finish, odd, output_of, pids_in, start, until, without_times

from backprop_check.cases.plan import Plan
from backprop_check.errors import ConfigurationError
from backprop_check.protocol import Opening
from backprop_check.running.chunks import Work
from backprop_check.running.dask_processes import Scheduler
from backprop_check.running.one_case import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def _dask() -> None:
    try:
        import distributed  # noqa: F401, PLC0415
    except ImportError:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail("Dask is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip("Dask is not installed")


@pytest.mark.usefixtures("_dask")
def test_a_local_cluster_gives_what_one_process_gives(tmp_path: Path) -> None:
    """With a noisy start, errors and a bug that is diagnosed; and no process is left."""
    port = odd(error=9, noise=1, pid=tmp_path / "pids")
    files = [tmp_path / "alone.json", tmp_path / "cluster.json"]
    for path in files:
        options = ["--scheduler", "local", "--jobs", 2] if path.stem == "cluster" else []
        code, out = finish("run", port, "--cases", 40, "--json", path, *options, cwd=tmp_path)
        assert code == 1, out
        assert "distributed" not in out
    assert without_times(files[0]) == without_times(files[1])
    until(lambda: alive(pids_in(tmp_path / "pids")) == [])


@pytest.mark.usefixtures("_dask")
def test_a_worker_that_dies_costs_only_time(tmp_path: Path) -> None:
    """One of two workers is killed midway: all results arrive, in order, and its processes end."""
    plan, pids = Plan(suites=("generated",), count=160), tmp_path / "pids"
    work = Work(spec=odd(sleep=0.02, pid=pids), opening=Opening(timeout=LONG), plan=plan, settings=Settings())
    scheduler, ids, victim = Scheduler(work, "local", 2), [], 0
    for number, judged in enumerate(scheduler.judging(0)):
        assert judged.result.outcome == "passed"
        ids.append(judged.result.id)
        if number == 20:
            victim = min(scheduler.client.run(os.getpid).values())
            os.kill(victim, signal.SIGKILL)
    assert ids == [plan.case(position).id for position in range(160)]
    assert alive([victim]) == []
    until(lambda: alive(pids_in(pids)) == [])


@pytest.mark.usefixtures("_dask")
@pytest.mark.parametrize("everyone", [False, True])
def test_interrupted(everyone: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    """Ctrl-C, which reaches the whole group in a terminal: finished results are kept, no process is left."""
    pids, results = tmp_path / "pids", tmp_path / "results.json"
    command = [
        "run",
        odd(sleep=0.05, pid=pids),
        "--cases",
        5000,
        "--scheduler",
        "local",
        "--jobs",
        2,
        "--json",
        results,
    ]
    with start(*command, cwd=tmp_path) as process:
        until(lambda: results.exists() and results.read_bytes().count(b"\n") > 20)
        family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        (os.killpg if everyone else os.kill)(process.pid, signal.SIGINT)
        out = output_of(process)
    assert process.returncode == 1, out
    assert "interrupted" in out
    assert "Traceback" not in out
    until(lambda: alive([*family, *pids_in(pids)]) == [])
    assert b'"complete":false' in results.read_bytes()


@pytest.mark.usefixtures("_dask")
def test_no_scheduler_there(tmp_path: Path) -> None:
    """Exit 2, a sentence."""
    code, out = finish("run", odd(), "--scheduler", "tcp://127.0.0.1:9", cwd=tmp_path)
    assert code == 2, out
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in " ".join(out.split())
    code, out = finish("run", odd(), "--scheduler", "nonsense", cwd=tmp_path)
    assert (code, "takes local or an address such as tcp://host:8786" in out) == (2, True)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'backprop-check\[dask\]'"):
        Scheduler(Work(spec="x", opening=Opening(), plan=Plan(), settings=Settings()), "local")

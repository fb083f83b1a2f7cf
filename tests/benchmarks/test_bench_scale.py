"""Several processes judge a slow port: how much faster are two than one?

``pytest tests/benchmarks/test_bench_scale.py -s`` prints the figures; ``BACKPROP_CHECK_FULL=1`` measures more cases.
The steady rate counts; the time to start a process, which imports torch, is printed separately.
"""

from __future__ import annotations

import itertools
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sizes import FULL
from test_bench_exchange import BUNDLED, bare, busy

from backprop_check.cases.plan import Plan
from backprop_check.protocol import Opening, open_implementation
from backprop_check.running.chunks import Work, alone
from backprop_check.running.dask_processes import Scheduler
from backprop_check.running.one_case import Settings
from backprop_check.running.processes import Pool
from backprop_check.running.results_file import ResultsFile
from backprop_check.running.witness_cache import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.running.one_case import Judged

pytestmark = pytest.mark.slow

ODD = Path(__file__).parents[1] / "scale" / "odd_port.py"
COUNT = 1920 if FULL else 576
WINDOW = 96


def _work(seconds: float) -> Work:
    spec = f'"{sys.executable}" "{ODD}" sleep={seconds}'
    plan = Plan(suites=("generated",), count=COUNT)
    return Work(spec=spec, opening=Opening(timeout=20.0), plan=plan, settings=Settings())


def _measured(judging: Iterator[Judged]) -> tuple[float, float]:
    """Seconds until the first result, and seconds per case: the median over windows, without the first two."""
    times = [time.perf_counter()]
    first = 0.0
    for number, judged in enumerate(judging, 1):
        assert judged.result.outcome == "passed"
        if number == 1:
            first = time.perf_counter() - times[0]
        if number % WINDOW == 0:
            times.append(time.perf_counter())
    return first, statistics.median(after - before for before, after in itertools.pairwise(times[2:])) / WINDOW


def test_two_processes_on_a_slow_port() -> None:
    """At least 1.8 times the cases a second, where the port takes 20 ms a case."""
    work = _work(0.02)
    with open_implementation(work.spec, Opening(timeout=20.0)) as implementation:
        _, one = _measured(alone(work, implementation)(0))
    begun, two = _measured(Pool(work, 2).judging(0))
    text = f"a port of 20 ms a case: {1 / one:.1f} cases a second in one process, {1 / two:.1f} in two"
    print(f"{text}: {one / two:.2f} times; the workers' first result after {begun:.1f} s")  # noqa: T201
    assert one / two >= (1.8 if FULL else 1.4)  # a busy machine shares its processors


def test_two_dask_workers_on_a_slow_port() -> None:
    """At least 1.6 times the cases a second of one worker."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    work = _work(0.02)
    _, one = _measured(Scheduler(work, "local", 1).judging(0))
    begun, two = _measured(Scheduler(work, "local", 2).judging(0))
    text = f"a port of 20 ms a case on Dask: {1 / one:.1f} cases a second with one worker, {1 / two:.1f} with two"
    print(f"{text}: {one / two:.2f} times; the first result after {begun:.1f} s")  # noqa: T201
    assert one / two >= (1.6 if FULL else 1.3)


def test_a_warm_run_against_the_bare_exchange(tmp_path: Path) -> None:
    """A second run takes at most half of the processor time, and 1.2 times the time of the bare exchange.

    The first holds on any machine; the second where port and harness have a core each.
    """
    plan = Plan(suites=("generated",), count=COUNT)
    lines = [(case.id, case.request()) for case in map(plan.case, range(COUNT))]
    cache = Cache(tmp_path, "float64", "textbook")
    with open_implementation(shlex.join(BUNDLED), Opening(timeout=20.0)) as implementation:
        works = [Work(spec="", opening=Opening(), plan=plan, settings=Settings(), cache=kept) for kept in (None, cache)]

        def spent(kept: int) -> tuple[float, float]:
            wall, used = time.perf_counter(), time.process_time()
            with ResultsFile(tmp_path / "results.json", implementation.describe(), {}, []) as file:
                for each in alone(works[kept], implementation)(0):
                    assert each.result.outcome == "passed"
                    file.add(each.result)
            return time.perf_counter() - wall, time.process_time() - used

        spent(1)  # fills the cache
        rounds = [(spent(0), spent(1), bare(BUNDLED, lines)) for _ in range(9 if FULL else 3)]
    ratio = statistics.median(warm[0] / alone for _, warm, alone in rounds)
    without = min(cold[1] for cold, _, _ in rounds) / COUNT * 1e3
    kept = min(warm[1] for _, warm, _ in rounds) / COUNT * 1e3
    text = f"a warm run over the bare exchange: {ratio:.2f} times"
    print(f"{text}; processor time {kept:.2f} ms a case, without a cache {without:.2f} ms")  # noqa: T201
    assert kept <= without / 2
    assert ratio <= 1.2 * busy() or not FULL

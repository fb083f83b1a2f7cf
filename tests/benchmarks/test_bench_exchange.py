"""The harness's overhead over a bare exchange of the same bytes with the same port, pipelined in the same way.

Every figure is a ratio of two times measured alternately, the median of several such ratios.  ``judging`` is everything
a run does except the witnesses, whose values are computed beforehand; ``exchange`` is reading the replies alone.
``pytest tests/benchmarks/test_bench_exchange.py -s`` prints the figures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backprop_check.cases.generate import generated_cases
from backprop_check.protocol import SubprocessImplementation, hello_request
from backprop_check.running.one_case import judge, witnesses

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from backprop_check.case.network import Case

pytestmark = pytest.mark.slow

COUNT = 300
ROUNDS = 9
TARGET = 1.5
BUNDLED = [sys.executable, str(Path(__file__).parents[2] / "backprop_check/ports/python/port.py")]
FLIGHT = 16


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(generated_cases(COUNT))


@pytest.fixture(scope="module")
def lines(cases: list[Case]) -> list[tuple[str, bytes]]:
    return [(case.id, case.request()) for case in cases]


@pytest.fixture(scope="module")
def canned(lines: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a port that looks up the bundled port's replies."""
    file = tmp_path_factory.mktemp("canned") / "replies"
    kept: list[bytes] = []
    bare(BUNDLED, lines, kept)
    file.write_bytes(b"".join(kept))
    return [sys.executable, "-S", "-E", str(Path(__file__).with_name("canned_port.py")), str(FLIGHT), str(file)]


@pytest.fixture(autouse=True)
def _witnesses_beforehand(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {case.id: witnesses(case) for case in cases}
    monkeypatch.setattr("backprop_check.running.one_case.witnesses", lambda case, *_: known[case.id])


def bare(command: list[str], lines: list[tuple[str, bytes]], kept: list[bytes] | None = None) -> float:
    """Exchange the lines with a port in the simplest way; return the seconds it took."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=FLIGHT * 65536) as port:
        assert port.stdin is not None
        assert port.stdout is not None
        fd = port.stdin.fileno()
        write(fd, hello_request("bench"))
        port.stdout.readline()
        waiting, in_flight, start = deque(lines), 0, time.perf_counter()
        while waiting or in_flight:
            while waiting and in_flight < FLIGHT:
                write(fd, waiting.popleft()[1])
                in_flight += 1
            reply = port.stdout.readline()
            in_flight -= 1
            if kept is not None:
                kept.append(reply)
        seconds = time.perf_counter() - start
        port.stdin.close()
    return seconds


def write(fd: int, line: bytes) -> None:
    view = memoryview(line + b"\n")
    while view:
        view = view[os.write(fd, view) :]


def exchange(command: list[str], lines: list[tuple[str, bytes]]) -> float:
    """Exchange the lines as the harness does, and read the replies."""
    with SubprocessImplementation(command) as port:
        start = time.perf_counter()
        answers = list(port.exchange(lines, keep_running=True))
        seconds = time.perf_counter() - start
    assert {answer.kind for answer in answers} == {"reply"}
    return seconds


def judging(command: list[str], cases: list[Case]) -> float:
    """Judge the cases as a run does."""
    with SubprocessImplementation(command) as port:
        start = time.perf_counter()
        results = list(judge(cases, port, keep_running=True))
        seconds = time.perf_counter() - start
    assert {result.outcome for result in results} == {"passed"}
    return seconds


def in_turns(ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """The ratio of two times, measured alternately: the median over the rounds."""
    return statistics.median(ours() / theirs() for _ in range(ROUNDS))


def busy() -> float:
    """How many processes compete for each processor, up to 4: where port and harness cannot run at once, no work
    overlaps.
    """
    return min(4.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))) if hasattr(os, "getloadavg") else 4.0


def report(benchmark: BenchmarkFixture, run: Callable[[], object], **figures: Any) -> None:
    benchmark.extra_info.update(figures)
    sys.stdout.write(f"\n{benchmark.name}: {figures}\n")
    benchmark.pedantic(run, rounds=2, iterations=1)  # type: ignore[no-untyped-call]


def test_bundled_port(benchmark: BenchmarkFixture, cases: list[Case], lines: list[tuple[str, bytes]]) -> None:
    """With a port that computes, the harness works while the port does: judging takes hardly longer than a bare
    exchange.
    """
    judged = in_turns(lambda: judging(BUNDLED, cases), lambda: bare(BUNDLED, lines))
    report(benchmark, lambda: judging(BUNDLED, cases), judging=round(judged, 2))
    assert judged <= TARGET * busy()


def test_canned_port(
    benchmark: BenchmarkFixture, cases: list[Case], lines: list[tuple[str, bytes]], canned: list[str]
) -> None:
    """With a port that takes no time nothing overlaps: exchanging keeps up.  What comparing costs is only reported."""
    exchanged = in_turns(lambda: exchange(canned, lines), lambda: bare(canned, lines))
    judged = in_turns(lambda: judging(canned, cases), lambda: bare(canned, lines))
    report(benchmark, lambda: exchange(canned, lines), exchange=round(exchanged, 2), judging=round(judged, 2))
    assert exchanged <= TARGET * busy()

"""Helpers for the tests of long and large runs: the odd port, runs in processes of their own, comparison of results."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from usual_signals import AS_IN_A_TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ODD = Path(__file__).with_name("odd_port.py")
#: The longest wait in seconds, enough on a very busy machine.
LONG = 600.0

FULL = os.environ.get("BACKPROP_CHECK_FULL") == "1"


def odd(**options: object) -> str:
    """The command of the odd port."""
    return " ".join([f'"{sys.executable}" "{ODD}"', *(f'"{key}={value}"' for key, value in options.items())])


@contextlib.contextmanager
def start(*rest: object, cwd: Path, before: str = "", **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a run in a process and a session of its own, as from a terminal; it is killed where the test leaves it
    running.

    ``before`` is code that the process runs first.
    """
    code = f"{AS_IN_A_TERMINAL}{before}\nmain(prog_name='backprop-check')"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, rest)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def output_of(process: subprocess.Popen[str]) -> str:
    """The output of a process until its end, which must come."""
    return process.communicate(timeout=LONG)[0]


def finish(*rest: object, cwd: Path, **options: Any) -> tuple[int, str]:
    """Start a run and wait for its end: exit code and output."""
    with start(*rest, cwd=cwd, **options) as process:
        out = output_of(process)
    return process.returncode, out


def without_times(path: Path) -> bytes:
    """A results file without the parts that differ between any two runs: seconds, and the command line.

    Also without the notes on how many cases were in flight when a process ended, which depends on timing.
    """
    data = json.loads(path.read_bytes())
    data["harness"]["argv"] = []
    for case in data["cases"]:
        case["seconds"] = 0
        case["notes"] = [each for each in case["notes"] if "again" not in each]
    return json.dumps(data, indent=1).encode()


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; it must come to hold."""
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that still run."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.Error:
            continue
    return found


def pids_in(path: Path) -> list[int]:
    """The process ids that the odd port has noted."""
    return [int(each) for each in path.read_text().split()] if path.exists() else []

"""What the tests of long and large runs share: the odd port, runs in processes of their own, results compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

ODD = Path(__file__).with_name("odd_port.py")
FULL = os.environ.get("BACKPROP_CHECK_FULL") == "1"


def odd(**options: object) -> str:
    """The command of the odd port."""
    return " ".join([f'"{sys.executable}" "{ODD}"', *(f'"{key}={value}"' for key, value in options.items())])


def start(*rest: object, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """A run of ours in a process and a session of its own, as from a terminal."""
    code = "import sys; from backprop_check.cli import main; main(prog_name='backprop-check')"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, rest)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def finish(*rest: object, cwd: Path, **options: Any) -> tuple[int, str]:
    """The same to its end: exit code and output."""
    with start(*rest, cwd=cwd, **options) as process:
        out, _ = process.communicate(timeout=300)
    return process.returncode, out


def without_times(path: Path) -> bytes:
    """A results file but for what no two runs share: seconds, and the command line of ours.

    Nor the notes that tell how many cases were in flight when a process ended: how far it had got is chance.
    """
    data = json.loads(path.read_bytes())
    data["harness"]["argv"] = []
    for case in data["cases"]:
        case["seconds"] = 0
        case["notes"] = [each for each in case["notes"] if "again" not in each]
    return json.dumps(data, indent=1).encode()


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.Error:
            continue
    return found


def pids_in(path: Path) -> list[int]:
    """The processes that the odd port noted."""
    return [int(each) for each in path.read_text().split()] if path.exists() else []

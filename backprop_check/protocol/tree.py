"""Ending processes: a child and all its descendants, even if the child itself ended long ago.

They are found in three ways, each for processes that the one before misses: the system's list of descendants
(psutil; on Linux all of them, since a keeper adopts those that lose their parent), the process group
(POSIX), and an environment variable that every descendant inherits, which finds those that left the
group and lost their parent, unless they emptied their environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

MARKER: Final = "BACKPROP_CHECK_SESSION"

_SIGNALS: Final = {
    "SIGSEGV": "a crash: invalid memory access",
    "SIGBUS": "a crash: invalid memory access",
    "SIGABRT": "a crash: it aborted itself, as after a failed assertion",
    "SIGILL": "a crash: invalid instruction",
    "SIGFPE": "a crash: arithmetic fault",
    "SIGKILL": "someone ended it, perhaps the system because memory ran out",
    "SIGTERM": "someone asked it to end",
    "SIGPIPE": "it wrote to a pipe that nobody reads",
    "SIGXCPU": "it used up the processor time it is allowed",
    "SIGXFSZ": "it wrote a file larger than it is allowed",
}
# If processes are started faster than they are ended for this many seconds, the other ways have to find them.
_PATIENCE: Final = 3.0
# SIGILL, SIGABRT, SIGFPE, SIGKILL, SIGSEGV, SIGXCPU, SIGXFSZ.
_TOLD_BY_CODE: Final = frozenset({4, 6, 8, 9, 11, 24, 25})
_WINDOWS: Final = {
    0xC0000005: "a crash: invalid memory access",
    0xC000001D: "a crash: invalid instruction",
    0xC0000094: "a crash: integer division by zero",
    0xC00000FD: "a crash: stack overflow",
    0xC0000135: "a library it needs was not found",
    0xC000013A: "it was interrupted",
    0xC0000374: "a crash: the heap is corrupt",
    0xC0000409: "a crash: it aborted itself",
}


def describe_exit(code: int | None) -> str:
    """How a process ended, in words that follow "the process": "exited with code 3"."""
    if code is None:
        return "is still running"
    if code < 0 and os.name == "posix":
        try:
            name = signal.Signals(-code).name
        except ValueError:
            return f"was killed by signal {-code}"
        meaning = _SIGNALS.get(name)
        return f"was killed by {name} ({meaning})" if meaning else f"was killed by {name}"
    if (code & 0xFFFFFFFF) in _WINDOWS and os.name == "nt":
        return f"exited with code 0x{code & 0xFFFFFFFF:08X} ({_WINDOWS[code & 0xFFFFFFFF]})"
    shell_code = code - 128
    if shell_code in _TOLD_BY_CODE and os.name == "posix":
        # A launcher (a shell, dart, npm, a sandbox) reports in this way that a signal ended its child.
        name = signal.Signals(shell_code).name
        meaning = f": {_SIGNALS[name]}" if name in {"SIGXCPU", "SIGXFSZ"} else ""
        return f"exited with code {code} (which often stands for {name}{meaning})"
    return f"exited with code {code}"


def descendants(pid: int) -> list[psutil.Process]:
    """The descendants of a running process; empty where it has ended."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end_group(pid: int, *, kill: bool) -> None:
    """Send SIGKILL or SIGTERM to the process group that ``pid`` leads; nothing on Windows."""
    if sys.platform != "win32":
        # OSError: the group is gone, or (macOS) holds only zombies.
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL if kill else signal.SIGTERM)


def end_all(processes: Iterable[psutil.Process], wait: float = 2.0) -> None:
    """Kill processes and wait until they are gone, at most ``wait`` seconds."""
    ended = []
    for process in processes:
        # psutil knows a process by its pid and start time: it never kills a stranger with a reused pid.
        with contextlib.suppress(psutil.Error):
            process.kill()
            ended.append(process)
    deadline = time.monotonic() + wait
    while any(_runs(process) for process in ended) and time.monotonic() < deadline:
        time.sleep(0.002)


def _runs(process: psutil.Process) -> bool:
    """Whether a process still runs; a zombie counts as ended, since in a container it may never be reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_marked(marker: str) -> int:
    """Kill every process whose environment contains this marker; return their number."""
    found = []
    me = os.getpid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != me and process.environ().get(MARKER) == marker:
                found.append(process)
    end_all(found)
    return len(found)


def end_tree(child: subprocess.Popen[bytes], known: Iterable[psutil.Process] = ()) -> None:
    """Kill a child with all its descendants, including those in ``known``, which were found earlier.

    The child itself is killed last: on Linux it is a keeper, which becomes the parent of every orphan below it.
    """
    deadline = time.monotonic() + _PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        below = [process for process in descendants(child.pid) if _runs(process)]
        if not below:
            break
        end_all(below)
    end_group(child.pid, kill=True)
    with contextlib.suppress(OSError):
        child.kill()
    end_all(known)

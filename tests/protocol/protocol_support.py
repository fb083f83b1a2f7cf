"""Helpers for the tests of the protocol: the scripted port, requests, and the check that nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from backprop_check.errors import StartError
from backprop_check.protocol import Answer, Opening, SubprocessImplementation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SCRIPT = Path(__file__).with_name("scripted.py")


def command(behaviour: str, **options: object) -> list[str]:
    return [
        sys.executable,
        "-S",
        "-E",
        str(SCRIPT),
        behaviour,
        *(f"{key}={value}" for key, value in options.items()),
    ]


#: The longest wait in seconds, enough on a very busy machine. Only a failing test waits this long: all others return
#: as soon as their condition holds.
LONG = 300.0


def request(name: str) -> tuple[str, bytes]:
    return name, json.dumps({"type": "case", "id": name}).encode()


def requests(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    return (request(name) for name in names)


def converse(
    behaviour: str, names: Iterable[str] = ("c1", "bad", "c2", "c3"), *, flight: int = 1, **options: Any
) -> dict[str, Answer]:
    """Run the scripted port, check that every case came back in order, and return the answers by id."""
    script = {key: options.pop(key) for key in ("pid", "seconds", "flag", "replies", "nasty") if key in options}
    options.setdefault("timeout", LONG)
    options.setdefault("start_timeout", LONG)
    names = list(names)
    with SubprocessImplementation(command(behaviour, flight=flight, **script), Opening(**options)) as port:
        answers = list(port.exchange(requests(names)))
    assert [answer.id for answer in answers] == names
    return {answer.id: answer for answer in answers}


def in_flights(run: Callable[[int], None], *flights: int) -> None:
    """Run with several numbers of cases in flight, concurrently: each mostly waits."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(run, flight) for flight in flights]:
            done.result()


def others_answered(answers: dict[str, Answer]) -> None:
    for answer in answers.values():
        if not answer.id.startswith("bad"):
            assert (answer.kind, answer.message) == ("reply", "")
            assert answer.reply is not None
            assert answer.reply.loss is not None
            assert bytes(answer.reply.loss) == b"0.5"


def alive(pid_file: Path) -> list[int]:
    """The processes noted in a file that still run."""
    running = []
    for pid in map(int, pid_file.read_text().split()):
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
    return running


def patiently(check: Callable[[float], None], *, seconds: float) -> None:
    """Call ``check(timeout)`` with a timeout long enough for everything but the fault that is to run into it.

    A case that is answered at once on an idle machine may take longer than the timeout on a busy one. So a check that
    fails is repeated with ten times the time, and finally with a hundred times.
    """
    for timeout in (seconds, 10 * seconds):
        with contextlib.suppress(AssertionError, StartError):
            check(timeout)
            return
    check(100 * seconds)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition; return whether it came to hold."""
    deadline = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def open_files() -> int:
    return psutil.Process().num_fds() if os.name == "posix" else 0


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Check that no thread, process or descriptor outlives the block."""
    threads, files = set(threading.enumerate()), open_files()
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    yield

    def left() -> list[object]:
        return [
            *(thread.name for thread in set(threading.enumerate()) - threads),
            *(child for child in psutil.Process().children(recursive=True) if child.pid not in children),
            *([f"{open_files() - files} descriptors"] if open_files() > files else []),
        ]

    assert until(lambda: not left()), f"left behind: {left()}"

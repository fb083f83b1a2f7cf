"""What the tests of the protocol share: the scripted port, requests, and the check that nothing is left."""

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

from backprop_check.protocol import Answer, SubprocessImplementation

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


def request(name: str) -> tuple[str, bytes]:
    return name, json.dumps({"type": "case", "id": name}).encode()


def requests(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    return (request(name) for name in names)


def converse(
    behaviour: str, names: Iterable[str] = ("c1", "bad", "c2", "c3"), *, flight: int = 1, **options: Any
) -> dict[str, Answer]:
    """Run the scripted port, check that every case came back in order, and give the answers by id."""
    script = {key: options.pop(key) for key in ("pid", "seconds", "flag", "replies", "nasty") if key in options}
    options.setdefault("timeout", 5)
    names = list(names)
    with SubprocessImplementation(command(behaviour, flight=flight, **script), **options) as port:
        answers = list(port.exchange(requests(names)))
    assert [answer.id for answer in answers] == names
    return {answer.id: answer for answer in answers}


def in_flights(run: Callable[[int], None], *flights: int) -> None:
    """Do the same with several numbers of cases in flight, at once: mostly it is waiting."""
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
    """Give the processes noted in a file that still run."""
    running = []
    for pid in map(int, pid_file.read_text().split()):
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
    return running


def patience() -> float:
    """How much longer than on an idle machine things may take here and now."""
    load: float = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return min(3.0, max(1.0, 2 * load / (os.cpu_count() or 1)))


def open_files() -> int:
    return psutil.Process().num_fds() if os.name == "posix" else 0


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Check that no thread, process or descriptor outlives what happens inside."""
    threads, files = set(threading.enumerate()), open_files()
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    deadline = time.monotonic() + 2
    while True:
        left = [
            *(thread.name for thread in set(threading.enumerate()) - threads),
            *(child for child in psutil.Process().children(recursive=True) if child.pid not in children),
        ]
        if not left and open_files() <= files:
            return
        assert time.monotonic() < deadline, f"left behind: {left}, {open_files() - files} descriptors"
        time.sleep(0.01)

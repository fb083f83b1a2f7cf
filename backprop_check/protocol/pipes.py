"""The three pipes of a child process, each served by its own thread.

Threads, because nothing else waits on pipes in the same way on Linux, macOS and Windows.  They know only
a ``Channel``, never the ``Process`` that owns it, so that a forgotten ``Process`` can be collected and its
child ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

CHUNK: Final = 65536
STDERR_TAIL: Final = 65536
# How much output may wait to be read before the child is made to wait.  A line counts for more than
# its bytes, so that a flood of empty lines is bounded too.
WAITING_LIMIT: Final = 16 * 2**20
LINE_OVERHEAD: Final = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output without its newline, and when it came (``time.monotonic``)."""

    data: bytes
    arrived: float
    complete: bool = True
    """False where the output ended without a newline."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line of more than ``limit`` bytes came; what follows up to the next newline is dropped."""

    limit: int
    arrived: float


@dataclass(frozen=True, slots=True)
class Eof:
    """There is no more output: the process ended, or closed its standard output."""

    arrived: float


Event = Line | TooLong | Eof


@dataclass(slots=True)
class Channel:
    """What the threads and the process share."""

    max_line: int
    events: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    outgoing: SimpleQueue[bytes | None] = field(default_factory=SimpleQueue)
    stdin_broken: bool = False
    exited: threading.Event = field(default_factory=threading.Event)
    exited_at: float | None = None
    read: int = 0
    discarding: bool = False
    _waiting: int = 0
    _room: threading.Condition = field(default_factory=threading.Condition)
    _log: deque[bytes] = field(default_factory=deque)
    _log_kept: int = 0
    log_total: int = 0
    _log_lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, event: Event, cost: int) -> None:
        """Hand over an event; waits while too much is waiting already."""
        with self._room:
            while self._waiting > WAITING_LIMIT and not self.discarding:
                self._room.wait()
            if self.discarding:
                return
            self._waiting += cost
        self.events.put(event)

    def taken(self, cost: int) -> None:
        """Tell the reader that an event was taken."""
        with self._room:
            full = self._waiting > WAITING_LIMIT
            self._waiting -= cost
            if full:
                self._room.notify()

    @property
    def full(self) -> bool:
        """Whether the reader waits for room."""
        return self._waiting > WAITING_LIMIT

    def discard(self) -> None:
        """From now on read output only to drop it, so that a child that still writes can end."""
        with self._room:
            self.discarding = True
            self._room.notify_all()

    def log(self, data: bytes) -> None:
        """Keep the end of what came on stderr."""
        with self._log_lock:
            self._log.append(data)
            self._log_kept += len(data)
            self.log_total += len(data)
            while self._log_kept - len(self._log[0]) >= STDERR_TAIL:
                self._log_kept -= len(self._log.popleft())

    def log_since(self, start: int) -> bytes:
        """Give what is kept of stderr from its byte number ``start`` on."""
        if self.log_total <= start:
            return b""
        with self._log_lock:
            kept, total = b"".join(self._log), self.log_total
        wanted = min(total - start, STDERR_TAIL)
        return kept[-wanted:] if wanted > 0 else b""


def read_lines(pipe: IO[bytes], channel: Channel) -> None:
    """Thread: split standard output into lines; ends at its end."""
    parts: list[bytes] = []
    size = 0
    skipping = False
    fd = pipe.fileno()
    while True:
        try:
            chunk = os.read(fd, CHUNK)
        except OSError:
            chunk = b""
        now = time.monotonic()
        if not chunk:
            break
        channel.read += len(chunk)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            piece = chunk[start:end] if start or end + 1 < len(chunk) else chunk[:-1]
            start = end + 1
            if parts:
                parts.append(piece)
                piece = b"".join(parts)
                parts, size = [], 0
            if skipping:
                skipping = False
            elif len(piece) > channel.max_line:
                channel.put(TooLong(channel.max_line, now), LINE_OVERHEAD)
            else:
                channel.put(Line(piece, now), len(piece) + LINE_OVERHEAD)
        if start < len(chunk) and not skipping:
            parts.append(chunk[start:])
            size += len(chunk) - start
            if size > channel.max_line:
                skipping = True
                parts, size = [], 0
                channel.put(TooLong(channel.max_line, now), LINE_OVERHEAD)
    if parts:
        channel.put(Line(b"".join(parts), now, complete=False), size + LINE_OVERHEAD)
    channel.put(Eof(now), 0)


def read_log(pipe: IO[bytes], channel: Channel) -> None:
    """Thread: keep the tail of standard error; ends at its end."""
    fd = pipe.fileno()
    while True:
        try:
            chunk = os.read(fd, CHUNK)
        except OSError:
            return
        if not chunk:
            return
        channel.log(chunk)


def write_lines(pipe: IO[bytes], channel: Channel) -> None:
    """Thread: write to standard input what is sent; ends, and closes it, at None."""
    while (data := channel.outgoing.get()) is not None:
        if channel.stdin_broken:
            continue
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(pipe.fileno(), view) :]
        except OSError:
            # The child closed its input or is gone.  What that means is told by its output.
            channel.stdin_broken = True
    with contextlib.suppress(OSError):
        pipe.close()


def await_exit(child: subprocess.Popen[bytes], channel: Channel, reader: threading.Thread) -> None:
    """Thread: notice the child's end even where a grandchild keeps its output open."""
    child.wait()
    channel.exited_at = time.monotonic()
    channel.exited.set()
    while True:
        before = channel.read
        reader.join(0.2)
        if not reader.is_alive():
            return
        if channel.read == before and not channel.full:
            # Nothing more comes, yet the pipe is open: somebody else holds it.
            channel.put(Eof(time.monotonic()), 0)
            return

"""The three pipes of a child process, each served by its own thread.

Threads are used because only they can wait on pipes in the same way on Linux, macOS and Windows.  They know only
a ``Channel``, never the ``Process`` that owns it, so that a forgotten ``Process`` can be collected and its
child ended.

All lines of one chunk are handed over together, and a line to be sent that fits into the pipe is written
at once by the sending thread: switching threads costs more than reading a line.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import subprocess

CHUNK: Final = 65536
STDERR_TAIL: Final = 65536
# The amount of output, in bytes, that may wait before the child is made to wait.  Each line counts LINE_OVERHEAD more
# than its bytes, so that a flood of empty lines is bounded too.  Waiting output must be examined even after a
# deadline (a reply in it came in time), so this limits the time as well.
WAITING_LIMIT: Final = 4 * 2**20
LINE_OVERHEAD: Final = 64


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of output without its newline, and when it came (``time.monotonic``)."""

    data: bytes
    arrived: float
    complete: bool = True
    """False where the output ended without a newline."""


class Lines(msgspec.Struct):
    """All lines that came at once, the last one first (so that ``pop`` takes the first)."""

    data: list[bytes]
    arrived: float
    cost: int


class TooLong(msgspec.Struct, frozen=True, gc=False):
    """A line of more than ``limit`` bytes came; the rest up to the next newline is dropped."""

    limit: int
    arrived: float


class Eof(msgspec.Struct, frozen=True, gc=False):
    """There is no more output: the process ended, or closed its standard output."""

    arrived: float


class Deaf(msgspec.Struct, frozen=True, gc=False):
    """The process no longer reads its input: a write failed."""

    arrived: float


Event = Line | TooLong | Eof | Deaf


@dataclass(slots=True)
class Channel:
    """The state that the threads and the process share."""

    max_line: int
    events: SimpleQueue[Event | Lines] = field(default_factory=SimpleQueue)
    outgoing: SimpleQueue[bytes | memoryview | None] = field(default_factory=SimpleQueue)
    stdin_fd: int = -1
    """The descriptor of the child's input where it is non-blocking, so that any thread may try to write; else -1."""
    unwritten: int = 0
    """The number of pieces given to the writer."""
    written: int = 0
    """The number of pieces that the writer has finished."""
    stdin_broken: bool = False
    exited: threading.Event = field(default_factory=threading.Event)
    exited_at: float | None = None
    memory_used: int = 0
    """The memory that the child and its children used when they were ended for it; 0 where they were not."""
    read: int = 0
    discarding: bool = False
    _put: int = 0
    _taken: int = 0
    _blocked: bool = False
    _room: threading.Event = field(default_factory=threading.Event)
    _log: deque[bytes] = field(default_factory=deque)
    _log_kept: int = 0
    log_total: int = 0
    _log_lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, event: Event | Lines, cost: int) -> None:
        """Hand over an event (called only by the reader); waits while too much output is waiting."""
        while self.full and not self.discarding:
            # Each counter is written by one thread only, so no lock is needed; only a waiting thread must be woken.
            self._room.clear()
            self._blocked = True
            if self.full and not self.discarding:
                self._room.wait()
            self._blocked = False
        if not self.discarding:
            self._put += cost
            self.events.put(event)

    def taken(self, cost: int) -> None:
        """Tell the reader that an event was taken."""
        self._taken += cost
        if self._blocked:
            self._room.set()

    @property
    def full(self) -> bool:
        """Whether so much output is waiting that the reader must wait."""
        return self._put - self._taken > WAITING_LIMIT

    def discard(self) -> None:
        """From now on read and drop output, so that a child that still writes can end."""
        self.discarding = True
        self._room.set()

    def send(self, data: bytes) -> None:
        """Write the data at once if possible, else let the writer thread do it; never waits."""
        rest: bytes | memoryview = data
        if self.stdin_fd >= 0 and self.unwritten == self.written and not self.stdin_broken:
            try:
                done = os.write(self.stdin_fd, data)
            except BlockingIOError:
                done = 0
            except OSError:
                self.deaf()
                return
            if done == len(data):
                return
            rest = memoryview(data)[done:]
        self.unwritten += 1
        self.outgoing.put(rest)

    def deaf(self) -> None:
        """Note that the child no longer reads."""
        self.stdin_broken = True
        self.events.put(Deaf(time.monotonic()))

    def log(self, data: bytes) -> None:
        """Append to the log of stderr, of which only the end is kept."""
        with self._log_lock:
            self._log.append(data)
            self._log_kept += len(data)
            self.log_total += len(data)
            while self._log_kept - len(self._log[0]) >= STDERR_TAIL:
                self._log_kept -= len(self._log.popleft())

    def log_since(self, start: int) -> bytes:
        """The kept part of stderr from byte ``start`` on."""
        if self.log_total <= start:
            return b""
        with self._log_lock:
            kept, total = b"".join(self._log), self.log_total
        wanted = min(total - start, STDERR_TAIL)
        return kept[-wanted:] if wanted > 0 else b""


def read_lines(pipe: IO[bytes], channel: Channel) -> None:
    """Thread: split standard output into lines, until it ends."""
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
        if channel.discarding:
            continue
        *lines, rest = chunk.split(b"\n")
        if lines:
            if parts:
                lines[0] = b"".join((*parts, lines[0]))
                parts, size = [], 0
            if skipping:
                del lines[0]
                skipping = False
            _hand_over(lines, now, channel)
        if rest and not skipping:
            parts.append(rest)
            size += len(rest)
            if size > channel.max_line:
                skipping = True
                parts, size = [], 0
                channel.put(TooLong(channel.max_line, now), LINE_OVERHEAD)
        # Free large objects before waiting for the next chunk.
        del chunk, lines, rest
    if parts and not channel.discarding:
        channel.put(Line(b"".join(parts), now, complete=False), size + LINE_OVERHEAD)
    channel.put(Eof(now), 0)


def _hand_over(lines: list[bytes], now: float, channel: Channel) -> None:
    """Hand over the lines of one chunk, together unless one of them is too long."""
    if not lines:
        return
    cost = sum(map(len, lines)) + LINE_OVERHEAD * len(lines)
    if cost > channel.max_line and max(map(len, lines)) > channel.max_line:
        for line in lines:
            if len(line) > channel.max_line:
                channel.put(TooLong(channel.max_line, now), LINE_OVERHEAD)
            else:
                channel.put(Line(line, now), len(line) + LINE_OVERHEAD)
        return
    lines.reverse()
    channel.put(Lines(lines, now, cost), cost)


def read_log(pipe: IO[bytes], channel: Channel) -> None:
    """Thread: keep the tail of standard error, until it ends."""
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
    """Thread: write to standard input what could not be written at once; at None, close it and end."""
    fd = pipe.fileno()
    while (data := channel.outgoing.get()) is not None:
        if not channel.stdin_broken:
            try:
                _write_all(fd, memoryview(data))
            except OSError:
                # The child closed its input or is gone.  Its output shows which.
                channel.deaf()
        del data
        channel.written += 1
    # No other thread may write from here on: the descriptor's number could be reused for another file.
    channel.stdin_fd = -1
    with contextlib.suppress(OSError):
        pipe.close()


def _write_all(fd: int, view: memoryview) -> None:
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _await_room(fd)


def _await_room(fd: int) -> None:
    """Wait until the pipe can be written to, or no process reads it any more."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll()
    else:
        select.select([], [fd], [])


def nobody_reads(fd: int) -> bool:
    """Whether the reading end of a pipe is closed; False where the system cannot tell."""
    if fd < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(state & select.POLLERR for _, state in poll.poll(0))


def unread(fd: int) -> int:
    """The number of unread bytes in a pipe; 0 where the system cannot tell."""
    if fd < 0 or sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 (there is none on Windows)
    import termios  # noqa: PLC0415

    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder, signed=True)
    except OSError:
        return 0


def await_exit(child: subprocess.Popen[bytes], channel: Channel, reader: threading.Thread) -> None:
    """Thread: notice the end of the child, even if a grandchild keeps its output open."""
    child.wait()
    channel.exited_at = time.monotonic()
    channel.exited.set()
    while True:
        before = channel.read
        reader.join(0.2)
        if not reader.is_alive():
            return
        if channel.read == before and not channel.full:
            # Nothing more comes, but the pipe is open: another process holds it.
            channel.events.put(Eof(time.monotonic()))
            return

"""The three pipes of a child process, each served by its own thread.

Threads, because nothing else waits on pipes in the same way on Linux, macOS and Windows.  They know only
a ``Channel``, never the ``Process`` that owns it, so that a forgotten ``Process`` can be collected and its
child ended.

Lines are handed over by the chunk in which they came, and a line to be sent that fits into the pipe is written
at once by whoever sends it: a switch of threads costs more than reading a line does.
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
# How much output may wait to be read before the child is made to wait.  A line counts for more than
# its bytes, so that a flood of empty lines is bounded too.  What waits must be looked through even after a
# deadline (a reply in it came in time), so this bounds the time as well.
WAITING_LIMIT: Final = 4 * 2**20
LINE_OVERHEAD: Final = 64


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of output without its newline, and when it came (``time.monotonic``)."""

    data: bytes
    arrived: float
    complete: bool = True
    """False where the output ended without a newline."""


class Lines(msgspec.Struct):
    """All lines that came at once, the last one first (so that taking one off is cheap)."""

    data: list[bytes]
    arrived: float
    cost: int


class TooLong(msgspec.Struct, frozen=True, gc=False):
    """A line of more than ``limit`` bytes came; what follows up to the next newline is dropped."""

    limit: int
    arrived: float


class Eof(msgspec.Struct, frozen=True, gc=False):
    """There is no more output: the process ended, or closed its standard output."""

    arrived: float


class Deaf(msgspec.Struct, frozen=True, gc=False):
    """The process no longer reads: what was to be written to it could not be."""

    arrived: float


Event = Line | TooLong | Eof | Deaf


@dataclass(slots=True)
class Channel:
    """What the threads and the process share."""

    max_line: int
    events: SimpleQueue[Event | Lines] = field(default_factory=SimpleQueue)
    outgoing: SimpleQueue[bytes | memoryview | None] = field(default_factory=SimpleQueue)
    stdin_fd: int = -1
    """The child's input where it is set not to block, so that anybody may try to write; else -1."""
    unwritten: int = 0
    """How many pieces the writer was given."""
    written: int = 0
    """How many of them it is done with."""
    stdin_broken: bool = False
    exited: threading.Event = field(default_factory=threading.Event)
    exited_at: float | None = None
    memory_used: int = 0
    """What the child with its children used when it was ended for that; 0 where it was not."""
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
        """Hand over what was read (the reader only); waits while too much is waiting already."""
        while self.full and not self.discarding:
            # Each counter has one writer, so that no lock is needed; only who waits must be woken.
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
        """Whether so much waits to be taken that the reader must wait."""
        return self._put - self._taken > WAITING_LIMIT

    def discard(self) -> None:
        """From now on read output only to drop it, so that a child that still writes can end."""
        self.discarding = True
        self._room.set()

    def send(self, data: bytes) -> None:
        """Write, at once where that is possible, else by the writer; never waits."""
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
        """Note that the child does not read any more."""
        self.stdin_broken = True
        self.events.put(Deaf(time.monotonic()))

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
        # Whatever is large must not live on while the next chunk is waited for.
        del chunk, lines, rest
    if parts and not channel.discarding:
        channel.put(Line(b"".join(parts), now, complete=False), size + LINE_OVERHEAD)
    channel.put(Eof(now), 0)


def _hand_over(lines: list[bytes], now: float, channel: Channel) -> None:
    """Hand over the lines of one chunk, in as few pieces as their lengths allow."""
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
    """Thread: write to standard input what could not be written at once; ends, and closes it, at None."""
    fd = pipe.fileno()
    while (data := channel.outgoing.get()) is not None:
        if not channel.stdin_broken:
            try:
                _write_all(fd, memoryview(data))
            except OSError:
                # The child closed its input or is gone.  What that means is told by its output.
                channel.deaf()
        del data
        channel.written += 1
    # Nobody but this thread may write from here on: the descriptor's number could come to mean another file.
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
    """Wait until the pipe can be written to, or nobody reads it any more."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll()
    else:
        select.select([], [fd], [])


def nobody_reads(fd: int) -> bool:
    """Tell whether the other end of a pipe that is written to is closed; False where that cannot be told."""
    if fd < 0 or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(state & select.POLLERR for _, state in poll.poll(0))


def unread(fd: int) -> int:
    """Give how many bytes wait in a pipe that is written to; 0 where that cannot be told."""
    if fd < 0 or sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 (there is none on Windows)
    import termios  # noqa: PLC0415

    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder, signed=True)
    except OSError:
        return 0


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
            channel.events.put(Eof(time.monotonic()))
            return

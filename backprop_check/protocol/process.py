"""One child process that reads and writes lines; it is ended together with all processes that it started."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import uuid
import weakref
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Final, Self

from backprop_check.protocol import memory, pipes, starting, tree
from backprop_check.protocol.pipes import Channel, Eof, Event, Line, Lines, TooLong
from backprop_check.protocol.signals import held

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import psutil

MAX_LINE: Final = 256 * 2**20
# The seconds that a process may take to terminate before it is killed.
_TERMINATE_GRACE: Final = 0.5
# The seconds to wait for a pipe to end after its last writer has ended.
_JOIN: Final = 0.2
_LAST_JOIN: Final = 1.0


class Process:
    """A child process that reads and writes lines.

    Nothing that the child does blocks the caller: ``send`` only hands data over, ``receive`` has a timeout, memory
    stays bounded, and ``close`` ends the whole process tree.  A ``Process`` that is forgotten ends its child
    when it is collected, at the latest when Python exits.

    ``marker`` is put into the child's environment, to find processes that it leaves behind (``tree.end_marked``).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        max_line: int = MAX_LINE,
        memory_limit: int | None = memory.MEMORY_LIMIT,
        marker: str | None = None,
    ) -> None:
        """Describe the process; ``start`` starts it.  ``env`` replaces the whole environment.

        It is ended if it and its children use more than ``memory_limit`` bytes of resident memory (None: no limit).
        """
        self.argv = list(argv)
        self.marker = marker or uuid.uuid4().hex
        self.started_at = 0.0
        self.answered = 0
        """The number of cases that it has answered: if it dies at its first case, no other case can be the cause."""
        self.nameless = 0
        """The number of its malformed replies without an id, which may belong to any case."""
        self.memory_limit = memory_limit
        self._cwd = cwd
        self._env = {**(os.environ if env is None else env), tree.MARKER: self.marker}
        self._channel = Channel(max_line)
        self._child: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._batch: list[bytes] = []
        self._batch_arrived = 0.0
        self._eof: Eof | None = None
        self._closed = False
        self._finalizer: weakref.finalize[..., Process] | None = None

    def start(self) -> None:
        """Start the child and the threads that serve it.

        Raises:
            OSError: the program was not found or cannot be run.
            ValueError: the command contains a NUL character or is empty.

        """
        if self._child is not None:
            message = "this process was started before"
            raise RuntimeError(message)
        if not self.argv:
            message = "the command is empty"
            raise ValueError(message)
        # A signal that asks us to end must not arrive between the start of the child and its registration.
        with held():
            child, self._line = starting.start(self.argv, cwd=self._cwd, env=self._env)
            self._serve(child, Path(self.argv[0]).name[:40])

    def _serve(self, child: subprocess.Popen[bytes], name: str) -> None:
        """Start the threads that serve the child's pipes and await its end. Raises ``OSError`` as ``start`` does."""
        self.started_at = time.monotonic()
        self._child = child
        channel = self._channel
        # finalize also runs when Python exits; it must not know self, else self would never be collected.
        self._finalizer = weakref.finalize(self, _abandon, child, channel, self.marker, self._line)
        if self._line is not None:
            self._await_keeper(child, self._line)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        if sys.platform != "win32":
            # This affects only our end: the child's end is another file description.
            os.set_blocking(child.stdin.fileno(), False)
            channel.stdin_fd = child.stdin.fileno()
        reader = threading.Thread(
            target=pipes.read_lines, args=(child.stdout, channel), name=f"stdout of {name}", daemon=True
        )
        self._threads = [
            reader,
            threading.Thread(
                target=pipes.read_log, args=(child.stderr, channel), name=f"stderr of {name}", daemon=True
            ),
            threading.Thread(
                target=pipes.write_lines, args=(child.stdin, channel), name=f"stdin of {name}", daemon=True
            ),
            threading.Thread(
                target=pipes.await_exit, args=(child, channel, reader), name=f"exit of {name}", daemon=True
            ),
        ]
        if self.memory_limit is not None:
            watch = (child, channel, self.memory_limit, starting.HAS_KEEPER)
            self._threads.append(
                threading.Thread(target=memory.watch_memory, args=watch, name=f"memory of {name}", daemon=True)
            )
        for thread in self._threads:
            thread.start()

    def _await_keeper(self, child: subprocess.Popen[bytes], line: socket.socket) -> None:
        """Wait until the program runs; if it cannot be started, restore the state before the attempt and raise."""
        try:
            starting.await_start(line, self.argv[0])
        except OSError:
            assert self._finalizer is not None
            self._finalizer.detach()
            self._child = self._line = None
            line.close()
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process id; on Linux that of its keeper."""
        if self._child is None:
            message = "this process was not started"
            raise RuntimeError(message)
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The child's exit code, negative for a signal; None while it runs."""
        return self._child.returncode if self._child is not None and self._channel.exited.is_set() else None

    @property
    def exited_at(self) -> float | None:
        """When the child ended (``time.monotonic``); None while it runs."""
        return self._channel.exited_at

    @property
    def memory_used(self) -> int:
        """The memory that it used when it was ended for exceeding the limit; 0 where it was not."""
        return self._channel.memory_used

    @property
    def deaf(self) -> bool:
        """Whether the child closed its input."""
        return self._channel.stdin_broken or pipes.nobody_reads(self._channel.stdin_fd)

    @property
    def has_unread(self) -> bool:
        """Whether the child has not read everything that was sent; False where the system cannot tell."""
        channel = self._channel
        return channel.stdin_broken or channel.unwritten != channel.written or pipes.unread(channel.stdin_fd) > 0

    def send(self, data: bytes) -> None:
        """Hand over a line to be written (a missing newline is added).  Never waits, never fails."""
        self._channel.send(data if data.endswith(b"\n") else data + b"\n")

    def close_stdin(self) -> None:
        """Close the child's input after everything sent has been written."""
        self._channel.stdin_fd = -1
        self._channel.outgoing.put(None)

    def receive(self, timeout: float | None = None) -> Event | None:
        """The next event: a line, TooLong, Deaf, or Eof (from then on always Eof); None if none came in time."""
        if self._batch:
            return Line(self._batch.pop(), self._batch_arrived)
        if self._eof is not None:
            return self._eof
        try:
            # A timeout of zero or less would be an error to the queue; look once without waiting.
            if timeout is not None and timeout <= 0:
                event = self._channel.events.get_nowait()
            else:
                event = self._channel.events.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(event, Lines):
            self._channel.taken(event.cost)
            self._batch, self._batch_arrived = event.data, event.arrived
            return Line(self._batch.pop(), event.arrived)
        if isinstance(event, Line):
            self._channel.taken(len(event.data) + pipes.LINE_OVERHEAD)
        elif isinstance(event, TooLong):
            self._channel.taken(pipes.LINE_OVERHEAD)
        elif isinstance(event, Eof):
            self._eof = event
        return event

    def wait(self, timeout: float) -> bool:
        """Wait until the child has ended; return whether it has."""
        return self._channel.exited.wait(timeout)

    def stderr_mark(self) -> int:
        """The present position in stderr, for ``stderr_tail``."""
        return self._channel.log_total

    def stderr_tail(self, since: int = 0) -> str:
        """The end of stderr (at most 64 KiB), from the position ``since`` on."""
        return self._channel.log_since(since).decode("utf-8", "backslashreplace")

    def settle(self, wait: float = 0.5) -> None:
        """After Eof, wait briefly for the exit code and the rest of stderr (which a grandchild may keep open)."""
        if self._channel.exited.wait(wait) and len(self._threads) > 1:
            self._threads[1].join(_JOIN)

    def exit_description(self) -> str:
        """How the child ended, in words: "exited with code 3", "was killed by SIGSEGV (...)"."""
        used = self._channel.memory_used
        if used and self.memory_limit is not None:
            limit = memory.shown(self.memory_limit)
            return f"used {memory.shown(used)} of memory, more than its limit of {limit}, and was ended"
        return tree.describe_exit(self.returncode)

    def close(self, grace: float = 2.0) -> None:
        """End the child and everything it started; may be called twice.

        Its input is closed, so that it can finish within ``grace`` seconds; then it is asked to terminate
        and, half a second later, killed.  With a grace of zero it is killed at once.
        """
        child = self._child
        if child is None or self._closed:
            return
        self._closed = True
        # If the process ends by itself, its children lose their parent: list them while it runs.
        known = [] if self._channel.exited.is_set() else tree.descendants(child.pid)
        try:
            known += self._ask(child, grace)
        finally:
            # Even if this is interrupted (by Ctrl-C, say), no process must survive.
            with held():
                self._end(child, known)

    def _ask(self, child: subprocess.Popen[bytes], grace: float) -> list[psutil.Process]:
        """Let the child end by itself, else ask it to terminate; return the descendants that it had."""
        channel = self._channel
        channel.discard()
        self.close_stdin()
        if grace <= 0 or channel.exited.wait(grace):
            return []
        known = tree.descendants(child.pid)
        tree.end_group(child.pid, kill=False)
        with contextlib.suppress(OSError):
            child.terminate()
        channel.exited.wait(min(grace, _TERMINATE_GRACE))
        return known

    def _end(self, child: subprocess.Popen[bytes], known: list[psutil.Process]) -> None:
        channel = self._channel
        channel.discard()
        tree.end_tree(child, known)
        channel.exited.wait(_LAST_JOIN)
        if self._line is not None:
            self._line.close()
        if not self._join(_JOIN):
            # A process still holds a pipe: a descendant that left the process group and lost its parent.
            tree.end_marked(self.marker)
            self._join(_LAST_JOIN)
        for pipe in (child.stdin, child.stdout, child.stderr):
            # A descriptor that a thread still reads must stay open: its number could be reused for another file.
            if pipe is not None and not any(thread.is_alive() for thread in self._threads):
                with contextlib.suppress(OSError):
                    pipe.close()
        self._batch = []
        self._eof = self._eof or Eof(time.monotonic())
        if self._finalizer is not None:
            self._finalizer.detach()

    def _join(self, wait: float) -> bool:
        deadline = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Self:
        """Start the child, unless it was started."""
        if self._child is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child; after an exception, at once."""
        self.close(grace=0 if kind else 2.0)


def _abandon(child: subprocess.Popen[bytes], channel: Channel, marker: str, line: socket.socket | None) -> None:
    """End a child whose ``Process`` was forgotten."""
    channel.discard()
    channel.outgoing.put(None)
    tree.end_tree(child)
    tree.end_marked(marker)
    if line is not None:
        line.close()

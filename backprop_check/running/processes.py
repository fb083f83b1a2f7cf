"""Judging one run in several worker processes, each of which drives its own process of the implementation.

The work is handed out in chunks, and the results are yielded in the order of the cases. If a worker dies (out of
memory, killed), a new worker judges its unanswered cases, so only time is lost. Workers end when their parent ends,
however it ends, and they end the processes that they started.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from backprop_check.errors import BackpropCheckError, HarnessError, StartError
from backprop_check.protocol import open_implementation, orderly_signals
from backprop_check.protocol.signals import heed, held
from backprop_check.protocol.tree import end_marked
from backprop_check.running.chunks import CHUNK, Shipped, Work, left

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from backprop_check.protocol import Implementation
    from backprop_check.running.one_case import Judged

#: The run ends when this many workers died at the same case.
_DEATHS = 3

#: How many chunks per worker the work may be ahead of the first unfinished case; this bounds the results that wait.
_AHEAD = 4


class Worker:
    """A worker process with its pipe and the positions that it has not answered."""

    def __init__(self, context: Any, work: Work) -> None:
        self.pipe, theirs = context.Pipe()
        self.left: deque[int] = deque()
        self.marker = ""
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True, name="backprop-check worker")
        self.process.start()
        theirs.close()

    def give(self, positions: Sequence[int]) -> None:
        """Hand out work; if the process has died, reading its pipe will show it."""
        self.left = deque(positions)
        with contextlib.suppress(OSError):
            self.pipe.send(positions)

    def bury(self) -> None:
        """Clean up after a process that has ended: processes that it started may still run."""
        self.pipe.close()
        self.process.join(1.0)
        if self.marker:
            end_marked(self.marker)


class Pool:
    """A pool of ``jobs`` workers. ``judging`` yields the results from a position on; closing it ends the workers.

    ``early`` is called with each result that arrives before its turn, so that it can be kept; positions in ``done``
    are left out. An error of a worker (``HarnessError``, ``StartError``) is raised after the results of all cases
    before it.
    """

    def __init__(
        self,
        work: Work,
        jobs: int,
        early: Callable[[int, Judged], None] | None = None,
        done: Container[int] = (),
    ) -> None:
        self._work, self._jobs, self._early, self._done = work, jobs, early, done
        self._context = mp.get_context("spawn")
        self._workers: list[Worker] = []
        self._arrived: dict[int, Shipped | BackpropCheckError] = {}
        self._died: dict[int, int] = {}
        self._next = 0

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def judging(self, start: int) -> Iterator[Judged]:
        """Yield the results from position ``start`` to the end."""
        self._next, end = start, len(self._work.plan)
        waiting = deque(left(start, end, self._done))
        self._pass_done()
        try:
            for _ in range(min(self._jobs, len(waiting))):
                self._workers.append(Worker(self._context, self._work))
            while self._next < end:
                self._hand_out(waiting)
                self._hear(waiting)
                while (one := self._arrived.pop(self._next, None)) is not None:
                    if isinstance(one, BackpropCheckError):
                        raise one
                    self._next += 1
                    self._pass_done()
                    yield one.judged()
        finally:
            with held():
                self._end()

    def _pass_done(self) -> None:
        while self._next in self._done:
            self._next += 1

    def _hand_out(self, waiting: deque[Sequence[int]]) -> None:
        furthest = self._next + _AHEAD * len(self._workers) * CHUNK
        for worker in self._workers:
            if not worker.left and waiting and waiting[0][0] <= furthest:
                worker.give(waiting.popleft())

    def _hear(self, waiting: deque[Sequence[int]]) -> None:
        for pipe in wait([worker.pipe for worker in self._workers]):
            worker = next(each for each in self._workers if each.pipe is pipe)
            try:
                kind, value = worker.pipe.recv()
            except (EOFError, OSError):
                self._replace(worker, waiting)
                continue
            if kind == "marker":
                worker.marker = value
            elif kind == "one":
                self._arrived[value.position] = value
                worker.left.popleft()
                if self._early is not None and value.position != self._next:
                    self._early(value.position, value.judged())
            else:  # an error belongs to the first case that the worker has not answered
                self._arrived[worker.left[0] if worker.left else self._next] = value
                worker.left.clear()
                self._workers.remove(worker)
                worker.bury()

    def _replace(self, worker: Worker, waiting: deque[Sequence[int]]) -> None:
        worker.bury()
        if worker.left:
            first = worker.left[0]
            self._died[first] = self._died.get(first, 0) + 1
            if self._died[first] >= _DEATHS:
                case = self._work.plan.case(first).id
                cause = f"{_DEATHS} processes of backprop-check died one after the other at case {case}"
                hint = "is there enough memory? Fewer --jobs need less"
                self._arrived[first] = HarnessError("processes-died", cause, hint)
                self._workers.remove(worker)  # other workers may still be judging cases before this one
                return
            waiting.appendleft(list(worker.left))
        self._workers[self._workers.index(worker)] = Worker(self._context, self._work)

    def _end(self) -> None:
        for worker in self._workers:
            if worker.left:
                worker.process.terminate()
            else:
                with contextlib.suppress(OSError):
                    worker.pipe.send(None)
        deadline = time.monotonic() + 10.0
        for worker in self._workers:
            worker.process.join(max(0.1, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
            worker.bury()
        self._workers.clear()


def opened_for(work: Work) -> Implementation:
    """Start a further process of the implementation, in a worker. Raises ``StartError``, which says so."""
    from backprop_check import __version__  # noqa: PLC0415 - a constant of the package

    try:
        implementation = open_implementation(work.spec, work.opening, harness_version=__version__, isolated=True)
    except StartError as error:
        what = "a further process of the implementation could not be started (without --jobs one is enough)"
        raise error.with_cause(f"{what}: {error.cause}") from None
    implementation.start_notes()  # drop them: the first process has reported them
    return implementation


def _serve(pipe: Connection, work: Work) -> None:
    """The main loop of a worker: receive positions, send results, end at None."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process; the parent decides and ends the workers
    heed(signal.SIGTERM)  # the parent ends workers by SIGTERM, even if the parent itself ignores that signal
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError), orderly_signals():
        try:
            with opened_for(work) as implementation:
                pipe.send(("marker", implementation.marker))
                while (positions := pipe.recv()) is not None:
                    _judge(pipe, work, implementation, positions)
        except BackpropCheckError as error:
            pipe.send(("failed", sendable(error)))


def _judge(pipe: Connection, work: Work, implementation: Implementation, positions: Sequence[int]) -> None:
    """Judge one chunk; each result is sent at once, so that a kill loses only the cases in flight."""
    for position, judged in zip(positions, work.judge(implementation, positions), strict=True):
        pipe.send(("one", Shipped.of(position, judged)))


def sendable(error: BackpropCheckError) -> BackpropCheckError:
    """A copy of an error to be pickled, without what it holds otherwise: a ``StartError`` or a ``HarnessError``."""
    kind = StartError if isinstance(error, StartError) else HarnessError
    return kind(error.code, error.cause, error.hint, error.joint, error.stderr)


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

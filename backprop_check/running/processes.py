"""Several processes judge one run: each drives its own process of the implementation.

The work is handed out in chunks, results come out in the order of the cases. A worker that dies (out of memory,
killed) costs only time: what it had not answered is given to a new one. Workers end with their parent, however
that ends, and with them what they started.
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

#: A case at which so many workers died is not tried again.
_DEATHS = 3

#: So many chunks a worker may be ahead of the first unfinished one: what waits for its turn is bounded.
_AHEAD = 4


class Worker:
    """A process of ours with its pipe and the positions that it was given."""

    def __init__(self, context: Any, work: Work) -> None:
        self.pipe, theirs = context.Pipe()
        self.left: deque[int] = deque()
        self.marker = ""
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True, name="backprop-check worker")
        self.process.start()
        theirs.close()

    def give(self, positions: Sequence[int]) -> None:
        """Hand out work; where the process died meanwhile, its pipe tells."""
        self.left = deque(positions)
        with contextlib.suppress(OSError):
            self.pipe.send(positions)

    def bury(self) -> None:
        """Clear up behind a process that ended: what it had started may still run."""
        self.pipe.close()
        self.process.join(1.0)
        if self.marker:
            end_marked(self.marker)


class Pool:
    """So many workers. ``judging`` gives the results from a position on, in order; closing that ends the workers.

    ``early`` is told of each result that came before it was its turn, so that it can be kept; those in ``done`` are
    left out. Raises what a worker raised (``HarnessError``, ``StartError``), after the results of all cases before.
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
        """The ids of the workers' processes."""
        return [worker.process.pid or 0 for worker in self._workers]

    def judging(self, start: int) -> Iterator[Judged]:
        """The results from position ``start`` to the end."""
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
            else:  # what it raised belongs to the first case that it has not answered
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
                msg = (
                    f"{_DEATHS} processes of backprop-check ended one after the other at case {case}: is there memory "
                    "enough? Fewer --jobs need less"
                )
                self._arrived[first] = HarnessError(msg)
                self._workers.remove(worker)  # others may still have cases before this one
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
    """The implementation once more, in a worker. Raises ``StartError`` saying that it is not the first."""
    from backprop_check import __version__  # noqa: PLC0415 - a constant of the package

    try:
        implementation = open_implementation(work.spec, harness_version=__version__, isolated=True, **work.options)
    except StartError as error:
        msg = f"a further process of the implementation could not be started (without --jobs one is enough): {error}"
        raise StartError(msg) from None
    implementation.start_notes()  # said by the first process
    return implementation


def _serve(pipe: Connection, work: Work) -> None:
    """The life of a worker: positions come, results go, None ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent decides, and ends the workers
    heed(signal.SIGTERM)  # with which it does so, also where it was told itself to ignore it
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
    """One chunk; what is ready is sent at once, so that a kill costs no more than what is in flight."""
    for position, judged in zip(positions, work.judge(implementation, positions), strict=True):
        pipe.send(("one", Shipped.of(position, judged)))


def sendable(error: BackpropCheckError) -> BackpropCheckError:
    """An error that can be sent: its text and whose side it is on."""
    return (StartError if isinstance(error, StartError) else HarnessError)(str(error))


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

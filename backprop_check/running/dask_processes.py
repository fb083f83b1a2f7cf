"""Judging one run on several machines: Dask hands out the same chunks as ``--jobs``.

``local`` starts a cluster of processes here; ``tcp://host:8786`` is a running scheduler, whose workers need the same
version of backprop-check, and the implementation. Dask sends pickles, so use only a cluster that you trust.

The results come in the order of the cases and equal those of one process, whatever the number of workers. If a worker
dies, Dask gives its chunk to another, so only time is lost.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check import __version__
from backprop_check.errors import BackpropCheckError, ConfigurationError, HarnessError, StartError
from backprop_check.running.chunks import Shipped, Work, left
from backprop_check.running.processes import opened_for, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from backprop_check.protocol import Implementation
    from backprop_check.running.one_case import Judged

#: The number of chunks that are submitted for each worker.
_AHEAD = 3

#: The interval, in seconds, at which the stop event is checked.
_LOOK = 0.5

#: An implementation that was not used for this many seconds is ended: its run may be over.
_IDLE = 30.0

# In a worker: the running implementations that wait for a chunk, by spec and options, with the time of their last use.
_waiting: dict[bytes, list[tuple[float, Implementation]]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def local_cluster(workers: int = 0) -> Iterator[str]:
    """Start a cluster here; yield its address. Raises ``ConfigurationError`` where Dask is not installed."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we report problems ourselves
    with _deaf_children():
        cluster = _dask().LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    with cluster:
        yield cluster.scheduler_address


def workers_at(address: str) -> int:
    """The number of tasks that a cluster runs at once; 1 where none answers (``Scheduler`` will report that)."""
    try:
        with _dask().Client(address, timeout=20, set_as_default=False) as client:
            return max(1, sum(map(int, client.ncores().values())))
    except (OSError, TimeoutError, ValueError):
        return 1


def _dask() -> Any:
    try:
        import distributed  # noqa: PLC0415 - an extra, and takes a second to import
    except ImportError:
        cause = "--scheduler needs Dask, which is not installed"
        raise ConfigurationError("no-dask", cause, "pip install 'backprop-check[dask]'") from None
    return distributed


class Scheduler:
    """Judges on a cluster. ``judging`` yields the results from a position on, in order.

    ``early`` is called with each result that arrives before its turn; positions in ``done`` are left out.
    ``stop`` interrupts a scheduler that runs outside the main thread, where no signal arrives.
    Raises ``ConfigurationError`` where Dask is not installed or no scheduler answers.
    """

    def __init__(
        self,
        work: Work,
        address: str,
        workers: int = 0,
        early: Callable[[int, Judged], None] | None = None,
        done: Container[int] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self._work, self._address, self._workers = work, address, workers
        self._early, self._done, self._stop = early, done, stop
        if address != "local" and "://" not in address:
            cause = f"--scheduler takes local or an address such as tcp://host:8786, not {address!r}"
            raise ConfigurationError("bad-scheduler", cause)
        self._dask: Any = _dask()
        self.client: Any = None
        """The connection to the cluster, while there is one."""

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we report problems ourselves
        with contextlib.ExitStack() as stack:
            where: Any = self._address
            if where == "local":
                where = stack.enter_context(local_cluster(self._workers))
            try:
                self.client = stack.enter_context(self._dask.Client(where, timeout=20, set_as_default=False))
                versions = self.client.run(_version)
            except (OSError, TimeoutError) as error:
                cause = f"no Dask scheduler answers at {self._address} ({type(error).__name__})"
                raise ConfigurationError("no-scheduler", cause, "is it running?") from None
            except ImportError:
                cause = f"backprop-check is not installed on the workers of {self._address}"
                raise ConfigurationError("not-on-workers", cause, f"install version {__version__} there") from None
            others = sorted(set(versions.values()) - {__version__})
            if others or not versions:
                found = f"version {others[0]}, here is {__version__}" if others else "no worker"
                cause = f"the cluster at {self._address} has {found}"
                raise ConfigurationError("no-fitting-worker", cause, "start workers with this version")
            try:
                yield self.client
            finally:
                with contextlib.suppress(Exception):  # if the cluster is gone, there is nothing to end
                    self.client.run(close_all)
                self.client = None

    def judging(self, start: int) -> Iterator[Judged]:
        """Yield the results from position ``start`` to the end."""
        todo = left(start, len(self._work.plan), self._done)
        with self._connected() as client:
            ahead = _AHEAD * max(1, sum(client.ncores().values()))
            under_way: deque[Any] = deque()
            ended: SimpleQueue[Any] = SimpleQueue()
            try:
                while True:
                    while len(under_way) < ahead and (positions := next(todo, None)) is not None:
                        future = client.submit(judge_chunk, self._work, positions, pure=False, retries=2)
                        future.add_done_callback(ended.put)
                        under_way.append(future)
                    if not under_way:
                        return
                    self._tell(self._next(ended), list(under_way)[1:])
                    while under_way and under_way[0].done():
                        yield from self._results(under_way.popleft())
            finally:
                client.cancel(list(under_way))

    def _next(self, ended: SimpleQueue[Any]) -> Any:
        while True:
            try:
                return ended.get(timeout=_LOOK)
            except Empty:
                if self._stop is not None and self._stop.is_set():
                    raise KeyboardInterrupt from None

    def _tell(self, future: Any, later: Sequence[Any]) -> None:
        """Pass the results of a finished chunk to ``early`` if their turn has not come."""
        if self._early is not None and future.status == "finished" and future in later:
            for one in future.result()[0]:
                self._early(one.position, one.judged())

    def _results(self, future: Any) -> Iterator[Judged]:
        try:
            shipped, error = future.result()
        except self._dask.KilledWorker:
            cause = "several workers died one after the other at the same cases"
            raise HarnessError("workers-died", cause, "do they have enough memory?") from None
        for one in shipped:
            yield one.judged()
        if error is not None:
            raise error


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that are started meanwhile ignore Ctrl-C: it reaches all of them, and this process ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _version() -> str:
    return __version__


def judge_chunk(work: Work, positions: Sequence[int]) -> tuple[list[Shipped], BackpropCheckError | None]:
    """In a worker: judge one chunk; return its results, and the error that ended it early, if any."""
    key = msgspec.json.encode([work.spec, msgspec.to_builtins(work.opening, enc_hook=str)])
    found: list[Shipped] = []
    try:
        implementation = _taken(key) or opened_for(work)
        try:
            for position, judged in zip(positions, work.judge(implementation, positions), strict=True):
                found.append(Shipped.of(position, judged))
        except BaseException:
            implementation.close()
            raise
        _give_back(key, implementation)
    except StartError as error:
        host = os.uname().nodename if hasattr(os, "uname") else "a worker"
        return found, error.with_cause(f"{error.cause} (on {host})")
    except BackpropCheckError as error:
        return found, sendable(error)
    return found, None


def _taken(key: bytes) -> Implementation | None:
    with _lock:
        free = _waiting.get(key)
        return free.pop()[1] if free else None


def _give_back(key: bytes, implementation: Implementation) -> None:
    with _lock:
        _waiting.setdefault(key, []).append((time.monotonic(), implementation))
    timer = threading.Timer(_IDLE, close_all, [_IDLE * 0.9])
    timer.daemon = True
    timer.start()


def close_all(idle: float = 0.0) -> None:
    """In a worker: end the implementations that were not used for ``idle`` seconds."""
    now = time.monotonic()
    with _lock:
        old = [each for free in _waiting.values() for each in free if now - each[0] >= idle]
        for key, free in list(_waiting.items()):
            _waiting[key] = [each for each in free if each not in old]
    for _, implementation in old:
        implementation.close()


atexit.register(close_all)

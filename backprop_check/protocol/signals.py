"""Stop signals: each becomes one kind of exception, and cleaning up is not interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

_T = TypeVar("_T")

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS: Final = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


# A further stop signal after so many seconds interrupts whatever the run is doing, since something may hang.
_PATIENCE: Final = 10.0


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP (a closed terminal) came; it is handled like Ctrl-C.

    ``exit_code`` is the exit code that a shell reports for such a signal: 128 plus its number.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        self.exit_code = 128 + number
        super().__init__(f"ended by {self.signal.name}")


@contextlib.contextmanager
def orderly_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``Terminated`` while the context lasts.

    By default they end Python at once, without completing files or ending children.  A signal that is
    ignored (``nohup``) stays ignored.  Outside of the main thread, where Python allows no handlers, nothing is done.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def heed(number: int) -> None:
    """Let a signal end this process, even if the process was started with the signal ignored or blocked."""
    signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold back stop signals and deliver them at the end; use this for work that takes a bounded time.

    Ending children is such work: a second Ctrl-C in the middle of it would leave some of them running.
    """
    came: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            # Only a signal with a Python handler can interrupt Python code.
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


class Interruption:
    """Whether a run was interrupted, by what, and during what; false where it was not.

    An interruption ends only the work inside ``attempt``; elsewhere it is only noted, so that files are completed and
    the verdict is printed.  Use this as a context manager; outside of the main thread, where Python allows no handlers,
    it only notes the ``KeyboardInterrupt`` that an attempt raises.
    """

    def __init__(self) -> None:
        self.reason = ""
        """Ctrl-C or the signal's name."""
        self.phase = ""
        """What was being done at that time, as the middle of a sentence."""
        self._doing, self._open, self._since = "", False, 0.0
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.reason)

    def attempt(self, phase: str, work: Callable[[], _T]) -> _T | None:
        """Do ``work`` and return its result; None where the run was interrupted, before or meanwhile."""
        self._doing = phase
        before, main = self._open, threading.current_thread() is threading.main_thread()
        try:
            try:
                if main:
                    self._open = True
                # Check only now: a signal that comes after this check interrupts the work.
                return None if self.reason else work()
            finally:
                if main:
                    self._open = before
        except KeyboardInterrupt as error:
            if main:
                self._open = before
            self._note(str(error) or "Ctrl-C")
        return None

    def _note(self, reason: str) -> None:
        if not self.reason:
            self.reason, self.phase, self._since = reason, self._doing, time.monotonic()

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self._note("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        if self._open or time.monotonic() - self._since > _PATIENCE:
            self._open = False  # a second signal does not interrupt the cleaning up
            raise KeyboardInterrupt(self.reason)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler) or handler == signal.SIG_DFL:  # ignored ones (nohup) stay so
                    self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

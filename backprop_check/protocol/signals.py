"""Being asked to stop: every way of asking becomes one exception, and clearing up is not interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_SIGNALS: Final = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP (a closed terminal) came: to be handled like Ctrl-C.

    ``exit_code`` is what a shell expects of a process that such a signal ended: 128 plus its number.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        self.exit_code = 128 + number
        super().__init__(f"ended by {self.signal.name}")


@contextlib.contextmanager
def orderly_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into ``Terminated`` for as long as this lasts.

    Python's own answer to them is to end at once: no file is completed, no child ended.  A signal that is
    ignored (``nohup``) stays so.  Outside of the main thread, where Python allows no handlers, nothing is done.
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
    """Let a signal end this process, although it was started to ignore it or with the signal blocked."""
    signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold signals back that ask to stop, and deliver them at the end: for work of a bounded time.

    Ending children is such work: a second Ctrl-C in the middle of it would leave some of them alive.
    """
    came: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            # Only what Python code handles can interrupt Python code.
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)

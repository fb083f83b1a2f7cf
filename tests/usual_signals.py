"""Signals as a program started in a terminal finds them, however pytest itself was started.

A process inherits from its parent which signals it ignores and which it blocks: under ``nohup`` a closed terminal
(SIGHUP) ends nothing; in the background of a script Ctrl-C (SIGINT) does not either. Tests that send such signals reset
them first: ``with usual_signals()`` in pytest's own process, ``set_usual_signals()`` in one that they start.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The signals that ask a process to end.
ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

#: The beginning of a program for ``python -c``, which then calls ``main`` of the command line.
AS_IN_A_TERMINAL = (
    f"import sys; sys.path.append({str(Path(__file__).parent)!r}); "
    "from usual_signals import set_usual_signals; set_usual_signals(); "
    "from backprop_check.cli import main; "
)


def set_usual_signals() -> None:
    """Ctrl-C raises KeyboardInterrupt, the others end the process, none is blocked."""
    for number in ASKING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)


@contextlib.contextmanager
def usual_signals() -> Iterator[None]:
    """The same within a ``with`` block; afterwards all is as before."""
    handlers = {number: signal.getsignal(number) for number in ASKING}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, []) if sys.platform != "win32" else set()
    set_usual_signals()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

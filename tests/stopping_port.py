"""A port that sends its harness a signal to stop at a chosen moment, and then hangs: as a person's Ctrl-C would come.

The environment says when (``STOP_AT``: ``import``, ``hello``, the number of a question, or the beginning of a case's
id), with which signal (``STOP_BY``), and which process started the harness (``STOP_UNDER``). Questions are counted
in the file ``asked`` of the folder, over all processes of a run. ``FAULT`` is one of ``small_port``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import small_port  # first: it puts the bundled port on sys.path

port: Any = sys.modules["port"]

AT = os.environ["STOP_AT"]


def stop() -> None:
    """Send the signal, unless another process of the run has done so, and hang."""
    if not Path("stopped").exists():
        Path("stopped").touch()
        under = int(os.environ["STOP_UNDER"])
        harness = next(each for each in psutil.Process().parents() if each.ppid() == under)
        harness.send_signal(getattr(signal, os.environ["STOP_BY"]))
    time.sleep(600)


def backprop(case: dict[str, Any]) -> Any:
    """The port's answer; at the chosen question it stops the harness."""
    with Path("asked").open("ab") as file:
        file.write(b".")
    asked = Path("asked").stat().st_size
    if case["id"].startswith(AT) or (AT.isdigit() and asked >= int(AT)):
        stop()
    return getattr(small_port, os.environ.get("FAULT", "right"))(case)


def hello(request: dict[str, Any]) -> dict[str, Any]:
    """The port's hello; with max_in_flight 1 a question is sent only after the answer to the previous one."""
    if AT == "hello":
        stop()
    return {**HELLO(request), "max_in_flight": 1}


HELLO = port.hello

if AT == "import":
    stop()

if __name__ == "__main__":
    port.graph_backprop, port.hello = backprop, hello
    port.main()

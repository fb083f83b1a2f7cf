"""Watching the memory of a child and all its descendants, at a negligible cost."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import psutil

from backprop_check.protocol import tree

if TYPE_CHECKING:
    import subprocess

    from backprop_check.protocol.pipes import Channel

MEMORY_LIMIT: Final = 4 * 2**30
# The interval in seconds.  Reading one process takes about 20 µs; memory grows by a few GB a second at most.
_EVERY: Final = 0.1
# Finding the children means reading all processes of the machine: this takes at most this share of the time.
_SHARE: Final = 0.01
_UNITS: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def watch_memory(child: subprocess.Popen[bytes], channel: Channel, limit: int, kept: bool) -> None:  # noqa: FBT001
    """Thread: end a child that, with all its descendants, uses more than ``limit`` bytes.

    With ``kept``, the child itself is our keeper, whose memory does not count.
    Resident memory counts.  If the sum is too large, shared memory is counted only once, if the system can tell,
    before anything is ended.
    """
    try:
        root = psutil.Process(child.pid)
    except psutil.Error:
        return
    own = [] if kept else [root]
    family, look_again = own, 0.0
    while not channel.exited.wait(_EVERY):
        if channel.discarding:
            # It is being ended anyway and need not be watched.
            continue
        start = time.monotonic()
        if start >= look_again:
            family = [*own, *tree.descendants(child.pid)]
            took = time.monotonic() - start
            look_again = start + max(5 * _EVERY, took / _SHARE)
        used = _resident(family)
        if used > limit and len(family) > 1:
            # This takes long.  If it shows that the limit is kept, wait longer before the next check.
            used = _proportional(family)
            channel.exited.wait(0 if used > limit else 10 * _EVERY)
        if used > limit:
            channel.memory_used = used
            tree.end_tree(child, family)
            return


def _resident(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _proportional(family: list[psutil.Process]) -> int:
    """The sum of memory, with each process's share of shared memory (Linux); elsewhere the resident memory."""
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error):
            total += _share(process)
    return total


def _share(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return process.memory_info().rss
    return int(getattr(full, "pss", full.rss))


def shown(size: int) -> str:
    """A number of bytes in readable form: "4 GiB", "1.5 MiB"."""
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"

"""How an implementation is started, and its limits."""

from __future__ import annotations

import os  # noqa: TC003 - a Struct's fields are looked up when it runs
from pathlib import Path  # noqa: TC003

import msgspec

from backprop_check.protocol.memory import MEMORY_LIMIT
from backprop_check.protocol.process import MAX_LINE
from backprop_check.protocol.sandbox import Limits  # noqa: TC001


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How an implementation is started, and its limits; they do not apply to a callable that runs in this process.

    ``timeout`` is for one case, in seconds; with ``one_shot``, where each case has a process of its own, it includes
    the start of that process. ``start_timeout`` is for the reply to hello. ``max_restarts`` limits how often one
    exchange restarts the process. ``memory_limit`` (bytes; None for no limit) applies to the process and all its
    children together, ``max_line`` (bytes) to each line that it writes. ``env`` replaces the whole environment.

    With ``sandbox`` a command runs without network, writable files and secrets, and within ``limits``; ``hidden`` are
    files and folders that it must not read, ``outputs`` those that this run writes (see ``sandbox_prefix``).
    """

    start_timeout: float = 30
    timeout: float = 10
    one_shot: bool = False
    strict_stdout: bool = False
    cwd: str | os.PathLike[str] | None = None
    env: dict[str, str] | None = None
    max_restarts: int = 20
    memory_limit: int | None = MEMORY_LIMIT
    max_line: int = MAX_LINE
    sandbox: bool = False
    limits: Limits | None = None
    hidden: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()

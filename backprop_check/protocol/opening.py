"""Opening an implementation from the text that the user gave: a command line, or ``python:module:callable``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from backprop_check.errors import ConfigurationError
from backprop_check.protocol.callable import PREFIX, CallableImplementation, load_callable
from backprop_check.protocol.isolated import IsolatedCallable, command_of
from backprop_check.protocol.memory import MEMORY_LIMIT
from backprop_check.protocol.sandbox import Limits, sandbox_environment, sandbox_prefix
from backprop_check.protocol.session import SubprocessImplementation
from backprop_check.protocol.text import one_line
from backprop_check.protocol.unseen import SPEAKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.protocol.answers import Implementation


def split_command(command: str, *, windows: bool = os.name == "nt") -> list[str]:
    r"""Split a command line as a shell would; on Windows a backslash is part of a path, not an escape.

    Raises:
        ConfigurationError: a quote is not closed, or the command is empty.

    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if windows:
        lexer.escape = ""
    try:
        argv = list(lexer)
    except ValueError as error:
        message = f"the command {one_line(command)!r} cannot be split: {error}"
        raise ConfigurationError(message) from None
    if not argv:
        message = 'the command is empty: give a command line, such as "dart run bin/port.dart"'
        raise ConfigurationError(message)
    return argv


def open_implementation(
    spec: str,
    *,
    start_timeout: float = 30,
    timeout: float = 10,
    one_shot: bool = False,
    strict_stdout: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    max_restarts: int = 20,
    memory_limit: int | None = MEMORY_LIMIT,
    sandbox: bool = False,
    limits: Limits | None = None,
    hidden: Sequence[str | os.PathLike[str]] = (),
    outputs: Sequence[str | os.PathLike[str]] = (),
    harness_version: str = "0",
    isolated: bool = False,
) -> Implementation:
    """Open ``python:module:callable``, or start the command line and say hello.

    The options are those of ``SubprocessImplementation``.  An ``isolated`` callable runs in a process of its own, to
    which the options apply; else it runs in this process, and they do not apply.  With ``sandbox``
    a command runs without network, writable files and secrets, and within ``limits``; ``hidden`` are
    files and folders that it must not read, ``outputs`` those that this run writes (see ``sandbox_prefix``).

    Raises:
        ConfigurationError: the command cannot be split, the callable was not found, or no sandbox is possible.
        StartError: the implementation could not be started, or its hello is missing or wrong.

    """
    if spec.startswith(PREFIX) and not isolated:
        if sandbox:
            message = (
                f"{one_line(spec)} runs inside this process, to which --sandbox cannot apply: "
                "make it a port with its own command (backprop-check init python)"
            )
            raise ConfigurationError(message)
        function = load_callable(spec)
        return CallableImplementation(function, name=spec.removeprefix(PREFIX), command=spec)
    callable_ = spec.startswith(PREFIX)
    argv, prefix = command_of(spec) if callable_ else split_command(spec), []
    if sandbox:
        if limits is None and memory_limit is not None and memory_limit > MEMORY_LIMIT:
            limits = Limits(memory=memory_limit)
        env = sandbox_environment(env, argv[0])
        needed = SPEAKING if callable_ else ()
        prefix = sandbox_prefix(
            argv, cwd=cwd, limits=limits, hidden=hidden, outputs=outputs, needed=needed, path=env.get("PATH")
        )
    options: dict[str, Any] = {
        "start_timeout": start_timeout,
        "timeout": timeout,
        "one_shot": one_shot,
        "strict_stdout": strict_stdout,
        "cwd": cwd,
        "env": env,
        "max_restarts": max_restarts,
        "memory_limit": memory_limit,
        "prefix": prefix,
        "harness_version": harness_version,
    }
    return IsolatedCallable(spec, **options) if callable_ else SubprocessImplementation(argv, **options)

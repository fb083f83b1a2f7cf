"""Opening an implementation from the text that the user gave: a command line, or ``python:module:callable``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import msgspec

from backprop_check.errors import ConfigurationError
from backprop_check.protocol.callable import PREFIX, CallableImplementation, load_callable
from backprop_check.protocol.isolated import IsolatedCallable, command_of
from backprop_check.protocol.memory import MEMORY_LIMIT
from backprop_check.protocol.options import Opening
from backprop_check.protocol.sandbox import Limits, sandbox_environment, sandbox_prefix
from backprop_check.protocol.session import SubprocessImplementation
from backprop_check.protocol.text import one_line
from backprop_check.protocol.unseen import SPEAKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
        cause = f"the command {one_line(command)!r} cannot be split: {error}"
        raise ConfigurationError("command-not-split", cause, "check its quotes and backslashes", "; ") from None
    if not argv:
        hint = 'give a command line, such as "dart run bin/port.dart"'
        raise ConfigurationError("empty-command", "the command is empty", hint)
    return argv


def open_implementation(
    spec: str,
    opening: Opening = Opening(),  # noqa: B008 - it is frozen
    *,
    harness_version: str = "0",
    isolated: bool = False,
) -> Implementation:
    """Open ``python:module:callable``, or start the command line and say hello.

    An ``isolated`` callable runs in a process of its own, to which ``opening`` applies; else it runs in this process,
    and ``opening`` does not apply.

    Raises:
        ConfigurationError: the command cannot be split, the callable was not found, or no sandbox is possible.
        StartError: the implementation could not be started, or its hello is missing or wrong.

    """
    if spec.startswith(PREFIX) and not isolated:
        if opening.sandbox:
            cause = f"{one_line(spec)} runs inside this process, to which --sandbox cannot apply"
            hint = "make it a port with its own command (backprop-check init python)"
            raise ConfigurationError("sandbox-in-process", cause, hint)
        function = load_callable(spec)
        return CallableImplementation(function, name=spec.removeprefix(PREFIX), command=spec)
    callable_ = spec.startswith(PREFIX)
    argv: list[str] = command_of(spec) if callable_ else split_command(spec)
    prefix: list[str] = []
    if opening.sandbox:
        opening, prefix = _sandboxed(argv, opening, SPEAKING if callable_ else ())
    if callable_:
        return IsolatedCallable(spec, opening, harness_version=harness_version, prefix=prefix)
    return SubprocessImplementation(argv, opening, harness_version=harness_version, prefix=prefix)


def _sandboxed(argv: Sequence[str], opening: Opening, needed: Sequence[Path]) -> tuple[Opening, list[str]]:
    """The same opening with the environment of the sandbox, and the arguments to put before the command."""
    limits, memory = opening.limits, opening.memory_limit
    if limits is None and memory is not None and memory > MEMORY_LIMIT:
        limits = Limits(memory=memory)
    env = sandbox_environment(opening.env, argv[0])
    prefix = sandbox_prefix(
        argv,
        cwd=opening.cwd,
        limits=limits,
        hidden=opening.hidden,
        outputs=opening.outputs,
        needed=needed,
        path=env.get("PATH"),
    )
    return msgspec.structs.replace(opening, env=env), prefix

"""Options that several commands share, and how an IMPL is opened."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.protocol import Implementation

_OPENING = (
    click.option("--timeout", default=10.0, show_default=True, help="Seconds for one case."),
    click.option("--start-timeout", default=30.0, show_default=True, help="Seconds until the hello is due."),
    click.option("--one-shot", is_flag=True, help="Start the port anew for every request."),
    click.option("--strict-stdout", is_flag=True, help="A line on stdout that is no JSON is an error."),
    click.option("--sandbox", is_flag=True, help="Without network and writable files (Linux, bubblewrap): for graders."),
)

_SELECTION = (
    click.option(
        "--suite",
        multiple=True,
        type=click.Choice(["published", "edge", "generated"]),
        help="Only these cases (repeatable; default: all).",
    ),
    click.option("--cases", "count", default=200, show_default=True, type=click.IntRange(min=0), help="Generated cases."),
    click.option("--seed", default=0, show_default=True, help="Of the generated cases."),
)


def opening(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of starting and talking to an implementation."""
    for option in reversed(_OPENING):
        function = option(function)
    return function


def selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of choosing cases."""
    for option in reversed(_SELECTION):
        function = option(function)
    return function


def opened(impl: str, options: dict[str, Any]) -> Implementation:
    """Open an IMPL: a name of the configuration, a command line, or ``python:module:callable``.

    A configured ``setup`` is run first. Raises ``ConfigurationError`` and ``StartError``.
    """
    from backprop_check import __version__  # noqa: PLC0415 - beside its one use
    from backprop_check.config import configured  # noqa: PLC0415
    from backprop_check.errors import StartError  # noqa: PLC0415
    from backprop_check.protocol import open_implementation  # noqa: PLC0415

    entry = configured(impl)
    if entry is not None and entry.setup:
        done = subprocess.run(  # noqa: S603 - the user's own configuration, no shell
            shlex.split(entry.setup), capture_output=True, text=True, check=False, errors="replace"
        )
        if done.returncode:
            msg = f"the setup of {impl!r} ({entry.setup}) failed with exit code {done.returncode}:\n{done.stderr[-1000:]}"
            raise StartError(msg)
    keys = ("timeout", "start_timeout", "one_shot", "strict_stdout", "sandbox")
    chosen = {key: options[key] for key in keys if key in options}
    return open_implementation(entry.spec if entry else impl, harness_version=__version__, **chosen)

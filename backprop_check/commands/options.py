"""Options that several commands share, and how an IMPL is opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from backprop_check.functions.names import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backprop_check.protocol import Implementation


class Finite(click.FloatRange):
    """A number in a range, neither NaN nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number; fails with a usage error."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Megabytes(click.IntRange):
    """A number of MiB on the command line, converted to bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number of MiB; return bytes."""
        return super().convert(value, param, ctx) * 2**20


#: Up to a month.
SECONDS = Finite(min=0, min_open=True, max=2.6e6)

_OPENING = (
    click.option("--timeout", default=10.0, type=SECONDS, show_default=True, help="Seconds for one case."),
    click.option(
        "--start-timeout",
        default=30.0,
        type=SECONDS,
        show_default=True,
        help="Seconds that the reply to hello may take.",
    ),
    click.option("--one-shot", is_flag=True, help="Start the port again for every request."),
    click.option(
        "--memory",
        "memory_limit",
        default="4096",
        metavar="MB",
        show_default=True,
        type=Megabytes(min=16, max=2**24),
        help="Memory of the implementation with all its processes, in MiB.",
    ),
    click.option("--strict-stdout", is_flag=True, help="A line on stdout that is not JSON is an error."),
    click.option(
        "--sandbox",
        is_flag=True,
        help="Run the port without network and writable files (Linux, bubblewrap): for graders.",
    ),
)

_SELECTION = (
    click.option(
        "--suite",
        multiple=True,
        type=click.Choice(["published", "edge", "generated", "training", *FAMILIES]),
        help="Only the cases of this suite (repeatable; default: all).",
    ),
    click.option(
        "--cases",
        "count",
        default=200,
        show_default=True,
        type=click.IntRange(min=0),
        help="Number of generated cases (a quarter as many for each level beyond dense layers).",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of the generated cases."),
)


def opening(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for starting an implementation and talking to it."""
    for option in reversed(_OPENING):
        function = option(function)
    return function


def selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for choosing cases."""
    for option in reversed(_SELECTION):
        function = option(function)
    return function


def opened(impl: str, options: dict[str, Any]) -> Implementation:
    """Open an IMPL: a name of the configuration, a command line, or ``python:module:callable``.

    A configured ``setup`` is run first. Raises ``ConfigurationError`` and ``StartError``.
    """
    from backprop_check.config import Configured, configured, open_configured  # noqa: PLC0415 - beside its one use

    keys = ("timeout", "start_timeout", "one_shot", "memory_limit", "strict_stdout", "sandbox", "max_restarts")
    chosen = {key: options[key] for key in keys if key in options}
    if options.get("sandbox"):
        chosen["outputs"] = outputs_of(options)
    return open_configured(configured(impl) or Configured(impl), **chosen)


def outputs_of(options: dict[str, Any]) -> tuple[Path, ...]:
    """The paths that a run writes and that the implementation must not see: results, reports, kept failures."""
    from backprop_check.running.early_results import early_path  # noqa: PLC0415 - numpy
    from backprop_check.running.kept_failures import own_folder  # noqa: PLC0415 - numpy

    keys = ("json_path", "html_path", "junit_path", "csv_path")
    paths = [options[key] for key in keys if options.get(key) is not None]
    if (results := options.get("json_path")) is not None:
        waiting = early_path(results)
        paths += [waiting, results.with_name(f".{results.name}.new"), waiting.with_name(f"{waiting.name}.new")]
    return (*(path.absolute() for path in paths), own_folder())

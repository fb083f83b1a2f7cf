"""The command line. Everything heavy (numpy, torch) is imported by the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from backprop_check import __version__
from backprop_check.errors import BackpropCheckError


class _Group(click.Group):
    """Turns our errors into one sentence and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BackpropCheckError as error:
            click.echo(f"backprop-check: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop-check")
def main() -> None:
    """Run an implementation of backpropagation and say which neuron is wrong.

    IMPL is a command line ("dart run bin/port.dart") or python:module:callable.
    """


_start = click.option("--start-timeout", default=30.0, show_default=True, help="Seconds until the hello is due.")
_timeout = click.option("--timeout", default=10.0, show_default=True, help="Seconds for one case.")
_one_shot = click.option("--one-shot", is_flag=True, help="Start the port anew for every request.")
_strict = click.option("--strict-stdout", is_flag=True, help="A line on stdout that is no JSON is an error.")


_suite = click.option(
    "--suite",
    multiple=True,
    type=click.Choice(["published", "edge", "generated"]),
    help="Only these cases (repeatable; default: all).",
)


@main.command()
@click.argument("impl")
@_suite
@click.option("--cases", default=200, show_default=True, help="How many generated cases.")
@click.option("--seed", default=0, show_default=True, help="Of the generated cases.")
@click.option("--profile", type=click.Choice(["textbook", "strict"]), default="textbook", show_default=True)
@click.option("--rtol", default=0.0, help="Allow this relative error as well (by default nothing is guessed).")
@click.option("--atol", default=0.0, help="Allow this absolute error as well.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results here.")
@_timeout
@_start
@_one_shot
@_strict
def run(impl: str, **options: Any) -> NoReturn:
    """Judge IMPL: generated networks go to it, its replies are compared neuron by neuron."""
    from backprop_check.main_job import run_command  # noqa: PLC0415 - numpy and torch

    sys.exit(run_command(impl, **options))


@main.command()
@click.argument("impl")
@_timeout
@_start
@_one_shot
@_strict
def smoke(impl: str, **options: Any) -> NoReturn:
    """Is the port wired right? Hello, echo, one neuron, one network of two layers."""
    from backprop_check.main_job import smoke_command  # noqa: PLC0415

    sys.exit(smoke_command(impl, **options))


@main.command()
@_suite
@click.option("--cases", "count", default=200, show_default=True, help="How many generated cases.")
@click.option("--seed", default=0, show_default=True)
@click.option("--export", type=click.Path(path_type=Path), help="Write them here, with expected values.")
def cases(suite: tuple[str, ...], count: int, seed: int, export: Path | None) -> None:
    """List the cases; with --export, write each as JSON with the values expected of it."""
    from backprop_check.main_job import list_cases  # noqa: PLC0415

    list_cases(suite, count, seed, export)

"""The command line: the list of commands. Each is a module in ``commands`` that is imported when it is used."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

from backprop_check import __version__
from backprop_check.errors import BackpropCheckError
from backprop_check.report.plain_text import readable_streams

#: Every command with the line that ``--help`` shows, in the order in which people need them.
COMMANDS = {
    "run": "Judge an implementation: the main job.",
    "smoke": "Check that a port works: hello, echo, one neuron, one small network.",
    "init": "Copy a port to start from, in your language.",
    "explain": "Work out a case neuron by neuron, or show a bug's page.",
    "guide": "Explain backpropagation from scratch, neuron by neuron.",
    "bugs": "List the named bugs.",
    "replay": "Run the kept failures again.",
    "report": "Write a report from results files.",
    "cases": "List the cases, or write them to files.",
    "levels": "Show what is covered, and which bundled ports pass it.",
}


class Commands(click.Group):
    """Imports a command when it is used, and turns our errors into one sentence and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run click's main with ``readable_streams``: the output, ``--help`` too, may lack characters such as δ."""
        with readable_streams():
            return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"backprop_check.commands.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown one the error suggests the nearest name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"{error.message}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list for ``--help``, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; one of our errors, or an interruption, becomes one sentence and an exit code."""
        from backprop_check.protocol.signals import orderly_signals  # noqa: PLC0415 - quicker --help

        if sys.stdout is None:  # standard output is closed
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
        try:
            with orderly_signals():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            click.echo(f"backprop-check: interrupted ({error or 'Ctrl-C'}) before it had finished", err=True)
            ctx.exit(1)
        except BackpropCheckError as error:
            from backprop_check.protocol.text import clean_text  # noqa: PLC0415 - only for an error

            # The message may quote an untrusted file.
            click.echo(f"backprop-check: {clean_text(str(error), 8000)}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop-check")
def main() -> None:
    """Run an implementation of backpropagation and say which neuron is wrong.

    IMPL is a command line ("dart run bin/port.dart"), python:module:callable, or a name from the
    configuration (backprop-check.toml, or [tool.backprop-check] of pyproject.toml).
    """

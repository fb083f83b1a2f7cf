"""The command line: which commands there are. Each lives in ``commands`` and is imported when it is asked for."""

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

#: Every command with the line that ``--help`` shows, in the order in which people meet them.
COMMANDS = {
    "run": "Judge an implementation: the main job.",
    "smoke": "Is a port wired right? Hello, echo, one neuron, one small network.",
    "init": "A port to start from, in your language.",
    "explain": "The mathematics of a case, neuron by neuron, or a bug's page.",
    "guide": "Backpropagation from nothing, neuron by neuron.",
    "bugs": "The catalogue of named bugs.",
    "replay": "Run the kept failures again.",
    "report": "A report from a results file.",
    "cases": "List the cases, or write them to files.",
    "levels": "What is covered, and which of the bundled ports pass it.",
}


class Commands(click.Group):
    """Imports a command when it is asked for, and turns our errors into one sentence and their exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """All of it, ``--help`` too, on an output that may lack characters."""
        with readable_streams():
            return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in our order."""
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
        """A command that there is not gets the nearest one named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"{error.message}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list for ``--help``, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of ours becomes its sentence, and so does being asked to stop."""
        from backprop_check.protocol.signals import orderly_signals  # noqa: PLC0415 - quicker --help

        if sys.stdout is None:  # a closed standard output
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the end
        try:
            with orderly_signals():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            click.echo(f"backprop-check: interrupted ({error or 'Ctrl-C'}) before it was done", err=True)
            ctx.exit(1)
        except BackpropCheckError as error:
            from backprop_check.protocol.text import clean_text  # noqa: PLC0415 - only for an error

            # A file from a stranger may stand in it.
            click.echo(f"backprop-check: {clean_text(str(error), 8000)}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop-check")
def main() -> None:
    """Run an implementation of backpropagation and say which neuron is wrong.

    IMPL is a command line ("dart run bin/port.dart"), python:module:callable, or a name from the
    configuration (backprop-check.toml, or [tool.backprop-check] of pyproject.toml).
    """

"""``backprop-check run``: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from backprop_check.commands.options import Finite, opening, selection
from backprop_check.config import KINKS


@click.command("run")
@click.argument("impl", required=False)
@click.option("--all", "every", is_flag=True, help="Every implementation that is configured in this folder.")
@click.option(
    "--submissions",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Every file and folder of this folder, with --command.",
)
@click.option("--command", "template", metavar="TEXT", help='Runs a submission, {} is its path: "python3 {}/port.py".')
@selection
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case: its id or its name (repeatable).")
@click.option("--profile", type=click.Choice(["textbook", "strict"]), default="textbook", show_default=True)
@click.option(
    "--rtol", default=0.0, type=Finite(min=0), help="Allow this relative error as well (by default nothing is guessed)."
)
@click.option("--atol", default=0.0, type=Finite(min=0), help="Allow this absolute error as well.")
@click.option(
    "--kinks",
    type=click.Choice(KINKS),
    help="At a kink (ReLU at 0, a tie of a maximum) any correct choice is right, or only PyTorch's.  [default: any]",
)
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that judge at once.")
@click.option(
    "--scheduler", metavar="local|tcp://HOST:PORT", help="Judge on a Dask cluster: one that is started here, or yours."
)
@click.option("--no-cache", is_flag=True, help="Work out what is expected anew, and keep nothing of it.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option(
    "--require",
    multiple=True,
    metavar="WORD",
    help="Fail unless this was judged and right: a level, kind of layer, activation, loss, optimizer, or cases=N.",
)
@click.option("--hints-only", is_flag=True, help="For graders: no expected value in any output or file.")
@click.option("--no-diagnosis", is_flag=True, help="Only compare: no names, no smallest network.")
@click.option(
    "--diagnosis-timeout",
    metavar="SECONDS",
    type=Finite(min=0),
    help="End the search for the cause after so long (by default its work is counted, not its time).",
)
@click.option("--exercise", is_flag=True, help="For a port made by init --exercise: show the next step only.")
@click.option("--known", type=click.Path(path_type=Path, dir_okay=False), help="A file of known failures.")
@click.option("--update-known", is_flag=True, help="Rewrite that file so that it says what is.")
@click.option("--html", "html_path", type=click.Path(path_type=Path, dir_okay=False), help="Write a report here.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the results here (of many: a folder)."
)
@click.option("--resume", is_flag=True, help="Go on with the run whose results --json holds, if it was ended.")
@click.option("--junit", "junit_path", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), help="Write CSV here.")
@opening
def command(impl: str | None, **options: Any) -> NoReturn:
    """Judge IMPL: networks go to it, its replies are compared neuron by neuron.

    \b
    backprop-check run "dart run bin/port.dart" --html report.html
    backprop-check run python:mynet:backprop
    backprop-check run --submissions handed-in --command "python3 {}/port.py" --sandbox
    """  # noqa: D301 - \b is click's
    if options["every"] or options["submissions"] is not None:
        from backprop_check.commands.many import run_many  # noqa: PLC0415 - numpy and torch

        if impl is not None:
            msg = "IMPL is one implementation, --all and --submissions are many: give one of them"
            raise click.UsageError(msg)
        sys.exit(run_many(options))
    if impl is None:
        msg = "which implementation? Give its command, python:module:callable, a configured name, or --all"
        raise click.UsageError(msg)
    from backprop_check.commands.judging import run_command  # noqa: PLC0415 - numpy and torch

    sys.exit(run_command(impl, options))

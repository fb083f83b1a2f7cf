"""``backprop-check run``: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from backprop_check.commands.options import Finite, RunOptions, opening, selection
from backprop_check.config import KINKS


@click.command("run")
@click.argument("impl", required=False)
@click.option("--all", "every", is_flag=True, help="Judge every implementation that is configured in this folder.")
@click.option(
    "--submissions",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Judge every file and folder in this folder, with --command.",
)
@click.option(
    "--command",
    "template",
    metavar="TEXT",
    help='Command that runs a submission; {} is its path: "python3 {}/port.py".',
)
@selection
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case: its id or its name (repeatable).")
@click.option("--profile", type=click.Choice(["textbook", "strict"]), default="textbook", show_default=True)
@click.option(
    "--rtol", default=0.0, type=Finite(min=0), help="Allow this relative error in addition to the derived bounds."
)
@click.option("--atol", default=0.0, type=Finite(min=0), help="Allow this absolute error in addition to the bounds.")
@click.option(
    "--kinks",
    type=click.Choice(KINKS),
    help="At a kink (ReLU at 0, a tie of a maximum), accept any valid slope or only PyTorch's.  [default: any]",
)
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Number of processes that judge."
)
@click.option(
    "--scheduler", metavar="local|tcp://HOST:PORT", help="Judge on a Dask cluster: start one here, or use yours."
)
@click.option("--no-cache", is_flag=True, help="Neither read nor write the cache of expected values.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option(
    "--require",
    multiple=True,
    metavar="WORD",
    help="Fail unless a passing case has this level, kind of layer, activation, loss or optimizer; or cases=N.",
)
@click.option("--hints-only", is_flag=True, help="For graders: write no expected value to any output or file.")
@click.option("--no-diagnosis", is_flag=True, help="Only compare: do not search for causes and smallest networks.")
@click.option(
    "--diagnosis-timeout",
    metavar="SECONDS",
    type=Finite(min=0),
    help="End the search for the cause after this time (by default the amount of work is limited, not the time).",
)
@click.option("--exercise", is_flag=True, help="For a port made by init --exercise: show only the next step.")
@click.option("--known", type=click.Path(path_type=Path, dir_okay=False), help="A file of known failures.")
@click.option("--update-known", is_flag=True, help="Rewrite the file of --known with the present failures.")
@click.option("--html", "html_path", type=click.Path(path_type=Path, dir_okay=False), help="Write a report here.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    help="Write the results here (for many implementations: a folder).",
)
@click.option("--resume", is_flag=True, help="Continue the unfinished run whose results are in --json.")
@click.option("--junit", "junit_path", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), help="Write CSV here.")
@opening
def command(impl: str | None, **parameters: Any) -> NoReturn:
    """Judge IMPL: send it networks and compare its replies neuron by neuron.

    \b
    backprop-check run "dart run bin/port.dart" --html report.html
    backprop-check run python:mynet:backprop
    backprop-check run --submissions handed-in --command "python3 {}/port.py" --sandbox
    """  # noqa: D301 - \b is click's
    options = RunOptions.of(parameters)
    if options.every or options.submissions is not None:
        from backprop_check.commands.many import run_many  # noqa: PLC0415 - numpy and torch

        if impl is not None:
            msg = "give either IMPL (one implementation) or --all or --submissions (many)"
            raise click.UsageError(msg)
        sys.exit(run_many(options))
    if impl is None:
        msg = "which implementation? Give its command, python:module:callable, a configured name, or --all"
        raise click.UsageError(msg)
    from backprop_check.commands.judging import run_command  # noqa: PLC0415 - numpy and torch

    sys.exit(run_command(impl, options))

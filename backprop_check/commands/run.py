"""``backprop-check run``: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from backprop_check.commands.options import opening, selection


@click.command("run")
@click.argument("impl")
@selection
@click.option("--case", "only", multiple=True, metavar="ID", help="Only this case: its id or its name (repeatable).")
@click.option("--profile", type=click.Choice(["textbook", "strict"]), default="textbook", show_default=True)
@click.option("--rtol", default=0.0, help="Allow this relative error as well (by default nothing is guessed).")
@click.option("--atol", default=0.0, help="Allow this absolute error as well.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that judge at once.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--hints-only", is_flag=True, help="For graders: no expected value in any output or file.")
@click.option("--no-diagnosis", is_flag=True, help="Only compare: no names, no smallest network.")
@click.option("--exercise", is_flag=True, help="For a port made by init --exercise: show the next step only.")
@click.option("--known", type=click.Path(path_type=Path, dir_okay=False), help="A file of known failures.")
@click.option("--update-known", is_flag=True, help="Rewrite that file so that it says what is.")
@click.option("--html", "html_path", type=click.Path(path_type=Path, dir_okay=False), help="Write a report here.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the results here.")
@click.option("--resume", is_flag=True, help="Go on with the run whose results --json holds, if it was ended.")
@click.option("--junit", "junit_path", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), help="Write CSV here.")
@opening
def command(impl: str, **options: Any) -> NoReturn:
    """Judge IMPL: networks go to it, its replies are compared neuron by neuron.

    \b
    backprop-check run "dart run bin/port.dart" --html report.html
    backprop-check run python:mynet:backprop
    """  # noqa: D301 - \b is click's
    from backprop_check.commands.judging import run_command  # noqa: PLC0415 - numpy and torch

    sys.exit(run_command(impl, options))

"""``backprop-check init``: a port to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import click


@click.command()
@click.argument("language", required=False)
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--exercise", is_flag=True, help="Leave out the backward pass: you write it, stage by stage.")
def command(language: str | None, folder: Path | None, *, exercise: bool) -> None:
    """Copy a port in LANGUAGE to DIR; the copy conforms as it is.

    Without LANGUAGE, the languages are listed. DIR must be new or empty (default: backprop-LANGUAGE).
    """
    from backprop_check.explain.starting import copy_port, find_port, ports  # noqa: PLC0415 - quicker --help

    if language is None:
        width = max(map(len, ports()))
        for port in ports().values():
            click.echo(f"{port.language:{width}}  {port.title}{'' if port.tested else ' (not run by our tests)'}")
        return
    port = find_port(language)
    target = folder or Path(f"backprop-{port.language}")
    files = copy_port(port, target, exercise=exercise)
    what = "An exercise" if exercise else "A port"
    click.echo(f"{what} in {port.title}: {target} ({len(files)} files; start with {target / port.main[0]})")
    if exercise:
        click.echo(f"Read {target / 'EXERCISE.md'}; `backprop-check guide` explains the mathematics.")
    missing = [name for name in port.needs if shutil.which(name) is None]
    if missing:
        click.echo(f"Not found here: {', '.join(missing)}. {port.hint}")
    if not port.tested:
        click.echo("Our own tests do not run this port, because its tools are missing there: please report problems.")
    click.echo("Next:")
    inside = f"cd {_quoted(target)}" + (f" && {port.build}" if port.build else "")
    if exercise:  # smoke fails until the exercise is done, so only the next step is shown
        click.echo(f'  {inside} && backprop-check run --exercise "{port.run}"')
        return
    click.echo(f'  {inside} && backprop-check smoke "{port.run}"')
    click.echo(f'  backprop-check run "{port.run}"')


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)

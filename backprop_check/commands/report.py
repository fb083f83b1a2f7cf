"""``report RESULTS... --html PATH``: write a page from results files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS...")
@click.option("--html", "html_path", required=True, type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--case", "cases", multiple=True, metavar="ID", help="Only this case (repeatable).")
def command(results: tuple[Path, ...], html_path: Path, cases: tuple[str, ...]) -> None:
    """Write one HTML page that shows the networks, the wrong neurons and their mathematics.

    RESULTS are files that run --json wrote; several are shown side by side. The page is one file that opens offline.
    """
    from backprop_check.report.html import write_report  # noqa: PLC0415 - jinja2 and numpy, where they are needed

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    click.echo(f"report: {write_report(results, html_path, only=cases, say=say)}")

"""``backprop-check guide``: backpropagation from scratch, chapter by chapter."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("chapter", required=False)
@click.option(
    "--html", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write all chapters to this page."
)
def command(chapter: str | None, path: Path | None) -> None:
    """Explain backpropagation from scratch, on one small network that grows.

    CHAPTER is a number or a part of a chapter's name; without it, the chapters are listed.
    """
    from backprop_check.errors import ELSEWHERE, ConfigurationError  # noqa: PLC0415 - quicker --help
    from backprop_check.guide.book import as_html, chapters, find_chapter, for_terminal  # noqa: PLC0415

    if path is not None:
        try:
            path.write_text(as_html(), encoding="utf-8")
        except OSError as error:
            cause = f"--html {path}: cannot be written: {error.strerror}"
            raise ConfigurationError("guide-not-written", cause, ELSEWHERE, "; ") from None
        click.echo(f"written: {path}")
        return
    if chapter is None:
        click.echo("Backpropagation from scratch, neuron by neuron:\n")
        for each in chapters():
            click.echo(f"  {each.title}")
        click.echo("\nBegin with: backprop-check guide 1. All chapters with pictures: guide --html guide.html")
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.markdown import Markdown  # noqa: PLC0415

    from backprop_check.report.plain_text import shown_on  # noqa: PLC0415

    found = find_chapter(chapter)
    console = Console(highlight=False)
    console.print(Markdown(shown_on(console, for_terminal(found))))
    names = [each.name for each in chapters()]
    after = names.index(found.name) + 1
    if after < len(names):
        console.print(f"\nNext: backprop-check guide {after + 1}", markup=False)

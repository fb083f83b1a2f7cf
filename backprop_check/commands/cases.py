"""``backprop-check cases``: which cases there are."""

from __future__ import annotations

from pathlib import Path

import click

from backprop_check.commands.options import selection


@click.command("cases")
@selection
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the cases into this folder, with expected values.",
)
def command(suite: tuple[str, ...], count: int, seed: int, export: Path | None) -> None:
    """List the cases; with --export, write each as JSON with its expected values."""
    from backprop_check.cases.plan import select_cases  # noqa: PLC0415 - numpy, where it is needed

    for case in select_cases(suite, count, seed):
        click.echo(case.id)
        if export is not None:
            _export(case, export)


def _export(case: object, folder: Path) -> None:
    import msgspec  # noqa: PLC0415 - as above

    from backprop_check.case.network import Case  # noqa: PLC0415
    from backprop_check.compare.reply_form import as_reply  # noqa: PLC0415
    from backprop_check.errors import ELSEWHERE, ConfigurationError  # noqa: PLC0415
    from backprop_check.running.one_case import witnesses  # noqa: PLC0415

    assert isinstance(case, Case)
    right = witnesses(case)
    expected = as_reply(right.values, len(case.network.layers), trajectory=False, form=right.form)
    content = {
        "schema": 1,
        "name": case.name,
        "case": msgspec.json.decode(case.request()),
        "expected": {"id": case.id, **expected},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(content), indent=1)
        (folder / f"{case.id}.json").write_bytes(text + b"\n")
    except OSError as error:
        cause = f"cases cannot be written to {folder}: {error.strerror}"
        raise ConfigurationError("cases-not-written", cause, ELSEWHERE, "; ") from None

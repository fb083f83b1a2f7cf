"""``backprop-check bugs``: the catalogue of named bugs."""

from __future__ import annotations

import click


@click.command("bugs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the whole page of each bug.")
def command(*, as_json: bool) -> None:
    """List the named bugs; backprop-check explain CODE shows a bug's page."""
    from backprop_check.diagnose.catalogue import BUGS, FAMILIES  # noqa: PLC0415 - numpy, where it is needed

    if as_json:
        import msgspec  # noqa: PLC0415 - as above

        pages = [
            {
                "code": bug.code,
                "name": bug.name,
                "sentence": bug.sentence,
                **dict(zip(("right", "wrong"), bug.formulas(), strict=True)),
                "stays_right": bug.stays_right,
                "confused_with": bug.confused_with,
                "fix": bug.fix,
                "example": bug.example,
                "seen": bug.seen,
            }
            for bug in BUGS
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(pages), indent=1).decode())
        return
    family = ""
    for bug in BUGS:
        if bug.code[:3] != family:
            family = bug.code[:3]
            click.echo(f"\n{family}xx  {FAMILIES.get(family, '')}")
        click.echo(f"  {bug.code}  {bug.name}: {bug.sentence}")

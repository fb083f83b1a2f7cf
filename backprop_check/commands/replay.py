"""``backprop-check replay``: run the kept failures again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from backprop_check.commands.options import opened, opening, opening_of

if TYPE_CHECKING:
    from backprop_check.protocol import Opening


@click.command("replay")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--impl", help="The implementation (default: the command with which each failure was found).")
@opening
def command(ids: tuple[str, ...], impl: str | None, **parameters: Any) -> NoReturn:
    """Run the kept failures again, or only those named. FIXED ones are dropped, FAILED ones stay.

    A failing run keeps the smallest network of each cause in .backprop-check/failures.
    """
    sys.exit(_replay(ids, impl, opening_of(parameters)))


def _replay(ids: tuple[str, ...], impl: str | None, how: Opening) -> int:
    from rich.console import Console  # noqa: PLC0415 - with what it prints
    from rich.text import Text  # noqa: PLC0415

    from backprop_check.errors import ConfigurationError  # noqa: PLC0415
    from backprop_check.protocol.signals import orderly_signals  # noqa: PLC0415
    from backprop_check.report.terminal import print_failure  # noqa: PLC0415
    from backprop_check.running.kept_failures import Kept, drop, kept_failures  # noqa: PLC0415
    from backprop_check.running.one_case import Settings, judge  # noqa: PLC0415 - numpy and torch

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    kept = kept_failures()
    unknown = sorted(set(ids) - {each.id for each in kept} - {each.file.case.name for each in kept})
    if unknown:
        there = ", ".join(each.id for each in kept) or "none"
        cause = f"no failure {unknown[0]!r} is kept in .backprop-check/failures of this folder"
        raise ConfigurationError("unknown-failure", cause, f"kept are: {there}", "; ")
    kept = [each for each in kept if not ids or {each.id, each.file.case.name} & set(ids)]
    if not kept:
        console.print("No failure is kept here: a failing backprop-check run keeps its smallest networks.")
        return 0
    groups: dict[tuple[str, Settings], list[Kept]] = {}  # those with the same command and settings share one process
    for each in kept:
        command = impl or each.command
        if command is None:
            cause = f"the command with which {each.id} failed is not known"
            raise ConfigurationError("no-command-kept", cause, "give it with --impl")
        groups.setdefault((command, each.settings), []).append(each)
    failed = 0
    with orderly_signals():
        for (spec, settings), group in groups.items():
            with opened(spec, how) as implementation:
                cases = [each.file.case for each in group]
                for each, result in zip(group, judge(cases, implementation, settings), strict=True):
                    if result.outcome == "passed":
                        console.print(Text(f"FIXED   {each.id}  {each.file.title}", style="green"))
                        drop(each)
                        continue
                    failed += 1
                    console.print(Text(f"FAILED  {each.id}  {each.code or ''} {each.file.title}", style="bold red"))
                    print_failure(console, each.file.case, result)
    return 1 if failed else 0

"""Results in the terminal: plain sentences first, then the numbers of each neuron."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backprop_check.protocol.text import clean_text
from backprop_check.run import where

if TYPE_CHECKING:
    from pathlib import Path

    from backprop_check.network import Case
    from backprop_check.protocol import ImplementationInfo
    from backprop_check.results import Summary
    from backprop_check.run import Result

#: So many values of a failing case are shown.
ROWS = 8


def print_failure(console: Console, case: Case, result: Result) -> None:
    """One failing case: what happened, and the first wrong values."""
    console.print()
    console.print(Text(f"{result.outcome.upper().replace('_', ' ')}  {result.id}", style="bold red"))
    console.print(Text(f"  {clean_text(result.message)}"))
    if result.mismatches:
        table = Table(box=None, padding=(0, 2), pad_edge=True)
        for heading in ("quantity", "where", "expected", "got", "error", "allowed"):
            table.add_column(heading, justify="left" if heading in ("quantity", "where") else "right")
        for one in result.mismatches[:ROWS]:
            numbers = (one.expected, one.actual, one.error, one.allowed)
            cells = [one.quantity.replace("_", " "), where(case, one), *map(_number, numbers)]
            table.add_row(*(Text(clean_text(cell, 60)) for cell in cells))
        console.print(table)
        if result.mismatch_count > ROWS:
            console.print(f"  … and {result.mismatch_count - ROWS} more values")
    for note in result.notes[:3]:
        console.print(Text(f"  note: {clean_text(note, 300)}"))


def failure_text(case: Case, result: Result) -> str:
    """The same as plain text."""
    out = io.StringIO()
    print_failure(Console(file=out, width=110, no_color=True, highlight=False), case, result)
    return out.getvalue().strip("\n")


def _number(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else value


def print_summary(
    console: Console, summary: Summary, hidden: int, info: ImplementationInfo, results: Path | None
) -> None:
    """The verdict in a sentence, then the counts."""
    console.print()
    if hidden > 0:
        console.print(f"… and {hidden} more failing cases.")
    counts = summary.counts
    judged = counts["passed"] + counts["mismatched"]
    if not summary.complete:
        console.print("The run was not finished.")
    if summary.failed:
        fails = f"{summary.failed} of {summary.cases} cases fail."
        text = f"{info.name} does not compute backpropagation right: {fails}"
        console.print(Text(text, style="bold red"))
    elif not judged:
        console.print(Text(f"Nothing was judged: {info.name} supports none of these cases.", style="bold yellow"))
    else:
        text = (
            f"{info.name} computes all {judged} cases right: {summary.values_checked} values "
            f"of {summary.neurons_checked} neurons are within what rounding allows."
        )
        console.print(Text(text, style="bold green"))
    others = {name.replace("_", " "): n for name, n in counts.items() if n and name != "passed"}
    parts = [f"{counts['passed']} passed", *(f"{n} {name}" for name, n in others.items())]
    console.print("  " + ", ".join(parts))
    if results is not None:
        console.print(Text(f"  results: {results}"))

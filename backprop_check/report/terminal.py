"""Results in the terminal: sentences first, then the numbers of each neuron."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backprop_check.case.network import Case
from backprop_check.compare.conventions import convention_line
from backprop_check.compare.places import in_short
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.diagnose.causes import KEPT
from backprop_check.protocol.text import clean_text
from backprop_check.report.plain_text import shown_on
from backprop_check.running.kept_failures import keep_lines
from backprop_check.running.one_case import LOG
from backprop_check.running.results_file import how_many_fail, why_nothing_was_judged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from backprop_check.compare.compare import Mismatch
    from backprop_check.diagnose.behaviour import Behaviour
    from backprop_check.diagnose.cause import Cause
    from backprop_check.protocol import ImplementationInfo
    from backprop_check.running.one_case import Result
    from backprop_check.running.results_file import Conclusion, Summary

#: How many values of a failing case are shown: first wrong values, and values that follow from them.
ROOTS, INHERITED = 4, 4

#: With fewer judged cases, a pass is not reliable.
_FEW = 30

#: The longest command, in characters, that is shown to be pasted; a longer one reads its input from a file.
BY_HAND = 400

#: The most lines of a log that are shown; the middle of a longer log is left out.
_LOG_LINES = 16

#: The columns of numbers.
_NUMBERS = ("expected", "got", "error", "allowed")

#: On a console with fewer columns, each wrong value is shown as a block of lines instead of a row.
NARROW = 110

_BY_ORIGIN = {"root": "first wrong value", "inherited": "follows from it", "unknown": "wrong value"}


def print_failure(console: Console, case: Case, result: Result) -> None:
    """Print one failing case: what happened, and the first wrong values."""
    console.print()
    console.print(Text(f"{result.outcome.upper().replace('_', ' ')}  {result.id}", style="bold red"))
    console.print(Text(f"  {clean_text(result.message)}"))
    if result.mismatches:
        print_values(console, case, result)
    notes = [note for note in result.notes if LOG not in note]
    for note in notes[:3]:
        console.print(Text(f"  note: {clean_text(note, 300)}"))
    _print_logs(console, result)


def _print_logs(console: Console, result: Result) -> None:
    """Print the traceback that a port sent and its standard error; of a long log only the beginning and the end."""
    for note in result.notes:
        name, log, text = note.partition(LOG)
        if not log:
            continue
        lines = text.splitlines()
        if len(lines) > _LOG_LINES:
            half = _LOG_LINES // 2
            lines = [*lines[:half], f"… ({len(lines) - 2 * half} lines left out)", *lines[-half:]]
        console.print(Text(f"  {name}:"))
        for line in lines:
            console.print(Text(f"    {clean_text(line, 300)}"))


def print_values(console: Console, case: Case, result: Result) -> None:
    """Print the first wrong values and those that follow: as a table, or on a narrow console one block per value."""
    chosen = _chosen(result.mismatches)
    rows = [[shown_on(console, cell) for cell in _cells(case, one)] for one in chosen]
    styles = ["bold" if one.origin == "root" else "" for one in chosen]
    numbers = [] if all(one.expected is None for one in chosen) else list(_NUMBERS)
    table = _table(rows, styles, numbers)
    # Measured with a very wide console, since a table is never wider than its console.
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    if max(NARROW, needed) > console.width:
        _print_stacked(console, rows, styles, numbers)
    else:
        console.print(table)
    if result.mismatch_count > len(chosen):
        console.print(f"  … and {result.mismatch_count - len(chosen)} more values")


def _cells(case: Case, one: Mismatch) -> list[str]:
    """The cells of a wrong value: how it is wrong, which quantity, where, and its numbers."""
    words = [clean_text(text, 60) for text in (_how(one), one.quantity.replace("_", " "), in_short(case, one))]
    numbers = [_number(one.expected), _number(one.actual), _number(one.error, 2), _number(one.allowed, 2)]
    return [*words, *(clean_text(number, 60) for number in numbers)]


def _table(rows: Sequence[Sequence[str]], styles: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for heading in ("", "quantity", "where", *numbers):
        table.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=True)
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*(Text(cell) for cell in row[: 3 + len(numbers)]), style=style)
    return table


def _print_stacked(
    console: Console, rows: Sequence[Sequence[str]], styles: Sequence[str], numbers: Sequence[str]
) -> None:
    """Print each value's words on one line and each of its numbers on a line of its own, so that no number is cut."""
    width = max(map(len, _NUMBERS))
    for (how, quantity, where, *values), style in zip(rows, styles, strict=True):
        console.print(Text(f"  {how}: {', '.join(text for text in (quantity, where) if text)}", style=style))
        for name, value in zip(numbers, values, strict=False):
            if value:
                console.print(Text(f"    {name:{width}}  {value}", style=style))


def _how(one: Mismatch) -> str:
    """How a value is wrong, in a few words."""
    if one.unstable:
        return "unstable"
    if one.problem == "recovered":
        return "not sent: computed from the gradients"
    return _BY_ORIGIN.get(one.origin, "wrong") if one.problem in ("wrong", "not_finite") else one.problem


def _chosen(mismatches: Sequence[Mismatch]) -> list[Mismatch]:
    roots = [each for each in mismatches if each.origin != "inherited"]
    return [*roots[:ROOTS], *[each for each in mismatches if each.origin == "inherited"][:INHERITED]]


def failure_text(case: Case, result: Result) -> str:
    """What ``print_failure`` prints, as plain text."""
    out = io.StringIO()
    print_failure(Console(file=out, width=120, no_color=True, highlight=False), case, result)
    return out.getvalue().strip("\n")


def _number(value: float | str | None, digits: int = 9) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else value


def print_cause(console: Console, cause: Cause, result: Result | None, *, failed: int, first: bool) -> None:
    """Print one cause: name, sentence, place, numbers, formula, remedy, and how many failing cases it explains."""
    console.print()
    console.print(Text(f"{cause.code or '—'}  {cause.title}", style="bold red"))
    console.print(Text(f"  {cause.sentence}"))
    details = [text for text in (cause.scope, cause.detail) if text]
    if details:
        console.print(Text(f"  Here: {clean_text('; '.join(details), 400)}."))
    if result is not None and result.mismatches:
        case = _case_of(result)
        if case is not None:
            console.print(Text(f"\n  In {result.id}:"))
            print_values(console, case, result)
    elif result is not None:
        console.print(Text(f"\n  In {result.id}: {clean_text(result.message)}"))
        _print_logs(console, result)
    if cause.right:
        console.print(Text(f"\n  right:        {cause.right}"))
        console.print(Text(f"  implemented:  {cause.implemented}"))
    if cause.shown is not None:
        console.print(Text(f"\n  With numbers, in the smallest network that shows it ({cause.shown.place}):"))
        for label, lines in (("right:        ", cause.shown.right), ("implemented:  ", cause.shown.implemented)):
            for index, line in enumerate(lines):
                console.print(Text(f"  {label if index == 0 else ' ' * len(label)}{line}"))
    if cause.fix:
        console.print(Text(f"\n  help: {cause.fix}", style="bold"))
    if cause.equivalent:
        console.print(Text(f"  It may also be {', '.join(cause.equivalent)}: no case tells them apart."))
    which = f"This {'explains' if cause.code else 'is seen in'} {cause.cases} of {failed} failing cases."
    if failed > KEPT:
        which += f" (The first {KEPT} were looked at.)"
    console.print(Text(f"  {which}{' Fix this first.' if first else ''}"))
    if cause.code:
        console.print(Text(f"  More: backprop-check explain {cause.code}"))


def _case_of(result: Result) -> Case | None:
    return None if result.case is None else Case.from_dict(result.case)


def print_replay(console: Console, case: Case, command: str, hello: str, opening: Sequence[str] = ()) -> None:
    """Print how to run the smallest network again, by name and by hand; a long request is read from a file.

    ``opening`` are the options with which the implementation was started; the settings of judging are kept with the
    case.
    """
    console.print(Text(f"  Again: {' '.join(['backprop-check replay', case.id, *opening])}"))
    if command.startswith("python:"):
        return  # a callable does not read lines
    lines = [hello, case.request().decode()]
    pasted = "\\n".join([*lines, ""])
    by_hand = f"printf '{pasted}' | {command}"
    if "'" in hello or len(by_hand) > BY_HAND:
        path = keep_lines(case.id, "".join(f"{line}\n" for line in lines))
        if path is None:
            return
        by_hand = f"{command} < {path}"
    console.print(Text(f"  By hand: {by_hand}", no_wrap=True, overflow="ignore"), soft_wrap=True)


def print_behaviours(console: Console, behaviours: Sequence[Behaviour], *, remedies: bool = True) -> None:
    """Print the checks over several cases that failed, with a remedy for each."""
    for each in behaviours:
        bug = find_bug(each.code or "")
        console.print(Text(f"\n{bug.code}  {bug.title}", style="bold red"))
        console.print(Text(f"  {bug.sentence}\n  Here: {each.message}, in {each.case}."))
        if remedies:
            console.print(Text(f"  help: {bug.fix}", style="bold"))
        console.print(Text(f"  More: backprop-check explain {bug.code}"))


def print_summary(
    console: Console,
    summary: Summary,
    info: ImplementationInfo,
    results: Path | None,
    conclusion: Conclusion | None = None,
) -> None:
    """Print the verdict in a sentence, then the counts."""
    console.print()
    counts = summary.counts
    judged = counts["passed"] + counts["mismatched"]
    broken = conclusion.failed if conclusion else []
    if not summary.complete:
        console.print(Text(summary.interrupted or "The run was not finished."))
    if summary.failed:
        text = f"{info.name} does not compute backpropagation right: {how_many_fail(counts)}."
        console.print(Text(text, style="bold red"))
        told = [cause for cause in conclusion.causes if cause.code or cause.implemented] if conclusion else []
        if told:
            names = [f"{cause.title} ({cause.code or cause.implemented})" for cause in told]
            console.print(Text(f"The cause: {', and '.join(names)}."))
    elif broken:
        text = f"{info.name} computes each case right by itself, but is not reliable: {broken[0].message}."
        console.print(Text(text, style="bold red"))
    elif not judged:
        why = why_nothing_was_judged(counts, complete=summary.complete)
        console.print(Text(f"Nothing was judged: {info.name} {why}.", style="bold yellow"))
    else:
        which = f"all {judged} cases" if summary.complete else f"the {judged} cases that were judged"
        text = (
            f"{info.name} computes {which} right: {summary.values_checked} values "
            f"of {summary.neurons_checked} neurons are within what rounding allows."
        )
        if judged < _FEW:
            text += f" But {judged} cases are too few to rely on."
        good = judged >= _FEW and summary.complete
        console.print(Text(text, style="bold green" if good else "bold yellow"))
    for note in conclusion.notes if conclusion else []:
        console.print(Text(f"  note: {clean_text(note, 500)}"))
    for each in summary.conventions.to_list():
        console.print(Text(f"  note: {convention_line(each)}"))
    others = {name.replace("_", " "): n for name, n in counts.items() if n and name != "passed"}
    parts = [f"{counts['passed']} passed", *(f"{n} {name}" for name, n in others.items())]
    console.print("  " + ", ".join(parts))
    if results is not None:
        console.print(f"  results: {escape(str(results))}")


def print_coverage(console: Console, levels: str, conclusion: Conclusion) -> None:
    """Print which levels were judged and which were not, and the unmet requirements."""
    console.print(Text(f"  levels {levels}"))
    for sentence in conclusion.unmet:
        console.print(Text(f"  FAIL  {sentence}.", style="bold red"))

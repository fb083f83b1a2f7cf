"""The end of a run: its files are written whatever happened, and then its verdict is printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backprop_check.errors import BackpropCheckError
from backprop_check.report.files import write_csv, write_junit
from backprop_check.running.known_failures import write_known
from backprop_check.running.results_file import with_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from backprop_check.commands.gathered import Gathered
    from backprop_check.commands.options import RunOptions
    from backprop_check.protocol import Interruption
    from backprop_check.running.known_failures import Entry
    from backprop_check.running.results_file import Conclusion, ResultsFile


def interrupted_sentence(interruption: Interruption) -> str:
    """The sentence, without its full stop, that reports that a run was interrupted."""
    return f"The run was not finished: it was interrupted ({interruption.reason}) while {interruption.phase}"


@dataclass
class Written:
    """The files of a run: one line for each file written, and the first error, which does not stop the other files."""

    lines: list[str] = field(default_factory=list)
    error: BackpropCheckError | None = None

    def attempt(self, line: str, write: Callable[[], object]) -> None:
        """Call ``write``; note ``line`` where it succeeds, the error where it fails."""
        try:
            write()
        except BackpropCheckError as error:
            self.error = self.error or error
        else:
            self.lines += [line] if line else []


def written(
    options: RunOptions,
    gathered: Gathered,
    conclusion: Conclusion,
    file: ResultsFile | None,
    known: list[Entry] | None,
) -> Written:
    """Write all files that were asked for. This comes before anything is printed, since printing can fail."""
    done, summary = Written(), gathered.run.summary
    if file is not None:
        done.attempt("", lambda: file.finish(conclusion, complete=summary.complete, interrupted=summary.interrupted))
    if options.exercise:
        return done
    names = conclusion.names()
    named = [with_names(each, names) for each in gathered.results]
    if path := options.csv_path:
        done.attempt(f"csv: {path}", lambda: write_csv(path, named))
    if junit := options.junit_path:
        done.attempt(f"junit: {junit}", lambda: write_junit(junit, named, gathered.run.implementation.describe()))
    if (page := options.html_path) and file is not None:
        done.attempt(f"report: {page.absolute().as_uri()}", lambda: write_page([file.path], page))
    target = options.known
    if options.update_known and target is not None and known is not None:
        if summary.complete:
            codes = codes_of(conclusion)
            done.attempt(
                f"known failures written: {target}", lambda: write_known(target, known, gathered.results, codes)
            )
        else:
            done.lines.append(f"known failures not written: {target} is unchanged, because the run was not finished")
    return done


def write_page(results: Sequence[Path], page: Path) -> None:
    """Write the report of these results files. Raises ``ResultsError``."""
    from backprop_check.report.html import write_report  # noqa: PLC0415 - jinja2

    write_report(results, page)


def codes_of(conclusion: Conclusion) -> dict[str, list[str]]:
    """The codes and names of the bugs that explain each failing case, by case id."""
    found: dict[str, list[str]] = {}
    for cause in conclusion.causes:
        for case in dict.fromkeys(cause.explains):
            found.setdefault(case, []).extend(name for name in (cause.code, cause.bug) if name)
    return found

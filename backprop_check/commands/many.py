"""``run --all`` and ``run --submissions``: judge many implementations, and print a table of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import re
import shlex
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backprop_check.commands.ending import Written, write_page
from backprop_check.commands.gathered import gathered_of, judge_all
from backprop_check.commands.handed_in import refusal
from backprop_check.commands.judging import file_of, introduce, prepared, run_of, work_of
from backprop_check.commands.requiring import complete_with, required_of
from backprop_check.config import Configured, implementations, open_configured
from backprop_check.diagnose.effort import Effort
from backprop_check.errors import BackpropCheckError, ConfigurationError, StartError
from backprop_check.functions.names import LEVELS
from backprop_check.protocol import Interruption, one_line, split_command
from backprop_check.report.html.read import checked, read_file
from backprop_check.running.coverage import Coverage, requirements
from backprop_check.running.one_case import FAILURES
from backprop_check.running.results_file import Conclusion

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from backprop_check.cases.plan import Plan
    from backprop_check.commands.options import RunOptions
    from backprop_check.protocol import Implementation
    from backprop_check.running.chunks import Work
    from backprop_check.running.coverage import Requirement

#: The largest number of submissions that a cluster judges at once.
_AT_ONCE = 16

_JUDGED = "they were judged"

#: Outcomes of cases that were not judged, with their headings in the table.
_NOT_JUDGED = {"skipped": "skipped", "not_applicable": "not claimed"}

#: Options that make no sense for many implementations.
_ONLY_ONE: dict[str, Callable[[RunOptions], object]] = {
    "--csv": lambda options: options.csv_path,
    "--junit": lambda options: options.junit_path,
    "--known": lambda options: options.known,
    "--exercise": lambda options: options.exercise,
}


@dataclass(frozen=True, slots=True)
class Target:
    """One implementation: its name, its command, what it must not see, and why it is refused, if it is."""

    name: str
    entry: Configured
    hidden: tuple[Path, ...] = ()
    refused: str = ""


@dataclass(slots=True)
class Row:
    """The result of one implementation: a row of the table."""

    name: str
    coverage: Coverage = field(default_factory=Coverage)
    cause: str = ""
    bad: bool = False
    path: Path | None = None
    digest: bytes = b""
    interrupted: bool = False

    def done(self, path: Path) -> None:
        """Remember the results file and the digest of its present content."""
        self.path, self.digest = path, _digest(path)

    def cut_short(self) -> Row:
        """Mark the row as interrupted, and return it."""
        self.bad = self.interrupted = True
        self.cause = self.cause or "interrupted"
        return self

    def conclude(self, causes: list[Any], unmet: list[str]) -> None:
        """Decide whether it conforms, and give the first reason why not.

        It conforms if at least one case was judged, all judged cases are right, and every requirement is met.
        """
        failed, judged = self.coverage.failed(), self.coverage.judged()
        self.bad |= bool(failed or causes or unmet or not judged)
        if self.cause:
            return  # a results file that was changed is the first cause
        if causes:
            self.cause = one_line(_name_of(causes[0]), 120)
        elif not failed and not judged:
            skipped = self.coverage.count("skipped")
            why = f"it skipped all {skipped} cases that it claims" if skipped else "it claims none of these cases"
            self.cause = f"nothing was judged: {why}"
        elif not failed and unmet:
            self.cause = unmet[0]

    def cell(self, suites: tuple[str, ...]) -> Text:
        """``200/200``: how many of the judged cases of these suites are right."""
        judged, failed = self.coverage.judged(*suites), self.coverage.failed(*suites)
        return Text(f"{judged - failed}/{judged}", style="red" if failed else "green") if judged else Text("–")


def run_many(options: RunOptions) -> int:
    """Judge all of them; return the exit code, 1 if any fails."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    folder = options.json_path
    if folder is not None and folder.exists() and not folder.is_dir():
        hint = "with many implementations --json takes a folder, with one file for each"
        raise ConfigurationError("json-is-file", f"{folder} is a file", hint)
    if options.resume and folder is None:
        cause = "--resume continues runs whose results are in a folder"
        raise ConfigurationError("resume-without-folder", cause, "give the folder with --json")
    targets = _targets(options)
    requirements(options.require)  # an unknown word is the user's error, not the submissions'
    rows: list[Row] = []
    with Interruption() as interruption, ExitStack() as stack:
        if folder is None and options.html_path is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = _file_names(target.name for target in targets)
        places = [folder / name if folder is not None else None for name in names]
        todo = list(zip(targets, places, strict=True))
        judged = stack.enter_context(contextlib.closing(_rows(console, todo, options, interruption)))
        for row in judged:
            rows.append(row)
            console.print(_line(row))
        spoiled = [row for row in rows if row.path is not None and _digest(row.path) != row.digest]
        paths = [row.path for row in rows if row.path is not None and row not in spoiled]
        page, files = options.html_path, Written()
        if page is not None and paths:
            files.attempt(f"report: {page.absolute().as_uri()}", lambda: write_page(paths, page))
        _print_table(console, rows, options)
        for row in spoiled:
            text = f"{row.path} was changed after {row.name} was judged, perhaps by a submission: use --sandbox"
            console.print(Text(text, style="bold red"))
        if interruption:
            left = len(targets) - sum(not row.interrupted for row in rows)
            many = f"{left} of {len(targets)} were not judged completely"
            console.print(f"Interrupted ({interruption.reason}): {many}.")
        for line in files.lines:
            console.print(Text(f"  {line}"))
        if files.error is not None:
            raise files.error
    return 1 if interruption or spoiled or any(row.bad for row in rows) else 0


def _rows(
    console: Console, todo: list[tuple[Target, Path | None]], options: RunOptions, interruption: Interruption
) -> Generator[Row, None, None]:
    """The rows in order, until interrupted: one after the other here, several at once on a cluster.

    An implementation that was being judged when the interruption came has a row too, with its results until then.
    """
    if options.scheduler is None:
        for target, path in todo:
            if interruption:
                return
            yield _one(console, target, path, options, interruption)
        return
    from backprop_check.running.dask_processes import local_cluster, workers_at  # noqa: PLC0415 - an extra

    with ExitStack() as stack:
        address, stop = options.scheduler, threading.Event()
        if address == "local":  # one cluster for all implementations
            address = stack.enter_context(local_cluster(options.jobs if options.jobs > 1 else 0))
        options = dataclasses.replace(options, scheduler=address)
        at_once = max(2, min(workers_at(address), _AT_ONCE, len(todo))) if len(todo) > 1 else 1
        pool = stack.enter_context(ThreadPoolExecutor(at_once, thread_name_prefix="submission"))
        under_way = [pool.submit(_one, console, target, path, options, interruption, stop) for target, path in todo]
        given = 0
        try:
            while given < len(under_way) and (row := interruption.attempt(_JUDGED, under_way[given].result)):
                given += 1
                yield row
        finally:
            stop.set()
            for future in under_way:
                future.cancel()
        for future in under_way[given:]:  # those that had started have a row
            if not future.cancelled():
                yield future.result()


def _targets(options: RunOptions) -> list[Target]:
    for name, given in _ONLY_ONE.items():
        if given(options):
            cause = f"{name} works for one implementation only"
            raise ConfigurationError("only-for-one", cause, "leave it out; --json writes a file for each")
    folder, template = options.submissions, options.template
    if folder is None:
        if template is not None:
            cause = "--command says how a submission is run"
            hint = "give the folder of submissions with --submissions"
            raise ConfigurationError("command-without-submissions", cause, hint)
        found = [Target(name, entry) for name, entry in implementations().items()]
        if not found:
            cause = "no implementation is configured in this folder"
            raise ConfigurationError("nothing-configured", cause, "add one to backprop-check.toml")
        return found
    if options.every:
        cause = "--all judges the configured implementations, --submissions those in a folder"
        raise ConfigurationError("all-and-submissions", cause, "give one of the two")
    if template is None or not any("{}" in part for part in split_command(template)):
        hint = 'Give --command with {} for its path, as in --command "python3 {}/port.py"'
        raise ConfigurationError("submissions-without-command", "how is a submission run?", hint, " ")
    return submissions(folder, template)


def submissions(folder: Path, template: str) -> list[Target]:
    """The submissions in ``folder``, sorted by name, without hidden entries; each may be refused (``refusal``).

    The command is split first and the path inserted afterwards, so that no file name can change what is run.
    Raises ``ConfigurationError`` where the folder is empty.
    """
    inside = [entry.absolute() for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if not inside:
        cause = f"there is no submission in {folder}"
        raise ConfigurationError("no-submissions", cause, "give a folder with one file or folder for each submission")
    argv = split_command(template)
    return [
        Target(
            entry.name,
            Configured(shlex.join(part.replace("{}", str(entry)) for part in argv)),
            tuple(other for other in inside if other != entry and not other.is_symlink()),
            refusal(entry),
        )
        for entry in inside
    ]


def _file_names(names: Iterable[str]) -> list[str]:
    """A file name for each name: safe on every system, and unique."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:80] or "implementation"
        file, number = plain, 1
        while file.lower() in taken:
            number += 1
            file = f"{plain}-{number}"
        taken[file.lower()] = f"{file}.json"
    return list(taken.values())


def _one(
    console: Console,
    target: Target,
    path: Path | None,
    options: RunOptions,
    interruption: Interruption,
    stop: threading.Event | None = None,
) -> Row:
    """Judge one implementation; its row says what is wrong with it, or that it was interrupted."""
    row = Row(one_line(target.name, 60))
    if target.refused:
        row.bad, row.cause = True, f"not judged: {target.refused}"
        return row
    work = work_of(target.entry, options)
    if options.opening.sandbox:
        work = msgspec.structs.replace(work, opening=msgspec.structs.replace(work.opening, hidden=target.hidden))
    try:
        with ExitStack() as stack:
            begun = interruption.attempt(_JUDGED, lambda: _begun(console, stack, target.entry, work, options))
            if begun is None:
                return row.cut_short()
            implementation, work = begun
            # The cases depend on what it supports, so only now can we tell whether an earlier run is complete.
            required = required_of(target.entry, options)
            if options.resume and path is not None and (done := _done(path, row, work.plan, required)) is not None:
                return done
            run = run_of(work, implementation, options, required)
            file, before = None, None
            if path is not None:
                file, before = file_of(path, work, run, options)
                stack.enter_context(file)
            gathered = gathered_of(run, options)
            judge_all(console, work, file, before, options, gathered, interruption, stop)
            concluded, effort = None, Effort.within(options.diagnosis_timeout)
            if gathered.complete or options.fail_fast:
                concluded = interruption.attempt(_JUDGED, lambda: run.conclude(effort))
            complete = gathered.complete and concluded is not None and not effort.interrupted
            conclusion = concluded or Conclusion()
            complete_with(conclusion, run, work.plan)
            implementation.close()  # before the file is finished: what it does while it ends must not harm the file
            if file is not None:
                file.finish(conclusion, complete=complete)
                row.done(file.path)
                row.bad, row.cause = bool(file.disturbed), one_line(file.disturbed, 300)
    except (StartError, ConfigurationError) as error:
        if options.opening.sandbox and isinstance(error, ConfigurationError):
            raise  # no sandbox is possible here, which is not the submission's fault
        row.bad, row.cause = True, one_line(error.sentence.split("\n", 1)[0], 200)
        return row
    row.coverage = run.coverage
    row.conclude([*conclusion.causes, *conclusion.failed], conclusion.unmet)
    if row.bad and not row.cause:
        row.cause = next((one_line(each.message, 90) for each in gathered.results if each.outcome in FAILURES), "")
    return row if complete or options.fail_fast else row.cut_short()


def _begun(
    console: Console, stack: ExitStack, entry: Configured, work: Work, options: RunOptions
) -> tuple[Implementation, Work]:
    """Start the implementation, and describe the work to be done."""
    implementation = stack.enter_context(open_configured(entry, work.opening))
    if implementation.echo_problems:
        introduce(console, implementation)
    return implementation, prepared(work, implementation, options)


def _name_of(cause: Any) -> str:
    return f"{cause.code}  {getattr(cause, 'title', '') or cause.check}" if cause.code else str(cause.title)


def _done(path: Path, row: Row, plan: Plan, required: tuple[Requirement, ...]) -> Row | None:
    """The row of an earlier run that is complete; None where there is something left to judge."""
    if not path.exists():
        return None
    try:
        data = checked(read_file(path), str(path))
    except BackpropCheckError:
        return None
    if data.summary.get("complete") is not True or len(data.cases) != len(plan):
        return None
    row.coverage = Coverage(required)
    for position, each in enumerate(data.cases):
        row.coverage.add(plan.suite(position), each.outcome, functools.partial(plan.case, position))
    broken = [each for each in data.behaviours or [] if not each.holds]
    row.conclude([*(data.diagnoses or []), *broken], row.coverage.unmet(plan.within))
    row.done(path)
    return row


def _digest(path: Path) -> bytes:
    """The digest of a file's content; empty where the file cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
    return b""


def _line(row: Row) -> Text:
    judged, failed = row.coverage.judged(), row.coverage.failed()
    parts = [f"{judged - failed} of {judged} cases right" if judged else "not judged"]
    not_judged = {name: row.coverage.count(outcome) for outcome, name in _NOT_JUDGED.items()}
    parts += [f"{count} {name}" for name, count in not_judged.items() if count]
    parts += ["interrupted"] if row.interrupted else []
    return Text(f"{'FAIL' if row.bad else 'ok  '}  {row.name}: {', '.join(parts)}", style="red" if row.bad else "green")


def _print_table(console: Console, rows: list[Row], options: RunOptions) -> None:
    columns: dict[str, tuple[str, ...]] = {
        suite: (suite,) for suite in options.suite or ("published", "edge", "generated")
    }
    if not options.suite and any(row.coverage.judged(*LEVELS[1:]) for row in rows):
        columns["other\nlevels"] = LEVELS[1:]
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("", overflow="fold")
    for heading in (*columns, "judged", *_NOT_JUDGED.values()):
        table.add_column(heading.replace(" ", "\n"), justify="right", overflow="fold")
    table.add_column("first cause", overflow="fold")
    for row in rows:
        counts = [row.coverage.judged(), *(row.coverage.count(outcome) for outcome in _NOT_JUDGED)]
        cells = [row.cell(suites) for suites in columns.values()]
        table.add_row(Text(row.name), *cells, *(Text(str(n)) for n in counts), Text(row.cause))
    console.print()
    console.print(table)
    bad = sum(row.bad for row in rows)
    console.print(Text(f"{len(rows) - bad} of {len(rows)} conform.", style="bold red" if bad else "bold green"))

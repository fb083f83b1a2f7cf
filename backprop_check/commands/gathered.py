"""Judging all cases of a run. The results so far are kept, so that an interruption does not lose them."""

from __future__ import annotations

import contextlib
import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backprop_check.protocol.signals import held
from backprop_check.running.chunks import Order, alone, with_done
from backprop_check.running.one_case import FAILURES, Judged, Result

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Container, Iterator

    from rich.console import Console

    from backprop_check.cases.plan import Plan
    from backprop_check.commands.options import RunOptions
    from backprop_check.compare.trace import Slot
    from backprop_check.protocol import Implementation, Interruption
    from backprop_check.running.chunks import Work
    from backprop_check.running.early_results import Early
    from backprop_check.running.judging import Run
    from backprop_check.running.results_file import ResultsFile
    from backprop_check.running.resume import Unfinished

#: The number of failing cases that are kept with their numbers, to be shown.
_SHOWABLE = 400


@dataclass
class Gathered:
    """The results of a run, as far as they are needed, and the failing cases with their numbers.

    With ``listing``, ``results`` holds each result; without ``whole`` their numbers are left out.
    """

    run: Run
    listing: bool = False
    whole: bool = False
    results: list[Result] = field(default_factory=list)
    failing: list[Judged] = field(default_factory=list)
    count: int = 0
    complete: bool = False
    """Whether all cases were judged."""

    def remember(self, judged: Judged | None, result: Result) -> None:
        """Add the next result; ``judged`` holds its case, or is None where the case is not at hand."""
        self.count += 1
        if self.listing:
            self.results.append(result if self.whole else msgspec.structs.replace(result, case=None, actual=None))
        if judged is not None and result.outcome in FAILURES and len(self.failing) < _SHOWABLE:
            self.failing.append(Judged(result, judged.case, judged.actual, judged.unstable))

    def take_rest(self, before: Unfinished | None, plan: Plan) -> None:
        """Count the results of a resumed run that an interruption left unread."""
        for result, _ in itertools.islice(before.results() if before else (), self.count, None):
            self.run.summary.add(result)
            case = functools.partial(plan.case, self.count)
            self.run.coverage.add(plan.suite(self.count), result.outcome, case)
            self.remember(None, result)


def gathered_of(run: Run, options: RunOptions) -> Gathered:
    """An empty ``Gathered`` that keeps only what the options ask for."""
    files = (options.csv_path, options.junit_path, options.known, options.submissions)
    listing = options.exercise or options.every or any(path is not None for path in files)
    return Gathered(run, listing=listing, whole=options.exercise)


def judge_all(
    console: Console,
    work: Work,
    file: ResultsFile | None,
    before: Unfinished | None,
    options: RunOptions,
    gathered: Gathered,
    interruption: Interruption,
    stop: threading.Event | None = None,
) -> None:
    """Judge every case until the run is interrupted: count and write each result, and remember the failing ones.

    Where several implementations are judged at once, setting ``stop`` ends them all.
    """
    interruption.attempt(
        "its cases were judged", lambda: _judge_all(console, work, file, before, options, gathered, stop)
    )
    gathered.take_rest(before, work.plan)


def _judge_all(
    console: Console,
    work: Work,
    file: ResultsFile | None,
    before: Unfinished | None,
    options: RunOptions,
    gathered: Gathered,
    stop: threading.Event | None,
) -> None:
    run = gathered.run
    order = Order(work.plan, run.implementation.hello, run.implementation.start_notes())

    def early(position: int, judged: Judged) -> None:
        if file is not None:
            file.early(position, run.shown(judged), _reported(run, judged))

    done = {} if before is None else {position: _recall(run, work, each) for position, each in before.ahead.items()}
    judging = with_done(judges(work, run.implementation, options, early, done, stop), done, len(work.plan))
    with _progress(console, alone=stop is None) as progress:
        task = progress.add_task("cases", total=len(work.plan))
        for position, (result, slots) in enumerate(before.results() if before else ()):
            from backprop_check.running.resume import recalled  # noqa: PLC0415 - only to go on

            order.count(result)
            run.coverage.add(work.plan.suite(position), result.outcome, functools.partial(work.plan.case, position))
            judged = recalled(run, work, position, result, slots)
            with held():
                if judged is None:
                    run.summary.add(result)
                else:
                    run.take(judged)
                gathered.remember(judged, result)
            progress.update(task, advance=1)
        with contextlib.closing(order.run(judging)) as results:
            for judged in results:
                with held():  # what is counted is also written
                    result = _taken(run, judged, file)
                    run.coverage.take(work.plan.suite(order.position - 1), judged)
                    gathered.remember(judged, result)
                progress.update(task, advance=1, description=_counts(run))
                if stop is not None and stop.is_set():
                    raise KeyboardInterrupt  # treated like Ctrl-C in this thread
                if options.fail_fast and result.outcome in FAILURES:
                    return
    gathered.complete = True


def _taken(run: Run, judged: Judged, file: ResultsFile | None) -> Result:
    """Count a result and write it; return it in the form that may be shown."""
    reported = _reported(run, judged)
    run.take(judged)
    result = run.shown(judged)
    if file is not None:
        file.add(result, reported)
    return result


def _reported(run: Run, judged: Judged) -> tuple[Slot, ...]:
    """The slots of the arrays in a right reply, as long as the run still records them."""
    return tuple(judged.actual or ()) if judged.result.outcome == "passed" and run.remembers_more else ()


def _recall(run: Run, work: Work, each: Early) -> Callable[[], Judged]:
    """A function that gives a result that was judged before its turn."""
    from backprop_check.running.resume import recalled  # noqa: PLC0415 - only to go on

    def recall() -> Judged:
        found = recalled(run, work, each.position, each.result, each.slots)
        return Judged(each.result, work.plan.case(each.position)) if found is None else found

    return recall


def judges(
    work: Work,
    implementation: Implementation,
    options: RunOptions,
    early: Callable[[int, Judged], None],
    done: Container[int],
    stop: threading.Event | None = None,
) -> Callable[[int], Iterator[Judged]]:
    """Judge in this process, in several, or on a cluster; all cases except those in ``done``."""
    if options.jobs == 1 and options.scheduler is None:
        return alone(work, implementation, done)
    if not implementation.in_process:  # other processes judge: this one's port would only use memory
        list(implementation.exchange(iter(())))
    if options.scheduler is not None:
        from backprop_check.running.dask_processes import Scheduler  # noqa: PLC0415 - an extra

        return Scheduler(work, options.scheduler, options.jobs if options.jobs > 1 else 0, early, done, stop).judging
    from backprop_check.running.processes import Pool  # noqa: PLC0415 - only for several

    return Pool(work, options.jobs, early, done).judging


def _counts(run: Run) -> str:
    return f"cases, {run.summary.failed} failing" if run.summary.failed else "cases"


def _progress(console: Console, *, alone: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not (alone and console.is_terminal))

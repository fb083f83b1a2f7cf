"""The work of ``run``: implementation, files, causes, verdict."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.text import Text

from backprop_check import __version__
from backprop_check.cases.plan import Plan
from backprop_check.cases.within import supported
from backprop_check.commands.ending import codes_of, interrupted_sentence, written
from backprop_check.commands.gathered import gathered_of, judge_all
from backprop_check.commands.options import keeping_from
from backprop_check.commands.requiring import complete_with, required_of
from backprop_check.config import Configured, configured, open_configured
from backprop_check.diagnose.cause import Shown
from backprop_check.diagnose.effort import Effort
from backprop_check.errors import ConfigurationError, ResultsError
from backprop_check.protocol.echo import echo_notes
from backprop_check.protocol.messages import hello_request
from backprop_check.protocol.signals import Interruption
from backprop_check.report.again import OPENING, options_of
from backprop_check.report.terminal import (
    print_behaviours,
    print_cause,
    print_coverage,
    print_failure,
    print_replay,
    print_summary,
)
from backprop_check.running.chunks import Work, kept_for
from backprop_check.running.coverage import Coverage
from backprop_check.running.judging import Run
from backprop_check.running.kept_failures import keep
from backprop_check.running.known_failures import read_known, unlike_known
from backprop_check.running.one_case import Judged, Result, Settings
from backprop_check.running.results_file import Conclusion, ResultsFile, head, with_names

#: The suites of an exercise: chains of dense layers.
EXERCISE = ("published", "edge", "generated")

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.commands.options import RunOptions
    from backprop_check.diagnose.cause import Cause
    from backprop_check.protocol import Implementation, Opening
    from backprop_check.running.coverage import Requirement
    from backprop_check.running.resume import Unfinished

#: The number of failing cases without a cause that are shown in full; the others are in the results file.
SHOWN = 3

#: How often one exchange may restart an implementation: no limit, since ``Order`` decides for the whole run when it is
#: given up.
NO_BOUND = 10**9

#: The exit code of a run that passed, but whose results file another program changed: as for other file errors.
_DISTURBED = ResultsError.exit_code

#: The number of causes for which the smallest network is searched.
_SHRUNK = 3


def run_command(impl: str, options: RunOptions) -> int:
    """Judge one implementation; return the exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    entry = configured(impl) or Configured(impl)
    required = required_of(entry, options)
    known = _known(options)
    _check_options(options)
    with Interruption() as interruption, ExitStack() as stack:
        begun = interruption.attempt(
            "the implementation was started", lambda: _begun(console, stack.enter_context, entry, options)
        )
        if begun is None:
            console.print(f"{interrupted_sentence(interruption)}. Nothing was judged.")
            return 1
        implementation, work = begun
        run = run_of(work, implementation, options, required)
        path = options.json_path
        if path is None and options.html_path is not None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "results.json"
        file, before = None, None
        if path is not None:
            file, before = file_of(path, work, run, options)
            stack.enter_context(file)
        gathered = gathered_of(run, options)
        judge_all(console, work, file, before, options, gathered, interruption)
        conclusion = Conclusion()
        if gathered.complete or options.fail_fast:
            conclusion = _conclude(console, run, options, interruption)
            complete_with(conclusion, run, work.plan)
        run.summary.complete = gathered.complete and not interruption
        if interruption:
            after = f"after {gathered.count} of {len(work.plan)} cases"
            run.summary.interrupted = f"{interrupted_sentence(interruption)}, {after}."
        implementation.close()  # before the files are written: what it does while it ends must not harm them
        files = written(options, gathered, conclusion, file, known)
        disturbed = _DISTURBED if file is not None and file.disturbed else 0
        if options.exercise and not interruption:
            return _exercise(console, gathered.results) or disturbed
        _show(console, run, conclusion, gathered.failing, options)
        print_summary(console, run.summary, implementation.describe(), options.json_path, conclusion)
        print_coverage(console, run.coverage.levels(work.plan.within), conclusion)
        for line in files.lines:
            console.print(Text(f"  {line}"))
        if files.error is not None:
            raise files.error
        code = _verdict(console, run, conclusion, gathered.results, known, options) or disturbed
        if interruption and not run.summary.interrupted:
            console.print(f"The run was interrupted ({interruption.reason}) after all was done: nothing is missing.")
    return 1 if interruption or conclusion.unmet else code


def _begun(
    console: Console,
    enter: Callable[[Implementation], Implementation],
    entry: Configured,
    options: RunOptions,
) -> tuple[Implementation, Work]:
    """Start the implementation, which the exit stack of ``enter`` closes, and describe the work to be done."""
    work = work_of(entry, options)
    implementation = enter(open_configured(entry, work.opening))
    introduce(console, implementation)
    return implementation, prepared(work, implementation, options)


def _check_options(options: RunOptions) -> None:
    """Refuse options that contradict each other; raises ``ConfigurationError``."""
    if len({path.resolve() for path in options.files}) < len(options.files):
        cause = "two of --json, --html, --junit and --csv name the same file"
        raise ConfigurationError("same-file", cause, "give each a file of its own")
    if options.json_path is not None and options.json_path.is_dir():
        cause = f"{options.json_path} is a folder"
        raise ConfigurationError("json-is-folder", cause, "--json takes the file to write the results to")
    if options.exercise and options.hints_only:
        cause = "--exercise shows the formula and the numbers of the next step, which --hints-only hides"
        raise ConfigurationError("exercise-and-hints-only", cause, "give one of them")
    if options.resume and (options.json_path is None or options.fail_fast):
        cause = "--resume continues the run whose results are in --json PATH"
        raise ConfigurationError("resume-without-json", cause, "give that, and leave out --fail-fast")


def _known(options: RunOptions) -> list[Any] | None:
    if options.update_known:
        if options.known is None:
            raise ConfigurationError("update-without-known", "--update-known needs --known FILE, the file to rewrite")
        if options.suite or options.only or options.fail_fast:
            cause = "--update-known needs a run of all cases"
            raise ConfigurationError("update-of-some", cause, "leave out --suite, --case and --fail-fast")
        return read_known(options.known) if options.known.exists() else []
    return None if options.known is None else read_known(options.known)


def run_of(work: Work, implementation: Implementation, options: RunOptions, required: tuple[Requirement, ...]) -> Run:
    """The ``Run`` that counts results and finds causes."""
    diagnosing = not (options.no_diagnosis or options.exercise)
    coverage = Coverage(required)
    return Run(implementation, work.settings, hints_only=options.hints_only, diagnosing=diagnosing, coverage=coverage)


def file_of(path: Path, work: Work, run: Run, options: RunOptions) -> tuple[ResultsFile, Unfinished | None]:
    """The results file; where it is continued, also the unfinished run. Raises ``ConfigurationError``."""
    about = {
        "seed": options.seed,
        "suites": list(options.suite),
        "cases": options.count,
        "only": list(options.only),
        "profile": work.settings.profile,
        "rtol": work.settings.rtol,
        "atol": work.settings.atol,
        "kinks": work.settings.kinks,
        "hints_only": options.hints_only,
        "diagnosis_timeout": options.diagnosis_timeout,
        **_told(options.opening),
        "torch": torch_version(),
    }
    info = run.implementation.describe()
    if not (options.resume and path.exists() and path.stat().st_size):
        return ResultsFile(path, info, about, sys.argv), None
    from backprop_check.running.resume import read_unfinished, summary_of  # noqa: PLC0415 - only to go on

    before = read_unfinished(path)
    before.check(work, head(info, about, sys.argv))
    if before.complete:
        cause = f"the run whose results {path} holds is complete"
        raise ConfigurationError("nothing-to-resume", cause, "leave out --resume to run it again", "; ")
    return ResultsFile.again(path, before.start, before.end, summary_of(before), before.ahead.values()), before


def _told(opening: Opening) -> dict[str, Any]:
    """The options for starting the implementation, as a results file records them."""
    return {name: getattr(opening, name) for name in OPENING}


def torch_version() -> str:
    """The version of torch, the second witness; "unknown" where it is not installed as a package."""
    import importlib.metadata  # noqa: PLC0415 - one use

    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def prepared(work: Work, implementation: Implementation, options: RunOptions) -> Work:
    """The same work, limited to the cases that an open implementation supports, and with the cache of the witnesses."""
    fitted = msgspec.structs.replace(work.plan, within=supported(implementation.hello.supports))
    work = msgspec.structs.replace(work, plan=fitted.only(options.only))
    if options.no_cache:
        return work
    cache = kept_for(implementation.hello, work.settings)
    cache.tidy()
    return msgspec.structs.replace(work, cache=cache)


def work_of(entry: Configured, options: RunOptions) -> Work:
    """The work that the options ask for, in a form that can be sent to other processes."""
    opening = msgspec.structs.replace(options.opening, max_restarts=NO_BOUND)
    suites = options.suite or (EXERCISE if options.exercise else ())
    plan = Plan(suites=suites, count=options.count, seed=options.seed)
    return Work(
        spec=entry.spec,
        opening=keeping_from(opening, options.files, options.json_path),
        plan=plan,
        settings=Settings(
            profile=options.profile,
            rtol=options.rtol,
            atol=options.atol,
            kinks=options.kinks or entry.kinks,
        ),
    )


def _conclude(console: Console, run: Run, options: RunOptions, interruption: Interruption) -> Conclusion:
    """Find the causes, each with its smallest network, until interrupted; a terminal shows progress."""
    with console.status("looking for the cause") if run.summary.failed else contextlib.nullcontext() as status:
        tell = None if status is None else (lambda what: status.update(Text(what)))
        effort = Effort.within(options.diagnosis_timeout, tell)
        conclusion = interruption.attempt("the cause was looked for", lambda: run.conclude(effort)) or Conclusion()
        shrunk = 0 if options.hints_only else min(_SHRUNK, len(conclusion.causes))
        for number, cause in enumerate(conclusion.causes[:shrunk]):
            shrink = partial(_with_smallest, run, cause, effort, among=shrunk - number)
            smallest = interruption.attempt("the smallest network was looked for", shrink)
            conclusion.causes[number] = smallest or cause
    return conclusion


def _with_smallest(run: Run, cause: Cause, effort: Effort, *, among: int) -> Cause:
    """The cause with the smallest network that shows it; the network is kept for ``replay``."""
    case = run.smallest(cause, effort, among=among)
    if case is None:
        return cause
    command = run.implementation.describe().command
    kept = keep(
        case,
        code=cause.code,
        sentence=cause.sentence,
        found_in=cause.first_case or "",
        command=command,
        settings=run.settings,
    )
    shown = None
    match = next((each for each in run.diagnostician.matches if cause.code in each.codes), None)
    if match is not None:
        from backprop_check.explain.bug import first_difference  # noqa: PLC0415 - only for a failure
        from backprop_check.explain.layout import equation_lines, heading, where  # noqa: PLC0415

        try:
            pair = first_difference(case, match.stages)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            pair = None  # the worked numbers are an extra: without them the result still stands
        if pair is not None:
            right, wrong = pair
            place = ", ".join(
                text for text in (heading(right, rounds=right.round > 0), right.stage, where(right)) if text
            )
            shown = Shown(place=place, right=equation_lines(right, 6), implemented=equation_lines(wrong, 6))
    return msgspec.structs.replace(
        cause, smallest=kept.stem, smallest_case={**msgspec.json.decode(case.request()), "id": kept.stem}, shown=shown
    )


def _show(console: Console, run: Run, conclusion: Conclusion, failing: list[Judged], options: RunOptions) -> None:
    """Print one block per cause, then a few of the failing cases that no cause explains."""
    explained = {case for cause in conclusion.causes for case in cause.explains}
    by_id = {each.result.id: each for each in failing}
    for number, cause in enumerate(conclusion.causes):
        first = by_id.get(cause.first_case or "")
        print_cause(
            console,
            cause,
            None if first is None else with_names(first.result, conclusion.names()),
            failed=run.summary.failed,
            first=number == 0 and len(conclusion.causes) > 1,
        )
        if cause.smallest_case is not None and not run.hints_only:
            from backprop_check.case.network import Case  # noqa: PLC0415 - only for a failure

            body = {key: value for key, value in cause.smallest_case.items() if key not in ("type", "id")}
            case = Case.from_dict({**body, "name": (cause.smallest or "case").rsplit("-", 1)[0]})
            opening = options_of(_told(options.opening))
            hello = hello_request(__version__).decode()
            print_replay(console, case, run.implementation.describe().command, hello, opening)
    print_behaviours(console, conclusion.failed, remedies=not run.hints_only)
    rest = [each for each in failing if each.result.id not in explained]
    for each in rest[:SHOWN]:
        print_failure(console, each.case, each.result)
    if len(rest) > SHOWN:
        console.print(f"\n… and {len(rest) - SHOWN} more failing cases.")


def _verdict(
    console: Console,
    run: Run,
    conclusion: Conclusion,
    results: list[Result],
    known: list[Any] | None,
    options: RunOptions,
) -> int:
    complete = run.summary.complete
    nothing_judged = not (run.summary.failed or run.summary.counts["passed"])
    if known is None:
        return 1 if run.summary.failed or conclusion.failed or not complete or nothing_judged else 0
    if options.update_known:
        return 0 if complete else 1
    unlike = unlike_known(known, results, codes_of(conclusion), complete=complete)
    for line in unlike[:20]:
        console.print(Text(f"  not as known: {line}", style="bold red"))
    if not (unlike or nothing_judged) and complete:
        console.print(Text("  Every failure is known.", style="bold green"))
    return 1 if unlike or not complete or nothing_judged else 0


def _exercise(console: Console, results: list[Result]) -> int:
    from backprop_check.explain.exercise import next_step  # noqa: PLC0415 - only for an exercise

    step = next_step(results)
    console.print(Text(str(step)))
    return 0 if step.done else 1


def introduce(console: Console, implementation: Implementation) -> None:
    """Print who is judged, and whether numbers come back from it unchanged."""
    info = implementation.describe()
    console.print(Text(f"judging {info.name} ({info.language or 'language unknown'}, {info.dtype})"))
    for note in echo_notes(implementation.hello.echo):
        console.print(Text(f"note  {note}"))
    for problem in implementation.echo_problems:
        console.print(Text(f"FAIL  {problem}", style="bold red"))

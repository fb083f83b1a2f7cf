"""What ``pytest --backprop-check`` collects, runs and says at the end.

Items are made in every process (under xdist in every worker) and judged where they run; each result travels with
the item's report to the process that writes the files, which also looks for the causes. So the report of ``-n 2``
is that of one process.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from backprop_check.case.network import Case
from backprop_check.cases.plan import select_cases
from backprop_check.cases.within import LEVEL_1, supported
from backprop_check.compare.conventions import convention_line
from backprop_check.config import Configured, implementations, open_configured
from backprop_check.diagnose.cause import Failure
from backprop_check.diagnose.causes import Diagnostician
from backprop_check.errors import BackpropCheckError, ConfigurationError
from backprop_check.protocol import Opening, Supports
from backprop_check.protocol.callable import PREFIX
from backprop_check.protocol.opening import split_command
from backprop_check.pytest_failures import CaseFailure, FailureText, error_text
from backprop_check.report.terminal import failure_text, print_cause
from backprop_check.running.chunks import judge_one, kept_for
from backprop_check.running.coverage import Coverage, requirements
from backprop_check.running.kept_failures import kept_failures
from backprop_check.running.one_case import FAILURES, Judged, Result, Settings
from backprop_check.running.results_file import Conclusion, Summary, head, how_many_fail, tail, with_names

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from _pytest.terminal import TerminalReporter

    from backprop_check.protocol import Implementation, ImplementationInfo


#: What a worker of xdist is told is supported stands under this name.
_PROPERTY = "backprop-check"


#: The attribute of a report that holds what an item's result is.
_ATTRIBUTE = "backprop_check_entry"


class Entry(msgspec.Struct):
    """What an item's report carries home: the result, whose it is, and what diagnosis needs."""

    implementation: str
    result: Result
    info: dict[str, str]
    case: dict[str, Any]
    reported: list[tuple[str, int | None, int | None]] = []
    unstable: str = ""


class Collecting:
    """Adds one collector per implementation to the session; gathers the results in the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        """Find out what is to be judged; raises ``pytest.UsageError`` with one sentence."""
        self.config = config
        self.entries: dict[str, list[Entry]] = {}
        self.collected: dict[str, set[str]] = {}
        self.opened: dict[str, Implementation] = {}
        self.supported: dict[str, Supports] = {}
        given = config.getoption("--backprop-impl")
        try:
            for command in (spec for spec in given if not spec.startswith(PREFIX)):
                split_command(command)  # an unclosed quote is a usage error, not an error of every case
            configured = implementations(config.rootpath)
            self.kept = kept_failures(config.rootpath) if config.getoption("--backprop-replay") else []
            requirements(config.getoption("--backprop-require"))
            self.wanted = {name: configured.get(name, Configured(name)) for name in given} if given else configured
            if not self.wanted:
                cause = "--backprop-check found nothing to judge"
                where = "[tool.backprop-check.implementations.NAME] in pyproject.toml"
                raise ConfigurationError("nothing-to-judge", cause, f"give --backprop-impl=IMPL, or configure {where}")
        except BackpropCheckError as error:
            raise pytest.UsageError(str(error)) from None
        self.chosen: set[str] = set()
        self._take_node_ids()

    def _take_node_ids(self) -> None:
        """Take arguments such as ``dart::mlp-…``, which name our items, away from pytest, which looks for files."""
        names = {_slug(name) for name in self.wanted}
        ours = [each for each in self.config.args if each.partition("::")[0] in names]
        self.chosen = set(ours)
        if ours:
            self.config.args[:] = [each for each in self.config.args if each not in self.chosen]

    def cases(self, name: str) -> Iterable[Case]:
        """The cases that the options select for an implementation, or the kept failures.

        The generated ones keep to what it supports, so where there are any it is started to say hello.
        """
        option = self.config.getoption
        if option("--backprop-replay"):
            return [each.file.case for each in self.kept]
        suites, count = option("--backprop-suite"), option("--backprop-cases")
        within = supported(self.supports(name)) if count and (not suites or "generated" in suites) else LEVEL_1
        return select_cases(suites, count, option("--backprop-seed"), within)

    def supports(self, name: str) -> Supports:
        """What an implementation says it supports; everything if it cannot be started (its items will say so).

        Under xdist the process that starts the workers asks, so that all of them collect the same.
        """
        if name not in self.supported:
            told = getattr(self.config, "workerinput", {}).get(_PROPERTY, {})
            try:
                given = msgspec.json.decode(told[name], type=Supports) if name in told else None
                self.supported[name] = given or self.open(name).hello.supports
            except BackpropCheckError:
                self.supported[name] = Supports()
        return self.supported[name]

    def open(self, name: str) -> Implementation:
        """An implementation; it is started on first use and ended with the session."""
        if name not in self.opened:
            self.opened[name] = open_configured(
                self.wanted[name], Opening(timeout=self.config.getoption("--backprop-timeout"))
            )
        return self.opened[name]

    def settings(self, name: str) -> Settings:
        """The settings by which an implementation is judged, from the options and its configuration."""
        option = self.config.getoption
        kinks = option("--backprop-kinks") or self.wanted[name].kinks
        return Settings(profile=option("--backprop-profile"), kinks=kinks)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """An xdist hook: tell a worker what is supported. This process judges nothing, so it ends what it started."""
        try:
            for name in self.wanted:
                self.cases(name)
        except BackpropCheckError:
            return  # the workers say so
        node.workerinput[_PROPERTY] = {
            name: msgspec.json.encode(supports).decode() for name, supports in self.supported.items()
        }
        self.close()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        """An xdist hook: note what the workers collected; all collect the same."""
        names = {_slug(name) for name in self.wanted}
        for name, _, case in (each.partition("::") for each in ids):
            if name in names:
                self.collected.setdefault(name, set()).add(case)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which items will run, after every selection, to know later whether the results are complete."""
        for item in session.items:
            if isinstance(item, CaseItem) and item.parent is not None:
                self.collected.setdefault(item.parent.name, set()).add(item.name)

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Put the cases after the tests; ``-k``, ``--lf`` and node ids select them like tests."""
        for name in self.wanted:
            try:
                cases = list(self.cases(name))
            except BackpropCheckError as error:
                raise pytest.UsageError(str(error)) from None
            collector = ImplementationCollector.from_parent(
                session, name=_slug(name), nodeid=_slug(name), wanted=name, cases=cases, owner=self
            )
            found = list(collector.collect())
            items += [each for each in found if not self.chosen or self.chosen & {each.nodeid, collector.nodeid}]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the implementations; fail the session if something required was not judged."""
        self.close()
        reports = not hasattr(self.config, "workerinput")
        if reports and session.exitstatus == pytest.ExitCode.OK and any(map(self.unmet, self.wanted)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def unmet(self, name: str) -> list[str]:
        """One sentence for each requirement on an implementation that was not judged."""
        words = [*self.wanted[name].require, *self.config.getoption("--backprop-require")]
        if self.config.getoption("--backprop-replay") or self.config.getoption("collectonly"):
            return []
        coverage = Coverage(requirements(words))
        for entry in self.entries.get(_slug(name), []):
            coverage.add("", entry.result.outcome, functools.partial(Case.from_dict, entry.case))
        return coverage.unmet(supported(self.supported.get(name, Supports()))) if words else []

    def close(self) -> None:
        """End the implementations."""
        for implementation in self.opened.values():
            implementation.close()
        self.opened.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give an item's result to its report: as an attribute, which xdist carries and no report file shows.

        Properties would stand in JUnit XML, where they tell every expected value.
        """
        report = yield
        if isinstance(item, CaseItem) and call.when == "call" and item.packed:
            setattr(report, _ATTRIBUTE, item.packed)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect an item's result (under xdist from a worker)."""
        if packed := getattr(report, _ATTRIBUTE, ""):
            entry = msgspec.json.decode(packed, type=Entry)
            self.entries.setdefault(entry.implementation, []).append(entry)

    def _finished(self, slug: str) -> _Finished:
        """The results of the implementation whose items have that name."""
        name = next(each for each in self.wanted if _slug(each) == slug)
        collected, unmet = self.collected.get(slug, set()), self.unmet(name)
        return _Finished(self.config, slug, self.entries[slug], self.settings(name), collected, unmet)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """The causes, and where the files are; once, in the process that reports."""
        if hasattr(self.config, "workerinput"):
            return
        for name in self.wanted:
            if _slug(name) not in self.entries:  # it has no section of its own
                _say_unmet(terminalreporter, name, self.unmet(name))
        if not self.entries:
            return
        files: list[Path] = []
        finished = [self._finished(name) for name in self.entries]
        for done in finished:
            done.show(terminalreporter)
            for option in ("--backprop-json",):
                if path := self.config.getoption(option):
                    files.append(done.write_json(Path(path), alone=len(self.entries) == 1))
                    terminalreporter.write_line(f"results: {files[-1]}")
        if path := self.config.getoption("--backprop-html"):
            from backprop_check.report.html import render  # noqa: PLC0415 - jinja2

            target = self.config.rootpath / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(render([done.whole() for done in finished]))
            terminalreporter.write_line(f"report: {target.resolve().as_uri()}")


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip("-") or "impl"


class ImplementationCollector(pytest.Collector):
    """All cases of one implementation, which the first item that runs opens."""

    def __init__(self, *, wanted: str, cases: list[Case], owner: Collecting, **rest: Any) -> None:
        """``owner`` opens and ends the implementation."""
        super().__init__(**rest)
        self.wanted, self.cases, self.owner = wanted, cases, owner

    def collect(self) -> Iterator[pytest.Item]:
        """Make one item per case."""
        for case in self.cases:
            yield CaseItem.from_parent(self, name=case.id, nodeid=f"{self.name}::{case.id}", case=case)

    def opened(self) -> Implementation:
        """The implementation; it is started on first use and ended with the session."""
        return self.owner.open(self.wanted)

    def settings(self) -> Settings:
        """The settings by which it is judged."""
        return self.owner.settings(self.wanted)


class CaseItem(pytest.Item):
    """One case against one implementation."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        """``case`` is the case to send."""
        super().__init__(**rest)
        self.case = case
        self.packed = ""
        self.add_marker("backprop")

    def runtest(self) -> None:
        """Send the case and judge the answer. Raises ``CaseFailure`` where the case fails."""
        parent = self.parent
        assert isinstance(parent, ImplementationCollector)
        implementation = parent.opened()
        settings = parent.settings()
        judged = judge_one(self.case, implementation, settings, kept_for(implementation.hello, settings))
        self.packed = _packed(parent.name, judged, implementation.describe())
        if judged.result.outcome in ("skipped", "not_applicable"):
            pytest.skip(judged.result.message)
        if judged.result.outcome in FAILURES:
            raise CaseFailure(judged)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The numbers of a failing case; cause, hint and code where the case could not be judged at all."""
        error = excinfo.value
        short = (style or self.config.getoption("tbstyle", "auto")) in ("line", "no")
        if isinstance(error, CaseFailure):
            return FailureText("" if short else failure_text(error.judged.case, error.judged.result), str(error))
        if isinstance(error, BackpropCheckError):
            return FailureText("" if short else error_text(error), error.sentence)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The item's location for pytest."""
        return self.path, None, self.nodeid


def _packed(name: str, judged: Judged, info: ImplementationInfo) -> str:
    entry = Entry(
        implementation=name,
        result=judged.result,
        info={key: getattr(info, key) for key in ("name", "language", "version", "command", "dtype")},
        case=judged.case.to_dict(),
        reported=[(slot.quantity, slot.layer, slot.step) for slot in judged.actual or ()],
        unstable=judged.unstable,
    )
    return msgspec.json.encode(entry).decode()  # a text: what xdist carries holds no other objects


class _Finished:
    """One implementation's results, in the order of the cases, with their causes."""

    def __init__(
        self,
        config: pytest.Config,
        name: str,
        entries: list[Entry],
        settings: Settings,
        collected: set[str],
        unmet: list[str],
    ) -> None:
        self.config, self.name, self.settings = config, name, settings
        seen = {entry.result.id: entry for entry in entries}
        self.entries = sorted(seen.values(), key=lambda entry: _place(entry.result.id))
        self.summary = Summary()
        for entry in self.entries:
            self.summary.add(entry.result)
        self.missing = len(collected - set(seen))
        self.summary.complete = not self.missing
        self.conclusion = self._conclude()
        self.conclusion.unmet = unmet

    def _conclude(self) -> Conclusion:
        from backprop_check.compare.compare import compare  # noqa: PLC0415 - only where something fails
        from backprop_check.compare.expected import expect  # noqa: PLC0415
        from backprop_check.compare.trace import Slot  # noqa: PLC0415
        from backprop_check.protocol.messages import Reply  # noqa: PLC0415

        profile, dtype = self.settings.profile, self.entries[0].info["dtype"]
        found = Diagnostician(dtype, profile, kinks=self.settings.kinks)
        if not self.summary.failed:
            return Conclusion()
        for entry in self.entries:
            case, result = Case.from_dict(entry.case), entry.result
            if result.outcome == "passed":
                found.passed(case, [Slot(*slot) for slot in entry.reported])
            elif result.outcome == "mismatched" and result.actual is not None:
                reply = msgspec.json.decode(msgspec.json.encode({"id": result.id, **result.actual}), type=Reply)
                actual = compare(expect(case, dtype, profile), reply).actual
                found.failed(Failure(case, result.mismatches, actual, entry.unstable, result.id))
            elif result.outcome in ("error", "protocol_error"):
                found.refused(case, result.message)
        return Conclusion(found.causes())

    def show(self, terminal: TerminalReporter) -> None:
        """Write a line of counts, and a block per cause."""
        import io  # noqa: PLC0415 - beside its use

        from rich.console import Console  # noqa: PLC0415

        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in self.summary.counts.items() if n)
        said = how_many_fail(self.summary.counts) if self.summary.failed else counts
        terminal.section(f"backprop-check: {self.name}")
        terminal.write_line(f"{self.entries[0].info['name']}: {said}")
        if self.missing:
            terminal.write_line(f"The run was not finished: {self.missing} of the collected cases have no result.")
        _say_unmet(terminal, self.name, self.conclusion.unmet)
        by_id = {entry.result.id: entry.result for entry in self.entries}
        for number, cause in enumerate(self.conclusion.causes):
            out = io.StringIO()
            console = Console(file=out, width=120, no_color=True, highlight=False)
            several = len(self.conclusion.causes) > 1
            first = by_id.get(cause.first_case or "")
            print_cause(console, cause, first, failed=self.summary.failed, first=several and number == 0)
            terminal.write_line(out.getvalue().strip("\n"))
        for each in self.summary.conventions.to_list():
            terminal.write_line(f"note: {convention_line(each)}")

    def whole(self) -> dict[str, Any]:
        """The content of the results file."""
        from backprop_check.protocol import ImplementationInfo  # noqa: PLC0415 - beside its use

        option = self.config.getoption
        about = {
            "seed": option("--backprop-seed"),
            "suites": option("--backprop-suite"),
            "cases": option("--backprop-cases"),
            **msgspec.to_builtins(self.settings),
            "timeout": option("--backprop-timeout"),
        }
        names = self.conclusion.names()
        info = ImplementationInfo(**self.entries[0].info)  # type: ignore[arg-type]
        cases = [msgspec.to_builtins(with_names(entry.result, names)) for entry in self.entries]
        return {**head(info, about, sys.argv), "cases": cases, **tail(self.summary, self.conclusion)}

    def write_json(self, path: Path, *, alone: bool) -> Path:
        """Write the results file."""
        target = self.config.rootpath / (path if alone else path.with_name(f"{path.stem}-{self.name}{path.suffix}"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.encode(self.whole()) + b"\n")
        return target


def _say_unmet(terminal: TerminalReporter, name: str, unmet: list[str]) -> None:
    for sentence in unmet:
        terminal.write_line(f"FAIL  {name}: {sentence}.", red=True)


def _place(case: str) -> tuple[bool, str, str]:
    """A sort key: published and edge cases by name, then the generated ones by their number."""
    number = next((part for part in case.split("-") if part[:1] == "s" and part[1:].isdigit()), "")
    return bool(number), number, case

"""What ``pytest --backprop-check`` collects, runs and says at the end.

Items are made in every process (under xdist in every worker) and judged where they run; each result travels with
the item's report to the process that writes the files, which also looks for the causes. So the report of ``-n 2``
is that of one process.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from _pytest._code.code import TerminalRepr

from backprop_check.cases.generate import EVERYTHING
from backprop_check.cases.select import select_cases
from backprop_check.config import Configured, implementations, open_configured
from backprop_check.diagnose.causes import Diagnostician, Failure
from backprop_check.errors import BackpropCheckError
from backprop_check.kept import kept_failures
from backprop_check.network import Case
from backprop_check.plan import supported
from backprop_check.protocol import Supports
from backprop_check.protocol.callable import PREFIX
from backprop_check.protocol.opening import split_command
from backprop_check.report.terminal import failure_text, print_cause
from backprop_check.results import Conclusion, Summary, head, how_many_fail, tail, with_names
from backprop_check.run import FAILURES, Judged, Result, Settings
from backprop_check.work import judge_one, kept_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _pytest._io import TerminalWriter
    from _pytest.terminal import TerminalReporter

    from backprop_check.protocol import Implementation, ImplementationInfo

_PROPERTY = "backprop-check"


class Entry(msgspec.Struct):
    """What an item's report carries home: the result, whose it is, and what diagnosis needs."""

    implementation: str
    result: Result
    info: dict[str, str]
    case: dict[str, Any]
    reported: list[tuple[str, int | None, int | None]] = []
    unstable: str = ""


class Collecting:
    """Adds one collector an implementation to the session; gathers the results in the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        """Find out what is to be judged; raises ``pytest.UsageError`` with one sentence."""
        self.config = config
        self.entries: dict[str, list[Entry]] = {}
        self.opened: dict[str, Implementation] = {}
        self.supported: dict[str, Supports] = {}
        given = config.getoption("--backprop-impl")
        try:
            for command in (spec for spec in given if not spec.startswith(PREFIX)):
                split_command(command)  # that a quote is not closed is no matter of each case
            configured = implementations(config.rootpath)
            self.kept = kept_failures(config.rootpath) if config.getoption("--backprop-replay") else []
        except BackpropCheckError as error:
            raise pytest.UsageError(str(error)) from None
        self.chosen: set[str] = set()
        self.wanted = {name: configured.get(name, Configured(name)) for name in given} if given else configured
        if not self.wanted:
            msg = (
                "--backprop-check found nothing to judge: give --backprop-impl=IMPL, or configure "
                "[tool.backprop-check.implementations.NAME] in pyproject.toml"
            )
            raise pytest.UsageError(msg)
        self._take_node_ids()

    def _take_node_ids(self) -> None:
        """``pytest dart::mlp-…`` names one of our items, and no file."""
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
        within = supported(self.supports(name)) if count and (not suites or "generated" in suites) else EVERYTHING
        return select_cases(suites, count, option("--backprop-seed"), within)

    def supports(self, name: str) -> Supports:
        """What an implementation says it supports; all, where it cannot be started (its items will say so).

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
        """An implementation, started on first use and ended with the session."""
        if name not in self.opened:
            self.opened[name] = open_configured(self.wanted[name], timeout=self.config.getoption("--backprop-timeout"))
        return self.opened[name]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Of xdist: tell a worker what is supported. Here nothing is judged, so nothing stays started."""
        try:
            for name in self.wanted:
                self.cases(name)
        except BackpropCheckError:
            return  # the workers say so
        node.workerinput[_PROPERTY] = {
            name: msgspec.json.encode(supports).decode() for name, supports in self.supported.items()
        }
        self.pytest_sessionfinish()

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """The cases come after the tests, and are chosen by ``-k``, ``--lf`` and node ids like them."""
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

    def pytest_sessionfinish(self) -> None:
        """End what was started."""
        for implementation in self.opened.values():
            implementation.close()
        self.opened.clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take an item's result home (under xdist from a worker)."""
        for key, value in report.user_properties:
            if key == _PROPERTY and report.when == "call":
                entry = msgspec.json.decode(base64.b64decode(str(value)), type=Entry)
                self.entries.setdefault(entry.implementation, []).append(entry)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """The causes, and where the files are; once, in the process that reports."""
        if hasattr(self.config, "workerinput") or not self.entries:
            return
        files: list[Path] = []
        for name, entries in self.entries.items():
            done = _Finished(self.config, name, entries)
            done.show(terminalreporter)
            for option in ("--backprop-json",):
                if path := self.config.getoption(option):
                    files.append(done.write_json(Path(path), alone=len(self.entries) == 1))
                    terminalreporter.write_line(f"results: {files[-1]}")
        if path := self.config.getoption("--backprop-html"):
            from backprop_check.report.html import render  # noqa: PLC0415 - jinja2

            target = self.config.rootpath / path
            target.parent.mkdir(parents=True, exist_ok=True)
            wholes = [_Finished(self.config, name, entries).whole() for name, entries in self.entries.items()]
            target.write_bytes(render(wholes))
            terminalreporter.write_line(f"report: {target.resolve().as_uri()}")


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip("-") or "impl"


class ImplementationCollector(pytest.Collector):
    """All cases of one implementation; it is opened once, by the first item that runs."""

    def __init__(self, *, wanted: str, cases: list[Case], owner: Collecting, **rest: Any) -> None:
        """``owner`` opens it and ends it."""
        super().__init__(**rest)
        self.wanted, self.cases, self.owner = wanted, cases, owner

    def collect(self) -> Iterator[pytest.Item]:
        """One item a case."""
        for case in self.cases:
            yield CaseItem.from_parent(self, name=case.id, nodeid=f"{self.name}::{case.id}", case=case)

    def opened(self) -> Implementation:
        """The implementation, started on first use and ended with the session."""
        return self.owner.open(self.wanted)


class CaseItem(pytest.Item):
    """One case against one implementation."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        """``case`` is what is sent."""
        super().__init__(**rest)
        self.case = case
        self.add_marker("backprop")

    def runtest(self) -> None:
        """Send the case, judge the answer."""
        parent = self.parent
        assert isinstance(parent, ImplementationCollector)
        implementation = parent.opened()
        settings = Settings(profile=self.config.getoption("--backprop-profile"))
        judged = judge_one(self.case, implementation, settings, kept_for(implementation.hello, settings))
        self.user_properties.append((_PROPERTY, _packed(parent.name, judged, implementation.describe())))
        if judged.result.outcome in ("skipped", "not_applicable"):
            pytest.skip(judged.result.message)
        if judged.result.outcome in FAILURES:
            raise CaseFailure(judged)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The neurons' numbers for a failing case; one sentence where it could not be judged at all."""
        if isinstance(excinfo.value, CaseFailure):
            judged = excinfo.value.judged
            style = style or self.config.getoption("tbstyle", "auto")
            text = "" if style in ("line", "no") else failure_text(judged.case, judged.result)
            return FailureText(text, str(excinfo.value))
        if isinstance(excinfo.value, BackpropCheckError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item comes from."""
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
    # Text that any transport of reports carries unchanged.
    return base64.b64encode(msgspec.json.encode(entry)).decode()


class Said:
    """What pytest says of a failure in one line."""

    def __init__(self, message: str) -> None:
        """``message`` also stands in the short summary."""
        self.message = message

    def __str__(self) -> str:
        return self.message


class FailureText(TerminalRepr):
    """A failing case in full, or (``--tb=line``) in its line alone, which pytest then writes itself."""

    def __init__(self, text: str, message: str) -> None:
        """``text`` is empty where only the line is wanted."""
        self.text, self.reprcrash = text, Said(message)

    def __str__(self) -> str:
        return self.text or self.reprcrash.message  # how it travels from a worker of xdist

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write it."""
        if self.text:
            tw.line(self.text)


class CaseFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """A case that failed; its text is the terminal's."""

    def __init__(self, judged: Judged) -> None:
        """Keep what was judged."""
        self.judged = judged
        super().__init__(f"{judged.result.outcome}: {judged.result.message}")


class _Finished:
    """One implementation's results, in the order of the cases, with their causes."""

    def __init__(self, config: pytest.Config, name: str, entries: list[Entry]) -> None:
        self.config, self.name = config, name
        seen = {entry.result.id: entry for entry in entries}
        self.entries = sorted(seen.values(), key=lambda entry: _place(entry.result.id))
        self.summary = Summary()
        for entry in self.entries:
            self.summary.add(entry.result)
        self.summary.complete = True
        self.conclusion = self._conclude()

    def _conclude(self) -> Conclusion:
        from backprop_check.compare import compare  # noqa: PLC0415 - only where something fails
        from backprop_check.expected import expect  # noqa: PLC0415
        from backprop_check.protocol.messages import Reply  # noqa: PLC0415
        from backprop_check.trace import Slot  # noqa: PLC0415

        profile, dtype = self.config.getoption("--backprop-profile"), self.entries[0].info["dtype"]
        found = Diagnostician(dtype, profile)
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
        """A line of counts, and a block a cause."""
        import io  # noqa: PLC0415 - beside its use

        from rich.console import Console  # noqa: PLC0415

        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in self.summary.counts.items() if n)
        said = how_many_fail(self.summary.counts) if self.summary.failed else counts
        terminal.section(f"backprop-check: {self.name}")
        terminal.write_line(f"{self.entries[0].info['name']}: {said}")
        by_id = {entry.result.id: entry.result for entry in self.entries}
        for number, cause in enumerate(self.conclusion.causes):
            out = io.StringIO()
            console = Console(file=out, width=120, no_color=True, highlight=False)
            several = len(self.conclusion.causes) > 1
            first = by_id.get(cause.first_case or "")
            print_cause(console, cause, first, failed=self.summary.failed, first=several and number == 0)
            terminal.write_line(out.getvalue().strip("\n"))

    def whole(self) -> dict[str, Any]:
        """As a results file holds it."""
        from backprop_check.protocol import ImplementationInfo  # noqa: PLC0415 - beside its use

        option = self.config.getoption
        about = {"seed": option("--backprop-seed"), "profile": option("--backprop-profile"), "rtol": 0.0, "atol": 0.0}
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


def _place(case: str) -> tuple[bool, str, str]:
    """Published and edge cases by name, then the generated by their number."""
    number = next((part for part in case.split("-") if part[:1] == "s" and part[1:].isdigit()), "")
    return bool(number), number, case

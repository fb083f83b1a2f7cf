"""``pytest --backprop-check``: one item a case, for every configured implementation.

Without the switch the plugin adds options, a marker and two fixtures, and imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from backprop_check.network import Case
    from backprop_check.run import Result


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all under one heading."""
    group = parser.getgroup("backprop-check", "conformance of backpropagation, neuron by neuron")
    group.addoption("--backprop-check", action="store_true", help="judge the configured implementations")
    group.addoption("--backprop-impl", action="append", default=[], metavar="IMPL", help="judge this one (repeatable)")
    group.addoption("--backprop-suite", action="append", default=[], metavar="NAME", help="only this suite")
    group.addoption("--backprop-cases", type=int, default=200, metavar="N", help="how many generated cases")
    group.addoption("--backprop-seed", type=int, default=0, metavar="N", help="of the generated cases")
    group.addoption("--backprop-timeout", type=float, default=10.0, metavar="S", help="seconds for one case")
    group.addoption("--backprop-profile", choices=["textbook", "strict"], default="textbook", help="of the bounds")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with the switch, the collecting part."""
    config.addinivalue_line("markers", "backprop: a case of backprop-check, judged neuron by neuron")
    if config.getoption("--backprop-check"):
        config.pluginmanager.register(Collecting(config), "backprop-check-collecting")


class Collecting:
    """Adds one collector an implementation to the session."""

    def __init__(self, config: pytest.Config) -> None:
        from backprop_check.config import implementations  # noqa: PLC0415
        from backprop_check.errors import BackpropCheckError  # noqa: PLC0415

        given = config.getoption("--backprop-impl")
        try:
            configured = implementations(config.rootpath)
        except BackpropCheckError as error:
            raise pytest.UsageError(str(error)) from None
        wanted = {name: configured.get(name, name) for name in given} if given else configured
        if not wanted:
            msg = (
                "--backprop-check found nothing to judge: give --backprop-impl=IMPL, or configure "
                "[tool.backprop-check.implementations.NAME] in pyproject.toml"
            )
            raise pytest.UsageError(msg)
        self.wanted = wanted

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session: pytest.Session) -> Iterator[None]:
        """Collect ours beside whatever else there is."""
        session.stash[_WANTED] = self.wanted
        return (yield)

    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """The cases come after the tests."""
        for name, spec in self.wanted.items():
            collector = ImplementationCollector.from_parent(session, name=_slug(name), spec=spec)
            items.extend(collector.collect())


_WANTED: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip("-") or "impl"


class ImplementationCollector(pytest.Collector):
    """All cases of one implementation; it is opened once, by the first item that runs."""

    def __init__(self, *, spec: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.spec = spec
        self._implementation: Any = None

    def collect(self) -> Iterable[pytest.Item]:
        """One item a case; the ids are made without starting the implementation."""
        from backprop_check.cases.select import select_cases  # noqa: PLC0415

        option = self.config.getoption
        for case in select_cases(option("--backprop-suite"), option("--backprop-cases"), option("--backprop-seed")):
            yield CaseItem.from_parent(self, name=case.id, case=case)

    def opened(self) -> Any:
        """The implementation, started on first use and ended with the session."""
        if self._implementation is None:
            from backprop_check.protocol import open_implementation  # noqa: PLC0415

            timeout = self.config.getoption("--backprop-timeout")
            self._implementation = open_implementation(self.spec, timeout=timeout)
            self.config.add_cleanup(self._implementation.close)
        return self._implementation


class CaseItem(pytest.Item):
    """One case against one implementation."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case
        self.add_marker("backprop")

    def runtest(self) -> None:
        """Send the case, judge the answer."""
        from backprop_check.run import FAILURES, Settings, judge  # noqa: PLC0415

        parent = self.parent
        assert isinstance(parent, ImplementationCollector)
        settings = Settings(profile=self.config.getoption("--backprop-profile"))
        (result,) = judge([self.case], parent.opened(), settings, keep_running=True)
        if result.outcome in ("skipped", "not_applicable"):
            pytest.skip(result.message)
        if result.outcome in FAILURES:
            raise CaseFailure(self.case, result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The neurons' numbers for a failing case; pytest's own text for anything else."""
        if isinstance(excinfo.value, CaseFailure):
            return excinfo.value.text()
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item comes from."""
        parent = self.parent
        return self.path, None, f"{parent.name if parent else ''}::{self.name}"


class CaseFailure(Exception):  # noqa: N818 - it is a verdict, not an error
    """A case that failed; its text is the terminal's."""

    def __init__(self, case: Case, result: Result) -> None:
        self.case, self.result = case, result
        super().__init__(f"{result.outcome}: {result.message}")

    def text(self) -> str:
        """The block that ``run`` prints."""
        from backprop_check.report.terminal import failure_text  # noqa: PLC0415

        return failure_text(self.case, self.result)


@pytest.fixture
def check_backprop() -> Callable[..., Any]:
    """``check_backprop(implementation, **options)``: judges a callable and fails the test on a mismatch."""
    from backprop_check import check  # noqa: PLC0415

    def checked(implementation: Any, **options: Any) -> Any:
        results = check(implementation, **options)
        results.raise_for_mismatch()
        return results

    return checked


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``backprop_case`` runs once for each case."""
    if "backprop_case" in metafunc.fixturenames:
        from backprop_check.cases.select import select_cases  # noqa: PLC0415

        option = metafunc.config.getoption
        cases = list(select_cases(option("--backprop-suite"), option("--backprop-cases"), option("--backprop-seed")))
        metafunc.parametrize("backprop_case", cases, ids=[case.id for case in cases])

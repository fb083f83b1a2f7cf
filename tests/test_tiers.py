"""The tiers of the tests: what a marker does, that no marker is misspelt, and that every benchmark is marked."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent

TESTS = """
import pytest

def test_always(): pass

@pytest.mark.thorough
def test_thorough(): pass

@pytest.mark.slow
@pytest.mark.thorough
def test_both(): pass

@pytest.mark.parametrize("x", ["quick", pytest.param("long", marks=pytest.mark.slow)])
def test_some(x): pass
"""

ALWAYS = {"test_always", "test_some[quick]"}
EVERYTHING = {*ALWAYS, "test_thorough", "test_both", "test_some[long]"}


@pytest.fixture
def tiers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with tests of all tiers, and this project's conftest and markers."""
    for variable in ("BACKPROP_CHECK_FULL", "BACKPROP_CHECK_THOROUGH"):
        monkeypatch.delenv(variable, raising=False)
    pytester.makeconftest((HERE / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyprojecttoml((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    pytester.makepyfile(test_of_tiers=TESTS)
    return pytester


def passed(pytester: pytest.Pytester, *arguments: str) -> set[str]:
    """The tests that run and pass; all others are skipped, or not selected."""
    done = pytester.inline_run("-p", "no:cacheprovider", *(arguments or ["test_of_tiers.py"]))
    found, _, failed = done.listoutcomes()
    assert not failed
    return {report.nodeid.split("::")[1] for report in found}


@pytest.mark.parametrize(
    ("variable", "arguments", "expected"),
    [
        ("", [], ALWAYS),
        ("BACKPROP_CHECK_THOROUGH", [], {*ALWAYS, "test_thorough"}),
        ("BACKPROP_CHECK_FULL", [], EVERYTHING),
        ("", ["-m", "thorough", "test_of_tiers.py"], {"test_thorough"}),
        ("", ["-m", "slow or thorough", "test_of_tiers.py"], EVERYTHING - ALWAYS),
        ("", ["test_of_tiers.py::test_both"], {"test_both"}),
        ("", ["test_of_tiers.py::test_some[long]"], {"test_some[long]"}),
    ],
)
def test_who_asks_for_a_tier_gets_it(
    tiers: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str, arguments: list[str], expected: set[str]
) -> None:
    """By a variable, by the marker, or by the node id; a test of two tiers needs both."""
    if variable:
        monkeypatch.setenv(variable, "1")
    assert passed(tiers, *arguments) == expected


def test_a_misspelt_marker_is_an_error(tiers: pytest.Pytester) -> None:
    """Otherwise its test would silently change its tier."""
    tiers.makepyfile(test_of_tiers="import pytest\n\n@pytest.mark.thorougly\ndef test_x(): pass\n")
    assert tiers.inline_run("-p", "no:cacheprovider", "test_of_tiers.py").ret == pytest.ExitCode.INTERRUPTED


def test_every_benchmark_is_slow() -> None:
    """A busy machine spoils their figures, and they keep it busy."""
    files = sorted((HERE / "benchmarks").glob("test_*.py"))
    assert len(files) > 10
    assert [path.name for path in files if "\npytestmark = pytest.mark.slow\n" not in path.read_text("utf-8")] == []

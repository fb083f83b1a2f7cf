"""The same mistakes in a port of another style, with matrices in place of neurons: caught as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from naming import claimed
from running import Run, run_port
from second_port import BUGS

PROGRAM = Path(__file__).with_name("second_port.py")
CASES = ("--suite", "generated", "--cases", "200")


def run_with(folder: Path, bug: str = "") -> Run:
    """Judge the matrix port, with a bug or without, by the command line."""
    return run_port(f'"{sys.executable}" "{PROGRAM}"' + (f" --bug {bug}" if bug else ""), folder, *CASES)


def test_right(tmp_path: Path) -> None:
    """Without a bug nothing is found, in all cases that it supports."""
    run = run_with(tmp_path)
    assert run.exit_code == 0, run.output
    assert run.results["summary"]["passed"] > 5


@pytest.mark.thorough
@pytest.mark.parametrize("bug", BUGS)
def test_caught_and_named(bug: str, tmp_path: Path) -> None:
    """With it the run fails, and the name does not depend on the style of the port."""
    run = run_with(tmp_path, bug)
    assert run.exit_code == 1, run.output
    assert all(case["outcome"] == "mismatched" for case in run.failed)
    assert [bug in cause for cause in claimed(run.results)] == [True], claimed(run.results)

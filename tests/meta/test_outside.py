"""A port without a bug; bugs without a name; bugs that show only in several cases; and bugs in Dart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from checks import check_failures, each
from dart import DART, write_dart
from helpers import tool
from naming import claimed
from outside import OUTSIDE
from planted import REPEATED
from running import run_planted, run_port

if TYPE_CHECKING:
    from pathlib import Path

    from planting import Planted


def test_the_right_port_passes() -> None:
    """The written port without a bug is right: so the failures below come from the bugs."""
    run = run_planted(None, diagnosis=False)
    assert run.exit_code == 0, run.output
    assert run.results["summary"]["passed"] == 60


@each(REPEATED)
def test_what_differs_within_rounding_when_asked_again_is_a_note(planted: Planted) -> None:
    """Every answer is right, and no two are the same: nothing fails, and a note gives the size of the difference."""
    run = run_planted(planted)
    assert run.exit_code == 0, run.output
    assert claimed(run.results) == []
    assert any("ulp" in note for note in run.results["notes"]), run.results["notes"]


@each(OUTSIDE, always={planted.id for planted in OUTSIDE[::3]})
def test_outside_the_catalogue_caught_and_not_named(planted: Planted) -> None:
    """A bug that is not in the catalogue fails as well, at its place, with "no name fits"."""
    run = run_planted(planted)
    check_failures(planted, run)
    assert claimed(run.results) == []


@pytest.mark.thorough
@each(DART)
def test_dart(planted: Planted, tmp_path: Path) -> None:
    """The same with the Dart port, on the real Dart VM."""
    command = f'"{tool("dart")}" "{write_dart(planted, tmp_path / "dart")}"'
    options = ("--suite", "generated", "--cases", str(planted.cases), "--seed", "0", "--no-diagnosis")
    check_failures(planted, run_port(command, tmp_path, *options))

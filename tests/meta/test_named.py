"""Every planted bug is named, and no name is given to what is outside the catalogue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import second_port
from naming import claimed, names_all, names_wrong
from outside import OUTSIDE
from planted import PLANTED, REPEATED
from running import run_once, run_port

if TYPE_CHECKING:
    from planting import Planted


@pytest.mark.parametrize("planted", [pytest.param(bug, id=bug.id) for bug in [*PLANTED, *REPEATED]])
def test_named(planted: Planted) -> None:
    """The planted code is the cause, alone or among those that no case can tell apart, and no other is claimed."""
    results = run_once(planted, diagnosis=True).results
    assert names_all(planted, results), claimed(results)
    assert not names_wrong(planted, results), claimed(results)


@pytest.mark.parametrize("planted", [pytest.param(bug, id=bug.id) for bug in OUTSIDE])
def test_outside_the_catalogue_not_named(planted: Planted) -> None:
    """An honest "no name fits"."""
    assert claimed(run_once(planted, diagnosis=True).results) == []


@pytest.mark.parametrize("bug", second_port.BUGS)
def test_second_port_named(bug: str, tmp_path: Path) -> None:
    """A name does not depend on the style of the port: the same mistakes with matrices for neurons."""
    command = f'"{sys.executable}" "{Path(second_port.__file__)}" --bug {bug}'
    results = run_port(command, tmp_path, "--suite", "generated", "--cases", "200").results
    assert [bug in cause for cause in claimed(results)] == [True], claimed(results)

"""Every planted bug is named, and no name is given to what is outside the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from naming import claimed, names_all, names_wrong
from outside import OUTSIDE
from planted import PLANTED, REPEATED
from running import run_once

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

"""The planted bugs of dense layers, run by the real command line: each is caught at its neuron, and named.

Those of other suites are in test_planted_b: two processes share them, and each suite is computed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import check_failures, check_first_neuron, check_name, each
from planted import ONE_OF_EACH, PLANTED
from running import run_planted

if TYPE_CHECKING:
    from planting import Planted


@each([planted for planted in PLANTED if planted.suite == "generated"], always=ONE_OF_EACH)
def test_caught_at_its_neuron_and_named(planted: Planted) -> None:
    """The run fails in the right cases, at the right neuron, and says which bug it is."""
    run = run_planted(planted)
    check_failures(planted, run)
    check_first_neuron(planted, run)
    check_name(planted, run)

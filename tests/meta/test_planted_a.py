"""Half of the planted bugs, run by the real command line: caught at the right neuron, and named.

The other half is in test_planted_b, so that two processes can share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import check_failures, check_first_neuron, check_name, each
from planted import ONE_OF_EACH, PLANTED
from running import run_planted

if TYPE_CHECKING:
    from planting import Planted


@each(PLANTED[0::2], always=ONE_OF_EACH)
def test_caught_at_its_neuron_and_named(planted: Planted) -> None:
    """The run fails in the right cases, at the right neuron, and says which bug it is."""
    run = run_planted(planted)
    check_failures(planted, run)
    check_first_neuron(planted, run)
    check_name(planted, run)

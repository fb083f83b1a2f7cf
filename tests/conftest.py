"""Three tiers of tests: those that always run, the thorough ones that CI runs as well, and the slow ones.

README's command for the tests covers every planted bug, kind of layer and port once, in a few minutes. Tests that
repeat this in other ways are ``thorough``: CI runs them, and so do ``BACKPROP_CHECK_THOROUGH=1 pytest`` and
``pytest -m thorough``. Benchmarks and long repetitions are ``slow``: ``BACKPROP_CHECK_FULL=1 pytest`` runs
everything.
A node id runs its test, whatever its tier. Each test carries the marker of its tier itself: ``pytest.mark.slow`` or
``pytest.mark.thorough``, and ``pytestmark`` for a whole file.
"""

from __future__ import annotations

import os

import pytest

_ASKED = {"slow": "BACKPROP_CHECK_FULL=1", "thorough": "BACKPROP_CHECK_THOROUGH=1"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests of each tier unless they are asked for."""
    named = {argument.split("[")[0] for argument in config.args if "::" in argument}
    everything, marker = os.environ.get("BACKPROP_CHECK_FULL") == "1", str(config.getoption("-m"))
    asked = {
        tier: everything or tier in marker or os.environ.get(variable.partition("=")[0]) == "1"
        for tier, variable in _ASKED.items()
    }
    for item in items:
        for tier, variable in _ASKED.items():
            by_name = item.nodeid.split("[")[0] in named
            if item.get_closest_marker(tier) is not None and not asked[tier] and not by_name:
                reason = f"{tier}: {variable}, -m {tier} or its node id runs it"
                item.add_marker(pytest.mark.skip(reason=reason))

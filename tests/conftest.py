"""Which tests are slow: minutes of work whose quick half is always run. They wait for those who ask for them.

``BACKPROP_CHECK_FULL=1 pytest``, ``pytest -m slow`` and a node id run them. A test may also bear the marker itself.
"""

from __future__ import annotations

import os

import pytest

#: Test functions by file, or one of their parameters. What always runs in their place: test_exercise_still_runs, and
#: of the languages that take their time to build test_port_conforms.
SLOW = {
    "ports/test_ports_a.py": (
        "test_exercise_goes_stage_by_stage",
        "test_exercise_still_runs[kotlin]",
        "test_exercise_still_runs[rust-cargo]",
    ),
    "ports/test_ports_b.py": ("test_exercise_still_runs[cpp]",),
    "levels/test_attention.py": (
        "test_every_planted_mistake_is_named",
        "test_every_planted_mistake_is_named_by_gradients_alone",
    ),
    # The walk in Python goes the same way; what this one adds is that Dart can be walked through as well.
    "explain/test_exercise.py": ("test_the_walk_in_dart_with_the_usual_mistakes_on_the_way",),
    # Three processes in a row must die at one case: on a busy machine another case may come between.
    "scale/test_jobs.py": ("test_a_case_that_ends_every_worker_is_named",),
}

#: Files and folders that are slow as a whole: benchmarks, whose figures a busy machine would spoil, and what starts
#: clusters or waits for many kills. test_jobs and test_resume always run.
SLOW_FILES = ("benchmarks/", "scale/test_scheduler.py", "scale/test_soak.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests, and skip them unless they are asked for."""
    asked = os.environ.get("BACKPROP_CHECK_FULL") == "1" or "slow" in str(config.getoption("-m"))
    named = {argument.split("[")[0] for argument in config.args if "::" in argument}
    skip = pytest.mark.skip(reason="slow: BACKPROP_CHECK_FULL=1, -m slow or its node id runs it")
    for item in items:
        path, _, test = item.nodeid.partition("::")
        here = path.removeprefix("tests/")
        if {test, test.split("[")[0]} & set(SLOW.get(here, ())) or here.startswith(SLOW_FILES):
            item.add_marker("slow")
        by_name = item.nodeid.split("[")[0] in named
        if item.get_closest_marker("slow") is not None and not asked and not by_name:
            item.add_marker(skip)

"""Every planted bug is caught by the real command line, and the first wrong neuron that it shows is right."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from dart import DART, write_dart
from outside import OUTSIDE
from planted import PLANTED
from running import broken_replies, is_right_place, requests, right_replies, run_once, run_port

if TYPE_CHECKING:
    from pathlib import Path

    from planting import Planted
    from running import Json, Run


def each(bugs: list[Planted]) -> pytest.MarkDecorator:
    """One test a bug, named by its id."""
    return pytest.mark.parametrize("planted", [pytest.param(bug, id=bug.id) for bug in bugs])


def check_failures(planted: Planted, run: Run) -> None:
    """The run fails; no case that cannot show the bug does; every first wrong value stands where the bug is."""
    assert run.exit_code == 1, run.output
    assert run.failed
    asked = {case["id"]: case for case in map(json.loads, requests(planted, planted.suite, planted.cases, 0))}
    innocent = [case["id"] for case in run.failed if not planted.needs(asked[case["id"]])]
    assert innocent == []
    for case in run.failed:
        if case["outcome"] == "mismatched" and is_dense(asked[case["id"]]):
            first, layers = case["first_wrong"], len(asked[case["id"]]["network"]["layers"])
            assert any(where.fits(first, layers) for where in planted.where), (case["id"], first)


def is_dense(asked: Json) -> bool:
    """Whether a case is of dense layers, one after the other: there places are the port's own neurons."""
    return all(layer["kind"] == "dense" and "from" not in layer for layer in asked["network"]["layers"])


def by_case(replies: list[Json]) -> dict[str, Json]:
    """Replies by the ids of their cases."""
    return {reply["id"]: reply for reply in replies}


def test_the_right_port_passes() -> None:
    """Without a bug the written port is right: what is caught below is the bug."""
    run = run_once(None)
    assert run.exit_code == 0, run.output
    assert run.results["summary"]["passed"] == 60


@each(PLANTED)
def test_caught_at_its_neuron(planted: Planted) -> None:
    """The run fails in the right cases, at the right layer and quantity, and the very first number is the right one.

    That is the first number in which the broken port's replies differ from the right port's.
    """
    run = run_once(planted)
    check_failures(planted, run)
    if planted.repeatable:  # else two runs never give the same numbers
        right = by_case(right_replies(planted, planted.cases, 0, gradients_only=False))
        broken = by_case(broken_replies(planted, planted.cases, 0))
        for case in run.failed:
            if case["outcome"] == "mismatched" and is_dense(case["case"]):
                assert is_right_place(case["first_wrong"], right[case["id"]], broken[case["id"]]), case["id"]


@each(OUTSIDE)
def test_outside_the_catalogue_caught(planted: Planted) -> None:
    """A bug of nobody's catalogue fails as well, at its place."""
    check_failures(planted, run_once(planted))


@each(DART)
def test_dart(planted: Planted, tmp_path: Path) -> None:
    """The same in the Dart port, on the real Dart VM."""
    dart = os.environ.get("BACKPROP_CHECK_DART") or shutil.which("dart")
    if dart is None:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail("dart is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip("this test runs a port with dart, which is not installed here")
    command = f'"{dart}" "{write_dart(planted, tmp_path / "dart")}"'
    options = ("--suite", "generated", "--cases", str(planted.cases), "--seed", "0", "--no-diagnosis")
    check_failures(planted, run_port(command, tmp_path, *options))

"""The checks on the run of a planted bug: it fails, at the right neuron, and the bug is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from naming import claimed, names_all, names_wrong
from running import broken_replies, is_right_place, requests, right_replies

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from planting import Planted
    from running import Json, Run


def each(bugs: Sequence[Planted], always: Collection[str] | None = None) -> pytest.MarkDecorator:
    """One test per bug, with its id; where ``always`` is given, the tests of all other bugs are thorough."""
    thorough = [pytest.mark.thorough]
    return pytest.mark.parametrize(
        "planted",
        [pytest.param(bug, id=bug.id, marks=() if always is None or bug.id in always else thorough) for bug in bugs],
    )


def check_failures(planted: Planted, run: Run) -> None:
    """The run fails; only cases that can show the bug do; every first wrong value is where the bug is."""
    assert run.exit_code == 1, run.output
    assert run.failed
    asked = {case["id"]: case for case in map(json.loads, requests(planted, planted.suite, planted.cases, 0))}
    innocent = [case["id"] for case in run.failed if not planted.needs(asked[case["id"]])]
    assert innocent == []
    for case in run.failed:
        if case["outcome"] == "mismatched" and is_dense(asked[case["id"]]):
            first, layers = case["first_wrong"], len(asked[case["id"]]["network"]["layers"])
            assert any(where.fits(first, layers) for where in planted.where), (case["id"], first)


def check_first_neuron(planted: Planted, run: Run) -> None:
    """The first wrong value is the first number in which the broken port's replies differ from the right port's."""
    if not planted.repeatable:  # two runs give different numbers
        return
    right = _by_case(right_replies(planted, planted.cases, 0, gradients_only=False))
    broken = _by_case(broken_replies(planted, planted.cases, 0))
    for case in run.failed:
        if case["outcome"] == "mismatched" and is_dense(case["case"]):
            assert is_right_place(case["first_wrong"], right[case["id"]], broken[case["id"]]), case["id"]


def check_name(planted: Planted, run: Run) -> None:
    """The planted code is the cause, alone or among those that no case can tell apart, and no other is claimed."""
    assert names_all(planted, run.results), claimed(run.results)
    assert not names_wrong(planted, run.results), claimed(run.results)


def is_dense(asked: Json) -> bool:
    """Whether a case is a chain of dense layers: its places are then the neurons of the port's own code."""
    return all(layer["kind"] == "dense" and "from" not in layer for layer in asked["network"]["layers"])


def _by_case(replies: list[Json]) -> dict[str, Json]:
    return {reply["id"]: reply for reply in replies}

"""Numbers that overflow are judged, diagnosed and shown like any other, without a warning from numpy.

In these tests such a warning is an error, as pyproject.toml configures for the package's own modules.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backprop_check import check
from backprop_check.case.network import Case
from backprop_check.cases.files import SUITES, suite_files
from backprop_check.compare.expected import expect
from backprop_check.compare.reply_form import as_reply
from backprop_check.kinds import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def replying(change: Callable[[Any], Any]) -> Any:
    """An implementation that gives the right numbers, each one changed by a function."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: grown(item) for key, item in value.items()}
        if isinstance(value, list):
            return [grown(item) for item in value]
        return change(value) if isinstance(value, float) else value

    def reply(request: dict[str, Any]) -> dict[str, Any]:
        case = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
        right = expect(case)
        return {"id": request["id"], **grown(as_reply(right.values, len(case.network.layers), form=right.form))}

    reply.__name__ = "overflowing"
    kinds = ["dense", "lstm", "conv2d", "max_pool2d", "flatten"]
    reply.supports = {"layers": kinds, "features": list(FEATURES)}  # type: ignore[attr-defined]
    return reply


@pytest.mark.thorough
@pytest.mark.parametrize("large", ["all", "scaled"])
def test_numbers_that_overflow_warn_nobody(large: str, tmp_path: Path) -> None:
    """From judging to the page: their differences are too large for a float64."""
    names = ("mazur-2x2x2", "worked-cnn", "lstm-peepholes", "batch-64-alike")
    files = [file.case for suite in SUITES for file in suite_files(suite) if file.case.name in names]
    sign = itertools.cycle((1.7e308, -1.7e308, 1.7e308))
    results = check(replying((lambda _: next(sign)) if large == "all" else (lambda x: x * 1e300)), cases=files)
    assert len(results.cases) == len(files) > 2
    assert {(each.id, each.outcome, each.message) for each in results.cases if each.outcome != "mismatched"} == set()
    assert results.causes
    assert not any("diagnosis failed" in note for note in results.conclusion.notes)
    assert results.to_html(tmp_path / "report.html").stat().st_size > 100_000


def test_where_pytest_makes_errors_of_warnings() -> None:
    """The setting works: an unexpected overflow in the package's own code is an error in every test."""
    with pytest.raises(RuntimeWarning, match="overflow"):
        named_as_ours(np.array([1.7e308]))


def named_as_ours(x: Any) -> Any:
    """A function that warns as one of the package's modules would."""
    space = {"__name__": "backprop_check.diagnose.some", "np": np}
    exec(compile("def double(x):\n    return x + x", "some.py", "exec"), space)  # noqa: S102 - a module of ours
    return space["double"](x)  # type: ignore[operator]

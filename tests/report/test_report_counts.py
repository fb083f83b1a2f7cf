"""The number of failing cases is worded in one way: in the terminal, on the page, by ``check`` and in a notebook."""

from __future__ import annotations

import io
from typing import Any

import make_results
import pytest
from rich.console import Console

from backprop_check.api import Results, check
from backprop_check.cases.generate import generated_cases
from backprop_check.protocol import ImplementationInfo
from backprop_check.report.html.about import implementation
from backprop_check.report.html.notebook import summary_html
from backprop_check.report.html.read import checked
from backprop_check.report.terminal import print_summary
from backprop_check.running.results_file import how_many_fail


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"mismatched": 79, "not_applicable": 127}, "79 of 79 judged cases fail (127 not applicable)"),
        ({"mismatched": 1, "passed": 4, "skipped": 2}, "1 of 5 judged cases fails (2 skipped)"),
        ({"errors": 2, "crashes": 1, "not_run": 1500}, "3 of 3 judged cases fail (1,500 not run)"),
        ({"error": 2, "crash": 1, "passed": 1000}, "3 of 1,003 judged cases fail"),
    ],
)
def test_counts_in_words(counts: dict[str, int], said: str) -> None:
    """The keys are outcomes, as on a page, or the names in a summary."""
    assert how_many_fail(counts) == said


def wrong() -> Results:
    """An implementation that supports only a few of the cases."""

    def port(request: dict[str, Any]) -> dict[str, Any]:
        return make_results.without_slope(request)

    port.supports = {"activations": ["sigmoid", "identity"]}  # type: ignore[attr-defined]
    return check(port, cases=list(generated_cases(30)))


def test_every_report_says_the_same() -> None:
    """Cases that are not applicable are neither failures nor counted as judged."""
    results = wrong()
    summary = results.summary
    assert summary.failed > 0
    assert summary.counts["not_applicable"] > 0
    said = how_many_fail(summary.counts)
    out, info = io.StringIO(), ImplementationInfo("port", "", "", "port", "float64")
    print_summary(Console(file=out, width=200), summary, info, None, results.conclusion)
    assert f"{said}." in out.getvalue()
    with pytest.raises(AssertionError) as caught:
        results.raise_for_mismatch()
    assert str(caught.value).splitlines()[0] == said
    assert f"{said}." in summary_html(results)
    assert f"{said}." in implementation(checked(results.to_dict()), "port", frozenset())["verdict"]

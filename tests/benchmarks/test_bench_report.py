"""How large a report is, how long it takes to make one, and how fast it opens in a real browser."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import make_results

from backprop_check.report.html import render

pytestmark = pytest.mark.slow

#: Bytes, and milliseconds of a browser on one idle core; under load the median of several tries counts.
MOST_BYTES, INTERACTIVE, OPENS, LARGE_OPENS = 8_000_000, 1000.0, 100.0, 1000.0

_OPEN = """async (ids) => { const took = [];
  for (const id of ids) {
    const start = performance.now();
    location.hash = '#case=' + id;
    await new Promise(done => addEventListener('hashchange', () => setTimeout(done, 0), {once: true}));
    document.body.getBoundingClientRect();
    took.push(performance.now() - start);
  }
  return took; }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = os.environ.get("BACKPROP_CHECK_CHROMIUM") or shutil.which("chromium")
    if path is None:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail("Chromium is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip("Chromium is not installed; the report is measured in a real browser")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def ready(browser: Any, path: Path) -> tuple[Any, float]:
    """The page, and the milliseconds until its scripts had run: the best of three."""
    times = []
    for _ in range(3):
        page = browser.new_page()
        page.goto(path.as_uri())
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
    return page, min(times)


def test_ten_thousand_cases(browser: Any, tmp_path: Path) -> None:
    """10,000 cases with 200 failing: small, interactive at once, and each failing case opens at once."""
    results = make_results.many_results()
    page_bytes = render([results])
    path = tmp_path / "many.html"
    path.write_bytes(page_bytes)
    page, interactive = ready(browser, path)
    failing = [case["id"] for case in results["cases"] if case["outcome"] == "mismatched"]
    opens = statistics.median(page.evaluate(_OPEN, failing[1:60]))
    search = page.evaluate(
        """() => { const box = document.getElementById('search'), start = performance.now();
        box.value = 'softmax'; box.dispatchEvent(new Event('input')); document.body.getBoundingClientRect();
        return performance.now() - start; }"""
    )
    sys.stdout.write(
        f"\n{len(page_bytes) / 1e6:.2f} MB, interactive in {interactive:.0f} ms, a case opens in {opens:.0f} ms, "
        f"a search takes {search:.0f} ms\n"
    )
    assert len(page_bytes) <= MOST_BYTES
    assert interactive <= INTERACTIVE
    assert opens <= OPENS


def test_a_network_for_digits(browser: Any, tmp_path: Path) -> None:
    """784-128-10 with a batch of 32 opens in under a second."""
    path = tmp_path / "digits.html"
    path.write_bytes(render([make_results.digits_results()]))
    page, interactive = ready(browser, path)
    took = page.evaluate(_OPEN, [page.inner_text("#case-title") + f"&neuron=0:{n}" for n in (90, 101, 0, 1, 2)])
    opens = statistics.median(took)
    sys.stdout.write(
        f"\n{path.stat().st_size / 1e6:.2f} MB, interactive in {interactive:.0f} ms, opens in {opens:.0f} ms\n"
    )
    assert interactive <= INTERACTIVE
    assert opens <= LARGE_OPENS


def test_rendering(benchmark: Any) -> None:
    """A page of 20 failing cases."""
    results = make_results.judged(make_results.without_slope, make_results.mazur_cases(20), name="x")
    page = benchmark.pedantic(render, ([results],), rounds=3)
    assert len(page) < 1_000_000

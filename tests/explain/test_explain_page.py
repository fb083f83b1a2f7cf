"""The page of an explanation: complete, offline, safe, and usable with the keyboard in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from backprop_check.cli import main
from backprop_check.diagnose.catalogue import BUGS
from backprop_check.explain.bug_html import bug_html
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.making import find_case
from backprop_check.explain.page import as_html

MAZUR_PORT = Path(__file__).parents[2] / "backprop_check" / "ports" / "mazur" / "port.py"


def html_of(name: str, **options: Any) -> str:
    return as_html(explain_case(find_case(name), **options))


def test_nothing_is_fetched_and_only_our_own_script_may_run() -> None:
    """A policy by hash, no external address, no attribute that the policy would block."""
    html = html_of("mazur-2x2x2")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"\s(style|on\w+)=", html)
    assert html == html_of("mazur-2x2x2"), "the same explanation is the same page"


def test_without_a_script_every_step_is_there() -> None:
    """As many articles as steps, each with its formula."""
    explanation = explain_case(find_case("mazur-2x2x2"))
    html = as_html(explanation)
    assert html.count("<article") == len(explanation.steps)
    assert html.count("<pre>") == len(explanation.steps)
    assert "<nav hidden" in html


def test_a_wide_layer_is_drawn_with_dots() -> None:
    """Of 50 neurons the picture shows four."""
    html = html_of("cs231n-two-layer-net")
    assert html.count("⋮") == 1
    assert 'data-at="0:49"' in html
    assert '<g data-at="0:3"' not in html


def test_a_bugs_page_is_a_page(tmp_path: Path) -> None:
    """--output x.html of BP107: the style and the policy of the other pages, and its whole text."""
    told = CliRunner().invoke(main, ["explain", "BP107"]).output
    done = CliRunner().invoke(main, ["explain", "BP107", "--output", str(tmp_path / "x.HTML")])
    assert done.exit_code == 0, done.output
    html = (tmp_path / "x.HTML").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>")
    assert html.endswith("</html>\n")
    assert "<script" not in html
    assert "default-src 'none'; style-src 'sha256-" in html
    assert not re.search(r"\s(style|on\w+)=|https?://", html)
    style = re.search(r"<style>.*</style>", html, re.DOTALL)
    assert style is not None
    assert style[0] in html_of("mazur-2x2x2")
    shown = unescape(re.sub(r"<[^>]+>", " ", html.replace(style[0], "")))
    words = [word for word in shown.split() if word]
    for word in told.split():
        assert word.strip("()") in words or word in words, word


def test_a_bugs_text_stays_text_elsewhere(tmp_path: Path) -> None:
    """Other file extensions give plain text; the text of an example is no markup."""
    told = CliRunner().invoke(main, ["explain", "BP102"]).output
    CliRunner().invoke(main, ["explain", "BP102", "--output", str(tmp_path / "x.txt")])
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == told
    formatted = CliRunner().invoke(main, ["explain", "BP102", "--format", "html"]).output
    assert formatted.startswith("<!DOCTYPE html>")


@pytest.mark.thorough
def test_every_bugs_page_can_be_written() -> None:
    """Formulas and examples with < and & become no markup."""
    for bug in BUGS[::9]:
        html = bug_html(bug.code) or ""
        markup = re.sub(r"<(meta|!DOCTYPE)[^>]*>|<style>.*</style>", "", html, flags=re.DOTALL)
        ET.fromstring(markup)  # noqa: S314 - our own
        assert escape(bug.sentence) in html


@pytest.fixture
def chromium() -> str:
    path = os.environ.get("BACKPROP_CHECK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail("chromium is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip("this test opens a page in chromium, which is not installed here")
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    return path


def test_the_arrow_keys_go_through_the_steps(chromium: str, tmp_path: Path) -> None:
    """One step at a time, its neuron highlighted, its number appearing in the picture; no error in the console."""
    path = tmp_path / "page.html"
    command = f'"{sys.executable}" "{MAZUR_PORT}"'
    options = ["--format", "html", "--output", str(path), "--impl", command]
    done = CliRunner().invoke(main, ["explain", "mazur-2x2x2", *options])
    assert done.exit_code == 1, "the implementation is wrong"
    with ThreadPoolExecutor(1) as other:  # a thread can hold only one browser, and other tests have their own
        other.submit(walk, chromium, path.as_uri()).result()


def walk(chromium: str, address: str) -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may not be installed

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        seen: list[str] = []
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url))
        page.goto(address)
        step_by_step(page)
        assert seen == [address]
        browser.close()


def step_by_step(page: Any) -> None:
    where = page.locator("#where")
    total = page.locator("article").count()
    assert where.text_content() == f"step 1 of {total}"
    assert page.locator("article:visible").count() == 1
    lit = page.locator("svg .on").evaluate_all("parts => parts.map(p => p.dataset.at)")
    assert lit == ["0:0<0 0:0< >-1:0", "0:0<1 0:0< >-1:1", "0:0"]
    used = page.locator("svg .used").evaluate_all("parts => parts.map(p => p.dataset.at)")
    assert used == ["-1:0", "-1:1"]
    assert page.locator("svg text:visible", has_text="0.593").count() == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "activation, neuron 0" in (page.locator("article:visible h2").text_content() or "")
    assert page.locator("svg text:visible", has_text="0.593").count() == 1
    page.keyboard.press("ArrowLeft")
    assert where.text_content() == f"step 2 of {total}"
    page.keyboard.press("End")
    assert where.text_content() == f"step {total} of {total}"
    page.keyboard.press("ArrowRight")
    assert where.text_content() == f"step {total} of {total}"
    page.keyboard.press("Home")
    page.get_by_text("all steps").click()
    assert page.locator("article:visible").count() == total
    assert page.locator("text=◀ the first difference").count() == 1
    assert page.locator("svg g.wrong").count() == 2

"""A real headless Chromium, pages made from results, and the console, errors and requests of each of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import make_results
import pytest

from backprop_check.report.html import render

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def missing(what: str) -> None:
    """Skip, or fail where CI has promised the tools."""
    if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
        pytest.fail(f"{what}, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
    pytest.skip(f"{what}; this test looks at the report in a real browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        missing("playwright is not installed")
    path = os.environ.get("BACKPROP_CHECK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing("Chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, fetched once with npm into a temporary folder."""
    folder = Path(tempfile.gettempdir()) / "backprop-check-axe-4"
    script = folder / "package" / "axe.min.js"
    if not script.is_file():
        if shutil.which("npm") is None:
            missing("npm, which fetches axe-core, is not installed")
        folder.mkdir(exist_ok=True)
        fetch = ["npm", "pack", "axe-core@4", "--silent"]
        try:
            done = subprocess.run(fetch, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            missing("npm could not fetch axe-core within 300 s")
        archives = sorted(folder.glob("axe-core-*.tgz"))
        if done.returncode or not archives:
            missing(f"npm could not fetch axe-core: {done.stderr[:200]}")
        with tarfile.open(archives[-1]) as archive:
            archive.extract("package/axe.min.js", folder, filter="data")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of a report by name; each is made once."""
    folder = tmp_path_factory.mktemp("reports")
    cases = make_results.mazur_cases(24)
    sources: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "mazur": lambda: [make_results.mazur_results()],
        "hostile": lambda: [make_results.hostile_results()],
        "odd": lambda: [make_results.odd_results()],
        "training": lambda: [make_results.training_results()],
        "deep": lambda: [make_results.deep_results()],
        "hints": lambda: [make_results.hidden_results()],
        "digits": lambda: [make_results.digits_results()],
        "convolution": lambda: [make_results.convolution_results()],
        "many": lambda: [make_results.many_results()],
        "batch": lambda: [make_results.judged(make_results.without_slope, make_results.mazur_cases(24), name="batch")],
        "several": lambda: [
            make_results.mazur_results(24),
            make_results.judged(make_results.ascending, cases, name="ascending"),
            make_results.judged(make_results.right_reply, cases, name="right"),
        ],
    }

    def path(name: str) -> Path:
        out = folder / f"{name}.html"
        if not out.is_file():
            out.write_bytes(render(sources[name]()))
        return out

    return path


class Looking:
    """A page in the browser, with its requests, its console and its errors."""

    def __init__(self, context: Any, path: Path, fragment: str) -> None:
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._dialog)
        self.url = path.as_uri()
        self.page.goto(self.url + fragment)

    def _dialog(self, dialog: Any) -> None:
        self.said.append("a dialog opened: something hostile ran")
        dialog.dismiss()

    def quiet(self) -> None:
        """Check that no request left the file and that the console is empty."""
        assert self.said == []
        inside = ("data:", "blob:", self.url)
        assert [url for url in self.asked if not url.startswith(inside)] == []

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())


Look = Callable[..., Looking]


@pytest.fixture
def look(browser: Any, reports: Callable[[str], Path]) -> Iterator[Look]:
    """``look("mazur", fragment="#…", width=1440, scheme="dark")`` opens a report; at the end every page must be
    quiet.
    """
    opened: list[tuple[Any, Looking]] = []

    def open_report(
        name: str | Path, fragment: str = "", *, width: int = 1440, height: int = 1000, scheme: str = "light"
    ) -> Looking:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )  # fmt: skip
        looking = Looking(context, reports(name) if isinstance(name, str) else name, fragment)
        opened.append((context, looking))
        return looking

    yield open_report
    for context, looking in opened:
        looking.quiet()
        context.close()

"""Regenerates the committed example and its picture: ``python tests/report/screenshot.py [--results]``.

``--results`` first judges the bundled port again and writes ``data/mazur-ending.json``, without what differs from
machine to machine. The page is ``reports/example.html``; its picture, ``reports/example.png``, needs Chromium.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "data" / "mazur-ending.json"
PAGE, PICTURE = ROOT / "reports" / "example.html", ROOT / "reports" / "example.png"
COMMAND = "python3 backprop_check/ports/mazur/port.py"


def run_results() -> dict[str, Any]:
    """The results file that ``run`` writes for the port with Mazur's ending, without times, versions and platform."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        arguments = ["run", COMMAND, "--suite", "published", "--json", str(path)]
        code = "import sys; from backprop_check.cli import main; main(sys.argv[1:])"
        path_of_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": path_of_python},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 1:
            raise SystemExit(f"the run should have found the mistake (exit code 1): {done.returncode}\n{done.stderr}")
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    results["harness"] = {key: results["harness"][key] for key in ("seed", "profile", "kinks")} | {"argv": []}
    results["implementation"].update(language="Python", version=None)
    for case in results["cases"]:
        case["seconds"] = 0.0
    return results


def picture() -> None:
    """The example as a browser shows it: verdict, cause, network, neuron."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only for the picture

    flags = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 1130}, color_scheme="light", reduced_motion="reduce")
        page.goto(PAGE.as_uri())
        page.wait_for_selector("#maths .lines")
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    from backprop_check.report.html import write_report

    if "--results" in sys.argv:
        RESULTS.write_text(json.dumps(run_results(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_report([RESULTS], PAGE)
    picture()

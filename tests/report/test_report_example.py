"""The committed example is what the committed results give, and the results what the bundled port gives."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import screenshot

from backprop_check.report.html import write_report

if TYPE_CHECKING:
    from pathlib import Path


def test_the_example_is_regenerated_byte_for_byte(tmp_path: Path) -> None:
    """After a change of the page: ``python tests/report/screenshot.py``."""
    write_report([screenshot.RESULTS], tmp_path / "example.html")
    assert (tmp_path / "example.html").read_bytes() == screenshot.PAGE.read_bytes()


def test_the_results_are_the_ports() -> None:
    """The run of today finds the same values wrong, and the same cause, as the committed results say."""
    kept, now = json.loads(screenshot.RESULTS.read_text(encoding="utf-8")), screenshot.run_results()
    assert [(case["id"], case["outcome"]) for case in now["cases"]] == [
        (case["id"], case["outcome"]) for case in kept["cases"]
    ]
    assert [cause["code"] for cause in now["diagnoses"]] == [cause["code"] for cause in kept["diagnoses"]] == ["BP107"]
    keys = ("quantity", "layer", "neuron", "sample", "index", "origin")
    for one, other in zip(now["cases"], kept["cases"], strict=True):
        found, wanted = ([[m[key] for key in keys] for m in case["mismatches"]] for case in (one, other))
        assert found == wanted


def test_nothing_in_the_example_differs_from_machine_to_machine() -> None:
    text = screenshot.RESULTS.read_text(encoding="utf-8")
    results = json.loads(text)
    assert set(results["harness"]) == {"seed", "profile", "argv"}
    assert all(case["seconds"] == 0.0 for case in results["cases"])
    assert "/home/" not in text
    assert "/tmp/" not in text  # noqa: S108 - looked for, not written to


def test_the_picture_is_a_picture() -> None:
    """README shows it."""
    data = screenshot.PICTURE.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (1440, 1130)
    assert len(data) < 600_000

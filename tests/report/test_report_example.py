"""The committed example is what the committed results give, and these are what the bundled port gives."""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any

import pytest
import screenshot

from backprop_check.report.html import write_report

if TYPE_CHECKING:
    from pathlib import Path


#: The numbers of a case take some twenty roundings without cancellation; the bounds allow 4 ulps for each exp.
AS_GOOD_AS_EQUAL = 100 * 2.0**-52


def test_the_example_is_regenerated(tmp_path: Path) -> None:
    """Byte for byte, except for the last digits of expected values, which another machine rounds differently.

    After a change of the page: ``python tests/report/screenshot.py``.
    """
    write_report([screenshot.RESULTS], tmp_path / "example.html")
    made, kept = ((folder / "example.html").read_text("utf-8") for folder in (tmp_path, screenshot.PAGE.parent))
    assert DATA.sub("", made) == DATA.sub("", kept)
    for one, other in zip(DATA.findall(made), DATA.findall(kept), strict=True):
        assert_same(json.loads(one), json.loads(other))


#: The data of a case on the page.
DATA = re.compile(r'(?<=<script type="application/json" id="d\d">).*?(?=</script>)', re.DOTALL)


def assert_same(made: Any, kept: Any) -> None:
    """All but the last digits of numbers: of a slot, see ``packing``."""
    if isinstance(kept, dict):
        assert list(made) == list(kept)
        if "m" in kept:
            # Bounds hold the distance between two right formulas, which is rounding and nothing else. What came is
            # counted from what is expected, so that of a right value it says nothing here.
            assert [0.5 < x / y < 2.0 for x, y in zip(made.pop("m"), kept.pop("m"), strict=True)].count(False) == 0
            assert wrong_values(made) == wrong_values(kept)
        for key in kept:
            assert_same(made[key], kept[key])
    elif isinstance(kept, list):
        assert len(made) == len(kept)
        for one, other in zip(made, kept, strict=True):
            assert_same(one, other)
    elif isinstance(kept, float):
        assert abs(made - kept) <= AS_GOOD_AS_EQUAL * abs(kept)
    else:
        assert made == kept


def wrong_values(slot: dict[str, Any]) -> list[str | None]:
    """The replied values where they are wrong, as text."""
    got = slot.pop("g", 0) or [0] * len(slot["e"])
    return [each if isinstance(each, str) else None for each in got]


def test_a_change_of_the_example_is_seen() -> None:
    """A change of a number, of its bound, of a wrong value."""
    slot = {"e": [0.25, 0.5], "m": [1e-15], "g": [3, "0.75"], "x": [1], "o": "r"}
    assert_same({**slot, "e": [0.25 + 2.0**-54, 0.5], "g": [0, "0.75"]}, dict(slot))
    changed: list[dict[str, Any]] = [
        {"e": [0.25 + 1e-12, 0.5]},
        {"m": [3e-15]},
        {"g": [3, "0.751"]},
        {"x": [0]},
        {"g": 0},
    ]
    for change in changed:
        with pytest.raises(AssertionError):
            assert_same({**slot, **change}, dict(slot))


@pytest.mark.thorough
def test_the_results_are_the_ports() -> None:
    """A run today finds the same wrong values, and the same cause, as the committed results."""
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
    assert set(results["harness"]) == {"seed", "profile", "kinks", "argv"}
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

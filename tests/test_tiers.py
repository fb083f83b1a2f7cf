"""The tiers of the tests name what there is: a test that was renamed must not change its tier unseen."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def tiers() -> dict[str, dict[str, tuple[str, ...]]]:
    spec = importlib.util.spec_from_file_location("tiers", HERE / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, dict[str, tuple[str, ...]]] = module.TIERS
    return found


@pytest.mark.parametrize("tier", ["slow", "thorough"])
def test_every_name_is_a_test(tier: str) -> None:
    """Each file or folder is there, and each function stands in its file."""
    for file, tests in tiers()[tier].items():
        path = HERE / file
        assert path.exists(), file
        text = path.read_text(encoding="utf-8") if tests else ""
        missing = [test for test in tests if f"def {test.split('[')[0]}(" not in text]
        assert missing == [], file

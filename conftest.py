"""The repository is its own user: ``pytest --backprop-check`` here judges its own ports and writes to reports/."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# Threads of torch that wait for each other cost more than such small networks do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What tests keep of the witnesses' answers does not belong among the user's own, and each mathematics has its own.
_ULPS = os.environ.get("BACKPROP_CHECK_ULPS") or "0"
os.environ.setdefault(
    "BACKPROP_CHECK_CACHE", str(Path(tempfile.gettempdir()) / f"backprop-check-tests{'' if _ULPS == '0' else _ULPS}")
)

# Before anything reads the functions of the math module: they round as another machine's do.
if _ULPS != "0":
    sys.path.insert(0, str(Path(__file__).parent / "tests" / "other_machine"))
    move_everything = importlib.import_module("last_bit").move_everything

    move_everything()


def pytest_configure(config: pytest.Config) -> None:
    """Results and report go to reports/ unless the command line says where."""
    if config.getoption("--backprop-check", default=False):
        config.option.backprop_json = config.option.backprop_json or "reports/results.json"
        config.option.backprop_html = config.option.backprop_html or "reports/report.html"

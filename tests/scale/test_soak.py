"""A short soak on every run; ``soak.py`` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scale_support import FULL

pytestmark = pytest.mark.slow

SOAK = Path(__file__).with_name("soak.py")


def test_nothing_is_lost_left_or_grows() -> None:
    """In a process of its own, whose memory and descriptors nobody else changes."""
    cases, seconds = (100_000, 600) if FULL else (6000, 20)
    command = [sys.executable, str(SOAK), "--cases", str(cases), "--seconds", str(seconds), "--every", "150"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert int(found["cases"]) > 1000
    assert int(found["faults"]) > 3
    outcomes = json.loads(found["outcomes"].replace("'", '"'))
    assert sum(outcomes.values()) == int(found["cases"])

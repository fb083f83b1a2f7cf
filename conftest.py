"""The repository is its own user: ``pytest --backprop-check`` here judges its own ports and writes to reports/."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# A run that was started in the background ignores Ctrl-C, and so would all that it starts: tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Threads of torch that wait for each other cost more than such small networks do.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What tests keep of the witnesses' answers does not belong among the user's own.
os.environ.setdefault("BACKPROP_CHECK_CACHE", str(Path(tempfile.gettempdir()) / "backprop-check-tests"))


def pytest_configure(config: pytest.Config) -> None:
    """Results and report go to reports/ unless the command line says where."""
    if config.getoption("--backprop-check", default=False):
        config.option.backprop_json = config.option.backprop_json or "reports/results.json"
        config.option.backprop_html = config.option.backprop_html or "reports/report.html"

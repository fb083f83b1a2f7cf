"""How many cases a benchmark judges: few by default, the full promised number with BACKPROP_CHECK_FULL=1."""

from __future__ import annotations

import os

FULL = os.environ.get("BACKPROP_CHECK_FULL") == "1"
CASES = 5_000 if FULL else 150

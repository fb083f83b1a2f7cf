"""Helpers for tests of several folders: the toolchains of other languages, and access to the numbers of a reply."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

import pytest


def tool(name: str) -> str:
    """The path of a tool; where it is missing the test is skipped, or fails where CI has promised it."""
    found = os.environ.get(f"BACKPROP_CHECK_{name.upper()}") or shutil.which(name)
    if found is None:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail(f"{name} is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip(f"this test runs a port with {name}, which is not installed here")
    return found


def at(reply: Any, path: str) -> Any:
    """The value at a path such as ``layers[0].updated.weights`` of a reply."""
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        reply = reply[int(index)] if index else reply[key]
    return reply


def flat(value: Any) -> list[Any]:
    """The numbers of nested lists, in order."""
    return [x for item in value for x in flat(item)] if isinstance(value, list) else [value]

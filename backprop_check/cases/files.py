"""Cases in files: the published and edge cases that the package ships, and a user's own.

A case file is ``{"schema": 1, "name", "case": {…the request…}, "expected": {…a right reply…}}`` with, where
the numbers are published, ``title``, ``source``, ``published`` (path of an array: its digits, null where none is
printed) and ``erratum``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from backprop_check.errors import CaseError, ConfigurationError
from backprop_check.kinds import FAMILIES
from backprop_check.network import Case

_BESIDE = Path(__file__).resolve().parent.parent / "_cases"  # in a wheel
_HERE = Path(__file__).resolve().parents[2] / "cases"  # in a checkout

#: The suites by name: the generated one is made, the others are files; ``training`` is both, its files first.
SUITES = ("published", "edge", "generated", "training", *FAMILIES)


class CaseFile(msgspec.Struct, frozen=True):
    """A case with what its file says of it."""

    case: Case
    expected: dict[str, Any]
    title: str = ""
    source: str = ""
    published: dict[str, Any] = {}
    erratum: str | None = None


def folder() -> Path:
    """Where the shipped cases are."""
    return _BESIDE if _BESIDE.is_dir() else _HERE


def read_case_file(path: Path) -> CaseFile:
    """Read one file; raises ``CaseError`` with the file, the JSON path, what was expected and what came."""
    try:
        data = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise CaseError("$", "a case file (JSON)", str(error) or type(error).__name__, str(path)) from None
    if not isinstance(data.get("case"), dict):
        raise CaseError("$.case", "an object with the protocol's case", repr(data.get("case")), str(path))
    content = {key: value for key, value in data["case"].items() if key not in ("type", "id")}
    case = Case.from_dict({**content, "name": data.get("name", path.stem)}, str(path))
    rest = {key: data[key] for key in ("title", "source", "published", "erratum") if key in data}
    return CaseFile(case, data.get("expected", {}), **rest)


def suite_files(suite: str) -> list[CaseFile]:
    """The files of a suite, by name."""
    if suite not in SUITES:
        msg = f"there is no suite {suite!r}: expected one of {', '.join(SUITES)}"
        raise ConfigurationError(msg)
    return [read_case_file(path) for path in sorted((folder() / suite).glob("*.json"))]

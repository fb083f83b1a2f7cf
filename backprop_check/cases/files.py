"""Cases in files: the published and edge cases that the package ships, and a user's own.

A case file is ``{"schema": 1, "name", "case": {…the request…}, "expected": {…a right reply…}}`` with, where
the numbers are published, ``title``, ``source``, ``published`` (path of an array: its digits, null where none is
printed) and ``erratum``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from backprop_check.case.limits import DEEPEST, TooMuchError, deeper, read_within
from backprop_check.case.network import Case
from backprop_check.case.refusals import case_error
from backprop_check.errors import CaseError, ConfigurationError
from backprop_check.kinds import FAMILIES

#: No case file has more bytes.
LARGEST = 64 * 2**20

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


class _Content(msgspec.Struct):
    """What stands in a file; the case is checked by its own type, other fields are passed over."""

    case: dict[str, Any]
    name: str | None = None
    expected: dict[str, Any] = {}
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
        data = msgspec.json.decode(read_within(path, LARGEST), type=_Content)
    except TooMuchError as error:
        raise CaseError("$", f"a case file of at most {LARGEST} bytes", str(error), str(path)) from None
    except OSError as error:
        raise CaseError("$", "a case file (JSON)", error.strerror or type(error).__name__, str(path)) from None
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise case_error(error, str(path)) from None
    if deeper([data.case, data.expected, data.published], DEEPEST):
        raise CaseError("$", f"lists and objects in at most {DEEPEST} levels", "more", str(path))
    content = {key: value for key, value in data.case.items() if key not in ("type", "id")}
    case = Case.from_dict({**content, "name": path.stem if data.name is None else data.name}, str(path))
    check_work(case, str(path))
    return CaseFile(case, data.expected, data.title, data.source, data.published, data.erratum)


def check_work(case: Case, source: str) -> None:
    """Raise ``CaseError`` where working a stranger's case out would take hours."""
    most = case.network.most_products
    if case.network.products * len(case.inputs) * case.steps > most:
        path = "$.steps" if case.steps > 1 else "$.network"
        raise CaseError(path, f"at most {most:,} products of weights, samples and steps", "more", source)


def refuse_unknown(*suites: str) -> None:
    """Raise ``ConfigurationError`` for a suite that there is not."""
    for suite in suites:
        if suite not in SUITES:
            msg = f"there is no suite {suite!r}: expected one of {', '.join(SUITES)}"
            raise ConfigurationError(msg)


def suite_files(suite: str) -> list[CaseFile]:
    """The files of a suite, by name; raises ``ConfigurationError`` where there is no such suite."""
    refuse_unknown(suite)
    return [read_case_file(path) for path in sorted((folder() / suite).glob("*.json"))]

"""Cases in files: the published and edge cases that the package ships, and a user's own.

A case file is ``{"schema": 1, "name", "case": {…the request…}, "expected": {…a right reply…}}``. A published case also
has ``title``, ``source``, ``published`` (path of an array: its printed digits, null where none is printed) and
``erratum``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from backprop_check.case.limits import DEEPEST, TooMuchError, deeper, read_within
from backprop_check.case.network import MOST_WORK, Case
from backprop_check.case.refusals import case_error
from backprop_check.errors import CaseError, ConfigurationError
from backprop_check.kinds import FAMILIES

#: The largest size of a case file in bytes.
LARGEST = 64 * 2**20

_IN_WHEEL = Path(__file__).resolve().parent.parent / "_cases"
_IN_CHECKOUT = Path(__file__).resolve().parents[2] / "cases"

#: The names of the suites. ``published`` and ``edge`` are files, ``generated`` is generated; the others are both, files
#: first.
SUITES = ("published", "edge", "generated", "training", *FAMILIES)


class CaseFile(msgspec.Struct, frozen=True):
    """A case and what else its file says about it."""

    case: Case
    expected: dict[str, Any]
    title: str = ""
    source: str = ""
    published: dict[str, Any] = {}
    erratum: str | None = None


class _Content(msgspec.Struct):
    """The content of a file. The case is checked by its own type; unknown fields are ignored."""

    case: dict[str, Any]
    name: str | None = None
    expected: dict[str, Any] = {}
    title: str = ""
    source: str = ""
    published: dict[str, Any] = {}
    erratum: str | None = None


def folder() -> Path:
    """The folder of the shipped cases."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def read_case_file(path: Path) -> CaseFile:
    """Read a case file.

    Raises ``CaseError`` with the file, the JSON path, what was expected and what was found: for a file that cannot be
    read, is too large or is not JSON, and for a case that is not valid.
    """
    try:
        data = msgspec.json.decode(read_within(path, LARGEST), type=_Content)
    except TooMuchError as error:
        wanted = f"a case file of at most {LARGEST} bytes"
        raise CaseError("$", wanted, str(error), str(path), code="case-file-too-large") from None
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise CaseError("$", "a case file (JSON)", got, str(path), code="case-file-not-readable") from None
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise case_error(error, str(path)) from None
    if deeper([data.case, data.expected, data.published], DEEPEST):
        raise CaseError(
            "$", f"lists and objects in at most {DEEPEST} levels", "more", str(path), code="case-file-too-deep"
        )
    content = {key: value for key, value in data.case.items() if key not in ("type", "id")}
    case = Case.from_dict({**content, "name": path.stem if data.name is None else data.name}, str(path))
    check_work(case, str(path))
    return CaseFile(case, data.expected, data.title, data.source, data.published, data.erratum)


def check_work(case: Case, source: str) -> None:
    """Raises ``CaseError`` where computing an untrusted case would take hours; ``source`` is named in its message."""
    if case.network.work * len(case.inputs) * case.steps > MOST_WORK:
        path = "$.steps" if case.steps > 1 else "$.network"
        wanted, hint = f"at most {MOST_WORK:,} products of weights, samples and steps", "make one of them smaller"
        raise CaseError(path, wanted, "more", source, code="case-takes-too-long", hint=hint)


def refuse_unknown(*suites: str) -> None:
    """Raises ``ConfigurationError`` for the name of a suite that does not exist."""
    for suite in suites:
        if suite not in SUITES:
            cause = f"there is no suite {suite!r}: expected one of {', '.join(SUITES)}"
            raise ConfigurationError("unknown-suite", cause)


def suite_files(suite: str) -> list[CaseFile]:
    """The files of a suite, sorted by name. Raises ``ConfigurationError`` for an unknown suite, ``CaseError`` for
    a bad file.
    """
    refuse_unknown(suite)
    return [read_case_file(path) for path in sorted((folder() / suite).glob("*.json"))]

"""Known failures: a file that says which cases fail, how, and why that is accepted for now.

An entry is ``[[known]]`` with ``id`` (a pattern: ``*`` and ``?``), ``outcome``, and optionally ``bug`` (a code or
name), ``reason`` and ``issue``. A case that fails as the file says does not fail the run. A case with another outcome
(also a pass) or another bug, and an entry that matches no case, do fail it, so that the file stays correct.
"""

from __future__ import annotations

import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.case.limits import LARGEST_TOML, read_toml
from backprop_check.errors import ELSEWHERE, ConfigurationError
from backprop_check.running.one_case import FAILURES, Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One known failure."""

    id: str
    outcome: str
    bug: str = ""
    reason: str = ""
    issue: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    known: list[Entry] = []


def read_known(path: Path) -> list[Entry]:
    """The entries of a file. Raises ``ConfigurationError`` with the place, what was expected and what came."""
    try:
        entries = msgspec.convert(read_toml(path), _File).known
    except (OSError, ValueError, msgspec.ValidationError) as error:
        wanted = "a TOML file with [[known]] entries (id, outcome, bug, reason, issue)"
        raise ConfigurationError("bad-known-file", f"{path}: expected {wanted}: {str(error)[:500]}") from None
    for entry in entries:
        if entry.outcome not in FAILURES:
            got = f"the entry {entry.id[:200]!r} has the outcome {entry.outcome[:80]!r}"
            raise ConfigurationError("bad-known-outcome", f"{path}: {got}: expected {', '.join(FAILURES)}")
    return entries


def unlike_known(
    entries: Sequence[Entry], results: Sequence[Result], codes: dict[str, list[str]], *, complete: bool = True
) -> list[str]:
    """One sentence for each result or entry that differs from what is known; empty if nothing differs.

    ``codes`` gives for each failing case the codes and names of the bugs that explain it. If the run is not
    ``complete``, bugs and unmatched entries are not checked.
    """
    found: list[str] = []
    matched: set[int] = set()
    for result in results:
        if result.outcome == "not_applicable":
            continue
        number = next((n for n, entry in enumerate(entries) if fnmatch.fnmatchcase(result.id, entry.id)), None)
        if number is None:
            if result.outcome in FAILURES:
                found.append(f"{result.id}: {result.outcome}, which is not known")
            continue
        matched.add(number)
        entry = entries[number]
        if result.outcome != entry.outcome:
            better = " (remove the entry: it is fixed)" if result.outcome == "passed" else ""
            found.append(f"{result.id}: {result.outcome} where {entry.outcome} is known{better}")
        elif complete and entry.bug and entry.bug not in codes.get(result.id, []):
            named = " ".join(codes.get(result.id, [])) or "no name fits"
            found.append(f"{result.id}: {named} where {entry.bug} is known")
    found += [
        f"the entry {entry.id!r} matches no case: remove it"
        for number, entry in enumerate(entries)
        if complete and number not in matched
    ]
    return found


def write_known(path: Path, old: Sequence[Entry], results: Sequence[Result], codes: dict[str, list[str]]) -> None:
    """Rewrite the file with the present failures; reasons and issues of entries that still match are kept.

    Raises ``ConfigurationError`` where the file cannot be written or would be too large for ``read_known``.
    """
    lines = ["# Known failures of this implementation; backprop-check run --update-known writes this file.", ""]
    for result in results:
        if result.outcome not in FAILURES:
            continue
        before = next((entry for entry in old if fnmatch.fnmatchcase(result.id, entry.id)), None)
        bug = next((name for name in codes.get(result.id, []) if name.startswith("BP")), "")
        fields: dict[str, Any] = {
            "id": _literal(result.id),
            "outcome": result.outcome,
            "bug": bug,
            "reason": before.reason if before else "",
            "issue": before.issue if before else "",
        }
        lines.append("[[known]]")
        lines += [f"{key} = {_quoted(value)}" for key, value in fields.items() if value]
        lines.append("")
    data = "\n".join(lines).encode("utf-8")
    if len(data) > LARGEST_TOML:
        many = sum(line == "[[known]]" for line in lines)
        cause = f"{path} would have {len(data)} bytes, more than the {LARGEST_TOML} that are read"
        hint = f"with {many} failing cases, write the entries by hand, with patterns such as mlp-*"
        raise ConfigurationError("too-many-known", cause, hint)
    try:
        path.write_bytes(data)
    except OSError as error:
        cause = f"the file {path} cannot be written: {error.strerror}"
        raise ConfigurationError("known-not-written", cause, ELSEWHERE, "; ") from None


def _literal(case: str) -> str:
    """The pattern that matches only this id."""
    return re.sub(r"[*?[]", r"[\g<0>]", case)


def _quoted(text: str) -> str:
    """A basic string of TOML: escaped as in JSON, except that TOML also escapes DEL and has no surrogate escapes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

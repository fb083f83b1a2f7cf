"""Kept failures: the smallest network of each cause, saved as a case file, for ``replay``.

The files are in ``.backprop-check/failures`` of the folder where the run was started. The command with which a case
failed is saved in the user's own state folder instead, so that a folder from someone else cannot name a command.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Any

import msgspec

from backprop_check.case.limits import read_within
from backprop_check.case.network import Case
from backprop_check.cases.files import LARGEST, CaseFile, read_case_file
from backprop_check.errors import ConfigurationError
from backprop_check.running.one_case import Settings

_FOLDER = Path(".backprop-check") / "failures"
_COMMANDS = "commands.json"


class Kept(msgspec.Struct, frozen=True):
    """A kept failure: its path, the case file, the code of its cause, and the command with which it failed."""

    path: Path
    file: CaseFile
    code: str | None
    command: str | None
    settings: Settings = Settings()
    """The settings with which it was judged: the profile and the tolerances."""

    @property
    def id(self) -> str:
        """The case's id."""
        return self.file.case.id


def keep(
    case: Case,
    *,
    code: str | None,
    sentence: str,
    found_in: str,
    command: str,
    settings: Settings | None = None,
    root: Path | None = None,
) -> Path:
    """Save a failing case for ``replay``; return the file, which is named after the id of the case in it.

    Raises ``ConfigurationError`` where the file cannot be written.
    """
    folder = (root or Path.cwd()) / _FOLDER
    request = msgspec.json.decode(case.request())
    # A request spells out the defaults that a case may omit, which changes the content and so the id.
    body = {key: value for key, value in request.items() if key not in ("type", "id")}
    case = Case.from_dict({**body, "name": case.name})
    path = folder / f"{case.id}.json"
    content = {
        "schema": 1,
        "name": case.name,
        "case": {**request, "id": case.id},
        "title": sentence,
        "kept": {"code": code, "found_in": found_in, **({"settings": settings} if settings else {})},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except OSError as error:
        cause = f"the failing case cannot be kept in {folder}: {error.strerror}"
        hint = "run backprop-check in another folder, or make room"
        raise ConfigurationError("failure-not-kept", cause, hint, "; ") from None
    _remember(folder, case.id, command)
    return path


def own_folder() -> Path:
    """The folder ``.backprop-check`` of the current folder."""
    return Path.cwd() / _FOLDER.parent


def kept_failures(root: Path | None = None) -> list[Kept]:
    """All kept failures of a folder, sorted by name."""
    folder = (root or Path.cwd()) / _FOLDER
    commands = _commands().get(str(folder.resolve()), {})
    found = []
    for path in sorted(folder.glob("*.json")):
        file = read_case_file(path)
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError, RecursionError):
            data: Any = msgspec.json.decode(read_within(path, LARGEST))
            told = data["kept"] if isinstance(data.get("kept"), dict) else {}
            code, command = told.get("code"), commands.get(file.case.id)
            found.append(Kept(path, file, code if isinstance(code, str) else None, command, _settings(told)))
    return found


def _settings(told: dict[str, Any]) -> Settings:
    """The settings with which a failure was judged; the defaults where the file's settings are not valid."""
    try:
        found = msgspec.convert(told.get("settings", {}), Settings)
    except msgspec.ValidationError:
        return Settings()
    return found if 0 <= found.rtol < math.inf and 0 <= found.atol < math.inf else Settings()


def keep_lines(case_id: str, lines: str, root: Path | None = None) -> Path | None:
    """Write the request lines of a kept failure into a file, which can be piped into the port by hand.

    Return the path relative to the folder of the run; None where the file cannot be written.
    """
    path = _FOLDER / f"{case_id}.jsonl"
    try:
        ((root or Path.cwd()) / path).write_text(lines, encoding="utf-8")
    except OSError:
        return None
    return path


def drop(kept: Kept) -> None:
    """Delete a kept failure that is fixed."""
    kept.path.with_suffix(".jsonl").unlink(missing_ok=True)
    kept.path.unlink(missing_ok=True)


def _state_file() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "backprop-check" / _COMMANDS


def _commands() -> dict[str, dict[str, str]]:
    try:
        return msgspec.json.decode(_state_file().read_bytes(), type=dict[str, dict[str, str]])
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}


def _remember(folder: Path, case: str, command: str) -> None:
    commands = _commands()
    commands.setdefault(str(folder.resolve()), {})[case] = command
    # If this cannot be written, replay asks for --impl.
    with contextlib.suppress(OSError):
        _state_file().parent.mkdir(parents=True, exist_ok=True)
        new = _state_file().with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(commands))
        new.replace(_state_file())

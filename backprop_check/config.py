"""The configuration file: ``backprop-check.toml``, or ``[tool.backprop-check]`` of pyproject.toml.

Only the given folder is searched, not its parents, so that a command in someone else's file is never run by accident.
"""

from __future__ import annotations

import difflib
import reprlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_check.case.limits import read_toml
from backprop_check.errors import ConfigurationError, StartError

if TYPE_CHECKING:
    from backprop_check.protocol import Implementation, Opening

_TABLE = "backprop-check"
_FILE = f"{_TABLE}.toml"
_KEYS = ("command", "python", "setup", "kinks", "require")

#: Which slopes at kinks are accepted: every subgradient, or only PyTorch's.
KINKS = ("any", "pytorch")

#: A table name at least this similar to ours is taken for a misspelling of it (difflib's ratio); the names of other
#: tools are less similar.
_CLOSE = 0.85


@dataclass(frozen=True, slots=True)
class Configured:
    """A configured implementation: its IMPL (a command line or ``python:module:callable``) and its set-up command.

    ``kinks`` is one of ``KINKS``; ``require`` are words of ``--require``, which a run must have judged.
    """

    spec: str
    setup: str = ""
    kinks: Any = "any"
    require: tuple[str, ...] = ()


def configured(name: str, folder: Path | None = None) -> Configured | None:
    """The implementation of that name; None where the text is a command, or no implementation has that name."""
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return None
    return implementations(folder).get(name)


def implementations(folder: Path | None = None) -> dict[str, Configured]:
    """The configured implementations by name.

    Raises ``ConfigurationError`` naming file, key, what was expected and what came.
    """
    table, source, prefix = _table(folder or Path.cwd())
    found = table.get("implementations", {})
    _expect(isinstance(found, dict), source, f"{prefix}implementations", "a table", found)
    everywhere = _required(table, source, prefix)
    result = {}
    for name, entry in found.items():
        place = f"{prefix}implementations.{name}"
        _expect(isinstance(entry, dict), source, place, "a table with 'command' or 'python'", entry)
        _known(entry, _KEYS, source, f"{place}.")
        for key, value in entry.items():
            _expect(key == "require" or isinstance(value, str), source, f"{place}.{key}", "a text", value)
        given = [key for key in ("command", "python") if key in entry]
        _expect(len(given) == 1, source, place, "one of 'command' and 'python'", " and ".join(given) or "neither")
        kinks = entry.get("kinks", KINKS[0])
        _expect(kinks in KINKS, source, f"{place}.kinks", "'any' or 'pytorch'", kinks)
        spec = entry["command"] if given == ["command"] else f"python:{entry['python']}"
        required = (*everywhere, *_required(entry, source, f"{place}."))
        result[name] = Configured(spec, entry.get("setup", ""), kinks, required)
    return result


def _required(table: dict[str, Any], source: Path, prefix: str) -> tuple[str, ...]:
    """The words under ``require``. Raises ``ConfigurationError`` where one is unknown."""
    words = table.get("require", [])
    _expect(
        isinstance(words, list) and all(isinstance(word, str) for word in words),
        source,
        f"{prefix}require",
        "a list of texts",
        words,
    )
    if words:
        from backprop_check.running.coverage import requirements  # noqa: PLC0415 - numpy, and only where it is used

        try:
            requirements(words)
        except ConfigurationError as error:
            raise error.with_cause(f"{source}: at {prefix}require: {error.cause}") from None
    return tuple(words)


def _table(folder: Path) -> tuple[dict[str, Any], Path, str]:
    """The configuration of a folder, its file, and the prefix of its keys in that file."""
    own, project = folder / _FILE, folder / "pyproject.toml"
    table: Any = {}
    source, prefix = own, ""
    _refuse_misnamed(folder)
    if own.is_file():
        table = _read(own)
        if set(table) == {"tool"}:  # written as in pyproject.toml
            table, prefix = _tool(table, source), "tool.backprop-check."
    elif project.is_file():
        source, prefix = project, "tool.backprop-check."
        table = _tool(_read(project), source)
    _expect(isinstance(table, dict), source, prefix.rstrip("."), "a table", table)
    _known(table, ("implementations", "require"), source, prefix)
    return table, source, prefix


def open_configured(entry: Configured, opening: Opening | None = None, *, isolated: bool = True) -> Implementation:
    """Run the setup of a configured implementation, then open it; an ``isolated`` callable gets its own process.

    Raises ``ConfigurationError`` and ``StartError``.
    """
    from backprop_check import __version__  # noqa: PLC0415 - beside its one use
    from backprop_check.protocol import Opening, open_implementation, split_command  # noqa: PLC0415
    from backprop_check.protocol.text import clean_text  # noqa: PLC0415

    if entry.setup:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own configuration, no shell
                split_command(entry.setup), capture_output=True, text=True, check=False, errors="replace"
            )
        except OSError as error:
            cause = f"the setup ({clean_text(entry.setup)}) could not be started: {error.strerror}"
            raise StartError("setup-not-started", cause, "correct 'setup' in the configuration", "; ") from None
        if done.returncode:
            cause = f"the setup ({clean_text(entry.setup)}) failed with exit code {done.returncode}"
            hint = "run it yourself to see what it needs"
            raise StartError("setup-failed", cause, hint, stderr=clean_text(done.stderr[-1000:]))
    return open_implementation(entry.spec, opening or Opening(), harness_version=__version__, isolated=isolated)


def _tool(table: dict[str, Any], source: Path) -> Any:
    tools = table.get("tool", {})
    _expect(isinstance(tools, dict), source, "tool", "a table", tools)
    for key in tools:
        plain = key[:100].casefold().replace("_", "-")
        if key != _TABLE and difflib.get_close_matches(plain, [_TABLE], 1, _CLOSE):
            cause = f"{source}: the table [tool.{key[:100]}] is not read"
            raise ConfigurationError("misnamed-table", cause, f"rename it to [tool.{_TABLE}]")
    return tools.get(_TABLE, {})


def _refuse_misnamed(folder: Path) -> None:
    """Refuse a configuration file whose name has an underscore, instead of silently ignoring it."""
    misnamed = folder / _FILE.replace("-", "_")
    if misnamed.is_file():
        raise ConfigurationError("misnamed-file", f"{misnamed} is not read", f"rename it to {_FILE}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError("bad-toml", f"{path}: expected a TOML file: {error}") from None


def _known(table: dict[str, Any], keys: tuple[str, ...], source: Path, prefix: str) -> None:
    for key in table:
        if key not in keys:
            close = difflib.get_close_matches(key[:100], keys, 1)
            hint = f"did you mean '{close[0]}'?" if close else ""
            cause = f"{source}: unknown key '{f'{prefix}{key}'[:300]}': expected {', '.join(keys)}"
            raise ConfigurationError("unknown-key", cause, hint, "; ")


def _expect(holds: bool, source: Path, key: str, expected: str, got: object) -> None:  # noqa: FBT001
    if not holds:
        cause = f"{source}: at {key[:200]}: expected {expected}, got {reprlib.repr(got)}"
        raise ConfigurationError("bad-configuration", cause)

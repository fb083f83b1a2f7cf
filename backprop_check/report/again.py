"""The command line that repeats a run exactly, made from the settings in its results file."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The options of a run that its results file records: by their names in the file, with option and default.
OPTIONS: dict[str, tuple[str, Any]] = {
    "suites": ("--suite", ()),
    "cases": ("--cases", 200),
    "seed": ("--seed", 0),
    "profile": ("--profile", "textbook"),
    "rtol": ("--rtol", 0.0),
    "atol": ("--atol", 0.0),
    "kinks": ("--kinks", "any"),
    "diagnosis_timeout": ("--diagnosis-timeout", None),
    "timeout": ("--timeout", 10.0),
    "start_timeout": ("--start-timeout", 30.0),
    "one_shot": ("--one-shot", False),
    "memory_limit": ("--memory", 4096 * 2**20),
    "strict_stdout": ("--strict-stdout", False),
    "sandbox": ("--sandbox", False),
    "hints_only": ("--hints-only", False),
}

#: The options among them that ``replay`` has too.
OPENING = ("timeout", "start_timeout", "one_shot", "memory_limit", "strict_stdout", "sandbox")


def options_of(settings: Mapping[str, Any]) -> list[str]:
    """The options that are not at their defaults; settings that the file lacks are left out."""
    return [word for key in OPTIONS for word in _words(key, settings.get(key))]


def _words(key: str, value: Any) -> Iterator[str]:
    option, default = OPTIONS[key]
    if value is None or value == default or (key == "suites" and not value):
        return
    if key == "suites":
        for suite in value:
            yield from (option, one_line(str(suite), 40))
    elif isinstance(value, bool):
        yield option
    elif key == "memory_limit":
        yield from (option, str(value // 2**20))
    else:
        yield from (option, str(value).removesuffix(".0"))


def quoted(words: list[str], *, windows: bool) -> str:
    """A command line for a POSIX shell, or for ``cmd.exe`` (double quotes, as Windows' programs read them)."""
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def command_again(command: str, settings: Mapping[str, Any], *, windows: bool) -> str:
    """``backprop-check run`` with the implementation and the options; ``--case ID`` may be appended."""
    return quoted(["backprop-check", "run", command, *options_of(settings)], windows=windows)

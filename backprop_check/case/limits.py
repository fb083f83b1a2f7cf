"""Reading untrusted files: limits on size and nesting depth, checked before the content is used."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: The largest size in bytes of a configuration file or a list of known failures.
LARGEST_TOML = 4 * 2**20

#: The most levels to which lists and objects may be nested, in any file.
DEEPEST = 60


class TooMuchError(ValueError):
    """A file is larger, or nested deeper, than is allowed; the text names the limit."""


def read_within(path: Path, largest: int) -> bytes:
    """The content of a file of at most ``largest`` bytes.

    Raises ``TooMuchError`` where it has more (a device may be endless), and ``OSError`` where it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        msg = f"a file of more than {largest} bytes"
        raise TooMuchError(msg)
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file within the limits; a byte order mark, as Windows editors write it, is skipped.

    Raises ``OSError`` where it cannot be read, ``TooMuchError`` beyond the limits, and ``ValueError`` where it is no
    TOML.
    """
    data = read_within(path, LARGEST_TOML)
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError:
        table = None
    except ValueError as error:
        raise ValueError(str(error)[:500]) from None  # a key can have any length
    if table is None or deeper(table, DEEPEST):
        msg = f"tables and lists nested deeper than {DEEPEST} levels"
        raise TooMuchError(msg)
    return table


def deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than ``levels``; computed without recursion."""
    now: list[Any] = [value]
    for _ in range(levels):
        inner: list[Any] = []
        for item in now:
            parts: Any = item.values() if isinstance(item, dict) else item
            inner.extend(part for part in parts if isinstance(part, dict | list))
        if not inner:
            return False
        now = inner
    return True

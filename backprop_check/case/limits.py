"""Files from strangers are data: read within a limit of size, depth and work, before anything is made of them."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: No configuration and no list of known failures has more bytes.
LARGEST_TOML = 4 * 2**20

#: So deep lists and objects may stand in each other, in any file.
DEEPEST = 60


class TooMuchError(ValueError):
    """A file that is larger or nested deeper than anything that is meant; its text says the limit."""


def read_within(path: Path, largest: int) -> bytes:
    """The bytes of a file, never more than ``largest`` of them.

    Raises ``TooMuchError`` where there are more (a device may have no end), and ``OSError``.
    """
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        msg = f"a file of more than {largest} bytes"
        raise TooMuchError(msg)
    return data


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file within the limits; raises ``OSError`` and ``ValueError`` (with a sentence).

    The mark that Windows' editors put before UTF-8 (a BOM) is passed over.
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
    """Whether lists and objects stand deeper in each other than ``levels``; without recursion."""
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

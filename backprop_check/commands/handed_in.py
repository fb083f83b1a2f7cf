"""The entries of a folder of submissions: which can be judged, and why others are refused.

A submission with a link to another submission would be judged with the other's code; in the sandbox the link would not
work, because other submissions are hidden there. An entry that is neither a file nor a folder holds no program.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_check.protocol import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def refusal(entry: Path) -> str:
    """A sentence that says why an entry of the folder of submissions is not judged; empty where it is judged."""
    try:
        mode = entry.lstat().st_mode
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    if kind is not None:
        leads = f" to {_shown(entry.readlink())}" if stat.S_ISLNK(mode) else ""
        return f"it is {kind}{leads}: a submission must be a file or a folder"
    root, own = entry.parent.resolve(), entry.resolve()
    for link in _links(entry):
        target = link.resolve()
        if target.is_relative_to(root) and not target.is_relative_to(own):
            return (
                f"its {_shown(link.relative_to(entry))} is a link to {_shown(target.relative_to(root))}, which is not "
                "part of it: a submission must contain its own files"
            )
    return ""


def _links(folder: Path) -> Iterator[Path]:
    """All links in a folder, without following them; a file has none."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (path := Path(place, name)).is_symlink():
                yield path


def _shown(path: Path) -> str:
    return one_line(str(path), 80) or "."

"""What lies in a folder of submissions: what can be judged by itself, and what is refused, with a sentence.

A link to another submission would be judged in its author's name, and in the sandbox it hides the submission that it
leads to from itself. What is neither a file nor a folder holds no program.
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
    """Why an entry of the folder of submissions is not judged, as a sentence; empty where it is."""
    try:
        mode = entry.lstat().st_mode
    except OSError as error:
        return f"it cannot be looked at: {error.strerror}"
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    if kind is not None:
        leads = f" to {_shown(entry.readlink())}" if stat.S_ISLNK(mode) else ""
        return f"it is {kind}{leads}: a submission is a file or a folder of its own"
    root, own = entry.parent.resolve(), entry.resolve()
    for link in _links(entry):
        target = link.resolve()
        if target.is_relative_to(root) and not target.is_relative_to(own):
            return (
                f"its {_shown(link.relative_to(entry))} is a link to {_shown(target.relative_to(root))}, which is not "
                "part of it: a submission holds its own files"
            )
    return ""


def _links(folder: Path) -> Iterator[Path]:
    """All links in a folder, none followed; none where it is a file."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (path := Path(place, name)).is_symlink():
                yield path


def _shown(path: Path) -> str:
    return one_line(str(path), 80) or "."

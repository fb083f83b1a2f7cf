"""What a port in the sandbox sees of the file system: the mounts that bubblewrap makes, in their order.

All of it can be read; scratch folders are empty ones in memory; what is covered is not there, but for the parts that
the command needs. What the run itself writes may come, go and be replaced while the port runs, which no mount over a
file survives. So a folder in which such an output lies is put together from its other entries, as they are at the
start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backprop_check.errors import ConfigurationError
from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A folder with more entries is not put together from them: the command line of bubblewrap has an end.
_MOST_ENTRIES: Final = 3000


@dataclass
class View:
    """Which places the port sees again although they lie in covered ones, and which it does not see."""

    shown: list[Path]
    covered: list[Path]
    scratch: list[Path]
    outputs: list[Path]
    _apart: list[Path] = field(default_factory=list)

    def mounts(self, scratch_size: int | None, needed: Iterable[Path]) -> list[str]:
        """The options for bubblewrap; ``needed`` is shown whatever covers it.

        Raises ``ConfigurationError`` where an output lies in a folder of too many entries.
        """
        options = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *self._without_outputs(Path("/"))]
        for place in self.scratch:
            if place.is_dir() and not place.is_symlink():
                options += ["--size", str(scratch_size)] if scratch_size is not None else []
                options += ["--tmpfs", str(place)]
        # What lies deeper decides: a folder that is shown in a covered one, and what is covered in that.
        for path in sorted({*self.covered, *self.shown}, key=lambda each: (len(each.parts), each)):
            if path in self.covered:
                options += _cover(path)
            elif _within(path, [*self.scratch, *self.covered, *self.outputs]):
                options += ["--ro-bind", str(path), str(path), *self._without_outputs(path)]
        for path in needed:
            options += ["--ro-bind", str(path), str(path)]
        for folder in dict.fromkeys(self._apart):
            options += ["--remount-ro", str(folder)]
        return options

    def _without_outputs(self, root: Path) -> list[str]:
        """Put the folders below ``root`` together anew in which outputs lie, as far as they can be seen there."""
        options: list[str] = []
        between = [place for place in [*self.scratch, *self.covered] if place != root and place.is_relative_to(root)]
        left_out: dict[Path, set[str]] = {}
        for output in self.outputs:
            folder, name = _where_it_appears(output)
            if folder != Path("/") and folder.is_relative_to(root) and not _within(folder, between):
                left_out.setdefault(folder, set()).add(name)
        for folder, names in sorted(left_out.items()):
            options += ["--tmpfs", str(folder), *_entries(folder, names)]
            self._apart.append(folder)
        return options


def _within(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _where_it_appears(output: Path) -> tuple[Path, str]:
    """The folder that is there, and the entry in it that is the output, or will hold it."""
    folder, name = output.parent, output.name
    while not folder.is_dir() and folder != folder.parent:
        folder, name = folder.parent, folder.name
    return folder.resolve(), name


def _entries(folder: Path, left_out: set[str]) -> list[str]:
    options: list[str] = []
    with os.scandir(folder) as entries:
        found = sorted((each for each in entries if each.name not in left_out), key=lambda each: each.name)
    if len(found) > _MOST_ENTRIES:
        message = (
            f"--sandbox: {one_line(str(folder), 200)} has more than {_MOST_ENTRIES} entries, too many to hide "
            f"{', '.join(sorted(left_out))} among: run backprop-check in, and write results to, a folder of their own"
        )
        raise ConfigurationError(message)
    for entry in found:
        if entry.is_symlink():
            options += ["--symlink", os.readlink(entry.path), entry.path]  # noqa: PTH115 (as it stands, not as a path)
        elif entry.is_dir() or entry.is_file():
            options += ["--ro-bind-try", entry.path, entry.path]
    return options


def _cover(place: Path) -> list[str]:
    """Put nothing over a place, if it is there."""
    try:
        if place.is_dir():
            return ["--tmpfs", str(place.resolve())]
        if place.is_file():
            return ["--ro-bind", os.devnull, str(place.resolve())]
    except OSError:
        # It cannot be looked at from here, nor then from inside.
        return []
    return []

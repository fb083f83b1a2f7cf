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

#: The most entries of a folder that is rebuilt from its entries: the command line of bubblewrap is limited.
_MOST_ENTRIES: Final = 3000


@dataclass
class View:
    """Which places are covered, and which are shown again although they lie in covered ones."""

    shown: list[Path]
    covered: list[Path]
    scratch: list[Path]
    outputs: list[Path]
    _apart: list[Path] = field(default_factory=list)

    def mounts(self, scratch_size: int | None, needed: Iterable[Path]) -> list[str]:
        """The options for bubblewrap; ``needed`` is always shown.

        Raises ``ConfigurationError`` where an output is in a folder with too many entries.
        """
        options = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *self._without_outputs(Path("/"))]
        for place in self.scratch:
            if place.is_dir() and not place.is_symlink():
                options += ["--size", str(scratch_size)] if scratch_size is not None else []
                options += ["--tmpfs", str(place)]
        # Deeper paths come later and win: a folder may be shown inside a covered one, and have covered parts itself.
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
        """Options that rebuild each visible folder below ``root`` that contains outputs, without the outputs."""
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
    """The nearest existing folder of an output, and the entry in it that is the output or will contain it."""
    folder, name = output.parent, output.name
    while not folder.is_dir() and folder != folder.parent:
        folder, name = folder.parent, folder.name
    return folder.resolve(), name


def _entries(folder: Path, left_out: set[str]) -> list[str]:
    options: list[str] = []
    with os.scandir(folder) as entries:
        found = sorted((each for each in entries if each.name not in left_out), key=lambda each: each.name)
    if len(found) > _MOST_ENTRIES:
        cause = (
            f"--sandbox: {one_line(str(folder), 200)} has more than {_MOST_ENTRIES} entries, too many to hide "
            f"{', '.join(sorted(left_out))} among them"
        )
        hint = "run backprop-check in another folder, and write results there"
        raise ConfigurationError("too-many-to-hide", cause, hint)
    for entry in found:
        if entry.is_symlink():
            options += ["--symlink", os.readlink(entry.path), entry.path]  # noqa: PTH115 (as it stands, not as a path)
        elif entry.is_dir() or entry.is_file():
            options += ["--ro-bind-try", entry.path, entry.path]
    return options


def _cover(place: Path) -> list[str]:
    """Options that cover a place with an empty folder or file, if it exists."""
    try:
        if place.is_dir():
            return ["--tmpfs", str(place.resolve())]
        if place.is_file():
            return ["--ro-bind", os.devnull, str(place.resolve())]
    except OSError:
        # What cannot be read here cannot be read inside either.
        return []
    return []

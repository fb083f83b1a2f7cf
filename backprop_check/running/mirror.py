"""A second copy of a file that is being written, as an unnamed temporary file that no other program can open.

An implementation under test runs as the user and can write wherever the user can, also into the results file. The
results file is compared with this copy, and if it was changed, it is written again from the copy.
"""

from __future__ import annotations

import os
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 2**20


class Mirror:
    """A copy of what was written to a file so far. Raises ``OSError`` where the disk has no room for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy = tempfile.TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115 - closed by close
        self.size = 0

    def append(self, data: bytes) -> None:
        """Append data to the copy."""
        self._copy.seek(self.size)
        left = memoryview(data)
        while left:
            left = left[self._copy.write(left) or 0 :]
        self.size += len(data)

    def cut(self, size: int) -> None:
        """Cut the copy to ``size`` bytes."""
        self._copy.truncate(size)
        self.size = size

    def changed(self, file: IO[bytes], closing: bytes) -> str:
        """How the file was changed, as far as its size and link count show; empty where they are right.

        The file should hold the content of this copy, followed by ``closing``.
        """
        status = os.fstat(file.fileno())
        if status.st_nlink == 0 or not self._path.exists():
            return "removed or replaced"
        size = self.size + len(closing)
        if status.st_size != size:
            return f"cut or made longer, from {size} to {status.st_size} bytes"
        return ""

    def unlike(self, closing: bytes) -> str:
        """How the file was changed, found by comparing its whole content; empty where it is right."""
        try:
            with self._path.open("rb") as file:
                for chunk in self._chunks():
                    if file.read(len(chunk)) != chunk:
                        return "overwritten"
                return "" if file.read(len(closing) + 1) == closing else "overwritten at its end"
        except OSError as error:
            return f"made unreadable ({error.strerror})"

    def copy_to(self, new: IO[bytes], start: int = 0, end: int | None = None) -> None:
        """Write the copy, from byte ``start`` to ``end``, to another file."""
        for chunk in self._chunks(start, end):
            new.write(chunk)

    def lines(self, start: int) -> Iterator[bytes]:
        """The copy from byte ``start`` on, line by line."""
        self._copy.seek(start)
        with open(self._copy.fileno(), "rb", closefd=False) as lines:
            yield from lines

    def close(self) -> None:
        """Close the temporary file, which frees its space."""
        self._copy.close()

    def _chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = self.size if end is None else end
        while start < end:
            self._copy.seek(start)
            chunk = self._copy.read(min(_CHUNK, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk

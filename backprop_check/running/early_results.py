"""Early results: results that arrive before their turn are saved next to the results file, so that a kill loses none.

The results file lists results in the order of the cases. With several processes, later cases may be finished while an
earlier one still runs. Their results wait in memory, and are also written to ``.NAME.ahead`` next to the results file
NAME, one result per line, from where ``--resume`` reads them.

The first line identifies the results file that this file belongs to. A line that a kill cut off is not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from backprop_check.compare.trace import Slot
from backprop_check.running.one_case import Result  # noqa: TC001 (a Struct's fields are looked up when it runs)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The longest line that is read, as in a results file.
_LONGEST = 64 * 2**20

#: The file is rewritten when it holds this many bytes of results that no longer wait.
_STALE = 4 * 2**20


class Early(msgspec.Struct, frozen=True):
    """An early result: the position of its case, and the slots of the arrays that a right reply held."""

    position: int
    result: Result
    reported: list[tuple[str, int | None, int | None]] = []

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots of the arrays."""
        return tuple(Slot(*each) for each in self.reported)


class EarlyResults:
    """Writes early results. The file is created with the first one. Raises ``OSError`` where it cannot be written."""

    def __init__(self, results: Path, head: bytes, waiting: Iterable[Early] = ()) -> None:
        self._path, self._name = early_path(results), _name_of(head)
        self._lines = {each.position: _line(each) for each in waiting}
        self._stale = 0
        self._file: int | None = None

    def keep(self, position: int, result: Result, reported: Iterable[Slot]) -> None:
        """Append an early result."""
        if self._file is None:
            self._write_anew()
        assert self._file is not None
        line = _line(Early(position, result, [(each.quantity, each.layer, each.step) for each in reported]))
        self._lines[position] = line
        _write(self._file, line)

    def placed(self, position: int) -> bool:
        """Note that a result is now in the results file; return whether it is time to ``tidy``."""
        line = self._lines.pop(position, None)
        self._stale += 0 if line is None else len(line)
        return self._stale > _STALE

    def tidy(self) -> None:
        """Rewrite the file with the results that still wait; the results file must have been synced before."""
        if self._file is not None:
            self._write_anew()

    def sync(self) -> None:
        """Sync the file to the disk."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self, *, complete: bool) -> None:
        """Close the file; remove it if the run is complete or no result waits."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if complete or not self._lines:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write_anew(self) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _write(file, self._name + b"\n" + b"".join(self._lines.values()))
            os.fsync(file)
            new.replace(self._path)
        except BaseException:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file, self._stale = file, 0


def early_path(results: Path) -> Path:
    """The path of the file of early results."""
    return results.with_name(f".{results.name}.ahead")


def read_early(results: Path, head: bytes, first: int) -> dict[int, Early]:
    """The early results from position ``first`` on, up to a torn line; none if the file belongs to other results."""
    found: dict[int, Early] = {}
    with contextlib.suppress(OSError), early_path(results).open("rb") as file:
        if file.readline(200).rstrip(b"\n") != _name_of(head):
            return {}
        while (line := file.readline(_LONGEST)).endswith(b"\n"):
            try:
                one = msgspec.json.decode(line, type=Early)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                break
            if one.position >= first:
                found[one.position] = one
    return found


def _name_of(head: bytes) -> bytes:
    return hashlib.sha256(head).hexdigest().encode()


def _line(one: Early) -> bytes:
    return msgspec.json.encode(one) + b"\n"


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]

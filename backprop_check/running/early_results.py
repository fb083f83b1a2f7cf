"""Results that came before it was their turn, kept beside the results file so that a kill does not cost them.

With several processes the first case may be the slowest. What others finished meanwhile waits in memory for its place
in the results file, and stands in ``.NAME.ahead`` beside it, a line a result: ``--resume`` takes it from there.

The first line names the results file that it belongs to. A line that a kill left half is not read.
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

#: No line is longer: as in a results file.
_LONGEST = 64 * 2**20

#: The file is written anew, with what still waits, where it holds so many bytes of what does not.
_STALE = 4 * 2**20


class Early(msgspec.Struct, frozen=True):
    """A result, its case's position, and the arrays that a right reply held."""

    position: int
    result: Result
    reported: list[tuple[str, int | None, int | None]] = []

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The arrays' slots."""
        return tuple(Slot(*each) for each in self.reported)


class Ahead:
    """Writes them. The file comes with the first result. Raises ``OSError`` where it cannot be written."""

    def __init__(self, results: Path, head: bytes, waiting: Iterable[Early] = ()) -> None:
        self._path, self._name = beside(results), _name_of(head)
        self._lines = {each.position: _line(each) for each in waiting}
        self._stale = 0
        self._file: int | None = None

    def keep(self, position: int, result: Result, reported: Iterable[Slot]) -> None:
        """Append one."""
        if self._file is None:
            self._write_anew()
        assert self._file is not None
        line = _line(Early(position, result, [(each.quantity, each.layer, each.step) for each in reported]))
        self._lines[position] = line
        _write(self._file, line)

    def placed(self, position: int) -> bool:
        """Note that a result has its place in the results file; gives whether it is time to ``tidy``."""
        line = self._lines.pop(position, None)
        self._stale += 0 if line is None else len(line)
        return self._stale > _STALE

    def tidy(self) -> None:
        """Write the file anew with what still waits; the results file has to be on the disk before."""
        if self._file is not None:
            self._write_anew()

    def sync(self) -> None:
        """Bring it to the disk."""
        if self._file is not None:
            os.fsync(self._file)

    def close(self, *, complete: bool) -> None:
        """Close it, and remove it where nothing waits any more."""
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


def beside(results: Path) -> Path:
    """Where they are kept."""
    return results.with_name(f".{results.name}.ahead")


def read_ahead(results: Path, head: bytes, first: int) -> dict[int, Early]:
    """Those of positions from ``first`` on, as far as the file is whole; none where it is of another results file."""
    found: dict[int, Early] = {}
    with contextlib.suppress(OSError), beside(results).open("rb") as file:
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

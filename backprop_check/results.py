"""The results file: whole JSON at every moment, and what a run counts."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from backprop_check import __version__
from backprop_check.ahead import Ahead, beside
from backprop_check.errors import ResultsError
from backprop_check.run import FAILURES, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from backprop_check.ahead import Early
    from backprop_check.diagnose.behaviour import Behaviour
    from backprop_check.diagnose.causes import Cause
    from backprop_check.protocol import ImplementationInfo
    from backprop_check.trace import Slot

_COUNTED = {
    "passed": "passed",
    "mismatched": "mismatched",
    "error": "errors",
    "crash": "crashes",
    "timeout": "timeouts",
    "protocol_error": "protocol_errors",
    "skipped": "skipped",
    "not_applicable": "not_applicable",
    "not_run": "not_run",
}

#: Outcomes of cases that were not judged.
_NOT_JUDGED = ("not_run", "skipped", "not_applicable")


def how_many_fail(counts: Mapping[str, int]) -> str:
    """``79 of 79 judged cases fail (127 not applicable)``: the one way to say it, in every report.

    ``counts`` are by outcome, or by its name in a summary.
    """
    number = {outcome: counts.get(name, counts.get(outcome, 0)) for outcome, name in _COUNTED.items()}
    failed = sum(number[outcome] for outcome in FAILURES if outcome != "not_run")
    rest = [f"{number[each]:,} {each.replace('_', ' ')}" for each in _NOT_JUDGED if number[each]]
    cases = "cases fails" if failed == 1 else "cases fail"
    said = f"{failed:,} of {failed + number['passed']:,} judged {cases}"
    return f"{said} ({', '.join(rest)})" if rest else said


#: Before the cases of a results file, and behind them.
BEGIN, END = b',"cases":[\n', b"\n],"

#: Which arrays a right reply held: while a run is not complete, the first lines end with it.
REPORTED = b',"reported":'


class Summary:
    """Counts of outcomes; ``cases`` are those sent or skipped, the not applicable ones stand apart."""

    def __init__(self) -> None:
        self.complete = False
        self.counts = dict.fromkeys(_COUNTED.values(), 0)
        self.neurons_checked = self.values_checked = 0

    def add(self, result: Result, times: int = 1) -> None:
        """Count one result; take it back with −1."""
        self.counts[_COUNTED[result.outcome]] += times
        self.neurons_checked += times * result.neurons_checked
        self.values_checked += times * result.values_checked

    @property
    def cases(self) -> int:
        """Cases sent or skipped."""
        return sum(self.counts.values()) - self.counts["not_applicable"]

    @property
    def failed(self) -> int:
        """Cases with an outcome that makes a run fail."""
        return sum(self.counts[_COUNTED[outcome]] for outcome in FAILURES)

    def to_dict(self) -> dict[str, Any]:
        """As in the results file."""
        return {
            "complete": self.complete,
            "cases": self.cases,
            **self.counts,
            "neurons_checked": self.neurons_checked,
            "values_checked": self.values_checked,
        }


@dataclass
class Conclusion:
    """What is known only at the end of a run."""

    causes: list[Cause] = field(default_factory=list)
    behaviours: list[Behaviour] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def names(self) -> dict[str, list[str]]:
        """For each failing case the names of the bugs that explain it."""
        found: dict[str, list[str]] = {}
        for cause in self.causes:
            for case in cause.explains:
                if cause.bug is not None:
                    found.setdefault(case, []).append(cause.bug)
        return found

    @property
    def failed(self) -> list[Behaviour]:
        """The behaviours that do not hold."""
        return [each for each in self.behaviours if not each.holds]


def head(info: ImplementationInfo, settings: Mapping[str, Any], argv: Sequence[str]) -> dict[str, Any]:
    """The part of a results file that stands before its cases."""
    return {
        "schema": 1,
        "harness": {"version": __version__, "argv": list(argv), **settings, "platform": platform.platform()},
        "implementation": {
            "name": info.name,
            "language": info.language,
            "version": info.version,
            "command": info.command,
            "dtype": info.dtype,
        },
    }


def tail(summary: Summary, conclusion: Conclusion | None = None) -> dict[str, Any]:
    """The part that stands behind its cases."""
    done = conclusion or Conclusion()
    return {
        "summary": summary.to_dict(),
        "diagnoses": msgspec.to_builtins(done.causes),
        "behaviours": msgspec.to_builtins(done.behaviours),
        "notes": done.notes,
    }


def with_names(result: Result, names: Mapping[str, list[str]]) -> Result:
    """A result with the names that explain it."""
    return msgspec.structs.replace(result, diagnosis=names[result.id]) if result.id in names else result


#: So often the disk gets what was written, in seconds.
_SYNCED = 1.0


class ResultsFile:
    """Writes results as they come: after each one the file is whole JSON that says ``complete: false``.

    The closing part (the summary) is overwritten by the next result and written again behind it, in one write, so
    that a run that is killed leaves a file with all that was finished (``resume`` reads it even where the kill came
    in the middle of that write). One case is one line. Once a second a thread brings it to the disk.

    What came before it was its turn stands in a file beside it (``ahead``).

    Raises ``ResultsError`` where the file cannot be written; what was finished before stays in it.
    """

    def __init__(self, path: Path, info: ImplementationInfo, settings: dict[str, Any], argv: list[str]) -> None:
        self.path, self.summary = path, Summary()
        self._first, self._resumed, self._count = True, False, 0
        opening = msgspec.json.encode(head(info, settings, argv))[:-1] + BEGIN
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b", buffering=0)
            beside(path).unlink(missing_ok=True)
            self._put(0, opening)
            self._start = self._end = self._file.tell()
            self._put(self._end, self._tail())
            _sync_folder(path.parent)
        except OSError as error:
            raise ResultsError(_cannot(path, error)) from error
        self._ahead = Ahead(path, opening)
        self._keep_on_disk()

    @classmethod
    def again(cls, path: Path, start: int, end: int, summary: Summary, waiting: Iterable[Early] = ()) -> Self:
        """Go on with a file whose results stand from ``start`` to ``end`` and are counted in ``summary``.

        ``waiting`` are those that came before it was their turn.
        """
        self = cls.__new__(cls)
        self.path, self.summary = path, summary
        self._first, self._resumed = start == end, True
        self._count = sum(summary.counts.values())
        self._start, self._end = start, end
        try:
            self._file = path.open("r+b", buffering=0)
            self._ahead = Ahead(path, self._file.read(start), waiting)
            self._put(end, self._tail())
            self._file.truncate()
        except OSError as error:
            raise ResultsError(_cannot(path, error)) from error
        self._keep_on_disk()
        return self

    def add(self, result: Result, reported: Iterable[Slot] = ()) -> None:
        """Append one result; ``reported`` is kept beside it until the run is complete, for ``resume``."""
        self.summary.add(result)
        line = (b"" if self._first else b",\n") + msgspec.json.encode(result)
        if slots := tuple(reported):
            line = line[:-1] + REPORTED + msgspec.json.encode(slots) + b"}"
        try:
            self._put(self._end, line + self._tail())
            self._end += len(line)
            self._first, self._unsynced = False, True
            if self._ahead.placed(self._count):
                os.fsync(self._file.fileno())
                self._ahead.tidy()
        except OSError as error:
            self._undo(result)
            raise ResultsError(_cannot(self.path, error)) from error
        self._count += 1

    def early(self, position: int, result: Result, reported: Iterable[Slot] = ()) -> None:
        """Keep a result whose turn has not come; ``add`` is to follow when it has."""
        try:
            self._ahead.keep(position, result, reported)
        except OSError as error:
            raise ResultsError(_cannot(self.path, error)) from error
        self._unsynced = True

    def _keep_on_disk(self) -> None:
        self._unsynced, self._closing = True, threading.Event()
        self._syncing = threading.Thread(target=self._sync, name=f"{self.path.name} to the disk", daemon=True)
        self._syncing.start()

    def _sync(self) -> None:
        """Thread: what the system could not bring to the disk it says at the next write, or at the end."""
        while not self._closing.wait(_SYNCED):
            if self._unsynced:
                self._unsynced = False
                with contextlib.suppress(OSError, ValueError):
                    os.fsync(self._file.fileno())
                with contextlib.suppress(OSError):
                    self._ahead.sync()

    def _end_sync(self) -> None:
        self._closing.set()
        self._syncing.join()

    def _put(self, at: int, data: bytes) -> None:
        """Write all of it in one write, as long as the system can."""
        self._file.seek(at)
        while data:
            data = data[self._file.write(data) or 0 :]

    def _undo(self, result: Result) -> None:
        """Close the file again behind what was finished: there was room for that."""
        self.summary.add(result, -1)
        with contextlib.suppress(OSError):
            self._put(self._end, self._tail())
            self._file.truncate()

    def _tail(self, conclusion: Conclusion | None = None) -> bytes:
        return END + msgspec.json.encode(tail(self.summary, conclusion))[1:] + b"\n"

    def finish(self, conclusion: Conclusion, *, complete: bool = True) -> None:
        """Write what is known at the end: the causes, and for each failing case their names.

        The file is written anew beside the old one and takes its place at once, so that it is whole at every moment.
        """
        self.summary.complete = complete
        self._end_sync()
        names = conclusion.names()
        anew = self.path.with_name(f".{self.path.name}.new")  # one that a kill left is in nobody's way
        try:
            anew.unlink(missing_ok=True)
            with anew.open("xb") as new:
                self._file.seek(0)
                new.write(self._file.read(self._start))
                left = self._end - self._start
                with open(self._file.fileno(), "rb", closefd=False) as lines:
                    while left > 0:
                        line = lines.readline()[:left]
                        left -= len(line)
                        line = _named(line, names, anew=self._resumed)
                        new.write(_without_reported(line) if complete else line)
                new.write(self._tail(conclusion))
                new.flush()
                os.fsync(new.fileno())
            anew.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                anew.unlink(missing_ok=True)
            raise ResultsError(_cannot(self.path, error)) from error
        self._ahead.close(complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_sync()
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())
        self._ahead.close(complete=False)
        self._file.close()


def _sync_folder(folder: Path) -> None:
    """Bring a file's name to the disk; where the system does not do that for folders, it needs not."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _named(line: bytes, names: Mapping[str, list[str]], *, anew: bool) -> bytes:
    """One case's line, with the names of the bugs that explain it; ``anew``: it may have others already."""
    body = line.rstrip(b",\n")
    if not (names or anew) or not body or b'"outcome":"mismatched"' not in body[:400]:
        return line
    result = msgspec.json.decode(body, type=Result)
    return msgspec.json.encode(msgspec.structs.replace(result, diagnosis=names.get(result.id, []))) + line[len(body) :]


def _without_reported(line: bytes) -> bytes:
    body, found, _ = line.partition(REPORTED)
    return body + b"}" + line[len(line.rstrip(b",\n")) :] if found else line


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"the results file {path} cannot be written: {error.strerror}. "
        "What was finished before is kept; choose another path, or make room"
    )

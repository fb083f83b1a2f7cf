"""The results file: valid JSON at every moment; and the counts of a run."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from backprop_check import __version__
from backprop_check.compare.conventions import Conventions
from backprop_check.errors import ELSEWHERE, ResultsError
from backprop_check.running.early_results import EarlyResults, early_path
from backprop_check.running.mirror import Mirror
from backprop_check.running.one_case import FAILURES, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from backprop_check.compare.trace import Slot
    from backprop_check.diagnose.behaviour import Behaviour
    from backprop_check.diagnose.cause import Cause
    from backprop_check.protocol import ImplementationInfo
    from backprop_check.running.early_results import Early

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
    """``79 of 79 judged cases fail (127 not applicable)``: every report uses this wording.

    The keys of ``counts`` are outcomes, or their names in a summary.
    """
    number = {outcome: counts.get(name, counts.get(outcome, 0)) for outcome, name in _COUNTED.items()}
    failed = sum(number[outcome] for outcome in FAILURES if outcome != "not_run")
    rest = [f"{number[each]:,} {each.replace('_', ' ')}" for each in _NOT_JUDGED if number[each]]
    cases = "cases fails" if failed == 1 else "cases fail"
    said = f"{failed:,} of {failed + number['passed']:,} judged {cases}"
    return f"{said} ({', '.join(rest)})" if rest else said


def why_nothing_was_judged(counts: Mapping[str, int], *, complete: bool) -> str:
    """``skipped all 12 cases that it supports``: the end of "Nothing was judged: NAME …", in every report."""
    if not complete:
        return "had not answered any case by then"
    skipped = counts.get("skipped", 0)
    return f"skipped all {skipped:,} cases that it supports" if skipped else "supports none of these cases"


#: The text before and after the cases of a results file.
BEGIN, END = b',"cases":[\n', b"\n],"

#: The key for the arrays that a right reply held: the first lines end with it until the run is complete.
REPORTED = b',"reported":'


class Summary:
    """Counts of outcomes. ``cases`` counts the cases sent or skipped; the not applicable ones are counted
    separately.
    """

    def __init__(self) -> None:
        self.complete = False
        self.interrupted = ""
        """For a run that was asked to stop, a text that says by what, and at which point."""
        self.counts = dict.fromkeys(_COUNTED.values(), 0)
        self.neurons_checked = self.values_checked = 0
        self.conventions = Conventions()

    def add(self, result: Result, times: int = 1) -> None:
        """Count one result; ``times`` = −1 takes it back."""
        self.counts[_COUNTED[result.outcome]] += times
        self.neurons_checked += times * result.neurons_checked
        self.values_checked += times * result.values_checked
        self.conventions.add(result.conventions, times)

    @property
    def cases(self) -> int:
        """The number of cases sent or skipped."""
        return sum(self.counts.values()) - self.counts["not_applicable"]

    @property
    def failed(self) -> int:
        """The number of cases with an outcome that makes a run fail."""
        return sum(self.counts[_COUNTED[outcome]] for outcome in FAILURES)

    def to_dict(self) -> dict[str, Any]:
        """The counts in the form of the results file."""
        return {
            "complete": self.complete,
            **({"interrupted": self.interrupted} if self.interrupted else {}),
            "cases": self.cases,
            **self.counts,
            "neurons_checked": self.neurons_checked,
            "values_checked": self.values_checked,
        }


@dataclass
class Conclusion:
    """The results of the end of a run: causes, behaviours, notes, and unmet requirements."""

    causes: list[Cause] = field(default_factory=list)
    behaviours: list[Behaviour] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    """A sentence for each requirement that was not met; any of them makes the run fail."""

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
    """The part of a results file before its cases."""
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
    """The part of a results file after its cases."""
    done = conclusion or Conclusion()
    return {
        "summary": summary.to_dict(),
        "diagnoses": msgspec.to_builtins(done.causes),
        "behaviours": msgspec.to_builtins(done.behaviours),
        "notes": done.notes,
        "conventions": summary.conventions.to_list(),
        "unmet": done.unmet,
    }


def with_names(result: Result, names: Mapping[str, list[str]]) -> Result:
    """A result with the names of the bugs that explain it."""
    return msgspec.structs.replace(result, diagnosis=names[result.id]) if result.id in names else result


#: The number of bytes that are copied at once.
_PART = 2**20

#: The interval, in seconds, at which the file is synced to the disk.
_SYNCED = 1.0


class ResultsFile:
    """Writes results as they arrive: after each one the file is valid JSON that says ``complete: false``.

    The closing part (the summary) is overwritten by the next result and written again after it, in one write. So a run
    that is killed leaves a file with all finished results (``resume`` reads it even where the kill came in the middle
    of that write). Each case is one line. Once a second a thread syncs the file to the disk.

    Results that arrive before their turn are written to another file (``early_results``).

    Other programs may write to the file meanwhile: an implementation under test runs as the same user. Changes are
    detected before each result and at the end; the file is then rewritten from a copy (``mirror``), and ``disturbed``
    says how it was changed.

    Raises ``ResultsError`` where the file cannot be written; it keeps the results that were finished before.
    """

    def __init__(self, path: Path, info: ImplementationInfo, settings: dict[str, Any], argv: list[str]) -> None:
        self.path, self.summary, self.disturbed = path, Summary(), ""
        self._first, self._resumed, self._count = True, False, 0
        opening = msgspec.json.encode(head(info, settings, argv))[:-1] + BEGIN
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b", buffering=0)
            early_path(path).unlink(missing_ok=True)
            self._put(0, opening)
            self._start = self._end = self._file.tell()
            self._close_file()
            _sync_folder(path.parent)
            self._mirror = Mirror(path)
            self._mirror.append(opening)
        except OSError as error:
            raise _cannot(path, error) from error
        self._early = EarlyResults(path, opening)
        self._keep_on_disk()

    @classmethod
    def again(cls, path: Path, start: int, end: int, summary: Summary, waiting: Iterable[Early] = ()) -> Self:
        """Continue a file whose results lie between the offsets ``start`` and ``end`` and are counted in ``summary``.

        ``waiting`` are the results that arrived before their turn. Raises ``ResultsError`` where the file cannot be
        read or written.
        """
        self = cls.__new__(cls)
        self.path, self.summary, self.disturbed = path, summary, ""
        self._first, self._resumed = start == end, True
        self._count = sum(summary.counts.values())
        self._start, self._end = start, end
        try:
            self._file = path.open("r+b", buffering=0)
            self._early = EarlyResults(path, self._file.read(start), waiting)
            self._mirror = Mirror(path)
            self._file.seek(0)
            while (left := end - self._mirror.size) and (part := self._file.read(min(left, _PART))):
                self._mirror.append(part)
            self._close_file()
            self._file.truncate()
        except OSError as error:
            raise _cannot(path, error) from error
        self._keep_on_disk()
        return self

    def add(self, result: Result, reported: Iterable[Slot] = ()) -> None:
        """Append one result; ``reported``, the slots of its arrays, stays in its line until the run is complete, for
        ``resume``.

        Raises ``ResultsError`` where it cannot be written.
        """
        self.summary.add(result)
        line = (b"" if self._first else b",\n") + msgspec.json.encode(result)
        if slots := tuple(reported):
            line = line[:-1] + REPORTED + msgspec.json.encode(slots) + b"}"
        try:
            self._mend()
            self._mirror.append(line)
            closing = self._tail()
            self._put(self._end, line + closing)
            self._end, self._closing_part = self._end + len(line), closing
            self._first, self._unsynced = False, True
            if self._early.placed(self._count):
                os.fsync(self._file.fileno())
                self._early.tidy()
        except OSError as error:
            self._undo(result)
            raise _cannot(self.path, error) from error
        self._count += 1

    def early(self, position: int, result: Result, reported: Iterable[Slot] = ()) -> None:
        """Save a result that arrives before its turn; ``add`` must follow at its turn.

        Raises ``ResultsError`` where it cannot be written.
        """
        try:
            self._early.keep(position, result, reported)
        except OSError as error:
            raise _cannot(self.path, error) from error
        self._unsynced = True

    def _keep_on_disk(self) -> None:
        self._unsynced, self._closing = True, threading.Event()
        self._syncing = threading.Thread(target=self._sync, name=f"{self.path.name} to the disk", daemon=True)
        self._syncing.start()

    def _sync(self) -> None:
        """The thread that syncs the files. Errors are ignored here: the next write, or the end, reports them."""
        while not self._closing.wait(_SYNCED):
            if self._unsynced:
                self._unsynced = False
                with contextlib.suppress(OSError, ValueError):
                    os.fsync(self._file.fileno())
                with contextlib.suppress(OSError):
                    self._early.sync()

    def _end_sync(self) -> None:
        self._closing.set()
        self._syncing.join()

    def _put(self, at: int, data: bytes) -> None:
        """Write all data, in as few writes as the system needs (normally one)."""
        self._file.seek(at)
        while data:
            data = data[self._file.write(data) or 0 :]

    def _close_file(self) -> None:
        """Write the closing part after the last result."""
        self._closing_part = self._tail()
        self._put(self._end, self._closing_part)

    def _undo(self, result: Result) -> None:
        """Close the file again after the last finished result: there was room for that."""
        self.summary.add(result, -1)
        with contextlib.suppress(OSError):
            self._mirror.cut(self._end)
        with contextlib.suppress(OSError):
            self._close_file()
            self._file.truncate()

    def _mend(self) -> None:
        """If another program has cut, removed or replaced the file, rewrite it and continue in the new one.

        Where this fails (its name may now belong to a folder), the end of the run reports it.
        """
        how = self._mirror.changed(self._file, self._closing_part)
        if not how:
            return
        self._disturb(how)
        anew = self._anew()
        with contextlib.suppress(OSError):
            anew.unlink(missing_ok=True)
            file = anew.open("x+b", buffering=0)
            self._mirror.copy_to(file)
            file.write(self._closing_part)
            anew.replace(self.path)
            old, self._file = self._file, file
            old.close()

    def _disturb(self, how: str) -> None:
        self.disturbed = self.disturbed or (
            f"the results file {self.path} was {how} while the run wrote it, by another program. It was written "
            "again, in full, from a copy: an implementation must not write there"
        )

    def _anew(self) -> Path:
        """The temporary path where the file is rewritten; a file that a kill left there is removed."""
        return self.path.with_name(f".{self.path.name}.new")

    def _tail(self, conclusion: Conclusion | None = None) -> bytes:
        return END + msgspec.json.encode(tail(self.summary, conclusion))[1:] + b"\n"

    def finish(self, conclusion: Conclusion, *, complete: bool = True, interrupted: str = "") -> None:
        """Write the results of the end: the causes, and for each failing case the names of its bugs.

        The file is rewritten next to the old one and replaces it in one step, so that it is valid at every moment.
        If another program had changed the old one, the notes of ``conclusion`` say so.
        Raises ``ResultsError`` where it cannot be written.
        """
        self.summary.complete, self.summary.interrupted = complete, interrupted
        self._end_sync()
        if how := self._mirror.changed(self._file, self._closing_part) or self._mirror.unlike(self._closing_part):
            self._disturb(how)
        if self.disturbed:
            conclusion.notes = [self.disturbed, *conclusion.notes]
        names = conclusion.names()
        anew = self._anew()
        try:
            anew.unlink(missing_ok=True)
            with anew.open("xb") as new:
                self._mirror.copy_to(new, end=self._start)
                for line in self._mirror.lines(self._start):
                    named = _named(line, names, anew=self._resumed)
                    new.write(_without_reported(named) if complete else named)
                new.write(self._tail(conclusion))
                new.flush()
                os.fsync(new.fileno())
            self._take_place(anew)
            _sync_folder(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                anew.unlink(missing_ok=True)
            raise _cannot(self.path, error) from error
        self._early.close(complete=complete)

    def _take_place(self, anew: Path) -> None:
        try:
            anew.replace(self.path)
        except OSError as error:
            elsewhere = self.path.with_name(f"{self.path.stem}-kept{self.path.suffix}")
            anew.replace(elsewhere)
            cause = f"the results cannot be put at {self.path} ({error.strerror})"
            raise ResultsError("results-not-in-place", cause, f"they are in {elsewhere}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_sync()
        with contextlib.suppress(OSError):
            os.fsync(self._file.fileno())
        self._early.close(complete=False)
        self._file.close()
        self._mirror.close()


def _sync_folder(folder: Path) -> None:
    """Sync a file's name to the disk, on systems that support it for folders."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _named(line: bytes, names: Mapping[str, list[str]], *, anew: bool) -> bytes:
    """One case's line with the names of the bugs that explain it; ``anew`` says that it may already have other
    names.
    """
    body = line.rstrip(b",\n")
    if not (names or anew) or not body or b'"outcome":"mismatched"' not in body[:400]:
        return line
    result = msgspec.json.decode(body, type=Result)
    return msgspec.json.encode(msgspec.structs.replace(result, diagnosis=names.get(result.id, []))) + line[len(body) :]


def _without_reported(line: bytes) -> bytes:
    body, found, _ = line.partition(REPORTED)
    return body + b"}" + line[len(line.rstrip(b",\n")) :] if found else line


def _cannot(path: Path, error: OSError) -> ResultsError:
    cause = f"the results file {path} cannot be written: {error.strerror}"
    return ResultsError("results-not-written", cause, f"The results finished before are kept; {ELSEWHERE}", ". ")

"""The results file: whole JSON at every moment, and what a run counts."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from backprop_check import __version__
from backprop_check.errors import ResultsError
from backprop_check.run import FAILURES, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from backprop_check.diagnose.behaviour import Behaviour
    from backprop_check.diagnose.causes import Cause
    from backprop_check.protocol import ImplementationInfo

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


class Summary:
    """Counts of outcomes; ``cases`` are those sent or skipped, the not applicable ones stand apart."""

    def __init__(self) -> None:
        self.complete = False
        self.counts = dict.fromkeys(_COUNTED.values(), 0)
        self.neurons_checked = self.values_checked = 0

    def add(self, result: Result) -> None:
        """Count one result."""
        self.counts[_COUNTED[result.outcome]] += 1
        self.neurons_checked += result.neurons_checked
        self.values_checked += result.values_checked

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


class ResultsFile:
    """Writes results as they come: after each one the file is whole JSON that says ``complete: false``.

    The closing part (the summary) is overwritten by the next result and written again behind it, so that a
    run that is interrupted leaves a readable file with all that was finished. One case is one line.

    Raises ``ResultsError`` where the file cannot be written.
    """

    def __init__(self, path: Path, info: ImplementationInfo, settings: dict[str, Any], argv: list[str]) -> None:
        self.path, self.summary = path, Summary()
        self._first = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b")
            self._file.write(msgspec.json.encode(head(info, settings, argv))[:-1] + b',"cases":[\n')
            self._start = self._end = self._file.tell()
            self._tail()
        except OSError as error:
            raise ResultsError(_cannot(path, error)) from error

    def add(self, result: Result) -> None:
        """Append one result."""
        self.summary.add(result)
        try:
            self._file.seek(self._end)
            self._file.write((b"" if self._first else b",\n") + msgspec.json.encode(result))
            self._end = self._file.tell()
            self._tail()
        except OSError as error:
            raise ResultsError(_cannot(self.path, error)) from error
        self._first = False

    def _tail(self, conclusion: Conclusion | None = None) -> None:
        self._file.write(b"\n]," + msgspec.json.encode(tail(self.summary, conclusion))[1:] + b"\n")
        self._file.truncate()
        self._file.flush()

    def finish(self, conclusion: Conclusion, *, complete: bool = True) -> None:
        """Write what is known at the end: the causes, and for each failing case their names.

        The file is written anew beside the old one and takes its place at once, so that it is whole at every moment.
        """
        self.summary.complete = complete
        names = conclusion.names()
        try:
            with tempfile.NamedTemporaryFile("wb", dir=self.path.parent, prefix=".results-", delete=False) as new:
                self._file.seek(0)
                new.write(self._file.read(self._start))
                left = self._end - self._start
                while left > 0:
                    line = self._file.readline()
                    left -= len(line)
                    new.write(_named(line if left >= 0 else line[:left], names))
                new.write(b"\n]," + msgspec.json.encode(tail(self.summary, conclusion))[1:] + b"\n")
                new.flush()
                os.fsync(new.fileno())
            Path(new.name).chmod(0o666 & ~_umask())
            Path(new.name).replace(self.path)
        except OSError as error:
            raise ResultsError(_cannot(self.path, error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _named(line: bytes, names: Mapping[str, list[str]]) -> bytes:
    """One case's line, with the names of the bugs that explain it."""
    body = line.rstrip(b",\n")
    if not names or not body or b'"outcome":"mismatched"' not in body[:400]:
        return line
    result = msgspec.json.decode(body, type=Result)
    return msgspec.json.encode(with_names(result, names)) + line[len(body) :]


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"the results file {path} cannot be written: {error.strerror}. "
        "What was finished before is kept; choose another path, or make room"
    )

"""The results file: whole JSON at every moment, and what a run counts."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any, Self

import msgspec

from backprop_check import __version__
from backprop_check.errors import ResultsError
from backprop_check.run import FAILURES, Result

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

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


class ResultsFile:
    """Writes results as they come: after each one the file is whole JSON that says ``complete: false``.

    The closing part (the summary) is overwritten by the next result and written again behind it, so that a
    run that is interrupted leaves a readable file with all that was finished.

    Raises ``ResultsError`` where the file cannot be written.
    """

    def __init__(self, path: Path, info: ImplementationInfo, settings: dict[str, Any], argv: list[str]) -> None:
        self.path, self.summary = path, Summary()
        self._first = True
        head = {
            "schema": 1,
            "harness": {"version": __version__, "argv": argv, **settings, "platform": platform.platform()},
            "implementation": {
                "name": info.name,
                "language": info.language,
                "command": info.command,
                "dtype": info.dtype,
            },
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b")
            self._file.write(msgspec.json.encode(head)[:-1] + b',"cases":[\n')
            self._end = self._file.tell()
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

    def _tail(self) -> None:
        summary = {"summary": self.summary.to_dict(), "diagnoses": [], "notes": []}
        self._file.write(b"\n]," + msgspec.json.encode(summary)[1:] + b"\n")
        self._file.truncate()
        self._file.flush()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.summary.complete = True
        self._file.seek(self._end)
        self._tail()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"the results file {path} cannot be written: {error.strerror}. "
        "What was finished before is kept; choose another path, or make room"
    )

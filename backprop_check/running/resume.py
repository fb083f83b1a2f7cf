"""Continuing an unfinished run: reading its results file, and restoring what diagnosis needs.

A file that a kill left with half a line, or without its closing part, is read up to its last complete result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.errors import ResultsError
from backprop_check.protocol import Message, one_line, parse_line
from backprop_check.running.early_results import Early, read_early
from backprop_check.running.one_case import Judged, Result, judge_whole
from backprop_check.running.results_file import BEGIN, REPORTED, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Comparison
    from backprop_check.running.chunks import Work
    from backprop_check.running.judging import Run

#: The longest line that is read: a case is kept with its numbers up to 4 MB.
_LONGEST = 64 * 2**20

#: The settings that must be the same for a run to continue: names in the results file, and names for the user.
_SAME = {
    "version": "version of backprop-check",
    "torch": "version of torch",
    "suites": "--suite",
    "cases": "--cases",
    "only": "--case",
    "seed": "--seed",
    "profile": "--profile",
    "rtol": "--rtol",
    "atol": "--atol",
    "kinks": "--kinks",
    "hints_only": "--hints-only",
}


class _Reported(msgspec.Struct):
    """The slots of the arrays that a right reply held: quantity, layer, step."""

    reported: list[tuple[str, int | None, int | None]] = []


class _Tail(msgspec.Struct):
    """The closing part of a file, which says whether the run is complete."""

    summary: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A results file: its head, the byte offsets where its results begin and end, and their number."""

    path: Path
    head: dict[str, Any]
    start: int
    end: int
    count: int
    last: str
    complete: bool
    ahead: dict[int, Early]
    """The early results, by position."""

    def results(self) -> Iterator[tuple[Result, tuple[Slot, ...]]]:
        """Each result, and the slots of the arrays that a right reply held (where they were recorded)."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.count
            while left:
                body = file.readline(_LONGEST).rstrip(b",\n")
                if body:
                    yield _read_line(body)
                    left -= 1

    def check(self, work: Work, head: Mapping[str, Any]) -> None:
        """Raise ``ResultsError`` where this file belongs to another run."""
        was, now = self.head.get("harness", {}), head["harness"]
        for key, name in _SAME.items():
            if was.get(key) != now.get(key):
                why = f"its {name} was {_shown(was.get(key))}, now it is {_shown(now.get(key))}"
                raise self._other("other-settings", why)
        was, now = self.head.get("implementation", {}), head["implementation"]
        for key, value in now.items():
            if was.get(key) != value:
                why = f"the implementation's {key} was {_shown(was.get(key))}, now it is {_shown(value)}"
                raise self._other("other-implementation", why)
        differ = self.count > len(work.plan) or (self.count and self.last != work.plan.case(self.count - 1).id)
        if differ or any(
            position >= len(work.plan) or each.result.id != work.plan.case(position).id
            for position, each in self.ahead.items()
        ):
            raise self._other("other-cases", "its cases differ")

    def _other(self, code: str, why: str) -> ResultsError:
        cause = f"{self.path} belongs to another run: {why}"
        return ResultsError(code, cause, "Give another --json, or leave out --resume to start over", ". ")


def read_unfinished(path: Path) -> Unfinished:
    """Read a results file up to its last complete result. Raises ``ResultsError`` where it is not a results file."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST)
            try:
                if not line.endswith(BEGIN):
                    raise ValueError  # noqa: TRY301 - as what cannot be decoded
                head = msgspec.json.decode(line[: -len(BEGIN)] + b"}", type=dict[str, Any])
                if not all(isinstance(head.get(key), dict) for key in ("harness", "implementation")):
                    raise ValueError  # noqa: TRY301
            except (ValueError, msgspec.MsgspecError, RecursionError):
                cause = f"{path} is not a results file that a run can continue"
                hint = "give another --json, or leave out --resume"
                raise ResultsError("not-resumable", cause, hint) from None
            start = end = file.tell()
            count, last, complete = 0, "", False
            while line := file.readline(_LONGEST):
                body = line.rstrip(b",\n")
                if line.startswith(b"],"):
                    complete = _says_complete(line)
                    break
                try:
                    last = _read_line(body)[0].id if body else last
                except (ValueError, msgspec.MsgspecError, RecursionError):
                    break
                if body:
                    end = file.tell() - len(line) + len(body)
                    count += 1
            file.seek(0)
            ahead = {} if complete else read_early(path, file.read(start), count)
            return Unfinished(path, head, start, end, count, last, complete, ahead)
    except OSError as error:
        why = error.strerror or type(error).__name__
        cause = f"the results file {path} cannot be read: {why}"
        raise ResultsError("resume-not-readable", cause, "give another --json, or leave out --resume", "; ") from None


def _read_line(body: bytes) -> tuple[Result, tuple[Slot, ...]]:
    slots: tuple[Slot, ...] = ()
    if REPORTED in body:
        slots = tuple(Slot(*each) for each in msgspec.json.decode(body, type=_Reported).reported)
    return msgspec.json.decode(body, type=Result), slots


def _says_complete(line: bytes) -> bool:
    try:
        return msgspec.json.decode(b"{" + line[2:], type=_Tail).summary.get("complete") is True
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False


def _shown(value: object) -> str:
    if isinstance(value, list):
        return one_line(", ".join(map(str, value)), 100) or "not given"
    return one_line(str(value), 200) or "not given"


def summary_of(unfinished: Unfinished) -> Summary:
    """The summary of the results that the file holds."""
    summary = Summary()
    for result, _ in unfinished.results():
        summary.add(result)
    return summary


def recalled(run: Run, work: Work, position: int, result: Result, slots: tuple[Slot, ...]) -> Judged | None:
    """A result from the file as a ``Judged``, for diagnosis; None where diagnosis does not need it.

    A failing case whose reply is not in the file is sent to the implementation again.
    """
    dtype = run.implementation.hello.dtype
    if result.outcome == "passed":
        case = work.plan.case(position).rounded(dtype) if slots else None
        return None if case is None else Judged(result, case, dict.fromkeys(slots, np.empty(0)))
    if result.outcome in ("skipped", "not_applicable"):
        return None
    case = work.plan.case(position)
    if result.outcome != "mismatched":
        return Judged(result, case)
    rounded = case.rounded(dtype)
    unsaid = case.steps == 1 and any(each.step is not None for each in result.mismatches)  # the file lacks these arrays
    found = None if unsaid else _replied(result, rounded, dtype, work.settings.profile)
    if found is not None:
        unstable = found.formula if all(each.unstable for each in result.mismatches) else None
        return Judged(result, rounded, found.actual, unstable or "")
    (again,) = list(judge_whole([case], run.implementation, work.settings, keep_running=True))
    whole = again.result if again.result.outcome == "mismatched" else result  # with --hints-only, with its numbers
    return Judged(whole, rounded, again.actual or {}, again.unstable)


def _replied(result: Result, case: Case, dtype: str, profile: str) -> Comparison | None:
    """Compare the reply from the file again; None where the file does not hold it."""
    if result.actual is None:
        return None
    parsed = parse_line(msgspec.json.encode({"id": case.id, **result.actual}))
    return compare(expect(case, dtype, profile), parsed.reply) if isinstance(parsed, Message) else None

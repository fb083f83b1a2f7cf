"""Reading results files, which are untrusted: size and nesting are limited, and the content is checked once.

A results file is JSON of schema 1 (``--json``). Anything that contradicts the schema raises ``ResultsError`` with one
sentence that names the place; unknown fields are ignored.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from backprop_check.case.limits import DEEPEST, TooMuchError, deeper, read_within
from backprop_check.case.refusals import case_error
from backprop_check.case.training import OPTIMIZERS
from backprop_check.errors import ResultsError
from backprop_check.kinds import FAMILIES
from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

#: The largest size of a results file in bytes.
LARGEST = 512 * 2**20

#: The most cases in a results file.
MOST_CASES = 1_000_000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Number = float | str | None
Short = Annotated[str, msgspec.Meta(max_length=1_000_000)]


class _Loose(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are ignored: a newer version may write more."""


class Place(_Loose, frozen=True):
    """The place of the first wrong value."""

    layer: Count | None = None
    neuron: Count | None = None
    quantity: Short = ""
    sample: Count | None = None


class Finding(Place, frozen=True):
    """One mismatch; the numbers are absent with ``--hints-only``."""

    index: Annotated[list[Count], msgspec.Meta(max_length=8)] | None = None
    at: Annotated[list[Count], msgspec.Meta(max_length=8)] = []
    step: Count | None = None
    expected: Number = None
    actual: Number = None
    error: Number = None
    allowed: Number = None
    problem: Short = "wrong"
    origin: Short = "unknown"
    unstable: bool = False


Outcome = Literal[
    "passed", "mismatched", "error", "crash", "timeout", "protocol_error", "skipped", "not_applicable", "not_run"
]  # fmt: skip


class CaseResult(_Loose, frozen=True):
    """The result of one case."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    outcome: Outcome
    message: Short = ""
    suite: Short | None = None
    seconds: float = 0.0
    first_wrong: Place | None = None
    diagnosis: list[Short] | None = None
    mismatches: list[Finding] | None = None
    mismatch_count: Count | None = None
    values_checked: Count = 0
    neurons_checked: Count = 0
    notes: list[Short] | None = None
    case: dict[str, Any] | None = None
    actual: dict[str, Any] | None = None


class Shown(_Loose, frozen=True):
    """A cause's first wrong value in numbers: the right equations, and those that were implemented."""

    place: Short = ""
    right: list[Short] = []
    implemented: list[Short] = []


class Behaviour(_Loose, frozen=True):
    """A check over several cases, such as whether the order of the samples matters."""

    check: Short = ""
    holds: bool = True
    code: Short | None = None
    message: Short = ""


class Cause(_Loose, frozen=True):
    """One named bug (or, with ``code`` None, a pattern that no name fits) and the cases that it explains."""

    code: Short | None = None
    bug: Short | None = None
    title: Short | None = None
    sentence: Short | None = None
    scope: Short | None = None
    detail: Short | None = None
    right: Short | None = None
    implemented: Short | None = None
    fix: Short | None = None
    stays_right: Short | None = None
    cases: Count | list[Short] | None = None
    first_case: Short | None = None
    equivalent: list[Short] | None = None
    explains: list[Short] | None = None
    smallest: Short | None = None
    shown: Shown | None = None


class Implementation(_Loose, frozen=True):
    """The implementation under test, as it describes itself."""

    name: Short = "the implementation"
    language: Short | None = None
    version: Short | None = None
    command: Short | None = None
    dtype: Literal["float64", "float32"] = "float64"


class Harness(_Loose, frozen=True):
    """The settings of the run."""

    version: Short | None = None
    seed: int | None = None
    profile: Literal["textbook", "strict"] = "textbook"
    rtol: float = 0.0
    atol: float = 0.0
    kinks: Literal["any", "pytorch"] = "pytorch"
    torch: Short | None = None
    platform: Short | None = None
    suites: Annotated[list[Short], msgspec.Meta(max_length=100)] = []
    cases: Count | None = None
    timeout: float | None = None
    start_timeout: float | None = None
    one_shot: bool = False
    memory_limit: Count | None = None
    strict_stdout: bool = False
    sandbox: bool = False
    hints_only: bool = False
    diagnosis_timeout: float | None = None


class Convention(_Loose, frozen=True):
    """A correct choice at a kink that is not PyTorch's."""

    where: Short = ""
    taken: Number = None
    pytorch: Number = None
    sentence: Short = ""
    cases: Count = 0


class ResultsData(_Loose, frozen=True):
    """A whole results file."""

    schema: int
    implementation: Implementation
    cases: Annotated[list[CaseResult], msgspec.Meta(max_length=MOST_CASES)]
    harness: Harness = Harness()
    summary: dict[str, Any] = {}
    diagnoses: list[Cause] | None = None
    behaviours: list[Behaviour] | None = None
    notes: list[Short] | None = None
    conventions: list[Convention] | None = None
    unmet: list[Short] | None = None


#: Outcomes that make a run fail.
FAILING = ("mismatched", "error", "crash", "timeout", "protocol_error", "not_run")


def read_file(path: Path) -> dict[str, Any]:
    """The parsed JSON of a results file. Raises ``ResultsError`` where it cannot be read or is no JSON object."""
    try:
        value = msgspec.json.decode(read_within(path, LARGEST))
    except TooMuchError:
        size = path.stat().st_size or "no end of"
        cause = f"{path} has {size} bytes, more than the {LARGEST} that a report reads"
        raise ResultsError("results-too-large", cause, "judge fewer cases in one run (--cases, --suite)") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        cause = f"the results file {path} cannot be read: {why}"
        raise ResultsError("results-not-readable", cause, f"Write one with run --json {path}", ". ") from None
    except RecursionError:
        raise _too_deep(str(path)) from None
    except (msgspec.MsgspecError, ValueError) as error:
        torn = _torn(path)
        if torn is None:
            cause = f"{path} is not valid JSON: {one_line(str(error), 200)}"
            raise ResultsError("results-not-json", cause, "give a file that run --json wrote", "; ") from None
        value = torn
    if not isinstance(value, dict):
        cause = f"{path} is not a results file: expected an object, got {type(value).__name__}"
        raise ResultsError("not-results", cause, "give a file that run --json wrote", "; ")
    return value


def _torn(path: Path) -> dict[str, Any] | None:
    """What can be read of a file that a killed run left incomplete; None where it is no such file."""
    from backprop_check.running.resume import read_unfinished, summary_of  # noqa: PLC0415 - numpy, where it is needed

    try:
        found = read_unfinished(path)
    except ResultsError:
        return None
    results = [result for result, _ in found.results()]
    results += [found.ahead[position].result for position in sorted(found.ahead)]
    note = (
        f"unfinished: the run ended while it wrote this file; its {len(results)} complete results were read. "
        "run --resume with the same options continues it"
    )
    cases = msgspec.to_builtins(results)
    return {**found.head, "cases": cases, "summary": summary_of(found).to_dict(), "notes": [note]}


def _too_deep(source: str) -> ResultsError:
    cause = f"{source}: nested deeper than {DEEPEST} levels, which no results file is"
    return ResultsError("results-too-deep", cause)


def checked(value: Any, source: str = "the results") -> ResultsData:
    """A parsed results file as types. Raises ``ResultsError`` with the JSON path where it contradicts the schema."""
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != 1 or isinstance(schema, bool):
        got = one_line(repr(schema), 40)
        cause = f"{source}: at $.schema: expected 1 (the only one this version reads), got {got}"
        raise ResultsError("other-schema", cause)
    if deeper(value, DEEPEST):
        raise _too_deep(source)
    try:
        return msgspec.convert(value, ResultsData)
    except (msgspec.ValidationError, RecursionError) as error:
        found = case_error(error)
        place, wanted = one_line(found.path, 200), one_line(found.expected, 200)
        cause = f"{source}: at {place}: expected {wanted}, got {one_line(found.got, 200)}"
        raise ResultsError("bad-results", cause) from None


_GENERATED = re.compile(r"-s\d{4,}-[0-9a-f]{8}$")


def suite_of(case: CaseResult, shipped: dict[str, str]) -> str:
    """The suite of a case, from the file or from the case's id."""
    if case.suite:
        return one_line(case.suite, 40)
    if case.id in shipped:
        return shipped[case.id]
    if not _GENERATED.search(case.id):
        return "other"
    family = next((family for family in FAMILIES if case.id.startswith(f"{family}-")), None)
    return family or ("training" if case.id.startswith(OPTIMIZERS) else "generated")


def embedded(value: Any) -> str:
    """JSON that is safe inside a ``<script>`` of any page: nothing in it opens or ends markup.

    It is ASCII: U+2028, U+2029 and lone surrogates are escaped, and so are ``<``, ``>`` and ``&``.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

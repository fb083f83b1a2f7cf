"""The top of the page: the implementation, the verdict in a sentence, the causes, the checks."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from backprop_check.protocol.text import clean_text, one_line
from backprop_check.report.again import command_again
from backprop_check.report.html.read import FAILING, CaseResult, Cause, ResultsData
from backprop_check.running.results_file import how_many_fail, why_nothing_was_judged

#: The outcomes in words, in the order of the page's list: those that make a run fail come first.
OUTCOMES = {
    "mismatched": "wrong numbers",
    "error": "error",
    "crash": "crash",
    "timeout": "timeout",
    "protocol_error": "protocol error",
    "not_run": "not run",
    "skipped": "skipped",
    "not_applicable": "not applicable",
    "passed": "passed",
}


#: The longest command; a longer one was cut when it was written.
_LONGEST_COMMAND = 2000


def causes_of(one: ResultsData) -> dict[str, list[int]]:
    """For each failing case the numbers of the causes that explain it."""
    found: dict[str, list[int]] = {}
    by_bug = {cause.bug: n for n, cause in enumerate(one.diagnoses or ()) if cause.bug}
    for n, cause in enumerate(one.diagnoses or ()):
        for case in cause.explains or ():
            found.setdefault(case, []).append(n)
    for case_result in one.cases:
        for bug in case_result.diagnosis or ():
            known = found.setdefault(case_result.id, [])
            if bug in by_bug and by_bug[bug] not in known:
                known.append(by_bug[bug])
    return found


def labels_of(read: list[ResultsData]) -> list[str]:
    """A unique name for each implementation."""
    labels: list[str] = []
    for one in read:
        name = one_line(one.implementation.name, 60) or "the implementation"
        choices = itertools.chain([name], (f"{name} ({n})" for n in itertools.count(2)))
        labels.append(next(label for label in choices if label not in labels))
    return labels


def title_of(labels: list[str]) -> str:
    """The title of the page: the first three names."""
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")  # noqa: PLR2004


def implementation(one: ResultsData, label: str, only: frozenset[str]) -> dict[str, Any]:
    """Everything that the page says about one results file except its cases; only the cases shown are counted."""
    info, harness = one.implementation, one.harness
    cases = [case for case in one.cases if not only or case.id in only]
    counts = dict.fromkeys(OUTCOMES, 0)
    for case in cases:
        counts[case.outcome] += 1
    complete = one.summary.get("complete", True) is not False
    known = {
        "seed": harness.seed,
        "profile": harness.profile,
        "rtol": harness.rtol or None,
        "atol": harness.atol or None,
        "version": harness.version and one_line(harness.version, 40),
        "torch": harness.torch and one_line(harness.torch, 40),
        "platform": harness.platform and one_line(harness.platform, 120),
    }
    ended = "" if complete else clean_text(str(one.summary.get("interrupted") or "The run was not finished."), 500)
    verdict, tone = _verdict(label, cases, counts, ended)
    if one.unmet:
        verdict = " ".join([verdict, *(f"But {clean_text(sentence, 300)}." for sentence in one.unmet[:10])])
        tone = "bad"
    return {
        "label": label,
        "language": one_line(info.language or "", 80),
        "version": one_line(info.version or "", 80),
        "dtype": info.dtype,
        "command": one_line(info.command or "", 500),
        "reproduce": _again(one),
        "harness": {key: value for key, value in known.items() if value is not None},
        "verdict": verdict,
        "tone": tone,
        "counts": counts,
        "fails": sum(counts[key] for key in FAILING),
        "complete": complete,
        "neurons": sum(case.neurons_checked for case in cases),
        "values": sum(case.values_checked for case in cases),
        "notes": [clean_text(note, 1000) for note in (one.notes or [])[:50]],
        "conventions": [
            {
                "where": one_line(each.where, 80),
                "taken": _plain(each.taken),
                "pytorch": _plain(each.pytorch),
                "sentence": clean_text(each.sentence, 400),
                "cases": each.cases,
            }
            for each in (one.conventions or [])[:50]
        ],
        "causes": [_cause(cause) for cause in one.diagnoses or ()],
        "checks": [
            {
                "check": clean_text(each.check, 300),
                "holds": each.holds,
                "code": one_line(each.code or "", 40),
                "message": clean_text(each.message, 1000),
            }
            for each in (one.behaviours or [])[:50]
        ],
    }


def _plain(value: float | str | None) -> float | str | None:
    return one_line(value, 80) if isinstance(value, str) else value


def _again(one: ResultsData) -> str:
    """The command that repeats the run; empty where there is none."""
    command, harness = one.implementation.command or "", one.harness
    if not command or len(command) > _LONGEST_COMMAND:
        return ""
    windows = (harness.platform or "").startswith("Windows")
    return command_again(one_line(command, _LONGEST_COMMAND), msgspec.structs.asdict(harness), windows=windows)


def _verdict(label: str, cases: list[CaseResult], counts: dict[str, int], ended: str) -> tuple[str, str]:
    """The result in a sentence, and its tone; ``ended`` is the sentence about a run that was not finished."""
    failed = sum(counts[key] for key in FAILING)
    unfinished = f" {ended}" if ended else ""
    if failed:
        return f"{label} does not compute backpropagation right: {how_many_fail(counts)}.{unfinished}", "bad"
    if not counts["passed"]:
        why = why_nothing_was_judged(counts, complete=not ended)
        return f"Nothing was judged: {label} {why}.{unfinished}", "none"
    values, neurons = sum(case.values_checked for case in cases), sum(case.neurons_checked for case in cases)
    right = "the one case" if counts["passed"] == 1 else f"all {counts['passed']:,} cases"
    if ended:
        right = f"the {counts['passed']:,} cases that were judged"
    return (
        (
            f"{label} computes {right} right: {values:,} values of {neurons:,} neurons are within what rounding allows."
            f"{unfinished}"
        ),
        "none" if ended else "good",
    )


def _cause(cause: Cause) -> dict[str, Any]:
    texts: dict[str, Any] = {
        key: clean_text(value, 2000)
        for key in (
            "code",
            "bug",
            "title",
            "sentence",
            "scope",
            "detail",
            "right",
            "implemented",
            "fix",
            "stays_right",
            "first_case",
            "smallest",
        )
        if (value := getattr(cause, key))
    }
    explains = cause.explains if cause.explains is not None else cause.cases
    count = len(explains) if isinstance(explains, list) else explains
    if isinstance(cause.cases, int):
        count = cause.cases
    if cause.shown is not None and (cause.shown.right or cause.shown.implemented):
        lines = {
            "right": [one_line(line, 400) for line in cause.shown.right[:12]],
            "implemented": [one_line(line, 400) for line in cause.shown.implemented[:12]],
        }
        texts["shown"] = {"place": one_line(cause.shown.place, 200), **lines}
    return {**texts, "cases": count or 0, "equivalent": [one_line(x, 60) for x in (cause.equivalent or [])[:20]]}

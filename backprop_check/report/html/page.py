"""The page: results files in, bytes out. The same results give the same bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import shlex
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.errors import ResultsError
from backprop_check.protocol.text import clean_text, one_line
from backprop_check.report.html.detail import detail
from backprop_check.report.html.formulas import formulas
from backprop_check.report.html.glossary import GLOSSARY
from backprop_check.report.html.read import FAILING, ResultsData, checked, embedded, read_file, suite_of
from backprop_check.report.html.shown import ROOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backprop_check.report.html.read import CaseResult, Cause

#: The scripts, in the order in which they stand in the page.
SCRIPTS = ("dom.js", "data.js", "kinds.js", "diagram.js", "neuron.js", "cases.js", "overview.js", "app.js")

#: So many bytes of cases are embedded with all their numbers; then less of each, then none.
FULL, MOST = 5_000_000, 6_200_000

_LITTLE_ROOM = 2_500

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


def render(results: Sequence[dict[str, Any]], *, only: Iterable[str] = ()) -> bytes:
    """One page of one or several results files (parsed); ``only`` these cases, where ids are given.

    Raises ``ResultsError`` with one sentence where something is not a results file.
    """
    if not results:
        raise ResultsError("there are no results to report: give at least one results file")
    several = len(results) > 1
    read = [checked(one, f"results file {n + 1}" if several else "the results") for n, one in enumerate(results)]
    return _page(read, frozenset(only))


def write_report(paths_in: Sequence[Path | str], path_out: Path | str, *, only: Iterable[str] = ()) -> Path:
    """Read results files, write the page beside nothing else, whole or not at all; gives its path.

    Raises ``ResultsError`` where a file cannot be read or the page cannot be written.
    """
    out = Path(path_out)
    read = [checked(read_file(Path(path)), str(path)) for path in paths_in]
    page = _page(read, frozenset(only))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{out.name[:40]}-", dir=out.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(page)
            Path(name).chmod(0o644)
            Path(name).replace(out)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ResultsError(f"the report {out} cannot be written: {why}; choose another path, or make room") from None
    return out


def _page(read: list[ResultsData], only: frozenset[str]) -> bytes:
    import jinja2  # noqa: PLC0415 - where a page is made, and nowhere else
    import markupsafe  # noqa: PLC0415

    if only:
        known = {case.id for one in read for case in one.cases}
        if missing := sorted(only - known):
            raise ResultsError(f"there is no case {one_line(missing[0], 100)} in these results")
    index, details = _embed(read, only)
    styles, script = _asset("page.css"), "(()=>{'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "\n})();"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("backprop_check.report.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    safe = markupsafe.Markup
    text = environment.get_template("page.html").render(
        title=index["title"],
        style=safe(styles),
        style_hash=_hash(styles),
        script=safe(script),
        script_hash=_hash(script),
        index=safe(embedded(index)),
        details=[safe(one) for one in details],
        implementations=index["impls"],
        failing=_without_script(read),
    )
    return text.encode("utf-8")


def _embed(read: list[ResultsData], only: frozenset[str]) -> tuple[dict[str, Any], list[str]]:
    shipped = _shipped()
    labels = _labels(read)
    columns: dict[str, list[Any]] = {
        key: [] for key in ("id", "impl", "suite", "out", "cause", "count", "first", "msg", "sec", "vals", "neu", "det")
    }
    details: list[str] = []
    used: list[str] = []
    size = reduced = bare = 0
    for number, one in enumerate(read):
        causes = _causes(one)
        for case in one.cases:
            if only and case.id not in only:
                continue
            suite = suite_of(case, shipped)
            if suite not in used:
                used.append(suite)
            fails = case.outcome in FAILING
            where = -1
            if fails:
                room = ROOM if size < FULL else _LITTLE_ROOM
                text = embedded(detail(case, one.implementation.dtype, one.harness, room)) if size < MOST else ""
                if size + len(text) > MOST:
                    text, bare = embedded(_bare(case)), bare + 1
                reduced += room == _LITTLE_ROOM
                size += len(text)
                where = len(details)
                details.append(text)
            row = {
                "id": one_line(case.id, 300),
                "impl": number,
                "suite": used.index(suite),
                "out": list(OUTCOMES).index(case.outcome),
                "cause": causes.get(case.id, []),
                "count": max(case.mismatch_count or 0, len(case.mismatches or ())),
                "first": _first(case),
                "msg": clean_text(case.message, 1000) if fails else one_line(case.message, 200),
                "sec": case.seconds,
                "vals": case.values_checked,
                "neu": case.neurons_checked,
                "det": where,
            }
            for key, value in row.items():
                columns[key].append(value)
    order = [suite for suite in (*SUITES, *sorted(set(used) - set(SUITES))) if suite in used]
    columns["suite"] = [order.index(used[n]) for n in columns["suite"]]
    index = {
        "title": _title(labels),
        "impls": [_implementation(one, label, only) for one, label in zip(read, labels, strict=True)],
        "suites": order,
        "outcomes": [[key, words, key in FAILING] for key, words in OUTCOMES.items()],
        "cases": columns,
        "formulas": formulas(),
        "glossary": GLOSSARY,
        "left": {"reduced": reduced, "bare": bare},
    }
    return index, details


def _bare(case: CaseResult) -> dict[str, Any]:
    """What is embedded of a failing case where the page has become too large."""
    return {
        "why": "This page holds so many failing cases that this one's numbers were left out. "
        f"To see them: backprop-check report RESULTS --case {one_line(case.id, 300)} --html case.html",
        "count": case.mismatch_count or len(case.mismatches or ()),
        "others": [],
        "unlisted": len(case.mismatches or ()),
        "notes": [clean_text(note, 300) for note in (case.notes or [])[:3]],
    }


def _first(case: CaseResult) -> list[int]:
    """Layer, neuron and sample of the first wrong value, where it is one neuron's."""
    first = case.first_wrong
    if first is None or first.layer is None or first.neuron is None:
        return []
    return [first.layer, first.neuron, *([] if first.sample is None else [first.sample])]


def _causes(one: ResultsData) -> dict[str, list[int]]:
    """For each failing case the numbers of the diagnoses that explain it."""
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


def _labels(read: list[ResultsData]) -> list[str]:
    """A name for each implementation that no other has."""
    labels: list[str] = []
    for one in read:
        name = one_line(one.implementation.name, 60) or "the implementation"
        labels.append(name if name not in labels else f"{name} ({sum(x.startswith(name) for x in labels) + 1})")
    return labels


def _title(labels: list[str]) -> str:
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")  # noqa: PLR2004


def _implementation(one: ResultsData, label: str, only: frozenset[str]) -> dict[str, Any]:
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
    verdict, tone = _verdict(label, cases, counts, complete=complete)
    return {
        "label": label,
        "language": one_line(info.language or "", 80),
        "version": one_line(info.version or "", 80),
        "dtype": info.dtype,
        "command": one_line(info.command or "", 500),
        "reproduce": f"backprop-check run {shlex.quote(one_line(info.command, 2000))}" if info.command else "",
        "harness": {key: value for key, value in known.items() if value is not None},
        "verdict": verdict,
        "tone": tone,
        "counts": counts,
        "fails": sum(counts[key] for key in FAILING),
        "complete": complete,
        "neurons": sum(case.neurons_checked for case in cases),
        "values": sum(case.values_checked for case in cases),
        "notes": [clean_text(note, 1000) for note in (one.notes or [])[:50]],
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


def _verdict(label: str, cases: list[CaseResult], counts: dict[str, int], *, complete: bool) -> tuple[str, str]:
    """What came out, in a sentence, and whether it is good."""
    failed = sum(counts[key] for key in FAILING)
    sent = len(cases) - counts["not_applicable"]
    unfinished = "" if complete else " The run was not finished."
    if failed:
        what = "case fails" if failed == 1 else "cases fail"
        return f"{label} does not compute backpropagation right: {failed:,} of {sent:,} {what}.{unfinished}", "bad"
    if not counts["passed"]:
        return f"Nothing was judged: {label} supports none of these cases.{unfinished}", "none"
    values, neurons = sum(case.values_checked for case in cases), sum(case.neurons_checked for case in cases)
    right = "the one case" if counts["passed"] == 1 else f"all {counts['passed']:,} cases"
    return (
        (
            f"{label} computes {right} right: {values:,} values of {neurons:,} neurons are within what rounding allows."
            f"{unfinished}"
        ),
        "good" if complete else "none",
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


def _without_script(read: list[ResultsData]) -> list[tuple[str, str]]:
    """What a reader without JavaScript gets: the first failing cases in a sentence each."""
    failing = [case for one in read for case in one.cases if case.outcome in FAILING]
    return [(one_line(case.id, 300), clean_text(case.message, 300)) for case in failing[:20]]


@functools.cache
def _shipped() -> dict[str, str]:
    """The suite of each case that the package ships, by id."""
    return {file.case.id: suite for suite in SUITES if suite != "generated" for file in suite_files(suite)}


@functools.cache
def _asset(name: str) -> str:
    """A script or style without what only its authors read: comments on lines of their own, and indentation."""
    text = (resources.files("backprop_check.report.html") / "assets" / name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

"""The HTML page: reads results files, returns bytes. The same results give the same bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.errors import ELSEWHERE, ResultsError
from backprop_check.protocol.text import clean_text, one_line
from backprop_check.report.html.about import OUTCOMES, causes_of, implementation, labels_of, title_of
from backprop_check.report.html.detail import detail
from backprop_check.report.html.glossary import GLOSSARY
from backprop_check.report.html.maths import Sentences, share_of_page
from backprop_check.report.html.packing import CODES, SIGNS
from backprop_check.report.html.read import FAILING, ResultsData, checked, embedded, read_file, suite_of
from backprop_check.report.html.sheets import ROOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backprop_check.report.html.read import CaseResult

#: The scripts, in the order of the page.
SCRIPTS = ("dom.js", "data.js", "diagram.js", "neuron.js", "cases.js", "overview.js", "app.js")

#: Up to ``FULL`` bytes, cases are embedded with all their numbers; up to ``MOST`` with fewer; beyond that with none.
FULL, MOST = 5_000_000, 6_200_000

_LITTLE_ROOM = 2_500


def render(results: Sequence[dict[str, Any]], *, only: Iterable[str] = ()) -> bytes:
    """One page for one or several results files (parsed JSON); ``only`` the cases with these ids, if any are given.

    Raises ``ResultsError`` with one sentence where something is not a results file, or a case of ``only`` is missing.
    """
    if not results:
        raise ResultsError("nothing-to-report", "there are no results to report", "give at least one results file")
    several = len(results) > 1
    read = [checked(one, f"results file {n + 1}" if several else "the results") for n, one in enumerate(results)]
    return _page(read, frozenset(only))


def write_report(
    paths_in: Sequence[Path | str],
    path_out: Path | str,
    *,
    only: Iterable[str] = (),
    say: Callable[[str], None] | None = None,
) -> Path:
    """Read results files and write the page; returns its path.

    The file is replaced as a whole, so it is never half written. ``say`` is called with a sentence for each run that
    was not finished. Raises ``ResultsError`` where a file cannot be read or the page cannot be written.
    """
    out = Path(path_out)
    read = [checked(read_file(Path(path)), str(path)) for path in paths_in]
    for path, one in zip(paths_in, read, strict=True):
        if say is not None and one.summary.get("complete") is False:
            results = f"{len(one.cases)} result{'s' if len(one.cases) != 1 else ''}"
            say(f"{path} is unfinished: the run ended after {results}; run --resume continues it")
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
        cause = f"the report {out} cannot be written: {why}"
        raise ResultsError("report-not-written", cause, ELSEWHERE, "; ") from None
    return out


def _page(read: list[ResultsData], only: frozenset[str]) -> bytes:
    import jinja2  # noqa: PLC0415 - only where a page is made
    import markupsafe  # noqa: PLC0415

    if only:
        known = {case.id for one in read for case in one.cases}
        if missing := sorted(only - known):
            cause = f"there is no case {one_line(missing[0], 100)} in these results"
            raise ResultsError("case-not-in-results", cause)
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
    labels = labels_of(read)
    columns: dict[str, list[Any]] = {
        key: [] for key in ("id", "impl", "suite", "out", "cause", "count", "first", "msg", "sec", "vals", "neu", "det")
    }
    details: list[str] = []
    sentences = Sentences()
    used: list[str] = []
    size = reduced = bare = 0
    mathematics = share_of_page(sum(case.outcome in FAILING for one in read for case in one.cases))
    for number, one in enumerate(read):
        causes = causes_of(one)
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
                dtype = one.implementation.dtype
                found = detail(case, dtype, one.harness, room, sentences, mathematics) if size < MOST else {}
                text = embedded(found)
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
        "title": title_of(labels),
        "impls": [implementation(one, label, only) for one, label in zip(read, labels, strict=True)],
        "suites": order,
        "outcomes": [[key, words, key in FAILING] for key, words in OUTCOMES.items()],
        "cases": columns,
        "says": sentences.to_list(),
        "signs": SIGNS,
        "codes": CODES[: len(SIGNS)],
        "glossary": GLOSSARY,
        "left": {"reduced": reduced, "bare": bare},
    }
    return index, details


def _bare(case: CaseResult) -> dict[str, Any]:
    """What is embedded of a failing case once the page has become too large."""
    return {
        "why": "This page holds so many failing cases that this one's numbers were left out. "
        f"To see them: backprop-check report RESULTS --case {one_line(case.id, 300)} --html case.html",
        "count": case.mismatch_count or len(case.mismatches or ()),
        "others": [],
        "unlisted": len(case.mismatches or ()),
        "notes": [clean_text(note, 300) for note in (case.notes or [])[:3]],
    }


def _first(case: CaseResult) -> list[int]:
    """Layer, neuron and sample of the first wrong value, if it belongs to a neuron."""
    first = case.first_wrong
    if first is None or first.layer is None or first.neuron is None:
        return []
    return [first.layer, first.neuron, *([] if first.sample is None else [first.sample])]


def _without_script(read: list[ResultsData]) -> list[tuple[str, str]]:
    """What a reader without JavaScript sees: a sentence for each of the first failing cases."""
    failing = [case for one in read for case in one.cases if case.outcome in FAILING]
    return [(one_line(case.id, 300), clean_text(case.message, 300)) for case in failing[:20]]


@functools.cache
def _shipped() -> dict[str, str]:
    """The suite of each shipped case, by id."""
    return {file.case.id: suite for suite in SUITES if suite != "generated" for file in suite_files(suite)}


@functools.cache
def _asset(name: str) -> str:
    """A script or style sheet without comment lines and indentation."""
    text = (resources.files("backprop_check.report.html") / "assets" / name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

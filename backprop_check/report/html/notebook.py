"""Results in a notebook: the verdict, the counts, the first failures, in one small piece of HTML."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from backprop_check.protocol.text import clean_text, one_line

#: So many failing cases are shown.
SHOWN: Final = 5

_BOX = "font:14px/1.5 system-ui,sans-serif;border:1px solid #8886;border-left:5px solid {0};border-radius:8px;"
_BOX += "padding:.7em 1em;max-width:60em"
_CELL = "font:inherit;text-align:left;padding:.2em .8em .2em 0;vertical-align:top"
_COLOURS = {"bad": "#c8234d", "good": "#17703c", "none": "#7f8b9b"}
_SIGNS = {"bad": "✕", "good": "✓", "none": "–"}


def summary_html(results: Any) -> str:
    """A compact summary of ``Results`` (its ``cases``, ``failed`` and ``summary``), safe to put into any page.

    Styles stand in the elements, since notebooks drop style sheets; whatever an implementation said is escaped.
    """
    summary, failed = results.summary, results.failed
    counts = summary.counts
    if failed:
        tone = "bad"
        fail = "case fails" if len(failed) == 1 else "cases fail"
        verdict = f"{len(failed):,} of {summary.cases:,} {fail}"
    elif counts["passed"]:
        tone = "good"
        verdict = (
            f"All {counts['passed']:,} cases are right: {summary.values_checked:,} values of "
            f"{summary.neurons_checked:,} neurons are within what rounding allows"
        )
    else:
        tone, verdict = "none", "Nothing was judged: the implementation supports none of these cases"
    parts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    rows = "".join(_row(case) for case in failed[:SHOWN])
    table = ""
    if rows:
        heads = "".join(f'<th scope="col" style="{_CELL}">{head}</th>' for head in ("case", "outcome", "what is wrong"))
        table = f'<table style="font:inherit;border-collapse:collapse;margin-top:.5em"><tr>{heads}</tr>{rows}</table>'
    more = f"<div>… and {len(failed) - SHOWN:,} more</div>" if len(failed) > SHOWN else ""
    return (
        f'<div style="{_BOX.format(_COLOURS[tone])}"><strong>{_SIGNS[tone]} {escape(verdict)}.</strong>'
        f"<div>{escape(parts)}</div>{table}{more}</div>"
    )


def _row(case: Any) -> str:
    diagnosis = ", ".join(one_line(name, 60) for name in case.diagnosis)
    texts = (one_line(case.id, 80), case.outcome.replace("_", " "), clean_text(case.message, 200))
    cells = [escape(text) for text in texts]
    if diagnosis:
        cells[2] = f"<b>{escape(diagnosis)}</b>: {cells[2]}"
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"

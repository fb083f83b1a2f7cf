"""Results in a notebook: the verdict, causes, counts and first failures in a small piece of HTML."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from backprop_check.protocol.text import clean_text, one_line
from backprop_check.report.html.about import OUTCOMES, implementation
from backprop_check.report.html.read import FAILING, CaseResult, checked

#: The most causes and failing cases that are shown.
SHOWN: Final = 5

_BOX = "font:14px/1.5 system-ui,sans-serif;border:1px solid #8886;border-left:5px solid {0};border-radius:8px;"
_BOX += "padding:.7em 1em;max-width:60em"
_CELL = "font:inherit;text-align:left;padding:.2em .8em .2em 0;vertical-align:top"
_COLOURS = {"bad": "#c8234d", "good": "#17703c", "none": "#7f8b9b"}
_SIGNS = {"bad": "✕", "good": "✓", "none": "–"}


def summary_html(results: Any) -> str:
    """A compact summary of results (parsed, as in a results file, or an object with ``to_dict()``).

    It is safe in any page: every text of an implementation is escaped. Styles are attributes of the elements, because
    notebooks drop style sheets. Raises ``ResultsError`` where ``results`` is no results file.
    """
    read = checked(results.to_dict() if hasattr(results, "to_dict") else results)
    about = implementation(read, one_line(read.implementation.name, 60) or "the implementation", frozenset())
    failed = [case for case in read.cases if case.outcome in FAILING]
    parts = ", ".join(f"{about['counts'][key]:,} {words}" for key, words in OUTCOMES.items() if about["counts"][key])
    causes = "".join(_cause(cause) for cause in about["causes"][:SHOWN])
    rows = "".join(_row(case) for case in failed[:SHOWN])
    table = ""
    if rows:
        heads = "".join(f'<th scope="col" style="{_CELL}">{head}</th>' for head in ("case", "outcome", "what is wrong"))
        table = f'<table style="font:inherit;border-collapse:collapse;margin-top:.5em"><tr>{heads}</tr>{rows}</table>'
    more = f"<div>… and {len(failed) - SHOWN:,} more</div>" if len(failed) > SHOWN else ""
    return (
        f'<div style="{_BOX.format(_COLOURS[about["tone"]])}"><strong>{_SIGNS[about["tone"]]} '
        f"{escape(about['verdict'])}</strong><div>{escape(parts)}</div>{causes}{table}{more}</div>"
    )


def _cause(cause: dict[str, Any]) -> str:
    sentence = escape(cause.get("sentence") or cause.get("title") or "no name fits")
    code = f" <code>{escape(cause['code'])}</code>" if "code" in cause else ""
    lines = "".join(
        f"<div>{sign} <i>{escape(cause[key])}</i></div>"
        for sign, key in (("right:", "right"), ("as implemented:", "implemented"))
        if key in cause
    )
    return f'<div style="margin-top:.4em"><b>{sentence}</b>{code}{lines}</div>'


def _row(case: CaseResult) -> str:
    texts = (one_line(case.id, 80), OUTCOMES[case.outcome], clean_text(case.message, 200))
    return "<tr>" + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in texts) + "</tr>"

"""An explanation as one HTML page: a picture of the network, and the steps, which the arrow keys move through.

The page is self-contained: it includes its style and script, and its security policy allows only these two, by their
hashes. Without a script it shows all steps below each other.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from backprop_check.explain.layout import (
    chain_lines,
    compared_line,
    equation_lines,
    heading,
    introduction,
    term_lines,
    where,
)
from backprop_check.explain.picture import is_wide, marks, picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.explain.comparing import Compared
    from backprop_check.explain.explanation import Explanation


def as_html(explanation: Explanation, digits: int = 6) -> str:
    """The page as HTML."""
    title = explanation.title or explanation.case
    main = f"""<main{' class="broad"' if is_wide(explanation) else ""}>
<section class="picture">
{picture(explanation)}
<nav hidden aria-label="Steps">
<button id="back" type="button">← back</button>
<button id="on" type="button">on →</button>
<button id="all" type="button">all steps</button>
<span id="where" role="status"></span>
</nav>
</section>
<section aria-live="polite">
{chr(10).join(_articles(explanation, digits))}
{f"<p>{escape(explanation.left_out)}</p>" if explanation.left_out else ""}
</section>
</main>"""
    return framed(
        f"{title}: backpropagation with its numbers", title, introduction(explanation), main, _part("page.js")
    )


def framed(title: str, heading: str, intro: Iterable[str], main: str, script: str = "") -> str:
    """A whole page in this style. The texts are escaped here; ``main`` is markup."""
    style = _part("page.css")
    allowed = f"style-src '{_hash(style)}'" + (f"; script-src '{_hash(script)}'" if script else "")
    paragraphs = "\n".join(f"<p>{escape(text)}</p>" for text in intro)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {allowed}; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(heading)}</h1>
{paragraphs}
</header>
{main}
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _part(name: str) -> str:
    return resources.files("backprop_check.explain").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _articles(explanation: Explanation, digits: int) -> Iterator[str]:
    rounds = any(step.round for step in explanation.steps)
    batch = explanation.samples > 1
    pairs = zip(explanation.steps, explanation.compared or itertools.repeat(None), strict=False)
    for step, compared in pairs:
        place = where(step)
        number = f" <small>{step.equation}</small>" if step.equation else ""
        title = f"{heading(step, rounds=rounds)}, {step.stage}{f', {place}' if place else ''}"
        formulas = [*equation_lines(step, digits), *(f"  {text}" for text in term_lines(step, digits))]
        formulas += chain_lines(step, digits, batch=batch)
        own, used = marks(step)
        notes = "".join(f'<p class="general">{escape(note)}</p>' for note in step.notes)
        yield (
            f'<article data-own="{own}" data-used="{used}"><h2>{escape(title)}{number}</h2>'
            f'<p>{escape(step.sentence)}</p><p class="general">{escape(step.formula)}</p>'
            f"<pre>{escape(chr(10).join(formulas))}</pre>{notes}{_compared(compared, digits)}</article>"
        )


def _compared(compared: Compared | None, digits: int) -> str:
    if compared is None:
        return ""
    line = compared_line(compared, digits)
    return f'<p class="{line.kind}">{escape(line.text)}</p>'

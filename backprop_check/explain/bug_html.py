"""The page of a named bug as HTML, in the style of the other pages of ``explain``."""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING

from backprop_check.explain.bug import demonstration, formulas, named_bug, sections
from backprop_check.explain.page import framed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.diagnose.bug import Bug

#: The sections that are code and keep their line breaks.
_CODE = ("Example",)


def bug_html(name: str, digits: int = 6) -> str | None:
    """The whole page, self-contained; None where ``name`` is no bug.

    Raises ``ConfigurationError`` for a code that the catalogue does not have.
    """
    bug = named_bug(name)
    if bug is None:
        return None
    articles = "\n".join(f"<article>{article}</article>" for article in _articles(bug, digits))
    main = f'<main class="broad">\n<section>\n{articles}\n</section>\n</main>'
    title = f"{bug.code} {bug.title}"
    return framed(f"{title}: a bug of backpropagation", title, [bug.sentence, f"In short: {bug.name}"], main)


def _articles(bug: Bug, digits: int) -> Iterator[str]:
    told = [f'<p class="{"right" if label == "right" else "wrong"}">{label}:</p><pre>{escape(formula)}</pre>'
            for label, formula in formulas(bug)]  # fmt: skip
    yield f"<h2>The formula</h2>{''.join(told)}"
    lines = [line for line in demonstration(bug, digits) if line]
    if lines:
        numbers = textwrap.dedent("\n".join(lines[1:]))
        yield f"<h2>{escape(lines[0].strip())}</h2><pre>{escape(numbers)}</pre>"
    for title, text in sections(bug):
        body = escape(text.strip("\n"))
        yield f"<h2>{escape(title)}</h2>" + (f"<pre>{body}</pre>" if title in _CODE else f"<p>{body}</p>")

"""Results as one HTML page that opens anywhere, offline: the network, the neuron, its mathematics.

- ``read``: results files of strangers, checked once, turned into types
- ``detail``: a failing case worked out again, so that every neuron shows expected, got, error, allowed
- ``body``, ``sheets``: what of it stands in the page, and how it is drawn
- ``maths``: its formulas with numbers, as the explanation tells them; ``glossary``: the words
- ``page``: all of it as bytes; the same results give the same bytes
- ``notebook``: the short form
"""

from __future__ import annotations

from typing import Any

__all__ = ["render", "summary_html", "write_report"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: jinja2 and numpy only where a report is written."""
    if name in ("render", "write_report"):
        from backprop_check.report.html import page  # noqa: PLC0415

        return getattr(page, name)
    if name == "summary_html":
        from backprop_check.report.html.notebook import summary_html  # noqa: PLC0415

        return summary_html
    raise AttributeError(name)

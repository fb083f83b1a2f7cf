"""Results as one self-contained HTML page: the network, the neuron, its mathematics.

- ``read``: untrusted results files, checked once and turned into types
- ``detail``: a failing case computed again, so that every neuron shows expected, got, error, allowed
- ``body``, ``sheets``: which of its numbers the page contains, and how they are drawn
- ``maths``: its formulas with numbers, as in an explanation; ``glossary``: the terms
- ``page``: everything as bytes; the same results give the same bytes
- ``notebook``: the short form
"""

from __future__ import annotations

from typing import Any

__all__ = ["render", "summary_html", "write_report"]


def __getattr__(name: str) -> Any:
    """Import a function when it is first used: jinja2 and numpy are loaded only where a report is written."""
    if name in ("render", "write_report"):
        from backprop_check.report.html import page  # noqa: PLC0415

        return getattr(page, name)
    if name == "summary_html":
        from backprop_check.report.html.notebook import summary_html  # noqa: PLC0415

        return summary_html
    raise AttributeError(name)

"""Making text from an implementation safe and short enough to show.

An implementation's name, its error messages and its output can contain terminal escapes and
right-to-left overrides, and can be megabytes long.  Show it only through ``clean_text``.
"""

from __future__ import annotations

import re

# Control characters (C0 except tab and newline, DEL, C1), characters that reorder or hide text (bidirectional
# marks, embeddings and isolates, line and paragraph separators, zero-width space and BOM,
# annotations, tags), and halves of surrogate pairs, which cannot be encoded.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]",
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code <= 0xFF:  # noqa: PLR2004 (the widths of Python's own escapes)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def clean_text(text: str, limit: int = 2000) -> str:
    r"""Make untrusted text safe to show: characters that could act on a terminal become escapes.

    Newlines and tabs stay; other control characters (and so ANSI escapes), bidirectional overrides,
    invisible characters and unpaired surrogates become ``\x1b``, ``\u202e``, ``\ud800``.  Text of more
    than ``limit`` characters is cut, with a note of how many are missing.  The result is plain text: code that
    writes HTML or rich markup must escape it like any other text.
    """
    shown = _UNSAFE.sub(_visible, text[:limit].replace("\r\n", "\n"))
    rest = len(text) - limit
    return f"{shown}… ({rest} characters more)" if rest > 0 else shown


def one_line(text: str, limit: int = 200) -> str:
    r"""``clean_text`` for the middle of a sentence: newlines and tabs are shown as ``\n`` and ``\t`` too."""
    return clean_text(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def both_ends(text: str, limit: int = 4000) -> str:
    """``clean_text`` for a log or a traceback; the middle of a long one is left out.

    Both ends are kept because the innermost call is last in some languages and first in others.
    """
    left = len(text) - limit
    if left <= 0:
        return clean_text(text, limit)
    half = limit // 2
    return f"{clean_text(text[:half])}\n… ({left} characters left out)\n{clean_text(text[-half:])}"

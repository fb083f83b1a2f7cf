"""Readable ASCII for a standard output whose encoding has no δ and no Σ.

A Windows console, a CI server and ``LANG=C`` may give Python an output in cp1252 or ASCII, where ``print("δ")`` raises
``UnicodeEncodeError``. ``readable_streams`` puts ``PlainStream`` in front of such an output. Files are always UTF-8.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

#: Characters that are written as words, with a space where a letter or a digit would touch the word.
WORDS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "Δ": "Delta", "ε": "eps", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "Σ": "sum", "τ": "tau",
    "Π": "product", "φ": "phi", "Φ": "Phi", "ψ": "psi", "ω": "omega", "√": "sqrt", "∞": "inf",
}  # fmt: skip

#: Characters that are replaced by these texts, without a space.
SIGNS = {
    "∂": "d", "′": "'", "\u0302": "_hat", "\u0304": "_bar", "−": "-", "–": "-", "—": "-", "…": "...", "·": "*",
    "×": "x", "÷": "/", "±": "+/-", "½": "1/2", "¼": "1/4", "≠": "!=", "≤": "<=", "≥": ">=", "≫": ">>", "⊙": "*",
    "∘": "o", "⋮": ":", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "⟨": "<", "⟩": ">", "◀": "<", "✓": "ok",
    "✕": "x", "ℓ": "l", "←": "<-", "→": "->", "•": "*", "’": "'", "‘": "'", "“": '"', "”": '"', "§": "section ",
    "▌": "|", "\u00a0": " ", "\ufffd": "?",
}  # fmt: skip

SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx", strict=True))
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃⁱʲᵏˡⁿᵗˣᶻᴸᵀ", "0123456789+-=()aijklntxzLT", strict=True))

_RUN = re.compile(f"[{''.join(SUBSCRIPTS)}]+|[{''.join(SUPERSCRIPTS)}]+")
_HORIZONTAL, _VERTICAL = "─━┄┅┈┉═╌╍╴╶╸╺╼╾▁▔", "│┃┆┇┊┋║╎╏╵╷╹╻"
_BOXES = range(0x2500, 0x2580)
_SPINNER = range(0x2800, 0x2900)


def plain(text: str, encoding: str) -> str:
    r"""``text`` with characters that ``encoding`` lacks replaced by ASCII; an index or exponent is replaced as a whole.

    ``δⱼ⁽²⁾`` becomes ``delta_j^(2)``. A character without a readable form becomes an escape such as ``\u4e2d``.
    """
    if not _lacks(encoding, text):
        return text
    return _letters(_RUN.sub(lambda match: _index(match.group(), encoding), text), encoding)


def _index(run: str, encoding: str) -> str:
    if not _lacks(encoding, run):
        return run
    table, sign = (SUBSCRIPTS, "_") if run[0] in SUBSCRIPTS else (SUPERSCRIPTS, "^")
    return sign + "".join(table[character] for character in run)


def _letters(text: str, encoding: str) -> str:
    parts: list[str] = []
    touching = False  # the last part is a word, which a letter must not touch
    for character in text:
        if not _lacks(encoding, character):
            parts.append(f" {character}" if touching and character.isalnum() else character)
            touching = False
        elif character in WORDS:
            before = parts[-1][-1:] if parts else ""
            space = " " if touching or (before.isalnum() and parts[-1] != SIGNS["∂"]) else ""
            parts.append(space + WORDS[character])
            touching = True
        else:
            parts.append(_sign(character))
            touching = False
    return "".join(parts)


def _sign(character: str) -> str:
    if character in SIGNS:
        return SIGNS[character]
    if ord(character) in _BOXES or character in _HORIZONTAL:
        return "-" if character in _HORIZONTAL else "|" if character in _VERTICAL else "+"
    if ord(character) in _SPINNER:
        return "*"
    base = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return base or character.encode("ascii", "backslashreplace").decode("ascii")


def _lacks(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return True
    return False


class PlainStream:
    """Wraps an output whose encoding lacks characters: text is made ``plain`` before it is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lacking = stream, stream.encoding
        self._equals: tuple[int, int] | None = None
        """The column of the first = in the line above: in its text, and as it was written."""

    @property
    def encoding(self) -> str:
        """The output's encoding; for ASCII a larger one, since click takes ASCII for a mistake and writes UTF-8."""
        return "iso8859-1" if codecs.lookup(self._lacking).name == "ascii" else self._lacking

    def plain(self, text: str) -> str:
        """The text as it will stand in the output."""
        return plain(text, self._lacking)

    def write(self, text: str) -> int:
        """Write the text, made plain. Raises ``TypeError`` for bytes: click tests so what an output accepts."""
        if not isinstance(text, str):
            msg = f"expected a text, got an object of type {type(text).__name__}"
            raise TypeError(msg)
        return self._stream.write("".join(self._aligned(line) for line in text.splitlines(keepends=True)))

    def _aligned(self, line: str) -> str:
        """A line made plain; if it continues an equation, its = stays below the = of the line above."""
        at = line.find("=")
        if at < 0:
            self._equals = None
            return self.plain(line)
        left = self.plain(line[:at])
        if self._equals is not None and self._equals[0] == at and (at == 0 or line[:at].endswith("  ")):
            left = left.ljust(self._equals[1])
        self._equals = at, len(left)
        return left + self.plain(line[at:])

    def __getattr__(self, name: str) -> Any:
        """Everything else is delegated to the wrapped output."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def readable_streams() -> Iterator[None]:
    """Put a ``PlainStream`` in front of standard output and error, where their encoding is not a Unicode one."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _readable(sys.stdout), _readable(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _readable(stream: TextIO) -> TextIO:
    # Standard output is None where it was closed before the start.
    encoding = getattr(stream, "encoding", None)
    if encoding is None or codecs.lookup(encoding).name.startswith("utf"):
        return stream
    return cast("TextIO", PlainStream(stream))


def shown_on(console: Console, text: str) -> str:
    """The text as the console will show it; tables need it to measure the width of their columns."""
    return console.file.plain(text) if isinstance(console.file, PlainStream) else text

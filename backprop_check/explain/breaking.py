"""Long formulas broken into lines between the terms of a sum; the middle of very long sums is left out."""

from __future__ import annotations

#: The longest formula that is kept on one line.
LONGEST = 160

#: The width of the lines of a longer one.
_WIDTH = 100

#: The most lines; of more, the first few and the last are shown.
_LINES = 5

_OPENING, _CLOSING = "([⟨", ")]⟩"


def broken(text: str, room: int = LONGEST) -> list[str]:
    """A formula as a list of lines; each but the first begins with the + or − of its first term.

    A formula of at most ``room`` characters stays on one line. Sums in parentheses are broken only where a term is
    longer than a line.
    """
    if len(text) <= room:
        return [text]
    pieces = []
    for piece in _split(text, within=False):
        pieces += _split(piece, within=True) if len(piece) > _WIDTH else [piece]
    lines: list[list[str]] = []
    for piece in pieces:
        if lines and sum(map(len, lines[-1])) + len(lines[-1]) + len(piece) <= _WIDTH:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    if len(lines) > _LINES:
        first, last = lines[: _LINES - 2], lines[-1]
        # Terms that were left out before count among those left out here.
        count = sum(map(_counted, (piece for line in lines[_LINES - 2 : -1] for piece in line)))
        lines = [*first, [f"+ … {count} more terms …"], last]
    return [" ".join(line) for line in lines]


def _counted(piece: str) -> int:
    """How many terms a piece stands for: one, or the number in ``… (12 more)``."""
    words = piece.split()
    return int(words[2].strip("()")) if words[1:2] == ["…"] and words[2:] else 1


def _split(text: str, *, within: bool) -> list[str]:
    """The terms, each but the first with its sign; with ``within``, also the terms in parentheses."""
    pieces, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if character in "+−" and text[at - 1 : at] == " " and text[at + 1 : at + 2] == " " and (within or not depth):
            pieces.append(text[start : at - 1])
            start = at
    return [*pieces, text[start:]]

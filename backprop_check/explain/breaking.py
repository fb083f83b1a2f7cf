"""Long formulas in lines: broken between the terms of a sum, with the middle left out where there are very many."""

from __future__ import annotations

#: A formula that is no longer stands on one line.
LONGEST = 160

#: So wide are the lines of one that is longer.
_WIDTH = 100

#: Of more lines than this, the first few and the last are shown.
_LINES = 5

_OPENING, _CLOSING = "([⟨", ")]⟩"


def broken(text: str, room: int = LONGEST) -> list[str]:
    """A formula in lines; each but the first begins with the + or − of its first term.

    ``room`` is how long it may be to stay on one line. Sums within parentheses are broken only where a term between two
    signs is longer than a line.
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
        # A middle that was left out already is told with what is left out here.
        count = sum(map(_counted, (piece for line in lines[_LINES - 2 : -1] for piece in line)))
        lines = [*first, [f"+ … {count} more terms …"], last]
    return [" ".join(line) for line in lines]


def _counted(piece: str) -> int:
    """How many terms a piece stands for: one, or those that ``… (12 more)`` left out."""
    words = piece.split()
    return int(words[2].strip("()")) if words[1:2] == ["…"] and words[2:] else 1


def _split(text: str, *, within: bool) -> list[str]:
    """The terms, each but the first with its sign before it; ``within``: also those in parentheses."""
    pieces, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if character in "+−" and text[at - 1 : at] == " " and text[at + 1 : at + 2] == " " and (within or not depth):
            pieces.append(text[start : at - 1])
            start = at
    return [*pieces, text[start:]]

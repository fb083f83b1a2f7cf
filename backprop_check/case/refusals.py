"""Turns msgspec's error messages into errors of a case: the JSON path, what was expected, and what was found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from backprop_check.errors import CaseError
from backprop_check.fields import Count, at_least, items

if TYPE_CHECKING:
    Inputs = int  # for type checkers: most networks read a vector
else:
    Inputs = Annotated[int, at_least(1, "input")] | Annotated[tuple[Count, ...], items(1, of="input")]


_EXPECTED = re.compile(r"Expected (?P<expected>.*?)(?:, got (?P<got>.*?))?(?: - at `(?P<path>.*)`)?$")


_OTHER = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)


def case_error(error: Exception, source: str | None = None) -> CaseError:
    """msgspec's message as a ``CaseError`` with path, expected and got; the error is returned, not raised."""
    text = str(error) or type(error).__name__
    found = _EXPECTED.match(text)
    if found:
        expected, got = (
            found["expected"].replace("`", ""),
            (found["got"] or "something else").replace("`", ""),
        )
        return CaseError(found["path"] or "$", expected, got, source)
    other = _OTHER.match(text)
    what, path = (other["what"], other["path"]) if other else (text, None)
    return CaseError(path or "$", "a case as the protocol describes it", what.replace("`", "'"), source)

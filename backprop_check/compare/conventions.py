"""Conventions: an implementation's choices at kinks, where several are correct; a run reports each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """A choice that differs from PyTorch's: ``where`` (``relu at 0``), the implementation's choice, and PyTorch's.

    At a kink a choice is a slope, at a tie a word: ``first``, ``last``, ``even``. ``taken`` is None where the choice is
    not the same everywhere, or cannot be derived from the reply. ``sentence`` is a description.
    """

    where: str
    taken: float | str | None
    pytorch: float | str
    sentence: str


class Conventions:
    """The conventions of a run, each with the number of cases in which it shows."""

    def __init__(self) -> None:
        self._cases: dict[Convention, int] = {}

    def add(self, found: Iterable[Convention], times: int = 1) -> None:
        """Count the conventions of one case; ``times`` = −1 takes them back."""
        for each in found:
            self._cases[each] = self._cases.get(each, 0) + times

    def to_list(self) -> list[dict[str, Any]]:
        """The conventions in the form of the results file, sorted by place."""
        found = [(each, cases) for each, cases in self._cases.items() if cases > 0]
        found.sort(key=lambda pair: (pair[0].where, str(pair[0].taken), str(pair[0].pytorch)))
        return [{**msgspec.to_builtins(each), "cases": cases} for each, cases in found]


def convention_line(one: dict[str, Any]) -> str:
    """One entry of ``to_list`` as a line of text."""
    cases = one["cases"]
    return f"{one['sentence']} ({cases} {'case' if cases == 1 else 'cases'}). Both are correct; --kinks pytorch insists"

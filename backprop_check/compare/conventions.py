"""What an implementation takes at a kink, where several choices are correct: a convention, told once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """Another choice than PyTorch's: ``where`` (``relu at 0``), and what is taken there, here and by PyTorch.

    At a kink these are slopes, at a tie words: ``first``, ``last``, ``even``. ``taken`` is None where it is not the
    same everywhere, or cannot be told from what was reported. ``sentence`` says it in words.
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
        """Count those of one case; take them back with −1."""
        for each in found:
            self._cases[each] = self._cases.get(each, 0) + times

    def to_list(self) -> list[dict[str, Any]]:
        """As in the results file, in the order of the places."""
        found = [(each, cases) for each, cases in self._cases.items() if cases > 0]
        found.sort(key=lambda pair: (pair[0].where, str(pair[0].taken), str(pair[0].pytorch)))
        return [{**msgspec.to_builtins(each), "cases": cases} for each, cases in found]


def told(one: dict[str, Any]) -> str:
    """One of ``to_list`` in a line."""
    cases = one["cases"]
    return f"{one['sentence']} ({cases} {'case' if cases == 1 else 'cases'}). Both are correct; --kinks pytorch insists"

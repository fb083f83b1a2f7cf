"""The cases of a run: those cases of the chosen suites that an implementation supports, by position."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from backprop_check.cases.files import SUITES, refuse_unknown, suite_files
from backprop_check.cases.suites import GENERATED, generated_count
from backprop_check.cases.within import LEVEL_1, Within
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.case.network import Case


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of a run: those of ``suites`` (all by default), or only those with these ``numbers``.

    ``count`` is the number of generated cases, ``within`` what the implementation supports.
    """

    suites: tuple[str, ...] = ()
    count: int = 200
    seed: int = 0
    numbers: tuple[int, ...] | None = None
    within: Within = LEVEL_1

    def only(self, names: Sequence[str]) -> Plan:
        """The plan reduced to cases with these ids or names; unchanged where none is given.

        Raises ``ConfigurationError`` for a case that is not in the plan.
        """
        if not names:
            return self
        wanted, seen, found = set(names), set(), []
        for number, case in enumerate(self.cases()):
            if case.id in wanted or case.name in wanted:
                seen |= {case.id, case.name}
                found.append(number)
        missing = sorted(wanted - seen)
        if missing:
            cause = f"there is no case {missing[0]!r} among those selected"
            raise ConfigurationError("case-not-selected", cause, "backprop-check cases lists them")
        return msgspec.structs.replace(self, numbers=tuple(found))

    def __len__(self) -> int:
        if self.numbers is not None:
            return len(self.numbers)
        return sum(map(self._size, self._suites()))

    def cases(self) -> Iterator[Case]:
        """All cases, each generated on demand."""
        return map(self.case, range(len(self)))

    def case(self, position: int) -> Case:
        """The case at a position. It depends only on the seed and the case's number."""
        suite, number = self._place(position)
        files = _files(suite)
        if number < len(files):
            return files[number]
        return GENERATED[suite].case(number - len(files), self.seed, self.within)

    def label(self, position: int) -> str:
        """A text that identifies the case at a position, without generating it."""
        suite, number = self._place(position)
        files = _files(suite)
        if number < len(files):
            return files[number].id
        return GENERATED[suite].label(number - len(files), self.seed, self.within)

    def suite(self, position: int) -> str:
        """The suite of the case at a position."""
        return self._place(position)[0]

    def _place(self, position: int) -> tuple[str, int]:
        """The suite of a position, and the number of the case within it. Raises ``IndexError`` beyond the last."""
        number = position if self.numbers is None else self.numbers[position]
        for suite in self._suites():
            if number < self._size(suite):
                return suite, number
            number -= self._size(suite)
        raise IndexError(position)

    def _size(self, suite: str) -> int:
        """The number of cases of a suite: 0 where nothing of it is claimed."""
        made = GENERATED.get(suite)
        if made is not None and not made.claimed(self.within):
            return 0
        able = made is not None and made.able(self.within)
        return len(_files(suite)) + generated_count(suite, self.count) * able

    def without_cases(self) -> list[str]:
        """The suites for which no case can be generated although the implementation claims something of them."""
        chosen = [(suite, GENERATED[suite]) for suite in self._suites() if suite in GENERATED]
        return [suite for suite, made in chosen if made.claimed(self.within) and not made.able(self.within)]

    def notes(self) -> list[str]:
        """Notes for the results: which suites have no generated cases, and why."""
        empty = self.without_cases()
        if not empty or not self.count or self.numbers is not None:
            return []
        text = (
            f"no case could be generated for the suites {', '.join(empty)}: the layers, activations and losses that "
            "the implementation claims cannot be combined there"
        )
        return [text]

    def _suites(self) -> list[str]:
        return [suite for suite in SUITES if not self.suites or suite in self.suites]


class Listed(msgspec.Struct, frozen=True):
    """A fixed list of cases, in the place of a plan."""

    cases: tuple[Case, ...]

    def __len__(self) -> int:
        return len(self.cases)

    def case(self, position: int) -> Case:
        """The case at a position."""
        return self.cases[position]

    def label(self, position: int) -> str:
        """The id of the case, which identifies its content."""
        return self.cases[position].id


def select_cases(
    suites: Sequence[str] = (), count: int = 200, seed: int = 0, within: Within = LEVEL_1
) -> Iterator[Case]:
    """The cases of the named suites (all by default), published ones first; ``count`` cases are generated.

    A suite is included where the implementation claims anything of it. A suite asked for by name is complete where
    nothing beyond level 1 is claimed.

    Raises ``ConfigurationError`` for an unknown suite.
    """
    refuse_unknown(*suites)
    for suite in SUITES:
        if not suites or suite in suites:
            whole = suite in suites and suite in GENERATED and within == LEVEL_1
            known = GENERATED[suite].whole if whole else within
            yield from Plan(suites=(suite,), count=count, seed=seed, within=known).cases()


@functools.cache
def _files(suite: str) -> list[Case]:
    return [file.case for file in suite_files(suite)]

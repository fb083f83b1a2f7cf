"""Which cases a run judges: those of the suites, as far as an implementation supports them, by their position."""

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
    """Which cases a run judges: those of the suites (all by default), or of these only the ones with ``numbers``."""

    suites: tuple[str, ...] = ()
    count: int = 200
    seed: int = 0
    numbers: tuple[int, ...] | None = None
    within: Within = LEVEL_1

    def only(self, names: Sequence[str]) -> Plan:
        """The cases of these ids or names; all where none is given.

        Raises ``ConfigurationError`` where one is not there.
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
            msg = f"there is no case {missing[0]!r} among those selected: backprop-check cases lists them"
            raise ConfigurationError(msg)
        return msgspec.structs.replace(self, numbers=tuple(found))

    def __len__(self) -> int:
        if self.numbers is not None:
            return len(self.numbers)
        return sum(map(self._size, self._suites()))

    def cases(self) -> Iterator[Case]:
        """All of them, made as they are asked for."""
        return map(self.case, range(len(self)))

    def case(self, position: int) -> Case:
        """The case at a position. It depends on (seed, number) alone."""
        suite, number = self._place(position)
        files = _files(suite)
        if number < len(files):
            return files[number]
        return GENERATED[suite].case(number - len(files), self.seed, self.within)

    def label(self, position: int) -> str:
        """What a case is, without making it where it is generated."""
        suite, number = self._place(position)
        files = _files(suite)
        if number < len(files):
            return files[number].id
        return GENERATED[suite].label(number - len(files), self.seed, self.within)

    def suite(self, position: int) -> str:
        """The suite that the case at a position is of."""
        return self._place(position)[0]

    def _place(self, position: int) -> tuple[str, int]:
        """The suite of a position, and which of its cases it is."""
        number = position if self.numbers is None else self.numbers[position]
        for suite in self._suites():
            if number < self._size(suite):
                return suite, number
            number -= self._size(suite)
        raise IndexError(position)

    def _size(self, suite: str) -> int:
        """How many cases of a suite there are: none, and no file, where nothing of it is claimed."""
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
            f"no case could be generated for the suites {', '.join(empty)}: what the implementation claims to support "
            "holds no layer, activation and loss that go together there"
        )
        return [text]

    def _suites(self) -> list[str]:
        return [suite for suite in SUITES if not self.suites or suite in self.suites]


class Listed(msgspec.Struct, frozen=True):
    """Cases that are given as they are, in the place of a plan."""

    cases: tuple[Case, ...]

    def __len__(self) -> int:
        return len(self.cases)

    def case(self, position: int) -> Case:
        """The case at a position."""
        return self.cases[position]

    def label(self, position: int) -> str:
        """What a case is: its id tells its content."""
        return self.cases[position].id


def select_cases(
    suites: Sequence[str] = (), count: int = 200, seed: int = 0, within: Within = LEVEL_1
) -> Iterator[Case]:
    """The cases of the named suites (all by default), the published first, the generated as asked for.

    A suite comes where an implementation claims anything of it. One that is asked for by name is whole where nothing
    beyond level 1 is claimed.

    Raises ``ConfigurationError`` for a suite that there is not.
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

"""Which cases a run judges: those of the suites, as far as an implementation supports them, by their position."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.cases.generate import EVERYTHING, Within, generated_case
from backprop_check.cases.select import quarter
from backprop_check.cases.training import label as training_label
from backprop_check.cases.training import training_case
from backprop_check.cases.wired import FAMILIES, WIRED_VERSION, drawable, kinds_of, wired_case
from backprop_check.cases.wired import label as wired_label
from backprop_check.errors import ConfigurationError
from backprop_check.kinds import FEATURES as LAYER_FEATURES
from backprop_check.kinds import KINDS
from backprop_check.names import ACTIVATIONS, ALL_LOSSES, LOSS_FEATURES
from backprop_check.training import FEATURES, OPTIMIZERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.network import Case
    from backprop_check.protocol import Supports


def supported(supports: Supports) -> Within:
    """What the generated cases keep to, for an implementation that says what it supports."""
    activations, losses = supports.activations, supports.losses
    return Within(
        activations=EVERYTHING.activations if activations is None else _those_of(ACTIVATIONS, activations),
        losses=EVERYTHING.losses if losses is None else _those_of(ALL_LOSSES, losses),
        batch=supports.batch,
        updates=supports.optimizers is None or "sgd" in supports.optimizers,
        optimizers=("sgd",) if supports.optimizers is None else _known(OPTIMIZERS, supports.optimizers),
        features=_known((*FEATURES, *LAYER_FEATURES, *LOSS_FEATURES), supports.features or ()),
        layers=_known(tuple(KINDS), supports.layers or ("dense",)),
    )


def _known(names: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """The known ones that are claimed, in our order."""
    return tuple(name for name in names if name in claimed)


def _those_of(names: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """The same in the order of the claim, on which some cases depend."""
    return tuple(name for name in claimed if name in names)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Which cases a run judges: those of the suites (all by default), or of these only the ones with ``numbers``."""

    suites: tuple[str, ...] = ()
    count: int = 200
    seed: int = 0
    numbers: tuple[int, ...] | None = None
    within: Within = EVERYTHING

    def only(self, names: Sequence[str]) -> Plan:
        """The cases of these ids or names; all where none is given.

        Raises ``ConfigurationError`` where one is not there.
        """
        if not names:
            return self
        wanted, seen, found = set(names), set(), []
        for number in range(len(self)):
            case = self.case(number)
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

    def case(self, position: int) -> Case:
        """The case at a position. It depends on (seed, number) alone."""
        suite, number = self._place(position)
        if number < len(_files(suite)):
            return _files(suite)[number]
        if suite == "generated":
            return generated_case(number, self.seed, self.within)
        number -= len(_files(suite))
        if suite in FAMILIES:
            return wired_case(suite, number, self.seed, self.within)
        return training_case(number, self.seed, self.within)

    def label(self, position: int) -> str:
        """What a case is, without making it where it is generated."""
        suite, number = self._place(position)
        if number < len(_files(suite)):
            return _files(suite)[number].id
        if suite == "generated":
            return f"generated:{self.seed}:{number}{self.within.label()}"
        if suite in FAMILIES:
            kept = wired_label(suite, self.within)
            return f"{suite}:{WIRED_VERSION}:{self.seed}:{number - len(_files(suite))}:{kept}"
        return f"training:{self.seed}:{number - len(_files(suite))}:{training_label(self.within)}"

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
        if suite == "generated":
            return self.count * self._can_make(suite)
        if suite == "training":
            return len(_files(suite)) + quarter(self.count) * self._can_make(suite) if self.within.trains() else 0
        if suite in FAMILIES:
            made = quarter(self.count) * self._can_make(suite)
            return len(_files(suite)) + made if kinds_of(suite, self.within) else 0
        return len(_files(suite))

    def _can_make(self, suite: str) -> bool:
        """Whether cases of a suite can be generated that keep to what is supported."""
        return bool(drawable(suite, self.within)) if suite in FAMILIES else self.within.has_chains()

    def without_cases(self) -> list[str]:
        """The suites for which no case can be generated although the implementation claims something of them."""
        claimed = {
            "generated": True,
            "training": self.within.trains(),
            **{family: bool(kinds_of(family, self.within)) for family in FAMILIES},
        }
        return [suite for suite in self._suites() if claimed.get(suite) and not self._can_make(suite)]

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


@functools.cache
def _files(suite: str) -> list[Case]:
    return [file.case for file in suite_files(suite)]

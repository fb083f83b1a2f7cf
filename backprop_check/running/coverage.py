"""The coverage of a run: how many cases of each suite had which outcome, and whether the requirements are met.

``--require`` takes a level (its name, or its number in README's table), a kind of layer, an activation, a loss, an
optimizer, or ``cases=N``. A word is met if at least one case with it passed; ``cases=N`` if N cases were judged. So an
implementation cannot pass merely by claiming little or by skipping what it cannot do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from backprop_check.case.training import OPTIMIZERS
from backprop_check.cases.within import kinds_of
from backprop_check.errors import ConfigurationError
from backprop_check.functions.names import ALL_ACTIVATIONS, ALL_LOSSES, FAMILIES, LEVELS
from backprop_check.kinds import KINDS
from backprop_check.protocol.claims import ALIASES, nearest, plain
from backprop_check.protocol.text import one_line
from backprop_check.running.one_case import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from backprop_check.case.network import Case
    from backprop_check.cases.within import Within
    from backprop_check.running.one_case import Judged

#: The words that can be required, by category. ``dense`` is looked up as a level first.
_WORDS: dict[str, tuple[str, ...]] = {
    "level": LEVELS,
    "kind": tuple(KINDS),
    "activation": ALL_ACTIVATIONS,
    "loss": ALL_LOSSES,
    "optimizer": OPTIMIZERS,
}

#: Outcomes of cases that were not judged. A case that was not run because the implementation was given up is a failure.
_NOT_JUDGED = ("not_applicable", "skipped")


class Requirement(msgspec.Struct, frozen=True):
    """One word of ``--require``: its category (``level``, ``kind``, … or ``cases``), and its name or number."""

    what: str
    name: str
    count: int = 0


def requirements(words: Iterable[str]) -> tuple[Requirement, ...]:
    """The requirements of some words, without duplicates. Raises ``ConfigurationError`` where a word is unknown."""
    return tuple(dict.fromkeys(_requirement(word) for word in words))


def _requirement(word: str) -> Requirement:
    if word.startswith("cases="):
        number = word.removeprefix("cases=")
        if not (number.isascii() and number.isdigit() and int(number[:9]) > 0):
            cause = f"--require {one_line(word, 60)}: expected cases=N with a whole number of at least 1"
            raise ConfigurationError("bad-case-count", cause)
        return Requirement("cases", word, int(number[:9]))
    if word.isascii() and word.isdigit() and 0 < int(word[:9]) <= len(LEVELS):
        return Requirement("level", LEVELS[int(word) - 1])
    for what, known in _WORDS.items():
        if word in known:
            return Requirement(what, word)
    cause = (
        f"--require {one_line(word, 60)}: expected a level ({', '.join(LEVELS)}, or its number), a kind of layer, an "
        "activation, a loss, an optimizer, or cases=N"
    )
    raise ConfigurationError("unknown-requirement", cause, _meant(word), "; ")


def _meant(word: str) -> str:
    called = [meant for table in ALIASES.values() for meant in table.get(plain(word), ())]
    known = [each for words in _WORDS.values() for each in words]
    near = [each for each in dict.fromkeys(called or nearest(word, known)) if each in known]
    return f"did you mean {' or '.join(near[:3])}?" if near else ""


def _words_of(case: Case) -> set[tuple[str, str]]:
    """The (category, name) pairs that a case contains: its levels, kinds, activations, loss and optimizer."""
    layers = case.network.layers
    levels = {*(case.network.families or {"dense"}), *(["training"] if case.trains else [])}
    return {
        *(("level", level) for level in levels),
        *(("kind", layer.kind) for layer in layers),
        *(("activation", layer.activation) for layer in layers if layer.activations),
        ("loss", case.loss.kind),
        *([("optimizer", case.optimizer.kind)] if case.optimizer is not None else []),
    }


class Coverage:
    """Counts outcomes by suite and by requirement."""

    def __init__(self, required: Sequence[Requirement] = ()) -> None:
        self.suites: dict[str, Counter[str]] = {}
        self._required = {each: Counter[str]() for each in required}

    def add(self, suite: str, outcome: str, case: Callable[[], Case]) -> None:
        """Count one case; ``case`` is called only if a requirement needs it."""
        self.suites.setdefault(suite, Counter())[outcome] += 1
        if any(each.what != "cases" for each in self._required):
            words = _words_of(case())
            for each, outcomes in self._required.items():
                outcomes[outcome] += (each.what, each.name) in words

    def take(self, suite: str, judged: Judged) -> None:
        """Count one case that has just been judged."""
        self.add(suite, judged.result.outcome, lambda: judged.case)

    def judged(self, *suites: str) -> int:
        """How many cases (of these suites only, where any are named) were judged."""
        return sum(n for outcome, n in self._counts(suites).items() if outcome not in _NOT_JUDGED)

    def failed(self, *suites: str) -> int:
        """How many of these fail."""
        return sum(n for outcome, n in self._counts(suites).items() if outcome in FAILURES)

    def count(self, outcome: str) -> int:
        """How many cases had this outcome."""
        return self._counts(())[outcome]

    def _counts(self, suites: tuple[str, ...]) -> Counter[str]:
        total: Counter[str] = Counter()
        for suite, counts in self.suites.items():
            if not suites or suite in suites:
                total += counts
        return total

    def levels(self, within: Within) -> str:
        """A text that says which levels were judged, which were skipped entirely, and which are not claimed."""
        said: dict[str, list[str]] = {"judged": [], "skipped": [], "not claimed": [], "not asked for": []}
        for level in LEVELS:
            suites = SUITES_OF[level]
            if self.judged(*suites):
                said["judged"].append(level)
            elif self._counts(suites)["skipped"]:
                said["skipped"].append(level)
            else:
                said["not asked for" if claims(within, Requirement("level", level)) else "not claimed"].append(level)
        return "; ".join(f"{what}: {', '.join(levels)}" for what, levels in said.items() if levels)

    def unmet(self, within: Within) -> list[str]:
        """A sentence for each unmet requirement, with the reason."""
        found = []
        for each, outcomes in self._required.items():
            if each.what == "cases":
                if self.judged() < each.count:
                    found.append(f"at least {each.count} judged cases are required, {self.judged()} were judged")
            elif not outcomes["passed"]:
                found.append(f"the {each.what} {each.name} is required, but {_why(each, outcomes, within)}")
        return found


def _why(each: Requirement, outcomes: Counter[str], within: Within) -> str:
    failed = sum(n for outcome, n in outcomes.items() if outcome not in _NOT_JUDGED)
    if failed:
        return f"none of the {failed} cases with it is right"
    if outcomes["skipped"]:
        return f"the implementation skipped all {outcomes['skipped']} cases with it"
    if not claims(within, each):
        return f"the implementation does not claim it ({_FIELDS[each.what]})"
    return "no case with it was judged: ask for more cases or other suites, or let the implementation claim more"


#: The fields of hello in which a port claims each category.
_FIELDS = {
    "level": "layers, optimizers and features",
    "kind": "supports.layers",
    "activation": "supports.activations",
    "loss": "supports.losses",
    "optimizer": "supports.optimizers",
}

#: The suites of each level.
SUITES_OF: dict[str, tuple[str, ...]] = {
    level: ("published", "edge", "generated") if level == "dense" else (level,) for level in LEVELS
}


def claims(within: Within, each: Requirement) -> bool:
    """Whether an implementation claims what a requirement asks for (of a level: any part of it)."""
    if each.what == "level":
        if each.name in FAMILIES:
            return bool(kinds_of(each.name, within))
        return within.trains() if each.name == "training" else within.has_chains()
    if each.name == "sgd":
        return within.updates
    claimed = {
        "kind": within.layers,
        "activation": within.activations,
        "loss": within.losses,
        "optimizer": within.optimizers,
    }
    return each.name in claimed[each.what]

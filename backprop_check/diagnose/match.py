"""Matching: which swapped stages reproduce an implementation's numbers.

A name explains a failing case if the swapped reference, run on the reported inputs, gives every reported number within
its bound. Any case, failing or passing, refutes the name if the swapped reference gives a number that differs from the
reported one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_check.diagnose.bug import Swapped, activations_of
from backprop_check.diagnose.catalogue import all_variants
from backprop_check.diagnose.effort import Effort, Part
from backprop_check.diagnose.restrict import Place, both, fit_together, only, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.diagnose.bug import Bug, Variant
    from backprop_check.diagnose.evidence import Evidence, Passing


#: The number of variants, not refuted by any probe, that are first tried in pairs.
_TOGETHER = 12

#: The number of cases with which candidates are searched.
_PROBES = 5

#: A condition (an activation, a loss) is named if at least this many failing cases meet it.
_FOR_A_CONDITION = 3

#: The largest share of the failing cases about which a name may say nothing.
_OPEN = 0.1

#: A search reports its progress after this many mistakes.
_PROGRESS = 20

#: The parts of the search, in the order in which they are tried; those left out are listed where the work is spent.
_USUAL, _RARE = "some of the usual mistakes", "rarer ways to make the known mistakes"
_IN_PLACES, _IN_PAIRS = "mistakes in one place only", "two mistakes at once"


@dataclass(frozen=True, slots=True)
class Match:
    """Stages that reproduce cases, and the bugs that they consist of (with variant and place)."""

    stages: type[Swapped]
    parts: tuple[tuple[Bug, Variant, Place], ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the bugs."""
        return tuple(bug.code for bug, _, _ in self.parts)

    def stages_of(self, code: str) -> type[Swapped]:
        """The stages of one of the bugs alone."""
        if len(self.parts) == 1:
            return self.stages
        variant, place = next((variant, place) for bug, variant, place in self.parts if bug.code == code)
        return variant.stages if place == Place() else only(variant.stages, place)

    def rank(self) -> tuple[int, int, int, str]:
        """A sort key, simplest first: fewer bugs, everywhere before in one place, usual variants; then by code."""
        places = sum(place != Place() for _, _, place in self.parts)
        odd = sum(not variant.usual for _, variant, _ in self.parts)
        return len(self.parts), places, odd, " ".join(self.codes)


def _under(match: Match, place: Place) -> Match | None:
    """A match that holds everywhere, restricted to a place; None where that is impossible."""
    ((bug, variant, _),) = match.parts
    if variant.stages.strings_pass() and not place.of_cases:
        return None
    return Match(only(variant.stages, place), ((bug, variant, place),))


def _usual(found: Sequence[Match]) -> bool:
    return any(variant.usual for match in found for _, variant, _ in match.parts)


class Search:
    """Searches the names of a run's failures, within a limit of work.

    ``left_out`` lists in words what was not tried because the work was spent.
    """

    def __init__(self, failing: Sequence[Evidence], passing: Passing, effort: Part | None = None) -> None:
        self.failing = sorted(failing, key=lambda each: each.size)
        self.passing = passing
        self.effort = Effort().part(None) if effort is None else effort
        self.left_out: list[str] = []
        self._count_in(self.effort)

    def _count_in(self, effort: Part) -> None:
        self.effort = effort
        for each in self.failing:
            each.effort = effort

    def _spent(self, what: str, share: float = 1.0) -> bool:
        """Whether this share of the work is spent; then ``what`` is added to ``left_out``."""
        if not self.effort.beyond(share):
            return False
        if what not in self.left_out:
            self.left_out.append(what)
        return True

    def names(self) -> list[Match]:
        """Every way to explain all failing cases, only those of the simplest kind; empty where there is none.

        A place is named only as far as it is known.
        """
        return [self._as_known(match) for match in self._names()]

    def _as_known(self, match: Match) -> Match:
        """The match with its place only if cases on both sides of it support it.

        If the place is a condition on cases, enough cases must fail within it: with a single one, any of its properties
        could be the condition. Outside of it there must be a case that is right and that the bug would have made wrong.
        """
        if len(match.parts) != 1 or match.parts[0][2] == Place():
            return match
        ((bug, variant, place),) = match.parts
        within = sum(each.reproduced_by(match.stages) for each in self.failing)
        if not place.is_condition or within >= _FOR_A_CONDITION:
            return match
        elsewhere = any(each.refutes(variant.stages) for each in self.failing) or self.passing.refute(
            variant.stages, self.effort
        )
        return Match(match.stages, ((bug, variant, Place(unknown=True) if elsewhere else Place()),))

    def _names(self) -> list[Match]:
        if not self.failing:
            return []
        probes = self.probes()
        everywhere = list(self._everywhere(probes[0]))
        found = [match for match in everywhere if self.holds(match, probes)]
        conditioned = [
            match for place in self._conditions() for each in everywhere if (match := _under(each, place)) is not None
        ]
        found += [match for match in conditioned if self.holds(match, probes)] if not _usual(found) else []
        if found:
            return sorted(found, key=Match.rank)
        partial = self._partial(probes)
        unrefuted = [pair for pair in partial if not any(each.refutes(pair[1].stages) for each in probes)]
        found = self._pairs(probes, unrefuted[:_TOGETHER])
        found = found or self._in_places(probes)
        return sorted(found or self._pairs(probes, partial), key=Match.rank)

    def _conditions(self) -> list[Place]:
        """The properties that all failing cases have in common: a loss, an optimizer, an activation."""
        losses = {each.case.loss.kind for each in self.failing}
        optimizers = {each.case.optimizer.kind if each.case.optimizer else "" for each in self.failing}
        common = set.intersection(*(activations_of(each.case) for each in self.failing))
        found = [Place(loss=loss) for loss in losses if len(losses) == 1]
        return [
            *found,
            *(Place(optimizer=kind) for kind in optimizers if kind and len(optimizers) == 1),
            *(Place(activation=activation) for activation in sorted(common)),
            Place(hidden=True),
            Place(layer=-1),
        ]

    def holds(self, match: Match, probes: Sequence[Evidence] = ()) -> bool:
        """Whether the match reproduces every failing case and no case refutes it."""
        open_cases = 0
        for each in dict.fromkeys((*probes, *self.failing)):
            if not each.reproduced_by(match.stages):
                if not each.undecided_by(match.stages):
                    return False
                open_cases += 1
        return open_cases <= _OPEN * len(self.failing) and not self.passing.refute(match.stages, self.effort)

    def largest_part(self) -> Match | None:
        """The name that explains most of the failing cases (at least two) and that no case refutes.

        It has its own effort, half as large, because much was spent to find that no name explains all.
        """
        self._count_in(self.effort.half())
        best, most = None, 1
        for probe in self.probes():
            for match in self._everywhere(probe):
                if self._spent(_RARE):
                    return best
                count = sum(each.reproduced_by(match.stages) for each in self.failing)
                if count <= most or any(each.refutes(match.stages) for each in self.failing):
                    continue
                if not self.passing.refute(match.stages, self.effort):
                    best, most = match, count
        return best

    def probes(self) -> list[Evidence]:
        """A few failing cases that differ in what is wrong: small ones, but not so small that they decide little."""
        by_kind: dict[object, Evidence] = {}
        for each in sorted(self.failing, key=lambda each: each.simplicity):
            by_kind.setdefault(each.wrong_kinds, each)
        kinds = sorted(
            by_kind.values(), key=lambda each: (each.simplicity[:2], -len(each.wrong_kinds), each.simplicity)
        )
        # One case of each set of layer kinds first: an error in one kind of layer may show only next to others.
        composed: dict[object, Evidence] = {}
        for each in kinds:
            composed.setdefault(frozenset(layer.kind for layer in each.case.network.layers), each)
        return list(dict.fromkeys([*composed.values(), *kinds]))[:_PROBES]

    def _everywhere(self, probe: Evidence) -> Iterator[Match]:
        for number, (bug, variant) in enumerate(all_variants()):
            if self._spent(_USUAL if variant.usual else _RARE):
                return
            if number % _PROGRESS == 0:
                self.effort.tell(f"looking for the cause among {len(all_variants())} known mistakes")
            if probe.reproduced_by(variant.stages):
                yield Match(variant.stages, ((bug, variant, Place()),))

    def _partial(self, probes: Sequence[Evidence]) -> list[tuple[Bug, Variant]]:
        """The variants that explain something: all variants for the first case, usual ones for others."""
        others = [each for each in probes[1:] if each.case.steps == 1 and not each.wrong_kinds <= probes[0].wrong_kinds]
        return [
            (bug, variant)
            for bug, variant in all_variants()
            if not self._spent(_USUAL if variant.usual else _RARE)
            and (
                probes[0].touched_by(variant.stages)
                or (variant.usual and any(each.touched_by(variant.stages) for each in others[:2]))
            )
        ]

    def _in_places(self, probes: Sequence[Evidence]) -> list[Match]:
        """Mistakes in one layer, one neuron, with one activation or one loss."""
        probe = probes[0]
        likely = [pair for pair in all_variants() if probe.touched_by(pair[1].stages)]
        if not any(slot.quantity == "delta" for slot in probe.actual):
            # With gradients alone, an error in one place shows in all layers before it.
            likely += [pair for pair in all_variants() if pair[1].usual and pair not in likely]
        share = (1.0 + self.effort.share) / 2  # half of what is left is for pairs
        tried = dict.fromkeys(place for each in probes for place in places(each.case))
        for place in sorted(tried, key=lambda place: place.neuron is not None):  # whole layers before single neurons
            found: list[Match] = []
            for bug, variant in likely:
                if self._spent(_IN_PLACES, share):
                    return found
                if variant.stages.strings_pass() and not place.of_cases:
                    continue
                match = Match(only(variant.stages, place), ((bug, variant, place),))
                if probe.reproduced_by(match.stages) and self.holds(match, probes):
                    found.append(match)
            if found:
                return found
        return []

    def _pairs(self, probes: Sequence[Evidence], partial: Sequence[tuple[Bug, Variant]]) -> list[Match]:
        """Pairs of mistakes made at once."""
        found: list[Match] = []
        for (a, x), (b, y) in itertools.combinations(partial, 2):
            if self._spent(_IN_PAIRS):
                return found
            if a is b or not fit_together(x.stages, y.stages):
                continue
            for upper, lower in ((x, y), (y, x)):
                match = Match(both(upper.stages, lower.stages), ((a, x, Place()), (b, y, Place())))
                try:
                    fits = probes[0].reproduced_by(match.stages) and self.holds(match, probes)
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                    continue  # two mistakes that cannot be made together explain nothing
                if fits:
                    found.append(match)
                    break
        return found

"""From a run's failures to its causes: one for each bug, with the cases that it explains; one without a name for
the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from backprop_check.compare.trace import Slot
from backprop_check.diagnose import signs
from backprop_check.diagnose.apart import cases_to_tell_apart
from backprop_check.diagnose.blame import place_in
from backprop_check.diagnose.cause import Cause, Failure, cause_of, causes_of, undecided, unnamed, wrong_arrays
from backprop_check.diagnose.effort import Effort
from backprop_check.diagnose.evidence import Evidence, Passing, differ_anywhere
from backprop_check.diagnose.formulas import edited_rule, edited_update, formula_causes
from backprop_check.diagnose.match import Match, Search
from backprop_check.diagnose.where import where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.cases.within import Within
    from backprop_check.compare.trace import Array, Mask
    from backprop_check.diagnose.bug import Swapped
    from backprop_check.diagnose.effort import Part


#: The most failing cases that are kept with their numbers; others are only counted.
KEPT = 300


#: Formulas that explain this share of the failing cases are told without a search for a name of a part of them.
_MOST = 0.9

#: The most further cases that are sent to tell names apart.
_ROUNDS = 4


@dataclass(eq=False)
class Diagnostician:
    """Collects a run's cases as they are judged; at the end it finds what the failures have in common.

    A run without failures costs only the memory for a few passing cases. ``within`` is what the implementation
    supports, as far as it is known. ``kinks`` says which choices at kinks are right (``Settings``).
    """

    dtype: str = "float64"
    profile: str = "textbook"
    failures: list[Failure] = field(default_factory=list)
    passing: Passing = field(default_factory=Passing)
    errors: list[tuple[Case, str]] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    within: Within | None = None
    kinks: str = "any"
    _evidences: dict[int, Evidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.passing.kinks = self.kinks

    def passed(self, case: Case, reported: Iterable[Slot]) -> None:
        """Add a case that passed, with the slots that were reported for it."""
        self.passing.add(case, reported, self.dtype, self.profile)

    def failed(self, failure: Failure) -> None:
        """Add a case that mismatched; no more than ``KEPT`` are kept."""
        if len(self.failures) < KEPT:
            self.failures.append(failure)

    def refused(self, case: Case, message: str) -> None:
        """Add a case that ended in an error or broke the protocol, with its message."""
        if len(self.errors) < KEPT:
            self.errors.append((case, message))

    def causes(
        self, effort: Effort | None = None, ask: Callable[[Case], Mapping[Slot, Array] | None] | None = None
    ) -> list[Cause]:
        """The causes of all failures, those to fix first at the front.

        ``effort`` limits the work; ``ask`` sends one more case to the implementation, to tell names apart.
        """
        if not (self.failures or self.errors):
            return []
        evidences = self._shown()
        with_roots = [each for each in self.failures if id(each) in evidences and evidences[id(each)].has_roots]
        named = []
        if with_roots:
            named = self._named([(each, evidences[id(each)]) for each in with_roots], effort or Effort(), ask)
            named = self._with_what_else_fits(named)
        found = [*self._of_form(named), *named]
        explained = {case for cause in found for case in cause.explains}
        # Values that are not finite, or unstable, in cases in which nothing else is wrong.
        rest = [each for each in self.failures if each.id not in explained]
        return ([] if named else self._of_errors()) + found + self._of_rest(rest, evidences)

    def _shown(self) -> dict[int, Evidence]:
        """The evidence of each failure with wrong numbers, by the failure's id; it is kept for a diagnosis that
        is interrupted.
        """
        for each in self.failures:
            if id(each) not in self._evidences and not each.unstable and _has_wrong_values(each) and each.actual:
                ignored = _not_to_explain(each)
                self._evidences[id(each)] = Evidence(
                    each.case, each.actual, self.dtype, self.profile, ignored, kinks=self.kinks
                )
        return self._evidences

    def _of_form(self, named: Sequence[Cause]) -> list[Cause]:
        """Causes for arrays that are missing, malformed or not numeric; a wrong shape is left out where a name
        explains it.
        """
        found = []
        for code in ("BP007", "BP114", "BP110", "BP006", "BP003", "BP011"):
            having = [each for each in self.failures if code in signs.of_form(each.mismatches)]
            if not having or (code == "BP006" and any(cause.code for cause in named)):
                continue
            if code not in {cause.code for cause in named}:
                found.append(cause_of(code, having, places=wrong_arrays(having)))
        return found

    def _with_what_else_fits(self, named: list[Cause]) -> list[Cause]:
        """The only name that was found, extended to other failures whose numbers it gives.

        These are unstable failures (a name that gives exactly these numbers says more), and failures without roots.
        """
        if len(named) != 1 or not self.matches or named[0].code not in self.matches[0].codes:
            return named
        cause, stages = named[0], self.matches[0].stages
        more = [
            each.id
            for each in self.failures
            if each.actual and each.id not in cause.explains and self._gives(each, stages)
        ]
        explains = [*cause.explains, *more]
        return [msgspec.structs.replace(cause, explains=explains, cases=len(explains))]

    def _gives(self, failure: Failure, stages: type[Swapped]) -> bool:
        evidence = Evidence(failure.case, failure.actual, self.dtype, self.profile, kinks=self.kinks)
        return evidence.reproduced_by(stages) if evidence.has_roots else evidence.follows_from(stages)

    def _of_rest(self, rest: Sequence[Failure], evidences: Mapping[int, Evidence]) -> list[Cause]:
        unstable = [each for each in rest if each.unstable or id(each) not in evidences]
        found = self._unstable([each for each in unstable if each.unstable])
        overflowing: dict[str, list[Failure]] = {}
        said: dict[str, str] = {}
        others: list[Failure] = []
        for each in rest:
            if each in unstable:
                continue
            sign = signs.of_values(evidences[id(each)])
            if sign is None:
                others.append(each)
            else:
                overflowing.setdefault(sign[0], []).append(each)
                said.setdefault(*sign)
        found += [cause_of(code, failures, detail=said[code]) for code, failures in overflowing.items()]
        return found + self._left([(each, evidences[id(each)]) for each in others])

    def _left(self, pairs: Sequence[tuple[Failure, Evidence]], left_out: Sequence[str] = ()) -> list[Cause]:
        """The causes without a name: where the name that was found gives no definite number, and the rest.

        ``left_out`` is what the search for names did not try.
        """
        named = self.matches[:1]
        open_to = [
            (each, evidence)
            for each, evidence in pairs
            if evidence.has_roots and any(evidence.undecided_by(match.stages) for match in named)
        ]
        rest = [pair for pair in pairs if pair not in open_to]
        found = []
        if open_to:
            found.append(undecided([each for each, _ in open_to], " and ".join(named[0].codes)))
        if rest:
            evidences = [evidence for _, evidence in rest]
            places = where(evidences)
            seen = signs.pattern(evidences) + (f". Where, and where not: {places}" if places else "")
            found.append(unnamed([each for each, _ in rest], seen, left_out))
        return found

    def _unstable(self, having: Sequence[Failure]) -> list[Cause]:
        """Causes for unstable failures: overflows have names, lost digits have none."""
        groups: dict[str | None, list[Failure]] = {}
        for each in having:
            # The activation itself must have overflowed: later values may not be finite for another reason.
            overflowed = {
                each.case.network.layers[one.layer].activation
                for one in each.mismatches
                if one.quantity == "a"
                and one.layer is not None
                and (one.problem == "not_finite" or one.actual == "null")
            }
            code = ("BP208" if "softmax" in overflowed else "BP005") if overflowed else None
            groups.setdefault(code if "overflow" in each.unstable else None, []).append(each)
        found = []
        for code, failures in groups.items():
            if code is not None:
                found.append(cause_of(code, failures, detail=failures[0].unstable))
                continue
            cause = Cause(
                code=None,
                bug=None,
                title="unstable",
                sentence="The mathematics is right, but the formula loses its digits here: a stable way to write it is "
                f"needed. Such numbers come, for example, from {failures[0].unstable}.",
                cases=len(failures),
                first_case=failures[0].id,
                explains=[each.id for each in failures],
            )
            found.append(cause)
        return found

    def _of_errors(self) -> list[Cause]:
        """Causes for reported errors that are an overflow, and for lines on stdout that are not allowed."""
        groups: dict[str, list[tuple[Case, str]]] = {}
        for case, message in self.errors:
            code = "BP010" if "--strict-stdout" in message else signs.of_error(message, case)
            if code is not None:
                groups.setdefault(code, []).append((case, message))
        return [
            msgspec.structs.replace(
                cause_of(code, [], detail=having[0][1][:200]),
                cases=len(having),
                first_case=having[0][0].id,
                explains=[case.id for case, _ in having],
            )
            for code, having in groups.items()
        ]

    def _named(
        self,
        failing: Sequence[tuple[Failure, Evidence]],
        effort: Effort,
        ask: Callable[[Case], Mapping[Slot, Array] | None] | None,
    ) -> list[Cause]:
        failures, evidences = [each for each, _ in failing], [evidence for _, evidence in failing]
        digits = signs.digits_printed(evidences)
        if digits is not None:
            return [cause_of("BP001", failures, detail=f"{digits} fit")]
        if signs.single_precision(evidences):
            return [cause_of("BP002", failures)]
        search = Search(evidences, self.passing, effort.part(effort.names))
        names = search.names()
        if names and ask is not None:
            names = self._told_apart(names, effort, ask)
        if names:
            self.matches = [names[0]]
            return causes_of(names, failures, evidences)
        return self._partly_named(search, failing, effort.part(effort.formulas))

    def _partly_named(self, search: Search, failing: Sequence[tuple[Failure, Evidence]], effort: Part) -> list[Cause]:
        """The formulas that were written, or a name for the failures that it explains, if no other case refutes it; and
        the pattern of the rest.
        """
        written, left = formula_causes(failing, self.passing, effort)
        by_formula = len(failing) - len(left)
        match = search.largest_part() if by_formula < _MOST * len(failing) else None
        explained = [pair for pair in failing if match is not None and pair[1].reproduced_by(match.stages)]
        found: list[Cause] = []
        if match is not None and len(explained) > by_formula:
            self.matches = [match]
            found = causes_of([match], [each for each, _ in explained], [evidence for _, evidence in explained])
            written, left = formula_causes([pair for pair in failing if pair not in explained], self.passing, effort)
        # Values that are not finite are treated afterwards.
        left = [pair for pair in left if signs.of_values(pair[1]) is None]
        if left:
            changed = edited_update(left, self.passing, effort) or edited_rule(left, self.passing, effort)
            if changed is not None:
                return [*found, *written, changed]
        left_out = [*search.left_out, *(["formulas of single layers"] if effort.spent else [])]
        return found + written + self._left(left, left_out)

    def _told_apart(
        self, names: list[Match], effort: Effort, ask: Callable[[Case], Mapping[Slot, Array] | None]
    ) -> list[Match]:
        """Send cases for which the names would differ, and keep the names that agree with the answers."""
        rounds, part = 0, effort.part(effort.further_cases)
        for case in cases_to_tell_apart([each.case for each in self.failures], self.within):
            if rounds == _ROUNDS or len({match.codes for match in names}) < 2 or part.spent:  # noqa: PLR2004 - two names
                break
            others = [match for match in names if match.codes != names[0].codes]
            part.tell(f"looking for a case that tells {'+'.join(names[0].codes)} and {'+'.join(others[0].codes)} apart")
            # Generating a case takes passes too, to keep it clear of kinks.
            part.spend(case, 3)
            if not self._tells_apart(case, names[0], others, part):
                continue
            if not part.ask():
                break
            actual = ask(case)
            if not actual:
                continue
            rounds += 1
            evidence = Evidence(case.rounded(self.dtype), actual, self.dtype, self.profile, kinks=self.kinks)
            # A name whose stages do not matter for the case is kept if the right stages give the answer.
            names = [match for match in names if evidence.allows(match.stages)]
        return names

    def _tells_apart(self, case: Case, first: Match, others: Sequence[Match], effort: Part) -> bool:
        for other in others[:3]:
            if not (first.stages.matters(case) or other.stages.matters(case)):
                continue
            effort.spend(case, 2)
            if differ_anywhere(case, first.stages, other.stages, self.dtype, self.profile, kinks=self.kinks):
                return True
        return False


def _has_wrong_values(failure: Failure) -> bool:
    return any(each.problem in ("wrong", "not_finite") and not each.unstable for each in failure.mismatches)


def _not_to_explain(failure: Failure) -> dict[Slot, Mask]:
    """Masks of the failure's unstable values: another right formula gives them, so no bug has to explain them."""
    found: dict[Slot, Mask] = {}
    for each in failure.mismatches:
        slot = Slot(each.quantity, each.layer, each.step)
        at = place_in(slot, each)
        if each.unstable and slot in failure.actual and at is not None:
            found.setdefault(slot, np.zeros(failure.actual[slot].shape, dtype=bool))[at] = True
    return found

"""Common mistakes in one stage, by name: as long as later stages are unfinished, a whole pass fits no named bug."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.case.network import Case
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Array, Slot, place_of
from backprop_check.diagnose.bug import Swapped
from backprop_check.diagnose.given import given
from backprop_check.errors import BackpropCheckError, CaseError
from backprop_check.explain.making import find_case

if TYPE_CHECKING:
    from backprop_check.compare.compare import Mismatch
    from backprop_check.diagnose.bug import Bug
    from backprop_check.reference import Stages
    from backprop_check.running.one_case import Result

#: The number of failing cases that are compared, the smallest first.
_CASES = 16

#: A bug that explains none of the first cases, this many, is not tried on the others.
_UNLIKE = 5

#: The most names that are given where several fit equally well.
_NAMES = 3


def mistakes_of(failing: list[tuple[Result, list[Mismatch]]]) -> list[str]:
    """A sentence for each named bug that gives exactly the wrong values of this stage, in most of the cases compared.

    A bug that explains them all is named alone; otherwise the best one, with the number of cases that it explains.
    """
    from backprop_check.diagnose.catalogue import all_variants  # noqa: PLC0415 - only where something is wrong

    seen = _different([each for each in (_Seen.of(result, mismatches) for result, mismatches in failing) if each])
    explained: dict[str, tuple[Bug, set[int]]] = {}
    for bug, variant in all_variants():
        explained.setdefault(bug.code, (bug, set()))[1].update(_fitting(seen, variant.stages))
    fitting = [(len(cases), bug) for bug, cases in explained.values() if cases and 2 * len(cases) >= len(seen)]
    best = max((count for count, _ in fitting), default=0)
    names = [bug for count, bug in fitting if count == best][:_NAMES]
    share = "" if best == len(seen) else f"In {best} of {len(seen)} cases looked at: "
    return [
        f"{share}This is what {bug.code} gives, {bug.title}: {bug.sentence} (`backprop-check explain {bug.code}`)"
        for bug in names
    ]


def _different(seen: list[_Seen]) -> list[_Seen]:
    """The smallest case for each pair of output activation and loss, the smallest first."""
    found: dict[tuple[str, str], _Seen] = {}
    for each in sorted(seen, key=lambda each: each.size):
        found.setdefault((each.case.network.layers[-1].activation, each.case.loss.kind), each)
    return list(found.values())[:_CASES]


def _fitting(seen: list[_Seen], stages: type[Stages]) -> set[int]:
    """The cases that the bug explains; it gives up where the bug explains none of the first."""
    found: set[int] = set()
    for index, each in enumerate(seen):
        if index >= _UNLIKE and not found:
            break
        if each.fits(stages):
            found.add(index)
    return found


def case_of(result: Result) -> Case | None:
    """The case of a result: the one that it contains, or the one with its id; None where neither is available."""
    if result.case is None:
        return _called(result.id)
    content = {key: value for key, value in result.case.items() if key not in ("type", "id")}
    try:
        return Case.from_dict(content)
    except CaseError:
        return None


@functools.cache
def _called(case_id: str) -> Case | None:
    try:
        return find_case(case_id).case
    except BackpropCheckError:
        return None


class _Seen:
    """The wrong values of one case in the stage, by slot.

    ``right`` are the slots of earlier stages whose values are right.
    """

    def __init__(self, case: Case, mismatches: list[Mismatch], wrong: set[Slot]) -> None:
        self.case, self.size = case, len(case.request())
        self.expected = expect(case)
        self.got: dict[Slot, Array] = {}
        for one in mismatches:
            slot = Slot(one.quantity, one.layer, one.step)
            values = self.got.setdefault(slot, np.array(self.expected.values[slot], dtype=float))
            values[place_of(one)] = float(one.actual or 0.0)
        before = itertools.takewhile(lambda slot: slot not in self.got, self.expected.values)
        self.right = [slot for slot in before if slot not in wrong and not slot.quantity.startswith("updated")]

    @classmethod
    def of(cls, result: Result, mismatches: list[Mismatch]) -> _Seen | None:
        """None where the result does not contain everything needed for a comparison."""
        case = case_of(result)
        if case is None or result.mismatch_count > len(result.mismatches):
            return None
        return cls(case, mismatches, {Slot(one.quantity, one.layer, one.step) for one in result.mismatches})

    def fits(self, stages: type[Stages]) -> bool:
        """Whether the wrong stages give these values, and leave the right values before them unchanged.

        An update in the wrong direction can be a mistake of the update or of every gradient; the gradients before it
        tell which.
        """
        if not issubclass(stages, Swapped) or not stages.matters(self.case):
            return False
        wrong = given(self.case, {}, stages=stages).values
        for slot, got in [*self.got.items(), *((slot, self.expected.values[slot]) for slot in self.right)]:
            values = wrong.get(slot)
            if values is None or values.shape != got.shape:
                return False
            room = 4 * self.expected.allowed[slot] + 1e-9 * abs(got)
            with np.errstate(invalid="ignore", over="ignore"):
                if not (abs(values - got) <= room).all():
                    return False
        return True

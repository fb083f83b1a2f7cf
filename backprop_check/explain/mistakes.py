"""Usual mistakes by name, of one stage alone: while later stages are unfinished a whole pass fits no named bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backprop_check.errors import CaseError
from backprop_check.expected import expect, textbook_pass
from backprop_check.network import Case
from backprop_check.trace import AXES, Array, Slot

if TYPE_CHECKING:
    from backprop_check.compare import Mismatch
    from backprop_check.reference import Stages
    from backprop_check.run import Result

#: So many failing cases decide, the smallest first.
_CASES = 12

#: So many names that fit equally well are given.
_NAMES = 3


def mistakes_of(failing: list[tuple[Result, list[Mismatch]]]) -> list[str]:
    """A sentence for each named bug that gives exactly the wrong values of this stage, in every case looked at."""
    from backprop_check.diagnose.catalogue import all_variants  # noqa: PLC0415 - only where something is wrong

    seen = [each for each in (_Seen.of(result, mismatches) for result, mismatches in failing) if each is not None]
    seen = sorted(seen, key=lambda each: each.size)[:_CASES]
    if not seen:
        return []
    fitting = {}
    for bug, variant in all_variants():
        if bug.code not in fitting and all(each.fits(variant.stages) for each in seen):
            fitting[bug.code] = bug
    return [
        f"This is what {bug.code} gives, {bug.title}: {bug.sentence} (`backprop-check explain {bug.code}`)"
        for bug in list(fitting.values())[:_NAMES]
    ]


class _Seen:
    """What one case got wrong in the stage: the slots, and the implementation's values there."""

    def __init__(self, case: Case, mismatches: list[Mismatch]) -> None:
        self.case, self.size = case, len(str(case))
        self.expected = expect(case)
        self.got: dict[Slot, Array] = {}
        for one in mismatches:
            slot = Slot(one.quantity, one.layer, one.step)
            values = self.got.setdefault(slot, np.array(self.expected.values[slot], dtype=float))
            at: list[int] = []
            for axis in AXES[one.quantity]:
                at += one.index if axis == "index" else [getattr(one, axis)]
            values[tuple(at)] = float(one.actual or 0.0)

    @classmethod
    def of(cls, result: Result, mismatches: list[Mismatch]) -> _Seen | None:
        """None where the result does not hold all that is needed to compare."""
        if result.case is None or result.mismatch_count > len(result.mismatches):
            return None
        content = {key: value for key, value in result.case.items() if key not in ("type", "id")}
        try:
            return cls(Case.from_dict(content), mismatches)
        except CaseError:
            return None

    def fits(self, stages: type[Stages]) -> bool:
        """Whether the wrong stages give these values, and give right ones where the implementation does."""
        if hasattr(stages, "matters") and not stages.matters(self.case):
            return False
        wrong = textbook_pass(self.case, stages=stages).values
        for slot, got in self.got.items():
            if slot not in wrong or wrong[slot].shape != got.shape:
                return False
            room = 4 * self.expected.allowed[slot] + 1e-9 * abs(got)
            with np.errstate(invalid="ignore"):
                if not (abs(wrong[slot] - got) <= room).all():
                    return False
        return True

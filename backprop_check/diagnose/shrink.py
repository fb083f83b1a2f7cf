"""The smallest network that still shows a failure: a failing case is reduced as long as the verdict stays.

``reductions`` only proposes cases. This module decides which are sent, how many, and which of those that still fail is
the smallest. A limit only ends the search; it never changes an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.diagnose import reductions
from backprop_check.diagnose.effort import Effort

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case

#: The harness's passes over a case that is sent: it is made, computed by both witnesses, and explained.
_PASSES = 5


def shrink(
    case: Case,
    holds: Callable[[Case], bool],
    effort: Effort | None = None,
    *,
    may_hold: Callable[[Case], bool] = lambda _: True,
    among: int = 1,
) -> Case:
    """The smallest reduction of ``case`` that was found for which ``holds``; the case itself if there is none.

    ``holds`` is called only for valid cases, once each, as long as the effort allows; it sends the case to the
    implementation. ``may_hold`` tells without sending it where that is useless. The questions that are left are divided
    ``among`` this many causes.
    """
    effort = effort or Effort()
    part = effort.part(effort.smallest, among=among)
    best = [case]
    seen: dict[str, bool] = {}

    def still(candidate: Case | None) -> bool:
        if candidate is None:
            return False
        if candidate.id not in seen:
            if part.spent or part.questions == 0:
                return False
            part.spend(candidate, _PASSES)
            part.tell(f"looking for the smallest network that shows it ({_size(best[0])} so far)")
            seen[candidate.id] = may_hold(candidate) and part.ask() and holds(candidate)
        if seen[candidate.id] and reductions.weight(candidate) < reductions.weight(best[0]):
            best[0] = candidate
        return seen[candidate.id]

    reductions.reduce(case, still, lambda: part.spent or part.questions == 0)
    return best[0]


def _size(case: Case) -> str:
    layers, numbers = len(case.network.layers), len(case.inputs) * sum(case.network.widths)
    return f"{layers} layer{'s' if layers != 1 else ''}, {numbers} neuron{'s' if numbers != 1 else ''}"

"""The smallest network that still shows a failure: a failing case is reduced while the verdict holds.

``reductions`` only proposes. What is asked, how often, and which of the cases that held is the smallest, is decided
here. What was answered for a case stays: a limit ends the search, and never changes an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.diagnose import reductions
from backprop_check.diagnose.effort import Effort

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case

#: A question costs the harness about so many passes over the case: it is made, judged by both witnesses, and explained.
_PASSES = 5


def shrink(
    case: Case,
    holds: Callable[[Case], bool],
    effort: Effort | None = None,
    *,
    may_hold: Callable[[Case], bool] = lambda _: True,
    among: int = 1,
) -> Case:
    """The smallest reduction of ``case`` that was found for which ``holds``; the case itself if none was.

    ``holds`` is asked only for valid cases, each once, as long as the effort allows it. It puts a question to the
    implementation; ``may_hold`` says without one where that is of no use. The questions that are left are divided
    ``among`` so many causes.
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

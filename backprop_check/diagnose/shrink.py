"""The smallest network that still shows a failure: a failing case is reduced while the verdict holds.

Chains of dense layers are reduced in ``chains``, all other networks in ``reductions``. Both only propose: what is
asked, how long, and which of the cases that held is the smallest, is decided here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from backprop_check.diagnose import chains, reductions

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.network import Case


def shrink(case: Case, holds: Callable[[Case], bool], seconds: float = 5.0) -> Case:
    """The smallest reduction of ``case`` that was found in ``seconds`` for which ``holds``; the case itself if none.

    ``holds`` is asked only for valid cases; whatever it answers, the result is one it held for, or ``case``.
    """
    deadline = time.monotonic() + seconds
    best = [case]
    seen: dict[str, bool] = {}
    weight = chains.weight if case.network.is_chain else reductions.weight

    def out_of_time() -> bool:
        return time.monotonic() > deadline

    def still(candidate: Case | None) -> bool:
        if candidate is None or out_of_time():
            return False
        if candidate.id not in seen:
            seen[candidate.id] = holds(candidate)
        if seen[candidate.id] and weight(candidate) < weight(best[0]):
            best[0] = candidate
        return seen[candidate.id]

    if case.network.is_chain:
        chains.reduce(case, still)
    else:
        reductions.reduce(case, still, out_of_time)
    return best[0]

"""What a run has judged so far: it is there whatever interrupts the judging."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from backprop_check.run import FAILURES, Judged, Result

if TYPE_CHECKING:
    from backprop_check.judging import Run
    from backprop_check.plan import Plan
    from backprop_check.resume import Unfinished

#: So many failing cases are kept with their numbers, to be shown.
_SHOWABLE = 400


@dataclass
class Gathered:
    """The results of a run, as far as they are wanted, and the failing cases with their numbers.

    ``results`` holds each result without its numbers where ``listing``, the whole ones where ``whole``.
    """

    run: Run
    listing: bool = False
    whole: bool = False
    results: list[Result] = field(default_factory=list)
    failing: list[Judged] = field(default_factory=list)
    count: int = 0
    complete: bool = False
    """Whether all cases were judged."""

    def remember(self, judged: Judged | None, result: Result) -> None:
        """The next result; ``judged`` with its case, where that is of use."""
        self.count += 1
        if self.listing:
            self.results.append(result if self.whole else msgspec.structs.replace(result, case=None, actual=None))
        if judged is not None and result.outcome in FAILURES and len(self.failing) < _SHOWABLE:
            self.failing.append(Judged(result, judged.case, judged.actual, judged.unstable))

    def take_rest(self, before: Unfinished | None, plan: Plan) -> None:
        """Count what a resumed run had judged, where an interruption kept it from being read again."""
        for result, _ in itertools.islice(before.results() if before else (), self.count, None):
            self.run.summary.add(result)
            case = functools.partial(plan.case, self.count)
            self.run.coverage.add(plan.suite(self.count), result.outcome, case)
            self.remember(None, result)

"""The work that a diagnosis may take. It is counted, not timed, so that a busy machine finds what an idle one finds.

The unit is a multiplication. One pass over a case counts as steps · (samples · products + 10,000 · (layers + 2)): the
products of the network, and the fixed cost of a layer. Questions to the implementation are counted separately, because
their cost is unknown. Only a user's own limit is in seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.case.network import Case

#: The most multiplications in the search for names: about five seconds on one core.
FOR_NAMES = 150_000_000

#: The most multiplications in the search for formulas: passes over the failing cases.
FOR_FORMULAS = 100_000_000

#: The most multiplications to find further cases, which tell names apart.
FOR_FURTHER_CASES = 100_000_000

#: The most multiplications in the search for one smallest network.
FOR_THE_SMALLEST = 150_000_000

#: The most further cases that are sent to the implementation in one diagnosis.
QUESTIONS = 200

#: The fixed cost of a layer in multiplications.
_A_LAYER = 10_000


def work(case: Case) -> int:
    """The multiplications of one pass over a case: steps · (samples · products + 10,000 · (layers + 2))."""
    network = case.network
    return case.steps * (len(case.inputs) * network.products + _A_LAYER * (len(network.layers) + 2))


@dataclass(eq=False)
class Effort:
    """The work that is left for one diagnosis; None means no limit.

    ``deadline`` is the time of ``time.monotonic`` at which a user's own limit ends. ``tell`` is called, perhaps often,
    with a phrase that says what is being tried.
    """

    names: int | None = FOR_NAMES
    formulas: int | None = FOR_FORMULAS
    further_cases: int | None = FOR_FURTHER_CASES
    smallest: int | None = FOR_THE_SMALLEST
    questions: int | None = QUESTIONS
    deadline: float | None = None
    tell: Callable[[str], None] = field(default=lambda _: None)
    interrupted: bool = False

    @classmethod
    def within(cls, seconds: float | None, tell: Callable[[str], None] | None = None) -> Effort:
        """The usual effort, within a user's own limit of seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        return cls(deadline=deadline) if tell is None else cls(deadline=deadline, tell=tell)

    @classmethod
    def of(cls, names: int | None, questions: int | None = QUESTIONS) -> Effort:
        """``names`` multiplications for the searches for names and for formulas; no limit on other multiplications."""
        return cls(names, names, None, None, questions)

    def interrupt(self) -> None:
        """Try nothing more from now on."""
        self.interrupted = True

    @property
    def stopped(self) -> bool:
        """Whether the user's time is over, or the user ended the diagnosis."""
        return self.interrupted or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        """Whether the user's time is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def part(self, multiplications: int | None, *, among: int = 1) -> Part:
        """The effort of one search: its multiplications, and its share of the questions ``among`` that many
        searches.
        """
        return Part(self, multiplications, None if self.questions is None else -(-self.questions // among))


@dataclass(eq=False)
class Part:
    """The work that is left for one search of a diagnosis."""

    whole: Effort
    limit: int | None
    questions: int | None
    used: int = 0

    def ask(self) -> bool:
        """Take one question; returns False where none is left."""
        if self.questions is None or self.whole.questions is None:
            return True
        if min(self.questions, self.whole.questions) <= 0:
            return False
        self.questions -= 1
        self.whole.questions -= 1
        return True

    def spend(self, case: Case, passes: float = 1) -> None:
        """Count passes over a case."""
        self.used += int(passes * work(case))

    def half(self) -> Part:
        """The effort of a further search with half the work, and no questions."""
        return Part(self.whole, None if self.limit is None else self.limit // 2, 0)

    @property
    def spent(self) -> bool:
        """Whether nothing more may be tried."""
        return self.beyond(1.0)

    @property
    def share(self) -> float:
        """The share of the work that was spent; 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0

    def beyond(self, share: float) -> bool:
        """Whether this share of the work was spent."""
        return self.whole.stopped or (self.limit is not None and self.used >= share * self.limit)

    def tell(self, what: str) -> None:
        """Report what is being tried, and how much of the work was spent."""
        percent = f" ({min(99, int(100 * self.share))} % of the work)" if self.limit else ""
        self.whole.tell(f"{what}{percent}")

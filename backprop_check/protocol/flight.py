"""The order of sending: cases in flight, cases to be sent again, and requests that are not pulled yet."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from backprop_check.protocol.answers import Notes, Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backprop_check.protocol.options import Opening
    from backprop_check.protocol.process import Process

# How far answers may run ahead of the oldest case, as a multiple of max_in_flight: a case that hangs while
# others are answered must reach its timeout, and early answers must not pile up.
_AHEAD: Final = 4


@dataclass(slots=True)
class Case:
    """A request on its way."""

    index: int
    id: str
    data: bytes
    notes: Notes = field(default_factory=Notes)
    sent: float = 0.0
    log: int = 0
    alone: bool = False
    """It is sent again, without other cases in flight."""
    retried: bool = False
    """It is sent again to a new process, because an earlier case may have caused the failure."""
    other_id: str | None = None
    """An unknown id that came while the harness waited for this case."""


class Port(Protocol):
    """What a ``Conversation`` needs from an implementation."""

    opening: Opening
    unanswered: str

    @property
    def max_in_flight(self) -> int:
        """How many requests may be in flight."""

    def current(self) -> Process | None:
        """The running process; None where none runs."""

    def restart(self) -> Process:
        """Start a new process. Raises ``StartError`` where that fails."""

    def drop(self, grace: float) -> None:
        """End the running process."""


class Flight:
    """The cases in flight, oldest first, and the waiting ones."""

    def __init__(self, requests: Iterable[Request]) -> None:
        """Begin with nothing in flight; ``requests`` are pulled one by one."""
        self.cases: dict[str, Case] = {}
        self._requests = iter(requests)
        self._pulled = 0
        self._exhausted = False
        self._again: deque[Case] = deque()
        self._held: Case | None = None
        self._alone = 0

    def __bool__(self) -> bool:
        """Whether anything is in flight."""
        return bool(self.cases)

    @property
    def oldest(self) -> Case:
        """The case that was sent first."""
        return next(iter(self.cases.values()))

    def has_room(self, limit: int, first_open: int) -> bool:
        """Whether one more may be sent, where ``first_open`` is the index of the next answer to give."""
        if not self.cases:
            return True
        if self._again or self._alone:
            return False
        return len(self.cases) < limit and self._pulled - first_open < _AHEAD * limit

    def pull(self) -> Case | None:
        """The next case to send; None where there is none.

        Raises:
            ValueError: a case in flight has the same id.

        """
        if self._again:
            return self._again.popleft()
        if self._held is not None:
            case, self._held = self._held, None
            return case
        if self._exhausted:
            return None
        try:
            name, data = next(self._requests)
        except StopIteration:
            self._exhausted = True
            return None
        if name in self.cases:
            raise ValueError(f"two requests in flight have the id {name!r}")
        case = Case(self._pulled, name, data)
        self._pulled += 1
        return case

    def hold(self, case: Case) -> None:
        """Take back a case that was pulled but could not be sent, because others come first."""
        self._held = case

    def sent(self, case: Case, log: int) -> None:
        """Count a case as in flight from now on."""
        case.log = log
        case.sent = time.monotonic()
        self.cases[case.id] = case
        self._alone += case.alone

    def ended(self, case: Case) -> None:
        """Count a case as in flight no longer (if it was)."""
        if self.cases.pop(case.id, None) is not None:
            self._alone -= case.alone

    def again(self, note: str = "") -> None:
        """Take back all cases in flight, to be sent again before all others; with a note, each of them alone."""
        cases = list(self.cases.values())
        self.cases.clear()
        self._alone = 0
        for case in cases:
            if note:
                case.alone = True
                case.notes.add(note)
        self._again.extendleft(reversed(cases))

"""Finished answers: each waits until all answers before it are finished, so that they come in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from backprop_check.protocol.answers import Answer, Kind
from backprop_check.protocol.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.protocol.flight import Case
    from backprop_check.protocol.messages import Reply
    from backprop_check.protocol.process import Process

_STDERR_KEPT: Final = 8192
# The number of answered cases whose ids are remembered, to tell a second reply from one with an unknown id.
_IDS_KEPT: Final = 4096


class Finished:
    """The finished answers of one exchange."""

    def __init__(self) -> None:
        """Begin with none."""
        self.next = 0
        """The index of the next answer to hand over."""
        self._answers: dict[int, Answer] = {}
        self._ids: set[str] = set()
        self._order: deque[str] = deque()

    @property
    def ready(self) -> bool:
        """Whether the next answer is there."""
        return self.next in self._answers

    def take(self) -> Iterator[Answer]:
        """Yield the answers that are ready."""
        while self.next in self._answers:
            answer = self._answers.pop(self.next)
            self.next += 1
            yield answer

    def knows(self, name: str) -> bool:
        """Whether a case with this id was answered recently."""
        return name in self._ids

    def add(
        self,
        case: Case,
        kind: Kind,
        text: str,
        process: Process | None,
        *,
        reply: Reply | None = None,
        seconds: float = 0.0,
        size: int = 0,
    ) -> None:
        """Finish a case, with its notes and the log that the process wrote since the case was sent."""
        stderr = ""
        if process and case.sent and process.stderr_mark() > case.log:
            stderr = clean_text(process.stderr_tail(case.log)[-_STDERR_KEPT:], _STDERR_KEPT)
        self._ids.add(case.id)
        self._order.append(case.id)
        if len(self._order) > _IDS_KEPT:
            self._ids.discard(self._order.popleft())
        self._answers[case.index] = Answer(
            id=case.id,
            kind=kind,
            reply=reply,
            message=text,
            notes=case.notes.texts(),
            stderr=stderr,
            seconds=seconds,
            size=size,
            noise=case.notes.noise,
        )

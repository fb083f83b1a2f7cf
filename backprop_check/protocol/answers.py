"""The interface of an implementation to the rest of the harness: its description, and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self

import msgspec

from backprop_check.protocol.messages import Reply  # noqa: TC001 (a Struct's fields are looked up when it runs)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from backprop_check.protocol.messages import Dtype, HelloReply

Kind = Literal["reply", "skip", "error", "crash", "timeout", "protocol_error", "not_run"]
Request = tuple[str, bytes]

_NOISE_KEPT: Final = 5
_NOTES_KEPT: Final = 10


@dataclass(frozen=True, slots=True)
class ImplementationInfo:
    """Name, language, version, command and dtype of an implementation; all texts are safe to show."""

    name: str
    language: str
    version: str
    command: str
    dtype: Dtype


class Answer(msgspec.Struct, frozen=True):
    """The answer to one case.

    The kinds reply, skip and error have a ``reply``.  ``message`` says in plain words what happened
    and what to do about it (empty for a reply).  ``notes`` mention irregularities that do not affect the verdict;
    ``stderr`` is the end of the log that was written meanwhile.  All texts except those inside ``reply`` are safe to
    show.  ``seconds`` counts from the moment at which the implementation could have begun with this case; ``size`` is
    the size of the reply in bytes, ``noise`` the number of lines on stdout that were not JSON objects.
    """

    id: str
    kind: Kind
    reply: Reply | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    stderr: str = ""
    seconds: float = 0.0
    size: int = 0
    noise: int = 0


class Implementation(Protocol):
    """Code under test, wherever it runs."""

    @property
    def hello(self) -> HelloReply:
        """Its reply to hello."""

    @property
    def echo_problems(self) -> Sequence[str]:
        """A sentence for each number that did not come back as it was sent."""

    @property
    def in_process(self) -> bool:
        """Whether it runs in this process, where it can neither be ended nor restarted."""

    @property
    def marker(self) -> str:
        """The text that marks its processes in their environment, to find leftover ones; empty where it has none."""

    def start_notes(self) -> tuple[str, ...]:
        """The notes since the start; each note is given only once, here or with an answer."""

    def describe(self) -> ImplementationInfo:
        """Its name, language, version, command and dtype."""

    def exchange(self, requests: Iterable[Request], *, keep_running: bool = False) -> Iterator[Answer]:
        """Send requests (case id, line) and yield the answers, in the same order."""

    def close(self) -> None:
        """End it; may be called twice."""

    def __enter__(self) -> Self:
        """Use it as a context manager."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""


class Notes:
    """The notes of one case; their number is limited, however much an implementation prints."""

    def __init__(self) -> None:
        """Begin without notes."""
        self.noise = 0
        self.shown: list[str] = []
        """The first lines that were not JSON objects."""
        self.others: list[str] = []
        """The first notes of any other kind."""
        self.dropped = 0
        """The number of notes of any other kind that were dropped."""

    def add(self, *notes: str) -> None:
        """Add notes."""
        for note in notes:
            if len(self.others) < _NOTES_KEPT:
                self.others.append(note)
            else:
                self.dropped += 1

    @property
    def full(self) -> bool:
        """Whether further notes are only counted."""
        return len(self.others) >= _NOTES_KEPT

    def add_noise(self, text: str) -> None:
        """Add a line that was not a JSON object."""
        self.noise += 1
        if len(self.shown) < _NOISE_KEPT:
            self.shown.append(f"a line on stdout is not a JSON object: {text}" if text else "an empty line on stdout")

    def count_noise(self) -> bool:
        """If enough lines that were not JSON objects are kept, count one more; return whether it was counted."""
        if len(self.shown) < _NOISE_KEPT:
            return False
        self.noise += 1
        return True

    def take(self, other: Notes) -> None:
        """Move all notes of ``other`` here."""
        self.add(*other.others)
        self.dropped += other.dropped
        self.shown = (other.shown + self.shown)[:_NOISE_KEPT]
        self.noise += other.noise
        other.clear()

    def clear(self) -> None:
        """Forget all notes."""
        self.noise = self.dropped = 0
        self.shown, self.others = [], []

    def texts(self) -> tuple[str, ...]:
        """All notes, with the numbers of those that were dropped."""
        if not (self.noise or self.others):
            return ()
        texts = [*self.others, *self.shown]
        if self.dropped:
            texts.append(f"… and {self.dropped} more notes")
        if self.noise > len(self.shown):
            texts.append(f"… and {self.noise - len(self.shown)} more lines on stdout that are not JSON objects")
        return tuple(texts)

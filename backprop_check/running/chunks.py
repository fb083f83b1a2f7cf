"""The work of a run, divided into chunks that any process can do: which cases, which settings, which implementation.

Cases have positions from 0; ``CHUNK`` consecutive cases are one chunk. So the same run gives the same results in the
same order, whether in one process, in several, or on several machines. Decisions that depend on earlier results (start
notes, giving up an implementation that always dies) are made here, by ``Order``, where all results come together in the
order of the cases.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.cases.plan import Listed, Plan
from backprop_check.protocol.options import Opening
from backprop_check.protocol.text import clean_text
from backprop_check.protocol.unseen import user_folder
from backprop_check.running.fast_path import Right, right
from backprop_check.running.one_case import (
    Judged,
    Result,
    Settings,
    compared,
    judge_answer,
    judge_whole,
    not_supported,
    witnesses,
)
from backprop_check.running.witness_cache import Cache, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Slot
    from backprop_check.protocol import Answer, HelloReply, Implementation

#: Cases per chunk: few enough that all processes finish at about the same time, enough that handing out is cheap.
CHUNK = 16

#: An implementation that exited or hung in more cases than this, and in more than a tenth of its cases, is given up.
MOST_DEATHS = 20

_NOTHING = np.empty(0)


def kept_for(hello: HelloReply, settings: Settings) -> Cache:
    """The user's cache of expected values, for an implementation with this hello."""
    supports = msgspec.to_builtins(hello.supports)
    return Cache(user_folder(), hello.dtype, settings.profile, supports=supports)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that another process needs: it opens ``spec`` as ``opening`` says, and judges cases of the plan."""

    spec: str
    opening: Opening
    plan: Plan
    settings: Settings
    cache: Cache | None = None

    def judge(self, implementation: Implementation, positions: Sequence[int]) -> Iterator[Judged]:
        """The cases at these positions, in one exchange; the implementation stays running."""
        return self.judge_all(implementation, [positions])

    def judge_all(self, implementation: Implementation, pieces: Iterable[Sequence[int]]) -> Iterator[Judged]:
        """The same for several chunks: still one exchange, so that the implementation never waits between them."""
        if self.cache is not None:
            return self._judge_kept(implementation, pieces, self.cache)
        cases = (self.plan.case(position) for positions in pieces for position in positions)
        return judge_whole(cases, implementation, self.settings, keep_running=True)

    def _judge_kept(
        self, implementation: Implementation, pieces: Iterable[Sequence[int]], cache: Cache
    ) -> Iterator[Judged]:
        """``judge_all`` with cached expected values; a reply that they do not confirm is judged by the witnesses."""
        hello = implementation.hello
        waiting: deque[tuple[Entry, _Piece]] = deque()

        def requests() -> Iterator[tuple[str, bytes]]:
            for positions in pieces:
                piece = _Piece(self, cache, positions, hello)
                for number in range(len(positions)):
                    entry = piece.entry(number)
                    waiting.append((entry, piece))
                    if entry.lacking is None:
                        yield entry.id, entry.request

        for answer in implementation.exchange(requests(), keep_running=True):
            while waiting[0][0].lacking is not None:
                entry, piece = waiting.popleft()
                yield not_applicable(entry.read_case(), entry.lacking)
                piece.done()
            entry, piece = waiting.popleft()
            yield self._judge_entry(entry, answer, hello.dtype, piece)
            piece.done()
        while waiting:
            entry, piece = waiting.popleft()
            yield not_applicable(entry.read_case(), entry.lacking)
            piece.done()

    def _judge_entry(self, entry: Entry, answer: Answer, dtype: str, piece: _Piece) -> Judged:
        """The result of one answer."""
        if answer.kind != "reply" or answer.reply is None:
            return judge_answer(entry.read_case(), answer, dtype, self.settings)
        if not entry.slots:
            entry.fill(witnesses(entry.read_case().rounded(dtype), dtype, self.settings.profile))
            piece.changed = True
        found = None if entry.by_step else right(entry, answer.reply, self.settings.rtol, self.settings.atol)
        if found is None:
            case, expected = entry.read(dtype, self.settings.profile)
            assert expected is not None
            _, comparison = compared(case.rounded(dtype), expected, answer.reply, dtype, self.settings)
            if comparison.count:
                return judge_answer(case, answer, dtype, self.settings)
            found = Right(tuple(comparison.actual), comparison.values_checked, comparison.neurons_checked)
            notes, conventions = [*answer.notes, *comparison.notes], comparison.conventions
        else:
            notes, conventions = [*answer.notes], []
        result = Result(
            id=entry.id,
            seconds=round(answer.seconds, 6),
            values_checked=found.values,
            neurons_checked=found.neurons,
            outcome="passed",
            notes=notes,
            conventions=conventions,
        )
        return Passed(result, entry, found.slots, dtype)


class Passed(Judged):
    """A right reply. Its case is decoded only on demand, and only the slots of its arrays are kept."""

    __slots__ = ("_dtype", "_entry")
    _dtype: str
    _entry: Entry

    def __init__(self, result: Result, entry: Entry, slots: tuple[Slot, ...], dtype: str) -> None:
        for name, value in (
            ("result", result),
            ("actual", dict.fromkeys(slots, _NOTHING)),
            ("unstable", ""),
            ("_entry", entry),
            ("_dtype", dtype),
        ):
            object.__setattr__(self, name, value)

    @property
    def about(self) -> str:
        """The subject of the case (``Case.about``), without decoding the case."""
        return "training" if self._entry.by_step else "layers" if self._entry.names else "dense"

    @property
    def case(self) -> Case:
        """The case that was sent, in the implementation's dtype."""
        return self._entry.read_case().rounded(self._dtype)

    @property
    def kept(self) -> tuple[str, bytes, str]:
        """The case undecoded: its id, its JSON, and the dtype to round it to."""
        return self._entry.id, self._entry.case, self._dtype


class _Piece:
    """A chunk with its cache entries, which are saved when all its cases are judged, if any entry is new."""

    def __init__(self, work: Work, cache: Cache, positions: Sequence[int], hello: HelloReply) -> None:
        self._work, self._cache, self._positions, self._hello = work, cache, positions, hello
        self._labels = [work.plan.label(position) for position in positions]
        kept = cache.load(self._labels)
        self.changed, self._entries = kept is None, kept or []
        self._left = len(positions)

    def entry(self, number: int) -> Entry:
        """A case of it, in their order."""
        if number == len(self._entries):
            case = self._work.plan.case(self._positions[number])
            self._entries.append(Entry.of(case, self._hello.dtype, not_supported(case, self._hello)))
        return self._entries[number]

    def done(self) -> None:
        """Count one as judged."""
        self._left -= 1
        if not self._left and self.changed:
            self._cache.save(self._labels, self._entries)


def judge_one(case: Case, implementation: Implementation, settings: Settings, cache: Cache | None = None) -> Judged:
    """One case, with what is kept of it; the implementation stays running."""
    plan: Any = Listed((case,))
    work = Work(spec="", opening=Opening(), plan=plan, settings=settings, cache=cache)
    (judged,) = work.judge(implementation, [0])
    return judged


def chunks(start: int, end: int) -> Iterator[range]:
    """Positions ``start`` to ``end`` − 1 in chunks; the first ends where it would, had the run begun at 0."""
    while start < end:
        stop = min(end, (start // CHUNK + 1) * CHUNK)
        yield range(start, stop)
        start = stop


def left(start: int, end: int, done: Container[int] = ()) -> Iterator[Sequence[int]]:
    """The chunks without the positions that are done."""
    for positions in chunks(start, end):
        some = [position for position in positions if position not in done]
        if some:
            yield positions if len(some) == len(positions) else some


class Shipped(msgspec.Struct, frozen=True, array_like=True):
    """A judged case in the form that is sent between processes; of a right reply, only the slots are sent."""

    position: int
    result: Result
    case: Any
    actual: Any
    unstable: str

    @classmethod
    def of(cls, position: int, judged: Judged) -> Shipped:
        """The form to send."""
        if isinstance(judged, Passed):
            return cls(position, judged.result, judged.kept, tuple(judged.actual or ()), "")
        actual: Any = judged.actual
        if actual is not None and judged.result.outcome == "passed":
            actual = tuple(actual)
        return cls(position, judged.result, judged.case, actual, judged.unstable)

    def judged(self) -> Judged:
        """The judged case on the receiving side."""
        slots: Any = self.actual
        if isinstance(self.case, tuple):
            name, case, dtype = self.case
            return Passed(self.result, Entry(name, case), slots, dtype)
        actual = dict.fromkeys(slots, _NOTHING) if isinstance(slots, tuple) else slots
        return Judged(self.result, self.case, actual, self.unstable)


def not_applicable(case: Case, lacking: str | None) -> Judged:
    """The result of a case that is not sent, because the implementation does not claim ``lacking``."""
    message = f"it does not support {clean_text(str(lacking), 80)}"
    return Judged(Result(id=case.id, outcome="not_applicable", message=message), case)


class Order:
    """Passes results on in the order of the cases: adds the start notes, and gives the implementation up if need be.

    In a resumed run, ``count`` the earlier results first.
    """

    def __init__(self, plan: Plan, hello: HelloReply, notes: tuple[str, ...]) -> None:
        self._plan, self._hello, self._notes = plan, hello, notes
        self._sent = self._deaths = self.position = 0
        self._over = self._trouble = ""

    def count(self, result: Result) -> None:
        """Count the next result, whether judged now or in an earlier run."""
        self.position += 1
        if result.outcome == "not_applicable":
            return
        self._sent += 1
        self._notes = ()
        if result.outcome in ("crash", "timeout"):
            self._deaths += 1
            self._trouble = result.message
        elif result.outcome == "not_run":
            self._over = result.message
        if not self._over and self._deaths > MOST_DEATHS and 10 * self._deaths > self._sent:
            self._over = (
                f"not run: the implementation exited or hung in {self._deaths} of {self._sent} cases "
                f"and is given up; the last problem: {self._trouble}"
            )

    def run(self, judging: Callable[[int], Iterator[Judged]]) -> Generator[Judged, None, None]:
        """All further results. ``judging(position)`` must yield the results from that position on, in order.

        ``judging`` is closed when the implementation is given up, which happens at the end of a chunk.
        """
        source = judging(self.position)
        try:
            while self.position < len(self._plan) and not (self._over and self.position % CHUNK == 0):
                judged = next(source)
                if self._notes and judged.result.outcome != "not_applicable":
                    notes = [*self._notes, *judged.result.notes]
                    result = msgspec.structs.replace(judged.result, notes=notes)
                    judged = Judged(result, judged.case, judged.actual, judged.unstable)
                self.count(judged.result)
                yield judged
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        while self.position < len(self._plan):
            case = self._plan.case(self.position)
            self.position += 1
            lacking = not_supported(case, self._hello)
            if lacking is not None:
                yield not_applicable(case, lacking)
            else:
                result = Result(id=case.id, outcome="not_run", message=self._over, case=case.to_dict())
                yield Judged(result, case)


def alone(work: Work, implementation: Implementation, done: Container[int] = ()) -> Callable[[int], Iterator[Judged]]:
    """Judge in this process, in one exchange.

    With ``done`` cases there is one exchange per unbroken run of positions. The turn of a done case may send it to the
    implementation again, which would lose the cases in flight of an open exchange.
    """

    def judging(start: int) -> Iterator[Judged]:
        pieces = left(start, len(work.plan), done)
        if not done:
            yield from work.judge_all(implementation, pieces)
            return
        for piece in pieces:
            for run in unbroken(piece):
                yield from work.judge(implementation, run)

    return judging


def unbroken(positions: Sequence[int]) -> list[list[int]]:
    """Split positions into runs of consecutive ones: [1, 2, 5] becomes [[1, 2], [5]]."""
    numbered = itertools.groupby(enumerate(positions), key=lambda pair: pair[1] - pair[0])
    return [[position for _, position in run] for _, run in numbered]


def with_done(
    judging: Callable[[int], Iterator[Judged]], done: Mapping[int, Callable[[], Judged]], end: int
) -> Callable[[int], Iterator[Judged]]:
    """``judging`` with the results that are ``done`` inserted at their positions."""

    def both(start: int) -> Iterator[Judged]:
        source = judging(start)
        try:
            for position in range(start, end):
                yield done[position]() if position in done else next(source)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    return both if done else judging

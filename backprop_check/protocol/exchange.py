"""The conversation about cases: sending requests, reading replies, and handling failures.

Answers come in the order of the requests.  Ready answers are yielded before the next request is
pulled, so that an iterable of requests that blocks does not hold them back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from backprop_check.errors import StartError
from backprop_check.protocol.finished import Finished
from backprop_check.protocol.flight import Case, Flight, Port
from backprop_check.protocol.messages import Malformed, Message, Noise, Reply
from backprop_check.protocol.parsing import is_noise, leading_id, parse_line
from backprop_check.protocol.pipes import Deaf, Eof, Event, Line
from backprop_check.protocol.text import clean_text, one_line
from backprop_check.protocol.troubles import LOOP, crash_message, timeout_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.protocol.answers import Answer, Kind, Notes, Request
    from backprop_check.protocol.process import Process

_START_FAILURES: Final = 3
# The reading thread gets this long to deliver, in seconds, even if this thread is late for a deadline.
_LAST_LOOK: Final = 0.02
# While no event comes: the interval, in seconds, at which to check whether the process still reads.
_LOOK: Final = 0.25
# After this many proofs that a port leaves out its ids, no further proof is needed.
_PROOFS: Final = 2


class Conversation:
    """One exchange of requests for answers."""

    def __init__(self, port: Port, requests: Iterable[Request], start_notes: Notes) -> None:
        """Prepare; ``start_notes`` (notes from before the first case) go to the first answer."""
        self._port = port
        self._flight = Flight(requests)
        self._finished = Finished()
        self._loose = start_notes
        self._last_reply = 0.0
        self._restarts = 0
        self._fresh = port.current() is None
        self._over: str | None = None
        self._trouble = ""
        self._half = b""
        self._limit = port.max_in_flight
        self._proofs = 0

    def answers(self) -> Iterator[Answer]:
        """Yield an answer to every request, in order.

        Raises:
            ValueError: two requests in flight have the same id.

        """
        while True:
            yield from self._finished.take()
            self._fill()
            if self._finished.ready:
                continue
            if not self._flight:
                return
            self._read()

    # Sending

    def _fill(self) -> None:
        """Send what may be sent; stops as soon as an answer is ready."""
        while True:
            self._drain()
            if self._finished.ready or not self._has_room():
                return
            case = self._flight.pull()
            if case is None:
                return
            # Pulling can take long: check what happened to the process meanwhile.
            self._drain()
            if self._over is not None:
                self._finish(case, "not_run", self._over)
            elif self._has_room():
                self._send(case)
            else:
                self._flight.hold(case)

    def _has_room(self) -> bool:
        return self._flight.has_room(self._limit, self._finished.next)

    def _send(self, case: Case) -> None:
        process = self._port.current()
        if process is None:
            process = self._start(case)
            if process is None:
                if self._over is not None:
                    self._finish(case, "not_run", self._over)
                return
        case.notes.take(self._loose)
        self._flight.sent(case, process.stderr_mark())
        process.send(case.data)
        if self._port.opening.one_shot:
            process.close_stdin()

    def _start(self, case: Case) -> Process | None:
        """Restart the process; where that fails, the conversation is over (with one-shot only this case)."""
        for _ in range(_START_FAILURES):
            if self._port.opening.one_shot or self._fresh:
                # The first process of an exchange is no restart.
                self._fresh = False
            elif self._restarts >= self._port.opening.max_restarts:
                break
            else:
                self._restarts += 1
            try:
                return self._port.restart()
            except StartError as error:
                self._trouble = f"it could not be started again: {error}"
                if self._port.opening.one_shot:
                    self._finish(case, "crash", str(error))
                    return None
        times = f"{self._restarts} time{'s' if self._restarts != 1 else ''}"
        self._over = (
            f"not run: the implementation was restarted {times} and is given up; the last problem: {self._trouble}"
        )
        return None

    # Receiving

    def _deadline(self) -> float:
        return self._began(self._flight.oldest) + self._port.opening.timeout

    def _began(self, case: Case) -> float:
        """When the port could have begun: after the case was sent and the previous reply had come."""
        return max(case.sent, self._last_reply)

    def _read(self) -> None:
        """Wait for one event, or for the oldest case's time to be up."""
        process = self._port.current()
        oldest, deadline = self._flight.oldest, self._deadline()
        event = self._await(process, deadline) if process else None
        if event is not None:
            self._take(event)
        # Lines that do not answer a case do not prolong the wait, however fast they come.
        late = event is None or event.arrived > deadline
        if late and self._flight.cases.get(oldest.id) is oldest and self._port.current() is process:
            if process is not None and process.has_unread and self._doubtful(process, oldest):
                self._make_sure(oldest, f"the process did not read this case within {self._port.opening.timeout:g} s")
                return
            self._fail("timeout", timeout_message(process, oldest, self._port.opening.timeout, self._port.unanswered))

    def _await(self, process: Process, deadline: float) -> Event | None:
        while True:
            left = max(deadline - time.monotonic(), _LAST_LOOK)
            event = process.receive(min(left, _LOOK))
            if event is not None or left <= _LOOK:
                return event
            if process.deaf:
                return Deaf(time.monotonic())

    def _drain(self) -> None:
        """Handle the events that have already come."""
        while (process := self._port.current()) is not None:
            event = process.receive(0)
            if event is None:
                return
            self._take(event)
            if self._finished.ready or (not self._flight and isinstance(event, Line)):
                # Yield the answer first; if no request is in flight, one line of a chatty port is enough.
                return
            if self._flight and event.arrived > self._deadline():
                # An endless stream of lines: _read decides about it.
                return

    def _take(self, event: Event) -> None:
        if isinstance(event, Line):
            self._take_line(event)
        elif isinstance(event, Eof):
            self._died()
        elif isinstance(event, Deaf):
            self._deaf()
        else:
            self._fail("protocol_error", f"a line on stdout is longer than {event.limit} bytes")

    def _take_line(self, line: Line) -> None:
        notes = self._flight.oldest.notes if self._flight else self._loose
        if line.complete and is_noise(line.data) and not self._port.opening.strict_stdout and notes.count_noise():
            # Of a flood of lines only the first few are parsed.
            return
        if notes.full and (name := leading_id(line.data)) is not None and self._is_known_stranger(name):
            notes.add("")
            return
        parsed = parse_line(line.data)
        if not line.complete and not isinstance(parsed, Message):
            self._half = line.data
        elif isinstance(parsed, Message):
            case = self._flight.cases.get(parsed.reply.id)
            if case is None:
                self._unknown(parsed.reply.id, notes)
            else:
                case.notes.add(*parsed.notes)
                self._reply(case, parsed, line)
        elif isinstance(parsed, Noise):
            if self._port.opening.strict_stdout and self._flight:
                text = f"a line on stdout is not a JSON object ({parsed.text or 'it is empty'})"
                message = f"{text}; with --strict-stdout only replies may be printed there, a log goes to stderr"
                self._resolve(self._flight.oldest, "protocol_error", message, line)
            else:
                notes.add_noise(parsed.text)
        else:
            self._malformed(parsed, line, notes)

    def _is_known_stranger(self, name: str) -> bool:
        """Whether one more reply with this id, of no case in flight, would add nothing new to the notes."""
        if name in self._flight.cases:
            return False
        return not self._flight or self._flight.oldest.other_id is not None or self._finished.knows(name)

    def _malformed(self, parsed: Malformed, line: Line, notes: Notes) -> None:
        problem = f"the reply is not what the protocol asks for: {parsed.problem}"
        if parsed.id is None and self._flight:
            self._nameless(parsed, problem, line)
            return
        case = self._flight.cases.get(parsed.id) if parsed.id is not None else None
        if case is not None:
            case.notes.add(*parsed.notes)
            self._resolve(case, "protocol_error", problem, line)
        else:
            notes.add(f"a malformed reply to no case in flight was dropped: {parsed.problem}")

    def _nameless(self, parsed: Malformed, problem: str, line: Line) -> None:
        """Find the case of a malformed reply without an id: it is certain if a new process got only one case."""
        process, oldest = self._port.current(), self._flight.oldest
        if process is None:
            return
        process.nameless += 1
        if len(self._flight.cases) > 1:
            # Send cases one by one from now on, so that the next such reply can be attributed.
            self._limit = 1
            self._run_again(f"{problem}; {len(self._flight.cases)} cases were in flight; this one ran again alone")
        elif process.nameless > 1 and self._proofs < _PROOFS and self._doubtful(process, oldest):
            self._make_sure(oldest, f"{problem}; this may have been meant for an earlier case")
        else:
            if oldest.retried:
                self._proofs += 1
                self._restarts -= 1
            oldest.notes.add(*parsed.notes)
            self._resolve(oldest, "protocol_error", problem, line)

    def _unknown(self, name: str, notes: Notes) -> None:
        oldest = self._flight.oldest if self._flight else None
        if notes.full and self._is_known_stranger(name):
            # Of a flood of such replies only the number is noted.
            notes.add("")
            return
        shown = one_line(name, 80)
        if self._finished.knows(name):
            notes.add(f'a second or late reply to "{shown}" was dropped')
            return
        notes.add(f'a reply with the unknown id "{shown}" was dropped')
        if oldest is not None:
            oldest.other_id = shown

    def _reply(self, case: Case, message: Message, line: Line) -> None:
        reply = message.reply
        kind: Kind = "reply"
        text = ""
        if reply.error is not None:
            kind, text = "error", clean_text(reply.error)
        elif reply.skip is not None:
            kind, text = "skip", clean_text(reply.skip)
        self._resolve(case, kind, text, line, message)

    # Ending a case

    def _resolve(self, case: Case, kind: Kind, text: str, line: Line, message: Message | None = None) -> None:
        """Finish a case by a line that came; the process keeps running."""
        seconds = max(0.0, line.arrived - self._began(case))
        self._last_reply = max(self._last_reply, line.arrived)
        process = self._port.current()
        if process is not None:
            process.answered += 1
        if self._port.opening.one_shot:
            self._end_one_shot(case)
        reply = message.reply if message else None
        self._finish(case, kind, text, reply=reply, seconds=seconds, size=len(line.data))

    def _end_one_shot(self, case: Case) -> None:
        process = self._port.current()
        if process is not None and not process.wait(1.0):
            case.notes.add("the process did not exit after its reply and was ended")
        elif process is not None and process.returncode:
            case.notes.add(f"after its reply the process {process.exit_description()}")

    def _finish(
        self,
        case: Case,
        kind: Kind,
        text: str,
        *,
        reply: Reply | None = None,
        seconds: float = 0.0,
        size: int = 0,
    ) -> None:
        process = self._port.current()
        self._flight.ended(case)
        self._finished.add(case, kind, text, process, reply=reply, seconds=seconds, size=size)
        if self._port.opening.one_shot and process is not None:
            self._port.drop(0)

    # Failures

    def _deaf(self) -> None:
        """Handle that a request could not be written: either the process is gone, or it closed its input."""
        process = self._port.current()
        if process is None or self._port.opening.one_shot or process.wait(_LAST_LOOK):
            # If the process ends, the end of its output says so; a one-shot script need not read its input.
            return
        if self._flight and process.has_unread and self._doubtful(process, self._flight.oldest):
            self._trouble = f"the process closed its standard input; {LOOP}"
            self._make_sure(self._flight.oldest, "the process had closed its standard input before this case")

    def _doubtful(self, process: Process, case: Case) -> bool:
        """Whether an earlier case may have caused a failure, and a restart can show it."""
        return (
            len(self._flight.cases) == 1
            and process.answered > 0
            and not case.retried
            and not self._port.opening.one_shot
        )

    def _make_sure(self, case: Case, what: str) -> None:
        """Run the only case in flight once more, on a new process, where no earlier case can be the cause."""
        case.retried = True
        self._run_again(f"{what}; the process was started again for this case")

    def _died(self) -> None:
        """Handle the end of the process's output."""
        process = self._port.current()
        if process is None:
            return
        process.settle()
        how = process.exit_description()
        if process.exited_at is None:
            how = "closed its standard output"
        self._trouble = f"the process {how}" + (f"; {LOOP}" if process.returncode == 0 else "")
        if not self._flight:
            self._loose.add(f"after the reply before this the process {how}; it was started again")
            self._port.drop(0)
            return
        oldest = self._flight.oldest
        gone_before = process.exited_at is not None and process.exited_at < oldest.sent
        if gone_before and not oldest.retried and not self._port.opening.one_shot:
            self._make_sure(oldest, f"the process {how} before this case was sent")
            return
        if self._doubtful(process, oldest):
            # It ended so soon after an earlier reply that either case may be the cause.
            self._make_sure(oldest, f"the process {how} after it had answered others")
            return
        message = crash_message(process, how, oldest, self._half, one_shot=self._port.opening.one_shot)
        if oldest.retried and len(self._flight.cases) == 1:
            # The restart by _make_sure is not counted.
            self._restarts -= 1
        self._fail("crash", message)

    def _fail(self, kind: Kind, message: str) -> None:
        """End the process; blame the only case in flight, or run each case alone to find the one at fault."""
        self._trouble = message
        self._half = b""
        cases = list(self._flight.cases.values())
        spent = not self._port.opening.one_shot and self._restarts >= self._port.opening.max_restarts
        if len(cases) > 1 and not spent:
            what = {"timeout": "did not finish", "crash": "ended"}.get(kind, "broke the protocol")
            self._run_again(f"the process {what} while {len(cases)} cases were in flight; this one ran again alone")
            return
        for case in cases[:1]:
            if len(cases) > 1:
                message += f" (this was the oldest of {len(cases)} cases in flight)"
            self._finish(case, kind, message, seconds=max(0.0, time.monotonic() - self._began(case)))
        self._flight.again()
        self._port.drop(0)

    def _run_again(self, note: str) -> None:
        self._flight.again(note)
        self._half = b""
        self._port.drop(0)

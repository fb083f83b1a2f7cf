"""An implementation in another process: opened with hello, asked for answers, and ended with all it started."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from backprop_check.errors import StartError
from backprop_check.protocol import tree
from backprop_check.protocol.answers import Answer, ImplementationInfo, Notes, Request
from backprop_check.protocol.echo import echo_problems
from backprop_check.protocol.exchange import Conversation
from backprop_check.protocol.messages import PROTOCOL, HelloReply, Malformed, Noise, hello_request
from backprop_check.protocol.options import Opening
from backprop_check.protocol.parsing import parse_hello
from backprop_check.protocol.pipes import Deaf, Line, TooLong
from backprop_check.protocol.process import Process
from backprop_check.protocol.signals import held
from backprop_check.protocol.starting import command_not_found
from backprop_check.protocol.text import clean_text, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

_GRACE: Final = 2.0
#: The number of characters that are shown of the end of its standard error.
STDERR_SHOWN: Final = 1000


class SubprocessImplementation:
    """A port: a process that speaks the protocol.

    Creating this object starts the process and waits for its hello.  ``exchange`` never raises because of what the
    port does: every request gets an answer.  Use one exchange at a time, from one thread.
    """

    in_process = False
    """Whether it runs in this process."""

    unanswered = "if it did answer, does it write a newline and flush its output after each reply?"
    """A hint at the cause where no reply to a case came."""

    def __init__(
        self,
        argv: Sequence[str],
        opening: Opening = Opening(),  # noqa: B008 - it is frozen
        *,
        harness_version: str = "0",
        prefix: Sequence[str] = (),
    ) -> None:
        """Start the port and say hello.

        ``prefix`` is put before the command (to run it in a sandbox, say); it is never shown.

        Raises:
            StartError: it could not be started, or its hello is missing or wrong.

        """
        self.argv = list(argv)
        self.opening = opening
        self._prefix = list(prefix)
        self._hello_line = hello_request(harness_version)
        self.marker = uuid.uuid4().hex
        """The text that marks its processes in their environment, to find leftover ones (``tree.end_marked``)."""
        self._notes = Notes()
        self._process: Process | None = None
        self._closed = False
        try:
            self.hello: HelloReply = self._open()
        except BaseException:
            self.drop(0)
            self.close()
            raise
        self.echo_problems: list[str] = echo_problems(self.hello.echo, self.hello.dtype)

    # The interface of Implementation

    def describe(self) -> ImplementationInfo:
        """Its name, language, version, command and dtype; all texts are safe to show."""
        command = subprocess.list2cmdline(self.argv) if os.name == "nt" else shlex.join(self.argv)
        return ImplementationInfo(
            name=one_line(self.hello.name) or one_line(Path(self.argv[0]).name),
            language=one_line(self.hello.language),
            version=one_line(self.hello.version),
            command=one_line(command, 2000),
            dtype=self.hello.dtype,
        )

    def start_notes(self) -> tuple[str, ...]:
        """The notes since the start; each note is given only once, here or with an answer."""
        texts = self._notes.texts()
        self._notes.clear()
        return texts

    def exchange(self, requests: Iterable[Request], *, keep_running: bool = False) -> Iterator[Answer]:
        """Send requests (case id, line) and yield the answers in the same order; a failure becomes an answer.

        A request is pulled only when it can be sent.  At the end, or when the iterator is
        closed or interrupted, the process is ended.  With ``keep_running``, a process whose exchange reached its end is
        kept for the next exchange.  An exchange starts a process where none runs.

        Raises:
            ValueError: two requests in flight have the same id, or the implementation was closed.

        """
        if self._closed:
            message = "the implementation was closed"
            raise ValueError(message)
        return self._exchange(requests, keep_running=keep_running)

    def _exchange(self, requests: Iterable[Request], *, keep_running: bool) -> Iterator[Answer]:
        complete = False
        try:
            yield from Conversation(self, requests, self._notes).answers()
            complete = True
        finally:
            if not (complete and keep_running):
                try:
                    self.drop(_GRACE if complete else 0)
                finally:
                    with held():
                        tree.end_marked(self.marker)

    def close(self) -> None:
        """End the process with all that it started; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self.drop(_GRACE)
        finally:
            with held():
                tree.end_marked(self.marker)

    def __enter__(self) -> Self:
        """Use it as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; after an exception, at once."""
        if kind is not None:
            self.drop(0)
        self.close()

    # The interface of Port, for Conversation

    @property
    def max_in_flight(self) -> int:
        """The largest number of requests in flight."""
        return 1 if self.opening.one_shot else self.hello.max_in_flight

    def current(self) -> Process | None:
        """The running process; None where none runs."""
        return self._process

    def drop(self, grace: float) -> None:
        """End the running process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.close(grace)

    def restart(self) -> Process:
        """Start a new process, with its hello unless each case has its own process.

        Raises:
            StartError: that failed.

        """
        self._spawn()
        if not self.opening.one_shot:
            self.say_hello()
        assert self._process is not None
        return self._process

    # Starting

    def _open(self) -> HelloReply:
        self._spawn()
        hello = self.say_hello()
        if self.opening.one_shot:
            self.drop(_GRACE)
        return hello

    def _spawn(self) -> None:
        process = Process(
            [*self._prefix, *self.argv],
            cwd=self.opening.cwd,
            env=self.opening.env,
            max_line=self.opening.max_line,
            memory_limit=self.opening.memory_limit,
            marker=self.marker,
        )
        self._process = process  # before it runs: whatever interrupts its start, it is ended
        try:
            process.start()
        except (OSError, ValueError) as error:
            self._process = None
            raise self._not_started(error) from None

    def _not_started(self, error: OSError | ValueError) -> StartError:
        if not self.argv:
            hint = "give the command that starts the implementation"
            return StartError("no-program", "the command is empty", hint)
        program = one_line(self.argv[0])
        if self.opening.cwd is not None and not Path(self.opening.cwd).is_dir():
            cause = f'the directory "{one_line(str(self.opening.cwd))}" to start the implementation in does not exist'
            return StartError("no-such-folder", cause)
        here = Path(self.opening.cwd or ".") / self.argv[0] if "\0" not in self.argv[0] else None
        if isinstance(error, FileNotFoundError):
            return command_not_found(self.argv[0], here)
        if isinstance(error, PermissionError):
            hint = "make it executable, or run it with its interpreter"
            return StartError("not-executable", f'"{program}" may not be run', hint)
        cause = f'"{program}" could not be started ({one_line(str(error))})'
        return StartError("not-started", cause, "is it a program?")

    def say_hello(self) -> HelloReply:
        """Say hello to the process that was just started, and give its answer.

        Raises:
            StartError: no answer came in time, or it is not one.

        """
        process = self._process
        assert process is not None
        process.send(self._hello_line)
        if self.opening.one_shot:
            process.close_stdin()
        try:
            return self._await_hello(process, process.started_at + self.opening.start_timeout)
        except StartError:
            self.drop(0)
            raise

    def _await_hello(self, process: Process, deadline: float) -> HelloReply:
        printed = ""
        while True:
            event = process.receive(deadline - time.monotonic())
            if event is None or (event.arrived > deadline and not isinstance(event, Line)):
                raise self._late(process, printed)
            if isinstance(event, Deaf):
                # A reply, or the end of the process, may still come.
                continue
            if isinstance(event, TooLong):
                problem = f"its first line is longer than {event.limit} bytes"
                raise StartError("first-line-too-long", **self._without_hello(process, problem))
            if not isinstance(event, Line):
                process.settle()
                how = process.exit_description() if process.exited_at else "closed its standard output"
                problem = f"the process {how} before it answered hello"
                raise StartError("ended-before-hello", **self._without_hello(process, problem, printed))
            hello = parse_hello(event.data)
            if isinstance(hello, HelloReply):
                if hello.protocol != PROTOCOL:
                    what = f"it speaks version {one_line(str(hello.protocol), 20)} of the protocol"
                    cause = f"{what}, this backprop-check speaks version {PROTOCOL}"
                    raise StartError("other-protocol", cause, "update the older one")
                return hello
            if isinstance(hello, Malformed):
                problem = f"its reply to hello is wrong: {hello.problem}"
                raise StartError("bad-hello", **self._without_hello(process, problem))
            printed = printed or hello.text
            self._heed(hello, process)
            if event.arrived > deadline:
                raise self._late(process, printed)

    def _heed(self, noise: Noise, process: Process) -> None:
        if self.opening.strict_stdout:
            line = f"before its hello it printed a line that is not a JSON object ({noise.text})"
            problem = f"{line}, which --strict-stdout forbids"
            hint = "write logs to stderr, or leave that option out"
            raise StartError("noise-before-hello", **self._without_hello(process, problem), hint=hint, joint="; ")
        self._notes.add_noise(noise.text)

    def _late(self, process: Process, printed: str) -> StartError:
        problem = f"it did not answer hello within {self.opening.start_timeout:g} s"
        hint = "only JSON belongs there, logs go to stderr" if printed else self.advice_on_silence()
        return StartError("no-hello", **self._without_hello(process, problem, printed), hint=hint, joint="; ")

    def _without_hello(self, process: Process, problem: str, printed: str = "") -> dict[str, str]:
        """The cause of a ``StartError``, and its ``stderr``."""
        cause = f"the implementation could not be started: {problem}"
        if printed:
            cause += f"; it printed a line that is not a JSON object: {printed}"
        return {"cause": cause, "stderr": clean_text(process.stderr_tail().strip()[-STDERR_SHOWN:])}

    def advice_on_silence(self) -> str:
        """A hint at the cause where no reply to hello came."""
        if self.opening.one_shot:
            return "does it answer with a line once its standard input has ended? --start-timeout waits longer"
        return (
            "does it read a line, answer with a line, and flush its output? One that reads its standard input to the "
            "end before it answers (Octave's usually do) needs --one-shot; --start-timeout waits longer"
        )

    def __del__(self) -> None:
        """End the process of a forgotten object."""
        with contextlib.suppress(Exception):
            self.drop(0)

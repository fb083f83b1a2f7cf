"""A Python callable in a process of its own: as untrusted as a port, and held like one.

``IsolatedCallable`` starts this module with the callable's name. The child speaks the protocol on its standard output,
which the callable does not get: what it prints goes to standard error. So a callable that hangs, calls ``os._exit`` or
takes all memory costs its case, and can be run in the sandbox.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec

from backprop_check.errors import BackpropCheckError, ConfigurationError, StartError
from backprop_check.protocol.answers import Answer, ImplementationInfo, Request
from backprop_check.protocol.callable import PREFIX, CallableImplementation, Unusable, encode, load_callable
from backprop_check.protocol.session import SubprocessImplementation
from backprop_check.protocol.text import clean_text, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from backprop_check.protocol.messages import HelloReply

#: How the child exits where the callable cannot be had, by whose side that is; its standard error says why.
_EXITS: Final[dict[int, type[BackpropCheckError]]] = {78: ConfigurationError, 79: StartError}
_VARIABLE: Final = "BACKPROP_CHECK_CALLABLE"


def command_of(spec: str) -> list[str]:
    """What starts the child; ``-P``: what lies in this folder must not be taken for the standard library."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    code = f"import sys; sys.path.append({package!r}); from backprop_check.protocol.isolated import main; main()"
    return [sys.executable, "-P", "-c", code, spec]


class IsolatedCallable(SubprocessImplementation):
    """``python:module:callable`` behind a pipe; options are those of ``SubprocessImplementation``.

    Raises ``ConfigurationError`` where the callable is not there, and ``StartError``.
    """

    unanswered = "the callable had not returned by then; --timeout waits longer"

    def __init__(self, spec: str, **options: Any) -> None:
        self._spec, self._token = spec, uuid.uuid4().hex
        env = os.environ if options.get("env") is None else options["env"]
        options["env"] = {**env, _VARIABLE: self._token}
        super().__init__(command_of(spec), **options)

    def describe(self) -> ImplementationInfo:
        """Say who it is, by the name that the user gave."""
        info = super().describe()
        return ImplementationInfo(info.name, info.language, info.version, one_line(self._spec, 2000), info.dtype)

    def exchange(self, requests: Iterable[Request], *, keep_running: bool = False) -> Iterator[Answer]:
        """Send requests and give the answers; what the callable returned and is no reply is its protocol error."""
        for answer in super().exchange(requests, keep_running=keep_running):
            if answer.kind == "error" and answer.message.startswith(self._token):
                problem = answer.message.removeprefix(self._token)
                yield msgspec.structs.replace(answer, kind="protocol_error", reply=None, message=problem)
            else:
                yield answer

    def advice_on_silence(self) -> str:
        """What may be the cause where no answer to hello came."""
        return (
            f'importing "{one_line(self._spec)}" takes too long: does its module train, or wait for something, when '
            "it is imported? --start-timeout waits longer"
        )

    def say_hello(self) -> HelloReply:
        """Say hello to the child; where it found no callable, its own error is raised again here.

        Raises:
            ConfigurationError: the callable is not there.
            StartError: no answer came in time, or it is not one.

        """
        process = self._process
        try:
            return super().say_hello()
        except StartError:
            if process is None or not process.wait(1.0) or process.returncode not in _EXITS:
                raise
            process.settle()
            if not (said := clean_text(process.stderr_tail().strip(), 4000)):
                raise
            raise _EXITS[process.returncode](said) from None


def main() -> None:
    """In the child: find the callable, answer until standard input ends."""
    spec, token = sys.argv[1], os.environ.pop(_VARIABLE, "")
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        implementation = CallableImplementation(
            load_callable(spec), name=spec.removeprefix(PREFIX), command=spec, checking_claims=False
        )
    except BackpropCheckError as error:
        code = next((code for code, kind in _EXITS.items() if isinstance(error, kind)), 79)
        sys.stderr.write(str(error))
        sys.stderr.flush()
        os._exit(code)
    _serve(implementation, out, token)
    sys.stderr.flush()
    os._exit(0)  # threads that the callable left do not hold the end up


def _serve(implementation: CallableImplementation, out: BinaryIO, token: str) -> None:
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line)
        if request["type"] == "hello":
            reply = msgspec.to_builtins(implementation.hello)
            reply["name"], reply["echo"] = implementation.describe().name, request["echo"]
            data = encode(reply)
        else:
            try:
                data = implementation.reply(request["id"], line)[0]
            except Unusable as error:
                data = encode({"id": request["id"], "error": f"{token}{error}"})
        view = memoryview(data + b"\n")
        while view:
            view = view[out.write(view) :]

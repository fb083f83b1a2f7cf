"""A Python callable in a process of its own, with the same limits as a port.

``IsolatedCallable`` starts this module with the callable's name. The child speaks the protocol on its standard output;
what the callable prints goes to standard error. So a callable that hangs, calls ``os._exit`` or takes all memory fails
only its case, and it can be run in the sandbox.
"""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from backprop_check.errors import BackpropCheckError, ConfigurationError, StartError
from backprop_check.protocol.answers import Answer, ImplementationInfo, Request
from backprop_check.protocol.callable import PREFIX, CallableImplementation, Unusable, encode, load_callable
from backprop_check.protocol.session import STDERR_SHOWN, SubprocessImplementation
from backprop_check.protocol.text import clean_text, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from backprop_check.protocol.messages import HelloReply
    from backprop_check.protocol.options import Opening

#: The exit codes of the child where it cannot get the callable, with the error to raise; its standard error says why.
_EXITS: Final[dict[int, type[BackpropCheckError]]] = {78: ConfigurationError, 79: StartError}
_VARIABLE: Final = "BACKPROP_CHECK_CALLABLE"


def command_of(spec: str) -> list[str]:
    """The command that starts the child. With ``-P``, files in this folder are not taken for the standard library."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    code = f"import sys; sys.path.append({package!r}); from backprop_check.protocol.isolated import main; main()"
    return [sys.executable, "-P", "-c", code, spec]


class IsolatedCallable(SubprocessImplementation):
    """``python:module:callable`` behind a pipe.

    Raises ``ConfigurationError`` where the callable does not exist, and ``StartError``.
    """

    unanswered = "the callable had not returned by then; --timeout waits longer"

    def __init__(self, spec: str, opening: Opening, *, harness_version: str = "0", prefix: Sequence[str] = ()) -> None:
        self._spec, self._token = spec, uuid.uuid4().hex
        env = os.environ if opening.env is None else opening.env
        opening = msgspec.structs.replace(opening, env={**env, _VARIABLE: self._token})
        super().__init__(command_of(spec), opening, harness_version=harness_version, prefix=prefix)

    def describe(self) -> ImplementationInfo:
        """Like a port's description, with the text that the user gave as the command."""
        info = super().describe()
        return ImplementationInfo(info.name, info.language, info.version, one_line(self._spec, 2000), info.dtype)

    def exchange(self, requests: Iterable[Request], *, keep_running: bool = False) -> Iterator[Answer]:
        """Send requests and yield the answers; a returned value that is not a reply becomes a protocol error."""
        for answer in super().exchange(requests, keep_running=keep_running):
            if answer.kind == "error" and answer.message.startswith(self._token):
                problem = answer.message.removeprefix(self._token)
                yield msgspec.structs.replace(answer, kind="protocol_error", reply=None, message=problem)
            else:
                yield answer

    def advice_on_silence(self) -> str:
        """A hint at the cause where no reply to hello came."""
        return (
            f'importing "{one_line(self._spec)}" takes too long: does its module train, or wait for something, when '
            "it is imported? --start-timeout waits longer"
        )

    def say_hello(self) -> HelloReply:
        """Say hello to the child; if it could not get the callable, its error is raised again here.

        Raises:
            ConfigurationError: the callable does not exist.
            StartError: no reply came in time, or it is not valid.

        """
        process = self._process
        try:
            return super().say_hello()
        except StartError:
            if process is None or not process.wait(1.0) or process.returncode not in _EXITS:
                raise
            process.settle()
            if (told := self._told(process.stderr_tail())) is None:
                raise  # the module ended the process itself, with the same exit code
            raise _EXITS[process.returncode](*told) from None

    def _told(self, stderr: str) -> tuple[str, str, str, str, str] | None:
        """What an error of the child is made of; None where ``main`` has not written one."""
        printed, _, packed = stderr.partition(self._token)
        try:
            code, cause, hint, joint = msgspec.json.decode(packed, type=tuple[str, str, str, str])
        except msgspec.DecodeError:
            return None
        return code, clean_text(cause, 4000), clean_text(hint), joint, clean_text(printed.strip()[-STDERR_SHOWN:])


def main() -> None:
    """In the child: import the callable, and answer until standard input ends.

    An error goes to standard error, in JSON after the token, which tells it from what the module writes there.
    """
    spec, token = sys.argv[1], os.environ.pop(_VARIABLE, "")
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        implementation = CallableImplementation(
            load_callable(spec), name=spec.removeprefix(PREFIX), command=spec, checking_claims=False
        )
    except BackpropCheckError as error:
        code = next((code for code, kind in _EXITS.items() if isinstance(error, kind)), 79)
        packed = msgspec.json.encode((error.code, error.cause, error.hint, error.joint)).decode()
        sys.stderr.write(f"{token}{packed}")
        sys.stderr.flush()
        os._exit(code)
    _serve(implementation, out, token)
    sys.stderr.flush()
    os._exit(0)  # do not wait for threads that the callable started


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

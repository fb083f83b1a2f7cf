"""An implementation that is a Python callable; requests and replies are converted to bytes, as for a port.

The callable gets a case decoded from the request's bytes, and what it returns is written as JSON
and read like a port's reply.  So it can neither change the harness's objects nor return anything that the
protocol does not allow.  It runs in this process: its standard output is the harness's, and *no timeout
can be enforced*, since Python cannot safely stop a function.  This is for ``check`` and pytest's fixtures, which get
the function itself; a callable named on the command line runs in a process of its own (``isolated``).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from backprop_check.errors import ConfigurationError, StartError
from backprop_check.protocol.answers import Answer, ImplementationInfo, Kind, Request
from backprop_check.protocol.echo import echo_problems
from backprop_check.protocol.messages import PROTOCOL, Dtype, HelloReply, Malformed, Message, Noise, Supports
from backprop_check.protocol.parsing import parse_hello, parse_line
from backprop_check.protocol.text import clean_text, one_line

if TYPE_CHECKING:
    from types import TracebackType

PREFIX: Final = "python:"
_TRACEBACK_KEPT: Final = 20_000
_OTHER_ID: Final = 'the reply has the id "{}": it must repeat the id of its case, or have none'
_HELLO_ATTRIBUTES: Final = ("dtype", "supports", "max_in_flight")

Case = dict[str, Any]
Function = Callable[[Case], Any]


class CallableImplementation:
    """A callable that takes a case of the protocol (a dict) and returns its reply (a dict; numpy and torch welcome)."""

    in_process = True
    """Whether it runs in this process."""

    marker = ""
    """It starts no process."""

    def __init__(
        self,
        function: Function,
        *,
        name: str | None = None,
        dtype: Dtype | None = None,
        supports: Supports | Mapping[str, Any] | None = None,
        command: str = "",
        checking_claims: bool = True,
    ) -> None:
        """Wrap a callable.

        Attributes of the function (``dtype``, ``supports``, ``max_in_flight``, or a dict ``hello`` with
        fields of the hello reply) describe it; arguments given here come first. ``checking_claims`` as in
        ``parse_hello``.

        Raises:
            StartError: the attributes do not make a valid hello reply.

        """
        self._function = function
        self._name = name or _name_of(function)
        self._command = command
        self.hello: HelloReply = self._hello(dtype, supports, checking_claims=checking_claims)
        self.echo_problems: list[str] = echo_problems(self.hello.echo, self.hello.dtype)

    def _hello(
        self, dtype: str | None, supports: Supports | Mapping[str, Any] | None, *, checking_claims: bool
    ) -> HelloReply:
        given = getattr(self._function, "hello", None)
        fields: dict[str, Any] = {"language": f"Python {sys.version.split()[0]}", "protocol": PROTOCOL}
        for key in _HELLO_ATTRIBUTES:
            # A mock has every attribute that is asked for, so only plausible types are taken.
            value = getattr(self._function, key, None)
            if isinstance(value, str | int | Mapping | Supports):
                fields[key] = msgspec.to_builtins(value)
        fields.update(given if isinstance(given, dict) else {})
        if dtype is not None:
            fields["dtype"] = dtype
        if supports is not None:
            fields["supports"] = msgspec.to_builtins(supports)
        try:
            hello = parse_hello(encode(fields), checking_claims=checking_claims)
        except (TypeError, ValueError, RecursionError) as error:
            cause = f"the hello of {one_line(self._name)} cannot be written as JSON: {one_line(str(error))}"
            raise StartError("callable-hello-not-json", cause) from None
        if isinstance(hello, HelloReply):
            if hello.protocol == PROTOCOL:
                return hello
            cause = f"{one_line(self._name)} speaks version {hello.protocol} of the protocol, not {PROTOCOL}"
            raise StartError("callable-other-protocol", cause, "leave 'protocol' out of its hello", "; ")
        problem = hello.problem if isinstance(hello, Malformed) else "it is not an object"
        raise StartError("bad-callable-hello", f"the hello of {one_line(self._name)} is wrong: {problem}")

    def describe(self) -> ImplementationInfo:
        """Its name, language, version, command and dtype; all texts are safe to show."""
        return ImplementationInfo(
            name=one_line(self.hello.name or self._name),
            language=one_line(self.hello.language),
            version=one_line(self.hello.version),
            command=one_line(self._command or self._name, 2000),
            dtype=self.hello.dtype,
        )

    def start_notes(self) -> tuple[str, ...]:
        """No notes: nothing is started."""
        return ()

    def exchange(self, requests: Iterable[Request], *, keep_running: bool = False) -> Iterator[Answer]:  # noqa: ARG002
        """Call the function with each case and yield the answers in order; an exception becomes an answer too."""
        for name, data in requests:
            yield self._ask(name, data)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""

    def __enter__(self) -> Self:
        """Use it as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to end."""

    def _ask(self, name: str, data: bytes) -> Answer:
        try:
            line, seconds = self.reply(name, data)
        except Unusable as error:
            return _wrong(name, str(error), error.seconds)
        return _answer(name, parse_line(line), seconds, len(line))

    def reply(self, name: str, data: bytes) -> tuple[bytes, float]:
        """Call the function with a request's case; return its reply as a line, and the seconds it took.

        Raises ``Unusable`` where the returned value cannot be a reply to this case.
        """
        case = msgspec.json.decode(data)
        start = time.perf_counter()
        try:
            returned = self._function(case)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (SystemExit too: a sys.exit() in it is its error)
            returned = _error_reply(error)
        seconds = time.perf_counter() - start
        if not isinstance(returned, Mapping):
            kind = one_line(type(returned).__name__, 60)
            raise Unusable(f"the callable returned {_article(kind)} where a dict is expected", seconds)
        try:
            line = encode({"id": name, **returned})
        except Exception as error:  # noqa: BLE001 (an object's own methods run here)
            why = "it is nested too deeply" if isinstance(error, RecursionError) else _text_of(error)
            raise Unusable(f"what the callable returned cannot be written as JSON: {why}", seconds) from None
        if (given := returned.get("id", name)) != name and isinstance(given, str):
            raise Unusable(_OTHER_ID.format(one_line(given, 80)), seconds)
        return line, seconds


class Unusable(Exception):  # noqa: N818 (it is a verdict)
    """What a callable returned can be no reply; the text says why, ``seconds`` how long it took."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


def _answer(name: str, parsed: Message | Noise | Malformed, seconds: float, size: int) -> Answer:
    if not isinstance(parsed, Message):
        problem = parsed.problem if isinstance(parsed, Malformed) else "it is not an object"
        return _wrong(name, f"the reply is not what the protocol asks for: {problem}", seconds, size)
    reply = parsed.reply
    if reply.id != name:
        return _wrong(name, _OTHER_ID.format(one_line(reply.id, 80)), seconds, size)
    kind: Kind = "reply" if reply.skip is None else "skip"
    message = clean_text(reply.skip or "")
    if reply.error is not None:
        kind, message = "error", clean_text(reply.error)
    return Answer(name, kind, reply, message, notes=parsed.notes, seconds=seconds, size=size)


def _wrong(name: str, message: str, seconds: float, size: int = 0) -> Answer:
    return Answer(name, "protocol_error", message=message, seconds=seconds, size=size)


def _article(noun: str) -> str:
    return "None" if noun == "NoneType" else f"an object of type {noun}"


def _text_of(error: BaseException) -> str:
    return one_line("".join(traceback.format_exception_only(error)).strip(), 400)


def _error_reply(error: BaseException) -> dict[str, str]:
    # The first frame is ours.  traceback handles exceptions whose __str__ fails.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(traceback.format_exception_only(error)).strip()
    return {"error": text[:2000] or "an exception", "traceback": "".join(lines)[-_TRACEBACK_KEPT:]}


def encode(value: object) -> bytes:
    """Write a callable's reply as JSON: arrays as lists, non-finite numbers as the protocol's strings.

    Raises:
        TypeError: it contains an object that is not data; the text says where.
        RecursionError: it is nested too deeply, or contains itself.

    """
    plain = _plain(value, "$")
    try:
        return msgspec.json.encode(plain)
    except UnicodeEncodeError:
        # Unpaired surrogates: the standard library writes them as escapes, and parse_line adds a note.
        return json.dumps(plain).encode("ascii")


def _plain(value: Any, path: str) -> Any:
    # Floats first: a reply consists mostly of them.
    if type(value) is float:
        return value if math.isfinite(value) else _non_finite(value)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
    for method in ("detach", "cpu"):
        # A torch tensor that needs a gradient, or lives on another device.
        if callable(getattr(value, method, None)):
            value = getattr(value, method)()
    if callable(getattr(value, "tolist", None)):
        listed = value.tolist()
        if type(listed) is not type(value):
            return _plain(listed, path)
    if isinstance(value, set | frozenset | complex | bytes) or not hasattr(value, "__float__"):
        message = f"at {path}: expected numbers, got an object of type {type(value).__name__}"
        raise TypeError(message)
    return _plain(float(value), path)


def _key(key: object, path: str) -> str:
    if isinstance(key, str):
        return key
    message = f"at {path}: expected a string as a key, got an object of type {type(key).__name__}"
    raise TypeError(message)


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__name__


def load_callable(spec: str) -> Function:
    """Import the callable that ``python:module:callable`` names; the current directory is searched too.

    Raises:
        ConfigurationError: the module or the callable does not exist, or cannot be imported or called.

    """
    module_name, _, path = spec.removeprefix(PREFIX).partition(":")
    if not module_name or not path:
        cause = f'"{one_line(spec)}" is not of the form python:module:callable, such as python:mynet:backprop'
        raise ConfigurationError("bad-callable-name", cause)
    here = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if here not in sys.path:
        sys.path.insert(0, here)
    target: Any = _import(module_name, here)
    done = module_name
    for part in path.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            names = [] if part.startswith("_") else [name for name in dir(target) if not name.startswith("_")]
            close = difflib.get_close_matches(part, names, 3)
            hint = f"did you mean {' or '.join(close)}?" if close else ""
            cause = f'"{one_line(done)}" has no "{one_line(part)}"'
            raise ConfigurationError("no-such-callable", cause, hint) from None
        done = f"{done}.{part}"
    if not callable(target):
        cause = f'"{one_line(done)}" is not callable but an object of type {type(target).__name__}'
        raise ConfigurationError("not-callable", cause, "name a function", "; ")
    function: Function = target
    return function


def _import(name: str, here: str) -> object:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            cause = (
                f'there is no module "{one_line(missing)}": it is looked for in {one_line(here, 500)}'
                " and where this Python has its packages"
            )
            hint = ""
            with contextlib.suppress(OSError):
                close = difflib.get_close_matches(name, [path.stem for path in Path(here).glob("*.py")], 3)
                hint = f"did you mean {' or '.join(close)}?" if close else ""
            raise ConfigurationError("no-such-module", cause, hint, "; ") from None
        cause = f'importing "{one_line(name)}" failed: there is no module "{one_line(missing)}", which it needs'
        raise ConfigurationError("missing-import", cause, "install it", "; ") from None
    except BaseException as error:
        cause = f'importing "{one_line(name)}" failed: {_text_of(error)}'
        raise ConfigurationError("import-failed", cause) from error

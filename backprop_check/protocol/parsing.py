"""Parsing a line of untrusted bytes into a message, in two steps: a fast one and a lenient one.

The fast step decodes the bytes directly into the types of ``messages``.  A line that it does not accept
is read by the standard library's parser (which accepts NaN, numbers out of range, repeated keys
and unpaired surrogates); irregularities become notes, and the line is rewritten as plain JSON and decoded into the same
types.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import msgspec

from backprop_check.protocol.claims import unknown_claims
from backprop_check.protocol.messages import (
    HelloReply,
    LayerReply,
    Malformed,
    Message,
    Noise,
    Parsed,
    Reply,
    noise,
)
from backprop_check.protocol.text import clean_text, one_line

# A longer line must be plain JSON: as Python objects, the lenient step would need gigabytes for it.
_SLOW_LIMIT: Final = 32 * 2**20
# A hostile line can cause a new note for every key.
_NOTES_LIMIT: Final = 20
# A float64 has at most 309 digits before its point; Python refuses to read integers of thousands of digits.
_INTEGER_DIGITS: Final = 300
_SPACE: Final = b" \t\r\n\x00"
_GLANCE: Final = 200
_BOM: Final = b"\xef\xbb\xbf"
_ID: Final = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.){0,1000}")')
_LEADING_ID: Final = re.compile(rb'\{"id": ?"([\x20-\x21\x23-\x5b\x5d-\x7e]{0,200})"')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x1f]")
_EXPECTED: Final = re.compile(r"Expected `([^`]*)`( [<>=]+ [^ ]+)?(?:, got `([^`]*)`)?")
_WORDS: Final = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_NULL: Final = memoryview(b"null")
_NON_FINITE: Final = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}

# MsgspecError is a ValueError in new versions only.
_FAILURES: Final = (ValueError, msgspec.MsgspecError, RecursionError, MemoryError)

_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_any = msgspec.json.Decoder().decode


class _Notes(dict[str, int]):
    """Notes with the number of times each came, in the order of first appearance."""

    def add(self, note: str) -> None:
        if note in self or len(self) < _NOTES_LIMIT:
            self[note] = self.get(note, 0) + 1

    def texts(self) -> tuple[str, ...]:
        return tuple(note if n == 1 else f"{note} ({n} times)" for note, n in self.items())


def is_noise(line: bytes) -> bool:
    """Whether a line is clearly not a JSON object, by its first bytes (``parse_line`` may find others that are not)."""
    if line[:1] == b"{":
        return False
    head = line[:_GLANCE].removeprefix(_BOM).strip(_SPACE)
    return head[:1] != b"{" and (bool(head) or len(line) <= _GLANCE)


def leading_id(line: bytes) -> str | None:
    """The id at the beginning of a line, if the line has no other id; a quick test for floods of lines."""
    found = _LEADING_ID.match(line)
    return found.group(1).decode("ascii") if found and line.count(b'"id"') == 1 else None


def parse_line(line: bytes) -> Parsed:
    """Read one line of an implementation's output as a reply to a case.  Never raises."""
    if is_noise(line):
        return noise(line)
    try:
        reply = _decode_reply(line)
    except Exception:  # noqa: BLE001 (whatever it is: not plain JSON of the right types)
        return _parse_slowly(line)
    nulls = b"null" in line
    if nulls:
        _drop_nulls(reply)
    if line.count(b":") != _colons(reply):
        # More colons than fields that were kept: there are unknown fields, or a repeated key.
        slow = _parse_slowly(line)
        if isinstance(slow, Message):
            return slow
    if nulls and re.search(rb'"loss"\s*:\s*null', line):
        return Message(reply, (_NULL_LOSS,))
    return Message(reply)


_NULL_LOSS: Final = "a loss is null, which counts as not given (JavaScript writes null for NaN)"


def _parse_slowly(line: bytes) -> Parsed:
    notes = _Notes()
    value = _load_object(line, notes)
    if not isinstance(value, dict):
        return value
    given = value.get("id")
    name = given if isinstance(given, str) else None
    try:
        reply = _decode_reply(_dump(value, notes))
    except _FAILURES as error:
        return Malformed(name, _problem(error), notes.texts())
    _drop_nulls(reply)
    if "loss" in value and value["loss"] is None:
        notes.add(_NULL_LOSS)
    return Message(reply, notes.texts())


def parse_hello(line: bytes, *, checking_claims: bool = True) -> HelloReply | Noise | Malformed:
    """Read one line of an implementation's output as its reply to ``hello``.  Never raises.

    A child in the sandbox reads its own hello without ``checking_claims``: it does not have the known words, and the
    harness checks them.
    """
    notes = _Notes()
    value = _load_object(line, notes)
    if not isinstance(value, dict):
        return value
    fields = {key: field for key, field in value.items() if field is not None}
    for key in ("protocol", "max_in_flight"):
        # Languages with one number type write 1.0 where they mean 1.
        number = fields.get(key)
        if isinstance(number, float) and number.is_integer():
            fields[key] = int(number)
    supports = fields.get("supports")
    if isinstance(supports, dict):
        fields["supports"] = {key: field for key, field in supports.items() if field is not None}
    try:
        hello = msgspec.convert(fields, HelloReply)
    except _FAILURES as error:
        return Malformed(None, _problem(error), notes.texts())
    problem = unknown_claims(fields.get("supports", {})) if checking_claims else ""
    return Malformed(None, problem, notes.texts()) if problem else hello


def decode_value(raw: msgspec.Raw) -> Any:
    """Decode an array of a reply without an expected type, to find out what is wrong with it.

    Numbers beyond float64's range become ``"Infinity"``.  The value can be nested several hundred levels deep.

    Raises:
        ValueError: the value cannot be decoded; the text is a sentence that says why.

    """
    data = bytes(raw)
    try:
        return _decode_any(data)
    except Exception:  # noqa: BLE001 (try the lenient parser)
        try:
            return _load(data, _Notes())
        except _FAILURES as error:
            raise ValueError(_problem(error)) from None


def _load_object(line: bytes, notes: _Notes) -> dict[str, Any] | Noise | Malformed:
    """Read a line as a JSON object leniently, or say why it is not one."""
    stripped = line.removeprefix(_BOM).strip(_SPACE)
    if not stripped.startswith(b"{"):
        return noise(line)
    if line.startswith(_BOM):
        notes.add("the line starts with a byte order mark")
    name = _named_id(stripped)
    if len(stripped) > _SLOW_LIMIT:
        limit = _SLOW_LIMIT // 2**20
        return Malformed(name, f"it is not plain JSON, and too long ({limit} MiB) to find out why")
    try:
        value = _load(stripped, notes)
    except RecursionError as error:
        return Malformed(name, _problem(error), notes.texts())
    except _FAILURES as error:
        # Without an id it is as likely a debug print such as {'loss': 3} as a broken reply.
        return noise(line) if name is None else Malformed(name, _problem(error), notes.texts())
    return value if isinstance(value, dict) else noise(line)


def _load(data: bytes, notes: _Notes) -> Any:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        notes.add(f"the line is not UTF-8 (byte {error.start}); the bytes that are not are shown as \ufffd")
        text = data.decode("utf-8", "replace")
    if _CONTROL.search(text.strip()) and not text.isprintable():
        notes.add("the line contains unescaped control characters")

    def constant(token: str) -> str:
        notes.add(f'the bare token {token} was accepted; JSON has none, write the string "{token}"')
        return _NON_FINITE[token]

    def real(token: str) -> float | str:
        number = float(token)
        if math.isinf(number):
            notes.add(f"the number {one_line(token, 20)} is beyond float64 and counts as infinity")
            return "Infinity" if number > 0 else "-Infinity"
        return number

    def integer(token: str) -> int | float | str:
        return int(token) if len(token) < _INTEGER_DIGITS else real(token)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(items)
        if len(fields) < len(items):
            seen = set()
            for key, _ in items:
                if key in seen:
                    notes.add(f'the key "{one_line(key, 40)}" is repeated in one object; the last one counts')
                seen.add(key)
        return fields

    return json.loads(
        text,
        strict=False,
        parse_constant=constant,
        parse_float=real,
        parse_int=integer,
        object_pairs_hook=pairs,
    )


def _dump(value: dict[str, Any], notes: _Notes) -> bytes:
    """The value as plain JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, check_circular=False)
    if _SURROGATE.search(text):
        notes.add("a text contains half of a surrogate pair; it is shown as an escape")
        text = _SURROGATE.sub(lambda half: f"\\\\u{ord(half.group()):04x}", text)
    return text.encode("utf-8")


def _named_id(line: bytes) -> str | None:
    """The id in a line that cannot be parsed; None where none is found."""
    found = _ID.search(line, 0, 65536) or _ID.search(line, max(0, len(line) - 65536))
    try:
        return msgspec.json.decode(found.group(1), type=str) if found else None
    except _FAILURES:
        return None


def _problem(error: BaseException) -> str:
    """The message of a JSON library's exception as "at $.path: expected this, got that"."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, json.JSONDecodeError):
        return f"it is not valid JSON: {clean_text(error.msg, 200)} (character {error.pos})"
    text, _, path = clean_text(str(error), 400).partition(" - at `")
    path = path.removesuffix("`") or "$"
    found = _EXPECTED.fullmatch(text)
    if found:
        expected, bound, got = found.groups()
        text = f"expected {_words(expected)}{bound or ''}" + (f", got {_words(got)}" if got else "")
    elif text.startswith("Invalid enum value "):
        # The only enumeration in what an implementation sends is its dtype.
        text = f'expected "float64" or "float32", got {text.removeprefix("Invalid enum value ")}'
    else:
        text = text.replace("Object missing required field", "the object has no field").replace("`", '"')
        text = text[:1].lower() + text[1:]
    return f"at {path}: {text}"


def _words(types: str) -> str:
    """msgspec's "array | null" in words: "a list". null is omitted, since such a value may also be left out."""
    names = [name for name in types.split(" | ") if name != "null"] or ["null"]
    return " or ".join(_WORDS.get(name, name) for name in names)


def _colons(reply: Reply) -> int:
    """The number of colons in a line that holds this reply and nothing else."""
    count = 1 + reply.id.count(":")
    for text in (reply.skip, reply.error, reply.traceback, reply.issue_url):
        if text is not None:
            count += 1 + text.count(":")
    count += (reply.loss is not None) + (reply.input_gradients is not None)
    count += _layer_colons(reply.layers)
    if reply.trajectory is not None:
        count += 1
        for step in reply.trajectory:
            count += (step.loss is not None) + _layer_colons(step.layers)
    return count


def _layer_colons(layers: list[LayerReply] | None) -> int:
    if layers is None:
        return 0
    count = 1
    for layer in layers:
        count += (layer.z is not None) + (layer.a is not None) + (layer.delta is not None)
        if layer.gradients is not None:
            count += 1 + len(layer.gradients)
        if layer.updated is not None:
            count += 1 + len(layer.updated)
    return count


def _present(raw: msgspec.Raw | None) -> msgspec.Raw | None:
    """The value; None for a JSON null, which counts as absent."""
    return None if raw is None or memoryview(raw) == _NULL else raw


def _drop_nulls(reply: Reply) -> None:
    reply.loss, reply.input_gradients = _present(reply.loss), _present(reply.input_gradients)
    _drop_layer_nulls(reply.layers)
    for step in reply.trajectory or ():
        step.loss = _present(step.loss)
        _drop_layer_nulls(step.layers)


def _drop_layer_nulls(layers: list[LayerReply] | None) -> None:
    for layer in layers or ():
        layer.z, layer.a, layer.delta = _present(layer.z), _present(layer.a), _present(layer.delta)
        for arrays in (layer.gradients, layer.updated):
            for key in [key for key, raw in (arrays or {}).items() if _present(raw) is None]:
                del arrays[key]  # type: ignore[union-attr]

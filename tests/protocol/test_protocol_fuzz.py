"""Whatever bytes arrive: reading and judging them never raises, and takes a time bounded by their number."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_case import EXPECTED, RIGHT

from backprop_check.compare.compare import compare
from backprop_check.protocol import HelloReply, Malformed, Message, Noise, parse_hello, parse_line
from backprop_check.protocol.parsing import leading_id

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = ("id", "loss", "layers", "trajectory", "error", "skip", "input_gradients", "protocol", "supports", "echo")
#: Tokens that are, nearly are, or are not JSON; a sequence of them is sometimes a reply.
TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\ud800", b"\\u0000", b" ", b"\t", b"\r", b"\x00", b"\xff"),
    *(b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b'"NaN"', b"0", b"-0.0", b"1e999", b"-1e-999", b"0x1"),
    *(b'"id"', b'"loss"', b'"layers"', b'"gradients"', b'"weights"', b'"biases"', b'"z"', b'"trajectory"', b'"skip"'),
    *(b'"updated"', b'"error"', b'"protocol"', b'"echo"', b'"supports"', b'{"id":"c"', b"[[0.1,0.2]]", b"9" * 400),
    *(b"[" * 2000, b'{"a":' * 2000, b"]" * 2000, "\u202e\u2028".encode(), b"\xef\xbb\xbf", b"\xed\xa0\x80"),
]
token_lines = st.lists(st.sampled_from(TOKENS), max_size=60).map(b"".join)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "-Infinity"])
)
json_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value in nested lists and objects."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            found += places(item, (*path, i))
    return found


PLACES = places(RIGHT)[1:]


@st.composite
def nearly_right(draw: st.DrawFn) -> bytes:
    """The right reply with a few values replaced."""
    reply = json.loads(json.dumps(RIGHT))
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=4)):
        part, value = reply, draw(json_values)
        for step in path[:-1]:
            try:
                part = part[step]
            except (LookupError, TypeError):
                break
        if isinstance(part, dict):
            part[str(path[-1])] = value
        elif isinstance(part, list) and part:
            part[hash(path) % len(part)] = value
    return json.dumps(reply).encode()


def examine(line: bytes) -> None:
    start = time.process_time()
    parsed = parse_line(line)
    hello = parse_hello(line)
    assert isinstance(parsed, Message | Noise | Malformed)
    assert isinstance(hello, HelloReply | Noise | Malformed)
    if isinstance(parsed, Message):
        comparison = compare(EXPECTED, parsed.reply)
        assert comparison.count >= len(comparison.mismatches)
        assert len(json.dumps([str(each) for each in comparison.mismatches])) < 10_000 + 1000 * len(line)
    for problem in (parsed, hello):
        if isinstance(problem, Malformed):
            assert 0 < len(problem.problem) < 600
            problem.problem.encode()
    # Lines are short here: half a second would mean a time that grows faster than their length.
    assert time.process_time() - start < 0.5 + len(line) * 1e-5


@fuzz
@given(st.binary(max_size=300))
def test_any_bytes(line: bytes) -> None:
    """Random bytes."""
    examine(line)


@fuzz
@given(token_lines)
def test_rows_of_tokens(line: bytes) -> None:
    """Text that looks like JSON, and sometimes is."""
    examine(line)


@fuzz
@given(json_values, st.sampled_from(KEYS))
def test_any_json(value: Any, key: str) -> None:
    """JSON that is not a reply, alone and as each field of one."""
    text = json.dumps(value).encode()
    examine(text)
    examine(b'{"id": "c", "%s": %s}' % (key.encode(), text))


@fuzz
@given(nearly_right())
def test_nearly_right_replies(line: bytes) -> None:
    """A right reply with some values replaced: each is a finding, none an exception."""
    examine(line)


@fuzz
@given(st.integers(1, 6), st.sampled_from([b"[", b'{"a":', b'[{"b":[']), st.integers(10, 3000))
def test_deep_replies(field: int, opening: bytes, depth: int) -> None:
    """Nesting in any array of a reply, closed or not."""
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"b":[': b"]}]"}[opening]
    value = opening * depth + b"1" + closing * depth
    where = [b'"loss":@', b'"layers":@', b'"layers":[{"z":@}]', b'"layers":[{"gradients":{"weights":@}}]',
             b'"trajectory":[{"loss":@}]', b'"other":@'][field - 1]  # fmt: skip
    examine(b'{"id":"c",%s}' % where.replace(b"@", value))
    examine(b'{"id":"c",%s}' % where.replace(b"@", opening * depth))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"id": "c1", "loss": }', "c1"),
        (b'{"id":"a b"}', "a b"),
        (b'{"id":"a\\u0062"}', None),
        (b'{"id":"\xc3\xa9"}', None),
        (b'{"id":"a","x":{"id":"b"}}', None),
        (b'{"loss": 1, "id": "a"}', None),
        (b'{"id": 7}', None),
    ],
)
def test_an_id_at_a_glance(line: bytes, name: str | None) -> None:
    """The id is read from the start of a line only where it cannot be anything else."""
    assert leading_id(line) == name
    parsed = parse_line(line)
    if name is not None and isinstance(parsed, Message):
        assert parsed.reply.id == name

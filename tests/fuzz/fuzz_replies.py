"""A fuzzer for the replies of an implementation; README.md tells how to run it."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["backprop_check.protocol", "backprop_check.compare.compare"]):
    from backprop_check.compare.compare import compare
    from backprop_check.protocol import Message, parse_hello, parse_line

sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))
from small_case import EXPECTED

#: Pieces of JSON that the fuzzer would take long to find, one for each byte from 0x80 on.
PIECES = [
    b'{"id": "c", ',
    b'"layers": [{"gradients": {"weights": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], "biases": [1, 2, 3]}, ',
    b'"z": [[1, 2, 3], [4, 5, 6]], ',
    b'"updated": {"weights": ',
    b'}}, {"gradients": {}}]',
    b'"trajectory": [{"loss": 1.0, "layers": [',
    b'"input_gradients": ',
    b'"loss": ',
    b'"protocol": 1, "supports": {"layers": ["dense"]}, "echo": [',
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b"1e999",
    b"9" * 400,
    b"null",
    b"[" * 500,
    b"]" * 500,
    b'{"a":' * 300,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
]


def made(data: bytes) -> bytes:
    """If the first byte is odd, bytes from 0x80 on stand for pieces of JSON; else the data is the line itself."""
    if not data or data[0] % 2 == 0:
        return data[1:]
    return b"".join(PIECES[byte % len(PIECES)] if byte >= 0x80 else bytes([byte]) for byte in data[1:])


def one(data: bytes) -> None:
    """One input: reading and judging it must not raise."""
    line = made(data)
    parse_hello(line)
    parsed = parse_line(line)
    if isinstance(parsed, Message):
        compare(EXPECTED, parsed.reply)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

"""A fuzzer for files from untrusted sources: cases, results, known failures, configuration; README.md tells how
to run it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["backprop_check"]):
    from reading import READERS, read

NAMES = list(READERS)
FOLDER = Path(tempfile.mkdtemp(prefix="backprop-check-fuzz-"))
RIGHT = [made(FOLDER) for _, made in READERS.values()]

#: Pieces that mutations would take long to find.
PIECES = [
    b"null", b"true", b"-1", b"1e999", b"9" * 400, b"[" * 70, b"]" * 70, b'{"a":' * 70, b"[]", b"{}", b'""', b"NaN",
    b'"\\ud800"', b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b",\n", b"\n],", b',"reported":', b'"x"', b"0.5",
    b"a." * 70, b"[[known]]\n", b"[implementations.x]\n", b'command = "x"\n', b"2000000000", b"'", b"=", b"1979-05-27",
]  # fmt: skip


def made(data: bytes) -> tuple[str, bytes]:
    """The first byte chooses the reader; the next ones say whether the rest is the file or edits of a valid one."""
    number, rest = data[0] % len(NAMES), data[2:]
    if data[1] % 4 == 0:
        return NAMES[number], rest
    file = bytearray(RIGHT[number])
    for at in range(0, len(rest) - 3, 4):
        place = (rest[at] << 8 | rest[at + 1]) % (len(file) + 1)
        what, how = rest[at + 2], rest[at + 3]
        if how < 100:
            file[place : place + how % 9] = PIECES[what % len(PIECES)]
        elif how < 160:
            file[place : place + 1] = bytes([what])
        elif how < 220:
            del file[place : place + what]
        else:
            file[place:place] = file[place : place + what]
    return NAMES[number], bytes(file)


def one(data: bytes) -> None:
    """One input: it gives a value, or an error with a sentence."""
    if len(data) > 2:
        read(*made(data), FOLDER)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()

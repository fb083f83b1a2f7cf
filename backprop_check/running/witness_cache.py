"""A cache of expected values by chunk of cases, so that a second run spends its time in the port.

Measured on the generated suite (per case, one core): making a case 1.0 ms, the reference with its bounds 0.6 ms, torch
and the comparison with it 0.6 ms; reading all three back 0.2 ms. A mark "the witnesses agreed" alone would leave
1.6 ms of these 2.2, so cases, values and bounds are saved together, one file per chunk.

A warm run of 480 cases took 0.7 ms of processor time per case in place of 3.3, and does not import torch at all.

- The name of a file is a hash of everything its content depends on: the cases, dtype, profile, the source code that
  computes them, the versions of numpy, torch and Python, and the machine. Another version uses other files.
- A file contains its own hash: a damaged one is deleted and made again.
- Files are written under a temporary name and renamed, so that concurrent runs do not disturb each other.
- Its size is bounded: the least recently used files are removed when a run begins, and none is added beyond the bound.
- It can only confirm that a reply is right. A case that differs is judged again, by the witnesses themselves.

Where the folder cannot be written there is no cache, and the results are the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import math
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from backprop_check import __version__
from backprop_check.case.network import Case
from backprop_check.compare.trace import Expected, Form, Slot
from backprop_check.compare.unstable import alternatives
from backprop_check.kinds.given import encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The largest size of the cache in bytes: some 30,000 cases.
LARGEST = 256 * 2**20

_FORMAT = 2
_HASH = hashlib.sha256().digest_size

#: Folders of the package that compute no cached value: the output of results, and the ports.
_NO_VALUES = ("commands", "explain", "guide", "ports", "report")


class Entry(msgspec.Struct, array_like=True):
    """A case in the cache: its request, and all values and bounds, in the order of the slots.

    ``lacking`` names what the case needs and the implementation does not claim; then there is no request and no value.
    ``slots`` is packed separately: many cases have the same. ``wire`` and ``names`` are the shapes and the parameters'
    names in a reply, where they differ from those in a trace; ``by_step`` is ``Case.trains``.
    """

    id: str
    case: bytes
    lacking: str | None = None
    request: bytes = b""
    slots: bytes = b""
    shapes: list[tuple[int, ...]] = []
    wire: list[tuple[int, ...]] = []
    names: list[dict[str, str]] = []
    by_step: bool = False
    values: bytes = b""
    allowed: bytes = b""

    @classmethod
    def of(cls, case: Case, dtype: str = "float64", lacking: str | None = None) -> Entry:
        """An entry for a case without expected values."""
        request = b"" if lacking else case.request(dtype)
        return cls(case.id, encoded(case), lacking, request, by_step=case.trains)

    def fill(self, expected: Expected) -> None:
        """Store the expected values and bounds."""
        values, allowed = expected.values, expected.allowed
        self.slots = msgspec.msgpack.encode([(slot.quantity, slot.layer, slot.step) for slot in values])
        self.shapes = [array.shape for array in values.values()]
        if expected.form is not None:
            self.wire = [expected.form.wire_shape(slot) for slot in values]
            self.names = expected.form.names
        self.values = b"".join(np.ascontiguousarray(array, dtype="<f8").tobytes() for array in values.values())
        self.allowed = b"".join(np.ascontiguousarray(allowed[slot], dtype="<f8").tobytes() for slot in values)

    def read_case(self) -> Case:
        """The case, decoded."""
        case = msgspec.json.decode(self.case, type=Case)  # rows of numbers, whatever their shape on the wire
        case.__dict__["id"] = self.id
        return case

    def read(self, dtype: str, profile: str) -> tuple[Case, Expected | None]:
        """The case and its expected values; None for these where they are not stored."""
        case = self.read_case()
        if not self.slots:
            return case, None
        values, allowed = np.frombuffer(self.values, dtype="<f8"), np.frombuffer(self.allowed, dtype="<f8")
        kept: tuple[dict[Slot, np.ndarray], dict[Slot, np.ndarray]] = ({}, {})
        at = 0
        for name, shape in zip(msgspec.msgpack.decode(self.slots), self.shapes, strict=True):
            slot, end = Slot(*name), at + math.prod(shape)
            kept[0][slot] = values[at:end].reshape(shape)
            kept[1][slot] = allowed[at:end].reshape(shape)
            at = end
        return case, Expected(*kept, lambda: alternatives(case.rounded(dtype), dtype, profile, kept[0]), Form(case))

    @property
    def whole(self) -> bool:
        """Whether values and bounds are as many as the shapes say."""
        size = 8 * sum(map(math.prod, self.shapes))
        return len(self.values) == len(self.allowed) == size and bool(self.slots) == bool(self.shapes)


_decode = msgspec.msgpack.Decoder(list[Entry]).decode


class Cache:
    """The cached chunks for one dtype, profile and set of claims. It can be pickled: every process opens its own."""

    def __init__(self, folder: Path, dtype: str, profile: str, largest: int = LARGEST, supports: object = None) -> None:
        self.folder, self.dtype, self.profile, self.largest, self.supports = folder, dtype, profile, largest, supports
        self._room: int | None = None

    def path(self, labels: Sequence[str]) -> Path:
        """The file of the chunk of the cases with these labels."""
        about = [_FORMAT, _surroundings(), self.dtype, self.profile, self.supports, list(labels)]
        return self.folder / f"{hashlib.sha256(msgspec.json.encode(about)).hexdigest()}.chunk"

    def load(self, labels: Sequence[str]) -> list[Entry] | None:
        """The entries of a chunk; None where there is no file, or it is damaged (it is then deleted)."""
        path = self.path(labels)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            body = memoryview(data)[_HASH:]
            if hashlib.sha256(body).digest() != data[:_HASH]:
                raise ValueError  # noqa: TRY301 - as what cannot be decoded
            found = _decode(body)
            if len(found) != len(labels) or not all(entry.whole for entry in found):
                raise ValueError  # noqa: TRY301
        except ValueError:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def save(self, labels: Sequence[str], found: Sequence[Entry]) -> None:
        """Save a chunk, whole or not at all, if there is room for it."""
        if self._room is None:
            self._room = self.largest - sum(size for _, size, _ in self._files())
        body = msgspec.msgpack.encode(found)
        self._room -= len(body)
        if self._room < 0:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".new-", delete=False) as new:
                try:
                    new.write(hashlib.sha256(body).digest() + body)
                    new.close()
                    Path(new.name).replace(self.path(labels))
                except OSError:
                    Path(new.name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """If the cache is (nearly) larger than its bound, remove the least recently used files."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= 0.9 * self.largest:
            return
        for _, size, path in files:
            if total <= 0.7 * self.largest:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
        return found


@functools.cache
def _surroundings(package: Path = Path(__file__).parents[1]) -> list[str]:
    """Everything besides the cases on which values may depend: this package's version and source, the libraries,
    the machine.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] not in _NO_VALUES:
            digest.update(msgspec.msgpack.encode((name.as_posix(), path.read_bytes())))
    versions = [__version__, *(importlib.metadata.version(name) for name in ("numpy", "torch"))]
    return [digest.hexdigest(), *versions, platform.python_version(), platform.machine(), sys.platform]

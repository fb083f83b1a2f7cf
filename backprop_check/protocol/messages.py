"""The messages as types: what an implementation's bytes become, once, at the edge.

``parse_line`` and ``parse_hello`` never raise.  What they return is a message of the right types,
``Noise`` (a line that is not a message at all, such as a debug print), or ``Malformed`` (meant as a
message, but wrong, with a sentence that says what and where).  Both live in ``parsing``.

The arrays of a reply stay ``msgspec.Raw``, checked to be JSON but not decoded: whoever knows the shape
to expect decodes them (``decode_value`` where the typed decoding fails and the difference is to be told).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    Array = msgspec.Raw | None
else:
    # msgspec keeps a value undecoded only where the type is exactly Raw; an absent one is None all the same.
    Array = msgspec.Raw

PROTOCOL: Final = 1
ECHO: Final[tuple[float, ...]] = (0.1, 0.3333333333333333, 5e-324, 1.7976931348623157e308, -0.0, 123456789.0)
MAX_IN_FLIGHT: Final = 1024
_NOISE_SHOWN: Final = 200

Dtype = Literal["float64", "float32"]


class Supports(msgspec.Struct, frozen=True):
    """What an implementation can do; None means all of level 1, dense networks with plain gradient descent.

    ``features`` are what it knows beyond: options of optimizers, schedules, clipping, penalties in the loss. The words
    of each list are those of ``claims.vocabulary``; others are an error of the hello, unless they begin with ``x-``.
    """

    layers: list[str] | None = None
    activations: list[str] | None = None
    losses: list[str] | None = None
    optimizers: list[str] | None = None
    batch: bool = True
    features: list[str] | None = None


class HelloReply(msgspec.Struct):
    """The implementation's answer to ``hello``.  Its texts are untrusted: ``clean_text`` is for them."""

    protocol: int
    name: str = ""
    language: str = ""
    version: str = ""
    dtype: Dtype = "float64"
    max_in_flight: Annotated[int, msgspec.Meta(ge=1)] = 1
    supports: Supports = msgspec.field(default_factory=Supports)
    echo: list[Any] | None = None

    def __post_init__(self) -> None:
        """Cap ``max_in_flight``: more than that gains nothing and only holds memory."""
        self.max_in_flight = min(self.max_in_flight, MAX_IN_FLIGHT)


class LayerReply(msgspec.Struct):
    """One layer of a reply; every array is undecoded JSON, or None where the implementation gave none."""

    gradients: dict[str, msgspec.Raw] | None = None
    z: Array = None
    a: Array = None
    delta: Array = None
    updated: dict[str, msgspec.Raw] | None = None
    buffers: dict[str, msgspec.Raw] | None = None


class StepReply(msgspec.Struct):
    """One update of a trajectory."""

    loss: Array = None
    layers: list[LayerReply] | None = None


class Reply(msgspec.Struct):
    """A reply to a case: an error where ``error`` is there, else a skip where ``skip`` is, else numbers."""

    id: str
    skip: str | None = None
    error: str | None = None
    traceback: str | None = None
    issue_url: str | None = None
    loss: Array = None
    layers: list[LayerReply] | None = None
    input_gradients: Array = None
    trajectory: list[StepReply] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A line that is a reply, with notes on what was accepted although the protocol does not allow it."""

    reply: Reply
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Noise:
    """A line that is not a JSON object; ``text`` is its beginning, safe to show."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that was meant as a message but is wrong; ``id`` is the case it names, if that can be read."""

    id: str | None
    problem: str
    notes: tuple[str, ...] = ()


Parsed = Message | Noise | Malformed


def hello_request(harness_version: str) -> bytes:
    """Give the first line of every conversation (without the newline)."""
    hello = {
        "type": "hello",
        "protocol": PROTOCOL,
        "harness": f"backprop-check {harness_version}",
        "echo": list(ECHO),
    }
    return msgspec.json.encode(hello)


@functools.cache
def _schema_text() -> str:
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of every message.

    The whole describes any message; ``#/$defs/helloRequest``, ``helloReply``, ``caseRequest``,
    ``caseReply``, ``skipReply`` and ``errorReply`` describe one kind each.
    """
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


def noise(line: bytes) -> Noise:
    """Keep the beginning of a line that is no message, safe to show."""
    head = line[:1000].decode("utf-8", "backslashreplace").strip()
    shown = one_line(head[:_NOISE_SHOWN])
    return Noise(f"{shown}… ({len(line)} bytes in all)" if len(head) > _NOISE_SHOWN else shown)

"""The types of the messages, into which an implementation's bytes are parsed once, at the edge.

``parse_line`` and ``parse_hello`` (in ``parsing``) never raise.  They return a message of the right types,
``Noise`` (a line that is not a message at all, such as a debug print), or ``Malformed`` (meant as a
message, but wrong, with a sentence that says what and where).

The arrays of a reply stay ``msgspec.Raw``: they are checked to be JSON but not decoded.  Code that knows the expected
shape decodes them (with ``decode_value`` where the typed decoding fails and the message must say why).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from backprop_check.fields import description
from backprop_check.protocol.text import one_line

PROTOCOL: Final = 1
ECHO: Final[tuple[float, ...]] = (0.1, 0.3333333333333333, 5e-324, 1.7976931348623157e308, -0.0, 123456789.0)
MAX_IN_FLIGHT: Final = 1024
_NOISE_SHOWN: Final = 200

Dtype = Literal["float64", "float32"]

Version = Annotated[
    int, Meta(description="The version of the protocol that is spoken.", extra_json_schema={"const": PROTOCOL})
]

_NUMBER = Meta(extra_json_schema={"$ref": "#/$defs/number"})
_TENSOR = Meta(extra_json_schema={"$ref": "#/$defs/tensor"})
if TYPE_CHECKING:
    Number = msgspec.Raw | None
    Tensor = msgspec.Raw | None
else:
    # msgspec keeps a value undecoded only where the type is exactly Raw; an absent value is None anyway.
    Number = Annotated[msgspec.Raw, _NUMBER]
    Tensor = Annotated[msgspec.Raw, _TENSOR]
Tensors = dict[str, Annotated[msgspec.Raw, _TENSOR]]
EchoedNumber = Annotated[Any, _NUMBER]


class HelloRequest(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The harness's first line to a port."""

    protocol: Version
    harness: Annotated[str, description('Who asks, such as "backprop-check 0.1.0".')]
    echo: Annotated[tuple[float, ...], description("Numbers to send back as they came.")]


class Supports(msgspec.Struct, frozen=True):
    """What a port can do. An absent list means all of level 1: dense networks, plain sgd.

    ``features`` are options of training, networks and losses that it supports; absent means none. An unknown word
    (or field) is an error, unless it begins with ``x-``: it is then ignored, and may be known to a newer harness.
    """

    layers: list[str] | None = None
    activations: list[str] | None = None
    losses: list[str] | None = None
    optimizers: list[str] | None = None
    batch: Annotated[bool, description("Whether a case may have several samples.")] = True
    features: list[str] | None = None


class HelloReply(msgspec.Struct):
    """A port's answer to hello."""

    # Its texts are untrusted: show them only through ``clean_text``.
    protocol: Version
    name: str = ""
    language: Annotated[str, Meta(examples=["Dart 3.7"])] = ""
    version: str = ""
    dtype: Annotated[Dtype, description("The number type in which the port computes.")] = "float64"
    max_in_flight: Annotated[
        int,
        Meta(ge=1),
        description("How many requests may be sent before a reply is awaited; more than 1024 counts as 1024."),
    ] = 1
    supports: Supports = msgspec.field(default_factory=Supports)
    echo: Annotated[
        list[EchoedNumber] | None, description("The numbers of the request, sent back; compared bit for bit.")
    ] = None

    def __post_init__(self) -> None:
        """Limit ``max_in_flight``: more would gain nothing and only use memory."""
        self.max_in_flight = min(self.max_in_flight, MAX_IN_FLIGHT)


class LayerReply(msgspec.Struct):
    """One layer of a reply. Its gradients are required where it has parameters of its own.

    The other arrays make the diagnosis more precise.
    """

    # Every array is undecoded JSON, or None where the implementation gave none.
    gradients: Annotated[
        Tensors | None, description("dL/dparameter, each of the shape of the parameter of that name.")
    ] = None
    z: Annotated[Tensor, description("Weighted sum plus bias, before the activation, [sample][neuron].")] = None
    a: Annotated[Tensor, description("After the activation, [sample][neuron].")] = None
    delta: Annotated[Tensor, description("dL/dz, L the reduced loss of the whole batch, [sample][neuron].")] = None
    updated: Annotated[Tensors | None, description("The parameters after the steps.")] = None
    buffers: Annotated[
        Tensors | None,
        description(
            "batch_norm's running statistics after the last pass: what training changes besides the parameters."
        ),
    ] = None


class StepReply(msgspec.Struct):
    """One update of a trajectory: the loss before it, and the parameters after it."""

    loss: Number = None
    layers: list[LayerReply] | None = None


class Reply(msgspec.Struct):
    """A reply to a case: an error where ``error`` is there, else a skip where ``skip`` is, else numbers.

    The numbers are those of the first pass, before any update.
    """

    id: Annotated[str, description("The id of the request.")]
    skip: Annotated[str | None, description("Why the case is skipped.")] = None
    error: Annotated[str | None, description("What went wrong.")] = None
    traceback: Annotated[str | None, description("The language's traceback; lines end with \\n.")] = None
    issue_url: str | None = None
    loss: Number = None
    layers: list[LayerReply] | None = None
    input_gradients: Annotated[Tensor, description("dL/dinput, [sample][input].")] = None
    trajectory: Annotated[list[StepReply] | None, description("One entry per update.")] = None


@dataclass(frozen=True, slots=True)
class Message:
    """A line that is a reply, with notes on irregularities that were accepted although the protocol forbids them."""

    reply: Reply
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Noise:
    """A line that is not a JSON object; ``text`` is its beginning, safe to show."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that was meant as a message but is wrong; ``id`` is the id in it, if that can be read."""

    id: str | None
    problem: str
    notes: tuple[str, ...] = ()


Parsed = Message | Noise | Malformed


def hello_request(harness_version: str) -> bytes:
    """The first line of every conversation (without the newline)."""
    return msgspec.json.encode(HelloRequest(PROTOCOL, f"backprop-check {harness_version}", ECHO))


@functools.cache
def _schema_text() -> str:
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of every message, which ``protocol.schema`` generates from the types.

    The schema as a whole describes any message; ``#/$defs/helloRequest``, ``helloReply``, ``caseRequest``,
    ``caseReply``, ``skipReply`` and ``errorReply`` describe one kind each.
    """
    schema: dict[str, Any] = json.loads(_schema_text())
    return schema


def noise(line: bytes) -> Noise:
    """A ``Noise`` with the beginning of a line that is not a message, safe to show."""
    head = line[:1000].decode("utf-8", "backslashreplace").strip()
    shown = one_line(head[:_NOISE_SHOWN])
    return Noise(f"{shown}… ({len(line)} bytes in all)" if len(head) > _NOISE_SHOWN else shown)

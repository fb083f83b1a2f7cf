"""The protocol's JSON Schema, made from the types of its messages.

``python -m backprop_check.protocol.schema`` writes ``schema.json`` beside this module; a test keeps that file equal.
What a field may be stands in its type, in the words of ``fields``. Here is only what no type can say: that a request
holds no null and implies no default, that in a reply null is as good as absent, and which words a port may claim.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from backprop_check.case.network import Case
from backprop_check.case.training import Optimizer
from backprop_check.functions.names import DEFAULT_ALPHA
from backprop_check.kinds import KINDS, Kind
from backprop_check.protocol.claims import FUTURE, vocabulary
from backprop_check.protocol.messages import PROTOCOL, HelloReply, HelloRequest, Reply

if TYPE_CHECKING:
    from collections.abc import Collection

Schema = dict[str, Any]

PATH = Path(__file__).with_name("schema.json")

#: Numbers in nested lists. Those of a request are finite; what is computed may not be.
_NUMBERS: dict[str, Schema] = {
    "number": {
        "description": "A real number. JSON has no NaN and no infinity: they are these strings. null is not a number.",
        "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
    },
    "tensor": {
        "description": "Numbers of a reply, in an array of any shape.",
        "anyOf": [{"$ref": "#/$defs/number"}, {"type": "array", "items": {"$ref": "#/$defs/tensor"}}],
    },
    "array": {
        "description": "Finite numbers, in an array of any shape.",
        "anyOf": [{"type": "number"}, {"type": "array", "items": {"$ref": "#/$defs/array"}}],
    },
}


class _ReplyKind(NamedTuple):
    """One of the three replies to a case, which are one type: what it holds beside the id, and what it must not."""

    description: str
    must: str
    may: tuple[str, ...]
    must_not: tuple[str, ...]


_REPLIES = {
    "caseReply": _ReplyKind(
        "A port's reply to a case: the numbers of the first pass, before any update.",
        "layers",
        ("loss", "input_gradients", "trajectory"),
        ("skip", "error"),
    ),
    "skipReply": _ReplyKind("A port's reply to a case that it skips.", "skip", ("issue_url",), ("error",)),
    "errorReply": _ReplyKind("A port's reply to a case in which it failed.", "error", ("traceback", "issue_url"), ()),
}


def schema() -> Schema:
    """The whole. Any message is valid against it; ``$defs`` has a schema for each."""
    messages = ("helloRequest", "helloReply", "caseRequest", *_REPLIES)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:backprop-check:protocol:{PROTOCOL}",
        "title": f"backprop-check protocol, version {PROTOCOL}",
        "description": "One JSON object a line. Any message validates against the whole; each kind has its own "
        "definition. Fields of a hello or a reply that are unknown are allowed and ignored.",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in messages],
        "$defs": {**_NUMBERS, **_requests(), **_replies()},
    }


def _requests() -> dict[str, Schema]:
    """What the harness sends: a hello, and cases."""
    found: dict[str, Schema] = _without_null(_components(HelloRequest, Case))
    case = found.pop("case")
    del case["properties"]["name"]
    case["properties"] = {"type": {"const": "case"}, "id": {"type": "string"}, **case["properties"]}
    for name in ("inputs", "targets"):
        case["properties"][name] = {
            "type": "array", "items": {"$ref": "#/$defs/array"}, "description": f"{name}[s] is sample s.", "minItems": 1
        }  # fmt: skip
    case["required"] = ["type", "id", *case["required"]]
    case["description"] = "The harness's question: a network, a batch and a loss. Expected values are never sent."
    return {"helloRequest": found.pop("helloRequest"), "caseRequest": _written_out(case, found), **_layers(found)}


def _written_out(case: Schema, parts: dict[str, Schema]) -> Schema:
    """A case as it is sent: ``Case.request`` writes out the defaults that a port would have to know."""
    case["dependentRequired"] = {"optimizer": ["steps"], "steps": ["optimizer"], "clip": ["optimizer"]}
    parts["regularization"]["required"] = list(parts["regularization"]["properties"])
    parts["lossKind"] |= _where("kind", ["huber"], {"required": ["threshold"]})
    parts["optimizer"] |= Optimizer.sent()
    for part in (case, parts["regularization"], parts["optimizer"]):
        for each in part["properties"].values():
            each.pop("default", None)
    return case


def _layers(parts: dict[str, Schema]) -> dict[str, Schema]:
    """The other definitions, and ``layer``: what all kinds have, then what each has of its own, chosen by ``kind``."""
    common = Kind.__struct_encode_fields__
    every = {name: parts["dense"]["properties"][name] for name in common}
    choices = []
    for kind in KINDS:
        own = parts[kind]
        own["properties"] = {name: each for name, each in own["properties"].items() if name not in common}
        del own["additionalProperties"]
        if "alpha" in own["properties"]:
            own |= _where("activation", list(DEFAULT_ALPHA), {"required": ["alpha"]})
        choices.append(_where("kind", [kind], {"$ref": f"#/$defs/{kind}"}))
    parts["network"]["properties"]["layers"]["items"] = {"$ref": "#/$defs/layer"}
    layer = {
        "title": "Layer",
        "description": "A layer of the network in a case.",
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(KINDS)}, **every},
        "allOf": choices,
        "unevaluatedProperties": False,
    }
    return {"layer": layer, **parts}


def _where(field: str, values: Collection[str], then: Schema) -> Schema:
    """``then``, where ``field`` has one of these values."""
    return {"if": {"properties": {field: {"enum": list(values)}}, "required": [field]}, "then": then}


def _replies() -> dict[str, Schema]:
    """What a port sends: its hello, and replies to cases."""
    found = _components(HelloReply, Reply)
    reply = found.pop("reply")
    for each in found.values():
        each["properties"] = {
            name: field if name in each["required"] else _or_null(name, field)
            for name, field in each["properties"].items()
        }
    supports = found["supports"]
    for name, words in vocabulary().items():
        known = {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": f"^{FUTURE}"}]}
        supports["properties"][name] = {"type": ["array", "null"], "items": known}
    supports["patternProperties"] = {f"^{FUTURE}": True}
    supports["additionalProperties"] = {"type": "null"}
    of_cases = {name: _one_reply(name, kind, reply["properties"]) for name, kind in _REPLIES.items()}
    return {"helloReply": found.pop("helloReply"), **of_cases, **found}


def _one_reply(name: str, kind: _ReplyKind, fields: dict[str, Schema]) -> Schema:
    """The schema of one of the three."""
    return {
        "title": name[0].upper() + name[1:],
        "description": kind.description,
        "type": "object",
        "required": ["id", kind.must],
        "properties": {
            **{field: _without_null(fields[field]) for field in ("id", kind.must)},
            **{field: _or_null(field, fields[field]) for field in kind.may},
            **{field: {"type": "null"} for field in kind.must_not},
        },
    }


def _or_null(name: str, field: Schema) -> Schema:
    """A field that may be null, which counts as absent. A loss may not: some languages write null for NaN."""
    plain: Schema = _without_null(field)
    if name == "loss":
        return plain
    described: Schema = {key: plain.pop(key) for key in ("description", "default", "examples") if key in plain}
    return {**described, "anyOf": [plain, {"type": "null"}]}


def _without_null(value: Any) -> Any:
    """The same without what is null, and without defaults that mean "absent"."""
    if isinstance(value, list):
        return [_without_null(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_null(each) for key, each in value.items()}
    if plain.get("default", 0) in (None, [], {}):
        del plain["default"]
    choices = [each for each in plain.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del plain["anyOf"]
        return {**choices[0], **plain}
    return {**plain, "anyOf": choices} if choices else plain


def _components(*types: type) -> dict[str, Schema]:
    """The schema of each struct that these types are made of, by our names: kinds by their own, others lowerCamel."""
    _, found = msgspec.json.schema_components(types)
    tags = {kind.__name__: name for name, kind in KINDS.items()}
    names = {name: tags.get(name, name[0].lower() + name[1:]) for name in found}
    references = {f"#/$defs/{name}": f"#/$defs/{ours}" for name, ours in names.items()}
    return {names[name]: _cleaned(each, references) for name, each in found.items()}


def _cleaned(value: Any, references: dict[str, str]) -> Any:
    """The same with our names, descriptions without a docstring's indent, and constants as such."""
    if isinstance(value, list):
        return [_cleaned(each, references) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _cleaned(each, references) for key, each in value.items() if key != "discriminator"}
    if "$ref" in plain:
        plain["$ref"] = references.get(plain["$ref"], plain["$ref"])
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"]).replace("``", "`")
    return plain


def text() -> str:
    """What ``schema.json`` holds."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")

"""The JSON Schema agrees with the types, and with every message that is sent and answered."""

from __future__ import annotations

import copy
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

import backprop_check
from backprop_check.case.training import SETTINGS
from backprop_check.cases.plan import select_cases
from backprop_check.functions.names import DEFAULT_ALPHA
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.protocol import json_schema
from backprop_check.protocol.schema import PATH, text

PORT = Path(backprop_check.__file__).parent / "ports" / "python" / "port.py"


def validator(name: str) -> jsonschema.Draft202012Validator:
    """A validator for one kind of message."""
    return jsonschema.Draft202012Validator({**json_schema(), "$ref": f"#/$defs/{name}"})


def test_the_file_is_what_the_types_say() -> None:
    """After a change of the types, python -m backprop_check.protocol.schema rewrites the file."""
    assert PATH.read_text(encoding="utf-8") == text()
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("suite", ["published", "edge", "generated", "training", *FAMILIES])
def test_all_that_is_sent_and_answered_is_valid(suite: str, every: int) -> None:
    """Every request of a suite, and the Python port's reply to it; without the thorough tests every eighth."""
    requests = [case.request() for case in select_cases([suite], 40)][::every]
    sent, answered = validator("caseRequest"), validator("caseReply")
    done = subprocess.run(
        [sys.executable, str(PORT)], input=b"\n".join(requests) + b"\n", capture_output=True, check=True, timeout=600
    )
    replies = done.stdout.splitlines()
    assert len(replies) == len(requests) > 1
    for request, reply in zip(requests, replies, strict=True):
        sent.validate(msgspec.json.decode(request))
        answered.validate(json.loads(reply))


@functools.cache
def of_kinds() -> dict[str, bytes]:
    """A request with each kind of layer."""
    found: dict[str, bytes] = {}
    for family in ("published", *FAMILIES):
        wanted = {name for name, kind in KINDS.items() if kind.family == family or name == "dense"}
        for case in select_cases([family], 200):
            if found.keys() >= wanted:
                break
            found |= dict.fromkeys((layer.kind for layer in case.network.layers), case.request())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_rule(kind: str) -> None:
    """An unknown field, a missing one and one of another type are refused, for every kind of layer."""
    request = msgspec.json.decode(of_kinds()[kind])
    layers = request["network"]["layers"]
    number = next(number for number, each in enumerate(layers) if each["kind"] == kind)
    check, path = validator("caseRequest"), f"network.layers.{number}"
    assert check.is_valid(request)
    assert not check.is_valid(_changed(request, f"{path}.unknown", 1))
    for field in msgspec.structs.fields(KINDS[kind]):
        assert not check.is_valid(_changed(request, f"{path}.{field.encode_name}", {"no": "such"})), field.name
        if field.required:
            assert not check.is_valid(_changed(request, f"{path}.{field.encode_name}", None)), field.name


def _changed(request: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same with another value at a path of keys; None removes it."""
    made = copy.deepcopy(request)
    place: Any = made
    *way, last = path.split(".")
    for key in way:
        place = place[int(key)] if key.isdigit() else place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


LAYER: dict[str, Any] = {
    "kind": "dense", "units": 1, "activation": "sigmoid", "parameters": {"weights": [[0.5]], "biases": [0.0]}
}  # fmt: skip
OF_KINDS: dict[str, dict[str, Any]] = json.loads(json.dumps(SETTINGS))
ADAM = {"kind": "adam", "learning_rate": 0.1, **OF_KINDS["adam"]}
REQUEST: dict[str, Any] = {
    "type": "case",
    "id": "one",
    "network": {"inputs": 1, "layers": [LAYER]},
    "loss": {"kind": "squared_error"},
    "reduction": "mean",
    "inputs": [[1.0]],
    "targets": [[0.5]],
    "optimizer": ADAM,
    "steps": 1,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("network.inputs", 0),
        ("network.inputs", []),
        ("network.layers", []),
        ("network.layers.0.units", 0),
        ("network.layers.0.kind", "capsule"),
        ("network.layers.0.activation", "swish"),
        ("network.layers.0.parameters.biases", None),
        ("network.layers.0.parameters.weights", [["NaN"]]),
        ("network.layers.0.combine", "subtract"),
        ("loss.kind", "huber"),
        ("loss.kind", "mse"),
        ("loss.threshold", 0),
        ("reduction", "none"),
        ("inputs", []),
        ("name", "one"),
        ("steps", None),
        ("steps", 0),
        ("optimizer", None),
        ("optimizer.eps", None),
        ("optimizer.momentum", 0.5),
        ("optimizer.betas", [0.9]),
        ("optimizer.betas", [0.9, 1]),
        ("optimizer.kind", "lion"),
        ("clip", {"kind": "norm", "limit": 0}),
        ("regularization", {"l1": 1.0, "l2": 0.0}),
    ],
)
def test_what_is_never_sent_is_refused(path: str, value: Any) -> None:
    """A number out of its range, an unknown word, a default that is not written out."""
    check = validator("caseRequest")
    assert check.is_valid(REQUEST)
    assert not check.is_valid(_changed(REQUEST, path, value))


def test_alpha_and_plain_sgd_are_written_out() -> None:
    """α with every activation that has one; plain gradient descent has only its rate, or all fields."""
    check = validator("caseRequest")
    for activation, alpha in DEFAULT_ALPHA.items():
        named = _changed(REQUEST, "network.layers.0.activation", activation)
        assert not check.is_valid(named)
        assert check.is_valid(_changed(named, "network.layers.0.alpha", alpha))
    plain = _changed(REQUEST, "optimizer", {"kind": "sgd", "learning_rate": [0.5]})
    assert check.is_valid(plain)
    assert not check.is_valid(_changed(plain, "optimizer.momentum", 0.5))
    whole = {**plain["optimizer"], **OF_KINDS["sgd"]}
    assert check.is_valid(_changed(plain, "optimizer", whole))


@pytest.mark.parametrize(
    ("reply", "valid"),
    [
        ({"id": "a", "layers": []}, True),
        ({"id": "a", "layers": [{"gradients": {"weights": [["NaN", 1]]}, "z": None}], "loss": "Infinity"}, True),
        ({"id": "a", "layers": [], "of_tomorrow": 1, "trajectory": [{"loss": 1.0, "layers": None}]}, True),
        ({"id": "a", "layers": [{"gradients": {"weights": None}}]}, False),
        ({"id": "a", "layers": [], "loss": None}, False),
        ({"id": "a", "layers": [{"z": "nan"}]}, False),
        ({"id": 1, "layers": []}, False),
        ({"id": "a", "skip": "not yet", "error": None, "issue_url": "https://example.org"}, True),
        ({"id": "a", "error": "it broke", "traceback": None}, True),
        ({"id": "a"}, False),
        ({"protocol": 1, "dtype": None, "max_in_flight": 4, "supports": {"layers": ["x-new"]}, "more": 1}, True),
        ({"protocol": 2}, False),
        ({"protocol": 1, "max_in_flight": 0}, False),
        ({"protocol": 1, "dtype": "float16"}, False),
        ({"protocol": 1, "supports": {"activation": ["relu"]}}, False),
    ],
)
def test_replies(reply: dict[str, Any], *, valid: bool) -> None:
    """null counts as absent, numbers may be strings, and unknown fields are ignored."""
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(reply) is valid

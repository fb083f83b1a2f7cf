"""A case's training: fields, requests, errors, and the claims that a port needs to be sent it."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from backprop_check.case.network import Case
from backprop_check.case.training import FEATURES, OPTIMIZERS, SETTINGS
from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_case
from backprop_check.cases.plan import Plan, select_cases
from backprop_check.cases.suites import generated_count
from backprop_check.cases.training import training_cases
from backprop_check.cases.within import ALL_TRAINING, LEVEL_1, Within, supported
from backprop_check.errors import CaseError
from backprop_check.protocol import Supports, json_schema
from backprop_check.protocol.messages import HelloReply
from backprop_check.running.one_case import not_supported

PLAIN: dict[str, Any] = {
    "network": {
        "inputs": 1,
        "layers": [
            {
                "kind": "dense",
                "units": 1,
                "activation": "identity",
                "parameters": {"weights": [[0.5]], "biases": [0.25]},
            }
        ],
    },
    "loss": {"kind": "half_squared_error"},
    "reduction": "mean",
    "inputs": [[1.0]],
    "targets": [[0.5]],
    "optimizer": {"kind": "sgd", "learning_rate": 0.5},
}


def case(**changes: Any) -> Case:
    return Case.from_dict({**PLAIN, **changes})


def adam(**settings: Any) -> dict[str, Any]:
    return {"kind": "adam", "learning_rate": 0.1, **settings}


def hello(**supports: Any) -> HelloReply:
    return HelloReply(protocol=1, supports=msgspec.convert(supports, Supports))


def test_what_was_there_before_is_as_it_was() -> None:
    """Ids and requests of plain gradient descent have not changed."""
    assert generated_case(5).id == "mlp-2x5x2x4-log-softmax-s0005-13b2e976"
    assert case().request().endswith(b'"optimizer":{"kind":"sgd","learning_rate":0.5},"steps":1}')
    off = {"kind": "sgd", "learning_rate": 0.5, "momentum": 0.0, "nesterov": False}
    assert case(optimizer=off).request() == case().request()
    assert case(optimizer=adam()).id == case(optimizer=adam(eps=1e-8, amsgrad=False)).id != case().id


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_request_implies_nothing(kind: str) -> None:
    """Every field of a kind is written out, including PyTorch's defaults."""
    import torch  # noqa: PLC0415

    names = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}
    theirs = getattr(torch.optim, names[kind])([torch.zeros(1)]).param_groups[0]
    assert {name: theirs[name] for name in SETTINGS[kind]} == SETTINGS[kind]
    decay = {"weight_decay": 0.5}
    sent = msgspec.json.decode(case(optimizer={"kind": kind, "learning_rate": 0.5, **decay}).request())["optimizer"]
    assert sent == {"kind": kind, "learning_rate": 0.5, **msgspec.to_builtins(SETTINGS[kind]), **decay} | (
        {"betas": [0.9, 0.999]} if "betas" in SETTINGS[kind] else {}
    )


def test_penalty_and_clip_are_written_out() -> None:
    one = case(regularization={"l2": 0.5}, clip={"kind": "norm", "limit": 2})
    sent = msgspec.json.decode(one.request())
    assert sent["regularization"] == {"l1": 0.0, "l2": 0.5, "biases": False}
    assert sent["clip"] == {"kind": "norm", "limit": 2.0}
    assert one.id != case().id


def test_defaults_are_rounded_to_the_dtype() -> None:
    """A float32 port is judged with the β that it was sent."""
    rounded = case(optimizer=adam()).rounded("float32")
    assert rounded.optimizer is not None
    assert rounded.optimizer.settings["betas"][1] != 0.999
    assert rounded.rounded("float32") == rounded


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"optimizer": {"kind": "lion", "learning_rate": 0.5}}, "$.optimizer.kind"),
        ({"optimizer": {"kind": "sgd", "learning_rate": 0.5, "betas": [0.9, 0.9]}}, "$.optimizer.betas"),
        ({"optimizer": {"kind": "sgd", "learning_rate": 0.5, "nesterov": True}}, "$.optimizer.nesterov"),
        ({"optimizer": {"kind": "sgd", "learning_rate": 0.5, "dampening": 0.5}}, "$.optimizer.dampening"),
        ({"optimizer": adam(learning_rate=[0.1, 0.2])}, "$.optimizer.learning_rate"),
        ({"optimizer": adam(learning_rate=float("nan"))}, "$.optimizer.learning_rate"),
        ({"optimizer": adam(betas=[0.9, 1.0])}, "$.optimizer.betas"),
        ({"optimizer": adam(eps=-1e-8)}, "$.optimizer.eps"),
        ({"optimizer": adam(momentun=0.5)}, "$.optimizer"),
        ({"clip": {"kind": "norm", "limit": 0.0}}, "$.clip.limit"),
        ({"clip": {"kind": "norm", "limit": 1.0}, "optimizer": None}, "$.clip"),
        ({"regularization": {"l1": -1.0}}, "$.regularization.l1"),
    ],
)
def test_a_field_without_meaning_is_an_error(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(CaseError) as found:
        case(**changes)
    assert found.value.path == path


def test_every_request_is_valid() -> None:
    validator = jsonschema.Draft202012Validator({**json_schema(), "$ref": "#/$defs/caseRequest"})
    for one in [*training_cases(60), *(file.case for file in suite_files("training"))]:
        validator.validate(msgspec.json.decode(one.request()))
        assert Case.from_json(msgspec.json.encode(one.to_dict())) == one


def test_an_old_port_gets_nothing_that_it_would_misread() -> None:
    """Absent lists mean level 1; a listed kind is sent without options that are not listed."""
    momentum = {"kind": "sgd", "learning_rate": 0.5, "momentum": 0.5}
    assert not_supported(case(), hello()) is None
    assert not_supported(case(), hello(optimizers=[])) == "the optimizer sgd"
    assert not_supported(case(optimizer=adam()), hello()) == "the optimizer adam"
    assert not_supported(case(optimizer=momentum), hello()) == "the feature momentum"
    assert not_supported(case(optimizer=momentum), hello(optimizers=["sgd"])) == "the feature momentum"
    assert not_supported(case(optimizer=momentum), hello(features=["momentum"])) is None
    assert not_supported(case(regularization={"l2": 1.0}), hello()) == "the feature regularization"
    assert not_supported(case(clip={"kind": "value", "limit": 1.0}), hello()) == "the feature clipping"
    schedule = {"kind": "sgd", "learning_rate": [0.5]}
    assert not_supported(case(optimizer=schedule), hello()) == "the feature schedule"
    adamw = {"kind": "adamw", "learning_rate": 0.5, "weight_decay": 0.5}
    assert not_supported(case(optimizer=adamw), hello(optimizers=["adamw"])) is None


def test_the_suite_costs_nothing_where_nothing_is_claimed() -> None:
    names = [one.name for one in select_cases(count=8)]
    assert names == [one.name for one in select_cases(["published", "edge", "generated"], 8)]
    assert len(Plan(count=8)) == len(names)
    assert supported(Supports()) == LEVEL_1


def test_the_suite_joins_where_any_is_claimed() -> None:
    """Its files, and a quarter as many generated cases; a plan and a selection have the same."""
    claims = Supports(optimizers=["sgd", "adam", "of tomorrow"], features=["schedule", "telepathy"])
    within = supported(claims)
    assert (within.optimizers, within.features) == (("sgd", "adam"), ("schedule",))
    plan = Plan(count=30, within=within)
    chosen = list(select_cases(count=30, within=within))
    assert [plan.case(position).id for position in range(len(plan))] == [one.id for one in chosen]
    made = [
        one for position, one in enumerate(chosen) if ":" in plan.label(position) and plan.suite(position) == "training"
    ]
    assert len(made) == generated_count("training", 30)
    assert all(not_supported(one, HelloReply(protocol=1, supports=claims)) is None for one in made)
    assert {one.optimizer.kind for one in made if one.optimizer} == {"sgd", "adam"}
    assert len(set(map(plan.label, range(len(plan))))) == len(plan)


def test_named_alone_it_is_all_there_is() -> None:
    cases = list(select_cases(["training"], 20))
    assert [one.id for one in cases[-5:]] == [one.id for one in training_cases(5, within=ALL_TRAINING)]


@pytest.mark.parametrize(
    "within",
    [
        Within(optimizers=("adam",), updates=False),
        Within(optimizers=("sgd",), features=("clipping", "regularization"), batch=False),
        Within(optimizers=OPTIMIZERS, features=FEATURES, activations=("softmax",), losses=("cross_entropy",)),
    ],
    ids=["adam", "clipping", "softmax"],
)
def test_cases_keep_to_what_is_supported(within: Within) -> None:
    cases = list(training_cases(60, within=within))
    assert len({one.id for one in cases}) == 60
    for one in cases:
        assert one.optimizer is not None
        assert one.optimizer.kind in within.optimizers
        assert set(one.features) <= set(within.features)
        assert within.batch or len(one.inputs) == 1
        assert {layer.activation for layer in one.network.layers} <= set(within.activations)
    assert list(training_cases(5, within=Within(optimizers=("adam",), losses=()))) == []

"""The words that a port claims: an unknown one is an error that names the likeliest known one."""

from __future__ import annotations

import difflib
import json
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backprop_check import check
from backprop_check.cases.within import supported
from backprop_check.cli import main
from backprop_check.errors import StartError
from backprop_check.protocol import HelloReply, Malformed, Supports, json_schema, open_implementation, parse_hello
from backprop_check.protocol.claims import near_claims, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

#: The list, what people write in it, and what they mean.
MEANT = [
    ("layers", "Conv2d", "conv2d"),
    ("layers", "Linear", "dense"),
    ("layers", "fully_connected", "dense"),
    ("layers", "MaxPool2d", "max_pool2d"),
    ("layers", "BatchNorm2d", "batch_norm"),
    ("layers", "LSTM", "lstm"),
    ("layers", "self-attention", "multihead_attention"),
    ("activations", "leakyrelu", "leaky_relu"),
    ("activations", "ReLU", "relu"),
    ("activations", "linear", "identity"),
    ("activations", "swish", "silu"),
    ("losses", "mse", "mean_squared_error"),
    ("losses", "MSELoss", "mean_squared_error"),
    ("losses", "bce", "binary_cross_entropy"),
    ("losses", "mae", "mean_absolute_error"),
    ("losses", "CrossEntropy", "cross_entropy"),
    ("losses", "nll", "negative_log_likelihood"),
    ("optimizers", "Adam", "adam"),
    ("optimizers", "gd", "sgd"),
    ("features", "grad_clipping", "clipping"),
    ("features", "label-smoothing", "label_smoothing"),
]


def said_of(supports: dict[str, Any]) -> str:
    """The error for a hello with these claims; empty if there is none."""
    parsed = parse_hello(json.dumps({"protocol": 1, "supports": supports}).encode())
    if isinstance(parsed, Malformed):
        return parsed.problem
    assert isinstance(parsed, HelloReply)
    return ""


@pytest.mark.parametrize(("key", "word", "meant"), MEANT)
def test_the_nearest_word_is_suggested(key: str, word: str, meant: str) -> None:
    text = said_of({key: [vocabulary()[key][0], word]})
    assert f'at $.supports.{key}: "{word}" is unknown (did you mean "{meant}"' in text
    assert "Correct or remove each" in text


def test_spelling_alone_would_suggest_another() -> None:
    """The reason for a table of aliases in addition to difflib."""
    assert difflib.get_close_matches("mse", vocabulary()["losses"], 1) != ["mean_squared_error"]
    assert near_claims("losses", "mse")[0] == "mean_squared_error"


def test_every_alias_is_of_a_known_word() -> None:
    from backprop_check.protocol import claims  # noqa: PLC0415 - what is not for everybody

    for key, table in claims.ALIASES.items():
        for alias, words in table.items():
            assert set(words) <= set(vocabulary()[key]), (key, alias)


@pytest.mark.parametrize("key", list(vocabulary()))
def test_every_known_word_may_be_claimed(key: str) -> None:
    assert said_of({key: list(vocabulary()[key])}) == ""


def test_a_word_of_another_list_is_told_where_it_belongs() -> None:
    assert '"relu" is unknown, but belongs in $.supports.activations' in said_of({"layers": ["dense", "relu"]})
    assert '"momentum" is unknown, but belongs in $.supports.features' in said_of({"optimizers": ["momentum"]})


def test_an_unknown_field_is_an_error_too() -> None:
    """Otherwise its words would never be asked for, and nobody would notice."""
    assert 'at $.supports: "layer" is not one of its fields (did you mean "layers"?)' in said_of({"layer": ["conv2d"]})


def test_several_are_told_of_and_hostile_ones_harm_nobody() -> None:
    words = [f"\x1b[31m<b>{number}\u202e" * 50 for number in range(200)]
    text = said_of({"layers": words})
    assert "and 195 more like that" in text
    assert len(text) < 2000
    assert not {"\x1b", "\u202e"} & set(text)


def test_what_begins_with_x_is_allowed_and_ignored() -> None:
    """So a port can also serve a newer harness: its cases are those of the same claims without the x- words."""
    plain = {"layers": ["dense"], "activations": ["relu", "tanh"], "losses": ["huber"], "features": ["graph"]}
    more = {key: ["x-of-tomorrow", *words] for key, words in plain.items()} | {"x-more": {"any": "thing"}}
    assert said_of(more) == ""
    claims = [
        parse_hello(json.dumps({"protocol": 1, "supports": each}).encode()).supports  # type: ignore[union-attr]
        for each in (plain, more)
    ]
    assert supported(claims[0]) == supported(claims[1])
    only = supported(Supports(layers=["x-capsule"], activations=["x-swish2"], losses=["x-dice"]))
    assert not only.has_chains()
    assert not only.pairs()


@given(
    supports=st.dictionaries(
        st.sampled_from([*vocabulary(), "batch", "x-new", "layer"]),
        st.one_of(st.none(), st.booleans(), st.lists(st.sampled_from(["dense", "relu", "x-y", "Conv2d", 1, "mse"]))),
    )
)
def test_the_schema_says_the_same(supports: dict[str, Any]) -> None:
    """A hello is refused exactly where ``schema.json`` refuses it."""
    schema = json_schema()
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/helloReply", "$defs": schema["$defs"]})
    assert validator.is_valid({"protocol": 1, "supports": supports}) == (said_of(supports) == "")


def test_the_schema_has_every_word() -> None:
    lists = json_schema()["$defs"]["supports"]["properties"]
    for key, words in vocabulary().items():
        assert lists[key]["items"]["anyOf"][0]["enum"] == list(words)


def test_a_callable_and_a_port_are_refused_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``check``, in a process of its own, and on the command line with exit code 3."""

    def backprop(case: dict[str, Any]) -> dict[str, Any]:
        return {"skip": str(case)}

    backprop.supports = {"optimizers": ["Adam"]}  # type: ignore[attr-defined]
    said = 'at \\$.supports.optimizers: "Adam" is unknown \\(did you mean "adam"'
    with pytest.raises(StartError, match=said):
        check(backprop, cases=1)
    (tmp_path / "claiming.py").write_text("def f(case): return {}\nf.supports = {'optimizers': ['Adam']}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match=said):
        open_implementation("python:claiming:f", isolated=True)
    (tmp_path / "port.py").write_text(
        "import sys\nfor line in sys.stdin:\n"
        '    print(\'{"protocol": 1, "supports": {"losses": ["mse"]}}\', flush=True)\n'
    )
    for command in ("run", "smoke"):
        ran = CliRunner().invoke(main, [command, f'"{sys.executable}" port.py'])
        assert ran.exit_code == 3
        assert 'at $.supports.losses: "mse" is unknown (did you mean "mean_squared_error"?)' in ran.output

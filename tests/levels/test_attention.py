"""Attention, blocks, positions and losses over sequences: right implementations pass, every planted bug is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "backprop_check" / "ports" / "torch"))

import attention_cases
import numpy_attention as attention
from case_writing import CASES as CASES_FOLDER
from case_writing import assert_written
from helpers import tool

from backprop_check import check
from backprop_check.cases.draw import PAIRS
from backprop_check.cases.families import family_case
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cases.generate import generated_case, label
from backprop_check.cases.within import LEVEL_1, Within
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.errors import CaseError
from backprop_check.functions.names import LATER_LOSSES, LOSSES
from backprop_check.numbers import Scalars
from backprop_check.protocol import json_schema
from backprop_check.protocol.messages import HelloReply, Reply
from backprop_check.running.one_case import not_supported
from backprop_check.witness.autograd import autograd_pass

if TYPE_CHECKING:
    from backprop_check.case.network import Case

FILES = suite_files("attention")
MADE = {case.name: (case, about) for case, about in attention_cases.files()}
CASES = [family_case("attention", index) for index in range(200)]

#: Every planted mistake with the code that it must be given.
PLANTED = {
    "BP910": ("scale-missing", "scale-missing-backward", "scale-missing-keys", "scale-whole-width", "scale-of-d",
              "scale-times", "scale-default"),
    "BP911": ("softmax-gradient-missing", "softmax-gradient-missing-hidden", "softmax-gradient-diagonal",
              "softmax-gradient-factor"),
    "BP912": ("swapped", "order-vqk", "order-qvk"),
    "BP913": ("residual-missing", "residual-missing-1", "residual-missing-2", "residual-back", "residual-back-1",
              "residual-back-2"),
    "BP914": ("softmax-queries", "softmax-all"),
    "BP915": ("mask-after", "mask-zero"),
    "BP916": ("heads-view", "heads-split", "heads-merge", "heads-turns", "one-head"),
    "BP917": ("norm-place", "norm-always-after", "norm-always-before", "residual-from-normed"),
    "BP918": ("mask-ignored", "causal-ignored", "padding-ignored", "padding-inverted", "causal-round"),
    "BP919": ("positions-twice", "positions-unpaired", "positions-halves", "positions-exchanged",
              "positions-from-one", "positions-usual-base", "positions-times"),
    "BP311": ("smoothing-others", "smoothing-not", "smoothing-kept"),
    "BP312": ("tokens-mean",),
}  # fmt: skip
ALL_PLANTED = [(code, mistake) for code, mistakes in PLANTED.items() for mistake in mistakes]

#: Mistakes that are not in the catalogue: no bug may be named.
OUTSIDE = ("value-gradient", "norm-scale-twice")


def relevant(code: str, count: int = 26) -> list[Case]:
    """Some cases in which a bug can show, and some in which it cannot. The full selection is for the slow tests."""

    def shows(case: Case) -> bool:
        kinds = {layer.kind for layer in case.network.layers}
        if code == "BP311":
            return case.loss.label_smoothing is not None
        if code == "BP312":
            return len(case.network.output_shapes[-1]) > 1
        if code == "BP919":
            return "positional_encoding" in kinds
        blocks = {"transformer_block"}
        return bool(kinds & (blocks if code in ("BP913", "BP917") else {*blocks, *attention.APART}))

    return [*[case for case in CASES if shows(case)][:count], *[case for case in CASES if not shows(case)][:3]]


def causes_of(mistake: str, reported: tuple[str, ...], cases: list[Case]) -> list[Any]:
    """The causes found for an implementation with that mistake, which must be caught."""
    results = check(attention.implementation(mistake, reported=reported), cases=cases)
    counts = results.summary.counts
    assert counts["errors"] == 0, [case.message for case in results.cases if case.outcome == "error"][:1]
    assert counts["mismatched"] > 0, mistake
    return list(results.conclusion.causes)


def names(causes: list[Any]) -> list[str]:
    """The codes of the causes. BP004 (not a number) is allowed: some of these mistakes do give NaN."""
    return [cause.code for cause in causes if cause.code != "BP004"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_implementation_in_numpy_passes(dtype: str) -> None:
    """Written independently, in closed form: a norm's gradient, sums by matrix products, −∞ for masked scores."""
    results = check(attention.implementation("", dtype), suites=["attention"], cases=200)
    assert results.summary.counts["passed"] == results.summary.cases == len(FILES) + 50


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_passes(dtype: str) -> None:
    """PyTorch's own modules, as an implementation."""
    import torch  # noqa: PLC0415
    import torch_layers  # type: ignore[import-not-found]  # noqa: PLC0415

    before = torch_layers.DTYPE
    torch_layers.DTYPE = getattr(torch, dtype)
    try:
        results = check(torch_layers.backprop, suites=["attention"], cases=200, dtype=dtype)  # type: ignore[arg-type]
    finally:
        torch_layers.DTYPE = before
    assert results.summary.counts["passed"] == results.summary.cases >= len(FILES) + 50


@pytest.mark.parametrize(("code", "mistake"), [(code, mistakes[0]) for code, mistakes in PLANTED.items()])
def test_named(code: str, mistake: str) -> None:
    """With full reports: that name, and no other. The variants of each mistake are slow tests."""
    found = causes_of(mistake, ("loss", "z", "a", "delta"), relevant(code, 14))
    assert names(found) == [code], [(cause.code, cause.detail) for cause in found]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "mistake"), ALL_PLANTED)
def test_every_planted_mistake_is_named(code: str, mistake: str) -> None:
    """The same in more cases."""
    found = causes_of(mistake, ("loss", "z", "a", "delta"), relevant(code))
    assert names(found) == [code], [(cause.code, cause.detail) for cause in found]


@pytest.mark.parametrize("code", ["BP910", "BP916", "BP918"])
def test_named_by_gradients_alone(code: str) -> None:
    """Only the gradients of the parameters are reported."""
    assert names(causes_of(PLANTED[code][0], (), relevant(code, 14))) == [code]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "mistake"), ALL_PLANTED)
def test_every_planted_mistake_is_named_by_gradients_alone(code: str, mistake: str) -> None:
    """The same for every mistake."""
    found = causes_of(mistake, (), relevant(code))
    assert names(found) == [code], [(cause.code, cause.detail) for cause in found]


@pytest.mark.thorough
@pytest.mark.parametrize("mistake", OUTSIDE)
def test_no_name_fits_what_is_not_in_the_catalogue(mistake: str) -> None:
    assert names(causes_of(mistake, ("loss", "z", "a", "delta"), relevant("", 10))) == [None]


@pytest.mark.parametrize("mistake", ["sum-last", "sum-first", "sum-back-last", "sum-back-first"])
def test_a_lost_path_in_a_graph_is_named(mistake: str) -> None:
    """Layers that are added, one of which is left out."""
    graphs = (family_case("graph", index) for index in range(90))
    chosen = [
        case
        for case in graphs
        if any(layer.combine == "add" for layer in case.network.layers)
        and all(layer.kind == "dense" and not layer.shares for layer in case.network.layers)
        and case.steps == 1
    ]
    assert names(causes_of(mistake, ("loss", "z", "a", "delta"), chosen)) == ["BP913"]


def test_bounds_hold_against_fifty_digits() -> None:
    """The reference's values are within their bounds of the exact ones, and the bounds are tight enough to find
    errors.
    """
    for case in CASES[::12]:
        expected, truth = expect(case), textbook_pass(case, Scalars.of_mpmath()).values
        for slot, values in expected.values.items():
            error = np.asarray(abs(values - truth[slot]), dtype=float)
            assert (error <= expected.allowed[slot]).all(), (case.id, slot)
            assert (expected.allowed[slot] <= 1e-8).all(), (case.id, slot)


def test_generation_covers_every_option() -> None:
    """In any 200 cases."""
    of: dict[str, list[Any]] = {}
    for case in CASES:
        for layer in case.network.layers:
            of.setdefault(layer.kind, []).append(layer)
    assert set(of) >= set(attention.KINDS)
    many, function, blocks = of["multihead_attention"], of["scaled_dot_product_attention"], of["transformer_block"]
    for layers, mask in ((many, "key_padding_mask"), (function, "key_padding_mask"), (blocks, "src_key_padding_mask")):
        assert {layer.is_causal for layer in layers} == {True, False}
        assert {getattr(layer, mask) is None for layer in layers} == {True, False}
    assert {len(layer.from_) for layer in many} == {len(layer.from_) for layer in function} == {0, 2, 3}
    assert {"in_proj_weight" in layer.parameters for layer in many} == {True, False}
    assert {"in_proj_bias" in layer.parameters for layer in many} == {True, False}
    assert {layer.num_heads for layer in many} >= {1, 2, 3}
    assert {layer.scale is None for layer in function} == {True, False}
    assert {(layer.norm_first, layer.activation) for layer in blocks} == {
        (first, activation) for first in (True, False) for activation in ("relu", "gelu")
    }
    assert {"norm1.bias" in layer.parameters for layer in blocks} == {True, False}
    assert {layer.base for layer in of["positional_encoding"]} == {100.0, 10000.0}
    losses = {(case.loss.kind, case.loss.label_smoothing is not None) for case in CASES}
    assert losses >= {("cross_entropy", True), ("cross_entropy", False), ("kl_divergence", False)}
    assert {len(case.network.output_shapes[-1]) for case in CASES} == {1, 2}


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_files(file: CaseFile) -> None:
    """The files are up to date, their digits are right, and all three witnesses give their values."""
    written = (CASES_FOLDER / "attention" / f"{file.case.name}.json").read_bytes()
    assert_written(written, *MADE[file.case.name])
    for path, digits in file.published.items():
        value: Any = file.expected
        for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
            value = value[int(index)] if index else value[key]
        printed = np.array(digits, dtype=str)
        places = np.vectorize(lambda text: len(text.partition(".")[2]))(printed)
        assert (abs(np.array(value) - np.array(digits)) <= 1.001 * 10.0**-places).all(), path
    expected = expect(file.case)
    comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply))
    assert comparison.mismatches == []
    truth, other = textbook_pass(file.case, Scalars.of_mpmath()).values, autograd_pass(file.case).values
    for slot, got in comparison.actual.items():
        for witness in (truth, other):
            if slot in witness:
                assert (np.asarray(abs(got - witness[slot]), dtype=float) <= expected.allowed[slot]).all(), slot


def test_there_are_no_other_files() -> None:
    assert {file.case.name for file in FILES} == set(MADE)


def test_a_hidden_score_has_no_weight_however_large() -> None:
    """A masked score is neither the maximum that is subtracted nor part of the sum: computed by hand over the
    unmasked ones.
    """
    seen = expect(next(file.case for file in FILES if file.case.name == "hidden-largest"))
    a = next(values for slot, values in seen.values.items() if slot.quantity == "a")
    assert a[0][:2].tolist() == [1.0, 0.0]  # the first query attends to the first token alone


WRONG = [
    ({"num_heads": 3}, "$.network.layers[0].num_heads", "a divisor of 4 features"),
    ({"key_padding_mask": [[False] * 2]}, "$.network.layers[0].key_padding_mask[0]", "3 flags, one a key"),
    ({"key_padding_mask": []}, "$.network.layers[0].key_padding_mask", "1 rows, one a sample"),
    ({"key_padding_mask": [[True] * 3]}, "$.network.layers[0].key_padding_mask[0]", "left for query 0"),
    (
        {"is_causal": True, "key_padding_mask": [[True, False, False]]},
        "$.network.layers[0].key_padding_mask[0]",
        "left for query 0",
    ),
    ({"parameters": {}}, "$.network.layers[0].parameters", "in_proj_weight, out_proj.weight"),
]


@pytest.mark.parametrize(("changes", "path", "expected"), WRONG)
def test_what_is_wrong_in_a_case_is_said(changes: Any, path: str, expected: str) -> None:
    layer = {**attention_cases.heads(4, 2), **changes}
    with pytest.raises(CaseError) as caught:
        attention_cases.case("x", [layer], [attention_cases.digits((3, 4))], [[[0.0] * 4] * 3])
    assert caught.value.path == path
    assert expected in caught.value.expected


def test_what_is_wrong_with_a_loss_is_said() -> None:
    linear = attention_cases.linear(2, 2, 1, "softmax")
    for loss, path, expected in (
        ({"kind": "half_squared_error", "label_smoothing": 0.1}, "$.loss.label_smoothing", "cross_entropy"),
        ({"kind": "cross_entropy", "label_smoothing": 1.5}, "$.loss.label_smoothing", "from 0 to 1"),
        ({"kind": "kl_divergence"}, "$.network.layers[-1].activation", "log_softmax"),
    ):
        with pytest.raises(CaseError) as caught:
            attention_cases.case("x", [linear], [[[0.5, 0.5]]], [[[0.5, 0.5]]], loss=loss)
        assert caught.value.path == path
        assert expected in caught.value.expected


def test_a_new_loss_changes_nothing_for_who_does_not_know_it() -> None:
    """Neither the generated cases of level 1, nor the requests to a port that lists no losses."""
    assert not {loss for _, loss in PAIRS} & set(LATER_LOSSES)
    knows = Within(losses=(*LOSSES, *LATER_LOSSES), features=("label_smoothing",))
    assert label(knows) == label(LEVEL_1) == ""
    assert [generated_case(i, within=knows).id for i in range(5)] == [generated_case(i).id for i in range(5)]
    silent = msgspec.json.decode(b'{"protocol": 1, "supports": {"layers": ["linear", "dense"]}}', type=HelloReply)
    sent: dict[str, Case] = {file.case.name: file.case for file in FILES}
    assert not_supported(sent["kl-zeros"], silent) == "the loss kl_divergence"
    assert not_supported(sent["smoothed"], silent) == "the feature label_smoothing"


def test_requests_are_valid() -> None:
    """Valid against the JSON Schema; an impossible number of heads is not."""
    validator = jsonschema.Draft202012Validator(json_schema())
    for case in (*CASES[::7], *(file.case for file in FILES)):
        validator.validate(msgspec.json.decode(case.request()))
    request = msgspec.json.decode(next(file.case for file in FILES if file.case.name == "no-biases").request())
    request["network"]["layers"][0]["num_heads"] = 0
    assert not validator.is_valid(request)


PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"


def passes(command: str) -> None:
    """Check that all files and some generated cases pass."""
    results = check(command, suites=["attention"], cases=160)
    assert results.summary.counts["passed"] == results.summary.cases == len(FILES) + 40


def test_the_port_in_python() -> None:
    passes(f'"{sys.executable}" "{PORTS / "python" / "port.py"}"')


@pytest.mark.thorough
def test_the_port_in_dart() -> None:
    passes(f'"{tool("dart")}" "{PORTS / "dart" / "bin" / "port.dart"}"')

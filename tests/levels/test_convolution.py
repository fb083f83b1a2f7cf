"""Level 4, convolution and pooling: right implementations pass, bounds hold, every named bug is caught and named."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from backprop_check.api import check
from backprop_check.case.network import Case
from backprop_check.cases.clear import ANY_LAYERS, is_clear
from backprop_check.cases.families import family_case, family_cases
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import disagreement, expect, textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.catalogue import BUGS, find_bug
from backprop_check.diagnose.evidence import differ_anywhere
from backprop_check.diagnose.restrict import both
from backprop_check.errors import CaseError
from backprop_check.guide.convolving import CNN
from backprop_check.kinds import KINDS
from backprop_check.kinds.windows import Window, convolving, pooling, transposed
from backprop_check.kinds.wiring import Index, Wiring
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.witness.autograd import autograd_pass

HERE = Path(__file__).parent
PORTS = HERE.parents[1] / "backprop_check" / "ports"
for folder in (HERE, PORTS / "torch"):
    sys.path.insert(0, str(folder))
# ruff: noqa: E402 - after the folders
from convolution_cases import cases as made_cases
from helpers import tool
from numpy_convolution import AVERAGE, CONVOLUTIONS, MAXIMUM, TRANSPOSED, WHOLE, plain

FILES = suite_files("convolution")
IDS = [file.case.name for file in FILES]
OURS = sorted(name for name, kind in KINDS.items() if kind.family == "convolution")

each_file = pytest.mark.parametrize("file", FILES, ids=IDS)

#: (code, mistake of convolution.py, kinds of layers that are sent). None: in no catalogue.
PLANTED: list[tuple[str | None, str, list[str]]] = [
    ("BP701", "not flipped", CONVOLUTIONS),
    ("BP702", "flipped forward", CONVOLUTIONS),
    ("BP702", "flipped everywhere", CONVOLUTIONS),
    ("BP703", "overlap overwritten", CONVOLUTIONS),
    ("BP703", "output overwritten", TRANSPOSED),
    ("BP704", "stride ignored", CONVOLUTIONS),
    ("BP704", "stride ignored in dx", CONVOLUTIONS),
    ("BP704", "stride ignored in dw", TRANSPOSED),
    ("BP704", "columns' stride ignored in dx", CONVOLUTIONS),
    ("BP704", "rows' stride for both in dw", CONVOLUTIONS),
    ("BP704", "strides exchanged in dx", TRANSPOSED),
    ("BP704", "stride one too large in dw", CONVOLUTIONS),
    ("BP705", "padding not cropped", CONVOLUTIONS),
    ("BP705", "unpadded input", CONVOLUTIONS),
    ("BP706", "bias of the last position", CONVOLUTIONS),
    ("BP707", "channels transposed", CONVOLUTIONS),
    ("BP707", "transposed on the way back", CONVOLUTIONS),
    ("BP707", "first channel's kernel", CONVOLUTIONS),
    ("BP707", "first input channel", CONVOLUTIONS),
    ("BP708", "divided by area", CONVOLUTIONS),
    ("BP709", "gradient to all", MAXIMUM),
    ("BP710", "largest overwritten", MAXIMUM),
    ("BP710", "window overwritten", MAXIMUM + AVERAGE),
    ("BP711", "ties counted", MAXIMUM + WHOLE),
    ("BP712", "sum for mean", AVERAGE + WHOLE),
    ("BP712", "sum for mean backward", AVERAGE + WHOLE),
    ("BP713", "edge divisor", AVERAGE),
    (None, "bias dropped from the delta", CONVOLUTIONS),
    (None, "gradient to the first", MAXIMUM),
]


def test_the_files_are_what_the_script_makes() -> None:
    """The same cases, titles and ids, none missing and none too many."""
    made = {case.name: (about["title"], case) for about, case in made_cases()}
    assert sorted(made) == sorted(IDS)
    for file in FILES:
        assert made[file.case.name] == (file.title, file.case)
        assert file.expected["id"] == file.case.id


@each_file
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files_agree_with_torch_and_mpmath(file: CaseFile, dtype: str) -> None:
    """Reference, torch, 40 digits, and the committed values: within the bounds, and every bound is finite."""
    case = file.case.rounded(dtype)
    expected = expect(case, dtype)
    truth, floats, other = textbook_pass(case, Scalars.of_mpmath(40)), textbook_pass(case), autograd_pass(case)
    for slot, exact in truth.values.items():
        assert np.isfinite(expected.allowed[slot]).all(), slot
        for values in (expected.values, floats.values, other.values):
            assert (np.asarray(abs(values[slot] - exact), dtype=float) <= expected.allowed[slot]).all(), slot
    if dtype == "float64":
        comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply))
        assert comparison.mismatches == []


def _at(reply: Any, path: str) -> Any:
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        reply = reply[int(index)] if index else reply[key]
    return reply


@pytest.mark.parametrize("file", [file for file in FILES if file.published], ids=lambda file: file.case.name)
def test_published_digits(file: CaseFile) -> None:
    """Every digit that is printed is the digit of the full-precision value."""
    shown = 0
    for path, digits in file.published.items():
        for value, printed in zip(_flat(_at(file.expected, path)), _flat(digits), strict=True):
            if printed is not None:
                shown += 1
                places = len(repr(printed).partition(".")[2])
                assert abs(value - printed) <= 1.001 * 10.0**-places / (1 if places > 6 else 1e9), (
                    path,
                    value,
                    printed,
                )
    assert shown >= 4


def _flat(value: Any) -> list[Any]:
    return [x for item in value for x in _flat(item)] if isinstance(value, list) else [value]


def test_the_worked_example_is_the_guides() -> None:
    """``worked-cnn`` is the network of chapter 14, where every one of its quantities is computed by hand."""
    file = next(file for file in FILES if file.case.name == "worked-cnn")
    assert file.case == CNN
    assert len(file.published) == 14


def test_any_two_hundred_cases_have_all_options() -> None:
    """Each kind, and each option of it, at its default and at another value."""
    seen: dict[str, set[Any]] = {}
    behind = 0
    for case in family_cases("convolution", 200, start=400):
        behind += case.network.layers[0].kind != case.network.layers[-1].kind and len(case.network.layers) > 2
        layers: tuple[Any, ...] = case.network.layers
        for layer in layers:
            if layer.kind not in OURS:
                continue
            for name in layer.__struct_fields__:
                if name not in ("parameters", "name", "from_", "combine", "shares", "alpha"):
                    seen.setdefault(f"{layer.kind}.{name}", set()).add(getattr(layer, name))
            if hasattr(layer, "parameters"):
                seen.setdefault(f"{layer.kind}.bias", set()).add("bias" in layer.parameters)
            if layer.kind == "upsample":
                seen.setdefault("aligned", set()).add((layer.mode, layer.align_corners))
    assert {name.split(".")[0] for name in seen if name != "aligned"} >= set(OURS) - {
        "flatten", "global_avg_pool", "global_max_pool"}  # fmt: skip
    assert [name for name, values in seen.items() if len(values) < 2] == []
    assert len(seen["aligned"]) == 5
    assert behind > 50


def test_generated_cases_keep_off_ties_and_kinks() -> None:
    """Except for ties of dead ReLUs, whose gradient is 0; and each case is the same every time."""
    for index in range(0, 240, 5):
        case = family_case("convolution", index)
        assert is_clear(case, ANY_LAYERS)
        assert case.id == family_case("convolution", index).id


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_another_hand_s_implementation_passes(dtype: type) -> None:
    """An independent one in numpy, which adds to windows of padded arrays: no false alarm."""
    results = check(plain(dtype=dtype), suites=["convolution"], cases=320)
    results.raise_for_mismatch()
    assert results.summary.counts["passed"] > 80


def _torch() -> tuple[Any, Any]:
    """PyTorch, and its modules as an implementation: imported where they are needed."""
    return importlib.import_module("torch"), importlib.import_module("torch_layers")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_s_own_modules_pass(dtype: str) -> None:
    """``torch.nn`` as an implementation under test."""
    torch, torch_layers = _torch()
    before, torch_layers.DTYPE = torch_layers.DTYPE, getattr(torch, dtype)
    torch_layers.backprop.dtype = dtype
    try:
        results = check(torch_layers.backprop, suites=["convolution"], cases=240, seed=3)
    finally:
        torch_layers.DTYPE, torch_layers.backprop.dtype = before, "float32"
    results.raise_for_mismatch()
    assert results.summary.counts["passed"] == len(FILES) + 60


def test_a_position_that_rounding_moves_past_an_input() -> None:
    """(1 + ½)/3 − ½ is 0, or 1.5e-8 in float32: the next input then has a weight there, or none; both are right."""
    layers = [
        {"kind": "flatten", "name": "row"},
        {"kind": "upsample", "scale_factor": [3], "mode": "linear", "from": ["input"]},
    ]
    case = Case.from_dict(
        {
            "network": {"inputs": [1, 3], "layers": layers},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [[[-0.001, 1.0, 0.5]]],
            "targets": [[[0.0] * 9]],
        }
    ).rounded("float32")
    import torch  # noqa: PLC0415

    expected = expect(case, "float32")
    x = torch.tensor([[[-0.001, 1.0, 0.5]]])
    got = torch.nn.functional.interpolate(x, scale_factor=3.0, mode="linear", align_corners=False).numpy()[0, 0]
    slot = next(slot for slot in expected.values if slot.quantity == "a" and slot.layer == 1)
    assert abs(got[1] + 0.001) > 1e-9
    assert (abs(got - expected.values[slot][0]) <= expected.allowed[slot][0]).all()
    assert expected.allowed[slot].max() < 5e-6


def test_bounds_hold_against_40_digits() -> None:
    """For every kind, the exact values and torch's are within the bounds of the reference's."""
    for index in range(0, 72, 2):
        case = family_case("convolution", index, seed=8)
        expected, truth = expect(case), textbook_pass(case, Scalars.of_mpmath(40))
        assert disagreement(expected, autograd_pass(case)) is None
        for slot, exact in truth.values.items():
            error = np.asarray(abs(expected.values[slot] - exact), dtype=float)
            assert (error <= expected.allowed[slot]).all(), (case.id, slot)


@pytest.mark.parametrize(("code", "mistake", "layers"), PLANTED, ids=[mistake for _, mistake, _ in PLANTED])
def test_every_planted_bug_is_caught_and_named(code: str | None, mistake: str, layers: list[str]) -> None:
    """With its own name and no other; or "no name fits", where it is not in the catalogue."""
    results = check(plain(mistake, layers), suites=["convolution"], cases=120)
    assert results.failed
    assert [cause.code for cause in results.causes] == [code]
    assert [cause.equivalent for cause in results.causes] == [[]]


@pytest.mark.thorough
def test_gradients_alone_name_a_convolution_s_bugs() -> None:
    """Without z, a, delta and the loss."""
    for code, mistake, layers in PLANTED[:14:3]:
        results = check(plain(mistake, layers, full=False), suites=["convolution"], cases=120)
        assert [cause.code for cause in results.causes] == [code], mistake


@pytest.mark.thorough
def test_every_variant_of_every_bug_shows_somewhere() -> None:
    """In a generated case or in a file; and it gives the same with floats as with bounds."""
    cases = [file.case for file in FILES] + list(family_cases("convolution", 48))
    for bug in BUGS:
        if not bug.code.startswith("BP7"):
            continue
        assert bug.variants, bug.code
        assert bug.example, bug.code
        for variant in bug.variants:
            # At a tie every split is right, so that such a bug only differs from PyTorch's choice.
            kinks = "pytorch" if bug.code == "BP711" else "any"
            showing = (
                case for case in cases if differ_anywhere(case, variant.stages, None, "float64", "textbook", (), kinks)
            )
            case = next(showing, None)
            assert case is not None, (bug.code, variant.label)
            expected, floats = expect(case, stages=variant.stages), textbook_pass(case, stages=variant.stages)
            assert disagreement(expected, floats) is None, (bug.code, variant.label, case.name)


def test_two_bugs_at_once_are_each_about_their_own_layers() -> None:
    """A kernel that is not flipped and a maximum's gradient given to all inputs: each gives the same numbers as
    alone.
    """
    case = next(file.case for file in FILES if file.case.name == "worked-cnn")
    kernel, largest = (find_bug(code).variants[0].stages for code in ("BP701", "BP709"))
    alone = textbook_pass(case, stages=largest).values
    for pair in (both(kernel, largest), both(largest, kernel)):
        values = textbook_pass(case, stages=pair).values
        assert (values[Slot("delta", 0)] == alone[Slot("delta", 0)]).all()
        assert (values[Slot("weight_gradient", 0)] == alone[Slot("weight_gradient", 0)]).all()
        assert abs(values[Slot("input_gradient")] - alone[Slot("input_gradient")]).max() > 1e-6


def test_the_catalogue_has_all_of_bp7() -> None:
    """Thirteen bugs, each with its page."""
    assert [bug.code for bug in BUGS if bug.code.startswith("BP7")] == [f"BP7{n:02}" for n in range(1, 14)]
    for code in ("BP703", "BP710"):
        assert set(find_bug(code).confused_with) & {"BP703", "BP710"}


@pytest.mark.parametrize(
    ("layer", "path", "expected"),
    [
        ({"kind": "conv2d", "kernel_size": [3]}, "kernel_size", "2"),
        ({"kind": "conv2d", "kernel_size": [9, 9]}, "kernel_size", "fits"),
        ({"kind": "conv2d", "stride": [0, 1]}, "stride", "at least 1"),
        ({"kind": "conv2d", "groups": 3}, "groups", "divisor"),
        ({"kind": "conv2d", "parameters": {"weights": []}}, "parameters", "weight, and bias or none"),
        ({"kind": "conv_transpose2d", "output_padding": [1, 0]}, "output_padding", "less than the stride"),
        ({"kind": "max_pool2d", "padding": [2, 0]}, "padding", "half"),
        ({"kind": "max_pool2d", "padding": [2, 1], "kernel_size": [3, 3], "dilation": [2, 1]}, "padding", "half"),
        ({"kind": "max_pool2d", "kernel_size": [5, 1]}, "kernel_size", "fits"),
        ({"kind": "max_pool1d", "kernel_size": [2]}, "", "channels and positions"),
        ({"kind": "avg_pool2d", "divisor_override": 0}, "divisor_override", "at least 1"),
        ({"kind": "upsample", "scale_factor": [2, 2], "mode": "linear"}, "mode", "bilinear"),
        ({"kind": "upsample", "scale_factor": [2, 2], "align_corners": True}, "align_corners", "nearest"),
        ({"kind": "upsample", "scale_factor": [2]}, "scale_factor", "2 whole numbers"),
        ({"kind": "max_pool2d", "kernel": [2, 2]}, "", "unknown field"),
    ],
)
def test_what_does_not_fit_is_refused(layer: dict[str, Any], path: str, expected: str) -> None:
    """With the path, what was expected and what came."""
    weight = [[[[0.1, 0.2], [0.3, 0.4]]] * 2] * 2
    if layer["kind"].startswith("conv"):
        layer = {"out_channels": 2, "kernel_size": [2, 2], "parameters": {"weight": weight}} | layer
    elif "pool" in layer["kind"]:
        layer = {"kernel_size": [2, 2]} | layer
    image = [[[0.5] * 3] * 3] * 2
    case = {"network": {"inputs": [2, 3, 3], "layers": [layer]}, "loss": {"kind": "squared_error"}, "reduction": "mean",
            "inputs": [image], "targets": [[0.0]]}  # fmt: skip
    with pytest.raises(CaseError) as caught:
        Case.from_dict(case)
    text = str(caught.value)
    assert path in text
    assert expected in text


def test_wirings_by_arrays_are_wirings_by_lists() -> None:
    """Both constructions give the same wiring, also reversed."""
    window = Window((2, 3), (2, 1), (1, 1), (1, 2))
    for wiring in (
        convolving((4, 6, 7), 4, 2, window, window.outputs((6, 7))),
        transposed((4, 3, 4), 2, 2, window, (5, 6)),
        pooling((3, 6, 7), window, window.outputs((6, 7))),
    ):
        lists = Wiring(wiring.inputs, wiring.weights, wiring.reads.rows, wiring.uses.rows)
        for turned, other in ((wiring.by_input, lists.by_input), (wiring.by_weight, lists.by_weight)):
            for one, two in zip(turned, other, strict=True):
                assert one.rows == two.rows
    links = sum(map(len, wiring.reads.rows))
    assert sum(map(len, wiring.by_input[0].rows)) == links
    index = Index([[3, 1], [2], []])
    positions, mask = index.arrays
    assert Index.of_array(positions, mask).rows == index.rows
    assert len(Index.of_array(positions, mask)) == len(index) == 3


def _command(language: str) -> str:
    if language == "python":
        return f'"{sys.executable}" "{PORTS / "python" / "port.py"}"'
    return f'"{tool("dart")}" "{PORTS / "dart" / "bin" / "port.dart"}"'


@pytest.mark.parametrize("language", ["python", pytest.param("dart", marks=pytest.mark.thorough)])
def test_the_ports_pass(language: str) -> None:
    """Every file and some generated cases, neuron by neuron."""
    results = check(_command(language), suites=["convolution"], cases=96)
    results.raise_for_mismatch()
    assert results.summary.counts["passed"] == len(FILES) + 24

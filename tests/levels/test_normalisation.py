"""Level 6: normalisation, dropout and embedding."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from helpers import at, flat, tool
from normalisation_cases import files
from numpy_normalisation import BUGS, KINDS, OUTSIDE, Implementation

from backprop_check.api import check
from backprop_check.case.network import Case
from backprop_check.cases.clear import ANY_LAYERS, is_clear
from backprop_check.cases.families import family_case
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cases.within import Within
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import disagreement, expect, textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.blame import blame
from backprop_check.diagnose.shrink import shrink
from backprop_check.errors import CaseError
from backprop_check.numbers import Scalars
from backprop_check.numbers.recording import Recording
from backprop_check.protocol import json_schema
from backprop_check.protocol.messages import Reply
from backprop_check.witness.autograd import autograd_pass

ROOT = Path(__file__).parents[2]
PORTS = ROOT / "backprop_check" / "ports"
sys.path.insert(0, str(PORTS / "torch"))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]
FILES = suite_files("normalisation")
#: The kinds that are tested here; others of the family have tests of their own.
OWN = Within(layers=("dense", *KINDS))
GENERATED = [family_case("normalisation", index, within=OWN) for index in range(126)]
CASES = [*(file.case for file in FILES), *GENERATED]

each_file = pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


@functools.cache
def asked(case_id: str, dtype: str) -> tuple[Case, Any, bytes]:
    """A case in a dtype, its expected values, and the request; cached by id, since many tests use the same."""
    case = next(case for case in CASES if case.id == case_id).rounded(dtype)
    return case, expect(case, dtype), case.request(dtype)


def findings(function: Callable[[Json], Json], cases: Iterable[Case], dtype: str) -> list[tuple[str, Any]]:
    """The name and first mismatch of every case that an implementation gets wrong."""
    found = []
    for case in cases:
        _, expected, request = asked(case.id, dtype)
        reply = msgspec.json.decode(msgspec.json.encode(function(json.loads(request))), type=Reply)
        comparison = compare(expected, reply)
        assert len(comparison.actual) >= sum(slot.step is None for slot in expected.values)
        if comparison.mismatches:
            found.append((case.name, comparison.mismatches[0]))
    return found


# Generation -------------------------------------------------------------------------------------------


def options(case: Case) -> set[str]:
    """The options of the level's layers that a case has."""
    found: set[str] = set()
    layers: list[Any] = [layer for layer in case.network.layers if layer.family == "normalisation"]
    for layer in layers:
        found.add(layer.kind)
        for name in ("training", "padding_idx", "buffers"):
            if hasattr(layer, name):
                found.add(f"{layer.kind} {name} {getattr(layer, name) not in (None, False, {})}")
        if layer.kind.endswith("norm"):
            found.add(f"{layer.kind} affine {'+'.join(sorted(layer.parameters)) or 'none'}")
    return found


def test_any_200_cases_have_every_option() -> None:
    """Training and evaluation, with and without scale, shift, running statistics and padding; all clear of kinks."""
    for start in (0, 1000):
        cases = [family_case("normalisation", index, within=OWN) for index in range(start, start + 200)]
        found = set().union(*map(options, cases))
        wanted = set(KINDS) | {
            f"{kind} affine {names}"
            for kind in KINDS
            if kind.endswith("norm")
            for names in ("none", "weight" if kind == "rms_norm" else "bias+weight")
        }
        wanted |= {f"{kind} training {way}" for kind in ("batch_norm", "dropout") for way in (True, False)}
        wanted |= {f"batch_norm buffers {way}" for way in (True, False)} | {"layer_norm affine weight"}
        wanted |= {f"embedding padding_idx {way}" for way in (True, False)}
        assert wanted <= found, wanted - found
        assert all(is_clear(case, ANY_LAYERS) for case in cases)
        shapes = {len(case.network.input_shapes[0]) for case in cases}
        assert shapes == {1, 2, 3}
        assert {len(case.inputs) for case in cases} >= {1, 2, 3, 4}
        assert any(len(case.network.layers) == 3 for case in cases)


def test_cases_keep_to_what_is_supported() -> None:
    """One sample at a time, some kinds, some losses: nothing else is generated."""
    within = Within(
        batch=False, layers=("dense", "batch_norm", "dropout"), losses=("half_squared_error",), updates=False
    )
    cases = [family_case("normalisation", index, within=within) for index in range(30)]
    assert {len(case.inputs) for case in cases} == {1}
    assert {layer.kind for case in cases for layer in case.network.layers} == {"dense", "batch_norm", "dropout"}
    assert {case.loss.kind for case in cases} == {"half_squared_error"}
    assert not any(case.optimizer for case in cases)


def test_generation_depends_on_seed_and_number_alone() -> None:
    """The same twice; different for another seed."""
    assert [family_case("normalisation", index, within=OWN).id for index in range(20)] == [
        case.id for case in GENERATED[:20]
    ]
    assert {case.id for case in GENERATED}.isdisjoint(family_case("normalisation", i, 1, OWN).id for i in range(20))


def test_cases_survive_json() -> None:
    """A written case is read as the same case; indices are integers in the JSON; the request is valid."""
    import jsonschema  # noqa: PLC0415 - slow to import, wanted only here

    validator = jsonschema.Draft202012Validator(json_schema())
    for case in CASES:
        text = json.dumps(case.to_dict())
        assert Case.from_json(text).id == case.id
        request = json.loads(case.request())
        validator.validate(request)
        if case.network.layers[0].kind == "embedding":
            assert all(isinstance(x, int) for sample in request["inputs"] for x in sample)
        else:
            assert all(isinstance(x, float) for x in flat(request["inputs"]))
    for file in FILES:
        validator.validate(file.expected)


# Witnesses and bounds -----------------------------------------------------------------------------------


def test_witnesses_agree() -> None:
    """The reference and torch within the float64 bound; every third case also within the bound of 50 digits."""
    for number, case in enumerate(CASES):
        expected = asked(case.id, "float64")[1]
        assert disagreement(expected, autograd_pass(case)) is None, case.name
        if number % 3 == 0:
            truth = textbook_pass(case, Scalars.of_mpmath()).values
            for slot, values in expected.values.items():
                error = np.asarray(abs(values - truth[slot]), dtype=float)
                assert (error <= expected.allowed[slot]).all(), (case.name, slot)


def test_recording_gives_the_same_numbers() -> None:
    """The recording numbers of explanations and plain floats, bit for bit."""
    for case in CASES[::4]:
        plain, recorded = textbook_pass(case).values, textbook_pass(case, Recording()).values
        for slot, values in plain.items():
            assert np.array_equal(values, recorded[slot].astype(float), equal_nan=True), (case.name, slot)


@each_dtype
def test_torch_modules_pass(dtype: str) -> None:
    """PyTorch's own modules, generated cases and files."""
    import torch  # noqa: PLC0415

    torch_layers: Any = importlib.import_module("torch_layers")  # a program of its own
    before, torch_layers.DTYPE = torch_layers.DTYPE, getattr(torch, dtype)
    try:
        assert findings(torch_layers.backprop, CASES, dtype) == []
    finally:
        torch_layers.DTYPE = before


@each_dtype
@pytest.mark.parametrize("backward", ["closed", "chain"])
@pytest.mark.parametrize("variance", ["two passes", "squares", "Welford"])
def test_right_ways_pass(dtype: str, backward: str, variance: str) -> None:
    """Backward in closed form and by the chain rule; the variance as mean square less squared mean, and by Welford."""
    right = Implementation("", getattr(np, dtype), backward, variance)
    assert findings(right, CASES, dtype) == []


def test_bounds_are_sharp() -> None:
    """An error of a millionth is found in every float64 gradient of a norm, unless its variance is tiny."""
    for case in GENERATED[:60]:
        _, expected, _ = asked(case.id, "float64")
        for slot, allowed in expected.allowed.items():
            if slot.quantity.endswith("_gradient"):
                assert (allowed <= 1e-6 * np.maximum(1.0, abs(expected.values[slot]))).all(), (case.name, slot)


def test_a_looked_up_row_is_exact() -> None:
    """A lookup computes nothing: its bound allows only for underflow."""
    for case in GENERATED:
        if case.network.layers[0].kind == "embedding":
            assert asked(case.id, "float32")[1].allowed[Slot("a", 0)].max() < 1e-30


# Files ---------------------------------------------------------------------------------------------------


def test_the_files_are_what_the_script_makes() -> None:
    """Same cases, same titles, none missing and none too many."""
    made = {one.name: (about["title"], one) for one, about in files()}
    assert sorted(made) == sorted(file.case.name for file in FILES)
    for file in FILES:
        assert made[file.case.name] == (file.title, file.case)
        assert file.expected["id"] == file.case.id


@each_file
def test_expected_values(file: CaseFile) -> None:
    """Digits worked by hand are those of the values; these pass as a reply."""
    assert compare(expect(file.case), msgspec.json.decode(json.dumps(file.expected), type=Reply)).mismatches == []
    for path, digits in file.published.items():
        assert flat(at(file.expected, path)) == pytest.approx(flat(digits), abs=1e-12), path
    assert bool(file.published) == file.case.name.startswith("hand-")


# Ports ---------------------------------------------------------------------------------------------------


def port_findings(*command: str) -> list[tuple[str, Any]]:
    """What a port gets wrong in all cases, sent at once."""
    lines = [asked(case.id, "float64")[2] for case in CASES]
    done = subprocess.run(command, input=b"\n".join(lines) + b"\n", capture_output=True, check=True, timeout=600)
    replies = dict(zip((case.id for case in CASES), done.stdout.splitlines(), strict=True))
    return findings(lambda request: json.loads(replies[request["id"]]), CASES, "float64")


def test_python_port() -> None:
    assert port_findings(sys.executable, str(PORTS / "python" / "port.py")) == []


@pytest.mark.thorough
def test_dart_port() -> None:
    assert port_findings(tool("dart"), str(PORTS / "dart" / "bin" / "port.dart")) == []


# Buffers -------------------------------------------------------------------------------------------------


def one_with_buffers() -> Case:
    return next(file.case for file in FILES if file.case.name == "batch-norm-three-steps")


def replied(case: Case, bug: str = "") -> Json:
    reply: Json = json.loads(json.dumps(Implementation(bug)(json.loads(case.request()))))
    return reply


def judged(case: Case, reply: Json) -> Any:
    return compare(expect(case), msgspec.json.decode(json.dumps(reply), type=Reply))


def test_running_statistics_are_judged() -> None:
    """After all steps and, in a trajectory, after each; a wrong one is a root, and named."""
    case = one_with_buffers()
    reply = replied(case)
    assert judged(case, reply).mismatches == []
    reply["layers"][0]["buffers"]["running_var"][1] += 0.01
    reply["trajectory"][1]["layers"][0]["buffers"]["running_mean"][0] += 0.01
    comparison = judged(case, reply)
    places = {(one.quantity, one.layer, one.neuron, one.step) for one in comparison.mismatches}
    assert places == {("running_var_buffer", 0, 1, None), ("running_mean_buffer", 0, 0, 1)}
    blamed = blame(case, expect(case), comparison.actual, comparison.mismatches, "float64", "textbook")
    assert {one.origin for one in blamed} == {"root"}


def test_running_statistics_may_be_left_out() -> None:
    """They are optional; reporting statistics that the case does not change is only a note."""
    case = one_with_buffers()
    reply = replied(case)
    for layers in (reply["layers"], *(step["layers"] for step in reply["trajectory"])):
        del layers[0]["buffers"]
    assert judged(case, reply).mismatches == []
    still = next(file.case for file in FILES if file.case.name == "batch-norm-running-zero")
    reply = replied(still)
    reply["layers"][0]["buffers"] = {"running_mean": [0.5, 1.0], "num_batches_tracked": 3}
    assert judged(still, reply).mismatches == []
    assert judged(still, reply).notes == ["buffers were given that the case does not change; they were not judged"]


def test_input_gradients_of_indices_are_zero_or_absent() -> None:
    case = next(case for case in GENERATED if case.network.layers[0].kind == "embedding")
    reply = replied(case)
    del reply["input_gradients"]
    assert judged(case, reply).mismatches == []
    reply["input_gradients"] = [[1e-9 for _ in row] for row in case.inputs]
    assert {one.quantity for one in judged(case, reply).mismatches} == {"input_gradient"}


# Named bugs ----------------------------------------------------------------------------------------------


def causes(bug: str, *, report: bool = True) -> tuple[int, set[str | None]]:
    """The number of failing cases, and the names found.

    "Not a number" is not counted where a division by 0 gave it; and where σ = 0, a name may have no definite number.
    """
    count = 140 if report else 200  # without input_gradients a norm's gradient shows only if a layer precedes it
    results = check(Implementation(bug, report=report), suites=["normalisation"], cases=count)
    assert results.conclusion.notes == []
    return len(results.failed), {
        cause.code for cause in results.causes if (cause.code, cause.title) != (None, "cannot be told")
    } - {"BP004"}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_named(bug: str) -> None:
    """Each is caught, and its name is the only one."""
    failed, named = causes(bug)
    assert failed >= 4
    assert named == {bug.split(maxsplit=1)[0]}


@pytest.mark.parametrize("bug", [bug for bug in BUGS if len(bug) == len("BP901") and bug != "BP908"])
def test_planted_bugs_are_named_by_gradients_alone(bug: str) -> None:
    """With no other number reported. BP908 shows in no parameter's gradient."""
    failed, named = causes(bug, report=False)
    assert failed
    assert named == {bug.split(maxsplit=1)[0]}


@pytest.mark.thorough
@pytest.mark.parametrize("bugs", ["BP903 and BP907", "BP909 and BP906", "BP904 running and BP905"])
def test_two_bugs_are_both_named(bugs: str) -> None:
    """In layers of two kinds, or in one layer."""
    assert causes(bugs)[1] == {bug[:5] for bug in bugs.split(" and ")}


@pytest.mark.parametrize("bug", OUTSIDE)
def test_outside_the_catalogue_not_named(bug: str) -> None:
    """The result is "no name fits"."""
    failed, named = causes(bug)
    assert failed >= 4
    assert named == {None}


def test_the_right_one_has_no_cause() -> None:
    assert causes("") == (0, set())
    assert causes("", report=False) == (0, set())


# Valid and invalid cases -----------------------------------------------------------------------------------


def broken(**changes: Any) -> str:
    """The error for a layer that reads two samples of three numbers (or those in ``inputs``)."""
    inputs = changes.pop("inputs", [[0.5, 1.0, -0.25], [1.5, -0.75, 2.0]])
    shape = np.shape(inputs)[1:]
    one = {
        "network": {"inputs": list(shape), "layers": [changes]},
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": inputs,
        "targets": changes.pop("targets", inputs),
    }
    with pytest.raises(CaseError) as raised:
        Case.from_dict(one)
    return str(raised.value)


BATCH = {"kind": "batch_norm", "training": True, "eps": 1e-5}
STATISTICS = {"running_mean": [0.0] * 3, "running_var": [1.0] * 3}
THREE = [1.0, 1.0, 1.0]
EMBEDDING = {
    "kind": "embedding",
    "num_embeddings": 3,
    "embedding_dim": 1,
    "parameters": {"weight": [[1.0], [2.0], [3.0]]},
}
MASK = [[1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    ("layer", "path", "expected"),
    [
        ({**BATCH, "eps": 0.0}, "eps", "a number above 0"),
        ({**BATCH, "parameters": {"weight": THREE}}, "parameters", "none or weight and bias"),
        ({**BATCH, "parameters": {"weight": THREE, "bias": [1.0]}}, "parameters.bias", "3 (an array of 3: bias)"),
        ({**BATCH, "training": False}, "buffers", "running_mean and running_var"),
        ({**BATCH, "buffers": STATISTICS}, "momentum", "a number from 0 to 1"),
        ({**BATCH, "buffers": {**STATISTICS, "running_var": [1.0, -1.0, 1.0]}}, "running_var", "no number below 0"),
        ({**BATCH, "inputs": [[0.5, 1.0, 2.0]]}, "training", "at least two numbers a channel"),
        (
            {"kind": "layer_norm", "eps": 0.1, "normalized_shape": [2]},
            "normalized_shape",
            "the end of the input's shape, 3",
        ),
        (
            {"kind": "rms_norm", "eps": 0.1, "normalized_shape": []},
            "normalized_shape",
            "at least 1 entry",
        ),
        (
            {"kind": "rms_norm", "eps": 0.1, "normalized_shape": [3], "parameters": {"bias": THREE}},
            "parameters",
            "none or weight",
        ),
        ({"kind": "group_norm", "eps": 0.1, "num_groups": 2}, "num_groups", "a divisor of 3 channels"),
        ({"kind": "group_norm", "eps": 0.1, "num_groups": 3}, "num_groups", "groups of at least two numbers"),
        ({"kind": "instance_norm", "eps": 0.1}, "layers[0]", "channels with at least two positions"),
        ({"kind": "dropout", "p": 1.0, "training": True, "mask": MASK}, "p", "at least 0 and below 1"),
        ({"kind": "dropout", "p": 0.5, "training": True}, "mask", "a mask in training"),
        ({"kind": "dropout", "p": 0.5, "training": False, "mask": MASK}, "mask", "none else"),
        ({"kind": "dropout", "p": 0.5, "training": True, "mask": MASK[:1]}, "mask", "2 (an array of 2 x 3"),
        ({"kind": "dropout", "p": 0.5, "training": True, "mask": [[1, 2, 0], [0, 0, 1]]}, "mask", "0 (dropped) or 1"),
        ({**EMBEDDING, "inputs": [[0.5]], "targets": [[[1.0]]]}, "$.inputs[0][0]", "a whole number from 0 to 2"),
        (
            {**EMBEDDING, "inputs": [[0, 3]], "targets": [[[1.0], [0.5]]]},
            "$.inputs[0][1]",
            "a whole number from 0 to 2",
        ),
        ({**EMBEDDING, "padding_idx": 3}, "padding_idx", "an index below 3"),
        ({**EMBEDDING, "parameters": {"weight": [[1.0]]}}, "parameters.weight", "3 (an array of 3 x 1"),
    ],
)
def test_a_wrong_case_is_told(layer: Json, path: str, expected: str) -> None:
    """The error has the path, what is expected there, and what came."""
    text = broken(**layer)
    assert path in text
    assert expected in text


def test_indices_come_from_the_input() -> None:
    """An embedding of another layer's output would look up computed numbers."""
    one = GENERATED[1].to_dict()
    dense = {"kind": "dense", "units": 2, "activation": "identity"}
    dense["parameters"] = {"weights": [[1.0], [1.0]], "biases": [0.0, 0.0]}
    one["network"] = {"inputs": 1, "layers": [dense, EMBEDDING]}
    one["inputs"], one["targets"] = [[1.0]], [[[0.5], [1.0]]]
    with pytest.raises(CaseError, match="no other layer gives indices"):
        Case.from_dict(one)


def test_running_statistics_are_not_shared() -> None:
    one = {**BATCH, "name": "second", "shares": "first", "parameters": {"weight": THREE, "bias": THREE}}
    whole = {**one, "name": "first"}
    del whole["shares"]
    case = GENERATED[0].to_dict()
    case["network"] = {"inputs": 3, "layers": [whole, one]}
    case["inputs"] = case["targets"] = [THREE, [0.5, 1.5, 2.0]]
    with pytest.raises(CaseError, match="running statistics belong to one layer"):
        Case.from_dict(case)


def test_a_smaller_case_keeps_its_masks() -> None:
    """The smallest case that shows a failure: one sample of the batch, where that is a valid case."""
    wrong = Implementation("BP907")

    def fails(case: Case) -> bool:
        return bool(judged(case, wrong(json.loads(case.request()))).mismatches)

    for name in ("dropout-nothing", "batch-norm-two-samples"):
        case = next(file.case for file in FILES if file.case.name == name)
        small = shrink(case, fails)
        assert len(small.inputs) == (1 if name == "dropout-nothing" else 2)
        assert fails(small) == fails(case)

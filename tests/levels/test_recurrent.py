"""Level 5, recurrence: the suite, its files, the ports, and whether mistakes are found, located and named."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "diagnose"))
from asking import judged, named
from case_writing import case_file
from helpers import at, tool
from numpy_recurrent import FEATURES, MISTAKES, SUPPORTS, UNNAMED, backprop
from recurrent_cases import files, layer

from backprop_check.case.network import Case
from backprop_check.cases.clear import ANY_LAYERS, is_clear
from backprop_check.cases.families import family_case, family_cases
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cases.within import Within
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.errors import CaseError
from backprop_check.numbers import Scalars
from backprop_check.protocol import Opening, json_schema, open_implementation
from backprop_check.protocol.messages import Reply
from backprop_check.reference import run_pass
from backprop_check.running.one_case import judge
from backprop_check.witness.autograd import autograd_pass

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"
FOLDER = Path(__file__).parents[2] / "cases" / "recurrent"
FILES = suite_files("recurrent")
WITHIN = Within(
    activations=tuple(SUPPORTS["activations"]),
    losses=tuple(SUPPORTS["losses"]),
    layers=tuple(SUPPORTS["layers"]),
    features=tuple(FEATURES),
)

#: One mistake of each code. The others are slow tests.
QUICK = ("cut", "first-step", "state-after", "cell-dropped", "tanh-missing", "order-ifog", "bias-forget",
         "reset-flipped", "truncate-more")  # fmt: skip


@functools.cache
def cases(count: int = 24) -> tuple[Case, ...]:
    return tuple(family_cases("recurrent", count, within=WITHIN))


# The suite ---------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_200_cases_hold_what_the_suite_promises() -> None:
    """Every kind with every option, in every combination of two; with and without biases; several batches and steps."""
    made = list(family_cases("recurrent", 200, seed=3))
    layers: list[Any] = [each for case in made for each in case.network.layers if each.kind in ("rnn", "gru", "lstm")]
    for kind in ("rnn", "gru", "lstm"):
        of_kind = [each for each in layers if each.kind == kind]
        assert len(of_kind) >= 60
        common = set(FEATURES) - {"peepholes", "reset_before"}
        seen = {frozenset((a, b)) for each in of_kind for a in each.features for b in each.features}
        assert seen >= {frozenset((a, b)) for a in common for b in common}, kind
        assert {each.return_sequences for each in of_kind} == {True, False}
        names = [{name.split("_l")[0] for name in each.parameters} for each in of_kind]
        assert {len(has & {"bias_ih", "bias_hh"}) for has in names} == {0, 1, 2}
        assert any(each.features == () for each in of_kind)
    assert {each.nonlinearity for each in layers if each.kind == "rnn"} == {"tanh", "relu"}
    assert {each.reset_after for each in layers if each.kind == "gru"} == {True, False}
    assert {each.peepholes for each in layers if each.kind == "lstm"} == {True, False}
    assert {len(case.inputs) for case in made} == {1, 2, 3, 4}
    assert {case.network.input_shape[0] for case in made} == {1, 2, 3, 4}
    assert any(case.network.layers[-1].kind != "dense" for case in made)
    assert all(is_clear(case, ANY_LAYERS) for case in made[::10])
    assert len({case.id for case in made}) == 200


@pytest.mark.thorough
def test_who_does_not_support_an_option_gets_none_of_it() -> None:
    """A plain LSTM is enough to be judged; every option can be claimed separately."""
    plain = Within(layers=("dense", "lstm"))
    made = list(family_cases("recurrent", 40, within=plain))
    assert len(made) == 40
    assert {layer.kind for case in made for layer in case.network.layers} == {"dense", "lstm"}
    assert all(not case.network.features for case in made)
    for feature in ("bidirectional", "lengths", "peepholes"):
        some = Within(layers=("dense", "lstm"), features=(feature,))
        assert {f for case in family_cases("recurrent", 30, within=some) for f in case.network.features} == {feature}
    assert family_case("recurrent", 17, 4) == family_case("recurrent", 17, 4) != family_case("recurrent", 17, 5)


def test_requests_are_valid() -> None:
    """Valid against the JSON Schema, and read back as the same case."""
    validator = jsonschema.Draft202012Validator(json_schema())
    for case in [*cases(), *(file.case for file in FILES)]:
        request = msgspec.json.decode(case.request())
        validator.validate(request)
        again = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
        assert msgspec.json.decode(again.request()) == {**request, "id": again.id}


LSTM: dict[str, Any] = layer("lstm", 2, 2, ("bias_ih", "h0", "c0"))


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"hidden_size": 0}, "hidden_size", "at least 1"),
        ({"num_layers": 0}, "num_layers", "at least 1"),
        ({"truncate": 0}, "truncate", "at least 1 step"),
        ({"lengths": [4, 1]}, "lengths[0]", "1 to 3 steps"),
        ({"lengths": [3]}, "lengths", "2 lengths, one a sample"),
        ({"num_layers": 2}, "parameters", "weight_ih_l1"),
        ({"bidirectional": True}, "parameters", "weight_ih_l0_reverse"),
        ({"kind": "gru"}, "parameters", "weight_ih_l0"),
        ({"parameters": {**LSTM["parameters"], "bias_ih_l0": [0.5]}}, "bias_ih_l0", "8"),
        ({"parameters": {**LSTM["parameters"], "h0": [0.5, 0.5]}}, "h0", "1"),
        ({"parameters": {k: v for k, v in LSTM["parameters"].items() if k != "c0"}}, "parameters", "c0"),
        ({"nonlinearity": "tanh"}, "", ""),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, Any], path: str, expected: str) -> None:
    """The error has the path, and what was expected there."""
    with pytest.raises(CaseError) as error:
        Case.from_dict(whole({**LSTM, **change}))
    assert path in error.value.path
    assert expected in error.value.expected


def test_an_input_without_steps_and_a_wrong_function_are_said() -> None:
    """The other errors that a recurrent layer can have."""
    with pytest.raises(CaseError, match="steps and features"):
        Case.from_dict({**whole(LSTM), "network": {"inputs": 2, "layers": [LSTM]}, "inputs": [[0.5, 0.5]] * 2})
    with pytest.raises(CaseError, match="tanh or relu"):
        Case.from_dict(whole({**layer("rnn", 2, 2), "nonlinearity": "sigmoid"}))


def whole(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "network": {"inputs": [3, 2], "layers": [spec]},
        "loss": {"kind": "squared_error"},
        "reduction": "mean",
        "inputs": [[[0.5, 0.25]] * 3] * 2,
        "targets": [[[0.0, 0.0]] * 3] * 2,
    }


# The files ---------------------------------------------------------------------------------------


def test_the_files_are_what_the_script_makes() -> None:
    """The same cases, none missing and none too many."""
    made = {one.name: case_file(one, about) for about, one in files()}
    assert sorted(made) == sorted(path.stem for path in FOLDER.glob("*.json"))
    for name, content in made.items():
        left, right = msgspec.json.decode(content), msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())
        assert left.pop("expected")["id"] == right.pop("expected")["id"]
        assert left == right, name


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_files_agree_with_both_witnesses_and_mpmath(file: CaseFile) -> None:
    """The committed values, torch's and 40 digits are within the bounds."""
    case = file.case
    expected = expect(case)
    truth, torch_values = textbook_pass(case, Scalars.of_mpmath(40)).values, autograd_pass(case).values
    for slot, exact in truth.items():
        for values in (expected.values, torch_values):
            assert (np.asarray(abs(values[slot] - exact), dtype=float) <= expected.allowed[slot]).all(), slot
    comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply))
    assert comparison.mismatches == []
    assert set(comparison.actual) == {slot for slot in expected.values if slot.step is None or case.steps > 1}


def test_published_digits() -> None:
    """CS231n's step, Gomez's example with its update, and those worked by hand."""
    published = [file for file in FILES if file.published]
    assert len(published) == 4
    for file in published:
        assert file.source
        by_hand = file.case.name.startswith("hand")
        for path, digits in file.published.items():
            tolerance = 1e-14 if by_hand else 1.001e-8
            assert np.allclose(at(file.expected, path), digits, rtol=0, atol=tolerance), (file.case.name, path)


@pytest.mark.parametrize(
    ("name", "role", "digits"),
    [
        ("gomez-lstm", "g", [0.8177540780, 0.8498040223]),
        ("gomez-lstm", "i", [0.9608342772, 0.9811839683]),
        ("gomez-lstm", "f", [0.8519528020, 0.8703019699]),
        ("gomez-lstm", "o", [0.8175744762, 0.8499333428]),
        ("gomez-lstm", "cell", [0.7857261484, 1.5176330977]),
        ("cs231n-lstm-step", "cell", [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407]),
    ],
)
def test_published_gates_and_cells(name: str, role: str, digits: list[float]) -> None:
    """Printed gates and cells, which no reply holds, are in the reference's tables."""
    case = next(file.case for file in FILES if file.case.name == name)
    (p,) = run_pass(case, Scalars.of_floats())
    found = [x for table in p.circuit.tables if table.role == role for x in table.values.rows[0]]
    assert np.allclose(found, digits, rtol=0, atol=1.001e-8)


# Right implementations ---------------------------------------------------------------------------


def test_both_witnesses_and_mpmath_agree() -> None:
    """In generated cases, of all options."""
    for case in family_cases("recurrent", 24, seed=5):
        expected, torch_values = expect(case), autograd_pass(case).values
        truth = textbook_pass(case, Scalars.of_mpmath(40)).values
        assert set(expected.values) == set(torch_values)
        for slot, exact in truth.items():
            for values in (expected.values, torch_values):
                assert (np.asarray(abs(values[slot] - exact), dtype=float) <= expected.allowed[slot]).all(), slot


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_one_written_otherwise_passes(dtype: str) -> None:
    """A batch at a time, backward in closed form, in both dtypes: no finding in generated cases and files."""
    supported = [file.case for file in FILES if WITHIN.has(file.case)]
    assert len(supported) >= 45
    results = judged(backprop("", np.dtype(dtype).type), [*cases(), *supported])
    assert [(each.id, each.message) for each in results.cases if each.outcome != "passed"] == []


def test_torch_modules_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own float32 modules, where they support the options; cells where they do not."""
    monkeypatch.syspath_prepend(str(PORTS / "torch"))
    from torch_layers import backprop as by_torch  # type: ignore[import-not-found]  # noqa: PLC0415 - a port's folder

    results = judged(by_torch, list(family_cases("recurrent", 40, seed=9)))
    assert [(each.id, each.message) for each in results.cases if each.outcome != "passed"] == []


@pytest.mark.parametrize("language", ["python", pytest.param("dart", marks=pytest.mark.thorough)])
def test_the_ports_pass(language: str) -> None:
    """Files and generated cases, of all options."""
    command = f'"{sys.executable}" port.py' if language == "python" else f'"{tool("dart")}" bin/port.dart'
    with open_implementation(command, Opening(cwd=PORTS / language, start_timeout=600.0, timeout=600.0)) as port:
        assert set(FEATURES) <= set(port.hello.supports.features or [])
        chosen = [*(file.case for file in FILES), *family_cases("recurrent", 45, seed=8)]
        results = [each.result if hasattr(each, "result") else each for each in judge(chosen, port)]
    assert [(each.id, each.outcome, each.message) for each in results if each.outcome != "passed"] == []
    assert len(results) == len(chosen)


# Wrong ones --------------------------------------------------------------------------------------


def found(mistake: str, count: int = 24, *, full: bool = True) -> list[tuple[str | None, str, str]]:
    results: Any = judged(backprop(mistake, full=full), cases(count))
    assert any(each.outcome == "mismatched" for each in results.cases), "no case shows it"
    return named(results)


@pytest.mark.parametrize("mistake", QUICK)
def test_a_mistake_has_its_name(mistake: str) -> None:
    """That name, no other, in every case, as the only cause."""
    ((code, scope, _),) = found(mistake)
    assert (code, scope) == (MISTAKES[mistake], "")
    assert find_bug(MISTAKES[mistake]).sentence


@pytest.mark.slow
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_has_its_name(mistake: str, *, full: bool) -> None:
    """With full reports, and with loss and gradients alone."""
    ((code, scope, _),) = found(mistake, 48, full=full)
    assert (code, scope) == (MISTAKES[mistake], "")


@pytest.mark.thorough
@pytest.mark.parametrize("mistake", [UNNAMED[0], *(pytest.param(each, marks=pytest.mark.slow) for each in UNNAMED[1:])])
def test_what_has_no_name_is_given_none(mistake: str) -> None:
    """It is caught, and no name fits."""
    assert [code for code, _, _ in found(mistake, 18)] == [None]


def test_the_order_that_fits_is_said() -> None:
    """The cause says in which order the gates were read."""
    assert [detail for _, _, detail in found("order-igfo", 12)] == ["in the order i, g, f, o"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mistake", "right", "implemented"),
    [
        (
            "state-and-cell-after",
            "∂L/∂W_hh = Σₜ δₜ hₜ₋₁ᵀ, and δ_f = ∂L/∂cₜ · cₜ₋₁ · σ′",
            "∂L/∂W_hh = Σₜ δₜ hₜᵀ, and δ_f = ∂L/∂cₜ · cₜ · σ′",
        ),
        ("state-after", "∂L/∂W_hh = Σₜ δₜ hₜ₋₁ᵀ", "∂L/∂W_hh = Σₜ δₜ hₜᵀ"),
        ("cell-after", "δ_f = ∂L/∂cₜ · cₜ₋₁ · σ′", "δ_f = ∂L/∂cₜ · cₜ · σ′"),
        (
            "truncate-early",
            "nothing flows back between the steps m·k − 1 and m·k, for m = 1, 2, …",
            "nothing flows back between the steps m·k − 2 and m·k − 1",
        ),
    ],
)
def test_the_formula_is_that_of_the_way_it_was_made(mistake: str, right: str, implemented: str) -> None:
    """One name has several variants: the formulas are those of the variant found."""
    results: Any = judged(backprop(mistake), [case for case in cases(60) if shows(case, mistake)])
    assert [(each.right, each.implemented) for each in results.causes] == [(right, implemented)]


def shows(case: Case, mistake: str) -> bool:
    """For two mistakes at once, cases of the kind that can show both: an LSTM."""
    return mistake != "state-and-cell-after" or case.network.layers[0].kind == "lstm"


def test_blame_finds_the_step() -> None:
    """Where the cell's gradient is dropped, δ is a root at all steps but the last."""
    case = next(file.case for file in FILES if file.case.name == "lstm-no-biases")
    (result,) = judged(backprop("cell-dropped"), [case]).cases
    roots = {(one.quantity, one.layer) for one in result.mismatches if one.origin == "root"}
    assert roots == {("delta", 0)}
    last = case.network.layers[0].z_shape((3, 2))[1] * 2
    assert all((one.neuron or 0) < last for one in result.mismatches if one.quantity == "delta"), (
        "δ of the last step is right"
    )

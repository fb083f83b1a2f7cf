"""Level 3, graphs: the suite, its files, the ports, and whether mistakes are found, located and named."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "diagnose"))
from asking import judged, named
from case_writing import case_file
from graph_cases import files
from helpers import at, tool
from numpy_graph import MISTAKES, UNNAMED, Net, backprop

from backprop_check.api import check
from backprop_check.case.network import Case
from backprop_check.cases.clear import ANY_LAYERS, is_clear
from backprop_check.cases.draw import PAIRS
from backprop_check.cases.families import family_case, family_cases
from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cases.plan import select_cases
from backprop_check.cases.within import Within
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.errors import CaseError
from backprop_check.functions.names import ACTIVATIONS
from backprop_check.numbers import Scalars
from backprop_check.protocol import Opening, json_schema, open_implementation
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import judge
from backprop_check.witness.autograd import autograd_pass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"
sys.path.insert(0, str(PORTS / "torch"))
torch_layers: Any = importlib.import_module("torch_layers")
FOLDER = Path(__file__).parents[2] / "cases" / "graph"
FILES = suite_files("graph")
SUPPORTS = {"layers": ["dense"], "optimizers": ["sgd"], "features": ["graph"]}
DENSE = Within(layers=("dense",), features=("graph",))

#: One mistake of each code, and the most similar ones. The others are slow tests.
QUICK = (
    "no slope in hidden layers", "function for slope", "readers overwrite", "visited once a reader",
    "gradients negated", "shared overwritten", "concat split in reverse", "concat in the layers' order", "own factor",
    "skip gets nothing", "the first summand only", "no activation in hidden layers", "sum for mean",
)  # fmt: skip


@functools.cache
def cases() -> tuple[Case, ...]:
    return tuple(family_cases("graph", 84, within=DENSE))


def implementation(mistake: str = "", *, gradients_only: bool = False, dtype: Any = float) -> Callable[[Any], Any]:
    def function(case: dict[str, Any]) -> dict[str, Any]:
        reply = backprop(case, mistake, dtype)
        if gradients_only:
            return {"id": reply["id"], "layers": [{"gradients": each["gradients"]} for each in reply["layers"]]}
        return reply

    function.supports = SUPPORTS  # type: ignore[attr-defined]
    return function


# The suite ---------------------------------------------------------------------------------------


def test_200_cases_hold_what_the_suite_promises() -> None:
    """Every way to combine, a layer read twice and by none, all forms of shared weights, pairs, batches and steps."""
    made = list(family_cases("graph", 200, seed=3, within=DENSE))
    layers = [(case, at, layer) for case in made for at, layer in enumerate(case.network.layers)]
    combined = [layer.combine for _, _, layer in layers if len(layer.from_) > 1]
    assert min(combined.count(each) for each in ("add", "multiply", "concat")) >= 40
    assert {len(layer.from_) for _, _, layer in layers} >= {0, 1, 2, 3, 4}
    assert any(len(set(layer.from_)) < len(layer.from_) for _, _, layer in layers)
    assert sum(layer.shares is not None for _, _, layer in layers) >= 30
    assert any(case.network.owner(at) != at and layer.from_ for case, at, layer in layers)
    read = [{source for sources in case.network.sources for source in sources} for case in made]
    assert any(set(range(len(c.network.layers) - 1)) - r for c, r in zip(made, read, strict=True))  # read by none
    assert any("input" in layer.from_ and layer.from_[0] != "input" for _, _, layer in layers)
    assert any(list(sources) != sorted(sources) for case in made for sources in case.network.sources)
    assert {(case.network.layers[-1].activation, case.loss.kind) for case in made} == set(PAIRS)
    assert {layer.activation for _, _, layer in layers} == set(ACTIVATIONS)
    assert {len(case.inputs) for case in made} == {1, 2, 3, 4, 7}
    assert {case.reduction for case in made} == {"mean", "sum"}
    assert {case.steps for case in made if case.optimizer} == {1, 2}
    assert any(layer.name for _, _, layer in layers)
    assert any(not layer.name and layer.from_ for _, _, layer in layers)
    assert all(is_clear(case, ANY_LAYERS) for case in made[::10])
    assert len({case.id for case in made}) == 200


def test_a_case_depends_on_its_number_and_what_is_supported() -> None:
    """Made again it is the same; other kinds occur where they are supported."""
    assert family_case("graph", 17, 4, DENSE) == family_case("graph", 17, 4, DENSE)
    assert family_case("graph", 17, 4, DENSE) != family_case("graph", 17, 5, DENSE)
    assert all(layer.kind == "dense" for case in cases() for layer in case.network.layers)
    everything = list(family_cases("graph", 60))
    assert {layer.kind for case in everything for layer in case.network.layers} > {"dense"}


def test_who_does_not_support_graphs_gets_none() -> None:
    """Neither generated ones nor files."""
    assert not list(family_cases("graph", 5, within=Within()))
    assert not [case for case in select_cases(count=8) if "graph" in case.features]
    assert len(list(select_cases(["graph"], count=8))) == len(FILES) + 2
    few = Within(activations=("relu", "identity"), losses=("squared_error",), batch=False, updates=False,
                 layers=("dense",), features=("graph",))  # fmt: skip
    for case in family_cases("graph", 20, within=few):
        assert few.has(case)


def test_requests_are_valid() -> None:
    """Valid against the JSON Schema, and read back as the same case."""
    validator = jsonschema.Draft202012Validator(json_schema())
    for case in [*cases()[:30], *(file.case for file in FILES)]:
        request = msgspec.json.decode(case.request())
        validator.validate(request)
        again = Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})
        assert msgspec.json.decode(again.request()) == {**request, "id": again.id}


LAYER: dict[str, Any] = {
    "kind": "dense", "units": 2, "activation": "tanh",
    "parameters": {"weights": [[0.5, -0.25], [0.75, 0.1]], "biases": [0.1, 0.2]},
}  # fmt: skip
OTHER = {**LAYER, "parameters": {"weights": [[0.5, -0.25], [0.75, 0.3]], "biases": [0.1, 0.2]}}
ONE = {**LAYER, "units": 1, "parameters": {"weights": [[0.5, -0.25]], "biases": [0.1]}}
CONV = {
    "kind": "conv2d", "out_channels": 1, "kernel_size": [1, 1],
    "parameters": {"weight": [[[[0.5]]]]}, "name": "conv",
}  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "path", "expected"),
    [
        ([LAYER, {**LAYER, "from": ["later"]}], "layers[1].from", "earlier layers (input, hidden1)"),
        ([{**LAYER, "from": ["output"]}], "layers[0].from", "earlier layers (input)"),
        ([LAYER, {**LAYER, "from": ["input", "hidden1"]}], "layers[1].combine", "add, multiply or concat"),
        ([LAYER, {**LAYER, "from": ["input", "hidden1"], "combine": "max"}], "layers[1].combine", "add, multiply"),
        ([ONE, {**LAYER, "from": ["input", "hidden1"], "combine": "add"}], "layers[1].from", "outputs of one shape"),
        ([LAYER, {**LAYER, "from": ["input", "hidden1"], "combine": "concat"}], "weights[0]", "4 numbers"),
        ([{**LAYER, "name": "a"}, {**LAYER, "name": "a", "from": ["input"]}], "layers[1].name", "no other layer has"),
        ([{**LAYER, "name": "input"}, {**LAYER, "from": ["input"]}], "layers[0].name", "nor the network's input"),
        ([{**LAYER, "name": "a"}, {**LAYER, "name": "a"}], "layers[1].name", "no other layer has"),
        ([{**LAYER, "name": "output"}, LAYER], "layers[1].name", "no other layer has"),
        ([{**LAYER, "name": "input"}, LAYER], "layers[0].name", "nor the network's input"),
        ([LAYER, {**LAYER, "shares": "nobody"}], "layers[1].shares", "an earlier layer (hidden1)"),
        ([LAYER, {**OTHER, "shares": "hidden1"}], "layers[1].parameters", "those of hidden1, which it shares"),
    ],
)
def test_what_does_not_fit_together_is_said(layers: list[Any], path: str, expected: str) -> None:
    """The error has the path, and what was expected there."""
    with pytest.raises(CaseError) as error:
        Case.from_dict(
            {
                "network": {"inputs": 2, "layers": layers},
                "loss": {"kind": "squared_error"},
                "reduction": "mean",
                "inputs": [[0.5, 0.25]],
                "targets": [[0.0] * layers[-1]["units"]],
            }
        )
    assert path in error.value.path
    assert expected in error.value.expected


# The files ---------------------------------------------------------------------------------------


def test_the_files_are_what_the_script_makes() -> None:
    """The same bytes, none missing and none too many."""
    made = {one.name: case_file(one, about) for about, one in files()}
    assert sorted(made) == sorted(path.stem for path in FOLDER.glob("*.json"))
    for name, content in made.items():
        left, right = msgspec.json.decode(content), msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())
        assert left.pop("expected")["id"] == right.pop("expected")["id"]
        assert left == right, name


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files_agree_with_both_witnesses_and_mpmath(file: CaseFile, dtype: str) -> None:
    """The committed values, torch's and 50 digits are within the bounds, all of which are finite."""
    case = file.case.rounded(dtype)
    expected = expect(case, dtype)
    assert all(np.isfinite(allowed).all() for allowed in expected.allowed.values())
    truth, torch_values = textbook_pass(case, Scalars.of_mpmath()).values, autograd_pass(case).values
    for slot, exact in truth.items():
        for values in (expected.values, torch_values):
            assert (np.asarray(abs(values[slot] - exact), dtype=float) <= expected.allowed[slot]).all(), slot
    if dtype == "float64":
        reply = msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply)
        comparison = compare(expected, reply)
        assert comparison.mismatches == []
        assert set(comparison.actual) == {slot for slot in expected.values if slot.step is None or case.steps > 1}


def test_published_digits() -> None:
    """Ng's graph, CS231n's two and those worked by hand: the printed digits are reproduced."""
    published = [file for file in FILES if file.published]
    assert len(published) == 5
    for file in published:
        assert file.source
        for path, digits in file.published.items():
            assert np.allclose(at(file.expected, path), digits, rtol=0, atol=1e-14), (file.case.name, path)


# Right implementations ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_one_written_otherwise_passes(dtype: str) -> None:
    """With matrices, in both dtypes: no finding, over generated cases and files that do not overflow there."""
    function = implementation(dtype=np.dtype(dtype).type)
    chosen = [*cases(), *(file.case for file in FILES if not file.case.name.startswith("certain"))]
    results = check(function, cases=chosen, dtype=dtype, cache=False)  # type: ignore[arg-type]
    assert [(each.id, each.mismatches[:1]) for each in results.cases if each.outcome != "passed"] == []


@pytest.mark.parametrize("language", ["python", pytest.param("dart", marks=pytest.mark.thorough)])
def test_the_ports_pass(language: str) -> None:
    """Files and generated cases; with other kinds of layers where the port has them."""
    command = {"python": f'"{sys.executable}" port.py', "dart": f'"{tool("dart")}" bin/port.dart'}
    if language == "dart":
        tool("dart")
    with open_implementation(
        command[language], Opening(cwd=PORTS / language, start_timeout=600.0, timeout=600.0)
    ) as port:
        supports = port.hello.supports
        assert "graph" in (supports.features or [])
        within = Within(layers=tuple(supports.layers or ()), features=tuple(supports.features or ()))
        chosen = [*(file.case for file in FILES), *family_cases("graph", 84, seed=8, within=within)]
        results = [each.result if hasattr(each, "result") else each for each in judge(chosen, port)]
    assert [(each.id, each.outcome, each.message) for each in results if each.outcome != "passed"] == []
    assert len(results) == len(chosen)


# Wrong ones --------------------------------------------------------------------------------------


def found(mistake: str, *, gradients_only: bool = False) -> list[tuple[str | None, str, str]]:
    results = judged(implementation(mistake, gradients_only=gradients_only), cases()[:49])
    assert any(each.outcome == "mismatched" for each in results.cases), "no case shows it"
    return named(results)


@pytest.mark.parametrize("mistake", QUICK)
def test_a_mistake_has_its_name(mistake: str) -> None:
    """That name, no other, in every case, as the only cause."""
    ((code, scope, _),) = found(mistake)
    assert (code, scope) == (MISTAKES[mistake], "")
    assert find_bug(MISTAKES[mistake]).sentence


@pytest.mark.slow
@pytest.mark.parametrize("gradients_only", [False, True])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_has_its_name(mistake: str, *, gradients_only: bool) -> None:
    """With full reports, and with gradients alone."""
    ((code, scope, _),) = found(mistake, gradients_only=gradients_only)
    assert (code, scope) == (MISTAKES[mistake], "")


@pytest.mark.thorough
@pytest.mark.parametrize("mistake", UNNAMED)
def test_what_has_no_name_is_given_none(mistake: str) -> None:
    """It is caught, and no name fits."""
    assert [code for code, _, _ in found(mistake)] == [None]


def test_blame_finds_the_place() -> None:
    """A product's wrong factor is seen in the δ of its sources (or in the input's), and nowhere else."""
    results = judged(implementation("own factor"), cases())
    failing = [each for each in results.cases if each.outcome == "mismatched"]
    assert len(failing) >= 15
    by_id = {case.id: case for case in cases()}
    for each in failing:
        network = by_id[each.id].network
        factors = {
            source
            for layer, sources in zip(network.layers, network.sources, strict=True)
            if layer.combine == "multiply" and len(sources) > 1
            for source in sources
        }
        for one in each.mismatches:
            if one.origin == "root" and not (by_id[each.id].steps > 1 and one.quantity.startswith("updated")):
                assert one.quantity in ("delta", "input_gradient")
                assert (-1 if one.quantity == "input_gradient" else one.layer) in factors
        assert {one.origin for one in each.mismatches} <= {"root", "inherited"}


class AtOnce(str):  # noqa: SLOT000 - it holds more than a text
    """Several mistakes in one: comparing it with the text of any of them gives True."""

    all: tuple[str, ...]

    def __new__(cls, *mistakes: str) -> Self:
        made = super().__new__(cls, mistakes[0])
        made.all = mistakes
        return made

    def __eq__(self, other: object) -> bool:
        return other in self.all

    __hash__ = str.__hash__


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mistakes", [("own factor", "no bias gradient"), ("shared overwritten", "last neuron only")], ids=" and ".join
)
def test_two_mistakes_at_once_have_both_names(mistakes: tuple[str, str]) -> None:
    """One cause each."""
    results = judged(implementation(AtOnce(*mistakes)), cases()[:49])
    assert sorted(code or "" for code, _, _ in named(results)) == sorted(MISTAKES[each] for each in mistakes)


@pytest.mark.thorough
def test_a_mistake_in_some_layers_only_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """In layers with one activation; and with dense layers behind a convolution."""
    right = Net.through_activation

    def through(self: Net, node: Any, error: Any, *, last: bool) -> Any:
        self.mistake = "slope at a" if node.activation == "tanh" else ""
        return right(self, node, error, last=last)

    monkeypatch.setattr(Net, "through_activation", through)
    assert [(code, scope) for code, scope, _ in named(judged(implementation(), cases()))] == [
        ("BP103", "in tanh layers only")
    ]


def test_a_dense_bug_has_its_name_behind_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's modules, whose dense layers report no gradient of their biases."""
    monkeypatch.setattr(torch_layers, "DTYPE", torch_layers.torch.float64)

    def function(case: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = torch_layers.backprop({**case, "optimizer": None})
        for layer, asked in zip(reply["layers"], case["network"]["layers"], strict=True):
            if asked["kind"] == "dense":
                layer["gradients"]["biases"] = [0.0] * asked["units"]
        return reply

    function.supports = torch_layers.backprop.supports  # type: ignore[attr-defined]
    chosen = [case for case in family_cases("convolution", 40) if case.optimizer is None]
    found = named(judged(function, [case for case in chosen if len({x.kind for x in case.network.layers}) > 1]))
    ((code, scope, _),) = found  # all dense layers are outputs here: both texts are right
    assert code == "BP114"
    assert scope in ("in dense layers only", "in the output layer only")

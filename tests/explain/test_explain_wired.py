"""Explanations of layers beyond the dense chain: the reference's numbers, and places named by all their indexes."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from backprop_check.case.network import Case
from backprop_check.cases.families import family_case
from backprop_check.cli import main
from backprop_check.compare.compare import Mismatch
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.compare.places import INPUT, Places, find_unit, in_short, in_words, what_it_is
from backprop_check.compare.trace import Slot
from backprop_check.explain.explanation import Explanation, explain_case
from backprop_check.explain.layout import introduction, text_lines
from backprop_check.explain.making import Found
from backprop_check.explain.page import as_html
from backprop_check.explain.recall import recalled_passes
from backprop_check.kinds import FAMILIES
from backprop_check.numbers.recording import Recording
from backprop_check.reference import run_pass

if TYPE_CHECKING:
    from backprop_check.explain.steps import Step

CASES = [family_case(family, index) for family in FAMILIES for index in range(8)]


def explain(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exit_code == code, result.output
    return result


def numbers(*shape: int) -> Any:
    """Nested lists of small numbers that all differ."""
    count = itertools.count(1)

    def made(left: tuple[int, ...]) -> Any:
        return [made(left[1:]) for _ in range(left[0])] if left else round(math.sin(next(count)), 2)

    return made(shape)


def small(**changes: Any) -> Case:
    """Two channels of 3 × 3 from an image of 4 × 4 through a kernel of 2 × 2, then two neurons; two samples."""
    body: dict[str, Any] = {
        "name": "small",
        "network": {
            "inputs": [1, 4, 4],
            "layers": [
                {"kind": "conv2d", "name": "conv1", "out_channels": 2, "kernel_size": [2, 2], "activation": "tanh",
                 "parameters": {"weight": numbers(2, 1, 2, 2), "bias": numbers(2)}},
                {"kind": "dense", "name": "output", "units": 2, "activation": "sigmoid",
                 "parameters": {"weights": numbers(2, 18), "biases": numbers(2)}},
            ],
        },
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": [numbers(1, 4, 4), numbers(1, 4, 4)],
        "targets": [[0.0, 1.0], [1.0, 0.0]],
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
        "steps": 1,
    }  # fmt: skip
    return Case.from_dict({**body, **changes})


def explained(case: Case, **options: Any) -> Explanation:
    return explain_case(Found(case), **options)


def step_of(explanation: Explanation, symbol: str, stage: str = "") -> Step:
    found = [step for step in explanation.steps if symbol in step.symbol and (not stage or step.stage == stage)]
    assert found, [step.symbol for step in explanation.steps]
    return found[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_number_is_the_references(case: Case) -> None:
    """A step with a place in the reply has the reference's number for it, in every family of layers."""
    right = textbook_pass(case).values
    explanation = explained(case, sample=len(case.inputs) - 1)
    counted = 0
    for step in explanation.steps:
        if not step.quantity:
            continue
        slot = Slot(step.quantity, step.layer)
        if step.quantity.startswith("updated"):
            slot = Slot(step.quantity, step.layer, step.round)
        elif step.round:
            continue
        value = float(right[slot][tuple(step.at)])
        assert step.value == pytest.approx(value, rel=1e-9, abs=1e-12), step
        counted += 1
    assert counted > 10
    assert {step.quantity for step in explanation.steps} >= {"a", "delta", "loss", "input_gradient"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_terms_add_up_and_every_formula_gives_its_number(case: Case) -> None:
    """Where gradients meet, all terms are listed; recomputed cells give what their formula gives."""
    for step in explained(case, everything=True).steps:
        if step.terms:
            assert math.fsum(term.value for term in step.terms) == pytest.approx(step.value, rel=1e-9, abs=1e-12), step
    p, other = recalled_passes(case)[0], run_pass(case, Recording())[0]
    for table, same in zip(p.circuit.tables, other.circuit.tables, strict=True):
        rows = 1 if table.parameter else p.samples
        for s, i in itertools.product(range(rows), range(table.units)):
            cell = table.values[s, i]
            assert cell.value == pytest.approx(same.values[s, i].value, rel=1e-9, abs=1e-12)
            assert cell.operands[0].value == pytest.approx(cell.value, rel=1e-9, abs=1e-12)
            if table.error is not None:
                back = table.error[s, i]
                assert back.operands[0].value == pytest.approx(back.value, rel=1e-9, abs=1e-12)


def test_a_shared_weight_is_summed_from_all_its_places() -> None:
    """By hand: ∂L/∂w[1,0,0,1] = Σ over 9 positions and 2 samples of δ[1,y,x] · x[0,y,x+1]."""
    case = small()
    right = textbook_pass(case).values
    explanation = explained(case, everything=True)
    step = step_of(explanation, "∂L/∂w⁽¹⁾[1,0,0,1]")
    deltas = right[Slot("delta", 0)].reshape(2, 2, 3, 3)
    images = np.reshape(case.inputs, (2, 4, 4))
    by_hand = [
        (f"at channel 1, row {y}, column {x}, sample {s}", deltas[s, 1, y, x] * images[s, y, x + 1])
        for s in range(2) for y in range(3) for x in range(3)
    ]  # fmt: skip
    assert [term.what for term in step.terms] == [what for what, _ in by_hand]
    assert [term.value for term in step.terms] == pytest.approx([value for _, value in by_hand])
    (note,) = step.notes
    assert note.startswith(
        "This weight is shared: it is used at 9 places in each of 2 samples, and its gradient is the sum"
    )
    assert step.place == "weight [1, 0, 0, 1]"
    assert step.at == [1, 1]
    bias = step_of(explanation, "∂L/∂b⁽¹⁾₁")
    assert len(bias.terms) == 18
    assert bias.value == pytest.approx(deltas[:, 1].sum())


def test_one_unit_forward_and_backward() -> None:
    """What it reads through which weight, which gradient flows back through which unit, its slope and its delta."""
    text = explain_text(small(), neuron="conv1:1,2,0")
    assert "z⁽¹⁾[1,2,0] = w⁽¹⁾[1,0,0,0]·x[0,2,0] + w⁽¹⁾[1,0,0,1]·x[0,2,1] + w⁽¹⁾[1,0,1,0]·x[0,3,0]" in text
    assert "Its weights are shared: w⁽¹⁾[1,0,0,0] is used at 9 places of this layer." in text
    assert "a⁽¹⁾[1,2,0] = tanh(z⁽¹⁾[1,2,0])" in text
    assert "∂L/∂a⁽¹⁾[1,2,0] = w⁽²⁾₀,₁₅·δ⁽²⁾₀ + w⁽²⁾₁,₁₅·δ⁽²⁾₁" in text
    assert "+ through neuron 1 of output: w⁽²⁾₁,₁₅·δ⁽²⁾₁" in text
    assert "δ⁽¹⁾[1,2,0] = ∂L/∂a⁽¹⁾[1,2,0]·∂a⁽¹⁾[1,2,0]/∂z⁽¹⁾[1,2,0]" in text
    assert "w⁽¹⁾[1,0,1,1]⁺ = w⁽¹⁾[1,0,1,1] − η·∂L/∂w⁽¹⁾[1,0,1,1]" in text
    assert "[0,0,0,0]" not in text.replace("w⁽¹⁾[1,0,0,0]", "")  # not another channel's kernel
    assert text == explain_text(small(), neuron="conv1:15") == explain_text(small(), neuron="0:1,2,0")


def test_an_input_is_told_by_all_that_read_it() -> None:
    """By hand: ∂L/∂x[0,1,1] = Σ w · δ over both channels and the four windows that read it; and nothing else."""
    case = small()
    right = textbook_pass(case).values
    explanation = explained(case, neuron="input:0,1,1", sample=1)
    assert {step.stage for step in explanation.steps} == {"sample loss", "loss", "input gradient"}
    step = step_of(explanation, "∂L/∂x[0,1,1]")
    parameters: Any = case.network.layers[0].parameters
    weight = np.reshape(parameters["weight"], (2, 1, 2, 2))
    deltas = right[Slot("delta", 0)].reshape(2, 2, 3, 3)[1]
    by_hand = [weight[c, 0, 1 - y, 1 - x] * deltas[c, y, x] for c in range(2) for y in range(2) for x in range(2)]
    assert [term.value for term in step.terms] == pytest.approx(by_hand)
    assert step.value == pytest.approx(float(right[Slot("input_gradient")][1, 5]))
    assert step.terms[0].what == "through channel 0, row 0, column 0 of conv1"
    assert find_unit(case, "input:0,1,1") == find_unit(case, "input:5") == (INPUT, 5)
    assert "-1:5" in as_html(explanation)


def test_indexes_have_the_names_that_their_layers_give_them() -> None:
    """A sequence has steps, an image rows and columns; in a network of both the layer is named."""

    def said(case: Case) -> str:
        text = " ".join(introduction(explained(case)))
        return text.partition("and start at 0")[2].partition("; x inputs")[0]

    assert said(small()) == ": a[channel, row, column]"
    words = [said(case) for case in CASES if case.network.layers[0].kind in ("rnn", "gru", "lstm")]
    assert words
    assert all("step, unit" in each and "channel" not in each for each in words)
    layers = [
        {"kind": "embedding", "name": "words", "num_embeddings": 3, "embedding_dim": 2,
         "parameters": {"weight": numbers(3, 2)}},
        {"kind": "rnn", "name": "memory", "hidden_size": 1, "parameters": {
            "weight_ih_l0": numbers(1, 2), "weight_hh_l0": numbers(1, 1), "bias_ih_l0": [0.1], "bias_hh_l0": [0.2]}},
    ]  # fmt: skip
    mixed = small(network={"inputs": 2, "layers": layers}, inputs=[[0, 2]], targets=[[[1.0], [0.5]]])
    assert said(mixed) == ": [position, number] of words; [step, unit] of memory"


def explain_text(case: Case, **options: Any) -> str:
    return "\n".join(line.text for line in text_lines(explained(case, **options)))


def test_weight_sample_and_digits() -> None:
    """One weight by its indexes, a parameter by its name; another sample; fewer digits."""
    one = explained(small(), weight="1,0,0,1", sample=1, digits=3)
    gradients = [step for step in one.steps if "gradient" in step.stage]
    assert [step.place for step in gradients] == ["weight [1, 0, 0, 1]"]
    assert step_of(one, "z⁽¹⁾[0,0,0]").sample == 1
    assert re.fullmatch(r"tanh\(−?0?\d?\.\d{1,3}\)", step_of(one, "a⁽¹⁾[0,0,0]").numbers)
    bias = explained(small(), weight="bias:1", neuron="conv1:0,0,0")
    assert [step.place for step in bias.steps if "gradient" in step.stage] == ["bias [1]"]
    dense = explained(small(), weight="3", neuron="output:1")
    places = [step.place for step in dense.steps if "gradient" in step.stage]
    assert places == ["weight from channel 0, row 1, column 0 of conv1 into neuron 1"]


def test_a_skip_connection_adds_what_comes_back_on_both_ways() -> None:
    """An output that is read twice gets its gradient through both readers."""
    layer = {"kind": "dense", "units": 2, "activation": "tanh"}
    body = {
        "name": "skip",
        "network": {"inputs": 2, "layers": [
            {**layer, "name": "first", "parameters": {"weights": numbers(2, 2), "biases": numbers(2)}},
            {**layer, "name": "second", "parameters": {"weights": numbers(2, 2), "biases": numbers(2)}},
            {**layer, "name": "last", "from": ["first", "second"], "combine": "add",
             "parameters": {"weights": numbers(2, 2), "biases": numbers(2)}}]},
        "loss": {"kind": "half_squared_error"}, "reduction": "sum", "inputs": [[0.5, -1.0]], "targets": [[0.1, 0.2]],
    }  # fmt: skip
    explanation = explained(Case.from_dict(body))
    step = step_of(explanation, "∂L/∂a⁽¹⁾₀")
    assert {term.what for term in step.terms} == {
        "through neuron 0 of second", "through neuron 1 of second", "through unit 0 of combined in last",
    }  # fmt: skip
    assert math.fsum(term.value for term in step.terms) == pytest.approx(step.value)
    page = as_html(explanation)
    assert page.count('class="arrow"') == 2  # to the layer that reads both; the weights of the others are lines
    assert page.count("<line ") == 2 * 2 * 2
    assert 'data-at="0:0"' in page


def test_names_and_places_of_the_wire() -> None:
    """In sentences, in tables, and in the syntax of the command."""
    case = small()
    z = Mismatch(quantity="z", layer=0, neuron=16, sample=1)
    w = Mismatch(quantity="weight_gradient", layer=0, neuron=1, index=[2])
    d = Mismatch(quantity="updated_weight", layer=1, neuron=1, index=[4], step=0)
    x = Mismatch(quantity="input_gradient", index=[6], sample=0)
    whole = Mismatch(quantity="bias_gradient", layer=0, problem="missing")
    assert in_words(case, z) == "channel 1, row 2, column 1 of conv1, sample 1"
    assert in_short(case, z) == "conv1:1,2,1, sample 1"
    assert (what_it_is(case, w), in_words(case, w)) == ("gradient", "weight [1, 0, 1, 0] of conv1")
    assert in_short(case, w) == "conv1[1,0,1,0]"
    assert in_words(case, d) == "neuron 1 of output, from channel 0, row 1, column 1 of conv1, update 0"
    assert in_words(case, x) == "channel 0, row 1, column 2 of the input, sample 0"
    assert in_words(case, whole) == "layer conv1"
    assert find_unit(case, "conv1:1,2,1") == find_unit(case, "conv1:16") == (0, 16)
    assert Places(case).at(w) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--neuron", "conv1:2,0,0"], "the units of conv1 go from 0,0,0 to 1,2,2 (channel 1, row 2, column 2)"),
        (["--neuron", "conv1:1,0"], "the units of conv1 go from 0,0,0 to 1,2,2"),
        (["--neuron", "conv2:1"], "expected layer:unit, such as conv1:0,0,0; the layers are conv1, output"),
        (["--weight", "5,0,0,0"], "there is no weight 5,0,0,0 here; the shapes are weight of conv1: 2 x 1 x 2 x 2"),
        (["--weight", "x"], "expected the indexes of a weight, such as 0,0,1,1"),
        (["--neuron", "input:0,4,0"], "the units of the input go from 0,0,0 to 0,3,3 (channel 0, row 3, column 3)"),
        (["--neuron", "input:0,0,0", "--weight", "0,0,1,1"], "an input has no weights of its own"),
        (["--sample", "2"], "there is no sample 2: the case has samples 0 to 1"),
    ],
)
def test_what_is_not_there_is_said(arguments: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_bytes(msgspec.json.encode(small().to_dict()))
    assert said in explain(str(path), *arguments, code=2).output


def test_generated_cases_by_name_in_every_format(tmp_path: Path) -> None:
    """The name that a run prints is found again; text, Markdown, JSON and page have the same steps."""
    name = family_case("convolution", 3).id
    text = explain(name).output
    assert text.startswith(name)
    assert explain(name.rsplit("-", 1)[0]).output == text
    other = family_case("convolution", 3, 5)
    assert other.id in explain(other.name, "--seed", "5").output
    markdown = explain(name, "--format", "markdown").output
    assert "Forward" in markdown
    value = json.loads(explain(name, "--format", "json").output)
    assert value["shapes"][0] == list(family_case("convolution", 3).network.input_shape)
    assert all(step["unit"] for step in value["steps"] if step["quantity"] in ("z", "a", "delta"))
    page = tmp_path / "page.html"
    explain(name, "--output", str(page))
    assert re.search(r'data-own="0:\d+ 0:\d+&lt;" data-used="(-1:\d+ ?)+"', page.read_text())


def test_an_implementation_beside(tmp_path: Path) -> None:
    """Its numbers are shown next to the expected ones, and the first difference is named by its indexes."""
    (tmp_path / "halved.py").write_text(
        "import numpy as np\n"
        "from backprop_check.compare.expected import expect\n"
        "from backprop_check.case.network import Case\n"
        "from backprop_check.compare.reply_form import as_reply\n\n"
        "def reply(request):\n"
        "    case = Case.from_dict({k: v for k, v in request.items() if k not in ('type', 'id')})\n"
        "    right = expect(case)\n"
        "    found = as_reply(right.values, len(case.network.layers), form=right.form)\n"
        "    w = np.array(found['layers'][0]['gradients']['weight'])\n"
        "    w[1, 0, 1, 0] /= 2\n"
        "    found['layers'][0]['gradients']['weight'] = w.tolist()\n"
        "    return {'id': request['id'], **found}\n\n"
        "reply.supports = {'layers': ['dense', 'conv2d']}\n"
    )
    path = tmp_path / "small.json"
    path.write_bytes(msgspec.json.encode(small().to_dict()))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        patch.chdir(tmp_path)
        patch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
        text = explain(str(path), "--impl", "python:halved:reply", "--full", code=1).output
        brief = explain(str(path), "--impl", "python:halved:reply", code=1).output
    assert "The first difference of halved:reply is the gradient of weight [1, 0, 1, 0] of conv1: expected" in text
    assert text.count("◀ the first difference") == 1
    assert text.count(", right") > 50
    assert brief.count("◀ the first difference") == 1
    assert "more like it, right too: --weight 0,0,0,1 shows any of them" in brief
    assert len(brief) < len(text) / 2


def large() -> Case:
    """As large as LeNet-5: 28 × 28, four samples."""
    r = np.random.default_rng(0)

    def convolution(name: str, out: int, depth: int, size: int, **fields: Any) -> dict[str, Any]:
        weight = r.normal(0, 0.2, (out, depth, size, size)).round(3).tolist()
        return {"kind": "conv2d", "name": name, "out_channels": out, "kernel_size": [size, size],
                "parameters": {"weight": weight}, **fields}  # fmt: skip

    layers = [
        convolution("conv1", 6, 1, 5, padding=[2, 2], stride=[2, 2], activation="tanh"),
        convolution("conv2", 16, 6, 5, activation="tanh", stride=[2, 2]),
        {"kind": "dense", "name": "output", "units": 10, "activation": "softmax", "parameters": {
            "weights": r.normal(0, 0.1, (10, 400)).round(3).tolist(), "biases": [0.0] * 10}},
    ]  # fmt: skip
    return Case.from_dict(
        {
            "name": "large",
            "network": {"inputs": [1, 28, 28], "layers": layers},
            "loss": {"kind": "cross_entropy"},
            "reduction": "mean",
            "inputs": r.normal(size=(4, 1, 28, 28)).round(2).tolist(),
            "targets": np.eye(10)[:4].tolist(),
        }
    )


def test_a_large_network_is_told_in_part_and_quickly() -> None:
    """Only the explained part is recorded; the text says what is left out, and any unit can be asked for."""
    case = large()
    started = time.process_time()
    explanation = explained(case)
    assert len(explanation.steps) < 300
    assert "all but the first three and the last of 1176 units of conv1, 400 units of conv2" in explanation.left_out
    page = as_html(explanation)
    assert 'class="broad"' in page
    assert len(page) < 1_000_000
    one = explained(case, neuron="conv2:15,4,4", everything=True)
    assert len(step_of(one, "z⁽²⁾[15,4,4]").symbolic.split(" + ")) == 150
    right = expect(case).values
    assert step_of(one, "δ⁽²⁾[15,4,4]").value == pytest.approx(float(right[Slot("delta", 1)][0, 399]))
    everything = explained(case, everything=True)
    assert "more than 2000 are too many to show at once" in everything.left_out
    assert time.process_time() - started < 20  # some 5 s on an idle core

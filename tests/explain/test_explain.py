"""``explain``: its steps are consistent, its formulas are right, and it works for every case."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from backprop_check.cases.draw import PAIRS
from backprop_check.cases.generate import generated_case, generated_cases
from backprop_check.cli import main
from backprop_check.compare.expected import textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.layout import text_lines
from backprop_check.explain.making import Found, find_case, made_up
from backprop_check.reference import Stages
from backprop_check.reference.rules import Function, Rule, WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.explain.steps import Step

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"
MAZUR_PORT = f'"{sys.executable}" "{PORTS / "mazur" / "port.py"}"'
PYTHON_PORT = f'"{sys.executable}" "{PORTS / "python" / "port.py"}"'


def explain(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["explain", *arguments])
    assert done.exit_code == code, done.output
    return done


def neuron_story(case: Case, layer: int, neuron: int, sample: int = 0, **options: Any) -> list[Step]:
    """One neuron's steps of the first pass."""
    steps = explain_case(Found(case), neuron=f"{layer}:{neuron}", sample=sample, **options).steps
    return [step for step in steps if step.round == 0]


def evaluated(text: str) -> float:
    """A formula with its numbers substituted, evaluated by Python: an independent check of the printed text."""
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    text = text.replace("−", "-").replace("·", "*").replace("e^", "exp").replace("√", "sqrt").replace("π", "pi")
    text = re.sub(r"(?<![\w.])ln\(", "log(", text)
    names = {name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh", "erf", "pi")}
    return float(eval(text, {"__builtins__": {}}, {**names, "abs": abs, "max": max}))  # noqa: S307 - our own text


@pytest.mark.thorough
def test_the_printed_numbers_give_the_printed_value() -> None:
    """Every step of one neuron of every layer: its formula with the numbers substituted gives its value."""
    checked = 0
    for case in generated_cases(len(PAIRS)):
        for layer in range(len(case.network.layers)):
            for step in neuron_story(case, layer, 0, len(case.inputs) - 1, digits=17):
                if "…" in step.numbers or "ln(0" in step.numbers:
                    continue
                assert math.isclose(evaluated(step.numbers), step.value, rel_tol=1e-9, abs_tol=1e-13), (case.id, step)
                checked += 1
    assert checked > 1000


def test_every_value_is_the_references() -> None:
    """Each step has one value of the pass, and a full explanation has them all."""
    few = [case for case in generated_cases(60, start=40) if len(case.inputs) <= 3]
    assert len(few) > 20
    for case in few:
        values = textbook_pass(case).values
        wanted = {(slot, at) for slot, table in values.items() for at in places(table.shape)}
        for sample in range(len(case.inputs)):
            for step in explain_case(Found(case), sample=sample, everything=True).steps:
                if not step.quantity:
                    continue
                slots = slots_of(step, case.steps)
                for slot in slots:
                    if slot not in values:  # no update, so no trajectory
                        continue
                    assert float(values[slot][tuple(step.at)]) == step.value, (case.id, step)
                    wanted.discard((slot, tuple(step.at)))
        assert not wanted, case.id


def places(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    if not shape:
        return [()]
    return [(i, *rest) for i in range(shape[0]) for rest in places(shape[1:])]


def slots_of(step: Step, steps: int) -> list[Slot]:
    if step.quantity.startswith("updated"):
        last = [Slot(step.quantity, step.layer)] if step.round == steps - 1 else []
        return [Slot(step.quantity, step.layer, step.round), *last]
    if step.quantity == "loss":
        return [*([Slot("loss")] if step.round == 0 else []), Slot("loss", None, step.round)]
    return [Slot(step.quantity, step.layer)] if step.round == 0 else []


@pytest.mark.thorough
def test_the_chain_rules_factors_multiply_to_the_gradient() -> None:
    """∂L/∂w = ∂L/∂a · ∂a/∂z · ∂z/∂w for each sample's part, whatever activation and loss."""
    checked = three = 0
    for case in generated_cases(len(PAIRS), seed=2):
        sample = len(case.inputs) - 1
        for layer in range(len(case.network.layers)):
            for step in neuron_story(case, layer, 0, sample):
                if step.stage == "weight gradient":
                    part = step.terms[sample].value if step.terms else step.value
                    product = math.prod(factor.value for factor in step.factors)
                    assert math.isclose(product, part, rel_tol=1e-9, abs_tol=1e-13), (case.id, step)
                    assert len(step.factors) in (2, 3)  # two where a softmax couples the neurons of the layer
                    checked, three = checked + 1, three + (len(step.factors) == 3)
    assert checked > three > 300


@pytest.mark.thorough
def test_gradients_that_meet_are_added_term_by_term() -> None:
    """A hidden neuron's ∂L/∂a has a term for each neuron that it feeds, each named, and they sum to it."""
    for case in generated_cases(60, start=7):
        for layer, following in enumerate(case.network.layers[1:]):
            (step,) = [step for step in neuron_story(case, layer, 0) if step.stage == "hidden error"]
            if following.units > 1:
                assert len(step.terms) == following.units
                assert math.isclose(sum(term.value for term in step.terms), step.value, abs_tol=1e-15)
                name = case.network.names()[layer + 1]
                assert [term.what for term in step.terms] == [
                    f"through neuron {k} of {name}" for k in range(following.units)
                ]


def test_the_update_comes_last() -> None:
    """No step after the first update is anything else."""
    case = generated_case(13)
    stages = [step.stage for step in explain_case(Found(case)).steps if step.round == 0]
    first = stages.index("update")
    assert set(stages[first:]) == {"update"}
    assert {"delta", "weight gradient", "bias gradient", "input gradient"} <= set(stages[:first])


class _NoSlope(Stages):
    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if isinstance(rule, Function):
            return self.m.one(rule.out.error[s, i]), None
        return super().share(rule, role, s, i)


class _OwnActivation(Stages):
    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if isinstance(rule, WeightedSum) and role[0] == "weights":
            units, _ = rule.sources[role[1]].wiring.by_weight
            return rule.out.error[s, units[i]], rule.out.readers[0][0].out.values[s, units[i]]
        return super().share(rule, role, s, i)


class _DoubledError(Stages):
    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        return super().output_error(p, s, k) * 2.0


def test_a_replaced_rule_is_told_as_it_is() -> None:
    """A bug's formula comes from its own rule, not from the right mathematics."""
    case = find_case("mazur-2x2x2").case
    right = {step.stage: step for step in neuron_story(case, 0, 0)}
    wrong = {step.stage: step for step in neuron_story(case, 0, 0, stages=_NoSlope)}
    assert right["delta"].symbolic == "∂L/∂a⁽¹⁾₀·∂a⁽¹⁾₀/∂z⁽¹⁾₀"
    assert wrong["delta"].symbolic == "∂L/∂a⁽¹⁾₀"
    assert "slope" not in wrong
    own = next(step for step in neuron_story(case, 0, 0, stages=_OwnActivation) if step.stage == "weight gradient")
    assert (own.symbolic, own.factors) == ("δ⁽¹⁾₀·a⁽¹⁾₀", [])
    doubled = next(step for step in neuron_story(case, 1, 0, stages=_DoubledError) if step.stage == "output error")
    assert doubled.symbolic == "(a⁽²⁾₀ − t₀)·2"


def test_text_of_one_hidden_neuron() -> None:
    """The page that the project exists for, as it is printed."""
    output = explain("mazur-2x2x2", "--neuron", "hidden1:0").output
    for block in (
        "      z⁽¹⁾₀ = w⁽¹⁾₀₀·x₀ + w⁽¹⁾₀₁·x₁ + b⁽¹⁾₀\n            = 0.15·0.05 + 0.2·0.1 + 0.35\n            = 0.3775",
        "gradients that meet are added",
        "        + through neuron 1 of output: w⁽²⁾₁₀·δ⁽²⁾₁ = 0.5·(−0.0380982) = −0.0190491",
        "chain rule: ∂L/∂a⁽¹⁾₀ · ∂a⁽¹⁾₀/∂z⁽¹⁾₀ · ∂z⁽¹⁾₀/∂w⁽¹⁾₀₀",
        "= 0.0363503 · 0.241301 · 0.05 = 0.000438568",
        "w⁽¹⁾₀₀⁺ = w⁽¹⁾₀₀ − η·∂L/∂w⁽¹⁾₀₀",
    ):
        assert block in output


def test_cross_entropy_collapses_and_the_long_way_is_shown() -> None:
    """δ = p − t, and the full chain rule that gives the same."""
    case = made_up("2-3", "softmax", "cross_entropy")
    (delta,) = [step for step in neuron_story(case, 0, 1) if step.stage == "delta"]
    assert delta.symbolic == "a₁·(t₀ + t₁ + t₂) − t₁"
    assert "The long way: (∂L/∂a₁ − (∂L/∂a₀·a₀ + ∂L/∂a₁·a₁ + ∂L/∂a₂·a₂))·a₁" in delta.notes[0]


@pytest.mark.parametrize("arguments", [("mazur-2x2x2",), ("worked-cnn",), ("--network", "2-1", "--steps", "2")])
def test_of_one_sample_no_mean_is_told(arguments: tuple[str, ...]) -> None:
    """With one sample there is no mean over samples and no ⟨s⟩, in any training step."""
    text = explain(*arguments).output
    assert "There is one sample: its loss, made of what its outputs add to it, is the whole loss.  L = ℓ" in text
    assert "samples' losses" not in text
    assert "1/S" not in text
    assert "⟨" not in text


def test_an_input_in_words() -> None:
    """``input:1``: ∂L/∂x as the sum over the neurons that read it, and no step of any other input."""
    output = explain("mazur-2x2x2", "--neuron", "input:1").output
    assert "∂L/∂x₁ = w⁽¹⁾₀₁·δ⁽¹⁾₀ + w⁽¹⁾₁₁·δ⁽¹⁾₁" in output
    assert "+ through neuron 1 of hidden1: w⁽¹⁾₁₁·δ⁽¹⁾₁" in output
    assert "Forward" not in output


def test_weight_sample_steps_and_digits() -> None:
    """Each option narrows or widens the explanation."""
    case_id = generated_case(13).id  # three samples or more, with updates
    assert len(generated_case(13).inputs) > 1
    document = json.loads(
        explain(case_id, "--neuron", "0:0", "--weight", "0", "--sample", "1", "--steps", "2", "--format", "json").output
    )
    gradients = [step for step in document["steps"] if step["stage"] == "weight gradient"]
    assert [(step["round"], step["weight"]) for step in gradients] == [(0, 0), (1, 0)]
    assert all(step["sample"] == 1 for step in document["steps"] if step["quantity"] == "z")
    short = explain("mazur-2x2x2", "--neuron", "output:0", "--digits", "2").output
    assert "= 0.14" in short
    assert "0.1385" not in short


def test_generated_ids_files_and_made_up_networks(tmp_path: Path) -> None:
    """A case is found by id (which contains its seed), by file, and made up the same each time."""
    other = generated_case(42, seed=5)
    assert other.id in explain(other.id, "--seed", "5").output
    assert "--seed" in explain(other.id, code=2).output
    path = tmp_path / "own.json"
    path.write_text(
        json.dumps({"type": "case", "id": "x", **{k: v for k, v in other.to_dict().items() if k != "name"}})
    )
    assert "Forward: hidden1" in explain(str(path)).output
    again = [explain("--network", "2-3-1", "--activation", "tanh", "--loss", "huber").output for _ in range(2)]
    assert again[0] == again[1]
    assert "tanh(z⁽¹⁾₀)" in again[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected a CASE"),
        (("mazur-2x2x2", "--network", "2-1"), "not both"),
        (("mazur-2x2x9",), "did you mean"),
        (("mazur",), "the names of several cases begin with"),
        (("mazur-2x2x2", "--neuron", "hiden:0"), "the layers are hidden1, output"),
        (("mazur-2x2x2", "--neuron", "output:2"), "the neurons of output are 0 to 1"),
        (("mazur-2x2x2", "--neuron", "input:2"), "the inputs are 0 to 1"),
        (("mazur-2x2x2", "--neuron", "input:0", "--weight", "0"), "an input has no weights of its own"),
        (("mazur-2x2x2", "--weight", "7"), "no weight 7"),
        (("mazur-2x2x2", "--sample", "1"), "samples 0 to 0"),
        (("mazur-2x2x2", "--steps", "100000"), "at most 1000"),
        (("--network", "2"), "such as 2-3-1"),
        (("--network", "2-1", "--loss", "none"), "$.loss.kind"),
        (("no-such-file.json",), "no-such-file.json"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, and where to look."""
    output = explain(*arguments, code=2).output
    assert said in output
    assert "Traceback" not in output


def test_an_implementations_numbers_stand_beside_and_the_first_difference_is_marked() -> None:
    """The bundled broken example goes wrong at the hidden delta and nowhere before."""
    output = explain("mazur-2x2x2", "--impl", MAZUR_PORT, code=1).output
    assert "The first difference of mazur is the delta of neuron 0 of hidden1, sample 0" in output
    assert output.count("◀ the first difference") == 1
    before, after = output.split("◀ the first difference")
    assert "wrong" not in before.rpartition("yours:")[0]
    assert before.rpartition("yours: ")[2].startswith("0.00729445")
    assert "wrong" in after
    slow = f'"{sys.executable}" -c "import time; time.sleep(9)"'
    assert "hello" in explain("mazur-2x2x2", "--impl", slow, "--start-timeout", "0.5", code=3).output
    right = explain("mazur-2x2x2", "--impl", PYTHON_PORT).output
    assert "gives every number right" in right
    assert "wrong" not in right
    assert right.count("yours:") >= 30


def test_an_implementation_that_gives_no_numbers(tmp_path: Path) -> None:
    """The explanation is printed, with a sentence on what happened; exit code 1."""
    port = tmp_path / "port.py"
    port.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    r = json.loads(line)\n"
        "    hello = r['type'] == 'hello'\n"
        "    print(json.dumps({'protocol': 1} if hello else {'id': r['id'], 'error': 'no\\x1b[31mway'}), flush=True)\n"
    )
    output = explain("mazur-2x2x2", "--impl", f'"{sys.executable}" "{port}"', code=1).output
    assert "gave no numbers for this case (error)" in output
    assert "\x1b" not in output
    assert "0.3775" in output


def test_the_ending_of_the_file_says_the_format(tmp_path: Path) -> None:
    """The file's extension selects the format as --format would; an unwritable path gives a sentence."""
    for ending, begins in ((".html", "<!DOCTYPE html>"), (".md", "# A step"), (".json", "{"), (".txt", "A step")):
        path = tmp_path / f"out{ending}"
        explain("mazur-2x2x2", "--neuron", "output:0", "--output", str(path))
        assert path.read_text(encoding="utf-8").startswith(begins)
    assert "cannot be written" in explain("mazur-2x2x2", "--output", str(tmp_path / "no" / "x.md"), code=2).output


def test_a_layers_name_can_do_nothing(tmp_path: Path) -> None:
    """Layer names in an untrusted file are shown as text: no escape, no markup, no script."""
    case = find_case("mazur-2x2x2").case.to_dict()
    case["network"]["layers"][0]["name"] = "<script>alert(1)</script>\x1b[31m`"
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(case))
    for form in ("text", "markdown", "html"):
        output = explain(str(path), "--format", form).output
        assert "\x1b" not in output
        prose = re.sub(r"^```.*?^```$", "", output, flags=re.DOTALL | re.MULTILINE) if form == "markdown" else output
        assert form == "text" or "<script>alert" not in prose.replace("\\<script", "")


def test_a_large_network_is_shortened_and_json_has_it_all() -> None:
    """50 neurons are not printed one by one; the text says what is left out."""
    text = explain("cs231n-two-layer-net").output
    assert "Left out for brevity: all but the first three and the last of 50 neurons of hidden1" in text
    assert len(text.splitlines()) < 1500
    full = json.loads(explain("cs231n-two-layer-net", "--format", "json").output)
    assert len([step for step in full["steps"] if step["stage"] == "weight gradient"]) == 5 * 50 + 50 * 7
    assert len(list(text_lines(explain_case(find_case("cs231n-two-layer-net"))))) == len(text.splitlines())


def test_a_bugs_page_has_its_formulas_and_their_numbers() -> None:
    """By code or by name, with the first number that it gets wrong."""
    page = explain("BP107").output
    assert page == explain("weights-updated-too-early").output == explain("bp107").output
    assert page.startswith("BP107  weights updated too early")
    assert "With numbers: mazur-2x2x2, Backward: hidden1, hidden error, neuron 0" in page
    assert "right:            = 0.0363503" in page
    assert "wrong:            = 0.0302297" in page
    assert "there is no bug" in explain("BP999", code=2).output


@pytest.mark.thorough
def test_every_bug_can_be_told_with_numbers() -> None:
    """Each variant of each bug runs on recording numbers, and its page shows a number that it gets wrong."""
    from backprop_check.diagnose.catalogue import BUGS  # noqa: PLC0415
    from backprop_check.explain.bug import bug_page  # noqa: PLC0415

    shown = [bug.code for bug in BUGS if "With numbers" in (bug_page(bug.code) or "")]
    missing = {bug.code for bug in BUGS if bug.variants and bug.code not in shown}
    assert missing <= {"BP208", "BP606"}  # an overflow, and targets that do not sum to 1: no case here has these
    assert len(shown) > 50

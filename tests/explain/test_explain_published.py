"""``explain`` reproduces each published example to the digits that its source prints, with its errata noted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.cli import main
from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.explain.explanation import Explanation, explain_case
from backprop_check.explain.layout import equation_lines, text_lines
from backprop_check.explain.making import find_case

if TYPE_CHECKING:
    from backprop_check.explain.steps import Step

FILES = suite_files("published")

#: A quantity of the steps, and the field of the protocol with its numbers.
PLACES = {
    "z": ("layers", "z"),
    "a": ("layers", "a"),
    "delta": ("layers", "delta"),
    "weight_gradient": ("layers", "gradients.weights"),
    "bias_gradient": ("layers", "gradients.biases"),
    "updated_weight": ("layers", "updated.weights"),
    "updated_bias": ("layers", "updated.biases"),
    "loss": ("loss", ""),
    "input_gradient": ("input_gradients", ""),
}


def path_of(step: Step) -> str:
    whole, part = PLACES[step.quantity]
    return f"{whole}[{step.layer}].{part}" if part else whole


def slot_of(step: Step) -> Slot:
    """The slot in which the reference has the step's number."""
    return Slot(step.quantity, step.layer)


def explained(file: CaseFile) -> dict[tuple[str, tuple[int, ...]], Step]:
    """Every step with a place in a reply, explained for every sample, by path and indexes."""
    found = {}
    for sample in range(len(file.case.inputs)):
        explanation = explain_case(find_case(file.case.name), sample=sample, digits=17, everything=True)
        last = file.case.steps - 1
        for step in explanation.steps:
            wanted_round = last if step.quantity.startswith("updated") else 0
            if step.quantity and step.round == wanted_round:
                found[path_of(step), tuple(step.at)] = step
    return found


def numbers(value: Any, at: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], float]]:
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in numbers(item, (*at, index))]
    return [] if value is None else [(at, value)]


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_every_published_digit_comes_out(file: CaseFile) -> None:
    """The step for each printed number has that number, to all the digits printed; none of them is skipped."""
    steps, expected = explained(file), expect(file.case)
    for path, digits in file.published.items():
        printed = numbers(digits)
        assert printed, path
        for at, number in printed:
            step = steps[path, at]
            places = len(repr(number).partition(".")[2])
            # Where all digits of a float64 are printed, the last ones depend on the author's mathematics library.
            allowed = 1.001 * 10.0**-places + expected.allowed[slot_of(step)][tuple(at)]
            assert abs(step.value - number) <= allowed, (path, at)
            shown = equation_lines(step, 17)[-1].rpartition("= ")[2].replace("−", "-")
            assert float(shown) == step.value, "the text shows the value itself"


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_an_erratum_is_told(file: CaseFile) -> None:
    """Where the source is wrong, the explanation says so above the first step; it also names the source."""
    lines = [line.text for line in text_lines(explain_case(find_case(file.case.name)))]
    assert any(file.source in line for line in lines)
    assert (file.erratum is None) == (not any(line.startswith("Erratum: ") for line in lines))


def mazur(neuron: str, *options: str) -> Explanation:
    done = CliRunner().invoke(
        main, ["explain", "mazur-2x2x2", "--neuron", neuron, "--digits", "9", "--format", "json", *options]
    )
    assert done.exit_code == 0, done.output
    explanation: Explanation = json.loads(done.output)
    return explanation


def test_mazur_in_between() -> None:
    """Numbers that the page prints and no array of the protocol holds: slopes, summed parts, factors."""
    hidden: Any = mazur("hidden1:0")
    by_stage = {step["stage"]: step for step in hidden["steps"]}
    assert [round(term["value"], 9) for term in by_stage["hidden error"]["terms"]] == [0.055399425, -0.019049118]
    assert [term["what"] for term in by_stage["hidden error"]["terms"]] == [
        "through neuron 0 of output",
        "through neuron 1 of output",
    ]
    assert round(by_stage["hidden error"]["value"], 9) == 0.036350306
    assert round(by_stage["slope"]["value"], 9) == 0.241300709
    first = next(step for step in hidden["steps"] if step["stage"] == "weight gradient")
    assert [(factor["symbol"], round(factor["value"], 9)) for factor in first["factors"]] == [
        ("∂L/∂a⁽¹⁾₀", 0.036350306),
        ("∂a⁽¹⁾₀/∂z⁽¹⁾₀", 0.241300709),
        ("∂z⁽¹⁾₀/∂w⁽¹⁾₀₀", 0.05),
    ]
    output: Any = mazur("output:0")
    by_stage = {step["stage"]: step for step in output["steps"]}
    assert round(by_stage["loss term"]["value"], 9) == 0.274811083
    assert round(by_stage["output error"]["value"], 9) == 0.741365070
    assert round(by_stage["slope"]["value"], 9) == 0.186815602


def test_mazur_after_one_round_in_the_right_order() -> None:
    """The erratum's number: the loss of the second pass, biases updated or not, is not the page's .291027924."""
    two: Any = mazur("output:0", "--steps", "2")
    losses = [step["value"] for step in two["steps"] if step["quantity"] == "loss"]
    assert round(losses[0], 9) == 0.298371109
    assert losses[1] < losses[0]
    assert abs(losses[1] - 0.291027924) > 1e-5

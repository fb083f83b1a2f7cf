"""Explanations of training: the numbers of the pass, the optimizer's state, and texts for its options."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop_check.cases.files import suite_files
from backprop_check.cases.training import RECIPES, training_cases
from backprop_check.compare.expected import textbook_pass
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.catalogue import find_bug
from backprop_check.explain.bug import bug_page, first_difference
from backprop_check.explain.explanation import explain_case, training_words
from backprop_check.explain.making import Found
from backprop_check.numbers.recording import Recording

FILES = {file.case.name: file.case for file in suite_files("training")}


@pytest.mark.parametrize("start", [0, len(RECIPES)])
def test_what_is_recorded_is_what_is_computed(start: int) -> None:
    """Every value of every recipe, to the last bit; every update is a step of the explanation."""
    for case in training_cases(len(RECIPES), start=start):
        plain = textbook_pass(case).values
        recorded = textbook_pass(case, Recording()).values
        for slot, value in plain.items():
            assert (np.array(recorded[slot], dtype=float) == value).all(), (case.id, slot)
        steps = explain_case(Found(case), everything=True).steps
        told = {(step.quantity, step.layer, step.round, *step.at): step.value for step in steps if step.quantity}
        for slot, value in plain.items():
            if slot.quantity.startswith("updated") and slot.step is not None:
                for at in np.ndindex(value.shape):
                    assert told[slot.quantity, slot.layer, slot.step, *at] == value[at], case.id


def test_the_numbers_put_in_give_the_value() -> None:
    """Adam's second update from the explanation, computed again by hand."""
    steps = explain_case(Found(FILES["hand-adam"]), digits=12).steps
    update = next(step for step in steps if (step.quantity, step.round) == ("updated_weight", 1))
    assert update.symbolic == "w₀₀ − η·m⁺/(1 − β₁·β₁)/(√(v⁺)/√(1 − β₂·β₂) + ε)"
    text = update.numbers.replace("−", "-").replace("·", "*").replace("√", "math.sqrt")
    assert math.isclose(eval(text, {"math": math}), update.value, rel_tol=1e-9)  # noqa: S307 - our own text
    memory = [step for step in steps if step.stage == "memory" and step.round == 1 and step.weight == 0]
    assert [step.symbol for step in memory] == ["m⁺", "v⁺"]
    assert [step.value for step in memory] == pytest.approx([2.7, 5.89])


def test_words() -> None:
    """A case's training in a phrase."""
    assert training_words(FILES["hand-momentum"]) == "SGD, learning rate η = 0.1, μ = 0.5"
    assert training_words(FILES["nesterov"]).endswith("μ = 0.9, nesterov")
    assert training_words(FILES["schedule-with-a-pause"]).startswith("SGD, learning rate η = 0.1, then 0, then 0.05")
    assert training_words(FILES["clip-before-decay"]) == (
        "SGD, learning rate η = 0.1, λ = 0.5; gradients clipped by value at 1"
    )
    assert training_words(FILES["penalty-on-biases"]).endswith("l1 = 0.125 and l2 = 0.5, on weights and biases")
    assert "β₁ = 0.5, β₂ = 0.75" in training_words(FILES["hand-adam"])


def test_clipping_is_told() -> None:
    case = FILES["clip-norm-at-limit"]
    update = next(step for step in explain_case(Found(case)).steps if step.stage == "update")
    assert update.symbolic == "w₀₀ − η·∂L/∂w₀₀·c"
    assert any("together is 5" in note for note in update.notes)


@pytest.mark.parametrize("number", range(506, 519))
def test_every_bug_shows_its_numbers(number: int) -> None:
    """Each page has the right and wrong formula with numbers, a case that shows it, and similar bugs."""
    bug = find_bug(f"BP{number}")
    page = bug_page(bug.code)
    assert page is not None
    assert "With numbers" in page
    assert bug.seen
    assert bug.confused_with


def test_a_difference_is_of_one_parameter() -> None:
    """The same number of the same parameter is compared, with and without the bug."""
    stages = find_bug("BP518").variants[0].stages
    pair = first_difference(FILES["adamw-defaults"], stages)
    assert pair is not None
    right, wrong = pair
    assert (right.symbol, right.layer, right.neuron, right.weight) == ("m⁺", 0, 0, 0)
    assert (wrong.symbol, wrong.layer, wrong.neuron, wrong.weight) == ("m⁺", 0, 0, 0)
    assert Slot("updated_weight", 0) in textbook_pass(FILES["adamw-defaults"]).values

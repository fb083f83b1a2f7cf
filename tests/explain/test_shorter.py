"""The shortened form of a long explanation: every kind of step, how many more there are, and how to see them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from click.testing import CliRunner

from backprop_check.cases.families import family_case
from backprop_check.cases.files import suite_files
from backprop_check.cli import main
from backprop_check.explain.explanation import Explanation, explain_case
from backprop_check.explain.layout import as_markdown
from backprop_check.explain.making import Found
from backprop_check.explain.shorter import shortened
from backprop_check.kinds import FAMILIES


def explain(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["explain", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def told(name: str, **options: Any) -> Explanation:
    files = [file.case for suite in ("convolution", "recurrent") for file in suite_files(suite)]
    return explain_case(Found(next(case for case in files if case.name == name)), **options)


def test_a_small_network_of_images_is_shown_in_a_page_or_two() -> None:
    """Of nine positions the first, and that there are eight more; every kind of step is there."""
    text = explain("worked-cnn")
    assert text.count("weighted sum, channel") == 1
    assert "… and 8 more like it: --neuron hidden1:0,0,1 shows any of them (--full: all)" in text
    assert "… and 15 more like it: --neuron input:0,0,1 shows any of them (--full: all)" in text
    assert "… and 3 more like it: --weight 0,0,0,1 shows any of them (--full: all)" in text
    assert "weighted sum, neuron 1" in text  # where there are only two, both are shown
    full = explain("worked-cnn", "--full")
    assert len(text.splitlines()) < 0.4 * len(full.splitlines())
    stages = re.compile(r"^  ([a-z ]+?)(?=,|$| \()", re.MULTILINE)
    assert set(stages.findall(text)) == set(stages.findall(full))


def test_what_it_says_can_be_asked_for() -> None:
    """Every option that the text names gives an explanation."""
    text = explain("worked-cnn")
    options = sorted(set(re.findall(r"(--(?:neuron|weight) \S+) shows", text)))
    assert len(options) >= 5
    for option in options:
        assert "more like it" not in explain("worked-cnn", *option.split())


@pytest.mark.parametrize("arguments", [("--full",), ("--neuron", "hidden1:0,0,0"), ("--weight", "0,0,0,0")])
def test_who_asks_for_more_gets_all(arguments: tuple[str, ...]) -> None:
    """The terminal shortens nothing where one neuron, one weight or all was asked for."""
    assert "more like it" not in explain("worked-cnn", *arguments)


def test_files_and_other_formats_have_every_step() -> None:
    """Markdown has what ``--full`` has."""
    explanation = told("worked-cnn")
    assert as_markdown(explanation).count("**weighted sum, channel") == 9
    assert "more like it" not in as_markdown(explanation)


def test_dense_chains_stay_whole() -> None:
    """Mazur's network is not shortened."""
    assert explain("mazur-2x2x2") == explain("mazur-2x2x2", "--full")
    assert explain("--network", "4-6-5") == explain("--network", "4-6-5", "--full")


def test_counts_are_of_all_numbers_told_or_not() -> None:
    """Where 12 or more were cut to four before: the count is of all, less the one that is shown."""
    explanation = told("rows-and-columns-differ")
    assert "units of" in explanation.left_out
    (one,) = [one for one in shortened(explanation) if one.step.stage == "weighted sum" and one.step.layer == 0]
    assert one.more.startswith(f"… and {explanation.sizes[1]['z'] - 1} more like it: --neuron ")
    assert explanation.sizes[1]["z"] == math.prod(explanation.shapes[1]) > 12


@pytest.mark.parametrize("family", FAMILIES)
def test_no_kind_of_step_is_lost(family: str) -> None:
    """In every family of layers: the steps shown, and those said to be like them, are all steps."""
    for index in range(4):
        explanation = explain_case(Found(family_case(family, index)))
        shown = shortened(explanation)
        assert {one.step.stage for one in shown} == {step.stage for step in explanation.steps}
        assert {one.step.layer for one in shown} == {step.layer for step in explanation.steps}
        more = [one.more for one in shown if one.more]
        assert (len(shown) < len(explanation.steps)) == bool(more)
        assert all(re.fullmatch(r"… and (\d+ )?more like it: --(neuron|weight|full) .*", each) for each in more), more

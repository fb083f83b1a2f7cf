"""Long formulas broken into lines: no line too long, no term lost or cut, the number of omitted middle terms given."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from backprop_check.cases.files import suite_files
from backprop_check.cli import main
from backprop_check.explain.breaking import LONGEST, broken
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.layout import as_markdown, text_lines
from backprop_check.explain.making import Found
from backprop_check.explain.page import as_html


def terms(count: int) -> str:
    return " + ".join(f"weight[{n},0]·δ[{n},{n}]" for n in range(count))


def test_what_fits_stays_on_its_line() -> None:
    """A short sum stays on one line."""
    assert broken(terms(5)) == [terms(5)]


def test_a_long_sum_is_broken_between_its_terms() -> None:
    """Joined again the lines give the sum; each line after the first begins with a sign."""
    lines = broken(terms(18))
    assert len(lines) > 1
    assert " ".join(lines) == terms(18)
    assert all(line.startswith("+ weight") for line in lines[1:])
    assert max(map(len, lines)) <= 100


def test_a_very_long_sum_says_how_many_terms_are_left_out() -> None:
    """All terms are shown or counted, including those that were omitted before."""
    lines = broken(terms(60))
    assert len(lines) == 5
    (count,) = re.findall(r"^\+ … (\d+) more terms …$", lines[3])
    assert int(count) + sum(line.count("weight") for line in lines) == 60
    once = " + ".join([terms(30), "… (12 more)", terms(30)])
    (count,) = re.findall(r"… (\d+) more terms …", "\n".join(broken(once)))
    assert int(count) + sum(line.count("weight") for line in broken(once)) == 72


def test_parentheses_hold_together_unless_they_are_longer_than_a_line() -> None:
    """``−`` between numbers is no sign of a term; a product with a long sum in it is broken within."""
    product = f"(a + b)·({terms(12)})"
    assert " ".join(broken(product)) == product
    assert max(map(len, broken(product))) <= LONGEST
    short = " + ".join(["0.25·(1 − 0.125)"] * 12)
    assert all(line.count("(") == line.count(")") for line in broken(short))
    assert " ".join(broken(short)) == short


@pytest.mark.parametrize("name", ["lengths-unequal-both-directions", "cs231n-two-layer-half", "block-pre-gelu"])
def test_no_line_of_an_explanation_is_too_long(name: str) -> None:
    """In the terminal and in the formula blocks of Markdown and the page, for formulas with hundreds of terms."""
    suites = ("recurrent", "training", "attention")
    case = next(file.case for suite in suites for file in suite_files(suite) if file.case.name == name)
    explanation = explain_case(Found(case))
    told = list(text_lines(explanation))
    formulas = [line.text for line in told if line.text.startswith("      ")]
    assert len(formulas) > 100
    assert max(map(len, formulas)) < 200
    blocks = re.findall(r"```text\n(.*?)```", as_markdown(explanation), re.DOTALL)
    assert max(len(line) for block in blocks for line in block.splitlines()) < 200
    pages = re.findall(r"<pre>(.*?)</pre>", as_html(explanation), re.DOTALL)
    assert max(len(line) for block in pages for line in block.splitlines()) < 200


def test_a_bug_s_page_has_no_long_line() -> None:
    """The numbers of a convolution's bug: sums over windows and samples."""
    output = CliRunner().invoke(main, ["explain", "BP704"]).output
    assert max(map(len, output.splitlines())) < 200

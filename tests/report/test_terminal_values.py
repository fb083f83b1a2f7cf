"""The wrong values of a case in the terminal: no width cuts a number."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from backprop_check.cases.files import suite_files
from backprop_check.compare.compare import Mismatch
from backprop_check.report.terminal import print_values
from backprop_check.running.one_case import Result

WIDTHS = (60, 80, 100, 109, 110, 120, 200)

CASE = next(file.case for file in suite_files("published") if file.case.name.startswith("mazur-2x2x2"))

SHOWN = ("-0.00877135469", "-1.23456789e-300", "0.0015", "3.5e-16")


def printed(width: int, *mismatches: Mismatch) -> list[str]:
    result = Result(id="x", outcome="mismatched", mismatches=list(mismatches), mismatch_count=len(mismatches))
    out = io.StringIO()
    print_values(Console(file=out, width=width, no_color=True, highlight=False), CASE, result)
    return out.getvalue().splitlines()


def place(quantity: str, origin: str) -> Mismatch:
    return Mismatch(
        quantity=quantity, layer=0, neuron=0, sample=0, origin=origin,
        expected=-0.00877135469, actual=-1.23456789e-300, error=0.0015, allowed=3.5e-16,
    )  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_stands_complete(width: int) -> None:
    """Each number of every value is complete, in columns or in blocks."""
    lines = printed(width, place("delta", "root"), place("a", "inherited"), place("z", "unknown"))
    words = [word for line in lines for word in line.split()]
    for number in SHOWN:
        assert words.count(number) == 3, lines
    assert not any("…" in line for line in lines), lines
    assert all(len(line.rstrip()) <= width for line in lines), lines


@pytest.mark.parametrize("width", WIDTHS)
def test_below_110_columns_a_block_a_value(width: int) -> None:
    """Below 110 columns each value is a block with a name next to each number; from 110 on there are columns."""
    lines = printed(width, place("delta", "root"))
    if width < 110:
        assert lines == [
            "  first wrong value: delta, hidden1:0, sample 0",
            "    expected  -0.00877135469",
            "    got       -1.23456789e-300",
            "    error     0.0015",
            "    allowed   3.5e-16",
        ]
    else:
        assert lines[0].split() == ["quantity", "where", "expected", "got", "error", "allowed"]
        assert len(lines) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_what_no_width_holds_is_a_block(width: int) -> None:
    """A text of the port in place of a number makes the columns too wide for all but the widest console."""
    one = Mismatch(
        quantity="trajectory of the weight gradient, as reported here", layer=0, neuron=0, origin="root",
        problem="not_a_number", expected=-0.00877135469, actual="a text of the port that is as long as this one is",
    )  # fmt: skip
    lines = printed(width, one)
    assert any("-0.00877135469" in line.split() for line in lines), lines
    assert not any("…" in line for line in lines), lines
    assert (len(lines) == 2) == (width == 200), lines


def test_hints_have_no_numbers() -> None:
    """With --hints-only only the place is shown."""
    hidden = Mismatch(quantity="delta", layer=0, neuron=0, sample=0, origin="root")
    assert printed(80, hidden) == ["  first wrong value: delta, hidden1:0, sample 0"]

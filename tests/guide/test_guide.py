"""The guide: every number in it is the reference's, every picture is up to date, every chapter can be read."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from backprop_check.cli import main
from backprop_check.guide.book import Chapter, chapters
from backprop_check.guide.pictures import pictures
from backprop_check.guide.worked import CASES, words

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = resources.files("backprop_check.guide")
TABLE: dict[str, Any] = tomllib.loads((GUIDE / "numbers.toml").read_text(encoding="utf-8"))
CHAPTERS = chapters()
WORDS = words()

#: A number with a decimal point. Whole numbers count things: chapters, samples, digits.
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)")


def value_of(expression: str) -> float:
    return float(eval(expression, {"__builtins__": {}}, dict(WORDS)))  # noqa: S307 - our own file


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter.name for chapter in CHAPTERS])
def test_every_number_is_computed_by_the_reference(chapter: Chapter) -> None:
    """The numbers of the text, in their order, are those of the table, and each expression gives its number."""
    rows = TABLE[chapter.name]
    text = chapter.text
    found = list(NUMBER.finditer(text))
    assert [match.group() for match in found] == [shown.removeprefix("−") for shown, _ in rows]
    for match, (shown, expression) in zip(found, rows, strict=True):
        places = len(shown.partition(".")[2])
        assert f"{value_of(expression):.{places}f}".replace("-", "−") == shown, expression
        if shown.startswith("−"):
            assert text[match.start() - 1] == "−", (shown, expression)


def test_a_table_for_every_chapter_and_no_other() -> None:
    """The numbers of a chapter without a table would not be checked."""
    assert set(TABLE) == {chapter.name for chapter in CHAPTERS} | {"claims"}
    assert sum(len(rows) for name, rows in TABLE.items() if name != "claims") > 150


@pytest.mark.parametrize("claim", TABLE["claims"])
def test_what_is_said_without_a_number_is_true(claim: str) -> None:
    """Such as the number of digits of a numerical gradient check."""
    assert eval(claim, {"__builtins__": {}}, dict(WORDS)) is True  # noqa: S307 - our own file


def test_the_bugs_that_are_named_exist() -> None:
    """Every BP with three digits is in the catalogue; BP1 to BP4 are Nielsen's equations."""
    from backprop_check.diagnose.catalogue import find_bug  # noqa: PLC0415

    codes = {code for chapter in CHAPTERS for code in re.findall(r"BP\d{3}", chapter.text)}
    assert len(codes) > 12
    for code in codes:
        assert find_bug(code).code == code


def test_the_worked_network_is_the_published_one() -> None:
    """The guide shows what ``explain mazur-2x2x2`` prints."""
    from backprop_check.explain.making import find_case  # noqa: PLC0415

    published, ours = find_case("mazur-2x2x2").case, CASES["net"]
    assert [layer.parameters for layer in published.network.layers] == [
        layer.parameters for layer in ours.network.layers
    ]
    assert (published.inputs, published.targets) == (ours.inputs, ours.targets)
    assert CASES["fan"].network.layers[0].parameters.weights[0] == ours.network.layers[0].parameters.weights[0]


def test_the_pictures_are_those_of_the_script() -> None:
    """Byte for byte; every picture is used in a chapter, and every chapter's picture exists."""
    shown = {name for chapter in CHAPTERS for name in re.findall(r"\(pictures/([a-z-]+\.svg)\)", chapter.text)}
    drawn = pictures()
    assert shown == set(drawn)
    for name, text in drawn.items():
        assert GUIDE.joinpath("pictures", name).read_text(encoding="utf-8") == text, name


def guide(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["guide", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_chapters_by_number_and_by_name() -> None:
    """Each can be read in a terminal, and names the next one."""
    listed = guide()
    for number, chapter in enumerate(CHAPTERS, 1):
        output = guide(str(number))
        assert chapter.title in listed
        assert chapter.title in output
        assert "![" not in output
        assert (f"guide {number + 1}" in output) == (number < len(CHAPTERS))
    assert guide("softmax") == guide("8")
    assert "did you mean one-neuron" in guide("one-neurone", code=2)
    assert "chapters 1 to 14" in guide("99", code=2)


def test_the_page_is_whole_and_needs_nothing(tmp_path: Path) -> None:
    """One file with all chapters and pictures, no script, nothing fetched."""
    path = tmp_path / "guide.html"
    guide("--html", str(path))
    html = path.read_text(encoding="utf-8")
    assert html.count("<section") == len(CHAPTERS)
    assert html.count("<svg") == len(pictures())
    assert "PICTURE" not in html
    assert not re.search(r"<script|(?:src|href)=\"(?!#)", html)
    assert "default-src 'none'" in html

"""cases/training: the files are up to date, their digits are right, and three witnesses agree on them."""

from __future__ import annotations

import pytest
from case_writing import CASES, case_file
from test_published import test_expected_values_are_those_of_reference_torch_and_mpmath as check_witnesses
from test_published import test_published_digits as check_digits
from training_cases import files

from backprop_check.cases.files import CaseFile, suite_files

FILES = suite_files("training")
each_file = pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])


def test_the_files_are_those_that_are_made() -> None:
    """``python tests/making/training_cases.py`` after a change."""
    made = {one.name: (one, about) for one, about in files()}
    assert sorted(made) == [file.case.name for file in FILES]
    for file in FILES:
        one, about = made[file.case.name]
        assert (file.case.id, file.case.request()) == (one.id, one.request())
        assert (file.title, file.published) == (about["title"], about.get("published", {}))
        assert file.expected["id"] == one.id
    assert sorted(path.stem for path in (CASES / "training").glob("*.json")) == sorted(made)


def test_a_file_is_written_as_it_stands() -> None:
    """To the byte, for one whose numbers all have few digits."""
    one, about = next(pair for pair in files() if pair[0].name == "hand-momentum")
    assert (CASES / "training" / "hand-momentum.json").read_bytes() == case_file(one, about)


@each_file
def test_digits_and_witnesses(file: CaseFile) -> None:
    """Every printed digit is right; reference, torch and mpmath give the committed values."""
    check_digits(file)
    check_witnesses(file)


def test_worked_examples_have_a_source() -> None:
    """Published examples name their source, and show digits."""
    worked = [file for file in FILES if file.source]
    assert len(worked) == 5
    assert all(file.published for file in worked)

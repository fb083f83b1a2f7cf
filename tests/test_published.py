"""The published examples: their digits, and full-precision values on which all three witnesses agree."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from helpers import at, flat

from backprop_check.cases.files import CaseFile, suite_files
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.numbers import Scalars
from backprop_check.protocol.messages import Reply
from backprop_check.witness.autograd import autograd_pass

FILES = suite_files("published")


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_published_digits(file: CaseFile) -> None:
    """Every digit that the source prints is the digit of the full-precision value."""
    for path, digits in file.published.items():
        values = flat(at(file.expected, path))
        printed = flat(digits)
        assert len(values) == len(printed), path
        for value, shown in zip(values, printed, strict=True):
            if shown is not None:
                places = len(repr(shown).partition(".")[2])
                assert abs(value - shown) <= 1.001 * 10.0**-places, (path, value, shown)


@pytest.mark.parametrize("file", FILES, ids=[file.case.name for file in FILES])
def test_expected_values_are_those_of_reference_torch_and_mpmath(file: CaseFile) -> None:
    """The committed values pass as a reply, and are within the bounds of torch and of 50 digits."""
    expected = expect(file.case)
    comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(file.expected), type=Reply))
    assert comparison.mismatches == []
    assert len(comparison.actual) >= 5 * len(file.case.network.layers)
    truth = textbook_pass(file.case, Scalars.of_mpmath()).values
    torch_values = autograd_pass(file.case).values
    for slot, got in comparison.actual.items():
        for witness in (truth[slot], torch_values[slot]):
            error = np.asarray(abs(got - witness), dtype=float)
            assert (error <= expected.allowed[slot]).all(), slot

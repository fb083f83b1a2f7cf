"""Where no formula gives the numbers, the cause says which places are wrong, and which are correct."""

from __future__ import annotations

import pytest
from matrix_port import port

from backprop_check import check

#: Mistakes that depend on nothing in scope, each in some places only; and what must be said.
SOME_PLACES = {
    "all samples but the first": (
        "E * slope(Z) * np.where(np.arange(len(A))[:, None] == 0, 1, 1.01 + 0.1 * np.sin(Z))",
        "correct in the first sample",
    ),
    "where z is negative": (
        "E * slope(Z) * np.where(Z > 0, 1, 1.01 + 0.1 * np.sin(Z))",
        "wrong in neurons with negative z, correct in neurons with positive z",
    ),
}


@pytest.mark.parametrize("name", SOME_PLACES)
def test_places_are_told_apart(name: str) -> None:
    """By one feature, which every wrong number has and no correct one."""
    line, told = SOME_PLACES[name]
    results = check(port({"hidden delta": line, "output delta": line}), suites=["generated"], cases=60)
    (cause,) = [each for each in results.causes if each.title == "no name fits"]
    assert told in cause.sentence


def test_nothing_is_said_where_wrong_numbers_have_nothing_in_common() -> None:
    """Every second neuron: no feature of the list separates these."""
    line = "E * slope(Z) * (1 + 0.013 * np.sin(Z) * (np.arange(A.shape[1]) % 2))"
    results = check(port({"hidden delta": line, "output delta": line}), suites=["generated"], cases=60)
    (cause,) = [each for each in results.causes if each.title == "no name fits"]
    assert "Where, and where not: delta" not in cause.sentence

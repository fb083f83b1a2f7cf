"""Given numbers: arrays that are read like nested lists, with how far they may be off."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest

from backprop_check.case.network import Case
from backprop_check.cases.families import family_case
from backprop_check.cases.generate import generated_case
from backprop_check.compare.expected import expect
from backprop_check.errors import CaseError
from backprop_check.kinds.given import GivenNumbers, encoded, plain
from backprop_check.numbers import Scalars
from backprop_check.reference import run_pass
from backprop_check.running.witness_cache import Entry

ROWS = [[1.5, -2.0, 0.0], [4.0, 5.25, 6.0]]


def test_it_is_read_like_nested_lists() -> None:
    """Rows, numbers, slices and lengths; a number is a float."""
    given = GivenNumbers(ROWS)
    assert (len(given), given.shape, given[1][2], type(given[1][2])) == (2, (2, 3), 6.0, float)
    assert [list(row) for row in given] == ROWS
    assert given[1:].tolist() == ROWS[1:]
    assert given[[1, 0]].tolist() == ROWS[::-1]
    assert given == GivenNumbers(tuple(map(tuple, ROWS)))
    assert hash(given) == hash(GivenNumbers(np.array(ROWS)))
    assert given != GivenNumbers(ROWS[::-1])
    assert GivenNumbers([0.0]) == GivenNumbers([-0.0])


def test_nobody_can_change_it() -> None:
    """Witnesses share the array."""
    array = np.array(ROWS)
    given = GivenNumbers(array)
    array[0, 0] = 9.0
    assert given[0][0] == 1.5
    with pytest.raises(ValueError, match="read-only"):
        given.values[0, 0] = 1.0


@pytest.mark.parametrize("numbers", [ROWS, [1, 2.5, 3], [[1, 2], [3, 4]], [], [[]], [-0.0, 5e-324, 2**70]])
def test_it_is_written_as_it_came(numbers: Any) -> None:
    """Whole numbers too: the id of a case is a hash of what is written."""
    assert msgspec.json.encode(GivenNumbers(numbers).tolist()) == msgspec.json.encode(numbers)
    assert pickle.loads(pickle.dumps(GivenNumbers(numbers))) == GivenNumbers(numbers)  # noqa: S301 - our own


@pytest.mark.parametrize("numbers", [[[1.0], [2.0, 3.0]], [True], ["1"], [None], 5, "x", [1.0, [2.0]], [10**400]])
def test_what_is_no_array_is_kept_to_be_told(numbers: Any) -> None:
    """Rows of several lengths, truth values, texts: the layer says where and what."""
    assert GivenNumbers(numbers).other == numbers
    body = generated_case(3).to_dict()
    with pytest.raises(CaseError) as error:
        Case.from_dict({**body, "inputs": numbers})
    assert error.value.path.startswith("$.inputs")


def first_parameters(body: Any) -> Any:
    """The parameters of the first layer that has any."""
    return next((layer["parameters"] for layer in body["network"]["layers"] if layer.get("parameters")), {})


def off(case: Case, radius: float) -> Case:
    """The case with parameters of its first layer that may be off by ``radius``."""
    body = case.to_dict()
    parameters = first_parameters(body)
    for name, numbers in parameters.items():
        parameters[name] = {"values": numbers, "radius": np.full(np.shape(numbers), radius).tolist()}
    return Case.from_dict(body)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("family", ["dense", "convolution", "recurrent", "attention"])
def test_bounds_admit_every_network_within_the_radius(family: str, number: int) -> None:
    """Numbers that a program printed with few digits: whatever it computed with, its values are within the bounds."""
    exact = generated_case(number) if family == "dense" else family_case(family, number, 0)
    radius = 1e-7  # far below what moves a maximum or a kink
    case = off(exact, radius)
    expected = expect(case)
    random = np.random.default_rng(number)
    body = exact.to_dict()
    parameters = first_parameters(body)
    for name, numbers in parameters.items():
        moved = np.array(numbers) + radius * random.choice([-1.0, 1.0], np.shape(numbers))
        parameters[name] = moved.tolist()
    other = expect(Case.from_dict(body))
    moved_some = False
    for slot, values in other.values.items():
        if slot.step:
            continue  # a later step has its bounds given what was reported before it
        assert (abs(values - expected.values[slot]) <= expected.allowed[slot]).all(), slot
        moved_some |= bool((values != expected.values[slot]).any())
    assert moved_some or not parameters


def test_the_radius_goes_everywhere_but_to_the_port() -> None:
    """To workers, into files and back; a port is asked for numbers, as ever."""
    exact = generated_case(3)
    case = off(exact, 0.5)
    again = Case.from_dict(case.to_dict())
    assert again == case != exact
    assert Entry.of(case).read_case() == case
    assert msgspec.json.decode(encoded(case)) == msgspec.json.decode(msgspec.json.encode(plain(case)))
    assert {**msgspec.json.decode(case.request()), "id": ""} == {**msgspec.json.decode(exact.request()), "id": ""}
    assert run_pass(case, Scalars.of_floats())[0].loss == run_pass(exact, Scalars.of_floats())[0].loss
    weights = case.network.layers[0].parameters.weights
    assert not any(part.exact for part in (weights, weights[0], weights[:, [0]], GivenNumbers.of([weights[0]])))
    assert not case.rounded("float32").network.layers[0].parameters.weights.exact

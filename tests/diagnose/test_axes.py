"""The reading with an axis for every loop: the same numbers as lanes and as one neuron at a time."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backprop_check.cases.generate import generated_case
from backprop_check.diagnose.catalogue import all_variants
from backprop_check.expected import expect
from backprop_check.network import Case
from backprop_check.numbers import UNIT_ROUNDOFF, Scalars
from backprop_check.numbers.axes import AxisLanes
from backprop_check.reference import Stages, run_pass
from backprop_check.trace import AXES, Slot, slots_of

if TYPE_CHECKING:
    from collections.abc import Iterator

U = UNIT_ROUNDOFF["float64"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_right_stages_as_in_lanes(dtype: str) -> None:
    """100 generated cases: the values are within both bounds, and the bounds are of one size."""
    for number in range(100):
        case = generated_case(number, seed=31).rounded(dtype)
        expected = expect(case, dtype)
        with np.errstate(all="ignore"):
            passes = run_pass(case, AxisLanes(UNIT_ROUNDOFF[dtype]))
        found = dict(slots_of(passes))
        assert set(found) == set(expected.values)
        for slot, number_of in found.items():
            lanes: Any = number_of
            right, allowed = expected.values[slot], expected.allowed[slot]
            value = np.reshape(lanes.value, right.shape)
            bounds = np.broadcast_to(np.reshape(lanes.error, -1), right.size)
            error = np.reshape(bounds, right.shape)
            assert (abs(value - right) <= allowed).all(), (case.id, slot)
            assert (error <= 4 * allowed).all(), (case.id, slot)
            assert (allowed <= 4 * error + 16 * U * abs(right) + 1e-290).all() or dtype != "float64", (case.id, slot)


def table() -> tuple[AxisLanes, Any]:
    m = AxisLanes(U)
    return m, m.given_grid([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (0, 2, 3.0),
        (-1, 0, 4.0),
        (-1, -2, 5.0),
        ("each", 1, [2.0, 5.0]),
        ("each", -1, [3.0, 6.0]),
        (1, "each", [4.0, 5.0, 6.0]),
        (-2, "each", [1.0, 2.0, 3.0]),
    ],
)
def test_cells_by_int_and_by_loop(row: Any, column: Any, expected: Any) -> None:
    """A number for a number and an axis for a loop, from the front and from the end."""
    m, grid = table()
    (loop,) = m.each(3 if column == "each" else 2)
    lane = grid[loop if row == "each" else row, loop if column == "each" else column]
    assert np.ravel(lane.value).tolist() == np.ravel(expected).tolist()
    assert lane.value.shape[loop.axis] == np.size(expected)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (("each", slice(None)), [6.0, 15.0]),
        (("each", slice(None, -1)), [3.0, 9.0]),
        (("each", slice(1, None)), [5.0, 11.0]),
        ((slice(None), "each"), [5.0, 7.0, 9.0]),
        ((slice(None, -1), "each"), [1.0, 2.0, 3.0]),
        ((0, slice(None)), [6.0]),
        ((slice(None), -1), [9.0]),
    ],
)
def test_slices_are_summed_over(at: tuple[Any, Any], expected: list[float]) -> None:
    """What a slice gives is a vector: ``sum`` and ``dot`` run along it, whatever stands beside it."""
    m, grid = table()
    (loop,) = m.each(3 if at[1] == "each" else 2)
    row, column = (loop if each == "each" else each for each in at)
    vector = grid[row, column]
    assert np.ravel(m.sum(vector).value).tolist() == expected
    squares = m.dot(vector, vector)
    assert (np.ravel(squares.value) >= np.square(expected) / vector.value.shape[-1]).all()
    assert np.ravel(m.max(vector).value).tolist() == np.ravel(vector.value.max(axis=-1)).tolist()


def test_nested_loops_each_have_an_axis() -> None:
    """Three loops deep, every index finds its own place, and an inner loop may be left and entered again."""
    m, grid = table()
    out = m.grid(2, 3)
    for s in m.each(2):
        for j in m.each(3):
            total = 0.0 * grid[s, j]
            for k in m.each(2):
                total = total + 10.0 * grid[s, j] + grid[0, j]
                assert (s.axis, j.axis, k.axis) == (0, 1, 2)
            out[s, j] = total
        for j in m.each(3):
            out[s, j] = out[s, j] - 1.0
    assert out.value.tolist() == [[10.0, 21.0, 32.0], [40.0, 51.0, 62.0]]


def test_loops_in_the_other_order_are_turned() -> None:
    """A table filled with the columns' loop outside has its rows and columns where they belong."""
    m, grid = table()
    out = m.grid(2, 3)
    for j in m.each(3):
        for s in m.each(2):
            out[s, j] = 2.0 * grid[s, j]
    assert out.value.tolist() == [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]


def test_parts_of_tables_and_lists_are_filled() -> None:
    """A column, a row, a cell, an entry of a list: only that part changes, errors with it."""
    m, grid = table()
    for s in m.each(2):
        grid[s, -1] = m.exp(0.0 * grid[s, 0])
    assert grid.value.tolist() == [[1.0, 2.0, 1.0], [4.0, 5.0, 1.0]]
    assert (grid.error[:, :2] == 0).all()
    assert (grid.error[:, 2] > 0).all()
    for i in m.each(3):
        grid[0, i] = 7.0 * grid[1, i]
    assert grid.value.tolist() == [[28.0, 35.0, 7.0], [4.0, 5.0, 1.0]]
    line = m.given_line([1.0, 2.0, 3.0])
    line[-1] = line[0] + line[1]
    assert line.value.tolist() == [1.0, 2.0, 3.0]
    line[0] = 9.0
    assert line.value.tolist() == [9.0, 2.0, 3.0]
    assert m.sum(line[1:]).value.tolist() == [[[[5.0]]]]


def test_rearranged() -> None:
    """Cells from elsewhere: a transposed table, one row for all, with the errors of where they came from."""
    m, grid = table()
    turned = m.rearranged(grid, 3, 2, lambda r, c: (c, r))
    assert turned.value.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    for s in m.each(2):
        grid[s, 0] = m.exp(grid[s, 0])
    first = m.rearranged(grid, 2, 3, lambda r, c: (0 * r, c))
    assert first.value[1].tolist() == grid.value[0].tolist()
    assert first.error.tolist() == [grid.error[0].tolist()] * 2
    assert Scalars.of_floats().rearranged(
        Scalars.of_floats().given_grid([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 3, 2, lambda r, c: (c, r)
    ).rows == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
@pytest.mark.parametrize("units", [1, 2, 3])
def test_choose_is_what_it_is_one_neuron_at_a_time(units: int, wanted: int) -> None:
    """``then`` for the wanted index; for no index at all where a layer has no such neuron."""
    plain = Scalars.of_floats()
    one_by_one = [plain.choose(j, wanted, 10.0 + j, 20.0 + j) for j in plain.each(units)]
    m = AxisLanes(U)
    then, otherwise = m.given_line([10.0 + j for j in range(units)]), m.given_line([20.0 + j for j in range(units)])
    (j,) = m.each(units)
    assert np.ravel(m.choose(j, wanted, then[j], otherwise[j]).value).tolist() == one_by_one


# Every variant of the catalogue -----------------------------------------------------------------


class Remembers:
    """What every stage has shown, by slot."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.shown: dict[Slot, Any] = {}
        self.blind = False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        before, self.blind = self.blind, True
        try:
            yield
        finally:
            self.blind = before

    def seen(self, quantity: str, layer: int | None, step: int, value: Any, *, last: bool = False) -> Any:  # noqa: ARG002
        if not self.blind:
            self.shown[Slot(quantity, layer, step)] = value
        return value


class Plain(Remembers, Scalars):
    """One neuron at a time."""


class Axes(Remembers, AxisLanes):
    """All at once."""


def small(name: str, body: dict[str, Any]) -> Case:
    return Case.from_dict({"name": name, "reduction": "mean", **body})


def dense(units: int, inputs: int, activation: str, shift: float) -> dict[str, Any]:
    weights = [[round(0.9 * math.sin(2.3 * j + 1.7 * i + shift), 3) for i in range(inputs)] for j in range(units)]
    biases = [round(0.4 * math.cos(1.1 * j + shift), 3) for j in range(units)]
    made = {"kind": "dense", "units": units, "activation": activation}
    more = {"alpha": 0.2} if activation == "leaky_relu" else {}
    return {**made, **more, "parameters": {"weights": weights, "biases": biases}}


CASES = [
    small(
        "classes",
        {
            "network": {
                "inputs": 3,
                "layers": [
                    dense(3, 3, "tanh", 0.3),
                    dense(2, 3, "leaky_relu", 1.0),
                    dense(3, 2, "softmax", 2.0),
                ],
            },
            "loss": {"kind": "cross_entropy"},
            "inputs": [[0.4, -0.7, 0.9], [0.1, 0.8, -0.3], [-0.6, 0.2, 0.5]],
            "targets": [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.25, 0.5]],
            "optimizer": {"kind": "sgd", "learning_rate": 0.3},
            "steps": 2,
        },
    ),
    small(
        "signs",
        {
            "network": {
                "inputs": 2,
                "layers": [dense(3, 2, "relu", 0.7), dense(3, 3, "gelu", 1.9), dense(2, 3, "sigmoid", 0.1)],
            },
            "loss": {"kind": "binary_cross_entropy"},
            "reduction": "sum",
            "inputs": [[0.9, -0.4], [0.3, 0.7]],
            "targets": [[0.0, 1.0], [0.3, 0.6]],
        },
    ),
    small(
        "curves",
        {
            "network": {
                "inputs": 2,
                "layers": [dense(2, 2, "softplus", 0.2), dense(2, 2, "log_softmax", 1.4), dense(2, 2, "elu", 2.2)],
            },
            "loss": {"kind": "huber", "threshold": 0.25},
            "inputs": [[0.5, -0.25], [-0.8, 0.35]],
            "targets": [[0.1, -0.9], [0.6, 0.05]],
            "optimizer": {"kind": "sgd", "learning_rate": 0.5},
        },
    ),
]


def plain(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(value.tolist() if hasattr(value, "tolist") else value, dtype=float)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_variant_is_the_same_one_neuron_at_a_time(case: Case) -> None:
    """Each named bug's stages mean for one neuron of one sample what they mean for all at once."""
    unlike, compared = [], 0
    for bug, variant in [(None, None), *all_variants()]:
        stages: Any = Stages if variant is None else variant.stages
        if variant is not None and not variant.stages.matters(case):
            continue
        label = "right" if bug is None or variant is None else f"{bug.code} {variant.label}"
        one, many = Plain(float, math), Axes(U)
        try:
            run_pass(case, one, stages)
        except (ValueError, OverflowError, ZeroDivisionError):
            continue  # the module math raises where numpy gives NaN
        with np.errstate(all="ignore"):
            run_pass(case, many, stages)
        assert set(one.shown) == set(many.shown), label
        for slot, value in one.shown.items():
            x = plain(value)
            y = np.reshape(many.shown[slot].value, x.shape) if AXES[slot.quantity] else plain(many.shown[slot].value)
            compared += 1
            if not np.allclose(x, np.reshape(y, x.shape), rtol=1e-9, atol=1e-12, equal_nan=True):
                unlike.append(f"{label}: {slot}")
                break
    assert not unlike, "\n".join(unlike)
    assert compared > 4000

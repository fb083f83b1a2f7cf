"""PReLU: a kind that consists of one file in ``kinds`` and one in ``witness``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backprop_check import check
from backprop_check.case.network import Case
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.errors import CaseError
from backprop_check.kinds import KINDS
from backprop_check.numbers import Scalars
from backprop_check.running.one_case import witnesses


def case(weight: list[float], x: list[Any], **more: Any) -> Case:
    """One layer, half the squared error against 0."""
    shape = list(np.shape(x))
    layer = {"kind": "prelu", "parameters": {"weight": weight}, **more}
    return Case.from_dict(
        {
            "name": "prelu",
            "network": {"inputs": shape if len(shape) > 1 else shape[0], "layers": [layer]},
            "loss": {"kind": "half_squared_error"},
            "reduction": "sum",
            "inputs": [x],
            "targets": [np.zeros(shape).tolist()],
        }
    )


def test_by_hand() -> None:
    """x = [2, −4], w = ¼: a = [2, −1]; ∂L/∂a = a; ∂L/∂w = −4 · −1 = 4; ∂L/∂x = [2, −1 · ¼]."""
    found = {slot.quantity: array.tolist() for slot, array in witnesses(case([0.25], [2.0, -4.0])).values.items()}
    assert found["a"] == [[2.0, -1.0]]
    assert found["weight_gradient"] == [4.0]
    assert found["input_gradient"] == [[2.0, -0.25]]


def test_a_slope_a_channel() -> None:
    """Each channel's slope is learned from its own positions."""
    found = witnesses(case([0.5, -0.25], [[1.0, -2.0, -4.0], [-8.0, 1.0, -1.0]]))
    gradients = next(array for slot, array in found.values.items() if slot.quantity == "weight_gradient")
    assert gradients.tolist() == [-2 * -1 + -4 * -2, -8 * 2 + -1 * 0.25]


def cases(count: int = 100) -> list[Case]:
    """Generated as for every kind, before a dense layer of tanh."""
    from backprop_check.cases.clear import ANY_LAYERS, is_clear  # noqa: PLC0415
    from backprop_check.cases.draw import Draw, dense  # noqa: PLC0415

    found: list[Case] = []
    for number in range(10 * count):
        draw = Draw(f"prelu:{number}")
        shape = KINDS["prelu"].draw_inputs(draw)
        made = Case.from_dict(
            {
                "name": f"prelu-{number}",
                "network": {
                    "inputs": list(shape),
                    "layers": [
                        KINDS["prelu"].draw(draw, shape, 2),
                        dense(draw, int(np.prod(shape)), 2, "tanh"),
                    ],
                },
                "loss": {"kind": "mean_squared_error"},
                "reduction": "mean",
                "inputs": [KINDS["prelu"].draw_sample(draw, shape) for _ in range(2)],
                "targets": [[0.25, -0.5], [0.75, 0.5]],
                "optimizer": {"kind": "sgd", "learning_rate": 0.1},
            }
        )
        if is_clear(made, ANY_LAYERS):
            found.append(made)
        if len(found) == count:
            break
    return found


CASES = cases()


def prelu(case: dict[str, Any], dtype: Any = np.float64, mistake: str = "") -> dict[str, Any]:
    """PReLU and a dense layer of tanh, in NumPy."""
    first, last = case["network"]["layers"]
    x, t = np.array(case["inputs"], dtype), np.array(case["targets"], dtype)
    w = np.array(first["parameters"]["weight"], dtype)
    slopes = w.reshape(-1, *[1] * (x.ndim - 2)) if len(w) > 1 else w
    a = np.where(x > 0, x, slopes * x)
    rows = a.reshape(len(x), -1)
    weights, biases = (np.array(last["parameters"][name], dtype) for name in ("weights", "biases"))
    out = np.tanh(rows @ weights.T + biases)
    delta = dtype(2) * (out - t) / dtype(out.shape[1] * len(x)) * (1 - out * out)
    error = (delta @ weights).reshape(x.shape)
    towards = error * np.where(x > 0, 0, x) if mistake != "whole" else error * x
    kept = tuple(axis for axis in range(x.ndim) if axis != 1) if len(w) > 1 else None
    gradient = np.atleast_1d(towards.sum(axis=kept))
    rate = dtype(case["optimizer"]["learning_rate"])
    return {
        "layers": [
            {"a": a, "delta": error, "gradients": {"weight": gradient}, "updated": {"weight": w - rate * gradient}},
            {"a": out, "delta": delta, "gradients": {"weights": delta.T @ rows, "biases": delta.sum(axis=0)}},
        ]
    }


SUPPORTS = {"layers": ["dense", "prelu"], "optimizers": ["sgd"]}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_one_passes(dtype: str) -> None:
    """Written independently in NumPy, in both dtypes."""

    def right(case: dict[str, Any]) -> dict[str, Any]:
        return prelu(case, getattr(np, dtype))

    right.supports, right.dtype = SUPPORTS, dtype  # type: ignore[attr-defined]
    results = check(right, cases=CASES)
    assert (results.summary.counts["passed"], results.summary.cases) == (len(CASES), len(CASES))


def test_a_wrong_one_does_not() -> None:
    """The slope's gradient also sums over the positive side: that gradient is the only root."""

    def wrong(case: dict[str, Any]) -> dict[str, Any]:
        return prelu(case, mistake="whole")

    wrong.supports = SUPPORTS  # type: ignore[attr-defined]
    results = check(wrong, cases=CASES)
    assert results.summary.failed > 80
    for each in results.cases:
        if each.outcome == "mismatched":
            assert {(one.quantity, one.layer) for one in each.mismatches if one.origin == "root"} == {
                ("weight_gradient", 0)
            }


def test_bounds_hold() -> None:
    """Against 40 digits."""
    for each in CASES[:30]:
        expected, truth = expect(each), textbook_pass(each, Scalars.of_mpmath(40))
        for slot, array in expected.values.items():
            assert (abs(array - truth.values[slot].astype(float)) <= expected.allowed[slot]).all(), slot


def test_what_does_not_fit_is_said() -> None:
    """The number of slopes must be the number of channels, or one."""
    with pytest.raises(CaseError, match=r"parameters\.weight: expected 1 number, or 3 \(one a channel\), got 2"):
        case([0.1, 0.2], [1.0, 2.0, 3.0])
    with pytest.raises(CaseError, match="parameters: expected weight, got bias"):
        Case.from_dict(
            {
                **case([0.1], [1.0]).to_dict(),
                "network": {"inputs": 1, "layers": [{"kind": "prelu", "parameters": {"bias": [1.0]}}]},
            }
        )

"""Level 5: no false alarm in 2,000 cases, and a two-layer LSTM of 32 units over 16 steps judged within 2 seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from measure import largest_share
from sizes import CASES

sys.path.insert(0, str(Path(__file__).parents[1] / "levels"))
import numpy_recurrent as recurrent

from backprop_check.case.network import Case
from backprop_check.cases.families import family_cases
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import textbook_pass
from backprop_check.numbers import Scalars
from backprop_check.protocol import CallableImplementation
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import judge, witnesses

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"

#: 2,000 with BACKPROP_CHECK_FULL=1.
COUNT = min(CASES, 2000)


def implementations(dtype: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[Any], Any]]:
    monkeypatch.syspath_prepend(str(PORTS / "torch"))
    import torch  # noqa: PLC0415 - heavy
    import torch_layers  # type: ignore[import-not-found]  # noqa: PLC0415 - a port is found by its folder

    monkeypatch.setattr(torch_layers, "DTYPE", getattr(torch, dtype))
    return {"torch": torch_layers.backprop, "numpy": recurrent.backprop("", np.dtype(dtype).type)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_false_alarm(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's modules and numpy in closed form: every value within its bound, in every case."""
    worst = {"torch": (0.0, ""), "numpy": (0.0, "")}
    inner = dict(worst)  # without the updates, whose last rounding alone may use up the whole bound
    able = implementations(dtype, monkeypatch)
    activations, losses = set(recurrent.SUPPORTS["activations"]), set(recurrent.SUPPORTS["losses"])
    for case in family_cases("recurrent", COUNT, seed=5):
        rounded = case.rounded(dtype)
        expected, request = witnesses(rounded, dtype), msgspec.json.decode(rounded.request(dtype))
        for name, function in able.items():
            known = {layer.activation for layer in case.network.layers} <= activations and case.loss.kind in losses
            if name == "numpy" and not known:
                continue
            comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(function(request)), type=Reply))
            assert comparison.count == 0, (name, case.id, comparison.mismatches[0])
            share, slot = largest_share(expected, dict(comparison.actual))
            worst[name] = max(worst[name], (share, f"{case.id} {slot}"))
            rest = {each: value for each, value in comparison.actual.items() if "updated" not in each.quantity}
            share, slot = largest_share(expected, rest)
            inner[name] = max(inner[name], (share, f"{case.id} {slot}"))
    for name, (share, where) in worst.items():
        print(f"{dtype} {name}: {share:.3f} of its bound ({where}), without updates {inner[name]}")  # noqa: T201


def test_bounds_hold_against_mpmath() -> None:
    """Every tenth case, with 40 digits."""
    worst = 0.0
    for case in list(family_cases("recurrent", COUNT, seed=5))[::10]:
        expected = witnesses(case)
        truth = textbook_pass(case, Scalars.of_mpmath(40)).values
        for slot, exact in truth.items():
            error = np.asarray(abs(expected.values[slot] - exact), dtype=float)
            worst = max(worst, float((error / expected.allowed[slot]).max()))
    print(f"float64 reference against 40 digits: {worst:.3f} of its bound")  # noqa: T201
    assert worst <= 1


def big(hidden: int = 32, steps: int = 16, samples: int = 4) -> Case:
    """Two layers of an LSTM."""
    random = np.random.default_rng(1)

    def numbers(*shape: int) -> Any:
        return random.uniform(-0.3, 0.3, shape).round(3).tolist()

    parameters = {}
    for layer in range(2):
        for name in ("weight_ih", "weight_hh"):
            parameters[f"{name}_l{layer}"] = numbers(4 * hidden, hidden)
        for name in ("bias_ih", "bias_hh"):
            parameters[f"{name}_l{layer}"] = numbers(4 * hidden)
    return Case.from_dict(
        {
            "name": "lstm-2x32-16",
            "network": {
                "inputs": [steps, hidden],
                "layers": [{"kind": "lstm", "hidden_size": hidden, "num_layers": 2, "parameters": parameters}],
            },
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": numbers(samples, steps, hidden),
            "targets": numbers(samples, steps, hidden),
        }
    )


def test_a_two_layer_lstm_is_judged_in_two_seconds() -> None:
    """32 units, 16 steps, a batch of 4: both witnesses and the comparison, without the implementation's own time."""
    case, implementation = big(), recurrent.backprop()
    reply = implementation(msgspec.json.decode(case.request()))

    def answer(_case: Any) -> dict[str, Any]:
        return reply

    answer.supports = recurrent.SUPPORTS  # type: ignore[attr-defined]
    port = CallableImplementation(answer)
    witnesses(next(family_cases("recurrent", 1)))  # imports happen only once
    begin = time.process_time()
    (judged,) = judge([case], port)
    took = time.process_time() - begin
    print(f"2x32 LSTM over 16 steps, batch 4: {took:.2f} s")  # noqa: T201
    assert getattr(judged, "result", judged).outcome == "passed"
    assert took <= 2.0

"""Attention: no false alarm in 2,000 cases, how large the errors are relative to the bounds, how fast a block is
judged.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "levels"))
sys.path.insert(0, str(Path(__file__).parents[2] / "backprop_check" / "ports" / "torch"))

import numpy_attention as attention

from backprop_check.case.network import Case
from backprop_check.cases.families import family_case
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.kinds.kind import nested, size
from backprop_check.kinds.transformer import all_shapes
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import witnesses

pytestmark = pytest.mark.slow

#: This many cases must pass.
COUNT = 2000


def replies(case: dict[str, Any], dtype: str) -> dict[str, Any]:
    """PyTorch's modules and the numpy implementation, both in that dtype."""
    import torch  # noqa: PLC0415
    import torch_layers  # type: ignore[import-not-found]  # noqa: PLC0415

    torch_layers.DTYPE = getattr(torch, dtype)
    return {"torch": torch_layers.backprop(case), "numpy": attention.implementation("", dtype)(case)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_false_alarm(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two correct implementations with no code in common, over all generated cases."""
    worst = dict.fromkeys(("torch", "numpy"), 0.0)
    wrong = []
    for index in range(COUNT):
        case = family_case("attention", index).rounded(dtype)
        expected = expect(case, dtype)
        for name, raw in replies(msgspec.json.decode(case.request(dtype)), dtype).items():
            comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(raw), type=Reply))
            if comparison.count:
                wrong.append((name, case.id, comparison.mismatches[0]))
            for slot, got in comparison.actual.items():
                share = float(np.max(abs(got - expected.values[slot]) / expected.allowed[slot]))
                worst[name] = max(worst[name], share)
    with capsys.disabled():
        print(f"\n{dtype}: {COUNT} cases, largest share of a bound: {worst}")  # noqa: T201
    assert wrong == []


def block(*, norm_first: bool) -> Case:
    """A block of width 32, of 4 heads and 64 hidden units, over 16 tokens, and a softmax at every token; batch 4."""
    draw = random.Random(7)  # noqa: S311 - not for secrets

    def array(shape: tuple[int, ...], deviation: float, mean: float = 0.0) -> Any:
        return nested([round(draw.gauss(mean, deviation), 4) for _ in range(size(shape))], shape)

    parameters = {}
    for name, shape in all_shapes(32, 64).items():
        scaled = 1.0 if name.startswith("norm") and name.endswith("weight") else 0.0
        parameters[name] = array(shape, 0.1 if len(shape) == 1 else shape[1] ** -0.5, scaled)
    layers = [
        {"kind": "transformer_block", "nhead": 4, "dim_feedforward": 64, "activation": "relu",
         "norm_first": norm_first, "parameters": parameters},
        {"kind": "linear", "out_features": 5, "activation": "softmax",
         "parameters": {"weight": array((5, 32), 0.2), "bias": array((5,), 0.1)}},
    ]  # fmt: skip
    targets = [[[float(k == draw.randrange(5)) for k in range(5)] for _ in range(16)] for _ in range(4)]
    return Case.from_dict(
        {
            "name": "block-32",
            "network": {"inputs": [16, 32], "layers": layers},
            "loss": {"kind": "cross_entropy"},
            "reduction": "mean",
            "inputs": [array((16, 32), 1.0) for _ in range(4)],
            "targets": targets,
        }
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_block_is_judged_in_two_seconds(norm_first: bool, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    """Both witnesses and the comparison."""
    case = block(norm_first=norm_first)
    reply = attention.implementation()(msgspec.json.decode(case.request()))
    decoded = msgspec.json.decode(msgspec.json.encode(reply), type=Reply)
    seconds = []
    for _ in range(4):  # the first run builds the wiring and warms up torch
        start = time.perf_counter()
        comparison = compare(witnesses(case), decoded)
        seconds.append(time.perf_counter() - start)
    with capsys.disabled():
        where = "first" if norm_first else "last"
        print(f"\na block of width 32, norms {where}: {[round(each, 2) for each in seconds]} s")  # noqa: T201
    assert comparison.count == 0
    assert min(seconds) < 2.0

"""Level 4 in numbers: 2,000 cases without a false alarm, the share of bugs named, a LeNet-5 judged within 2 seconds.

``BACKPROP_CHECK_FULL=1 pytest tests/benchmarks/test_bench_convolution.py -s`` prints the figures.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from backprop_check.api import check
from backprop_check.case.network import Case
from backprop_check.cases.families import family_case
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.diagnose.blame import blame
from backprop_check.protocol.messages import Reply
from backprop_check.running.one_case import witnesses

TESTS = Path(__file__).parents[1]
for folder in (TESTS / "levels", TESTS.parent / "backprop_check" / "ports" / "torch"):
    sys.path.insert(0, str(folder))
# ruff: noqa: E402, T201 - after the folders; the figures are printed
from numpy_convolution import plain, run
from test_convolution import PLANTED

pytestmark = pytest.mark.slow

FULL = os.environ.get("BACKPROP_CHECK_FULL") == "1"
CASES = 2000 if FULL else 100


def _share(expected: Any, actual: Any) -> tuple[float, float]:
    """The largest error/bound of all values, and of all values but the updates."""
    whole = inner = 0.0
    for slot, array in actual.items():
        share = float(np.max(abs(array - expected.values[slot]) / expected.allowed[slot]))
        whole = max(whole, share)
        inner = inner if slot.quantity.startswith("updated") else max(inner, share)
    return whole, inner


def _torch() -> tuple[Any, Any]:
    """PyTorch and its modules as an implementation, imported only where they are needed."""
    return importlib.import_module("torch"), importlib.import_module("torch_layers")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_raises_no_false_alarm(dtype: str) -> None:
    """PyTorch's own modules, in float32 and float64 arithmetic of their own."""
    torch, torch_layers = _torch()
    before, torch_layers.DTYPE = torch_layers.DTYPE, getattr(torch, dtype)
    worst = inner = 0.0
    started = time.perf_counter()
    try:
        for index in range(CASES):
            case = family_case("convolution", index, seed=5).rounded(dtype)
            expected = witnesses(case, dtype)
            raw = torch_layers.backprop(msgspec.json.decode(case.request(dtype)))
            comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(raw), type=Reply))
            assert comparison.mismatches == [], case.id
            one, two = _share(expected, comparison.actual)
            worst, inner = max(worst, one), max(inner, two)
    finally:
        torch_layers.DTYPE = before
    each = (time.perf_counter() - started) / CASES
    print(f"torch {dtype}: 0 findings in {CASES} cases, {worst:.3f} of a bound at most ({inner:.3f} without updates), "
          f"{1000 * each:.1f} ms a case")  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_numpy_raises_no_false_alarm(dtype: type) -> None:
    """An independent implementation."""
    worst = inner = 0.0
    supported = plain(dtype=dtype).supports["losses"]
    judged = 0
    for index in range(CASES):
        case = family_case("convolution", index, seed=6).rounded(dtype.__name__)
        known = all(layer.activation in plain().supports["activations"] for layer in case.network.layers)
        if case.loss.kind not in supported or not known:
            continue
        judged += 1
        expected = expect(case, dtype.__name__)
        raw = run(msgspec.json.decode(case.request(dtype.__name__)), dtype=dtype)
        comparison = compare(expected, msgspec.json.decode(msgspec.json.encode(raw), type=Reply))
        assert comparison.mismatches == [], case.id
        one, two = _share(expected, comparison.actual)
        worst, inner = max(worst, one), max(inner, two)
    assert judged > CASES // 10
    print(f"numpy {dtype.__name__}: 0 findings in {judged} cases, {worst:.3f} of a bound at most "
          f"({inner:.3f} without updates)")  # fmt: skip


@pytest.mark.parametrize("full", [True, False], ids=["all that there is", "gradients alone"])
def test_bugs_are_caught_and_named(full: bool) -> None:  # noqa: FBT001
    """How many of the planted bugs are named, with full reports and with gradients alone."""
    caught = named = wrong = 0
    for code, mistake, layers in PLANTED if FULL else PLANTED[::6]:
        kinds = layers if full else sorted({*layers, "conv1d", "conv2d", "upsample"})
        results = check(plain(mistake, kinds, full=full), suites=["convolution"], cases=400 if FULL else 120)
        codes = [cause.code for cause in results.causes]
        caught += bool(results.failed)
        named += codes == [code]
        wrong += any(each not in (code, None) for each in codes)
        if codes != [code]:
            print(f"  {code} {mistake}: {codes}, {len(results.failed)} cases fail")
    count = len(PLANTED if FULL else PLANTED[::6])
    print(f"{'full' if full else 'gradients'}: {caught} of {count} caught, {named} named, {wrong} wrong names")
    assert wrong == 0
    assert named >= 0.9 * count


def lenet(batch: int = 4) -> dict[str, Any]:
    """LeNet-5: 28 by 28, two convolutions with pooling, three dense layers; 61,706 parameters."""
    draw = random.Random(1)  # noqa: S311

    def array(*shape: int) -> Any:
        return [array(*shape[1:]) for _ in range(shape[0])] if shape else round(draw.uniform(-0.2, 0.2), 3)

    def conv(out: int, depth: int, padding: int) -> dict[str, Any]:
        parameters = {"weight": array(out, depth, 5, 5), "bias": array(out)}
        return {"kind": "conv2d", "out_channels": out, "kernel_size": [5, 5], "padding": [padding] * 2,
                "activation": "tanh", "parameters": parameters}  # fmt: skip

    def dense(units: int, inputs: int, activation: str) -> dict[str, Any]:
        parameters = {"weights": array(units, inputs), "biases": array(units)}
        return {"kind": "dense", "units": units, "activation": activation, "parameters": parameters}

    pool = {"kind": "max_pool2d", "kernel_size": [2, 2]}
    layers = [conv(6, 1, 2), pool, conv(16, 6, 0), pool, dense(120, 400, "tanh"), dense(84, 120, "tanh"),
              dense(10, 84, "softmax")]  # fmt: skip
    return {
        "name": "lenet-5",
        "network": {"inputs": [1, 28, 28], "layers": layers},
        "loss": {"kind": "cross_entropy"},
        "reduction": "mean",
        "inputs": [array(1, 28, 28) for _ in range(batch)],
        "targets": [[float(k == s) for k in range(10)] for s in range(batch)],
        "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    }


def test_a_lenet_is_judged_within_two_seconds() -> None:
    """Both witnesses, the comparison and the blame for a reply whose second convolution is wrong."""
    torch, torch_layers = _torch()
    raw = lenet()
    before, torch_layers.DTYPE = torch_layers.DTYPE, torch.float64
    reply = torch_layers.backprop(msgspec.json.decode(Case.from_dict(raw).request()))
    torch_layers.DTYPE = before
    for channel in reply["layers"][2]["gradients"]["weight"]:
        channel[0][0][0] *= 1.5
    text = msgspec.json.encode(reply)
    best = 9.0
    for _ in range(3):
        clock, started = time.thread_time(), time.perf_counter()
        case = Case.from_dict(raw)
        expected = witnesses(case)
        comparison = compare(expected, msgspec.json.decode(text, type=Reply))
        blamed = blame(case, expected, comparison.actual, comparison.mismatches, "float64", "textbook")
        wall, own = time.perf_counter() - started, time.thread_time() - clock
        best = min(best, own)
    assert {(each.quantity, each.layer) for each in blamed if each.origin == "root"} == {("weight_gradient", 2)}
    print(f"LeNet-5, 28x28, batch 4: judged in {best:.2f} s of a core (the last: {wall:.2f} s on the clock)")
    assert best < 2.0

"""Speed: every figure is a ratio of two times measured alternately, the best of several runs of each.

``BACKPROP_CHECK_FULL=1 pytest tests/benchmarks/test_bench_speed.py -s`` measures at full size and prints the
figures; by default the sizes are small and the limits generous where a busy machine could disturb them.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil
import pytest
import torch
from sizes import FULL
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom
from variants import Style, backprop

from backprop_check.case.network import Case
from backprop_check.cases.generate import generated_case, generated_cases
from backprop_check.protocol import CallableImplementation
from backprop_check.protocol.parsing import parse_line
from backprop_check.running.one_case import judge, witnesses
from backprop_check.witness.autograd import autograd_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = pytest.mark.slow

#: The factor by which a busy machine may slow a small measurement; the full one gets no such allowance.
SLACK = 1.0 if FULL else 2.0


def best(run: Callable[[], object], times: int = 5) -> float:
    """The shortest of several runs, in processor seconds of this process and its children, however busy the
    machine is.
    """
    seconds = []
    for _ in range(times):
        start = _spent()
        run()
        seconds.append(_spent() - start)
    return min(seconds)


def _spent() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Torch on one thread: a second one only waits on networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _ready(cases: Iterable[Case]) -> CallableImplementation:
    """An implementation that takes no time: its replies are computed beforehand."""
    replies = {
        case.id: backprop(msgspec.json.decode(case.request()), Style(), np.random.default_rng(0)) for case in cases
    }
    return CallableImplementation(lambda request: replies[request["id"]], name="ready")


def _judged(cases: Iterable[Case], implementation: CallableImplementation) -> int:
    outcomes = [result.outcome for result in judge(cases, implementation)]
    assert set(outcomes) == {"passed"}
    return len(outcomes)


def _gradcheck(*cases: Case) -> None:
    """PyTorch's own check of the same networks: autograd against finite differences, in float64."""
    for case in cases:
        _gradcheck_of(case)


def _gradcheck_of(case: Case) -> None:
    from backprop_check.witness.activation import activate, losses  # noqa: PLC0415 - the same work for both

    parameters = [
        torch.tensor(rows, dtype=torch.float64, requires_grad=True)
        for layer in case.network.layers
        for rows in (layer.parameters.weights, layer.parameters.biases)
    ]
    x, t = (torch.tensor(rows, dtype=torch.float64) for rows in (case.inputs, case.targets))
    parameters.append(x.requires_grad_())  # judging looks at ∂L/∂input too

    def network(*ps: torch.Tensor) -> torch.Tensor:
        a = z = ps[-1]
        for index, layer in enumerate(case.network.layers):
            z = F.linear(a, ps[2 * index], ps[2 * index + 1])
            a = activate(layer, z)
        each = losses(case, z, a, t)
        return each.mean() if case.reduction == "mean" else each.sum()

    assert torch.autograd.gradcheck(network, parameters, eps=1e-6, atol=1e-4, rtol=1e-3)


def _dense(*widths: int, batch: int, activation: str = "tanh", output: str = "softmax") -> Case:
    """A network of these widths with a batch, for cross-entropy."""
    draw = random.Random(0).uniform  # noqa: S311 - not for secrets

    def table(rows: int, columns: int) -> list[list[float]]:
        return [[round(draw(-0.1, 0.1), 6) for _ in range(columns)] for _ in range(rows)]

    layers = [
        {
            "kind": "dense",
            "units": units,
            "activation": output if position == len(widths) - 2 else activation,
            "parameters": {"weights": table(units, inputs), "biases": table(1, units)[0]},
        }
        for position, (inputs, units) in enumerate(itertools.pairwise(widths))
    ]
    hot = [[1.0 if k == s % widths[-1] else 0.0 for k in range(widths[-1])] for s in range(batch)]
    return Case.from_dict(
        {
            "name": "wide",
            "network": {"inputs": widths[0], "layers": layers},
            "loss": {"kind": "cross_entropy"},
            "reduction": "mean",
            "inputs": table(batch, widths[0]),
            "targets": hot,
        }
    )


def test_judging_generated_cases_against_gradcheck() -> None:
    """In-process, a fraction of gradcheck's time on the same networks, though they have only 27 parameters each.

    gradcheck needs two forward passes per parameter, judging a fixed number: the ratio grows with the network.
    """
    cases = list(generated_cases(200 if FULL else 40, seed=2))
    implementation = _ready(cases)
    _judged(cases, implementation)
    ours = best(lambda: _judged(cases, implementation))
    theirs = best(lambda: _gradcheck(*cases), 2)
    print(f"judging {len(cases)} generated cases: 1/{theirs / ours:.1f} of gradcheck")  # noqa: T201
    assert ours <= theirs / 3 * SLACK


def test_judging_a_larger_network_against_gradcheck() -> None:
    """A 64-32-10 network, 2,410 parameters, takes at most 1/100 of gradcheck's time."""
    case = _dense(64, 32, 10, batch=8)
    implementation = _ready([case])
    ours = best(lambda: _judged([case], implementation), 9)
    theirs = best(lambda: _gradcheck(case), 1)
    print(f"judging a 64-32-10 network: 1/{theirs / ours:.0f} of gradcheck")  # noqa: T201
    assert ours <= theirs / 100 * SLACK


def test_witnesses_at_the_median_size() -> None:
    """Reference with bounds, torch and their comparison: at most 1 ms for a case of the generator's median size."""
    cases = list(generated_cases(200, seed=2))

    def size(case: Case) -> int:
        numbers = sum(layer.units * (len(layer.parameters.weights[0]) + 1) for layer in case.network.layers)
        return numbers + len(case.inputs) * sum(layer.units for layer in case.network.layers)

    sizes = sorted(map(size, cases))
    middle = [case for case in cases if sizes[80] <= size(case) <= sizes[120]]
    each = best(lambda: [witnesses(case) for case in middle], 9) / len(middle)
    torch_alone = best(lambda: [autograd_pass(case) for case in middle], 9) / len(middle)
    text = f"median size {statistics.median(sizes)} numbers: witnesses {each * 1e3:.2f} ms a case"
    print(f"{text}, of which torch {torch_alone * 1e3:.2f} ms ({each / torch_alone:.1f} times)")  # noqa: T201
    assert each <= 1e-3 * SLACK


def test_a_wide_network() -> None:
    """784-128-10, batch of 32: at most 4 times torch's forward and backward plus coding of the two messages."""
    case = _dense(784, 128, 10, batch=32)
    request = case.request()
    reply = backprop(msgspec.json.decode(request), Style(), np.random.default_rng(0))
    listed = {
        "id": case.id,
        "loss": float(reply["loss"]),
        "layers": [
            {
                key: {name: part.tolist() for name, part in value.items()} if key == "gradients" else value.tolist()
                for key, value in layer.items()
            }
            for layer in reply["layers"]
        ],
        "input_gradients": reply["input_gradients"].tolist(),
    }
    line, decoded = msgspec.json.encode(listed), msgspec.json.decode(request)
    weights = [
        torch.tensor(rows, dtype=torch.float64, requires_grad=True)
        for layer in case.network.layers
        for rows in (layer.parameters.weights, layer.parameters.biases)
    ]
    x, t = (torch.tensor(rows, dtype=torch.float64) for rows in (case.inputs, case.targets))

    def torch_pass() -> None:
        a = torch.tanh(F.linear(x, weights[0], weights[1]))
        torch.autograd.grad(F.cross_entropy(F.linear(a, weights[2], weights[3]), t), weights)

    def coding() -> None:
        msgspec.json.encode(decoded)
        msgspec.json.decode(request)
        msgspec.json.encode(listed)
        msgspec.json.decode(line)

    class Replies:
        """Returns the bytes of a reply, as a port would, in no time."""

        hello = CallableImplementation(lambda request: request).hello

        def exchange(self, requests: Any, *, keep_running: bool = False) -> Any:  # noqa: ARG002
            from backprop_check.protocol import Answer  # noqa: PLC0415

            for name, _ in requests:
                message: Any = parse_line(line)
                yield Answer(name, "reply", message.reply)

    base = best(torch_pass, 9) + best(coding, 9)
    replies: Any = Replies()
    ours = best(lambda: _judged([case], replies), 9)
    print(f"784-128-10, batch 32: {ours * 1e3:.0f} ms, torch and coding {base * 1e3:.0f} ms: {ours / base:.2f}")  # noqa: T201
    assert ours <= 4 * base * SLACK


def test_time_and_memory_do_not_grow_with_the_number_of_cases() -> None:
    """A case late in a long run takes the time and the memory of one at its start."""
    few, many = (1_000, 20_000) if FULL else (100, 500)
    implementation = CallableImplementation(
        lambda request: backprop(request, Style(), np.random.default_rng(0)), name="library"
    )
    process, start = psutil.Process(), time.process_time()
    if not FULL:
        tracemalloc.start()
    memory: dict[int, int] = {}
    seconds: list[float] = []
    for count, result in enumerate(judge(generated_cases(many, seed=3), implementation), 1):
        assert result.outcome == "passed"
        if count % few == 0:
            gc.collect()
            memory[count] = process.memory_info().rss if FULL else tracemalloc.get_traced_memory()[0]
            now = time.process_time()
            seconds.append(now - start)
            start = time.process_time()
    tracemalloc.stop()
    growth = memory[many] - memory[few]
    first, last = seconds[0], min(seconds[-3:])
    text = f"{few} to {many} cases: memory {memory[few] / 1e6:.1f} MB, then {growth / 1e6:+.2f} MB"
    print(f"{text}; time a case at the end / at the beginning {last / first:.2f}")  # noqa: T201
    assert growth <= (8_000_000 if FULL else 500_000)
    assert last <= 1.5 * first


def test_help_is_quick() -> None:
    """``backprop-check --help`` in at most 0.15 s, and without importing heavy packages."""
    script = "import sys; from backprop_check.cli import main; sys.argv[1:] = ['--help']; main()"

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    ours, python = best(lambda: run(script), 9), best(lambda: run("pass"), 9)
    print(f"--help {ours:.3f} s, python -c pass {python:.3f} s: {ours / python:.1f} times")  # noqa: T201
    assert ours <= 0.15 * SLACK
    heavy = (
        "import sys; import backprop_check.cli; sys.exit(any(m in sys.modules for m in ('numpy', 'torch', 'jinja2')))"
    )
    run(heavy)


def test_a_single_case_is_made_quickly() -> None:
    """Case 19,999 needs none of the cases before it."""
    first, late = best(lambda: generated_case(1), 9), best(lambda: generated_case(19_999), 9)
    assert late <= 20 * first

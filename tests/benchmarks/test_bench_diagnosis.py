"""What the diagnosis costs as a share of the run, and how small its smallest networks are.

``BACKPROP_CHECK_FULL=1 python -m pytest -q -s tests/benchmarks/test_bench_diagnosis.py`` prints the figures.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from backprop_check.cases.plan import select_cases
from backprop_check.protocol import Opening, open_implementation
from backprop_check.running.judging import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "meta"))

from planted import PLANTED
from planting import write
from running import command_of

pytestmark = pytest.mark.slow

FULL = bool(os.environ.get("BACKPROP_CHECK_FULL"))

#: Bugs of one stage that a network of three neurons can show, one of each family.
SINGLE = ["BP101", "BP102", "BP107", "BP108", "BP114", "BP201", "BP301", "BP401", "BP501", "BP504"]
SINGLE = SINGLE if FULL else SINGLE[1:7:2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one thread: otherwise threads waiting for each other would be measured."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("code", SINGLE)
def test_diagnosis_costs_no_more_than_the_run_and_ends_with_three_neurons(code: str, tmp_path: Path) -> None:
    """The bug is named in at most the time of judging 200 cases, and shown by at most three neurons."""
    planted = next(bug for bug in PLANTED if bug.id.startswith(code) and "+" not in bug.id)
    program = write(planted, tmp_path)
    with open_implementation(command_of(program)) as implementation:
        run = Run(implementation)
        begun = time.process_time()
        for _ in run.judge(select_cases()):
            pass
        judging = time.process_time() - begun
        begun = time.process_time()
        conclusion = run.conclude()
        diagnosing = time.process_time() - begun
        assert [cause.code for cause in conclusion.causes if cause.code] == [code]
        smallest = run.smallest(conclusion.causes[0])
    assert smallest is not None
    neurons = sum(layer.units for layer in smallest.network.layers)
    print(  # noqa: T201 - the figures
        f"{code}: diagnosis {diagnosing / judging:.2f} of the run; smallest network {smallest.network.shape()}"
    )
    assert diagnosing <= judging
    assert neurons <= 3


def test_a_run_without_failures_pays_nothing(tmp_path: Path) -> None:
    """Where nothing fails, the work at the end is a few more cases, however many cases the run had."""
    port = Path(__file__).parents[2] / "backprop_check" / "ports" / "python" / "port.py"
    with open_implementation(f'"{sys.executable}" "{port}"', Opening(cwd=tmp_path)) as implementation:
        run = Run(implementation)
        begun = time.process_time()
        for _ in run.judge(select_cases()):
            pass
        judging = time.process_time() - begun
        begun = time.process_time()
        assert run.diagnostician.causes() == []
        print(f"diagnosis of nothing: {(time.process_time() - begun) / judging:.5f} of the run")  # noqa: T201
        assert time.process_time() - begun < 0.001 * judging

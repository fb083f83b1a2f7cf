"""Time and memory compared with an earlier commit, both measured alternately in one run, on one machine.

    python tests/benchmarks/against.py COMMIT [TASK ...]

The earlier commit is checked out into a temporary folder; both run on this interpreter and its packages. Each runs
every task several times, in a process of its own; the best time counts. Printed are both times, their ratio, and the
peak memory of the process. Tasks: ``generated-cold`` and ``generated-warm`` (200 cases of the suite, judged with
answers that are read from a file, without and with cached witnesses), ``mnist`` (784-128-10, batch 32), ``lstm`` (64
units, 32 steps, batch 8), ``block-64`` and ``block-128`` (a transformer block of that width over 32 tokens, batch 4).
The last four time the witnesses of one case; the column ``torch`` is the second witness's share of it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TASKS = ("generated-cold", "generated-warm", "mnist", "lstm", "block-64", "block-128")
ROUNDS = 2


def numbers(seed: int, *shape: int) -> Any:
    """Nested lists of small numbers."""
    draw = random.Random(seed)  # noqa: S311 - weights, no secrets

    def made(rest: tuple[int, ...]) -> Any:
        return round(draw.gauss(0, 0.3), 4) if not rest else [made(rest[1:]) for _ in range(rest[0])]

    return made(shape)


def dense(units: int, inputs: int, activation: str) -> dict[str, Any]:
    """A dense layer."""
    parameters = {"weights": numbers(units, units, inputs), "biases": numbers(inputs, units)}
    return {"kind": "dense", "units": units, "activation": activation, "parameters": parameters}


def mnist() -> dict[str, Any]:
    """784-128-10, batch 32."""
    return case(784, [dense(128, 784, "relu"), dense(10, 128, "softmax")], 32, "cross_entropy", 10)


def lstm() -> dict[str, Any]:
    """64 units, 32 steps of 16 features, batch 8."""
    shapes = {"weight_ih_l0": (256, 16), "weight_hh_l0": (256, 64), "bias_ih_l0": (256,), "bias_hh_l0": (256,)}
    parameters = {name: numbers(at, *shape) for at, (name, shape) in enumerate(shapes.items())}
    layer = {"kind": "lstm", "hidden_size": 64, "return_sequences": False, "parameters": parameters}
    return case([32, 16], [layer, dense(4, 64, "identity")], 8, "squared_error", 4)


def block(width: int) -> dict[str, Any]:
    """A transformer block over 32 tokens, batch 4."""
    shapes = {
        "self_attn.in_proj_weight": (3 * width, width),
        "self_attn.in_proj_bias": (3 * width,),
        "self_attn.out_proj.weight": (width, width),
        "self_attn.out_proj.bias": (width,),
        "linear1.weight": (4 * width, width),
        "linear1.bias": (4 * width,),
        "linear2.weight": (width, 4 * width),
        "linear2.bias": (width,),
        **{f"norm{n}.{name}": (width,) for n in (1, 2) for name in ("weight", "bias")},
    }
    parameters = {name: numbers(at, *shape) for at, (name, shape) in enumerate(shapes.items())}
    layer = {"kind": "transformer_block", "nhead": 4, "dim_feedforward": 4 * width, "activation": "gelu"}
    return case([32, width], [{**layer, "parameters": parameters}], 4, "squared_error", [32, width])


def case(inputs: Any, layers: list[Any], samples: int, loss: str, targets: Any) -> dict[str, Any]:
    """A case of one step."""
    shape = [inputs] if isinstance(inputs, int) else inputs
    wanted = [targets] if isinstance(targets, int) else targets
    given = numbers(5, samples, *wanted)
    if loss == "cross_entropy":
        given = [[float(at == sample % targets) for at in range(targets)] for sample in range(samples)]
    return {
        "network": {"inputs": inputs, "layers": layers},
        "loss": {"kind": loss},
        "reduction": "mean",
        "inputs": numbers(7, samples, *shape),
        "targets": given,
    }


def known(*places: str) -> Any:
    """The first of these names (``package.module:name``) that the measured commit has: modules have moved since
    then.
    """
    for place in places:
        module, _, name = place.partition(":")
        if importlib.util.find_spec(module.rpartition(".")[0]) and importlib.util.find_spec(module):
            return getattr(importlib.import_module(module), name)
    raise LookupError(places)


def one_case(body: dict[str, Any]) -> tuple[float, float]:
    """The seconds that both witnesses take together, and those of torch alone."""
    case_class = known("backprop_check.case.network:Case", "backprop_check.network:Case")
    witnesses = known("backprop_check.running.one_case:witnesses", "backprop_check.run:witnesses")
    of_torch = known("backprop_check.witness.autograd:autograd_pass", "backprop_check.oracle:autograd_pass")
    made = case_class.from_dict(body)
    witnesses(made)
    start = time.process_time()
    witnesses(made)
    both = time.process_time() - start
    start = time.process_time()
    of_torch(made)
    return both, time.process_time() - start


def suite(*, warm: bool) -> float:
    """The seconds of the command that judges 200 generated cases of the bundled Python port."""
    import backprop_check  # noqa: PLC0415

    package = Path(backprop_check.__file__).parent
    command = [sys.executable, "-c", "from backprop_check.cli import main; main()", "run"]
    command += [
        f"{sys.executable} {package / 'ports' / 'python' / 'port.py'}",
        "--suite",
        "generated",
        "--cases",
        "200",
    ]
    with tempfile.TemporaryDirectory() as cache:
        surroundings = {**os.environ, "XDG_CACHE_HOME": cache}
        for _ in range(1 + warm):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=surroundings, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(task: str) -> dict[str, float]:
    """Seconds of processor time, torch's share of them, and mebibytes of peak memory."""
    if task.startswith("generated"):
        return {"seconds": suite(warm=task.endswith("warm"))}
    bodies: dict[str, Callable[[], dict[str, Any]]] = {
        "mnist": mnist,
        "lstm": lstm,
        "block-64": lambda: block(64),
        "block-128": lambda: block(128),
    }
    seconds, torch = one_case(bodies[task]())
    return {"seconds": seconds, "torch": torch, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main(commit: str, tasks: list[str]) -> None:
    """Measure both commits alternately and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier"
        subprocess.run(["git", "worktree", "add", "--detach", "-q", earlier, commit], cwd=ROOT, check=True)
        try:
            for task in tasks or TASKS:
                report(task, {"earlier": earlier, "now": ROOT})
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", earlier], cwd=ROOT, check=True)


def report(task: str, roots: dict[str, Path]) -> None:
    """One line of the table."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in roots}
    for _ in range(ROUNDS):
        for name, root in roots.items():
            surroundings = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "--measure", task]
            done = subprocess.run(command, env=surroundings, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout))
    best = {name: {key: min(each[key] for each in runs) for key in runs[0]} for name, runs in found.items()}
    line = [f"{task:15}"]
    for key in best["now"]:
        before, after = best["earlier"][key], best["now"][key]
        line.append(f"{key} {before:.3f} -> {after:.3f} (x {after / before:.2f})")
    sys.stdout.write("  ".join(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        sys.stdout.write(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1], sys.argv[2:])

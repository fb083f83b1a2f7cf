"""A written port, run by the real command line, and what shows of its bug without the harness.

``differences`` compares the replies of the broken port with those of the right one, number by number: up to the bug
both do the same operations in the same order, so the first number that differs is the bug's place.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from click.testing import CliRunner
from planting import GRADIENTS_ONLY, Planted, write

from backprop_check.cases.plan import select_cases
from backprop_check.cases.within import LEVEL_1, supported
from backprop_check.cli import main
from backprop_check.protocol import Supports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.cases.within import Within

# Torch's threads waiting for each other cost more than such small networks do, most of all while other tests run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Json = dict[str, Any]

HELLO = b'{"type": "hello", "protocol": 1, "harness": "backprop-check"}'

#: A relative difference that no way of rounding explains, far above the bounds of the generated cases.
CLEAR = 1e-10


class Place(NamedTuple):
    """One number of a reply: ``slot`` counts the arrays in the order of computing."""

    slot: int
    layer: int | None
    quantity: str
    neuron: int | None
    sample: int | None


class Run(NamedTuple):
    """The result of a command: exit code, output and results file."""

    exit_code: int
    output: str
    results: Json

    @property
    def failed(self) -> list[Json]:
        """The cases with an outcome that makes a run fail."""
        fine = ("passed", "skipped", "not_applicable")
        return [case for case in self.results["cases"] if case["outcome"] not in fine]


def command_of(program: Path, *, gradients_only: bool = False) -> str:
    """The command line that starts a written port."""
    return f'"{sys.executable}" "{program}"' + (f" {GRADIENTS_ONLY}" if gradients_only else "")


def run_port(command: str, folder: Path, *options: str) -> Run:
    """``backprop-check run COMMAND`` with a results file."""
    results = folder / "results.json"
    with contextlib.chdir(folder):  # no configuration of the checkout; kept failures go there
        done = CliRunner().invoke(main, ["run", command, "--json", str(results), *options])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert results.exists(), done.output
    return Run(done.exit_code, done.output, json.loads(results.read_text(encoding="utf-8")))


def run_planted(
    planted: Planted | None,
    *,
    seed: int = 0,
    cases: int | None = None,
    gradients_only: bool = False,
    diagnosis: bool = True,
) -> Run:
    """Write the port with the bug (None: without) and judge it on the generated cases."""
    suite, options = (planted.suite, planted.options) if planted else ("generated", ())
    count = cases or (planted.cases if planted else 60)
    with tempfile.TemporaryDirectory() as name:
        program = write(planted, Path(name))
        command = command_of(program, gradients_only=gradients_only)
        chosen = ("--suite", suite, "--cases", str(count), "--seed", str(seed))
        return run_port(command, Path(name), *chosen, *options, *(() if diagnosis else ("--no-diagnosis",)))


# ---- the bug's place, without the harness --------------------------------------------------------


def within_of(planted: Planted | None) -> Within:
    """The claims of the written port: the generated cases stay within them."""
    files = {edit.file for edit in planted.edits} if planted is not None else set()
    if any(file.endswith(".dart") for file in files):
        return LEVEL_1
    return _claimed(planted if "port.py" in files else None)  # only an edit of port.py can change the claims


@functools.cache
def _claimed(planted: Planted | None) -> Within:
    with tempfile.TemporaryDirectory() as name:
        program = write(planted, Path(name))
        done = subprocess.run([sys.executable, str(program)], input=HELLO + b"\n", capture_output=True, check=True)
    hello = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{"))
    return supported(msgspec.convert(hello["supports"], Supports))


def requests(planted: Planted | None, suite: str, count: int, seed: int) -> list[bytes]:
    """The requests that a run sends."""
    return _requests(within_of(planted), suite, count, seed)


@functools.cache
def _requests(within: Within, suite: str, count: int, seed: int) -> list[bytes]:
    return [case.request() for case in select_cases([suite], count, seed, within)]


def replies(program: Path, lines: list[bytes], *, gradients_only: bool = False) -> list[Json]:
    """A port's answers, without the harness."""
    command = [sys.executable, str(program)] + ([GRADIENTS_ONLY] if gradients_only else [])
    text = b"\n".join([HELLO, *lines, b""])
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()[1:] if line.startswith(b"{")]


def right_replies(planted: Planted, count: int, seed: int, *, gradients_only: bool) -> list[Json]:
    """The answers of the port without a bug."""
    return _right_replies(within_of(planted), planted.suite, count, seed, gradients_only)


@functools.lru_cache(8)
def _right_replies(within: Within, suite: str, count: int, seed: int, gradients_only: bool) -> list[Json]:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as name:
        return replies(write(None, Path(name)), _requests(within, suite, count, seed), gradients_only=gradients_only)


def broken_replies(planted: Planted, count: int, seed: int, *, gradients_only: bool = False) -> list[Json]:
    """The answers of the port with the bug to the cases of a run, sent in the same order."""
    lines = requests(planted, planted.suite, count, seed)
    with tempfile.TemporaryDirectory() as name:
        program = write(planted, Path(name))
        return replies(program, lines, gradients_only=gradients_only)


def arrays(reply: Json) -> Iterator[tuple[int | None, str, Any]]:
    """Every array of a reply in the order of computing: layer, quantity, numbers (None where it is missing)."""
    layers = reply.get("layers", [])
    for index, layer in enumerate(layers):
        yield from ((index, quantity, layer.get(quantity)) for quantity in ("z", "a"))
    yield None, "loss", reply.get("loss")
    for index in reversed(range(len(layers))):
        gradients = layers[index].get("gradients") or {}
        yield index, "delta", layers[index].get("delta")
        yield index, "weight_gradient", gradients.get("weights")
        yield index, "bias_gradient", gradients.get("biases")
    yield None, "input_gradient", reply.get("input_gradients")
    for step in [*reply.get("trajectory", []), {"layers": layers}]:
        yield None, "loss", step.get("loss")
        for index, layer in enumerate(step["layers"]):
            updated = layer.get("updated") or {}
            yield index, "updated_weight", updated.get("weights")
            yield index, "updated_bias", updated.get("biases")


def numbers(value: Any, at: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Every number of nested lists with its indices."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from numbers(item, (*at, i))
    else:
        yield at, value


def differences(right: Json, broken: Json) -> Iterator[tuple[Place, bool]]:
    """Every number that differs in any bit, in the order of computing, and whether the difference is clear."""
    if "layers" not in broken:
        yield Place(-1, None, "reply", None, None), True
        return
    pairs = zip(arrays(right), arrays(broken), strict=False)
    for slot, ((layer, quantity, expected), (_, _, got)) in enumerate(pairs):
        if got is None and "gradient" not in quantity:
            continue
        if got is None and quantity == "input_gradient":
            continue
        wanted, found = dict(numbers(expected)), dict(numbers(got))
        if wanted.keys() != found.keys():
            yield Place(slot, layer, quantity, None, None), True
            continue
        scale = max((abs(x) for x in wanted.values() if isinstance(x, float)), default=0.0)
        for at, x in wanted.items():
            y = found[at]
            if x == y and type(x) is type(y):
                continue
            yield Place(slot, layer, quantity, *_neuron_and_sample(quantity, at)), _is_clear(x, y, scale)


def _is_clear(x: Any, y: Any, scale: float) -> bool:
    if not isinstance(x, float) or not isinstance(y, float) or not math.isfinite(y):
        return True
    return abs(x - y) > CLEAR * abs(x) + 1e-4 * CLEAR * scale


def _neuron_and_sample(quantity: str, at: tuple[int, ...]) -> tuple[int | None, int | None]:
    if quantity in ("z", "a", "delta"):
        return at[1], at[0]
    if quantity == "input_gradient":
        return None, at[0]
    return (at[0] if at else None), None


def can_be_seen(right: Json, broken: Json) -> bool:
    """Whether any number of the reply is clearly wrong."""
    return any(clear for _, clear in differences(right, broken))


def is_right_place(first_wrong: Json, right: Json, broken: Json) -> bool:
    """Whether the bug first shows here: at a number that differs, with no clear difference before it."""
    if first_wrong["neuron"] is None and first_wrong["quantity"] in ("weight_gradient", "bias_gradient"):
        at = (first_wrong["layer"], first_wrong["quantity"])  # a whole array is missing or has another shape
        return any(
            place.neuron is None and at == (place.layer, place.quantity) for place, _ in differences(right, broken)
        )
    if first_wrong["quantity"].startswith("kernel_gradient"):
        return "weights" not in (broken["layers"][0].get("gradients") or {})  # the array has another name
    keys = (first_wrong["layer"], first_wrong["quantity"], first_wrong["neuron"], first_wrong["sample"])
    for place, clear in differences(right, broken):
        if (place.layer, place.quantity, place.neuron, place.sample) == keys:
            return True
        if clear:
            return False
    return False

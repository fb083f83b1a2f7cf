"""Results files for the tests of the report: real ones, judged by the real judge, and large ones.

``judged`` returns what ``run`` writes as a parsed results file, with each failing case's network and reply.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.case.network import Case
from backprop_check.case.training import FEATURES, OPTIMIZERS
from backprop_check.cases.families import family_cases
from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_cases
from backprop_check.cases.training import RECIPES, training_cases
from backprop_check.compare.expected import expect
from backprop_check.compare.reply_form import as_reply
from backprop_check.kinds import KINDS
from backprop_check.protocol import CallableImplementation, open_implementation
from backprop_check.running.one_case import Settings, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backprop_check.protocol import Implementation

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\x1b[31mred\x1b[0m\u202egnp.exe \u2028 \ud800 'quote\" {{ 7*7 }}"

BP107 = {
    "code": "BP107",
    "bug": "weights-updated-too-early",
    "title": "weights updated too early",
    "sentence": "The error is sent back through weights that have already been updated.",
    "scope": "every hidden layer",
    "right": "δⱼ = Σₖ wₖⱼ δₖ · φ′(zⱼ)",
    "implemented": "δⱼ = Σₖ w⁺ₖⱼ δₖ · φ′(zⱼ)",
    "fix": "Work out the deltas of all layers first, and update the weights afterwards.",
}


def mazur_cases(count: int = 0) -> list[Case]:
    """Mazur's published cases, and some generated ones."""
    published = [file.case for file in suite_files("published") if file.case.name.startswith("mazur")]
    return [*published, *generated_cases(count)]


def judged(
    implementation: Implementation | Callable[[dict[str, Any]], Any],
    cases: Iterable[Case],
    name: str = "",
    cause: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The results file of a run, without the parts that differ between runs; ``cause`` explains all its mismatches."""
    opened = CallableImplementation(implementation, name=name) if callable(implementation) else implementation
    with opened:
        results = list(judge(cases, opened, Settings()))
    info = opened.describe()
    records = [{**msgspec.to_builtins(one), "seconds": 0.0} for one in results]
    explained = [one["id"] for one in records if one["outcome"] == "mismatched"]
    diagnoses = []
    if cause and explained:
        diagnoses = [{**cause, "cases": len(explained), "first_case": explained[0], "explains": explained}]
        for one in records:
            one["diagnosis"] = [cause["bug"]] if one["id"] in explained else []
    return {
        "schema": 1,
        "harness": {"version": "0.1.0", "argv": [], "seed": 0, "profile": "textbook", "kinks": "any"},
        "implementation": {
            "name": name or info.name, "language": info.language, "command": info.command, "dtype": info.dtype,
        },
        "summary": {"complete": True},
        "diagnoses": diagnoses,
        "notes": [],
        "cases": records,
    }  # fmt: skip


def mazur_results(count: int = 0) -> dict[str, Any]:
    """The results of the bundled port with Mazur's ending."""
    command = f'"{sys.executable}" "{PORTS / "mazur" / "port.py"}"'
    found = judged(open_implementation(command), mazur_cases(count), cause=BP107)
    found["implementation"].update(command="python3 backprop_check/ports/mazur/port.py", language="Python")
    return found


def right_reply(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a right implementation."""
    case = case_of(request)
    right = expect(case)
    reply = as_reply(right.values, len(case.network.layers), trajectory=False, form=right.form)
    return {"id": request["id"], **reply}


def case_of(request: dict[str, Any]) -> Case:
    """The case of a request."""
    return Case.from_dict({key: value for key, value in request.items() if key not in ("type", "id")})


def ascending(request: dict[str, Any]) -> dict[str, Any]:
    """Every gradient of the first layer's weights has the wrong sign."""
    reply = right_reply(request)
    gradients = reply["layers"][0]["gradients"]
    gradients["weights"] = [[-x for x in row] for row in gradients["weights"]]
    return reply


def without_slope(request: dict[str, Any]) -> dict[str, Any]:
    """δ of the first and last layer is four times too large: a sigmoid's φ′(0) = ¼ is missing."""
    reply = right_reply(request)
    reply["layers"][-1]["delta"] = [[x * 4.0 for x in row] for row in reply["layers"][-1]["delta"]]
    if len(reply["layers"]) > 1:
        reply["layers"][0]["delta"] = [[x * 4.0 for x in row] for row in reply["layers"][0]["delta"]]
    return reply


def half_kernel(request: dict[str, Any]) -> dict[str, Any]:
    """δ and the gradients of the first layer that is not dense are half of what they should be, and what follows
    from them.
    """
    reply, layers = right_reply(request), request["network"]["layers"]
    number = next(n for n, layer in enumerate(layers) if layer["kind"] != "dense")
    layer = reply["layers"][number]
    layer["delta"] = (np.array(layer["delta"]) / 2).tolist()
    if "gradients" in layer:
        layer["gradients"] = {name: (np.array(array) / 2).tolist() for name, array in layer["gradients"].items()}
    if number == 0:
        reply["input_gradients"] = (np.array(reply["input_gradients"]) / 2).tolist()
    return reply


half_kernel.supports = {  # type: ignore[attr-defined]
    "layers": ["dense", *(name for name, kind in KINDS.items() if kind.family == "convolution")],
    "features": ["graph"],
}


def convolution_results(count: int = 12) -> dict[str, Any]:
    """Convolutions whose δ is half of what it should be; one of them with a skip connection."""
    return judged(half_kernel, [skipping(), *family_cases("convolution", count)], name="convolution")


def skipping() -> Case:
    """An image through two convolutions with a skip connection that adds the first one's output."""
    r = random.Random(7)  # noqa: S311

    def numbers(*shape: int) -> Any:
        return [numbers(*shape[1:]) if len(shape) > 1 else round(r.uniform(-1, 1), 2) for _ in range(shape[0])]

    def convolution(name: str, channels: int, depth: int, **fields: Any) -> dict[str, Any]:
        parameters = {"weight": numbers(channels, depth, 3, 3), "bias": numbers(channels)}
        common = {"kind": "conv2d", "name": name, "out_channels": channels, "kernel_size": [3, 3]}
        return {**common, "padding": [1, 1], "activation": "tanh", "parameters": parameters, **fields}

    return Case.from_dict(
        {
            "name": "skipping",
            "network": {
                "inputs": [1, 5, 4],
                "layers": [
                    convolution("conv1", 2, 1),
                    convolution("conv2", 2, 2),
                    convolution("conv3", 3, 2, **{"from": ["conv1", "conv2"], "combine": "add"}),
                    {
                        "kind": "dense", "name": "output", "units": 2, "activation": "softmax",
                        "parameters": {"weights": numbers(2, 60), "biases": numbers(2)},
                    },
                ],
            },
            "loss": {"kind": "cross_entropy"},
            "reduction": "mean",
            "inputs": [numbers(1, 5, 4), numbers(1, 5, 4)],
            "targets": [[1.0, 0.0], [0.0, 1.0]],
            "optimizer": {"kind": "sgd", "learning_rate": 0.1},
        }
    )  # fmt: skip


def odd_results() -> dict[str, Any]:
    """Other kinds of failure: missing, of the wrong shape, not finite, loss, input gradients, an error, updates."""
    turn = iter(range(1000))

    def odd(request: dict[str, Any]) -> dict[str, Any]:
        reply, kind = right_reply(request), next(turn) % 6
        if kind == 0:
            reply["layers"][0]["gradients"].pop("biases")
        elif kind == 1:
            reply["layers"][-1]["delta"][0][0] = math.inf
        elif kind == 2:
            reply["layers"][0]["gradients"]["weights"] = [["x"]]
        elif kind == 3:
            reply["loss"] *= 2
            reply["input_gradients"] = [[x + 1 for x in row] for row in reply["input_gradients"]]
        elif kind == 4:
            return {"id": reply["id"], "error": "RangeError: index 2", "traceback": "at net.js:12"}
        elif "optimizer" in request:
            case = case_of(request)
            reply = {"id": reply["id"], **as_reply(expect(case).values, len(case.network.layers))}
            if "trajectory" in reply:
                reply["trajectory"][-1]["loss"] += 1
            else:
                reply["layers"][0]["updated"]["biases"][0] += 1
        return reply

    return judged(odd, generated_cases(36), name="odd")


def training_results() -> dict[str, Any]:
    """Every optimizer, where the first bias moves a hundredth too far in each step; all other numbers are right."""

    def astray(request: dict[str, Any]) -> dict[str, Any]:
        reply = {"id": request["id"], **as_reply(expect(case_of(request)).values, len(request["network"]["layers"]))}
        for step in (reply, *reply.get("trajectory", ())):
            if "updated" in step["layers"][0]:
                step["layers"][0]["updated"]["biases"][0] += 0.01
        return reply

    astray.hello = {"supports": {"optimizers": list(OPTIMIZERS), "features": list(FEATURES)}}  # type: ignore[attr-defined]
    return judged(astray, training_cases(2 * len(RECIPES)), name="astray")


def deep_results() -> dict[str, Any]:
    """The port with Mazur's ending on a network of twelve layers."""
    cases = [file.case for file in suite_files("edge") if file.case.name.startswith("deep-sigmoid")]
    return judged(open_implementation(f'"{sys.executable}" "{PORTS / "mazur" / "port.py"}"'), cases)


def hidden_results(dtype: str = "float64") -> dict[str, Any]:
    """Results with hints only: places, and no numbers."""
    found = judged(ascending, generated_cases(12), name="homework")
    for case in found["cases"]:
        case.pop("case", None)
        case.pop("actual", None)
        case["message"] = "a value is wrong" if case["outcome"] == "mismatched" else ""
        for one in case["mismatches"]:
            for key in ("expected", "actual", "error", "allowed"):
                one[key] = None
    found["implementation"]["dtype"] = dtype
    return found


def hostile_results() -> dict[str, Any]:
    """Every text is hostile."""
    found = judged(ascending, generated_cases(6), name="x", cause=BP107)
    found["implementation"].update(name=HOSTILE, language=HOSTILE, command=HOSTILE + "\nrm -rf x", version=HOSTILE)
    found["notes"] = [HOSTILE]
    found["diagnoses"][0].update(dict.fromkeys(("sentence", "right", "implemented", "fix", "scope"), HOSTILE))
    for case in found["cases"]:
        case["message"] = HOSTILE
        case["notes"] = [HOSTILE * 100]
        for number, layer in enumerate(case["case"]["network"]["layers"] if case.get("case") else ()):
            layer["name"] = f"{HOSTILE}{number}"
    extra = {"id": HOSTILE, "outcome": "crash", "message": HOSTILE, "notes": ["stderr: " + HOSTILE]}
    found["cases"].append(extra)
    return found


@functools.cache
def many_results(cases: int = 10_000, failing: int = 200) -> dict[str, Any]:
    """``failing`` real failures of generated cases among passing rows."""
    found = judged(without_slope, generated_cases(failing), name="many")
    records = found["cases"]
    passing = [
        {"id": f"mlp-3x4x2-sigmoid-s{n:04d}-{n:08x}", "outcome": "passed", "seconds": 0.001 * (n % 7),
         "values_checked": 95, "neurons_checked": 6}
        for n in range(failing, cases)
    ]  # fmt: skip
    found["cases"] = [*passing[: len(passing) // 2], *records, *passing[len(passing) // 2 :]]
    return found


def digits_results(widths: tuple[int, ...] = (784, 128, 10), batch: int = 32) -> dict[str, Any]:
    """A network for handwritten digits, three of its hidden neurons wrong."""
    r = random.Random(5)  # noqa: S311
    layers = [
        {"kind": "dense", "units": units, "activation": "relu" if n < len(widths) - 2 else "softmax",
         "parameters": {"weights": [[round(r.gauss(0, 0.06), 4) for _ in range(fan_in)] for _ in range(units)],
                        "biases": [round(r.gauss(0, 0.1), 3) for _ in range(units)]}}
        for n, (fan_in, units) in enumerate(itertools.pairwise(widths))
    ]  # fmt: skip
    case = Case.from_dict(
        {
            "name": "digits",
            "network": {"inputs": widths[0], "layers": layers},
            "loss": {"kind": "cross_entropy"},
            "reduction": "mean",
            "inputs": [[round(r.random(), 3) for _ in range(widths[0])] for _ in range(batch)],
            "targets": [[float(k == s % widths[-1]) for k in range(widths[-1])] for s in range(batch)],
        }
    )
    expected = expect(case)
    reply = as_reply(expected.values, 2)
    for neuron in (17, 90, 101):
        delta = np.array(reply["layers"][0]["delta"])
        delta[:, neuron] *= 2.0
        reply["layers"][0]["delta"] = delta.tolist()
        reply["layers"][0]["gradients"]["biases"][neuron] *= 2.0
    return judged(lambda _: reply, [case], name="digits")

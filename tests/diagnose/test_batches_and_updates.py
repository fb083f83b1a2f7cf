"""Mistakes in the loss, the batch and the update get the same name in a chain, in a graph and around a convolution.

The programs are the right ones in numpy of ``tests/levels``; around them is a training loop written for this test, as
somebody would write it, with a mistake.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "levels"))
from asking import judged, named
from numpy_convolution import plain
from numpy_graph import backprop

from backprop_check.case.network import Case
from backprop_check.cases.families import family_cases
from backprop_check.cases.generate import generated_cases
from backprop_check.cases.within import Within

if TYPE_CHECKING:
    from collections.abc import Callable

    Json = dict[str, Any]
    Arrays = list[dict[str, Any]]

#: How a program is made wrong, and the code that it must be given.
MISTAKES = {
    "targets rolled": "BP309",
    "loss halved": "BP310",
    "gradients summed for a mean": "BP401",
    "gradients averaged for a sum": "BP402",
    "gradients divided twice": "BP403",
    "last sample": "BP404",
    "first sample, whole": "BP405",
    "gradients kept": "BP406",
    "bias gradients kept": "BP406",
    "weights summed, biases averaged": "BP407",
    "online": "BP408",
    "online, all values reported on the way": "BP408",
    "uphill": "BP501",
    "biases stay": "BP504",
    "gradients taken late": "BP505",
    "everything taken late": "BP505",
    "first layer only": "BP519",
    "last layer only": "BP519",
    "parameters stay": "BP520",
    "one step only": "BP521",
}

#: The mistakes that are always tested; the others are thorough.
QUICK = {"graph": ("gradients kept", "online, all values reported on the way"), "convolution": ("last sample",)}


class Training:
    """Several steps of training around ``right``, a program for one pass without an update."""

    def __init__(self, right: Callable[[Json], Json], mistake: str, case: Json) -> None:
        self.right, self.mistake, self.case = right, mistake, case
        self.samples, self.mean = len(case["inputs"]), case["reduction"] == "mean"
        self.kept: Arrays = []
        if mistake == "targets rolled":
            case["targets"] = [[*row[-1:], *row[:-1]] for row in case["targets"]]

    def one(self, parameters: Arrays, s: int) -> Json:
        """The pass of one sample."""
        case = copy.deepcopy(self.case)
        del case["optimizer"]
        for layer, own in zip(case["network"]["layers"], parameters, strict=True):
            if own:
                layer["parameters"] = {name: array.tolist() for name, array in own.items()}
        case["inputs"], case["targets"] = case["inputs"][s : s + 1], case["targets"][s : s + 1]
        return self.right(case)

    def together(self, seen: list[Json]) -> Json:
        """The samples' passes, combined into one pass over the batch."""
        share = 1 / self.samples if self.mean else 1.0

        def rows(key: str, of: list[Json]) -> list[Any]:
            return [row for each in of for row in each[key]]

        layers: list[Json] = []
        for own in zip(*(each["layers"] for each in seen), strict=True):
            layer: Json = {key: rows(key, list(own)) for key in ("z", "a", "delta") if key in own[0]}
            layer["delta"] = (share * np.array(layer["delta"])).tolist()
            layer["gradients"] = {
                name: share * sum(np.array(each["gradients"][name]) for each in own)
                for name in own[0].get("gradients", {})
            }
            layers.append(layer)
        loss = share * sum(each["loss"] for each in seen) * (0.5 if self.mistake == "loss halved" else 1)
        inputs = (share * np.array(rows("input_gradients", seen))).tolist()
        return {"id": self.case["id"], "loss": loss, "layers": layers, "input_gradients": inputs}

    def at(self, parameters: Arrays) -> Json:
        """One pass over the batch, with the mistake in its gradients."""
        seen = [self.one(parameters, s) for s in range(self.samples)]
        reply = self.together(seen)
        if self.mistake in ("last sample", "first sample, whole"):
            one = seen[-1] if self.mistake == "last sample" else seen[0]
            share = 1 / self.samples if self.mean and self.mistake == "last sample" else 1.0
            for layer, own in zip(reply["layers"], one["layers"], strict=True):
                layer["gradients"] = {name: share * np.array(x) for name, x in own.get("gradients", {}).items()}
        for layer in reply["layers"]:
            for name in layer["gradients"]:
                layer["gradients"][name] = self.factor(bias="bias" in name) * layer["gradients"][name]
        return reply

    def gradients(self, reply: Json) -> Arrays:
        """The gradients that a step uses."""
        found = [dict(layer["gradients"]) for layer in reply["layers"]]
        if self.mistake in ("gradients kept", "bias gradients kept"):
            for layer, before in zip(found, self.kept, strict=False):
                for name in layer:
                    if self.mistake == "gradients kept" or "bias" in name:
                        layer[name] = layer[name] + before[name]
            self.kept = found
        return found

    def factor(self, *, bias: bool) -> float:
        n, mean = self.samples, self.mean
        if self.mistake == "weights summed, biases averaged":
            return (1.0 if mean else 1 / n) if bias else (n if mean else 1.0)
        return {
            "gradients summed for a mean": n if mean else 1.0,
            "gradients averaged for a sum": 1.0 if mean else 1 / n,
            "gradients divided twice": 1 / n if mean else 1.0,
        }.get(self.mistake, 1.0)

    def moved(self, parameters: Arrays, gradients: Arrays, rate: float, step: int) -> Arrays:
        """The parameters after a step."""
        mistake = self.mistake
        learning = [at for at, layer in enumerate(gradients) if layer]
        stays = (mistake == "parameters stay") or (mistake == "one step only" and step > 0)
        moved: Arrays = []
        for at, (own, g) in enumerate(zip(parameters, gradients, strict=True)):
            other = {"first layer only": at != learning[0], "last layer only": at != learning[-1]}.get(mistake, False)
            sign = -1 if mistake == "uphill" else 1
            moved.append(
                {
                    name: x
                    if stays or other or ("bias" in name and mistake == "biases stay")
                    else x - sign * rate * g[name]
                    for name, x in own.items()
                }
            )
        return moved

    def reply(self) -> Json:
        rate = self.case["optimizer"]["learning_rate"]
        parameters: Arrays = [
            {name: np.array(x, float) for name, x in layer.get("parameters", {}).items() if not layer.get("shares")}
            for layer in self.case["network"]["layers"]
        ]
        first: Json = {}
        steps: list[Json] = []
        for step in range(self.case["steps"]):
            if self.mistake.startswith("online"):
                reply = self.at(parameters)
                parameters, on_the_way = self.online(parameters, rate)
                reply = reply if self.mistake == "online" else on_the_way
                gradients = self.gradients(reply)
            else:
                reply = self.at(parameters)
                gradients = self.gradients(reply)
                parameters = self.moved(parameters, gradients, rate, step)
            if step == 0 and "late" in self.mistake:
                late = self.at(parameters)
                gradients = self.gradients(late)
                reply = late if self.mistake.startswith("everything") else reply
            if step == 0:
                first = reply
                for layer, g in zip(first["layers"], gradients, strict=True):
                    layer["gradients"] = {name: x.tolist() for name, x in g.items()}
            updated = [{name: x.tolist() for name, x in own.items()} for own in parameters]
            steps.append({"loss": reply["loss"], "layers": [{"updated": own} for own in updated]})
        for layer, own in zip(first["layers"], steps[-1]["layers"], strict=True):
            layer["updated"] = own["updated"]
        return {**first, "trajectory": steps}

    def online(self, parameters: Arrays, rate: float) -> tuple[Arrays, Json]:
        """An update after every sample; and the values reported on the way."""
        seen = []
        for s in range(self.samples):
            seen.append(self.one(parameters, s))
            gradients = [
                {name: np.array(x) for name, x in each.get("gradients", {}).items()} for each in seen[-1]["layers"]
            ]
            parameters = self.moved(parameters, gradients, rate, 0)
        return parameters, self.together(seen)


def learning(cases: Any, count: int) -> tuple[Case, ...]:
    """Cases of several samples, with three steps of training."""
    several = (case for case in cases if len(case.inputs) > 1 and case.optimizer is None)
    optimizer = {"kind": "sgd", "learning_rate": 0.125}
    return tuple(
        Case.from_dict({**case.to_dict(), "optimizer": optimizer, "steps": 3})
        for case in itertools.islice(several, count)
    )


DENSE = Within(layers=("dense",), features=("graph",))
CONVOLUTION = plain().supports


@functools.cache
def cases_of(network: str) -> tuple[Case, ...]:
    """Some cases of one kind of network."""
    if network == "chain":
        return learning(generated_cases(120, 7), 16)
    if network == "graph":
        return learning(family_cases("graph", 90, within=DENSE), 16)
    within = Within(
        layers=tuple(CONVOLUTION["layers"]),
        activations=tuple(CONVOLUTION["activations"]),
        losses=tuple(CONVOLUTION["losses"]),
    )
    return learning(family_cases("convolution", 90, within=within), 16)


def program(network: str, mistake: str = "") -> Callable[[Json], Json]:
    """The numpy program for such networks, trained with a mistake."""
    right = plain() if network == "convolution" else backprop

    def function(case: Json) -> Json:
        return Training(right, mistake, case).reply()

    function.supports = {"layers": ["dense"], "features": ["graph"], "optimizers": ["sgd"]}  # type: ignore[attr-defined]
    if network == "convolution":
        function.supports = {**CONVOLUTION, "features": []}  # type: ignore[attr-defined]
    return function


@pytest.mark.parametrize(
    ("network", "mistake"),
    [
        pytest.param(network, mistake, marks=[] if mistake in QUICK.get(network, ()) else pytest.mark.thorough)
        for network in ("chain", "graph", "convolution")
        for mistake in MISTAKES
    ],
)
def test_it_has_its_name(network: str, mistake: str) -> None:
    """One cause, with that code, for all kinds of networks."""
    results = judged(program(network, mistake), cases_of(network))
    assert [(code, scope) for code, scope, _ in named(results)] == [(MISTAKES[mistake], "")]


@pytest.mark.parametrize("network", ["chain", "graph", "convolution"])
def test_right_it_passes(network: str) -> None:
    """Without a mistake every case passes."""
    assert not judged(program(network), cases_of(network)).failed

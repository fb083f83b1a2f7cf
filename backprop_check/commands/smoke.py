"""``backprop-check smoke``: does a port answer in the right form, and are two small networks right?"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from backprop_check.commands.options import opened, opening, opening_of

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.cases.within import Within
    from backprop_check.protocol import Opening

_LAYER = {"kind": "dense", "activation": "sigmoid"}
SMOKE: list[dict[str, Any]] = [
    {
        "name": "smoke-one-neuron",
        "network": {
            "inputs": 2,
            "layers": [{**_LAYER, "units": 1, "parameters": {"weights": [[0.5, -0.25]], "biases": [0.1]}}],
        },
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": [[1.0, 2.0]],
        "targets": [[0.75]],
    },
    {
        "name": "smoke-two-layers",
        "network": {
            "inputs": 2,
            "layers": [
                {**_LAYER, "units": 3, "parameters": {"weights": [[0.15, 0.2], [0.25, 0.3], [-0.4, 0.6]],
                                                      "biases": [0.35, 0.3, -0.2]}},
                {**_LAYER, "units": 2, "parameters": {"weights": [[0.4, 0.45, 0.7], [0.5, 0.55, -0.3]],
                                                      "biases": [0.6, 0.5]}},
            ],
        },
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": [[0.05, 0.1], [0.5, -0.3]],
        "targets": [[0.01, 0.99], [0.8, 0.2]],
    },
]  # fmt: skip

#: If a port has no dense layers, its networks are taken from the first so many generated cases.
_TRIED = 8


@click.command("smoke")
@click.argument("impl")
@opening
def command(impl: str, **parameters: Any) -> NoReturn:
    """Check that the port IMPL works: hello, echo, one neuron, one network of two layers, from what it claims.

    \b
    backprop-check smoke "dart run bin/port.dart"
    """  # noqa: D301 - \b is click's
    sys.exit(_smoke(impl, opening_of(parameters)))


def _smoke(impl: str, how: Opening) -> int:
    from rich.console import Console  # noqa: PLC0415 - with what it prints
    from rich.text import Text  # noqa: PLC0415

    from backprop_check.cases.within import supported  # noqa: PLC0415
    from backprop_check.commands.judging import introduce  # noqa: PLC0415 - numpy and torch
    from backprop_check.protocol.echo import echo_notes  # noqa: PLC0415
    from backprop_check.protocol.signals import orderly_signals  # noqa: PLC0415
    from backprop_check.running.one_case import FAILURES, judge  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with orderly_signals(), opened(impl, how) as implementation:
        introduce(console, implementation)
        failed, right, skipped = bool(implementation.echo_problems), 0, 0
        if not failed:
            echo = implementation.hello.echo
            came = "" if echo is None else ", and numbers come back as they were sent"
            console.print(f"ok    hello{came}{' except for the sign of zero' if echo_notes(echo) else ''}")
        for result in judge(networks(supported(implementation.hello.supports)), implementation):
            name = result.id.rsplit("-", 1)[0].removeprefix("smoke-").replace("-", " ")
            bad = result.outcome in FAILURES
            mark = "FAIL" if bad else "ok  " if result.outcome == "passed" else "skip"
            console.print(Text(f"{mark}  {name}: {result.message or 'right'}"))
            failed |= bad
            right += result.outcome == "passed"
            skipped += result.outcome == "skipped"
    if failed:
        console.print("Fix the first line that says FAIL, then run this again.")
    elif right:
        console.print("The port works. Next: backprop-check run, with the same command.")
    else:
        why = (
            "the port skipped every network. Answer one of them with numbers"
            if skipped
            else "the port claims (supports) no layer, activation and loss that go together. Correct the claims"
        )
        console.print(f"Nothing was checked: {why}, then run this again.")
    return 1 if failed or not right else 0


def networks(within: Within) -> list[Case]:
    """A few networks from what is supported: one neuron and two dense layers, else layers of other kinds."""
    from backprop_check.case.network import Case  # noqa: PLC0415 - numpy
    from backprop_check.cases.plan import Plan  # noqa: PLC0415

    if within.has_chains():
        return [Case.from_dict(each) for each in _chains(within)]
    made = Plan(count=_TRIED, within=within).cases()
    return list(itertools.islice(filter(within.has, made), len(SMOKE)))


def _chains(within: Within) -> list[dict[str, Any]]:
    """The networks of ``SMOKE``; activation, loss and number of samples are replaced where they are not supported."""
    from backprop_check.cases.draw import Draw, target_of  # noqa: PLC0415 - numpy

    pairs = sorted(within.pairs(), key=lambda pair: (pair[0] != "sigmoid", pair[0] in ("identity", "log_softmax")))
    activation, loss = pairs[0]
    hidden = next((name for name in (activation, *within.activations) if name != "log_softmax"), None)
    draw, found = Draw("smoke"), []
    for one in SMOKE:
        network, samples = one["network"], slice(None if within.batch else 1)
        last = {**network["layers"][-1], "activation": activation}
        before = [{**layer, "activation": hidden} for layer in network["layers"][:-1]]
        if ("softmax" in activation and last["units"] == 1) or (before and hidden is None):
            continue  # the softmax of one neuron is always 1
        targets = one["targets"][samples]
        if pairs[0] != ("sigmoid", "half_squared_error"):
            targets = [target_of(draw, activation, loss, last["units"]) for _ in targets]
        found.append(
            {
                **one,
                "network": {**network, "layers": [*before, last]},
                "loss": {"kind": loss},
                "inputs": one["inputs"][samples],
                "targets": targets,
            }
        )
    return found or [_one_layer(activation, loss, target_of(draw, activation, loss, 2))]


def _one_layer(activation: str, loss: str, target: list[float]) -> dict[str, Any]:
    """A layer of two neurons, for a port whose only activation is log-softmax."""
    layer = {**_LAYER, "activation": activation, "units": 2}
    layer["parameters"] = {"weights": [[0.5, -0.25], [0.15, 0.4]], "biases": [0.1, -0.2]}
    one = {**SMOKE[0], "name": "smoke-one-layer", "network": {"inputs": 2, "layers": [layer]}}
    return {**one, "loss": {"kind": loss}, "targets": [target]}

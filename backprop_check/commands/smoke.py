"""``backprop-check smoke``: is a port wired right?"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from backprop_check.commands.options import opened, opening

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


@click.command("smoke")
@click.argument("impl")
@opening
def command(impl: str, **options: Any) -> NoReturn:
    """Is the port IMPL wired right? Hello, echo, one neuron, one network of two layers.

    \b
    backprop-check smoke "dart run bin/port.dart"
    """  # noqa: D301 - \b is click's
    sys.exit(_smoke(impl, options))


def _smoke(impl: str, options: dict[str, Any]) -> int:
    from rich.console import Console  # noqa: PLC0415 - with what it prints
    from rich.text import Text  # noqa: PLC0415

    from backprop_check.commands.judging import introduce  # noqa: PLC0415 - numpy and torch
    from backprop_check.network import Case  # noqa: PLC0415
    from backprop_check.protocol.echo import echo_notes  # noqa: PLC0415
    from backprop_check.protocol.signals import orderly_signals  # noqa: PLC0415
    from backprop_check.run import FAILURES, judge  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with orderly_signals(), opened(impl, options) as implementation:
        introduce(console, implementation)
        failed = bool(implementation.echo_problems)
        if not failed:
            echo = implementation.hello.echo
            came = "" if echo is None else ", and numbers come back as they were sent"
            console.print(f"ok    hello{came}{' but for the sign of zero' if echo_notes(echo) else ''}")
        for result in judge([Case.from_dict(each) for each in SMOKE], implementation):
            name = result.id.rsplit("-", 1)[0].removeprefix("smoke-").replace("-", " ")
            bad = result.outcome in FAILURES
            mark = "FAIL" if bad else "ok  " if result.outcome == "passed" else "skip"
            console.print(Text(f"{mark}  {name}: {result.message or 'right'}"))
            failed |= bad
    if failed:
        console.print("Mend the first line that says FAIL, then run this again.")
    else:
        console.print("The port is wired right. Now: backprop-check run, with the same command.")
    return 1 if failed else 0

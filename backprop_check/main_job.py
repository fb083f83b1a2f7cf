"""The commands' work: run, smoke, cases."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backprop_check import __version__
from backprop_check.cases.select import select_cases
from backprop_check.compare import PARAMETERS, as_json
from backprop_check.network import Case
from backprop_check.protocol import open_implementation
from backprop_check.report.terminal import print_failure, print_summary
from backprop_check.results import ResultsFile, Summary
from backprop_check.run import FAILURES, Settings, judge, witnesses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from backprop_check.protocol import Implementation
    from backprop_check.trace import Expected

#: So many failing cases are shown in full; the rest stand in the results file.
SHOWN = 3

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


def run_command(impl: str, **options: Any) -> int:
    """The main job; gives the exit code."""
    console = Console(highlight=False)
    settings = Settings(profile=options["profile"], rtol=options["rtol"], atol=options["atol"])
    process = {key: options[key] for key in ("timeout", "start_timeout", "one_shot", "strict_stdout")}
    with open_implementation(impl, harness_version=__version__, **process) as implementation:
        _introduce(console, implementation)
        made = select_cases(options["suite"], options["cases"], options["seed"])
        return _judge(console, implementation, made, settings, options)


def _judge(
    console: Console,
    implementation: Implementation,
    made: Iterable[Case],
    settings: Settings,
    options: dict[str, Any],
) -> int:
    kept: dict[str, Case] = {}

    def remembered() -> Iterable[Case]:
        for case in made:
            kept[case.id] = case
            yield case

    summary, shown = Summary(), 0
    with ExitStack() as stack:
        results = None
        if options.get("json_path"):
            known = {"seed": options["seed"], "profile": settings.profile}
            info = implementation.describe()
            results = stack.enter_context(ResultsFile(options["json_path"], info, known, sys.argv))
        progress = stack.enter_context(_progress(console))
        task = progress.add_task("cases", total=None)
        try:
            for result in judge(remembered(), implementation, settings):
                summary.add(result)
                progress.advance(task)
                if results:
                    results.add(result)
                case = kept.pop(result.id)
                if result.outcome in FAILURES:
                    if shown < SHOWN:
                        print_failure(progress.console, case, result)
                    shown += 1
                    if options["fail_fast"]:
                        break
            else:
                summary.complete = True
                if results:
                    results.finish()
        except KeyboardInterrupt:
            progress.console.print("interrupted: what was finished is kept")
    print_summary(console, summary, shown - SHOWN, implementation.describe(), options.get("json_path"))
    return 1 if summary.failed or not summary.complete else 0


def smoke_command(impl: str, **options: Any) -> int:
    """Is the port wired right? One sentence a step."""
    console = Console(highlight=False)
    with open_implementation(impl, harness_version=__version__, **options) as implementation:
        _introduce(console, implementation)
        if not implementation.echo_problems:
            console.print("ok    hello, and numbers come back as they were sent")
        failed = bool(implementation.echo_problems)
        for result in judge([Case.from_dict(each) for each in SMOKE], implementation):
            name = result.id.rsplit("-", 1)[0].removeprefix("smoke-").replace("-", " ")
            mark = "FAIL" if result.outcome in FAILURES else "ok  "
            console.print(f"{mark}  {name}: {result.message or result.outcome}", markup=False)
            failed |= result.outcome in FAILURES
    return 1 if failed else 0


def list_cases(suites: Sequence[str], count: int, seed: int, export: Path | None) -> None:
    """The ids, or files of case and expected values."""
    for case in select_cases(suites, count, seed):
        sys.stdout.write(f"{case.id}\n")
        if export is not None:
            export.mkdir(parents=True, exist_ok=True)
            text = msgspec.json.format(msgspec.json.encode(exported(case)), indent=1)
            (export / f"{case.id}.json").write_bytes(text + b"\n")


def exported(case: Case) -> dict[str, Any]:
    """A case and, in the form of a reply, the values expected of it."""
    body = msgspec.json.decode(case.request())
    return {
        "schema": 1,
        "name": case.name,
        "case": body,
        "expected": {"id": case.id, **as_reply(witnesses(case))},
    }


def as_reply(expected: Expected) -> dict[str, Any]:
    """Expected values in the form of a right implementation's reply."""
    layers: list[dict[str, Any]] = []
    reply: dict[str, Any] = {"layers": layers}
    names = {quantity: name for name, quantity in PARAMETERS.items()}
    for slot, values in expected.values.items():
        if slot.step is not None:
            continue
        value = values.tolist() if values.shape else as_json(float(values))
        if slot.layer is None:
            reply["input_gradients" if slot.quantity == "input_gradient" else slot.quantity] = value
            continue
        while len(layers) <= slot.layer:
            layers.append({})
        kind, _, what = slot.quantity.partition("_")
        if what == "gradient":
            layers[slot.layer].setdefault("gradients", {})[names[kind]] = value
        elif kind == "updated":
            layers[slot.layer].setdefault("updated", {})[names[what]] = value
        else:
            layers[slot.layer][slot.quantity] = value
    return reply


def _introduce(console: Console, implementation: Implementation) -> None:
    info = implementation.describe()
    console.print(f"judging {info.name} ({info.language or 'language unknown'}, {info.dtype})", markup=False)
    for problem in implementation.echo_problems:
        console.print(f"FAIL  {problem}", markup=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

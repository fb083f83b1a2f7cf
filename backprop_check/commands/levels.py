"""``backprop-check levels``: what is covered, and which of the bundled ports pass each level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.explain.starting import Port

#: The table is between these two lines of a README.
BEGIN, END = "<!-- levels: written by backprop-check levels --readme -->", "<!-- levels: end -->"

#: The adapter to PyTorch's own modules, which is bundled with the ports.
TORCH = "torch"

_HEAD = ("level", "what is covered", "cases", "ports that pass")


@click.command("levels")
@click.option(
    "--port",
    "languages",
    multiple=True,
    help="Run only this port (repeatable; default: all whose tools are installed).",
)
@click.option("--cases", "count", default=100, show_default=True, type=click.IntRange(min=4), help="Generated cases.")
@click.option(
    "--readme", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Write the table into this file."
)
def command(languages: tuple[str, ...], count: int, readme: Path | None) -> None:
    """Run each bundled port on each level, and print the table of levels.

    With --readme the table is written into that file, between two comments that mark its place.
    """
    from backprop_check.errors import ConfigurationError  # noqa: PLC0415 - what is needed, where it is needed

    passing: dict[str, list[str]] = {}
    for title, results in _run(languages, count):
        click.echo(f"{title}: {', '.join(f'{name} {said}' for name, said in results.items() if said)}", err=True)
        for name, said in results.items():
            if said in ("passed", "in part"):
                passing.setdefault(name, []).append(title if said == "passed" else f"{title} (in part)")
    lines = table(passing)
    if readme is None:
        click.echo("\n".join(lines))
        return
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        cause = f"{readme} has no place for the table"
        raise ConfigurationError("no-place-for-table", cause, f"add the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN)
    made = f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.split(END)[1]}"
    readme.write_text(made, encoding="utf-8")


def table(passing: dict[str, list[str]]) -> list[str]:
    """The table's lines; ``passing`` has the titles of the passing ports by level."""
    rows = [_HEAD, tuple("---" for _ in _HEAD)]
    for number, (name, covered, cases) in enumerate(_levels(), 1):
        rows.append((f"{number} {name}", covered, cases, ", ".join(passing.get(name, [])) or "none"))
    return [f"| {' | '.join(row)} |" for row in rows]


def _levels() -> Iterator[tuple[str, str, str]]:
    """Each level's name, what it covers, and how many cases a default run has of it: files, and generated ones."""
    from backprop_check.case.training import OPTIMIZERS  # noqa: PLC0415
    from backprop_check.cases.files import suite_files  # noqa: PLC0415
    from backprop_check.cases.plan import Plan  # noqa: PLC0415
    from backprop_check.cases.suites import generated_count  # noqa: PLC0415
    from backprop_check.functions.names import ACTIVATIONS, LOSSES  # noqa: PLC0415
    from backprop_check.kinds import KINDS  # noqa: PLC0415
    from backprop_check.running.coverage import SUITES_OF  # noqa: PLC0415

    said = {
        "dense": f"dense layers, {len(ACTIVATIONS)} activations, {len(LOSSES)} losses, mean and sum, batches,"
        " plain gradient descent",
        "training": f"{', '.join(OPTIMIZERS)} with their options, schedules, clipping, penalties, several steps",
        "graph": "layers that read several others (add, multiply, concat), outputs that are read by many, shared"
        " weights, single neurons wired freely",
    }
    count = Plan().count  # the default of --cases
    for name, members in SUITES_OF.items():
        kinds = [kind for kind, of in KINDS.items() if of.family == name]
        shipped = sum(len(suite_files(suite)) for suite in members if suite != "generated")
        made = sum(generated_count(suite, count) for suite in members)
        covered = said.get(name) or ", ".join(f"`{kind}`" for kind in kinds)
        yield name, covered, f"{shipped} files, {made} generated"


def _run(languages: Sequence[str], count: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Each port's title, and by level what came of it: passed, failed, or empty where the port claims nothing of it."""
    import tempfile  # noqa: PLC0415

    from backprop_check.explain.starting import find_port, ports  # noqa: PLC0415

    chosen = [find_port(name) for name in languages if name != TORCH] if languages else list(ports().values())
    for port in chosen:
        with tempfile.TemporaryDirectory() as folder:
            yield port.title, _of_port(port, Path(folder) / port.language, count)
    if not languages or TORCH in languages:
        yield "PyTorch", _of_torch(count)


def _of_port(port: Port, folder: Path, count: int) -> dict[str, str]:
    """Copy, build and run a port, if its tools are installed."""
    import subprocess  # noqa: PLC0415

    from backprop_check.explain.starting import copy_port  # noqa: PLC0415
    from backprop_check.functions.names import LEVELS  # noqa: PLC0415

    missing = [name for name in port.needs if _tool(name) is None]
    if missing:
        return dict.fromkeys(LEVELS, "not run")
    copy_port(port, folder)
    if port.build is not None:
        done = subprocess.run(port.build, shell=True, cwd=folder, capture_output=True, check=False)  # noqa: S602 - our own
        if done.returncode:
            return dict.fromkeys(LEVELS, "not built")
    first, _, rest = port.run.partition(" ")
    return judged_levels(f'"{_tool(first) or first}" {rest}', folder, count)


def _of_torch(count: int) -> dict[str, str]:
    from importlib import resources  # noqa: PLC0415

    with resources.as_file(resources.files("backprop_check").joinpath("ports", TORCH)) as folder:
        return judged_levels("python:torch_layers:backprop", folder, count)


def _tool(name: str) -> str | None:
    """The path of a program: this Python, the one that ``BACKPROP_CHECK_NAME`` names, or the one on ``PATH``."""
    import os  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import sys  # noqa: PLC0415

    own = sys.executable if name in ("python", "python3") else os.environ.get(f"BACKPROP_CHECK_{name.upper()}")
    return own or shutil.which(name)


def judged_levels(spec: str, folder: Path, count: int) -> dict[str, str]:
    """Run an implementation on the cases of each level; return by level how they ended."""
    from backprop_check.cases.plan import Plan  # noqa: PLC0415
    from backprop_check.cases.within import supported  # noqa: PLC0415
    from backprop_check.errors import StartError  # noqa: PLC0415
    from backprop_check.functions.names import LEVELS  # noqa: PLC0415
    from backprop_check.protocol import Opening, open_implementation  # noqa: PLC0415
    from backprop_check.running.coverage import SUITES_OF  # noqa: PLC0415
    from backprop_check.running.one_case import judge  # noqa: PLC0415

    found: dict[str, str] = {}
    for name, members in SUITES_OF.items():
        try:
            with open_implementation(spec, Opening(cwd=folder, timeout=60), isolated=True) as implementation:
                plan = Plan(suites=members, count=count, within=supported(implementation.hello.supports))
                outcomes: list[Any] = [result.outcome for result in judge(plan.cases(), implementation)]
        except StartError:
            return dict.fromkeys(LEVELS, "not started")
        judged = [each for each in outcomes if each not in ("not_applicable", "skipped")]
        if not judged:
            found[name] = ""
        elif set(judged) != {"passed"}:
            found[name] = f"failed in {len(judged) - judged.count('passed')} of {len(judged)}"
        else:
            found[name] = "passed" if len(judged) == len(outcomes) else "in part"
    return found

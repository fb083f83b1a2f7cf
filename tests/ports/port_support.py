"""Helpers for the tests of the ports: a port built in a folder of its own, its exercise, and its judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_cases
from backprop_check.protocol import Opening, open_implementation, split_command
from backprop_check.running.one_case import judge

if TYPE_CHECKING:
    from collections.abc import Collection

    from backprop_check.case.network import Case
    from backprop_check.running.one_case import Result

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"

#: The timeout of compilers and virtual machines in seconds: more than they take even on a very busy machine.
LONG = 1800.0

#: The stages that an exercise leaves to the learner, in the order of the backward pass.
STAGES = ("output delta", "hidden delta", "gradients", "update")

#: The stage to which a mismatch of the first pass belongs; delta belongs to two, by its layer.
STAGE_OF = {"input_gradient": "hidden delta", "weight_gradient": "gradients", "bias_gradient": "gradients"}

BEGIN = re.compile(r"^(?P<indent>\s*)(?P<comment>\S+) EXERCISE BEGIN (?P<stage>[a-z ]+?)(: (?P<stand_in>.+))?$")
END = re.compile(r"^\s*\S+ EXERCISE END (?P<stage>[a-z ]+)$")


def about(language: str) -> dict[str, Any]:
    """The fields of ``port.toml``: title, build, run, needs, main, tested, hint."""
    return tomllib.loads((PORTS / language / "port.toml").read_text(encoding="utf-8"))


def build(folder: Path, command: str) -> None:
    """Run a build command in the folder; it must succeed, or its output is the failure's message."""
    done = subprocess.run(split_command(command), cwd=folder, capture_output=True, text=True, check=False, timeout=LONG)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def port_folder(language: str, parent: Path, *, exercise: bool = False, done: Collection[str] = ()) -> Path:
    """A copy of the port as a user gets it, so that nothing is built in the repository."""
    folder = parent / language
    shutil.copytree(PORTS / language, folder)
    if exercise:
        assert set(make_exercise(folder, done)) == set(STAGES)
    return folder


def make_exercise(folder: Path, done: Collection[str] = ()) -> list[str]:
    """Replace every marked part whose stage is not done with a TODO and its stand-in.  Returns the stages found."""
    stages = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if "EXERCISE BEGIN" in text:
            text, found = exercise_text(text, done)
            path.write_text(text, encoding="utf-8")
            stages += found
    return stages


def exercise_text(text: str, done: Collection[str] = ()) -> tuple[str, list[str]]:
    """A file's text without the marked parts of the stages that are not done, and all stages marked in it."""
    kept: list[str] = []
    stages: list[str] = []
    inside: str | None = None
    for line in text.split("\n"):
        if begin := BEGIN.match(line):
            assert inside is None, f"{line.strip()} stands inside {inside}"
            inside = begin["stage"]
            assert inside in STAGES, line
            stages.append(inside)
            if inside in done:
                continue
            kept.append(f"{begin['indent']}{begin['comment']} TODO {inside}")
            if begin["stand_in"]:
                kept.append(begin["indent"] + begin["stand_in"])
        elif end := END.match(line):
            assert end["stage"] == inside, line
            inside = None
        elif inside is None or inside in done:
            kept.append(line)
    assert inside is None, f"the end of {inside} is missing"
    return "\n".join(kept), stages


def results(command: str, folder: Path, cases: list[Case]) -> list[Result]:
    """The results of the cases; the echo must keep every digit."""
    with open_implementation(command, Opening(cwd=folder, timeout=LONG, start_timeout=LONG)) as implementation:
        assert implementation.echo_problems == []
        judged = list(judge(cases, implementation))
    assert len(judged) == len(cases)
    return judged


def conforms(command: str, folder: Path) -> None:
    """500 generated cases and the published ones, without a finding."""
    cases = [*generated_cases(500, seed=11), *(file.case for file in suite_files("published"))]
    found = [result for result in results(command, folder, cases) if result.outcome != "passed"]
    assert [(result.id, result.outcome, result.message) for result in found] == []


def runs_but_is_wrong(command: str, folder: Path) -> None:
    """An exercise answers every case, and gets every one wrong."""
    cases = list(generated_cases(40, seed=11))
    assert {result.outcome for result in results(command, folder, cases)} == {"mismatched"}


def wrong_stages(command: str, folder: Path) -> set[str]:
    """The stages with a mismatch, over cases with an update and at least two layers."""
    cases = [case for case in generated_cases(100, seed=11) if case.optimizer and len(case.network.layers) > 1]
    stages = set()
    for case, result in zip(cases, results(command, folder, cases), strict=True):
        for mismatch in result.mismatches:
            of_output = mismatch.layer == len(case.network.layers) - 1
            if mismatch.step is not None or mismatch.quantity.startswith("updated"):
                stages.add("update")
            elif mismatch.quantity == "delta":
                stages.add("output delta" if of_output else "hidden delta")
            else:
                stages.add(STAGE_OF[mismatch.quantity])
    return stages

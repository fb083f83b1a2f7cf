"""Everything that README shows is run: its commands, its Python, its output; and its statements are checked."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from backprop_check.case.network import ACTIVATIONS, LOSSES
from backprop_check.cases.files import suite_files
from backprop_check.cli import COMMANDS, main
from backprop_check.errors import ConfigurationError
from backprop_check.explain.starting import ports
from backprop_check.protocol.sandbox import sandbox_prefix

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"(?:<!-- exits (?P<codes>[\d ]+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)

#: The beginning of the two commands for a fresh machine.
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && "


@dataclass
class Block:
    """A fenced block: sh, console, python or toml.

    ``codes`` are the exit codes of its lines, where they are not all 0; a comment before the block gives them.
    """

    kind: str
    text: str
    codes: list[int]


@dataclass
class Section:
    """A section of the second level; its blocks share a folder."""

    title: str
    text: str
    blocks: list[Block] = field(default_factory=list)


def sections() -> list[Section]:
    """The sections of README."""
    found = []
    for number, text in enumerate(re.split(r"^## ", README, flags=re.MULTILINE)):
        title = text.partition("\n")[0] if number else "the story"
        blocks = [
            Block(m["kind"], m["text"], [int(code) for code in (m["codes"] or "").split()])
            for m in BLOCK.finditer(text)
        ]
        found.append(Section(title, text, blocks))
    return found


SECTIONS = {section.title: section for section in sections()}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The programs that README names, on the path as a reader would have them."""
    programs = tmp_path / "programs"
    programs.mkdir()
    interpreter = Path(sys.executable)
    for name in ("python3", "backprop-check", "pytest"):
        target = interpreter if name == "python3" else interpreter.with_name(name)
        _script(programs / name, f'exec "{target}" "$@"')
    dart = os.environ.get("BACKPROP_CHECK_DART")
    if dart:  # a Dart VM alone: "dart run FILE" is "dart FILE"
        _script(programs / "dart", f'[ "$1" = run ] && shift; exec "{dart}" "$@"')
    elif shutil.which("dart") is None and os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
        pytest.fail("dart is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120", "NO_COLOR": "1"}


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def needs(program: str) -> None:
    """Skip where a program is missing that README's commands need."""
    if shutil.which(program) is None:
        pytest.skip(f"README's commands are run with {program}, which is not installed here")


def shell(text: str, folder: Path, environment: dict[str, str], codes: list[int] | None = None) -> str:
    """Run the lines as a reader would paste them; each must end with its exit code. Returns their output."""
    needs("bash")
    lines = text.strip().splitlines()
    expected = codes or [0] * len(lines)
    script = "".join(
        f"code=0\n{line} || code=$?\n[ $code -eq {code} ] || {{ echo line {number}: exit code $code >&2; exit 99; }}\n"
        for number, (line, code) in enumerate(zip(lines, expected, strict=True), 1)
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=7200,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout


def checkout(folder: Path) -> Path:
    """A folder in which the repository's paths exist as in a clone, without files of other runs."""
    here = folder / "here"
    (here / "reports").mkdir(parents=True)
    for name in ("mazur", "python", "torch"):
        port = Path("backprop_check", "ports", name)
        shutil.copytree(ROOT / port, here / port, ignore=shutil.ignore_patterns("__pycache__"))
    return here


@pytest.mark.thorough
@pytest.mark.parametrize(
    "title", [title for title, each in SECTIONS.items() if each.blocks and title not in ("the story", "Two commands")]
)
def test_section(title: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """Every command of the section ends as README says, in order."""
    here = checkout(tmp_path)
    before = "" if title == "Python" else SECTIONS["Python"].blocks[0].text  # mynet.py is used further below too
    if before:
        (here / "mynet.py").write_text(before, encoding="utf-8")
    left_out = ""
    for block in SECTIONS[title].blocks:
        text = block.text
        if block.kind in ("python", "toml"):
            name = text.splitlines()[0].removeprefix("# ")
            assert re.fullmatch(r"[\w-]+\.(py|toml)", name), "a block's first line names its file"
            (here / name).write_text(text, encoding="utf-8")
            continue
        assert block.kind == "sh"
        if "dart " in text and shutil.which("dart", path=environment["PATH"]) is None:
            left_out = "the commands with dart are left out: it is not installed here; the others were run"
            continue
        shell(text if can_sandbox() else text.replace(" --sandbox", ""), here, environment, block.codes)
    if left_out:
        pytest.skip(left_out)


def can_sandbox() -> bool:
    """Many containers allow no sandbox, even where its tools are installed."""
    try:
        sandbox_prefix([sys.executable])
    except ConfigurationError:
        return False
    return True


@pytest.mark.thorough
def test_the_story(tmp_path: Path, environment: dict[str, str]) -> None:
    """The first command prints the output that is shown, line by line, except where "…" stands."""
    (block,) = SECTIONS["the story"].blocks
    command, *shown = block.text.splitlines()
    assert block.codes == [1]
    output = shell(command.removeprefix("$ "), checkout(tmp_path), environment, block.codes)
    real = iter([line.rstrip() for line in output.splitlines()])
    assert not [line for line in shown if line != "…" and line not in real], output


def _mazur() -> Any:
    path = ROOT / "backprop_check" / "ports" / "mazur" / "port.py"
    spec = importlib.util.spec_from_file_location("mazur_port", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_story_is_true() -> None:
    """The port gives the page's final numbers, digit by digit: after 1 round, and after 10,000 (its biases are
    fixed).
    """
    port = _mazur()
    case = next(each.case for each in suite_files("published") if each.case.name == "mazur-2x2x2").to_dict()
    first = [layer["parameters"] for layer in case["network"]["layers"]]
    layers = [port.Layer([list(row) for row in each["weights"]], list(each["biases"])) for each in first]
    losses = []
    for _ in range(10_000):
        losses.append(port.train_once(layers, case, 0.5))
        for layer, parameters in zip(layers, first, strict=True):
            layer.biases = list(parameters["biases"])
    assert [f"{loss:.9f}"[1:] for loss in losses[:2]] == [".298371109", ".291027924"]
    outputs = layers[1].forward(layers[0].forward(case["inputs"]))
    assert [f"{a:.9f}"[1:] for a in outputs[0]] == [".015912196", ".984065734"]
    assert ".291027924" in README


def _two_commands() -> list[str]:
    found = [block.text.strip() for block in SECTIONS["Two commands"].blocks]
    assert len(found) == 2
    for each in found:
        assert each.startswith(SET_UP)
        assert "\n" not in each
    return found


@pytest.mark.thorough
def test_the_two_commands(tmp_path: Path, environment: dict[str, str]) -> None:
    """After the set-up the main job exits with 0 and leaves a report; the tests can all be collected."""
    job, tests = (command.removeprefix(SET_UP).replace(".venv/bin/", "") for command in _two_commands())
    here = checkout(tmp_path)
    shell(job, here, environment)
    assert "BP107" in (here / "reports" / "mazur.html").read_text(encoding="utf-8")
    assert "reports/mazur.html" in README.partition(SET_UP)[0]

    assert tests == "python -m pytest -n 4 --dist loadfile"
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    shell(f"{sys.executable} -m pytest --collect-only -q -p no:cacheprovider", ROOT, environment)


@pytest.mark.slow
def test_the_two_commands_in_a_clone(tmp_path: Path) -> None:
    """On a fresh machine: both commands unchanged, in a new clone, with their set-up."""
    needs("git")
    clone = ["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")]
    subprocess.run(clone, check=True, timeout=600)
    environment = {name: value for name, value in os.environ.items() if name != "BACKPROP_CHECK_FULL"}
    job, tests = _two_commands()
    shell(job, tmp_path / "clone", environment)
    assert (tmp_path / "clone" / "reports" / "mazur.html").is_file()
    output = shell(tests, tmp_path / "clone", environment)
    assert re.search(r"^=+ .*\d+ passed.* =+$", output, re.MULTILINE)


def test_options_named_in_passing_exist() -> None:
    """An option in the text belongs to a command, the plugin or a tool; every command is shown."""
    text = BLOCK.sub("", README)
    ours = {
        option
        for name in COMMANDS
        for parameter in main.get_command(click.Context(main), name).params  # type: ignore[union-attr]
        for option in parameter.opts
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named - ours - {"--lf", "--help"} == set()
    shown = "\n".join(block.text for section in SECTIONS.values() for block in section.blocks)
    assert [name for name in COMMANDS if f"backprop-check {name}" not in shown] == ["cases", "levels"]


def test_the_table_of_ports() -> None:
    """It lists every port of init, with its language, and whether the project's tests run it."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (yes|no).* \|$", SECTIONS["Ports"].text, re.MULTILINE)
    assert rows == [(name, port.title, "yes" if port.tested else "no") for name, port in ports().items()]


def test_numbers_and_links() -> None:
    """The counts are the program's, and every linked page exists."""
    covered = SECTIONS["What is covered"].text
    assert f"{len(ACTIVATIONS)} activations, {len(LOSSES)} losses" in covered
    chapters = list((ROOT / "backprop_check" / "guide").glob("[0-9]*.md"))
    assert len(chapters) == 14
    assert "fourteen short chapters" in README
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_contributing_names_what_is_there() -> None:
    """Every path and every name of a module in CONTRIBUTING exists."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = [each for each in re.findall(r"`([^`\s…]+)`", text) if "/" in each or each.endswith((".py", ".md", ".txt"))]
    assert len(named) > 30
    for name in named:
        pattern = re.sub("[A-Z]{4,}", "*", name) if name.upper() != name and name != "CHANGELOG.md" else name
        found = [
            *ROOT.glob(pattern),
            *(ROOT / "backprop_check").glob(pattern),
            *ROOT.glob(f"backprop_check/*/{pattern}"),
        ]
        assert found, name
    names = set(re.findall(r"`(_?[A-Za-z]+)` in `(\w+\.py)`", text))
    assert names
    assert [pair for pair in names if pair[0] not in (ROOT / "backprop_check" / pair[1]).read_text("utf-8")] == []

"""The command on the page repeats the run exactly: the same case fails at the same place."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import called, small_port

from backprop_check import check
from backprop_check.report.again import command_again, options_of
from backprop_check.report.html.about import implementation
from backprop_check.report.html.read import checked

SEED = 20260

#: Options of a run besides its defaults. Limits of memory and time are so large that they decide nothing.
CHOICES: list[list[list[str]]] = [
    [[], ["--seed", "42"], ["--seed", "7"]],
    [["--cases", "6"], ["--cases", "12"], ["--cases", "20"]],
    [["--suite", "generated"], ["--suite", "published"], ["--suite", "generated", "--suite", "training"]],
    [[], ["--profile", "strict"]],
    [[], ["--rtol", "1e-12", "--atol", "1e-300"]],
    [[], ["--timeout", "60"], ["--start-timeout", "45.5", "--timeout", "20"]],
    [[], ["--memory", "2048"], ["--strict-stdout"], []],
    [[], ["--hints-only"]],
]


def asked(folder: Path, *arguments: str) -> dict[str, Any]:
    """The results of a failing run, with its page next to them."""
    done = called(folder, "run", *arguments, "--no-diagnosis", "--json", "r.json", "--html", "r.html")
    assert done.exit_code == 1, done.output
    found: dict[str, Any] = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    return found


def on_the_page(folder: Path) -> str:
    """The command of the implementation on the page; the page's script appends ``--case`` and the id."""
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert re.search(r"\$\{one\.reproduce\} --case \$\{CASES\.id\[row\]", page)
    index: dict[str, Any] = json.loads(page.split('id="index">')[1].split("</script>")[0])
    command: str = index["impls"][0]["reproduce"]
    return command


def failures(results: dict[str, Any]) -> dict[str, Any]:
    return {
        each["id"]: [each[key] for key in ("message", "first_wrong", "mismatches")]
        for each in results["cases"]
        if each["outcome"] == "mismatched"
    }


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("number", range(5))
def test_the_copied_command_finds_the_same(number: int, tmp_path: Path) -> None:
    """Random options; the last failing case, with its numbers, and no other."""
    dice = random.Random(SEED + number)  # noqa: S311 - no secret
    chosen = [word for group in CHOICES for word in dice.choice(group)]
    before = failures(asked(tmp_path, small_port("offset"), *chosen))
    case = list(before)[-1]
    words = shlex.split(f"{on_the_page(tmp_path)} --case {case}")
    assert words[:2] == ["backprop-check", "run"]
    assert failures(asked(tmp_path, *words[2:])) == {case: before[case]}


def test_with_seed_42(tmp_path: Path) -> None:
    """With another seed: without the option there is no such case."""
    before = failures(asked(tmp_path, small_port("offset"), "--suite", "generated", "--cases", "4", "--seed", "42"))
    command = on_the_page(tmp_path)
    assert command.endswith("--suite generated --cases 4 --seed 42")
    case = next(iter(before))
    done = called(tmp_path, "run", small_port("offset"), "--suite", "generated", "--cases", "4", "--case", case)
    assert done.exit_code == 2, "the case is of every seed, so that this test shows nothing"


@pytest.mark.thorough
def test_in_a_shell(tmp_path: Path) -> None:
    """A real shell parses it: quotes, spaces and dollar signs in the command of the port."""
    odd = tmp_path / "it's $HOME"
    odd.mkdir()
    port = odd / "port.py"
    port.write_text(
        f"import sys; sys.argv = ['x', 'offset']; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import runpy; runpy.run_module('small_port', run_name='__main__')\n"
    )
    command = f'"{sys.executable}" "{port}"'
    before = failures(asked(tmp_path, command, "--suite", "published", "--seed", "42"))
    case = next(iter(before))
    line = f"{on_the_page(tmp_path)} --case {case}".removeprefix("backprop-check ")
    start = shlex.join([sys.executable, "-c", "from backprop_check.cli import main; main()"])
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run(f"{start} {line}", shell=True, check=False, **options)  # noqa: S602 - a shell is to read it
    assert done.returncode == 1, done.stdout + done.stderr
    assert case in done.stdout


def test_the_default_needs_no_option() -> None:
    """A short command stays short."""
    defaults = {
        "suites": [], "cases": 200, "seed": 0, "profile": "textbook", "rtol": 0.0, "atol": 0.0, "timeout": 10.0,
        "start_timeout": 30.0, "one_shot": False, "memory_limit": 2**32, "strict_stdout": False, "sandbox": False,
        "hints_only": False, "version": "0.1.0",
    }  # fmt: skip
    assert options_of(defaults) == []
    assert command_again("port", defaults, windows=False) == "backprop-check run port"


def test_every_option_is_asked_for_again() -> None:
    """Each option that is not at its default, in the syntax of the command line."""
    settings = {
        "suites": ["edge", "graph"], "cases": 7, "seed": -1, "profile": "strict", "rtol": 1e-9, "atol": 0.5,
        "timeout": 60.0, "start_timeout": 0.25, "one_shot": True, "memory_limit": 2**31, "strict_stdout": True,
        "sandbox": True, "hints_only": True, "torch": "2.9",
    }  # fmt: skip
    assert shlex.join(options_of(settings)) == (
        "--suite edge --suite graph --cases 7 --seed -1 --profile strict --rtol 1e-09 --atol 0.5 --timeout 60 "
        "--start-timeout 0.25 --one-shot --memory 2048 --strict-stdout --sandbox --hints-only"
    )


def test_the_defaults_are_the_command_line_s() -> None:
    """A default that changes there changes here."""
    from backprop_check.commands.run import command  # noqa: PLC0415 - beside their one use
    from backprop_check.config import Configured  # noqa: PLC0415
    from backprop_check.report.again import OPTIONS  # noqa: PLC0415

    chosen = command.make_context("run", ["port"]).params
    names = {option: parameter.name for parameter in command.params for option in parameter.opts}
    for option, default in OPTIONS.values():
        found = chosen[names[option] or ""]
        if option == "--kinks":  # the configuration takes precedence over its default
            found = found or Configured("").kinks
        assert found == default, option


def test_on_windows() -> None:
    """Double quotes, as cmd.exe and Windows' programs read them."""
    again = command_again('"C:\\Program Files\\x.exe" port', {"seed": 42}, windows=True)
    assert again == 'backprop-check run "\\"C:\\Program Files\\x.exe\\" port" --seed 42'


def test_where_nothing_asks_again() -> None:
    """A function that no other process can import has no command; one in a module has."""
    for judged, said in ((lambda case: {"skip": case["id"]}, ""), (skipping, "backprop-check run python:")):
        results = check(judged, cases=1, suites=["generated"], seed=3)
        about = implementation(checked(results.to_dict()), "x", frozenset())
        assert about["reproduce"].startswith(said)
        assert bool(about["reproduce"]) == bool(said)
    assert about["reproduce"].endswith(":skipping --suite generated --cases 1 --seed 3")


def skipping(case: dict[str, Any]) -> dict[str, Any]:
    return {"skip": case["id"]}

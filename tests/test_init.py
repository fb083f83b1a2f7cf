"""``init``: a port to start from, in every language there is."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from backprop_check.cli import main
from backprop_check.explain.starting import ports

if TYPE_CHECKING:
    from pathlib import Path


def init(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["init", *arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize("language", sorted(ports()))
def test_a_port_is_copied_whole(language: str, tmp_path: Path) -> None:
    """Every file except the project's own; its build and run command are printed, to be pasted."""
    target = tmp_path / "mine"
    output = init(language, str(target)).output
    port = ports()[language]
    for name in [*port.main, "README.md"]:
        assert (target / name).is_file(), name
    assert list((target / ".github" / "workflows").glob("*.yml"))
    assert not (target / "port.toml").exists()
    assert not (target / "EXERCISE.md").exists()
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in target.rglob("*") if path.is_file()]
    assert not any("EXERCISE" in text for text in texts)
    assert f'backprop-check smoke "{port.run}"' in output
    assert f'backprop-check run "{port.run}"' in output
    assert port.build is None or port.build in output


@pytest.mark.parametrize("language", ["dart", "python"])
def test_the_readme_of_a_large_port_lists_its_files(language: str, tmp_path: Path) -> None:
    """For the two ports with every level: the table lists each source file, and no other."""
    init(language, str(tmp_path))
    table = [line for line in (tmp_path / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    listed = [name for line in table for name in re.findall(r"`([\w/]+\.(?:py|dart))`", line.split("|")[1])]
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.suffix in (".py", ".dart")]
    assert sorted(listed) == sorted(files)
    assert all(f"(level {level})" in "".join(table) for level in (5, 6, 7))


def test_it_runs_before_the_first_edit(tmp_path: Path) -> None:
    """The two printed commands work unchanged (here in Python)."""
    init("python", str(tmp_path / "mine"))
    command = f'"{sys.executable}" "{tmp_path / "mine" / "port.py"}"'
    for name, *more in (("smoke",), ("run", "--cases", "20")):
        done = CliRunner().invoke(main, [name, command, *more])
        assert done.exit_code == 0, done.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that is not empty, or a file, is refused and left unchanged; an empty one is accepted."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "port.py").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        assert "nothing is overwritten" in init("python", str(tmp_path / name), code=2).output
    assert (tmp_path / "full" / "port.py").read_text() == "mine"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["port.py"]
    init("python", str(tmp_path / "empty"))


def test_an_unknown_language_gets_the_list_and_what_is_close() -> None:
    """In one sentence."""
    output = init("javascrpt", code=2).output
    assert "did you mean javascript" in output
    assert ", ".join(ports()) in output
    assert len(output.splitlines()) == 1
    assert "did you mean" not in init("cobol", code=2).output


def test_the_usual_short_names(tmp_path: Path) -> None:
    """js, c++, c# and golang are what people type."""
    for name, folder in (("js", "javascript"), ("C++", "cpp"), ("c#", "csharp"), ("golang", "go")):
        output = init(name, str(tmp_path / folder)).output
        assert ports()[folder].title in output


def test_without_a_language_they_are_listed() -> None:
    """With a note at those that the project's tests do not run."""
    lines = init().output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(ports())
    assert all(("not run by our tests" in line) != ports()[line.split()[0]].tested for line in lines)


def test_the_exercise_tells_no_solution_in_advance(tmp_path: Path) -> None:
    """EXERCISE.md names the stages; the harness says what they require, one at a time."""
    output = init("python", str(tmp_path / "mine"), "--exercise").output
    text = (tmp_path / "mine" / "EXERCISE.md").read_text(encoding="utf-8")
    assert "--exercise" in output
    assert "6. update" in text
    assert "δ" not in text
    assert "TODO output delta" in (tmp_path / "mine" / "network.py").read_text(encoding="utf-8")

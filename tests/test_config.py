"""The configuration file: what is read, where, and the error sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backprop_check.config import Configured, configured, implementations
from backprop_check.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[{prefix}implementations.dart]
command = "dart run bin/port.dart"
setup = "dart pub get"
kinks = "pytorch"
[{prefix}implementations.mine]
python = "mynet:backprop"
"""
READ = {
    "dart": Configured("dart run bin/port.dart", "dart pub get", "pytorch"),
    "mine": Configured("python:mynet:backprop"),
}


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("backprop-check.toml", ""),
        ("backprop-check.toml", "tool.backprop-check."),
        ("pyproject.toml", "tool.backprop-check."),
    ],
)
def test_read(tmp_path: Path, name: str, prefix: str) -> None:
    """Its own file, with or without the table's name, or pyproject.toml."""
    (tmp_path / name).write_text(GOOD.format(prefix=prefix))
    assert implementations(tmp_path) == READ
    assert configured("mine", tmp_path) == READ["mine"]
    assert configured("other", tmp_path) is None


def test_its_own_file_goes_first_and_no_other_folder_is_read(tmp_path: Path) -> None:
    """A file further up, which may be a stranger's, cannot name a command."""
    (tmp_path / "pyproject.toml").write_text(GOOD.format(prefix="tool.backprop-check."))
    below = tmp_path / "below"
    below.mkdir()
    assert implementations(below) == {}
    (tmp_path / "backprop-check.toml").write_text('[implementations.own]\ncommand = "x"\n')
    assert list(implementations(tmp_path)) == ["own"]


def test_a_command_is_no_name(tmp_path: Path) -> None:
    """A command line is never looked up, not even where the file is invalid."""
    (tmp_path / "backprop-check.toml").write_text("[[[")
    assert configured("dart run x", tmp_path) is None
    assert configured("./port", tmp_path) is None
    with pytest.raises(ConfigurationError):
        configured("dart", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[[", ["TOML"]),
        ("implementation = {}\n", ["unknown key 'implementation'", "did you mean 'implementations'?"]),
        ("implementations = 3\n", ["at implementations", "expected a table", "got 3"]),
        ("[implementations]\nx = 'y'\n", ["at implementations.x", "got 'y'"]),
        ("[implementations.x]\n", ["at implementations.x", "one of 'command' and 'python'", "neither"]),
        ("[implementations.x]\ncommand = 'a'\npython = 'b'\n", ["command and python"]),
        ("[implementations.x]\ncommand = ['a', 'b']\n", ["at implementations.x.command", "expected a text"]),
        ("[implementations.x]\ncommand = 'a'\nsetup = 1\n", ["at implementations.x.setup", "got 1"]),
        ("[implementations.x]\ncommand = 'a'\nkinks = 'none'\n", ["implementations.x.kinks", "'any' or 'pytorch'"]),
        ("[implementations.x]\ncomand = 'a'\n", ["implementations.x.comand", "did you mean 'command'?"]),
        ("[implementations.x]\nzzz = 'a'\n", ["implementations.x.zzz", "expected command, python, setup, kinks"]),
        ("[tool]\nbackprop-check = 3\n", ["tool.backprop-check", "expected a table"]),
        ("tool = 3\n", ["tool"]),
    ],
)
@pytest.mark.parametrize("project", [False, True])
def test_wrong(tmp_path: Path, text: str, said: list[str], *, project: bool) -> None:
    """The file, the key, what was expected, what came."""
    path = tmp_path / ("pyproject.toml" if project else "backprop-check.toml")
    if project and not text.startswith(("[[[", "[tool]", "tool")):
        text = text.replace("[implementations", "[tool.backprop-check.implementations")
        text = text if text.startswith("[") else f"[tool.backprop-check]\n{text}"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        implementations(tmp_path)
    assert str(path) in str(caught.value)
    for part in said:
        assert part in str(caught.value).replace("tool.backprop-check.", "") or part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_not_utf_8(tmp_path: Path) -> None:
    """A sentence, not a traceback."""
    (tmp_path / "backprop-check.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="TOML"):
        implementations(tmp_path)


@pytest.mark.parametrize(("name", "prefix"), [("backprop-check.toml", ""), ("pyproject.toml", "tool.backprop-check.")])
def test_with_a_mark_of_utf_8(tmp_path: Path, name: str, prefix: str) -> None:
    """Windows' editors put a BOM before the text: it is read like any other file."""
    (tmp_path / name).write_text(GOOD.format(prefix=prefix), encoding="utf-8-sig")
    assert implementations(tmp_path) == READ


@pytest.mark.parametrize(
    "table", ["backprop_check", "backpropcheck", "Backprop-Check", "backprop-chek", "back-prop-check"]
)
@pytest.mark.parametrize("name", ["backprop-check.toml", "pyproject.toml"])
def test_a_table_of_almost_that_name(tmp_path: Path, name: str, table: str) -> None:
    """It is refused with its right name, not ignored."""
    (tmp_path / name).write_text(GOOD.format(prefix=f"tool.{table}."))
    with pytest.raises(ConfigurationError) as caught:
        implementations(tmp_path)
    sentence = f"the table [tool.{table}] is not read: rename it to [tool.backprop-check]"
    assert str(caught.value) == f"{tmp_path / name}: {sentence}"


def test_other_tools_have_other_names(tmp_path: Path) -> None:
    """Other tools' tables are ignored."""
    others = "".join(
        f"[tool.{name}]\nx = 1\n" for name in ("backprop", "black", "pre-commit", "pyproject-check", "check")
    )
    (tmp_path / "pyproject.toml").write_text(others + GOOD.format(prefix="tool.backprop-check."))
    assert implementations(tmp_path) == READ


def test_a_file_of_almost_that_name(tmp_path: Path) -> None:
    """The same for an underscore in the file's name."""
    (tmp_path / "backprop_check.toml").write_text(GOOD.format(prefix=""))
    with pytest.raises(ConfigurationError) as caught:
        configured("mine", tmp_path)
    assert str(caught.value) == f"{tmp_path / 'backprop_check.toml'} is not read: rename it to backprop-check.toml"

"""The ports are one text in many languages: the files and names of PROTOCOL.md, the same parts in the same order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from port_support import BEGIN, PORTS

from backprop_check.explain.starting import ports

if TYPE_CHECKING:
    from pathlib import Path

SECTION = (PORTS / "PROTOCOL.md").read_text("utf-8").split("## The bundled ports\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| (`\w+`)? ?\| (`.+?) \| (.+) \|$", SECTION, re.MULTILINE)

#: Files with other names: required by a compiler, or named after their only class.
OTHERWISE = {
    "swift": {"port": "main"},
    "rust": {"port": "main"},
    "java": {"activations": "activation", "losses": "loss"},
}

#: Names that a language does not need.
UNNEEDED = {
    "add_up": {"csharp", "php", "rust"},  # the language's own sum goes from left to right
    "main": {"lua", "ruby", "swift"},  # the last lines of the file
    "NeuronActivation": {"c", "lua"},  # functions in a table, no class
}

#: Former names.
GONE = ("dloss", "input_slopes", "of_one_neuron", "probability_below", "bell_curve", "largest(", "in_one_step(")


def names() -> dict[str, list[str]]:
    """The names of the table, by file."""
    found: dict[str, list[str]] = {}
    file = ""
    for given, name, what in ROWS:
        file = given.strip("`") or file
        inside = re.findall(r"`(\w+)`", name)
        # The members of a class are in its description.
        members = re.findall(r"`(\w+)`", what) if inside[0][0].isupper() else []
        found.setdefault(file, []).extend(inside + members)
    return found


def plain(text: str) -> str:
    """The text without the differences of conventions: capitals and underscores."""
    return text.lower().replace("_", "")


def sources(language: str) -> list[Path]:
    """The source files."""
    kinds = {".c", ".h", ".cpp", ".hpp", ".cs", ".dart", ".go", ".java", ".js", ".jl", ".kt", ".lua", ".php", ".py"}
    return [
        path for path in sorted((PORTS / language).rglob("*")) if path.suffix in kinds | {".rb", ".rs", ".swift", ".ts"}
    ]


def file_of(language: str, role: str) -> str:
    """The text of the file with that role, with its header where there is one."""
    stem = OTHERWISE.get(language, {}).get(role, role)
    found = [path for path in sources(language) if path.stem.lower() == stem]
    assert found, f"{language} has no file {stem}"
    return "".join(path.read_text(encoding="utf-8") for path in found)


@pytest.mark.parametrize("language", sorted(ports()))
def test_files_and_names_are_those_of_the_table(language: str) -> None:
    """Each name occurs in the file of its role, in the language's spelling."""
    table = names()
    assert list(table) == ["network", "activations", "losses", "mathematics", "backprop", "port"]
    for role, wanted in table.items():
        text = plain(file_of(language, role))
        missing = [name for name in wanted if plain(name) not in text and language not in UNNEEDED.get(name, ())]
        assert missing == [], role


@pytest.mark.parametrize("language", sorted(ports()))
def test_no_old_name_is_left(language: str) -> None:
    """In no file of the port."""
    text = plain("".join(path.read_text(encoding="utf-8") for path in sources(language)))
    assert [name for name in GONE if plain(name) in text] == []


@pytest.mark.parametrize("language", sorted(ports()))
def test_the_parts_stand_in_the_same_order(language: str) -> None:
    """The parts that an exercise leaves out, and their sections."""
    lines = file_of(language, "network").split("\n")
    stages = [begin["stage"] for line in lines if (begin := BEGIN.match(line))]
    assert stages == ["gradients", "update", "hidden delta", "hidden delta", "output delta"]
    sections = [
        line.split(". ", 1)[1].split(":")[0] for line in lines if re.match(r"\s*\S+ (MARK: )?\d\. \w+(:|$)", line)
    ]
    assert sections == ["Neuron", "Layer", "Network"]

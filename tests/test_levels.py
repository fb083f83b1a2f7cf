"""``levels``: README's table is what the command prints, and the ports in it pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from backprop_check.cases.files import SUITES
from backprop_check.cli import main
from backprop_check.commands import levels
from backprop_check.explain.starting import ports
from backprop_check.kinds import KINDS
from backprop_check.running.coverage import SUITES_OF

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def written() -> dict[str, list[str]]:
    """README's table: for every level its cells, with the ports as written."""
    inside = README.split(levels.BEGIN)[1].split(levels.END)[0]
    rows = [re.split(r" \| ", line.strip("| ")) for line in inside.strip().splitlines()]
    return {row[0].split()[1]: row for row in rows[2:]}


def test_the_table_in_readme_is_what_the_command_prints() -> None:
    """Levels, coverage and the number of cases; the next test checks the ports."""
    passing = {name: row[3].split(", ") for name, row in written().items()}
    inside = README.split(levels.BEGIN)[1].split(levels.END)[0]
    assert inside.strip().splitlines() == levels.table(passing)


def test_every_suite_and_every_kind_is_in_a_level() -> None:
    """No suite and no kind is missing."""
    assert sorted(suite for members in SUITES_OF.values() for suite in members) == sorted(SUITES)
    text = "\n".join(levels.table({}))
    assert [kind for kind, of in KINDS.items() if of.family and f"`{kind}`" not in text] == []


@pytest.mark.thorough
def test_the_ports_of_the_table_pass() -> None:
    """Those in Python and PyTorch are run; all others must be ports that ship."""
    done = CliRunner().invoke(main, ["levels", "--port", "python", "--port", "torch", "--cases", "16"])
    assert done.exit_code == 0, done.output
    cells = {row[0]: row[3] for line in done.stdout.splitlines() if (row := line.strip("| ").split(" | "))}
    titles = {port.title for port in ports().values()} | {"PyTorch"}
    for name, row in written().items():
        found = {title.removesuffix(" (in part)") for title in row[3].split(", ")} - {"none"}
        assert found <= titles
        ran = {title.removesuffix(" (in part)") for title in cells[row[0]].split(", ")} - {"none"}
        assert ran == found & {"Python", "PyTorch"}, name


def test_a_port_that_is_wrong_is_not_in_it(tmp_path: Path) -> None:
    """The command says so; cases that a port does not claim are neither passed nor failed."""
    (tmp_path / "wrong.py").write_text(
        "def backprop(case):\n"
        "    layer = {'gradients': {'weights': [[0.0]], 'biases': [0.0]}}\n"
        "    return {'id': case['id'], 'layers': [layer for _ in case['network']['layers']]}\n"
        "backprop.supports = {'layers': ['dense'], 'features': ['graph'], 'optimizers': ['sgd']}\n"
    )
    found = levels.judged_levels("python:wrong:backprop", tmp_path, 4)
    assert found["graph"].startswith("failed in")
    assert found["training"] == ""


def test_what_is_skipped_is_neither_passed_nor_failed(tmp_path: Path) -> None:
    """A port that skips some cases of a level passes it in part; one that skips all of them does not have it."""
    (tmp_path / "skips.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport small_port\n"
        "def backprop(case):\n"
        "    deep = len(case['network']['layers']) > 2\n"
        "    return {'skip': 'too deep'} if deep else small_port.right(case)\n"
        "backprop.supports = {'layers': ['dense'], 'optimizers': ['sgd']}\n"
        "def lazy(case):\n    return {'skip': 'not today'}\n"
    )
    assert levels.judged_levels("python:skips:backprop", tmp_path, 4)["dense"] == "in part"
    assert set(levels.judged_levels("python:skips:lazy", tmp_path, 4).values()) == {""}


def test_the_table_is_written_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the file is unchanged; without marks the file is refused, and left as it is."""
    monkeypatch.setattr(levels, "_run", lambda *_: iter([("Ada", {"dense": "passed", "graph": "in part"})]))
    path = tmp_path / "README.md"
    path.write_text(f"before\n{levels.BEGIN}\nold\n{levels.END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # the second time it is the same
        assert CliRunner().invoke(main, ["levels", "--readme", str(path)]).exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{levels.BEGIN}\n\n| level")
    assert text.endswith(f"|\n\n{levels.END}\nafter\n")
    assert "| Ada |" in text
    assert "| Ada (in part) |" in text
    assert "old" not in text
    path.write_text("nothing here", encoding="utf-8")
    done = CliRunner().invoke(main, ["levels", "--readme", str(path)])
    assert done.exit_code == 2
    assert "no place for the table" in done.output
    assert path.read_text(encoding="utf-8") == "nothing here"

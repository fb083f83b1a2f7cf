"""The output of a port about a case that broke is shown: its traceback, and its last lines on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from command_line import called

from backprop_check.protocol.text import both_ends

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("--suite", "generated", "--cases", "2", "--html", "r.html", "--json", "r.json", "--junit", "r.xml")

CALLABLE = """
def deep(case):
    def innermost_call():
        raise ZeroDivisionError("a division by zero")
    innermost_call()
"""

PORT = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["type"] == "hello":
        print(json.dumps({"protocol": 1, "name": "port"}), flush=True)
    else:
        ANSWER
"""

HOSTILE = "\x1b[31mred <script>alert(1)</script> [bold]\u202e"


def port(folder: Path, answer: str) -> str:
    (folder / "port.py").write_text(PORT.replace("ANSWER", answer), encoding="utf-8")
    return f'"{sys.executable}" port.py'


def outputs(folder: Path, implementation: str) -> tuple[str, list[str], str]:
    """The terminal's text, the notes of the first case in the JSON, and the first case's data on the page."""
    (folder / "state").mkdir()
    done = called(folder, "run", implementation, *RUN)
    assert done.exit_code == 1, done.output
    notes: list[str] = json.loads((folder / "r.json").read_text(encoding="utf-8"))["cases"][0]["notes"]
    page = (folder / "r.html").read_text(encoding="utf-8")
    detail: dict[str, Any] = json.loads(page.split('id="d0">')[1].split("</script>")[0])
    shown = json.dumps(detail, ensure_ascii=False)
    assert "\x1b" not in done.output + shown
    assert "\u202e" not in done.output + shown
    assert "<script>alert" not in page
    return done.output, notes, shown


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_callable_that_raises(tmp_path: Path) -> None:
    """Where it raised: file, function, line, in the terminal, the JSON, the page and JUnit's XML."""
    (tmp_path / "mine.py").write_text(CALLABLE, encoding="utf-8")
    terminal, notes, page = outputs(tmp_path, "python:mine:deep")
    (traceback,) = [note for note in notes if note.startswith("traceback:\n")]
    assert 'mine.py", line 5, in deep' in traceback
    assert traceback.endswith("ZeroDivisionError: a division by zero")
    for shown in (terminal, page, (tmp_path / "r.xml").read_text(encoding="utf-8")):
        assert "in innermost_call" in shown
    assert "  traceback:\n    Traceback (most recent call last):\n" in terminal


def test_a_port_that_sends_one(tmp_path: Path) -> None:
    """It is shown as text, whatever it contains, and a long one with both ends."""
    lines = ["first " + HOSTILE, *(f"frame {number} {'x' * 60}" for number in range(2000)), "the last"]
    reply = {"error": "it broke", "traceback": "\n".join(lines)}
    answer = f"print(json.dumps({{'id': request['id'], **json.loads({json.dumps(reply)!r})}}), flush=True)"
    terminal, notes, page = outputs(tmp_path, port(tmp_path, answer))
    (traceback,) = [note for note in notes if note.startswith("traceback:\n")]
    assert len(traceback) < 4200
    for shown in (terminal, traceback, page):
        assert "\\x1b[31mred" in shown
        assert "left out)" in shown
        assert "the last" in shown
    assert len(terminal.split("  traceback:\n")[1].split("\n\n")[0].splitlines()) <= 20


def test_a_port_that_dies(tmp_path: Path) -> None:
    """Its output on standard error, line by line."""
    said = "\n".join(["Exception in thread main", HOSTILE, *(f"  at frame {number}" for number in range(5))])
    terminal, notes, page = outputs(tmp_path, port(tmp_path, f"sys.stderr.write({said!r}); sys.exit(3)"))
    assert any(note.startswith("stderr:\nException in thread main\n") for note in notes)
    assert "  stderr:\n    Exception in thread main\n" in terminal
    for shown in (terminal, page):
        assert "at frame 0" in shown
        assert "at frame 4" in shown


def test_where_an_error_has_a_name(tmp_path: Path) -> None:
    """An overflow that the port reports is a cause, which also shows the first case's traceback."""
    answer = (
        "print(json.dumps({'id': request['id'], 'error': 'OverflowError: math range error', "
        "'traceback': 'in exponential'}), flush=True)"
    )
    terminal, _, _ = outputs(tmp_path, port(tmp_path, answer))
    assert "  traceback:\n    in exponential\n" in terminal


def test_both_ends() -> None:
    """Short ones stay whole, long ones lose their middle."""
    assert both_ends("abc", 4) == "abc"
    assert both_ends("abcdefgh", 4) == "ab\n… (4 characters left out)\ngh"

"""The command line as users call it: in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

from backprop_check.cli import main

if TYPE_CHECKING:
    from click.testing import Result

HERE = Path(__file__).resolve().parent


def small_port(fault: str = "right") -> str:
    """The command line of ``small_port.py`` with that fault."""
    return f'"{sys.executable}" "{HERE / "small_port.py"}" {fault}'


def called(folder: Path, *arguments: str) -> Result:
    """Run ``backprop-check ARGUMENTS`` in a folder; an exception that is not an exit of the command line is raised."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def sentence_of(folder: Path, *arguments: str, code: int) -> str:
    """The one line on stderr with which the command ends; its exit code must be the one given."""
    done = called(folder, *arguments)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    lines = done.stderr.strip().splitlines()
    assert lines, done.output
    return lines[-1] if code == 2 and lines[-1].startswith("Error:") else "\n".join(lines)

"""Output in cp1252 or ASCII: every command prints the same in readable text, and its files are still UTF-8."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backprop_check
from backprop_check.report.plain_text import PlainStream, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(backprop_check.__file__).parent
MAZUR = f'"{sys.executable}" "{PACKAGE / "ports" / "mazur" / "port.py"}"'

#: The commands that are called, one after another, in one folder.
CALLS = [
    [
        "run",
        MAZUR,
        "--suite",
        "published",
        "--html",
        "r.html",
        "--junit",
        "r.xml",
        "--csv",
        "r.csv",
        "--json",
        "r.json",
    ],
    ["replay"],
    ["smoke", MAZUR],
    ["explain", "BP107"],
    ["explain", "mazur-2x2x2", "--neuron", "hidden1:0"],
    ["explain", "mazur-2x2x2", "--impl", MAZUR, "--output", "e.html"],
    ["guide"],
    ["guide", "5"],
    ["guide", "--html", "g.html"],
    ["bugs"],
    ["bugs", "--json"],
    ["cases", "--suite", "published"],
    ["levels", "--port", "no-such-port"],
    ["report", "r.json", "--html", "again.html"],
    ["init"],
    ["nö-such-command δ"],
    ["--help"],
    *([name, "--help"] for name in ("run", "explain", "guide", "bugs", "smoke", "replay", "levels", "cases")),
]

#: Runs the calls in this process, each after a line that names it; prints the exit codes at the end.
CALLING = """
import json, sys
from backprop_check.cli import main
codes = []
for arguments in json.loads(sys.argv[1]):
    print("####", arguments[0].encode("ascii", "replace"), flush=True)
    try:
        main(arguments, prog_name="backprop-check")
    except SystemExit as end:
        codes.append(end.code)
print("#### codes", codes)
"""

ASCII_ONLY = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("encoding", "environment"),
    [
        ("ascii", {"PYTHONIOENCODING": "ascii"}),
        pytest.param("cp1252", {"PYTHONIOENCODING": "cp1252"}, marks=pytest.mark.thorough),
        pytest.param("ascii", ASCII_ONLY, marks=pytest.mark.thorough),
        pytest.param("utf-8", {"LANG": "C", "PYTHONIOENCODING": "utf-8"}, marks=pytest.mark.thorough),
    ],
    ids=["ascii", "cp1252", "LANG=C", "utf-8"],
)
def test_every_command(encoding: str, environment: dict[str, str], tmp_path: Path) -> None:
    """None fails, none writes UTF-8 to a console of another encoding, and the text is readable; files are UTF-8."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONIO", "PYTHONUTF8"))}
    done = subprocess.run(
        [sys.executable, "-c", CALLING, json.dumps(CALLS)],
        cwd=tmp_path, env={**inherited, "XDG_STATE_HOME": str(tmp_path), **environment},
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    said, errors = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 0, errors[-3000:]
    assert said.splitlines()[-1] == f"#### codes {expected_codes()}", said[-3000:] + errors[-3000:]
    assert "Traceback" not in said + errors
    assert "\\u" not in said
    run = said.split("####")[1]
    if encoding == "utf-8":
        assert "δⱼ = (Σₖ wₖⱼ δₖ) · φ′(zⱼ), with the weights of the forward pass" in run
        assert "∂L/∂w" in run
    else:
        times = "·" if encoding == "cp1252" else "*"
        assert f"right:        delta_j = (sum_k w_kj delta_k) {times} phi'(z_j), with the weights" in run
        assert "w^+ = w - eta dL/dw" in run
    assert "The cause: weights updated too early (BP107)." in run
    for name in ("r.html", "again.html", "e.html", "g.html", "r.json"):
        assert "δ" in (tmp_path / name).read_text(encoding="utf-8"), name
    for name in ("r.xml", "r.csv"):
        assert "mazur-2x2x2" in (tmp_path / name).read_text(encoding="utf-8"), name


def expected_codes() -> list[int]:
    """Mazur's network fails where it is judged (smoke has no update); two calls are wrong."""
    fails = {0: 1, 1: 1, 5: 1, 12: 2, 15: 2}
    return [fails.get(number, 0) for number in range(len(CALLS))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("δⱼ⁽²⁾ = φ′(zⱼ)", "delta_j^(2) = phi'(z_j)"),
        ("∂L/∂w = (Σₖ wₖⱼ δₖ) · a", "dL/dw = (sum_k w_kj delta_k) * a"),
        ("a⁽ˡ⁾ₗ − 10⁻⁶ ≤ ½ ηδ…", "a^(l)_l - 10^-6 <= 1/2 eta delta..."),
        ("x̂ = (x − μ)/√(σ² + ε)", "x_hat = (x - mu)/sqrt(sigma^2 + eps)"),
        ("┌──┐│━┃╭╯", "+--+|-|++"),
        ("café 中", "cafe \\u4e2d"),
        ("no news", "no news"),
    ],
)
def test_readable(text: str, expected: str) -> None:
    """Greek letters become words, indexes and exponents stay together, lines stay lines."""
    assert plain(text, "ascii") == expected
    assert plain(text, "utf-8") == text


def test_what_an_encoding_has_it_keeps() -> None:
    """An exponent of which the encoding has only a part is replaced as a whole."""
    assert plain("x² · x⁽²⁾ ± ½", "cp1252") == "x² · x^(2) ± ½"


@given(st.text(), st.sampled_from(["ascii", "cp1252", "cp437", "iso8859-7", "utf-8"]))
def test_any_text_can_be_written(text: str, encoding: str) -> None:
    """Whatever a port calls itself; characters that can be encoded stay as they are."""
    shown = plain(text, encoding)
    shown.encode(encoding)
    assert plain(shown, encoding) == shown


def signs() -> Iterator[tuple[str, str]]:
    """Every character beyond ASCII in a text of the package, with its first occurrence."""
    found: dict[str, str] = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md")]):
        if "ports" not in path.relative_to(PACKAGE).parts and path.name != "plain_text.py":
            for character in path.read_text(encoding="utf-8"):
                if not character.isascii():
                    found.setdefault(character, path.name)
    yield from found.items()


def test_every_sign_of_ours_has_its_ascii() -> None:
    """A new character needs an entry in ``plain_text``: readers must not see escapes."""
    unread = [
        (sign, where) for sign, where in signs() if not plain(sign, "ascii").strip() or "\\" in plain(sign, "ascii")
    ]
    assert unread == []


def test_equations_stay_aligned() -> None:
    """The lines below an equation keep their = below its =, though its left side became longer."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = PlainStream(out)
    lines = ["  right:  ∂L/∂a⁽¹⁾₀ = w⁽²⁾₀₀·δ⁽²⁾₀", f"{'':20}= 0.4·0.1", f"{'':20}= 0.04"]
    assert {line.index("=") for line in lines} == {20}
    for line in lines:  # in pieces, as rich writes it
        stream.write(line + "\n")
    out.flush()
    shown = out.buffer.getvalue().decode().splitlines()
    assert shown[0] == "  right:  dL/da^(1)_0 = w^(2)_00*delta^(2)_0"
    assert {line.index("=") for line in shown} == {shown[0].index("=")}

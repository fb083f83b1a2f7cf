"""The ports in C, C++, Ruby, PHP, Lua, Swift, Julia, Dart and Python, as ``port.toml`` says to build and run them."""

from __future__ import annotations

import functools
import json
import math
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import mpmath
import pytest
from helpers import tool
from port_support import LONG, about, build, conforms, port_folder, runs_but_is_wrong

from backprop_check.protocol import ECHO, hello_request, split_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ready = Callable[[str], tuple[str, Path]]

LANGUAGES = ["c", "cpp", "ruby", "php", "lua", "swift", "julia", "dart", "python"]

#: tests/test_ports.py runs these two on the 500 cases.
ELSEWHERE = ("dart", "python")

SANITIZED = "-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all"


def with_tools(language: str, command: str) -> str:
    """The command with the path of its tool; the test is skipped where the tool is missing."""
    port = about(language)
    for name in port["needs"]:
        if not port["tested"] and shutil.which(name) is None:
            pytest.skip(f"{port['title']} is not installed here, and no test machine has to have it")
        command = " ".join(f'"{tool(name)}"' if word == name else word for word in command.split(" "))
    return command


def make(language: str, parent: Path, *, exercise: bool = False, optimized: str = "-O2") -> tuple[str, Path]:
    """The command that runs a copy of the port, built where necessary, and the copy's folder."""
    port = about(language)
    folder = port_folder(language, parent, exercise=exercise)
    if "build" in port:
        build(folder, with_tools(language, port["build"].replace("-O2", optimized)))
    return with_tools(language, port["run"]), folder


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    """A function that makes each port once."""
    return functools.cache(lambda language: make(language, tmp_path_factory.mktemp(language)))


def talk(command: str, folder: Path, lines: list[bytes]) -> list[dict[str, Any]]:
    """The replies to these lines, all sent at once; the port must exit with 0 and print nothing but replies."""
    done = subprocess.run(
        split_command(command),
        cwd=folder,
        input=b"\n".join(lines),  # the last line ends with the input, without a newline
        capture_output=True,
        check=False,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return [json.loads(line) for line in done.stdout.splitlines()]


def case(**changes: Any) -> dict[str, Any]:
    """A request for a small network with one hidden layer, over three steps."""
    weights = {"weights": [[0.5, -0.25], [0.125, 1.0]], "biases": [0.25, -0.5]}
    layers = [{"kind": "dense", "units": 2, "activation": name, "parameters": weights} for name in ("tanh", "softmax")]
    usual = {
        "type": "case",
        "id": "usual",
        "network": {"inputs": 2, "layers": layers},
        "loss": {"kind": "cross_entropy"},
        "reduction": "mean",
        "inputs": [[1.0, -2.0]],
        "targets": [[0.0, 1.0]],
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
        "steps": 3,
    }
    return usual | changes


def hostile() -> list[bytes]:
    """Every kind of difficult request, each between two usual ones."""
    usual = case()
    infinite = case(id="infinite", inputs=[["Infinity", 1.0]])
    nan = case(id="nan", inputs=[["NaN", 1.0]])
    unknown = case(id="unknown", loss={"kind": "of our own"})
    momentum = case(id="momentum", optimizer={"kind": "sgd", "learning_rate": 0.5, "momentum": 0.9})
    wide = case(id='wide ä \n \U0001f600 \\ "', inputs=[[0.1, 0.2]] * 2000, targets=[[0.5, 0.5]] * 2000, steps=1)
    broken = [b'{"type": "case", "id": ', b"[1, 2]", b"7", b'{"type": "case", "id": "empty"}']
    requests: list[dict[str, Any]] = [infinite, nan, unknown, momentum, {"type": "of tomorrow", "id": "later"}, wide]
    between = json.dumps(usual).encode()
    lines = [hello_request("0"), b"", *(json.dumps(request).encode() for request in requests), *broken]
    return [line for request in lines for line in (request, between)]


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language not in ELSEWHERE])
def test_port_conforms(language: str, ready: Ready) -> None:
    """500 generated cases and the published ones, not one finding, no digit of the echo lost."""
    conforms(*ready(language))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "language", [pytest.param(each, marks=pytest.mark.slow) if each == "cpp" else each for each in LANGUAGES]
)
def test_exercise_still_runs(language: str, tmp_path: Path) -> None:
    """Without the backward pass the port builds, answers, and is wrong."""
    runs_but_is_wrong(*make(language, tmp_path, exercise=True, optimized="-O0"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_port_answers_whatever_comes(language: str, ready: Ready) -> None:
    """Skips unsupported cases, reports errors, goes on, writes NaN as text, and exits when stdin ends."""
    check_answers(*ready(language))


@pytest.mark.parametrize("language", ["c", pytest.param("cpp", marks=pytest.mark.thorough)])
def test_no_memory_is_lost_or_misused(language: str, tmp_path: Path) -> None:
    """The same under the address, leak and undefined-behaviour sanitizers."""
    check_answers(*make(language, tmp_path, optimized=SANITIZED))


def check_answers(command: str, folder: Path) -> None:
    lines = hostile()
    replies = talk(command, folder, lines)
    assert len(replies) == len(lines) - 1  # the empty line has no reply
    hello, usual = replies[0], replies[1]
    assert repr([float(number) for number in hello["echo"]]) == repr([float(number) for number in ECHO])
    assert [len(usual[key]) for key in ("layers", "input_gradients", "trajectory")] == [2, 1, 3]
    assert usual["layers"][0]["updated"] == usual["trajectory"][2]["layers"][0]["updated"]

    by_id = {reply["id"]: reply for reply in replies[2:] if "id" in reply}
    assert [reply for reply in replies[2:] if reply.get("id") == "usual"] == [usual] * 11
    assert "NaN" in json.dumps(by_id["nan"])
    assert by_id["infinite"]["layers"][0]["z"] == [["Infinity", "Infinity"]]
    assert "skip" in by_id["unknown"]
    assert ("skip" in by_id["momentum"]) == ("features" not in hello["supports"])
    assert "skip" in by_id["later"] or "error" in by_id["later"]
    assert len(by_id['wide ä \n \U0001f600 \\ "']["layers"][1]["delta"]) == 2000
    assert "error" in by_id["empty"]
    assert len([reply for reply in replies if reply.get("id") is None and "error" in reply]) == 3


#: Programs that read numbers and print, for each, what the port's own functions of these names give.
OWN_FUNCTIONS = {
    "lua": (
        ("erfc", "tanh", "expm1", "log1p"),
        ["lua", "-e"],
        """
        local m = require("mathematics")
        for line in io.lines() do
          local x = tonumber(line)
          print(("%.17g %.17g %.17g %.17g"):format(m.erfc(x), m.tanh(x), m.expm1(x), m.log1p(x)))
        end
        """,
    ),
    "php": (
        ("erfc",),
        ["php", "-r"],
        """
        require "mathematics.php";
        while (($line = fgets(STDIN)) !== false) { printf("%.17e\n", erfc((float) $line)); }
        """,
    ),
    "julia": (
        ("erfc",),
        ["julia", "-e"],
        """
        include(joinpath(pwd(), "mathematics.jl"))
        for line in eachline(stdin) println(erfc(parse(Float64, line))) end
        """,
    ),
    "ruby": (
        ("expm1", "log1p"),
        ["ruby", "-r./mathematics", "-e"],
        '$stdin.each_line { |line| x = Float(line); puts "#{expm1(x)} #{log1p(x)}" }',
    ),
}


@pytest.mark.parametrize("language", OWN_FUNCTIONS)
def test_own_functions_are_precise(language: str, ready: Ready) -> None:
    """Functions that the language lacks are right within 4 units in the last place, as other libraries' are."""
    names, program, code = OWN_FUNCTIONS[language]
    with_tools(language, program[0])
    points = [k / 128 for k in range(-127, 3500)] + [10.0**-k for k in range(3, 300, 7)]
    done = subprocess.run(
        [*program, code],
        cwd=ready(language)[1],
        input="\n".join(map(repr, points)),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(points)
    for x, line in zip(points, lines, strict=True):
        for name, got in zip(names, line.split(), strict=True):
            true = float(getattr(mpmath, name)(mpmath.mpf(x)))
            assert abs(float(got) - true) <= 4 * math.ulp(true), (name, x)


@pytest.mark.parametrize("language", ["c", "lua", "php"])
def test_a_line_of_ten_megabytes(language: str, ready: Ready) -> None:
    """A request of any length is read, by growing buffers; and unknown fields are skipped."""
    command, folder = ready(language)
    line = json.dumps(case(note=[0.12345678] * 900_000)).encode()
    assert len(line) > 10_000_000
    usual, long = talk(command, folder, [json.dumps(case()).encode(), line])
    assert long == usual

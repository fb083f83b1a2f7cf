"""A callable in a process of its own: if it ends its process only its case fails; otherwise it is judged as
in-process.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from protocol_support import patiently

from backprop_check.cases.generate import generated_cases
from backprop_check.errors import ConfigurationError, StartError
from backprop_check.protocol import Answer, CallableImplementation, Opening, load_callable, open_implementation

if TYPE_CHECKING:
    from pathlib import Path

CASES = list(generated_cases(3))
REQUESTS = [(case.id, case.request()) for case in CASES]

HEAD = """
import os, sys, time
count = 0
def second(does):
    def backprop(case):
        global count
        count += 1
        print("a log line", count)
        sys.stdout.flush()
        if case["id"] == SECOND:
            return does(case)
        return {"layers": []}
    return backprop
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start in, with a module in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _answers(folder: Path, name: str, body: str, **options: object) -> list[Answer]:
    text = f"{HEAD}\nSECOND = {REQUESTS[1][0]!r}\n@second\ndef backprop(case):\n    {body}\n"
    (folder / f"{name}.py").write_text(text)
    spec = f"python:{name}:backprop"
    with open_implementation(spec, Opening(**options), isolated=True) as port:  # type: ignore[arg-type]
        assert port.describe().name == f"{name}:backprop"
        assert port.describe().command == spec
        assert port.echo_problems == []
        return list(port.exchange(REQUESTS))


@pytest.mark.parametrize(
    ("name", "body", "kind", "said"),
    [
        ("exits", "os._exit(5)", "crash", "exited with code 5"),
        ("exits_well", "os._exit(0)", "crash", "exited with code 0"),
        ("aborts", "os.abort()", "crash", "SIGABRT"),
        ("hangs", "time.sleep(3600)", "timeout", "within {:g} s"),
        ("grows", "x = bytearray(300_000_000); time.sleep(3600)", "crash", "more than its limit of 200 MiB"),
    ],
)
def test_what_it_does_to_itself_costs_its_case(name: str, body: str, kind: str, said: str, module: Path) -> None:
    """The other cases are answered by a restarted process; what the callable prints is not taken for a reply."""

    def check(timeout: float) -> None:
        answers = _answers(module, name, body, timeout=timeout, memory_limit=200 * 2**20)
        assert [each.kind for each in answers] == ["reply", kind, "reply"]
        assert said.format(timeout) in answers[1].message
        assert [each.noise for each in answers] == [0, 0, 0]

    patiently(check, seconds=1.0 if name == "hangs" else 30.0)


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        "return {'x': object()}",
        "return {'id': 'another'}",
        "return {'layers': 5}",
        "raise ValueError('no')",
        "sys.exit(3)",
        "return {'skip': 'not today'}",
        "return {'loss': float('nan'), 'layers': [{'z': (1, 2)}]}",
    ],
)
def test_what_it_returns_is_judged_as_in_this_process(body: str, module: Path) -> None:
    """The outcome and the sentence are the same."""
    name = f"returns_{abs(hash(body))}"
    found = _answers(module, name, body)
    here = CallableImplementation(load_callable(f"python:{name}:backprop"))
    for one, other in zip(found, here.exchange(REQUESTS), strict=True):
        assert (one.kind, one.message) == (other.kind, other.message)
        assert (one.reply is None) == (other.reply is None)


def test_what_it_says_of_itself_is_its_hello(module: Path) -> None:
    """The attributes of the function, as in this process."""
    text = "def backprop(case):\n    return {}\nbackprop.dtype = 'float32'\nbackprop.supports = {'batch': False}\n"
    (module / "says.py").write_text(text)
    with open_implementation("python:says:backprop", isolated=True) as port:
        assert (port.hello.dtype, port.hello.supports.batch) == ("float32", False)
        assert port.hello.language.startswith("Python 3")


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("python:no_such_module:f", ConfigurationError, 'there is no module "no_such_module"'),
        ("python:json:dump_s", ConfigurationError, "did you mean dumps"),
        ("python:broken:f", ConfigurationError, 'importing "broken" failed: RuntimeError: not now'),
        ("python:leaves:f", StartError, "exited with code 7 before it answered hello"),
        ("python:wrong:f", StartError, "the hello of wrong:f is wrong"),
        ("python:poses:f", StartError, "exited with code 78"),
    ],
)
def test_one_that_cannot_be_had(spec: str, error: type[Exception], said: str, module: Path) -> None:
    """The same sentence as in this process."""
    (module / "broken.py").write_text("raise RuntimeError('not now')\n")
    (module / "leaves.py").write_text("import os\nos._exit(7)\n")
    (module / "wrong.py").write_text("def f(case): pass\nf.dtype = 'float16'\n")
    (module / "poses.py").write_text("import os\ndef f(case): pass\nos._exit(78)\n")
    with pytest.raises(error, match=said.replace("(", "\\(")):
        open_implementation(spec, isolated=True)


def test_advice_that_fits_a_callable(module: Path) -> None:
    """It writes and flushes no lines: only its import, or itself, can be slow."""
    (module / "sleeper.py").write_text("import time\ntime.sleep(600)\ndef backprop(case):\n    return {}\n")
    with pytest.raises(StartError) as caught:
        open_implementation("python:sleeper:backprop", Opening(start_timeout=2), isolated=True)
    said = str(caught.value)
    assert 'importing "python:sleeper:backprop" takes too long' in said
    assert "--start-timeout waits longer" in said
    assert "flush" not in said
    answers = _answers(module, "dreams", "time.sleep(600)", timeout=1)
    assert "the callable had not returned by then; --timeout waits longer" in answers[1].message
    assert "flush" not in answers[1].message


@pytest.mark.parametrize("one_shot", [False, True])
def test_advice_that_fits_a_command(module: Path, *, one_shot: bool) -> None:
    """A command that answers only when its input has ended gets the advice of --one-shot, and answers with it."""
    hello = '{"protocol": 1, "name": "octave"}'
    (module / "port.py").write_text(f"import sys\nsys.stdin.read()\nprint({hello!r})\n")
    command = f'"{sys.executable}" port.py'
    if one_shot:
        with open_implementation(command, Opening(one_shot=True)) as port:
            assert port.describe().name == "octave"
        return
    with pytest.raises(StartError) as caught:
        open_implementation(command, Opening(start_timeout=2))
    assert "flush its output?" in str(caught.value)
    assert "(Octave's usually do) needs --one-shot" in str(caught.value)

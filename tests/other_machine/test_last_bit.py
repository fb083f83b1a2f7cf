"""Another machine's last bits change numbers, but no verdict and no name."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import last_bit
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from command_line import small_port

HERE = Path(__file__).parent
PORT = Path(__file__).parents[2] / "backprop_check" / "ports" / "python" / "port.py"

#: The functions of this machine, also where these tests themselves run with moved ones.
MATH: dict[str, Any] = getattr(math, "_unmoved", {name: getattr(math, name) for name in last_bit.MATH})
NUMPY: dict[str, Any] = {name: getattr(getattr(np, name), "_ufunc", getattr(np, name)) for name in last_bit.NUMPY}

POINTS = [0.1, 0.3, 0.5, 0.7, 1.3, 2.5, 3.75]


#: Exact results, the ends of a range, and arguments so small that they are the result.
STAYS = {
    "exp": [(0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (-1000.0, 0.0)],
    "expm1": [(0.0, 0.0), (1e-300, 1e-300), (-800.0, -1.0)],
    "log": [(1.0, 0.0), (math.inf, math.inf)],
    "log1p": [(0.0, 0.0), (1e-300, 1e-300)],
    "tanh": [(0.0, 0.0), (1e-300, 1e-300), (40.0, 1.0), (-40.0, -1.0)],
    "erf": [(0.0, 0.0), (40.0, 1.0), (-40.0, -1.0)],
}


def environment(folder: Path, ulps: int) -> dict[str, str]:
    """The environment of a Python with moved mathematics, and of all that it starts."""
    moved = {last_bit.VARIABLE: str(ulps), "PYTHONPATH": str(HERE), "BACKPROP_CHECK_CACHE": str(folder / f"{ulps}")}
    return {**os.environ, **moved}


@pytest.mark.parametrize("name", last_bit.MATH)
def test_results_are_one_ulp_beside(name: str) -> None:
    """Up or down, the same each time; exact results and the ends of a function's range are not moved."""
    right, moved = MATH[name], last_bit.moved_in_math(MATH[name], 1)
    steps = [(moved(x) - right(x)) / math.ulp(right(x)) for x in POINTS]
    assert set(steps) == {1.0, -1.0}
    assert [moved(x) for x in POINTS] == [moved(x) for x in POINTS]
    assert str(moved(math.nan)) == "nan"
    for x, y in STAYS[name]:
        assert moved(x) == right(x) == y


def test_as_far_as_the_bounds_allow() -> None:
    """Four u, and no more: two or three units in the last place."""
    moved = last_bit.moved_in_math(MATH["exp"], 4)
    far = [abs(moved(x) - MATH["exp"](x)) / MATH["exp"](x) for x in POINTS]
    assert max(far) <= 4 * 2.0**-53
    assert min(far) > 2 * 2.0**-53


def test_an_error_stays_an_error() -> None:
    """A function that raises still raises; a logarithm with a base is not moved."""
    with pytest.raises(OverflowError):
        last_bit.moved_in_math(MATH["exp"], 1)(1000.0)
    with pytest.raises(ValueError, match=r"math domain error|expected a positive input"):
        last_bit.moved_in_math(MATH["log"], 1)(-1.0)
    assert last_bit.moved_in_math(MATH["log"], 1)(8.0, 2.0) == MATH["log"](8.0, 2.0)


@pytest.mark.parametrize("name", last_bit.NUMPY)
@pytest.mark.parametrize("ulps", [1, 4])
def test_numpy_is_moved_as_math_is(name: str, ulps: int) -> None:
    """The same direction for the same argument, so that two programs on one machine agree as before."""
    moved, scalar = last_bit.MovedInNumpy(NUMPY[name], np, ulps), last_bit.moved_in_math(MATH[name], ulps)
    for x, y, right in zip(POINTS, moved(np.array(POINTS)), NUMPY[name](np.array(POINTS)), strict=True):
        assert (y > right) == (scalar(x) > MATH[name](x))
        assert y != right


def test_numpy_functions_work_as_before() -> None:
    """With ``out``, ``where``, scalars, float32, integers, complex numbers and objects."""
    exp = last_bit.MovedInNumpy(NUMPY["exp"], np, 1)
    x = np.array(POINTS, dtype=np.float32)
    steps = (exp(x) - NUMPY["exp"](x)) / np.spacing(NUMPY["exp"](x))
    assert (exp(x).dtype, set(steps.tolist())) == (np.dtype(np.float32), {1.0, -1.0})
    y = np.array(POINTS)
    assert exp(y, out=y) is y
    assert (y == exp(np.array(POINTS))).all()
    assert exp(np.array([1.5, 2.5]), out=np.zeros(2), where=np.array([True, False])).tolist() == [exp(1.5), 0.0]
    assert isinstance(exp(0.3), np.float64)
    assert exp([0, 1]).tolist() == [1.0, exp(1.0)]
    assert exp(1j) == NUMPY["exp"](1j)
    with np.errstate(over="ignore"):
        assert exp(np.array([0.0, -math.inf, math.inf, 1000.0])).tolist() == [1.0, 0.0, math.inf, math.inf]

    class Number:
        def exp(self) -> str:
            return "its own"

    assert exp(np.array([Number()], dtype=object)).tolist() == ["its own"]
    assert exp.types == NUMPY["exp"].types


def test_child_pythons_are_moved(tmp_path: Path) -> None:
    """And their children: ``math``, and NumPy when it is imported, which happens no earlier than without the move."""
    (tmp_path / "child.py").write_text(
        "import json, math, sys\nearly = 'numpy' in sys.modules\nimport numpy as np\n"
        "print(json.dumps([early, math.erf(0.3), math.exp(0.3), float(np.tanh(np.array([0.3]))[0])]))\n"
    )
    (tmp_path / "parent.py").write_text("import subprocess, sys\nsubprocess.run([sys.executable, sys.argv[1]])\n")
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "child.py")]
    found = {}
    for ulps in (0, 1):
        done = subprocess.run(command, env=environment(tmp_path, ulps), capture_output=True, text=True, check=True)
        found[ulps] = json.loads(done.stdout)
    assert found[0] == [False, MATH["erf"](0.3), MATH["exp"](0.3), float(NUMPY["tanh"](np.array([0.3]))[0])]
    assert found[1][0] is False
    for here, there in zip(found[0][1:], found[1][1:], strict=True):
        assert abs(here - there) == math.ulp(here)


def judged(folder: Path, ulps: int, command: str, *options: str) -> dict[str, Any]:
    """The results of a run on a machine with moved mathematics."""
    path = folder / f"{ulps}.json"
    code = "from backprop_check.cli import main; main()"
    arguments = [sys.executable, "-c", code, "run", command, "--json", str(path), *options]
    done = subprocess.run(
        arguments, cwd=folder, env=environment(folder, ulps), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


@pytest.mark.parametrize("ulps", [1, pytest.param(4, marks=pytest.mark.thorough)])
def test_what_is_right_stays_right(ulps: int, tmp_path: Path) -> None:
    """The bundled port passes cases of many levels where all Pythons round differently, and PyTorch does not."""
    suites = ("published", "generated", "recurrent", "attention", "normalisation", "training")
    options = [option for suite in suites for option in ("--suite", suite)]
    results = judged(tmp_path, ulps, f'"{sys.executable}" "{PORT}"', *options, "--cases", "60")
    assert [case["id"] for case in results["cases"] if case["outcome"] != "passed"] == []
    assert len(results["cases"]) > 100


@pytest.mark.thorough
def test_what_is_wrong_keeps_its_name(tmp_path: Path) -> None:
    """The numbers differ; the failing cases, their wrong values and the cause are the same."""
    options = ("--suite", "generated", "--cases", "20")
    here, *others = (judged(tmp_path, ulps, small_port("hidden"), *options) for ulps in (0, 1, 4))
    wanted = [(case["id"], case["outcome"], places(case)) for case in here["cases"]]
    for other in others:
        assert [(case["id"], case["outcome"], places(case)) for case in other["cases"]] == wanted
        assert [cause["code"] for cause in other["diagnoses"]] == ["BP102"]
        for key in ("expected", "actual"):
            assert numbers(here, key) != numbers(other, key)


def places(case: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The places of the wrong values."""
    keys = ("quantity", "layer", "neuron", "sample", "index", "origin")
    return [tuple(mismatch[key] for key in keys) for mismatch in case["mismatches"]]


def numbers(results: dict[str, Any], key: str) -> list[Any]:
    """All expected values, or all values that came."""
    return [mismatch[key] for case in results["cases"] for mismatch in case["mismatches"]]


def test_the_tests_find_it(tmp_path: Path) -> None:
    """``BACKPROP_CHECK_ULPS`` is read by conftest.py at the top, so that pytest's own process is moved too."""
    (tmp_path / "test_moved.py").write_text(
        f"import math, numpy\n\ndef test_moved():\n"
        f"    assert math.exp(0.3) != {MATH['exp'](0.3)!r}\n"
        f"    assert numpy.tanh(0.3) != {float(NUMPY['tanh'](0.3))!r}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", "-c", os.devnull]
    done = subprocess.run(
        [*command, str(tmp_path / "test_moved.py")],
        cwd=Path(__file__).parents[2],
        env={**environment(tmp_path, 1), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

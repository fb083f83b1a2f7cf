"""The main job end to end, on real processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from backprop_check.cases.files import SUITES, suite_files
from backprop_check.cli import main

PORTS = Path(__file__).parents[1] / "backprop_check" / "ports"
PYTHON = f'"{sys.executable}" "{PORTS / "python" / "port.py"}"'


@pytest.mark.thorough
def test_the_python_port_conforms(tmp_path: Path) -> None:
    """The bundled port passes every case of every suite, and the results file says so and is complete."""
    results = tmp_path / "results.json"
    done = CliRunner().invoke(main, ["run", PYTHON, "--cases", "100", "--json", str(results)])

    assert done.exit_code == 0, done.output
    summary = json.loads(results.read_text())["summary"]
    shipped = sum(len(suite_files(suite)) for suite in SUITES)
    assert shipped >= 9 + 63 + 28
    assert summary["complete"]
    further = set(SUITES) - {"published", "edge", "generated"}
    made = 100 + 25 * len(further)  # each further suite adds a quarter
    assert (summary["cases"], summary["passed"]) == (made + shipped, made + shipped)


@pytest.mark.thorough
def test_a_planted_bug_is_found_at_its_neuron(tmp_path: Path) -> None:
    """A port whose second neuron of the first layer adds 1e-9 to z is caught, there, in every case."""
    for name in sorted(path.name for path in (PORTS / "python").glob("*.py")):
        (tmp_path / name).write_text((PORTS / "python" / name).read_text())
    with (tmp_path / "backprop.py").open("a") as code:
        code.write(
            "\n_right = backprop\n\n\ndef backprop(case):\n"
            "    if len(case['network']['layers'][0]['parameters']['biases']) > 1:\n"
            "        case['network']['layers'][0]['parameters']['biases'][1] += 1e-9\n"
            "    return _right(case)\n"
        )
    results = tmp_path / "results.json"
    command = f'"{sys.executable}" "{tmp_path / "port.py"}"'
    done = CliRunner().invoke(main, ["run", command, "--cases", "50", "--json", str(results)])

    assert done.exit_code == 1
    found = [case for case in json.loads(results.read_text())["cases"] if case["outcome"] == "mismatched"]
    assert len(found) > 30
    for case in found:
        first = case["first_wrong"]
        assert (first["layer"], first["neuron"], first["quantity"]) == (0, 1, "z"), case["id"]


@pytest.mark.thorough
def test_mazur_ending_fails(tmp_path: Path) -> None:
    """The bundled broken example is wrong on Mazur's network, and its one mistake is named."""
    results = tmp_path / "results.json"
    command = f'"{sys.executable}" "{PORTS / "mazur" / "port.py"}"'
    done = CliRunner().invoke(main, ["run", command, "--json", str(results)])

    assert done.exit_code == 1
    found = msgspec.json.decode(results.read_bytes())
    cases = {case["id"].rsplit("-", 1)[0]: case for case in found["cases"]}
    first = cases["mazur-2x2x2"]["first_wrong"]
    assert (first["layer"], first["quantity"]) == (0, "delta")
    assert [cause["code"] for cause in found["diagnoses"]] == ["BP107"]


def test_a_command_that_is_not_there_exits_with_3() -> None:
    """One sentence, exit code 3."""
    done = CliRunner().invoke(main, ["run", "no-such-program-anywhere --flag"])

    assert done.exit_code == 3
    assert "no-such-program-anywhere" in done.output

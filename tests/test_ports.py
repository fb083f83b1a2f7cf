"""The bundled ports, run by their real toolchains, agree with the reference."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import tool

from backprop_check.cases.generate import generated_cases
from backprop_check.protocol import Opening, open_implementation
from backprop_check.running.one_case import judge

PORTS = Path(__file__).parents[1] / "backprop_check" / "ports"


def outcomes(command: str, count: int) -> set[str]:
    with open_implementation(command, Opening(start_timeout=600.0, timeout=600.0)) as implementation:
        assert implementation.echo_problems == []
        results = list(judge(generated_cases(count, seed=11), implementation))
    assert len(results) == count
    return {result.outcome for result in results}


def test_python_port() -> None:
    """500 generated cases, not one finding."""
    assert outcomes(f'"{sys.executable}" "{PORTS / "python" / "port.py"}"', 500) == {"passed"}


@pytest.mark.thorough
def test_dart_port() -> None:
    """500 generated cases on the real Dart VM, not one finding."""
    assert outcomes(f'"{tool("dart")}" "{PORTS / "dart" / "bin" / "port.dart"}"', 500) == {"passed"}

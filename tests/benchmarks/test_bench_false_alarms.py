"""No false alarm: independent correct implementations, and the ports, without one finding.

By default 150 cases each; ``BACKPROP_CHECK_FULL=1 pytest tests/benchmarks -s`` judges 5,000 and prints the
largest error/bound of each.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from measure import largest_share, slots
from sizes import CASES
from variants import STYLES, backprop, style

from backprop_check.cases.generate import generated_cases
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.protocol import open_implementation

if TYPE_CHECKING:
    from backprop_check.compare.trace import Slot

pytestmark = pytest.mark.slow

PORTS = Path(__file__).parents[2] / "backprop_check" / "ports"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_implementations_of_many_hands(dtype: str) -> None:
    """Whatever the order of summation, the formulas and where a division is made: within the bounds."""
    random = np.random.default_rng(1)
    worst: dict[str, tuple[float, str, Slot | None]] = dict.fromkeys(STYLES, (0.0, "", None))
    inner = dict.fromkeys(STYLES, 0.0)  # without the updates, whose last rounding alone may use up the whole bound
    for case in generated_cases(CASES, seed=5):
        rounded = case.rounded(dtype)
        expected, request = expect(rounded, dtype), msgspec.json.decode(rounded.request())
        for name in STYLES:
            how = style(name, dtype, random)
            got = dict(slots(backprop(request, how, random)))
            share, slot = largest_share(expected, got)
            assert share <= 1, (case.id, how, slot)
            worst[name] = max(worst[name], (share, case.id, slot), key=lambda one: one[0])
            rest = {each: value for each, value in got.items() if not each.quantity.startswith("updated")}
            inner[name] = max(inner[name], largest_share(expected, rest)[0])
    for name, (share, case_id, slot) in worst.items():
        print(f"{dtype} {name}: {share:.3f} of its bound ({case_id}, {slot}), without updates {inner[name]:.3f}")  # noqa: T201


def _commands() -> dict[str, str]:
    dart = os.environ.get("BACKPROP_CHECK_DART") or shutil.which("dart") or ""
    return {
        "python": f'"{sys.executable}" "{PORTS / "python" / "port.py"}"',
        "dart": f'"{dart}" "{PORTS / "dart" / "bin" / "port.dart"}"' if dart else "",
    }


@pytest.mark.parametrize("language", ["python", "dart"])
def test_ports(language: str) -> None:
    """The bundled ports, run by their real toolchains."""
    command = _commands()[language]
    if not command:
        if os.environ.get("BACKPROP_CHECK_REQUIRE_TOOLS"):
            pytest.fail("dart is not installed, and BACKPROP_CHECK_REQUIRE_TOOLS is set")
        pytest.skip("this benchmark runs a port with dart, which is not installed here")
    worst, judged = 0.0, 0
    with open_implementation(command) as port:
        cases = list(generated_cases(CASES, seed=5))
        answers = port.exchange((case.id, case.request(port.hello.dtype)) for case in cases)
        for case, answer in zip(cases, answers, strict=True):
            assert answer.reply is not None, (case.id, answer.message)
            expected = expect(case.rounded(port.hello.dtype), port.hello.dtype)
            comparison = compare(expected, answer.reply)
            assert comparison.mismatches == [], case.id
            worst = max(worst, largest_share(expected, comparison.actual)[0])
            judged += 1
    assert judged == CASES
    print(f"{language} port: 0 findings in {judged} cases, largest error/bound {worst:.3f}")  # noqa: T201

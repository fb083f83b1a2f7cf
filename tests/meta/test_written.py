"""Optimizers written wrongly in ways that no catalogue has: the formula is told."""

from __future__ import annotations

import pytest
from bugs_optimizers import MEAN_HAT, SQUARE_HAT, VELOCITY, kind, option, planted
from planting import Planted, optimizers
from running import run_planted

#: Bugs of public reports in the bundled Python port, and what must stand in ``implemented``.
WRITTEN: dict[str, tuple[Planted, str]] = {
    # karpathy/convnetjs#70: Adam's corrections are multiplied.
    "corrections multiplied": (
        planted(
            "",
            "corrections multiplied",
            (
                optimizers(MEAN_HAT, MEAN_HAT.replace("mean / ", "mean * ")),
                optimizers(SQUARE_HAT, SQUARE_HAT.replace("square / ", "square * ")),
            ),
            kind("adam", "adamw"),
        ),
        "m̂ = m (1 − β₁ᵗ), v̂ = v (1 − β₂ᵗ)",
    ),
    # ooples/AiDotNet#2008: μ stands at the gradient.
    "momentum at the gradient": (
        planted(
            "",
            "momentum at the gradient",
            (
                optimizers(
                    '        if "velocity" in state:\n            ' + VELOCITY,
                    '        state["velocity"] = state.get("velocity", 0.0) + self.momentum * g\n'
                    '        return state["velocity"]\n        if "velocity" in state:\n            ' + VELOCITY,
                ),
            ),
            option("momentum"),
        ),
        "v⁺ = v + μ d",
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_formula_of_the_optimizer_is_told(name: str) -> None:
    """No code, the formula as it was written, and all failing cases."""
    bug, implemented = WRITTEN[name]
    run = run_planted(bug)
    assert run.exit_code == 1
    (cause,) = run.results["diagnoses"]
    assert (cause["code"], cause["implemented"]) == (None, implemented), cause
    assert cause["cases"] == len(run.failed)

"""Kinks: the points at which a derivative jumps, and what PyTorch takes there.

At a kink every slope between the two one-sided derivatives is correct (a subgradient), and of several inputs that are
the largest of a maximum any may get the gradient, or each a share. What an implementation takes there is a convention,
not a matter of right and wrong. A derivative that jumps is written ``m.kink(KINK, test, above, below)``, so that a
reading can take another slope, or every one at once (``backprop_check.numbers.choices``).
"""

from __future__ import annotations

from typing import NamedTuple


class Kink(NamedTuple):
    """Where ``of`` has a kink: where ``variable`` is ``point``.

    A slope at the kink is below + θ (above − below), θ from 0 to 1; ``share`` is PyTorch's θ. ``slopes`` are the two
    one-sided derivatives as they are told, where they are not those of the formula (which depend on the target).
    """

    of: str
    variable: str = "z"
    point: str = "0"
    share: float = 0.0
    slopes: tuple[float, float] | None = None

    @property
    def where(self) -> str:
        """``relu at 0``."""
        return f"{self.of} at {self.point}"


RELU = Kink("relu")
LEAKY_RELU = Kink("leaky_relu")
ELU = Kink("elu")
HARD_TANH = Kink("hard_tanh", point="±1", slopes=(0.0, 1.0))
ABSOLUTE = Kink("mean_absolute_error", "a − t", share=0.5)
HINGE = Kink("hinge", "t·a", "1", slopes=(0.0, 1.0))
PENALTY = Kink("l1", "w", share=0.5)

#: Of several inputs of a maximum that are the largest, the first gets the gradient in PyTorch.
TIE = Kink("maximum", "the largest input", "a tie")

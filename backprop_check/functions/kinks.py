"""Kinks: the points at which a derivative jumps, and PyTorch's values there.

At a kink every slope between the two one-sided derivatives is correct (a subgradient). Where several inputs of a
maximum are largest, any of them may get the gradient, or each a share. Which of these an implementation uses is a
convention. A derivative that jumps is written ``m.kink(KINK, test, above, below)``, so that a reading can use another
slope, or all of them at once (``backprop_check.numbers.choices``).
"""

from __future__ import annotations

from typing import NamedTuple


class Kink(NamedTuple):
    """A kink of the function ``of``, at the value ``point`` of ``variable``.

    A slope at the kink is below + θ (above − below) with θ from 0 to 1; ``share`` is PyTorch's θ. ``slopes`` are the
    two one-sided derivatives to show, where those of the formula depend on the target.
    """

    of: str
    variable: str = "z"
    point: str = "0"
    share: float = 0.0
    slopes: tuple[float, float] | None = None

    @property
    def where(self) -> str:
        """The place in words: ``relu at 0``."""
        return f"{self.of} at {self.point}"


RELU = Kink("relu")
LEAKY_RELU = Kink("leaky_relu")
ELU = Kink("elu")
HARD_TANH = Kink("hard_tanh", point="±1", slopes=(0.0, 1.0))
ABSOLUTE = Kink("mean_absolute_error", "a − t", share=0.5)
HINGE = Kink("hinge", "t·a", "1", slopes=(0.0, 1.0))
PENALTY = Kink("l1", "w", share=0.5)

#: A tie of several largest inputs of a maximum: in PyTorch the first gets the gradient.
TIE = Kink("maximum", "the largest input", "a tie")

"""What a recorded number was made of: the terms of a sum, and the two ways to a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.numbers.recording import OVER, Recorded

if TYPE_CHECKING:
    from backprop_check.explain.writing import Writer


def ways(x: Recorded) -> list[Recorded]:
    """What made a number, as one operation; two where there are two formulas for it."""
    while x.operation == "cell":
        x = x.operands[0]
    if x.operation != "either":
        return [x]
    return [way for operand in x.operands for way in ways(operand)]


def sum_below(x: Recorded, write: Writer) -> list[Recorded]:
    """The terms of the sum that made ``x``, or whose quotient ``x`` is."""
    made = write.made_by(x)
    if made.operation == OVER:
        made = write.made_by(made.operands[0])
    return list(made.operands) if made.operation == "sum" else []

"""What a recorded number was computed from: the terms of a sum, and the two formulas for one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_check.numbers.recording import OVER, Recorded

if TYPE_CHECKING:
    from backprop_check.explain.writing import Writer


def ways(x: Recorded) -> list[Recorded]:
    """The operation that computed a number; two operations where there are two formulas for it."""
    while x.operation == "cell":
        x = x.operands[0]
    if x.operation != "either":
        return [x]
    return [way for operand in x.operands for way in ways(operand)]


def sum_below(x: Recorded, write: Writer) -> list[Recorded]:
    """The terms of the sum that gave ``x``, or of the numerator where ``x`` is a quotient."""
    made = write.made_by(x)
    if made.operation == OVER:
        made = write.made_by(made.operands[0])
    return list(made.operands) if made.operation == "sum" else []

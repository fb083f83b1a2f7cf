"""What Python's mathematics does not have, or does otherwise than the formulas of a network ask for."""

from __future__ import annotations

import math

Numbers = list[float]


def add_up(numbers: Numbers) -> float:
    """Give the sum, from left to right. (The built-in ``sum`` rounds differently in newer Pythons.)"""
    total = 0.0
    for number in numbers:
        total += number
    return total


def sign(x: float) -> float:
    """Give 1, -1, or 0 at the kink of |x|, where there is no slope."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0


def times_log(t: float, p: float) -> float:
    """Give t ln p. What does not count (t = 0) adds nothing, not even where ln p is minus infinity."""
    if t == 0.0:
        return 0.0
    if p > 0.0:
        return t * math.log(p)
    return -t * math.inf if p == 0.0 else math.nan


def divide(t: float, p: float) -> float:
    """Give t / p, the derivative of t ln p with regard to p."""
    if t == 0.0:
        return 0.0
    return t / p if p != 0.0 else t * math.inf

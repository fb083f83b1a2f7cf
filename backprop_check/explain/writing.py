"""Recorded operations as formulas, with the names of quantities or with their numbers.

A cell that has a name (``w⁽²⁾₀₁``, ``δ⁽¹⁾₀``) is written as that name; a cell without one is expanded down to the next
names. So the formula of a number reaches exactly as far as the named quantities that it was computed from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backprop_check.numbers.recording import MINUS, OVER, PLUS, TIMES

if TYPE_CHECKING:
    from backprop_check.explain.names import CellNames
    from backprop_check.numbers.recording import Recorded

#: Precedence of a text: one with a lower precedence than its place requires gets parentheses.
_SUM, _PRODUCT, _ATOM = 1, 2, 3

#: Sums of more terms than this are shortened in the middle.
TERMS_SHOWN = 9

#: An unnamed number made of more operations than this is written as a number, because its formula would fill the page.
_LONG = 150

_CALLS = {"tanh": "tanh({})", "log": "ln({})", "erf": "erf({})", "sqrt": "√({})", "exp": "e^({})"}


def number_text(x: float, digits: int) -> str:
    """A number with ``digits`` significant digits, and with a minus sign instead of a hyphen."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"  # −0 too
    text = f"{x:.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    if e:
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


class Writer:
    """Writes recorded numbers as formulas; ``limit`` is the most terms of a sum that are written (None: all)."""

    def __init__(self, names: CellNames, digits: int = 6, limit: int | None = TERMS_SHOWN) -> None:
        self.names, self.digits, self.limit = names, digits, limit

    def number(self, x: float) -> str:
        """A number as text."""
        return number_text(x, self.digits)

    def symbolic(self, x: Recorded) -> str:
        """The formula of ``x`` in names."""
        return self._write(self.made_by(x), numbers=False, root=True)[0]

    def numbers(self, x: Recorded) -> str:
        """The formula of ``x`` with numbers."""
        return self._write(self.made_by(x), numbers=True, root=True)[0]

    def name(self, x: Recorded) -> str:
        """The name of a cell, or its formula."""
        return self._write(x, numbers=False)[0]

    def value(self, x: Recorded) -> str:
        """The number of ``x`` as a factor of a product: a negative one in parentheses."""
        text = self.number(x.value)
        return f"({text})" if text.startswith("−") else text

    def made_by(self, x: Recorded) -> Recorded:
        """The operation that gave the number in a cell: the first one below it, or another cell with a name."""
        if x.operation == "cell":
            x = x.operands[0]
        while (x.operation == "cell" and not self.names.has(x)) or x.operation == "either":
            x = x.operands[0]
        return x

    def terms(self, x: Recorded) -> list[Recorded]:
        """The terms, where ``x`` is a sum."""
        made = self.made_by(x)
        return list(made.operands) if made.operation == "sum" else []

    def conditions(self, x: Recorded) -> list[str]:
        """Which branch was taken at each kink, such as ``z = 0.4 > 0``, for each branch that is not part of another."""
        made = self.made_by(x)
        if made.place is not None and self.names.has(made):
            return []
        if made.operation == "branch":
            test, taken = made.operands[0], made.operands[made.taken]
            sign = ">" if made.taken == 1 else "≤"
            text = f"{self.name(test)} = {self.number(test.value)} {sign} 0"
            below = taken if taken.operation == "branch" else None
            return [text, *(self.conditions(below) if below else [])]
        if self._is_long(made):
            return []
        parts = [operand for operand in made.operands if not self.names.has(operand)]
        return list(dict.fromkeys(text for part in parts for text in self.conditions(part)))

    def _write(self, x: Recorded, *, numbers: bool, root: bool = False) -> tuple[str, int]:
        if self.names.has(x) and not (root and x.place is None):  # the formula of the root itself is wanted
            return self._leaf(x) if numbers else (self.names.of(x) or "", _ATOM)
        operation, operands = x.operation, x.operands
        if operation in ("cell", "sum") and not root and self._is_long(x):
            return self._leaf(x)
        if operation in ("cell", "either") or (operation == "max" and len(operands) == 1):
            return self._write(operands[0], numbers=numbers)
        if operation == "branch":
            return self._write(operands[x.taken], numbers=numbers)
        if operation == "sum":
            return self._sum(operands, numbers=numbers)
        if operation == PLUS:
            return self._sum(operands, numbers=numbers)
        if operation == MINUS:
            left = self._write(operands[0], numbers=numbers)[0]
            return f"{left} − {self._at(operands[1], _PRODUCT, numbers=numbers)}", _SUM
        if operation == "neg":
            return self._negative(operands[0], numbers=numbers)
        if operation in (TIMES, OVER):
            return self._product(x, numbers=numbers)
        if operation == "t ln":
            return f"{self._at(operands[0], _PRODUCT, numbers=numbers)}·{self._inside(operands[1], numbers)}", _PRODUCT
        if operation == "constant":
            return self._constant(x)
        if operation == "given":
            return self._leaf(x)
        return ("π", _ATOM) if operation == "π" else self._function(x, numbers=numbers)

    def _constant(self, x: Recorded) -> tuple[str, int]:
        """A constant of a formula; 1 − ε, which would be rounded to 1, is written as that difference."""
        gap = 1.0 - x.value
        if gap and self.number(x.value) == "1":
            return f"1 {'−' if gap > 0 else '+'} {self.number(abs(gap))}", _SUM
        return self._leaf(x)

    def _is_long(self, x: Recorded) -> bool:
        waiting, count = [x], 0
        while waiting and count <= _LONG:
            operands = waiting.pop().operands
            waiting += [operand for operand in operands if not self.names.has(operand)]
            count += 1
        return count > _LONG

    def _inside(self, x: Recorded, numbers: bool) -> str:  # noqa: FBT001
        return self._write(x, numbers=numbers)[0]

    def _leaf(self, x: Recorded) -> tuple[str, int]:
        text = self.number(x.value)
        return text, _SUM if text.startswith("−") else _ATOM

    def _at(self, x: Recorded, level: int, *, numbers: bool) -> str:
        text, own = self._write(x, numbers=numbers)
        return f"({text})" if own < level else text

    def _sum(self, operands: tuple[Recorded, ...], *, numbers: bool) -> tuple[str, int]:
        operands = tuple(operand for operand in operands if not self._is_left_out(operand)) or operands[:1]
        if not operands:
            return "0", _SUM  # a sum over nothing
        if len(operands) == 1:
            return self._write(operands[0], numbers=numbers)
        left_out = 0 if self.limit is None or len(operands) <= self.limit else len(operands) - 4
        written = (*operands[:3], operands[-1]) if left_out else operands
        texts = [self._write(operand, numbers=numbers)[0] for operand in written]
        texts = [texts[0], *(f"({text})" if text.startswith("−") else text for text in texts[1:])]
        if left_out:
            texts.insert(3, f"… ({left_out} more)")
        return " + ".join(texts), _SUM

    def _is_left_out(self, x: Recorded) -> bool:
        """Whether it is the constant 0, which one side of a kink may give: a sum is clearer without it."""
        while x.operation == "branch":
            x = x.operands[x.taken]
        return x.operation == "constant" and x.value == 0 and not self.names.has(x)

    def _is_one(self, x: Recorded) -> bool:
        return x.operation in ("constant", "given") and x.value == 1.0 and not self.names.has(x)

    def _negative(self, x: Recorded, *, numbers: bool) -> tuple[str, int]:
        if x.operation == "neg":
            return self._write(x.operands[0], numbers=numbers)
        return f"−{self._at(x, _PRODUCT, numbers=numbers)}", _SUM

    def _product(self, x: Recorded, *, numbers: bool) -> tuple[str, int]:
        left, right = x.operands
        if self._is_one(right):
            return self._write(left, numbers=numbers)
        if x.operation == OVER:
            over, under = (
                self._at(left, _PRODUCT, numbers=numbers),
                self._at(right, _ATOM, numbers=numbers),
            )
            return f"{over}/{under}", _PRODUCT
        if self._is_one(left):
            return self._write(right, numbers=numbers)
        if self.names.is_weight(right) and not self.names.is_weight(left):
            left, right = right, left  # w·a, as every book has it; the product is the same
        return f"{self._at(left, _PRODUCT, numbers=numbers)}·{self._at(right, _PRODUCT, numbers=numbers)}", _PRODUCT

    def _function(self, x: Recorded, *, numbers: bool) -> tuple[str, int]:
        if x.operation == "max":
            return f"max({', '.join(self._inside(each, numbers) for each in x.operands)})", _ATOM
        inside = self._inside(x.operands[0], numbers)
        if x.operation == "abs":
            return f"|{inside}|", _ATOM
        if x.operation == "expm1":
            return f"e^({inside}) − 1", _SUM
        if x.operation == "log1p":
            return f"ln(1 + {inside})", _ATOM
        return _CALLS[x.operation].format(inside), _ATOM

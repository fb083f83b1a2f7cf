"""Arrays and formulas as short JSON that keeps every bit, for the page of a failing case."""

from __future__ import annotations

import math
import re
import string
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from backprop_check.compare.trace import Array


def packed(expected: Array, allowed: Array, wrong: Any, origin: Any, got: Array | None) -> dict[str, Any]:
    """Flat lists: e expected, m allowed, x the positions of wrong values, o their origins (a capital: unstable), g got.

    A right value is written as its distance from the expected one in units of the last place, which is short and exact;
    a wrong one as its digits.
    """
    bad = np.flatnonzero(wrong)
    out: dict[str, Any] = {"e": [plain(x) for x in expected.tolist()], "m": _bounds(allowed.tolist())}
    if got is None:
        return out
    steps = [int(g) - int(e) for g, e in zip(_ordinals(got), _ordinals(expected), strict=True)]
    texts = set(bad.tolist())
    out["g"] = [
        step if i not in texts and math.isfinite(x) and abs(step) < 2**53 else str(plain(x))
        for i, (step, x) in enumerate(zip(steps, got.tolist(), strict=True))
    ]
    if not any(out["g"]):
        out["g"] = 0
    if texts:
        out["x"], out["o"] = bad.tolist(), "".join(str(origin[i]) for i in bad)
    return out


#: Signs of formulas. In ASCII JSON each takes six bytes; written as ``~`` and a letter it takes two.
SIGNS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁺₀₁₂₃₄₅₆₇₈₉ⱼᵢₖₛδ∂·−Σ√⟨⟩ηβεμλτℓ′φ…∞≤≥"
CODES = string.ascii_letters
_SHORT = str.maketrans({"~": "~~", "\0": "~", **{sign: f"~{code}" for sign, code in zip(SIGNS, CODES, strict=False)}})


#: The mark of a layer, ``⁽²⁾``, which is shortened to two bytes as well.
_LAYER = re.compile("⁽([⁰¹²³⁴⁵⁶⁷⁸⁹])⁾")


def short(text: str) -> str:
    """A shortened text of formulas. The page decodes it with ``SIGNS`` and ``CODES``; ``~2`` is a layer."""
    return _LAYER.sub(lambda mark: f"\0{SIGNS.index(mark[1])}", text).translate(_SHORT)


def _ordinals(values: Array) -> Any:
    """Floats as integers in the same order: neighbours differ by 1."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return [int(b) if b >= 0 else -(2**63) - int(b) for b in bits]


def plain(x: float) -> float | str:
    """A number, or the protocol's text for a number that is not finite."""
    if math.isnan(x):
        return "NaN"
    return x if math.isfinite(x) else ("Infinity" if x > 0 else "-Infinity")


def _bounds(values: list[float]) -> list[float | str]:
    """The bounds with three digits; a single number where all are equal."""
    short = [plain(float(f"{x:.3g}")) for x in values]
    return short[:1] if len(set(map(str, short))) == 1 else short

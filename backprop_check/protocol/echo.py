"""The echo of hello, which checks that numbers come back from the port bit for bit."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

from backprop_check.protocol.messages import ECHO, Dtype
from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_COARSE_ERROR: Final = 1e-3
_DENORMAL: Final = 2.0**-1022


def echo_problems(echo: Sequence[Any] | None, dtype: Dtype) -> list[str]:
    """Compare the returned numbers with those sent; return a sentence for each number that changed.

    A missing echo is not a problem, and neither is a zero that lost its sign (see ``echo_notes``). A float32
    implementation may send the numbers rounded to float32.
    """
    if echo is None:
        return []
    if len(echo) != len(ECHO):
        return [f"the echo has {len(echo)} numbers where {len(ECHO)} were sent: send the list back as it came"]
    # Decided by 0.1: other numbers (zero in place of the smallest, say) can look like float32 for other reasons.
    narrow = echo[0] == single(ECHO[0])
    problems = []
    for sent, got in zip(ECHO, echo, strict=True):
        value = _number(got)
        if value is None:
            problems.append(f"sent {sent!r}, got back {_shown(got)}, which is not a number")
        elif sent == 0 and value == 0:
            continue
        elif _bits(value) != _bits(sent) and not (dtype == "float32" and _bits(value) == _bits(single(sent))):
            cause = _cause(sent, got, value, narrow=narrow)
            problems.append(f"sent {sent!r}, got back {_shown(got)}: {cause}")
    return problems


def echo_notes(echo: Sequence[Any] | None) -> list[str]:
    """A note about an irregularity of the echo that is not a problem: −0.0 came back as 0."""
    for sent, got in zip(ECHO, echo or (), strict=False):
        value = _number(got)
        if sent == value == 0 and _bits(sent) != _bits(value):
            return [f"sent {sent!r}, got back {_shown(got)}: the sign of zero is lost; gradients do not depend on it"]
    return []


def single(value: float) -> float:
    """Round to float32; a number beyond its range becomes an infinity."""
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _number(got: object) -> float | None:
    if isinstance(got, str):
        return _SPECIAL.get(got)
    if isinstance(got, bool) or not isinstance(got, int | float):
        return None
    try:
        return float(got)
    except OverflowError:
        return math.copysign(math.inf, got)


def _shown(got: object) -> str:
    return one_line("null" if got is None else repr(got), 60)


def _cause(sent: float, got: object, value: float, *, narrow: bool) -> str:
    if 0 < abs(sent) < _DENORMAL and value == 0:
        return (
            "subnormal numbers (those below 2.2e-308) are flushed to zero; where you print the number, use the "
            "shortest form that round-trips, or %.17g, and let the processor keep subnormals"
        )
    if isinstance(got, int) and not float(sent).is_integer():
        return "numbers are cut to integers; parse and print them as float64"
    if narrow and _bits(value) == _bits(single(sent)):
        return 'numbers pass through float32; use float64, or say "dtype": "float32" in the hello'
    error = abs(value - sent) / abs(sent) if math.isfinite(value) and sent else math.inf
    if 0 < error < _COARSE_ERROR:
        return "numbers are printed with too few digits; print the shortest form that round-trips, or use %.17g"
    return "the number is parsed or printed wrongly"

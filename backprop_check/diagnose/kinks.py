"""Kinks and ties: every choice of a slope is correct; and which one an implementation made.

Values that depend on such a choice are judged by two intervals: one contains what all choices at all kinks can give,
the other what any choice gives on the inputs that the implementation itself reported, so that what follows from a
reported choice is judged by that choice. A value must be in both.

The shares of a tie add up to 1. Where windows overlap, the reachable sums form a polytope. The interval of every value
and all linear equations are checked (for every group of connected windows: the total), but not every inequality between
several values. The equations are checked only where the gradient is linear in the shares: there is no other kink, and
the ties belong to one maximum, or every δ was reported.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.conventions import Convention
from backprop_check.compare.expected import expect
from backprop_check.diagnose.given import Local, given
from backprop_check.functions.kinks import TIE, Kink
from backprop_check.numbers.choices import SPLITS, Chosen, Open, Picked, Watching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Expected, Mask, Slot

#: The most ways to give a tie's gradient to one input that are computed.
_TIES = 400

#: A smaller relative error of a total is no bug; it is far above the rounding of the equations solved here.
_TOTAL = 1e-9

#: Where a bound exceeds the usual one by this factor, it is more than rounding: a choice matters.
_ROUNDING = 1.5

#: The slopes that are tried at a kink, as θ in below + θ (above − below).
_SHARES = (0.0, 1.0, 0.5)

#: The most kinds of kinks in one case for which the choices are searched.
_KINDS = 3

_SPLIT_WORDS = {
    "last": "the last of them gets all of the gradient here",
    "even": "each of them gets the same share of the gradient here",
}


def opened(case: Case, expected: Expected, dtype: str, profile: str) -> Expected:
    """``expected`` with the intervals of what any choices at all kinks give; unchanged where no kink is reached."""
    choices = Open()
    found = expect(case, dtype, profile, choices=choices)
    if not choices.met:
        return expected
    free = {slot: _interval(found.values[slot], found.allowed[slot], expected, slot) for slot in expected.values}
    return dataclasses.replace(expected, free=free)


def freed(case: Case, expected: Expected, reported: Mapping[Slot, Array], dtype: str, profile: str) -> Expected:
    """The same with both intervals: also that of what any choice gives on the reported values."""
    whole = opened(case, expected, dtype, profile)
    if not whole.free:
        return expected
    local = local_of(case, reported, dtype, profile)
    free = {}
    for slot, (low, high) in whole.free.items():
        if slot not in local.values:
            free[slot] = low, high
        elif case.trains and (slot.quantity.startswith("updated") or slot.step):
            # As in ``step_by_step``: judged only by what was reported before it.
            free[slot] = _interval(local.values[slot], local.allowed[slot], expected, slot)
        else:
            own = local.values[slot] - local.allowed[slot], local.values[slot] + local.allowed[slot]
            none = np.isnan(low) | local.broken.get(slot, False)
            ends = np.fmax(low, own[0]), np.fmin(high, own[1])
            beyond = [np.where(np.isnan(low), np.nan, end) for end in (np.inf, -np.inf)]
            free[slot] = np.where(none, beyond[0], ends[0]), np.where(none, beyond[1], ends[1])
    return dataclasses.replace(expected, free=free)


def _interval(value: Array, allowed: Array, expected: Expected, slot: Slot) -> tuple[Array, Array]:
    """The interval in which values are right; NaN where it is no wider than rounding, as without a choice."""
    bound = expected.allowed[slot]
    with np.errstate(invalid="ignore"):
        free = (allowed > _ROUNDING * bound) | (abs(value - expected.values[slot]) > bound)
        return np.where(free, value - allowed, np.nan), np.where(free, value + allowed, np.nan)


def local_of(
    case: Case, reported: Mapping[Slot, Array], dtype: str = "float64", profile: str = "textbook", kinks: str = "any"
) -> Local:
    """The right values on the reported inputs, with every correct choice at kinks (or only PyTorch's)."""
    if kinks != "any":
        return given(case, reported, dtype, profile)
    watching = Watching()
    local = given(case, reported, dtype, profile, choices=watching)
    if not watching.met:
        return local
    choices = Open()
    local = given(case, reported, dtype, profile, choices=choices)
    if set(choices.met) != {TIE}:
        return local
    every_delta = all(slot in reported for slot in local.values if slot.quantity == "delta")
    if not every_delta and len({tie.call for tie in choices.ties}) > 1:
        return local
    return dataclasses.replace(local, broken=_off_in_total(case, reported, dtype, profile, choices))


def without_freedom(local: Local, right: Local) -> Local:
    """A bug's values, marked wrong where no split of a tie gives the reported ones and the bug does not explain
    more.
    """
    broken = {slot: mask & (local.allowed[slot] > right.allowed[slot] / 2) for slot, mask in right.broken.items()}
    return dataclasses.replace(local, broken=broken)


def _off_in_total(
    case: Case, reported: Mapping[Slot, Array], dtype: str, profile: str, choices: Open
) -> dict[Slot, Mask]:
    """Masks of reported gradients that no shares with a sum of 1 give.

    Let g₀ be the gradients if the first input of each tie gets everything, and D the changes if another one gets it.
    Right gradients are g₀ + D x within their bounds, so the least squares minimum of Σ (residual/bound)² over all x is
    at most the number n of values; where it is larger, no shares give these gradients.
    """
    picks = [((tie.call, tie.window), cell) for tie in choices.ties for cell in tie.inputs[1:]]
    slots = [slot for slot in reported if _of_the_first_pass(slot)]
    if len(picks) > _TIES or not slots or not all(np.isfinite(reported[slot]).all() for slot in slots):
        return {}

    def gradients(picked: dict[Any, int]) -> tuple[Array, Array]:
        local = given(case, reported, dtype, profile, choices=Picked(picked))
        return tuple(np.concatenate([each[slot].ravel() for slot in slots]) for each in (local.values, local.allowed))  # type: ignore[return-value]

    first, allowed = gradients({})
    actual = np.concatenate([reported[slot].ravel() for slot in slots])
    with np.errstate(all="ignore"):  # values that overflow are left out
        changes = np.stack([gradients({tie: cell})[0] - first for tie, cell in picks], axis=1)
        scale = allowed + _TOTAL * (abs(first) + abs(changes).sum(axis=1))
        off = (actual - first) / scale
        touched = (changes != 0).any(axis=1) & np.isfinite(scale) & np.isfinite(off)
        if not touched.any():
            return {}
        matrix = changes[touched] / scale[touched][:, None]
        residual = off[touched] - matrix @ np.linalg.lstsq(matrix, off[touched], rcond=None)[0]
        if not residual @ residual > len(residual):
            return {}
    wrong = np.zeros(len(actual), dtype=bool)
    wrong[touched] = abs(residual) > 1
    ends = np.cumsum([reported[slot].size for slot in slots])[:-1]
    parts = zip(slots, np.split(wrong, ends), strict=True)
    return {slot: part.reshape(reported[slot].shape) for slot, part in parts if part.any()}


def _of_the_first_pass(slot: Slot) -> bool:
    return slot.step is None and (slot.quantity == "delta" or slot.quantity.endswith("_gradient"))


def conventions(
    case: Case, expected: Expected, reported: Mapping[Slot, Array], dtype: str, profile: str
) -> list[Convention]:
    """The choices of an implementation at kinks that differ from PyTorch's, for a case in which everything is right."""
    choices = Open()
    given(case, reported, dtype, profile, choices=choices)
    met = choices.met
    if not met:  # the expected numbers are at the kink, the reported ones a rounding away from it
        expect(case, dtype, profile, choices=choices)
    for by in _likely(case, reported, dtype, profile, list(met)):
        local = given(case, reported, dtype, profile, choices=Chosen(by))
        if all(local.fits(slot, array).all() for slot, array in reported.items() if slot in expected.values):
            return [_convention(kink, met[kink], choice) for kink, choice in by.items() if choice != _usual(kink)]
    return [_convention(kink, slopes, None) for kink, slopes in met.items()]


def _usual(kink: Kink) -> float | str:
    """PyTorch's choice."""
    return SPLITS[0] if kink == TIE else kink.share


def _likely(
    case: Case, reported: Mapping[Slot, Array], dtype: str, profile: str, kinks: Sequence[Kink]
) -> list[dict[Kink, float | str]]:
    """The choices to try, in the order of how few kinds of kinks differ from PyTorch's choice."""
    if len(kinks) > _KINDS:
        return []
    options: list[Sequence[float | str]] = [SPLITS if kink == TIE else _SHARES for kink in kinks]
    found = [dict(zip(kinks, each, strict=True)) for each in itertools.product(*options)]
    found.sort(key=lambda by: sum(choice != _usual(kink) for kink, choice in by.items()))
    if len(kinks) == 1 and kinks[0] != TIE:
        found.append({kinks[0]: _solved(case, reported, dtype, profile, kinks[0])})
    return found


def _solved(case: Case, reported: Mapping[Slot, Array], dtype: str, profile: str, kink: Kink) -> float:
    """The share θ of the slope that is closest to what was reported, assuming that everything is linear in it."""
    low, high = (given(case, reported, dtype, profile, choices=Chosen({kink: share})).values for share in (0.0, 1.0))
    slots = [slot for slot in reported if slot in low and np.isfinite(low[slot]).all()]
    change = np.concatenate([(high[slot] - low[slot]).ravel() for slot in slots])
    actual = np.concatenate([(reported[slot] - low[slot]).ravel() for slot in slots])
    with np.errstate(all="ignore"):
        share = float(actual @ change / (change @ change))
    return share if 0 <= share <= 1 else kink.share


def _convention(kink: Kink, slopes: tuple[float, float], choice: float | str | None) -> Convention:
    """The choice in words; slopes are shown with the digits of a float32."""
    if kink == TIE:
        here = _SPLIT_WORDS.get(str(choice), "they share the gradient in another way here")
        sentence = f"where several inputs of a maximum are equally large, {here}; in PyTorch the first gets it"
        return Convention(where="maximum at a tie", taken=choice, pytorch="first", sentence=sentence)
    below, above = slopes
    usual = _digits(below + kink.share * (above - below))
    taken = None if choice is None else _digits(below + float(choice) * (above - below))
    here = f"is {taken:g} here" if taken is not None else f"is between {below:g} and {above:g} here"
    sentence = f"at {kink.variable} = {kink.point} the slope of {kink.of} {here}; PyTorch takes {usual:g}"
    return Convention(where=kink.where, taken=taken, pytorch=usual, sentence=sentence)


def _digits(slope: float) -> float:
    return float(f"{slope:.6g}")

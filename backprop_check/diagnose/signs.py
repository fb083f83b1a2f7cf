"""Bugs that show in how values look: few digits, single precision, null, text, shapes, values that are not finite."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.compare.expected import expect
from backprop_check.compare.trace import AXES, Array, Slot
from backprop_check.diagnose.kinks import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Mismatch
    from backprop_check.diagnose.evidence import Evidence

_EXPONENTIAL = {"sigmoid", "tanh", "softplus", "elu", "silu", "softmax", "log_softmax"}

#: Beyond this z, e^z or e^2z overflows in float64.
_LARGE = 350.0

#: Numbers with at most this many digits look the same in every precision.
_SHORT = 6

#: Ratios with a smaller relative difference are equal.
_SAME = 1e-9

#: A ratio closer to 1 than this is written as 1 with six digits.
_WRITTEN = 5e-6

#: Relative errors that differ by less than this share are equal in two digits.
_ALIKE = 0.01

#: The least number of different values for a reordering: two values may be swapped by chance.
_MOVED = 3

#: The largest probability that a value equals that of another place by chance; for three it is the third power.
_CHANCE = 1e-4


def of_form(mismatches: Sequence[Mismatch]) -> list[str]:
    """Codes of bugs for a malformed reply, the most specific first."""
    found = []
    missing = [each for each in mismatches if each.problem == "missing"]
    if missing and all(each.quantity == "bias_gradient" for each in missing):
        found.append("BP114")
    elif missing:
        found.append("BP007")
    shapes = [each for each in mismatches if each.problem == "shape"]
    if shapes and all(each.quantity == "weight_gradient" and _turned(each) for each in shapes):
        found.append("BP110")
    elif shapes or (not missing and any(each.problem == "extra" for each in mismatches)):
        found.append("BP006")
    texts = [each for each in mismatches if each.problem == "not_a_number"]
    if any(each.actual == "null" for each in texts):
        found.append("BP003")
    if any(str(each.actual).startswith("text") for each in texts):
        found.append("BP011")
    return found


def _turned(mismatch: Mismatch) -> bool:
    """Whether an array has the shape of the right one with rows and columns swapped."""
    right, got = (
        re.findall(r"\d+", str(text).removeprefix("an array of")) for text in (mismatch.expected, mismatch.actual)
    )
    return len(right) == len(got) == 2 and right == got[::-1]  # noqa: PLR2004 - rows and columns


def of_values(evidence: Evidence) -> tuple[str, str] | None:
    """BP004, BP005 or BP515 and a description, where the first root is not finite; otherwise None."""
    for slot, array in evidence.actual.items():
        bad = ~np.isfinite(array) & ~evidence.right.fits(slot, array)
        if not bad.any():
            continue
        infinite = bool(np.isinf(array[bad]).any())
        code = "BP005" if infinite else "BP004"
        where = slot.quantity.replace("_", " ")
        if slot.quantity.startswith("updated") and not slot.step and _is_adam(evidence.case):
            return "BP515", "the first update is no number, though every gradient is"
        if slot.quantity == "a" and slot.layer is not None:
            kind = evidence.case.network.layers[slot.layer].activation
            z = evidence.actual.get(Slot("z", slot.layer), evidence.right.values.get(Slot("z", slot.layer)))
            if z is not None and kind in _EXPONENTIAL and float(np.nanmax(abs(z))) > _LARGE:
                largest = float(z.flat[int(np.nanargmax(abs(z)))])
                return "BP005", f"the exponential in {kind} leaves the range of numbers for a z of {largest:.4g}"
        return code, f"first in the {where}"
    return None


def digits_printed(evidences: Sequence[Evidence]) -> str | None:
    """How many digits the values have, if every wrong value is a right one rounded to them; otherwise None."""
    for decimal in (False, True):
        most = max(
            (_digits(array, decimal=decimal) for each in evidences for array in each.actual.values()), default=17
        )
        if most >= (15 if not decimal else 13):
            continue
        if all(_is_rounded(each, most, decimal=decimal) for each in evidences):
            return f"{most} decimals" if decimal else f"{most} significant digits"
    return None


def _digits(array: Array, *, decimal: bool) -> int:
    """The largest number of digits that any value needs."""
    most = 1
    for x in np.ravel(array):
        if not math.isfinite(x):
            return 17
        mantissa, _, exponent = (
            f"{abs(x):.17e}".partition("e") if x == 0 else np.format_float_scientific(abs(x)).partition("e")
        )
        significant = len(mantissa.replace(".", "").rstrip("0"))
        most = max(most, significant - 1 - int(exponent) if decimal else significant)
    return most


def _is_rounded(evidence: Evidence, digits: int, *, decimal: bool) -> bool:
    expected = expect(evidence.case, evidence.dtype, evidence.profile)
    if evidence.kinks == "any":
        expected = opened(evidence.case, expected, evidence.dtype, evidence.profile)
    for slot, array in evidence.actual.items():
        right = expected.values[slot]
        with np.errstate(divide="ignore"):
            power = -digits if decimal else np.where(right == 0, -300, np.floor(np.log10(abs(right)))) - digits + 1
        unit = 10.0 ** np.asarray(power, dtype=float)
        # A whole unit, because some implementations truncate instead of rounding.
        if expected.wrong(slot, array, unit + expected.allowed[slot]).any():
            return False
    return True


def single_precision(evidences: Sequence[Evidence]) -> bool:
    """Whether most values are float32 numbers, and all are as accurate as single precision can be."""
    if any(each.dtype != "float64" for each in evidences):
        return False
    single = others = 0
    for each in evidences:
        rounded = each.case.rounded("float32")
        loose, near = expect(each.case, "float32", each.profile), expect(rounded, "float32", each.profile)
        if each.kinks == "any":
            near = opened(rounded, near, "float32", each.profile)
        for slot, array in each.actual.items():
            finite = np.isfinite(array)
            numbers = np.ravel(array[finite] if array.shape else array)
            long = [x for x in numbers if _digits(np.array(x), decimal=False) > _SHORT]
            fits = sum(_is_single(float(x)) for x in long)
            single, others = single + fits, others + len(long) - fits
            # The inputs are rounded first, so values may be close to those of the exact or of the rounded case.
            with np.errstate(invalid="ignore", over="ignore"):
                room = loose.allowed[slot] + near.allowed[slot] + 2 * abs(loose.values[slot] - near.values[slot])
                beyond = finite & np.isfinite(room) & near.wrong(slot, array, room)
            if slot in each.ignored:
                beyond &= ~each.ignored[slot]
            if beyond.any():
                return False
    # Functions of a mathematics library may have been left in double precision.
    return single > others


def _is_single(x: float) -> bool:
    with np.errstate(over="ignore"):
        nearest = np.float32(x)
    return float(nearest) == x or float(np.format_float_positional(nearest, unique=True)) == x


def _is_adam(case: Case) -> bool:
    """Whether the case is trained with Adam or AdamW, whose bias correction divides by 0 at t = 0."""
    return case.optimizer is not None and case.optimizer.kind in ("adam", "adamw")


def of_error(message: str, case: Case) -> str | None:
    """BP208, BP005 or BP515, where a reported error is an overflow of an exponential or a division by zero; else
    None.
    """
    if re.search(r"zero ?division|(division|divide) by zero", message, re.IGNORECASE) and _is_adam(case):
        return "BP515"
    if not re.search(r"overflow|math range error", message, re.IGNORECASE):
        return None
    if re.search(r"stack", message, re.IGNORECASE):
        return None
    return "BP208" if any(layer.activation == "softmax" for layer in case.network.layers) else "BP005"


def pattern(evidences: Sequence[Evidence]) -> str:
    """A description of wrong values that no name explains: the quantities, a ratio, a sign, an offset, an order."""
    ratios: list[float] = []
    offsets: list[float] = []
    quantities: dict[str, int] = {}
    layers: set[str] = set()
    zero = roots = 0
    orders: set[str] = set()
    for each in evidences[:20]:
        for slot, array in each.actual.items():
            right = each.plain.values[slot]
            wrong = ~each.right.fits(slot, array)
            if not wrong.any() or not np.isfinite(array).all():
                continue
            quantities[slot.quantity] = quantities.get(slot.quantity, 0) + int(wrong.sum())
            roots += int(wrong.sum())
            if slot.layer is not None:
                layers.add("the output layer" if slot.layer == len(each.case.network.layers) - 1 else "hidden layers")
            with np.errstate(all="ignore"):
                ratios += np.atleast_1d(array / right)[np.atleast_1d(wrong & (right != 0))].tolist()
                offsets += np.atleast_1d(array - right)[np.atleast_1d(wrong)].tolist()
            zero += int((array[wrong] == 0).sum()) if array.shape else int(array == 0)
            moved = (np.atleast_1d(x)[np.atleast_1d(wrong)] for x in (array, right, each.right.allowed[slot]))
            orders.add(_reordered(*moved))
    if not roots:
        return "every value follows from those before it; only the accumulated difference is too large"
    names = " and ".join(name.replace("_", " ") for name in sorted(quantities, key=_in_order))
    where = f", in {' and '.join(sorted(layers))}" if layers else ""
    permuted = "surely" in orders and "no" not in orders
    return f"wrong given their own inputs: {names}{where}; {_seen(ratios, offsets, zero == roots, permuted)}"


def _reordered(wrong: Array, right: Array, allowed: Array) -> str:
    """Whether wrong values are right ones of other places: ``surely``, ``perhaps`` or ``no``.

    It is sure where at least three of them differ, and by so much that others would not equal them by chance: a random
    value within their range equals one of n with a probability of about n · bound / range.
    """
    bound = float(np.max(allowed))
    got, sought = np.sort(wrong), np.sort(right)
    with np.errstate(all="ignore"):
        if not (np.isfinite(bound) and np.isfinite(sought).all() and (abs(got - sought) <= bound).all()):
            return "no"
        different = 1 + int((np.diff(sought) > 4 * bound).sum())
        chance = len(sought) * bound / (sought[-1] - sought[0])
    return "surely" if different >= _MOVED and chance <= _CHANCE else "perhaps"


def _in_order(quantity: str) -> tuple[int, str]:
    """A sort key: the order of computation; other parameters come last."""
    known = list(AXES)
    return known.index(quantity) if quantity in AXES else len(known), quantity


def _seen(ratios: list[float], offsets: list[float], all_zero: bool, permuted: bool) -> str:  # noqa: FBT001
    """What wrong values have in common, in words. A factor comes before an order (a softmax's δ may differ in sign)."""
    checks = [
        (all_zero, "all of them are 0"),
        (_near_one(ratios), _relative_error([x - 1.0 for x in ratios])),
        (_constant(ratios), f"each is {ratios[0]:.6g} times what it should be" if ratios else ""),
        (
            any(x < 0 for x in ratios) and all(abs(abs(x) - 1) <= _SAME for x in ratios),
            "the sizes are right, the signs are not",
        ),
        (_constant(offsets), f"each is off by {offsets[0]:.6g}" if offsets else ""),
        (permuted, "the right values are there in another order"),
        (bool(ratios) and all(0 < x < 1 for x in ratios), "all are too small, by no constant factor"),
        (bool(ratios) and all(x > 1 for x in ratios), "all are too large, by no constant factor"),
    ]
    return next((text for holds, text in checks if holds), "no constant ratio, sign, offset or order explains them")


def _constant(numbers: list[float]) -> bool:
    return bool(numbers) and max(numbers) - min(numbers) <= _SAME * abs(numbers[0]) < math.inf


def _near_one(ratios: list[float]) -> bool:
    """Whether all ratios would be written as 1."""
    return bool(ratios) and all(abs(x - 1.0) < _WRITTEN for x in ratios)


def _relative_error(excess: list[float]) -> str:
    """A description of the relative error of values whose ratios to the right ones would be written as 1."""
    least, most = min(excess, default=0.0), max(excess, default=0.0)
    if least * most > 0 and most - least <= _ALIKE * abs(most):
        return f"each is too {'large' if most > 0 else 'small'} by a relative {abs(most):.2g}"
    return f"each is right except for a relative error of at most {max(-least, most):.2g}"

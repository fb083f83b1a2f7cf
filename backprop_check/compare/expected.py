"""The expected values: the reference, run with error bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.trace import Array, Expected, Form, Slot, Trace, slots_of
from backprop_check.compare.unstable import alternatives
from backprop_check.numbers import SMALLEST_NORMAL, UNIT_ROUNDOFF, Scalars
from backprop_check.numbers.lanes import Lanes
from backprop_check.reference import Stages, run_pass

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.numbers.choices import Choices

#: The part of each bound that allows for underflow, in smallest normal numbers.
_UNDERFLOW = 1024.0


def expect(
    case: Case,
    dtype: str = "float64",
    profile: str = "textbook",
    stages: type[Stages] = Stages,
    choices: Choices | None = None,
) -> Expected:
    """The reference's values for ``case`` and the bound of each, for an implementation of ``dtype``.

    The bound is the implementation's rounding error (arithmetic of unit roundoff u) plus the reference's own (2⁻⁵³).
    ``choices`` gives the slopes at kinks where they are not PyTorch's.
    """
    u, own = roundoff(dtype, choices)
    floor = _UNDERFLOW * SMALLEST_NORMAL[dtype]
    values: dict[Slot, Array] = {}
    allowed: dict[Slot, Array] = {}
    known: dict[int, Slot] = {}  # the last update is in the trajectory too: reuse its bound
    form = Form(case)
    m = Lanes(u, profile)
    m.choices = choices
    with np.errstate(all="ignore"):  # an overflow shows as a bound that is not finite
        for slot, number in slots_of(run_pass(case, m, stages)):
            before = known.setdefault(id(number), slot)
            if before is not slot:
                values[slot], allowed[slot] = values[before], allowed[before]
                continue
            some: Any = number
            shape = form.trace_shape(slot)
            values[slot] = value = some.value.reshape(shape)
            bound = some.error * own + floor
            if not np.ndim(bound):
                allowed[slot] = np.full(shape, bound)
                continue
            bound = bound.reshape(shape) if bound.shape == some.value.shape else np.broadcast_to(bound, shape)
            nothing = np.isnan(bound)
            if nothing.any():  # the bounds of many steps or of deep blocks may grow to ∞ − ∞
                bound = np.where(nothing & np.isfinite(value), np.inf, bound)
            allowed[slot] = bound
    return Expected(values, allowed, lambda: alternatives(case, dtype, profile, values), form)


def roundoff(dtype: str, choices: Choices | None = None) -> tuple[float, float]:
    """(u, factor): the unit roundoff to compute with, and the factor of its bounds that covers the reference's own
    rounding.

    Factor = 1 + 2⁻⁵³/u. With ``choices`` that widen the bounds, an error is more than rounding and must not be scaled:
    then the reference's 2⁻⁵³ is added to u, and the factor is 1.
    """
    u, ours = UNIT_ROUNDOFF[dtype], UNIT_ROUNDOFF["float64"]
    return (u, 1.0 + ours / u) if choices is None or not choices.widens else (u + ours, 1.0)


def disagreement(expected: Expected, other: Trace, share: float = 1.0) -> tuple[Slot, tuple[int, ...]] | None:
    """The first place where |expected − other| > share · bound, as (slot, index); None if there is none.

    All arrays are compared at once: for small networks that is several times faster than one by one.
    """
    slots = list(other.values)
    theirs = np.concatenate([other.values[slot].ravel() for slot in slots])
    ours = np.concatenate([expected.values[slot].ravel() for slot in slots])
    bounds = np.concatenate([expected.allowed[slot].ravel() for slot in slots])
    with np.errstate(invalid="ignore", over="ignore"):
        agree = abs(ours - theirs) <= bounds * share
    if agree.all():
        return None
    at = int(np.argmin(agree))
    for slot in slots:
        if at < other.values[slot].size:
            return slot, tuple(int(i) for i in np.unravel_index(at, other.values[slot].shape))
        at -= other.values[slot].size
    raise AssertionError


def textbook_pass(case: Case, reading: Scalars | None = None, stages: type[Stages] = Stages) -> Trace:
    """The reference on plain numbers (floats by default), one neuron at a time."""
    m = Scalars.of_floats() if reading is None else reading
    found: dict[Any, Any] = {}
    form = Form(case)
    for slot, number in slots_of(run_pass(case, m, stages)):
        some: Any = number
        plain = some.tolist() if hasattr(some, "tolist") else some
        array = np.array(plain, dtype=np.float64 if reading is None else object)
        found[slot] = array.reshape(form.trace_shape(slot))
    return Trace(found)

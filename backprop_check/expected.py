"""What is expected of a right implementation: the reference read with error bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers import SMALLEST_NORMAL, UNIT_ROUNDOFF, Lanes, Scalars
from backprop_check.numbers.wired import WiredLanes
from backprop_check.reference import Stages, run_pass, run_wired
from backprop_check.trace import Array, Expected, Form, Slot, Trace, slots_of
from backprop_check.unstable import alternatives

if TYPE_CHECKING:
    from backprop_check.network import Case
    from backprop_check.numbers.choices import Choices

#: Room for what underflowed on the way, in smallest normal numbers.
_UNDERFLOW = 1024.0


def expect(
    case: Case,
    dtype: str = "float64",
    profile: str = "textbook",
    stages: type[Stages] = Stages,
    choices: Choices | None = None,
) -> Expected:
    """The reference's values for ``case`` and the bound of each, for an implementation of ``dtype``.

    The bound is the implementation's (arithmetic of unit roundoff u) plus the reference's own (2⁻⁵³). ``choices`` says
    what is taken at kinks, where that is not PyTorch's choice.
    """
    u, own = roundoff(dtype, choices)
    floor = _UNDERFLOW * SMALLEST_NORMAL[dtype]
    values: dict[Slot, Array] = {}
    allowed: dict[Slot, Array] = {}
    known: dict[int, Slot] = {}  # the last update stands in the trajectory too: its bound is there already
    form = None if case.network.is_chain else Form(case)
    with np.errstate(all="ignore"):  # an overflow shows as a bound that is not finite
        for slot, number in slots_of(_passes(case, u, profile, stages, choices)):
            before = known.setdefault(id(number), slot)
            if before is not slot:
                values[slot], allowed[slot] = values[before], allowed[before]
                continue
            some: Any = number
            value, error = some.value, some.error
            if slot.quantity == "loss":
                value, error = np.reshape(value, ()), np.reshape(error, ())
            elif form is not None:
                shape = form.trace_shape(slot)
                error = np.broadcast_to(error, value.shape).reshape(shape)
                value = value.reshape(shape)
            bound = error * own + floor
            if case.steps > 1 or form is not None:  # bounds of many steps, or of deep blocks, may come to say nothing
                bound = np.where(np.isnan(bound) & np.isfinite(value), np.inf, bound)
            values[slot], allowed[slot] = value, bound if np.ndim(bound) else np.full(value.shape, bound)
    if form is not None:
        return Expected(values, allowed, None, form)
    return Expected(values, allowed, lambda: alternatives(case, dtype, profile, values))


def roundoff(dtype: str, choices: Choices | None = None) -> tuple[float, float]:
    """The unit roundoff of a reading, and what its bounds are to be multiplied by for our own rounding.

    With ``choices`` that widen it, an error is more than rounding, and must not be multiplied: our own is part of u.
    """
    u, ours = UNIT_ROUNDOFF[dtype], UNIT_ROUNDOFF["float64"]
    return (u, 1.0 + ours / u) if choices is None or not choices.widens else (u + ours, 1.0)


def _passes(case: Case, u: float, profile: str, stages: type[Stages], choices: Choices | None) -> Any:
    m = Lanes(u, profile) if case.network.is_chain else WiredLanes(u, profile)
    m.choices = choices
    return run_pass(case, m, stages) if case.network.is_chain else run_wired(case, m, stages)


def disagreement(expected: Expected, other: Trace, share: float = 1.0) -> tuple[Slot, tuple[int, ...]] | None:
    """The first place where ``other`` is farther than ``share`` of the bound from what is expected; None if nowhere.

    One comparison for all arrays: for small networks that is several times faster than one for each.
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
    form = None if case.network.is_chain else Form(case)
    passes: Any = run_pass(case, m, stages) if form is None else run_wired(case, m, stages)
    for slot, number in slots_of(passes):
        some: Any = number
        plain = some.tolist() if hasattr(some, "tolist") else some
        array = np.array(plain, dtype=np.float64 if reading is None else object)
        found[slot] = array if form is None else array.reshape(form.trace_shape(slot))
    return Trace(found)

"""What the circuit gives on plain floats: the numbers that an explanation tells, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.numbers import Scalars
from backprop_check.reference import run_wired
from backprop_check.trace import Array, Form, Slot, slots_of

if TYPE_CHECKING:
    from backprop_check.network import Case


def plain_pass(case: Case, reading: Scalars | None = None) -> dict[Slot, Array]:
    """Every slot's array; on another ``reading`` its numbers are made floats."""
    form = Form(case)
    passes = run_wired(case, Scalars.of_floats() if reading is None else reading)
    return {slot: _floats(number).reshape(form.trace_shape(slot)) for slot, number in slots_of(passes)}


def _floats(number: Any) -> Array:
    rows = number.tolist() if hasattr(number, "tolist") else number
    found: Array = np.vectorize(float, otypes=[float])(np.array(rows, dtype=object))
    return found

"""Whole passes with the formulas that were found: what an implementation with them reports, whatever it reports of it.

Where z, a and δ were not reported, or a batch of samples has one gradient, a stage cannot be judged by itself. There
the formulas are put into a pass over the case alone, and everything that was reported must be what that pass gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.expected import roundoff
from backprop_check.compare.trace import Slot
from backprop_check.diagnose.formulas.scope import Scope, usable
from backprop_check.diagnose.formulas.search import Instance
from backprop_check.diagnose.given import Given, Local, local_from
from backprop_check.kinds.dense import Dense
from backprop_check.numbers import SMALLEST_NORMAL
from backprop_check.numbers.choices import Watching
from backprop_check.numbers.tables import LaneTable
from backprop_check.reference import Stages, run_pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.case.network import Case
    from backprop_check.diagnose.formulas.search import Found
    from backprop_check.numbers.lane import Lane
    from backprop_check.reference import Pass

#: The quantities whose formulas can be put into a pass: those of the backward pass.
_BACKWARD = {"delta", "weight_gradient", "bias_gradient"}


class _Written(Given):
    """The reading in which the numbers of some quantities come from other formulas."""

    formulas: Sequence[Found] = ()
    p: Pass

    def seen_part(self, quantity: str, layer: int | None, step: int, value: Any, start: int, width: int) -> Any:
        """Record a part of a quantity, by the formula that was written."""
        lane = self._by_formula(quantity, layer, value)
        if lane is not None:
            value = LaneTable(lane.value, np.broadcast_to(lane.error, lane.value.shape), self.u)
        return super().seen_part(quantity, layer, step, value, start, width)

    def seen_row(
        self, quantity: str, layer: int, step: int, value: Any, shape: tuple[int, ...], *, last: bool = False
    ) -> Any:
        """Record a parameter's gradient, by the formula that was written."""
        lane = self._by_formula(quantity, layer, value)
        if lane is not None:
            error = np.broadcast_to(lane.error, lane.value.shape).reshape(1, -1)
            value = LaneTable(lane.value.reshape(1, -1), error, self.u)
        return super().seen_row(quantity, layer, step, value, shape, last=last)

    def _by_formula(self, quantity: str, layer: int | None, value: Any) -> Lane | None:
        if quantity not in _BACKWARD or layer is None or self._blind:
            return None
        case = self.p.case
        if type(case.network.layers[layer]) is not Dense or not usable(case, layer):
            return None
        scope = Scope(case, self.p, self, {}, layer)
        instance = Instance(scope, Slot(quantity, layer), None, value.value, np.zeros(1), -1)
        for found in self.formulas:
            if found.covers(instance):
                return found.formulas[0].numbers(scope)
        return None


class _Knowing(Stages):
    """The right stages, which tell the reading which pass it is in."""

    def prepare(self, p: Any) -> None:
        """Tell the reading."""
        self.m.p = p


def predicted(case: Case, found: Sequence[Found], dtype: str, profile: str) -> Local | None:
    """What the right pass gives with these formulas in it; None where one cannot be put in, or a kink is reached."""
    if not all(each.formulas[0].quantity in _BACKWARD for each in found):
        return None
    u, own = roundoff(dtype, None)
    m = _Written(u, profile)
    m.choices, m.formulas = Watching(), found
    m.keep({}, case.optimizer is not None, own, 1024.0 * SMALLEST_NORMAL[dtype], (), as_reported=False)
    with np.errstate(all="ignore"):
        run_pass(case, m, _Knowing)
    return None if m.choices.met else local_from(m)

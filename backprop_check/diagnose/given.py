"""The reference, run on what an implementation itself reported: each stage is judged on its own inputs.

A reported quantity replaces the computed one; where none was reported, the computed value and its bound are used. The
same reading serves blame (with the right stages) and matching (with those of a bug).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.expected import roundoff
from backprop_check.compare.trace import Array, Expected, Mask, Slot
from backprop_check.diagnose.bug import Swapped
from backprop_check.numbers import SMALLEST_NORMAL
from backprop_check.numbers.choices import Open, Watching
from backprop_check.numbers.lane import is_exact
from backprop_check.numbers.lanes import Lanes
from backprop_check.numbers.tables import LaneTable
from backprop_check.numbers.vectors import Vector
from backprop_check.reference import Stages, run_pass

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from backprop_check.case.network import Case
    from backprop_check.numbers.choices import Choices
    from backprop_check.reference import Pass

#: An implementation may report rounded values and continue with unrounded ones: a difference of a few roundings.
_SLACK = 4.0

_FIRST_PASS = {"z", "a", "delta", "loss"}


@dataclass(frozen=True, slots=True)
class Local:
    """The values of stages on the reported inputs, and the bounds of a right computation of them."""

    values: Mapping[Slot, Array]
    allowed: Mapping[Slot, Array]
    broken: Mapping[Slot, Mask] = field(default_factory=dict)
    """Masks of values that fit individually but are wrong together: no split of a tie gives them (see ``kinks``)."""

    def fits(self, slot: Slot, actual: Array) -> Mask:
        """Where ``actual`` agrees with these stages: within the bound, or not finite in the same way."""
        value, allowed = self.values[slot], self.allowed[slot]
        with np.errstate(invalid="ignore", over="ignore"):  # infinite and NaN values are compared below
            close = abs(actual - value) <= allowed
        same = (np.isnan(actual) & np.isnan(value)) | (np.isinf(actual) & (actual == value))
        fits: Mask = close & np.isfinite(actual) | same
        return fits & ~self.broken[slot] if slot in self.broken else fits


class _RefutedError(Exception):
    """A reported number differs from that of these stages, so the rest of the pass need not be computed."""


class _Keeping:
    """The common part of readings that use reported values: what was reported, what was computed, and the slots of
    each.

    ``own`` and ``floor`` are the reference's part of every bound: a factor, and an allowance for underflow. ``decides``
    are the slots in which a wrong number ends the pass.
    """

    u: float
    cancelling: float

    def keep(
        self,
        reported: Mapping[Slot, Array],
        learns: bool,  # noqa: FBT001
        own: float,
        floor: float,
        decides: Container[Slot],
        as_reported: bool,  # noqa: FBT001
    ) -> None:
        """Set the reported values and the settings; ``learns`` says whether the case has an optimizer."""
        self._learns, self._as_reported = learns, as_reported
        self.found: dict[Slot, tuple[Array, Any]] = {}
        self._reported = reported
        self._blind = False
        self._own, self._floor, self._decides = own, floor, decides

    def allowed(self, value: Array, error: Any) -> Array:
        """How far a reported value may be from a computed one with this error."""
        bound = np.asarray(error, dtype=float).reshape(-1)
        return np.broadcast_to(bound, value.size).reshape(value.shape) * self._own + self._floor

    def _decide(self, slot: Slot, value: Array, error: Any, columns: slice | None = None) -> None:
        """Raises ``_RefutedError`` where a finite reported number exceeds the finite bound of a finite value."""
        if slot not in self._decides or slot not in self._reported:
            return
        reported = self._reported[slot] if columns is None else self._reported[slot][:, columns]
        reported, bound = reported.reshape(value.shape), self.allowed(value, error)
        beyond = (abs(reported - value) > bound) & (bound < np.inf) & np.isfinite(reported) & np.isfinite(value)
        if beyond.any():
            raise _RefutedError

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Computations in this block are neither recorded nor replaced by reported values."""
        before, self._blind = self._blind, True
        try:
            yield
        finally:
            self._blind = before

    def _slots(self, quantity: str, layer: int | None, step: int, *, last: bool = False) -> list[Slot]:
        """The slots of a quantity of a pass."""
        slots = [Slot(quantity, layer)] if _is_of_first_pass(quantity) and step == 0 else []
        if quantity == "loss" and self._learns:
            slots.append(Slot("loss", None, step))
        if quantity.startswith("updated") or quantity.endswith("_buffer"):
            slots += [Slot(quantity, layer, step), *([Slot(quantity, layer)] if last else [])]
        return slots

    def _error_of(self, quantity: str, reported: Array) -> Any:
        """How far the values that an implementation continued with may be from those that it reported."""
        if self._as_reported:
            return 0.0
        return _SLACK * self.u * abs(reported) + (self.cancelling if quantity == "a" else 0.0)


class Given(_Keeping, Lanes):
    """``Lanes`` that replace computed values by reported ones, and keep both. A table may be a part of a slot."""

    def seen(self, quantity: str, layer: int | None, step: int, value: Any, *, last: bool = False) -> Any:
        """Record a quantity that is no table, such as the loss."""
        if not self._blind:
            for slot in self._slots(quantity, layer, step, last=last):
                self.found[slot] = np.reshape(value.value, ()), value.error
                self._decide(slot, *self.found[slot])
        return value

    def winners(self, xs: Vector) -> Vector:
        """The first of the numbers that were reported as equal, with certainty: an implementation compares its
        own numbers.
        """
        won = super().winners(xs)
        if is_exact(won.error) or self.choices is not None:
            return won
        top = (xs.value if xs.mask is None else np.where(xs.mask, xs.value, -np.inf)).max(axis=-1)[..., None]
        rival = (won.error > 0) & (xs.value != top)
        return Vector(won.value, np.where(rival.any(axis=-1)[..., None], won.error, 0.0), self.u, won.mask)

    def seen_part(self, quantity: str, layer: int | None, step: int, value: Any, start: int, width: int) -> Any:
        """Record the columns from ``start`` on; returns the reported values of these columns."""
        slots = [] if self._blind else self._slots(quantity, layer, step)
        columns = slice(start, start + value.value.shape[1])
        for slot in slots:
            shape = (len(value.value), width)
            array, error = self.found.setdefault(slot, (np.zeros(shape), np.zeros(shape)))
            array[:, columns], error[:, columns] = value.value, value.error
            self._decide(slot, array[:, columns], error[:, columns], columns)
        for slot in slots:
            reported = self._reported.get(slot)
            if reported is not None:
                part = reported[:, columns]
                return LaneTable(part, self._error_of(quantity, part), self.u)
        return value

    def seen_row(
        self, quantity: str, layer: int, step: int, value: Any, shape: tuple[int, ...], *, last: bool = False
    ) -> Any:
        """Record a parameter or its gradient, which is one row here and has the shape ``shape`` in a trace."""
        slots = [] if self._blind else self._slots(quantity, layer, step, last=last)
        for slot in slots:
            error = np.broadcast_to(value.error, value.value.shape).reshape(shape)
            self.found[slot] = value.value.reshape(shape), error
            self._decide(slot, *self.found[slot])
        for slot in slots:
            reported = self._reported.get(slot)
            if reported is not None:
                row = reported.reshape(1, -1)
                return LaneTable(row, self._error_of(quantity, row), self.u)
        return value


def _is_of_first_pass(quantity: str) -> bool:
    return quantity in _FIRST_PASS or quantity.endswith("_gradient")


def given(
    case: Case,
    reported: Mapping[Slot, Array],
    dtype: str = "float64",
    profile: str = "textbook",
    stages: type[Stages] = Stages,
    choices: Choices | None = None,
    *,
    as_reported: bool = False,
) -> Local:
    """The values of ``stages`` for ``case``, each computed from the inputs that the implementation reported.

    ``choices`` are the choices at kinks (default: PyTorch's). An implementation may print rounded numbers and continue
    with others; the bounds allow that. With ``as_reported`` it continued with exactly what it reported, which matters
    where a rounding changes much, as in 1 − p.
    """
    return local_from(_worked_out(case, reported, dtype, profile, stages, choices, as_reported=as_reported))


def given_at_kinks(
    case: Case,
    reported: Mapping[Slot, Array],
    dtype: str,
    profile: str,
    stages: type[Stages],
    kinks: str,
    decides: Container[Slot] = (),
) -> Local | None:
    """The same with every correct choice at kinks, if any is met (or with PyTorch's only, if ``kinks`` says so).

    Returns None as soon as ``stages`` give another number than was reported in one of the slots ``decides``: most bugs
    are refuted by their first number, which saves the rest of the pass.
    """
    watching = Watching()
    found = _unless_refuted(case, reported, dtype, profile, stages, watching, decides)
    if kinks != "any" or not watching.met:
        return found
    return _unless_refuted(case, reported, dtype, profile, stages, Open(), decides)


def _unless_refuted(
    case: Case,
    reported: Mapping[Slot, Array],
    dtype: str,
    profile: str,
    stages: type[Stages],
    choices: Choices,
    decides: Container[Slot],
) -> Local | None:
    try:
        local = local_from(_worked_out(case, reported, dtype, profile, stages, choices, decides))
    except _RefutedError:
        return None
    if not issubclass(stages, Swapped):
        return local
    # A bound of a mistake's number that is no number (0 · ∞) counts as none: the number decides nothing.
    allowed = {slot: np.where(np.isnan(bound), np.inf, bound) for slot, bound in local.allowed.items()}
    return Local(local.values, allowed, local.broken)


def local_from(m: Any) -> Local:
    """The values and bounds that a reading recorded."""
    values, allowed = {}, {}
    with np.errstate(all="ignore"):
        for slot, (value, error) in m.found.items():
            values[slot], allowed[slot] = value, m.allowed(value, error)
    return Local(values, allowed)


def pass_on_reported(case: Case, reported: Mapping[Slot, Array], dtype: str, profile: str) -> tuple[Given, Pass]:
    """The first pass of the right stages on the reported values, with the reading that it was computed in."""
    u, own = roundoff(dtype, None)
    m = Given(u, profile)
    m.choices = Watching()
    m.keep(reported, case.optimizer is not None, own, 1024.0 * SMALLEST_NORMAL[dtype], (), as_reported=False)
    with np.errstate(all="ignore"):
        return m, run_pass(case, m, Stages)[0]


def _worked_out(
    case: Case,
    reported: Mapping[Slot, Array],
    dtype: str,
    profile: str,
    stages: type[Stages],
    choices: Choices | None,
    decides: Container[Slot] = (),
    *,
    as_reported: bool = False,
) -> Any:
    swapped = stages.for_case(case) if issubclass(stages, Swapped) else stages
    u, own = roundoff(dtype, choices)
    m = Given(u, profile)
    m.choices = choices
    m.keep(reported, case.optimizer is not None, own, 1024.0 * SMALLEST_NORMAL[dtype], decides, as_reported)
    with np.errstate(all="ignore"):
        run_pass(case, m, swapped)
    return m


def step_by_step(
    case: Case, expected: Expected, reported: Mapping[Slot, Array], dtype: str, profile: str = "textbook"
) -> Expected:
    """``expected`` with every update, and every later loss, recomputed from what was reported before it.

    Updates use the reported gradients, and a step begins with the reported parameters, so that errors neither
    accumulate nor hide; an optimizer's memory is computed from these. Where a reported value is not finite, the
    expected one stays.
    """
    local = given(case, reported, dtype, profile)
    values, allowed = dict(expected.values), dict(expected.allowed)
    for slot in expected.values:
        if not (slot.quantity.startswith("updated") or slot.step) or slot not in local.values:
            continue
        if np.isfinite(local.values[slot]).all():
            values[slot], bound = local.values[slot], local.allowed[slot]
            # Without a trajectory the bounds of many steps may become useless.
            allowed[slot] = np.where(np.isnan(bound), np.inf, bound)
    return Expected(values, allowed, expected.alternatives, expected.form)

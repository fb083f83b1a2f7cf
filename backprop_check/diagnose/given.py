"""The reference fed with what an implementation itself reported: each stage is judged on its own inputs.

Where a quantity was reported it replaces what the stage before computed; where it was not, the computed value and
its bound flow on. So the same reading serves blame (the right stages) and matching (a bug's).
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

#: What an implementation reports may differ from what it went on with by a rounding or two.
_SLACK = 4.0

_FIRST_PASS = {"z", "a", "delta", "loss"}


@dataclass(frozen=True, slots=True)
class Local:
    """What stages give on the inputs that were reported, and how far a right computation of them may be off."""

    values: Mapping[Slot, Array]
    allowed: Mapping[Slot, Array]
    broken: Mapping[Slot, Mask] = field(default_factory=dict)
    """Where values that fit each by itself are wrong together: no split of a tie gives them (``diagnose.kinks``)."""

    def fits(self, slot: Slot, actual: Array) -> Mask:
        """Where ``actual`` is what these stages give: within the bound, or not finite in the same way."""
        value, allowed = self.values[slot], self.allowed[slot]
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite fits below; a gap beyond all is one
            close = abs(actual - value) <= allowed
        same = (np.isnan(actual) & np.isnan(value)) | (np.isinf(actual) & (actual == value))
        fits: Mask = close & np.isfinite(actual) | same
        return fits & ~self.broken[slot] if slot in self.broken else fits


class _RefutedError(Exception):
    """A number that was reported is another one than these stages give: the rest of the pass decides nothing more."""


class _Keeping:
    """What both readings below have in common: what was reported, what was computed, and which slots are which.

    ``own`` and ``floor`` are the reference's part of every bound: a factor, and what underflow leaves. ``decides``
    are the slots that end the pass where a number of theirs is not what was reported.
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
        self._learns, self._as_reported = learns, as_reported
        self.found: dict[Slot, tuple[Array, Any]] = {}
        self._reported = reported
        self._blind = False
        self._own, self._floor, self._decides = own, floor, decides

    def allowed(self, value: Array, error: Any) -> Array:
        """How far what was reported may be from a value with this error."""
        bound = np.asarray(error, dtype=float).reshape(-1)
        return np.broadcast_to(bound, value.size).reshape(value.shape) * self._own + self._floor

    def _decide(self, slot: Slot, value: Array, error: Any, columns: slice | None = None) -> None:
        """End the pass where a finite number that was reported is beyond a finite bound of a finite value."""
        if slot not in self._decides or slot not in self._reported:
            return
        reported = self._reported[slot] if columns is None else self._reported[slot][:, columns]
        reported, bound = reported.reshape(value.shape), self.allowed(value, error)
        beyond = (abs(reported - value) > bound) & (bound < np.inf) & np.isfinite(reported) & np.isfinite(value)
        if beyond.any():
            raise _RefutedError

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Work in here is neither kept nor replaced."""
        before, self._blind = self._blind, True
        try:
            yield
        finally:
            self._blind = before

    def _slots(self, quantity: str, layer: int | None, step: int, *, last: bool = False) -> list[Slot]:
        """Where a quantity of a pass stands in what is reported."""
        slots = [Slot(quantity, layer)] if _is_of_first_pass(quantity) and step == 0 else []
        if quantity == "loss" and self._learns:
            slots.append(Slot("loss", None, step))
        if quantity.startswith("updated") or quantity.endswith("_buffer"):
            slots += [Slot(quantity, layer, step), *([Slot(quantity, layer)] if last else [])]
        return slots

    def _error_of(self, quantity: str, reported: Array) -> Any:
        """How far what it went on with may be from what it reported."""
        if self._as_reported:
            return 0.0
        return _SLACK * self.u * abs(reported) + (self.cancelling if quantity == "a" else 0.0)


class Given(_Keeping, Lanes):
    """``Lanes`` that put the reported values in place of the computed ones, and keep both.

    A table may be a part of what is reported.
    """

    def seen(self, quantity: str, layer: int | None, step: int, value: Any, *, last: bool = False) -> Any:
        """A quantity that is no table: the loss."""
        if not self._blind:
            for slot in self._slots(quantity, layer, step, last=last):
                self.found[slot] = np.reshape(value.value, ()), value.error
                self._decide(slot, *self.found[slot])
        return value

    def winners(self, xs: Vector) -> Vector:
        """Of numbers that were reported as equal the first, surely: an implementation compares what it has."""
        won = super().winners(xs)
        if is_exact(won.error) or self.choices is not None:
            return won
        top = (xs.value if xs.mask is None else np.where(xs.mask, xs.value, -np.inf)).max(axis=-1)[..., None]
        rival = (won.error > 0) & (xs.value != top)
        return Vector(won.value, np.where(rival.any(axis=-1)[..., None], won.error, 0.0), self.u, won.mask)

    def seen_part(self, quantity: str, layer: int | None, step: int, value: Any, start: int, width: int) -> Any:
        """Keep the columns from ``start`` on; give what was reported there."""
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
        """A parameter or its gradient, which is one row here and has another shape in a trace."""
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
    """What ``stages`` give for ``case``, each on the inputs that the implementation reported.

    ``choices`` says what is taken at kinks, where that is not PyTorch's choice. An implementation may print its numbers
    and go on with others, a rounding away: the bounds admit that. With ``as_reported`` it went on with exactly what it
    reported, which matters where a rounding changes much: 1 − p.
    """
    return _local(_worked_out(case, reported, dtype, profile, stages, choices, as_reported=as_reported))


def given_at_kinks(
    case: Case,
    reported: Mapping[Slot, Array],
    dtype: str,
    profile: str,
    stages: type[Stages],
    kinks: str,
    decides: Container[Slot] = (),
) -> Local | None:
    """The same with every correct choice at kinks where any is met (with PyTorch's alone, where ``kinks`` says so).

    None as soon as ``stages`` give another number than was reported in one of the slots ``decides``: most of a bug's
    stages are refuted by their first number, and then the rest of the pass is saved.
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
        return _local(_worked_out(case, reported, dtype, profile, stages, choices, decides))
    except _RefutedError:
        return None


def _local(m: Any) -> Local:
    values, allowed = {}, {}
    with np.errstate(all="ignore"):
        for slot, (value, error) in m.found.items():
            values[slot], allowed[slot] = value, m.allowed(value, error)
    return Local(values, allowed)


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
    """The same with every update, and every loss after one, as they follow from what was reported before them.

    The updates are those of the reported gradients, and a step begins at the reported parameters, so that errors
    neither accumulate nor hide; what an optimizer remembers is worked out from these. Where something that is no
    number was reported, what is expected stays.
    """
    local = given(case, reported, dtype, profile)
    values, allowed = dict(expected.values), dict(expected.allowed)
    for slot in expected.values:
        if not (slot.quantity.startswith("updated") or slot.step) or slot not in local.values:
            continue
        if np.isfinite(local.values[slot]).all():
            values[slot], bound = local.values[slot], local.allowed[slot]
            # Without a trajectory the bounds of many steps may say nothing any more.
            allowed[slot] = np.where(np.isnan(bound), np.inf, bound)
    return Expected(values, allowed, expected.alternatives, expected.form)

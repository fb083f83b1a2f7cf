"""An implementation's numbers next to the right ones: each right or wrong within its bound, and the first
difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from backprop_check.compare.places import named
from backprop_check.protocol.text import one_line

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Comparison, Mismatch
    from backprop_check.compare.trace import Slot
    from backprop_check.explain.steps import Step
    from backprop_check.protocol import Implementation


class Compared(msgspec.Struct, frozen=True):
    """The implementation's number for a step; ``allowed`` is its bound, ``verdict`` right, wrong, or first (the first
    wrong one).
    """

    value: float | str
    allowed: float | str
    verdict: str


class Judged(msgspec.Struct, frozen=True):
    """The implementation's name and its result in the case, as a sentence.

    ``first`` describes the first difference in the order of computation (None: there is none); ``failed``: it returned
    no numbers at all.
    """

    name: str
    message: str
    first: str | None = None
    failed: bool = False


def judge_steps(steps: list[Step], case: Case, implementation: Implementation) -> tuple[Judged, list[Compared | None]]:
    """Send ``case`` to the implementation and compare its reply with the steps.

    Returns the result, and for every step the number of the reply, or None where the reply contains none for it.
    """
    from backprop_check.compare.compare import as_json  # noqa: PLC0415 - numpy, and only wanted here
    from backprop_check.compare.expected import expect  # noqa: PLC0415
    from backprop_check.running.one_case import Settings, compared  # noqa: PLC0415

    dtype = implementation.hello.dtype
    name = one_line(implementation.describe().name, 60)
    (answer,) = implementation.exchange([(case.id, case.request(dtype))])
    if answer.kind != "reply" or answer.reply is None:
        what = answer.kind.replace("_", " ")
        message = f"{name} gave no numbers for this case ({what}): {one_line(answer.message, 300)}"
        return Judged(name, message, failed=True), []
    rounded = case.rounded(dtype)
    expected, comparison = compared(rounded, expect(rounded, dtype), answer.reply, dtype, Settings())
    first = comparison.mismatches[0] if comparison.mismatches else None
    by_step: list[Compared | None] = []
    for step in steps:
        slot = _slot(step, case, comparison)
        if slot is None:
            by_step.append(None)
            continue
        at = tuple(step.at)
        got = comparison.actual[slot]
        value, allowed = float(got[at]), float(expected.reach(slot, got)[at])
        verdict = "wrong" if expected.wrong(slot, got)[at] else "right"
        if first is not None and first.problem in ("wrong", "not_finite") and _place(first) == (slot, at):
            verdict = "first"
        by_step.append(Compared(as_json(value), as_json(allowed), verdict))
    return _judged(name, case, comparison, first), by_step


def _slot(step: Step, case: Case, comparison: Comparison) -> Slot | None:
    """The array of the reply that holds this step's number; None where there is none."""
    from backprop_check.compare.trace import Slot  # noqa: PLC0415

    if not step.quantity:
        return None
    if step.quantity.startswith("updated"):
        slots = [Slot(step.quantity, step.layer, step.round)]
        if step.round == case.steps - 1:
            slots.insert(0, Slot(step.quantity, step.layer))
    elif step.round == 0:
        slots = [Slot(step.quantity, step.layer)]
    else:
        slots = [Slot("loss", None, step.round)] if step.quantity == "loss" else []
    return next((slot for slot in slots if slot in comparison.actual), None)


def _place(mismatch: Mismatch) -> tuple[Slot, tuple[int, ...]]:
    from backprop_check.compare.trace import Slot, place_of  # noqa: PLC0415

    at = tuple(i for i in place_of(mismatch) if i is not None)
    return Slot(mismatch.quantity, mismatch.layer, mismatch.step), at


def _judged(name: str, case: Case, comparison: Comparison, first: Mismatch | None) -> Judged:
    if first is None:
        count = comparison.values_checked
        return Judged(name, f"{name} gives every number right: {count} values are within what rounding allows.")
    more = f"; {comparison.count} values differ in all" if comparison.count > 1 else ""
    text = f"the {named(case, first)}: expected {_text(first.expected)}, got {_text(first.actual)}"
    return Judged(name, f"The first difference of {name} is {text}{more}.", text)


def _text(value: float | str | None) -> str:
    return f"{value:.10g}" if isinstance(value, float) else one_line(str(value), 80)

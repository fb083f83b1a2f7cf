"""The page of a named bug: the right and the wrong formula, with numbers, how to recognise it, and the fix."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.cases.families import family_case
from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_case
from backprop_check.cases.training import RECIPES, training_cases
from backprop_check.compare.places import UNITS
from backprop_check.diagnose.bug import Swapped
from backprop_check.diagnose.given import given
from backprop_check.errors import ConfigurationError
from backprop_check.explain.explanation import selected_steps
from backprop_check.explain.layout import equation_lines, heading, where
from backprop_check.explain.making import is_shipped
from backprop_check.explain.selection import Selection
from backprop_check.explain.writing import number_text
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.reference import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Slot
    from backprop_check.diagnose.bug import Bug
    from backprop_check.explain.steps import Step

#: The number of generated cases that are tried where the published ones do not show a bug.
_TRIED = 150

_SMALL = 8

#: How many steps ahead the same step of another pass is searched.
_AHEAD = 500

#: The number of generated cases that are tried from each family of layers.
_TRIED_OF_FAMILY = 60


def named_bug(name: str) -> Bug | None:
    """The bug of that code or name in the catalogue; None where ``name`` is no bug.

    Raises ``ConfigurationError`` for a code that the catalogue does not have.
    """
    from backprop_check.diagnose.catalogue import find_bug  # noqa: PLC0415 - only where a bug is asked for

    if is_shipped(name):
        return None
    try:
        return find_bug(name)
    except ConfigurationError:
        if name.upper().startswith("BP"):
            raise
        return None


def bug_page(name: str, digits: int = 6) -> str | None:
    """The page of a bug as text; None where ``name`` is no bug.

    Raises ``ConfigurationError`` for a code that the catalogue does not have.
    """
    bug = named_bug(name)
    return None if bug is None else "\n".join(_lines(bug, digits))


def _lines(bug: Bug, digits: int) -> Iterator[str]:
    yield f"{bug.code}  {bug.title}  ({bug.name})"
    yield ""
    yield f"  {bug.sentence}"
    yield ""
    yield from (f"  {f'{label}:':7} {formula}" for label, formula in formulas(bug))
    yield from demonstration(bug, digits)
    for title, text in sections(bug):
        yield ""
        yield f"  {title}"
        yield from (f"    {line}".rstrip() for line in text.strip("\n").splitlines())


def formulas(bug: Bug) -> Iterator[tuple[str, str]]:
    """Pairs of a label and a formula: ``right``, ``wrong``, and an ``or`` for every other variant."""
    right, wrong = bug.formulas()
    yield "right", right
    yield "wrong", wrong
    told: dict[str, str] = {}
    for each in bug.variants:
        if each.wrong and told.setdefault(each.wrong, each.label) == each.label:
            yield "or", f"{each.wrong}  ({each.label})"


def sections(bug: Bug) -> list[tuple[str, str]]:
    """The other sections of the page: title and text."""
    told = [
        ("What stays right", bug.stays_right),
        ("Easily confused with", ", ".join(bug.confused_with)),
        ("The fix", bug.fix),
        ("Example", bug.example),
        ("Seen in", bug.seen),
    ]
    return [(title, text) for title, text in told if text]


def demonstration(bug: Bug, digits: int = 6) -> Iterator[str]:
    """The lines that show the first value that the bug makes wrong, with its numbers; none where no case shows it."""
    for variant in bug.variants:
        for case in cases_for(variant.stages):
            if not (variant.stages.matters(case) and any(differing(case, variant.stages))):
                continue
            pair = first_difference(case, variant.stages)
            if pair is not None:
                yield from _pair_lines(case, *pair, digits)
                return


def _pair_lines(case: Case, right: Step, wrong: Step, digits: int) -> Iterator[str]:
    place = where(right)
    at = f", {place}" if place else ""
    yield ""
    yield f"  With numbers: {case.name}, {heading(right, rounds=right.round > 0)}, {right.stage}{at}"
    yield from (f"    right:  {line}" for line in equation_lines(right, digits))
    yield from (f"    wrong:  {line}" for line in equation_lines(wrong, digits))


@functools.cache
def _cases() -> tuple[Case, ...]:
    """Mazur's network first, then the other published cases and those of training, then generated ones."""
    published = [file.case for suite in ("published", "training") for file in suite_files(suite)]
    small = [case for case in published if not case.network.families and case.network.widths[0] <= _SMALL]
    first = sorted(small, key=lambda case: not case.name.startswith("mazur"))
    return (*first, *training_cases(4 * len(RECIPES)), *(generated_case(index) for index in range(_TRIED)))


def cases_for(stages: type[Stages]) -> Iterator[Case]:
    """The cases that may show a bug: those of the families of the layers that it concerns."""
    kinds = getattr(stages, "kinds", ())
    families = {KINDS[kind].family for kind in kinds}
    if not families <= set(FAMILIES) or not families:  # dense layers belong to no family
        yield from _cases()
    for family in FAMILIES:
        if family in families or not families:
            yield from _cases_of(family)


@functools.cache
def _cases_of(family: str) -> tuple[Case, ...]:
    """Generated cases of a family, the smallest first; then its files, the only ones that have ties."""
    found = [family_case(family, index) for index in range(_TRIED_OF_FAMILY)]
    files = [file.case for file in suite_files(family)]
    return tuple(
        case for cases in (found, files) for case in sorted(cases, key=lambda c: sum(c.network.widths) * len(c.inputs))
    )


_RIGHT: dict[str, Mapping[Slot, Array]] = {}


def _right(case: Case) -> Mapping[Slot, Array]:
    """The right values of a case, computed once."""
    if case.id not in _RIGHT:
        _RIGHT[case.id] = given(case, {}).values
    return _RIGHT[case.id]


def differing(case: Case, stages: type[Swapped]) -> Iterator[tuple[Slot, Any, Array]]:
    """Every array that the bug changes, in the order of computation: its slot, where it differs, and the wrong
    values.
    """
    wrong = given(case, {}, stages=stages).values
    for slot, values in _right(case).items():
        differs = ~np.isclose(wrong[slot], values, rtol=1e-9, atol=1e-12, equal_nan=True)
        if differs.any():
            yield slot, differs, wrong[slot]


def first_difference(case: Case, stages: type[Swapped]) -> tuple[Step, Step] | None:
    """The first step, in the order of computation, whose value ``stages`` changes: the right step and the wrong one."""
    swapped = stages.for_case(case)
    if isinstance(swapped, type) and issubclass(swapped, Swapped) and swapped.strings_pass():
        return _reported_difference(case, swapped)
    for sample in range(len(case.inputs)):
        right = _steps(case, Stages, sample)
        known: dict[object, Step] = {}
        for step in _steps(case, swapped, sample):
            other = _same(right, known, _key(step))
            if other is not None and not math.isclose(step.value, other.value, rel_tol=1e-9, abs_tol=1e-12):
                return other, step
    return None


def _reported_difference(case: Case, stages: type[Swapped]) -> tuple[Step, Step] | None:
    """The same for a bug that reports values of another pass or of another moment."""
    for slot, differs, wrong in differing(case, stages):
        at = tuple(int(i) for i in np.argwhere(differs)[0])
        sample = at[0] if slot.quantity in (*UNITS, "input_gradient") else 0
        for step in _steps(case, Stages, sample):
            if (step.quantity, step.layer, tuple(step.at)) == (slot.quantity, slot.layer, at):
                value = float(wrong[at])
                text = number_text(value, 6)
                return step, msgspec.structs.replace(step, symbolic=text, numbers=text, value=value)
    return None


def _steps(case: Case, stages: type[Stages], sample: int) -> Iterator[Step]:
    """The steps of a case computed with ``stages``."""
    return selected_steps(case, Selection(case, None, None, everything=True), stages, sample=sample)


def _same(steps: Iterator[Step], known: dict[object, Step], key: object) -> Step | None:
    """The step with that key among ``known`` and the next ones; None where it is not among them."""
    ahead = itertools.islice(steps, _AHEAD)
    while key not in known and (step := next(ahead, None)) is not None:
        known[_key(step)] = step
    return known.get(key)


def _key(step: Step) -> object:
    return step.round, step.stage, step.symbol, step.layer, step.neuron, step.weight, tuple(step.unit)

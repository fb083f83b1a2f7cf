"""A named bug's page: what it is, the formula as it should be and as it was, with numbers, how to tell it, the fix."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.cases.families import family_case
from backprop_check.cases.files import suite_files
from backprop_check.cases.generate import generated_case
from backprop_check.cases.training import RECIPES, training_cases
from backprop_check.errors import ConfigurationError
from backprop_check.expected import textbook_pass
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.layout import equation_lines, heading, where
from backprop_check.explain.making import Found, is_shipped
from backprop_check.kinds import FAMILIES, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backprop_check.diagnose.bug import Bug
    from backprop_check.explain.steps import Step
    from backprop_check.network import Case
    from backprop_check.reference import Stages
    from backprop_check.trace import Array, Slot

#: So many generated cases are tried where the published ones do not show a bug.
_TRIED = 150

_SMALL = 8

#: So many generated cases of every family of layers are tried.
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
    """The page of a bug as text; None and ``ConfigurationError`` as from ``named_bug``."""
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
    """The formula as it should be, as it is, and as its variants have it: ``right``, ``wrong``, ``or``."""
    right, wrong = bug.formulas()
    yield "right", right
    yield "wrong", wrong
    told: dict[str, str] = {}
    for each in bug.variants:
        if each.wrong and told.setdefault(each.wrong, each.label) == each.label:
            yield "or", f"{each.wrong}  ({each.label})"


def sections(bug: Bug) -> list[tuple[str, str]]:
    """What else is told of a bug: title and text."""
    told = [
        ("What stays right", bug.stays_right),
        ("Easily confused with", ", ".join(bug.confused_with)),
        ("The fix", bug.fix),
        ("Example", bug.example),
        ("Seen in", bug.seen),
    ]
    return [(title, text) for title, text in told if text]


def demonstration(bug: Bug, digits: int = 6) -> Iterator[str]:
    """The first value that the bug gets wrong, right and wrong with that neuron's numbers, if any shows."""
    for variant in bug.variants:
        for case in _cases_for(variant.stages):
            if not (variant.stages.matters(case) and _shows(case, variant.stages)):
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
    """Mazur's network first, then the other published ones and those of training, then generated ones."""
    published = [file.case for suite in ("published", "training") for file in suite_files(suite)]
    chains = [case for case in published if case.network.is_chain]
    small = [case for case in chains if len(case.network.layers[0].parameters.weights) <= _SMALL]
    first = sorted(small, key=lambda case: not case.name.startswith("mazur"))
    return (*first, *training_cases(4 * len(RECIPES)), *(generated_case(index) for index in range(_TRIED)))


def _cases_for(stages: type[Stages]) -> tuple[Case, ...]:
    """The cases that may show a bug: of the families of the layers that it is about, where it is about such."""
    networks = getattr(stages, "networks", "")
    if networks == "any":  # of a loss, say, that only some layers' cases have
        return (*_cases(), *_wired_cases(("attention",)))
    if networks != "wired":
        return _cases()
    kinds = getattr(stages, "kinds", ())
    families = {KINDS[kind].family for kind in kinds} & set(FAMILIES)
    return _wired_cases(tuple(family for family in FAMILIES if family in families or not families))


@functools.cache
def _wired_cases(families: tuple[str, ...]) -> tuple[Case, ...]:
    """Generated cases of families of layers, the smallest first; then their files, which alone have ties."""
    found = [family_case(family, index) for family in families for index in range(_TRIED_OF_FAMILY)]
    files = [file.case for family in families for file in suite_files(family)]
    return tuple(
        case for cases in (found, files) for case in sorted(cases, key=lambda c: sum(c.network.widths) * len(c.inputs))
    )


_RIGHT: dict[str, Mapping[Slot, Array]] = {}


def _right(case: Case) -> Mapping[Slot, Array]:
    """What is right for one of the cases, worked out once."""
    if case.id not in _RIGHT:
        _RIGHT[case.id] = textbook_pass(case).values
    return _RIGHT[case.id]


def _for_case(stages: type[Stages], case: Case) -> type[Stages]:
    """A bug's stages for this case, where they depend on it."""
    made = getattr(stages, "for_case", None)
    return stages if made is None else made(case)


def _shows(case: Case, stages: type[Stages]) -> bool:
    """Whether the bug makes a difference here: the pass on floats tells it sooner than the record."""
    wrong = textbook_pass(case, stages=_for_case(stages, case)).values
    return any(not np.allclose(wrong[slot], value, rtol=1e-9, atol=1e-12) for slot, value in _right(case).items())


def first_difference(case: Case, stages: type[Stages]) -> tuple[Step, Step] | None:
    """The first step, in the order of computing, whose value ``stages`` changes: as it should be, and as it is."""
    found, everything, stages = Found(case), not case.network.is_chain, _for_case(stages, case)
    for sample in range(len(case.inputs)):
        right = {_key(step): step for step in explain_case(found, sample=sample, everything=everything).steps}
        for step in explain_case(found, sample=sample, stages=stages, everything=everything).steps:
            other = right.get(_key(step))
            if other is not None and not math.isclose(step.value, other.value, rel_tol=1e-9, abs_tol=1e-12):
                return other, step
    return None


def _key(step: Step) -> tuple[object, ...]:
    return step.round, step.stage, step.symbol, step.layer, step.neuron, step.weight

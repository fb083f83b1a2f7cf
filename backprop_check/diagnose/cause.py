"""Causes: what is wrong, once for all the cases that it explains, and how a cause is built from a bug."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.diagnose.bug import activations_of
from backprop_check.diagnose.catalogue import find_bug, variant_of
from backprop_check.diagnose.evidence import Evidence, differ_anywhere
from backprop_check.diagnose.restrict import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Mismatch
    from backprop_check.compare.trace import Array, Slot
    from backprop_check.diagnose.match import Match


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The first value that a bug makes wrong in the smallest network: the right and the wrong equation, with
    numbers.
    """

    place: str
    right: list[str]
    implemented: list[str]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, once for all failing cases that it explains, as in the results file.

    ``smallest`` is the id of the smallest network that shows it, which ``replay`` runs again; ``shown`` are its
    numbers.
    """

    code: str | None
    bug: str | None
    title: str
    sentence: str
    scope: str = ""
    detail: str = ""
    right: str = ""
    implemented: str = ""
    fix: str = ""
    stays_right: str = ""
    cases: int = 0
    first_case: str | None = None
    equivalent: list[str] = []
    explains: list[str] = []
    smallest: str | None = None
    smallest_case: dict[str, Any] | None = None
    shown: Shown | None = None


@dataclass(eq=False)
class Failure:
    """A failing case and the values that were reported for it."""

    case: Case
    mismatches: Sequence[Mismatch]
    actual: Mapping[Slot, Array]
    unstable: str = ""
    """The right but unstable formula that gives all differing values, if there is one."""
    name: str = ""
    """The id under which the case was sent, if its numbers were rounded afterwards."""

    @property
    def id(self) -> str:
        """The id of the case as it was sent."""
        return self.name or self.case.id


def wrong_arrays(failures: Sequence[Failure]) -> str:
    """The arrays that are missing or malformed, in words."""
    names: dict[str, None] = {}
    for each in failures:
        for mismatch in each.mismatches:
            if mismatch.problem in ("missing", "shape", "extra", "not_a_number"):
                names.setdefault(f"{mismatch.quantity.replace('_', ' ')} ({mismatch.problem.replace('_', ' ')})")
    return ", ".join(list(names)[:4])


def cause_of(code: str, failures: Sequence[Failure], detail: str = "", places: str = "") -> Cause:
    """The cause for the bug of that code, with its variant's own texts and the formulas of the cases' activations."""
    bug, own = find_bug(code), variant_of(code, detail)
    activations = {activation for each in failures for activation in activations_of(each.case)}
    right, implemented = bug.formulas(own, activations)
    return Cause(
        code=bug.code,
        bug=bug.name,
        title=bug.title,
        sentence=(own and own.sentence) or bug.sentence,
        detail=detail or places,
        right=right,
        implemented=implemented,
        fix=bug.fix,
        stays_right=bug.stays_right,
        cases=len(failures),
        first_case=failures[0].id if failures else None,
        explains=[each.id for each in failures],
    )


def unnamed(failures: Sequence[Failure], pattern: str, left_out: Sequence[str] = ()) -> Cause:
    """The cause without a name. If the search was cut short, it does not claim that there is no name."""
    title, finding = "no name fits", "No bug of the catalogue gives these numbers."
    if left_out:
        title = "no name found"
        finding = f"No name was found, but the search reached its limit. It left out: {', '.join(left_out)}."
    return Cause(
        code=None,
        bug=None,
        title=title,
        sentence=f"{finding} What can be seen: {pattern}.",
        cases=len(failures),
        first_case=failures[0].id if failures else None,
        explains=[each.id for each in failures],
    )


def another_formula(
    whose: str,
    right: Sequence[str],
    implemented: Sequence[str],
    difference: str,
    failures: Sequence[Failure],
    *,
    scope: str,
    also: Sequence[str],
    shown: Shown | None = None,
) -> Cause:
    """The cause of failures whose formula was found and has no code; ``also`` are formulas with the same numbers.

    With --hints-only the first sentence is all that is told: it holds no formula.
    """
    return Cause(
        code=None,
        bug=None,
        title="another formula was written",
        sentence=f"{whose} come from another formula than the correct one. They are exactly those of "
        f"{' and '.join(implemented)}; correct is {' and '.join(right)}. The difference: {difference}.",
        scope=scope,
        detail=f"the same numbers come from {' and from '.join(also)}" if also else "",
        right="; ".join(right),
        implemented="; ".join(implemented),
        cases=len(failures),
        first_case=failures[0].id,
        explains=[each.id for each in failures],
        shown=shown,
    )


def undecided(failures: Sequence[Failure], codes: str) -> Cause:
    """The cause of failures for which the bugs of these codes give no definite number, such as 0/0."""
    return Cause(
        code=None,
        bug=None,
        title="cannot be told",
        sentence=f"With {codes} these cases have no definite numbers (0/0, or all digits are lost): they speak neither "
        f"for it nor against it. Mend {codes}, and run them again.",
        cases=len(failures),
        first_case=failures[0].id,
        explains=[each.id for each in failures],
    )


def causes_of(names: Sequence[Match], failures: Sequence[Failure], evidences: Sequence[Evidence]) -> list[Cause]:
    """One cause for each bug of the best match; other matches with a single bug are its equivalents."""
    best = names[0]
    found = []
    for bug, variant, place in best.parts:
        pairs = [*zip(failures, evidences, strict=True)]
        # Cases for which the name gives no definite number are not counted as explained.
        explained = [each for each, evidence in pairs if evidence.reproduced_by(best.stages)]
        if len(best.parts) > 1:
            explained = [
                each
                for each, evidence in pairs
                if each in explained
                and variant.stages.matters(each.case)
                and differ_anywhere(
                    each.case, variant.stages, None, evidence.dtype, evidence.profile, (), evidence.kinks
                )
            ]
        others = {
            code
            for match in names[1:]
            if len(match.parts) == len(best.parts) == 1
            for code in match.codes
            if code != bug.code
        }
        cause = cause_of(bug.code, explained or failures, detail=variant.label)
        found.append(
            msgspec.structs.replace(cause, scope="" if place == Place() else place.words(), equivalent=sorted(others))
        )
    return sorted(found, key=lambda cause: order_of(cause.code))


def order_of(code: str | None) -> tuple[int, str]:
    """A sort key for what to fix first: the form of replies, then forward pass, backward pass, loss, batch, update."""
    families = ["BP0", "BP2", "BP6", "BP7", "BP8", "BP9", "BP1", "BP3", "BP4", "BP5"]
    return (families.index(code[:3]) if code else len(families), code or "")

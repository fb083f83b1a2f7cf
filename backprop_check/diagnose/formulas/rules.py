"""Edits of the rules of any layer: what one number sends back to another, or reads, changed in one simple way.

Layers other than dense ones compute through numbers that nobody reports (gates, scores, means). There an edit is put
into the whole pass, as a named bug is, and must give everything that was reported: the part of ∂L/∂x that comes from
one reader is missing, doubled, of the wrong sign, or lacks its factor; a term of a sum is missing or of the wrong sign;
a function is another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from backprop_check.diagnose.bug import SwappedRules
from backprop_check.diagnose.cause import another_formula
from backprop_check.diagnose.given import pass_on_reported
from backprop_check.diagnose.match import Match, Search
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.reference.rules import Function, Given, Rule, WeightedSum, read_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.diagnose.cause import Cause, Failure
    from backprop_check.diagnose.effort import Part
    from backprop_check.diagnose.evidence import Evidence, Passing

#: The most edits with equal numbers that are told.
_TOLD = 3

#: The functions that may stand in another's place.
_FUNCTIONS = ("identity", "sigmoid", "tanh", "relu")


class Site(NamedTuple):
    """A rule of a kind of layer, and one of the things that it reads, by their roles."""

    kind: str
    out: str
    what: str
    read: str
    rule: str

    def words(self) -> tuple[str, str]:
        """The number that is computed and the one that is read, for people."""
        return (self.out or "z").replace("_", " "), (self.read or "x").replace("_", " ")


class EditedRule(SwappedRules):
    """Stages in which one thing is changed, wherever a kind of layer has it."""

    site: ClassVar[Site]
    edit: ClassVar[str]

    @classmethod
    def matters(cls, case: Case) -> bool:
        """Whether the case has such a layer."""
        return any(layer.kind == cls.site.kind for layer in case.network.layers)

    def _is_here(self, rule: Rule, role: tuple[str, int]) -> bool:
        return site_of(rule, role) == self.site

    def share(self, rule: Rule, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """What flows back, changed."""
        error, slope = super().share(rule, role, s, i)
        if not self.edit.startswith("back") or not self._is_here(rule, role):
            return error, slope
        m = self.m
        match self.edit:
            case "back missing":
                return m.vector(lambda e: 0.0 * e, error), slope
            case "back doubled":
                return m.vector(lambda e: 2.0 * e, error), slope
            case "back negative":
                return m.vector(lambda e: -e, error), slope
            case "back without factor":
                return error, None
            case _:
                return error, None if slope is None else m.vector(lambda x: x * x, slope)

    def value(self, rule: Rule, s: Any, o: Any) -> Any:
        """The number, changed."""
        if self.edit.startswith("back"):
            return super().value(rule, s, o)
        if isinstance(rule, Function) and self._is_here(rule, ("x", 0)):
            function = ELEMENTWISE[self.edit.removeprefix("function ")]
            return function.value(self.m, rule.x.values[s, o], rule.alpha)
        if isinstance(rule, WeightedSum):
            return self._sum(rule, s, o)
        return super().value(rule, s, o)

    def _sum(self, rule: WeightedSum, s: Any, o: Any) -> Any:
        m, terms, biases = self.m, [], []
        changed = False
        for number, source in enumerate(rule.sources):
            x = source.x.values[s, source.wiring.reads[o]]
            w = None if source.weights is None else source.weights.values[s, source.wiring.uses[o]]
            if self._is_here(rule, ("x", number)):
                changed = True
                if self.edit == "term missing":
                    continue
                x = m.vector(lambda e: -e, x)
            terms.append((x, w))
        for number, (bias, of) in enumerate(rule.biases):
            b = bias.values[s, of[o]]
            if self._is_here(rule, ("bias", number)):
                changed = True
                if self.edit == "term missing":
                    continue
                b = -b
            biases.append(b)
        return m.dots(terms, biases) if changed and (terms or biases) else super().value(rule, s, o)


def site_of(rule: Rule, role: tuple[str, int]) -> Site | None:
    """The site of a rule and what it reads; None for what belongs to no layer."""
    if isinstance(rule, Given) or rule.spec is None:
        return None
    table = read_by(rule, role)
    read = "" if table is None else _plain(table.role)
    return Site(rule.spec.kind, rule.out.role, role[0], read, type(rule).__name__)


def _plain(role: str) -> str:
    """A role without the number of its layer and its direction: ``weight_hh`` for ``weight_hh_l0_reverse``."""
    return re.sub(r"_l\d+(_reverse)?$", "", role)


def sites(evidence: Evidence) -> list[Site]:
    """The sites of a case, in layers other than dense ones."""
    _, p = pass_on_reported(evidence.case, evidence.actual, evidence.dtype, evidence.profile)
    tables = [*p.circuit.tables, p.inputs, *(table for l in p.layers for table in l.parameters.values())]
    found = (site_of(rule, role) for table in tables for rule, role in table.readers)
    return list(dict.fromkeys(site for site in found if site is not None and site.kind != "dense"))


def edits(site: Site) -> Iterator[str]:
    """The edits of a site, the simplest first."""
    if site.what != "bias":
        yield "back without factor"
    yield from ("back missing", "back doubled", "back negative")
    if site.what != "bias":
        yield "back with squared factor"
    if site.rule == "WeightedSum" and site.what in ("x", "bias"):
        yield from ("term missing", "term negative")
    if site.rule == "Function":
        yield from (f"function {name}" for name in _FUNCTIONS)


def edited_rule(pairs: Sequence[tuple[Failure, Evidence]], passing: Passing, effort: Part) -> Cause | None:
    """The cause of failures that one edit of a rule explains, all of them; None where there is none."""
    search = Search([evidence for _, evidence in pairs], passing, effort)
    probe = next(iter(search.probes()), None)
    if probe is None:
        return None
    effort.tell("looking for a changed rule in the layers that are wrong")
    found: list[tuple[Site, str]] = []
    for site in sites(probe):
        for edit in edits(site):
            if effort.spent or len(found) == _TOLD:
                break
            stages = type("EditedRule", (EditedRule,), {"site": site, "edit": edit})
            if probe.reproduced_by(stages) and search.holds(Match(stages, ())):
                found.append((site, edit))
    return _told(found, [failure for failure, _ in pairs]) if found else None


def _told(found: Sequence[tuple[Site, str]], failures: Sequence[Failure]) -> Cause:
    site, edit = found[0]
    right, implemented = _formulas(site, edit)
    also = [_formulas(*other)[1] for other in found[1:]]
    kind = site.kind.replace("_", " ")
    whose, scope = f"The numbers of {kind} layers", f"in {kind} layers only"
    return another_formula(whose, [right], [implemented], _difference(site, edit), failures, scope=scope, also=also)


def _formulas(site: Site, edit: str) -> tuple[str, str]:
    out, read = site.words()
    if edit.startswith("function"):
        return f"{out} = φ({read})", f"{out} = {edit.removeprefix('function ')}({read})"
    if edit.startswith("term"):
        sign = "" if edit == "term missing" else f" − {read}"
        return f"{out} = … + {read}", f"{out} = …{sign}"
    part = f"∂L/∂{out} · ∂{out}/∂{read}"
    wrong = {
        "back missing": "∂L/∂{read} = …",
        "back doubled": "∂L/∂{read} = … + 2 · {part}",
        "back negative": "∂L/∂{read} = … − {part}",
        "back without factor": "∂L/∂{read} = … + ∂L/∂{out}",
        "back with squared factor": "∂L/∂{read} = … + ∂L/∂{out} · (∂{out}/∂{read})²",
    }[edit]
    return f"∂L/∂{read} = … + {part}", wrong.format(read=read, out=out, part=part)


def _difference(site: Site, edit: str) -> str:
    out, read = site.words()
    if edit.startswith("function"):
        return f"{edit.removeprefix('function ')} stands in the place of the function that gives {out}"
    return {
        "term missing": f"{read} is missing in the sum that gives {out}",
        "term negative": f"{read} has the wrong sign in the sum that gives {out}",
        "back missing": f"nothing flows back from {out} to {read}",
        "back doubled": f"what flows back from {out} to {read} is doubled",
        "back negative": f"what flows back from {out} to {read} has the wrong sign",
        "back without factor": f"what flows back from {out} to {read} lacks its factor ∂{out}/∂{read}",
        "back with squared factor": f"what flows back from {out} to {read} has its factor ∂{out}/∂{read} twice",
    }[edit]

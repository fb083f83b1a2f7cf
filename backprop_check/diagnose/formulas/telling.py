"""From failing cases to causes that say which formula was written, and where."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from backprop_check.compare.trace import Slot
from backprop_check.diagnose.blame import recover
from backprop_check.diagnose.cause import Cause, Failure, Shown, another_formula, cause_of
from backprop_check.diagnose.evidence import Evidence
from backprop_check.diagnose.formulas.scope import Scope, usable
from backprop_check.diagnose.formulas.search import Formula, Found, Instance, fits, fitting, from_z
from backprop_check.diagnose.formulas.whole import predicted
from backprop_check.diagnose.given import pass_on_reported
from backprop_check.kinds.dense import Dense

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence

    from backprop_check.diagnose.effort import Part
    from backprop_check.diagnose.evidence import Passing

    Pair = tuple[Failure, Evidence]

#: The quantities with formulas, in the order in which they are computed.
QUANTITIES = ("z", "a", "delta", "weight_gradient", "bias_gradient")

#: The most passing cases that a formula is compared with.
_PASSING = 60

#: What must be reported so that a site is judged by itself.
_READ = {
    "z": ("a",),
    "a": ("z",),
    "delta": ("z", "a", "delta"),
    "weight_gradient": ("a", "delta"),
    "bias_gradient": ("delta",),
}

#: The correct formulas.
_RIGHT = {
    "z": "z = Σ w aₗ₋₁ + b",
    "a": "a = φ(z)",
    "delta output": "δ = ∂L/∂a · φ′(z)",
    "delta": "δ = (Σ w δ) · φ′(z)",
    "weight_gradient": "∂L/∂w = δ · aₗ₋₁",
    "bias_gradient": "∂L/∂b = δ",
}

#: What the numbers are, in words.
_WORDS = {
    "z": "The pre-activations z",
    "a": "The activations a",
    "delta": "The values of δ",
    "gradient": "The gradients of the parameters",
}

#: The left sides of the formulas.
_SIDES = {"z": "z", "a": "a", "delta": "δ", "weight_gradient": "∂L/∂w", "bias_gradient": "∂L/∂b"}

#: The bugs of the catalogue that are one of these formulas: quantity, what is different, code.
_CODES = {
    ("delta output", "φ′(z) is missing"): "BP101",
    ("delta", "φ′(z) is missing"): "BP102",
    ("delta output", "φ′ is taken of a, not of z"): "BP103",
    ("delta", "φ′ is taken of a, not of z"): "BP103",
    ("delta output", "z stands in the place of a in φ′"): "BP104",
    ("delta", "z stands in the place of a in φ′"): "BP104",
    ("delta output", "a stands in the place of φ′(z)"): "BP105",
    ("delta", "a stands in the place of φ′(z)"): "BP105",
    ("delta", "δ is sent back through the updated weights w⁺, not through those of the forward pass"): "BP107",
    ("delta", "the weights are transposed on the way back"): "BP109",
    ("weight_gradient", "aₗ stands in the place of aₗ₋₁"): "BP111",
    ("weight_gradient", "zₗ₋₁ stands in the place of aₗ₋₁"): "BP112",
    ("weight_gradient", "w stands in the place of aₗ₋₁"): "BP113",
    ("z", "the bias is missing"): "BP201",
    ("z", "every neuron adds the bias of the first"): "BP202",
    ("z", "the weights are transposed"): "BP205",
}

_KEYS: tuple[Callable[[Instance], Hashable], ...] = (
    lambda _: "",
    lambda each: each.scope.last,
    lambda each: each.scope.activation,
    lambda each: (each.scope.last, each.scope.activation),
    lambda each: _depth(each.scope),
    lambda each: each.scope.below is None,
)


def _depth(scope: Scope) -> int:
    """0 for the output, 1 for the layer before it, 2 for those before that."""
    if scope.last:
        return 0
    return 1 if scope.above is not None and scope.above.last else 2


def formula_causes(pairs: Sequence[Pair], passing: Passing, effort: Part) -> tuple[list[Cause], list[Pair]]:
    """The causes whose formulas were found, and the failing cases that they do not explain completely.

    Only dense layers among dense layers are looked at. ``effort`` limits the passes over the failing cases; nothing is
    searched where it is spent.
    """
    effort.tell("looking for the formula that gives these numbers")
    for _, evidence in pairs:
        effort.spend(evidence.case, 2)
    if effort.spent:
        return [], list(pairs)
    known = [_with_recovered(evidence) for _, evidence in pairs]
    instances = [each for number, evidence in enumerate(known) for each in instances_of(evidence, number)]
    found_ones = find(instances, passing)
    if not found_ones:
        return [], list(pairs)
    mistakes: dict[tuple[str, str], list[Found]] = {}
    for found in found_ones:
        mistakes.setdefault(found.mistake, []).append(found)
    explained = {(each.failure, each.slot) for found in found_ones for each in found.group}
    explained |= {(each.failure, each.slot) for each in instances if not each.is_wrong}
    by_place = {number for number, evidence in enumerate(known) if _explains_all(number, evidence, explained)}
    by_pass = {number for number in set(range(len(pairs))) - by_place if _gives_all(pairs[number][1], found_ones)}
    # From the output backwards: an error there moves everything behind it.
    ordered = sorted(mistakes.values(), key=lambda found: (found[0].mistake[0] == "gradient", found[0].name == "delta"))
    causes = [_cause(found, instances, pairs, by_pass) for found in ordered]
    return causes, [pair for number, pair in enumerate(pairs) if number not in by_place | by_pass]


def find(instances: list[Instance], passing: Passing) -> list[Found]:
    """The formulas that give the numbers of these instances, in groups; ``instances`` gets those of passing cases."""
    if not any(each.is_wrong for each in instances):
        return []
    instances += [each for case in passing.examples(_PASSING) for each in _right_instances(*case)]
    own = {name: [each for each in instances if each.slot.quantity == name] for name in QUANTITIES}
    return [found for quantity in QUANTITIES for found in _explained(quantity, own[quantity])]


def _explains_all(number: int, evidence: Evidence, explained: set[tuple[int, Slot]]) -> bool:
    """Whether every root of a case is explained; later steps report only their results, in which any error shows."""
    later = {"loss", "updated_weight", "updated_bias"} if evidence.case.steps > 1 else set()
    roots = [slot for slot in evidence.roots if slot.quantity not in {"input_gradient", *later}]
    return bool(roots) and all((number, slot) in explained for slot in roots)


def instances_of(evidence: Evidence, number: int = 0) -> Iterator[Instance]:
    """The arrays of a case that are judged by themselves; ``number`` is that of the case among the failing ones."""
    m, p = pass_on_reported(evidence.case, evidence.actual, evidence.dtype, evidence.profile)
    if m.choices is not None and m.choices.met:
        return  # at a kink several slopes are right: such a case says nothing certain of a formula
    roots = evidence.roots
    for index, layer in enumerate(evidence.case.network.layers):
        if type(layer) is not Dense or not usable(evidence.case, index):
            continue
        scope = Scope(evidence.case, p, m, evidence.actual, index)
        for quantity in QUANTITIES:
            slot = Slot(quantity, index)
            if slot in evidence.actual and slot in evidence.right.values and _has_read(scope, quantity):
                wrong = roots.get(slot, np.zeros(evidence.actual[slot].shape, dtype=bool))
                right, allowed = evidence.right.values[slot], evidence.right.allowed[slot]
                instance = Instance(scope, slot, evidence.actual[slot], right, allowed, number, wrong)
                # Where a is wrong, φ′ may be right by its formula in z and wrong by its formula in a.
                if quantity == "delta" and wrong.any() and fits(from_z(output=scope.last), instance):
                    instance.wrong = np.zeros_like(wrong)
                yield instance


def _right_instances(case: object, dtype: str, profile: str) -> Iterator[Instance]:
    """The instances of a passing case: its numbers were not kept, but they were right."""
    m, p = pass_on_reported(case, {}, dtype, profile)  # type: ignore[arg-type]
    for index, layer in enumerate(p.case.network.layers):
        if type(layer) is not Dense or not usable(p.case, index):
            continue
        scope = Scope(p.case, p, m, {}, index)
        for quantity in QUANTITIES:
            slot = Slot(quantity, index)
            value, error = m.found[slot]
            yield Instance(scope, slot, None, value, m.allowed(value, error), -1)


def _with_recovered(evidence: Evidence) -> Evidence:
    """The evidence with the δ and a that follow from the gradients of one sample, where δ was not reported."""
    if any(slot.quantity == "delta" for slot in evidence.actual):
        return evidence
    known = {**recover(evidence.case, evidence.actual), **evidence.actual}
    return Evidence(evidence.case, known, evidence.dtype, evidence.profile, evidence.ignored, kinks=evidence.kinks)


def _gives_all(evidence: Evidence, found: Sequence[Found]) -> bool:
    """Whether a whole pass with these formulas gives everything that was reported."""
    local = predicted(evidence.case, found, evidence.dtype, evidence.profile)
    return local is not None and evidence.agrees_with(local)


def _has_read(scope: Scope, quantity: str) -> bool:
    # Where no z was reported at all, the forward pass is taken as right: else no formula behind it would fit.
    computed = () if any(slot.quantity == "z" for slot in scope.actual) else ("z", "a")
    near = [scope, scope.below, *([scope.above] if quantity == "delta" else [])]
    return all(
        Slot(name, each.index) in scope.actual
        for each in near
        if each is not None
        for name in _READ[quantity]
        if name not in computed and (name, each.index) != (quantity, scope.index)
    )


def _explained(quantity: str, instances: Sequence[Instance]) -> list[Found]:
    """Groups of instances with the formulas that give their numbers: the coarsest grouping in which most are given."""
    best: list[Found] = []
    most, wrong = 0, sum(each.is_wrong for each in instances)
    for key in map(_with_output, _KEYS) if wrong else ():
        groups: dict[Hashable, list[Instance]] = defaultdict(list)
        for each in instances:
            groups[key(each)].append(each)
        found = [
            Found(formulas, group, functools.partial(_belongs, quantity, key, value))
            for value, group in groups.items()
            if any(each.is_wrong for each in group) and (formulas := fitting(quantity, group))
        ]
        count = sum(each.is_wrong for one in found for each in one.group)
        if count > most:
            best, most = found, count
        if most == wrong:
            break
    return best


def _with_output(key: Callable[[Instance], Hashable]) -> Callable[[Instance], Hashable]:
    """The key, and for δ whether it is the output's, which has a formula of its own."""
    return lambda each: (key(each), each.slot.quantity == "delta" and each.scope.last)


def _belongs(quantity: str, key: Callable[[Instance], Hashable], value: Hashable, each: Instance) -> bool:
    return each.slot.quantity == quantity and key(each) == value


def _cause(
    found: Sequence[Found], instances: Sequence[Instance], pairs: Sequence[Pair], by_pass: Collection[int]
) -> Cause:
    """The cause of one mistake, at all the places where it was found, and in the cases ``by_pass``."""
    group = [each for one in found for each in one.group]
    wrong = [each for each in group if each.is_wrong]
    failures = [pairs[number][0] for number in sorted({each.failure for each in wrong}.union(by_pass))]
    quantities = {each.slot.quantity for each in group}
    scope = _scope(group, [each for each in instances if each.slot.quantity in quantities])
    formula = found[0].formulas[0]
    shown = _shown(formula, [each for each in found[0].group if each.is_wrong])
    codes = {_CODES.get((one.name, formula.says)) for one in found}
    if len(codes) == 1 and (code := codes.pop()) is not None:
        return msgspec.structs.replace(cause_of(code, failures), scope=scope, shown=shown)
    right = list(dict.fromkeys(_RIGHT[one.name] for one in found))
    implemented = list(dict.fromkeys(_equation(one.formulas[0]) for one in found))
    also = [_equation(other) for other in found[0].formulas[1:3]]
    whose = _WORDS[found[0].mistake[0]]
    return another_formula(whose, right, implemented, formula.says, failures, scope=scope, also=also, shown=shown)


def _equation(formula: Formula) -> str:
    return f"{_SIDES[formula.quantity]} = {text_of(formula)}"


def text_of(formula: Formula) -> str:
    """The right side of the formula, in symbols."""
    if formula.quantity == "z":
        right = formula.right.symbol
        text = formula.left.symbol
        return text if right == "0" else f"{text} − {right[1:]}" if right.startswith("−") else f"{text} + {right}"
    parts = [part for part in (formula.left.symbol, formula.right.symbol) if part]
    parts = [f"({part})" if part.startswith("Σ") and len(parts) > 1 else part for part in parts]
    text = " · ".join(parts) or "1"
    if formula.constant.symbol == "−":
        text = f"−{text}"
    elif formula.constant.symbol:
        text = f"{formula.constant.symbol} · {text}"
    if formula.samples:
        text += f", of the {formula.samples} sample only"
    return text


#: Places in words, the simplest first, each with its test.
_PLACES: tuple[tuple[str, Callable[[Scope], bool]], ...] = (
    ("in the output layer only", lambda scope: scope.last),
    ("in hidden layers only", lambda scope: not scope.last),
    ("in the first layer only", lambda scope: scope.below is None),
    ("in every layer but the first", lambda scope: scope.below is not None),
    ("in the layer before the output only", lambda scope: _depth(scope) == 1),
    ("in hidden layers, but not in the one before the output", lambda scope: _depth(scope) > 1),
)


def _scope(group: Sequence[Instance], own: Sequence[Instance]) -> str:
    """Where the formula was found, if not everywhere: what all places of the group share, and no other place has."""
    others = [each.scope for each in own if not any(each is one for one in group)]
    inside = [each.scope for each in group]
    if not others:
        return ""
    for words, holds in _PLACES:
        if all(map(holds, inside)) and not any(map(holds, others)):
            return words
    activations = sorted({scope.activation for scope in inside})
    hidden = not any(scope.last for scope in inside)
    near = [scope for scope in others if not hidden or not scope.last]
    named = sorted({scope.activation for scope in near})
    if len(activations) > len(named) > 0 and not set(activations) & set(named):
        if len(near) == len(others):
            return f"in all but {_listed(named)} layers"
        return f"in hidden layers, but not in {_listed(named)} ones"
    of = _listed(activations)
    if not any(scope.activation in activations for scope in others):
        return f"in {of} layers only"
    return f"in {of} layers only, {'at the output' if all(scope.last for scope in inside) else 'hidden ones'}"


def _listed(names: Sequence[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _shown(formula: Formula, wrong: Sequence[Instance]) -> Shown | None:
    """The first wrong number of the smallest case: the correct formula and the one written, with their numbers."""
    first = min(wrong, key=lambda each: (each.failure, each.slot.layer))
    found = formula.numbers(first.scope)
    if first.reported is None or found is None:
        return None
    at = tuple(int(i) for i in np.argwhere(first.wrong)[0])
    side = _SIDES[formula.quantity]
    value = float(np.broadcast_to(found.value, first.reported.shape)[at])
    neuron = at[0] if "gradient" in formula.quantity else at[1]
    layer = first.scope.case.network.names()[first.scope.index]
    return Shown(
        place=f"{layer}, neuron {neuron}, {formula.quantity.replace('_', ' ')}",
        right=[f"{side} = {float(first.right[at])!r}"],
        implemented=[f"{side} = {text_of(formula)} = {value!r}"],
    )

"""What a terminal shows of a long explanation: of many steps of one kind in a layer the first, and how to see the rest.

Two steps are of one kind where they stand under the same heading and their sentences and symbols differ in indexes
only. Where all layers are dense they are told as they are: their steps are few, or left out by number already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from backprop_check.compare.places import UNITS
from backprop_check.compare.trace import parameter_of
from backprop_check.explain.layout import heading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.explain.beside import Beside
    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

#: So many steps of one kind are all told: two or three neurons are no reason to leave any out.
_FEW = 3

_INDEXES = re.compile(r"\[[^\]]*\]|[\d₀-₉⁰¹²³⁴-⁹,]")

#: What of a layer is meant by a step without a quantity of its own, as what the protocol calls it.
_MEANT = {"slope": "delta"}


class Shown(NamedTuple):
    """A step that is shown, with an implementation's number, and what is said of those like it; it may be nothing."""

    step: Step
    beside: Beside | None
    more: str


def shortened(explanation: Explanation) -> list[Shown]:
    """The steps that are shown: of every kind the first, and all that an implementation has wrong."""
    besides: Sequence[Beside | None] = explanation.beside or [None] * len(explanation.steps)
    if all(kind == "dense" for kind in explanation.kinds):
        return [Shown(step, beside, "") for step, beside in zip(explanation.steps, besides, strict=True)]
    kinds: dict[object, list[Step]] = {}
    for step, beside in zip(explanation.steps, besides, strict=True):
        if beside is None or beside.verdict == "right":
            kinds.setdefault(_kind(step), []).append(step)
    found = []
    for step, beside in zip(explanation.steps, besides, strict=True):
        alike = kinds.get(_kind(step), [])
        if len(alike) <= _FEW or all(step is not each for each in alike):
            found.append(Shown(step, beside, ""))
        elif step is alike[0]:
            wrong = len(alike) < sum(_kind(step) == _kind(each) for each in explanation.steps)
            found.append(Shown(step, beside, _more(explanation, alike, right=bool(explanation.beside), wrong=wrong)))
    return found


def _kind(step: Step) -> object:
    symbol = _INDEXES.sub("", step.symbol)
    return heading(step, rounds=True), step.stage, step.sentence, step.quantity, symbol


def _more(explanation: Explanation, alike: list[Step], *, right: bool, wrong: bool) -> str:
    """``… and 35 more like it: --neuron conv1:0,0,1 shows any of them``."""
    total = None if wrong else _total(explanation, alike[0])
    count = len(alike) if total is None else max(total, len(alike))
    number = "" if total is None and explanation.left_out else f"{count - 1} "
    option = _option(explanation, alike[1])
    shows = f"{option} shows any of them (--full: all)" if option else "--full shows them"
    return f"… and {number}more like it{', right too' if right else ''}: {shows}"


def _total(explanation: Explanation, step: Step) -> int | None:
    """How many numbers of this kind there are, told or not; None where that is not known."""
    if step.stage == "input gradient":
        return explanation.sizes[0]["input"]
    if step.layer is None or not explanation.sizes:
        return None
    quantity = "a" if step.symbol.startswith("∂L/∂a") else _MEANT.get(step.stage, step.quantity)
    return explanation.sizes[step.layer + 1].get(parameter_of(quantity))


def _option(explanation: Explanation, step: Step) -> str:
    """How to ask for a step; empty where one cannot: a number within a layer has no name for the command line."""
    at = ",".join(map(str, step.unit))
    if step.stage == "input gradient":
        return f"--neuron input:{at}"
    if step.layer is None:
        return ""
    name = explanation.layers[step.layer]
    layer = name if re.fullmatch(r"\w[\w.-]*", name) else str(step.layer)
    if step.quantity and step.quantity not in UNITS:
        parameter = parameter_of(step.quantity)
        return f"--weight {at if parameter == 'weight' else f'{parameter}:{at}'}"
    shape = explanation.shapes[step.layer + 1]
    of_output = len(step.unit) == len(shape) and all(i < n for i, n in zip(step.unit, shape, strict=True))
    named = step.quantity or step.stage in _MEANT or step.symbol.startswith("∂L/∂a")
    return f"--neuron {layer}:{at}" if of_output and named else ""

"""What a terminal shows of a long explanation: of many steps of one kind in a layer only the first.

Two steps are of one kind where they have the same heading and their sentences and symbols differ only in indexes. Where
all layers are dense nothing is shortened: there are few steps, or the selection has left some out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from backprop_check.compare.places import UNITS
from backprop_check.compare.trace import parameter_of
from backprop_check.explain.layout import heading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.explain.comparing import Compared
    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

#: The most steps of one kind that are all shown.
_FEW = 3

_INDEXES = re.compile(r"\[[^\]]*\]|[\d₀-₉⁰¹²³⁴-⁹,]")

#: The quantity of the protocol that a step without one is counted with.
_MEANT = {"slope": "delta"}


class Shown(NamedTuple):
    """A step that is shown, an implementation's number for it, and a remark about similar steps (may be empty)."""

    step: Step
    compared: Compared | None
    more: str


def shortened(explanation: Explanation) -> list[Shown]:
    """The steps that are shown: the first of every kind, and all that an implementation has wrong."""
    comparisons: Sequence[Compared | None] = explanation.compared or [None] * len(explanation.steps)
    if all(kind == "dense" for kind in explanation.kinds):
        return [Shown(step, compared, "") for step, compared in zip(explanation.steps, comparisons, strict=True)]
    kinds: dict[object, list[Step]] = {}
    for step, compared in zip(explanation.steps, comparisons, strict=True):
        if compared is None or compared.verdict == "right":
            kinds.setdefault(_kind(step), []).append(step)
    found = []
    for step, compared in zip(explanation.steps, comparisons, strict=True):
        alike = kinds.get(_kind(step), [])
        if len(alike) <= _FEW or all(step is not each for each in alike):
            found.append(Shown(step, compared, ""))
        elif step is alike[0]:
            wrong = len(alike) < sum(_kind(step) == _kind(each) for each in explanation.steps)
            found.append(
                Shown(step, compared, _more(explanation, alike, right=bool(explanation.compared), wrong=wrong))
            )
    return found


def _kind(step: Step) -> object:
    symbol = _INDEXES.sub("", step.symbol)
    return heading(step, rounds=True), step.stage, step.sentence, step.quantity, symbol


def _more(explanation: Explanation, alike: list[Step], *, right: bool, wrong: bool) -> str:
    """The remark ``… and 35 more like it: --neuron conv1:0,0,1 shows any of them``."""
    total = None if wrong else _total(explanation, alike[0])
    count = len(alike) if total is None else max(total, len(alike))
    number = "" if total is None and explanation.left_out else f"{count - 1} "
    option = _option(explanation, alike[1])
    shows = f"{option} shows any of them (--full: all)" if option else "--full shows them"
    return f"… and {number}more like it{', right too' if right else ''}: {shows}"


def _total(explanation: Explanation, step: Step) -> int | None:
    """How many numbers of this kind there are, shown or not; None where that is unknown."""
    if step.stage == "input gradient":
        return explanation.sizes[0]["input"]
    if step.layer is None or not explanation.sizes:
        return None
    quantity = "a" if step.symbol.startswith("∂L/∂a") else _MEANT.get(step.stage, step.quantity)
    return explanation.sizes[step.layer + 1].get(parameter_of(quantity))


def _option(explanation: Explanation, step: Step) -> str:
    """The option that selects a step; empty where there is none, as for numbers inside a layer."""
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

"""Further cases, for where several names fit: those for which the names predict different numbers.

For chains of dense layers these are generated cases with another seed than the run's. For other networks they are, in
turn, variations of failing cases with other numbers, more samples and larger sizes, and generated cases with the kinds
of layers that failed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.cases.clear import CLEAR
from backprop_check.cases.draw import Draw
from backprop_check.cases.families import family_case
from backprop_check.cases.generate import generated_case
from backprop_check.cases.training import training_case
from backprop_check.cases.within import Within, kinds_of
from backprop_check.diagnose.draft import Draft, any_numbers, integers
from backprop_check.diagnose.fitting import NAMED
from backprop_check.diagnose.reductions import is_clear
from backprop_check.errors import NothingToDrawError
from backprop_check.functions.names import ACTIVATIONS, ALL_LOSSES, LOSS_FEATURES
from backprop_check.kinds import FAMILIES, FEATURES, KINDS
from backprop_check.kinds.kind import nested, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array

#: Cases that tell names apart are looked for among so many generated ones.
_LOOKED_AT = 60

#: Another seed than anybody's run.
_SEED = 777

#: So many failing cases are varied, each with so many draws of its numbers until none is on a kink.
_VARIED = 3
_DRAWS = 5

#: What the generated cases keep to where nothing is known of the implementation.
_ANYTHING = Within(ACTIVATIONS, ALL_LOSSES, features=(*FEATURES, *LOSS_FEATURES), layers=tuple(KINDS))


def cases_to_tell_apart(failing: Sequence[Case], within: Within | None = None) -> Iterator[Case]:
    """Cases to choose from, generated on demand, of the kinds that failed first."""
    wired = sorted((case for case in failing if case.network.families), key=lambda case: len(case.request()))
    if any(case.trains for case in failing):
        yield from (training_case(index, seed=_SEED) for index in range(_LOOKED_AT))
    if len(wired) == len(failing):
        yield from _wired(wired, within or _ANYTHING)
    yield from (generated_case(index, seed=_SEED) for index in range(_LOOKED_AT))
    if 0 < len(wired) < len(failing):
        yield from _wired(wired, within or _ANYTHING)


def _wired(failing: Sequence[Case], within: Within) -> Iterator[Case]:
    """Variations and generated cases in turn."""
    kinds = {layer.kind for case in failing for layer in case.network.layers}
    # The suites' own generator, told that only these kinds of layers are supported: each case has one of them.
    within = dataclasses.replace(within, layers=tuple(kind for kind in within.layers if kind in {*kinds, "dense"}))
    families = [family for family in FAMILIES if kinds_of(family, within) and _is_of(family, failing, kinds)]
    varied = _variations(failing[:_VARIED], within)
    for number in range(_LOOKED_AT):
        variation = next(varied, None)
        if variation is not None:
            yield variation
        if families:
            try:
                yield family_case(families[number % len(families)], number, _SEED, within)
            except NothingToDrawError:  # none of these kinds can stand before an output that is supported
                families.remove(families[number % len(families)])


def _is_of(family: str, failing: Sequence[Case], kinds: set[str]) -> bool:
    if family == "graph":
        return any("graph" in case.features for case in failing)
    return any(KINDS[kind].family == family for kind in kinds)


def _variations(failing: Sequence[Case], within: Within) -> Iterator[Case]:
    """The variations of each failing case in turn."""
    ways = [list(_ways(case, within)) for case in failing]
    for number in range(max(map(len, ways), default=0)):
        for case, own in zip(failing, ways, strict=True):
            if number < len(own):
                found = varied(case, own[number], f"{_SEED}:{case.id}:{number}")
                if found is not None:
                    yield found


def _ways(case: Case, within: Within) -> Iterator[Callable[[Draft], None]]:
    """Ways to make a case larger: its batch, its input, every size of one value; and no change, for other numbers
    only.
    """
    if within.batch:
        yield _more_samples
    for more in (1, 2):
        yield lambda draft, more=more: _grown_input(draft, more)  # type: ignore[misc]
    draft = Draft.of(case)
    values = {value for layer in draft.layers for _, _, value in integers(layer)} | {*draft.shape}
    for value in sorted(values):
        yield lambda draft, value=value: _grown(draft, value)  # type: ignore[misc]
    yield lambda _: None


def _more_samples(draft: Draft) -> None:
    draft.inputs = np.concatenate([draft.inputs, draft.inputs[:1]])
    draft.targets = np.concatenate([draft.targets, draft.targets[:1]])


def _grown_input(draft: Draft, more: int) -> None:
    draft.shape = tuple(length + more for length in draft.shape)


def _grown(draft: Draft, value: int) -> None:
    draft.shape = tuple(length + (length == value) for length in draft.shape)
    for layer in draft.layers:
        for key, place, each in list(integers(layer)):
            if each == value:
                draft.put(layer, key, place, value + 1)


def varied(case: Case, change: Callable[[Draft], None], key: str) -> Case | None:
    """A case with this change and with other numbers, which keep clear of kinks; None where that is impossible."""
    draft = Draft.of(case)
    change(draft)
    changed = draft.case()
    for attempt in range(_DRAWS if changed is not None else 0):
        assert changed is not None
        again = Draft.of(changed)
        _draw_numbers(again, Draw(f"{key}:{attempt}"))
        found = again.case()
        if found is not None and is_clear(found, CLEAR):
            return found
    return None


def _draw_numbers(draft: Draft, draw: Draw) -> None:
    """Replace the numbers of parameters, inputs and targets by others of similar size."""
    for k, layer in enumerate(draft.layers):
        for name in NAMED if draft.owners[k] is None else ():
            if name in layer:
                layer[name] = {key: _drawn(draw, np.array(array, dtype=float)) for key, array in layer[name].items()}
    if draft.reads_indices:
        largest = int(draft.inputs.max(initial=0))
        draft.inputs = np.array([draw.whole(0, largest) for _ in range(draft.inputs.size)]).reshape(draft.inputs.shape)
    else:
        draft.inputs = np.array(_drawn(draw, draft.inputs))
    if any_numbers(draft.rest["loss"]):
        draft.targets = np.array(_drawn(draw, draft.targets))


def _drawn(draw: Draw, array: Array) -> Any:
    """Random numbers as large as those of the array; none below 0 where the array has none."""
    bound = max(0.3, float(abs(array).max(initial=0.0)))
    positive = array.min(initial=0.0) >= 0
    numbers = [draw.number(bound) for _ in range(size(array.shape))]
    return nested([abs(x) if positive else x for x in numbers], array.shape)

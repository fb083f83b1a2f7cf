"""Reduction of a failing case, whatever its layers: edits tried one after another, the boldest first, for as long as
the same check still fails.

An edit changes a ``Draft``: keep one sample of the batch, keep some of the layers, lower a number of units, channels,
steps or heads everywhere it occurs, leave out a field or a parameter, make an activation the identity, round the
numbers. An edit yields several candidates, the smallest first; the first that still fails becomes the new base.
"""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.cases.clear import ANY_LAYERS, CHAIN, CLEAR, TRAINED_CHAIN
from backprop_check.cases.clear import is_clear as clear_of_kinks
from backprop_check.diagnose.draft import Draft, any_numbers, integers
from backprop_check.diagnose.fitting import NAMED, NO_CASE, round_numbers
from backprop_check.errors import CaseError
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array

    Candidates = Iterator[Case | None]
    Edit = Callable[[Case], Iterable[Case | None]]

#: At most this many samples are tried alone, or left out one at a time.
_ALONE = 6

#: A layer with at most this many parameters has them left out in pairs, too.
_FEW = 6

#: The values tried in place of a larger one.
_LOW = (0, 1, 2, 3)

#: An upper bound of every size.
_MOST = 1 << 40

#: Losses that can replace any other: they take any output and any target.
_SIMPLE = ("half_squared_error", "squared_error", "mean_squared_error")


def weight(case: Case) -> tuple[int, int, int]:
    """The size of a case, to be compared as a tuple: (steps × numbers, options that are not the simplest, length as
    JSON).

    numbers = samples × units of the input and all layers + parameters (shared ones once) + 2 × layers.
    """
    network = case.network
    parameters = sum(
        size(shape)
        for k, layer in enumerate(network.layers)
        if not layer.shares
        for shape in layer.parameter_shapes(network.input_shapes[k]).values()
    )
    numbers = len(case.inputs) * (network.input_units + sum(network.widths)) + parameters + 2 * len(network.layers)
    odd = sum(layer.activation != "identity" for layer in network.layers) + (case.loss.kind not in _SIMPLE)
    return case.steps * numbers, odd + (case.optimizer is not None), len(case.request())


def reduce(case: Case, still: Callable[[Case | None], bool], out_of_time: Callable[[], bool]) -> Case:
    """The smallest case found for which ``still`` holds: passes over all edits, until a pass makes it no smaller.

    Returns the smallest so far when ``out_of_time`` says so.
    """
    best, before = case, None
    # A case clear of kinks stays clear; one that lies at a kink may stay there.
    clear = CLEAR if is_clear(case, CLEAR) else 0.0
    while best is not before:
        before = best
        for edits in _PASSES:
            for edit in list(edits(best)):
                for candidate in edit(best):
                    if out_of_time():
                        return best
                    if candidate is None or weight(candidate) >= weight(best) or not is_clear(candidate, clear):
                        continue
                    if still(candidate):
                        best = candidate
                        break
    return best


def is_clear(case: Case, clear: float) -> bool:
    """Whether every value of the case keeps the distance ``clear`` from the kinks of its activations, layers and loss.

    A case that cannot be computed does not.
    """
    try:
        if case.network.families:
            return clear_of_kinks(case, ANY_LAYERS, clear)
        return clear_of_kinks(case, TRAINED_CHAIN) if case.trains else clear_of_kinks(case, CHAIN, clear)
    except NO_CASE:
        return False


def of_samples(case: Case, samples: list[int]) -> Case | None:
    """The same network for some samples of the batch; None where it needs more of them (batch normalisation)."""
    layers = tuple(layer.of_samples(samples) for layer in case.network.layers)
    network = msgspec.structs.replace(case.network, layers=layers)
    inputs, targets = (rows[samples] for rows in (case.inputs, case.targets))
    try:
        return msgspec.structs.replace(case, network=network, inputs=inputs, targets=targets)
    except CaseError:
        return None


def _samples(case: Case) -> Iterator[Edit]:
    """One sample alone; else two, or one half of the batch; else all but one."""
    count = len(case.inputs)
    if count == 1:
        return
    sets = [[s] for s in range(min(count, _ALONE))]
    sets += [list(pair) for pair in itertools.combinations(range(min(count, 4)), 2)]
    sets += [list(range(count // 2)), list(range(count // 2, count))]
    yield lambda base: (of_samples(base, samples) for samples in sets)
    yield from (partial(_one_sample_less, s) for s in reversed(range(count if count <= _ALONE else 0)))


def _one_sample_less(left_out: int, base: Case) -> Candidates:
    if max(left_out, 1) < len(base.inputs):
        yield of_samples(base, [s for s in range(len(base.inputs)) if s != left_out])


def _layers(case: Case) -> Iterator[Edit]:
    """A run of consecutive layers alone, the shortest first; then all but one layer, or one source of a layer less."""
    yield _in_a_row
    yield from (partial(_one_layer_less, k) for k in reversed(range(len(case.network.layers))))
    for k, sources in enumerate(case.network.sources):
        yield from (partial(_one_source_less, k, at) for at in range(len(sources) if len(sources) > 1 else 0))


def _in_a_row(base: Case) -> Candidates:
    count = len(base.network.layers)
    for length in range(1, count):
        for first in reversed(range(count - length + 1)):
            draft = Draft.of(base)
            if draft.only(first, first + length - 1):
                yield from _ended(draft)


def _one_layer_less(k: int, base: Case) -> Candidates:
    if max(k, 1) < len(base.network.layers):
        draft = Draft.of(base)
        draft.without(k)
        yield from _ended(draft)


def _one_source_less(k: int, at: int, base: Case) -> Candidates:
    draft = Draft.of(base)
    if k < len(draft.layers) and max(at, 1) < len(draft.sources[k]):
        draft.without_source(k, at)
        yield from _ended(draft)


def _ended(draft: Draft) -> Candidates:
    """The case with its own loss, else with one that fits any output; a chain of dense layers also in the chain
    form.
    """
    for loss in (None, *_SIMPLE[:2]):
        if loss is not None:
            draft.rest = {**draft.rest, "loss": {"kind": loss}}
        case = draft.case()
        yield case
        if case is not None and not case.network.families:
            draft.listed = True
            yield draft.case()
        if case is not None and case.loss.kind in _SIMPLE:
            return


def _training(case: Case) -> Iterator[Edit]:
    """Fewer steps; no optimizer, no clipping, no regularization."""
    yield lambda base: (_replaced(base, steps=steps) for steps in range(1, base.steps))
    for name in ("optimizer", "clip", "regularization"):
        if getattr(case, name) is not None:
            yield partial(_without, name)


def _without(name: str, base: Case) -> Candidates:
    yield _replaced(base, **{name: None})


def _replaced(case: Case, **fields: Any) -> Case | None:
    if "steps" in fields and case.optimizer is not None:
        fields["optimizer"] = case.optimizer.over(fields["steps"])
    if fields.get("optimizer", case.optimizer) is None:
        fields["steps"] = 1
    try:
        return msgspec.structs.replace(case, **fields)
    except CaseError:
        return None


def _sizes(case: Case) -> Iterator[Edit]:
    """Every size at most 1, 2, 3; then one value lowered everywhere it occurs; then one occurrence at a time."""
    yield _at_most
    draft = Draft.of(case)
    values = {value for layer in draft.layers for _, _, value in integers(layer)} | {*draft.shape}
    yield from (partial(_value, value) for value in sorted(values, reverse=True) if value > 1)
    yield from (partial(_axis, axis) for axis in range(len(draft.shape)))
    for k, layer in enumerate(draft.layers):
        yield from (partial(_field, k, key, place) for key, place, _ in integers(layer))


def _less(value: int) -> list[int]:
    return sorted({low for low in (*_LOW, value // 2, value - 1) if low < value})


def _at_most(base: Case) -> Candidates:
    for most in _LOW[1:]:
        yield from _lowered(base, range(most + 1, _MOST), most)


def _value(value: int, base: Case) -> Candidates:
    for less in _less(value):
        yield from _lowered(base, [value], less)


def _lowered(case: Case, values: Container[int], less: int) -> Candidates:
    """The case with each of ``values`` replaced with ``less``: in the input shape and in every field of every layer."""
    draft = Draft.of(case)
    draft.shape = tuple(less if length in values else length for length in draft.shape)
    for layer in draft.layers:
        for key, place, value in list(integers(layer)):
            if value in values:
                draft.put(layer, key, place, less)
    yield from _either_end(draft)


def _either_end(draft: Draft) -> Candidates:
    """The case with arrays that are too long cut at the end; then cut at the beginning."""
    for draft.at_end in (False, True):
        yield draft.case()


def _axis(axis: int, base: Case) -> Candidates:
    shape = base.network.input_shape
    for less in _less(shape[axis])[1:] if axis < len(shape) else ():
        draft = Draft.of(base)
        draft.shape = (*shape[:axis], less, *shape[axis + 1 :])
        yield from _either_end(draft)


def _field(k: int, key: str, place: int | None, base: Case) -> Candidates:
    if k >= len(base.network.layers):
        return
    now = {(name, at): value for name, at, value in integers(Draft.of(base).layers[k])}
    for less in _less(now.get((key, place), 0)):
        draft = Draft.of(base)
        for user in draft.users(k):
            draft.put(draft.layers[user], key, place, less)
        yield from _either_end(draft)


def _fields(case: Case) -> Iterator[Edit]:
    """Optional fields left out, optional parameters left out, activations made the identity."""
    draft = Draft.of(case)
    for k, layer in enumerate(draft.layers):
        for key in layer:
            if key != "kind" and key not in NAMED:
                yield partial(_changed, k, key)
        yield from (partial(_fewer, k, names) for names in _sets(list(layer.get("parameters", {}))))
    yield _unnamed
    yield _plain_loss


def _changed(k: int, key: str, base: Case) -> Candidates:
    """The case with one field left out, or false in place of true; an activation becomes the identity."""
    draft = Draft.of(base)
    if k >= len(draft.layers) or key not in draft.layers[k]:
        return
    if key == "activation":
        draft.layers[k][key] = "identity"
        draft.layers[k].pop("alpha", None)
        yield draft.case()
        return
    was = draft.layers[k][key]
    for user in draft.users(k):
        draft.layers[user].pop(key, None)
    yield draft.case()
    if was is True:
        for user in draft.users(k):
            draft.layers[user][key] = False
        yield draft.case()


def _sets(names: list[str]) -> list[tuple[str, ...]]:
    """Sets of parameters to leave out: those with a word in common (bias), one, two."""
    words = dict.fromkeys(word for name in names for word in re.findall("[a-z]+", name))
    sets = [tuple(name for name in names if word in re.findall("[a-z]+", name)) for word in words]
    sets += [(name,) for name in names]
    sets += list(itertools.combinations(names, 2)) if len(names) <= _FEW else []
    return list(dict.fromkeys(sets))


def _fewer(k: int, names: tuple[str, ...], base: Case) -> Candidates:
    draft = Draft.of(base)
    if k < len(draft.layers) and set(names) <= set(draft.layers[k].get("parameters", {})):
        parameters = draft.layers[k]["parameters"]  # layers that share them change with it
        draft.layers[k]["parameters"] = {name: each for name, each in parameters.items() if name not in names}
        yield draft.case()


def _unnamed(base: Case) -> Candidates:
    draft = Draft.of(base)
    for layer in draft.layers:
        layer.pop("name", None)
    yield draft.case()


def _plain_loss(base: Case) -> Candidates:
    for loss in (_SIMPLE[0], base.loss.kind):
        draft = Draft.of(base)
        draft.rest = {**draft.rest, "loss": {"kind": loss}}
        yield draft.case()


def _numbers(case: Case) -> Iterator[Edit]:
    """All numbers rounded; else those of one layer, of the inputs or of the targets; first to simple ones, then
    to digits.
    """
    everything = ["inputs", "targets", *range(len(case.network.layers))]
    for digits in (0, 1, 2):
        yield partial(_rounded, everything, digits)
        yield from (partial(_rounded, [one], digits) for one in everything)


def _rounded(which: list[Any], digits: int, base: Case) -> Candidates:
    draft, start = Draft.of(base), itertools.count()

    def simple(array: Any) -> Array:
        array = np.array(array, dtype=float)
        if digits:
            rounded: Array = np.round(array, digits)
            return np.where((rounded == 0) & (array != 0), np.copysign(10.0**-digits, array), rounded)
        found = round_numbers(array.size, next(start)).reshape(array.shape)
        return abs(found) if array.min(initial=0.0) >= 0 else found

    if "inputs" in which and not draft.reads_indices:
        draft.inputs = simple(draft.inputs)
    if "targets" in which and any_numbers(draft.rest["loss"]):
        draft.targets = simple(draft.targets)
    for k, layer in enumerate(draft.layers):
        if k in which and draft.owners[k] is None:
            for name in NAMED:
                if name in layer:
                    layer[name] = {key: simple(array).tolist() for key, array in layer[name].items()}
    yield draft.case()


#: Tried in this order, and again from the start until none of them makes the case smaller.
_PASSES: tuple[Callable[[Case], Iterator[Edit]], ...] = (_samples, _layers, _training, _sizes, _fields, _numbers)

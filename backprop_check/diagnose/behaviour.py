"""Checks that need several cases: randomness, state that leaks from case to case, order, and the batch as a sum.

None of them needs an expected value: one answer of the implementation is compared with another one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.expected import expect
from backprop_check.compare.trace import Slot
from backprop_check.numbers import UNIT_ROUNDOFF
from backprop_check.numbers.choices import Open

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Mask

    Values = Mapping[Slot, Array]
    #: Sends cases to the implementation under these names; with ``anew`` it is restarted first, if that is possible.
    Asking = Callable[..., Sequence[Values | None]]


#: Answers are equal if they differ by at most this many unit roundoffs of the largest value.
_ROUNDING = 2.0**14


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one such check: ``code`` names a bug; ``message`` says what was observed, or what is unusual
    if it holds.
    """

    check: str
    holds: bool
    code: str | None = None
    message: str = ""
    case: str = ""
    equivalent: list[str] = []


def behaviours(cases: Sequence[Case], ask: Asking, dtype: str, profile: str, *, fresh: bool) -> list[Behaviour]:
    """The results of all checks, on a few small cases that the implementation supports and answers.

    ``fresh`` says whether it can be restarted, so that randomness can be told from leaking state.
    """
    small = sorted((case for case in cases if not case.network.families), key=lambda case: len(case.request()))
    if not small:
        return []
    found = [_same_twice(small, ask, dtype, profile, fresh=fresh)]
    if found[0] is not None and not found[0].holds:
        return [found[0]]  # answers that change cannot be compared with each other
    hidden = next((case for case in small if len(case.network.layers) > 1 and case.network.layers[0].units > 1), None)
    batch = next((case for case in small if len(case.inputs) > 1), None)
    if hidden is not None:
        found.append(_neurons_in_another_order(hidden, ask, dtype, profile))
    if batch is not None:
        found += [
            _samples_in_another_order(batch, ask, dtype, profile),
            _batch_as_a_sum(batch, ask, dtype, profile),
        ]
    return [each for each in found if each is not None]


def _bounds(case: Case, dtype: str, profile: str) -> Values:
    """How far right answers may be from the expected ones: by rounding, and by another choice at a kink."""
    return expect(case.rounded(dtype), dtype, profile, choices=Open()).allowed


def _same_twice(small: Sequence[Case], ask: Asking, dtype: str, profile: str, *, fresh: bool) -> Behaviour | None:
    """BP009, BP409: a case, another one, and the first again several times.

    Differences within the bounds are no error: some implementations add in the order of a set.
    """
    # A case with an update is best, because updated parameters are what usually leaks.
    # Several inputs and samples, because a sum of two terms is the same in any order.
    several = [case for case in small if case.network.input_units > 2 and len(case.inputs) > 2] or small  # noqa: PLR2004
    first = next((case for case in several if case.optimizer is not None), several[0])
    other = next((case for case in small if case.id != first.id), first)
    order = [("a", first), ("b", other), *((letter, first) for letter in "cdefg")]
    named = [(f"{case.id}-{letter}", case) for letter, case in order]
    answers = ask(named)
    if any(answer is None for answer in answers):
        return None
    here: dict[str, Any] = {"check": "the same case again", "case": first.id}
    mine = [answers[0], *answers[2:]]
    if all(_bits(one) == _bits(mine[0]) for one in mine):
        return Behaviour(**here, holds=True)
    allowed = expect(first.rounded(dtype), dtype, profile).allowed
    if all(_within(one or {}, mine[0] or {}, allowed) for one in mine):
        ulps = max(_ulps(one or {}, mine[0] or {}, dtype) for one in mine)
        text = (
            f"the same case, asked again, gives numbers that differ by up to {ulps:.3g} ulp (units in the last place "
            "of the largest number of their array), which is within what rounding allows: the order in which it adds "
            "is not always the same"
        )
        return Behaviour(**here, holds=True, message=text)
    if not fresh:
        text = "the same case, asked again, gives other numbers: something is kept between calls, or it is chance"
        return Behaviour(**here, holds=False, code="BP409", message=text, equivalent=["BP009"])
    runs = [ask(named, anew=True) for _ in range(2)]
    chance = any(_bits(one) != _bits(two) for one, two in zip(*runs, strict=True))
    if chance:
        return Behaviour(
            **here, holds=False, code="BP009", message="the same case, asked again, gives other numbers, by chance"
        )
    after = "after itself" if _bits(runs[0][2]) != _bits(runs[0][3]) else "after another case"
    return Behaviour(**here, holds=False, code="BP409", message=f"the same case gives other numbers {after}")


def _bits(values: Values | None) -> list[tuple[Slot, bytes]]:
    return sorted(((slot, array.tobytes()) for slot, array in (values or {}).items()), key=str)


def _within(one: Values, other: Values, allowed: Values) -> bool:
    """Whether two answers have the same arrays, and differ by at most twice the bound."""
    if one.keys() != other.keys():
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        return all(
            bool(((abs(array - other[slot]) <= 2 * allowed[slot]) | _same(array, other[slot])).all())
            for slot, array in one.items()
        )


def _same(one: Array, other: Array) -> Mask:
    same: Mask = (one == other) | (np.isnan(one) & np.isnan(other))
    return same


def _ulps(one: Values, other: Values, dtype: str) -> float:
    """The largest difference between two answers, in units in the last place of the largest number of its array."""
    largest = 0.0
    for slot, array in one.items():
        with np.errstate(invalid="ignore"):
            distance = np.where(_same(array, other[slot]), 0.0, abs(array - other[slot]))
        size = np.max(abs(array[np.isfinite(array)]), initial=0.0)
        unit = float(np.spacing(np.float32(size))) if dtype == "float32" else float(np.spacing(size))
        largest = max(largest, float(np.max(distance, initial=0.0)) / unit)
    return largest


def _close(one: Array, other: Array, allowed: Array, dtype: str) -> bool:
    """Whether two answers are equal up to rounding: the bounds, and some roundoff of their own numbers, which may
    be wrong.
    """
    finite = [np.max(abs(each[np.isfinite(each)]), initial=0.0) for each in (one, other)]
    slack = _ROUNDING * UNIT_ROUNDOFF[dtype] * max(finite)
    with np.errstate(invalid="ignore", over="ignore"):
        same = (abs(one - other) <= allowed + slack) | _same(one, other)
    return bool(same.all())


def _neurons_in_another_order(case: Case, ask: Asking, dtype: str, profile: str) -> Behaviour | None:
    """BP013: hidden neurons have no order, so permuting them permutes the answer."""
    layers = case.network.layers
    first, second = layers[0], layers[1]
    turn = list(reversed(range(first.units)))
    turned_first = msgspec.structs.replace(
        first,
        parameters=msgspec.structs.replace(
            first.parameters,
            weights=first.parameters.weights[turn],
            biases=first.parameters.biases[turn],
        ),
    )
    turned_second = msgspec.structs.replace(
        second, parameters=msgspec.structs.replace(second.parameters, weights=second.parameters.weights[:, turn])
    )
    network = msgspec.structs.replace(case.network, layers=(turned_first, turned_second, *layers[2:]))
    turned = msgspec.structs.replace(case, network=network)
    plain, back = ask([(f"{case.id}-n", case), (f"{turned.id}-n", turned)])
    if plain is None or back is None:
        return None
    allowed = _bounds(case, dtype, profile)
    index = turn
    unturn = {
        Slot("weight_gradient", 0): lambda x: x[index],
        Slot("bias_gradient", 0): lambda x: x[index],
        Slot("weight_gradient", 1): lambda x: x[:, index],
        Slot("z", 0): lambda x: x[:, index],
        Slot("a", 0): lambda x: x[:, index],
        Slot("delta", 0): lambda x: x[:, index],
    }
    for slot, array in plain.items():
        if slot.quantity.startswith("updated") or slot.step is not None or slot not in back:
            continue
        same = unturn.get(slot, lambda x: x)(back[slot])
        if not _close(array, same, 2 * allowed[slot], dtype):
            return _broken("hidden neurons in another order", "BP013", case, slot)
    return Behaviour(check="hidden neurons in another order", holds=True, case=case.id)


def _samples_in_another_order(case: Case, ask: Asking, dtype: str, profile: str) -> Behaviour | None:
    """BP014: samples have no order, so permuting them permutes what is per sample and changes no gradient."""
    turned = msgspec.structs.replace(case, inputs=case.inputs[::-1], targets=case.targets[::-1])
    plain, back = ask([(f"{case.id}-s", case), (f"{turned.id}-s", turned)])
    if plain is None or back is None:
        return None
    allowed = _bounds(case, dtype, profile)
    for slot, array in plain.items():
        if slot not in back:
            continue
        per_sample = slot.quantity in ("z", "a", "delta", "input_gradient")
        same = back[slot][::-1] if per_sample else back[slot]
        if not _close(array, same, 2 * allowed[slot], dtype):
            return _broken("samples in another order", "BP014", case, slot)
    return Behaviour(check="samples in another order", holds=True, case=case.id)


def _batch_as_a_sum(case: Case, ask: Asking, dtype: str, profile: str) -> Behaviour | None:
    """BP015: the gradients of a summed batch are the sums of its samples' gradients."""
    # Without a penalty, which would be counted once for the batch but once for each sample.
    whole = msgspec.structs.replace(case, reduction="sum", optimizer=None, steps=1, clip=None, regularization=None)
    singles = [
        msgspec.structs.replace(whole, inputs=whole.inputs[[s]], targets=whole.targets[[s]])
        for s in range(min(len(whole.inputs), 8))
    ]
    whole = msgspec.structs.replace(whole, inputs=whole.inputs[:8], targets=whole.targets[:8])
    named = [(f"{each.id}-{number}", each) for number, each in enumerate((whole, *singles))]
    answers = ask(named)
    if any(answer is None for answer in answers):
        return None
    bounds = [_bounds(each, dtype, profile) for each in (whole, *singles)]
    total = answers[0] or {}
    for slot in total:
        if slot.quantity not in ("weight_gradient", "bias_gradient"):
            continue
        parts = [answer[slot] for answer in answers[1:] if answer is not None and slot in answer]
        if len(parts) != len(singles):
            continue
        bound = np.sum([each[slot] for each in bounds], axis=0)
        with np.errstate(invalid="ignore", over="ignore"):  # the sum may overflow
            summed = np.sum(parts, axis=0)
        if not _close(total[slot], summed, bound, dtype):
            return _broken("a batch as the sum of its samples", "BP015", case, slot)
    return Behaviour(check="a batch as the sum of its samples", holds=True, case=case.id)


def _broken(check: str, code: str, case: Case, slot: Slot) -> Behaviour:
    layer = "" if slot.layer is None else f" of {case.network.names()[slot.layer]}"
    return Behaviour(
        check=check,
        holds=False,
        code=code,
        case=case.id,
        message=f"{check}: the {slot.quantity.replace('_', ' ')}{layer} is not what it was",
    )


def probes(cases: Sequence[Case], count: int = 12) -> list[Case]:
    """A few of a run's cases to check: small ones, of different kinds."""
    by_kind: dict[Any, Case] = {}
    for case in cases:
        kind = (
            len(case.network.layers) > 1,
            min(len(case.inputs), 3),
            case.network.input_units > 2,  # noqa: PLR2004
            bool(case.optimizer),
        )
        if kind not in by_kind or len(case.inputs) < len(by_kind[kind].inputs):
            by_kind[kind] = case
    return list(itertools.islice(by_kind.values(), count))

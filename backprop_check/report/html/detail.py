"""A failing case for the page: computed again by the reference, and compared with the implementation's reply.

The results file contains the case and the reply; expected values and bounds are computed here, so that the page can
show every neuron and not only the wrong ones. The verdict on each value is the file's: if it lists all its mismatches,
these are the wrong values; if the list was cut, the bounds decide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.case.network import MOST_WORK, Case
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect
from backprop_check.compare.places import Places
from backprop_check.compare.trace import Array, Expected, Form, Slot, place_of
from backprop_check.diagnose.blame import origins, recover
from backprop_check.diagnose.given import step_by_step
from backprop_check.diagnose.kinks import freed
from backprop_check.errors import BackpropCheckError
from backprop_check.protocol.messages import Message
from backprop_check.protocol.parsing import parse_line
from backprop_check.protocol.text import both_ends, one_line
from backprop_check.report.html.body import Arrays, body_of
from backprop_check.report.html.maths import Sentences
from backprop_check.report.html.packing import plain
from backprop_check.report.html.replies import number_of, read_reply
from backprop_check.report.html.sheets import ORIGINS, ROOM

if TYPE_CHECKING:
    from backprop_check.report.html.read import CaseResult, Finding, Harness

#: The fixed cost of a step, in multiplications.
_ALWAYS = 20_000

#: The most findings without a place in the network that are listed.
_OTHERS = 200


def detail(
    result: CaseResult,
    dtype: str,
    harness: Harness,
    room: int = ROOM,
    sentences: Sentences | None = None,
    mathematics: int | None = None,
) -> dict[str, Any]:
    """What the page shows of a failing case, as JSON; ``sentences`` are those that the whole page shares.

    It contains about ``room`` numbers, and about ``mathematics`` bytes of formulas.
    """
    findings = result.mismatches or []
    body: dict[str, Any] = {}
    placed: set[int] = set()
    places: Places | None = None
    if result.case is None:
        if findings:
            body["why"] = "The results file does not contain this case's network, so only the places are known."
    else:
        try:
            case = _case(result.case, dtype)
            places = Places(case)
            arrays, placed = _worked_out(case, result, dtype, harness)
            shared = Sentences() if sentences is None else sentences
            body = body_of(case, result.id, arrays, findings, result.first_wrong, shared, room, mathematics)
        except BackpropCheckError as error:
            body["why"] = f"The case in the results file cannot be computed again: {one_line(str(error), 300)}."
    others = [_other(one, places) for number, one in enumerate(findings) if number not in placed]
    count = max(result.mismatch_count or 0, len(findings))
    return {
        **body,
        "count": count,
        "others": others[:_OTHERS],
        "notes": [both_ends(note) for note in (result.notes or [])[:20]],
        "unlisted": max(0, len(others) - _OTHERS),
    }


def _case(value: dict[str, Any], dtype: str) -> Case:
    content = {key: item for key, item in value.items() if key not in ("type", "id")}
    case = Case.from_dict(content).rounded(dtype)
    if (case.network.work * len(case.inputs) + _ALWAYS) * case.steps > MOST_WORK:
        raise BackpropCheckError("too-much-to-show", f"it takes more than {MOST_WORK:,} multiplications")
    return case


def _as_judged(case: Case, expected: Expected, result: CaseResult, dtype: str, harness: Harness) -> Expected:
    """What the run expected: each update given the gradients that were reported, and at kinks every correct choice."""
    if not result.actual:
        return expected
    parsed = parse_line(msgspec.json.encode({**result.actual, "id": ""}))
    if not isinstance(parsed, Message):
        return expected
    actual = compare(expected, parsed.reply).actual
    if case.trains:
        expected = step_by_step(case, expected, actual, dtype, harness.profile)
    return freed(case, expected, actual, dtype, harness.profile) if harness.kinks == "any" else expected


def _worked_out(case: Case, result: CaseResult, dtype: str, harness: Harness) -> tuple[Arrays, set[int]]:
    """The arrays of the case, and the numbers of the findings that have their place in them."""
    expected = _as_judged(case, expect(case, dtype, harness.profile), result, dtype, harness)
    values = {slot: np.array(value, dtype=np.float64) for slot, value in expected.values.items() if slot.step is None}
    actual = read_reply(result.actual or {}, values, Form(case))
    allowed, wrong, origin = {}, {}, {}
    findings = result.mismatches or []
    listed = sum(one.problem != "recovered" for one in findings) >= (result.mismatch_count or 0)
    for slot, right in values.items():
        reach = expected.reach(slot, actual[slot]) if slot in actual else expected.allowed[slot]
        bound = np.broadcast_to(reach, right.shape).astype(np.float64)
        if harness.rtol or harness.atol:
            bound = np.maximum(bound, harness.atol + harness.rtol * abs(right))
        allowed[slot] = bound
        wrong[slot] = np.zeros(right.shape, dtype=bool)
        if slot in actual and not listed:
            with np.errstate(invalid="ignore", over="ignore"):
                wrong[slot] = np.array(~(abs(actual[slot] - right) <= bound))
        origin[slot] = np.full(right.shape, "u")
    if not listed:  # wrong values beyond the mismatches that were kept need an origin too
        sent = {slot: array for slot, array in actual.items() if slot in values}
        known = {slot: array for slot, array in recover(case, sent).items() if slot not in sent}
        origin |= {
            slot: array for slot, array in origins(case, sent, known, dtype, harness.profile).items() if slot in values
        }
    placed: set[int] = set()
    recovered: dict[Slot, Array] = {}
    for number, one in enumerate(findings):
        at = _at(one, values)
        if at is None or one.problem not in ("wrong", "not_finite", "recovered"):
            continue
        slot, place = at
        if one.problem == "recovered" and slot not in actual and (got := number_of(one.actual)) is not None:
            recovered.setdefault(slot, np.full(values[slot].shape, np.nan))[place] = got
        wrong[slot][place] = True
        letter = ORIGINS.get(one.origin, "u")
        origin[slot][place] = letter.upper() if one.unstable else letter
        judged = number_of(one.expected)
        if judged is not None and abs(judged - values[slot][place]) <= allowed[slot][place]:
            values[slot][place] = judged
        got = number_of(one.actual)
        if slot in actual and got is not None and not math.isfinite(got):
            actual[slot][place] = got
        if slot in actual or slot in recovered:
            placed.add(number)
    known_slots = actual.keys() | recovered.keys()
    wrong = {slot: mask if slot in known_slots else np.zeros_like(mask) for slot, mask in wrong.items()}
    return Arrays(values, allowed, {**recovered, **actual}, wrong, origin, frozenset(recovered)), placed


def _at(one: Finding, values: dict[Slot, Array]) -> tuple[Slot, tuple[int, ...]] | None:
    """The slot of a finding and its place in the array; None where there is no such place."""
    slot = Slot(one.quantity, one.layer, one.step)
    if slot not in values:
        return None
    place, shape = place_of(one), values[slot].shape
    if len(place) != len(shape) or any(i is None or i >= n for i, n in zip(place, shape, strict=True)):
        return None
    return slot, tuple(i for i in place if i is not None)


def _other(one: Finding, places: Places | None) -> dict[str, Any]:
    """A finding in words: one that has no place in the network, or belongs to a case without its network."""
    at = None if places is None else _by_index(one, places)
    if at is not None:
        return _numbers_of(one, at)
    parts = [one_line(one.quantity.replace("_", " "), 60)]
    layer = "" if one.layer is None else f"layer {one.layer}"
    if places is not None and one.layer is not None and one.layer < len(places.names):
        layer = places.names[one.layer]
    if one.at and len(one.at) > 1 + bool(one.index):  # more indexes than a neuron and its input
        parts.append(f"[{', '.join(map(str, one.at))}]" + (f" of {layer}" if layer else ""))
    else:
        if layer:
            parts.append(f"neuron {one.neuron} of {layer}" if one.neuron is not None else layer)
        parts += [f"from input {i}" for i in (one.index or [])[:1]]
    parts += [f"{what} {n}" for what, n in (("sample", one.sample), ("update", one.step)) if n is not None]
    return _numbers_of(one, ", ".join(parts))


def _by_index(one: Finding, places: Places) -> str | None:
    """The place in words with all its indexes, if this network has it."""
    found = msgspec.structs.replace(one, index=list(one.index or []))
    try:
        what, where = places.what(found), places.where(found)
    except (LookupError, ValueError, TypeError):
        return None  # an untrusted file: there is no such place
    return one_line(f"{what}, {where}" if where else what, 300)


def _numbers_of(one: Finding, at: str) -> dict[str, Any]:
    found: dict[str, Any] = {"at": at, "o": ORIGINS.get(one.origin, "u")}
    if one.layer is not None and one.neuron is not None:
        found["n"] = [one.layer, one.neuron]
    for key in ("expected", "actual", "error", "allowed"):
        value = getattr(one, key)
        if value is not None:
            found[key] = one_line(value, 120) if isinstance(value, str) else plain(value)
    if one.problem != "wrong":
        found["problem"] = one_line(one.problem.replace("_", " "), 40)
    if one.unstable:
        found["unstable"] = True
    return found

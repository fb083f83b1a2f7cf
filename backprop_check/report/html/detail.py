"""A failing case as the page shows it: worked out again by the reference, beside what the implementation replied.

The results file holds the case and the reply; expected values and bounds are computed here, so the page can show
every neuron and not the wrong ones only. The verdict on each value stays the file's: where it lists all its
mismatches, those are the wrong values, and where it stopped listing, the bounds decide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.case.network import MOST_WIRED, Case
from backprop_check.compare.compare import compare
from backprop_check.compare.expected import expect, textbook_pass
from backprop_check.compare.places import Places
from backprop_check.compare.trace import AXES, Array, Expected, Form, Slot, place_of
from backprop_check.diagnose.blame import origins, recover
from backprop_check.diagnose.given import step_by_step
from backprop_check.diagnose.kinks import freed
from backprop_check.errors import BackpropCheckError
from backprop_check.explain.explanation import training_words
from backprop_check.protocol.messages import Message
from backprop_check.protocol.parsing import parse_line
from backprop_check.protocol.text import both_ends, clean_text, one_line
from backprop_check.report.html.kinds import KINDS, flat
from backprop_check.report.html.packing import packed, plain
from backprop_check.report.html.replies import number_of, read_reply
from backprop_check.report.html.shown import ROOM, Shown, choose
from backprop_check.report.html.wired import wired_body

if TYPE_CHECKING:
    from backprop_check.report.html.read import CaseResult, Finding, Harness

#: More multiplications than this are not done again for a page.
MOST_WORK = 500_000_000

#: Up to so many, plain Python works the values out: the same on every machine, to the bit.
_PLAIN_WORK = 200_000

#: So many findings without a place in the network are listed.
_OTHERS = 200

_ORIGINS = {"root": "r", "inherited": "i"}


def detail(result: CaseResult, dtype: str, harness: Harness, room: int = ROOM) -> dict[str, Any]:
    """All that the page shows of a failing case, in plain JSON."""
    findings = result.mismatches or []
    names: list[str] = []
    body: dict[str, Any] = {}
    placed: set[int] = set()
    places: Places | None = None
    if result.case is None:
        if findings:
            body["why"] = "The results file does not hold this case's network, so only the places are known."
    else:
        try:
            case = _case(result.case, dtype)
            names = [one_line(name, 60) for name in case.network.names()]
            places = None if case.network.is_chain else Places(case)
            body, placed = _worked_out(case, result, dtype, harness, room)
        except BackpropCheckError as error:
            body["why"] = f"The case in the results file cannot be worked out again: {one_line(str(error), 300)}."
    others = [_other(one, names, places) for number, one in enumerate(findings) if number not in placed]
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
    most = MOST_WORK if case.network.is_chain else MOST_WIRED
    if work(case) * case.steps > most:
        raise BackpropCheckError(f"it takes more than {most:,} multiplications")
    return case


def _as_judged(case: Case, expected: Expected, result: CaseResult, dtype: str, harness: Harness) -> Expected:
    """What the run expected: of each update by what was reported before it; at kinks every correct choice."""
    if not result.actual:
        return expected
    parsed = parse_line(msgspec.json.encode({**result.actual, "id": ""}))
    if not isinstance(parsed, Message):
        return expected
    actual = compare(expected, parsed.reply).actual
    if case.trains:
        expected = step_by_step(case, expected, actual, dtype, harness.profile)
    return freed(case, expected, actual, dtype, harness.profile) if harness.kinks == "any" else expected


def work(case: Case) -> int:
    """About how many multiplications one step takes."""
    network = case.network
    if not network.is_chain:
        return network.products * len(case.inputs) + 20_000
    parameters = sum(layer.units * (len(layer.parameters.weights[0]) + 1) for layer in network.layers)
    return 3 * parameters * len(case.inputs) + 20_000


def _worked_out(
    case: Case, result: CaseResult, dtype: str, harness: Harness, room: int
) -> tuple[dict[str, Any], set[int]]:
    expected = _as_judged(case, expect(case, dtype, harness.profile), result, dtype, harness)
    plain = work(case) * case.steps <= _PLAIN_WORK and case.network.is_chain and not case.trains
    values = dict((textbook_pass(case) if plain else expected).values)
    values = {slot: np.array(value, dtype=np.float64) for slot, value in values.items() if slot.step is None}
    form = None if case.network.is_chain else Form(case)
    actual = read_reply(result.actual or {}, values, form)
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
    if not listed:  # of what is beyond the mismatches kept, too, it is told where it comes from
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
        letter = _ORIGINS.get(one.origin, "u")
        origin[slot][place] = letter.upper() if one.unstable else letter
        judged = number_of(one.expected)
        if judged is not None and abs(judged - values[slot][place]) <= allowed[slot][place]:
            values[slot][place] = judged
        got = number_of(one.actual)
        if slot in actual and got is not None and not math.isfinite(got):
            actual[slot][place] = got
        if slot in actual or slot in recovered:
            placed.add(number)
    told = actual.keys() | recovered.keys()
    wrong = {slot: mask if slot in told else np.zeros_like(mask) for slot, mask in wrong.items()}
    if form is not None:
        told_values = {**recovered, **actual}
        body = wired_body(case, result.id, values, allowed, told_values, wrong, origin, findings, room)
        return body, placed
    status, order = _states(case, actual, wrong, origin, findings)
    shown = choose(case, order, _wrong_samples(case, wrong), room)
    return _body(case, shown, values, allowed, {**recovered, **actual}, wrong, origin, status, order, recovered), placed


def _body(
    case: Case,
    shown: Shown,
    values: dict[Slot, Array],
    allowed: dict[Slot, Array],
    actual: dict[Slot, Array],
    wrong: dict[Slot, Any],
    origin: dict[Slot, Any],
    status: list[str],
    order: list[list[int]],
    recovered: dict[Slot, Array],
) -> dict[str, Any]:
    layers = []
    for index, layer in enumerate(case.network.layers):
        kind = KINDS[layer.kind]
        layers.append(
            {
                "kind": layer.kind,
                "given": layer.name and clean_text(layer.name, 200),
                "act": layer.activation,
                "alpha": kind.alpha(layer),
                "ownAlpha": layer.alpha is not None,
                "units": layer.units,
                **kind.parameters(case, index, shown),
                **kind.derived(case, index, values, shown),
            }
        )
    slots = {}
    for slot in values:
        pick = _picked(slot, shown)
        got = actual[slot][pick].ravel() if slot in actual else None
        key = slot.quantity + ("" if slot.layer is None else f".{slot.layer}")
        right, bound = values[slot][pick].ravel(), allowed[slot][pick].ravel()
        slots[key] = packed(right, bound, wrong[slot][pick].ravel(), origin[slot][pick].ravel(), got)
        if slot in recovered:  # known of the wrong places only, and not from the reply's own array
            known = wrong[slot][pick].ravel()
            slots[key] |= {"g": [x if told else None for x, told in zip(slots[key]["g"], known, strict=True)], "rec": 1}
    body: dict[str, Any] = {
        "names": [one_line(name, 60) for name in case.network.names()],
        "slug": case.name,
        "inputs": case.network.inputs,
        "samples": len(case.inputs),
        "layers": layers,
        "X": flat(case.inputs, shown.samples, shown.inputs),
        "T": flat(case.targets, shown.samples, shown.layers[-1]),
        "loss": msgspec.to_builtins(case.loss),
        "reduction": case.reduction,
        "steps": case.steps,
        "slots": slots,
        "status": ["".join(row[i] for i in part) for row, part in zip(status, [shown.inputs, *shown.layers],
                                                                      strict=True)],
        "bad": [len(row) for row in order],
        "badSamples": [int(s in set(_wrong_samples(case, wrong))) for s in shown.samples],
    }  # fmt: skip
    if case.optimizer:
        body["lr"] = case.optimizer.rate(0)
    if case.trains:
        body["training"] = _training(case)
    if not shown.whole:
        body["shown"] = {"inputs": shown.inputs, "layers": shown.layers, "samples": shown.samples}
    return body


def _training(case: Case) -> dict[str, str]:
    """What the page says of a case's training, and its fields as JSON: as the case has them, and as they are sent."""
    fields = ("optimizer", "steps", "clip", "regularization")
    own, sent = case.to_dict(), msgspec.json.decode(case.request())
    texts = [
        ", ".join(f"{_json(name)}: {_json(body[name])}" for name in fields if name in body) for body in (own, sent)
    ]
    return {"words": training_words(case), "own": texts[0], "sent": texts[1]}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _at(one: Finding, values: dict[Slot, Array]) -> tuple[Slot, tuple[int, ...]] | None:
    """The slot and the place in its array; None where there is no such place."""
    slot = Slot(one.quantity, one.layer, one.step)
    if slot not in values:
        return None
    place, shape = place_of(one), values[slot].shape
    if len(place) != len(shape) or any(i is None or i >= n for i, n in zip(place, shape, strict=True)):
        return None
    return slot, tuple(i for i in place if i is not None)


def _states(
    case: Case, actual: dict[Slot, Array], wrong: dict[Slot, Any], origin: dict[Slot, Any], findings: list[Finding]
) -> tuple[list[str], list[list[int]]]:
    """For the inputs and each layer: a letter a neuron (right, root, inherited, unknown, not told), the wrong ones."""
    widths = [case.network.inputs, *(layer.units for layer in case.network.layers)]
    states = [["?"] * n for n in widths]
    rank = "?.iur"  # the worst that is known of a neuron counts
    for slot in actual:
        axes = AXES[slot.quantity]
        if slot.quantity == "loss":
            continue
        row, axis = (0, axes.index("index")) if slot.layer is None else (slot.layer + 1, axes.index("neuron"))
        for letter, mask in (
            (".", np.ones_like(wrong[slot])),
            *((each, wrong[slot] & np.isin(origin[slot], [each, each.upper()])) for each in "iur"),
        ):
            hit = mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)) if mask.ndim > 1 else mask
            for i in np.flatnonzero(hit):
                if rank.index(letter) > rank.index(states[row][i]):
                    states[row][i] = letter
    for one in findings:  # a whole array, or a place that holds no number, is wrong too
        if one.layer is not None and one.layer < len(widths) - 1 and one.neuron is not None:
            line, letter = states[one.layer + 1], _ORIGINS.get(one.origin, "u")
            if one.neuron < len(line) and rank.index(letter) > rank.index(line[one.neuron]):
                line[one.neuron] = letter
    order = [[i for letter in "rui" for i, state in enumerate(line) if state == letter] for line in states]
    return ["".join(row) for row in states], order


def _wrong_samples(case: Case, wrong: dict[Slot, Any]) -> list[int]:
    bad = np.zeros(len(case.inputs), dtype=bool)
    for slot, mask in wrong.items():
        if AXES[slot.quantity][:1] == ("sample",):
            bad |= mask.any(axis=1)
    return [int(s) for s in np.flatnonzero(bad)]


def _picked(slot: Slot, shown: Shown) -> Any:
    index = shown.inputs if slot.layer is None else shown.before(slot.layer)
    neurons = [] if slot.layer is None else shown.layers[slot.layer]
    lists = [{"sample": shown.samples, "neuron": neurons, "index": index}[axis] for axis in AXES[slot.quantity]]
    return np.ix_(*lists) if lists else ()


def _other(one: Finding, names: list[str], places: Places | None = None) -> dict[str, Any]:
    """A finding in words: one that has no place in the network, or of a case without its network."""
    at = None if places is None else _by_index(one, places)
    if at is not None:
        return _numbers_of(one, at)
    name = names[one.layer] if one.layer is not None and one.layer < len(names) else f"layer {one.layer}"
    parts = [one_line(one.quantity.replace("_", " "), 60)]
    if one.at:  # of a layer beyond the dense chain: all indexes
        parts.append(f"[{', '.join(map(str, one.at))}]" + (f" of {name}" if one.layer is not None else ""))
    elif one.layer is not None:
        parts.append(f"neuron {one.neuron} of {name}" if one.neuron is not None else name)
    parts += [f"from input {i}" for i in (one.index or [])[:1] if not one.at]
    if one.sample is not None:
        parts.append(f"sample {one.sample}")
    if one.step is not None:
        parts.append(f"update {one.step}")
    return _numbers_of(one, ", ".join(parts))


def _by_index(one: Finding, places: Places) -> str | None:
    """The place by all its indexes, where it is one of this network."""
    found = msgspec.structs.replace(one, index=list(one.index or []))
    try:
        what, where = places.what(found), places.where(found)
    except (LookupError, ValueError, TypeError):
        return None  # a file of a stranger: such a place is not there
    return one_line(f"{what}, {where}" if where else what, 300)


def _numbers_of(one: Finding, at: str) -> dict[str, Any]:
    found: dict[str, Any] = {"at": at, "o": _ORIGINS.get(one.origin, "u")}
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

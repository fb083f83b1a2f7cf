"""Judging cases one after the other: send the case, compare the reply with the witnesses, find the first wrong values.

Cases are pulled and results yielded one at a time, so that a run of any length needs little memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from backprop_check.compare.compare import Comparison, Mismatch, compare
from backprop_check.compare.conventions import Convention  # noqa: TC001 - a results file is read by it
from backprop_check.compare.expected import disagreement, expect
from backprop_check.compare.places import in_words, what_it_is, with_indexes
from backprop_check.compare.reply_form import as_reply
from backprop_check.compare.unstable import unstable_sentence
from backprop_check.diagnose.blame import blame
from backprop_check.diagnose.given import step_by_step
from backprop_check.diagnose.kinks import conventions, freed
from backprop_check.errors import HarnessError
from backprop_check.functions.names import ACTIVATIONS, LOSSES
from backprop_check.protocol.text import both_ends, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Expected, Slot
    from backprop_check.protocol import Answer, HelloReply, Implementation
    from backprop_check.protocol.messages import Reply

Outcome = Literal[
    "passed",
    "mismatched",
    "error",
    "crash",
    "timeout",
    "protocol_error",
    "skipped",
    "not_applicable",
    "not_run",
]

#: Outcomes that make a run fail.
FAILURES = ("mismatched", "error", "crash", "timeout", "protocol_error", "not_run")

#: In a result's notes this text separates the name of a log (``traceback``, ``stderr``) from its lines.
LOG = ":\n"

#: A failing case is kept in the results with its numbers and its reply if these have at most this many bytes.
_WHOLE = 4 * 2**20


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one case, as the results file holds it.

    Only failing cases have ``case`` and ``actual`` (the values that came, in the form of a reply).
    """

    id: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    first_wrong: dict[str, Any] | None = None
    diagnosis: list[str] = []
    mismatches: list[Mismatch] = []
    mismatch_count: int = 0
    values_checked: int = 0
    neurons_checked: int = 0
    notes: list[str] = []
    conventions: list[Convention] = []
    case: dict[str, Any] | None = None
    actual: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A result with its case and, where a reply was compared, its arrays by slot."""

    result: Result
    case: Case
    actual: Mapping[Slot, Array] | None = None
    unstable: str = ""
    """The right but unstable formula that gives all values that differ, if there is one; else empty."""

    @property
    def about(self) -> str:
        """The subject of the case: ``Case.about``."""
        return self.case.about


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to judge: the profile of the bounds, the tolerances added to them, and the slopes accepted at kinks."""

    profile: Literal["textbook", "strict"] = "textbook"
    rtol: float = 0.0
    atol: float = 0.0
    kinks: Literal["any", "pytorch"] = "any"


def not_supported(case: Case, hello: HelloReply) -> str | None:
    """The first thing that a case needs and the implementation does not claim, as a phrase; None if it claims all."""
    can, layers = hello.supports, case.network.layers
    wanted: list[tuple[str, list[str], set[str]]] = [
        ("the layer", can.layers or ["dense"], {layer.kind for layer in layers}),
        (
            "the activation",
            list(ACTIVATIONS) if can.activations is None else can.activations,
            {layer.activation for layer in layers if layer.activations},
        ),
        ("the loss", list(LOSSES) if can.losses is None else can.losses, {case.loss.kind}),
        (
            "the optimizer",
            ["sgd"] if can.optimizers is None else can.optimizers,
            {case.optimizer.kind} if case.optimizer else set(),
        ),
        ("the feature", can.features or [], set(case.features)),
    ]
    for what, supported, needed in wanted:
        missing = sorted(needed - set(supported))
        if missing:
            return f"{what} {missing[0]}"
    if not can.batch and len(case.inputs) > 1:
        return "more than one sample at a time"
    return None


def witnesses(case: Case, dtype: str = "float64", profile: str = "textbook") -> Expected:
    """The reference's values and bounds, checked against torch.

    Raises ``HarnessError`` where the two witnesses differ by more than the float64 bound.
    """
    from backprop_check.witness.autograd import autograd_pass  # noqa: PLC0415 - torch takes a second to import

    expected = expect(case, dtype, profile)
    share = 1.0 if dtype == "float64" else 2.0**-28  # the float64 bound, both witnesses': 2 · 2⁻²⁹
    other = autograd_pass(case)
    found = disagreement(expected, other, share)
    if found is None:
        return expected
    slot, at = found
    cause = (
        f"case {case.id}: the reference and torch disagree on {slot.quantity} of layer {slot.layer} at {list(at)}: "
        f"{expected.values[slot][at]!r} and {other.values[slot][at]!r}"
    )
    hint = (
        "This is a bug of backprop-check or a numerical limit of this case, not an error of the implementation; "
        "please report it"
    )
    raise HarnessError("witnesses-disagree", cause, hint, ". ")


def compared(
    case: Case, expected: Expected, reply: Reply, dtype: str, settings: Settings
) -> tuple[Expected, Comparison]:
    """Compare a reply with the expected values; give the expected values that applied, and the comparison.

    Each update of a training case is compared with the update computed from the values that the reply gave before it.
    Only if a value differs do we work out whether it depends on a choice at a kink.
    """
    wider = settings.rtol, settings.atol
    comparison = compare(expected, reply, *wider)
    if case.trains:
        expected = step_by_step(case, expected, comparison.actual, dtype, settings.profile)
        comparison = compare(expected, reply, *wider)
    if not comparison.count or settings.kinks == "pytorch":
        return expected, comparison
    free = freed(case, expected, comparison.actual, dtype, settings.profile)
    if not free.free:
        return expected, comparison
    comparison = compare(free, reply, *wider)
    if not comparison.count:
        found = conventions(case, free, comparison.actual, dtype, settings.profile)
        comparison = msgspec.structs.replace(comparison, conventions=found)
    return free, comparison


def judge(
    cases: Iterable[Case],
    implementation: Implementation,
    settings: Settings | None = None,
    *,
    keep_running: bool = False,
) -> Iterator[Result]:
    """Send every case that the implementation supports and judge the answers, in the order of the cases.

    ``keep_running`` leaves the implementation running for more.
    """
    for judged in judge_whole(cases, implementation, settings, keep_running=keep_running):
        yield judged.result


def judge_whole(
    cases: Iterable[Case],
    implementation: Implementation,
    settings: Settings | None = None,
    *,
    keep_running: bool = False,
) -> Iterator[Judged]:
    """Like ``judge``, but each result comes with its case and the replied arrays."""
    settings = settings or Settings()
    hello = implementation.hello
    waiting: deque[tuple[Case, str | None]] = deque()

    def requests() -> Iterator[tuple[str, bytes]]:
        for case in cases:
            lacking = not_supported(case, hello)
            waiting.append((case, lacking))
            if lacking is None:
                yield case.id, case.request(hello.dtype)

    def not_applicable() -> Iterator[Judged]:
        while waiting and waiting[0][1] is not None:
            case, lacking = waiting.popleft()
            message = f"it does not support {clean_text(str(lacking), 80)}"
            yield Judged(Result(id=case.id, outcome="not_applicable", message=message), case)

    for answer in implementation.exchange(requests(), keep_running=keep_running):
        yield from not_applicable()
        case, _ = waiting.popleft()
        yield judge_answer(case, answer, hello.dtype, settings)
    yield from not_applicable()


def judge_answer(case: Case, answer: Answer, dtype: str, settings: Settings) -> Judged:
    """The result of one answer."""
    notes = [*answer.notes]
    common: dict[str, Any] = {"id": case.id, "seconds": round(answer.seconds, 6)}
    if answer.kind == "skip":
        return Judged(Result(**common, outcome="skipped", message=answer.message, notes=notes), case)
    if answer.kind != "reply" or answer.reply is None:
        outcome: Any = answer.kind
        notes += _logs(answer)
        result = Result(**common, outcome=outcome, message=answer.message, notes=notes, case=case.to_dict())
        return Judged(result, case)
    rounded = case.rounded(dtype)
    expected = witnesses(rounded, dtype, settings.profile)
    expected, comparison = compared(rounded, expected, answer.reply, dtype, settings)
    counted: dict[str, Any] = {
        "values_checked": comparison.values_checked,
        "neurons_checked": comparison.neurons_checked,
    }
    notes += comparison.notes
    if not comparison.count:
        counted["conventions"] = comparison.conventions
        return Judged(Result(**common, **counted, outcome="passed", notes=notes), rounded, comparison.actual)
    mismatches = blame(rounded, expected, comparison.actual, comparison.mismatches, dtype, settings.profile)
    mismatches = with_indexes(rounded, mismatches)
    first = mismatches[0]
    place = {"layer": first.layer, "neuron": first.neuron, "quantity": first.quantity, "sample": first.sample}
    at = {"at": first.at} if first.at else {}
    unstable = (comparison.formula or "") if all(each.unstable for each in comparison.mismatches) else ""
    whole: dict[str, Any] = {}
    if 24 * comparison.values_checked <= _WHOLE:
        whole = {
            "case": rounded.to_dict(),
            "actual": as_reply(comparison.actual, len(case.network.layers), form=expected.form),
        }
    else:
        notes.append("the case is too large to keep its numbers")
    result = Result(
        **common,
        **counted,
        **whole,
        outcome="mismatched",
        message=sentence(case, comparison, first) if not unstable else unstable_sentence(unstable),
        first_wrong={**place, **at},
        mismatches=mismatches,
        mismatch_count=comparison.count,
        notes=notes,
    )
    return Judged(result, rounded, comparison.actual, unstable)


def _logs(answer: Answer) -> list[str]:
    """The traceback and the stderr of a case that was not answered with numbers, each as a note."""
    traceback = (answer.reply and answer.reply.traceback) or ""
    said = (("traceback", both_ends(traceback, 3500).strip("\n")), ("stderr", answer.stderr))
    return [f"{name}{LOG}{text}" for name, text in said if text.strip()]


def sentence(case: Case, comparison: Comparison, first: Mismatch) -> str:
    """The first wrong value, in a sentence."""
    what = what_it_is(case, first)
    count = comparison.count
    more = f"; {count - 1} more {'value differs' if count == 2 else 'values differ'}" if count > 1 else ""  # noqa: PLR2004
    at, numbers = in_words(case, first), f"expected {first.expected}, got {first.actual}"
    match first.problem:
        case "missing":
            return f"the {what} of {at} is missing: expected {first.expected}{more}"
        case "extra":
            return f"{what} ({at}) is not part of this case{more}"
        case "shape":
            return f"wrong shape: {what} ({at}): {numbers}{more}"
        case "not_a_number":
            return f"the {what} of {at} is not a number: got {clean_text(str(first.actual), 80)}{more}"
        case _:
            return f"first wrong value: the {what} of {at}: {numbers}{more}"

"""Case after case: witnesses, implementation, comparison, outcome. One way, streaming."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from backprop_check.compare import Comparison, Mismatch, compare
from backprop_check.errors import HarnessError
from backprop_check.expected import expect
from backprop_check.protocol.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.network import Case
    from backprop_check.protocol import Answer, HelloReply, Implementation
    from backprop_check.trace import Expected

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


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one case, as the results file holds it."""

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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to judge: the profile of the bounds, and what the user widens them by."""

    profile: Literal["textbook", "strict"] = "textbook"
    rtol: float = 0.0
    atol: float = 0.0


def not_supported(case: Case, hello: HelloReply) -> str | None:
    """What a case needs that the implementation does not claim to support, as a phrase; None if nothing."""
    can, layers = hello.supports, case.network.layers
    wanted: list[tuple[str, list[str] | None, set[str]]] = [
        ("the layer", can.layers, {layer.kind for layer in layers}),
        ("the activation", can.activations, {layer.activation for layer in layers}),
        ("the loss", can.losses, {case.loss.kind}),
        ("the optimizer", can.optimizers, {case.optimizer.kind} if case.optimizer else set()),
    ]
    for what, supported, needed in wanted:
        missing = sorted(needed - set(supported)) if supported is not None else []
        if missing:
            return f"{what} {missing[0]}"
    if not can.batch and len(case.inputs) > 1:
        return "more than one sample at a time"
    return None


def witnesses(case: Case, dtype: str = "float64", profile: str = "textbook") -> Expected:
    """The reference's values and bounds, after torch has agreed.

    Raises ``HarnessError`` where the two witnesses differ by more than the float64 bound.
    """
    from backprop_check.oracle import autograd_pass  # noqa: PLC0415 - torch takes a second to import

    expected = expect(case, dtype, profile)
    share = 1.0 if dtype == "float64" else 2.0**-28  # the float64 bound, both witnesses': 2 · 2⁻²⁹
    for slot, value in autograd_pass(case).values.items():
        ours = expected.values[slot]
        with np.errstate(invalid="ignore", over="ignore"):
            agree = abs(ours - value) <= expected.allowed[slot] * share
        if not agree.all():
            at = tuple(int(i) for i in np.argwhere(~agree)[0])
            msg = (
                f"case {case.id}: the reference and torch disagree on {slot.quantity} of layer {slot.layer} at "
                f"{list(at)}: {ours[at]!r} and {value[at]!r}. This is a fault of backprop-check or of a numerical "
                "limit of this case, not of the implementation; please report it"
            )
            raise HarnessError(msg)
    return expected


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
    settings = settings or Settings()
    hello = implementation.hello
    waiting: deque[tuple[Case, str | None]] = deque()

    def requests() -> Iterator[tuple[str, bytes]]:
        for case in cases:
            lacking = not_supported(case, hello)
            waiting.append((case, lacking))
            if lacking is None:
                yield case.id, case.request(hello.dtype)

    def not_applicable() -> Iterator[Result]:
        while waiting and waiting[0][1] is not None:
            case, lacking = waiting.popleft()
            yield Result(id=case.id, outcome="not_applicable", message=f"it does not support {lacking}")

    for answer in implementation.exchange(requests(), keep_running=keep_running):
        yield from not_applicable()
        case, _ = waiting.popleft()
        yield judge_answer(case, answer, hello.dtype, settings)
    yield from not_applicable()


def judge_answer(case: Case, answer: Answer, dtype: str, settings: Settings) -> Result:
    """One answer's outcome."""
    notes = [*answer.notes]
    common: dict[str, Any] = {"id": case.id, "seconds": round(answer.seconds, 6)}
    if answer.kind == "skip":
        return Result(**common, outcome="skipped", message=answer.message, notes=notes)
    if answer.kind != "reply" or answer.reply is None:
        outcome: Any = answer.kind
        stderr = [f"stderr: {answer.stderr}"] if answer.stderr else []
        return Result(**common, outcome=outcome, message=answer.message, notes=notes + stderr)
    rounded = case.rounded(dtype)
    expected = witnesses(rounded, dtype, settings.profile)
    comparison = compare(expected, answer.reply, settings.rtol, settings.atol)
    counted: dict[str, Any] = {
        "values_checked": comparison.values_checked,
        "neurons_checked": comparison.neurons_checked,
        "notes": notes + comparison.notes,
    }
    if not comparison.count:
        return Result(**common, **counted, outcome="passed")
    first = comparison.mismatches[0]
    place = {"layer": first.layer, "neuron": first.neuron, "quantity": first.quantity, "sample": first.sample}
    return Result(
        **common,
        **counted,
        outcome="mismatched",
        message=sentence(case, comparison, first),
        first_wrong=place,
        mismatches=comparison.mismatches,
        mismatch_count=comparison.count,
    )


def where(case: Case, mismatch: Mismatch) -> str:
    """``neuron 2 of hidden1, sample 0``: a place in words."""
    parts = []
    if mismatch.layer is not None:
        name = clean_text(case.network.names()[mismatch.layer], 60)
        parts.append(f"neuron {mismatch.neuron} of {name}" if mismatch.neuron is not None else f"layer {name}")
    if mismatch.index:
        parts.append(f"from input {mismatch.index[0]}")
    if mismatch.sample is not None:
        parts.append(f"sample {mismatch.sample}")
    if mismatch.step is not None:
        parts.append(f"update {mismatch.step}")
    return ", ".join(parts) or "the whole network"


def sentence(case: Case, comparison: Comparison, first: Mismatch) -> str:
    """What is wrong first, in a sentence."""
    what = first.quantity.replace("_", " ")
    count = comparison.count
    more = f"; {count - 1} more {'value differs' if count == 2 else 'values differ'}" if count > 1 else ""  # noqa: PLR2004
    at, numbers = where(case, first), f"expected {first.expected}, got {first.actual}"
    match first.problem:
        case "missing":
            return f"the {what} of {at} is missing: expected {first.expected}{more}"
        case "extra":
            return f"{what} ({at}) is not part of this case{more}"
        case "shape":
            return f"the {what} of {at} has the wrong shape: {numbers}{more}"
        case "not_a_number":
            return f"the {what} of {at} is no number: got {clean_text(str(first.actual), 80)}{more}"
        case _:
            return f"first wrong value: the {what} of {at}: {numbers}{more}"

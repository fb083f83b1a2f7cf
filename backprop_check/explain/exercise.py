"""The exercise: a port whose backward pass is left to write, and what to do next.

A port marks what an exercise leaves out with comments on lines of their own::

    // EXERCISE BEGIN output delta: return zeros(n);
    …
    // EXERCISE END output delta

After the colon stands a statement that replaces the marked part, so that the port still runs. ``unfinished`` turns a
source file into the exercise; ``next_step`` finds in the results of a run the first stage that is not right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backprop_check.compare.places import named
from backprop_check.explain.mistakes import case_of, mistakes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.compare.compare import Mismatch
    from backprop_check.running.one_case import Result


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the exercise: its name, task and formula."""

    name: str
    task: str
    formula: str = ""


STAGES = (
    Stage("smoke", "The port answers every case, with an array of the right shape wherever one belongs."),
    Stage(
        "forward",
        "From the inputs to the outputs: every weighted sum z, every activation a, and the loss.",
        "zⱼ = Σᵢ wⱼᵢ aᵢ + bⱼ, aⱼ = φ(zⱼ)",
    ),
    Stage(
        "output delta",
        "For each output neuron: how much the loss changes when its z changes. It is the slope of the loss times the "
        "slope of the activation at this z. For softmax with cross-entropy, and sigmoid with its own, the two are one "
        "step that the port has ready: a − t.",
        "δₖ = ∂L/∂aₖ · φ′(zₖ)   (BP1)",
    ),
    Stage(
        "hidden delta",
        "For each hidden neuron: what comes back through every neuron that it feeds is added up, each part through the "
        "weight between the two; then comes the slope of its own activation.",
        "δⱼ = (Σₖ wₖⱼ δₖ) · φ′(zⱼ)   (BP2)",
    ),
    Stage(
        "gradients",
        "For each weight: the delta of its neuron times what came in through it. For each bias: the delta itself. Both "
        "are summed over the samples.",
        "∂L/∂bⱼ = Σₛ δⱼ   (BP3),   ∂L/∂wⱼᵢ = Σₛ δⱼ aᵢ   (BP4)",
    ),
    Stage(
        "update",
        "A step against the gradient for every weight and bias, once every gradient is known.",
        "w⁺ = w − η ∂L/∂w,   b⁺ = b − η ∂L/∂b",
    ),
)

#: The stages that an exercise leaves to write, in the order of the backward pass.
LEFT_OUT = tuple(stage.name for stage in STAGES[2:])

_NO_ANSWER = ("error", "crash", "timeout", "protocol_error", "not_run")
_NO_NUMBERS = ("missing", "extra", "shape", "not_a_number")

_BEGIN = re.compile(r"(?P<indent>\s*)(?P<comment>\S+) EXERCISE BEGIN (?P<stage>[a-z ]+?)(?:: (?P<stand_in>.+))?")
_END = re.compile(r"\s*\S+ EXERCISE END (?P<stage>[a-z ]+)")


def unfinished(text: str) -> tuple[str, list[str]]:
    """A source file with a TODO in place of each marked part, and the stages of these parts.

    Raises ``ValueError`` for marks that do not pair, or that name no stage.
    """
    kept: list[str] = []
    stages: list[str] = []
    inside: str | None = None
    for line in text.split("\n"):
        if begin := _BEGIN.fullmatch(line):
            if inside is not None or begin["stage"] not in LEFT_OUT:
                raise ValueError(line.strip())
            inside = begin["stage"]
            stages.append(inside)
            kept.append(f"{begin['indent']}{begin['comment']} TODO {inside} (see EXERCISE.md)")
            if begin["stand_in"]:
                kept.append(begin["indent"] + begin["stand_in"])
        elif end := _END.fullmatch(line):
            if end["stage"] != inside:
                raise ValueError(line.strip())
            inside = None
        elif inside is None:
            kept.append(line)
    if inside is not None:
        raise ValueError(f"EXERCISE END {inside} is missing")
    return "\n".join(kept), stages


def finished(text: str) -> str:
    """A source file without the marks."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if not (_BEGIN.fullmatch(line) or _END.fullmatch(line)))


@dataclass(frozen=True, slots=True)
class Step:
    """The first stage that is not right yet (None: all are right), and what the results say about it.

    ``right`` is the number of right stages, ``begun`` whether the stage was worked on.
    """

    stage: Stage | None
    right: int
    begun: bool = False
    finding: str = ""
    mistakes: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the port is finished."""
        return self.stage is None

    def __str__(self) -> str:
        lines = [f"  ok    {number}. {stage.name}" for number, stage in enumerate(STAGES[: self.right], 1)]
        if self.stage is None:
            return "\n".join([*lines, "", "Every stage is right: this port computes backpropagation."])
        mark = "FAIL" if self.begun else "next"
        lines += [f"  {mark}  {self.right + 1}. {self.stage.name}", "", f"  {self.stage.task}"]
        if self.stage.formula:
            lines.append(f"  {self.stage.formula}")
        if self.finding:
            lines += ["", f"  {self.finding}"]
        lines += [f"  {mistake}" for mistake in self.mistakes]
        return "\n".join(lines)


def next_step(results: Sequence[Result]) -> Step:
    """The next step: the first stage, in the order of a pass, that is wrong in some case."""
    judged = [result for result in results if result.outcome in ("passed", "mismatched", *_NO_ANSWER)]
    if not judged:
        return Step(STAGES[0], 0, begun=True, finding="No case was judged: the port supports none of those chosen.")
    found: dict[int, list[tuple[Result, list[Mismatch]]]] = {}
    for result in judged:
        if result.outcome in _NO_ANSWER:
            found.setdefault(0, []).append((result, []))
        by_stage: dict[int, list[Mismatch]] = {}
        for mismatch in result.mismatches:
            by_stage.setdefault(stage_of(mismatch, result), []).append(mismatch)
        for number, mismatches in by_stage.items():
            found.setdefault(number, []).append((result, mismatches))
    if not found:
        return Step(None, len(STAGES))
    number = min(found)
    failing, first = found[number], STAGES[number]
    begun = first.name not in LEFT_OUT or not _is_untouched(failing)
    mistakes = mistakes_of(failing) if begun and number > 0 else []
    return Step(first, number, begun, _finding(*smallest(failing)) if begun else "", tuple(mistakes))


def stage_of(mismatch: Mismatch, result: Result) -> int:
    """The number of the stage (from 0) in which a wrong value was computed."""
    if mismatch.problem in _NO_NUMBERS or mismatch.quantity not in _STAGE_OF:
        return 0
    if mismatch.quantity == "loss" and mismatch.step:
        return _number_of("update")  # wrong because an update before it was
    if mismatch.quantity == "delta" and mismatch.layer == _layers(result) - 1:
        return _number_of("output delta")
    return _number_of(_STAGE_OF[mismatch.quantity])


def _number_of(name: str) -> int:
    return next(number for number, stage in enumerate(STAGES) if stage.name == name)


#: The stage of each quantity. A wrong input gradient is a wrong sum over downstream neurons, like a hidden delta.
_STAGE_OF = {
    "z": "forward", "a": "forward", "loss": "forward", "delta": "hidden delta", "input_gradient": "hidden delta",
    "weight_gradient": "gradients", "bias_gradient": "gradients", "updated_weight": "update", "updated_bias": "update",
}  # fmt: skip


def _layers(result: Result) -> int:
    """The number of layers of the case; where the case is unknown, as many as its findings mention."""
    case = case_of(result)
    if case is not None:
        return len(case.network.layers)
    return 1 + max((mismatch.layer or 0 for mismatch in result.mismatches), default=0)


def _is_untouched(failing: list[tuple[Result, list[Mismatch]]]) -> bool:
    """Whether a stage is still as the exercise leaves it: every delta and gradient 0, every parameter unchanged."""
    found = [one for _, some in failing for one in some]
    if {one.quantity for one in found} == {"bias_gradient"}:
        return False  # the gradients of the weights are right, so work has begun
    return all(
        one.actual == (0 if not one.quantity.startswith("updated") else _given(result, one))
        for result, some in failing
        for one in some
        if one.quantity != "loss" and not _is_penalized(result)
    )


def _is_penalized(result: Result) -> bool:
    """Whether the loss has a penalty, whose part of the gradients an exercise does not leave out."""
    case = case_of(result)
    return case is not None and case.regularization is not None


def _given(result: Result, mismatch: Mismatch) -> float | None:
    """The parameter before the update, where an updated one is wrong."""
    case = case_of(result)
    if case is None or mismatch.layer is None or mismatch.neuron is None:
        return None
    parameters = case.network.layers[mismatch.layer].parameters
    if mismatch.index:
        return float(parameters.weights[mismatch.neuron, mismatch.index[0]])
    return float(parameters.biases[mismatch.neuron])


def smallest(failing: list[tuple[Result, list[Mismatch]]]) -> tuple[Result, list[Mismatch]]:
    """The failing case that is easiest to read: without softmax and cross-entropy if possible, then the fewest
    numbers.
    """

    def size(pair: tuple[Result, Any]) -> tuple[bool, int, str]:
        case = case_of(pair[0])
        if case is None:
            return True, 10**9, pair[0].id
        kinds = {layer.activation for layer in case.network.layers}
        special = bool(kinds & {"softmax", "log_softmax"}) or "entropy" in case.loss.kind
        return special, len(case.request()), pair[0].id

    return min(failing, key=size)


def _finding(result: Result, mismatches: list[Mismatch]) -> str:
    if not mismatches or mismatches[0].problem in _NO_NUMBERS:
        return f"{result.id}: {result.outcome.replace('_', ' ')}: {result.message}"
    first, case = mismatches[0], case_of(result)
    name = first.quantity.replace("_", " ") if case is None else named(case, first)
    return (
        f"{result.id}: the {name} is {_number(first.actual)}, and should be {_number(first.expected)}. "
        f"`backprop-check explain {result.id}` works it out."
    )


def _number(x: float | str | None) -> str:
    return f"{x:.10g}" if isinstance(x, float) else str(x)

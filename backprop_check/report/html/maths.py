"""The mathematics of the most important numbers of a case, as an explanation writes it.

It is text: formulas, the same with numbers, sentences. The page contains it for as many numbers as there is room for:
first the wrong ones, first in a sample in which something is wrong. The implementation's own numbers are put into the
same formulas, where the result differs: this shows that a step is right for the wrong numbers that it received.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from backprop_check.compare.expected import roundoff
from backprop_check.diagnose.given import Given
from backprop_check.errors import BackpropCheckError
from backprop_check.explain.layout import chain_lines, equation_lines, term_lines
from backprop_check.explain.recall import on_arrays, recalled
from backprop_check.explain.selection import steps_of_parameter, steps_of_unit
from backprop_check.explain.story import PassReader
from backprop_check.explain.tables import Names
from backprop_check.explain.wording import SIGMOID, SOFTMAX
from backprop_check.explain.writing import Writer, number_text
from backprop_check.reference import run_pass
from backprop_check.report.html.packing import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Slot
    from backprop_check.explain.steps import Step
    from backprop_check.reference.passes import Pass
    from backprop_check.report.html.sheets import Sheet

#: Bytes of mathematics: of a page, of a case at least and at most; and for how many numbers of a case in any event.
_OF_PAGE, _LEAST, _MOST, _FIRST = 200_000, 1_500, 24_000, 2

#: The most numbers of a sheet, and the most samples of a unit, whose mathematics the page contains.
_NUMBERS, _SAMPLES = 24, 8

#: The most terms of a sum that are written into its formula.
_TERMS = 6

#: The most numbers of its layer that are shown as parts of a unit.
_BEHIND = 5

#: What the mathematics of a case may raise, for example where its numbers overflow.
_FAILURES = (BackpropCheckError, ArithmeticError, LookupError, ValueError, RecursionError)

#: Notes that many numbers have.
_USUAL = (SIGMOID, SOFTMAX)

#: Numbers with a smaller relative difference are shown as one.
_SAME = 1e-9


class Sentences:
    """Texts that many numbers of a page have; each is kept once and referred to by its number."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, ...], int] = {}

    def number(self, *texts: str) -> int:
        """The number of these texts: a stage with its sentence and formula, or a note."""
        return self.texts.setdefault(texts, len(self.texts))

    def to_list(self) -> list[list[str]]:
        """All texts, by number."""
        return [[short(text) for text in texts] for texts in self.texts]


def share_of_page(failing: int) -> int:
    """The bytes of mathematics for each of ``failing`` failing cases."""
    return min(_MOST, max(_LEAST, _OF_PAGE // max(1, failing)))


def mathematics_of(
    case: Case,
    sheets: list[Sheet],
    order: list[tuple[int, int]],
    samples: Sequence[int],
    replied: Mapping[Slot, Array],
    sentences: Sentences,
    most: int = _MOST,
) -> dict[str, Any]:
    """The steps of numbers by ``sheet:unit:sample`` (``sheet:unit`` for a parameter), about ``most`` bytes of them.

    The numbers in ``order`` come first.
    """
    try:
        mathematics = _Mathematics(case, sheets, replied, sentences)
    except _FAILURES:
        return {}  # the page still contains the numbers
    found: dict[str, Any] = {}
    size = 0
    for count, (number, unit, sample) in enumerate(_in_turn(sheets, order, samples)):
        if count >= _FIRST and size >= most:
            break
        key = f"{number}:{unit}" + ("" if sheets[number].parameter else f":{sample}")
        if key in found:
            continue
        with contextlib.suppress(*_FAILURES):
            found[key] = mathematics.of(number, unit, sample)
            size += len(msgspec.json.encode(found[key]))
    return found


def _in_turn(
    sheets: list[Sheet], order: list[tuple[int, int]], samples: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """The numbers to explain as (sheet, unit, sample): wrong ones first, something of every sheet, then the rest."""
    first = {number: (number, unit) for number, unit in reversed(order)}
    ranked = list(dict.fromkeys([*order[:2], *reversed(list(first.values())), *order]))
    rest = [
        (number, unit)
        for number, sheet in enumerate(sheets)
        if sheet.of is None and sheet.title != "t"
        for unit in sheet.shown[:_NUMBERS]
    ]
    for sample in samples[:_SAMPLES]:
        for number, unit in (*ranked, *rest):
            yield number, unit, sample
            for other, sheet in enumerate(sheets):  # a neuron's first wrong weight, and its bias
                if sheet.of == number and sample == samples[0]:
                    columns = math.prod(sheet.shape[1:])
                    own = [each for each in sheet.shown if each // columns == unit]
                    yield from ((other, each, sample) for each in sorted(own, key=_by_state(sheet))[:1])


def _by_state(sheet: Sheet) -> Callable[[int], int]:
    return lambda unit: "rui.?".index(sheet.state[unit])


class _Mathematics:
    """The right pass of a case, and the pass in which the implementation's numbers replace the computed ones."""

    def __init__(self, case: Case, sheets: list[Sheet], replied: Mapping[Slot, Array], sentences: Sentences) -> None:
        self.case, self.sheets, self.sentences = case, sheets, sentences
        self.right = recalled(on_arrays(case))[0]
        self.names = Names(case, self.right)
        self.own: Any = None
        if any(state == "i" for sheet in sheets for state in sheet.state):
            with contextlib.suppress(*_FAILURES):
                self.own = recalled(_as_replied(case, replied))[0]
                self.own_names = Names(case, self.own)
        output = {sheet.node: number for number, sheet in reversed(list(enumerate(sheets))) if not sheet.parameter}
        self.output = output

    def of(self, number: int, unit: int, sample: int) -> dict[str, Any]:
        """The steps of a number, and the units and parameters that it is computed from."""
        writer = Writer(self.names, limit=_TERMS)
        steps, parameters = self._steps(PassReader(self.case, self.right, writer, sample=sample), number, unit)
        own: dict[object, Step] = {}
        if self.own is not None and self.sheets[number].state[unit] in "iru":
            writer = Writer(self.own_names, limit=_TERMS)
            with contextlib.suppress(*_FAILURES):
                reader = PassReader(self.case, self.own, writer, sample=sample, afresh=True)
                own = {_key(step): step for step in self._steps(reader, number, unit)[0]}
        found: dict[str, Any] = {"steps": list(self._as_json(steps, own))}
        uses = [[self.output[layer + 1], unit] for layer, unit in (steps[0].uses if steps else [])]
        found["uses"] = [pair for pair in uses if pair[1] < self.sheets[pair[0]].units]
        parts = [] if _dense(self.sheets, number) else _parts(self.sheets, parameters)
        if parts:
            found["parts"] = parts
        return found

    def _steps(self, reader: PassReader, number: int, unit: int) -> tuple[list[Step], list[tuple[int, str, int]]]:
        sheet = self.sheets[number]
        if sheet.parameter:
            return steps_of_parameter(reader, sheet.node - 1, sheet.title, unit), []
        layer = None if sheet.node == 0 else sheet.node - 1
        return steps_of_unit(reader, layer, sheet.title, unit, most=_BEHIND)

    def _as_json(self, steps: Sequence[Step], own: Mapping[object, Step]) -> Iterator[dict[str, Any]]:
        """The steps as JSON: ``n`` is the number of its sentence, ``t`` its lines, ``at`` its place if it has one."""
        noted: set[str] = set()
        places = {step.place for step in steps if step.quantity}
        for step in steps:
            one: dict[str, Any] = {
                "n": self.sentences.number(step.stage, step.sentence, step.formula),
                "t": short(_text(step, batch=len(self.case.inputs) > 1)),
            }
            if len(places) > 1:
                one["place"] = step.place
            notes = [note for note in step.notes if note not in noted]
            if notes:
                one["notes"] = [self.sentences.number(note) if note in _USUAL else short(note) for note in notes]
            at = self._place(step)
            if at is not None:
                one["at"] = at
            fed = self._fed(step, own.get(_key(step)))
            if fed:
                one["fed"] = short(fed)
            noted.update(notes)
            yield one

    def _place(self, step: Step) -> list[Any] | None:
        """The sheet, unit and slot of the value of a step; None where the reply contains none."""
        if self.case.steps > 1 and (step.quantity.startswith("updated") or step.quantity.endswith("_buffer")):
            return None  # the reply has the values of the last update, and this is the first
        for number, sheet in enumerate(self.sheets):
            for k, slot in enumerate(sheet.slots):
                if step.quantity and (slot.quantity, slot.layer) == (step.quantity, step.layer):
                    flat = step.at[-1] if not sheet.parameter else _flat(step.at, sheet.shape)
                    return [number, flat, k]
        return None

    def _fed(self, step: Step, own: Step | None) -> str:
        """The formula with the implementation's numbers, where the result differs; otherwise empty."""
        if own is None or own.numbers == step.numbers or step.stage not in _FED:
            return ""
        if not math.isfinite(own.value) or math.isclose(own.value, step.value, rel_tol=_SAME, abs_tol=0.0):
            return ""
        return " = ".join(dict.fromkeys([own.numbers, number_text(own.value, 6)]))


def _as_replied(case: Case, replied: Mapping[Slot, Array]) -> list[Pass]:
    """The passes in which the implementation's numbers replace the computed ones."""
    u, own = roundoff("float64")
    m = Given(u)
    m.keep(replied, case.optimizer is not None, own, 0.0, (), True)  # noqa: FBT003 - as it was reported
    with np.errstate(all="ignore"):
        return run_pass(case, m)


#: The steps that also show the result for the implementation's own numbers.
_FED = ("weighted sum", "activation", "hidden error", "error", "delta", "weight gradient", "bias gradient", "gradient",
        "update", "input gradient")  # fmt: skip


def _text(step: Step, *, batch: bool) -> str:
    """The lines of a step's formulas; the page indents them."""
    terms = term_lines(step, 6) if len(step.terms) > 1 else []
    return "\n".join(line.strip() for line in [*equation_lines(step, 6), *terms, *chain_lines(step, 6, batch=batch)])


def _key(step: Step) -> object:
    return step.stage, step.symbol


def _flat(at: Sequence[int], shape: Sequence[int]) -> int:
    return at[0] * math.prod(shape[1:]) + (at[1] if len(at) > 1 else 0)


def _dense(sheets: list[Sheet], number: int) -> bool:
    """Whether a sheet's units are neurons of a dense layer, whose parameters have sheets."""
    return any(sheet.of == number for sheet in sheets)


def _parts(sheets: list[Sheet], parameters: Sequence[tuple[int, str, int]]) -> list[list[int]]:
    """The parameters that a unit is computed from, as (sheet, number)."""
    by_name = {(sheet.node - 1, sheet.title): number for number, sheet in enumerate(sheets) if sheet.parameter}
    return [[by_name[layer, name], unit] for layer, name, unit in parameters[:40] if (layer, name) in by_name]

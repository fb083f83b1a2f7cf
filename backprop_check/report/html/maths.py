"""The mathematics of the most telling numbers of a case, as the explanation tells it: the page only shows it.

What is told is text: formulas, the same with numbers put in, sentences. It stands in the page for as many numbers as
there is room for, the wrong ones first; of a sample in which something is wrong, and of further ones where the case is
small. What the implementation replied is put into the same formulas, where that makes another number: so a step is seen
to be right on the wrong numbers that it was fed.
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
from backprop_check.explain.story import PassReader
from backprop_check.explain.tables import Names
from backprop_check.explain.told import told_of_parameter, told_of_unit
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

#: About so many bytes of mathematics stand in a page; of a case at least, at most, and always of so many numbers.
_OF_PAGE, _LEAST, _MOST, _FIRST = 200_000, 1_500, 24_000, 2

#: Of a sheet no more numbers are told, of a unit no more samples, however short.
_NUMBERS, _SAMPLES = 24, 8

#: Of a sum no more terms are written into its formula there.
_TERMS = 6

#: Of what a unit is made of within its layer, so many numbers are told.
_BEHIND = 5

#: What a case at the edge of what numbers can hold may raise while it is told.
_UNTOLD = (BackpropCheckError, ArithmeticError, LookupError, ValueError, RecursionError)

#: Notes that are said of many numbers.
_USUAL = (SIGMOID, SOFTMAX)

#: A number that differs by less from another is not shown beside it.
_SAME = 1e-9


class Sentences:
    """What is said of many numbers of a page, each text kept once: told by its number."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, ...], int] = {}

    def number(self, *texts: str) -> int:
        """The number of a stage, its sentence and its general formula; of a note."""
        return self.texts.setdefault(texts, len(self.texts))

    def to_list(self) -> list[list[str]]:
        """All of them, by number."""
        return [[short(text) for text in texts] for texts in self.texts]


def share_of_page(failing: int) -> int:
    """How many bytes of mathematics each of so many failing cases has."""
    return min(_MOST, max(_LEAST, _OF_PAGE // max(1, failing)))


def told(
    case: Case,
    sheets: list[Sheet],
    order: list[tuple[int, int]],
    samples: Sequence[int],
    replied: Mapping[Slot, Array],
    sentences: Sentences,
    most: int = _MOST,
) -> dict[str, Any]:
    """Steps by ``sheet:unit:sample`` (of a parameter ``sheet:unit``), of ``order`` first; some ``most`` bytes."""
    try:
        telling = _Telling(case, sheets, replied, sentences)
    except _UNTOLD:
        return {}  # the numbers stand in the page all the same
    found: dict[str, Any] = {}
    size = 0
    for count, (number, unit, sample) in enumerate(_in_turn(sheets, order, samples)):
        if count >= _FIRST and size >= most:
            break
        key = f"{number}:{unit}" + ("" if sheets[number].parameter else f":{sample}")
        if key in found:
            continue
        with contextlib.suppress(*_UNTOLD):
            found[key] = telling.of(number, unit, sample)
            size += len(msgspec.json.encode(found[key]))
    return found


def _in_turn(
    sheets: list[Sheet], order: list[tuple[int, int]], samples: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """What is told, as (sheet, unit, sample): what is wrong first, of every sheet something, then the rest."""
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


class _Telling:
    """The pass of a case, as it should be, and with what was replied in the place of what was computed."""

    def __init__(self, case: Case, sheets: list[Sheet], replied: Mapping[Slot, Array], sentences: Sentences) -> None:
        self.case, self.sheets, self.sentences = case, sheets, sentences
        self.right = recalled(on_arrays(case))[0]
        self.names = Names(case, self.right)
        self.own: Any = None
        if any(state == "i" for sheet in sheets for state in sheet.state):
            with contextlib.suppress(*_UNTOLD):
                self.own = recalled(_as_replied(case, replied))[0]
                self.own_names = Names(case, self.own)
        output = {sheet.node: number for number, sheet in reversed(list(enumerate(sheets))) if not sheet.parameter}
        self.output = output

    def of(self, number: int, unit: int, sample: int) -> dict[str, Any]:
        """One number's steps, and what it is made of: units and parameters of sheets."""
        writer = Writer(self.names, limit=_TERMS)
        steps, parameters = self._steps(PassReader(self.case, self.right, writer, sample=sample), number, unit)
        own: dict[object, Step] = {}
        if self.own is not None and self.sheets[number].state[unit] in "iru":
            writer = Writer(self.own_names, limit=_TERMS)
            with contextlib.suppress(*_UNTOLD):
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
            return told_of_parameter(reader, sheet.node - 1, sheet.title, unit), []
        layer = None if sheet.node == 0 else sheet.node - 1
        return told_of_unit(reader, layer, sheet.title, unit, most=_BEHIND)

    def _as_json(self, steps: Sequence[Step], own: Mapping[object, Step]) -> Iterator[dict[str, Any]]:
        """The steps as text: ``n`` numbers what is said, ``t`` are its lines, ``at`` its place if it has one."""
        said: set[str] = set()
        places = {step.place for step in steps if step.quantity}
        for step in steps:
            one: dict[str, Any] = {
                "n": self.sentences.number(step.stage, step.sentence, step.formula),
                "t": short(_text(step, batch=len(self.case.inputs) > 1)),
            }
            if len(places) > 1:
                one["place"] = step.place
            notes = [note for note in step.notes if note not in said]
            if notes:
                one["notes"] = [self.sentences.number(note) if note in _USUAL else short(note) for note in notes]
            at = self._place(step)
            if at is not None:
                one["at"] = at
            fed = self._fed(step, own.get(_key(step)))
            if fed:
                one["fed"] = short(fed)
            said.update(notes)
            yield one

    def _place(self, step: Step) -> list[Any] | None:
        """The sheet, number and slot of the value that a step gives; None where the reply has none."""
        if self.case.steps > 1 and (step.quantity.startswith("updated") or step.quantity.endswith("_buffer")):
            return None  # it has what the last update gives, and this is the first
        for number, sheet in enumerate(self.sheets):
            for k, slot in enumerate(sheet.slots):
                if step.quantity and (slot.quantity, slot.layer) == (step.quantity, step.layer):
                    flat = step.at[-1] if not sheet.parameter else _flat(step.at, sheet.shape)
                    return [number, flat, k]
        return None

    def _fed(self, step: Step, own: Step | None) -> str:
        """The formula with what was replied put in, where it gives another number; empty where it does not."""
        if own is None or own.numbers == step.numbers or step.stage not in _FED:
            return ""
        if not math.isfinite(own.value) or math.isclose(own.value, step.value, rel_tol=_SAME, abs_tol=0.0):
            return ""
        return " = ".join(dict.fromkeys([own.numbers, number_text(own.value, 6)]))


def _as_replied(case: Case, replied: Mapping[Slot, Array]) -> list[Pass]:
    """The passes with what was replied in the place of what was computed."""
    u, own = roundoff("float64")
    m = Given(u)
    m.keep(replied, case.optimizer is not None, own, 0.0, (), True)  # noqa: FBT003 - as it was reported
    with np.errstate(all="ignore"):
        return run_pass(case, m)


#: The steps in which it is told what the implementation's own numbers give.
_FED = ("weighted sum", "activation", "hidden error", "error", "delta", "weight gradient", "bias gradient", "gradient",
        "update", "input gradient")  # fmt: skip


def _text(step: Step, *, batch: bool) -> str:
    """The lines of a step's formulas, one below the other; how they are indented is up to the page."""
    terms = term_lines(step, 6) if len(step.terms) > 1 else []
    return "\n".join(line.strip() for line in [*equation_lines(step, 6), *terms, *chain_lines(step, 6, batch=batch)])


def _key(step: Step) -> object:
    return step.stage, step.symbol


def _flat(at: Sequence[int], shape: Sequence[int]) -> int:
    return at[0] * math.prod(shape[1:]) + (at[1] if len(at) > 1 else 0)


def _dense(sheets: list[Sheet], number: int) -> bool:
    """Whether a sheet's units are neurons of a dense layer, whose parameters the page knows."""
    return any(sheet.of == number for sheet in sheets)


def _parts(sheets: list[Sheet], parameters: Sequence[tuple[int, str, int]]) -> list[list[int]]:
    """The parameters that a unit is made of, as (sheet, number)."""
    by_name = {(sheet.node - 1, sheet.title): number for number, sheet in enumerate(sheets) if sheet.parameter}
    return [[by_name[layer, name], unit] for layer, name, unit in parameters[:40] if (layer, name) in by_name]

"""An explanation as text for the terminal, as Markdown, and as JSON."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from backprop_check.explain.breaking import LONGEST, broken
from backprop_check.explain.writing import number_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.explain.comparing import Compared
    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

PHASES = {
    "weighted sum": "Forward",
    "activation": "Forward",
    "sum": "Forward",
    "function": "Forward",
    "softmax": "Forward",
    "largest": "Forward",
    "loss term": "The loss",
    "sample loss": "The loss",
    "loss": "The loss",
    "output error": "Backward",
    "hidden error": "Backward",
    "error": "Backward",
    "slope": "Backward",
    "delta": "Backward",
    "weight gradient": "Gradients",
    "bias gradient": "Gradients",
    "gradient": "Gradients",
    "input gradient": "Gradients",
    "memory": "Update, once every gradient is known",
    "update": "Update, once every gradient is known",
}


class Line(NamedTuple):
    """A line of text and its kind: title, heading, place, formula, note, right or wrong."""

    text: str
    kind: str = ""


def heading(step: Step, *, rounds: bool) -> str:
    """The heading above a step: ``Backward: hidden1``."""
    phase = PHASES[step.stage]
    layer = f": {step.layer_name}" if step.layer_name and phase != "The loss" else ""
    return f"{f'Training step {step.round}. ' if rounds else ''}{phase}{layer}"


def where(step: Step) -> str:
    """The place of a step: ``neuron 0``; ``weight from input 1 into neuron 0``; ``channel 2, row 1, column 0``."""
    return f"output {step.neuron}" if step.stage == "loss term" else step.place


def equation_lines(step: Step, digits: int) -> list[str]:
    """``z = w·x + b``, then the same with numbers, then the value, below each other; a long sum takes several lines."""
    value = number_text(step.value, digits)
    rights = [step.symbolic, step.numbers, value]
    rights = [text for text, after in zip(rights, [*rights[1:], None], strict=True) if text != after]
    indent = " " * len(step.symbol)
    lines: list[str] = []
    for text in rights:
        first, *more = broken(text)
        lines.append(f"{indent if lines else step.symbol} = {first}")
        lines += [f"{indent}   {line}" for line in more]
    return lines


def chain_lines(step: Step, digits: int, *, batch: bool) -> list[str]:
    """The factors of the chain rule, by name and as numbers."""
    if not step.factors:
        return []
    names = " · ".join(factor.symbol for factor in step.factors)
    numbers = " · ".join(_factor(factor.value, digits) for factor in step.factors)
    product = 1.0
    for factor in step.factors:
        product *= factor.value
    lead = "chain rule, for this sample: " if batch else "chain rule: "
    return [f"{lead}{names}", f"{' ' * (len(lead) - 2)}= {numbers} = {number_text(product, digits)}"]


def _factor(x: float, digits: int) -> str:
    text = number_text(x, digits)
    return f"({text})" if text.startswith("−") else text


def term_lines(step: Step, digits: int) -> list[str]:
    """The terms of a sum, one per line (a long one takes several), each with where it comes from."""
    shown = step.terms if len(step.terms) <= 10 else [*step.terms[:8], *step.terms[-1:]]  # noqa: PLR2004
    lines = []
    for number, term in enumerate(shown):
        value = number_text(term.value, digits)
        parts = [term.symbolic, *([term.numbers] if term.numbers != value else []), value]
        line = f"+ {term.what}: {' = '.join(parts)}"
        if len(shown) < len(step.terms) and number == len(shown) - 1:
            lines.append(f"+ … {len(step.terms) - len(shown)} more")
        if len(line) <= LONGEST:
            lines.append(line)
            continue
        lines.append(f"+ {term.what}:")
        for first, text in enumerate(parts):
            lines += [f"    {'  ' if sign or not first else '= '}{part}" for sign, part in enumerate(broken(text, 110))]
    return lines


def compared_line(compared: Compared, digits: int) -> Line:
    """The implementation's number for a step."""
    value = number_text(float(compared.value), digits)
    if compared.verdict == "right":
        return Line(f"yours: {value}, right", "right")
    exact = number_text(float(compared.value), 17)
    allowed = number_text(float(compared.allowed), 2)
    first = "  ◀ the first difference" if compared.verdict == "first" else ""
    return Line(f"yours: {exact}, wrong (at most {allowed} off is allowed){first}", "wrong")


def text_lines(
    explanation: Explanation, digits: int = 6, shown: Iterable[tuple[Step, Compared | None, str]] | None = None
) -> Iterator[Line]:
    """The explanation for a terminal: all steps, or those ``shown``, each with a remark about others like it."""
    yield Line(explanation.title or explanation.case, "title")
    yield from (Line(text) for text in introduction(explanation))
    told: set[str] = set()
    rounds = any(step.round for step in explanation.steps)
    if shown is None:
        shown = zip(
            explanation.steps, explanation.compared or itertools.repeat(None), itertools.repeat(""), strict=False
        )
    for title, group in itertools.groupby(shown, lambda one: heading(one[0], rounds=rounds)):
        yield Line("")
        yield Line(title, "heading")
        for step, compared, more in group:
            yield from _step_lines(step, compared, digits, told, batch=explanation.samples > 1)
            if more:
                yield Line(f"    {more}", "note")
    if explanation.left_out:
        yield Line("")
        yield Line(explanation.left_out)


def _step_lines(step: Step, compared: Compared | None, digits: int, told: set[str], *, batch: bool) -> Iterator[Line]:
    yield Line("")
    place = where(step)
    number = f" ({step.equation})" if step.equation else ""
    yield Line(f"  {step.stage}{f', {place}' if place else ''}{number}", "place")
    if step.sentence not in told:  # once is enough: later steps have the same form
        told.add(step.sentence)
        yield Line(f"    {step.sentence}  {step.formula}", "note")
    yield from (Line(f"      {text}", "formula") for text in equation_lines(step, digits))
    yield from (Line(f"        {text}") for text in term_lines(step, digits))
    yield from (Line(f"      {text}") for text in chain_lines(step, digits, batch=batch))
    for note in new_notes(step, told):
        lines = [note] if len(note) <= LONGEST else textwrap.wrap(note, 110, subsequent_indent="  ")
        yield from (Line(f"      {line}", "note") for line in lines)
    if compared is not None:
        line = compared_line(compared, digits)
        yield Line(f"      {line.text}", line.kind)


def new_notes(step: Step, told: set[str]) -> list[str]:
    """The step's notes that no earlier step had; those about its own numbers (``Here …``) are always shown."""
    notes = [note for note in step.notes if note not in told]
    told.update(note for note in notes if not note.startswith("Here "))
    return notes


def introduction(explanation: Explanation) -> list[str]:
    """The text above the steps: the network, how to read the names, the erratum, the implementation's result."""
    layers = ", ".join(f"⁽{_above(n)}⁾ {name}" for n, name in enumerate(explanation.layers, 1))
    names = f"Layers: {layers}. " if len(explanation.layers) > 1 else ""
    letters = "x inputs, z weighted sums, a activations, t targets, δ = ∂L/∂z"
    counting = f"Indexes are those of the protocol's arrays and start at 0{_indexes(explanation)}"
    if all(kind == "dense" for kind in explanation.kinds):
        counting = "Neurons are counted from 0; wⱼᵢ leads from i to j"
    lines = [f"{explanation.network}.", f"{names}{counting}; {letters}."]
    if explanation.title:
        lines.insert(0, f"{explanation.case}: {explanation.source}")
    if explanation.samples > 1:
        lines.append(f"Shown for sample {explanation.sample} of 0 to {explanation.samples - 1}; ⟨s⟩ marks the others.")
    if explanation.erratum:
        lines.append(f"Erratum: {explanation.erratum}")
    if explanation.judged:
        lines.append(explanation.judged.message)
    return lines


def _indexes(explanation: Explanation) -> str:
    """The names of the indexes of layers that have several: ``: [step, unit] of input, lstm; [channel, position]
    of conv``.
    """
    called: dict[str, list[str]] = {}
    for name, each in zip(["input", *explanation.layers], explanation.indexes, strict=False):
        if len(each) > 1:
            called.setdefault(", ".join(each), []).append(name)
    if len(called) == 1:
        ((words, whose),) = called.items()
        return f": {'x' if whose == ['input'] else 'a'}[{words}]"
    parts = [f"[{words}] of {', '.join(names)}" for words, names in called.items()]
    return f": {'; '.join(parts)}" if parts else ""


def _above(n: int) -> str:
    return str(n).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def as_markdown(explanation: Explanation, digits: int = 6) -> str:
    """The explanation as Markdown: headings, and a code block of formulas for each step."""
    lines = [f"# {_escaped(explanation.title or explanation.case)}", ""]
    for text in introduction(explanation):
        lines += [_escaped(text), ""]
    told: set[str] = set()
    rounds = any(step.round for step in explanation.steps)
    pairs = zip(explanation.steps, explanation.compared or itertools.repeat(None), strict=False)
    for title, group in itertools.groupby(pairs, lambda pair: heading(pair[0], rounds=rounds)):
        lines += [f"## {_escaped(title)}", ""]
        for step, compared in group:
            lines += _step_markdown(step, compared, digits, told, batch=explanation.samples > 1)
    if explanation.left_out:
        lines += [_escaped(explanation.left_out), ""]
    return "\n".join(lines)


def _step_markdown(step: Step, compared: Compared | None, digits: int, told: set[str], *, batch: bool) -> list[str]:
    place = where(step)
    number = f" ({step.equation})" if step.equation else ""
    lines = [f"**{step.stage}{f', {place}' if place else ''}{number}**", ""]
    if step.sentence not in told:
        told.add(step.sentence)
        lines += [f"{_escaped(step.sentence)} {_escaped(step.formula)}", ""]
    terms = [f"  {text}" for text in term_lines(step, digits)]
    block = [*equation_lines(step, digits), *terms, *chain_lines(step, digits, batch=batch)]
    lines += ["```text", *block, "```", ""]
    for note in new_notes(step, told):
        lines += [_escaped(note), ""]
    if compared is not None:
        line = compared_line(compared, digits)
        lines += [f"**{_escaped(line.text)}**" if line.kind == "wrong" else _escaped(line.text), ""]
    return lines


def _escaped(text: str) -> str:
    """Text that Markdown takes literally."""
    for character in "\\`*_[]<>#|":
        text = text.replace(character, f"\\{character}")
    return text


def as_json(explanation: Explanation) -> str:
    """The explanation as indented JSON; numbers that are not finite are the protocol's strings."""
    plain = _finite(msgspec.to_builtins(explanation))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1).decode()


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if isinstance(value, float) and abs(value) == float("inf"):
        return "Infinity" if value > 0 else "-Infinity"
    return value

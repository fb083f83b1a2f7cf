"""An explanation as one HTML page: a picture of the network and the steps, to go through with the arrow keys.

The page needs nothing from anywhere: its style and script stand in it, and its security policy admits only these
two, by their hashes. Without a script it shows all steps one after the other.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from backprop_check.explain.layout import (
    beside_line,
    chain_lines,
    equation_lines,
    heading,
    introduction,
    term_lines,
    where,
)
from backprop_check.explain.wired_picture import is_wide, lit, wired_picture
from backprop_check.explain.writing import number_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backprop_check.explain.beside import Beside
    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

#: Of more neurons than this in a layer, the picture has the first three and the last.
_DRAWN = 8
_COLUMN, _ROW, _RADIUS = 150, 84, 27


def as_html(explanation: Explanation, digits: int = 6) -> str:
    """The page."""
    title = explanation.title or explanation.case
    main = f"""<main{' class="broad"' if explanation.shapes and is_wide(explanation) else ""}>
<section class="picture">
{wired_picture(explanation) if explanation.shapes else picture(explanation)}
<nav hidden aria-label="Steps">
<button id="back" type="button">← back</button>
<button id="on" type="button">on →</button>
<button id="all" type="button">all steps</button>
<span id="where" role="status"></span>
</nav>
</section>
<section aria-live="polite">
{chr(10).join(_articles(explanation, digits))}
{f"<p>{escape(explanation.left_out)}</p>" if explanation.left_out else ""}
</section>
</main>"""
    return framed(
        f"{title}: backpropagation with its numbers", title, introduction(explanation), main, _part("page.js")
    )


def framed(title: str, heading: str, intro: Iterable[str], main: str, script: str = "") -> str:
    """A whole page in the look of these: texts are escaped here, ``main`` is markup."""
    style = _part("page.css")
    allowed = f"style-src '{_hash(style)}'" + (f"; script-src '{_hash(script)}'" if script else "")
    paragraphs = "\n".join(f"<p>{escape(text)}</p>" for text in intro)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {allowed}; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(heading)}</h1>
{paragraphs}
</header>
{main}
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _part(name: str) -> str:
    return resources.files("backprop_check.explain").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _articles(explanation: Explanation, digits: int) -> Iterator[str]:
    rounds = any(step.round for step in explanation.steps)
    batch = explanation.samples > 1
    pairs = zip(explanation.steps, explanation.beside or itertools.repeat(None), strict=False)
    mark = lit if explanation.shapes else _lit
    for step, beside in pairs:
        place = where(step)
        number = f" <small>{step.equation}</small>" if step.equation else ""
        title = f"{heading(step, rounds=rounds)}, {step.stage}{f', {place}' if place else ''}"
        formulas = [*equation_lines(step, digits), *(f"  {text}" for text in term_lines(step, digits))]
        formulas += chain_lines(step, digits, batch=batch)
        notes = "".join(f'<p class="general">{escape(note)}</p>' for note in step.notes)
        yield (
            f'<article data-lit="{mark(step)}"><h2>{escape(title)}{number}</h2><p>{escape(step.sentence)}</p>'
            f'<p class="general">{escape(step.formula)}</p><pre>{escape(chr(10).join(formulas))}</pre>'
            f"{notes}{_beside(beside, digits)}</article>"
        )


def _beside(beside: Beside | None, digits: int) -> str:
    if beside is None:
        return ""
    line = beside_line(beside, digits)
    return f'<p class="{line.kind}">{escape(line.text)}</p>'


def _lit(step: Step) -> str:
    """What of the picture a step is about: ``1:0`` a neuron, ``1:0<2`` a weight, ``1:0<`` all of its weights."""
    if step.layer is None:
        return f"-1:{step.weight}" if step.stage == "input gradient" else ""
    node = f"{step.layer}:{step.neuron}"
    if step.weight is not None:
        return f"{node} {node}<{step.weight}"
    if step.stage == "weighted sum":
        return f"{node} {node}<"
    return f"{node} >{node}" if step.stage == "hidden error" else node


def picture(explanation: Explanation) -> str:
    """The network as SVG: a circle a neuron with its a, and its δ beside it, which appear with their steps."""
    columns = [_rows(width) for width in explanation.widths]
    height = _ROW * max(len(rows) for rows in columns) + 40
    width = _COLUMN * len(columns)
    spots: dict[tuple[int, int], tuple[float, float]] = {}
    parts = []
    for column, rows in enumerate(columns):
        x = _COLUMN * (column + 0.5)
        top = 30 + (height - 40 - _ROW * len(rows)) / 2 + _ROW / 2
        name = "inputs" if column == 0 else explanation.layers[column - 1]
        parts.append(f'<text class="layer" x="{x:g}" y="16">{escape(name)}</text>')
        for row, j in enumerate(rows):
            if j is None:
                parts.append(f'<text x="{x:g}" y="{top + _ROW * row:g}">⋮</text>')
            else:
                spots[column - 1, j] = (x, top + _ROW * row)
    values = _values(explanation)
    wrong = {
        (step.layer, step.neuron)
        for step, beside in zip(explanation.steps, explanation.beside, strict=False)
        if beside is not None and beside.verdict != "right"
    }
    lines = [
        line for (layer, j), (x, y) in spots.items() if layer >= 0 for line in _lines(spots, layer, j, x - _RADIUS, y)
    ]
    for (layer, j), (x, y) in spots.items():
        if layer < 0:
            value = number_text(explanation.inputs[j], 3)
            parts.append(f'<g data-at="-1:{j}">{_circle(x, y)}<text x="{x:g}" y="{y + 4:g}">{value}</text></g>')
            continue
        kind = ' class="wrong"' if (layer, j) in wrong else ""
        texts = "".join(_texts(values.get((layer, j), {}), x, y))
        parts.append(f'<g{kind} data-at="{layer}:{j}">{_circle(x, y)}{texts}</g>')
    label = f"Network: {' - '.join(map(str, explanation.widths))}"
    return (
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{label}">{"".join(lines)}{"".join(parts)}</svg>'
    )


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS}"/>'


def _rows(count: int) -> list[int | None]:
    return list(range(count)) if count <= _DRAWN else [0, 1, 2, None, count - 1]


def _lines(spots: dict[tuple[int, int], tuple[float, float]], layer: int, j: int, x: float, y: float) -> Iterator[str]:
    """The weights into a neuron, each of which can be lit alone, with its neuron's, or with its source's."""
    for (other, i), (x0, y0) in spots.items():
        if other == layer - 1:
            for at in (f"{layer}:{j}&lt;{i}", f"{layer}:{j}&lt;", f"&gt;{other}:{i}"):
                yield f'<line data-at="{at}" x1="{x0 + _RADIUS:g}" y1="{y0:g}" x2="{x:g}" y2="{y:g}"/>'


def _values(explanation: Explanation) -> dict[tuple[int | None, int | None], dict[str, tuple[float, int]]]:
    """By neuron: its a and its δ, with the number of the step that gives them."""
    found: dict[tuple[int | None, int | None], dict[str, tuple[float, int]]] = {}
    for index, step in enumerate(explanation.steps):
        if step.quantity in ("a", "delta") and step.round == 0:
            found.setdefault((step.layer, step.neuron), {})[step.quantity] = (step.value, index)
    return found


def _texts(values: dict[str, tuple[float, int]], x: float, y: float) -> Iterator[str]:
    if "a" in values:
        value, index = values["a"]
        yield f'<text data-from="{index}" x="{x:g}" y="{y + 4:g}">{number_text(value, 3)}</text>'
    if "delta" in values:
        value, index = values["delta"]
        at = f'x="{x:g}" y="{y + _RADIUS + 13:g}"'
        yield f'<text class="small" data-from="{index}" {at}>δ {number_text(value, 3)}</text>'

"""The picture of a network of any layers: a layer is a column, an image a grid a channel, a sequence a column a step.

Squares appear with the steps that give their values, the darker the larger; what a step is about is lit, and with it
all that it is made of: a window of the image, every place of a shared weight.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from backprop_check.explain.writing import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

#: Of more grids than fit into this height, the first few and the last are drawn.
_TALL = 330

#: Up to so many units of a layer are drawn one by one; of more, those that are told.
_EACH = 600

_GAP, _LEFT_OUT, _BETWEEN, _TOP = 8, 20, 52, 34

#: The edge of a square, by the number of squares in a row or column.
_SIZES = ((3, 34), (5, 26), (8, 18), (14, 12), (28, 7))


class Sheet:
    """Where the squares of a layer stand: grids of rows and columns, one below the other.

    Of many grids some are drawn, those with the ``wanted`` units first.
    """

    def __init__(self, shape: Sequence[int], *, by_step: bool, wanted: Sequence[int] = ()) -> None:
        self.shape = tuple(shape)
        if len(shape) == 1:
            down = min(shape[0], 14)
            self.grids, self.rows, self.columns = 1, down, math.ceil(shape[0] / down)
        elif len(shape) == 2:  # noqa: PLR2004 - a sequence, a column a step; or channels, a row each
            self.grids = 1
            self.rows, self.columns = (shape[1], shape[0]) if by_step else (shape[0], shape[1])
        else:
            self.grids = math.prod(shape[:-2])
            self.rows, self.columns = shape[-2:]
        self.by_step = by_step
        most = max(self.rows, self.columns)
        self.edge = next((edge for count, edge in _SIZES if most <= count), 4)
        self.drawn = self._chosen(wanted)
        self.width = self.columns * self.edge
        self.height = self._height(self.drawn) - _GAP

    def _chosen(self, wanted: Sequence[int]) -> list[int | None]:
        """The numbers of the grids that are drawn, None for those left out in between."""
        room = max(2, _TALL // (self.rows * self.edge + _GAP))
        if self.grids <= room:
            return list(range(self.grids))
        asked = dict.fromkeys(unit // (self.rows * self.columns) for unit in wanted)
        chosen = sorted(list(dict.fromkeys([*asked, *range(self.grids)]))[:room])
        found: list[int | None] = []
        for before, grid in zip([-1, *chosen], chosen, strict=False):
            found += [grid] if grid == before + 1 else [None, grid]
        return found if chosen[-1] == self.grids - 1 else [*found, None]

    def _height(self, drawn: Sequence[int | None]) -> int:
        return sum(_LEFT_OUT if grid is None else self.rows * self.edge + _GAP for grid in drawn)

    def gaps(self) -> list[tuple[int, int]]:
        """Where grids are left out: how far down, and how many."""
        found = []
        for at, grid in enumerate(self.drawn):
            if grid is None:
                after = next((each for each in self.drawn[at + 1 :] if each is not None), self.grids)
                before = -1 if at == 0 else self.drawn[at - 1] or 0
                found.append((self._height(self.drawn[:at]), after - before - 1))
        return found

    def spot(self, unit: int) -> tuple[float, float] | None:
        """The corner of a unit's square; None where its grid is not drawn."""
        grid, rest = divmod(unit, self.rows * self.columns)
        row, column = divmod(rest, self.columns)
        if len(self.shape) == 1 or (len(self.shape) == 2 and self.by_step):  # noqa: PLR2004 - a sequence
            grid, (column, row) = 0, divmod(unit, self.rows)
        top = self.top(grid)
        return None if top is None else (column * self.edge, top + row * self.edge)

    def top(self, grid: int) -> float | None:
        """Where a grid begins."""
        if grid not in self.drawn:
            return None
        return float(self._height(self.drawn[: self.drawn.index(grid)]))


def lit(step: Step) -> str:
    """What of the picture a step is about: its own unit, and ``<`` those that it is made of."""
    own = f"{step.layer}:{step.neuron} " if step.neuron is not None and step.layer is not None else ""
    if step.layer is None and step.weight is not None:
        own = f"-1:{step.weight} "
    return own + " ".join(f"{layer}:{unit}&lt;" for layer, unit in step.uses)


def is_wide(explanation: Explanation) -> bool:
    """Whether the picture wants the page's whole width."""
    return len(explanation.shapes) > 4 or any(len(shape) > 1 and max(shape[1:]) > 14 for shape in explanation.shapes)  # noqa: PLR2004


def wired_picture(explanation: Explanation) -> str:
    """The network as SVG."""
    names = ["input", *explanation.layers]
    by_step = [bool(each) for each in explanation.by_step]
    used = _used(explanation)
    sheets = [
        Sheet(shape, by_step=by, wanted=[unit for at, unit in used if at == number - 1])
        for number, (shape, by) in enumerate(zip(explanation.shapes, by_step, strict=True))
    ]
    tallest = max(sheet.height for sheet in sheets)
    lefts, x = [], 10.0
    for name, sheet in zip(names, sheets, strict=True):
        wide = max(float(sheet.width), 6.2 * min(len(name), 16))
        lefts.append(x + (wide - sheet.width) / 2)
        x += wide + _BETWEEN
    tops = [_TOP + (tallest - sheet.height) / 2 for sheet in sheets]
    shown = _values(explanation)
    parts = _arrows(explanation, sheets, lefts, tops, _TOP + tallest)
    for number, (name, sheet) in enumerate(zip(names, sheets, strict=True)):
        middle = lefts[number] + sheet.width / 2
        short = name if len(name) <= 16 else f"{name[:15]}…"  # noqa: PLR2004
        parts.append(f'<text class="layer" x="{middle:g}" y="14">{escape(short)}</text>')
        size = " × ".join(map(str, sheet.shape))
        parts.append(f'<text class="layer" x="{middle:g}" y="{tops[number] - 6:g}">{size}</text>')
        parts += _squares(number - 1, sheet, lefts[number], tops[number], shown, used, explanation)
    height = _TOP + tallest + (38 if _skips(explanation) else 14)
    said = [f"{name} {' x '.join(map(str, sheet.shape))}" for name, sheet in zip(names, sheets, strict=True)]
    label = f"Network: {', '.join(said)}"
    return (
        f'<svg viewBox="0 0 {x - _BETWEEN + 10:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _used(explanation: Explanation) -> dict[tuple[int, int], None]:
    """All units that steps are about, then those that they are made of, as (layer, unit)."""
    found = {
        (step.layer, step.neuron): None
        for step in explanation.steps
        if step.layer is not None and step.neuron is not None
    }
    return found | {(layer, unit): None for step in explanation.steps for layer, unit in step.uses}


def _values(explanation: Explanation) -> dict[tuple[int, int], tuple[float, int]]:
    """By unit its output, and the number of the step that gives it; inputs are there from the beginning."""
    found = {(-1, i): (x, -1) for i, x in enumerate(explanation.inputs)}
    for index, step in enumerate(explanation.steps):
        if step.quantity in ("a", "z") and step.round == 0 and step.layer is not None and step.neuron is not None:
            found[step.layer, step.neuron] = (step.value, index)
    return found


def _squares(
    layer: int,
    sheet: Sheet,
    left: float,
    top: float,
    shown: dict[tuple[int, int], tuple[float, int]],
    used: dict[tuple[int, int], None],
    explanation: Explanation,
) -> list[str]:
    parts, units, edge = [], math.prod(sheet.shape), sheet.edge
    for grid in sheet.drawn:
        if grid is not None:
            y = top + (sheet.top(grid) or 0.0)
            parts.append(
                f'<rect class="sheet" x="{left:g}" y="{y:g}" width="{sheet.width}" height="{sheet.rows * edge}"/>'
            )
    for down, count in sheet.gaps():
        x, y = left + sheet.width / 2, top + down + 9
        parts.append(f'<text class="small" x="{x:g}" y="{y:g}">… {count} more</text>')
    wrong = {
        (step.layer, step.neuron)
        for step, beside in zip(explanation.steps, explanation.beside, strict=False)
        if beside is not None and beside.verdict != "right" and step.neuron is not None
    }
    own = [abs(value) for (at, _), (value, _) in shown.items() if at == layer]
    largest = max(own, default=0.0) or 1.0
    for unit in range(units):
        spot = sheet.spot(unit)
        if spot is None:
            continue
        x, y = left + spot[0], top + spot[1]
        if (layer, unit) in shown:
            value, index = shown[layer, unit]
            share = round(0.08 + 0.55 * min(1.0, abs(value) / largest), 2) if value == value else 0  # noqa: PLR0124
            sign = " minus" if value < 0 else ""
            inner = f'x="{x + 1:g}" y="{y + 1:g}" width="{edge - 2}" height="{edge - 2}" fill-opacity="{share}"'
            when = f' data-from="{index}"' if index >= 0 else ""
            parts.append(f'<rect class="value{sign}"{when} {inner}/>')
            if edge >= 26:  # noqa: PLR2004 - room for a number
                text = number_text(value, 2)
                parts.append(f'<text class="cell"{when} x="{x + edge / 2:g}" y="{y + edge / 2 + 3:g}">{text}</text>')
        if units <= _EACH or (layer, unit) in used:
            kind = " wrong" if (layer, unit) in wrong else ""
            box = f'x="{x:g}" y="{y:g}" width="{edge}" height="{edge}"'
            marks = [mark for mark in ("", "&lt;") if (layer, unit) in used or not mark]
            parts += [f'<rect class="unit{kind}" data-at="{layer}:{unit}{mark}" {box}/>' for mark in marks]
    return parts


def _skips(explanation: Explanation) -> bool:
    return any(source < layer - 1 for layer, sources in enumerate(explanation.reads) for source in sources)


def _arrows(
    explanation: Explanation, sheets: list[Sheet], lefts: list[float], tops: list[float], bottom: float
) -> list[str]:
    """Who reads whom: to the next layer straight on, to a later one below the others."""
    parts = []
    for layer, sources in enumerate(explanation.reads):
        to = layer + 1
        x2, y2 = lefts[to] - 5, tops[to] + sheets[to].height / 2
        for source in sources:
            at = source + 1
            x1, y1 = lefts[at] + sheets[at].width + 5, tops[at] + sheets[at].height / 2
            if at == to - 1:
                parts.append(f'<path class="arrow" d="M{x1:g} {y1:g}L{x2:g} {y2:g}m-6 -4l6 4l-6 4"/>')
            else:
                x1, y1 = lefts[at] + sheets[at].width / 2, tops[at] + sheets[at].height + 3
                x2b, y2b = lefts[to] + sheets[to].width / 2, tops[to] + sheets[to].height + 3
                curve = f"M{x1:g} {y1:g}C{x1:g} {bottom + 30:g} {x2b:g} {bottom + 30:g} {x2b:g} {y2b:g}m-4 6l4 -6l4 6"
                parts.append(f'<path class="arrow" d="{curve}"/>')
    return parts

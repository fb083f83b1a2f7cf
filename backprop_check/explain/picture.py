"""The picture of a network: each layer is a column, of circles where it has neurons, else of grids.

An image is one grid per channel, a sequence a grid with a column per step. Numbers appear with the steps that compute
them; in grids, larger numbers are darker squares. What a step computes is highlighted, together with everything that it
reads: the neurons and weights of a sum, a window of the image.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from backprop_check.explain.writing import number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backprop_check.explain.explanation import Explanation
    from backprop_check.explain.steps import Step

    Spot = tuple[float, float]

#: The most neurons that are all drawn. Of more, those in the explanation are, or the first three and the last.
_DRAWN = 8

#: The radius of a circle, and the distance from one to the next.
_RADIUS, _ROW = 27, 84

#: The height for grids. Of more than fit, the first few and the last are drawn.
_TALL = 330

#: The most units of a layer that are all drawn. Of more, those in the explanation are.
_EACH = 600

#: Distances: between grids, where some are left out, between columns (wider where weights are drawn), above columns.
_GAP, _LEFT_OUT, _BETWEEN, _WEIGHTS, _TOP = 8, 20, 52, 96, 34

#: The size of a square, by the number of squares in a row or column.
_SIZES = ((3, 34), (5, 26), (8, 18), (14, 12), (28, 7))


class Neurons:
    """The positions of a layer's circles, one below the other; ``rows`` has None where some are left out."""

    def __init__(self, count: int, wanted: Sequence[int]) -> None:
        self.rows: list[int | None] = list(range(count))
        if count > _DRAWN:
            told = sorted(dict.fromkeys(wanted))[: _DRAWN - 1] or [0, 1, 2, count - 1]
            self.rows = []
            for before, unit in zip([-1, *told], [*told, count], strict=True):
                self.rows += [None] * (unit > before + 1) + [unit] * (unit < count)
        self.width, self.height = 2 * _RADIUS, _ROW * len(self.rows) - 6
        self._row = {unit: row for row, unit in enumerate(self.rows)}

    def spot(self, unit: int | None) -> Spot | None:
        """The centre of a neuron's circle; None where it is not drawn."""
        row = self._row.get(unit)
        return None if row is None else (_RADIUS, _ROW * (row + 0.5) - 8)


class Sheet:
    """The positions of a layer's squares: grids of rows and columns, one below the other.

    Of many grids only some are drawn, those with the ``wanted`` units first.
    """

    def __init__(self, shape: Sequence[int], *, by_step: bool, wanted: Sequence[int] = ()) -> None:
        self.shape, self.by_step = tuple(shape), by_step
        self.grids = math.prod(shape[:-2])
        self.rows, self.columns = (shape[1], shape[0]) if by_step else (shape[-2], shape[-1])
        most = max(self.rows, self.columns)
        self.edge = next((edge for count, edge in _SIZES if most <= count), 4)
        self.drawn = self._chosen(wanted)
        self.width = self.columns * self.edge
        self.height = self._height(self.drawn) - _GAP

    def _chosen(self, wanted: Sequence[int]) -> list[int | None]:
        """The numbers of the grids that are drawn, with None where some are left out."""
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
        """Where grids are left out: the distance from the top, and how many."""
        found = []
        for at, grid in enumerate(self.drawn):
            if grid is None:
                after = next((each for each in self.drawn[at + 1 :] if each is not None), self.grids)
                before = -1 if at == 0 else self.drawn[at - 1] or 0
                found.append((self._height(self.drawn[:at]), after - before - 1))
        return found

    def spot(self, unit: int) -> Spot | None:
        """The corner of a unit's square; None where its grid is not drawn."""
        grid, rest = divmod(unit, self.rows * self.columns)
        row, column = divmod(rest, self.columns)
        if self.by_step:
            grid, (column, row) = 0, divmod(unit, self.rows)
        top = self.top(grid)
        return None if top is None else (column * self.edge, top + row * self.edge)

    def top(self, grid: int) -> float | None:
        """The top of a grid; None where it is not drawn."""
        if grid not in self.drawn:
            return None
        return float(self._height(self.drawn[: self.drawn.index(grid)]))


def marks(step: Step) -> tuple[str, str]:
    """What a step computes, as names in the picture (a unit ``1:0``, its weights ``1:0<``, one of them ``1:0<2``), and
    the units that it reads.

    ``>0:2`` are the weights that lead from a neuron to the next layer.
    """
    if step.layer is None:
        return f"-1:{step.weight}" * (step.weight is not None), _used_by(step)
    own = [] if step.neuron is None else [f"{step.layer}:{step.neuron}"]
    if own and step.weight is not None:
        own.append(f"{own[0]}<{step.weight}")
    elif own and step.stage == "weighted sum":
        own.append(f"{own[0]}<")
    elif own and step.stage == "hidden error":
        own.append(f">{own[0]}")
    return escape(" ".join(own)), _used_by(step)


def _used_by(step: Step) -> str:
    return " ".join(f"{layer}:{unit}" for layer, unit in step.uses)


def is_wide(explanation: Explanation) -> bool:
    """Whether the picture needs the full width of the page."""
    return len(explanation.shapes) > 4 or any(len(shape) > 1 and max(shape[1:]) > 14 for shape in explanation.shapes)  # noqa: PLR2004


def picture(explanation: Explanation) -> str:
    """The network as SVG."""
    return _Picture(explanation).svg()


class _Picture:
    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.names = ["inputs" if len(explanation.shapes[0]) == 1 else "input", *explanation.layers]
        self.explained = {(step.layer, step.neuron) for step in explanation.steps if step.neuron is not None}
        self.used = self.explained | {(layer, unit) for step in explanation.steps for layer, unit in step.uses}
        self.values = _values(explanation)
        self.wrong = {
            (step.layer, step.neuron)
            for step, compared in zip(explanation.steps, explanation.compared, strict=False)
            if compared is not None and compared.verdict != "right" and step.neuron is not None
        }
        self.columns = [self._column(number) for number in range(len(self.names))]
        tallest = max(column.height for column in self.columns)
        self.bottom = _TOP + tallest
        self.tops = [_TOP + (tallest - column.height) / 2 for column in self.columns]
        self.lefts, x = list[float](), 10.0
        for number, (name, column) in enumerate(zip(self.names, self.columns, strict=True)):
            wide = max(float(column.width), 6.2 * min(len(name), 16))
            x += 0 if number == 0 else _WEIGHTS if self._weights(number - 1) else _BETWEEN
            self.lefts.append(x + (wide - column.width) / 2)
            x += wide
        self.width = x + 10

    def _column(self, number: int) -> Neurons | Sheet:
        shape = self.explanation.shapes[number]
        if len(shape) == 1:
            return Neurons(shape[0], [unit for layer, unit in self.explained if layer == number - 1])
        by_step = bool(self.explanation.by_step[number])
        return Sheet(shape, by_step=by_step, wanted=[unit for layer, unit in sorted(self.used) if layer == number - 1])

    def _weights(self, layer: int) -> bool:
        """Whether a layer's weights are drawn as lines from the neurons before it to its own."""
        dense = self.explanation.kinds[layer] == "dense" and self.explanation.reads[layer] == [layer - 1]
        return dense and all(isinstance(each, Neurons) for each in self.columns[layer : layer + 2])

    def svg(self) -> str:
        """The whole picture."""
        parts = [part for layer in range(len(self.columns) - 1) for part in self._edges(layer)]
        for number, (name, column) in enumerate(zip(self.names, self.columns, strict=True)):
            middle = self.lefts[number] + column.width / 2
            short = name if len(name) <= 16 else f"{name[:15]}…"  # noqa: PLR2004
            parts.append(f'<text class="layer" x="{middle:g}" y="14">{escape(short)}</text>')
            parts += self._circles(number, column) if isinstance(column, Neurons) else self._squares(number, column)
        reads = enumerate(self.explanation.reads)
        height = self.bottom + (38 if any(source < layer - 1 for layer, some in reads for source in some) else 14)
        shapes = [" x ".join(map(str, shape)) for shape in self.explanation.shapes]
        label = f"Network: {', '.join(f'{name} {shape}' for name, shape in zip(self.names, shapes, strict=True))}"
        return (
            f'<svg viewBox="0 0 {self.width:g} {height:g}" role="img" aria-label="{escape(label)}">'
            f"{''.join(parts)}</svg>"
        )

    # From layer to layer ------------------------------------------------------------------------

    def _edges(self, layer: int) -> Iterator[str]:
        """The layer's weights; or arrows from the layers that it reads: straight from the one before it, else a
        curve below.
        """
        if self._weights(layer):
            yield from self._lines(layer)
            return
        to = layer + 1
        for source in self.explanation.reads[layer]:
            at = source + 1
            if at == to - 1:
                x1, y1 = self._side(at, right=True)
                x2, y2 = self._side(to, right=False)
                yield f'<path class="arrow" d="M{x1 + 5:g} {y1:g}L{x2 - 5:g} {y2:g}m-6 -4l6 4l-6 4"/>'
            else:
                (x1, y1), (x2, y2), low = self._foot(at), self._foot(to), self.bottom + 30
                curve = f"M{x1:g} {y1:g}C{x1:g} {low:g} {x2:g} {low:g} {x2:g} {y2:g}m-4 6l4 -6l4 6"
                yield f'<path class="arrow" d="{curve}"/>'

    def _side(self, number: int, *, right: bool) -> Spot:
        column = self.columns[number]
        return self.lefts[number] + column.width * right, self.tops[number] + column.height / 2

    def _foot(self, number: int) -> Spot:
        column = self.columns[number]
        return self.lefts[number] + column.width / 2, self.tops[number] + column.height + 3

    def _lines(self, layer: int) -> Iterator[str]:
        """The weights into each neuron, which can be highlighted alone, with their neuron, or with their source."""
        before, own = self.columns[layer], self.columns[layer + 1]
        assert isinstance(before, Neurons)
        assert isinstance(own, Neurons)
        for j in own.rows:
            for i in before.rows:
                if i is None or j is None:
                    continue
                x1, y1 = self._place(layer, before.spot(i))
                x2, y2 = self._place(layer + 1, own.spot(j))
                names = escape(f"{layer}:{j}<{i} {layer}:{j}< >{layer - 1}:{i}")
                yield (f'<line data-at="{names}" x1="{x1 + _RADIUS:g}" y1="{y1:g}" x2="{x2 - _RADIUS:g}" y2="{y2:g}"/>')

    def _place(self, number: int, spot: Spot | None) -> Spot:
        x, y = spot or (0.0, 0.0)
        return self.lefts[number] + x, self.tops[number] + y

    # Units --------------------------------------------------------------------------------------

    def _circles(self, number: int, column: Neurons) -> Iterator[str]:
        """A circle per neuron with its a, and its δ below it."""
        for row, unit in enumerate(column.rows):
            if unit is None:
                x, y = self._place(number, (_RADIUS, _ROW * (row + 0.5) - 8))
                yield f'<text x="{x:g}" y="{y:g}">⋮</text>'
                continue
            x, y = self._place(number, column.spot(unit))
            kind = ' class="wrong"' if (number - 1, unit) in self.wrong else ""
            texts = ""
            for quantity, lead, below, small in (("a", "", 4, ""), ("delta", "δ ", _RADIUS + 13, ' class="small"')):
                if (number - 1, unit, quantity) in self.values:
                    value, index = self.values[number - 1, unit, quantity]
                    when = f' data-from="{index}"' if index >= 0 else ""
                    texts += f'<text{small}{when} x="{x:g}" y="{y + below:g}">{lead}{number_text(value, 3)}</text>'
            circle = f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS}"/>'
            yield f'<g{kind} data-at="{number - 1}:{unit}">{circle}{texts}</g>'

    def _squares(self, number: int, sheet: Sheet) -> Iterator[str]:
        """A square per unit, in grids, each with a frame that can be highlighted."""
        left, top, edge, layer = self.lefts[number], self.tops[number], sheet.edge, number - 1
        size = " × ".join(map(str, sheet.shape))
        yield f'<text class="layer" x="{left + sheet.width / 2:g}" y="{top - 6:g}">{size}</text>'
        for grid in sheet.drawn:
            if grid is not None:
                y = top + (sheet.top(grid) or 0.0)
                box = f'width="{sheet.width}" height="{sheet.rows * edge}"'
                yield f'<rect class="sheet" x="{left:g}" y="{y:g}" {box}/>'
        for down, count in sheet.gaps():
            yield f'<text class="small" x="{left + sheet.width / 2:g}" y="{top + down + 9:g}">… {count} more</text>'
        shown = {unit: self.values[at, unit, q] for at, unit, q in self.values if at == layer and q == "a"}
        largest = max((abs(value) for value, _ in shown.values()), default=0.0) or 1.0
        for unit in range(math.prod(sheet.shape)):
            spot = sheet.spot(unit)
            if spot is None:
                continue
            x, y = self._place(number, spot)
            if unit in shown:
                yield from _square(*shown[unit], largest, x, y, edge)
            if math.prod(sheet.shape) <= _EACH or (layer, unit) in self.used:
                kind = " wrong" if (layer, unit) in self.wrong else ""
                box = f'x="{x:g}" y="{y:g}" width="{edge}" height="{edge}"'
                yield f'<rect class="unit{kind}" data-at="{layer}:{unit}" {box}/>'


def _square(value: float, index: int, largest: float, x: float, y: float, edge: int) -> Iterator[str]:
    """A value as a square, darker for a larger one; with its number if that fits."""
    share = round(0.08 + 0.55 * min(1.0, abs(value) / largest), 2) if value == value else 0  # noqa: PLR0124
    when = f' data-from="{index}"' if index >= 0 else ""
    inner = f'x="{x + 1:g}" y="{y + 1:g}" width="{edge - 2}" height="{edge - 2}" fill-opacity="{share}"'
    yield f'<rect class="value{" minus" if value < 0 else ""}"{when} {inner}/>'
    if edge >= 26:  # noqa: PLR2004 - room for a number
        text = number_text(value, 2)
        yield f'<text class="cell"{when} x="{x + edge / 2:g}" y="{y + edge / 2 + 3:g}">{text}</text>'


def _values(explanation: Explanation) -> Mapping[tuple[int, int, str], tuple[float, int]]:
    """By layer, unit and ``a`` or ``delta``: the value, and the number of the step that computes it (−1 for inputs)."""
    found = {(-1, i, "a"): (x, -1) for i, x in enumerate(explanation.inputs)}
    for index, step in enumerate(explanation.steps):
        if step.quantity in ("a", "delta") and step.round == 0 and step.layer is not None and step.neuron is not None:
            found[step.layer, step.neuron, step.quantity] = (step.value, index)
    return found

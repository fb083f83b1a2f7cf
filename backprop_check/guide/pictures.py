"""Draw the guide's pictures: ``python -m backprop_check.guide.pictures`` rewrites ``pictures/*.svg``.

The numbers in them are the reference's; the colours are readable on light and dark backgrounds.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_check.guide import convolving
from backprop_check.guide.worked import CASES, passes, words

if TYPE_CHECKING:
    from collections.abc import Iterator

_GREY, _BLUE, _RED = "#7d8590", "#2f81f7", "#d1492f"
_COLUMN, _ROW, _RADIUS = 190, 110, 30
_SHOWN = 4  # digits


def pictures() -> dict[str, str]:
    """Every picture by its file's name."""
    return {
        "one-neuron.svg": network("neuron"),
        "two-in-a-row.svg": network("row", deltas=True),
        "fan-out.svg": network("fan", deltas=True),
        "network.svg": network("net", deltas=True),
        "slope.svg": slope(),
        "convolution.svg": convolving.picture(),
    }


def network(name: str, *, deltas: bool = False) -> str:
    """A network with a (and δ, which flows backward) next to each neuron, and its weights."""
    case, p = CASES[name], passes(name)[0]
    widths = [case.network.inputs, *(layer.units for layer in case.network.layers)]
    height, width = _ROW * max(widths) + 50, _COLUMN * len(widths)
    spots = [[_spot(column, row, count, height) for row in range(count)] for column, count in enumerate(widths)]
    parts = [_text(spots[column][0][0], 18, title, _GREY) for column, title in enumerate(_titles(len(widths)))]
    for column in range(1, len(widths)):
        weights = p.layers[column - 1].parameters["weights"]
        for j, (x, y) in enumerate(spots[column]):
            for i, (x0, y0) in enumerate(spots[column - 1]):
                parts += _edge(
                    (x0 + _RADIUS, y0), (x - _RADIUS, y), i, f"{weights.values[0, j * widths[column - 1] + i]:.2f}"
                )
    for column, column_spots in enumerate(spots):
        for j, (x, y) in enumerate(column_spots):
            value = case.inputs[0][j] if column == 0 else p.layers[column - 1].a[0, j]
            parts.append(f'<circle cx="{x}" cy="{y}" r="{_RADIUS}" fill="none" stroke="{_GREY}" stroke-width="2"/>')
            parts.append(_text(x, y + 5, _number(value), _BLUE))
            if deltas and column:
                parts.append(_text(x, y + _RADIUS + 17, f"δ {_number(p.layers[column - 1].delta[0, j])}", _RED))
    title = f"A network of {' - '.join(map(str, widths))} with its activations{' and deltas' if deltas else ''}"
    return _svg(width, height, title, parts)


def _titles(columns: int) -> list[str]:
    return ["inputs", "output"] if columns == 2 else ["inputs", "hidden", "outputs"]  # noqa: PLR2004


def _spot(column: int, row: int, count: int, height: int) -> tuple[int, int]:
    return _COLUMN * column + _COLUMN // 2, 30 + (height - 30 - _ROW * count) // 2 + _ROW * row + _ROW // 2 - 8


def _edge(start: tuple[int, int], end: tuple[int, int], i: int, text: str) -> Iterator[str]:
    """A weight: a line, with its number where crossing lines are apart."""
    (x0, y0), (x1, y1) = start, end
    yield f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{_GREY}" stroke-width="1.5" opacity="0.6"/>'
    share = 0.3 if i % 2 == 0 else 0.7
    yield _text(round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0)) - 5, text, _GREY)


def slope() -> str:
    """The loss of the one neuron as a function of its first weight, with the tangent at the weight's value."""
    nudged, loss, dw = (words()[name] for name in ("nudged", "loss", "dw"))
    here, gradient, reach = loss("neuron"), dw("neuron", 0, 0, 0), 60.0
    points = [(h, nudged("neuron", 0, 0, 0, h)) for h in (reach * (k - 20) / 20 for k in range(41))]
    low, high = min(y for _, y in points), max(y for _, y in points)

    def at(h: float, y: float) -> str:
        return f"{260 + h / reach * 220:.1f},{250 - (y - low) / (high - low) * 200:.1f}"

    curve = " ".join(at(h, y) for h, y in points)
    ends = [at(h, here + gradient * h) for h in (-24.0, 34.0)]
    x, y = at(0.0, here).split(",")
    parts = [
        f'<polyline points="{curve}" fill="none" stroke="{_BLUE}" stroke-width="2.5"/>',
        f'<polyline points="{ends[0]} {ends[1]}" fill="none" stroke="{_RED}" stroke-width="2"/>',
        f'<circle cx="{x}" cy="{y}" r="5" fill="{_RED}"/>',
        _text(260, 285, "the weight w₀, far to either side →", _GREY),
        _text(70, 40, "the loss L", _GREY),
        _text(400, 240, f"slope {_number(gradient)}", _RED),
    ]
    return _svg(520, 300, "The loss along one weight, and the straight line of the same slope", parts)


def _number(x: float) -> str:
    return f"{x:.{_SHOWN}g}".replace("-", "−")


def _text(x: int, y: int, text: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="middle">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    inside = "\n".join(parts)
    return f'{head} role="img" font-family="monospace" font-size="13">\n<title>{title}</title>\n{inside}\n</svg>\n'


def write(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent / "pictures")

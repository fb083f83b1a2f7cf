"""The small convolutional network of the guide's last chapter, its numbers by name, and its picture.

It is the case ``worked-cnn``: an image of 4 by 4, one filter of 2 by 2, ReLU, maximum pooling, two outputs.
"""

from __future__ import annotations

import functools
from html import escape
from typing import TYPE_CHECKING, Any

from backprop_check.case.network import Case
from backprop_check.compare.expected import textbook_pass
from backprop_check.compare.trace import Form, Slot
from backprop_check.kinds.kind import nested, quantity_of

if TYPE_CHECKING:
    from collections.abc import Callable

CNN = Case.from_dict(
    {
        "name": "worked-cnn",
        "network": {
            "inputs": [1, 4, 4],
            "layers": [
                {
                    "kind": "conv2d",
                    "out_channels": 1,
                    "kernel_size": [2, 2],
                    "activation": "relu",
                    "parameters": {"weight": [[[[-0.5, 1.0], [2.0, -1.0]]]], "bias": [-1.5]},
                },
                {"kind": "max_pool2d", "kernel_size": [2, 2], "stride": [1, 1]},
                {
                    "kind": "dense",
                    "units": 2,
                    "activation": "identity",
                    "parameters": {
                        "weights": [[0.1, -0.2, 0.3, 0.4], [0.2, 0.1, -0.5, -0.1]],
                        "biases": [0.1, 0.5],
                    },
                },
            ],
        },
        "loss": {"kind": "half_squared_error"},
        "reduction": "mean",
        "inputs": [[[[1.0, 1.0, 0.0, 2.0], [3.0, 1.0, 1.0, 0.0], [2.0, 0.0, 3.0, 1.0], [2.0, 0.0, 3.0, 3.0]]]],
        "targets": [[1.0, 0.0]],
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    }
)


@functools.cache
def _values() -> dict[Slot, Any]:
    """The reference's values on floats, as nested lists in the form of a reply."""
    form = Form(CNN)
    return {
        slot: nested(array.ravel().tolist(), form.wire_shape(slot)) if array.ndim else float(array)
        for slot, array in textbook_pass(CNN).values.items()
    }


def _at(value: Any, at: tuple[int, ...]) -> float:
    for index in at:
        value = value[index]
    return float(value) + 0.0  # no −0


def words() -> dict[str, Callable[..., float]]:
    """The names in an expression of ``numbers.toml``; all indexes count from 0, and there is one sample.

    ``of("z", layer, …)`` is a quantity at its indexes (channel, row, column); ``grad``, ``new`` and ``given`` are a
    parameter's gradient, its value after the update and before it; ``pixel`` is the image.
    """
    layers = CNN.network.layers
    image = nested(CNN.inputs[0], CNN.network.input_shape)

    def parameter(quantity: str) -> Callable[..., float]:
        def find(layer: int, name: str, *at: int) -> float:
            return _at(_values()[Slot(quantity.format(quantity_of(name)), layer)], at)

        return find

    return {
        "of": lambda quantity, layer, *at: _at(_values()[Slot(quantity, layer)], (0, *at)),
        "grad": parameter("{}_gradient"),
        "new": parameter("updated_{}"),
        "given": lambda layer, name, *at: _at(layers[layer].arrays()[name], at),
        "pixel": lambda row, column: _at(image, (0, row, column)),
        "back": lambda row, column: _at(_values()[Slot("input_gradient")], (0, 0, row, column)),
        "cnn_loss": lambda: float(_values()[Slot("loss")]),
        "wanted": lambda k: CNN.targets[0][k],
    }


_CELL, _GAP = 46, 56
_GREY, _BLUE, _RED = "#7d8590", "#2f81f7", "#d1492f"


def picture() -> str:
    """Image, filter, feature map, pooled map and outputs, with δ below each number: one window is marked."""
    w = words()
    tables: list[tuple[str, int, int, Callable[[int, int], float], Callable[[int, int], float] | None]] = [
        ("image", 4, 4, w["pixel"], w["back"]),
        (
            "filter",
            2,
            2,
            lambda y, x: w["given"](0, "weight", 0, 0, y, x),
            lambda y, x: w["grad"](0, "weight", 0, 0, y, x),
        ),
        ("convolution, ReLU", 3, 3, lambda y, x: w["of"]("a", 0, 0, y, x), lambda y, x: w["of"]("delta", 0, 0, y, x)),
        ("pooled", 2, 2, lambda y, x: w["of"]("a", 1, 0, y, x), lambda y, x: w["of"]("delta", 1, 0, y, x)),
        ("outputs", 2, 1, lambda y, _x: w["of"]("a", 2, y), lambda y, _x: w["of"]("delta", 2, y)),
    ]
    marked = {0: {(0, 0), (0, 1), (1, 0), (1, 1)}, 1: {(0, 0), (0, 1), (1, 0), (1, 1)}, 2: {(0, 0)}}
    height, left, parts = 4 * _CELL + 60, 20, []
    for number, (title, rows, columns, value, slope) in enumerate(tables):
        top = 40 + (4 - rows) * _CELL // 2
        parts.append(_text(left + columns * _CELL // 2, top - 10, title, _GREY))
        for y in range(rows):
            for x in range(columns):
                here = (left + x * _CELL, top + y * _CELL)
                strong = (y, x) in marked.get(number, set())
                parts.append(
                    f'<rect x="{here[0]}" y="{here[1]}" width="{_CELL}" height="{_CELL}" fill="none" '
                    f'stroke="{_BLUE if strong else _GREY}" stroke-width="{2.5 if strong else 1}"/>'
                )
                middle = here[0] + _CELL // 2
                parts.append(_text(middle, here[1] + 20, _number(value(y, x)), _BLUE))
                if slope is not None:
                    parts.append(_text(middle, here[1] + 37, _number(slope(y, x)), _RED, 11))
        left += columns * _CELL + _GAP
    title = "A small convolutional network: its numbers, and below each the slope of the loss with regard to it"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left - _GAP + 20} {height}" '
        f'width="{left - _GAP + 20}" height="{height}"'
    )
    inside = "\n".join(parts)
    return f'{head} role="img" font-family="monospace" font-size="13">\n<title>{title}</title>\n{inside}\n</svg>\n'


def _number(x: float) -> str:
    return f"{x + 0.0:.3g}".replace("-", "−")


def _text(x: int, y: int, text: str, colour: str, size: int = 13) -> str:
    smaller = "" if size == 13 else f' font-size="{size}"'  # noqa: PLR2004 - the picture's own
    return f'<text x="{x}" y="{y}" fill="{colour}"{smaller} text-anchor="middle">{escape(text)}</text>'

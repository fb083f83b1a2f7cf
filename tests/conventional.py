"""Correct implementations with other slopes at kinks than PyTorch's, and with shared ties: edited copies of the Python
port.

``conventional(style)`` is a callable for ``check``. The styles are those of libraries (``jax``, ``autograd``), the
other end of every interval (``above``), a slope inside it (``third``), and a different one each time (``any``);
those called ``wrong`` are outside what any convention gives.
"""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import backprop_check

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON_PORT = Path(backprop_check.__file__).parent / "ports" / "python"


class Edit(NamedTuple):
    """At the kink (or tie) ``of``, in ``file``, ``old`` becomes ``new``; SLOPE is the fraction of the way from
    below to above.
    """

    of: str
    file: str
    old: str
    new: str


_EDITS = (
    Edit("relu", "activations.py", "return 1.0 if z > 0.0 else 0.0", "return 1.0 if z > 0.0 else SLOPE * (z == 0.0)"),
    Edit("relu", "recurrent.py", "(1.0 if z > 0.0 else 0.0)", "(1.0 if z > 0.0 else SLOPE * (z == 0.0))"),
    Edit(
        "leaky_relu",
        "activations.py",
        "return 1.0 if z > 0.0 else self.alpha\n",
        "return 1.0 if z > 0.0 else self.alpha + SLOPE * (1.0 - self.alpha) * (z == 0.0)\n",
    ),
    Edit(
        "elu",
        "activations.py",
        "return 1.0 if z > 0.0 else self.alpha * math.exp(z)",
        "return 1.0 if z > 0.0 else self.alpha * math.exp(z) + SLOPE * (1.0 - self.alpha) * (z == 0.0)",
    ),
    Edit(
        "hard_tanh",
        "activations.py",
        "return 1.0 if -1.0 < z < 1.0 else 0.0",
        "return 1.0 if -1.0 < z < 1.0 else SLOPE * (abs(z) == 1.0)",
    ),
    Edit(
        "mean_absolute_error",
        "mathematics.py",
        "return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0",
        "return 1.0 if x > 0.0 else -1.0 if x < 0.0 else -1.0 + 2.0 * SLOPE",
    ),
    Edit(
        "hinge",
        "losses.py",
        "return -t if 1.0 - t * a > 0.0 else 0.0",
        "return -t if 1.0 - t * a > 0.0 else -t * SLOPE * (1.0 - t * a == 0.0)",
    ),
    Edit(
        "l1",
        "optimizers.py",
        "1.0 if w > 0.0 else -1.0 if w < 0.0 else 0.0\n",
        "1.0 if w > 0.0 else -1.0 if w < 0.0 else -1.0 + 2.0 * SLOPE\n",
    ),
    Edit(
        "prelu",
        "normalisation.py",
        "g * w[self.own(i)] for i",
        "g * (w[self.own(i)] + SLOPE * (1.0 - w[self.own(i)]) * (x == 0.0)) for i",
    ),
    Edit(
        "ties",
        "convolution.py",
        "for i, gradient in zip(self.largest[s], gradients):\n            dx[i] += gradient",
        "for gradient, tied in zip(gradients, self.tied[s]):\n"
        "            for i, share in zip(tied, SLOPE):\n"
        "                dx[i] += gradient * share",
    ),
    Edit(
        "ties",
        "convolution.py",
        "        return [[x[i] for i in largest]",
        "        self.tied = [[[i for i in w if x[i] == x[k]] for w, k in zip(self.windows, largest)]"
        " for x, largest in zip(batch, self.largest)]\n"
        "        return [[x[i] for i in largest]",
    ),
)

_KINKS = tuple(dict.fromkeys(edit.of for edit in _EDITS if edit.of != "ties"))

#: The shares that the inputs ``tied`` get.
_LAST, _EVEN, _ANY, _ALL = (
    "[0.0] * (len(tied) - 1) + [1.0]",
    "[1.0 / len(tied)] * len(tied)",
    "any_shares(len(tied))",
    "[1.0] * len(tied)",
)

STYLES: dict[str, dict[str, str]] = {
    "pytorch": {},
    "jax": {
        "mean_absolute_error": "1.0", "leaky_relu": "1.0", "hard_tanh": "1.0", "prelu": "1.0", "hinge": "0.5",
        "ties": _EVEN,
    },
    "autograd": {"relu": "0.5", "leaky_relu": "0.5", "hinge": "0.5", "hard_tanh": "0.5", "ties": _EVEN},
    "above": {**dict.fromkeys(_KINKS, "1.0"), "ties": _LAST},
    "third": dict.fromkeys(_KINKS, "0.3"),
    "any": {**dict.fromkeys(_KINKS, "any_slope()"), "ties": _ANY},
    # Beyond both one-sided derivatives, or with shares that add up to more than 1.
    "wrong beyond": dict.fromkeys(_KINKS, "1.5"),
    "wrong below": dict.fromkeys(_KINKS, "-0.5"),
    "wrong ties": {"ties": _ALL},
    "wrong total": {"ties": "[0.75 / len(tied)] * len(tied)"},
}  # fmt: skip

_MODULES = tuple(path.stem for path in PYTHON_PORT.glob("*.py") if path.stem != "port")


def conventional(
    style: str, folder: Path, *more: Edit, dtype: str = "float64", full: bool = True
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The port in that style (and with the edits ``more``), written into ``folder``; ``full`` False: gradients
    alone.
    """
    folder.mkdir(exist_ok=True)
    texts = {path.name: path.read_text(encoding="utf-8") for path in PYTHON_PORT.glob("*.py")}
    choices = STYLES[style]
    for edit in (*(each for each in _EDITS if each.of in choices), *more):
        assert texts[edit.file].count(edit.old) == 1, edit
        texts[edit.file] = texts[edit.file].replace(edit.old, edit.new.replace("SLOPE", choices.get(edit.of, "")))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    chance = random.Random(3)  # noqa: S311 - any slope will do
    modules = _loaded(folder, chance)

    def backprop(case: dict[str, Any]) -> dict[str, Any]:
        chance.seed(3)  # the same question gets the same answer
        reply = modules["graph"].graph_backprop(_single(case) if dtype == "float32" else case)
        answer: dict[str, Any] = _plain(reply if full else _gradients_of(reply))
        return answer

    backprop.supports = {  # type: ignore[attr-defined]
        "layers": list(modules["layers"].LAYERS), "activations": list(modules["activations"].ACTIVATIONS),
        "losses": list(modules["losses"].LOSSES), "optimizers": list(modules["optimizers"].OPTIMIZERS),
        "features": modules["optimizers"].FEATURES + modules["layers"].LAYER_FEATURES, "batch": True,
    }  # fmt: skip
    backprop.dtype = dtype  # type: ignore[attr-defined]
    return backprop


def _loaded(folder: Path, chance: random.Random) -> dict[str, Any]:
    """The port's modules from that folder, by name; they are not left in ``sys.modules``."""
    before = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        modules: dict[str, Any] = {name: importlib.import_module(name) for name in _MODULES}
        for module in modules.values():
            module.any_slope = chance.random
            module.any_shares = lambda n: _shares(chance, n)
    finally:
        sys.path.remove(str(folder))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    return modules


def _shares(chance: random.Random, n: int) -> list[float]:
    cuts = [chance.random() for _ in range(n)]
    return [cut / sum(cuts) for cut in cuts]


def _single(value: Any) -> Any:
    """The case with float32 numbers, so that everything computed from them is float32."""
    if isinstance(value, dict):
        return {key: _single(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_single(item) for item in value]
    return np.float32(value) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """The reply with plain JSON numbers, rounded as its dtype is."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, np.floating) else value


def _gradients_of(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply reduced to its gradients."""
    layers = [{"gradients": layer["gradients"]} for layer in reply.get("layers", ())]
    return {"id": reply["id"], "layers": layers} if layers else reply

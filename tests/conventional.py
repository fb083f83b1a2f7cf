"""Right implementations that take other slopes at kinks than PyTorch, and split ties: the Python port with a few edits.

``conventional(style)`` is a callable for ``check``. The styles are those of libraries (``jax``, ``autograd``), the other
end of every interval (``above``), a slope within (``third``), and one that is another every time (``any``); ``wrong`` ones
are beyond what any choice gives.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.meta.planting import PYTHON_PORT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: For every kink (file, as it is written, with SLOPE as the way from the slope below to the one above).
_KINKS: dict[str, list[tuple[str, str, str]]] = {
    "relu": [
        (
            "network.py",
            "        return 1.0 if z > 0.0 else 0.0\n",
            "        return 1.0 if z > 0.0 else SLOPE if z == 0.0 else 0.0\n",
        ),
        ("recurrent.py", "(1.0 if z > 0.0 else 0.0)", "(1.0 if z > 0.0 else SLOPE if z == 0.0 else 0.0)"),
    ],
    "leaky_relu": [
        (
            "network.py",
            "        return 1.0 if z > 0.0 else self.alpha\n",
            "        return 1.0 if z > 0.0 else self.alpha + SLOPE * (1.0 - self.alpha) * (z == 0.0)\n",
        )
    ],
    "elu": [
        (
            "network.py",
            "        return 1.0 if z > 0.0 else self.alpha * math.exp(z)\n",
            "        return 1.0 if z > 0.0 else self.alpha * math.exp(z) + SLOPE * (1.0 - self.alpha) * (z == 0.0)\n",
        )
    ],
    "hard_tanh": [
        (
            "network.py",
            "        return 1.0 if -1.0 < z < 1.0 else 0.0\n",
            "        return 1.0 if -1.0 < z < 1.0 else SLOPE if abs(z) == 1.0 else 0.0\n",
        )
    ],
    "mean_absolute_error": [
        (
            "network.py",
            "    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else 0.0\n",
            "    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else -1.0 + 2.0 * SLOPE\n",
        )
    ],
    "hinge": [
        (
            "network.py",
            "        return -t if 1.0 - t * a > 0.0 else 0.0\n",
            "        return -t if 1.0 - t * a > 0.0 else -t * SLOPE if 1.0 - t * a == 0.0 else 0.0\n",
        )
    ],
    "l1": [
        (
            "optimizers.py",
            "1.0 if w > 0.0 else -1.0 if w < 0.0 else 0.0\n",
            "1.0 if w > 0.0 else -1.0 if w < 0.0 else -1.0 + 2.0 * SLOPE\n",
        )
    ],
    "prelu": [
        (
            "normalisation.py",
            "[s if x > 0.0 else s * w[self.own(i)] for i, (x, s) in enumerate(zip(row, slopes))]",
            "[s if x > 0.0 else s * (w[self.own(i)] + SLOPE * (1.0 - w[self.own(i)]) * (x == 0.0))"
            " for i, (x, s) in enumerate(zip(row, slopes))]",
        )
    ],
}

#: What becomes of a tie: the shares of the inputs ``tied``, of which there are ``n``.
_SHARES = {
    "last": "[0.0] * (n - 1) + [1.0]",
    "even": "[1.0 / n] * n",
    "any": "shares_of(n)",
    "all": "[1.0] * n",
}

_TIES = (
    (
        "convolution.py",
        "        for i, slope in zip(self.largest[s], error):\n            dx[i] += slope",
        "        for window, slope, i in zip(self.windows, error, self.largest[s]):\n"
        "            tied = [k for k in window if self.read[s][k] == self.read[s][i]]\n"
        "            n = len(tied)\n"
        "            for k, share in zip(tied, SHARES):\n"
        "                dx[k] += slope * share",
    ),
    (
        "convolution.py",
        "        self.largest = []  # for every sample and output which input it was\n",
        "        self.largest = []\n        self.read = batch\n",
    ),
)

STYLES: dict[str, dict[str, str]] = {
    "jax": {
        "mean_absolute_error": "1.0", "leaky_relu": "1.0", "hard_tanh": "1.0", "prelu": "1.0", "hinge": "0.5",
        "ties": "even",
    },
    "autograd": {"relu": "0.5", "leaky_relu": "0.5", "hinge": "0.5", "hard_tanh": "0.5", "ties": "even"},
    "above": {**dict.fromkeys(_KINKS, "1.0"), "ties": "last"},
    "third": dict.fromkeys(_KINKS, "0.3"),
    "any": {**dict.fromkeys(_KINKS, "any_slope()"), "ties": "any"},
    # Beyond both one-sided derivatives, or with shares that add up to more than 1.
    "wrong beyond": dict.fromkeys(_KINKS, "1.5"),
    "wrong below": dict.fromkeys(_KINKS, "-0.5"),
    "wrong ties": {"ties": "all"},
}  # fmt: skip

_MODULES = ("network", "optimizers", "convolution", "normalisation", "recurrent", "attention", "graph")


def conventional(
    style: str, folder: Path, *, dtype: str = "float64", full: bool = True
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The port in that style, written into ``folder``; ``full`` False: gradients and updates alone are reported."""
    folder.mkdir(exist_ok=True)
    texts = {path.name: path.read_text(encoding="utf-8") for path in PYTHON_PORT.glob("*.py")}
    choices = dict(STYLES[style])
    split = choices.pop("ties", None)
    edits = [(file, old, new.replace("SLOPE", choice)) for name, choice in choices.items() for file, old, new in _KINKS[name]]
    if split is not None:
        edits += [(file, old, new.replace("SHARES", _SHARES[split])) for file, old, new in _TIES]
    for file, old, new in edits:
        assert texts[file].count(old) == 1, (file, old)
        texts[file] = texts[file].replace(old, new)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    graph = _loaded(folder)

    def backprop(case: dict[str, Any]) -> dict[str, Any]:
        reply = graph.backprop(_single(case) if dtype == "float32" else case)
        return _plain(reply if full else _without(reply, ("z", "a", "delta", "loss", "input_gradients")))

    backprop.supports = {  # type: ignore[attr-defined]
        "layers": list(graph.LAYERS), "activations": list(graph.network.ACTIVATIONS),
        "losses": list(graph.network.LOSSES), "optimizers": list(graph.network.OPTIMIZERS),
        "features": sys.modules["optimizers-of-conventional"].FEATURES + graph.FEATURES, "batch": True,
    }  # fmt: skip
    backprop.dtype = dtype  # type: ignore[attr-defined]
    return backprop


def _loaded(folder: Path) -> Any:
    """The port's modules from that folder, under names that nobody else uses."""
    before = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        graph = importlib.import_module("graph")
        chance = random.Random(3)
        for name in _MODULES:
            module = sys.modules.get(name)
            if module is not None:
                module.any_slope = chance.random  # type: ignore[attr-defined]
                module.shares_of = lambda n: _shares(chance, n)  # type: ignore[attr-defined]
        sys.modules["optimizers-of-conventional"] = sys.modules["optimizers"]
    finally:
        sys.path.remove(str(folder))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    return graph


def _shares(chance: random.Random, n: int) -> list[float]:
    cuts = [chance.random() for _ in range(n)]
    return [cut / sum(cuts) for cut in cuts]


def _single(value: Any) -> Any:
    """The case with numbers of single precision, so that all that is computed from them is."""
    if isinstance(value, dict):
        return {key: _single(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_single(item) for item in value]
    return np.float32(value) if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """The reply with numbers that JSON knows, rounded as its type is."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, np.floating) else value


def _without(reply: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: item for key, item in reply.items() if key not in names}
    if "layers" in kept:
        kept["layers"] = [{key: item for key, item in layer.items() if key not in names} for layer in kept["layers"]]
    return kept

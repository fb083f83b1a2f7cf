"""The bundled Python port with a fault that its first argument names; also a module with callables for ``check``.

``hidden`` forgets φ′ in the hidden layers; ``offset`` is wrong in a way that has no name; ``slow`` takes its time;
``flaky`` adds noise; ``bad`` ends cases in an error, a skip or nonsense. Without an argument it is right.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backprop_check" / "ports" / "python"))

import backprop  # type: ignore[import-not-found]  # programs, found where they lie
import network  # type: ignore[import-not-found]
import port  # type: ignore[import-not-found]

#: Text of a hostile port that tries to act on the reader's terminal, spreadsheet, page or XML.
HOSTILE = "=cmd|' /C calc'!A0 \x1b[31m]]><script>alert(1)</script>&amp; \x00\u202e"

Json = dict[str, Any]


def right(case: Json) -> Json:
    """Leave the port as it is."""
    reply: Json = backprop.backprop(case)
    return reply


class Forgetful(network.Network):  # type: ignore[misc]
    """δ = Σ w δ in the hidden layers, without φ′, and all that follows from it."""

    def backward(self, targets: list[float], divisor: float) -> list[float]:
        back: list[float] = self.output.backward(self.output_deltas(targets, divisor))
        for layer in reversed(self.layers[:-1]):
            back = layer.backward(back)
        return back


def hidden(case: Json) -> Json:
    """BP102: the hidden layers' δ without φ′."""
    backprop.Network = Forgetful
    try:
        return right(case)
    finally:
        backprop.Network = network.Network


def offset(case: Json) -> Json:
    """The first bias gradient of every layer is off by a third and a bit, which no known bug gives."""
    reply = right(case)
    for layer in reply.get("layers", []):
        layer["gradients"]["biases"][0] = layer["gradients"]["biases"][0] * 1.3 + 0.0173
    return reply


def slow(case: Json) -> Json:
    """Right, after a delay."""
    time.sleep(0.05)
    return right(case)


def flaky(case: Json) -> Json:
    """Noise far above rounding in every bias gradient."""
    reply = right(case)
    for layer in reply.get("layers", []):
        layer["gradients"]["biases"] = [x + 1e-3 * random.random() for x in layer["gradients"]["biases"]]  # noqa: S311
    return reply


_seen = {"cases": 0}


def bad(case: Json) -> Json:
    """One case in four ends in an error, one is skipped, one is malformed with a hostile text for a number."""
    _seen["cases"] += 1
    if _seen["cases"] % 4 == 0:
        return {"id": case["id"], "error": HOSTILE}
    if _seen["cases"] % 4 == 1:
        return {"id": case["id"], "skip": HOSTILE}
    reply = right(case)
    if _seen["cases"] % 4 == 2:
        reply["layers"][0]["gradients"]["biases"][0] = HOSTILE
    return reply


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "right"
    port.graph_backprop = {
        "hidden": hidden,
        "offset": offset,
        "slow": slow,
        "flaky": flaky,
        "bad": bad,
        "right": right,
    }[chosen]
    port.main()

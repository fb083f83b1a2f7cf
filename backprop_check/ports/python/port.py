"""The port: how backprop-check talks to the network in network.py.

A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
There is no mathematics here. Keep this file, and put your own network behind ``backprop``.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
from typing import Any

from network import ACTIVATIONS, LOSSES, backprop
from optimizers import FEATURES, OPTIMIZERS


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        sys.stdout.write(to_json(answer(line)) + "\n")
        sys.stdout.flush()  # without it the answer would wait in a buffer, and the harness for the answer


def answer(line: bytes) -> dict[str, Any]:
    """Give the reply to one request."""
    request: dict[str, Any] = {}
    try:
        request = dict(json.loads(line))
        if request["type"] == "hello":
            return hello(request)
        return backprop(request)
    except Exception as error:
        # One case that fails must not end the others: say what happened, and go on.
        message = f"{type(error).__name__}: {error}"
        return {"id": request.get("id"), "error": message, "traceback": traceback.format_exc()}


def hello(request: dict[str, Any]) -> dict[str, Any]:
    """Say who we are and what we can do. What is not listed under ``supports`` is never asked for."""
    reply = {
        "protocol": 1,
        "name": "vanilla-python",
        "language": "Python " + sys.version.split()[0],
        "version": "0.1.0",
        "dtype": "float64",
        "max_in_flight": 16,
        "supports": {
            "layers": ["dense"],
            "activations": list(ACTIVATIONS),
            "losses": list(LOSSES),
            "optimizers": list(OPTIMIZERS),
            "features": FEATURES,
            "batch": True,
        },
    }
    if "echo" in request:
        reply["echo"] = request["echo"]  # shows that no digit is lost on the way in and out
    return reply


def to_json(reply: dict[str, Any]) -> str:
    """Write the reply as one line."""
    try:
        return json.dumps(reply, allow_nan=False)
    except ValueError:  # there is a NaN or an infinity in it
        return json.dumps(without_nan(reply))


def without_nan(value: Any) -> Any:
    """Give the same value with NaN and infinity as text, since JSON has no numbers for them."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


if __name__ == "__main__":
    main()

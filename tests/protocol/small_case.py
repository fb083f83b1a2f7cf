"""One small case, its expected values, and the right reply: the tests of hostile replies corrupt it."""

from __future__ import annotations

from typing import Any

from backprop_check.case.network import Case
from backprop_check.compare.reply_form import as_reply
from backprop_check.running.one_case import witnesses

CASE = Case.from_dict({
    "name": "bad-smoke",
    "network": {"inputs": 2, "layers": [
        {"kind": "dense", "units": 3, "activation": "sigmoid",
         "parameters": {"weights": [[0.15, 0.2], [0.25, 0.3], [-0.4, 0.6]], "biases": [0.35, 0.3, -0.2]}},
        {"kind": "dense", "units": 2, "activation": "tanh",
         "parameters": {"weights": [[0.4, 0.45, 0.7], [0.5, 0.55, -0.3]], "biases": [0.6, 0.5]}}]},
    "loss": {"kind": "half_squared_error"},
    "reduction": "mean",
    "inputs": [[0.05, 0.1], [0.5, -0.3]],
    "targets": [[0.01, 0.99], [0.8, 0.2]],
    "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    "steps": 2,
})  # fmt: skip
EXPECTED = witnesses(CASE)
RIGHT: dict[str, Any] = {"id": CASE.id, **as_reply(EXPECTED.values, 2)}

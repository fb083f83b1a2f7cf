"""An activation or a loss is defined in one place: everything else follows from there."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

#: Run in an interpreter of its own, where the definition is added before anything reads it.
MISH = """
from backprop_check.functions.activations import ELEMENTWISE, Elementwise

def value(m, z, _alpha):
    return z * m.tanh(m.log1p(m.exp(z)))

def slope(m, z, _a, _alpha):
    t, s = m.tanh(m.log1p(m.exp(z))), 1 / (1 + m.exp(-z))
    return t + z * (s * (1 - t * t))

ELEMENTWISE["mish"] = Elementwise(value, slope, later=True)
"""

FOLLOWS = """
import jsonschema, msgspec
from backprop_check.functions import names
from backprop_check.cases.draw import PAIRS
from backprop_check.cases.generate import generated_case
from backprop_check.running.coverage import requirements
from backprop_check.explain.explanation import explain_case
from backprop_check.explain.layout import as_markdown
from backprop_check.explain.making import Found
from backprop_check.case.network import Case
from backprop_check.protocol import HelloReply, Malformed, Supports, parse_hello
from backprop_check.protocol.schema import schema
from backprop_check.running.one_case import not_supported, witnesses

dense = {"weights": [[0.5], [-2.0]], "biases": [0.1, 0.2]}
layers = [
    {"kind": "dense", "units": 2, "activation": "mish", "parameters": dense},
    {"kind": "linear", "out_features": 2, "activation": "mish", "parameters": {"weight": [[0.25, 1.5], [1.0, -0.5]]}},
]
case = Case.from_dict({
    "network": {"inputs": 1, "layers": layers}, "loss": {"kind": "squared_error"}, "reduction": "mean",
    "inputs": [[0.75]], "targets": [[0.5, 0.0]],
})
witnesses(case)  # the reference and PyTorch's own agree on it
assert "mish" in as_markdown(explain_case(Found(case)))
jsonschema.Draft202012Validator(schema()).validate(msgspec.json.decode(case.request()))
assert requirements(["mish"])
assert isinstance(parse_hello(b'{"protocol": 1, "supports": {"activations": ["mish"]}}'), HelloReply)
assert "mish" in parse_hello(b'{"protocol": 1, "supports": {"activations": ["mysh"]}}').problem
old = HelloReply(protocol=1, supports=Supports(layers=["dense", "linear"]))
assert not_supported(case, old) == "the activation mish"
assert "mish" not in names.ACTIVATIONS and not any(activation == "mish" for activation, _ in PAIRS)
assert generated_case(5).id == "mlp-2x5x2x4-log-softmax-s0005-13b2e976"
"""


def test_an_activation_is_one_definition() -> None:
    """It is judged, explained, drawn, claimed and required; old ports are not asked for it, old cases stay the same."""
    done = subprocess.run(
        [sys.executable, "-c", MISH + FOLLOWS], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


LOSS = """
from backprop_check.functions.losses import LOSSES, Loss

LOSSES["cubed_error"] = Loss(
    lambda _m, a, t, _: abs(a - t) * (a - t) * (a - t),
    lambda _m, a, t, _: 3 * (a - t) * abs(a - t),
    needs=("identity",),
    later=True,
)
from backprop_check.functions import names
from backprop_check.protocol.claims import vocabulary
from backprop_check.protocol.schema import schema

assert names.ALL_LOSSES[-1] == vocabulary()["losses"][-1] == "cubed_error"
assert names.NEEDS_OUTPUT["cubed_error"] == ("identity",)
assert "cubed_error" not in names.LOSSES
assert "cubed_error" in schema()["$defs"]["lossKind"]["properties"]["kind"]["enum"]
"""


def test_a_loss_is_one_definition() -> None:
    """Admissible activations, claims, the schema and the pages follow."""
    done = subprocess.run([sys.executable, "-c", LOSS], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_second_witness_guesses_no_loss() -> None:
    """It shares no formula with the reference: an unknown loss is an error, never taken for another."""
    import torch  # noqa: PLC0415

    from backprop_check.witness.activation import losses  # noqa: PLC0415

    network = SimpleNamespace(layers=[SimpleNamespace(activation="identity")])
    case: Any = SimpleNamespace(network=network, loss=SimpleNamespace(kind="cubed_error", label_smoothing=None))
    with pytest.raises(NotImplementedError, match=r"cubed_error.*witness/activation\.py"):
        losses(case, None, torch.zeros(1, 1), torch.zeros(1, 1))

"""A conversation with a port without the harness: usual requests, and every kind of difficult one."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import mpmath

from backprop_check.protocol import ECHO, hello_request, split_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def talk(command: str, folder: Path, lines: list[bytes], end: bytes = b"\n") -> list[dict[str, Any]]:
    """The replies to these lines, all sent at once; the port must exit with 0 and print nothing but replies."""
    done = subprocess.run(
        split_command(command), cwd=folder, input=end.join(lines) + end, capture_output=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return [json.loads(line) for line in done.stdout.splitlines()]


def case(**changes: Any) -> dict[str, Any]:
    """A request for a small network with one hidden layer, over three steps."""
    weights = {"weights": [[0.5, -0.25], [0.125, 1.0]], "biases": [0.25, -0.5]}
    layers = [{"kind": "dense", "units": 2, "activation": name, "parameters": weights} for name in ("tanh", "softmax")]
    usual = {
        "type": "case",
        "id": "usual",
        "network": {"inputs": 2, "layers": layers},
        "loss": {"kind": "cross_entropy"},
        "reduction": "mean",
        "inputs": [[1.0, -2.0]],
        "targets": [[0.0, 1.0]],
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
        "steps": 3,
    }
    return usual | changes


def network(**changes: Any) -> dict[str, Any]:
    """The usual network, with a changed output layer."""
    usual = case()["network"]
    return {**usual, "layers": [usual["layers"][0], {**usual["layers"][1], **changes}]}


STRANGE = 'wide ä \n \u2028 \U0001f600 \\ "/'

#: Requests that a port of level 1 does not support, and must skip.
TRAINING: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": {"kind": "sgd", "learning_rate": 0.5, "momentum": 0.9}},
    "nesterov": {"optimizer": {"kind": "sgd", "learning_rate": 0.5, "nesterov": True}},
    "adam": {"optimizer": {"kind": "adam", "learning_rate": 0.5}},
}

SKIPPED: dict[str, dict[str, Any]] = {
    "loss": {"loss": {"kind": "of our own"}},
    "activation": {"network": network(activation="mish")},
    "layer": {"network": network(kind="capsule")},
    "from": {"network": network(**{"from": ["hidden1", "input"]})},
    **TRAINING,
    "optimizer": {"optimizer": {"kind": "of our own", "learning_rate": 0.5}},
    "tomorrow": {"type": "of tomorrow"},
}

#: Requests that end in an error: text in place of numbers, no network, a network without layers.
FAILING: dict[str, dict[str, Any]] = {
    "text": {"inputs": ["one, two"]},
    "nothing": {"network": {}},
    "empty": {"network": {"inputs": 2, "layers": []}},
}

BROKEN = [b'{"type": "case", "id": ', b"[1, 2]", b"7", b"{}", b'"', b"nul"]


def hostile() -> list[bytes]:
    """Every kind of difficult request, each followed by a usual one."""
    between = json.dumps(case()).encode()
    wide = case(id=STRANGE, inputs=[[0.1, 0.2]] * 2000, targets=[[0.5, 0.5]] * 2000, steps=1)
    infinite = case(id="infinite", inputs=[["Infinity", 1.0]])
    plain = {**case(id="plain", inputs=[[1, -2]], targets=[[0, 1]]), "optimizer": None}
    changed = {**SKIPPED, **FAILING}
    requests = [case(id="nan", inputs=[["NaN", 1.0]]), infinite, plain, wide]
    requests += [case(id=name) | change for name, change in changed.items()]
    lines = [hello_request("0"), b"", b"  ", *(json.dumps(request).encode() for request in requests), *BROKEN]
    return [line for request in lines for line in (request, between)]


def check_answers(command: str, folder: Path) -> None:
    """The port skips what it does not support, reports errors, goes on, writes NaN as text, and exits when stdin
    ends.
    """
    lines = hostile()
    hello, usual, *replies = talk(command, folder, lines, b"\r\n")
    assert (
        len(replies) == len(lines) - 4
    )  # without the hello and its following case; two lines are empty and have no reply
    assert repr([float(number) for number in hello["echo"]]) == repr(list(ECHO))
    assert [len(usual[key]) for key in ("layers", "input_gradients", "trajectory")] == [2, 1, 3]
    assert usual["layers"][0]["updated"] == usual["trajectory"][2]["layers"][0]["updated"]
    assert [reply for reply in replies if reply.get("id") == "usual"] == [usual] * (len(lines) // 2 - 1)

    by_id = {reply["id"]: reply for reply in replies if "id" in reply}
    assert "NaN" in json.dumps(by_id["nan"])
    assert by_id["infinite"]["layers"][0]["z"] == [["Infinity", "Infinity"]]
    assert by_id["plain"].keys() == {"id", "loss", "layers", "input_gradients"}
    assert by_id["plain"]["layers"][1]["gradients"] == usual["layers"][1]["gradients"]
    assert len(by_id[STRANGE]["layers"][1]["delta"]) == 2000
    known = TRAINING if "adam" in hello["supports"]["optimizers"] else {}
    assert [name for name in SKIPPED if name not in known and not by_id[name].get("skip")] == []
    assert [name for name in FAILING if not by_id[name].get("error")] == []
    assert len([reply for reply in replies if reply.get("id") is None and reply["error"]]) == len(BROKEN)


def normal(z: mpmath.mpf) -> mpmath.mpf:
    """Φ(z), the probability that a standard normal variable is below z, accurate in its tail as well."""
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


#: The activations' formulas, and their condition numbers |z f′(z) / f(z)|, rounded up.
FORMULAS: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "sigmoid": (lambda z: 1 / (1 + mpmath.exp(-z)), lambda z: max(0.0, -z)),
    "tanh": (mpmath.tanh, lambda _: 1.0),
    "elu": (lambda z: z if z > 0 else mpmath.expm1(z), lambda _: 1.0),
    "softplus": (lambda z: mpmath.log1p(mpmath.exp(z)), lambda z: max(1.0, -z)),
    "softsign": (lambda z: z / (1 + abs(z)), lambda _: 1.0),
    "silu": (lambda z: z / (1 + mpmath.exp(-z)), lambda z: max(1.0, -z)),
    "gelu": (lambda z: z * normal(z), lambda z: 1.0 + (z * z if z < 0.0 else 0.0)),
}


def check_functions(command: str, folder: Path) -> None:
    """One neuron with weight 1 and bias 0 for every activation, with z from the tails to near 0."""
    points = [sign * 10.0**exponent for exponent in range(-300, 0, 23) for sign in (-1.0, 1.0)]
    points += [k / 16.0 + 1e-3 for k in range(-16 * 36, 16 * 36)]
    numbers = {"inputs": [[z] for z in points], "targets": [[0.0]] * len(points), "loss": {"kind": "squared_error"}}
    one = {"kind": "dense", "units": 1, "parameters": {"weights": [[1.0]], "biases": [0.0]}}
    requests = [
        case(id=name, network={"inputs": 1, "layers": [{**one, "activation": name}]}, **numbers) for name in FORMULAS
    ]
    replies = talk(command, folder, [json.dumps(request).encode() for request in requests])
    for name, reply in zip(FORMULAS, replies, strict=True):
        formula, condition = FORMULAS[name]
        assert reply["id"] == name
        for z, (a,) in zip(points, reply["layers"][0]["a"], strict=True):
            with mpmath.workdps(50):
                exact = formula(mpmath.mpf(z))
                error = abs(mpmath.mpf(float(a)) - exact)
            units = float(error / abs(exact)) * 2.0**53  # of the unit roundoff
            assert units <= 2.5 * (1.0 + condition(z)), (name, z, a, float(exact), units)

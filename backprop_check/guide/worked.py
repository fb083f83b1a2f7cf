"""The network that runs through the guide, and its numbers by name.

It grows: ``neuron`` (two inputs, one neuron), ``row`` (a second neuron after it), ``fan`` (it feeds two), ``net`` (two
hidden neurons and two outputs: Mazur's example). ``numbers.toml`` holds an expression in these names for every number
that the guide prints; a test computes each with the reference.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.case.network import Case
from backprop_check.guide import convolving
from backprop_check.kinds.given import plain
from backprop_check.numbers import Scalars
from backprop_check.reference import Stages, run_pass
from backprop_check.reference.passes import as_dense

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.reference import Pass


def _layer(weights: list[list[float]], biases: list[float], activation: str = "sigmoid") -> dict[str, Any]:
    parameters = {"weights": weights, "biases": biases}
    return {"kind": "dense", "units": len(biases), "activation": activation, "parameters": parameters}


def _case(layers: list[dict[str, Any]], target: list[float] | None = None, **more: Any) -> Case:
    return Case.from_dict(
        {
            "network": {"inputs": 2, "layers": layers},
            "loss": {"kind": "half_squared_error"},
            "reduction": "mean",
            "inputs": [[0.05, 0.1]],
            "targets": [target],
            "optimizer": {"kind": "sgd", "learning_rate": 0.5},
            **more,
        }
    )


_FIRST = _layer([[0.15, 0.2]], [0.35])
_HIDDEN = _layer([[0.15, 0.2], [0.25, 0.3]], [0.35, 0.35])
_WEIGHTS = [[0.4, 0.45], [0.5, 0.55]]
_LAYERS = [_HIDDEN, _layer(_WEIGHTS, [0.6, 0.6])]
_TWO: dict[str, Any] = {"inputs": [[0.05, 0.1], [0.5, -0.3]], "targets": [[0.01, 0.99], [0.8, 0.2]]}


def _with_loss(kind: str) -> Case:
    return _case(_LAYERS, [0.01, 0.99], loss={"kind": kind})


CASES: dict[str, Case] = {
    "neuron": _case([_FIRST], [0.01]),
    "row": _case([_FIRST, _layer([[0.4]], [0.6])], [0.01]),
    "fan": _case([_FIRST, _layer([[0.4], [0.5]], [0.6, 0.6])], [0.01, 0.99]),
    "net": _case(_LAYERS, [0.01, 0.99]),
    "twice": _case(_LAYERS, [0.01, 0.99], steps=2),
    "squared": _with_loss("squared_error"),
    "mean": _with_loss("mean_squared_error"),
    "absolute": _with_loss("mean_absolute_error"),
    "binary": _with_loss("binary_cross_entropy"),
    "soft": _case([_HIDDEN, _layer(_WEIGHTS, [0.6, 0.6], "softmax")], [0.0, 1.0], loss={"kind": "cross_entropy"}),
    "second": _case(_LAYERS, [0.8, 0.2], inputs=[[0.5, -0.3]]),
    "batch": _case(_LAYERS, **_TWO),
    "sum": _case(_LAYERS, **_TWO, reduction="sum"),
    "kink": _case([_layer([[0.1, 0.1]], [-0.01505], "relu")], [1.0]),
}


@functools.cache
def passes(name: str) -> list[Pass]:
    """The reference's passes of a case, on floats."""
    return run_pass(CASES[name], Scalars.of_floats())


def _nudged(case: Case, layer: int, j: int, i: int, h: float) -> float:
    """The loss with one weight changed by h."""
    content = plain(case)  # lists, which are mutable
    content["network"]["layers"][layer]["parameters"]["weights"][j][i] += h
    return float(run_pass(Case.from_dict(content), Scalars.of_floats())[0].loss)


def words() -> dict[str, Callable[..., float]]:
    """The names in an expression of ``numbers.toml``; ``l``, ``j``, ``i``, ``s`` count from 0."""

    def too_early(name: str) -> list[Pass]:
        from backprop_check.diagnose.catalogue import find_bug  # noqa: PLC0415 - for two numbers of one chapter

        return run_pass(CASES[name], Scalars.of_floats(), find_bug("BP107").variants[0].stages)

    def early(name: str, l: int, j: int) -> float:
        return float(too_early(name)[0].layers[l].delta[0, j])

    def early_loss(name: str, step: int) -> float:
        return float(too_early(name)[step].loss)

    def loss_nudged(name: str, l: int, j: int, i: int, h: float) -> float:
        return _nudged(CASES[name], l, j, i, h)

    def single(name: str, sample: int) -> float:
        case = CASES[name]
        one = msgspec.structs.replace(
            case, inputs=case.inputs[sample : sample + 1], targets=case.targets[sample : sample + 1]
        )
        return float(run_pass(one, Scalars.of_floats())[0].loss)

    def loss_slope(name: str, k: int) -> float:
        return float(Stages(Scalars.of_floats()).output_error(as_dense(passes(name)[0]), 0, k))

    def error(name: str, l: int, j: int, s: int = 0) -> Any:
        return passes(name)[0].layers[l].output.a.error[s, j]

    def weight(name: str, l: int, j: int, i: int) -> int:
        """The number of the weight from input i into neuron j among all weights of its layer."""
        return j * len(CASES[name].network.layers[l].parameters.weights[0]) + i

    def updated(name: str, l: int, parameter: str, at: int) -> float:
        return float((passes(name)[0].updated or [])[l][parameter][0, at])

    return {
        "x": lambda name, i, s=0: CASES[name].inputs[s][i],
        "t": lambda name, k, s=0: CASES[name].targets[s][k],
        "w": lambda name, l, j, i: CASES[name].network.layers[l].parameters.weights[j][i],
        "b": lambda name, l, j: CASES[name].network.layers[l].parameters.biases[j],
        "rate": lambda name: getattr(CASES[name].optimizer, "learning_rate", 0.0),
        "z": lambda name, l, j, s=0: passes(name)[0].layers[l].z[s, j],
        "a": lambda name, l, j, s=0: passes(name)[0].layers[l].a[s, j],
        "error": error,
        "loss_slope": loss_slope,
        "delta": lambda name, l, j, s=0: passes(name)[0].layers[l].delta[s, j],
        "slope": lambda name, l, j, s=0: passes(name)[0].layers[l].delta[s, j] / error(name, l, j, s),
        "dw": lambda name, l, j, i: (
            passes(name)[0].layers[l].gradients["weight"][0, weight(name, l, j, i)] + 0.0
        ),  # no −0
        "db": lambda name, l, j: passes(name)[0].layers[l].gradients["bias"][0, j],
        "loss": lambda name, step=0: passes(name)[step].loss,
        "loss_of": single,
        "new_w": lambda name, l, j, i: updated(name, l, "weights", weight(name, l, j, i)),
        "new_b": lambda name, l, j: updated(name, l, "biases", j),
        "nudged": loss_nudged,
        "forward": lambda name, l, j, i, h: (loss_nudged(name, l, j, i, h) - passes(name)[0].loss) / h,
        "central": lambda name, l, j, i, h: (loss_nudged(name, l, j, i, h) - loss_nudged(name, l, j, i, -h)) / (2 * h),
        "early": early,
        "early_loss": early_loss,
        "abs": abs,
        **convolving.words(),
    }

"""The usual mistakes with neurons and activations get their names also where the network is not a plain dense chain."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import backprop_check
from backprop_check.api import check

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(backprop_check.__file__).parent / "ports" / "python"))
activations, dense, graph, losses, network = (
    cast("Any", importlib.import_module(name)) for name in ("activations", "dense", "graph", "losses", "network")
)

ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


def leaky_slope_missing(patch: Callable[..., None]) -> None:
    """φ′ = 0 on the negative side."""

    def only_above(right: Callable[..., float]) -> Callable[..., float]:
        return lambda self, z, a: right(self, z, a) if z > 0 else 0.0

    for name in ALPHA:
        patch(activations.ACTIVATIONS[name], "derivative", only_above(activations.ACTIVATIONS[name].derivative))


def _always(alpha: float) -> Callable[[object], float]:
    return lambda _: alpha


def alpha_ignored(patch: Callable[..., None]) -> None:
    """The default α, whatever the case specifies."""
    for name, alpha in ALPHA.items():
        patch(activations.ACTIVATIONS[name], "alpha", property(_always(alpha), lambda *_: None))


def mask_of_the_error(patch: Callable[..., None]) -> None:
    """δ is kept where the error is positive, not where z is."""
    patch(activations.ACTIVATIONS["relu"], "deltas", lambda _self, _z, _a, gradients: [max(0.0, g) for g in gradients])


def other_gelu(patch: Callable[..., None]) -> None:
    """The tanh approximation in the forward pass."""
    root = (2 / activations.math.pi) ** 0.5
    patch(
        activations.ACTIVATIONS["gelu"],
        "value",
        lambda _, z: 0.5 * z * (1 + activations.math.tanh(root * (z + 0.044715 * z * z * z))),
    )


def weights_transposed(patch: Callable[..., None]) -> None:
    """Rows and columns swapped where a layer is square."""
    right = network.Layer.backward

    def backward(self: Any, delta: Any) -> Any:
        back = right(self, delta)
        if len(self.neurons) != len(self.inputs):
            return back
        return [sum(d * self.neurons[i].weights[k] for k, d in enumerate(delta)) for i in range(len(self.inputs))]

    patch(network.Layer, "backward", backward)


def gradient_transposed(patch: Callable[..., None]) -> None:
    """dW[i][j] for dW[j][i], where a layer is square."""
    right = dense.Dense.backward_from_z

    def backward_from_z(self: Any, delta: Any) -> Any:
        back, n = right(self, delta), self.units
        if n == self.inputs:
            flat = self.gradients["weights"]
            self.gradients["weights"] = [flat[i * n + j] for j in range(n) for i in range(n)]
        return back

    patch(dense.Dense, "backward_from_z", backward_from_z)


def pre_activation_as_input(patch: Callable[..., None]) -> None:
    """z of the previous layer in the gradients of the weights."""
    right = graph.Graph.backward

    def backward(self: Any, targets: Any, divisor: float) -> Any:
        for node in self.nodes:
            before = self.nodes[node.reads[0]].layer if len(node.reads) == 1 and node.reads[0] >= 0 else None
            if isinstance(node.layer, dense.Dense) and before is not None and before.z is not None:
                for layer, z in zip(node.layer.samples, before.z, strict=True):
                    layer.inputs = z
        return right(self, targets, divisor)

    patch(graph.Graph, "backward", backward)


def factor(name: str, times: float) -> Callable[..., None]:
    """The loss's derivative multiplied by a number."""

    def mistake(patch: Callable[..., None]) -> None:
        right = losses.LOSSES[name].activation_gradients
        patch(losses.LOSSES[name], "activation_gradients", lambda self, a, t: [times * x for x in right(self, a, t)])

    mistake.__name__ = f"{name}_times_{times}"
    return mistake


def divided_twice(patch: Callable[..., None]) -> None:
    """The mean over the batch, taken twice."""
    right = graph.Graph.divided
    patch(graph.Graph, "divided", lambda self, slope, targets, divisor: right(self, slope, targets, divisor * divisor))


def last_sample_only(patch: Callable[..., None]) -> None:
    """The gradients of a dense layer are the last sample's."""
    right = dense.Dense.backward_from_z

    def backward_from_z(self: Any, delta: Any) -> Any:
        back = right(self, delta)
        x, d = self.samples[-1].inputs, delta[-1]
        self.gradients = {"weights": [d_j * x_i for d_j in d for x_i in x], "biases": list(d)}
        return back

    patch(dense.Dense, "backward_from_z", backward_from_z)


def softmax_of_its_own(patch: Callable[..., None]) -> None:
    """p(1 − p), as if each output depended only on its own z."""
    patch(
        activations.ACTIVATIONS["softmax"],
        "deltas",
        lambda _self, _z, a, gradients: [g * p * (1 - p) for g, p in zip(gradients, a, strict=True)],
    )


def derivative_twice(patch: Callable[..., None]) -> None:
    """(p − t) p (1 − p)."""
    kind = type(losses.IN_ONE_STEP["softmax", "cross_entropy"])
    right = kind.deltas
    patch(
        kind,
        "deltas",
        lambda self, a, t: [d * p * (1 - p) for d, p in zip(right(self, a, t), a, strict=True)],
    )


def log_softmax_of_its_own(patch: Callable[..., None]) -> None:
    """δ = g, as if each output depended only on its own z."""
    patch(activations.ACTIVATIONS["log_softmax"], "deltas", lambda _self, _z, _a, gradients: list(gradients))


def softsign_for_tanh(patch: Callable[..., None]) -> None:
    """Another function than the requested one."""
    for name in ("value", "derivative"):
        patch(activations.ACTIVATIONS["tanh"], name, getattr(activations.ACTIVATIONS["softsign"], name))


def python(case: dict[str, Any]) -> dict[str, Any]:
    """The port in plain Python."""
    reply: dict[str, Any] = graph.graph_backprop(case)
    return reply


python.supports = {  # type: ignore[attr-defined]
    "layers": ["dense", "conv1d", "conv2d", "flatten"],
    "activations": list(activations.ACTIVATIONS),
    "losses": list(losses.LOSSES),
    "optimizers": ["sgd"],
    "features": ["graph"],
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("code", "mistake"),
    [
        ("BP109", weights_transposed),
        ("BP110", gradient_transposed),
        ("BP112", pre_activation_as_input),
        ("BP119", mask_of_the_error),
        ("BP120", leaky_slope_missing),
        ("BP121", alpha_ignored),
        ("BP122", other_gelu),
        ("BP206", softsign_for_tanh),
        ("BP301", factor("half_squared_error", 2.0)),
        ("BP302", factor("squared_error", 0.5)),
        ("BP403", divided_twice),
        ("BP404", last_sample_only),
        ("BP601", softmax_of_its_own),
        ("BP603", derivative_twice),
        ("BP605", log_softmax_of_its_own),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_has_its_name(code: str, mistake: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """That name and no other, except where two bugs give the same numbers: 2e is another loss's derivative."""
    mistake(monkeypatch.setattr)
    # A convolution's softmax uses the chain rule where a dense one uses p − t: BP601 would be two causes.
    suites = ["graph"] if code == "BP601" else ["graph", "convolution"]
    results = check(python, suites=suites, cases=600 if code == "BP603" else 160)
    assert results.failed
    assert [cause.code for cause in results.causes] == [code]
    assert set(results.causes[0].equivalent) <= ({"BP306"} if code == "BP301" else set())


def test_right_it_passes() -> None:
    """Without any of them every case passes."""
    check(python, suites=["graph", "convolution"], cases=160).raise_for_mismatch()

"""A port for dense layers in NumPy, by another hand than the bundled ones: each stage is a line of code, as text.

A mistake is another text for a stage. ``answer`` is what ``backprop_check.check`` calls; what a line can use is in
``_names``: X (what the layer reads), Z, A, W, B, E (∂L/∂A), D (∂L/∂Z), T (targets), N (samples), and of the layer above
its D1, E1, Z1, A1, W1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

STAGES = {
    "z": "X @ W.T + B",
    "a": "phi(Z)",
    "output delta": "E * slope(Z)",
    "sent back": "D1 @ W1",
    "hidden delta": "E * slope(Z)",
    "weight gradient": "D.T @ X",
    "bias gradient": "D.sum(axis=0)",
}


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


PHI = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (lambda z: np.log1p(np.exp(z)), sigmoid),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z)))),
}

SUPPORTS = {
    "layers": ["dense"],
    "activations": list(PHI),
    "losses": ["half_squared_error", "squared_error"],
    "optimizers": ["sgd"],
    "batch": True,
}


class Layer:
    """One layer of a case, and the arrays of its pass."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.phi, self.slope = PHI[spec["activation"]]
        self.W, self.B = (np.array(spec["parameters"][name]) for name in ("weights", "biases"))
        self.X = self.Z = self.A = self.E = self.D = self.dW = self.dB = np.zeros(0)

    def reported(self) -> dict[str, Any]:
        """What a reply says of the layer."""
        gradients = {"weights": self.dW.tolist(), "biases": self.dB.tolist()}
        return {"z": self.Z.tolist(), "a": self.A.tolist(), "delta": self.D.tolist(), "gradients": gradients}


def _names(layer: Layer, above: Layer | None, t: Array, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "X": layer.X,
        "Z": layer.Z,
        "A": layer.A,
        "W": layer.W,
        "B": layer.B,
        "E": layer.E,
        "D": layer.D,
    }
    if above is not None:
        own |= {"D1": above.D, "E1": above.E, "Z1": above.Z, "A1": above.A, "W1": above.W, "slope1": above.slope}
    return {**own, "T": t, "N": len(t), "np": np, "phi": layer.phi, "slope": layer.slope, "sigmoid": sigmoid, **more}


def port(stages: dict[str, str]) -> Any:
    """The port with these lines in the place of its own."""
    code = {name: compile(text, name, "eval") for name, text in {**STAGES, **stages}.items()}

    def line(stage: str, layer: Layer, above: Layer | None, t: Array, **more: Any) -> Array:
        with np.errstate(all="ignore"):
            return eval(code[stage], _names(layer, above, t, **more))  # noqa: S307 - a line of this port's own code

    def forward_and_back(layers: list[Layer], x: Array, t: Array, factor: float) -> None:
        flow = x
        for layer in layers:
            layer.X = flow
            layer.Z = line("z", layer, None, t)
            layer.A = flow = line("a", layer, None, t)
        above: Layer | None = None
        for layer in reversed(layers):
            layer.E = factor * (layer.A - t) if above is None else line("sent back", layer, above, t)
            layer.D = line("output delta" if above is None else "hidden delta", layer, above, t)
            above = layer
        for layer in layers:
            last = layer is layers[-1]
            layer.dW = np.broadcast_to(line("weight gradient", layer, None, t, last=last), layer.W.shape)
            layer.dB = np.broadcast_to(line("bias gradient", layer, None, t, last=last), layer.B.shape)

    def answer(case: dict[str, Any]) -> dict[str, Any]:
        layers = [Layer(spec) for spec in case["network"]["layers"]]
        x, t = np.array(case["inputs"], dtype=float), np.array(case["targets"], dtype=float)
        factor = (2.0 if case["loss"]["kind"] == "squared_error" else 1.0) / (
            len(x) if case["reduction"] == "mean" else 1
        )
        rate = case["optimizer"]["learning_rate"] if "optimizer" in case else None
        reply: dict[str, Any] = {}
        trajectory: list[dict[str, Any]] = []
        for _ in range(case.get("steps", 1)):
            forward_and_back(layers, x, t, factor)
            loss = float(factor / 2 * ((layers[-1].A - t) ** 2).sum())
            reply = reply or {"loss": loss, "layers": [layer.reported() for layer in layers]}
            if rate is not None:
                for layer in layers:
                    layer.W, layer.B = layer.W - rate * layer.dW, layer.B - rate * layer.dB
                updated = [{"updated": {"weights": l.W.tolist(), "biases": l.B.tolist()}} for l in layers]
                trajectory.append({"loss": loss, "layers": updated})
        if trajectory:
            pairs = zip(reply["layers"], trajectory[-1]["layers"], strict=True)
            reply["layers"] = [{**one, **own} for one, own in pairs]
        return reply | ({"trajectory": trajectory} if len(trajectory) > 1 else {})

    answer.supports = SUPPORTS  # type: ignore[attr-defined]
    return answer

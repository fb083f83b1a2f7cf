"""A whole backward pass in matrices, with mistakes that can be switched on.

Written as a programmer writes it with numpy, independently of the reference's stages: a bug that the diagnosis names
has not been found by comparing the stages with themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
Array = NDArray[Any]

SUPPORTS: Json = {
    "layers": ["dense"],
    "activations": ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "softmax"],
    "losses": ["half_squared_error", "squared_error", "mean_squared_error", "binary_cross_entropy", "cross_entropy"],
    "optimizers": ["sgd"],
    "batch": True,
}


def implementation(
    *mistakes: str, report: str = "all", dtype: str = "float64", **parameters: float
) -> Callable[[Json], Json]:
    """A callable for ``check``. ``report`` is ``all`` or ``gradients``; ``parameters`` are the mistakes' own."""

    def tiny(case: Json) -> Json:
        reply = Tiny(case, frozenset(mistakes), np.float32 if dtype == "float32" else np.float64, parameters).reply()
        return {"layers": [{"gradients": each["gradients"]} for each in reply["layers"]]} if report != "all" else reply

    tiny.dtype = dtype  # type: ignore[attr-defined]
    tiny.supports = SUPPORTS  # type: ignore[attr-defined]
    return tiny


class Tiny:
    """One case. The mistakes are looked up by name where they belong."""

    def __init__(self, case: Json, mistakes: frozenset[str], dtype: type, parameters: dict[str, float]) -> None:
        self.case, self.on, self.parameters, self.dtype = case, mistakes, parameters, dtype
        self.layers = case["network"]["layers"]
        self.w: list[Array] = [np.array(layer["parameters"]["weights"], dtype) for layer in self.layers]
        self.b: list[Array] = [np.array(layer["parameters"]["biases"], dtype) for layer in self.layers]
        self.x: Array = np.array(case["inputs"], dtype)
        self.t: Array = np.array(case["targets"], dtype)
        self.before: dict[int, Array] = {}
        self.share = dtype(1.0 / len(self.x)) if case["reduction"] == "mean" else dtype(1.0)

    def reply(self) -> Json:
        first = self.one_pass()
        optimizer = self.case.get("optimizer")
        if optimizer is None:
            return self.rounded(first)
        rate, trajectory, done = self.dtype(optimizer["learning_rate"]), [], first
        for step in range(self.case["steps"]):
            done = first if step == 0 else self.one_pass()
            for index, layer in enumerate(done["layers"]):
                sign = -1.0 if "gradient-ascent" in self.on else 1.0
                factor = rate * rate if "rate-twice" in self.on else rate
                self.w[index] = self.w[index] - self.dtype(sign) * factor * layer["gradients"]["weights"]
                self.b[index] = self.b[index] - self.dtype(sign) * factor * layer["gradients"]["biases"]
            now = [{"updated": {"weights": w, "biases": b}} for w, b in zip(self.w, self.b, strict=True)]
            trajectory.append({"loss": done["loss"], "layers": now})
        for layer, end in zip(first["layers"], trajectory[-1]["layers"], strict=True):
            layer["updated"] = end["updated"]
        first["trajectory"] = trajectory
        return self.rounded(first)

    def rounded(self, reply: Json) -> Json:
        """Every number printed with that many digits, where ``digits`` asks for it."""
        digits = int(self.parameters.get("digits", 0))

        def shown(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: shown(item) for key, item in value.items()}
            if isinstance(value, list):
                return [shown(item) for item in value]
            if isinstance(value, np.ndarray):
                return shown(value.tolist())
            return float(f"{value:.{digits}g}") if digits else float(value)

        found: Json = shown(reply)
        return found

    # forward ------------------------------------------------------------------------------------

    def activation(self, z: Array, layer: Json) -> Array:
        kind = layer["activation"]
        if kind == "sigmoid":
            e = np.exp(-np.abs(z))
            return np.where(z >= 0, 1 / (1 + e), e / (1 + e))
        if kind == "tanh":
            return np.tanh(z)
        if kind in ("relu", "leaky_relu"):
            return np.where(z > 0, z, self.alpha(layer) * z)
        if kind == "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(e / e.sum(axis=1, keepdims=True))
        return z

    def alpha(self, layer: Json) -> Any:
        if layer["activation"] == "relu":
            return self.dtype(0.0)
        return self.dtype(self.parameters.get("alpha", layer["alpha"]))

    def slope(self, z: Array, a: Array, layer: Json) -> Array:
        kind = layer["activation"]
        if kind == "sigmoid":
            return np.asarray(a * (1 - a))
        if kind == "tanh":
            if "tanh-slope-of-a" in self.on:
                return np.asarray(1 - np.tanh(a) ** 2)
            return np.asarray(z if "tanh-slope-is-z" in self.on else 1 - a * a)
        if kind in ("relu", "leaky_relu"):
            return np.asarray(np.where(z > 0, self.dtype(1.0), self.alpha(layer)))
        return np.asarray(np.ones_like(z))

    # loss ---------------------------------------------------------------------------------------

    def loss(self, a: Array, z: Array) -> tuple[Array, Array]:
        """The loss of every sample, and ∂L/∂a of the reduced loss."""
        kind, t, outputs = self.case["loss"]["kind"], self.t, a.shape[1]
        if "clip" in self.parameters and kind in ("binary_cross_entropy", "cross_entropy"):
            return self.clipped(kind, a)
        epsilon = self.dtype(self.parameters.get("epsilon", 0.0))
        if kind == "binary_cross_entropy":
            terms = np.logaddexp(0, z) - t * z
            if epsilon or self.layers[-1]["activation"] == "softmax":
                terms = -(t * np.log(a + epsilon) + (1 - t) * np.log(1 - a + epsilon))
            with np.errstate(all="ignore"):  # 0/0, where p − t is used
                return terms.sum(axis=1), self.share * ((1 - t) / (1 - a + epsilon) - t / (a + epsilon))
        if kind == "cross_entropy":
            terms = -t * np.log(a + epsilon) if epsilon else -t * self.log_softmax(z)
            with np.errstate(all="ignore"):
                return terms.sum(axis=1), -self.share * t / (a + epsilon)
        e = a - t
        factor = {"half_squared_error": 1.0, "squared_error": 2.0, "mean_squared_error": 2.0 / outputs}[kind]
        if "factor-two-missing" in self.on and kind != "half_squared_error":
            factor /= 2.0
        size = {"half_squared_error": 0.5, "squared_error": 1.0, "mean_squared_error": 1.0 / outputs}[kind]
        return self.dtype(size) * (e * e).sum(axis=1), self.share * (self.dtype(factor) * e)

    def clipped(self, kind: str, a: Array) -> tuple[Array, Array]:
        """The loss with p clipped to [ε, 1 − ε], and its derivative with the mistakes."""
        t, edge = self.t, self.parameters["clip"]
        c = np.clip(a, edge, 1 - edge)
        terms = -t * np.log(c) - ((1 - t) * np.log(1 - c) if kind == "binary_cross_entropy" else 0.0)
        slope = -t / c + ((1 - t) / (1 - c) if kind == "binary_cross_entropy" else 0.0)
        if "no-gradient-where-clipped" in self.on:
            slope = np.where(a == c, slope, 0.0)
        return terms.sum(axis=1), self.share * slope

    @staticmethod
    def log_softmax(z: Array) -> Array:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    # backward -----------------------------------------------------------------------------------

    def output_delta(self, z: Array, a: Array, error: Array) -> Array:
        last, kind = self.layers[-1], self.case["loss"]["kind"]
        matched = (last["activation"], kind) in {("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy")}
        composed = "epsilon" in self.parameters or self.on & {"derivative-of-clipped", "no-gradient-where-clipped"}
        if matched and not composed:
            return (
                np.asarray(self.share * (a * self.t.sum(axis=1, keepdims=True) - self.t))
                if (last["activation"] == "softmax")
                else np.asarray(self.share * (a - self.t))
            )
        return self.chained(error, z, a, last)

    def chained(self, error: Array, z: Array, a: Array, layer: Json) -> Array:
        """The chain rule with softmax's Jacobian."""
        if layer["activation"] == "softmax":
            return np.asarray(a * (error - (error * a).sum(axis=1, keepdims=True)))
        return np.asarray(error * self.slope(z, a, layer))

    def one_pass(self) -> Json:
        zs, activations = [], [self.x]
        for layer, w, b in zip(self.layers, self.w, self.b, strict=True):
            bias = 0 * b if "bias-missing" in self.on else b
            if "bias-twice" in self.on:
                bias = 2 * b
            zs.append(activations[-1] @ w.T + bias)
            activations.append(self.activation(zs[-1], layer))
        losses, error = self.loss(activations[-1], zs[-1])
        layers: list[Json] = [{} for _ in self.layers]
        delta = self.output_delta(zs[-1], activations[-1], error)
        if "output-delta-root" in self.on:
            delta = np.sign(delta) * np.sqrt(abs(delta))
        for index in reversed(range(len(layers))):
            if index < len(layers) - 1:
                delta = self.hidden_delta(index, delta, zs[index], activations[index + 1])
            layers[index] = {
                "z": zs[index],
                "a": activations[index + 1],
                "delta": delta,
                "gradients": self.gradients(delta, activations[index], index),
            }
        return {
            "loss": losses.sum() * self.share,
            "layers": layers,
            "input_gradients": delta @ self.w[0],
        }

    def hidden_delta(self, index: int, behind: Array, z: Array, a: Array) -> Array:
        w = self.w[index + 1]
        if "updated-too-early" in self.on and "optimizer" in self.case:
            rate = self.case["optimizer"]["learning_rate"]
            w = w - rate * (behind.T @ self.before[index + 1])
        error = behind @ w
        if "neighbour-added" in self.on:
            error = error + 0.5 * np.roll(error, 1, axis=1)
        if "weights-squared" in self.on:
            error = behind @ (w * w)
        layer, first = self.layers[index], index == 0
        right = self.chained(error, z, a, layer)
        if "hidden-derivative-missing" in self.on or ("derivative-missing-in-layer-0" in self.on and first):
            return np.asarray(error)
        if "tanh-derivative-missing" in self.on and layer["activation"] == "tanh":
            return np.asarray(error)
        if "derivative-missing-in-neuron-1" in self.on and first:
            right[:, 1:2] = error[:, 1:2]
        if "tanh-of-delta" in self.on:
            return np.asarray(np.tanh(right))
        return right

    def gradients(self, delta: Array, before: Array, index: int) -> Json:
        self.before[index] = before
        weights, biases = delta.T @ before, delta.sum(axis=0)
        if "bias-gradient-shared" in self.on:
            biases = np.full_like(biases, biases.sum())
        if "last-input-skipped" in self.on:
            weights = np.concatenate([weights[:, :-1], 0 * weights[:, -1:]], axis=1)
        if "absolute-weights" in self.on:
            weights = abs(weights)
        if "gradient-73" in self.on:
            weights = np.concatenate([0.7312 * weights[:1], weights[1:]])
        return {"weights": weights, "biases": biases}

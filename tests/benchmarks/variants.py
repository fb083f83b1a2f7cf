"""Correct implementations of dense networks in numpy, in the many ways in which people write them.

They share nothing with the package: neither its formulas nor its types. ``Style`` says how one author
writes; ``backprop`` computes a case of the protocol (a dict) in that style and returns the reply.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class Style(NamedTuple):
    """How one author writes the computations that everybody makes."""

    dtype: str = "float64"
    #: blas, sequential, reversed, shuffled, pairwise
    order: str = "blas"
    #: the bias is added last, or the sum starts with it
    bias: str = "last"
    #: library (tanh, log1p, expm1, e^−|z|), textbook (as printed), other (a third way)
    formulas: str = "library"
    #: library, textbook or other, for the derivatives
    slopes: str = "library"
    #: fused (p − t), quotient ((p − t)/(p(1 − p)) · p(1 − p)), chain (−t/p, then the Jacobian)
    loss: str = "fused"
    #: where the mean divides: early (δ of the output), reciprocal (times 1/N there), late (the gradients, at the end)
    division: str = "early"


STYLES = {
    "library": {},
    "shuffled sums": {"order": "shuffled"},
    "sequential sums": {"order": "sequential", "bias": "first"},
    "reversed sums": {"order": "reversed", "bias": "first"},
    "pairwise sums": {"order": "pairwise"},
    "textbook formulas": {"formulas": "textbook", "slopes": "textbook"},
    "other formulas": {"formulas": "other", "slopes": "other"},
    "cross-entropy through p(1 − p)": {"loss": "quotient", "formulas": "textbook"},
    "cross-entropy by the chain rule": {"loss": "chain", "formulas": "textbook"},
    "division at the end": {"division": "late", "order": "shuffled"},
    "times 1/N": {"division": "reciprocal"},
    "everything mixed": {},
}

CHOICES = {
    "order": ("blas", "sequential", "reversed", "shuffled", "pairwise"),
    "bias": ("last", "first"),
    "formulas": ("library", "textbook", "other"),
    "slopes": ("library", "textbook", "other"),
    "loss": ("fused", "quotient", "chain"),
    "division": ("early", "reciprocal", "late"),
}


def style(name: str, dtype: str, random: np.random.Generator) -> Style:
    """The style of that name; ``everything mixed`` is a different one each time."""
    if name == "everything mixed":
        return Style(dtype, **{key: str(random.choice(values)) for key, values in CHOICES.items()})
    return Style(dtype, **STYLES[name])


class Network:
    """One case, computed in one style."""

    def __init__(self, case: dict[str, Any], style: Style, random: np.random.Generator) -> None:
        self.case, self.style, self.random = case, style, random
        self.real = np.float64 if style.dtype == "float64" else np.float32
        self.layers = [
            (self.array(layer["parameters"]["weights"]), self.array(layer["parameters"]["biases"]), layer)
            for layer in case["network"]["layers"]
        ]
        self.x, self.t = self.array(case["inputs"]), self.array(case["targets"])
        self.mean = case.get("reduction", "mean") == "mean"

    def array(self, values: Any) -> Any:
        return np.array(values, dtype=self.real)

    # Sums -----------------------------------------------------------------------------------------

    def add_up(self, terms: Any) -> Any:
        """The sum along the last axis, in the author's order."""
        order = self.style.order
        if order == "blas":
            return terms.sum(axis=-1)
        if order == "pairwise":
            while terms.shape[-1] > 1:
                if terms.shape[-1] % 2:
                    terms = np.concatenate([terms, np.zeros_like(terms[..., :1])], axis=-1)
                terms = terms[..., ::2] + terms[..., 1::2]
            return terms[..., 0]
        places = np.arange(terms.shape[-1])
        if order == "shuffled":
            self.random.shuffle(places)
        elif order == "reversed":
            places = places[::-1]
        total = terms[..., places[0]]
        for place in places[1:]:
            total = total + terms[..., place]
        return total

    def product(self, x: Any, y: Any, bias: Any = None) -> Any:
        """The product x yᵀ: rows of x times rows of y."""
        if self.style.order == "blas":
            return x @ y.T if bias is None else x @ y.T + bias
        terms = x[:, None, :] * y[None, :, :]
        if bias is None:
            return self.add_up(terms)
        if self.style.bias == "last":
            return self.add_up(terms) + bias
        first = np.broadcast_to(bias[None, :, None], (*terms.shape[:2], 1))
        return self.add_up(np.concatenate([first, terms], axis=-1))

    # Activations ----------------------------------------------------------------------------------

    def sigmoid(self, z: Any) -> Any:
        if self.style.formulas == "textbook":
            return 1 / (1 + np.exp(-z))
        if self.style.formulas == "other":
            return self.real(0.5) * (1 + np.tanh(z / 2))
        e = np.exp(-abs(z))
        return np.where(z >= 0, 1 / (1 + e), e / (1 + e))

    def normal(self, z: Any) -> Any:
        flat = [0.5 * math.erfc(-x / math.sqrt(2.0)) for x in z.ravel().tolist()]
        if self.style.formulas != "library":
            root = self.real(math.sqrt(2.0))
            erf = self.array([math.erf(x) for x in (z / root).ravel().tolist()]).reshape(z.shape)
            return (1 + erf) / 2
        return self.array(flat).reshape(z.shape)

    def activate(self, layer: dict[str, Any], z: Any) -> Any:  # noqa: PLR0912 - one branch an activation
        how = self.style.formulas
        match layer["activation"]:
            case "identity":
                return z
            case "sigmoid":
                return self.sigmoid(z)
            case "tanh":
                if how == "textbook":
                    e = np.exp(2 * z)
                    return (e - 1) / (e + 1)
                if how == "other":
                    e, f = np.exp(z), np.exp(-z)
                    return (e - f) / (e + f)
                return np.tanh(z)
            case "relu":
                return np.maximum(z, 0)
            case "leaky_relu":
                return np.where(z > 0, z, self.real(layer.get("alpha", 0.01)) * z)
            case "elu":
                alpha = self.real(layer.get("alpha", 1.0))
                return np.where(z > 0, z, alpha * (np.expm1(z) if how == "library" else np.exp(z) - 1))
            case "softplus":
                if how == "library":
                    return np.maximum(z, 0) + np.log1p(np.exp(-abs(z)))
                return np.log(1 + np.exp(z)) if how == "textbook" else z + np.log(1 + np.exp(-z))
            case "softsign":
                return z / (1 + abs(z))
            case "silu":
                return z / (1 + np.exp(-z)) if how == "textbook" else z * self.sigmoid(z)
            case "gelu":
                return z * self.normal(z)
            case "hard_tanh":
                return np.clip(z, -1, 1)
            case "softmax":
                if how == "textbook":
                    e = np.exp(z)
                    return e / self.add_up(e)[:, None]
                e = np.exp(z - z.max(axis=-1, keepdims=True))
                if how == "other":
                    return np.exp(z - z.max(axis=-1, keepdims=True) - np.log(self.add_up(e))[:, None])
                return e / self.add_up(e)[:, None]
            case _:
                top = z.max(axis=-1, keepdims=True)
                e = np.exp(z - top)
                if how == "textbook":
                    return np.log(e / self.add_up(e)[:, None])
                if how == "other":
                    return z - (top + np.log(self.add_up(e))[:, None])
                return z - top - np.log(self.add_up(e))[:, None]

    def back(self, layer: dict[str, Any], z: Any, a: Any, g: Any) -> Any:  # noqa: PLR0912 - one branch an activation
        """∂L/∂z from ∂L/∂a."""
        how, one = self.style.slopes, self.real(1.0)
        match layer["activation"]:
            case "identity":
                return g
            case "sigmoid":
                if how == "other":
                    e = np.exp(-z)
                    return g * (e / ((1 + e) * (1 + e)))
                return g * (a - a * a) if how == "textbook" else g * a * (1 - a)
            case "tanh":
                if how == "other":
                    e = np.exp(z) + np.exp(-z)
                    return g * (4 / (e * e))
                return g * ((1 - a) * (1 + a)) if how == "textbook" else g * (1 - a**2)
            case "relu":
                return g * (z > 0)
            case "leaky_relu":
                return g * np.where(z > 0, one, self.real(layer.get("alpha", 0.01)))
            case "elu":
                alpha = self.real(layer.get("alpha", 1.0))
                return g * np.where(z > 0, one, a + alpha if how == "textbook" else alpha * np.exp(z))
            case "softplus":
                if how == "textbook":
                    return g * (np.exp(z) / (1 + np.exp(z)))
                return g * (1 - np.exp(-a)) if how == "other" else g * self.sigmoid(z)
            case "softsign":
                return g * (1 - abs(a)) ** 2 if how == "textbook" else g / (1 + abs(z)) ** 2
            case "silu":
                s = self.sigmoid(z)
                if how == "other":
                    return g * (a + s * (1 - a))
                return g * (s * (1 + z * (1 - s))) if how == "textbook" else g * (s + z * s * (1 - s))
            case "gelu":
                density = np.exp(-z * z / 2) / self.real(math.sqrt(2 * math.pi))
                return g * (self.normal(z) + z * density)
            case "hard_tanh":
                return g * ((z > -1) & (z < 1))
            case "softmax":
                if how == "textbook":
                    jacobian = np.eye(a.shape[1], dtype=self.real)[None] * a[:, :, None] - a[:, :, None] * a[:, None, :]
                    return self.add_up(jacobian * g[:, None, :])
                if how == "other":
                    return g * a - a * self.add_up(g * a)[:, None]
                return a * (g - self.add_up(g * a)[:, None])
            case _:
                if how == "other":
                    e = np.exp(z - z.max(axis=-1, keepdims=True))
                    return g - e / self.add_up(e)[:, None] * self.add_up(g)[:, None]
                return g - np.exp(a) * self.add_up(g)[:, None]

    # Losses ---------------------------------------------------------------------------------------

    def losses(self, z: Any, a: Any) -> Any:
        """The loss of every sample."""
        t, e, kind, last = self.t, a - self.t, self.case["loss"]["kind"], self.layers[-1][2]["activation"]
        width = t.shape[1]
        match kind:
            case "half_squared_error":
                return self.add_up(e * e / 2) if self.style.loss == "fused" else self.real(0.5) * self.add_up(e**2)
            case "squared_error":
                return self.add_up(e * e)
            case "mean_squared_error":
                return self.add_up(e * e) / width if self.style.loss == "fused" else self.add_up(e * e / width)
            case "mean_absolute_error":
                return self.add_up(abs(e)) / width
            case "huber":
                d, size = self.real(self.case["loss"].get("threshold", 1.0)), abs(e)
                beyond = d * size - d * d / 2 if self.style.loss == "chain" else d * (size - d / 2)
                return self.add_up(np.where(size <= d, e * e / 2, beyond)) / width
            case "hinge":
                return self.add_up(np.maximum(0, 1 - t * a))
            case "negative_log_likelihood":
                return -self.add_up(t * a)
            case "binary_cross_entropy" if last == "sigmoid" and self.style.loss == "fused":
                return self.add_up(np.maximum(z, 0) - t * z + np.log1p(np.exp(-abs(z))))
            case "binary_cross_entropy":
                return -self.add_up(t * np.log(a) + (1 - t) * np.log(1 - a))
            case _ if self.style.loss == "fused":
                top = z.max(axis=-1, keepdims=True)
                return -self.add_up(t * (z - top - np.log(self.add_up(np.exp(z - top)))[:, None]))
            case _:
                return -self.add_up(t * np.log(a))

    def slope(self, a: Any) -> Any:
        """∂ℓ/∂a of every sample."""
        t, e, kind, width = self.t, a - self.t, self.case["loss"]["kind"], self.t.shape[1]
        match kind:
            case "half_squared_error":
                return e
            case "squared_error":
                return 2 * e
            case "mean_squared_error":
                return 2 * e / width if self.style.loss == "fused" else self.real(2 / width) * e
            case "mean_absolute_error":
                return np.sign(e) / width
            case "huber":
                d = self.real(self.case["loss"].get("threshold", 1.0))
                return np.clip(e, -d, d) / width
            case "hinge":
                return np.where(1 - t * a > 0, -t, self.real(0.0))
            case "negative_log_likelihood":
                return -t
            case "binary_cross_entropy":
                return e / (a * (1 - a)) if self.style.loss == "quotient" else -t / a + (1 - t) / (1 - a)
            case _:
                return -t / a

    # The pass -------------------------------------------------------------------------------------

    def shared(self, x: Any) -> Any:
        if not self.mean or self.style.division == "late":
            return x
        n = len(self.x)
        return x * self.real(1 / n) if self.style.division == "reciprocal" else x / n

    def late(self, x: Any) -> Any:
        return x / len(self.x) if self.mean and self.style.division == "late" else x

    def run(self) -> dict[str, Any]:
        """One forward and backward pass."""
        a, zs, activations = self.x, [], []
        for weights, biases, layer in self.layers:
            z = self.product(a, weights, biases)
            a = self.activate(layer, z)
            zs.append(z)
            activations.append(a)
        losses = self.losses(zs[-1], a)
        loss = self.add_up(losses)
        loss = loss / len(self.x) if self.mean else loss
        last, kind = self.layers[-1][2]["activation"], self.case["loss"]["kind"]
        matched = (last, kind) in (("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy"))
        if matched and self.style.loss == "fused":
            total = self.add_up(self.t)[:, None] if last == "softmax" else 1
            delta = self.shared(a * total - self.t)
        else:
            delta = self.back(self.layers[-1][2], zs[-1], a, self.shared(self.slope(a)))
        replies: list[dict[str, Any]] = []
        for index in reversed(range(len(self.layers))):
            weights, biases, layer = self.layers[index]
            before = activations[index - 1] if index else self.x
            gradients = {
                "weights": self.late(self.product(delta.T, before.T)),
                "biases": self.late(self.add_up(delta.T)),
            }
            replies.insert(
                0, {"z": zs[index], "a": activations[index], "delta": self.late(delta), "gradients": gradients}
            )
            error = self.product(delta, weights.T)
            delta = self.back(self.layers[index - 1][2], zs[index - 1], before, error) if index else error
        return {"loss": loss, "layers": replies, "input_gradients": self.late(delta)}


def backprop(case: dict[str, Any], style: Style, random: np.random.Generator) -> dict[str, Any]:
    """The reply to a case that a correct implementation of that style gives."""
    network = Network(case, style, random)
    with np.errstate(all="ignore"):
        first = network.run()
        if "optimizer" not in case:
            return first
        rate = network.real(case["optimizer"]["learning_rate"])
        trajectory, done = [], first
        for step in range(case.get("steps", 1)):
            done = network.run() if step else first
            network.layers = [
                (weights - rate * reply["gradients"]["weights"], biases - rate * reply["gradients"]["biases"], layer)
                for (weights, biases, layer), reply in zip(network.layers, done["layers"], strict=True)
            ]
            updated = [{"updated": {"weights": w, "biases": b}} for w, b, _ in network.layers]
            trajectory.append({"loss": done["loss"], "layers": updated})
    for reply, last in zip(first["layers"], trajectory[-1]["layers"], strict=True):
        reply["updated"] = last["updated"]
    first["trajectory"] = trajectory
    return first

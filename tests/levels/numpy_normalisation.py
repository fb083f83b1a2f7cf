"""Normalisation, dropout and embedding in numpy, written independently of the reference, with mistakes to switch on.

``Implementation(bug="BP901")`` is a callable for ``backprop_check.check``; two mistakes are joined by " and ".
``backward`` and ``variance`` choose between correct ways of writing these layers; ``dtype`` is the dtype of the
computation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Json = dict[str, Any]
Array = np.ndarray[Any, Any]

KINDS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "dropout", "embedding")

#: Every mistake: its code (and the variant), and what it does.
BUGS = {
    "BP901": "the gradient of the mean is left out",
    "BP902": "the gradient of the variance is left out",
    "BP902 constants": "mean and variance are taken as constants",
    "BP903": "backward without the scale",
    "BP904": "the variance is divided by n − 1, forward and backward",
    "BP904 forward": "the variance is divided by n − 1 forward, by n backward",
    "BP904 running": "the running variance is that of the batch, divided by n",
    "BP904 twice": "n − 1 for the variance, and once more for the running variance",
    "BP905": "ε is added to the standard deviation, forward and backward",
    "BP905 closed": "ε is added to the standard deviation, the backward pass is the usual formula with that",
    "BP905 forward": "ε is added to the standard deviation forward only",
    "BP906": "backward without the mask",
    "BP906 bare": "backward without the mask and without the scale",
    "BP907": "neither forward nor backward divides by 1 − p",
    "BP907 forward": "forward without 1/(1 − p)",
    "BP907 backward": "backward without 1/(1 − p)",
    "BP908": "the mask is read off the zeros of the output",
    "BP909": "the last of repeated indices overwrites the others",
    "BP909 sample": "the same within each sample; samples are summed",
    "BP909 first": "only the first of repeated indices counts",
}

#: Mistakes that the catalogue does not have.
OUTSIDE = {
    "momentum": "the running statistics keep `momentum` of the old, and take 1 − momentum of the new",
    "average": "the gradient of an embedding's row is divided by how often it was looked up",
    "keep": "p is taken as the probability of keeping: x · mask/p",
}


class Implementation:
    """A network of these layers and dense ones."""

    def __init__(
        self,
        bug: str = "",
        dtype: Any = np.float64,
        backward: str = "closed",
        variance: str = "two passes",
        *,
        report: bool = True,
    ) -> None:
        self.bugs, self.real, self.way, self.variance, self.report = (
            bug.split(" and "),
            dtype,
            backward,
            variance,
            report,
        )
        self.dtype = np.dtype(dtype).name
        self.supports = {"layers": ["dense", *KINDS], "optimizers": ["sgd"]}

    def is_(self, *bugs: str) -> bool:
        return any(bug in self.bugs for bug in bugs)

    def __call__(self, case: Json) -> Json:
        """Each step continues from the parameters and buffers of the one before."""
        steps = case["steps"] if case.get("optimizer") and self.report else 1
        passes: list[Json] = []
        for _ in range(steps):
            with np.errstate(all="ignore"):  # a mistake may divide by 0
                passes.append(self.one_step(case))
            layers = [
                {**layer, "parameters": one.get("updated") or layer.get("parameters", {}), **buffers_of(one)}
                for layer, one in zip(case["network"]["layers"], passes[-1]["layers"], strict=True)
            ]
            case = {**case, "network": {**case["network"], "layers": layers}}
        reply = passes[0]
        if steps > 1:
            changed = [[{"updated": one["updated"], **buffers_of(one)} for one in each["layers"]] for each in passes]
            pairs = zip(passes, changed, strict=True)
            reply["trajectory"] = [{"loss": each["loss"], "layers": layers} for each, layers in pairs]
            for one, last in zip(reply["layers"], changed[-1], strict=True):
                one.update(last)
        return reply

    def one_step(self, case: Json) -> Json:
        x = np.array(case["inputs"], dtype=self.real)
        targets = np.array(case["targets"], dtype=self.real)
        layers = case["network"]["layers"]
        made: list[Any] = []
        for layer in layers:
            made.append(MADE.get(layer["kind"], Norm)(self, layer))
            x = made[-1].forward(x)
        share = self.real(len(x)) if case["reduction"] == "mean" else self.real(1)
        loss, dx = losses(case["loss"], x.reshape(len(x), -1), targets.reshape(len(x), -1))
        loss, dx = loss.sum() / share, dx.reshape(x.shape) / share
        replies: list[Json] = []
        for unit in reversed(made):
            da, dx = dx, unit.backward(dx)
            one = {"gradients": unit.gradients, "a": unit.a, "delta": unit.delta if unit.z is not None else da}
            one |= {"z": unit.z} if unit.z is not None else {}
            if case.get("optimizer"):
                rate = self.real(case["optimizer"]["learning_rate"])
                one["updated"] = {name: unit.p[name] - rate * g for name, g in unit.gradients.items()}
            one |= {"buffers": unit.buffers} if unit.buffers else {}
            kept = one if self.report else {"gradients": one["gradients"]}
            replies.insert(0, kept)
        reply = {"id": case["id"], "layers": replies, "loss": loss, "input_gradients": dx}
        found: Json = plain(reply if self.report else {"id": case["id"], "layers": replies})
        return found


def buffers_of(one: Json) -> Json:
    return {"buffers": one["buffers"]} if "buffers" in one else {}


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def losses(loss: Json, a: Array, t: Array) -> tuple[Array, Array]:
    """The loss of each sample, and its derivatives."""
    e, count = a - t, a.dtype.type(a.shape[1])
    match loss["kind"]:
        case "half_squared_error":
            return (e * e).sum(1) / 2, e
        case "squared_error":
            return (e * e).sum(1), 2 * e
        case "mean_squared_error":
            return (e * e).sum(1) / count, 2 * e / count
        case "mean_absolute_error":
            return abs(e).sum(1) / count, np.sign(e) / count
        case "huber":
            d = a.dtype.type(loss["threshold"])
            near = abs(e) <= d
            return np.where(near, e * e / 2, d * (abs(e) - d / 2)).sum(1) / count, np.clip(e, -d, d) / count
        case "binary_cross_entropy":
            return -(t * np.log(a) + (1 - t) * np.log(1 - a)).sum(1), (1 - t) / (1 - a) - t / a
        case "cross_entropy":
            return -(t * np.log(a)).sum(1), -t / a
        case "negative_log_likelihood":
            return -(t * a).sum(1), -t
        case _:
            return np.maximum(0, 1 - t * a).sum(1), np.where(t * a < 1, -t, a.dtype.type(0))


class Layer:
    """What all layers have in common."""

    def __init__(self, of: Implementation, spec: Json) -> None:
        self.of, self.spec = of, spec
        self.p = {name: np.array(value, dtype=of.real) for name, value in spec.get("parameters", {}).items()}
        self.gradients: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.z: Any = None
        self.a: Any = None
        self.delta: Any = None


class Dense(Layer):
    """z = W x + b, a = φ(z)."""

    def forward(self, x: Array) -> Array:
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        self.z = self.x @ self.p["weights"].T + self.p["biases"]
        self.a, self.slope = activation(self.spec, self.z)
        return self.a  # type: ignore[no-any-return]

    def backward(self, da: Array) -> Array:
        if self.slope is None:
            whole = self.spec["activation"] == "softmax"
            p = self.a if whole else np.exp(self.a)
            self.delta = p * (da - (da * p).sum(1, keepdims=True)) if whole else da - p * da.sum(1, keepdims=True)
        else:
            self.delta = da * self.slope
        self.gradients = {"weights": self.delta.T @ self.x, "biases": self.delta.sum(0)}
        return (self.delta @ self.p["weights"]).reshape(self.shape)  # type: ignore[no-any-return]


def activation(spec: Json, z: Array) -> tuple[Array, Any]:
    """φ(z) and φ′(z)."""
    one = z.dtype.type(1)
    alpha = z.dtype.type(spec.get("alpha", 1))
    sigmoid = one / (one + np.exp(-z))
    match spec["activation"]:
        case "identity":
            return z, np.ones_like(z)
        case "sigmoid":
            return sigmoid, sigmoid * (one - sigmoid)
        case "tanh":
            return np.tanh(z), one - np.tanh(z) ** 2
        case "relu":
            return np.maximum(z, 0), (z > 0).astype(z.dtype)
        case "leaky_relu":
            return np.where(z > 0, z, alpha * z), np.where(z > 0, one, alpha)
        case "elu":
            return np.where(z > 0, z, alpha * np.expm1(z)), np.where(z > 0, one, alpha * np.exp(z))
        case "softplus":
            return np.logaddexp(z, z.dtype.type(0)), sigmoid
        case "softsign":
            return z / (one + abs(z)), one / (one + abs(z)) ** 2
        case "silu":
            return z * sigmoid, sigmoid * (one + z * (one - sigmoid))
        case "gelu":
            from math import erf, pi, sqrt  # noqa: PLC0415 - numpy has no error function

            phi = np.array([(1 + erf(x / sqrt(2))) / 2 for x in z.ravel().tolist()], z.dtype).reshape(z.shape)
            return z * phi, phi + z * np.exp(-z * z / 2) / z.dtype.type(sqrt(2 * pi))
        case "hard_tanh":
            return np.clip(z, -one, one), (abs(z) < 1).astype(z.dtype)
        case name:
            shifted = z - z.max(1, keepdims=True)
            total = np.exp(shifted).sum(1, keepdims=True)
            return (np.exp(shifted) / total if name == "softmax" else shifted - np.log(total)), None


class Norm(Layer):
    """Batch, layer, group, instance and RMS normalisation of rows: the numbers of a row are normalised together."""

    def rows(self, x: Array) -> Array:
        """One row for each group with its own mean and variance."""
        match self.spec["kind"]:
            case "batch_norm":
                return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
            case "group_norm":
                return x.reshape(len(x) * self.spec["num_groups"], -1)
            case "instance_norm":
                return x.reshape(x.shape[0] * x.shape[1], -1)
            case _:
                return x.reshape(-1, int(np.prod(self.spec["normalized_shape"])))

    def back(self, rows: Array) -> Array:
        """Rows in the input's shape again."""
        if self.spec["kind"] != "batch_norm":
            return rows.reshape(self.shape)
        channels_first = (self.shape[1], self.shape[0], *self.shape[2:])
        return np.moveaxis(rows.reshape(channels_first), 0, 1)

    def affine_shape(self) -> tuple[int, ...]:
        """The shape in which γ and β broadcast to x."""
        if "normalized_shape" in self.spec:
            return tuple(self.spec["normalized_shape"])
        return (self.shape[1], *(1 for _ in self.shape[2:]))

    def statistics(self, rows: Array) -> tuple[Array, Array, Array]:
        """The mean, the variance, and their number of values n."""
        n = rows.dtype.type(rows.shape[1])
        if self.spec["kind"] == "rms_norm":
            return np.zeros_like(rows[:, :1]), (rows * rows).sum(1, keepdims=True) / n, n
        if self.of.variance == "Welford":
            mean, m2 = np.zeros_like(rows[:, 0]), np.zeros_like(rows[:, 0])
            for count, column in enumerate(rows.T, 1):
                away = column - mean
                mean = mean + away / rows.dtype.type(count)
                m2 = m2 + away * (column - mean)
            return mean[:, None], m2[:, None] / n, n
        mean = rows.sum(1, keepdims=True) / n
        if self.of.variance == "squares":
            return mean, (rows * rows).sum(1, keepdims=True) / n - mean * mean, n
        return mean, ((rows - mean) ** 2).sum(1, keepdims=True) / n, n

    def forward(self, x: Array) -> Array:
        self.shape, bug = x.shape, self.of.is_
        rows, eps, given = self.rows(x), x.dtype.type(self.spec["eps"]), self.spec.get("buffers", {})
        self.fixed = self.spec["kind"] == "batch_norm" and not self.spec["training"]
        rms = self.spec["kind"] == "rms_norm"
        if self.fixed:
            mean, variance = (np.array(given[name], dtype=x.dtype)[:, None] for name in ("running_mean", "running_var"))
            n = x.dtype.type(1)
        else:
            mean, variance, n = self.statistics(rows)
            of_batch = variance
            if bug("BP904", "BP904 forward", "BP904 twice") and not rms and n > 1:
                variance = variance * n / (n - 1)
            if given:
                self.move(given, mean[:, 0], (variance if bug("BP904 twice") else of_batch)[:, 0], n)
        self.d, self.n, self.eps, self.variance = rows - mean, n, eps, variance
        self.inverse = 1 / np.sqrt(variance + eps)
        if bug("BP905", "BP905 closed", "BP905 forward"):
            self.inverse = 1 / (np.sqrt(variance) + eps)
        self.xhat = self.d * self.inverse
        self.a = self.back(self.xhat)
        if "weight" in self.p:
            self.a = self.a * self.p["weight"].reshape(self.affine_shape())
        if "bias" in self.p:
            self.a = self.a + self.p["bias"].reshape(self.affine_shape())
        return self.a  # type: ignore[no-any-return]

    def move(self, given: Json, mean: Array, variance: Array, n: Array) -> None:
        """The running statistics, updated with the batch's."""
        own = mean.dtype.type(self.spec["momentum"])
        if self.of.is_("momentum"):
            own = 1 - own
        unbiased = variance if self.of.is_("BP904 running") else variance * n / (n - 1)
        for name, batch in (("running_mean", mean), ("running_var", unbiased)):
            self.buffers[name] = (1 - own) * np.array(given[name], dtype=mean.dtype) + own * batch

    def backward(self, da: Array) -> Array:
        shape, bug = self.affine_shape(), self.of.is_
        axes = tuple(axis for axis in range(da.ndim) if axis < da.ndim - len(shape) or shape[axis - da.ndim] == 1)
        if self.spec["kind"] not in ("layer_norm", "rms_norm"):
            axes = tuple(axis for axis in range(da.ndim) if axis != 1)
        g = da
        if "weight" in self.p:
            self.gradients["weight"] = (da * self.back(self.xhat)).sum(axes).reshape(self.p["weight"].shape)
            g = da if bug("BP903") else da * self.p["weight"].reshape(shape)
        if "bias" in self.p:
            self.gradients["bias"] = da.sum(axes).reshape(self.p["bias"].shape)
        rows = self.rows(g)
        if bug("BP905 forward"):
            self.inverse = 1 / np.sqrt(self.variance + self.eps)
            self.xhat = self.d * self.inverse
        return self.back(rows * self.inverse if self.fixed else self.through(rows))

    def through(self, g: Array) -> Array:
        """∂L/∂x from ∂L/∂x̂."""
        bug, n, inverse, xhat, rms = self.of.is_, self.n, self.inverse, self.xhat, self.spec["kind"] == "rms_norm"
        if self.of.way == "chain" or bug("BP905"):
            return self.by_chain_rule(g)
        mean = 0 if rms or bug("BP901", "BP902 constants") else g.sum(1, keepdims=True)
        count = n - 1 if bug("BP904") and not rms and n > 1 else n
        spread = xhat * (g * xhat).sum(1, keepdims=True) * (n / count)
        if bug("BP902", "BP902 constants"):
            spread = 0 * spread
        return inverse / n * (n * g - mean - spread)  # type: ignore[no-any-return]

    def by_chain_rule(self, g: Array) -> Array:
        """Step by step: through the standard deviation, the variance, the mean."""
        rms = self.spec["kind"] == "rms_norm"
        d_inverse = (g * self.d).sum(1, keepdims=True)
        if self.of.is_("BP905"):
            d_variance = -d_inverse * self.inverse**2 / (2 * np.sqrt(self.variance))
        else:
            d_variance = -d_inverse * (self.variance + self.eps) ** self.d.dtype.type(-1.5) / 2
        d_d = g * self.inverse + self.d * 2 / self.n * d_variance
        d_mean = 0 if rms else -d_d.sum(1, keepdims=True)
        return d_d + d_mean / self.n  # type: ignore[no-any-return]


class Dropout(Layer):
    """a = x · mask/(1 − p)."""

    def forward(self, x: Array) -> Array:
        self.mask = np.array(self.spec["mask"], dtype=x.dtype) if self.spec["training"] else None
        p = x.dtype.type(self.spec["p"])
        self.scale = 1 / (p if self.of.is_("keep") and p > 0 else 1 - p)
        scale = 1 if self.of.is_("BP907", "BP907 forward") else self.scale
        self.a = x * 1 if self.mask is None else x * self.mask * scale
        return self.a  # type: ignore[no-any-return]

    def backward(self, da: Array) -> Array:
        bug, mask, scale = self.of.is_, self.mask, self.scale
        if mask is None:
            return da
        if bug("BP906", "BP906 bare"):
            mask = np.ones_like(mask)
        if bug("BP908"):
            mask = (self.a != 0).astype(mask.dtype)
        if bug("BP906 bare", "BP907", "BP907 backward"):
            scale = scale / scale
        dx: Array = da * mask * scale
        return dx


class Embedding(Layer):
    """a[t] = weight[x[t]]."""

    def forward(self, x: Array) -> Array:
        self.indices = x.astype(int)
        self.a = self.p["weight"][self.indices]
        return self.a  # type: ignore[no-any-return]

    def backward(self, da: Array) -> Array:
        total = np.zeros_like(self.p["weight"])
        if self.of.is_("BP909"):
            total[self.indices] += da
        elif self.of.is_("BP909 sample"):
            for indices, each in zip(self.indices, da, strict=True):
                total[indices] += each
        elif self.of.is_("BP909 first"):
            total[self.indices[::-1, ::-1]] += da[::-1, ::-1]
        else:
            np.add.at(total, self.indices, da)
        if self.of.is_("average"):
            total = total / np.maximum(1, np.bincount(self.indices.ravel(), minlength=len(total)))[:, None]
        if self.spec.get("padding_idx") is not None:
            total[self.spec["padding_idx"]] = 0
        self.gradients = {"weight": total}
        return np.zeros(self.indices.shape, da.dtype)


#: All other kinds are norms.
MADE: dict[str, Any] = {"dense": Dense, "dropout": Dropout, "embedding": Embedding}

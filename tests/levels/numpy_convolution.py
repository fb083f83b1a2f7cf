"""Convolution and pooling in numpy, written independently of the package, with mistakes that can be switched on.

It has no circuits and wirings: forward it cuts windows out of the padded input, backward it adds to windows
of a padded gradient, as people usually write it. ``plain`` is correct; ``plain(mistake)`` makes one mistake.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Array = Any

#: φ of z and α, and φ′ of z, a and α.
ACTIVATIONS: dict[str, Any] = {
    "identity": (lambda z, _: z, lambda _z, a, _: np.ones_like(a)),
    "tanh": (lambda z, _: np.tanh(z), lambda _z, a, _: 1 - a * a),
    "relu": (lambda z, _: np.maximum(z, 0), lambda z, _a, _: (z > 0).astype(z.dtype)),
    "sigmoid": (lambda z, _: 1 / (1 + np.exp(-z)), lambda _z, a, _: a * (1 - a)),
    "leaky_relu": (lambda z, alpha: np.where(z > 0, z, alpha * z), lambda z, _a, alpha: np.where(z > 0, 1.0, alpha)),
    "softplus": (lambda z, _: np.logaddexp(0, z), lambda z, _a, _: 1 / (1 + np.exp(-z))),
    "elu": (
        lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(z)),
        lambda z, _a, alpha: np.where(z > 0, 1.0, alpha * np.exp(z)),
    ),
}

CONVOLUTIONS = ["conv1d", "conv2d"]
TRANSPOSED = ["conv_transpose1d", "conv_transpose2d"]
MAXIMUM = ["max_pool1d", "max_pool2d"]
AVERAGE = ["avg_pool1d", "avg_pool2d"]
WHOLE = ["global_avg_pool", "global_max_pool", "flatten", "upsample"]


class Layer:
    """One layer: ``forward`` keeps what ``backward`` needs."""

    def __init__(self, spec: dict[str, Any], mistake: str, dtype: type) -> None:
        self.spec, self.mistake, self.dtype = spec, mistake, dtype
        self.parameters: dict[str, Array] = {
            name: np.array(value, dtype) for name, value in spec.get("parameters", {}).items()
        }
        self.gradients: dict[str, Array] = {}
        self.z: Array = None
        self.alpha = dtype(spec.get("alpha") or 0)

    def option(self, name: str, value: int, axes: int) -> list[int]:
        return list(self.spec.get(name) or [value] * axes)

    def activate(self, z: Array) -> Array:
        self.z = z
        self.a = ACTIVATIONS[self.spec.get("activation", "identity")][0](z, self.alpha).astype(self.dtype)
        return self.a

    def back(self, g: Array) -> Array:
        return g * ACTIVATIONS[self.spec.get("activation", "identity")][1](self.z, self.a, self.alpha).astype(
            self.dtype
        )


class Dense(Layer):
    def forward(self, x: Array) -> Array:
        self.x, self.shape = x.reshape(len(x), -1), x.shape
        return self.activate(self.x @ self.parameters["weights"].T + self.parameters["biases"])

    def backward(self, g: Array) -> Array:
        self.delta = self.back(g)
        self.gradients = {"weights": self.delta.T @ self.x, "biases": self.delta.sum(0)}
        return (self.delta @ self.parameters["weights"]).reshape(self.shape)


class Windows:
    """Slices of a padded array: window o, every ``dilation``-th element."""

    def __init__(self, kernel: list[int], stride: list[int], dilation: list[int]) -> None:
        self.kernel, self.stride, self.dilation = kernel, stride, dilation

    def at(self, o: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(
            slice(i * s, i * s + d * (k - 1) + 1, d)
            for i, k, s, d in zip(o, self.kernel, self.stride, self.dilation, strict=True)
        )


def padded(x: Array, before: list[int], after: list[int], value: float = 0.0) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)], constant_values=value)


def flipped(w: Array) -> Array:
    return np.flip(w, tuple(range(2, w.ndim)))


class Convolution(Layer):
    """Group by group, position by position."""

    def prepare(self, axes: int) -> None:
        self.stride, self.dilation = self.option("stride", 1, axes), self.option("dilation", 1, axes)
        self.padding, self.groups = self.option("padding", 0, axes), self.spec.get("groups", 1)
        self.windows = Windows(self.spec["kernel_size"], self.stride, self.dilation)

    def group(self, x: Array, channels: int, g: int) -> Array:
        size = channels // self.groups
        return x[:, g * size : (g + 1) * size]

    def forward(self, x: Array) -> Array:
        self.prepare(x.ndim - 2)
        self.x, w = padded(x, self.padding, self.padding), self.parameters["weight"]
        if self.mistake in ("flipped forward", "flipped everywhere"):
            w = flipped(w)
        if self.mistake == "first channel's kernel":
            w = np.repeat(w[:, :1], w.shape[1], 1)
        if self.mistake == "channels transposed" and len(w) // self.groups == w.shape[1]:
            w = np.concatenate([part.swapaxes(0, 1) for part in np.split(w, self.groups)])
        sizes = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(self.x.shape[2:], self.windows.kernel, self.stride, self.dilation, strict=True)
        ]
        z: Array = np.zeros((len(x), len(w), *sizes), self.dtype)
        out = len(w) // self.groups
        for g, o in itertools.product(range(self.groups), itertools.product(*map(range, sizes))):
            window = self.group(self.x, x.shape[1], g)[(slice(None), slice(None), *self.windows.at(o))]
            kernel = w[g * out : (g + 1) * out].reshape(out, -1)
            z[(slice(None), slice(g * out, (g + 1) * out), *o)] = window.reshape(len(x), -1) @ kernel.T
        if "bias" in self.parameters:
            z = z + self.parameters["bias"].reshape(-1, *[1] * len(sizes))
        self.inputs = x.shape
        return self.activate(z)

    def moved(self, axes: int, gradient: str) -> Windows:
        """The windows as one of the gradients reads them in the backward pass, with the mistake in it."""
        stride = list(self.stride)
        changed = {
            "stride ignored": [1] * axes,
            "rows' stride ignored": [1, *stride[1:]] if axes > 1 else stride,
            "columns' stride ignored": [*stride[:1], *[1] * (axes - 1)],
            "rows' stride for both": stride[:1] * axes,
            "columns' stride for both": stride[-1:] * axes,
            "strides exchanged": stride[::-1],
            "stride one too large": [each + (each > 1) for each in stride],
        }
        what, _, where = self.mistake.partition(" in ")
        return Windows(
            self.windows.kernel, changed.get(what, stride) if where in ("", gradient) else stride, self.dilation
        )

    def room(self, x: Array) -> Array:
        """More zeros after an array, so that windows beyond its end can be read."""
        return padded(x, [0] * (x.ndim - 2), [n + 9 for n in x.shape[2:]]) if "stride" in self.mistake else x

    def backward(self, g: Array) -> Array:
        delta = self.delta = self.back(g)
        sizes, axes = delta.shape[2:], delta.ndim - 2
        w, mistake = self.parameters["weight"], self.mistake
        if mistake == "flipped everywhere":
            w = flipped(w)
        back = flipped(w) if mistake == "not flipped" else w
        if mistake == "transposed on the way back" and len(w) // self.groups == w.shape[1]:
            back = np.concatenate([part.swapaxes(0, 1) for part in np.split(w, self.groups)])
        into_dx, into_dw = (self.moved(axes, gradient) for gradient in ("dx", "dw"))
        x = self.room(self.x)
        dx: Array = np.zeros_like(x)
        dw: Array = np.zeros_like(w)
        out, depth = len(w) // self.groups, w.shape[1]
        if mistake == "unpadded input":
            x = padded(x[(..., *(slice(p, n - p) for p, n in zip(self.padding, x.shape[2:], strict=True)))],
                       [0] * axes, [2 * p for p in self.padding])  # fmt: skip
        positions = [(o, into_dx.at(o), into_dw.at(o)) for o in itertools.product(*map(range, sizes))]
        for c in range(len(w)):
            group = slice(c // out * depth, (c // out + 1) * depth)
            for o, window, windowed in positions:
                d = delta[(slice(None), c, *o)].reshape(-1, 1, *[1] * axes)
                into = dx[(slice(None), group, *window)]
                if mistake == "overlap overwritten":
                    into[...] = d * back[c]
                else:
                    into += d * back[c]
                read = x[(slice(None), group, *windowed)]
                if mistake == "first input channel":
                    read = np.repeat(read[:, :1], depth, 1)
                dw[c] += (d * read).sum(0)
        if mistake == "flipped everywhere":
            dw = flipped(dw)
        area = np.prod(sizes)
        db = delta.sum((0, *range(2, delta.ndim)))
        if mistake == "bias of the last position":
            db = delta[(..., *[-1] * axes)].sum(0)
        if mistake == "divided by area":
            dw, db = dw / area, db / area
        self.gradients = {"weight": dw} | ({"bias": db} if "bias" in self.parameters else {})
        if mistake == "bias dropped from the delta":  # in no catalogue
            self.gradients["weight"] = dw + db.reshape(-1, *[1] * (dw.ndim - 1)) if "bias" in self.parameters else dw
        starts = [0] * axes if mistake == "padding not cropped" else self.padding
        return dx[(..., *(slice(p, p + n) for p, n in zip(starts, self.inputs[2:], strict=True)))]


class Transposed(Convolution):
    """Transposed convolution: every input adds its multiple of the kernel to a window of the output."""

    def forward(self, x: Array) -> Array:
        self.prepare(x.ndim - 2)
        self.x, w = x, self.parameters["weight"]
        extra = self.option("output_padding", 0, x.ndim - 2)
        sizes = [
            (n - 1) * s + d * (k - 1) + 1 + e
            for n, k, s, d, e in zip(x.shape[2:], self.windows.kernel, self.stride, self.dilation, extra, strict=True)
        ]
        self.out = self.spec["out_channels"] // self.groups
        whole: Array = np.zeros((len(x), self.spec["out_channels"], *sizes), self.dtype)
        for i in range(len(w)):
            for o in itertools.product(*map(range, x.shape[2:])):
                into = whole[(slice(None), self.channels(i), *self.windows.at(o))]
                term = x[(slice(None), i, *o)].reshape(-1, *[1] * (x.ndim - 1)) * w[i]
                if self.mistake == "output overwritten":
                    into[...] = term
                else:
                    into += term
        z = whole[(..., *(slice(p, n - p) for p, n in zip(self.padding, sizes, strict=True)))]
        if "bias" in self.parameters:
            z = z + self.parameters["bias"].reshape(-1, *[1] * len(sizes))
        return self.activate(z)

    def channels(self, i: int) -> slice:
        g = i // (self.x.shape[1] // self.groups)
        return slice(g * self.out, (g + 1) * self.out)

    def backward(self, g: Array) -> Array:
        self.delta = self.back(g)
        delta, w = self.room(padded(self.delta, self.padding, self.padding)), self.parameters["weight"]
        dx: Array = np.zeros_like(self.x)
        dw: Array = np.zeros_like(w)
        into_dx, into_dw = (self.moved(w.ndim - 2, gradient) for gradient in ("dx", "dw"))
        for i in range(len(w)):
            for o in itertools.product(*map(range, self.x.shape[2:])):
                window = delta[(slice(None), self.channels(i), *into_dx.at(o))]
                dx[(slice(None), i, *o)] = (window * w[i]).reshape(len(delta), -1).sum(1)
                window = delta[(slice(None), self.channels(i), *into_dw.at(o))]
                dw[i] += (window * self.x[(slice(None), i, *o)].reshape(-1, *[1] * (window.ndim - 1))).sum(0)
        self.gradients = {"weight": dw}
        if "bias" in self.parameters:
            self.gradients["bias"] = self.delta.sum((0, *range(2, delta.ndim)))
        return dx


class Pool(Layer):
    """Maximum or average over windows of the padded input."""

    def forward(self, x: Array) -> Array:
        axes = x.ndim - 2
        kernel = self.spec["kernel_size"]
        stride = self.option("stride", 0, axes) if "stride" in self.spec else kernel
        dilation, padding = self.option("dilation", 1, axes), self.option("padding", 0, axes)
        self.windows, self.padding = Windows(kernel, stride, dilation), padding
        sizes, after = [], []
        for n, k, s, d, p in zip(x.shape[2:], kernel, stride, dilation, padding, strict=True):
            room = n + 2 * p - d * (k - 1) - 1
            count = -(-room // s) + 1 if self.spec.get("ceil_mode") else room // s + 1
            if self.spec.get("ceil_mode") and (count - 1) * s >= n + p:
                count -= 1
            sizes.append(count)
            after.append(max(p, (count - 1) * s + d * (k - 1) + 1 - n - p))
        self.inputs, self.sizes = x.shape, sizes
        maximum = "max" in self.spec["kind"]
        self.x = padded(x, padding, after, -np.inf if maximum else 0.0)
        self.ones = padded(np.ones_like(x), padding, after)
        if self.spec.get("count_include_pad", True):
            rest = [extra - p for extra, p in zip(after, padding, strict=True)]
            grown = padded(np.ones_like(x), padding, padding, 1.0)
            self.ones = padded(grown, [0] * axes, rest)
        a: Array = np.zeros((*x.shape[:2], *sizes), self.dtype)
        for o in itertools.product(*map(range, sizes)):
            window = self.cut(self.x, o)
            a[(..., *o)] = window.max(-1) if maximum else window.sum(-1) / self.divisor(o, "forward")
        self.z, self.a = None, a
        return a

    def cut(self, x: Array, o: tuple[int, ...]) -> Array:
        return x[(..., *self.windows.at(o))].reshape(*x.shape[:2], -1)

    def divisor(self, o: tuple[int, ...], when: str) -> Array:
        if self.mistake == "sum for mean" or (self.mistake == "sum for mean backward" and when == "backward"):
            return 1
        if self.mistake == "edge divisor":
            return np.prod(self.windows.kernel)
        return self.spec.get("divisor_override") or self.cut(self.ones, o)[0, 0].sum()

    def backward(self, g: Array) -> Array:
        self.delta = g
        dx: Array = np.zeros(self.x.shape, self.dtype)
        mistake = self.mistake
        for o in itertools.product(*map(range, self.sizes)):
            window, into = self.cut(self.x, o), dx[(..., *self.windows.at(o))]
            d = g[(..., *o)][..., None]
            if "avg" in self.spec["kind"]:
                slopes = np.broadcast_to(1 / self.divisor(o, "backward"), window.shape)
            elif mistake == "gradient to all":
                slopes = np.ones_like(window)
            elif mistake == "ties counted":
                slopes = window == window.max(-1, keepdims=True)
            elif mistake == "gradient to the first":  # in no catalogue
                slopes = np.arange(window.shape[-1]) == np.argmax(np.isfinite(window), -1)[..., None]
            else:
                slopes = np.arange(window.shape[-1]) == window.argmax(-1)[..., None]
            if mistake == "largest overwritten":
                into[...] = np.where(slopes, d, into.reshape(window.shape)).reshape(into.shape)
            elif mistake == "window overwritten":
                into[...] = (slopes * d).reshape(into.shape)
            else:
                into += (slopes * d).reshape(into.shape)
        return dx[(..., *(slice(p, p + n) for p, n in zip(self.padding, self.inputs[2:], strict=True)))]


class Whole(Layer):
    """Global pooling, flattening, upsampling."""

    def forward(self, x: Array) -> Array:
        kind, self.inputs, n = self.spec["kind"], x.shape, len(x)
        rows = x.reshape(n, x.shape[1], -1)
        if kind == "global_avg_pool":
            total = rows.sum(-1) if self.mistake == "sum for mean" else rows.mean(-1)
            a = total.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        elif kind == "global_max_pool":
            self.largest = rows.argmax(-1)
            a = rows.max(-1).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        elif kind == "flatten":
            a = x.reshape(n, -1)
        else:
            self.matrices = [
                self.matrix(size, f) for size, f in zip(x.shape[2:], self.spec["scale_factor"], strict=True)
            ]
            a = x
            for axis, matrix in enumerate(self.matrices, 2):
                a = np.moveaxis(np.moveaxis(a, axis, -1) @ matrix.T, -1, axis)
        return a

    def matrix(self, n: int, factor: int) -> Array:
        """Along one axis: output o is the sum over i of matrix[o, i] · input i."""
        matrix: Array = np.zeros((n * factor, n), self.dtype)
        for o in range(n * factor):
            if self.spec.get("mode", "nearest") == "nearest":
                matrix[o, o // factor] = 1
                continue
            if self.spec.get("align_corners"):
                at = o * (n - 1) / (n * factor - 1) if n * factor > 1 else 0
            else:
                at = max(0, (o + 0.5) / factor - 0.5)
            low = min(int(at), n - 1)
            matrix[o, low] += 1 - (at - low)
            matrix[o, min(low + 1, n - 1)] += at - low
        return matrix

    def backward(self, g: Array) -> Array:
        kind, self.delta = self.spec["kind"], g
        rows = np.zeros((*self.inputs[:2], int(np.prod(self.inputs[2:]))), self.dtype)
        if kind == "global_avg_pool":
            rows += g.reshape(*g.shape[:2], 1) / (1 if "sum for mean" in self.mistake else rows.shape[-1])
        elif kind == "global_max_pool":
            np.put_along_axis(rows, self.largest[..., None], g.reshape(*g.shape[:2], 1), -1)
        elif kind == "upsample":
            for axis, matrix in enumerate(self.matrices, 2):
                g = np.moveaxis(np.moveaxis(g, axis, -1) @ matrix, -1, axis)
            return g
        else:
            return g.reshape(self.inputs)
        return rows.reshape(self.inputs)


KINDS: dict[str, type[Any]] = {
    "dense": Dense,
    **dict.fromkeys(CONVOLUTIONS, Convolution),
    **dict.fromkeys(TRANSPOSED, Transposed),
    **dict.fromkeys(MAXIMUM + AVERAGE, Pool),
    **dict.fromkeys(WHOLE, Whole),
}


def run(case: dict[str, Any], mistake: str = "", dtype: type = np.float64, *, full: bool = True) -> dict[str, Any]:
    """The reply to a case."""
    specs = case["network"]["layers"]
    layers = [KINDS[spec["kind"]](spec, mistake, dtype) for spec in specs]
    x: Array = np.array(case["inputs"], dtype)
    t: Array = np.array(case["targets"], dtype)
    outputs = []
    for layer in layers:
        x = layer.forward(x)
        outputs.append(x)
    share = dtype(1 / len(t) if case["reduction"] == "mean" else 1)
    e = x - t
    count = e[0].size
    half, g = {
        "half_squared_error": ((e * e).sum() / 2, e),
        "squared_error": ((e * e).sum(), 2 * e),
        "mean_squared_error": ((e * e).sum() / count, 2 * e / count),
        "mean_absolute_error": (abs(e).sum() / count, np.sign(e) / count),
    }[case["loss"]["kind"]]
    g = (g * share).astype(dtype)
    for layer in reversed(layers):
        g = layer.backward(g)
    replies = []
    for spec, layer, a in zip(specs, layers, outputs, strict=True):
        one: dict[str, Any] = {}
        if layer.parameters:
            one["gradients"] = {name: layer.gradients[name].tolist() for name in layer.parameters}
        if layer.parameters and "optimizer" in case:
            rate = dtype(case["optimizer"]["learning_rate"])
            one["updated"] = {name: (p - rate * layer.gradients[name]).tolist() for name, p in layer.parameters.items()}
        if full:
            one |= {"a": a.tolist(), "delta": layer.delta.tolist()}
            if "activation" in spec or layer.parameters:
                one["z"] = layer.z.tolist()
        replies.append(one)
    reply = {"id": case["id"], "layers": replies}
    if full:
        reply |= {"loss": float(half * share), "input_gradients": g.tolist()}
    return reply


def plain(mistake: str = "", layers: list[str] | None = None, dtype: type = np.float64, *, full: bool = True) -> Any:
    """An implementation for ``check`` that makes one mistake (none by default), of some kinds of layers."""

    def backprop(case: dict[str, Any]) -> dict[str, Any]:
        return run(case, mistake, dtype, full=full)

    backprop.dtype = dtype.__name__  # type: ignore[attr-defined]
    backprop.supports = {  # type: ignore[attr-defined]
        "layers": ["dense", *(layers or [kind for kind in KINDS if kind != "dense"])],
        "activations": list(ACTIVATIONS),
        "losses": ["half_squared_error", "squared_error", "mean_squared_error", "mean_absolute_error"],
        "optimizers": ["sgd"],
    }
    return backprop

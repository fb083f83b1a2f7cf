"""Attention and related layers in numpy: backward passes written by hand, with mistakes that can be switched on.

It shares nothing with the package. ``implementation(mistake, dtype)`` returns a function for ``check``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Json = dict[str, Any]
Array = Any

_ERF = np.vectorize(math.erf, otypes=[float])


class Mistakes:
    """The mistake that is switched on, if any; calling it with a name says whether it is that one."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __call__(self, *names: str) -> bool:
        return self.name in names


def softmax(z: Array, axis: int = -1) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def activate(name: str, z: Array, alpha: float | None) -> Array:  # noqa: PLR0912 - one branch a function
    """a = φ(z)."""
    match name:
        case "identity":
            return z
        case "sigmoid":
            return 1 / (1 + np.exp(-z))
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(z, 0)
        case "leaky_relu":
            return np.where(z > 0, z, (0.01 if alpha is None else alpha) * z)
        case "elu":
            return np.where(z > 0, z, (1.0 if alpha is None else alpha) * np.expm1(np.minimum(z, 0)))
        case "softplus":
            return np.logaddexp(z, 0).astype(z.dtype)
        case "softsign":
            return z / (1 + abs(z))
        case "silu":
            return z / (1 + np.exp(-z))
        case "gelu":
            return z * _phi(z)
        case "hard_tanh":
            return np.clip(z, -1, 1)
        case "softmax":
            return softmax(z)
        case _:
            return z - z.max(-1, keepdims=True) - np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True))


def _phi(z: Array) -> Array:
    return ((1 + _ERF(z / math.sqrt(2))) / 2).astype(z.dtype)


def slope(name: str, z: Array, a: Array, g: Array, alpha: float | None) -> Array:  # noqa: PLR0912
    """∂L/∂z from g = ∂L/∂a."""
    match name:
        case "identity":
            return g
        case "sigmoid":
            return g * a * (1 - a)
        case "tanh":
            return g * (1 - a * a)
        case "relu":
            return g * (z > 0)
        case "leaky_relu":
            return np.where(z > 0, g, g * (0.01 if alpha is None else alpha))
        case "elu":
            return np.where(z > 0, g, g * (a + (1.0 if alpha is None else alpha)))
        case "softplus":
            return g / (1 + np.exp(-z))
        case "softsign":
            return g / (1 + abs(z)) ** 2
        case "silu":
            s = 1 / (1 + np.exp(-z))
            return g * (s + z * s * (1 - s))
        case "gelu":
            return g * (_phi(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi))
        case "hard_tanh":
            return g * (abs(z) < 1)
        case "softmax":
            return a * (g - (g * a).sum(-1, keepdims=True))
        case _:
            return g - np.exp(a) * g.sum(-1, keepdims=True)


class Layer:
    """One layer: ``forward`` takes a list of inputs, ``backward`` returns the list of their gradients."""

    def __init__(self, spec: Json, real: Any, wrong: Mistakes) -> None:
        self.spec, self.real, self.wrong = spec, real, wrong
        self.p = {name: np.array(value, real) for name, value in spec.get("parameters", {}).items()}
        self.gradients: dict[str, Array] = {}
        self.z: Array = None
        self.delta: Array = None

    def affine(self, x: Array, weight: str, bias: str) -> Array:
        z = x @ self.p[weight].T
        return z + self.p[bias] if bias in self.p else z

    def affine_back(self, x: Array, g: Array, weight: str, bias: str) -> Array:
        flat = g.reshape(-1, g.shape[-1])
        self.gradients[weight] = flat.T @ x.reshape(-1, x.shape[-1])
        if bias in self.p:
            self.gradients[bias] = flat.sum(0)
        return g @ self.p[weight]


class Dense(Layer):
    weight, bias = "weights", "biases"

    def forward(self, xs: list[Array]) -> Array:
        self.x, self.shape = self.rows(xs[0]), xs[0].shape
        self.z = self.affine(self.x, self.weight, self.bias)
        self.a = activate(self.spec.get("activation", "identity"), self.z, self.spec.get("alpha"))
        return self.a

    def rows(self, x: Array) -> Array:
        return x.reshape(len(x), -1)

    def backward(self, g: Array) -> list[Array]:
        self.delta = slope(self.spec.get("activation", "identity"), self.z, self.a, g, self.spec.get("alpha"))
        return [self.affine_back(self.x, self.delta, self.weight, self.bias).reshape(self.shape)]


class Linear(Dense):
    weight, bias = "weight", "bias"

    def rows(self, x: Array) -> Array:
        return x


class Positional(Layer):
    def forward(self, xs: list[Array]) -> Array:
        tokens, width = xs[0].shape[1:]
        base, wrong = self.spec.get("base", 10000.0), self.wrong
        if wrong("positions-usual-base"):
            base = 10000.0
        p = np.arange(tokens, dtype=self.real)[:, None] + (1 if wrong("positions-from-one") else 0)
        e = np.arange(width)
        i = e if wrong("positions-twice") else e / 2 if wrong("positions-unpaired") else e // 2
        if wrong("positions-halves"):
            half = (width + 1) // 2
            i = e % half
        rate = np.exp(-np.log(self.real(base)) * (2 * i / width).astype(self.real))
        angle = p / rate if wrong("positions-times") else p * rate
        odd = (e >= (width + 1) // 2) if wrong("positions-halves") else e % 2 == 1
        if wrong("positions-exchanged"):
            odd = ~odd
        return xs[0] + np.where(odd, np.cos(angle), np.sin(angle)).astype(self.real)

    def backward(self, g: Array) -> list[Array]:
        self.delta = g
        return [g]


class Learned(Layer):
    def forward(self, xs: list[Array]) -> Array:
        self.tokens = xs[0].shape[1]
        return xs[0] + self.p["weight"][: self.tokens]

    def backward(self, g: Array) -> list[Array]:
        self.delta = g
        self.gradients["weight"] = np.zeros_like(self.p["weight"])
        self.gradients["weight"][: self.tokens] = g.sum(0)
        return [g]


class Narrow(Layer):
    def forward(self, xs: list[Array]) -> Array:
        self.shape = xs[0].shape
        return xs[0][:, self.spec["start"] : self.spec["start"] + self.spec["length"]]

    def backward(self, g: Array) -> list[Array]:
        self.delta = g
        whole = np.zeros(self.shape, self.real)
        whole[:, self.spec["start"] : self.spec["start"] + self.spec["length"]] = g
        return [whole]


def split(x: Array, heads: int, how: str) -> Array:
    n, tokens, width = x.shape
    if how == "view":
        return x.reshape(n, heads, tokens, -1)
    if how == "turns":
        return x.reshape(n, tokens, -1, heads).transpose(0, 3, 1, 2)
    return x.reshape(n, tokens, heads, width // heads).transpose(0, 2, 1, 3)


def merge(x: Array, how: str) -> Array:
    n, heads, tokens, d = x.shape
    if how == "view":
        return x.reshape(n, tokens, heads * d)
    return (
        x.transpose(0, 2, 3, 1).reshape(n, tokens, -1)
        if how == "turns"
        else x.transpose(0, 2, 1, 3).reshape(n, tokens, heads * d)
    )


class Core:
    """softmax(q kᵀ scale) v of every head, forward and backward."""

    def __init__(self, spec: Json, heads: int, mask: Any, wrong: Mistakes) -> None:
        self.wrong, self.heads = wrong, 1 if wrong("one-head") else heads
        self.causal, self.mask = bool(spec.get("is_causal")), mask
        self.given = spec.get("scale")
        if wrong("mask-ignored", "causal-ignored"):
            self.causal = False
        if wrong("mask-ignored", "padding-ignored"):
            self.mask = None
        self.splits = {"heads-view": "view", "heads-split": "view", "heads-turns": "turns"}.get(wrong.name, "")
        self.merges = {"heads-view": "view", "heads-merge": "view", "heads-turns": "turns"}.get(wrong.name, "")

    def scale_of(self, d: int) -> float:
        wrong = self.wrong
        if wrong("scale-missing"):
            return 1.0
        if self.given is not None and not wrong("scale-default"):
            return float(self.given)
        if wrong("scale-whole-width"):
            return 1 / math.sqrt(d * self.heads)
        if wrong("scale-of-d"):
            return 1 / d
        return math.sqrt(d) if wrong("scale-times") else 1 / math.sqrt(d)

    def hidden(self, shape: tuple[int, ...]) -> Array:
        n, _, queries, keys = shape
        hidden = np.zeros((n, 1, queries, keys), bool)
        if self.causal:
            ones = np.ones((queries, keys), bool)
            hidden = hidden | (np.tril(ones, -1) if self.wrong("causal-round") else np.triu(ones, 1))
        if self.mask is not None:
            mask = np.array(self.mask, bool)
            hidden = hidden | (~mask if self.wrong("padding-inverted") else mask)[:, None, None, :]
        return np.broadcast_to(hidden, shape)

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        self.q, self.k, self.v = (split(each, self.heads, self.splits) for each in (q, k, v))
        self.scale = self.q.dtype.type(self.scale_of(self.q.shape[-1]))
        self.scores = (self.q @ self.k.transpose(0, 1, 3, 2)) * self.scale
        self.shown = ~self.hidden(self.scores.shape)
        wrong = self.wrong
        self.axes: Any = (2,) if wrong("softmax-queries") else (2, 3) if wrong("softmax-all") else (3,)
        if wrong("mask-after"):
            self.whole = self._softmax(self.scores)
            self.weights = self.whole * self.shown
        elif wrong("mask-zero"):
            self.whole = self.weights = self._softmax(self.scores * self.shown)
        else:
            with np.errstate(invalid="ignore"):
                self.whole = self.weights = self._softmax(np.where(self.shown, self.scores, -np.inf))
        return merge(self.weights @ self.v, self.merges)

    def _softmax(self, s: Array) -> Array:
        e = np.exp(s - s.max(self.axes, keepdims=True))
        return e / e.sum(self.axes, keepdims=True)

    def backward(self, g: Array) -> tuple[Array, Array, Array]:
        wrong = self.wrong
        g = split(g, self.heads, self.merges)
        turned = self.weights if wrong("value-gradient") and g.shape[2] == self.v.shape[2] else None
        v = (self.weights.transpose(0, 1, 3, 2) if turned is None else turned) @ g
        p, dp = self.whole, g @ self.v.transpose(0, 1, 3, 2)
        if wrong("mask-after"):
            dp = dp * self.shown
        if wrong("softmax-gradient-missing"):
            self.d = dp * self.shown
        elif wrong("softmax-gradient-missing-hidden"):
            self.d = dp
        elif wrong("softmax-gradient-diagonal"):
            self.d = dp * p * (1 - p)
        elif wrong("softmax-gradient-factor"):
            self.d = dp * p
        else:
            self.d = p * (dp - (dp * p).sum(self.axes, keepdims=True))
        if wrong("mask-zero"):
            self.d = self.d * self.shown
        to_q = self.scale if not wrong("scale-missing-backward") else self.scale.dtype.type(1)
        to_k = self.scale if not wrong("scale-missing-backward", "scale-missing-keys") else self.scale.dtype.type(1)
        q, k = self.d @ self.k * to_q, self.d.transpose(0, 1, 3, 2) @ self.q * to_k
        return merge(q, self.splits), merge(k, self.splits), merge(v, self.splits)


def together(q: Array, k: Array, v: Array, count: int) -> list[Array]:
    """The gradients of q, k and v as gradients of the layers read: one layer for all three, two, or three."""
    if count == 1:
        return [q + k + v]
    return [q, k + v] if count == 2 else [q, k, v]


class Function(Layer):
    """``scaled_dot_product_attention``."""

    def forward(self, xs: list[Array]) -> Array:
        self.count = len(xs)
        q, k, v = xs[0], xs[min(1, len(xs) - 1)], xs[-1]
        self.swapped = self.wrong("swapped") and q.shape == k.shape
        if self.swapped:
            q, k = k, q
        self.core = Core(self.spec, 1, self.spec.get("key_padding_mask"), self.wrong)
        a = self.core.forward(q, k, v)
        self.z = self.core.scores[:, 0]
        return a

    def backward(self, g: Array) -> list[Array]:
        q, k, v = self.core.backward(g)
        if self.swapped:
            q, k = k, q
        self.delta = self.core.d[:, 0]
        return together(q, k, v, self.count)


class Heads(Layer):
    """``multihead_attention``; a transformer block contains one of these."""

    prefix, mask_name, heads_name = "", "key_padding_mask", "num_heads"

    def thirds(self) -> list[int]:
        orders = {"swapped": [1, 0, 2], "order-vqk": [1, 2, 0], "order-qvk": [0, 2, 1]}
        return orders.get(self.wrong.name, [0, 1, 2])

    def projections(self, width: int) -> list[tuple[Array, Array]]:
        together = self.p.get(f"{self.prefix}in_proj_weight")
        parts = (
            [self.p[f"{letter}_proj_weight"] for letter in "qkv"]
            if together is None
            else [together[i * width : (i + 1) * width] for i in range(3)]
        )
        self.fits = [parts[i].shape for i in self.thirds()] == [each.shape for each in parts]
        if self.fits:
            parts = [parts[i] for i in self.thirds()]
        bias = self.p.get(f"{self.prefix}in_proj_bias")
        biases = [None if bias is None else bias[i * width : (i + 1) * width] for i in self.thirds()]
        return list(zip(parts, biases, strict=True))

    def attend(self, xs: list[Array]) -> Array:
        self.xs = [xs[0], xs[min(1, len(xs) - 1)], xs[-1]]
        self.count, width = len(xs), xs[0].shape[-1]
        self.made = self.projections(width)
        q, k, v = (x @ w.T if b is None else x @ w.T + b for x, (w, b) in zip(self.xs, self.made, strict=True))
        self.core = Core(self.spec, self.spec[self.heads_name], self.spec.get(self.mask_name), self.wrong)
        self.context = self.core.forward(q, k, v)
        return self.affine(self.context, f"{self.prefix}out_proj.weight", f"{self.prefix}out_proj.bias")

    def attend_back(self, g: Array) -> list[Array]:
        g = self.affine_back(self.context, g, f"{self.prefix}out_proj.weight", f"{self.prefix}out_proj.bias")
        into = self.core.backward(g)
        weights: list[Array] = [None] * 3
        biases: list[Array] = [None] * 3
        back = []
        same = f"{self.prefix}in_proj_weight" in self.p
        thirds = self.thirds() if self.fits else [0, 1, 2]
        for number, (x, d, (w, _)) in enumerate(zip(self.xs, into, self.made, strict=True)):
            rows = d.reshape(-1, d.shape[-1])
            weights[thirds[number]] = rows.T @ x.reshape(-1, x.shape[-1])
            biases[self.thirds()[number]] = rows.sum(0)
            back.append(d @ w)
        if same:
            self.gradients[f"{self.prefix}in_proj_weight"] = np.concatenate(weights)
        else:
            self.gradients |= dict(zip([f"{letter}_proj_weight" for letter in "qkv"], weights, strict=True))
        if f"{self.prefix}in_proj_bias" in self.p:
            self.gradients[f"{self.prefix}in_proj_bias"] = np.concatenate(biases)
        q, k, v = back
        return together(q, k, v, self.count)

    def forward(self, xs: list[Array]) -> Array:
        a = self.attend(xs)
        self.z = self.core.scores
        return a

    def backward(self, g: Array) -> list[Array]:
        back = self.attend_back(g)
        self.delta = self.core.d
        return back


class Block(Heads):
    """``transformer_block``: layer norms with the closed form of their gradient."""

    prefix, mask_name, heads_name = "self_attn.", "src_key_padding_mask", "nhead"

    def norm(self, name: str, x: Array) -> Array:
        mean = x.mean(-1, keepdims=True)
        root = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + self.spec.get("layer_norm_eps", 1e-5))
        self.kept[name] = (x - mean) / root, root
        y = self.kept[name][0] * self.p[f"{name}.weight"]
        return y + self.p[f"{name}.bias"] if f"{name}.bias" in self.p else y

    def norm_back(self, name: str, g: Array) -> Array:
        normal, root = self.kept[name]
        self.gradients[f"{name}.weight"] = (g * normal).sum((0, 1))
        if f"{name}.bias" in self.p:
            self.gradients[f"{name}.bias"] = g.sum((0, 1))
        g = g * self.p[f"{name}.weight"]
        if self.wrong("norm-scale-twice"):
            g = g * self.p[f"{name}.weight"]
        return (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True)) / root

    def feed(self, x: Array) -> Array:
        self.fed, self.h_z = x, self.affine(x, "linear1.weight", "linear1.bias")
        self.h = activate(self.spec.get("activation", "relu"), self.h_z, None)
        return self.affine(self.h, "linear2.weight", "linear2.bias")

    def feed_back(self, g: Array) -> Array:
        g = self.affine_back(self.h, g, "linear2.weight", "linear2.bias")
        g = slope(self.spec.get("activation", "relu"), self.h_z, self.h, g, None)
        return self.affine_back(self.fed, g, "linear1.weight", "linear1.bias")

    def part(self, number: int, x: Array) -> Array:
        return self.attend([x]) if number == 1 else self.feed(x)

    def part_back(self, number: int, g: Array) -> Array:
        return self.attend_back(g)[0] if number == 1 else self.feed_back(g)

    def first(self) -> bool:
        first = bool(self.spec.get("norm_first"))
        if self.wrong("norm-place"):
            return not first
        return False if self.wrong("norm-always-after") else True if self.wrong("norm-always-before") else first

    def around(self, number: int, way: str) -> bool:
        """Whether the skip connection around a part is there; ``way`` is forward or back."""
        lost = {"residual-missing": (1, 2), "residual-missing-1": (1,), "residual-missing-2": (2,)}
        only = {"residual-back": (1, 2), "residual-back-1": (1,), "residual-back-2": (2,)}
        gone = lost.get(self.wrong.name, ()) + (only.get(self.wrong.name, ()) if way == "back" else ())
        return number not in gone

    def forward(self, xs: list[Array]) -> Array:
        x = xs[0]
        self.kept: dict[str, Any] = {}
        for number in (1, 2):
            if self.first():
                read = self.norm(f"norm{number}", x)
                y, base = self.part(number, read), read if self.wrong("residual-from-normed") else x
                x = base + y if self.around(number, "forward") else y
            else:
                y = self.part(number, x)
                x = self.norm(f"norm{number}", x + y if self.around(number, "forward") else y)
        return x

    def backward(self, g: Array) -> list[Array]:
        self.delta = g
        for number in (2, 1):
            if self.first():
                into = self.part_back(number, g)
                straight = g if self.around(number, "back") else 0 * g
                if self.wrong("residual-from-normed"):
                    into, straight = into + straight, 0 * g
                g = straight + self.norm_back(f"norm{number}", into)
            else:
                g = self.norm_back(f"norm{number}", g)
                into = self.part_back(number, g)
                g = g + into if self.around(number, "back") else into
        return [g]


KINDS = {
    "dense": Dense,
    "linear": Linear,
    "positional_encoding": Positional,
    "learned_positions": Learned,
    "narrow": Narrow,
    "scaled_dot_product_attention": Function,
    "multihead_attention": Heads,
    "transformer_block": Block,
}
APART = ("scaled_dot_product_attention", "multihead_attention")


def loss_of(loss: Json, a: Array, t: Array) -> tuple[Array, Array]:
    """The loss of each sample, and its derivative with respect to the outputs (all given as rows)."""
    e, count = a - t, a.shape[1]
    match loss["kind"]:
        case "half_squared_error":
            return (e * e).sum(1) / 2, e
        case "squared_error":
            return (e * e).sum(1), 2 * e
        case "mean_squared_error":
            return (e * e).mean(1), 2 * e / count
        case "mean_absolute_error":
            return abs(e).mean(1), np.sign(e) / count
        case "huber":
            d = loss["threshold"]
            return np.where(abs(e) <= d, e * e / 2, d * (abs(e) - d / 2)).mean(1), np.clip(e, -d, d) / count
        case "binary_cross_entropy":
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(t > 0, t * np.log(a), 0) + np.where(t < 1, (1 - t) * np.log(1 - a), 0)
            return -terms.sum(1), (1 - t) / (1 - a) - t / a
        case "cross_entropy":
            with np.errstate(divide="ignore", invalid="ignore"):
                return -np.where(t > 0, t * np.log(a), 0).sum(1), -t / a
        case "negative_log_likelihood":
            return -(t * a).sum(1), -t
        case "kl_divergence":
            return (np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0) - t * a).sum(1), -t
        case _:
            return np.maximum(1 - t * a, 0).sum(1), np.where(t * a < 1, -t, 0)


def smoothed(t: Array, epsilon: float, classes: int, wrong: Mistakes) -> Array:
    if wrong("smoothing-others"):
        return t * (1 - epsilon) + (1 - t) * (epsilon / (classes - 1))
    if wrong("smoothing-not"):
        return t
    if wrong("smoothing-kept"):
        return t + epsilon / classes
    return t * (1 - epsilon) + epsilon / classes


def backprop(case: Json, wrong: Mistakes, real: Any, reported: tuple[str, ...]) -> Json:
    """The reply to a case: one pass after another, each from the parameters of the last update."""
    reply = last = one_pass(case, wrong, real, reported)
    for _ in range(1, case.get("steps", 1)):
        layers = [
            {**spec, "parameters": {**spec.get("parameters", {}), **done["updated"]}}
            for spec, done in zip(case["network"]["layers"], last["layers"], strict=True)
        ]
        case = {**case, "network": {**case["network"], "layers": layers}}
        last = one_pass(case, wrong, real, ())
    for own, done in zip(reply["layers"], last["layers"], strict=True):
        if "updated" in done:
            own["updated"] = done["updated"]
    return reply


def forward(case: Json, x: Array, wrong: Mistakes, real: Any) -> tuple[dict[str, Array], list[Any]]:
    """All outputs by name, and (name, sources, layer) for every layer."""
    specs = case["network"]["layers"]
    names = [
        spec.get("name") or ("output" if i == len(specs) - 1 else f"hidden{i + 1}") for i, spec in enumerate(specs)
    ]
    outputs = {"input": x}
    layers: list[Any] = []
    before = "input"
    for name, spec in zip(names, specs, strict=True):
        read = spec.get("from") or [before]
        xs = [outputs[each] for each in read]
        if len(xs) > 1 and spec["kind"] not in APART:
            xs = [combine(spec["combine"], xs, wrong)]
        layer: Any = KINDS[spec["kind"]](spec, real, wrong)
        outputs[name] = layer.forward(xs)
        layers.append((name, read, layer))
        before = name
    return outputs, layers


def one_pass(case: Json, wrong: Mistakes, real: Any, reported: tuple[str, ...]) -> Json:
    """Forward pass, backward pass, and the parameters after one step."""
    outputs, layers = forward(case, np.array(case["inputs"], real), wrong, real)
    errors = {name: np.zeros_like(each) for name, each in outputs.items()}
    before = layers[-1][0]
    a = outputs[before]
    t = np.array(case["targets"], real)
    if "label_smoothing" in case["loss"]:
        t = smoothed(t, real(case["loss"]["label_smoothing"]), t.shape[-1], wrong)
    each, slopes = loss_of(case["loss"], a.reshape(len(a), -1), t.reshape(len(t), -1))
    share = 1 / len(a) if case["reduction"] == "mean" else 1.0
    if wrong("tokens-mean") and a.ndim == 3:
        share = share / a.shape[1]
    errors[before] += slopes.reshape(a.shape) * real(share)
    for name, read, layer in reversed(layers):
        back = layer.backward(errors[name])
        if len(read) > 1 and layer.spec["kind"] not in APART:
            back = combined_back(layer.spec["combine"], [outputs[each_read] for each_read in read], back[0], wrong)
        for source, into in zip(read, back, strict=True):
            errors[source] = errors[source] + into
    reply: Json = {"id": case["id"], "layers": []}
    if "loss" in reported:
        reply["loss"] = float(each.sum() * real(share))
        reply["input_gradients"] = errors["input"].tolist()
    for name, _, layer in layers:
        one: Json = {"gradients": {key: value.tolist() for key, value in layer.gradients.items()}}
        if layer.z is not None and "z" in reported:
            one["z"] = layer.z.tolist()
        if "a" in reported:
            one["a"] = outputs[name].tolist()
        if "delta" in reported:
            one["delta"] = layer.delta.tolist()
        if case.get("optimizer"):
            rate = real(case["optimizer"]["learning_rate"])
            one["updated"] = {key: (layer.p[key] - rate * g).tolist() for key, g in layer.gradients.items()}
        reply["layers"].append(one)
    return reply


def combine(how: str, xs: list[Array], wrong: Mistakes) -> Array:
    if how == "concat":
        return np.concatenate(xs, 1)
    if how == "multiply":
        return np.prod(xs, 0)
    return xs[-1] if wrong("sum-last") else xs[0] if wrong("sum-first") else sum(xs)


def combined_back(how: str, xs: list[Array], g: Array, wrong: Mistakes) -> list[Array]:
    if how == "concat":
        return np.split(g, np.cumsum([x.shape[1] for x in xs])[:-1], axis=1)
    if how == "multiply":
        return [g * np.prod([y for j, y in enumerate(xs) if j != i], 0) for i in range(len(xs))]
    kept = -1 if wrong("sum-last", "sum-back-last") else 0 if wrong("sum-first", "sum-back-first") else None
    whole = range(len(xs))
    return [g if kept is None or i == whole[kept] else 0 * g for i in whole]


def cleaned(value: Any) -> Any:
    """Numbers that are not finite written as the protocol's strings."""
    if isinstance(value, dict):
        return {key: cleaned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


LOSSES = [
    "half_squared_error", "squared_error", "mean_squared_error", "mean_absolute_error", "huber",
    "binary_cross_entropy", "cross_entropy", "negative_log_likelihood", "hinge", "kl_divergence",
]  # fmt: skip


def implementation(
    mistake: str = "", dtype: str = "float64", reported: tuple[str, ...] = ("loss", "z", "a", "delta")
) -> Any:
    """A function that answers cases, with that mistake in it."""
    real = np.dtype(dtype).type

    def answer(case: Json) -> Json:
        with np.errstate(all="ignore"):
            reply: Json = cleaned(backprop(case, Mistakes(mistake), real, reported))
        return reply

    answer.supports = {  # type: ignore[attr-defined]
        "layers": list(KINDS),
        "losses": LOSSES,
        "optimizers": ["sgd"],
        "features": ["graph", "label_smoothing"],
    }
    answer.dtype = dtype  # type: ignore[attr-defined]
    return answer

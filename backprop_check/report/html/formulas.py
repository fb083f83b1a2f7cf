"""The mathematics that the page shows: one table an activation, one a loss, as trees that become MathML.

A tree is a text (a symbol), a list ``[tag, child, …]`` with a MathML tag, or ``["$", name]``: the variable of that
name, which the page shows as a symbol, or as the number that a neuron has for it. ``z`` and ``a`` are the neuron's
own, ``t`` its target, ``g`` is ∂L/∂a, ``alpha`` and ``T`` are parameters of the activation and of the loss.

A new activation or loss is a line here, beside the line that it has in ``reference``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Tree = Any


def row(*parts: Tree) -> Tree:
    """Parts one after the other."""
    return ["mrow", *parts]


def fenced(*parts: Tree) -> Tree:
    """Parts in parentheses."""
    return ["mrow", "(", *parts, ")"]


def frac(top: Tree, bottom: Tree) -> Tree:
    """A fraction."""
    return ["mfrac", top, bottom]


def sup(base: Tree, power: Tree) -> Tree:
    """A power."""
    return ["msup", base, power]


def sub(base: Tree, index: Tree) -> Tree:
    """An index."""
    return ["msub", base, index]


def root(inside: Tree) -> Tree:
    """A square root."""
    return ["msqrt", inside]


def var(name: str) -> Tree:
    """A variable: a symbol, or its number."""
    return ["$", name]


def total(index: Tree, *parts: Tree) -> Tree:
    """A sum over an index."""
    return row(["munder", "Σ", index], *parts)


def either(*branches: tuple[Tree, str]) -> Tree:
    """Branches with their conditions."""
    return ["cases", *[[value, condition] for value, condition in branches]]


z, a, t, g = var("z"), var("a"), var("t"), var("g")
alpha, T = var("alpha"), var("T")
e = row(a, "−", t)
K = ["mi", "K"]
sigma = row("σ", fenced(z))


class ActivationFormula(NamedTuple):
    """φ, φ′ and a sentence. For a layer-wise activation ``slope`` is δ itself, of all ∂L/∂a of the layer."""

    name: str
    value: Tree
    slope: Tree
    says: str
    whole_layer: bool = False


class LossFormula(NamedTuple):
    """ℓ of one sample, ∂ℓ/∂aₖ, and a sentence."""

    name: str
    value: Tree
    slope: Tree
    says: str


ACTIVATIONS: dict[str, ActivationFormula] = {
    "identity": ActivationFormula("identity", z, "1", "passes the weighted sum on as it is"),
    "sigmoid": ActivationFormula(
        "sigmoid",
        frac("1", row("1", "+", sup("e", row("−", z)))),
        row(a, fenced("1", "−", a)),
        "squeezes any number into 0…1",
    ),
    "tanh": ActivationFormula(
        "tanh", row("tanh", fenced(z)), row("1", "−", sup(a, "2")), "squeezes any number into −1…1"
    ),
    "relu": ActivationFormula(
        "ReLU", row("max", fenced("0", ",", z)), either(("1", "z > 0"), ("0", "z ≤ 0")), "cuts off what is negative"
    ),
    "leaky_relu": ActivationFormula(
        "leaky ReLU",
        either((z, "z > 0"), (row(alpha, "·", z), "z ≤ 0")),
        either(("1", "z > 0"), (alpha, "z ≤ 0")),
        "lets a little of what is negative through",
    ),
    "elu": ActivationFormula(
        "ELU",
        either((z, "z > 0"), (row(alpha, fenced(sup("e", z), "−", "1")), "z ≤ 0")),
        either(("1", "z > 0"), (row(alpha, "·", sup("e", z)), "z ≤ 0")),
        "bends what is negative towards −α",
    ),
    "softplus": ActivationFormula(
        "softplus",
        row("ln", fenced("1", "+", sup("e", z))),
        frac("1", row("1", "+", sup("e", row("−", z)))),
        "is a ReLU with a rounded corner",
    ),
    "softsign": ActivationFormula(
        "softsign",
        frac(z, row("1", "+", "|", z, "|")),
        frac("1", sup(fenced("1", "+", "|", z, "|"), "2")),
        "squeezes any number into −1…1, slowly",
    ),
    "silu": ActivationFormula(
        "SiLU",
        row(z, "·", sigma),
        row(sigma, "+", z, "·", sigma, fenced("1", "−", sigma)),
        "is the number times its own sigmoid",
    ),
    "gelu": ActivationFormula(
        "GELU",
        row(z, "·", "Φ", fenced(z)),
        row("Φ", fenced(z), "+", z, "·", frac(sup("e", row("−", sup(z, "2"), "/", "2")), root(row("2", "π")))),
        "is the number times the share of a normal distribution below it",
    ),
    "hard_tanh": ActivationFormula(
        "hard tanh",
        row("max", fenced("−1", ",", "min", fenced("1", ",", z))),
        either(("1", "−1 < z < 1"), ("0", "elsewhere")),
        "cuts off what is beyond −1 and 1",
    ),
    "softmax": ActivationFormula(
        "softmax",
        frac(sup("e", z), total(["mi", "k"], sup("e", sub("z", "k")))),
        row(a, fenced(g, "−", total(["mi", "k"], sub("g", "k"), sub("a", "k")))),
        "turns a layer's numbers into shares that sum to 1",
        whole_layer=True,
    ),
    "log_softmax": ActivationFormula(
        "log softmax",
        row(z, "−", "ln", total(["mi", "k"], sup("e", sub("z", "k")))),
        row(g, "−", sup("e", a), "·", total(["mi", "k"], sub("g", "k"))),
        "is the logarithm of a softmax",
        whole_layer=True,
    ),
}

_SQUARE = sup(fenced(sub("a", "k"), "−", sub("t", "k")), "2")
_K = ["mi", "k"]

LOSSES: dict[str, LossFormula] = {
    "half_squared_error": LossFormula(
        "half squared error", row(frac("1", "2"), total(_K, _SQUARE)), e, "half the sum of the squared errors"
    ),
    "squared_error": LossFormula("squared error", total(_K, _SQUARE), row("2", fenced(e)), "the sum of squared errors"),
    "mean_squared_error": LossFormula(
        "mean squared error", row(frac("1", K), total(_K, _SQUARE)), row(frac("2", var("K")), fenced(e)),
        "the mean of the squared errors over the outputs",
    ),
    "mean_absolute_error": LossFormula(
        "mean absolute error",
        row(frac("1", K), total(_K, "|", sub("a", "k"), "−", sub("t", "k"), "|")),
        row(frac("1", var("K")), "sign", fenced(e)),
        "the mean size of the errors over the outputs",
    ),
    "huber": LossFormula(
        "Huber",
        row(frac("1", K), total(_K, either((row(frac("1", "2"), sup("e", "2")), "|e| ≤ T"),
                                          (row(T, fenced("|e|", "−", frac(T, "2"))), "beyond")))),
        row(frac("1", var("K")), either((e, "|a − t| ≤ T"), (row(T, "·", "sign", fenced(e)), "beyond"))),
        "squared where the error is small, straight where it is large",
    ),
    "binary_cross_entropy": LossFormula(
        "binary cross-entropy",
        row("−", total(_K, "[", sub("t", "k"), "ln", sub("a", "k"), "+", fenced("1", "−", sub("t", "k")), "ln",
                       fenced("1", "−", sub("a", "k")), "]")),
        row(frac(row("1", "−", t), row("1", "−", a)), "−", frac(t, a)),
        "how surprised a yes-or-no forecast is by the target",
    ),
    "cross_entropy": LossFormula(
        "cross-entropy", row("−", total(_K, sub("t", "k"), "ln", sub("a", "k"))), row("−", frac(t, a)),
        "how surprised a forecast of shares is by the target",
    ),
    "negative_log_likelihood": LossFormula(
        "negative log likelihood", row("−", total(_K, sub("t", "k"), sub("a", "k"))), row("−", t),
        "the same as cross-entropy, of logarithms",
    ),
    "kl_divergence": LossFormula(
        "KL divergence", total(_K, sub("t", "k"), fenced("ln", sub("t", "k"), "−", sub("a", "k"))), row("−", t),
        "how far a forecast, given as logarithms, is from the shares of the target",
    ),
    "hinge": LossFormula(
        "hinge",
        total(_K, "max", fenced("0", ",", "1", "−", sub("t", "k"), sub("a", "k"))),
        either((row("−", t), "t·a < 1"), ("0", "t·a ≥ 1")),
        "nothing once an output is on the right side by 1",
    ),
}  # fmt: skip


def formulas() -> dict[str, Any]:
    """All of it, as the page wants it."""
    return {
        "activations": {name: {**one._asdict(), "layer": one.whole_layer} for name, one in ACTIVATIONS.items()},
        "losses": {name: one._asdict() for name, one in LOSSES.items()},
    }

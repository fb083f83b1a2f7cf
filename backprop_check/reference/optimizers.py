"""From the gradient to the new parameter: clipping, decay, and each optimizer's update.

Names, defaults and formulas are PyTorch's. Every method concerns one parameter w, its gradient g, and what the
optimizer remembers about it (``of``); each ends in ``updated``: w⁺ = w − η d, with the direction d that it computed. A
penalty (``penalty``) is part of the loss and of the reported gradients; clipping and decay are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from backprop_check.functions.kinks import PENALTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backprop_check.case.training import Clip, Optimizer, Regularization

#: What PyTorch adds to the norm that it divides by.
NORM_EPSILON = 1e-6


class Learning(Protocol):
    """What the update reads of a pass."""

    learning_rate: float | None
    optimizer: Optimizer | None
    clip: Clip | None
    regularization: Regularization | None

    def sums(self, m: Any, term: Callable[[Any], Any], *, gradients: bool = False) -> Iterator[tuple[str, Any]]:
        """For every array of parameters (or of their gradients) its name, and Σ term(x) over it."""


@dataclass(eq=False)
class Memory:
    """What is remembered after ``time`` updates: tables by (layer, parameter, name)."""

    time: int = 0
    tables: dict[tuple[int, str, str], Any] = field(default_factory=dict)


class Training(NamedTuple):
    """What an update reads besides the gradients, for the explanation."""

    before: Memory
    after: Memory
    settings: dict[str, Any]
    rate: Any
    norm: Any
    scale: Any


class Remembered:
    """What is remembered about one number: ``of["v"]`` from the update before, ``of.keep("v", x)`` for the next.

    The number is at the place ``at`` of the ``layer``'s ``parameter``; ``empty`` makes a table of that parameter's
    shape.
    """

    def __init__(self, stages: Optimizers, layer: int, parameter: str, at: Any, empty: Callable[[], Any]) -> None:
        self.parameter = parameter
        self._stages, self._layer, self._at, self._empty = stages, layer, at, empty

    def __contains__(self, name: str) -> bool:
        return (self._layer, self.parameter, name) in self._stages.before.tables

    def __getitem__(self, name: str) -> Any:
        return self._stages.before.tables[self._layer, self.parameter, name][self._at]

    def keep(self, name: str, value: Any) -> Any:
        """Remember a value; returns it as it is in its table."""
        tables, key = self._stages.memory.tables, (self._layer, self.parameter, name)
        if key not in tables:
            tables[key] = self._empty()
        tables[key][self._at] = value
        return tables[key][self._at]


class Optimizers:
    """The part of ``Stages`` about training. One object sees all steps of a case, and remembers."""

    m: Any

    def __init__(self) -> None:
        self.before, self.memory = Memory(), Memory()
        self.optimizer: Optimizer | None = None  # None for plain gradient descent
        self.settings: dict[str, Any] = {}
        self.rate: Any = None
        self.norm: Any = None
        self.scale: Any = None
        self.limit: Any = None

    # What all parameters share -------------------------------------------------------------------

    def before_update(self, p: Learning) -> None:
        """Begin an update: count it, and compute the norm of the gradients if they are clipped by it."""
        self.optimizer = p.optimizer
        if p.optimizer is None:
            return
        if not self.settings:
            self.settings = {
                name: tuple(map(self.m.setting, value)) if isinstance(value, tuple) else self.m.setting(float(value))
                for name, value in p.optimizer.settings.items()
            }
        self.rate = self.m.setting(0.0 if p.learning_rate is None else p.learning_rate)
        self.before, self.memory = self.memory, Memory(self.memory.time + 1)
        self.norm = self.scale = self.limit = None
        if p.clip is not None and p.clip.kind == "norm":
            self.norm = self.gradient_norm(p)
            self.scale = self.clip_scale(self.norm, p.clip.limit)
        elif p.clip is not None:
            self.limit = self.m.number(p.clip.limit)

    def training(self) -> Training | None:
        """What this update reads besides the gradients; None for plain gradient descent."""
        if self.optimizer is None:
            return None
        return Training(self.before, self.memory, self.settings, self.rate, self.norm, self.scale)

    @property
    def time(self) -> int:
        """The number of this update, counted from 1."""
        return self.memory.time

    def gradient_norm(self, p: Learning) -> Any:
        """√ Σ g² over all parameters of all layers."""
        m, total = self.m, None
        for _, part in p.sums(m, lambda g: g * g, gradients=True):
            total = part if total is None else total + part
        return m.sqrt(m.setting(0.0) if total is None else total)

    def clip_scale(self, norm: Any, limit: float) -> Any:
        """min(1, c/(norm + 10⁻⁶))."""
        ratio = self.m.number(limit) / (norm + self.m.number(NORM_EPSILON))
        return self.m.where_positive(ratio - 1, self.m.number(1.0), ratio)

    # The penalty in the loss ---------------------------------------------------------------------

    def penalty(self, p: Learning) -> Any:
        """l1 Σ|w| + ½ l2 Σ w², over weights, and over biases if the case says so."""
        m, r = self.m, p.regularization
        assert r is not None
        total = m.number(0.0)
        if r.l1:
            for parameter, part in p.sums(m, abs):
                total = total + m.number(r.l1) * part if self.has_penalty(p, parameter) else total
        if r.l2:
            for parameter, part in p.sums(m, lambda w: w * w):
                total = total + self.l2_value(r.l2, part) if self.has_penalty(p, parameter) else total
        return total

    def has_penalty(self, p: Learning, parameter: str) -> bool:
        """Whether a parameter of that name has a penalty: every weight, and biases if the case says so."""
        return "weight" in parameter or ("bias" in parameter and self.counts_biases(p))

    def counts_biases(self, p: Learning) -> bool:
        """Whether biases have a penalty too."""
        return p.regularization is not None and p.regularization.biases

    def l2_value(self, l2: float, total: Any) -> Any:
        """½ l2 Σ w²."""
        return self.m.number(0.5 * l2) * total

    def penalized(self, p: Learning, parameter: str, gradient: Any, w: Any) -> Any:
        """∂L/∂w plus the derivative of the penalty: l1 sign(w) + l2 w, with sign(0) = 0."""
        m, r = self.m, p.regularization
        assert r is not None
        if not self.has_penalty(p, parameter):
            return gradient
        if r.l1:
            gradient = gradient + m.number(r.l1) * self.sign(w)
        return gradient + self.l2_slope(r.l2, w) if r.l2 else gradient

    def l2_slope(self, l2: float, w: Any) -> Any:
        """l2 w, the derivative of ½ l2 w²."""
        return self.m.number(l2) * w

    def sign(self, w: Any) -> Any:
        """1, −1, or 0 at the kink of |w|."""
        m = self.m
        return m.kink(PENALTY, w, m.number(1.0), m.number(-1.0), m.number(0.0))

    # One parameter's update ----------------------------------------------------------------------

    def trained(self, w: Any, g: Any, of: Remembered) -> Any:
        """w⁺ by the case's optimizer, from the gradient before clipping."""
        assert self.optimizer is not None
        step: Any = getattr(self, self.optimizer.kind)
        return step(w, self.clipped(g), of, self.rate)

    def clipped(self, g: Any) -> Any:
        """g limited to [−c, c], or scaled together with all others to the norm c."""
        if self.limit is not None:
            m, c = self.m, self.limit
            return m.where_positive(g - c, c, m.where_positive(-g - c, -c, g))
        return g if self.scale is None else g * self.scale

    def decayed(self, w: Any, g: Any, of: Remembered) -> Any:  # noqa: ARG002 - some forget the biases
        """g + λw: weight decay as a part of the gradient (all optimizers but AdamW)."""
        return g + self.settings["weight_decay"] * w if self.has("weight_decay") else g

    def has(self, name: str) -> bool:
        """Whether an option is on."""
        assert self.optimizer is not None
        return bool(self.optimizer.settings[name])

    def velocity(self, d: Any, of: Remembered) -> Any:
        """v⁺ = μ v + (1 − dampening) d; the first one is d, whatever the dampening."""
        if "velocity" not in of:
            return of.keep("velocity", d)
        return of.keep("velocity", self.settings["momentum"] * of["velocity"] + self.undampened(d))

    def undampened(self, d: Any) -> Any:
        """(1 − dampening) d."""
        dampens = self.optimizer is not None and self.optimizer.settings.get("dampening")
        return (1 - self.settings["dampening"]) * d if dampens else d

    def look_ahead(self, g: Any, v: Any) -> Any:
        """Nesterov's direction: g + μ v⁺."""
        return g + self.settings["momentum"] * v

    def average(self, name: str, beta: Any, x: Any, of: Remembered) -> Any:
        """β · (old average) + (1 − β) x: a running average that starts at 0."""
        new = (1 - beta) * x
        return of.keep(name, beta * of[name] + new if name in of else new)

    def root(self, v: Any) -> Any:
        """√v + ε, the divisor of an adaptive optimizer."""
        return self.m.sqrt(v) + self.settings["eps"]

    def sgd(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η d, where d is g, its velocity v, or g + μ v (Nesterov; Sutskever et al. 2013)."""
        d = self.decayed(w, g, of)
        if self.has("momentum"):
            v = self.velocity(d, of)
            d = self.look_ahead(d, v) if self.has("nesterov") else v
        return self.updated(w, d, rate)

    def rmsprop(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η g/(√v + ε), v the running average of g² (minus the squared average of g, if centered)
        (Hinton 2012).
        """
        g, alpha = self.decayed(w, g, of), self.settings["alpha"]
        v = self.average("square", alpha, g * g, of)
        if self.has("centered"):
            mean = self.average("mean", alpha, g, of)
            v = v - mean * mean
        d = g / self.root(v)
        return self.updated(w, self.velocity(d, of) if self.has("momentum") else d, rate)

    def adagrad(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η/(1 + (t − 1) lr_decay) · g/(√Σg² + ε) (Duchi, Hazan & Singer 2011)."""
        g = self.decayed(w, g, of)
        before = of["sum"] if "sum" in of else self.settings["initial_accumulator_value"]
        total = of.keep("sum", before + g * g)
        if self.has("lr_decay"):
            rate = self.m.number(rate) / (1 + self.m.number(float(self.time - 1)) * self.settings["lr_decay"])
        return self.updated(w, g / self.root(total), rate)

    def adam(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η m̂/(√v̂ + ε), with the bias-corrected averages m̂ of g and v̂ of g² (Kingma & Ba 2015)."""
        return self.adam_step(w, self.decayed(w, g, of), of, rate)

    def adamw(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w (1 − η λ) − η m̂/(√v̂ + ε): the decay is no part of the gradient (Loshchilov & Hutter 2019)."""
        return self.adam_step(self.shrunk(w, of, rate), g, of, rate)

    def shrunk(self, w: Any, of: Remembered, rate: Any) -> Any:  # noqa: ARG002 - some forget the biases
        """w (1 − η λ)."""
        return w * (1 - self.m.number(rate) * self.settings["weight_decay"]) if self.has("weight_decay") else w

    def adam_step(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """The part that Adam and AdamW share; with amsgrad, v is the largest average so far (Reddi, Kale & Kumar
        2018).
        """
        beta1, beta2 = self.settings["betas"]
        mean, square = self.average("mean", beta1, g, of), self.average("square", beta2, g * g, of)
        if self.has("amsgrad"):
            square = of.keep("largest", self.larger(square, of["largest"]) if "largest" in of else square)
        return self.updated(w, self.adam_direction(mean, square, beta1, beta2), rate)

    def larger(self, x: Any, y: Any) -> Any:
        """The larger of two."""
        return self.m.where_positive(x - y, x, y)

    def adam_direction(self, mean: Any, square: Any, beta1: Any, beta2: Any) -> Any:
        """m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ) and √v̂ = √v/√(1 − β₂ᵗ)."""
        return (mean / self.correction_of_mean(beta1)) / self.adam_root(square, beta2)

    def adam_root(self, square: Any, beta2: Any) -> Any:
        """√v̂ + ε."""
        return self.m.sqrt(square) / self.m.sqrt(self.correction_of_square(beta2)) + self.settings["eps"]

    def correction_of_mean(self, beta: Any) -> Any:
        """1 − β₁ᵗ, the divisor of m."""
        return self.correction(beta)

    def correction_of_square(self, beta: Any) -> Any:
        """1 − β₂ᵗ, the divisor of v."""
        return self.correction(beta)

    def correction(self, beta: Any) -> Any:
        """1 − βᵗ: the total weight of t numbers in a running average that starts at 0."""
        return 1 - self.power(beta, self.time)

    def power(self, x: Any, exponent: int) -> Any:
        """xⁿ as a product of n factors."""
        result = x
        for _ in range(exponent - 1):
            result = result * x
        return result

    def updated(self, parameter: Any, gradient: Any, learning_rate: Any) -> Any:
        """w − η d for a weight or a bias, with the direction ``gradient``."""
        return parameter - self.m.number(learning_rate) * gradient

"""What happens to a gradient on its way to the parameter: clipping, decay, and each optimizer's update.

Names, defaults and formulas are PyTorch's. Every method is about one parameter w, its gradient g, and what the
optimizer remembers of it (``of``); each ends in ``updated``: w⁺ = w − η d, with the direction d that it found.
A penalty in the loss (``penalty``) is part of the loss and of the reported gradients; clipping and decay are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.reference.backward import LayerPass, Pass
    from backprop_check.training import Optimizer

#: What PyTorch adds to the norm that it divides by.
NORM_EPSILON = 1e-6


@dataclass(eq=False)
class Memory:
    """What is remembered after ``time`` updates: tables by (layer, "weight" or "bias", name)."""

    time: int = 0
    tables: dict[tuple[int, str, str], Any] = field(default_factory=dict)


class Training(NamedTuple):
    """What an update knows beside the gradients: for who tells of it."""

    before: Memory
    after: Memory
    settings: dict[str, Any]
    rate: Any
    norm: Any
    scale: Any


class Remembered:
    """What is remembered of one parameter: ``of["v"]`` from the update before, ``of.keep("v", x)`` for the next."""

    def __init__(self, stages: Optimizers, l: LayerPass, kind: str, at: Any) -> None:
        self.kind = kind
        self._stages, self._l, self._at = stages, l, at

    def __contains__(self, name: str) -> bool:
        return (self._l.index, self.kind, name) in self._stages.before.tables

    def __getitem__(self, name: str) -> Any:
        return self._stages.before.tables[self._l.index, self.kind, name][self._at]

    def keep(self, name: str, value: Any) -> Any:
        """Remember it; give it back as it stands in its table."""
        tables, key, m = self._stages.memory.tables, (self._l.index, self.kind, name), self._stages.m
        if key not in tables:
            tables[key] = m.grid(self._l.units, self._l.inputs) if self.kind == "weight" else m.line(self._l.units)
        tables[key][self._at] = value
        return tables[key][self._at]


class Optimizers:
    """The part of ``Stages`` that is about training. One object sees all steps of a case, and remembers."""

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

    def before_update(self, p: Pass) -> None:
        """Begin an update: one more is counted, and the gradients' norm is taken where it matters."""
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
        """What this update knows; None for a plain step down the slope."""
        if self.optimizer is None:
            return None
        return Training(self.before, self.memory, self.settings, self.rate, self.norm, self.scale)

    @property
    def time(self) -> int:
        """The number of this update, counted from 1."""
        return self.memory.time

    def gradient_norm(self, p: Pass) -> Any:
        """√ Σ g², over all weights and biases of all layers."""
        m, total = self.m, None
        for l in p.layers:
            for part in self.table_sums(l, lambda g: g * g, l.weight_gradient, l.bias_gradient):
                total = part if total is None else total + part
        return m.sqrt(total)

    def table_sums(self, l: LayerPass, term: Any, weights: Any, biases: Any) -> Iterator[Any]:
        """Σ term(x) over a table of weights' shape, then over one of biases' (None: there is none)."""
        m = self.m
        cells, rows = m.grid(l.units, l.inputs), m.line(l.units)
        for j in m.each(l.units):
            for i in m.each(l.inputs):
                cells[j, i] = term(weights[j, i])
            rows[j] = m.sum(cells[j, :])
        yield m.sum(rows[:])
        if biases is not None:
            line = m.line(l.units)
            for j in m.each(l.units):
                line[j] = term(biases[j])
            yield m.sum(line[:])

    def clip_scale(self, norm: Any, limit: float) -> Any:
        """c/(norm + 10⁻⁶), and 1 where that is more."""
        ratio = self.m.number(limit) / (norm + self.m.number(NORM_EPSILON))
        return self.m.where_positive(ratio - 1, self.m.number(1.0), ratio)

    # The penalty in the loss ---------------------------------------------------------------------

    def penalty(self, p: Pass) -> Any:
        """l1 Σ|w| + ½ l2 Σ w², over weights, and biases where the case says so."""
        m, r = self.m, p.regularization
        assert r is not None
        total = m.number(0.0)
        for l in p.layers:
            biases = l.biases if self.counts_biases(p) else None
            if r.l1:
                for part in self.table_sums(l, abs, l.weights, biases):
                    total = total + m.number(r.l1) * part
            if r.l2:
                for part in self.table_sums(l, lambda w: w * w, l.weights, biases):
                    total = total + self.l2_value(r.l2, part)
        return total

    def counts_biases(self, p: Pass) -> bool:
        """Whether biases have a penalty too."""
        return p.regularization is not None and p.regularization.biases

    def l2_value(self, l2: float, total: Any) -> Any:
        """½ l2 Σ w²."""
        return self.m.number(0.5 * l2) * total

    def penalized(self, p: Pass, gradient: Any, w: Any) -> Any:
        """∂L/∂w with the penalty's part: l1 sign(w) + l2 w, where sign(0) = 0."""
        m, r = self.m, p.regularization
        assert r is not None
        if r.l1:
            gradient = gradient + m.number(r.l1) * self.sign(w)
        return gradient + self.l2_slope(r.l2, w) if r.l2 else gradient

    def l2_slope(self, l2: float, w: Any) -> Any:
        """The derivative of ½ l2 w²."""
        return self.m.number(l2) * w

    def sign(self, w: Any) -> Any:
        """1, −1, or 0 at the kink of |w|."""
        m = self.m
        return m.where_positive(w, m.number(1.0), m.where_positive(-w, m.number(-1.0), m.number(0.0)))

    def penalized_weight(self, p: Pass, l: LayerPass, j: Any, i: Any, gradient: Any) -> Any:
        """∂L/∂wⱼᵢ of the loss with its penalty."""
        return self.penalized(p, gradient, l.weights[j, i])

    def penalized_bias(self, p: Pass, l: LayerPass, j: Any, gradient: Any) -> Any:
        """∂L/∂bⱼ of the loss with its penalty, which most leave without."""
        return self.penalized(p, gradient, l.biases[j]) if self.counts_biases(p) else gradient

    # One parameter's update ----------------------------------------------------------------------

    def trained(self, w: Any, g: Any, of: Remembered) -> Any:
        """w⁺ by the case's optimizer, from the gradient as the loss gives it."""
        assert self.optimizer is not None
        step: Any = getattr(self, self.optimizer.kind)
        return step(w, self.clipped(g), of, self.rate)

    def clipped(self, g: Any) -> Any:
        """g held between −c and c, or shortened with all others to the norm c."""
        if self.limit is not None:
            m, c = self.m, self.limit
            return m.where_positive(g - c, c, m.where_positive(-g - c, -c, g))
        return g if self.scale is None else g * self.scale

    def decayed(self, w: Any, g: Any, of: Remembered) -> Any:  # noqa: ARG002 - some forget the biases
        """g + λw: weight decay as a part of the gradient (all but AdamW)."""
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
        """A running average that begins at 0: β · (that before) + (1 − β) x."""
        new = (1 - beta) * x
        return of.keep(name, beta * of[name] + new if name in of else new)

    def root(self, v: Any) -> Any:
        """√v + ε, what an adaptive optimizer divides by."""
        return self.m.sqrt(v) + self.settings["eps"]

    def sgd(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η d, d being g, its velocity v, or g + μ v (Nesterov)."""
        d = self.decayed(w, g, of)
        if self.has("momentum"):
            v = self.velocity(d, of)
            d = self.look_ahead(d, v) if self.has("nesterov") else v
        return self.updated(w, d, rate)

    def rmsprop(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η g/(√v + ε), v the running average of g² (less the squared average of g, where centered)."""
        g, alpha = self.decayed(w, g, of), self.settings["alpha"]
        v = self.average("square", alpha, g * g, of)
        if self.has("centered"):
            mean = self.average("mean", alpha, g, of)
            v = v - mean * mean
        d = g / self.root(v)
        return self.updated(w, self.velocity(d, of) if self.has("momentum") else d, rate)

    def adagrad(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η/(1 + (t − 1) lr_decay) · g/(√Σg² + ε)."""
        g = self.decayed(w, g, of)
        before = of["sum"] if "sum" in of else self.settings["initial_accumulator_value"]
        total = of.keep("sum", before + g * g)
        if self.has("lr_decay"):
            rate = self.m.number(rate) / (1 + self.m.number(float(self.time - 1)) * self.settings["lr_decay"])
        return self.updated(w, g / self.root(total), rate)

    def adam(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """w⁺ = w − η m̂/(√v̂ + ε), from the running averages m of g and v of g², each corrected for its start at 0."""
        return self.adam_step(w, self.decayed(w, g, of), of, rate)

    def adamw(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """Adam, where w first shrinks by itself: w (1 − η λ), and the gradient knows nothing of it."""
        return self.adam_step(self.shrunk(w, of, rate), g, of, rate)

    def shrunk(self, w: Any, of: Remembered, rate: Any) -> Any:  # noqa: ARG002 - some forget the biases
        """w (1 − η λ)."""
        return w * (1 - self.m.number(rate) * self.settings["weight_decay"]) if self.has("weight_decay") else w

    def adam_step(self, w: Any, g: Any, of: Remembered, rate: Any) -> Any:
        """The part that Adam and AdamW share."""
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
        """What m is divided by."""
        return self.correction(beta)

    def correction_of_square(self, beta: Any) -> Any:
        """What v is divided by."""
        return self.correction(beta)

    def correction(self, beta: Any) -> Any:
        """1 − βᵗ: how much of a running average that began at 0 is there after t updates."""
        return 1 - self.power(beta, self.time)

    def power(self, x: Any, exponent: int) -> Any:
        """x · x · …: as many factors as the exponent says."""
        result = x
        for _ in range(exponent - 1):
            result = result * x
        return result

    def updated(self, parameter: Any, gradient: Any, learning_rate: Any) -> Any:
        """One step against a direction, for a weight or a bias."""
        return parameter - self.m.number(learning_rate) * gradient

"""The chain rule for any network: tables of numbers, and the four rules by which a table is computed from others.

In every layer a number is computed in one of four ways:

- a weighted sum of others (dense, convolution, average, attention, recurrence, even a copy): ``WeightedSum``
- a function of one other: ``Function``
- a softmax over some others: ``Softmax``
- the largest of some others: ``Largest``

Backward there is only one rule: ∂L/∂x = Σ over all y that read x of ∂L/∂y · ∂y/∂x (Nielsen's BP2). For a parameter the
sum also goes over the samples, since all of them read it (BP3, BP4): the same line with ``s`` = all samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.functions.activations import ELEMENTWISE, Elementwise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backprop_check.kinds.wiring import Index, Places, Wiring


def _reciprocal_root(m: Any, x: Any, eps: float) -> Any:
    """1/√(x + ε)."""
    return 1 / m.sqrt(x + m.number(eps))


def _reciprocal_root_derivative(m: Any, x: Any, a: Any, eps: float) -> Any:
    """−½ (x + ε)^(−3/2)."""
    return -(a / (x + m.number(eps))) / 2


def _over(m: Any, x: Any, divisor: float) -> Any:
    """x/n: the mean from a sum."""
    return x / m.number(divisor)


def _over_derivative(m: Any, x: Any, a: Any, divisor: float) -> Any:
    """1/n."""
    del x, a
    return 1 / m.number(divisor)


#: The functions of one number: activations, and what layers need beside them.
FUNCTIONS: dict[str, Elementwise] = {
    **ELEMENTWISE,
    "over": Elementwise(_over, _over_derivative),
    "reciprocal_root": Elementwise(_reciprocal_root, _reciprocal_root_derivative, kinks=(0.0,)),
}

ALL = slice(None)


class Table:
    """One number per unit and sample: its ``values``, and after the backward pass their ``error`` ∂L/∂x.

    A parameter is a table too, with one row that all samples share; so is a sum ``across`` the samples of a
    batch, such as its mean. ``readers`` are the rules that read the table, each with its role. No gradient flows
    into a ``fixed`` table.
    """

    def __init__(
        self,
        units: int,
        values: Any,
        *,
        parameter: bool = False,
        fixed: bool = False,
        role: str = "",
        across: bool = False,
    ) -> None:
        self.units, self.values, self.parameter, self.fixed = units, values, parameter, fixed
        self.across = across
        self.error: Any = None
        self.readers: list[tuple[Rule, tuple[str, int]]] = []
        self.made_by: Rule | None = None
        self.reported: Reported | None = None
        self.role = role  # its name in the layer kind, such as ``cell``, by which a named bug finds it


class Reported:
    """The place of a table in a reply: (part of) ``z`` or ``a`` of a layer, ``width`` columns from ``start`` on."""

    def __init__(self, layer: int, quantity: str, start: int, width: int) -> None:
        self.layer, self.quantity, self.start, self.width = layer, quantity, start, width


class Rule:
    """How one table, ``out``, is computed from others.

    It knows its ``case``, ``step`` and ``layer``, and the layer's ``spec`` and input shape.
    """

    layer: int
    step: int
    spec: Any
    case: Any
    inputs: tuple[int, ...]

    def __init__(self, out: Table) -> None:
        self.out = out
        self.layer, self.step, self.spec, self.inputs, self.case = -1, 0, None, (), None

    def reads(self, table: Table, role: str, number: int = 0) -> None:
        """Note that this rule reads ``table``, for the backward pass."""
        table.readers.append((self, (role, number)))

    def value(self, m: Any, s: Any, o: Any) -> Any:
        """The value of unit o for sample s."""
        raise NotImplementedError

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """The gradient that flows back to unit i through this rule, as two vectors ∂L/∂out and ∂out/∂i: Σ of products.

        The second vector is None where every slope is 1.
        """
        raise NotImplementedError


class Source:
    """A table that is summed, its weights (None: each is 1), and the wiring between them."""

    def __init__(self, x: Table, weights: Table | None, wiring: Wiring) -> None:
        self.x, self.weights, self.wiring = x, weights, wiring


class WeightedSum(Rule):
    """outₒ = Σ w·x + b, over everything that o reads; the weights may be parameters or computed tables.

    ``other(s, o)`` is a second common formula for the same number; the bound admits both.
    """

    def __init__(
        self,
        out: Table,
        sources: Sequence[Source],
        biases: Sequence[tuple[Table, Places]],
        other: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        super().__init__(out)
        self.sources, self.biases, self.other = sources, biases, other
        for number, source in enumerate(sources):
            self.reads(source.x, "x", number)
            if source.weights is not None:
                self.reads(source.weights, "weights", number)
        for number, (bias, _) in enumerate(biases):
            self.reads(bias, "bias", number)

    def value(self, m: Any, s: Any, o: Any) -> Any:
        """Σ w·x + b."""
        terms = [
            (
                source.x.values[s, source.wiring.reads[o]],
                None if source.weights is None else source.weights.values[s, source.wiring.uses[o]],
            )
            for source in self.sources
        ]
        total = m.dots(terms, [bias.values[s, of[o]] for bias, of in self.biases])
        return total if self.other is None else m.either(total, lambda: self.other(s, o))

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """∂out/∂x = w (role "x": BP2), ∂out/∂b = 1 (role "bias": BP3), ∂out/∂w = x (role "weights": BP4)."""
        del m
        what, number = role
        if what == "bias":
            return self.out.error[s, self.biases[number][1].by_place(self.biases[number][0].units)[i]], None
        source = self.sources[number]
        if what == "x":
            readers, used = source.wiring.by_input
            weights = None if source.weights is None else source.weights.values[s, used[i]]
            return self.out.error[s, readers[i]], weights
        units, inputs = source.wiring.by_weight
        return self.out.error[s, units[i]], source.x.values[s, inputs[i]]


class Function(Rule):
    """outₒ = φ(xₒ)."""

    def __init__(self, out: Table, x: Table, name: str, alpha: float) -> None:
        super().__init__(out)
        self.x, self.name, self.alpha = x, name, alpha
        self.function = FUNCTIONS[name]
        self.reads(x, "x")

    def value(self, m: Any, s: Any, o: Any) -> Any:
        """φ(x)."""
        return self.function.value(m, self.x.values[s, o], self.alpha)

    def slope(self, m: Any, s: Any, i: Any) -> Any:
        """φ′(x)."""
        return self.function.derivative(m, self.x.values[s, i], self.out.values[s, i], self.alpha)

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """φ′(x)."""
        del role
        return m.one(self.out.error[s, i]), m.one(self.slope(m, s, i))


class Softmax(Rule):
    """pₒ = e^(xₒ − max x) / Σₖ e^(xₖ − max x), or its logarithm, over the units ``groups[o]``, the group of o.

    ``keep`` has, for every sample, 1 for each unit that takes part and 0 for the others, whose p is 0.
    """

    def __init__(
        self, out: Table, x: Table, groups: Index, *, logarithm: bool = False, keep: Table | None = None
    ) -> None:
        super().__init__(out)
        self.x, self.groups, self.logarithm, self.keep = x, groups, logarithm, keep
        self.reads(x, "x")

    @property
    def name(self) -> str:
        """The name of the activation."""
        return "log_softmax" if self.logarithm else "softmax"

    def value(self, m: Any, s: Any, o: Any) -> Any:
        """pₒ = e^(zₒ − max z) / Σₖ e^(zₖ − max z), over the group of o; ln pₒ for the logarithm."""
        group = self.x.values[s, self.groups[o]]
        if self.keep is not None:
            group = m.only(group, self.keep.values[s, self.groups[o]])
        top = m.top(group)
        total = m.total(m.vector(lambda x, top: m.exp(x - top), group, top))
        shifted = self.x.values[s, o] - top
        if self.keep is not None:
            kept = self.keep.values[s, o]
            return m.where_positive(kept, m.exp(m.where_positive(kept, shifted, 0.0)) / total, 0.0)
        return shifted - m.log(total) if self.logarithm else m.exp(shifted) / total

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """The full Jacobian: pᵢ (gᵢ − Σₖ gₖ pₖ), or gᵢ − pᵢ Σₖ gₖ for the logarithm."""
        del role
        g, group = self.out.error, self.groups[i]
        a = self.out.values[s, i]
        if self.logarithm:
            return m.one(g[s, i] - m.exp(a) * m.total(g[s, group])), None
        return m.one(g[s, i] - m.dots([(g[s, group], self.out.values[s, group])], [])), m.one(a)


class Largest(Rule):
    """outₒ = max of the units that o reads: a weighted sum with weight 1 for the (first) largest, 0 for the others."""

    def __init__(self, out: Table, x: Table, wiring: Wiring, winners: Any) -> None:
        super().__init__(out)
        self.x, self.wiring, self.winners = x, wiring, winners
        self.reads(x, "x")

    def value(self, m: Any, s: Any, o: Any) -> Any:
        """The largest of the units that o reads."""
        read = self.x.values[s, self.wiring.reads[o]]
        self.winners[s, self.wiring.uses[o]] = m.winners(read)
        return m.largest(read)

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """∂out/∂i = 1 where i is the largest, else 0."""
        del m, role
        readers, used = self.wiring.by_input
        return self.out.error[s, readers[i]], self.winners[s, used[i]]


class Given(Rule):
    """The gradient that flows from the loss into the network's output."""

    def share(self, m: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """∂L/∂a of the loss."""
        del role
        return m.one(self.out.values[s, i]), None


def read_by(rule: Rule, role: tuple[str, int]) -> Table | None:
    """The table that a rule reads in a role; None for the loss, which reads the network's output."""
    what, number = role
    if isinstance(rule, Given):
        return None
    if not isinstance(rule, WeightedSum):
        found: Table = rule.x  # type: ignore[attr-defined]
        return found
    if what == "bias":
        return rule.biases[number][0]
    source = rule.sources[number]
    return source.x if what == "x" else source.weights

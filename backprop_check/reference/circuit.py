"""The chain rule for any network: tables of numbers, and the four rules by which a table is computed from others.

A layer kind writes its equations, forward only, on a ``Circuit``; each line makes a ``Table`` (one number per unit and
sample). In every layer, a number is computed in one of four ways:

- a weighted sum of others (dense, convolution, average, attention, recurrence, even a copy): ``WeightedSum``
- a function of one other: ``Function``
- a softmax over some others: ``Softmax``
- the largest of some others: ``Largest``

Backward there is only one rule: ∂L/∂x = Σ over all y that read x of ∂L/∂y · ∂y/∂x (Nielsen's BP2). For a parameter the
sum also goes over the samples, since all of them read it (BP3, BP4): the same line with ``s`` = all samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.kinds.wiring import Index, Places, Wiring, own, picking, placed, places, same
from backprop_check.reference.activations import ELEMENTWISE, Elementwise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from backprop_check.reference.stages import Stages

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
        """∂out/∂x = w, ∂out/∂w = x, ∂out/∂b = 1."""
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
        """pₒ, or ln pₒ for the logarithm."""
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


class Output:
    """The result of a layer: its output ``a``, and the tables of its pre-activations ``z``, if it has any.

    ``buffers`` are the buffers that the pass changed, by name; the next pass begins with them.
    """

    def __init__(self, a: Table, z: Sequence[Table], buffers: Mapping[str, Table]) -> None:
        self.a, self.z, self.buffers = a, z, buffers


class Circuit:
    """Builds tables, computing each when it is made, and remembers their order for the backward pass."""

    def __init__(self, case: Any, m: Any, stages: Stages, step: int = 0) -> None:
        self.case, self.m, self.stages, self.step = case, m, stages, step
        self.samples = len(case.inputs)
        self.tables: list[Table] = []
        self.layer: int = -1
        self.spec: Any = None
        self.inputs: tuple[int, ...] = ()
        self.buffers: dict[str, Table] = {}

    def weighted_sum(
        self,
        sources: Sequence[tuple[Table, Table | None, Wiring]],
        biases: Sequence[tuple[Table, Iterable[int]]] = (),
        role: str = "",
        other: Callable[[Any, Any], Any] | None = None,
    ) -> Table:
        """outₒ = Σ w·x + b: a source is (table, weights or None, wiring), a bias (parameter, its place by unit)."""
        read = [table for x, weights, _ in sources for table in (x, weights) if table is not None]
        out = self._table(len(sources[0][2].reads), role, [*read, *(bias for bias, _ in biases)])
        rule = WeightedSum(out, [Source(*each) for each in sources], [(b, places(of)) for b, of in biases], other)
        return self._made(out, rule)

    def across(
        self,
        source: tuple[Table, Table | None, Wiring],
        role: str = "",
        other: Callable[[Any, Any], Any] | None = None,
    ) -> Table:
        """The same sum of one source, taken over all samples of the batch: one row that all samples share.

        What is made of such rows only is one row too (the mean of a batch, its standard deviation).
        """
        units = len(source[2].reads)
        out = Table(units, self.m.row(units), parameter=True, across=True, role=role)
        return self._made(out, WeightedSum(out, [Source(*source)], [], other))

    def function(self, name: str, x: Table, alpha: float = 0.0, role: str = "") -> Table:
        """outₒ = φ(xₒ); ``name`` is one of ``FUNCTIONS``."""
        out = self._table(x.units, role, [x])
        return self._made(out, Function(out, x, name, alpha))

    def softmax(
        self, x: Table, groups: Index, *, logarithm: bool = False, keep: Table | None = None, role: str = ""
    ) -> Table:
        """Softmax of every unit within ``groups[o]``, to which it belongs; of those that ``keep`` has a 1 for."""
        out = self._table(x.units, role)
        return self._made(out, Softmax(out, x, groups, logarithm=logarithm, keep=keep))

    def largest(self, x: Table, reads: Sequence[Sequence[int]], role: str = "") -> Table:
        """The largest of the units that each unit reads."""
        uses, count = [], 0
        for row in reads:
            uses.append(range(count, count + len(row)))
            count += len(row)
        out = self._table(len(reads), role)
        winners = self.m.grid(self.samples, count)
        return self._made(out, Largest(out, x, Wiring(x.units, count, reads, uses), winners))

    def pick(self, x: Table, positions: Sequence[int], role: str = "") -> Table:
        """The units of ``x`` at these positions: nothing is computed."""
        return self.weighted_sum([(x, None, picking(x.units, positions))], role=role)

    def join(self, tables: Sequence[Table], role: str = "") -> Table:
        """Tables one after the other."""
        if len(tables) == 1:
            return tables[0]
        width, start = sum(table.units for table in tables), 0
        sources: list[tuple[Table, Table | None, Wiring]] = []
        for table in tables:
            sources.append((table, None, placed(width, start, table.units)))
            start += table.units
        return self.weighted_sum(sources, role=role)

    def add(self, tables: Sequence[Table], role: str = "") -> Table:
        """The sum of tables of one shape, unit by unit."""
        return self.weighted_sum([(table, None, same(table.units)) for table in tables], role=role)

    def multiply(self, x: Table, y: Table, role: str = "") -> Table:
        """The product of two tables, unit by unit."""
        return self.weighted_sum([(x, y, own(x.units, y.units, 0))], role=role)

    def given(self, rows: Any) -> Table:
        """Numbers of the case, ``[sample][unit]``: nothing flows back into them."""
        return Table(len(rows[0]), self.m.given_grid(rows), fixed=True)

    def cut(self, x: Table) -> Table:
        """The same numbers, but nothing flows back through them."""
        return Table(x.units, x.values, fixed=True, role="cut")

    def show(self, z: Table, start: int = 0, width: int | None = None) -> Table:
        """Report ``z`` at once: what follows goes on with what was reported in its place.

        A layer that has several says where each begins, as column ``start`` of ``width`` columns, and gives them to
        ``c.output`` in that order.
        """
        width = z.units if width is None else width
        z.values = self.m.seen_part("z", self.layer, self.step, z.values, start, width)
        z.reported = Reported(self.layer, "z", start, width)
        return z

    def constant(self, numbers: Sequence[float], roundings: Sequence[float] | None = None) -> Table:
        """Numbers of a formula, the same for every sample; ``roundings``: how far off a right one may be, in u."""
        return Table(len(numbers), self.m.given_row(numbers, roundings), parameter=True, fixed=True)

    def activate(
        self, name: str, z: Table, alpha: float | None = None, groups: Callable[[], Index] | None = None
    ) -> Table:
        """a = φ(z); a softmax is taken over what ``groups`` gives, or all units."""
        if name == "identity":
            return z
        if name in ("softmax", "log_softmax"):
            over = Index.blocks(1, z.units) if groups is None else groups()
            return self.softmax(z, over, logarithm=name == "log_softmax", role="a")
        return self.function(name, z, alpha_of(name, alpha), role="a")

    def unmoved(self, x: Table) -> Table:
        """The numbers of a table; nothing flows back into it."""
        return Table(x.units, x.values, parameter=x.parameter, fixed=True, across=x.across)

    def output(
        self, a: Table, z: Table | Sequence[Table] | None = None, buffers: Mapping[str, Table] | None = None
    ) -> Output:
        """What the layer gives. Without ``z`` its output is its own pre-activation."""
        return Output(a, [a] if z is None else [z] if isinstance(z, Table) else list(z), buffers or {})

    def _table(self, units: int, role: str, read: Sequence[Table] = ()) -> Table:
        """An empty table: one row where all that is read is, and some of it goes across the samples."""
        across = any(table.across for table in read) and all(table.parameter for table in read)
        values = self.m.row(units) if across else self.m.grid(self.samples, units)
        return Table(units, values, parameter=across, across=across, role=role)

    def _made(self, out: Table, rule: Rule) -> Table:
        """Work the table out, unit by unit, and keep it for the way back."""
        m, out.made_by = self.m, rule
        rule.layer, rule.step, rule.spec, rule.inputs, rule.case = (
            self.layer,
            self.step,
            self.spec,
            self.inputs,
            self.case,
        )
        for s in (ALL,) if out.across else m.each(self.samples):
            for o in m.each(out.units):
                out.values[s, o] = self.stages.value(rule, s, o)
        self.tables.append(out)
        return out

    def flow_back(self, table: Table) -> None:
        """∂L/∂x of a table, all of whose readers know theirs."""
        m = self.m
        rows, table.error = (
            (1, m.row(table.units)) if table.parameter else (self.samples, m.grid(self.samples, table.units))
        )
        for s in m.each(rows):
            for i in m.each(table.units):
                at = ALL if table.parameter else s
                shares = [self.stages.share(rule, role, at, i) for rule, role in table.readers]
                table.error[s, i] = m.dots(shares, [])


def alpha_of(name: str, alpha: float | None) -> float:
    """The α of an activation: its own, or PyTorch's default."""
    from backprop_check.kinds.names import DEFAULT_ALPHA  # noqa: PLC0415

    return DEFAULT_ALPHA.get(name, 0.0) if alpha is None else alpha


def _reciprocal_root(m: Any, x: Any, eps: float) -> Any:
    """1/√(x + ε)."""
    return 1 / m.sqrt(x + m.number(eps))


def _reciprocal_root_derivative(m: Any, x: Any, a: Any, eps: float) -> Any:
    """−½ (x + ε)^(−3/2)."""
    return -(a / (x + m.number(eps))) / 2


def _over(m: Any, x: Any, divisor: float) -> Any:
    """x/n: a sum made a mean."""
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

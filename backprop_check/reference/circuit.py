"""The circuit: a layer kind writes its equations with it, forward only; each call computes a ``Table`` by one rule.

The rules (``rules``) know how a gradient comes back through a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.functions.names import DEFAULT_ALPHA
from backprop_check.kinds.wiring import Index, Wiring, own, picking, placed, places, same
from backprop_check.reference.rules import ALL, Function, Largest, Reported, Rule, Softmax, Source, Table, WeightedSum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from backprop_check.reference.stages import Stages


class Output:
    """The result of a layer: its output ``a``, and the tables of its pre-activations ``z``.

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
        """outₒ = Σ w·x + b: a source is (table, weights or None, wiring), a bias is (parameter, its position for each
        unit).

        ``other(s, o)`` is a second right formula for the same number.
        """
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
        """outₒ = Σ w·x over all samples of the batch: one row that all samples share.

        A table computed only from such rows is one row too (the mean of a batch, its standard deviation).
        """
        units = len(source[2].reads)
        out = Table(units, self.m.row(units), parameter=True, across=True, role=role)
        return self._made(out, WeightedSum(out, [Source(*source)], [], other))

    def function(self, name: str, x: Table, alpha: float = 0.0, role: str = "") -> Table:
        """outₒ = φ(xₒ, α); ``name`` is one of ``FUNCTIONS``."""
        out = self._table(x.units, role, [x])
        return self._made(out, Function(out, x, name, alpha))

    def softmax(
        self, x: Table, groups: Index, *, logarithm: bool = False, keep: Table | None = None, role: str = ""
    ) -> Table:
        """outₒ = e^(xₒ)/Σₖ e^(xₖ) over the units k in ``groups[o]``, which includes o, where ``keep`` is 1."""
        out = self._table(x.units, role)
        return self._made(out, Softmax(out, x, groups, logarithm=logarithm, keep=keep))

    def largest(self, x: Table, reads: Sequence[Sequence[int]], role: str = "") -> Table:
        """outₒ = max of xᵢ over the units i in ``reads[o]``."""
        uses, count = [], 0
        for row in reads:
            uses.append(range(count, count + len(row)))
            count += len(row)
        out = self._table(len(reads), role)
        winners = self.m.grid(self.samples, count)
        return self._made(out, Largest(out, x, Wiring(x.units, count, reads, uses), winners))

    def pick(self, x: Table, positions: Sequence[int], role: str = "") -> Table:
        """outₒ = x[positions[o]]."""
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
        """outₒ = Σ xₒ over the tables."""
        return self.weighted_sum([(table, None, same(table.units)) for table in tables], role=role)

    def multiply(self, x: Table, y: Table, role: str = "") -> Table:
        """outₒ = xₒ yₒ."""
        return self.weighted_sum([(x, y, own(x.units, y.units, 0))], role=role)

    def given(self, rows: Any) -> Table:
        """Numbers of the case, ``[sample][unit]``; they get no gradient."""
        return Table(len(rows[0]), self.m.given_grid(rows), fixed=True)

    def cut(self, x: Table) -> Table:
        """The same numbers as a constant: no gradient flows back through them."""
        return Table(x.units, x.values, fixed=True, role="cut")

    def show(self, z: Table, start: int = 0, width: int | None = None) -> Table:
        """Report ``z`` now; later computations use the reported values in its place, if there are any.

        A layer with several tables of z says where each begins: at column ``start`` of ``width``, and passes them to
        ``c.output`` in that order.
        """
        width = z.units if width is None else width
        z.values = self.m.seen_part("z", self.layer, self.step, z.values, start, width)
        z.reported = Reported(self.layer, "z", start, width)
        return z

    def constant(self, numbers: Sequence[float], roundings: Sequence[float] | None = None) -> Table:
        """Constants of a formula, the same for every sample; ``roundings`` are the errors of right ones, in units
        of u.
        """
        return Table(len(numbers), self.m.given_row(numbers, roundings), parameter=True, fixed=True)

    def activate(
        self, name: str, z: Table, alpha: float | None = None, groups: Callable[[], Index] | None = None
    ) -> Table:
        """a = φ(z); a softmax runs over the groups that ``groups()`` returns, by default over all units."""
        if name == "identity":
            return z
        if name in ("softmax", "log_softmax"):
            over = Index.blocks(1, z.units) if groups is None else groups()
            return self.softmax(z, over, logarithm=name == "log_softmax", role="a")
        return self.function(name, z, alpha_of(name, alpha), role="a")

    def unmoved(self, x: Table) -> Table:
        """The numbers of a table as a constant: it gets no gradient."""
        return Table(x.units, x.values, parameter=x.parameter, fixed=True, across=x.across)

    def output(
        self, a: Table, z: Table | Sequence[Table] | None = None, buffers: Mapping[str, Table] | None = None
    ) -> Output:
        """The output of the layer. Without ``z`` the output is also the pre-activation."""
        return Output(a, [a] if z is None else [z] if isinstance(z, Table) else list(z), buffers or {})

    def _table(self, units: int, role: str, read: Sequence[Table] = ()) -> Table:
        """An empty table: one row if everything read is shared by the samples, and some of it is a sum across them."""
        across = any(table.across for table in read) and all(table.parameter for table in read)
        values = self.m.row(units) if across else self.m.grid(self.samples, units)
        return Table(units, values, parameter=across, across=across, role=role)

    def _made(self, out: Table, rule: Rule) -> Table:
        """Compute the table, unit by unit, and keep it for the backward pass."""
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
        """∂L/∂x = Σ ∂L/∂y · ∂y/∂x over all readers y of a table, whose errors must be known."""
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
    """The α of an activation, or PyTorch's default."""
    return DEFAULT_ALPHA.get(name, 0.0) if alpha is None else alpha

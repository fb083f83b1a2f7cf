"""The circuit: where a layer kind writes its equations, forward only; each line makes a ``Table`` by one of the rules.

How a gradient comes back through a table is the rules' own (``rules``).
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
    return DEFAULT_ALPHA.get(name, 0.0) if alpha is None else alpha

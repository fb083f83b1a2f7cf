"""A pass through any network whose numbers know how they were computed; this is worked out only when it is asked for.

The pass is computed once: that of a small network on plain floats, whose results are the same on every machine, that of
a large one for all units at once, as when an implementation is judged. Then the numbers of every table are put into
cells that look up their formula on demand, by the same rules of the reference. So a large network is explained as
quickly as a small one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from backprop_check.numbers import UNIT_ROUNDOFF, Scalars
from backprop_check.numbers.recording import Recorded, Recording, recorded
from backprop_check.reference import Stages, run_pass
from backprop_check.reference.optimizers import Memory
from backprop_check.reference.passes import as_dense, matched_rule
from backprop_check.reference.rules import ALL, Given, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.reference.passes import LayerPass, Pass


class Recalled(Recorded):
    """A number of a table; its operand, the operation that made it, is recorded when it is first asked for."""

    __slots__ = ("_operands",)

    place: tuple[Any, ...]

    def __init__(self, value: float, cells: Cells, s: int, i: int) -> None:
        self.value, self.place, self.taken = value, (cells, s, i), 0
        self._operands: tuple[Recorded, ...] | None = None

    @property
    def operation(self) -> str:  # type: ignore[override]
        """``cell``, or ``given`` for a number of the case."""
        return "given" if self.place[0].made is None else "cell"

    @property
    def operands(self) -> tuple[Recorded, ...]:  # type: ignore[override]
        """The operation that made it, as the only operand; none for a number of the case."""
        if self._operands is None:
            cells, s, i = self.place
            self._operands = () if cells.made is None else (recorded(cells.made(ALL if cells.shared else s, i)),)
        return self._operands


class Cells:
    """A table of known numbers ``[sample, unit]``; ``shared``: it has one row for all samples.

    ``made(s, i)`` records the computation of a number; None for numbers of the case.
    """

    def __init__(
        self,
        values: Sequence[Sequence[float]],
        made: Callable[[Any, int], Any] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.rows = self.values = values
        self.made, self.shared = made, shared
        self.samples, self.units = len(values), len(values[0]) if values else 0
        self._cells: dict[tuple[int, int], Recalled] = {}
        self.lanes: Any = None

    def cell(self, s: int, i: int) -> Recalled:
        """One number; always the same object."""
        found = self._cells.get((s, i))
        if found is None:
            found = self._cells[s, i] = Recalled(self.values[s][i], self, s, i)
        return found

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        s, i = at
        s = 0 if self.shared else s
        samples = range(self.samples)[s] if isinstance(s, slice) else [s]
        one = not isinstance(i, slice | tuple | list)
        units = range(self.units)[i] if isinstance(i, slice) else [int(i)] if one else [int(each) for each in i]
        found = [self.cell(each, unit) for each in samples for unit in units]
        return found[0] if one and not isinstance(s, slice) else found

    def __setitem__(self, at: tuple[Any, Any], value: Any) -> None:
        """Ignored: the numbers are already known."""


class Joined:
    """Tables next to each other, as a layer reports its z."""

    def __init__(self, parts: Sequence[Cells]) -> None:
        self.parts, self.rows = parts, parts[0].rows

    def __getitem__(self, at: tuple[Any, Any]) -> Any:
        s, i = at
        if not isinstance(i, int):
            return [self[s, each] for each in (range(sum(part.units for part in self.parts))[i])]
        for part in self.parts:
            if i < part.units:
                return part[s, i]
            i -= part.units
        raise IndexError


def _joined(parts: Sequence[Cells]) -> Cells | Joined:
    return parts[0] if len(parts) == 1 else Joined(parts)


#: The most products of a weight and an input for which a case is computed on plain floats, one unit after the other.
MOST_PLAIN = 50_000


def recalled_passes(case: Case, stages: type[Stages] = Stages) -> list[Pass]:
    """The passes of a case, one per training step, with cells in place of numbers."""
    return recalled(worked_out(case, stages))


def recalled(passes: list[Pass]) -> list[Pass]:
    """The same passes with cells in place of numbers, whatever reading computed them."""
    for p in passes:
        _recall(p, p.circuit.stages.over(Recording()))  # a named bug's stages keep what they know about this case
    return passes


def worked_out(case: Case, stages: type[Stages] = Stages) -> list[Pass]:
    """The passes of a case on plain floats; on arrays where floats are too slow or overflow."""
    if case.network.products * len(case.inputs) * case.steps <= MOST_PLAIN:
        with contextlib.suppress(ArithmeticError, ValueError):
            return run_pass(case, Scalars.of_floats(), stages)
    return on_arrays(case, stages)


def on_arrays(case: Case, stages: type[Stages] = Stages) -> list[Pass]:
    """The passes of a case, computed for all units at once."""
    import numpy as np  # noqa: PLC0415 - where it is needed

    from backprop_check.numbers.lanes import Lanes  # noqa: PLC0415 - numpy, where it is needed

    with np.errstate(all="ignore"):  # numbers that are not finite are shown as such
        return run_pass(case, Lanes(UNIT_ROUNDOFF["float64"]), stages)


def _numbers(grid: Any) -> list[list[float]]:
    found: list[list[float]] = grid.rows if hasattr(grid, "rows") else grid.value.tolist()
    return found


def _recall(p: Pass, stages: Stages) -> None:
    """Put cells in place of a pass's tables."""
    m = stages.m
    last = p.layers[-1].output.a
    matched = matched_rule(p, last)
    dense_rules = [rule for rule, _ in last.readers if isinstance(rule, Given)]
    p.targets = Cells(_numbers(p.targets))
    parameters = [table for l in p.layers for table in l.parameters.values()]
    known: dict[int, Cells] = {}
    for table in (*p.circuit.tables, p.inputs, *parameters):
        _recall_values(table, stages, known)
    for table in p.circuit.tables:
        for other in _read_by(table.made_by):
            _recall_values(other, stages, known)
        _recall_rule(table.made_by)
    for l in p.layers if p.regularization is not None else ():
        for name, table in l.parameters.items():
            table.error = Cells(_numbers(table.error), _penalized(p, l, name, stages), shared=True)
    for table in (p.inputs, *parameters, *p.circuit.tables):
        if table.error is not None and not isinstance(table.error, Cells):
            table.error = Cells(_numbers(table.error), _error_of(table, stages), shared=table.parameter)
    for l in p.layers:
        l.a = l.output.a.values
        l.z = None if l.z is None else _joined([table.values for table in l.output.z])
        l.delta = _joined([table.error for table in l.output.z])
    dense = as_dense(p)
    for rule in dense_rules:
        rule.out.values = Cells(_numbers(rule.out.values), lambda s, k: stages.output_error(dense, s, k))
    if matched is not None:  # the loss undoes the activation, so ∂L/∂a was not needed
        errors = _numbers(last.error)
        if not any(map(any, errors)):  # plain floats compute only the short formula of δ
            errors = [[float(stages.output_error(dense, s, k)) for k in range(last.units)] for s in range(p.samples)]
        last.error = Cells(errors, lambda s, k: stages.output_error(dense, s, k))
        matched.x.error.made = lambda s, i: stages.matched_error(
            p, matched, s, i, lambda: m.dots([stages.share(matched, ("x", 0), s, i)], [])
        )
    loss = getattr(p.loss, "value", p.loss)
    number = loss if isinstance(loss, float) else loss.item()
    p.loss = Cells([[number]], lambda *_: _loss(p, stages, dense))[0, 0]
    if p.updated is not None and p.learning_rate is not None:
        _recall_update(p, stages, p.learning_rate)


def _recall_values(table: Table, stages: Stages, known: dict[int, Cells]) -> None:
    """Put cells in place of a table's values; tables that share their values share their cells."""
    grid = table.values
    if isinstance(grid, Cells):
        return
    if id(grid) not in known:
        rule = table.made_by
        made = None if rule is None else (lambda s, o: stages.value(rule, s, o))
        known[id(grid)] = Cells(_numbers(grid), made, shared=table.parameter)
        known[id(grid)].lanes = grid  # so that no other grid gets its id
    table.values = known[id(grid)]


def _read_by(rule: Any) -> Iterator[Table]:
    """The tables that a rule reads."""
    for source in getattr(rule, "sources", ()):
        yield source.x
        if source.weights is not None:
            yield source.weights
    for bias, _ in getattr(rule, "biases", ()):
        yield bias
    yield from (value for value in vars(rule).values() if isinstance(value, Table) and value is not rule.out)


def _recall_rule(rule: Any) -> None:
    """Prepare what a rule has besides tables."""
    if getattr(rule, "other", None) is not None:
        rule.other = None  # a second formula for the same number, which reads the old tables
    winners = getattr(rule, "winners", None)
    if winners is not None:
        rule.winners = Cells(_numbers(winners))


def _error_of(table: Table, stages: Stages) -> Callable[[int, int], Any]:
    def made(s: Any, i: int) -> Any:
        return stages.m.dots([stages.share(rule, role, s, i) for rule, role in table.readers], [])

    return made


def _penalized(p: Pass, l: LayerPass, name: str, stages: Stages) -> Callable[[int, int], Any]:
    """A parameter's gradient, and what the penalty of the loss adds to it."""
    made = _error_of(l.parameters[name], stages)
    return lambda s, i: stages.penalized_number(p, l, name, i, made(s, i))


def _loss(p: Pass, stages: Stages, dense: Any) -> Any:
    """The recorded loss, down to the term of each output of each sample."""
    m, units = stages.m, p.layers[-1].units
    terms, losses = m.grid(p.samples, units), m.grid(p.samples, 1)
    for s in range(p.samples):
        for k in range(units):
            terms[s, k] = stages.loss_term(dense, s, k)
        losses[s, 0] = stages.sample_loss(dense, terms, s)
    loss = stages.batch_loss(dense, m.total(losses[:, 0]))
    return loss if p.regularization is None else loss + stages.penalty(p)


def _recall_update(p: Pass, stages: Stages, rate: float) -> None:
    """Put cells in place of the updated parameters; an optimizer's memory is recorded when a number is asked for."""
    if p.training is not None:
        before = p.training.before
        tables = {key: Cells(_numbers(table), shared=True) for key, table in before.tables.items()}
        stages.memory, stages.settings = Memory(before.time, tables), {}
        stages.before_update(p)
        p.training = stages.training()

    def made(l: LayerPass, name: str) -> Callable[[int, int], Any]:
        return lambda _, i: stages.updated_number(l, name, i, rate)

    p.updated = [
        {name: Cells(_numbers(row), made(l, name), shared=True) for name, row in named.items()}
        for l, named in zip(p.layers, p.updated or [], strict=True)
    ]

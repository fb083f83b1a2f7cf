"""The tables of a pass, and the names of their numbers.

A layer's own z, a and δ have their indexes as on the wire: ``z⁽¹⁾[2,1,0]``; a single index is a subscript: ``z⁽²⁾₀``,
and so are the two of a dense layer's weights: ``w⁽²⁾₀₁``. Intermediate tables have the name that their kind gives them
(``cell``), with a number where there are several, and one flat index. Tables in which nothing is computed (copies) have
no name: the table that they copy has one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from backprop_check.compare.places import Places, unravel
from backprop_check.explain.names import CellNames, above, below
from backprop_check.kinds.dense import Dense
from backprop_check.kinds.kind import quantity_of
from backprop_check.reference.rules import Function, Largest, Softmax, WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case
    from backprop_check.numbers.recording import Recorded
    from backprop_check.reference.passes import Pass
    from backprop_check.reference.rules import Table

#: The letter of a parameter in formulas, by its name in a trace; others use that name.
_LETTERS = {"weight": "w", "bias": "b"}

#: The letter of a table to which its kind gives no name.
_UNNAMED = {WeightedSum: "u", Function: "f", Softmax: "p", Largest: "m"}


def is_copy(table: Table) -> bool:
    """Whether every unit is an unchanged unit of another table."""
    rule = table.made_by
    if not isinstance(rule, WeightedSum) or rule.biases or any(source.weights for source in rule.sources):
        return False
    return all(sum(len(source.wiring.reads[o]) for source in rule.sources) == 1 for o in range(table.units))


class NamedTable:
    """One table of a pass: its layer, its name, and the place of its numbers in a reply.

    ``values`` is ``z``, ``a`` or empty, ``errors`` ``delta`` or empty: the quantity of the reply in which the table's
    units are those from ``start`` on. A parameter's ``name`` is the one in a trace.
    """

    def __init__(self, table: Table, layer: int | None, letter: str, *, name: str = "") -> None:
        self.table, self.layer, self.letter, self.name = table, layer, letter, name
        self.values = self.errors = ""
        self.start = 0
        self.shape: tuple[int, ...] | None = None
        self.also = ""  # the second letter, a, where a layer's output is its pre-activation
        self.dense = False  # whether it is a parameter, z or a of a dense layer

    @property
    def parameter(self) -> bool:
        """Whether it is a parameter."""
        return bool(self.name)

    def indexes(self, i: int) -> tuple[int, ...]:
        """The indexes of unit i."""
        return (i,) if self.shape is None else unravel(self.start + i, self.shape)


def indexed(symbol: str, indexes: tuple[int, ...]) -> str:
    """``z₀``, or ``z[2,1,0]``."""
    return f"{symbol}{below(*indexes)}" if len(indexes) == 1 else f"{symbol}[{','.join(map(str, indexes))}]"


class Names(CellNames):
    """The names of the cells of a pass, and the table of each."""

    def __init__(self, case: Case, p: Pass) -> None:
        super().__init__()
        self.places = Places(case)
        self.p, self._layers = p, len(p.layers)
        self._dense = [isinstance(layer, Dense) for layer in case.network.layers]
        self.tables: list[NamedTable] = []  # all that have a name, in the order of computing, without parameters
        self.parameters: list[list[NamedTable]] = [[] for _ in p.layers]
        self._of_table: dict[int, NamedTable] = {}
        self._of_values: dict[int, NamedTable] = {}
        self._of_errors: dict[int, NamedTable] = {}
        self._inputs(case)
        for index, l in enumerate(p.layers):
            for wire, table in l.parameters.items():
                name = quantity_of(wire)
                one = NamedTable(table, index, _LETTERS.get(name, name), name=name)
                one.shape = self.places.parameter_shape(index, name)
                one.dense = self._dense[index]
                self.parameters[index].append(one)
                self._name(one)
                self._weights.add(id(table.values))
        self._layers_tables(case)

    def _inputs(self, case: Case) -> None:
        x = NamedTable(self.p.inputs, None, "x")
        x.shape, x.errors = case.network.input_shape, "input_gradient"
        self.input = x
        self._name(x)
        shape = case.network.output_shapes[-1]
        self._put(self.p.targets, lambda s, k: indexed("t", unravel(k, shape)) + self._of_sample(s))

    def _layers_tables(self, case: Case) -> None:
        reported: dict[int, tuple[int, str, int]] = {}  # table: layer, quantity, start
        for index, l in enumerate(self.p.layers):
            reported[id(l.output.a)] = (index, "a", 0)
            if "z" in case.network.layers[index].reported:
                start = 0
                for table in l.output.z:
                    reported[id(table)] = (index, "z", start)
                    start += table.units
        inner = {
            id(table): (self._layer_of(table), self._label(table))
            for table in self.p.circuit.tables
            if id(table) not in reported and table.made_by is not None and not is_copy(table)
        }
        labels = Counter(inner.values())
        seen: Counter[tuple[int, str]] = Counter()
        for table in self.p.circuit.tables:
            if id(table) in reported:
                index, quantity, start = reported[id(table)]
                one = NamedTable(table, index, quantity)
                one.values, one.start, one.shape = quantity, start, self.places.shape(index, quantity)
                one.dense = self._dense[index]
                if quantity == "z" or "z" not in case.network.layers[index].reported:
                    one.errors = "delta"
                if quantity == "z" and table is self.p.layers[index].output.a:
                    one.also = "a"
            elif id(table) not in inner:
                continue
            else:
                key = inner[id(table)]
                number = f".{seen[key]}" if labels[key] > 1 else ""
                seen[key] += 1
                one = NamedTable(table, key[0], f"{key[1]}{number}")
            self.tables.append(one)
            self._name(one)

    @staticmethod
    def _layer_of(table: Table) -> int:
        assert table.made_by is not None
        return table.made_by.layer

    @staticmethod
    def _label(table: Table) -> str:
        return table.role or _UNNAMED.get(type(table.made_by), "u")

    def name_of(self, one: NamedTable, i: int, *, error: bool = False) -> str:
        """The name of unit i, ``z⁽¹⁾₀``; or of its error, ``δ⁽¹⁾₀`` or ``∂L/∂a⁽¹⁾₀``."""
        if not error:
            return self.called(one, i, one.also or one.letter)
        return self.called(one, i, "δ" if one.values == "z" else f"∂L/∂{one.letter}")

    def called(self, one: NamedTable, i: int, letter: str) -> str:
        """A letter with the layer and the indexes of unit i."""
        symbol = letter if one.layer is None else f"{letter}{above(one.layer, self._layers)}"
        indexes = one.indexes(i)
        return f"{symbol}{below(*indexes)}" if one.dense else indexed(symbol, indexes)

    def _name(self, one: NamedTable) -> None:
        values, error = one.table.values, one.table.error
        self._of_table[id(one.table)] = self._of_values[id(values)] = one

        def of(s: int, i: int, *, error: bool = False) -> str:
            return self.name_of(one, i, error=error) + ("" if one.parameter else self._of_sample(s))

        self._put(values, of)
        if error is not None:
            self._of_errors[id(error)] = one
            self._put(error, lambda s, i: of(s, i, error=True))

    def _of_sample(self, s: int) -> str:
        return f"⟨{s}⟩" if self.samples else ""

    def about(self, table: Table) -> NamedTable | None:
        """The named table of a table; None for one without a name."""
        return self._of_table.get(id(table))

    def where(self, x: Recorded) -> tuple[NamedTable, int, bool] | None:
        """The table and unit of a cell, and whether it is the unit's error; None for a cell without a name."""
        if x.place is None:
            return None
        for known, error in ((self._of_values, False), (self._of_errors, True)):
            if id(x.place[0]) in known:
                return known[id(x.place[0])], x.place[2], error
        return None

    def words(self, one: NamedTable, i: int, *, layer: bool = True) -> str:
        """``channel 2, row 1, column 0 of conv1``; without the layer ``channel 2, row 1, column 0``."""
        if one.parameter:
            assert one.layer is not None
            return self.places.parameter(one.layer, one.name, i)
        if one.values or one.layer is None:
            quantity = one.values or "a"
            at = one.start + i
            return self.places.unit_of(one.layer, at, quantity) if layer else self.places.unit(one.layer, at, quantity)
        words = f"unit {i} of {one.letter}"
        return f"{words} in {self.places.names[one.layer]}" if layer else words


def named_below(names: Names, x: Recorded) -> list[Recorded]:
    """The nearest named cells that a number was computed from, each once."""
    found: dict[int, Recorded] = {}
    waiting = list(reversed(x.operands))
    while waiting:
        one = waiting.pop()
        if names.where(one) is not None:
            found.setdefault(id(one), one)
        else:
            waiting += reversed(one.operands)
    return list(found.values())

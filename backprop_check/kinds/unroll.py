"""A recurrent layer unrolled over its steps, on a circuit: its parameters are read anew at every step.

``Way`` holds the decisions that people get wrong (which rows are which gate's, what is handed on to the next step and
whether gradients flow back through it): a named bug is another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.kinds.wiring import Wiring, own, part, placed, rows_of, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.kinds.kind import Shape

Source = tuple[Any, Any, Wiring]
States = dict[str, Any]

#: By step: 1 for every unit of a sample that is still going, else 0; and the other way round.
Masks = tuple[list[Any], list[Any]]


class Way:
    """The right way to unroll a layer."""

    def block(self, layer: Any, gate: str) -> int:
        """Which of the parameters' blocks of rows is the gate's."""
        number: int = layer.gates.index(gate)
        return number

    def begin(self, d: Direction) -> States:
        """The states before the first step."""
        return d.begin()

    def cuts(self, layer: Any, first: int) -> bool:
        """Whether nothing flows back between the steps ``first − 1`` and ``first`` of a layer that truncates."""
        return bool(first % layer.truncate == 0)

    def handed_on(self, d: Direction, first: int, states: States) -> States:
        """What one of the steps ``first − 1`` and ``first`` hands to the other, in whichever order they are read."""
        return d.cut(first, states) if d.layer.truncate and self.cuts(d.layer, first) else states

    def new_state(self, d: Direction, t: int, x: Any, h: Any, r: Any) -> Any:
        """A GRU's z_n, with the reset after or before the product."""
        c = d.c
        if d.layer.reset_after:
            product = d.sums[t]["product"] = c.weighted_sum(
                [d.from_state(h, "n")], biases=d.biases("n")[1:], role="product"
            )
            return d.gate("n", t, [d.from_input(x, "n"), (product, r, d.own)], d.biases("n")[:1])
        reset = c.multiply(h, r, role="reset")
        return d.gate("n", t, [d.from_input(x, "n"), d.from_state(reset, "n")], d.biases("n"))

    def done(self, d: Direction, t: int, before: States, made: States, after: States) -> None:
        """Called after each step, with the states before it, as it made them, and after it (carried on, or made)."""


RIGHT = Way()


class Direction:
    """One direction of one layer: its parameters, and its gates' weighted sums (``sums``: by step, by gate)."""

    def __init__(self, c: Any, layer: Any, parameters: Mapping[str, Any], run: int, way: Way, steps: int) -> None:
        self.c, self.layer, self.way, self.parameters, self.run, self.steps = c, layer, way, parameters, run, steps
        self.suffix, self.depth, self.backwards = layer.runs()[run]
        self.masks: Masks | None = None
        self.hidden: int = layer.hidden_size
        self.rows = len(layer.gates) * self.hidden
        self.own = own(self.hidden, self.hidden, 0)
        self.each = same(self.hidden)
        self.width = self.rows * len(layer.runs())
        self.shown: list[tuple[int, Any]] = []
        self.sums: list[dict[str, Any]] = [{} for _ in range(steps)]

    def of(self, name: str) -> Any:
        """One of this direction's parameters; None where the layer has none of that name."""
        return self.parameters.get(f"{name}{self.suffix}")

    def from_input(self, x: Any, gate: str) -> Source:
        """W_ih x, of one gate."""
        return x, self.of("weight_ih"), block(self.hidden, x.units, self.rows, self.way.block(self.layer, gate))

    def from_state(self, h: Any, gate: str) -> Source:
        """W_hh h, of one gate."""
        return h, self.of("weight_hh"), block(self.hidden, self.hidden, self.rows, self.way.block(self.layer, gate))

    def through_peephole(self, cell: Any, gate: str) -> Source:
        """p·c, of one gate."""
        return cell, self.of("peephole"), own(self.hidden, 3 * self.hidden, "ifo".index(gate) * self.hidden)

    def biases(self, gate: str) -> list[tuple[Any, range]]:
        """b_ih and b_hh of one gate, as far as there are any."""
        first = self.way.block(self.layer, gate) * self.hidden
        found = [self.of("bias_ih"), self.of("bias_hh")]
        return [(bias, range(first, first + self.hidden)) for bias in found if bias is not None]

    def gate(self, gate: str, t: int, sources: list[Source], biases: list[tuple[Any, range]]) -> Any:
        """A gate's pre-activation at step t, reported in the place of its rows; 0 where the sample has ended."""
        z = self.sums[t][gate] = self.c.weighted_sum(sources, biases=biases, role=f"z_{gate}")
        if self.masks is not None:
            z = self.c.multiply(z, self.masks[0][t], role=f"masked z_{gate}")
        start = t * self.width + self.run * self.rows + self.way.block(self.layer, gate) * self.hidden
        self.shown.append((start, z))
        return self.c.show(z, start, self.steps * self.width)

    def zeros(self) -> Any:
        """The state where none is given."""
        return self.c.given([[0.0] * self.hidden] * self.c.samples)

    def begin(self) -> States:
        """The states before the first step."""
        number, inputs = self.run, len(self.layer.runs()) * self.hidden
        return {
            state: self.zeros()
            if f"{state}0" not in self.parameters
            else self.c.weighted_sum(
                [(self.parameters[f"{state}0"], None, part(inputs, number * self.hidden, self.hidden))],
                role=f"{state}0",
            )
            for state in self.layer.states
        }

    def cut(self, first: int, states: States) -> States:
        """The states as constants, for all samples that read step ``first``."""
        if self.masks is None:
            return {name: self.c.cut(state) for name, state in states.items()}
        going, ended = self.masks
        return {
            name: self.c.weighted_sum(
                [(self.c.cut(state), going[first], self.own), (state, ended[first], self.own)], role=name
            )
            for name, state in states.items()
        }

    def carried(self, t: int, before: States, after: States) -> States:
        """The states after a step: those before it, where the sample has ended."""
        if self.masks is None:
            return after
        going, ended = self.masks
        return {
            name: self.c.weighted_sum(
                [(after[name], going[t], self.own), (before[name], ended[t], self.own)], role=name
            )
            for name in after
        }

    def read(self, xs: Sequence[Any]) -> list[States]:
        """The states after every step of the sequence, by step; a reverse direction begins with the last."""
        found: dict[int, States] = {}
        states = self.way.begin(self)
        order = range(self.steps - 1, -1, -1) if self.backwards else range(self.steps)
        for number, t in enumerate(order):
            if number:
                states = self.way.handed_on(self, t + 1 if self.backwards else t, states)
            made = self.layer.step(self, t, xs[t], states)
            found[t] = self.carried(t, states, made)
            self.way.done(self, t, states, made, found[t])
            states = found[t]
        return [found[t] for t in range(self.steps)]


def unroll(c: Any, layer: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape, way: Way) -> Any:
    """The layer on the circuit ``c``: gives ``c.output(a, z)``."""
    steps, features = inputs
    xs = [c.weighted_sum([(x, None, part(x.units, t * features, features))], role="x") for t in range(steps)]
    masks = _masks(c, layer, steps)
    shown: list[tuple[int, Any]] = []
    directions: list[list[States]] = []
    for run, (_, _, backwards) in enumerate(layer.runs()):
        d = Direction(c, layer, parameters, run, way, steps)
        d.masks = masks
        directions = [*directions, d.read(xs)] if backwards else [d.read(xs)]
        shown += d.shown
        if len(directions) == layer.directions:
            xs = [c.join([states[t]["h"] for states in directions], role="x") for t in range(steps)]
    if layer.return_sequences:
        hidden, width = layer.hidden_size, layer.directions * layer.hidden_size
        sources = [
            (
                states[t]["h"],
                None if masks is None else masks[0][t],
                placed(steps * width, t * width + n * hidden, hidden),
            )
            for t in range(steps)
            for n, states in enumerate(directions)
        ]
        a = c.weighted_sum(sources, role="a")
    else:  # the last that each direction read
        a = c.join([states[0 if n else -1]["h"] for n, states in enumerate(directions)], role="a")
    return c.output(a, [z for _, z in sorted(shown, key=lambda each: each[0])])


def _masks(c: Any, layer: Any, steps: int) -> Masks | None:
    """Which samples are still going, by step."""
    if layer.lengths is None:
        return None
    going = [[[float(t < length)] * layer.hidden_size for length in layer.lengths] for t in range(steps)]
    ended = [[[1.0 - x for x in row] for row in rows] for rows in going]
    return [c.given(rows) for rows in going], [c.given(rows) for rows in ended]


def block(units: int, inputs: int, rows: int, number: int) -> Wiring:
    """Each unit reads every input, through its row in block ``number`` of a matrix [rows, inputs]."""
    return rows_of(units, inputs, rows, number * units)

"""A recurrent layer unrolled over its steps, on a circuit: every step reads the same parameters.

``Way`` holds the decisions that implementations often get wrong (which rows belong to which gate, which states a step
hands to the next, and whether gradients flow back through them). A named bug is another ``Way``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_check.kinds.wiring import Wiring, own, part, placed, rows_of, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.kinds.kind import Shape

Source = tuple[Any, Any, Wiring]
States = dict[str, Any]

#: Two tables per step: 1 for the units of samples that have not ended, else 0; and 1 minus that.
Masks = tuple[list[Any], list[Any]]


class Way:
    """The right way to unroll a layer."""

    def block(self, layer: Any, gate: str) -> int:
        """The number of the gate's block of rows in the weights and biases."""
        number: int = layer.gates.index(gate)
        return number

    def begin(self, d: Direction) -> States:
        """The states before the first step."""
        return d.begin()

    def cuts(self, layer: Any, first: int) -> bool:
        """Whether, in a layer that truncates, no gradient flows back between the steps ``first − 1`` and ``first``."""
        return bool(first % layer.truncate == 0)

    def handed_on(self, d: Direction, first: int, states: States) -> States:
        """The states handed across the border between the steps ``first − 1`` and ``first``, in either direction of
        reading.
        """
        return d.cut(first, states) if d.layer.truncate and self.cuts(d.layer, first) else states

    def new_state(self, d: Direction, t: int, x: Any, h: Any, r: Any) -> Any:
        """A GRU's z_n: W_in x + b_in + r·(W_hn h + b_hn), or, without ``reset_after``, W_in x + b_in + W_hn (r·h) +
        b_hn.
        """
        c = d.c
        if d.layer.reset_after:
            product = d.sums[t]["product"] = c.weighted_sum(
                [d.from_state(h, "n")], biases=d.biases("n")[1:], role="product"
            )
            return d.gate("n", t, [d.from_input(x, "n"), (product, r, d.own)], d.biases("n")[:1])
        reset = c.multiply(h, r, role="reset")
        return d.gate("n", t, [d.from_input(x, "n"), d.from_state(reset, "n")], d.biases("n"))

    def done(self, d: Direction, t: int, before: States, made: States, after: States) -> None:
        """Called after each step with three states: before it, as it computed them, and after it (kept where a sample
        ended).
        """


RIGHT = Way()


class Direction:
    """One direction of one layer: its parameters, and its gates' weighted sums (``sums[step][gate]``)."""

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
        """One of this direction's parameters, or None where the layer does not have it."""
        return self.parameters.get(f"{name}{self.suffix}")

    def from_input(self, x: Any, gate: str) -> Source:
        """W_ih x for one gate, as a source of a weighted sum."""
        return x, self.of("weight_ih"), block(self.hidden, x.units, self.rows, self.way.block(self.layer, gate))

    def from_state(self, h: Any, gate: str) -> Source:
        """W_hh h for one gate, as a source of a weighted sum."""
        return h, self.of("weight_hh"), block(self.hidden, self.hidden, self.rows, self.way.block(self.layer, gate))

    def through_peephole(self, cell: Any, gate: str) -> Source:
        """p·c for one gate, as a source of a weighted sum."""
        return cell, self.of("peephole"), own(self.hidden, 3 * self.hidden, "ifo".index(gate) * self.hidden)

    def biases(self, gate: str) -> list[tuple[Any, range]]:
        """b_ih and b_hh of one gate, those that the layer has."""
        first = self.way.block(self.layer, gate) * self.hidden
        found = [self.of("bias_ih"), self.of("bias_hh")]
        return [(bias, range(first, first + self.hidden)) for bias in found if bias is not None]

    def gate(self, gate: str, t: int, sources: list[Source], biases: list[tuple[Any, range]]) -> Any:
        """A gate's pre-activation z = Σ (its sources) + b at step t, shown at its rows' place in z; 0 where the
        sample has ended.
        """
        z = self.sums[t][gate] = self.c.weighted_sum(sources, biases=biases, role=f"z_{gate}")
        if self.masks is not None:
            z = self.c.multiply(z, self.masks[0][t], role=f"masked z_{gate}")
        start = t * self.width + self.run * self.rows + self.way.block(self.layer, gate) * self.hidden
        self.shown.append((start, z))
        return self.c.show(z, start, self.steps * self.width)

    def zeros(self) -> Any:
        """The initial state where the case gives none."""
        return self.c.given([[0.0] * self.hidden] * self.c.samples)

    def begin(self) -> States:
        """The states before the first step: ``h0`` (and ``c0``), or zeros."""
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
        """The states after step t; a sample that has ended keeps the states ``before`` it."""
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
        """Read the whole sequence; returns the states after every step, by step. A reverse direction starts at the last
        step.
        """
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
    """Build the layer on the circuit ``c`` and return ``c.output(a, z)``. ``inputs`` is (steps, features)."""
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
    else:  # the state after the last step that each direction read
        a = c.join([states[0 if n else -1]["h"] for n, states in enumerate(directions)], role="a")
    return c.output(a, [z for _, z in sorted(shown, key=lambda each: each[0])])


def _masks(c: Any, layer: Any, steps: int) -> Masks | None:
    """Which samples have not ended, by step; None where no lengths are given."""
    if layer.lengths is None:
        return None
    going = [[[float(t < length)] * layer.hidden_size for length in layer.lengths] for t in range(steps)]
    ended = [[[1.0 - x for x in row] for row in rows] for rows in going]
    return [c.given(rows) for rows in going], [c.given(rows) for rows in ended]


def block(units: int, inputs: int, rows: int, number: int) -> Wiring:
    """zₒ = Σᵢ w[number·units + o, i] xᵢ: each unit reads every input, through its row in a block of a matrix [rows,
    inputs].
    """
    return rows_of(units, inputs, rows, number * units)

"""Recurrent layers: a layer that reads a sequence step by step, and at each step its own state of the step before.

Read it from top to bottom:

1. Parameter      a table of weights that every step uses again: its gradient is the sum over all steps
2. Cells          what one step does, forward and backward: RNN, GRU, LSTM
3. Direction      a cell carried along the sequence, and back again
4. Recurrent      directions beside each other and on top of each other: a whole layer, as graph.py knows one

Backpropagation through time is nothing new. Unroll the loop, and a recurrent layer is a deep network whose layers all
have the same weights: each step gets a gradient from its output and from the step after it, and they are ADDED.

A sample is a list of steps here, and a step a list of numbers (its features). A state is a list of numbers, one a unit,
and there are one or two of them: ``h``, which is the output too, and an LSTM's cell ``c``.
"""

from __future__ import annotations

import math
from typing import Any

from network import SIGMOID, Numbers

States = dict[str, Numbers]


# --------------------------------------------------------------------------------------------------
# 1. Parameter
# --------------------------------------------------------------------------------------------------


class Parameter:
    """A table of weights, row by row in one list, and its gradient."""

    def __init__(self, numbers: Numbers, columns: int, gradient: Numbers) -> None:
        """Look at lists that belong to the layer."""
        self.numbers = numbers
        self.columns = columns
        self.gradient = gradient

    def weighted_sum(self, row: int, inputs: Numbers) -> float:
        """Forward: every input times its weight in the row, added up."""
        total = 0.0
        for i, x in enumerate(inputs):
            total += self.numbers[row * self.columns + i] * x
        return total

    def send_back(self, row: int, delta: float, inputs: Numbers, dloss: Numbers) -> None:
        """Backward: dL/dw = delta * x for the weights, and dL/dx = delta * w is added to ``dloss``, for the inputs.

        The += matters twice: other rows read the same inputs, and other steps use the same weights.
        """
        for i, x in enumerate(inputs):
            self.gradient[row * self.columns + i] += delta * x
            dloss[i] += delta * self.numbers[row * self.columns + i]


# --------------------------------------------------------------------------------------------------
# 2. Cells
# --------------------------------------------------------------------------------------------------


class Step:
    """What one step read and made. Backward needs all of it."""

    def __init__(self, x: Numbers, before: States) -> None:
        """Remember the input, and the states before the step."""
        self.x = x
        self.before = before
        self.z: dict[str, Numbers] = {}  # by gate: its weighted sums
        self.a: dict[str, Numbers] = {}  # by gate: what it makes of them
        self.dz: dict[str, Numbers] = {}  # by gate: dL/dz, set by backward
        self.product: Numbers = []  # a GRU's W_hn h + b_hn
        self.after: States = {}


class Cell:
    """What happens in one step. A direction ``d`` gives the weighted sums, by gate."""

    gates: tuple[str, ...] = ()  # in the order in which their rows stand in the parameters
    states: tuple[str, ...] = ("h",)

    def forward(self, step: Step, d: Direction) -> None:
        """Set z, a and the states after the step."""
        raise NotImplementedError

    def backward(self, step: Step, d: Direction, dloss: States) -> tuple[Numbers, States]:
        """Take dL/d(states after), give dL/dx and dL/d(states before). Sets dz."""
        raise NotImplementedError


class RNN(Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or the same with ReLU."""

    gates = ("h",)

    def __init__(self, nonlinearity: str) -> None:
        """Choose the function."""
        self.relu = nonlinearity == "relu"

    def forward(self, step: Step, d: Direction) -> None:
        z = step.z["h"] = add(d.from_input("h", step.x), d.from_state("h", step.before["h"]))
        step.after["h"] = [max(0.0, z_j) if self.relu else math.tanh(z_j) for z_j in z]

    def backward(self, step: Step, d: Direction, dloss: States) -> tuple[Numbers, States]:
        dz = step.dz["h"] = []
        for z, h, slope in zip(step.z["h"], step.after["h"], dloss["h"]):
            derivative = (1.0 if z > 0.0 else 0.0) if self.relu else 1.0 - h * h
            dz.append(slope * derivative)
        return d.back_to_input("h", dz, step.x), {"h": d.back_to_state("h", dz, step.before["h"])}


class GRU(Cell):
    """h' = (1 - z) * n + z * h: the gate z keeps some of the old state, and n is new.

    How much of the old state goes into n is up to the gate r, the reset. It stands after the product with the weights
    (PyTorch: n = tanh(W_in x + b_in + r * (W_hn h + b_hn))), or before it (the paper: W_hn (r * h) + b_hn).
    """

    gates = ("r", "z", "n")

    def __init__(self, *, reset_after: bool) -> None:
        """Place the reset."""
        self.reset_after = reset_after

    def forward(self, step: Step, d: Direction) -> None:
        h = step.before["h"]
        for gate in ("r", "z"):
            step.z[gate] = add(d.from_input(gate, step.x), d.from_state(gate, h))
            step.a[gate] = [SIGMOID.value(z_j) for z_j in step.z[gate]]
        r = step.a["r"]
        if self.reset_after:
            step.product = d.from_state("n", h)
            from_state = times(r, step.product)
        else:
            from_state = d.from_state("n", times(r, h))
        step.z["n"] = add(d.from_input("n", step.x), from_state)
        step.a["n"] = [math.tanh(z_j) for z_j in step.z["n"]]
        step.after["h"] = [(1.0 - z) * n + z * h_j for z, n, h_j in zip(step.a["z"], step.a["n"], h)]

    def backward(self, step: Step, d: Direction, dloss: States) -> tuple[Numbers, States]:
        h, r, z, n = step.before["h"], step.a["r"], step.a["z"], step.a["n"]
        dh = times(dloss["h"], z)  # the part of the old state that was kept

        dn = [slope * (1.0 - z_j) for slope, z_j in zip(dloss["h"], z)]
        step.dz["n"] = [slope * (1.0 - n_j * n_j) for slope, n_j in zip(dn, n)]
        if self.reset_after:
            dr = times(step.dz["n"], step.product)
            dh = add(dh, d.back_to_state("n", times(step.dz["n"], r), h))
        else:
            dreset = d.back_to_state("n", step.dz["n"], times(r, h))
            dr = times(dreset, h)
            dh = add(dh, times(dreset, r))
        step.dz["r"] = [slope * r_j * (1.0 - r_j) for slope, r_j in zip(dr, r)]

        dz = [slope * (h_j - n_j) for slope, h_j, n_j in zip(dloss["h"], h, n)]
        step.dz["z"] = [slope * z_j * (1.0 - z_j) for slope, z_j in zip(dz, z)]

        dx = d.back_to_input("n", step.dz["n"], step.x)
        for gate in ("r", "z"):
            dx = add(dx, d.back_to_input(gate, step.dz[gate], step.x))
            dh = add(dh, d.back_to_state(gate, step.dz[gate], h))
        return dx, {"h": dh}


class LSTM(Cell):
    """c' = f * c + i * g, h' = o * tanh(c').

    The cell c is a memory that nothing squeezes: the gate f says how much of it stays, i how much of the new content g
    comes in, and o how much is shown. With peepholes the gates see the cell: i and f the old one, o the new one.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")

    def forward(self, step: Step, d: Direction) -> None:
        h, c = step.before["h"], step.before["c"]
        for gate in self.gates:
            step.z[gate] = add(d.from_input(gate, step.x), d.from_state(gate, h))
        for gate in ("i", "f"):
            step.z[gate] = add(step.z[gate], d.peephole(gate, c))
            step.a[gate] = [SIGMOID.value(z_j) for z_j in step.z[gate]]
        step.a["g"] = [math.tanh(z_j) for z_j in step.z["g"]]

        cell = step.after["c"] = add(times(step.a["f"], c), times(step.a["i"], step.a["g"]))
        step.z["o"] = add(step.z["o"], d.peephole("o", cell))
        step.a["o"] = [SIGMOID.value(z_j) for z_j in step.z["o"]]
        step.after["h"] = [o * math.tanh(c_j) for o, c_j in zip(step.a["o"], cell)]

    def backward(self, step: Step, d: Direction, dloss: States) -> tuple[Numbers, States]:
        c, cell, a = step.before["c"], step.after["c"], step.a
        shown = [math.tanh(c_j) for c_j in cell]
        do = times(dloss["h"], shown)
        step.dz["o"] = [slope * o * (1.0 - o) for slope, o in zip(do, a["o"])]

        # The cell has two readers or three: the step after this one, tanh, and perhaps the peephole of o.
        dcell = add(dloss["c"], d.back_to_cell("o", step.dz["o"], cell))
        for j, shown_j in enumerate(shown):
            dcell[j] += dloss["h"][j] * a["o"][j] * (1.0 - shown_j * shown_j)

        di, df, dg = times(dcell, a["g"]), times(dcell, c), times(dcell, a["i"])
        step.dz["i"] = [slope * i * (1.0 - i) for slope, i in zip(di, a["i"])]
        step.dz["f"] = [slope * f * (1.0 - f) for slope, f in zip(df, a["f"])]
        step.dz["g"] = [slope * (1.0 - g * g) for slope, g in zip(dg, a["g"])]

        dc = times(dcell, a["f"])
        for gate in ("i", "f"):
            dc = add(dc, d.back_to_cell(gate, step.dz[gate], c))
        dx, dh = [0.0] * len(step.x), [0.0] * len(cell)
        for gate in self.gates:
            dx = add(dx, d.back_to_input(gate, step.dz[gate], step.x))
            dh = add(dh, d.back_to_state(gate, step.dz[gate], step.before["h"]))
        return dx, {"h": dh, "c": dc}


# --------------------------------------------------------------------------------------------------
# 3. Direction
# --------------------------------------------------------------------------------------------------


class Direction:
    """A cell carried along the sequence of one sample, from its first step to its last or the other way round."""

    def __init__(self, layer: Recurrent, run: int) -> None:
        """Take the parameters of this direction: ``run`` counts the directions of all layers, the lowest first."""
        self.layer = layer
        self.run = run
        self.backwards = layer.directions == 2 and run % 2 == 1
        self.suffix = f"_l{run // layer.directions}" + ("_reverse" if self.backwards else "")
        self.steps: list[Step] = []

    # The weighted sums of a gate's units, and the way back through them ----------------------------

    def parameter(self, name: str) -> Parameter | None:
        """Give one of this direction's parameters, or None where the layer has none of that name."""
        name = name + self.suffix
        if name not in self.layer.shapes:
            return None
        shape = self.layer.shapes[name]
        columns = shape[1] if len(shape) == 2 else 1  # a bias is a weight whose input is always 1
        return Parameter(self.layer.parameters[name], columns, self.layer.gradients[name])

    def sums(self, weights: str, biases: str, gate: str, inputs: Numbers) -> Numbers:
        """Give the weighted sum, and the bias, of every unit of a gate."""
        total = []
        for row in self.rows(gate):
            z = 0.0
            for name, read in ((weights, inputs), (biases, [1.0])):
                parameter = self.parameter(name)
                if parameter:
                    z += parameter.weighted_sum(row, read)
            total.append(z)
        return total

    def back(self, weights: str, biases: str, gate: str, dz: Numbers, inputs: Numbers) -> Numbers:
        """Add to the gradients of weights and biases, and give dL/d(inputs)."""
        dloss = [0.0] * len(inputs)
        for row, delta in zip(self.rows(gate), dz):
            for name, read, into in ((weights, inputs, dloss), (biases, [1.0], [0.0])):
                parameter = self.parameter(name)
                if parameter:
                    parameter.send_back(row, delta, read, into)
        return dloss

    def rows(self, gate: str) -> range:
        """Give the rows of a gate: the parameters have a block for each."""
        first = self.layer.cell.gates.index(gate) * self.layer.hidden
        return range(first, first + self.layer.hidden)

    def from_input(self, gate: str, x: Numbers) -> Numbers:
        """Give W_ih x + b_ih."""
        return self.sums("weight_ih", "bias_ih", gate, x)

    def back_to_input(self, gate: str, dz: Numbers, x: Numbers) -> Numbers:
        """Go back through W_ih x + b_ih."""
        return self.back("weight_ih", "bias_ih", gate, dz, x)

    def from_state(self, gate: str, h: Numbers) -> Numbers:
        """Give W_hh h + b_hh."""
        return self.sums("weight_hh", "bias_hh", gate, h)

    def back_to_state(self, gate: str, dz: Numbers, h: Numbers) -> Numbers:
        """Go back through W_hh h + b_hh."""
        return self.back("weight_hh", "bias_hh", gate, dz, h)

    def peephole(self, gate: str, cell: Numbers) -> Numbers:
        """Give p * c, unit by unit; nothing where there are no peepholes."""
        parameter = self.parameter("peephole")
        first = "ifo".index(gate) * len(cell)
        return [parameter.numbers[first + j] * c if parameter else 0.0 for j, c in enumerate(cell)]

    def back_to_cell(self, gate: str, dz: Numbers, cell: Numbers) -> Numbers:
        """Go back through p * c."""
        parameter = self.parameter("peephole")
        if not parameter:
            return [0.0] * len(cell)
        first = "ifo".index(gate) * len(cell)
        for j, c in enumerate(cell):
            parameter.gradient[first + j] += dz[j] * c
        return [delta * parameter.numbers[first + j] for j, delta in enumerate(dz)]

    # Along the sequence ------------------------------------------------------------------------------

    def forward(self, sequence: list[Numbers]) -> list[Numbers]:
        """Give the state h after every step, in the order of the sequence."""
        states = self.initial()
        self.steps = []
        for x in reversed(sequence) if self.backwards else sequence:
            step = Step(x, states)
            self.layer.cell.forward(step, self)
            self.steps.append(step)
            states = step.after
        hs = [step.after["h"] for step in self.steps]
        return hs[::-1] if self.backwards else hs

    def initial(self) -> States:
        """Give the states before the first step: 0, or this direction's row of h0 (and c0)."""
        n = self.layer.hidden
        states = {}
        for name in self.layer.cell.states:
            given = self.layer.parameters.get(name + "0")
            states[name] = given[self.run * n : self.run * n + n] if given else [0.0] * n
        return states

    def backward(self, dloss_dh: list[Numbers]) -> list[Numbers]:
        """Take dL/dh of every step's output, and give dL/dx of every step's input.

        The step that was read last has nobody behind it. Every other one gets what the step after it sends back.
        """
        if self.backwards:
            dloss_dh = dloss_dh[::-1]
        length = len(self.steps)
        flowing = {name: [0.0] * self.layer.hidden for name in self.layer.cell.states}
        dloss_dx: list[Numbers] = []
        for number in reversed(range(length)):
            flowing["h"] = add(flowing["h"], dloss_dh[number])
            dx, flowing = self.layer.cell.backward(self.steps[number], self, flowing)
            dloss_dx.append(dx)
            edge = length - number if self.backwards else number  # the steps before it and from it on, by time
            if number > 0 and self.layer.truncate and edge % self.layer.truncate == 0:
                flowing = {name: [0.0] * self.layer.hidden for name in flowing}  # truncated: go back no further
        for name, slopes in flowing.items():
            gradient = self.layer.gradients.get(name + "0")
            if gradient:
                for j, slope in enumerate(slopes):
                    gradient[self.run * self.layer.hidden + j] += slope
        return dloss_dx if self.backwards else dloss_dx[::-1]

    def z(self, t: int) -> Numbers:
        """Give the weighted sums of step t, gate by gate."""
        step = self.steps[-1 - t if self.backwards else t]
        return [z for gate in self.layer.cell.gates for z in step.z[gate]]

    def delta(self, t: int) -> Numbers:
        """Give dL/dz of step t, gate by gate."""
        step = self.steps[-1 - t if self.backwards else t]
        return [dz for gate in self.layer.cell.gates for dz in step.dz[gate]]


# --------------------------------------------------------------------------------------------------
# 4. Recurrent
# --------------------------------------------------------------------------------------------------


class Recurrent:
    """A recurrent layer over a batch, with the members that graph.py asks of a layer.

    Samples know nothing of each other, so they go one by one; one that has an end of its own (``lengths``) is simply a
    shorter sequence, and what is reported behind it is 0.
    """

    def __init__(self, spec: dict[str, Any], shape: list[int]) -> None:
        """Read the layer as a case has it; ``shape`` is steps and features."""
        self.length, features = shape
        self.hidden = n = spec["hidden_size"]
        self.depth = spec.get("num_layers", 1)
        self.directions = 2 if spec.get("bidirectional") else 1
        self.sequences = spec.get("return_sequences", True)
        self.truncate = spec.get("truncate")
        self.lengths = spec.get("lengths")
        self.cell = CELLS[spec["kind"]](spec)

        rows, width = len(self.cell.gates) * n, self.directions * n
        self.output_shape = [self.length, width] if self.sequences else [width]
        self.z_shape: list[int] | None = [self.length, self.depth * self.directions * rows]
        every = {"bias_ih": [rows], "bias_hh": [rows], "peephole": [3, n], "weight_hh": [rows, n]}
        self.shapes: dict[str, list[int]] = {}
        for name in spec["parameters"]:
            kind = name.split("_l")[0]
            if kind == "weight_ih":
                self.shapes[name] = [rows, features if "_l0" in name else width]
            else:
                self.shapes[name] = every.get(kind, [self.depth * self.directions, n])  # h0 and c0
        self.parameters = {name: flat(spec["parameters"][name]) for name in self.shapes}
        self.gradients: dict[str, Numbers] = {}
        self.z: list[Numbers] | None = None
        self.delta: list[Numbers] = []

    def forward(self, batch: list[Numbers]) -> list[Numbers]:
        """Give every step's state (or the last one), for every sample."""
        self.gradients = {name: [0.0] * len(numbers) for name, numbers in self.parameters.items()}
        self.samples = [[Direction(self, run) for run in range(self.depth * self.directions)] for _ in batch]
        self.z = []
        outputs = []
        for s, row in enumerate(batch):
            sequence = cut(row, self.length)[: self.length_of(s)]
            runs = self.samples[s]
            for first in range(0, len(runs), self.directions):
                # Each layer reads what the one below it made: the states of both its directions, side by side.
                both = [run.forward(sequence) for run in runs[first : first + self.directions]]
                sequence = [[h for part in parts for h in part] for parts in zip(*both)]
            self.z.append(self.padded([[z for run in runs for z in run.z(t)] for t in range(len(sequence))]))
            if self.sequences:
                outputs.append(self.padded(sequence))
            else:  # the last state that each direction came to: the reverse one's is that of step 0
                outputs.append([h for number, part in enumerate(both) for h in part[0 if number else -1]])
        return outputs

    def backward(self, errors: list[Numbers]) -> list[Numbers]:
        """Take dL/da, and give dL/dx of the inputs."""
        self.gradients = {name: [0.0] * len(numbers) for name, numbers in self.parameters.items()}
        self.delta = []
        dloss_dx = []
        for s, row in enumerate(errors):
            length, runs, n = self.length_of(s), self.samples[s], self.hidden
            dloss = cut(row, self.length)[:length] if self.sequences else self.of_ends(row, length)
            for first in reversed(range(0, len(runs), self.directions)):
                # Both directions read the same steps: what they send back is added.
                shares = [
                    run.backward([step[number * n : number * n + n] for step in dloss])
                    for number, run in enumerate(runs[first : first + self.directions])
                ]
                dloss = shares[0] if len(shares) == 1 else [add(one, other) for one, other in zip(*shares)]
            self.delta.append(self.padded([[dz for run in runs for dz in run.delta(t)] for t in range(length)]))
            dloss_dx.append(self.padded(dloss))
        return dloss_dx

    def of_ends(self, dloss: Numbers, length: int) -> list[Numbers]:
        """Give dL/dh of every step where only the last states were shown: 0 but for the ends."""
        n = self.hidden
        steps = [[0.0] * len(dloss) for _ in range(length)]
        steps[-1][:n] = dloss[:n]
        if self.directions == 2:
            steps[0][n:] = dloss[n:]
        return steps

    def length_of(self, s: int) -> int:
        """Give the number of steps of a sample."""
        return self.lengths[s] if self.lengths else self.length

    def padded(self, steps: list[Numbers]) -> Numbers:
        """Give the numbers of all steps in one list, and 0 for the steps that the sample does not have."""
        row = [x for step in steps for x in step]
        return row + [0.0] * (len(steps[0]) * (self.length - len(steps)))


CELLS = {
    "rnn": lambda spec: RNN(spec.get("nonlinearity", "tanh")),
    "gru": lambda spec: GRU(reset_after=spec.get("reset_after", True)),
    "lstm": lambda spec: LSTM(),
}

#: For graph.py: the kinds of layers of this file, and what they can do.
LAYERS = dict.fromkeys(CELLS, Recurrent)
FEATURES = ["bidirectional", "stacked", "initial_states", "lengths", "truncation", "peepholes", "reset_before"]


def add(xs: Numbers, ys: Numbers) -> Numbers:
    """Give the sums, number by number."""
    return [x + y for x, y in zip(xs, ys)]


def times(xs: Numbers, ys: Numbers) -> Numbers:
    """Give the products, number by number."""
    return [x * y for x, y in zip(xs, ys)]


def cut(row: Numbers, count: int) -> list[Numbers]:
    """Give a list in so many parts of one length."""
    width = len(row) // count
    return [row[t * width : t * width + width] for t in range(count)]


def flat(value: Any) -> Numbers:
    """Give the numbers of nested lists in one list, in their order."""
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]

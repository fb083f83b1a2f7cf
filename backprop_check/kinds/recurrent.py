"""Recurrent layers: they read a sequence step by step, and at every step also their own state of the step before."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the fields' types
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import Count, arrays, at_least, description, fail, one_of
from backprop_check.kinds.kind import Kind, Shape, drawn, flat
from backprop_check.kinds.unroll import RIGHT, Direction, States, unroll

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The features (``supports.features``) that layers of these kinds may need.
BIDIRECTIONAL, STACKED, INITIAL = "bidirectional", "stacked", "initial_states"
LENGTHS, TRUNCATION, PEEPHOLES, RESET_BEFORE = "lengths", "truncation", "peepholes", "reset_before"


Steps = Annotated[int, at_least(1, "step")]


def _arrays(states: tuple[str, ...] = ("h",), **more: str) -> msgspec.Meta:
    """The parameters of a kind: ``_l0`` is the lowest layer, ``_reverse`` the direction that reads from the end."""
    weights = {"weight_ih": "[gates · hidden_size][features]", "weight_hh": "[gates · hidden_size][hidden_size]"}
    others = {"bias_ih": "[gates · hidden_size]", "bias_hh": "[gates · hidden_size]", **more}
    return arrays(
        {f"{name}_l0": indexes for name, indexes in weights.items()},
        {f"{state}0": "[num_layers · directions][hidden_size]" for state in states},
        {f"^{name}_l[0-9]+(_reverse)?$": indexes for name, indexes in {**weights, **others}.items()},
    )


class Recurrent(Kind, frozen=True):
    """The common base of recurrent layers. Their input is (steps, features) for each sample.

    The parameters are PyTorch's: ``weight_ih_l0`` [gates · hidden, features], ``weight_hh_l0`` [gates · hidden,
    hidden], ``bias_ih_l0`` and ``bias_hh_l0`` [gates · hidden] (both, only ``bias_ih``, or neither), ``…_l1`` for the
    second of ``num_layers``, ``…_reverse`` for the direction that reads from the end. ``h0`` (and ``c0``) [num_layers ·
    directions, hidden] is the state before the first step, the same for all samples; by default it is 0.

    ``return_sequences``: the output is the state of every step, (steps, directions · hidden); otherwise each
    direction's last state, which for the reverse one is that of step 0. ``truncate``: gradients do not flow between the
    steps k·m − 1 and k·m. ``lengths``: the number of steps of each sample; beyond them its state stays, and z and
    output are 0.
    """

    hidden_size: Count
    parameters: dict[str, Any]
    num_layers: Count = 1
    bidirectional: bool = False
    return_sequences: Annotated[
        bool, description("Whether the output is the state of every step, or only the last one of each direction.")
    ] = True
    truncate: Annotated[Steps | None, description("k: no gradient flows back between the steps m·k − 1 and m·k.")] = (
        None
    )
    lengths: Annotated[tuple[Count, ...] | None, description("The number of steps of each sample.")] = None

    family: ClassVar[str] = "recurrent"
    reported: ClassVar[tuple[str, ...]] = ("z", "a")
    options: ClassVar[tuple[str, ...]] = (BIDIRECTIONAL, STACKED, INITIAL, LENGTHS, TRUNCATION)
    places: ClassVar[Mapping[int, tuple[str, ...]]] = {1: ("unit",), 2: ("step", "unit")}

    #: The gates in the order of the parameters' rows.
    gates: ClassVar[tuple[str, ...]]

    #: The states that one step hands to the next.
    states: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def directions(self) -> int:
        """The number of directions: 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the layer needs beyond a single layer that reads whole sequences forwards."""
        has = (self.bidirectional, self.num_layers > 1, "h0" in self.parameters, self.lengths, self.truncate)
        return tuple(name for name, used in zip(Recurrent.options, has, strict=True) if used)

    def products(self, inputs: Shape) -> int:
        """Every step is computed separately, which costs more than its products."""
        return inputs[0] * self.num_layers * self.directions * 10_000

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless the input is (steps, features), every length fits it, and all parameters
        have their shapes.
        """
        if len(inputs) != 2:  # noqa: PLR2004 - steps, features
            fail(path, "an input of steps and features", inputs)
        if self.num_layers > len(self.parameters):
            fail(
                f"{path}.num_layers",
                f"no more layers than the {len(self.parameters)} parameters are for",
                self.num_layers,
            )
        for s, length in enumerate(self.lengths or ()):
            if length > inputs[0]:
                fail(f"{path}.lengths[{s}]", f"1 to {inputs[0]} steps", length)
        shapes = self.parameter_shapes(inputs)
        if set(self.parameters) != set(shapes):
            fail(f"{path}.parameters", ", ".join(shapes), ", ".join(self.parameters))
        for name, shape in shapes.items():
            flat(f"{path}.parameters.{name}", self.parameters[name], shape, name)

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` where there is not one length for each sample."""
        del inputs
        if self.lengths is not None and len(self.lengths) != len(samples):
            fail(f"{path}.lengths", f"{len(samples)} lengths, one a sample", len(self.lengths))

    def of_samples(self, samples: Sequence[int]) -> Recurrent:
        """The same layer with the lengths of these samples."""
        if self.lengths is None:
            return self
        return msgspec.structs.replace(self, lengths=tuple(self.lengths[s] for s in samples))

    def output_shape(self, inputs: Shape) -> Shape:
        """(steps, directions · hidden), or (directions · hidden,) for the last state."""
        width = self.directions * self.hidden_size
        return (inputs[0], width) if self.return_sequences else (width,)

    def z_shape(self, inputs: Shape) -> Shape:
        """(steps, num_layers · directions · gates · hidden): all gates of every step, those of the lowest layer
        first.
        """
        return inputs[0], self.num_layers * self.directions * len(self.gates) * self.hidden_size

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """PyTorch's names and shapes."""
        rows, hidden = len(self.gates) * self.hidden_size, self.hidden_size
        has = {name.split("_l")[0] for name in self.parameters}
        shapes: dict[str, Shape] = {}
        for suffix, depth, _ in self.runs():
            features = inputs[1] if depth == 0 else self.directions * hidden
            shapes |= {f"weight_ih{suffix}": (rows, features), f"weight_hh{suffix}": (rows, hidden)}
            if has & {"bias_ih", "bias_hh"}:
                shapes[f"bias_ih{suffix}"] = (rows,)
            if "bias_hh" in has:
                shapes[f"bias_hh{suffix}"] = (rows,)
            shapes |= self.more_shapes(suffix, has)
        if has & {f"{state}0" for state in self.states}:
            shapes |= {f"{state}0": (self.num_layers * self.directions, hidden) for state in self.states}
        return shapes

    def more_shapes(self, suffix: str, has: set[str]) -> dict[str, Shape]:
        """Parameters that only this kind has; ``has`` are the names that the layer has, without their suffixes."""
        del suffix, has
        return {}

    def runs(self) -> list[tuple[str, int, bool]]:
        """Every direction of every layer: the suffix of its parameters, its depth, and whether it reads from the
        end.
        """
        return [
            (f"_l{depth}{'_reverse' * backwards}", depth, backwards)
            for depth in range(self.num_layers)
            for backwards in (False, True)[: self.directions]
        ]

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """The layer unrolled: the same parameters at every step."""
        return unroll(c, self, x, parameters, inputs, RIGHT)

    def step(self, d: Direction, t: int, x: Any, before: States) -> States:
        """The states after step ``t``, computed from its input ``x`` and the states ``before`` it."""
        raise NotImplementedError

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A few steps of a few features."""
        return draw.whole(1, 4), draw.whole(1, 3)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """The output is a sequence or the last state; one or two layers; one or two directions; with and without
        all options.
        """
        if len(inputs) != 2:  # noqa: PLR2004
            return None
        layer: dict[str, Any] = {"kind": str(cls.__struct_config__.tag), "hidden_size": draw.whole(1, 3)}
        depth, both = draw.one_of(((1, False), (1, False), (1, False), (1, True), (2, False), (2, True)))
        layer |= {"num_layers": depth, "bidirectional": both, "return_sequences": draw.whole(1, 2) == 1}
        if draw.whole(1, 4) == 1 and inputs[0] > 1:
            layer["truncate"] = draw.whole(1, inputs[0] - 1)
        if draw.whole(1, 4) == 1:
            layer["lengths"] = [draw.whole(1, inputs[0]) for _ in range(samples)]
        layer |= cls.draw_more(draw)
        names = {*draw.one_of((("bias_ih", "bias_hh"), ("bias_ih", "bias_hh"), ("bias_ih",), ()))}
        names |= {f"{state}0" for state in cls.states if draw.whole(1, 3) == 1 or state != "h"}
        names |= cls.draw_names(draw)
        if "h0" not in names:
            names.discard("c0")
        shape_of = msgspec.convert({**layer, "parameters": dict.fromkeys(names)}, cls).parameter_shapes(inputs)
        layer["parameters"] = {
            name: drawn(draw, shape, 1.4 / shape[-1] ** 0.5 if name.startswith("weight") else 0.7)
            for name, shape in shape_of.items()
        }
        return layer

    @classmethod
    def draw_more(cls, draw: Any) -> dict[str, Any]:
        """Fields that only this kind has."""
        del draw
        return {}

    @classmethod
    def draw_names(cls, draw: Any) -> set[str]:
        """The names of the parameters that only this kind has."""
        del draw
        return set()


class Rnn(Recurrent, frozen=True, tag="rnn"):
    """PyTorch's ``RNN``: hₜ = φ(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh), φ = tanh or ReLU (``nonlinearity``)."""

    parameters: Annotated[dict[str, Any], _arrays()]
    nonlinearity: Annotated[str, one_of(("tanh", "relu"))] = "tanh"

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def products(self, inputs: Shape) -> int:
        """Every step is computed separately, which costs more than its products."""
        return inputs[0] * self.num_layers * self.directions * 10_000

    @classmethod
    def draw_more(cls, draw: Any) -> dict[str, Any]:
        """Either function."""
        return {"nonlinearity": draw.one_of(("tanh", "relu"))}

    def step(self, d: Direction, t: int, x: Any, before: States) -> States:
        """hₜ = φ(zₜ)."""
        z = d.gate("h", t, [d.from_input(x, "h"), d.from_state(before["h"], "h")], d.biases("h"))
        return {"h": d.c.function(self.nonlinearity, z, role="h")}


class Gru(Recurrent, frozen=True, tag="gru"):
    """PyTorch's ``GRU``, gates r, z, n: hₜ = (1 − z)·n + z·hₜ₋₁, r and z sigmoids, n = tanh(z_n) (Cho et al. 2014).

    ``reset_after`` (PyTorch, and the default in Keras): z_n = W_in x + b_in + r·(W_hn h + b_hn). Otherwise the reset
    comes before the product, as in the paper: z_n = W_in x + b_in + W_hn (r·h) + b_hn.
    """

    parameters: Annotated[dict[str, Any], _arrays()]
    reset_after: Annotated[bool, description("Whether the reset comes after the product with W_hn, or before it.")] = (
        True
    )

    gates: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    options: ClassVar[tuple[str, ...]] = (*Recurrent.options, RESET_BEFORE)

    @property
    def features(self) -> tuple[str, ...]:
        """A reset before the product is a feature of its own: PyTorch does not have it."""
        return (*super().features, *(() if self.reset_after else (RESET_BEFORE,)))

    @classmethod
    def draw_more(cls, draw: Any) -> dict[str, Any]:
        """The reset before or after the product."""
        return {"reset_after": draw.whole(1, 3) > 1}

    def step(self, d: Direction, t: int, x: Any, before: States) -> States:
        """hₜ = (1 − z)·n + z·hₜ₋₁."""
        c, h = d.c, before["h"]
        r, z = (
            c.function("sigmoid", d.gate(g, t, [d.from_input(x, g), d.from_state(h, g)], d.biases(g)), role=g)
            for g in "rz"
        )
        n = c.function("tanh", d.way.new_state(d, t, x, h, r), role="n")
        rest = c.weighted_sum([(z, c.constant([-1.0]), d.each)], biases=[(c.constant([1.0]), [0] * z.units)])
        return {"h": c.weighted_sum([(n, rest, d.own), (h, z, d.own)], role="h")}


class Lstm(Recurrent, frozen=True, tag="lstm"):
    """PyTorch's ``LSTM``, gates i, f, g, o: cₜ = f·cₜ₋₁ + i·g, hₜ = o·tanh(cₜ); i, f, o sigmoids, g a tanh.

    Peepholes (Gers & Schmidhuber 2000), ``peephole_l0`` [3, hidden] (…), let the gates read the cell: p₀·cₜ₋₁ is added
    to z_i, p₁·cₜ₋₁ to z_f and p₂·cₜ to z_o, unit by unit.
    """

    parameters: Annotated[dict[str, Any], _arrays(("h", "c"), peephole="[3][hidden_size]")]

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    options: ClassVar[tuple[str, ...]] = (*Recurrent.options, PEEPHOLES)

    @property
    def peepholes(self) -> bool:
        """Whether the gates read the cell."""
        return any(name.startswith("peephole") for name in self.parameters)

    @property
    def features(self) -> tuple[str, ...]:
        """Peepholes are a feature of their own: PyTorch does not have them."""
        return (*super().features, *((PEEPHOLES,) if self.peepholes else ()))

    def more_shapes(self, suffix: str, has: set[str]) -> dict[str, Shape]:
        """``peephole``, where the layer has it: [3, hidden]."""
        return {f"peephole{suffix}": (3, self.hidden_size)} if "peephole" in has else {}

    @classmethod
    def draw_names(cls, draw: Any) -> set[str]:
        """Sometimes peepholes."""
        return {"peephole"} if draw.whole(1, 3) == 1 else set()

    def step(self, d: Direction, t: int, x: Any, before: States) -> States:
        """cₜ = f·cₜ₋₁ + i·g, hₜ = o·tanh(cₜ)."""
        c = d.c

        def gate(g: str, cell: Any) -> Any:
            sources = [d.from_input(x, g), d.from_state(before["h"], g)]
            if self.peepholes and g != "g":
                sources.append(d.through_peephole(cell, g))
            return c.function("tanh" if g == "g" else "sigmoid", d.gate(g, t, sources, d.biases(g)), role=g)

        i, f, g = (gate(name, before["c"]) for name in "ifg")
        cell = c.weighted_sum([(before["c"], f, d.own), (g, i, d.own)], role="cell")
        o = gate("o", cell)
        return {"h": c.multiply(c.function("tanh", cell, role="cell_tanh"), o, role="h"), "c": cell}

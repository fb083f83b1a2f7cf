"""Normalisation layers: values are scaled to mean 0 and variance 1, over a batch, a layer, a group or a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import Count, Positive, Share, arrays, description, fail, items
from backprop_check.kinds.kind import Kind, Shape, drawn, flat, size, words
from backprop_check.kinds.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The ε of generated layers; the larger values reveal an ε in the wrong place of the formula.
_EPS = (1e-5, 1e-3, 0.01, 0.1)

Groups = list[range]


class _Norm(Kind, frozen=True, kw_only=True):
    """The common base: ε, and a scale and a shift (``weight`` γ and ``bias`` β) or neither."""

    eps: Positive
    parameters: Annotated[dict[str, Any], arrays({}, {"weight": "γ: [channel]", "bias": "β: [channel]"})] = (
        msgspec.field(default_factory=dict)
    )

    family: ClassVar[str] = "normalisation"

    #: The sets of parameters that are allowed.
    _may_have: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("weight", "bias"))

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where there is another set of parameters than the kind allows, or one has not its
        shape.
        """
        if tuple(sorted(self.parameters, reverse=True)) not in self._may_have:
            allowed = " or ".join(" and ".join(names) or "none" for names in self._may_have)
            fail(f"{path}.parameters", allowed, ", ".join(self.parameters))
        for name, shape in self.parameter_shapes(inputs).items():
            flat(f"{path}.parameters.{name}", self.parameters[name], shape, name)

    def output_shape(self, inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` and ``bias``: one number per channel."""
        return dict.fromkeys(self.parameters, inputs[:1])

    def _affine(self, c: Any, x: Any, parameters: Mapping[str, Any], of: Sequence[int]) -> Any:
        """γ·x̂ + β; ``of[unit]`` is the index of the unit's γ and β."""
        if "weight" not in parameters:
            return c.output(x)
        rows = [[unit] for unit in range(len(of))]
        wiring = Wiring(len(of), max(of) + 1, rows, [[place] for place in of])
        biases = [(parameters["bias"], of)] if "bias" in parameters else []
        return c.output(c.weighted_sum([(x, parameters["weight"], wiring)], biases=biases, role="affine"))

    def _channels(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape, groups: Groups) -> Any:
        """Standardised within groups of a sample; each channel has its own γ and β."""
        normalised, _, _ = standardised(c, x, groups, self.eps)
        return self._affine(c, normalised, parameters, channels(inputs))

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A few features, a sequence or an image."""
        shape: Shape = draw.one_of(
            ((draw.whole(2, 4),), (draw.whole(2, 3), draw.whole(2, 4)), (draw.whole(2, 4), 2, draw.whole(2, 3)))
        )
        return shape

    @staticmethod
    def _drawn_affine(draw: Any, shape: Shape, names: Sequence[str] = ("weight", "bias")) -> dict[str, Any]:
        """Usually a scale and a shift, sometimes neither."""
        if draw.whole(1, 4) == 1:
            return {}
        return {"parameters": {name: drawn(draw, shape, 1.4) for name in names}}


class BatchNorm(_Norm, frozen=True, kw_only=True, tag="batch_norm"):
    """a = γ (x − μ)/√(σ² + ε) + β for every channel, with μ and σ² of the whole batch (Ioffe & Szegedy 2015).

    PyTorch's ``BatchNorm1d`` and ``BatchNorm2d``: the channel is the first index of a sample, and μ and σ² (divided by
    n) are taken over all samples and positions. In training the running statistics (``buffers``) become (1 − momentum)
    · running + momentum · batch, with the variance divided by n − 1. Outside training they replace μ and σ².
    """

    training: bool
    momentum: Annotated[
        Share | None, description("Where training updates the buffers: the weight of the batch's own statistics.")
    ] = None
    buffers: Annotated[
        dict[str, Any],
        arrays({"running_mean": "[channel]", "running_var": "[channel], none below 0"}),
        description("What training changes besides the parameters: the running statistics."),
    ] = msgspec.field(default_factory=dict)

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where running statistics or a momentum are missing, malformed or shared, or a
        variance is negative.
        """
        super().check(path, inputs)
        if self.shares:
            fail(f"{path}.shares", "none: running statistics belong to one layer", repr(self.shares))
        if self.buffers or not self.training:
            if set(self.buffers) != set(_STATISTICS):
                fail(f"{path}.buffers", " and ".join(_STATISTICS), ", ".join(self.buffers) or "none")
            for name in _STATISTICS:
                found = flat(f"{path}.buffers.{name}", self.buffers[name], inputs[:1], name)
                if name == "running_var" and found.min() < 0:
                    fail(f"{path}.buffers.{name}", "no number below 0", found.min())
        if self.training and self.buffers and self.momentum is None:
            fail(f"{path}.momentum", "a number from 0 to 1", "none")

    def check_batch(self, path: str, inputs: Shape, samples: Sequence[Sequence[float]]) -> None:
        """Raises ``CaseError`` in training where there are fewer than two numbers per channel: their variance
        would be 0/0.
        """
        if self.training and len(samples) * size(inputs[1:]) < 2:  # noqa: PLR2004 - two
            fail(f"{path}.training", "a batch of at least two numbers a channel", "one")

    def buffer_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """The running statistics, if training updates them."""
        return dict.fromkeys(_STATISTICS, inputs[:1]) if self.training and self.buffers else {}

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Usually in training; with and without γ and β, with and without running statistics."""
        training = samples * size(inputs[1:]) > 1 and draw.whole(1, 4) > 1
        shape = inputs[:1]
        kept = not training or draw.whole(1, 4) > 1
        variances = [abs(draw.number(1.5)) + 0.25 for _ in range(inputs[0])]
        return {
            "kind": "batch_norm",
            "training": training,
            "eps": draw.one_of(_EPS),
            **({"momentum": draw.one_of((0.1, 0.1, 0.3, 0.75))} if kept else {}),
            **({"buffers": {"running_mean": drawn(draw, shape, 1.0), "running_var": variances}} if kept else {}),
            **cls._drawn_affine(draw, shape),
        }

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """x̂ with the statistics of the batch in training, else with the running statistics; then γ·x̂ + β."""
        positions = size(inputs[1:])
        groups = contiguous(size(inputs), positions)
        if not self.training:
            minus = c.function("over", c.buffers["running_mean"], -1.0, role="minus_mean")
            inverse = c.function("reciprocal_root", c.buffers["running_var"], self.eps, role="inverse")
            centered = shifted(c, x, minus, groups)
            return self._affine(c, scaled(c, centered, inverse, groups), parameters, channels(inputs))
        normalised, minus, spread = standardised(c, x, groups, self.eps, across=True)
        output = self._affine(c, normalised, parameters, channels(inputs))
        if self.buffers:
            assert self.momentum is not None
            own, n = self.momentum, c.samples * positions
            moved = {"running_mean": (minus, -own), "running_var": (spread, own / (n - 1))}
            output.buffers = {name: self._moved(c, name, *moved[name]) for name in _STATISTICS}
        return output

    def _moved(self, c: Any, name: str, of_batch: Any, share: float) -> Any:
        """(1 − momentum) · running + ``share`` · ``of_batch``."""
        assert self.momentum is not None
        same = [[channel] for channel in range(of_batch.units)]
        wiring = Wiring(of_batch.units, 1, same, [[0]] * of_batch.units)
        before = (c.buffers[name], c.constant([1.0 - self.momentum]), wiring)
        return c.weighted_sum([before, (of_batch, c.constant([share]), wiring)], role=name)


_STATISTICS = ("running_mean", "running_var")


class LayerNorm(_Norm, frozen=True, kw_only=True, tag="layer_norm"):
    """a = γ (x − μ)/√(σ² + ε) + β, with μ and σ² over the last indexes of a sample (Ba, Kiros & Hinton 2016).

    PyTorch's ``LayerNorm``: ``normalized_shape`` is the end of the input's shape; γ and β have that shape.
    """

    parameters: Annotated[dict[str, Any], arrays({}, {"weight": "γ…", "bias": "β…"})] = msgspec.field(
        default_factory=dict
    )
    normalized_shape: Annotated[tuple[Count, ...], items(1)]

    _may_have: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("weight",), ("weight", "bias"))

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless ``normalized_shape`` ends the input's shape and the parameters have that
        shape.
        """
        check_end(path, self.normalized_shape, inputs)
        super().check(path, inputs)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` and ``bias`` have the normalised shape."""
        del inputs
        return dict.fromkeys(self.parameters, self.normalized_shape)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Over the last index, or over more of them."""
        del samples
        end = inputs[-draw.whole(1, len(inputs)) :]
        names = ("weight", "bias") if draw.whole(1, 5) > 1 else ("weight",)
        return {
            "kind": "layer_norm",
            "normalized_shape": end,
            "eps": draw.one_of(_EPS),
            **cls._drawn_affine(draw, end, names),
        }

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """Each sample, and each position of its first indexes, is standardised by itself."""
        length = size(self.normalized_shape)
        normalised, _, _ = standardised(c, x, contiguous(size(inputs), length), self.eps)
        return self._affine(c, normalised, parameters, [unit % length for unit in range(size(inputs))])


class RMSNorm(_Norm, frozen=True, kw_only=True, tag="rms_norm"):
    """a = γ x/√(mean x² + ε) over the last indexes of a sample: PyTorch's ``RMSNorm`` (Zhang & Sennrich 2019).

    No mean is subtracted.
    """

    parameters: Annotated[dict[str, Any], arrays({}, {"weight": "γ…"})] = msgspec.field(default_factory=dict)
    normalized_shape: Annotated[tuple[Count, ...], items(1)]

    _may_have: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("weight",))

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless ``normalized_shape`` ends the input's shape and ``weight`` has that shape."""
        check_end(path, self.normalized_shape, inputs)
        super().check(path, inputs)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` has the normalised shape."""
        del inputs
        return dict.fromkeys(self.parameters, self.normalized_shape)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Over the last index, or over more of them."""
        del samples
        end = inputs[-draw.whole(1, len(inputs)) :]
        return {
            "kind": "rms_norm",
            "normalized_shape": end,
            "eps": draw.one_of(_EPS),
            **cls._drawn_affine(draw, end, ("weight",)),
        }

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """x/√(mean x² + ε) in every group, then times γ."""
        length = size(self.normalized_shape)
        groups = contiguous(size(inputs), length)
        squares = c.weighted_sum([(x, x, Wiring(x.units, x.units, groups, groups))], role="spread")
        mean = c.function("over", squares, float(length), role="variance")
        inverse = c.function("reciprocal_root", mean, self.eps, role="inverse")
        of = [unit % length for unit in range(size(inputs))]
        return self._affine(c, scaled(c, x, inverse, groups), parameters, of)


class GroupNorm(_Norm, frozen=True, kw_only=True, tag="group_norm"):
    """a = γ (x − μ)/√(σ² + ε) + β, with μ and σ² over a group of channels of a sample: PyTorch's ``GroupNorm``."""

    num_groups: Count

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless the groups divide the channels and have at least two numbers each."""
        if inputs[0] % self.num_groups:
            fail(f"{path}.num_groups", f"a divisor of {inputs[0]} channels", self.num_groups)
        if size(inputs) == self.num_groups:
            fail(f"{path}.num_groups", "groups of at least two numbers", self.num_groups)
        super().check(path, inputs)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """One group, several, or as many as there are channels."""
        del samples
        divisors = [n for n in range(1, inputs[0] + 1) if inputs[0] % n == 0 and n < size(inputs)]
        return {
            "kind": "group_norm",
            "num_groups": draw.one_of(divisors),
            "eps": draw.one_of(_EPS),
            **cls._drawn_affine(draw, inputs[:1]),
        } if divisors else None  # fmt: skip

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """The channels of a group are standardised together, at all their positions."""
        return self._channels(c, x, parameters, inputs, contiguous(size(inputs), size(inputs) // self.num_groups))


class InstanceNorm(_Norm, frozen=True, kw_only=True, tag="instance_norm"):
    """a = γ (x − μ)/√(σ² + ε) + β, with μ and σ² over the positions of one channel of one sample.

    PyTorch's ``InstanceNorm1d`` and ``InstanceNorm2d`` without running statistics, which is the default.
    """

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless the input has channels with at least two positions each."""
        if len(inputs) < 2 or size(inputs[1:]) < 2:  # noqa: PLR2004 - channels and positions; two of these
            fail(path, "an input of channels with at least two positions", words(inputs))
        super().check(path, inputs)

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """A sequence or an image."""
        shape: Shape = draw.one_of(((draw.whole(1, 3), draw.whole(2, 5)), (draw.whole(1, 3), 2, draw.whole(2, 3))))
        return shape

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With and without γ and β."""
        del samples
        return {"kind": "instance_norm", "eps": draw.one_of(_EPS), **cls._drawn_affine(draw, inputs[:1])}

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """Every channel of every sample is standardised by itself."""
        return self._channels(c, x, parameters, inputs, contiguous(size(inputs), size(inputs[1:])))


def check_end(path: str, normalized: Shape, inputs: Shape) -> None:
    """Raises ``CaseError`` unless ``normalized`` is the end of the input's shape."""
    if not normalized or inputs[-len(normalized) :] != normalized:
        fail(f"{path}.normalized_shape", f"the end of the input's shape, {words(inputs)}", words(normalized))


def contiguous(units: int, length: int) -> Groups:
    """Consecutive groups of ``length`` units."""
    return [range(start, start + length) for start in range(0, units, length)]


def channels(inputs: Shape) -> list[int]:
    """The channel of every unit: its first index."""
    positions = size(inputs[1:])
    return [unit // positions for unit in range(size(inputs))]


def _group_of(groups: Groups) -> list[int]:
    """The number of the group of every unit."""
    return [number for number, group in enumerate(groups) for _ in group]


def shifted(c: Any, x: Any, by: Any, groups: Groups) -> Any:
    """xᵢ + b_g for every unit i, where b_g is the value of its group g in ``by``."""
    rows = [[unit] for unit in range(x.units)]
    own = Wiring(x.units, 1, rows, [[0]] * x.units)
    theirs = Wiring(by.units, 1, [[group] for group in _group_of(groups)], [[0]] * x.units)
    return c.weighted_sum([(x, None, own), (by, None, theirs)], role="centered")


def scaled(c: Any, x: Any, by: Any, groups: Groups) -> Any:
    """xᵢ · b_g for every unit i, where b_g is the value of its group g in ``by``."""
    rows = [[unit] for unit in range(x.units)]
    wiring = Wiring(x.units, by.units, rows, [[group] for group in _group_of(groups)])
    return c.weighted_sum([(x, by, wiring)], role="normalised")


def standardised(c: Any, x: Any, groups: Groups, eps: float, *, across: bool = False) -> tuple[Any, Any, Any]:
    """x̂ = (x − μ)/√(σ² + ε), with μ and σ² = S/n of every group, of one sample or (``across``) of the whole batch.

    Returns the tables x̂, −μ and S = Σ(x − μ)². An implementation may also compute S as Σx² − (Σx)²/n, which loses
    digits where μ² ≫ σ²; the bound allows both.
    """
    m = c.m
    n = float(len(groups[0]) * (c.samples if across else 1))
    wiring = Wiring(x.units, 1, groups, [[0] * len(group) for group in groups])
    both = Wiring(x.units, x.units, groups, groups)

    def total(source: Any, role: str, other: Any = None) -> Any:
        return c.across(source, role, other) if across else c.weighted_sum([source], role=role, other=other)

    def by_squares(s: Any, o: Any) -> Any:
        read = x.values[s, wiring.reads[o]]
        whole = m.total(read)
        return m.dots([(read, read)], []) - whole * (whole / m.number(n))

    minus = c.function("over", total((x, None, wiring), "total"), -n, role="minus_mean")
    centered = shifted(c, x, minus, groups)
    spread = total((centered, centered, both), "spread", by_squares)
    variance = c.function("over", spread, n, role="variance")
    inverse = c.function("reciprocal_root", variance, eps, role="inverse")
    return scaled(c, centered, inverse, groups), minus, spread

"""Convolution: every output position reads a window of the input through one shared kernel."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.kinds.dense import check_activation
from backprop_check.kinds.kind import Kind, Shape, drawn, fail, flat
from backprop_check.kinds.wiring import Index, Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Pair = tuple[int, int]


class Conv2d(Kind, frozen=True, tag="conv2d"):
    """out[c, y, x] = Σ w[c, i, ky, kx] · in[i, y·stride + ky·dilation − padding, …] + b[c], then the activation.

    PyTorch's ``Conv2d``: ``weight`` is [out_channels, in_channels / groups, rows, columns], ``bias`` [out_channels] or
    absent. It is a cross-correlation: the kernel is not flipped.
    """

    out_channels: int
    kernel_size: Pair
    parameters: dict[str, Any]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    activation: str = "identity"
    alpha: float | None = None

    family: ClassVar[str] = "convolution"
    reported: ClassVar[tuple[str, ...]] = ("z", "a")

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` where something does not fit."""
        if len(inputs) != 3:  # noqa: PLR2004 - channels, rows, columns
            fail(path, "an input of channels, rows and columns", inputs)
        check_activation(path, self.activation, self.alpha)
        for name in ("kernel_size", "stride", "dilation"):
            if min(getattr(self, name)) < 1:
                fail(f"{path}.{name}", "at least 1", list(getattr(self, name)))
        if min(self.padding) < 0:
            fail(f"{path}.padding", "at least 0", list(self.padding))
        if self.groups < 1 or inputs[0] % self.groups or self.out_channels % self.groups:
            fail(f"{path}.groups", f"a divisor of {inputs[0]} and {self.out_channels} channels", self.groups)
        if min(self.output_shape(inputs)) < 1:
            fail(f"{path}.kernel_size", "a window that fits into the padded input", list(self.kernel_size))
        shapes = self.parameter_shapes(inputs)
        if set(self.parameters) != set(shapes):
            fail(f"{path}.parameters", f"weight, and bias or none ({', '.join(shapes)})", ", ".join(self.parameters))
        for name, shape in shapes.items():
            flat(f"{path}.parameters.{name}", self.parameters[name], shape, name)

    def output_shape(self, inputs: Shape) -> Shape:
        """Channels, rows, columns: ⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1."""
        sizes = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                inputs[1:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )
        return (self.out_channels, *sizes)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` and, where there is one, ``bias``."""
        weight = {"weight": (self.out_channels, inputs[0] // self.groups, *self.kernel_size)}
        return weight | ({"bias": (self.out_channels,)} if "bias" in self.parameters else {})

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """An image of one to three channels."""
        return image(draw)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Windows of all forms: stride, padding, dilation, groups, with and without a bias."""
        del samples
        if len(inputs) != 3:  # noqa: PLR2004
            return None
        kernel = (draw.whole(1, 3), draw.whole(1, 3))
        groups = inputs[0] if draw.whole(1, 3) == 1 else 1
        channels = groups * draw.whole(1, 2)
        shape = (channels, inputs[0] // groups, *kernel)
        weight = drawn(draw, shape, 1.6 / (shape[1] * kernel[0] * kernel[1]) ** 0.5)
        bias = {"bias": drawn(draw, (channels,), 0.5)} if draw.whole(1, 4) > 1 else {}
        return {
            "kind": "conv2d",
            "out_channels": channels,
            "kernel_size": kernel,
            "stride": (draw.whole(1, 2), draw.whole(1, 2)),
            "padding": (draw.whole(0, 1), draw.whole(0, 1)),
            "dilation": (draw.one_of((1, 1, 1, 2)), draw.one_of((1, 1, 1, 2))),
            "groups": groups,
            "activation": draw.one_of(("identity", "tanh", "relu", "sigmoid", "leaky_relu", "softplus")),
            "parameters": {"weight": weight, **bias},
        }

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """z = Σ w·x + b over the window, a = φ(z)."""
        channels, rows, columns = self.output_shape(inputs)
        wiring = windows(
            inputs, self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation, self.groups
        )
        by_channel = [channel for channel in range(channels) for _ in range(rows * columns)]
        biases = [(parameters["bias"], by_channel)] if "bias" in parameters else []
        z = c.weighted_sum([(x, parameters["weight"], wiring)], biases=biases, role="z")
        groups = across_channels(self.output_shape(inputs)) if "softmax" in self.activation else None
        return c.output(c.activate(self.activation, z, self.alpha, groups), z)


def image(draw: Any) -> Shape:
    """The shape of a small image."""
    return draw.whole(1, 3), draw.whole(3, 6), draw.whole(3, 6)


@functools.lru_cache(maxsize=64)
def windows(
    inputs: Shape, channels: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Wiring:
    """Which inputs each output position reads, through which weight of the kernel."""
    depth = inputs[0] // groups
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(inputs[1:], padding, dilation, kernel, stride, strict=True)
    ]
    reads, uses = [], []
    for channel in range(channels):
        first = channel // (channels // groups) * depth
        for y, x in itertools.product(*map(range, sizes)):
            pairs = [
                (((first + i) * inputs[1] + row) * inputs[2] + column,
                 ((channel * depth + i) * kernel[0] + ky) * kernel[1] + kx)
                for i in range(depth)
                for ky, row in _inside(y, kernel[0], stride[0], padding[0], dilation[0], inputs[1])
                for kx, column in _inside(x, kernel[1], stride[1], padding[1], dilation[1], inputs[2])
            ]  # fmt: skip
            reads.append([read for read, _ in pairs])
            uses.append([use for _, use in pairs])
    return Wiring(inputs[0] * inputs[1] * inputs[2], channels * depth * kernel[0] * kernel[1], reads, uses)


def _inside(at: int, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Iterator[tuple[int, int]]:
    """The places of a kernel that lie on the input, each with the input's position: what is padded is 0."""
    for k in range(kernel):
        position = at * stride + k * dilation - padding
        if 0 <= position < length:
            yield k, position


def across_channels(shape: Shape) -> Index:
    """For every unit those at the same position in all channels."""
    size = shape[1] * shape[2]
    return Index([[channel * size + at for channel in range(shape[0])] for _ in range(shape[0]) for at in range(size)])

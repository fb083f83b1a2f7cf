"""Convolution: every output position reads a window of the input through one shared kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from backprop_check.fields import Count, Size, arrays, fail
from backprop_check.functions.names import ALL_ACTIVATIONS
from backprop_check.kinds.kind import Activation, Alpha, Kind, Shape, drawn, flat, size
from backprop_check.kinds.windows import (
    Sizes,
    Window,
    across_channels,
    convolving,
    transposed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.kinds.wiring import Wiring

#: One number per axis: of a kernel, a stride or a dilation (at least 1), or of a padding (at least 0).
One = tuple[Count]
Pair = tuple[Count, Count]
OnePadding = tuple[Size]
PairPadding = tuple[Size, Size]

_BIAS = {"bias": "[out_channels], or absent"}

_AXES = {1: "channels and positions", 2: "channels, rows and columns"}

#: The activations of generated layers.
_ACTIVATIONS = ("identity", "tanh", "relu", "sigmoid", "leaky_relu", "softplus", "elu")


def image(draw: Any) -> Shape:
    """The shape of a small image."""
    return draw.one_of((1, 2, 2, 3, 4)), draw.whole(3, 6), draw.whole(3, 6)


def row(draw: Any) -> Shape:
    """The shape of a short sequence."""
    return draw.one_of((1, 2, 2, 3, 4)), draw.whole(5, 9)


class Spatial(Kind, frozen=True, kw_only=True):
    """The common base of layers that read channels along one or two axes (``axes``)."""

    family: ClassVar[str] = "convolution"
    axes: ClassVar[int] = 2

    def check_axes(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` unless the input has channels and ``axes`` axes."""
        if len(inputs) != self.axes + 1:
            fail(path, f"an input of {_AXES[self.axes]}", list(inputs))

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """An image of a few channels, or a sequence."""
        return image(draw) if cls.axes == 2 else row(draw)  # noqa: PLR2004


class Convolving(Spatial, frozen=True, kw_only=True):
    """The common base of convolutions, transposed or not."""

    out_channels: Count
    kernel_size: Sizes
    parameters: dict[str, Any]
    stride: Sizes = ()
    padding: Sizes = ()
    dilation: Sizes = ()
    groups: Count = 1
    activation: Activation = "identity"
    alpha: Alpha | None = None

    reported: ClassVar[tuple[str, ...]] = ("z", "a")
    one_sum: ClassVar[bool] = True
    activations: ClassVar[tuple[str, ...]] = ALL_ACTIVATIONS
    drawn_activations: ClassVar[tuple[str, ...]] = _ACTIVATIONS

    @property
    def window(self) -> Window:
        """The kernel's size and how the window moves."""
        return Window(self.kernel_size, self.stride, self.padding, self.dilation)

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the groups do not divide the channels, no window fits, or a parameter has
        not its shape.
        """
        self.check_axes(path, inputs)
        if inputs[0] % self.groups or self.out_channels % self.groups:
            fail(f"{path}.groups", f"a divisor of {inputs[0]} and {self.out_channels} channels", self.groups)
        self.check_fit(path, inputs)
        shapes = self.parameter_shapes(inputs)
        if set(self.parameters) != set(shapes):
            fail(f"{path}.parameters", "weight, and bias or none", ", ".join(self.parameters) or "nothing")
        for name, shape in shapes.items():
            flat(f"{path}.parameters.{name}", self.parameters[name], shape, name)

    def check_fit(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the output would be empty."""
        if min(self.output_shape(inputs)) < 1:
            fail(f"{path}.kernel_size", "a window that fits into the padded input", list(self.kernel_size))

    def weight_shape(self, inputs: Shape) -> Shape:
        """The shape of ``weight``: [out_channels, in_channels / groups, *kernel]."""
        return (self.out_channels, inputs[0] // self.groups, *self.kernel_size)

    def wiring(self, inputs: Shape) -> Wiring:
        """Which inputs each output position reads, through which weights."""
        return convolving(inputs, self.out_channels, self.groups, self.window, self.output_shape(inputs)[1:])

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """``weight`` and, where there is one, ``bias``."""
        bias = {"bias": (self.out_channels,)} if "bias" in self.parameters else {}
        return {"weight": self.weight_shape(inputs)} | bias

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """z = Σ w·x + b over the window, a = φ(z)."""
        shape = self.output_shape(inputs)
        by_channel = [channel for channel in range(shape[0]) for _ in range(size(shape[1:]))]
        biases = [(parameters["bias"], by_channel)] if "bias" in parameters else []
        z = c.weighted_sum([(x, parameters["weight"], self.wiring(inputs))], biases=biases, role="z")
        c.show(z)
        return c.output(c.activate(self.activation, z, self.alpha, lambda: across_channels(shape)), z)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Windows of all forms: stride, padding, dilation, groups, with and without a bias."""
        del samples
        if len(inputs) != cls.axes + 1:
            return None
        own = range(cls.axes)
        groups = draw.one_of([g for g in range(1, inputs[0] + 1) if inputs[0] % g == 0])
        channels = groups * draw.whole(1, 2)
        kernel = [draw.whole(1, 3) for _ in own]
        layer = {
            "kind": str(cls.__struct_config__.tag),
            "out_channels": channels,
            "kernel_size": kernel,
            "stride": [draw.whole(1, 2) for _ in own],
            "padding": [draw.whole(0, 1) for _ in own],
            "dilation": [draw.one_of((1, 1, 2)) for _ in own],
            "groups": groups,
            "activation": draw.one_of(_ACTIVATIONS),
        }
        shape = cls.draw_weight(draw, layer, inputs)
        weight = drawn(draw, shape, 1.6 / (inputs[0] // groups * size(shape[2:])) ** 0.5)
        bias = {"bias": drawn(draw, (channels,), 0.5)} if draw.whole(1, 3) > 1 else {}
        return {**layer, "parameters": {"weight": weight, **bias}}

    @classmethod
    def draw_weight(cls, draw: Any, layer: dict[str, Any], inputs: Shape) -> Shape:
        """The shape of ``weight`` of a generated layer; it may add fields to ``layer``."""
        del draw
        return (layer["out_channels"], inputs[0] // layer["groups"], *layer["kernel_size"])


class Straight(Convolving, frozen=True, kw_only=True):
    """out[c, o] = Σ w[c, i, k] · in[i, o·stride + k·dilation − padding] + b[c], then the activation.

    PyTorch's ``Conv1d`` and ``Conv2d``: ``weight`` is [out_channels, in_channels / groups, *kernel], ``bias``
    [out_channels] or absent. It is a cross-correlation: the kernel is not flipped.
    """

    def output_shape(self, inputs: Shape) -> Shape:
        """Channels, then ⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1 along each axis."""
        return (self.out_channels, *self.window.outputs(inputs[1:]))


class Conv1d(Straight, frozen=True, tag="conv1d", kw_only=True):
    """Convolution along one axis: the input is [channel, position]."""

    kernel_size: One
    parameters: Annotated[dict[str, Any], arrays({"weight": "[out_channels][in_channels / groups][position]"}, _BIAS)]
    stride: One = (1,)
    padding: OnePadding = (0,)
    dilation: One = (1,)

    axes: ClassVar[int] = 1


class Conv2d(Straight, frozen=True, tag="conv2d", kw_only=True):
    """Convolution along two axes: the input is [channel, row, column]."""

    kernel_size: Pair
    parameters: Annotated[
        dict[str, Any], arrays({"weight": "[out_channels][in_channels / groups][row][column]"}, _BIAS)
    ]
    stride: Pair = (1, 1)
    padding: PairPadding = (0, 0)
    dilation: Pair = (1, 1)


class Transposed(Convolving, frozen=True, kw_only=True):
    """Every input adds its kernel to the output: out[c, y·stride + k·dilation − padding] += w[i, c, k] · in[i, y].

    Then the bias is added. PyTorch's ``ConvTranspose1d`` and ``ConvTranspose2d``: ``weight`` is
    [in_channels, out_channels / groups, *kernel].
    """

    output_padding: Sizes = ()

    def check_fit(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the output would be empty, or ``output_padding`` is not less than stride or
        dilation.
        """
        for extra, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(s, d):
                fail(f"{path}.output_padding", "less than the stride or the dilation", list(self.output_padding))
        if min(self.output_shape(inputs)) < 1:
            fail(f"{path}.padding", "a padding that leaves some output", list(self.padding))

    def output_shape(self, inputs: Shape) -> Shape:
        """Channels, then (n − 1)·stride − 2·padding + dilation·(k − 1) + output_padding + 1 along each axis."""
        sizes = (
            (n - 1) * s - 2 * p + reach + extra
            for n, s, p, reach, extra in zip(
                inputs[1:], self.stride, self.padding, self.window.reach(), self.output_padding, strict=True
            )
        )
        return (self.out_channels, *sizes)

    def weight_shape(self, inputs: Shape) -> Shape:
        """The shape of ``weight``: [in_channels, out_channels / groups, *kernel]."""
        return (inputs[0], self.out_channels // self.groups, *self.kernel_size)

    def wiring(self, inputs: Shape) -> Wiring:
        """Which inputs each output position reads, through which weights."""
        return transposed(inputs, self.out_channels, self.groups, self.window, self.output_shape(inputs)[1:])

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """Smaller than for other layers, because the output is larger than the input."""
        sizes = [draw.whole(2, 4) for _ in range(cls.axes)]
        return (draw.one_of((1, 2, 2, 3, 4)), *sizes)

    @classmethod
    def draw_weight(cls, draw: Any, layer: dict[str, Any], inputs: Shape) -> Shape:
        """The shape of ``weight`` of a generated layer; it adds a valid ``output_padding``."""
        room = zip(layer["stride"], layer["dilation"], strict=True)
        layer["output_padding"] = [draw.whole(0, max(s, d) - 1) for s, d in room]
        return (inputs[0], layer["out_channels"] // layer["groups"], *layer["kernel_size"])


class ConvTranspose1d(Transposed, frozen=True, tag="conv_transpose1d", kw_only=True):
    """Transposed convolution along one axis."""

    kernel_size: One
    parameters: Annotated[dict[str, Any], arrays({"weight": "[in_channels][out_channels / groups][position]"}, _BIAS)]
    stride: One = (1,)
    padding: OnePadding = (0,)
    dilation: One = (1,)
    output_padding: OnePadding = (0,)

    axes: ClassVar[int] = 1


class ConvTranspose2d(Transposed, frozen=True, tag="conv_transpose2d", kw_only=True):
    """Transposed convolution along two axes."""

    kernel_size: Pair
    parameters: Annotated[
        dict[str, Any], arrays({"weight": "[in_channels][out_channels / groups][row][column]"}, _BIAS)
    ]
    stride: Pair = (1, 1)
    padding: PairPadding = (0, 0)
    dilation: Pair = (1, 1)
    output_padding: PairPadding = (0, 0)

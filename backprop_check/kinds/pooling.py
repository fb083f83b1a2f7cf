"""Pooling, flattening and upsampling: layers without parameters that reduce, rearrange or repeat an image."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from backprop_check.fields import Count, description, fail, items, one_of
from backprop_check.kinds.convolution import One, OnePadding, Pair, PairPadding, Spatial, image, row
from backprop_check.kinds.kind import Kind, Shape, size
from backprop_check.kinds.windows import Sizes, Window, divisors, pooling
from backprop_check.kinds.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_STRIDE = description("By default the kernel's size.")


class Pooling(Spatial, frozen=True, kw_only=True):
    """The common base of maximum and average pooling. ``stride`` is ``kernel_size`` by default."""

    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = ()
    ceil_mode: Annotated[bool, description("Whether a last window may extend beyond the padded input.")] = False

    @property
    def window(self) -> Window:
        """The kernel's size and how the window moves."""
        stride = self.kernel_size if self.stride is None else self.stride
        return Window(self.kernel_size, stride, self.padding, (1,) * self.axes)

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the input has other axes, the padding exceeds half the window, or no window
        fits.
        """
        self.check_axes(path, inputs)
        for length, padding in zip(self.kernel_size, self.padding, strict=True):  # as in PyTorch: without its dilation
            if padding > length // 2:
                fail(f"{path}.padding", "at most half of the window", list(self.padding))
        if min(self.output_shape(inputs)) < 1:
            fail(f"{path}.kernel_size", "a window that fits into the padded input", list(self.kernel_size))

    def products(self, inputs: Shape) -> int:
        """One for every place of every window."""
        return size(self.output_shape(inputs)) * size(self.kernel_size)

    def output_shape(self, inputs: Shape) -> Shape:
        """Channels, then ⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1 along each axis (⌈…⌉ with
        ``ceil_mode``).
        """
        return (inputs[0], *self.window.outputs(inputs[1:], ceil=self.ceil_mode))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Separate and overlapping windows, with and without padding and ``ceil_mode``."""
        del samples
        if len(inputs) != cls.axes + 1:
            return None
        own = range(cls.axes)
        kernel = [draw.whole(2, 3) if draw.whole(1, 4) > 1 else 1 for _ in own]
        layer = {
            "kind": str(cls.__struct_config__.tag),
            "kernel_size": kernel,
            "padding": [draw.whole(0, k // 2) for k in kernel],
            "ceil_mode": bool(draw.whole(0, 1)),
        }
        if draw.whole(1, 4) > 1:
            layer["stride"] = [draw.one_of((1, 1, 2, 3)) for _ in own]
        return layer


class MaxPooling(Pooling, frozen=True, kw_only=True):
    """a = max of each window, each channel by itself; padding is never the maximum.

    Where several inputs are largest, the first in row-major order gets the whole gradient, as in PyTorch.
    """

    dilation: Sizes = ()

    @property
    def window(self) -> Window:
        """The kernel's size and how the window moves."""
        return super().window._replace(dilation=self.dilation)

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` as other pooling layers do, and where a dilated window would lie wholly in the
        padding.
        """
        super().check(path, inputs)
        holes = max(self.dilation) > 1 and max(self.padding) > 0
        if holes and not all(pooling(inputs, self.window, self.output_shape(inputs)[1:]).reads.rows):
            fail(f"{path}.dilation", "windows that each have some of the input", list(self.dilation))

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = max x over the window."""
        del parameters
        reads = pooling(inputs, self.window, self.output_shape(inputs)[1:]).reads
        return c.output(c.largest(x, reads.rows, role="a"))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With dilation too."""
        layer = super().draw(draw, inputs, samples)
        if layer is not None:
            layer["dilation"] = [draw.one_of((1, 1, 2)) for _ in range(cls.axes)]
        return layer


class MaxPool1d(MaxPooling, frozen=True, tag="max_pool1d", kw_only=True):
    """Maximum pooling along one axis: PyTorch's ``MaxPool1d``."""

    kernel_size: One
    stride: Annotated[One | None, _STRIDE] = None
    padding: OnePadding = (0,)
    dilation: One = (1,)

    axes: ClassVar[int] = 1


class MaxPool2d(MaxPooling, frozen=True, tag="max_pool2d", kw_only=True):
    """Maximum pooling along two axes: PyTorch's ``MaxPool2d``."""

    kernel_size: Pair
    stride: Annotated[Pair | None, _STRIDE] = None
    padding: PairPadding = (0, 0)
    dilation: Pair = (1, 1)


class AveragePooling(Pooling, frozen=True, kw_only=True):
    """a = Σ x / n over each window, each channel by itself; n is the number of positions in the window.

    Padding counts in n unless ``count_include_pad`` is false. Positions beyond the padded input, which a window may
    have with ``ceil_mode``, never count.
    """

    count_include_pad: Annotated[bool, description("Whether padding counts in the divisor.")] = True

    def divisors(self, inputs: Shape) -> list[int]:
        """The divisor of the sum at each output position."""
        sizes = self.output_shape(inputs)[1:]
        return divisors(self.window, inputs[1:], sizes, padding_counts=self.count_include_pad)

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = Σ x / divisor over the window."""
        del parameters
        wiring = pooling(inputs, self.window, self.output_shape(inputs)[1:])
        shares = c.constant([1.0 / divisor for divisor in self.divisors(inputs)])
        return c.output(c.weighted_sum([(x, shares, wiring)], role="a"))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With padding that counts, and padding that does not."""
        layer = super().draw(draw, inputs, samples)
        return layer if layer is None else {**layer, "count_include_pad": bool(draw.whole(0, 1))}


class AvgPool1d(AveragePooling, frozen=True, tag="avg_pool1d", kw_only=True):
    """Average pooling along one axis: PyTorch's ``AvgPool1d``."""

    kernel_size: One
    stride: Annotated[One | None, _STRIDE] = None
    padding: OnePadding = (0,)

    axes: ClassVar[int] = 1


class AvgPool2d(AveragePooling, frozen=True, tag="avg_pool2d", kw_only=True):
    """Average pooling along two axes: PyTorch's ``AvgPool2d``. ``divisor_override`` replaces the divisor of every
    window.
    """

    kernel_size: Pair
    stride: Annotated[Pair | None, _STRIDE] = None
    padding: PairPadding = (0, 0)
    divisor_override: Count | None = None

    def divisors(self, inputs: Shape) -> list[int]:
        """The divisor of the sum at each output position."""
        own = super().divisors(inputs)
        return own if self.divisor_override is None else [self.divisor_override] * len(own)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Sometimes with ``divisor_override``."""
        layer = super().draw(draw, inputs, samples)
        if layer is not None and draw.whole(1, 3) == 1:
            layer["divisor_override"] = draw.whole(2, 5)
        return layer


class Whole(Kind, frozen=True, kw_only=True):
    """The common base of layers that read images and sequences alike."""

    family: ClassVar[str] = "convolution"

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the input has no axis besides its channels."""
        if len(inputs) < 2:  # noqa: PLR2004
            fail(path, "an input of channels and at least one axis", list(inputs))

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """An image or a sequence."""
        return image(draw) if draw.whole(0, 1) else row(draw)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """The layer has no fields to draw."""
        del draw, samples
        return {"kind": str(cls.__struct_config__.tag)} if len(inputs) > 1 else None


class GlobalPooling(Whole, frozen=True, kw_only=True):
    """One number per channel: PyTorch's adaptive pooling to a size of 1."""

    def output_shape(self, inputs: Shape) -> Shape:
        """The channels, and 1 along each axis."""
        return (inputs[0], *(1 for _ in inputs[1:]))


class GlobalAvgPool(GlobalPooling, frozen=True, tag="global_avg_pool", kw_only=True):
    """a = Σ x / n over all n positions of each channel."""

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = Σ x / n."""
        del parameters
        reads = _channels(inputs)
        shares = c.constant([1.0 / size(inputs[1:])])
        wiring = Wiring(size(inputs), 1, reads, [[0] * len(each) for each in reads])
        return c.output(c.weighted_sum([(x, shares, wiring)], role="a"))


class GlobalMaxPool(GlobalPooling, frozen=True, tag="global_max_pool", kw_only=True):
    """a = max x over all positions of each channel; of several largest the first gets the gradient."""

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = max x."""
        del parameters
        return c.output(c.largest(x, _channels(inputs), role="a"))


def _channels(inputs: Shape) -> list[range]:
    area = size(inputs[1:])
    return [range(channel * area, (channel + 1) * area) for channel in range(inputs[0])]


class Flatten(Whole, frozen=True, tag="flatten", kw_only=True):
    """The same numbers in row-major order: channel by channel, row by row."""

    def check(self, path: str, inputs: Shape) -> None:
        """Every input can be flattened."""

    def output_shape(self, inputs: Shape) -> Shape:
        """(number of inputs,)."""
        return (size(inputs),)

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x."""
        del parameters
        return c.output(c.pick(x, range(size(inputs)), role="a"))


_MODES = {1: ("nearest", "linear"), 2: ("nearest", "bilinear")}


class Upsample(Whole, frozen=True, tag="upsample", kw_only=True):
    """Every axis becomes ``scale_factor`` times as long: inputs are repeated, or interpolated linearly.

    PyTorch's ``Upsample`` with whole factors. With ``align_corners`` the centres of the corner elements of input and
    output coincide; without it, the outer edges do.
    """

    scale_factor: Annotated[tuple[Count, ...], items(1, 2, "whole numbers, one an axis")]
    mode: Annotated[str, one_of(("nearest", "linear", "bilinear"))] = "nearest"
    align_corners: bool = False

    def check(self, path: str, inputs: Shape) -> None:
        """Raises ``CaseError`` where the input has no or more than two axes, there is not one factor per axis, or the
        mode does not suit the axes or ``align_corners``.
        """
        super().check(path, inputs)
        axes = len(inputs) - 1
        if axes not in _MODES:
            fail(path, "an input of channels and one or two axes", list(inputs))
        if len(self.scale_factor) != axes:
            fail(f"{path}.scale_factor", f"{axes} whole number{'s' * (axes > 1)}, one an axis", list(self.scale_factor))
        if self.mode not in _MODES[axes]:
            fail(f"{path}.mode", f"{' or '.join(_MODES[axes])} (for {axes} axes)", repr(self.mode))
        if self.align_corners and self.mode == "nearest":
            fail(f"{path}.align_corners", f"false for nearest (it is for {_MODES[axes][1]})", "true")

    def output_shape(self, inputs: Shape) -> Shape:
        """The channels, and every axis times its factor."""
        return (inputs[0], *(n * factor for n, factor in zip(inputs[1:], self.scale_factor, strict=True)))

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x of the nearest input; or Σ w·x over its two (four) neighbours, with the weights of (bi)linear
        interpolation.
        """
        del parameters
        if self.mode == "nearest":
            axes = [[at // f for at in range(n * f)] for n, f in zip(inputs[1:], self.scale_factor, strict=True)]
            positions = [unit for (unit,) in _spread(inputs, [[[at] for at in axis] for axis in axes])]
            return c.output(c.pick(x, positions, role="a"))
        along = [_between(n, f, self.align_corners) for n, f in zip(inputs[1:], self.scale_factor, strict=True)]
        reads = _spread(inputs, [[[read for read, _ in links] for links in axis] for axis in along])
        weights, uses = _weights(c, [[[terms for _, terms in links] for links in axis] for axis in along])
        wiring = Wiring(size(inputs), weights.units, reads, uses * inputs[0])
        return c.output(c.weighted_sum([(x, weights, wiring)], role="a"))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """All modes, with and without ``align_corners``."""
        del samples
        axes = len(inputs) - 1
        if axes not in _MODES:
            return None
        mode = draw.one_of(_MODES[axes])
        aligned = {"align_corners": True} if mode != "nearest" and draw.whole(0, 1) else {}
        factors = [draw.whole(1, 3) for _ in range(axes)]
        return {"kind": "upsample", "scale_factor": factors, "mode": mode, **aligned}


def _spread(inputs: Shape, axes: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """For every output position of every channel, the units at the Cartesian product of what each axis reads."""
    found = []
    for channel in range(inputs[0]):
        for reads in itertools.product(*axes):
            rows = []
            for at in itertools.product(*reads):
                unit = channel
                for n, position in zip(inputs[1:], at, strict=True):
                    unit = unit * n + position
                rows.append(unit)
            found.append(rows)
    return found


#: Where a position is this close to an input, rounding decides whether it falls on it or on one side of it.
_ON = 1e-6

Link = tuple[int, list[float]]


def _between(n: int, factor: int, aligned: bool) -> list[list[Link]]:  # noqa: FBT001
    """For every output position along an axis: the inputs that it lies between, and the terms whose sum is each weight.

    At position first + λ the weights are 1 − λ and λ. Where λ is almost 0, rounding may put the position on the other
    side of its input; so the input on that side is listed too, with a weight of about 0.
    """
    count, found = n * factor, []
    for o in range(count):
        at = [(o + 0.5) / factor, -0.5]
        if aligned:
            at = [o * (n - 1) / (count - 1) if count > 1 else 0.0]
        here = sum(at)
        on = round(here)
        if here < -_ON:  # before the first input: clamped to it
            found.append([(0, [1.0])])
        elif abs(here - on) < _ON:
            neighbours = [(each, [*at, float(-on)]) for each in (on - 1, on + 1) if 0 <= each < n]
            found.append([(on, [1.0, float(on), *(-x for x in at)]), *neighbours])
        else:
            first = min(int(here), n - 1)
            found.append(
                [(first, [1.0, float(first), *(-x for x in at)]), (min(first + 1, n - 1), [*at, float(-first)])]
            )
    return found


def _weights(c: Any, axes: list[list[list[list[float]]]]) -> tuple[Any, list[list[int]]]:
    """The weights of all links of one channel, and which of them every output position has.

    They are computed on the circuit, so that the bounds cover the rounding of an implementation's weights. Along two
    axes they are the products of the weights along each.
    """
    tables: list[Any] = []
    own: list[list[range]] = []
    for axis in axes:
        sums = [terms for links in axis for terms in links]
        constants = c.constant([x for terms in sums for x in terms])
        starts = [0, *itertools.accumulate(map(len, sums))]
        reads = [range(start, stop) for start, stop in itertools.pairwise(starts)]
        wiring = Wiring(constants.units, 1, reads, [[0] * len(terms) for terms in sums])
        tables.append(c.weighted_sum([(constants, None, wiring)]))
        ends = [0, *itertools.accumulate(map(len, axis))]
        own.append([range(start, stop) for start, stop in itertools.pairwise(ends)])
    if len(tables) == 1:
        return tables[0], [list(each) for each in own[0]]
    pairs: list[tuple[int, int]] = []
    uses: list[list[int]] = []
    for along_rows, along_columns in itertools.product(*own):
        start = len(pairs)
        pairs += itertools.product(along_rows, along_columns)
        uses.append(list(range(start, len(pairs))))
    rows, columns = tables
    wiring = Wiring(rows.units, columns.units, [[i] for i, _ in pairs], [[k] for _, k in pairs])
    return c.weighted_sum([(rows, columns, wiring)]), uses

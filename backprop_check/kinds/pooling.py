"""Pooling, flattening and upsampling: layers without parameters that reduce, rearrange or repeat an image."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from backprop_check.fields import Count, fail, items, one_of, said
from backprop_check.kinds.convolution import One, OnePadding, Pair, PairPadding, Spatial, image, row
from backprop_check.kinds.kind import Kind, Shape, size
from backprop_check.kinds.windows import Sizes, Window, divisors, pooling
from backprop_check.kinds.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_STRIDE = said("The kernel's size where it is left out.")


class Pooling(Spatial, frozen=True, kw_only=True):
    """What maximum and average pooling have in common. ``stride`` is ``kernel_size`` where it is not given."""

    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = ()
    ceil_mode: Annotated[bool, said("Whether a last window may hang over the padded input's end.")] = False

    @property
    def window(self) -> Window:
        """Its window and how that moves."""
        stride = self.kernel_size if self.stride is None else self.stride
        return Window(self.kernel_size, stride, self.padding, (1,) * self.axes)

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` where something does not fit."""
        self.check_axes(path, inputs)
        for length, padding in zip(self.kernel_size, self.padding, strict=True):  # as PyTorch: its holes do not count
            if padding > length // 2:
                fail(f"{path}.padding", "at most half of the window", list(self.padding))
        if min(self.output_shape(inputs)) < 1:
            fail(f"{path}.kernel_size", "a window that fits into the padded input", list(self.kernel_size))

    def products(self, inputs: Shape) -> int:
        """Every place of every window."""
        return size(self.output_shape(inputs)) * size(self.kernel_size)

    def output_shape(self, inputs: Shape) -> Shape:
        """Channels, then ⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1 along each axis (⌈…⌉: ``ceil_mode``)."""
        return (inputs[0], *self.window.outputs(inputs[1:], ceil=self.ceil_mode))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """Windows side by side and overlapping, padded, with ``ceil_mode``."""
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
    """The largest of each window, each channel by itself; what is padded is never it.

    Of several that are largest the first in row-major order is taken: it alone gets the gradient, as in PyTorch.
    """

    dilation: Sizes = ()

    @property
    def window(self) -> Window:
        """Its window and how that moves."""
        return super().window._replace(dilation=self.dilation)

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` where something does not fit, or a window would lie in the padding altogether."""
        super().check(path, inputs)
        holes = max(self.dilation) > 1 and max(self.padding) > 0
        if holes and not all(pooling(inputs, self.window, self.output_shape(inputs)[1:]).reads.rows):
            fail(f"{path}.dilation", "windows that each have some of the input", list(self.dilation))

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = max of the window."""
        del parameters
        reads = pooling(inputs, self.window, self.output_shape(inputs)[1:]).reads
        return c.output(c.largest(x, reads.rows, role="a"))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With holes in the window too."""
        layer = super().draw(draw, inputs, samples)
        if layer is not None:
            layer["dilation"] = [draw.one_of((1, 1, 2)) for _ in range(cls.axes)]
        return layer


class MaxPool1d(MaxPooling, frozen=True, tag="max_pool1d", kw_only=True):
    """Along one axis."""

    kernel_size: One
    stride: Annotated[One | None, _STRIDE] = None
    padding: OnePadding = (0,)
    dilation: One = (1,)

    axes: ClassVar[int] = 1


class MaxPool2d(MaxPooling, frozen=True, tag="max_pool2d", kw_only=True):
    """Along two."""

    kernel_size: Pair
    stride: Annotated[Pair | None, _STRIDE] = None
    padding: PairPadding = (0, 0)
    dilation: Pair = (1, 1)


class AveragePooling(Pooling, frozen=True, kw_only=True):
    """The sum of each window divided by how many positions it has, each channel by itself.

    Padded positions count, unless ``count_include_pad`` is false; what ``ceil_mode`` lets hang over the padded input's
    end never does.
    """

    count_include_pad: Annotated[bool, said("Whether what is padded counts as a position.")] = True

    def divisors(self, inputs: Shape) -> list[int]:
        """What each output position's sum is divided by."""
        sizes = self.output_shape(inputs)[1:]
        return divisors(self.window, inputs[1:], sizes, padding_counts=self.count_include_pad)

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = Σ x / divisor, over the window."""
        del parameters
        wiring = pooling(inputs, self.window, self.output_shape(inputs)[1:])
        shares = c.constant([1.0 / divisor for divisor in self.divisors(inputs)])
        return c.output(c.weighted_sum([(x, shares, wiring)], role="a"))

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With padding that counts, and that does not."""
        layer = super().draw(draw, inputs, samples)
        return layer if layer is None else {**layer, "count_include_pad": bool(draw.whole(0, 1))}


class AvgPool1d(AveragePooling, frozen=True, tag="avg_pool1d", kw_only=True):
    """Along one axis."""

    kernel_size: One
    stride: Annotated[One | None, _STRIDE] = None
    padding: OnePadding = (0,)

    axes: ClassVar[int] = 1


class AvgPool2d(AveragePooling, frozen=True, tag="avg_pool2d", kw_only=True):
    """Along two. ``divisor_override`` is what every window's sum is divided by, where it is given."""

    kernel_size: Pair
    stride: Annotated[Pair | None, _STRIDE] = None
    padding: PairPadding = (0, 0)
    divisor_override: Count | None = None

    def divisors(self, inputs: Shape) -> list[int]:
        """What each output position's sum is divided by."""
        own = super().divisors(inputs)
        return own if self.divisor_override is None else [self.divisor_override] * len(own)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """With a divisor of its own now and then."""
        layer = super().draw(draw, inputs, samples)
        if layer is not None and draw.whole(1, 3) == 1:
            layer["divisor_override"] = draw.whole(2, 5)
        return layer


class Whole(Kind, frozen=True, kw_only=True):
    """A layer of the family for images and sequences alike."""

    family: ClassVar[str] = "convolution"

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` for an input without an axis beside its channels."""
        if len(inputs) < 2:  # noqa: PLR2004
            fail(path, "an input of channels and at least one axis", list(inputs))

    @classmethod
    def draw_inputs(cls, draw: Any) -> Shape:
        """An image or a sequence."""
        return image(draw) if draw.whole(0, 1) else row(draw)

    @classmethod
    def draw(cls, draw: Any, inputs: Shape, samples: int) -> dict[str, Any] | None:
        """It has no fields."""
        del draw, samples
        return {"kind": str(cls.__struct_config__.tag)} if len(inputs) > 1 else None


class GlobalPooling(Whole, frozen=True, kw_only=True):
    """One number a channel: PyTorch's adaptive pooling to a size of 1."""

    def output_shape(self, inputs: Shape) -> Shape:
        """The channels, and 1 along each axis."""
        return (inputs[0], *(1 for _ in inputs[1:]))


class GlobalAvgPool(GlobalPooling, frozen=True, tag="global_avg_pool", kw_only=True):
    """The mean of each channel."""

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = Σ x / n."""
        del parameters
        reads = _channels(inputs)
        shares = c.constant([1.0 / size(inputs[1:])])
        wiring = Wiring(size(inputs), 1, reads, [[0] * len(each) for each in reads])
        return c.output(c.weighted_sum([(x, shares, wiring)], role="a"))


class GlobalMaxPool(GlobalPooling, frozen=True, tag="global_max_pool", kw_only=True):
    """The largest of each channel, the first of several."""

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = max x."""
        del parameters
        return c.output(c.largest(x, _channels(inputs), role="a"))


def _channels(inputs: Shape) -> list[range]:
    area = size(inputs[1:])
    return [range(channel * area, (channel + 1) * area) for channel in range(inputs[0])]


class Flatten(Whole, frozen=True, tag="flatten", kw_only=True):
    """The same numbers in a row: channel by channel, in each row by row."""

    def check(self, path: str, inputs: Shape) -> None:
        """Whatever there is can be put in a row."""

    def output_shape(self, inputs: Shape) -> Shape:
        """As many as there are."""
        return (size(inputs),)

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """a = x."""
        del parameters
        return c.output(c.pick(x, range(size(inputs)), role="a"))


_MODES = {1: ("nearest", "linear"), 2: ("nearest", "bilinear")}


class Upsample(Whole, frozen=True, tag="upsample", kw_only=True):
    """``scale_factor`` times as large along each axis: every input repeated, or straight lines between the inputs.

    PyTorch's ``Upsample`` with whole factors. With ``align_corners`` the corners of both meet; without, their edges do.
    """

    scale_factor: Annotated[tuple[Count, ...], items(1, 2, "whole numbers, one an axis")]
    mode: Annotated[str, one_of(("nearest", "linear", "bilinear"))] = "nearest"
    align_corners: bool = False

    def check(self, path: str, inputs: Shape) -> None:
        """Raise ``CaseError`` where something does not fit."""
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
        """a = x of the nearest, or the sum of x of the (two or four) next, each times its weight."""
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
        """All modes, with the corners aligned or not."""
        del samples
        axes = len(inputs) - 1
        if axes not in _MODES:
            return None
        mode = draw.one_of(_MODES[axes])
        aligned = {"align_corners": True} if mode != "nearest" and draw.whole(0, 1) else {}
        factors = [draw.whole(1, 3) for _ in range(axes)]
        return {"kind": "upsample", "scale_factor": factors, "mode": mode, **aligned}


def _spread(inputs: Shape, axes: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """For every output position of every channel the units at the products of what each axis reads."""
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


#: A position that is as near as this to an input lies on it, or on either side of it: rounding decides.
_ON = 1e-6

Link = tuple[int, list[float]]


def _between(n: int, factor: int, aligned: bool) -> list[list[Link]]:  # noqa: FBT001
    """For every output position along an axis the inputs that it lies between, each with its weight as a sum.

    At position first + λ they are 1 − λ and λ. Where λ is nearly 0 it may come out on the other side of its input, so
    that its other neighbour has a weight of about 0 as well.
    """
    count, found = n * factor, []
    for o in range(count):
        at = [(o + 0.5) / factor, -0.5]
        if aligned:
            at = [o * (n - 1) / (count - 1) if count > 1 else 0.0]
        here = sum(at)
        on = round(here)
        if here < -_ON:  # before the first input: cut off
            found.append([(0, [1.0])])
        elif abs(here - on) < _ON:
            beside = [(each, [*at, float(-on)]) for each in (on - 1, on + 1) if 0 <= each < n]
            found.append([(on, [1.0, float(on), *(-x for x in at)]), *beside])
        else:
            first = min(int(here), n - 1)
            found.append(
                [(first, [1.0, float(first), *(-x for x in at)]), (min(first + 1, n - 1), [*at, float(-first)])]
            )
    return found


def _weights(c: Any, axes: list[list[list[list[float]]]]) -> tuple[Any, list[list[int]]]:
    """The weights of all links of one channel, and which of them every output position has.

    They are worked out on the circuit, so that what rounds in an implementation's weights is in the bounds. In two axes
    they are the products of those along each.
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

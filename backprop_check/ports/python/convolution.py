"""Convolution and pooling, neuron by neuron, in plain Python.

A neuron of a convolution is one position of one output channel. It reads a small window of the input, and its weights
are the kernel, which all positions of its channel SHARE. That is all that is new:

1. Windows        which inputs each position reads: stride, padding, dilation
2. Convolution    a neuron a position; a shared weight's gradient is added up from every position that used it
3. Transposed     the same links from their other end: every input adds its kernel to the output
4. Pooling        the largest of a window, or its mean
5. Rearranging    flatten, upsample

Inside, an image is one list of numbers: its channels one after the other, each row by row. Along one axis (a sequence)
or two (an image) everything is the same, so a position is a list of one or two numbers.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from network import ACTIVATIONS, Activation, Numbers, add_up, known

Rows = list[Numbers]  # one list of numbers a sample
Shape = list[int]
Position = tuple[int, ...]
Link = tuple[int, int]  # an input, and the weight through which it is read


# --------------------------------------------------------------------------------------------------
# 1. Windows
# --------------------------------------------------------------------------------------------------


def positions(sizes: Shape) -> list[Position]:
    """Give every position of an image of that size, row by row."""
    return list(itertools.product(*[range(size) for size in sizes]))


def index_of(channel: int, position: Position, sizes: Shape) -> int:
    """Give where a position of a channel stands in the list of numbers."""
    index = channel
    for at, size in zip(position, sizes):
        index = index * size + at
    return index


class Window:
    """The kernel's size, and how it moves over the input, along each axis."""

    def __init__(self, spec: dict[str, Any], axes: int) -> None:
        """Read the fields; what is not said is PyTorch's default."""
        self.kernel: Shape = spec["kernel_size"]
        # A pooling window moves by its own size where nothing is said, a kernel by 1.
        self.stride: Shape = spec.get("stride") or (self.kernel if "pool" in spec["kind"] else [1] * axes)
        self.padding: Shape = spec.get("padding") or [0] * axes
        self.dilation: Shape = spec.get("dilation") or [1] * axes

    def count(self, sizes: Shape, ceil: bool = False) -> Shape:
        """Give how many positions the window has along each axis of an input of that size."""
        counts = []
        for size, k, s, p, d in zip(sizes, self.kernel, self.stride, self.padding, self.dilation):
            room = size + 2 * p - (d * (k - 1) + 1)
            count = (-(-room // s) if ceil else room // s) + 1
            if ceil and (count - 1) * s >= size + p:
                count -= 1  # the last window would begin behind the input
            counts.append(count)
        return counts

    def places(self) -> list[Position]:
        """Give every place of the kernel, row by row."""
        return positions(self.kernel)

    def read(self, output: Position, place: Position, sizes: Shape) -> Position | None:
        """Give the input position that lies under a place of the kernel; None where that is in the padding."""
        found = []
        for o, k, s, p, d, size in zip(output, place, self.stride, self.padding, self.dilation, sizes):
            at = o * s + k * d - p
            if not 0 <= at < size:
                return None  # the padding is all zeros: nothing to add
            found.append(at)
        return tuple(found)


# --------------------------------------------------------------------------------------------------
# 2. Convolution
# --------------------------------------------------------------------------------------------------


class Convolution:
    """conv1d and conv2d. ``links[o]`` are the inputs that output o reads, each with the weight that it is read through."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it; ``shape`` is that of one sample of what it reads: channels first."""
        self.in_channels, self.in_sizes = shape[0], shape[1:]
        self.channels: int = spec["out_channels"]
        self.groups: int = spec.get("groups", 1)
        self.window = Window(spec, len(self.in_sizes))
        self.sizes = self.output_sizes(spec)
        self.output_shape: Shape = [self.channels, *self.sizes]
        self.z_shape: Shape | None = self.output_shape
        self.shapes = {"weight": self.weight_shape()}
        if "bias" in spec["parameters"]:
            self.shapes["bias"] = [self.channels]
        self.parameters = {name: flat(spec["parameters"][name]) for name in self.shapes}
        self.gradients: dict[str, Numbers] = {}
        self.activation: Activation = ACTIVATIONS[known(spec.get("activation", "identity"), list(ACTIVATIONS), "activation")]()
        if spec.get("alpha") is not None:
            self.activation.alpha = float(spec["alpha"])
        self.over_channels = "softmax" in spec.get("activation", "identity")
        self.positions = math.prod(self.sizes)  # of each channel
        self.links: list[list[Link]] = [[] for _ in range(self.channels * self.positions)]
        self.connect()
        self.z: Rows | None = None
        self.a: Rows = []
        self.delta: Rows = []
        self.inputs: Rows = []

    def output_sizes(self, spec: dict[str, Any]) -> Shape:
        """Give the size of the output along each axis."""
        return self.window.count(self.in_sizes)

    def weight_shape(self) -> Shape:
        """Give the kernel's shape: a kernel for every output channel, with a slice for every input channel it reads."""
        return [self.channels, self.in_channels // self.groups, *self.window.kernel]

    def connect(self) -> None:
        """Find the links: what every neuron reads, and through which weight."""
        depth, own = self.in_channels // self.groups, self.channels // self.groups
        for c in range(self.channels):
            first = c // own * depth  # the first input channel of its group
            for output in positions(self.sizes):
                neuron = index_of(c, output, self.sizes)
                for i in range(depth):
                    for place in self.window.places():
                        read = self.window.read(output, place, self.in_sizes)
                        if read is not None:
                            weight = index_of(c * depth + i, place, self.window.kernel)
                            self.links[neuron].append((index_of(first + i, read, self.in_sizes), weight))

    def forward(self, batch: Rows) -> Rows:
        """z = the sum over the window of weight times input, plus the channel's bias; then the activation."""
        self.inputs = batch
        weights = self.parameters["weight"]
        self.z = []
        for x in batch:
            z = []
            for neuron, links in enumerate(self.links):
                total = self.bias(neuron)
                for i, k in links:
                    total += weights[k] * x[i]
                z.append(total)
            self.z.append(z)
        self.a = [self.activate(z) for z in self.z]
        return self.a

    def bias(self, neuron: int) -> float:
        """Give a neuron's bias: that of its channel."""
        return self.parameters["bias"][neuron // self.positions] if "bias" in self.parameters else 0.0

    def backward(self, errors: Rows) -> Rows:
        """Take dL/da and give dL/dx. Every link carries delta back to its input, and to its weight."""
        assert self.z is not None
        self.delta = [self.deltas(z, a, error) for z, a, error in zip(self.z, self.a, errors)]
        weights = self.parameters["weight"]
        self.gradients = {name: [0.0] * len(numbers) for name, numbers in self.parameters.items()}
        dloss_dx = []
        for x, delta in zip(self.inputs, self.delta):
            dx = [0.0] * len(x)
            for neuron, links in enumerate(self.links):
                for i, k in links:
                    dx[i] += weights[k] * delta[neuron]  # added: other windows read this input too
                    self.gradients["weight"][k] += delta[neuron] * x[i]  # added: other positions use this weight too
                if "bias" in self.gradients:
                    self.gradients["bias"][neuron // self.positions] += delta[neuron]
            dloss_dx.append(dx)
        return dloss_dx

    def activate(self, z: Numbers) -> Numbers:
        """Give the activations of a sample: a softmax goes over the channels of each position, all else is alone."""
        if not self.over_channels:
            return self.activation.activate(z)
        return self.by_position([self.activation.activate(group) for group in self.groups_of(z)])

    def deltas(self, z: Numbers, a: Numbers, dloss_da: Numbers) -> Numbers:
        """Give dL/dz of a sample."""
        if not self.over_channels:
            return self.activation.deltas(z, a, dloss_da)
        groups = zip(self.groups_of(z), self.groups_of(a), self.groups_of(dloss_da))
        return self.by_position([self.activation.deltas(*group) for group in groups])

    def groups_of(self, numbers: Numbers) -> list[Numbers]:
        """Give for every position the numbers of all channels."""
        return [numbers[position :: self.positions] for position in range(self.positions)]

    def by_position(self, groups: list[Numbers]) -> Numbers:
        """Put them back in their places."""
        return [group[c] for c in range(self.channels) for group in groups]


# --------------------------------------------------------------------------------------------------
# 3. Transposed convolution
# --------------------------------------------------------------------------------------------------


class TransposedConvolution(Convolution):
    """conv_transpose1d and conv_transpose2d: every input adds its kernel, times itself, to a window of the output.

    That is a convolution from the output to the input with its arrows turned round. The links are found from there; all
    the rest stays as it is.
    """

    def output_sizes(self, spec: dict[str, Any]) -> Shape:
        window = self.window
        extra = spec.get("output_padding") or [0] * len(self.in_sizes)
        return [
            (size - 1) * s - 2 * p + d * (k - 1) + more + 1
            for size, k, s, p, d, more in zip(
                self.in_sizes, window.kernel, window.stride, window.padding, window.dilation, extra
            )
        ]

    def weight_shape(self) -> Shape:
        return [self.in_channels, self.channels // self.groups, *self.window.kernel]

    def connect(self) -> None:
        depth, own = self.in_channels // self.groups, self.channels // self.groups
        for i in range(self.in_channels):
            first = i // depth * own  # the first output channel of its group
            for position in positions(self.in_sizes):
                for c in range(own):
                    for place in self.window.places():
                        reached = self.window.read(position, place, self.sizes)
                        if reached is not None:
                            weight = index_of(i * own + c, place, self.window.kernel)
                            neuron = index_of(first + c, reached, self.sizes)
                            self.links[neuron].append((index_of(i, position, self.in_sizes), weight))


# --------------------------------------------------------------------------------------------------
# 4. Pooling
# --------------------------------------------------------------------------------------------------


class Plain:
    """A layer without parameters: it has no z, and its delta is dL/da."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer; ``shape`` is that of one sample of what it reads."""
        self.channels, self.in_sizes = shape[0], shape[1:]
        self.size = math.prod(shape)
        self.output_shape: Shape = shape
        self.z_shape: Shape | None = None
        self.shapes: dict[str, Shape] = {}
        self.parameters: dict[str, Numbers] = {}
        self.gradients: dict[str, Numbers] = {}
        self.z: Rows | None = None
        self.delta: Rows = []

    def forward(self, batch: Rows) -> Rows:
        """Give the outputs of all samples."""
        raise NotImplementedError

    def backward(self, errors: Rows) -> Rows:
        """Take dL/da and give dL/dx."""
        self.delta = errors
        return [self.back(s, error) for s, error in enumerate(errors)]

    def back(self, s: int, error: Numbers) -> Numbers:
        """Give dL/dx of sample s."""
        raise NotImplementedError


class Pooling(Plain):
    """``windows[o]`` are the inputs that output o is made of: each channel by itself."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        super().__init__(spec, shape)
        if spec["kind"].startswith("global"):
            self.window = Window({"kind": spec["kind"], "kernel_size": self.in_sizes}, len(self.in_sizes))
        else:
            self.window = Window(spec, len(self.in_sizes))
        self.sizes = self.window.count(self.in_sizes, spec.get("ceil_mode", False))
        self.output_shape = [self.channels, *self.sizes]
        self.windows: list[list[int]] = []
        for c in range(self.channels):
            for output in positions(self.sizes):
                reads = [self.window.read(output, place, self.in_sizes) for place in self.window.places()]
                self.windows.append([index_of(c, read, self.in_sizes) for read in reads if read is not None])


class MaxPooling(Pooling):
    """The largest of each window. Only that input moved the output, so only it gets the gradient."""

    def forward(self, batch: Rows) -> Rows:
        self.largest = []  # for every sample and output which input it was
        for x in batch:
            # max gives the first of several that are largest, and so does PyTorch.
            self.largest.append([max(window, key=lambda i: x[i]) for window in self.windows])
        return [[x[i] for i in largest] for x, largest in zip(batch, self.largest)]

    def back(self, s: int, error: Numbers) -> Numbers:
        dx = [0.0] * self.size
        for i, slope in zip(self.largest[s], error):
            dx[i] += slope  # added: an input can be the largest of several windows
        return dx


class AveragePooling(Pooling):
    """The mean of each window."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        super().__init__(spec, shape)
        each = [self.divisor(spec, output) for output in positions(self.sizes)]
        self.divisors = each * self.channels

    def divisor(self, spec: dict[str, Any], output: Position) -> int:
        """Give how many positions a window has: with those in the padding, or without."""
        if spec.get("divisor_override"):
            return int(spec["divisor_override"])
        window, count = self.window, 1
        for o, k, s, p, size in zip(output, window.kernel, window.stride, window.padding, self.in_sizes):
            start, stop = o * s - p, min(o * s - p + k, size + p)  # never beyond the padded input's end
            if not spec.get("count_include_pad", True):
                start, stop = max(start, 0), min(stop, size)
            count *= stop - start
        return count

    def forward(self, batch: Rows) -> Rows:
        return [
            [add_up([x[i] for i in window]) / divisor for window, divisor in zip(self.windows, self.divisors)]
            for x in batch
        ]

    def back(self, s: int, error: Numbers) -> Numbers:
        dx = [0.0] * self.size
        for window, divisor, slope in zip(self.windows, self.divisors, error):
            for i in window:
                dx[i] += slope / divisor  # each moves the mean by so much
        return dx


# --------------------------------------------------------------------------------------------------
# 5. Rearranging
# --------------------------------------------------------------------------------------------------


class Flatten(Plain):
    """The same numbers as one row, which they are already here. Only the shape changes."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        super().__init__(spec, shape)
        self.output_shape = [self.size]

    def forward(self, batch: Rows) -> Rows:
        return [list(x) for x in batch]

    def back(self, s: int, error: Numbers) -> Numbers:
        return list(error)


class Upsample(Plain):
    """A larger image: every output is a mixture of its nearest inputs. ``mixed[o]`` are those, each with its share."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        super().__init__(spec, shape)
        self.mode = known(spec.get("mode", "nearest"), ["nearest", "linear", "bilinear"], "way of upsampling")
        self.align_corners: bool = spec.get("align_corners", False)
        sizes = [size * factor for size, factor in zip(self.in_sizes, spec["scale_factor"])]
        self.output_shape = [self.channels, *sizes]
        axes = [
            [self.nearest(at, size, factor) for at in range(size * factor)]
            for size, factor in zip(self.in_sizes, spec["scale_factor"])
        ]
        self.mixed: list[list[tuple[int, float]]] = []
        for c in range(self.channels):
            for along in itertools.product(*axes):
                mixture = []
                for corner in itertools.product(*along):  # in two axes: of two rows and two columns
                    share = math.prod(part for _, part in corner)
                    mixture.append((index_of(c, tuple(at for at, _ in corner), self.in_sizes), share))
                self.mixed.append(mixture)

    def nearest(self, output: int, size: int, factor: int) -> list[tuple[int, float]]:
        """Give the inputs next to an output along one axis, each with its share."""
        if self.mode == "nearest":
            return [(output // factor, 1.0)]
        if self.align_corners:
            at = output * (size - 1) / (size * factor - 1) if size * factor > 1 else 0.0
        else:
            at = max(0.0, (output + 0.5) / factor - 0.5)
        low = min(int(at), size - 1)
        return [(low, 1.0 - (at - low)), (min(low + 1, size - 1), at - low)]

    def forward(self, batch: Rows) -> Rows:
        return [[add_up([share * x[i] for i, share in mixture]) for mixture in self.mixed] for x in batch]

    def back(self, s: int, error: Numbers) -> Numbers:
        dx = [0.0] * self.size
        for mixture, slope in zip(self.mixed, error):
            for i, share in mixture:
                dx[i] += share * slope
        return dx


def flat(value: Any) -> Numbers:
    """Give the numbers of nested lists in one list, in their order."""
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]


LAYERS: dict[str, Any] = {
    "conv1d": Convolution,
    "conv2d": Convolution,
    "conv_transpose1d": TransposedConvolution,
    "conv_transpose2d": TransposedConvolution,
    "max_pool1d": MaxPooling,
    "max_pool2d": MaxPooling,
    "avg_pool1d": AveragePooling,
    "avg_pool2d": AveragePooling,
    "global_avg_pool": AveragePooling,
    "global_max_pool": MaxPooling,
    "flatten": Flatten,
    "upsample": Upsample,
}

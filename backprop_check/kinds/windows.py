"""Windows: what each output position of a convolution or a pooling layer reads, along any number of axes.

Along one axis, output o and kernel element k meet at the input position o·stride + k·dilation − padding; where that
lies outside the input (in the padding), nothing is read. Along several axes a window is the Cartesian product.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from backprop_check.kinds.kind import Shape, size
from backprop_check.kinds.wiring import Factor, Index, Wiring

if TYPE_CHECKING:
    from collections.abc import Sequence

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """The kernel's size and how the window moves; one number per axis."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes

    def reach(self) -> list[int]:
        """The input positions that a window spans along each axis: dilation·(kernel − 1) + 1."""
        return [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]

    def outputs(self, lengths: Sequence[int], *, ceil: bool = False) -> Sizes:
        """The output positions along each axis: ⌊(n + 2·padding − reach)/stride⌋ + 1; with ``ceil``, ⌈…⌉ + 1.

        As in PyTorch, a last window that would begin in the padding behind the input is left out.
        """
        found = []
        for n, reach, s, p in zip(lengths, self.reach(), self.stride, self.padding, strict=True):
            count = (n + 2 * p - reach + (s - 1 if ceil else 0)) // s + 1
            found.append(count - 1 if ceil and (count - 1) * s >= n + p else count)
        return tuple(found)


def _grid(window: Window, lengths: Sizes, sizes: Sizes) -> tuple[Any, Any]:
    """The input position (within one channel) for every output position and kernel element, and whether it exists.

    Both are arrays [outputs, kernel elements]; a position outside the input is given as 0.
    """
    import numpy as np  # noqa: PLC0415 - heavy, and only work with cases needs it

    position, inside = np.zeros((1, 1), dtype=np.intp), np.ones((1, 1), dtype=bool)
    for axis, n in enumerate(lengths):
        o, k = np.arange(sizes[axis])[:, None], np.arange(window.kernel[axis])[None, :]
        at = o * window.stride[axis] + k * window.dilation[axis] - window.padding[axis]
        real = (at >= 0) & (at < n)
        at = np.where(real, at, 0)
        outputs, places = len(position) * sizes[axis], position.shape[1] * window.kernel[axis]
        position = (position[:, None, :, None] * n + at[None, :, None, :]).reshape(outputs, places)
        inside = (inside[:, None, :, None] & real[None, :, None, :]).reshape(outputs, places)
    return np.where(inside, position, 0), inside


@functools.lru_cache(maxsize=32)
def convolving(inputs: Shape, channels: int, groups: int, window: Window, sizes: Sizes) -> Wiring:
    """out[c, o] = Σ w[c, d, k] x[d, position(o, k)]: the wiring of a convolution with weights [channels, depth,
    *kernel].
    """
    import numpy as np  # noqa: PLC0415

    at, inside = _grid(window, inputs[1:], sizes)
    outputs, places = at.shape
    depth, area, own = inputs[0] // groups, size(inputs[1:]), channels // groups
    channel = np.arange(inputs[0]).reshape(groups, depth, 1, 1)
    read = np.where(inside, channel * area + at, -1)
    return Wiring.of_product(
        Factor("gdpk", (groups, depth, outputs, places), size(inputs), at=read),
        Factor("gcdk", (groups, own, depth, places), channels * depth * places),
        Factor("gcp", (groups, own, outputs), channels * outputs),
    )


@functools.lru_cache(maxsize=32)
def transposed(inputs: Shape, channels: int, groups: int, window: Window, sizes: Sizes) -> Wiring:
    """The wiring of a transposed convolution: the inverse of the convolution that leads from its output to its input.

    The weight is that convolution's: [input channels, channels / groups, *kernel].
    """
    return convolving((channels, *sizes), inputs[0], groups, window, inputs[1:]).turned()


@functools.lru_cache(maxsize=32)
def pooling(inputs: Shape, window: Window, sizes: Sizes) -> Wiring:
    """The wiring of pooling: output (c, o) reads x[c, o·stride − padding + k·dilation] for every k of the kernel.

    All units of a window use the weight at its position o, so that an average can multiply by 1/divisor.
    """
    import numpy as np  # noqa: PLC0415

    at, inside = _grid(window, inputs[1:], sizes)
    outputs, places = at.shape
    shape = (inputs[0], outputs, places)
    reads = np.arange(inputs[0])[:, None, None] * size(inputs[1:]) + at[None]
    uses = np.broadcast_to(np.arange(outputs)[None, :, None], shape).reshape(-1, places)
    mask = None if inside.all() else np.broadcast_to(inside[None], shape).reshape(-1, places)
    return Wiring(size(inputs), outputs, *(Index.of_array(each, mask) for each in (reads.reshape(-1, places), uses)))


def divisors(window: Window, lengths: Sizes, sizes: Sizes, *, padding_counts: bool) -> list[int]:
    """The divisor of the average at position o: min(o·s − p + k, n) − max(o·s − p, 0), multiplied over the axes.

    With ``padding_counts`` the padding is included: min(o·s − p + k, n + p) − (o·s − p). Positions that ``ceil_mode``
    lets a window have beyond the padded input never count.
    """
    found = [1]
    for axis, n in enumerate(lengths):
        p, s, k = window.padding[axis], window.stride[axis], window.kernel[axis]
        along = []
        for o in range(sizes[axis]):
            start, stop = o * s - p, min(o * s - p + k, n + p)
            along.append(stop - start if padding_counts else min(stop, n) - max(start, 0))
        found = [before * each for before in found for each in along]
    return found


def across_channels(shape: Shape) -> Index:
    """For every unit of [channel, …position], the units at the same position in all channels."""
    area = math.prod(shape[1:])
    return Index([[channel * area + at for channel in range(shape[0])] for _ in range(shape[0]) for at in range(area)])

"""Write ``cases/convolution``: worked and published examples of convolution and pooling, and their edge cases.

``python tests/making/convolution_cases.py`` rewrites every file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from case_writing import write

from backprop_check.case.network import Case
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


def array(*shape: int, start: int = 1) -> Any:
    """Numbers from −0.5 to 0.5 with two digits, none of them 0, neighbours different."""
    values = [((start + 37 * k) % 101 - 50) / 100 or 0.07 for k in range(size(shape))]
    return np.array(values).reshape(shape).tolist()


def steps(low: float, high: float, *shape: int) -> Any:
    """CS231n's ``linspace(low, high, n).reshape(shape)``."""
    return np.linspace(low, high, size(shape)).reshape(shape).tolist()


def layer(kind: str, **fields: Any) -> Json:
    return {"kind": kind, **fields}


def conv(kind: str, weight: Any, bias: Any = None, **fields: Any) -> Json:
    """A convolution; the number of output channels and the kernel's size are those of ``weight``."""
    shape = np.shape(weight)
    channels = shape[1] * fields.get("groups", 1) if "transpose" in kind else shape[0]
    parameters: Json = {"weight": weight, **({} if bias is None else {"bias": bias})}
    return layer(kind, out_channels=channels, kernel_size=list(shape[2:]), **fields, parameters=parameters)


def dense(units: int, inputs: int, activation: str = "identity", start: int = 5) -> Json:
    parameters = {"weights": array(units, inputs, start=start), "biases": array(units, start=start + 3)}
    return layer("dense", units=units, activation=activation, parameters=parameters)


def case(name: str, title: str, layers: list[Json], inputs: Any, targets: Any = None, **more: Any) -> tuple[Json, Case]:
    """The fields that describe a case, and the case; ½ squared error and the mean unless given."""
    about: Json = {"title": title, **{key: more.pop(key) for key in ("source", "published") if key in more}}
    loss = more.pop("loss", "half_squared_error")
    whole = {
        "name": name,
        "network": {"inputs": list(np.shape(inputs)[1:]), "layers": layers},
        "loss": {"kind": loss},
        "reduction": more.pop("reduction", "mean"),
        "inputs": inputs,
        **more,
    }
    if targets is None:  # any numbers that differ from the outputs, in the last layer's shape
        shape = _output(whole)
        targets = array(len(inputs), *shape, start=23)
    return about, Case.from_dict({**whole, "targets": targets})


def _output(whole: Json) -> tuple[int, ...]:
    from backprop_check.case.network import Network  # noqa: PLC0415

    shape: tuple[int, ...] = msgspec.convert(whole["network"], Network).output_shapes[-1]
    return shape


def cases() -> Iterator[tuple[Json, Case]]:
    """Every case with the other fields of its file."""
    yield worked()
    yield from published()
    yield from kernels()
    yield from transposed()
    yield from maxima()
    yield from averages()
    yield from rearranged()


def worked() -> tuple[Json, Case]:
    """The guide's example: every number can be followed by hand."""
    layers = [
        conv("conv2d", [[[[-0.5, 1.0], [2.0, -1.0]]]], [-1.5], activation="relu"),
        layer("max_pool2d", kernel_size=[2, 2], stride=[1, 1]),
        layer(
            "dense",
            units=2,
            activation="identity",
            parameters={"weights": [[0.1, -0.2, 0.3, 0.4], [0.2, 0.1, -0.5, -0.1]], "biases": [0.1, 0.5]},
        ),
    ]
    image = [[1.0, 1.0, 0.0, 2.0], [3.0, 1.0, 1.0, 0.0], [2.0, 0.0, 3.0, 1.0], [2.0, 0.0, 3.0, 3.0]]
    by_hand = {
        "layers[0].z": [[[[4.0, -1.0, 2.5], [2.0, -4.0, 3.0], [1.5, -1.5, 1.0]]]],
        "layers[0].a": [[[[4.0, 0.0, 2.5], [2.0, 0.0, 3.0], [1.5, 0.0, 1.0]]]],
        "layers[1].a": [[[[4.0, 3.0], [2.0, 3.0]]]],
        "layers[2].a": [[1.7, 0.3]],
        "loss": 0.29,
        "layers[2].delta": [[0.7, 0.3]],
        "layers[2].gradients.weights": [[2.8, 2.1, 1.4, 2.1], [1.2, 0.9, 0.6, 0.9]],
        "layers[1].delta": [[[[0.13, -0.11], [0.06, 0.25]]]],
        "layers[0].delta": [[[[0.13, 0.0, 0.0], [0.06, 0.0, 0.14], [0.0, 0.0, 0.0]]]],
        "layers[0].gradients.weight": [[[[0.45, 0.19], [0.93, 0.27]]]],
        "layers[0].gradients.bias": [0.33],
        "layers[0].updated.weight": [[[[-0.725, 0.905], [1.535, -1.135]]]],
        "layers[0].updated.bias": [-1.665],
        "input_gradients": [
            [[[-0.065, 0.13, 0.0, 0.0], [0.23, -0.07, -0.07, 0.14], [0.12, -0.06, 0.28, -0.14], [0.0, 0.0, 0.0, 0.0]]]
        ],
    }
    return case(
        "worked-cnn",
        "A convolutional network by hand: image, one filter, ReLU, maximum pooling, two outputs",
        layers,
        [[image]],
        [[1.0, 0.0]],
        optimizer={"kind": "sgd", "learning_rate": 0.5},
        source="backprop-check, the guide's chapter 14",
        published=by_hand,
    )


def published() -> Iterator[tuple[Json, Case]]:
    first = [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]]
    nothing = [[None, None], [None, None]]
    weight, bias = steps(-0.2, 0.3, 3, 3, 4, 4), steps(-0.1, 0.2, 3)
    yield case(
        "cs231n-conv-forward",
        "The forward pass of a convolution",
        [conv("conv2d", weight, bias, stride=[2, 2], padding=[1, 1])],
        steps(-0.1, 0.5, 2, 3, 4, 4),
        source="CS231n, assignment 2, ConvolutionalNetworks.ipynb",
        published={"layers[0].a": [[first, nothing, nothing], [nothing] * 3]},
    )
    pooled = [
        [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]],
        [[-0.14526316, -0.13052632], [-0.08631579, -0.07157895]],
        [[-0.02736842, -0.01263158], [0.03157895, 0.04631579]],
    ]
    yield case(
        "cs231n-max-pool-forward",
        "The forward pass of maximum pooling",
        [layer("max_pool2d", kernel_size=[2, 2], stride=[2, 2])],
        steps(-0.3, 0.4, 2, 3, 4, 4),
        source="CS231n, assignment 2, ConvolutionalNetworks.ipynb",
        published={"layers[0].a": [pooled, [nothing] * 3]},
    )


def behind(first: Json, shape: tuple[int, ...], samples: int = 1, *more: Json) -> tuple[list[Json], Any]:
    """A layer that follows another one, so that the gradient of its input is visible; and inputs of that shape."""
    channels = shape[0]
    ones = (1,) * len(shape[1:])
    kind = "conv2d" if len(shape) == 3 else "conv1d"
    before = conv(kind, array(channels, channels, *ones, start=7), array(channels, start=19), activation="tanh")
    return [before, first, *more], array(samples, *shape, start=3)


def kernels() -> Iterator[tuple[Json, Case]]:
    layers, inputs = behind(conv("conv2d", array(2, 2, 3, 3), [0.1, -0.2], activation="sigmoid"), (2, 3, 3))
    yield case(
        "kernel-as-large-as-the-image",
        "a kernel as large as the image: one position, as in a dense layer",
        layers,
        inputs,
    )
    layers, inputs = behind(conv("conv2d", array(3, 2, 1, 1), [0.1, -0.2, 0.3], activation="tanh"), (2, 2, 3), 2)
    yield case("kernel-1x1", "a kernel of one place: a dense layer at every position", layers, inputs)
    layers, inputs = behind(conv("conv1d", array(1, 2, 2), [0.1], stride=[4]), (2, 9), 2)
    yield case("stride-beyond-kernel", "a stride larger than the kernel: some inputs are never read", layers, inputs)
    layers, inputs = behind(conv("conv2d", array(1, 1, 2, 2), [0.3], padding=[3, 3]), (1, 2, 2))
    yield case("windows-in-the-padding", "windows that lie in the padding altogether: z is the bias", layers, inputs)
    layers, inputs = behind(conv("conv2d", array(4, 1, 2, 2), array(4), groups=4), (4, 3, 3), 2)
    yield case("depthwise", "a group for every channel", layers, inputs)
    layers, inputs = behind(conv("conv2d", array(4, 2, 2, 1), groups=2, activation="relu"), (4, 3, 2))
    yield case("groups-without-bias", "two groups, and no bias", layers, inputs)
    layers, inputs = behind(conv("conv1d", array(1, 1, 3), [0.1], dilation=[3]), (1, 9))
    yield case("dilation-3", "holes of two inputs between the kernel's places", layers, inputs)
    layers, inputs = behind(
        conv("conv2d", array(2, 1, 3, 2), [0.1, 0.2], stride=[2, 1], padding=[2, 0], dilation=[1, 2]), (1, 5, 4), 2
    )
    yield case("rows-and-columns-differ", "another stride, padding and dilation for rows and columns", layers, inputs)
    layers, inputs = behind(conv("conv2d", [[[[0.25, 0.5, 0.25]] * 3]], [0.1]), (1, 4, 4))
    yield case("symmetric-kernel", "a kernel that is the same from both ends: flipping it hides", layers, inputs)
    layers, inputs = behind(conv("conv2d", np.zeros((2, 1, 2, 2)).tolist(), [0.0, 0.0], activation="relu"), (1, 3, 3))
    yield case("zero-kernel", "a kernel of zeros before a ReLU: every z is exactly on the kink", layers, inputs)
    layers, inputs = behind(conv("conv2d", array(3, 2, 2, 2), array(3), activation="softmax"), (2, 3, 3), 2)
    targets = [
        [[[float(c == (y + x + s) % 3) for x in range(2)] for y in range(2)] for c in range(3)] for s in range(2)
    ]
    yield case("softmax-of-every-pixel", "a softmax over the channels of every position, with cross-entropy", layers,
               inputs, targets, loss="cross_entropy")  # fmt: skip
    layers, inputs = behind(conv("conv1d", array(2, 1, 3), [0.1, 0.2], padding=[1]), (1, 6), 16)
    yield case("batch-16-sum", "16 samples, their sum, one step", layers, inputs, reduction="sum",
               optimizer={"kind": "sgd", "learning_rate": 0.05})  # fmt: skip


def transposed() -> Iterator[tuple[Json, Case]]:
    layers, inputs = behind(conv("conv_transpose1d", array(2, 1, 1), [0.3], stride=[3]), (2, 3), 2)
    yield case("transposed-with-holes", "a stride larger than the kernel: outputs between are the bias", layers, inputs)
    layers, inputs = behind(
        conv("conv_transpose2d", array(2, 2, 3, 2), [0.1, -0.2], stride=[2, 1], output_padding=[1, 1], dilation=[1, 2],
             activation="tanh"), (2, 2, 2))  # fmt: skip
    yield case("transposed-output-padding", "more output at the end of both axes", layers, inputs)
    layers, inputs = behind(conv("conv_transpose2d", array(4, 1, 2, 2), groups=2, padding=[1, 1]), (4, 3, 3))
    yield case("transposed-groups", "two groups, cropped by the padding, and no bias", layers, inputs)
    layers, inputs = behind(conv("conv_transpose1d", array(1, 1, 3), [0.1]), (1, 1))
    yield case("transposed-one-position", "one input: the output is its kernel", layers, inputs)


def maxima() -> Iterator[tuple[Json, Case]]:
    twice = layer("upsample", scale_factor=[2, 2])
    pool = layer("max_pool2d", kernel_size=[2, 2])
    yield case("tie-of-four", "a tie: all four inputs of each window are alike, and the first gets the gradient",
               [twice, pool, dense(2, 4)], array(2, 1, 2, 2))  # fmt: skip
    overlapping = layer("max_pool2d", kernel_size=[3, 3], stride=[1, 1], padding=[1, 1])
    yield case("tie-overlapping", "ties in windows that overlap and are padded: the first in row-major order",
               [twice, overlapping, dense(2, 16)], array(1, 1, 2, 2))  # fmt: skip
    yield case("tie-in-a-sequence", "ties in a sequence, some of zeros", [layer("upsample", scale_factor=[3]),
               layer("max_pool1d", kernel_size=[4], stride=[2]), dense(1, 3)], [[[0.0, 0.5, 0.0]]])  # fmt: skip
    yield case("tie-global", "a tie of a whole channel", [layer("upsample", scale_factor=[2, 3]),
               layer("global_max_pool"), dense(2, 2)], [[[[0.5]], [[-0.25]]]])  # fmt: skip
    relu = conv("conv2d", array(1, 1, 2, 2), [-3.0], activation="relu")
    yield case("tie-of-dead-relus", "a tie of zeros behind dead ReLUs: nothing flows back", [relu, pool, dense(1, 1)],
               array(1, 1, 3, 3))  # fmt: skip
    zero = conv("conv2d", np.zeros((2, 1, 2, 2)).tolist(), [0.0, 0.25])
    layers = [zero, layer("max_pool2d", kernel_size=[2, 2], stride=[1, 1]), dense(2, 8)]
    title = "a kernel of zeros: all that it gives is tied, and its gradient shows which of them got δ"
    yield case("tie-of-a-zero-kernel", title, layers, array(2, 1, 4, 4))
    below = [[[[-3.0, -1.5, -2.0], [-1.0, -2.5, -4.0], [-5.0, -3.5, -0.5]]]]
    layers = [layer("flatten"), dense(2, 16)]
    yield case("maximum-padded-below-zero", "all inputs below 0: what is padded is not 0 but never the largest",
               [layer("max_pool2d", kernel_size=[2, 2], stride=[1, 1], padding=[1, 1]), *layers], below)  # fmt: skip
    layers, inputs = behind(layer("max_pool1d", kernel_size=[2], stride=[3], padding=[1], ceil_mode=True), (1, 6))
    yield case("last-window-left-out", "a last window that would begin in the padding is left out", layers, inputs)
    layers, inputs = behind(layer("max_pool2d", kernel_size=[2, 2], stride=[1, 2], dilation=[2, 1]), (2, 4, 4))
    yield case("maximum-with-holes", "maximum pooling with a dilation", layers, inputs)
    layers, inputs = behind(layer("max_pool2d", kernel_size=[1, 1]), (2, 2, 3))
    yield case("window-of-one", "a window of one input: nothing changes", layers, inputs)


def averages() -> Iterator[tuple[Json, Case]]:
    for name, title, kind, fields, shape in (
        ("average-padding-counts", "an average whose padding counts", "avg_pool2d",
         {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}, (1, 4, 4)),
        ("average-padding-left-out", "an average whose padding does not count", "avg_pool2d",
         {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1], "count_include_pad": False}, (1, 4, 4)),
        ("average-ceil", "an average whose last windows hang over the end, which never counts", "avg_pool2d",
         {"kernel_size": [3, 2], "stride": [2, 2], "padding": [1, 0], "ceil_mode": True}, (2, 5, 3)),
        ("average-larger-than-the-input", "with ceil_mode a window may be larger than the input", "avg_pool2d",
         {"kernel_size": [3, 3], "stride": [2, 2], "ceil_mode": True}, (1, 2, 3)),
        ("average-divisor", "an average with a divisor of its own", "avg_pool2d",
         {"kernel_size": [2, 2], "stride": [1, 1], "divisor_override": 3}, (1, 3, 3)),
        ("average-overlapping", "averages that overlap along a sequence", "avg_pool1d",
         {"kernel_size": [3], "stride": [1], "padding": [1], "count_include_pad": False}, (2, 5)),
        ("global-average-of-one", "the mean of a channel that is one number", "global_avg_pool", {}, (3, 1, 1)),
        ("global-average", "the mean of every channel", "global_avg_pool", {}, (2, 3, 4)),
    ):  # fmt: skip
        layers, inputs = behind(layer(kind, **fields), shape, 2)
        yield case(name, title, layers, inputs)


def rearranged() -> Iterator[tuple[Json, Case]]:
    layers, inputs = behind(layer("flatten"), (2, 2, 3), 2, dense(3, 12, "tanh"))
    yield case("flatten", "channel by channel, row by row", layers, inputs)
    for name, title, fields, shape in (
        ("nearest", "every input repeated, 2 by 3 times", {"scale_factor": [2, 3]}, (2, 2, 2)),
        ("bilinear", "between four inputs, edge to edge", {"scale_factor": [2, 3], "mode": "bilinear"}, (1, 3, 2)),
        ("bilinear-aligned", "between four inputs, corner to corner",
         {"scale_factor": [3, 2], "mode": "bilinear", "align_corners": True}, (1, 2, 3)),
        ("bilinear-of-one", "an axis of one input, whose corners are one",
         {"scale_factor": [1, 2], "mode": "bilinear", "align_corners": True}, (1, 1, 3)),
        ("linear", "between two inputs of a sequence", {"scale_factor": [4], "mode": "linear"}, (2, 3)),
        ("upsample-by-one", "as large as before", {"scale_factor": [1, 1]}, (1, 2, 2)),
    ):  # fmt: skip
        layers, inputs = behind(layer("upsample", **fields), shape)
        yield case(name, title, layers, inputs)


def main() -> None:
    """Write them all."""
    write("convolution", ((one, about) for about, one in cases()), trajectory=False)


if __name__ == "__main__":
    main()

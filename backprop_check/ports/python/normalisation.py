"""Normalisation, dropout and embedding, number by number, in plain Python.

1. Standardise    numbers made to have mean 0 and variance 1, and the gradient through mean and variance
2. Norms          batch, layer, group, instance and RMS normalisation: which numbers are standardised together
3. Dropout        some numbers dropped in training, the others made larger
4. Embedding      rows of a table, looked up by index

What is new in a normalisation: every x moves the mean and the variance, and these move ALL the numbers of its group. So
the gradient comes back to an x on three ways, which are added. The members of the layers are those of graph.py's Dense.
"""

from __future__ import annotations

import math
from typing import Any

from network import Numbers, add_up

Rows = list[Numbers]  # one list of numbers a sample
Shape = list[int]
Place = tuple[int, int]  # a sample, and which of its numbers


# --------------------------------------------------------------------------------------------------
# 1. Standardise
# --------------------------------------------------------------------------------------------------


class Standardise:
    """x^ = (x - mean) / sqrt(variance + eps), for the numbers of one group."""

    def __init__(self, eps: float) -> None:
        """Keep eps, which makes sure that nothing is divided by 0."""
        self.eps = eps
        self.mean = 0.0
        self.variance = 0.0
        self.inverse = 0.0  # 1 / sqrt(variance + eps)
        self.away: Numbers = []  # x - mean

    def forward(self, xs: Numbers) -> Numbers:
        """Give the standardised numbers."""
        self.mean = add_up(xs) / len(xs)
        return self.from_mean(xs)

    def from_mean(self, xs: Numbers) -> Numbers:
        """Go on from the mean."""
        self.away = [x - self.mean for x in xs]
        self.variance = add_up([d * d for d in self.away]) / len(xs)
        return self.from_variance()

    def from_variance(self) -> Numbers:
        """Go on from the variance."""
        self.inverse = 1.0 / math.sqrt(self.variance + self.eps)
        return [d * self.inverse for d in self.away]

    def backward(self, dloss_dxhat: Numbers) -> Numbers:
        """Take dL/dx^, and give dL/dx."""
        dloss_daway = self.to_away(dloss_dxhat)
        # away = x - mean: each x moves its own away, and by the mean all of them a little.
        dloss_dmean = -add_up(dloss_daway)
        return [slope + dloss_dmean / len(dloss_daway) for slope in dloss_daway]

    def to_away(self, dloss_dxhat: Numbers) -> Numbers:
        """Give dL/d(x - mean), which moves its own x^, and by the variance all of them a little."""
        dloss_dinverse = add_up([slope * d for slope, d in zip(dloss_dxhat, self.away)])
        # inverse = (variance + eps)^(-1/2), so its slope is -1/2 (variance + eps)^(-3/2).
        dloss_dvariance = dloss_dinverse * -0.5 * self.inverse * self.inverse * self.inverse
        n = len(self.away)
        return [slope * self.inverse + dloss_dvariance * 2.0 * d / n for slope, d in zip(dloss_dxhat, self.away)]


class RootMeanSquare(Standardise):
    """x^ = x / sqrt(mean of x^2 + eps): no mean is taken away."""

    def forward(self, xs: Numbers) -> Numbers:
        return self.from_mean(xs)  # the mean stays 0

    def backward(self, dloss_dxhat: Numbers) -> Numbers:
        return self.to_away(dloss_dxhat)


class ByRunning(Standardise):
    """The same with a mean and a variance from before, which no x moves: they are constants."""

    def __init__(self, eps: float, mean: float, variance: float) -> None:
        """Keep the statistics that are used."""
        super().__init__(eps)
        self.mean = mean
        self.variance = variance

    def forward(self, xs: Numbers) -> Numbers:
        self.away = [x - self.mean for x in xs]
        return self.from_variance()

    def backward(self, dloss_dxhat: Numbers) -> Numbers:
        return [slope * self.inverse for slope in dloss_dxhat]


# --------------------------------------------------------------------------------------------------
# 2. Norms
# --------------------------------------------------------------------------------------------------


class Norm:
    """a = weight * x^ + bias. Its kinds differ in which numbers make a group, and whose weight and bias they have."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it; ``shape`` is that of one sample of what it reads."""
        self.spec = spec
        self.size = math.prod(shape)
        self.positions = math.prod(shape[1:])  # of each channel
        self.output_shape = shape
        self.z_shape: Shape | None = None
        given = spec.get("parameters") or {}
        self.shapes = {name: self.parameter_shape() for name in given}
        self.parameters = {name: flat(given[name]) for name in given}
        self.gradients: dict[str, Numbers] = {}
        self.buffers: dict[str, Numbers] = {}
        self.z: Rows | None = None
        self.delta: Rows = []
        self.xhat: Rows = []
        self.places: list[list[Place]] = []
        self.made: list[Standardise] = []

    def parameter_shape(self) -> Shape:
        """Give the shape of weight and bias: one number a channel."""
        return self.output_shape[:1]

    def own(self, i: int) -> int:
        """Give the weight and the bias that number i has: its channel's."""
        return i // self.positions

    def groups(self, samples: int) -> list[list[Place]]:
        """Give the groups of a batch: here so many numbers in a row, in every sample."""
        length = self.length()
        return [
            [(s, i) for i in range(start, start + length)]
            for s in range(samples)
            for start in range(0, self.size, length)
        ]

    def length(self) -> int:
        """Give how many numbers in a row make a group."""
        raise NotImplementedError

    def standardise(self, group: int) -> Standardise:
        """Give what standardises a group."""
        return Standardise(float(self.spec["eps"]))

    def forward(self, batch: Rows) -> Rows:
        """Standardise every group, then scale and shift every number."""
        self.places = self.groups(len(batch))
        self.made = [self.standardise(group) for group in range(len(self.places))]
        self.xhat = [[0.0] * self.size for _ in batch]
        for made, places in zip(self.made, self.places):
            numbers = made.forward([batch[s][i] for s, i in places])
            for (s, i), x in zip(places, numbers):
                self.xhat[s][i] = x
        return [[self.scaled(i, x) for i, x in enumerate(row)] for row in self.xhat]

    def scaled(self, i: int, xhat: float) -> float:
        """Give a = weight * x^ + bias of number i, where it has them."""
        a = xhat * self.weight(i)
        return a + self.parameters["bias"][self.own(i)] if "bias" in self.parameters else a

    def weight(self, i: int) -> float:
        """Give the weight that number i is scaled with."""
        return self.parameters["weight"][self.own(i)] if "weight" in self.parameters else 1.0

    def backward(self, errors: Rows) -> Rows:
        """Take dL/da, and give dL/dx."""
        self.delta = errors
        self.gradients = {name: [0.0] * len(numbers) for name, numbers in self.parameters.items()}
        for row, xhat in zip(errors, self.xhat):
            for i, slope in enumerate(row):
                if "weight" in self.gradients:
                    self.gradients["weight"][self.own(i)] += slope * xhat[i]
                if "bias" in self.gradients:
                    self.gradients["bias"][self.own(i)] += slope
        dloss_dx = [[0.0] * self.size for _ in errors]
        for made, places in zip(self.made, self.places):
            slopes = made.backward([errors[s][i] * self.weight(i) for s, i in places])
            for (s, i), slope in zip(places, slopes):
                dloss_dx[s][i] = slope
        return dloss_dx


class BatchNorm(Norm):
    """A group is a channel, over the whole batch. Running statistics are kept for the time after training."""

    def groups(self, samples: int) -> list[list[Place]]:
        return [
            [(s, i) for s in range(samples) for i in range(c * self.positions, (c + 1) * self.positions)]
            for c in range(self.output_shape[0])
        ]

    def standardise(self, group: int) -> Standardise:
        if self.spec["training"]:
            return super().standardise(group)
        running = self.spec["buffers"]
        mean, variance = float(running["running_mean"][group]), float(running["running_var"][group])
        return ByRunning(float(self.spec["eps"]), mean, variance)

    def forward(self, batch: Rows) -> Rows:
        a = super().forward(batch)
        if self.spec["training"] and self.spec.get("buffers"):
            self.move()
        return a

    def move(self) -> None:
        """Move the running statistics a little towards the batch's. Their variance is divided by n - 1."""
        if not self.buffers:
            self.buffers = {name: flat(numbers) for name, numbers in self.spec["buffers"].items()}
        momentum = float(self.spec["momentum"])
        for c, made in enumerate(self.made):
            n = len(made.away)
            batch = {"running_mean": made.mean, "running_var": made.variance * n / (n - 1)}
            for name, new in batch.items():
                self.buffers[name][c] = (1.0 - momentum) * self.buffers[name][c] + momentum * new


class LayerNorm(Norm):
    """A group is the end of a sample's shape; each of its places has a weight and a bias of its own."""

    def parameter_shape(self) -> Shape:
        return list(self.spec["normalized_shape"])

    def own(self, i: int) -> int:
        return i % self.length()

    def length(self) -> int:
        return math.prod(self.spec["normalized_shape"])


class RMSNorm(LayerNorm):
    """The same without a mean."""

    def standardise(self, group: int) -> Standardise:
        return RootMeanSquare(float(self.spec["eps"]))


class GroupNorm(Norm):
    """A group is some channels of a sample."""

    def length(self) -> int:
        return self.size // self.spec["num_groups"]


class InstanceNorm(Norm):
    """A group is one channel of a sample."""

    def length(self) -> int:
        return self.positions


# --------------------------------------------------------------------------------------------------
# 3. Dropout
# --------------------------------------------------------------------------------------------------


class Dropout:
    """a = x * mask / (1 - p) in training: what is kept is made larger, so that the sum stays about what it was."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it, its mask too."""
        self.output_shape = shape
        self.z_shape: Shape | None = None
        self.shapes: dict[str, Shape] = {}
        self.parameters: dict[str, Numbers] = {}
        self.gradients: dict[str, Numbers] = {}
        self.z: Rows | None = None
        self.delta: Rows = []
        self.kept = 1.0 - float(spec["p"])
        self.mask = [flat(mask) for mask in spec["mask"]] if spec["training"] else None

    def forward(self, batch: Rows) -> Rows:
        """Drop what the mask says; pass everything on after training."""
        return self.masked(batch)

    def backward(self, errors: Rows) -> Rows:
        """Send back through the same mask: what was dropped gets no gradient."""
        self.delta = errors
        return self.masked(errors)

    def masked(self, rows: Rows) -> Rows:
        """Give the numbers times mask / (1 - p)."""
        if self.mask is None:
            return [list(row) for row in rows]
        return [[x * m / self.kept for x, m in zip(row, mask)] for row, mask in zip(rows, self.mask)]


# --------------------------------------------------------------------------------------------------
# 4. Embedding
# --------------------------------------------------------------------------------------------------


class Embedding:
    """a[t] = weight[x[t]]: the numbers that it reads are indices, and each gives a row of the table."""

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it."""
        self.width: int = spec["embedding_dim"]
        self.padding: int | None = spec.get("padding_idx")
        self.output_shape = [*shape, self.width]
        self.z_shape: Shape | None = None
        self.shapes = {"weight": [spec["num_embeddings"], self.width]}
        self.parameters = {"weight": flat(spec["parameters"]["weight"])}
        self.gradients: dict[str, Numbers] = {}
        self.z: Rows | None = None
        self.delta: Rows = []
        self.indices: list[list[int]] = []

    def forward(self, batch: Rows) -> Rows:
        """Look every index up."""
        self.indices = [[int(x) for x in row] for row in batch]
        weight, width = self.parameters["weight"], self.width
        return [[x for index in row for x in weight[index * width : index * width + width]] for row in self.indices]

    def backward(self, errors: Rows) -> Rows:
        """Add every place's gradient to the row that was looked up there. Nothing flows back into an index."""
        self.delta = errors
        total = [0.0] * len(self.parameters["weight"])
        for row, slopes in zip(self.indices, errors):
            for t, index in enumerate(row):
                if index == self.padding:
                    continue  # padding stands for nothing, and learns nothing
                for j in range(self.width):
                    total[index * self.width + j] += slopes[t * self.width + j]
        self.gradients = {"weight": total}
        return [[0.0] * len(row) for row in self.indices]


def flat(value: Any) -> Numbers:
    """Give the numbers of nested lists in one list, in their order."""
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]


LAYERS: dict[str, Any] = {
    "batch_norm": BatchNorm,
    "layer_norm": LayerNorm,
    "group_norm": GroupNorm,
    "instance_norm": InstanceNorm,
    "rms_norm": RMSNorm,
    "dropout": Dropout,
    "embedding": Embedding,
}

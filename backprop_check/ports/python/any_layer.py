"""What every kind of layer has in common, so that graph.py can wire them freely."""

from __future__ import annotations

import math
from typing import Any

from mathematics import Numbers

Rows = list[Numbers]  # one list of numbers a sample, whatever its shape: an image is its channels one after the other
Shape = list[int]


class AnyLayer:
    """A layer of any kind, over a whole batch. A kind has these members:

    ``output_shape``  the shape of one sample's output
    ``z_shape``       that of its pre-activation, or None where it has none
    ``shapes``        the shape of each parameter, by name
    ``parameters``    each parameter by name: its numbers in one list. Layers that share parameters have the same lists
    ``gradients``     the same for dL/d(parameter), summed over the batch; set by ``backward``
    ``buffers``       what ``forward`` changes beside the parameters, such as running statistics; most have none
    ``z``             the pre-activations, set by ``forward``; None where it has none
    ``delta``         dL/dz (dL/da where it has no z), set by ``backward``
    """

    def __init__(self, spec: dict[str, Any], shape: Shape) -> None:
        """Read the layer as a case has it; ``shape`` is that of one sample of what it reads."""
        self.spec = spec
        self.shape = shape
        self.output_shape: Shape = list(shape)
        self.z_shape: Shape | None = None
        self.shapes: dict[str, Shape] = {}
        self.parameters: dict[str, Numbers] = {}
        self.gradients: dict[str, Numbers] = {}
        self.buffers: dict[str, Numbers] = {}
        self.z: Rows | None = None
        self.delta: Rows = []

    def read(self, shapes: dict[str, Shape]) -> None:
        """Read the parameters of these shapes; one that the case does not have is left out."""
        given = self.spec.get("parameters") or {}
        self.shapes = {name: shape for name, shape in shapes.items() if name in given}
        self.parameters = {name: flat(given[name]) for name in self.shapes}

    def reset_gradients(self) -> None:
        """Start the sums over the batch at 0."""
        self.gradients = {name: [0.0] * len(numbers) for name, numbers in self.parameters.items()}

    def forward(self, batch: Rows) -> Rows:
        """From the inputs of all samples to the outputs. It keeps what ``backward`` needs."""
        raise NotImplementedError

    def backward(self, activation_gradients: Rows) -> Rows:
        """From dL/d(outputs) to dL/d(inputs)."""
        raise NotImplementedError


def flat(value: Any) -> Numbers:
    """Give the numbers of nested lists in one list, in their order."""
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]


def nested(numbers: Numbers, shape: Shape) -> Any:
    """Give the numbers as nested lists of that shape."""
    if len(shape) < 2:
        return list(numbers)
    step = math.prod(shape[1:])
    return [nested(numbers[i * step : i * step + step], shape[1:]) for i in range(shape[0])]

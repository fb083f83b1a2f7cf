"""Dense: every unit reads every unit of the layer before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from backprop_check.fields import at_least, fail
from backprop_check.kinds.kind import Activation, Alpha, Kind, Shape, size
from backprop_check.kinds.names import ALL_ACTIVATIONS
from backprop_check.kinds.wiring import every

if TYPE_CHECKING:
    from collections.abc import Mapping

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``weights[j][i]`` leads from input i to neuron j; ``biases[j]`` belongs to neuron j."""

    weights: Matrix
    biases: Vector


class Dense(Kind, frozen=True, tag="dense"):
    """A dense layer of ``units`` neurons: zⱼ = Σᵢ wⱼᵢ xᵢ + bⱼ, aⱼ = φ(zⱼ), over all inputs i."""

    units: Annotated[int, at_least(1, "neuron")]
    activation: Activation
    parameters: Parameters
    alpha: Alpha | None = None

    reported: ClassVar[tuple[str, ...]] = ("z", "a")
    one_sum: ClassVar[bool] = True
    activations: ClassVar[tuple[str, ...]] = ALL_ACTIVATIONS

    def check(self, path: str, inputs: Shape) -> None:
        """Check the numbers of weights and biases.

        Raises ``CaseError`` unless there is a row of weights per neuron, a weight per input and a bias per neuron, all
        finite.
        """
        width = size(inputs)
        weights = self.parameters.weights
        if len(weights) != self.units:
            fail(f"{path}.parameters.weights", f"{self.units} rows, one a neuron", f"{len(weights)}")
        for j, row in enumerate(weights):
            check_numbers(f"{path}.parameters.weights[{j}]", row, width, "one weight an input")
        check_numbers(f"{path}.parameters.biases", self.parameters.biases, self.units, "one bias a neuron")

    def output_shape(self, inputs: Shape) -> Shape:
        """(units,)."""
        del inputs
        return (self.units,)

    def parameter_shapes(self, inputs: Shape) -> dict[str, Shape]:
        """weights[neuron][input] and biases[neuron]."""
        return {"weights": (self.units, size(inputs)), "biases": (self.units,)}

    def classes(self, inputs: Shape) -> int | None:
        """A softmax runs over all neurons."""
        del inputs
        return self.units

    def equations(self, c: Any, x: Any, parameters: Mapping[str, Any], inputs: Shape) -> Any:
        """zⱼ = Σᵢ wⱼᵢ xᵢ + bⱼ; aⱼ = φ(zⱼ)."""
        wiring = every(self.units, size(inputs))
        z = c.weighted_sum([(x, parameters["weights"], wiring)], biases=[(parameters["biases"], range(self.units))])
        c.show(z)
        return c.output(c.activate(self.activation, z, self.alpha), z)


def check_numbers(path: str, row: Vector, length: int, what: str) -> None:
    """Raises ``CaseError`` unless ``row`` has ``length`` finite numbers; ``what`` says in its message what they are."""
    if len(row) != length:
        fail(path, f"{length} numbers ({what})", f"{len(row)}")
    if not all(map(math.isfinite, row)):
        at = next(i for i, x in enumerate(row) if not math.isfinite(x))
        fail(f"{path}[{at}]", "a finite number", row[at])

"""Dense: every unit reads every unit of the layer before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from backprop_check.fields import array, at_least, fail
from backprop_check.functions.names import ALL_ACTIVATIONS
from backprop_check.kinds.given import GivenNumbers
from backprop_check.kinds.kind import Activation, Alpha, Kind, Shape, finite_number, size
from backprop_check.kinds.wiring import every

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Numbers in rows, and in one row: given numbers, however they are written.
Matrix = Annotated[Any, array("[row][number]")]
Vector = Annotated[Any, array("[number]")]


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``weights[j][i]`` leads from input i to neuron j; ``biases[j]`` belongs to neuron j."""

    weights: Matrix
    biases: Vector

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "weights", GivenNumbers.of(self.weights).as_floats())
        msgspec.structs.force_setattr(self, "biases", GivenNumbers.of(self.biases).as_floats())


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
        weights, biases = self.parameters.weights, self.parameters.biases
        rows = f"{self.units} rows, one a neuron"
        check_rows(f"{path}.parameters.weights", weights, (self.units, width), rows, "one weight an input")
        check_rows(f"{path}.parameters.biases", biases, (self.units,), "", "one bias a neuron")

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


def check_rows(path: str, numbers: GivenNumbers, shape: Shape, rows: str, row: str) -> None:
    """Raises ``CaseError`` unless the numbers are finite and have this shape of rows (or of one row).

    ``rows`` and ``row`` say in messages what there has to be: ``"2 rows, one a neuron"``, ``"one weight an input"``.
    """
    if numbers.other is None and numbers.shape == shape and np.isfinite(numbers.values).all():
        return
    lists = numbers.tolist()
    if len(shape) == 1:
        _check_row(path, lists, shape[0], row)
        return
    if not isinstance(lists, list | tuple) or len(lists) != shape[0]:
        fail(path, rows, len(lists) if isinstance(lists, list | tuple) else repr(lists))
    for number, one in enumerate(lists):
        _check_row(f"{path}[{number}]", one, shape[1], row)


def _check_row(path: str, row: Any, length: int, what: str) -> None:
    if not isinstance(row, list | tuple) or len(row) != length:
        fail(path, f"{length} numbers ({what})", len(row) if isinstance(row, list | tuple) else repr(row))
    for number, value in enumerate(row):
        finite_number(f"{path}[{number}]", value)

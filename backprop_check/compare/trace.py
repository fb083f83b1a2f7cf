"""Trace: the arrays that a pass computes. Both witnesses and every reply are converted to this form.

A trace maps a ``Slot`` (which quantity, of which layer, at which step) to an array. The quantity determines what the
axes of the array are (sample, neuron, index of an input): ``AXES``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_check.kinds.kind import quantity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.reference import Pass

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: The axes of each quantity's array in a trace. Units of any shape are flattened to one axis, and so are all axes of a
#: parameter but the first.
AXES: dict[str, tuple[str, ...]] = {
    "z": ("sample", "neuron"),
    "a": ("sample", "neuron"),
    "loss": (),
    "delta": ("sample", "neuron"),
    "weight_gradient": ("neuron", "index"),
    "bias_gradient": ("neuron",),
    "input_gradient": ("sample", "index"),
    "updated_weight": ("neuron", "index"),
    "updated_bias": ("neuron",),
}


def axes_of(quantity: str, dimensions: int) -> tuple[str, ...]:
    """The axes of a quantity's array with so many dimensions; a parameter has its first axis and the others as one."""
    if quantity in ("z", "a", "delta", "loss", "input_gradient"):
        return AXES[quantity]
    return ("neuron", "index")[:dimensions]


def place_of(one: Any) -> tuple[int | None, ...]:
    """The index tuple of a finding's value in its quantity's array: sample, neuron and index, in the array's order."""
    index = list(one.index or ())
    axes = axes_of(one.quantity, 2 if index else 1)
    return tuple((index[0] if index else None) if axis == "index" else getattr(one, axis) for axis in axes)


class Slot(NamedTuple):
    """The key of one array of a trace. ``step`` is None for arrays outside of ``trajectory``."""

    quantity: str
    layer: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrays by slot, in the order in which a pass computes them."""

    values: Mapping[Slot, Array]


class Alternative(NamedTuple):
    """The results of a right but unstable formula: its description, and (value, bound) by slot."""

    formula: str
    values: Mapping[Slot, tuple[Array, Array]]


class Form:
    """The shapes and names of a case's arrays in a reply, where a unit may have several indexes.

    A trace flattens units to one axis and names parameters by quantity (``weight`` for ``weights``).
    """

    def __init__(self, case: Case) -> None:
        network, self._samples = case.network, len(case.inputs)
        self._inputs = network.input_shape
        self._z = [layer.z_shape(shape) for layer, shape in zip(network.layers, network.input_shapes, strict=True)]
        self._a = network.output_shapes
        #: For each layer the shapes of its parameters in a reply, by their names in a trace.
        self.parameters = [
            {} if layer.shares else {quantity_of(name): each for name, each in layer.parameter_shapes(shape).items()}
            for layer, shape in zip(network.layers, network.input_shapes, strict=True)
        ]
        #: For each layer the parameter names in a trace, by their names in a reply.
        self.names = [
            {} if layer.shares else {name: quantity_of(name) for name in layer.parameter_shapes(shape)}
            for layer, shape in zip(network.layers, network.input_shapes, strict=True)
        ]
        #: For each layer the shapes of the buffers that a pass changes, by name.
        self.buffers = [
            layer.buffer_shapes(shape) for layer, shape in zip(network.layers, network.input_shapes, strict=True)
        ]

    def wire_shape(self, slot: Slot) -> tuple[int, ...]:
        """The shape of a slot's array in a reply."""
        if slot.quantity == "loss":
            return ()
        if slot.layer is None:
            return (self._samples, *self._inputs)
        if slot.quantity in ("z", "delta"):
            return (self._samples, *self._z[slot.layer])
        if slot.quantity == "a":
            return (self._samples, *self._a[slot.layer])
        if slot.quantity.endswith("_buffer"):
            found: tuple[int, ...] = self.buffers[slot.layer][slot.quantity.removesuffix("_buffer")]
            return found
        shape: tuple[int, ...] = self.parameters[slot.layer][parameter_of(slot.quantity)]
        return shape

    def trace_shape(self, slot: Slot) -> tuple[int, ...]:
        """The shape of a slot's array in a trace: all axes but the first are flattened to one."""
        shape = self.wire_shape(slot)
        return shape if len(shape) < 2 else (shape[0], math.prod(shape[1:]))  # noqa: PLR2004 - a list


def parameter_of(quantity: str) -> str:
    """``weight`` for ``weight_gradient`` and ``updated_weight``."""
    return quantity.removeprefix("updated_") if quantity.startswith("updated_") else quantity.removesuffix("_gradient")


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected values of the reference, and for each the bound ``allowed`` on a right implementation's error.

    ``alternatives`` are computed only on demand, where a value differs. ``form`` describes the arrays in a reply, where
    they differ from those here. For some slots ``free`` has (low, high): values between them are right, because they
    depend on a choice at a kink (``diagnose.kinks``); values that do not depend on one have NaN there.
    """

    values: Mapping[Slot, Array]
    allowed: Mapping[Slot, Array]
    alternatives: Callable[[], Iterable[Alternative]] | None = None
    form: Form | None = None
    free: Mapping[Slot, tuple[Array, Array]] = field(default_factory=dict)

    def wrong(self, slot: Slot, got: Array, wider: float | Array = 0.0) -> Mask:
        """A mask of the wrong values: |got − expected| > max(allowed, wider), and outside the range of ``free``."""
        with np.errstate(invalid="ignore", over="ignore"):
            wrong: Mask = ~(abs(got - self.values[slot]) <= np.maximum(self.allowed[slot], wider))
            if slot in self.free:
                low, high = self.free[slot]
                wrong = np.where(np.isnan(low), wrong, ~((low - wider <= got) & (got <= high + wider)))
        return wrong

    def reach(self, slot: Slot, got: Array) -> Array:
        """How far a right value may be from the expected one, on the side on which ``got`` is."""
        if slot not in self.free:
            return self.allowed[slot]
        right, (low, high) = self.values[slot], self.free[slot]
        side = np.where(got < right, right - low, high - right)
        return np.where(low <= high, np.maximum(self.allowed[slot], side), self.allowed[slot])


def slots_of(passes: Sequence[Pass]) -> list[tuple[Slot, object]]:
    """Every slot that a run of the reference fills, with its values, in the order of computation."""
    first: Any = passes[0]
    last: Any = passes[-1]
    found: list[tuple[Slot, object]] = []
    for index, layer in enumerate(first.layers):
        found += [(Slot("z", index), layer.z)] if layer.z is not None else []
        found.append((Slot("a", index), layer.a))
    found.append((Slot("loss"), first.loss))
    for index in reversed(range(len(first.layers))):
        layer = first.layers[index]
        found.append((Slot("delta", index), layer.delta))
        found += [(Slot(f"{name}_gradient", index), each) for name, each in layer.gradients.items()]
    found.append((Slot("input_gradient"), first.input_gradient))
    found += _buffers(last, None)
    for step, one in enumerate(passes):
        if one.updated is None:
            continue
        found.append((Slot("loss", None, step), one.loss))
        found += _updated(one.updated, step)
        found += _buffers(one, step)
    if last.updated is not None:
        found += _updated(last.updated, None)
    return found


def _buffers(one: Any, step: int | None) -> list[tuple[Slot, object]]:
    """The slots of the buffers that a pass changed, with their values."""
    return [
        (Slot(f"{name}_buffer", index, step), value)
        for index, layer in enumerate(one.layers)
        for name, value in getattr(layer, "buffers", {}).items()
    ]


def _updated(updated: Sequence[Any], step: int | None) -> list[tuple[Slot, object]]:
    """The slots of updated parameters, with their values."""
    return [
        (Slot(f"updated_{quantity_of(name)}", index, step), value)
        for index, own in enumerate(updated)
        for name, value in own.items()
    ]

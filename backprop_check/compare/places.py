"""Describing units and parameters in words, by the indexes that their arrays have in a reply.

Internally, units have flat indexes, and so do all axes of a parameter but the first. Messages say ``channel 2, row 1,
column 0 of conv1`` and ``weight [2, 0, 1, 1] of conv1``; a command takes ``conv1:2,1,0``. ``Kind.places`` names the
indexes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from backprop_check.compare.trace import Form, Slot, parameter_of
from backprop_check.kinds.dense import Dense
from backprop_check.protocol.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backprop_check.case.network import Case
    from backprop_check.compare.compare import Mismatch

    Finding = Any  # a mismatch, or one as a results file has it

#: Quantities with one value per unit of a layer.
UNITS = ("z", "a", "delta")


def unravel(flat: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The indexes of the element with flat index ``flat`` in an array of that shape (row-major)."""
    found = []
    for size in reversed(shape):
        flat, index = divmod(flat, size)
        found.append(index)
    return tuple(reversed(found))


def ravel(indexes: Sequence[int], shape: Sequence[int]) -> int:
    """The flat index of an element (row-major): the inverse of ``unravel``."""
    flat = 0
    for index, size in zip(indexes, shape, strict=True):
        flat = flat * size + index
    return flat


def unit_words(names: Mapping[int, tuple[str, ...]], indexes: Sequence[int]) -> str:
    """``channel 2, row 1, column 0``; ``unit [2, 1, 0, 0]`` where the indexes have no names."""
    known = names.get(len(indexes))
    if known is None:
        return f"unit [{', '.join(map(str, indexes))}]"
    return ", ".join(f"{name} {index}" for name, index in zip(known, indexes, strict=True))


class Places:
    """Names of the units and parameters of one case's network. A layer is its number; None is the network's input."""

    def __init__(self, case: Case) -> None:
        self.network = case.network
        self.form = Form(case)
        self.names = [clean_text(name, 60) for name in case.network.names()]
        network, last = self.network, len(case.network.layers) - 1
        readers = [at for at in range(last + 1) if -1 in network.sources[at]]
        self._input: Mapping[int, tuple[str, ...]] = {
            **network.layers[readers[0] if readers else 0].places,
            1: ("input",),
        }

    def shape(self, layer: int | None, quantity: str = "a") -> tuple[int, ...]:
        """The shape of one sample's units, for the output a or for z and δ."""
        if layer is None:
            return self.network.input_shape
        return self.form.wire_shape(Slot(quantity, layer))[1:]

    def indexes(self, layer: int | None, flat: int, quantity: str = "a") -> tuple[int, ...]:
        """The indexes of the unit with flat index ``flat``."""
        return unravel(flat, self.shape(layer, quantity))

    def unit(self, layer: int | None, flat: int, quantity: str = "a") -> str:
        """``channel 2, row 1, column 0``."""
        names = self._input if layer is None else self.network.layers[layer].places
        return unit_words(names, self.indexes(layer, flat, quantity))

    def unit_of(self, layer: int | None, flat: int, quantity: str = "a") -> str:
        """``channel 2, row 1, column 0 of conv1``; for the input ``input 3``, or ``channel 0, … of the input``."""
        words = self.unit(layer, flat, quantity)
        if layer is None:
            return words if len(self.network.input_shape) == 1 else f"{words} of the input"
        return f"{words} of {self.names[layer]}"

    def index_names(self, layer: int | None, quantity: str = "a") -> tuple[str, ...]:
        """The names of the indexes of a layer's units; empty where they have none."""
        names = self._input if layer is None else self.network.layers[layer].places
        return names.get(len(self.shape(layer, quantity)), ())

    def by_step(self, layer: int | None, quantity: str = "a") -> bool:
        """Whether its units are a sequence: they have two indexes, of which the first is a step or a token."""
        names = self._input if layer is None else self.network.layers[layer].places
        shape = self.shape(layer, quantity)
        return len(shape) == 2 and names.get(2, ("",))[0] in ("step", "token", "time")  # noqa: PLR2004

    def source(self, layer: int, flat: int) -> str:
        """What a layer reads at a flat index: ``input 3``; for an image ``channel 2, row 1, column 0 of conv1``."""
        sources = self.network.sources[layer]
        source = None if sources[0] < 0 else sources[0]
        if len(sources) > 1 or len(self.shape(source)) == 1:
            return f"input {flat}"
        return self.unit_of(source, flat)

    def parameter_shape(self, layer: int, name: str) -> tuple[int, ...]:
        """The shape of a parameter, by its name in a trace; also of one that the layer shares from another."""
        return self.form.parameters[self.network.owner(layer)][name]

    def parameter(self, layer: int, name: str, flat: int) -> str:
        """``weight [2, 0, 1, 1] of conv1``; for a dense layer ``weight from input 4 into neuron 1 of output``."""
        indexes = unravel(flat, self.parameter_shape(layer, name))
        if isinstance(self.network.layers[layer], Dense):
            neuron = f"neuron {indexes[0]} of {self.names[layer]}"
            return (
                f"bias of {neuron}" if name == "bias" else f"weight from {self.source(layer, indexes[1])} into {neuron}"
            )
        return f"{name} [{', '.join(map(str, indexes))}] of {self.names[layer]}"

    # Findings -----------------------------------------------------------------------------------

    def at(self, one: Finding) -> list[int]:
        """The indexes in a reply of a finding's unit or parameter; empty for a finding about a whole array."""
        slot = Slot(one.quantity, one.layer, one.step)
        if one.quantity == "input_gradient":
            return list(unravel(one.index[0], self.shape(None))) if one.index else []
        if one.layer is None or one.neuron is None:
            return []
        if one.quantity in UNITS:
            return list(self.indexes(one.layer, one.neuron, one.quantity))
        if parameter_of(one.quantity) not in self.form.parameters[one.layer] and not one.quantity.endswith("_buffer"):
            return [one.neuron, *one.index]  # a quantity that this network does not have
        shape = self.form.wire_shape(slot)
        return [one.neuron, *(unravel(one.index[0], shape[1:]) if one.index else ())]

    def what(self, one: Finding) -> str:
        """The quantity in words, to stand before ``of`` and ``where``; ``gradient`` if that names the parameter."""
        if one.quantity.endswith("_buffer"):
            return "value"
        if self._names_parameter(one):
            return "updated value" if one.quantity.startswith("updated_") else "gradient"
        return str(one.quantity).replace("_", " ")

    def where(self, one: Finding) -> str:
        """The place of a finding in words, with sample and update."""
        parts = []
        at = self.at(one)
        if one.quantity == "input_gradient" and at:
            parts.append(self.unit_of(None, one.index[0]))
        elif one.layer is not None and not at:
            parts.append(f"layer {self.names[one.layer]}")
        elif one.layer is not None and one.neuron is not None:
            if one.quantity in UNITS:
                parts.append(self.unit_of(one.layer, one.neuron, one.quantity))
            elif self._names_parameter(one):
                name = parameter_of(one.quantity).removesuffix("_buffer")
                parts.append(f"{name} [{', '.join(map(str, at))}] of {self.names[one.layer]}")
            else:
                parts.append(f"neuron {one.neuron} of {self.names[one.layer]}")
                parts += [f"from {self.source(one.layer, i)}" for i in one.index]
        return ", ".join([*parts, *_sample_and_update(one)])

    def short(self, one: Finding) -> str:
        """``conv1:2,1,0, sample 1``, in the syntax of ``explain --neuron``; ``conv1[2,0,1,1]`` for a parameter.

        For a parameter of a dense layer, its neuron: ``hidden1:2, input 0``.
        """
        at = ",".join(map(str, self.at(one)))
        parts = [f"input:{at}"] * bool(at)
        if one.layer is not None:
            name = clean_text(self.names[one.layer], 30)
            parts = [f"{name}:{at}" if one.quantity in UNITS else f"{name}[{at}]"] if at else [name]
            if at and one.quantity not in UNITS and not self._names_parameter(one):
                parts = [f"{name}:{one.neuron}", *(f"input {i}" for i in one.index)]
        return ", ".join([*parts, *_sample_and_update(one)])

    def _names_parameter(self, one: Finding) -> bool:
        return bool(
            one.layer is not None
            and one.neuron is not None
            and one.quantity not in UNITS
            and not isinstance(self.network.layers[one.layer], Dense)
        )


def _sample_and_update(one: Finding) -> list[str]:
    return [f"{what} {n}" for what, n in (("sample", one.sample), ("update", one.step)) if n is not None]


def in_words(case: Case, one: Mismatch) -> str:
    """``neuron 2 of hidden1, sample 0``: the place of a finding in words."""
    return Places(case).where(one) or "the whole network"


def named(case: Case, one: Mismatch) -> str:
    """``delta of neuron 2 of hidden1, sample 0``: a finding's quantity and place; for the loss only the quantity."""
    places = Places(case)
    return " of ".join(text for text in (places.what(one), places.where(one)) if text)


def in_short(case: Case, one: Mismatch) -> str:
    """``hidden1:2, input 0, sample 1``: the place of a finding in the syntax of ``explain --neuron``."""
    return Places(case).short(one) or "network"


def what_it_is(case: Case, one: Mismatch) -> str:
    """The quantity of a finding in words, to be followed by ``of`` and its place."""
    return Places(case).what(one)


#: The number that stands for the network's input, as in ``Network.sources``.
INPUT = -1


def find_unit(case: Case, text: str) -> tuple[int, int]:
    """Parse ``conv1:2,1,0`` or ``conv1:14`` into (layer, flat index); for ``input:0,3,1`` the layer is ``INPUT``.

    Raises ``ValueError`` that says what was expected.
    """
    places = Places(case)
    name, _, number = text.rpartition(":")
    names = case.network.names()
    layer = INPUT
    if name != "input":
        layer = names.index(name) if name in names else int(name) if name.isascii() and name.isdigit() else -2
    indexes = [part.strip() for part in number.split(",")]
    known = name == "input" or 0 <= layer < len(names)
    if not (known and all(part.isascii() and part.isdigit() for part in indexes)):
        shape = places.shape(0)
        like = f"{places.names[0]}:{','.join(['0'] * len(shape))}"
        every = ", ".join(places.names)
        msg = f"expected layer:unit, such as {like}; the layers are {every} (or 0 to {len(names) - 1}), and input"
        raise ValueError(msg)
    shape = places.shape(None if layer == INPUT else layer)
    at = [int(part) for part in indexes]
    if len(at) == 1 and at[0] < math.prod(shape):
        return layer, at[0]
    if len(at) != len(shape) or any(i >= n for i, n in zip(at, shape, strict=True)):
        raise ValueError(_range(places, layer, shape))
    return layer, ravel(at, shape)


def _range(places: Places, layer: int, shape: Sequence[int]) -> str:
    """The valid units of a layer: ``the neurons of output are 0 to 1``."""
    at = None if layer == INPUT else layer
    names, whose = places.index_names(at), "the input" if at is None else places.names[at]
    if len(names) == 1:
        return f"the {names[0]}s{'' if at is None else f' of {whose}'} are 0 to {shape[0] - 1}"
    called = places.unit(at, math.prod(shape) - 1)
    return f"the units of {whose} go from {','.join('0' * len(shape))} to {_joined(shape)} ({called})"


def _joined(shape: Sequence[int]) -> str:
    return ",".join(str(n - 1) for n in shape)


def with_indexes(case: Case, found: list[Mismatch]) -> list[Mismatch]:
    """The findings, each with ``at``: the indexes of its place in a reply."""
    places = Places(case)
    return [msgspec.structs.replace(one, at=places.at(one)) for one in found]

"""Where, and where not: what all wrong numbers have in common, and no correct number has.

Every number that a case reports has a few features: its sample, gate, direction, step, channel, row, column, neuron,
the sign of its z, its layer's activation. A feature separates wrong from correct places if each of its values is either
wrong everywhere or correct everywhere. That is told in words: "wrong in gates f and i, correct in gates g and o".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.compare.trace import Slot
from backprop_check.kinds.dense import Dense
from backprop_check.kinds.recurrent import Recurrent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from backprop_check.compare.trace import Array
    from backprop_check.diagnose.evidence import Evidence

#: So many numbers must be wrong, and as many correct, before a feature is told to separate them.
_FEW = 6

#: The most values of a feature that are listed.
_LISTED = 4

#: The features in the order in which they are preferred, each with the words for its values.
_WORDS = {
    "activation": "{} layers",
    "kind": "{} layers",
    "layer": "{}",
    "direction": "the {} direction",
    "gate": "gate {}",
    "sample": "{}",
    "step": "{}",
    "channel": "channel {}",
    "border": "{}",
    "row": "{}",
    "column": "{}",
    "neuron": "{}",
    "z": "neurons with {} z",
}


def where(evidences: Sequence[Evidence]) -> str:
    """A sentence for the quantities whose wrong places are told from the correct ones by one feature; else empty."""
    told = []
    for quantity in dict.fromkeys(slot.quantity for each in evidences for slot in each.roots):
        found = _separating(quantity, evidences) or _separating(quantity, evidences, only_arrays_with_wrong_ones=True)
        if found:
            told.append(f"{quantity.replace('_', ' ')} {found}")
    return "; ".join(told[:3])


def _separating(quantity: str, evidences: Sequence[Evidence], *, only_arrays_with_wrong_ones: bool = False) -> str:
    """``wrong in gates f and i, correct in gates g and o``, of all arrays of a quantity or of those that are wrong."""
    counts: dict[str, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for each in evidences:
        for slot, array in each.actual.items():
            if slot.quantity != quantity or slot not in each.right.values or not array.shape:
                continue
            if only_arrays_with_wrong_ones and slot not in each.roots:
                continue
            wrong = each.roots.get(slot, np.zeros(array.shape, dtype=bool))
            telling = wrong | (each.right.values[slot] != 0)  # a 0 may be correct by chance
            for feature, values in features(each, slot, array):
                spread = np.broadcast_to(values, array.shape)
                for value in np.unique(spread).tolist():
                    here = wrong[(spread == value) & telling]
                    counts[feature][value][0] += int(here.sum())
                    counts[feature][value][1] += int(here.size - here.sum())
    for feature in _WORDS:
        bad = {value for value, (wrong, _) in counts[feature].items() if wrong}
        good = {value for value, (_, right) in counts[feature].items() if right}
        enough = min(sum(pair[k] for pair in counts[feature].values()) for k in (0, 1)) if counts[feature] else 0
        if not bad & good and bad and good and enough >= _FEW:
            return f"wrong in {_listed(feature, bad)}, correct in {_listed(feature, good)}"
    return ""


def _listed(feature: str, values: set[Any]) -> str:
    names = [str(value).replace("_", " ") for value in sorted(values, key=str)]
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} others"]
    text = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    form = _WORDS[feature]
    if len(values) > 1 and form.startswith(("gate", "channel")):
        form = form.replace(" ", "s ", 1)
    return form.format(text)


def features(evidence: Evidence, slot: Slot, array: Array) -> Iterator[tuple[str, NDArray[Any]]]:
    """The features of an array's numbers: names, and the value of each number (or one that all share)."""
    network = evidence.case.network
    if slot.layer is None:
        if len(array) > 1:
            yield "sample", _ends(len(array), "sample").reshape(-1, *[1] * (array.ndim - 1))
        return
    layer: Any = network.layers[slot.layer]
    yield "kind", np.array(layer.kind)
    if layer.activations:
        yield "activation", np.array(layer.activation)
    last = slot.layer == len(network.layers) - 1
    yield "layer", np.array("the output layer" if last else "hidden layers")
    if slot.quantity in ("z", "a", "delta"):
        yield from _of_units(evidence, slot, array, layer)
    elif isinstance(layer, Recurrent):
        yield "direction", np.array("reverse" if "reverse" in slot.quantity else "forward")
        if array.shape[0] == len(layer.gates) * layer.hidden_size:
            gates = np.repeat(np.array(layer.gates), layer.hidden_size)
            yield "gate", gates.reshape(-1, *[1] * (array.ndim - 1))
    else:
        yield "neuron", _ends(array.shape[0], "row").reshape(-1, *[1] * (array.ndim - 1))


def _of_units(evidence: Evidence, slot: Slot, array: Array, layer: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    network = evidence.case.network
    assert slot.layer is not None
    if len(array) > 1:
        yield "sample", _ends(len(array), "sample")[:, None]
    inputs = network.input_shapes[slot.layer]
    shape = network.output_shapes[slot.layer] if slot.quantity == "a" else layer.z_shape(inputs)
    flat = int(np.prod(array.shape[1:]))
    if isinstance(layer, Recurrent) and slot.quantity != "a":
        steps, width = shape
        directions = width // (len(layer.gates) * layer.hidden_size)
        gates = np.tile(np.repeat(np.array(layer.gates), layer.hidden_size), steps * directions)
        yield "gate", gates[None, :]
        yield "step", np.repeat(_ends(steps, "step"), width)[None, :]
    elif len(shape) == 3 and flat == int(np.prod(shape)):  # noqa: PLR2004 - channel, row, column
        channel, row, column = np.indices(shape).reshape(3, -1)
        edge = (row == 0) | (row == shape[1] - 1) | (column == 0) | (column == shape[2] - 1)
        yield "channel", channel[None, :]
        yield "border", np.where(edge, "the border", "the inside")[None, :]
        yield "row", _ends(shape[1], "row")[row][None, :]
        yield "column", _ends(shape[2], "column")[column][None, :]
    elif len(shape) == 1 and flat == shape[0]:
        yield "neuron", _ends(flat, "neuron")[None, :]
    z = evidence.actual.get(Slot("z", slot.layer))
    if isinstance(layer, Dense) and z is not None and z.shape == array.shape:
        yield "z", np.where(z > 0, "positive", "negative")


def _ends(count: int, of: str) -> NDArray[Any]:
    """For each index: the first, the last, or another."""
    found = np.full(count, f"other {of}s", dtype=object)
    if count > 1:
        found[-1] = f"the last {of}"
    found[0] = f"the first {of}"
    return found.astype(str)

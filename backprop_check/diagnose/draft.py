"""A case in pieces that can be changed one at a time, and put together again, whatever kinds of layers it has.

The JSON is changed: a field of a layer, the input's shape, the list of layers, what they read. Everything else is made
to fit: parameters are cut to the shapes that their layer then requires (``Kind.parameter_shapes``), masks, lengths and
other fields to its new input, inputs and targets to the network's new shapes. No kind of layer is treated by name. The
case's own checks decide whether the result is valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop_check.case.network import Case
from backprop_check.diagnose.fitting import NAMED, NO_CASE, Batch, fitting_layer, is_whole, resized_rows, round_numbers
from backprop_check.functions.names import NEEDS_OUTPUT
from backprop_check.kinds import KINDS
from backprop_check.kinds.given import plain
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from backprop_check.compare.trace import Array
    from backprop_check.kinds import Shape

Json = dict[str, Any]

#: Fields that say what a layer is and what it reads, not how large it is.
_OF_WIRING = ("kind", "name", "from", "combine", "shares")

#: Losses whose targets cannot be arbitrary numbers: they are shares of 1, or signs.
_PARTICULAR = {*NEEDS_OUTPUT, "hinge", "kl_divergence"}


@dataclass
class Draft:
    """``sources`` are the layers that each layer reads (−1: the input), ``owners`` the layer whose parameters it uses.

    ``before`` is the shape of each layer's input in the original case.
    """

    shape: Shape
    layers: list[Json]
    sources: list[list[int]]
    owners: list[int | None]
    before: list[Any]
    inputs: Array
    targets: Array
    rest: Json
    samples: int
    listed: bool
    """Whether the case writes the input's shape as a list, even if it is one number."""
    at_end: bool = False
    """Whether inputs, targets and masks that are cut keep their last places instead of the first."""

    @classmethod
    def of(cls, case: Case) -> Draft:
        """A case in pieces."""
        network, count = case.network, len(case.inputs)
        layers = [dict(plain(layer)) for layer in network.layers]
        for layer in layers:
            layer.pop("from", None)
            layer.pop("shares", None)
        body = plain(case)
        return cls(
            shape=network.input_shape,
            layers=layers,
            sources=[list(each) for each in network.sources],
            owners=[network.owner(k) if layer.shares else None for k, layer in enumerate(network.layers)],
            before=list(network.input_shapes),
            inputs=np.array(case.inputs).reshape(count, *network.input_shape),
            targets=np.array(case.targets).reshape(count, *network.output_shapes[-1]),
            rest={key: value for key, value in body.items() if key not in ("network", "inputs", "targets", "name")},
            samples=count,
            listed=not isinstance(network.inputs, int),
        )

    @property
    def reads_indices(self) -> bool:
        """Whether the inputs are indices."""
        return any(KINDS[layer["kind"]].indices for layer in self.layers)

    def users(self, k: int) -> list[int]:
        """The layers that use the parameters of layer ``k``, itself included: they must be changed together."""
        owner = self.owners[k] if self.owners[k] is not None else k
        return [j for j in range(len(self.layers)) if j == owner or self.owners[j] == owner]

    @staticmethod
    def put(layer: Json, key: str, place: int | None, value: int) -> None:
        """Set a size of a layer, at a place that ``integers`` lists."""
        if place is None:
            layer[key] = value
        else:
            layer[key] = [value if at == place else each for at, each in enumerate(layer[key])]

    def without_source(self, k: int, at: int) -> None:
        """Let layer ``k`` no longer read its source number ``at``."""
        if not isinstance(self.before[k][0], int):
            self.before[k] = tuple(shape for place, shape in enumerate(self.before[k]) if place != at)
        del self.sources[k][at]

    def without(self, k: int) -> None:
        """Remove layer ``k``: the layers that read it read its sources instead."""
        instead = self.sources[k]
        heirs = [j for j in self.users(k) if j != k] if self.owners[k] is None else []
        for j in heirs:
            self.owners[j] = None if j == heirs[0] else heirs[0]
        for j in range(k + 1, len(self.layers)):
            read = [s for source in self.sources[j] for s in (instead if source == k else [source])]
            if len(instead) > 1 and self.layers[j].get("combine") is None and "combine" in self.layers[k]:
                self.layers[j]["combine"] = self.layers[k]["combine"]
            self.sources[j] = [s - (s > k) for s in read]
        for parts in (self.layers, self.sources, self.owners, self.before):
            del parts[k]
        self.owners = [None if owner is None else owner - (owner > k) for owner in self.owners]

    def only(self, first: int, last: int) -> bool:
        """Keep the layers from ``first`` to ``last``; the input replaces those before.

        Returns False, and changes nothing, where the outputs that are replaced have different shapes.
        """
        read = {s for j in range(first, last + 1) for s in self.sources[j] if s < first}
        shapes = {self._shape_before(j, s) for j in range(first, last + 1) for s in self.sources[j] if s < first}
        if len(shapes) != 1:
            return False
        (shape,) = shapes
        if read != {-1}:
            plain = not self.reads_indices
            self.shape = shape
            if not plain or size(shape) > size(self.inputs.shape[1:]):
                self.inputs = round_numbers(self.samples * size(shape)).reshape(self.samples, *shape)
        for k in reversed([*range(first), *range(last + 1, len(self.layers))]):
            for parts in (self.layers, self.sources, self.owners, self.before):
                del parts[k]
        self.sources = [[s - first if s >= first else -1 for s in each] for each in self.sources]
        self.owners = [owner - first if owner is not None and owner >= first else None for owner in self.owners]
        return True

    def _shape_before(self, k: int, source: int) -> Any:
        """The shape of what layer ``k`` read from a source; its whole input where several were combined."""
        before = self.before[k]
        if not isinstance(before[0], int):
            return before[self.sources[k].index(source)]
        return before

    def case(self) -> Case | None:
        """The resulting case; None where it is not valid."""
        try:
            return self._case()
        except NO_CASE:
            return None

    def _case(self) -> Case:
        inputs = resized_rows(self.inputs, self.shape, at_end=self.at_end)
        batch = Batch(self.samples, len(inputs), self.at_end)
        made: list[Shape] = []
        layers: list[Json] = []
        for k, layer in enumerate(self.layers):
            kind = KINDS[layer["kind"]]
            shapes = [self.shape if source < 0 else made[source] for source in self.sources[k]]
            after: Any = tuple(shapes) if kind.apart else _together(layer.get("combine"), shapes)
            given = {key: value for key, value in layer.items() if key != "combine"}
            owner = self.owners[k]
            if owner is not None:
                given["parameters"] = layers[owner]["parameters"]
            fitting, output = fitting_layer(given, self.before[k], after, batch)
            if kind.indices:  # fewer rows: the same rows again
                rows = next(iter(fitting["parameters"].values()))
                inputs = inputs % len(rows)
            layers.append(fitting)
            made.append(output)
        for k, layer in enumerate(self.layers):
            if len(self.sources[k]) > 1 and "combine" in layer:
                layers[k]["combine"] = layer["combine"]
        names = [layer.get("name") or _default(k, len(layers)) for k, layer in enumerate(layers)]
        for k, layer in enumerate(layers):
            if self.sources[k] != [k - 1]:
                layer["from"] = [names[s] if s >= 0 else "input" for s in self.sources[k]]
            owner = self.owners[k]
            if owner is not None:
                layer["shares"] = names[owner]
        targets = resized_rows(self.targets, made[-1], at_end=self.at_end)
        kinds = "-".join(dict.fromkeys(str(layer["kind"]).replace("_", "-") for layer in layers))
        body = {
            "name": f"small-{kinds[:60].strip('-')}",
            "network": {"inputs": self._written_shape(), "layers": layers},
            "inputs": self._written_inputs(inputs),
            "targets": _shares(self.rest["loss"], targets).tolist(),
            **self.rest,
        }
        return Case.from_dict(body)

    def _written_shape(self) -> int | list[int]:
        return list(self.shape) if self.listed or len(self.shape) > 1 else self.shape[0]

    def _written_inputs(self, inputs: Array) -> Any:
        return inputs.astype(int).tolist() if self.reads_indices else inputs.tolist()


def _default(k: int, count: int) -> str:
    """The default name of a layer; see ``Network.names``."""
    return "output" if k == count - 1 else f"hidden{k + 1}"


def _together(combine: str | None, shapes: Sequence[Shape]) -> Shape:
    """The shape of several outputs combined, where they fit together."""
    if combine == "concat" and len(shapes) > 1:
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return shapes[0]


def _shares(loss: Json, targets: Array) -> Array:
    """Targets that were shares of 1 are scaled to a sum of 1 again; if all are 0, the first becomes 1."""
    if loss["kind"] not in _PARTICULAR or loss["kind"] in ("binary_cross_entropy", "hinge"):
        return targets
    axis = -1 if targets.ndim < 4 else 1  # noqa: PLR2004 - an image's classes are its channels
    total = targets.sum(axis=axis, keepdims=True)
    first = np.zeros_like(targets)
    np.moveaxis(first, axis, 0)[0] = 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: Array = np.where(total > 0, targets / total, first)
    return scaled


def any_numbers(loss: Json) -> bool:
    """Whether the targets of a loss may be arbitrary numbers."""
    return loss["kind"] not in _PARTICULAR


def integers(layer: Json) -> Iterator[tuple[str, int | None, int]]:
    """The sizes of a layer: field, place in it (None where it is no list), value."""
    for key, value in layer.items():
        if key in NAMED or key in _OF_WIRING:
            continue
        if is_whole(value):
            yield key, None, value
        elif isinstance(value, list | tuple) and all(map(is_whole, value)):
            yield from ((key, place, each) for place, each in enumerate(value))

"""Fits a layer to another input: its parameters, masks, lengths and sizes are changed, whatever its kind.

Which of its numbers are sizes of its input is not known here: a few ways are tried, and the layer's own checks decide
which is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from backprop_check.errors import CaseError
from backprop_check.kinds import KINDS
from backprop_check.kinds.kind import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backprop_check.compare.trace import Array
    from backprop_check.kinds import Kind, Shape

Json = dict[str, Any]

#: Numbers for small networks: few digits, all different.
ROUND = (0.5, -0.25, 0.75, -0.5, 0.3, 0.6, -0.4, 0.2, -0.7, 0.9)

#: Fields that hold arrays by name.
NAMED = ("parameters", "buffers")

#: What a draft that is no valid case may raise.
NO_CASE = (CaseError, msgspec.ValidationError, ArithmeticError, LookupError, TypeError, ValueError)


def round_numbers(count: int, start: int = 0) -> Array:
    """``count`` numbers of few digits, almost all different."""
    places = np.arange(start, start + count)
    found: Array = np.round(np.array(ROUND)[places % len(ROUND)] + 0.03 * (places // len(ROUND) % 17), 2)
    return found


def resized(array: Array, shape: Sequence[int], *, at_end: bool = False) -> Array:
    """The array cut to ``shape`` (its first places, or its last), and repeated where it is too short."""
    if not array.size:
        return round_numbers(size(tuple(shape))).reshape(shape)
    if array.ndim != len(shape):
        return np.resize(array, shape)
    for axis, length in enumerate(shape):
        start = array.shape[axis] - length if at_end else 0
        array = array.take(range(start, start + length), axis=axis, mode="wrap")
    return array


def resized_rows(rows: Array, shape: Shape, *, at_end: bool = False) -> Array:
    """Every sample's array resized to ``shape``."""
    return np.stack([resized(row, shape, at_end=at_end) for row in rows])


def is_whole(value: Any) -> bool:
    """Whether it is an integer, and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


class Batch(NamedTuple):
    """The numbers of samples before and after, and whether the last places of masks and lengths are kept."""

    before: int
    after: int
    at_end: bool = False


def fitting_layer(layer: Json, before: Any, after: Any, batch: Batch) -> tuple[Json, Shape]:
    """The layer changed to read an input of the shape ``after``, and its output's shape.

    Raises one of ``NO_CASE`` where no way of changing it passes the layer's checks.
    """
    kind = KINDS[layer["kind"]]
    error: Exception = CaseError("$.network", "a layer that fits", layer["kind"])
    for way in _ways(_flat(before), _flat(after), batch):
        try:
            followed = way.of(layer)
            if "parameters" in followed:
                followed["parameters"] = _cut(followed, msgspec.convert(followed, kind).parameter_shapes(after))
            made: Kind = msgspec.convert(followed, kind)
            made.check("$", after)
            made.check_batch("$", after, [[0.0]] * batch.after)
            return followed, made.output_shape(after)
        except NO_CASE as problem:
            error = problem
    raise error


def _cut(layer: Json, shapes: Mapping[str, Shape]) -> Json:
    """Parameters of these names and shapes, made from those of the layer."""
    having = {name: np.array(value, dtype=float) for name, value in layer["parameters"].items()}
    some = np.concatenate([np.zeros(0), *(each.reshape(-1) for each in having.values())])
    return {name: resized(having.get(name, some), shape).tolist() for name, shape in shapes.items()}


def _flat(shape: Any) -> list[Shape]:
    return [shape] if isinstance(shape[0], int) else list(shape)


class _Way(NamedTuple):
    """A way to change a layer's fields: each size is replaced by another one.

    ``values`` says which whole numbers are replaced: none, those in lists, all, or all that are too large (``less``).
    """

    sizes: Mapping[int, int]
    batch: Batch
    values: str = "none"
    lists_of_samples: bool = False

    def of(self, layer: Json) -> Json:
        """The changed layer. Arrays are resized in every way."""
        found: Json = {}
        for key, value in layer.items():
            listed = isinstance(value, list | tuple)
            if key in NAMED:
                found[key] = {name: self._array(each) for name, each in value.items()}
            elif listed and value and isinstance(value[0], list | tuple):
                found[key] = self._array(value, of_samples=True)
            elif listed and all(map(is_whole, value)):
                found[key] = [self._whole(n) for n in value] if self.values != "none" else list(value)
                if self.lists_of_samples and len(value) == self.batch.before:
                    found[key] = self._array(found[key], of_samples=True)
            elif is_whole(value) and self.values in ("all", "less"):
                found[key] = self._whole(value)
            else:
                found[key] = value
        return found

    def _whole(self, n: int) -> int:
        if self.values != "less":
            return self.sizes.get(n, n)
        return min(n, max(self.sizes.values())) if n <= max(self.sizes) else n

    def _array(self, value: Any, *, of_samples: bool = False) -> Any:
        made = np.array(value)
        shape = [self.sizes.get(n, n) for n in made.shape]
        if of_samples and made.shape[0] == self.batch.before:
            shape[0] = self.batch.after
        return resized(made, shape, at_end=self.batch.at_end).tolist()


def _ways(before: Sequence[Shape], after: Sequence[Shape], batch: Batch) -> Iterator[_Way]:
    """All ways to go from one shape of the input to another."""
    pairs: dict[tuple[int, int], None] = {}
    for old, new in zip(before, after, strict=False):
        alike = list(zip(old, new, strict=True)) if len(old) == len(new) else []
        pairs |= dict.fromkeys(alike or [(size(old), size(new)), (old[-1], new[-1]), (old[0], new[0])])
    changed = [(old, new) for old, new in pairs if old != new]
    maps = [{}, *([dict(changed)] if changed else []), *({old: new} for old, new in changed if len(changed) > 1)]
    for sizes in maps:
        if batch.before != batch.after:
            yield _Way(sizes, batch, lists_of_samples=True)
        for values in ("none", "lists", "all", "less") if sizes else ("none",):
            yield _Way(sizes, batch, values)

"""The numbers that a case gives: parameters, inputs and targets, as arrays.

A given number is a value, how far the true number may be from it, and the number type that it is stored in. Almost all
are exact float64 numbers, as JSON has them. A number that a program printed is known to half a unit of its last digit;
a network in half precision stores its weights in another type. All three are kept together: ``numbers.lanes`` begins
its bounds with the radius, so such numbers need no code of their own.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np

from backprop_check.fields import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

#: The number type of what stands in JSON.
FLOAT64 = "float64"


class GivenNumbers:
    """An array of given numbers, which cannot be changed.

    ``values`` are the numbers, of any shape. ``radius`` has the same shape or none: the true numbers are between
    ``values - radius`` and ``values + radius``. ``stored`` is the number type in which an implementation holds them.

    It is read like nested tuples: ``weights[j]`` is a row, ``weights[j][i]`` a float, ``len(weights)`` the rows.
    Lists that form no array (rows of several lengths, something that is no number) are kept in ``other`` as they came,
    so that the check of the layer can say what is wrong with them; ``values`` is empty then.
    """

    __slots__ = ("_whole", "other", "radius", "stored", "values")

    def __init__(self, numbers: Any, radius: ArrayLike = 0.0, stored: str = FLOAT64) -> None:
        self.values, self._whole, self.other = _read(numbers)
        self.radius: Any = np.asarray(radius, dtype=np.float64)
        self.stored = stored
        self.values.flags.writeable = False

    @classmethod
    def of(cls, numbers: Any) -> Self:
        """The given numbers of nested lists, of an array, of a row of given numbers, or of the JSON of ``as_json``."""
        if isinstance(numbers, cls):
            return numbers
        if isinstance(numbers, dict) and "values" in numbers:
            return cls(numbers["values"], numbers.get("radius", 0.0), numbers.get("stored", FLOAT64))
        if isinstance(numbers, list | tuple) and any(isinstance(each, cls) for each in numbers):
            rows = [cls.of(each) for each in numbers]
            radius = np.stack([np.broadcast_to(row.radius, row.shape) for row in rows])
            return cls([row.tolist() for row in rows], radius if radius.any() else 0.0, rows[0].stored)
        return cls(numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many numbers there are along each index."""
        return self.values.shape

    @property
    def exact(self) -> bool:
        """Whether the numbers are known exactly."""
        return not self.radius.any()

    def reshaped(self, *shape: int) -> GivenNumbers:
        """The same numbers in another shape."""
        radius = self.radius.reshape(shape) if self.radius.ndim else self.radius
        return self._like(self.values.reshape(shape), radius)

    def rounded(self, dtype: str) -> GivenNumbers:
        """The numbers rounded to ``dtype``; raises ``CaseError`` where one is too large for it."""
        if self.other is not None:
            return self
        with np.errstate(over="ignore"):
            values = self.values.astype(dtype).astype(np.float64)
        if not np.isfinite(values).all():
            fail("$", f"numbers that a {dtype} can hold", repr(float(self.values[~np.isfinite(values)][0])))
        return self._like(values, self.radius)

    def as_floats(self) -> GivenNumbers:
        """The same, which ``tolist`` writes as floats: 1.0 where 1 was given."""
        return self if self._whole is None else GivenNumbers(self.values, self.radius, self.stored)

    def as_whole(self) -> GivenNumbers:
        """The same, which ``tolist`` writes as whole numbers: indices."""
        made = GivenNumbers(self.values, self.radius, self.stored)
        made._whole = np.ones(self.shape, dtype=bool)
        return made

    def tolist(self) -> Any:
        """The numbers as nested lists: floats, and whole numbers where whole numbers were given."""
        if self.other is not None:
            return self.other
        if self._whole is None:
            return self.values.tolist()
        numbers = self.values.astype(object)
        numbers[self._whole] = [int(x) for x in numbers[self._whole]]
        return numbers.tolist()

    def as_json(self) -> Any:
        """``tolist()``, or an object that also says the radius or the number type where they are not the usual ones."""
        if self.exact and self.stored == FLOAT64:
            return self.tolist()
        return {"values": self.tolist(), "radius": self.radius.tolist(), "stored": self.stored}

    def _like(self, values: NDArray[np.float64], radius: Any) -> GivenNumbers:
        made = GivenNumbers(values, radius, self.stored)
        if self._whole is not None and self._whole.size == values.size:
            made._whole = self._whole.reshape(values.shape)
        return made

    def __len__(self) -> int:
        rows = self.values if self.other is None else self.other
        return len(rows) if isinstance(rows, np.ndarray | list | tuple) else 0

    def __getitem__(self, index: Any) -> Any:
        found = self.values[index]
        if not isinstance(found, np.ndarray):
            return float(found)
        return GivenNumbers(found, self.radius[index] if self.radius.ndim else self.radius, self.stored)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values.tolist()) if self.values.ndim == 1 else map(self.__getitem__, range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy calls it so
        return np.array(self.values, dtype=dtype, copy=True) if copy or dtype else self.values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GivenNumbers):
            return NotImplemented
        return self.stored == other.stored and self._bits() == other._bits()

    def __hash__(self) -> int:
        return hash(self._bits())

    def _bits(self) -> tuple[Any, ...]:
        """What makes it equal to another: shape, values (0 and −0 are one number), radius, and what is no array."""
        radius = np.broadcast_to(self.radius, self.shape) if self.radius.any() else self.radius.any()
        return self.shape, (self.values + 0.0).tobytes(), np.asarray(radius).tobytes(), repr(self.other)

    def __repr__(self) -> str:
        return f"GivenNumbers({self.as_json()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return GivenNumbers.of, (self.as_json(),)


def _read(numbers: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None, Any]:
    """The numbers, where they were whole numbers (None: nowhere), and what came, where it forms no array."""
    if isinstance(numbers, np.ndarray):
        return np.array(numbers, dtype=np.float64), None, None
    depth, part = 0, numbers
    while isinstance(part, list | tuple):
        depth, part = depth + 1, part[0] if part else None
    try:
        values = np.array(msgspec.convert(numbers, _rows(depth)), dtype=np.float64)
    except (ValueError, OverflowError, msgspec.ValidationError):  # of several lengths, too large, or no numbers
        return np.zeros(0), None, numbers
    rows: Iterable[Any] = numbers
    for _ in range(depth - 1):
        rows = itertools.chain.from_iterable(rows)
    whole = None
    kinds = list(map(type, rows))
    if int in kinds:
        whole = np.array([kind is int for kind in kinds]).reshape(values.shape)
    return values, whole, None


@functools.cache
def _rows(depth: int) -> Any:
    """The type of lists of numbers, nested so deep. It admits no True and no "1", which are no numbers."""
    kind: Any = float
    for _ in range(max(depth, 1)):
        kind = list[kind]
    return kind


def as_lists(numbers: Any) -> Any:
    """What msgspec writes for given numbers: its ``enc_hook``. Raises ``NotImplementedError`` for anything else."""
    if isinstance(numbers, GivenNumbers):
        return numbers.as_json()
    raise NotImplementedError(type(numbers).__name__)


def plain(struct: msgspec.Struct) -> Any:
    """A case, a network or a layer as dicts and lists."""
    return msgspec.to_builtins(struct, enc_hook=as_lists)


def encoded(struct: msgspec.Struct) -> bytes:
    """A case, a network or a layer as JSON."""
    return msgspec.json.encode(struct, enc_hook=as_lists)

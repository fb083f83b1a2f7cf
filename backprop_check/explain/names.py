"""The names of a pass's quantities, in the notation of the field.

Layers are counted from 1 in ``⁽¹⁾``, as in books (the inputs are x); neurons, inputs and samples from 0, as in the
protocol's arrays. ``w⁽²⁾₀₁`` leads from neuron 1 of the layer before to neuron 0; ``δ⁽¹⁾₀⟨2⟩`` belongs to sample 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from backprop_check.numbers.recording import Recorded

_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_ABOVE = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def below(*indexes: int) -> str:
    """Indexes as subscripts, with commas only where one of them has two digits."""
    texts = [str(index).translate(_BELOW) for index in indexes]
    return ("" if all(index < 10 for index in indexes) else ",").join(texts)  # noqa: PLR2004 - one digit


class CellNames:
    """The names of numbers; ``samples`` and the learning rate are set as the current formula needs them."""

    def __init__(self) -> None:
        self._names: dict[int, Callable[..., str]] = {}
        self._keep: list[Any] = []
        self._weights: set[int] = set()
        self._constants: dict[float, str] = {}
        self._single: dict[int, str] = {}
        self.samples = False

    def name_one(self, x: Recorded, name: str) -> None:
        """Name a number that belongs to no table, such as a slope."""
        self._single[id(x)] = name
        self._keep.append(x)

    def name_losses(self, losses: Any, terms: Any, *, batch: bool) -> None:
        """Name the parts of the loss: ℓₖ for the term of an output, ℓ⟨s⟩ for the loss of a sample."""
        self._put(terms, lambda _s, k: f"ℓ{below(k)}")
        if batch:
            self._put(losses, lambda s, _only: f"ℓ⟨{s}⟩")

    def name_memory(self, table: Any, name: str) -> None:
        """Give all cells of an optimizer's table one name: the formula of a parameter reads only one of them."""
        self._put(table, lambda *_at: name)

    def with_rate(self, rate: float | None) -> None:
        """Call the constant of this value η from now on (None: no constant)."""
        self._constants = {} if rate is None else {rate: "η"}

    def of(self, x: Recorded) -> str | None:
        """The name of a number, or None."""
        if x.place is not None:
            name = self._names.get(id(x.place[0]))
            return None if name is None else name(*x.place[1:])
        found = self._single.get(id(x))
        return found or (self._constants.get(x.value) if x.operation == "constant" else None)

    def has(self, x: Recorded) -> bool:
        """Whether a number has a name."""
        if x.place is not None:
            return id(x.place[0]) in self._names
        return id(x) in self._single or (x.operation == "constant" and x.value in self._constants)

    def is_weight(self, x: Recorded) -> bool:
        """Whether it is a weight; a weight comes first in a product."""
        return x.place is not None and id(x.place[0]) in self._weights

    def _put(self, table: Any, name: Callable[..., str]) -> None:
        self._names[id(table)] = name
        self._keep.append(table)  # so that no other object gets its id


def above(layer: int, layers: int) -> str:
    """``⁽²⁾`` for layer 1; nothing in a network of one layer."""
    return f"⁽{str(layer + 1).translate(_ABOVE)}⁾" if layers > 1 else ""

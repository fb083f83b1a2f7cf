"""The slope that a reading with error bounds uses at a kink, and its split of a tie: PyTorch's, another one, or every
one.

- ``Open``: every slope between the one-sided derivatives, and every split of a tie into shares from 0 to 1. A value is
  the middle of the correct ones, and its error reaches to both ends, so that the interval [value − error, value +
  error]
  contains the result of every choice. A kink counts as reached where the bound of its test contains 0.
- ``Chosen``: one slope at each kind of kink, and one split of ties.
- ``Picked``: for every tie the input that gets the whole gradient.

``Lanes`` uses these only where ``Lanes.choices`` is set; by default it uses PyTorch's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from backprop_check.functions.kinks import TIE, Kink
from backprop_check.numbers.lane import Lane, is_exact, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backprop_check.numbers.lane import Array

#: The splits of a tie that are tried: the share of every input that is largest.
SPLITS = ("first", "last", "even")


class Tie(NamedTuple):
    """A maximum with several largest inputs: the number of the call, the place of the window, and the places of
    the inputs.
    """

    call: int
    window: tuple[int, ...]
    inputs: tuple[int, ...]


class Choices:
    """The choices at kinks. ``met`` has the kinks that were reached, with their slopes below and above."""

    #: Whether an error may be more than rounding.
    widens: ClassVar[bool] = True

    def __init__(self) -> None:
        self.met: dict[Kink, tuple[float, float]] = {}
        self.ties: list[Tie] = []
        self._calls = 0

    def slope(self, kink: Kink, test: Lane, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """The derivative, where ``sides`` are (below, above) and ``slope`` is PyTorch's."""
        near = ~(abs(test.value) > test.error)  # also where the bound is no number
        if not near.any():
            return slope
        (x, ex), (y, ey) = parts(sides[0]), parts(sides[1])
        with np.errstate(invalid="ignore"):
            near &= abs(np.subtract(y, x)) > np.add(ex, ey)
        if not near.any():
            return slope
        if kink not in self.met:
            at = tuple(np.argwhere(near)[0])
            told = kink.slopes or tuple(float(np.broadcast_to(side, near.shape)[at]) for side in (x, y))
            self.met[kink] = (told[0], told[1])
        return self.taken(kink, near, sides, slope)

    def shares(self, values: Array, near: Array, won: Lane) -> tuple[Array, Any]:
        """The shares of a maximum's inputs and their errors, [..., input], where those ``near`` the largest are tied.

        ``won`` are PyTorch's shares.
        """
        tied = near & (near.sum(axis=-1)[..., None] > 1)
        self._calls += 1
        if not tied.any():
            return won.value, won.error
        self.met.setdefault(TIE, (0.0, 1.0))
        windows = [tuple(int(i) for i in at) for at in np.argwhere(tied.any(axis=-1))]
        self.ties += [Tie(self._calls, at, tuple(int(i) for i in np.flatnonzero(tied[at]))) for at in windows]
        value, error = self.split(tied, values, won)
        return value, error

    def taken(self, kink: Kink, near: Array, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """The slope where the kink is ``near``; elsewhere ``slope``."""
        raise NotImplementedError

    def split(self, tied: Array, values: Array, won: Lane) -> tuple[Array, Any]:
        """The shares where inputs are ``tied``; elsewhere ``won``."""
        raise NotImplementedError


class Open(Choices):
    """Every correct choice."""

    def taken(self, kink: Kink, near: Array, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """All slopes between the one-sided derivatives: (low + high)/2 ± (high − low)/2, with their errors included."""
        del kink
        (x, ex), (y, ey) = parts(sides[0]), parts(sides[1])
        with np.errstate(invalid="ignore", over="ignore"):
            low = np.minimum(np.subtract(x, ex), np.subtract(y, ey))
            high = np.maximum(np.add(x, ex), np.add(y, ey))
            middle, half = (low + high) / 2, (high - low) / 2
        return Lane(np.where(near, middle, slope.value), np.where(near, half, slope.error), slope.u)

    def split(self, tied: Array, values: Array, won: Lane) -> tuple[Array, Any]:
        """Each share from 0 to 1: ½ ± ½."""
        del values
        return np.where(tied, 0.5, won.value), np.where(tied, 0.5, won.error)


class Chosen(Choices):
    """The same choice at every kink of a kind: ``by`` has θ, or a split of ties; PyTorch's choice for other kinks."""

    def __init__(self, by: Mapping[Kink, float | str]) -> None:
        super().__init__()
        self.by = by

    def taken(self, kink: Kink, near: Array, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """below + θ (above − below)."""
        share = float(self.by.get(kink, kink.share))
        (x, ex), (y, ey) = parts(sides[0]), parts(sides[1])
        value = np.add(x, share * np.subtract(y, x))
        error = np.maximum(ex, ey) + slope.u * abs(value)
        return Lane(np.where(near, value, slope.value), np.where(near, error, slope.error), slope.u)

    def split(self, tied: Array, values: Array, won: Lane) -> tuple[Array, Any]:
        """Everything to the first, everything to the last, or equal shares."""
        split = self.by.get(TIE, SPLITS[0])
        if split == "even":
            shares = tied / np.maximum(tied.sum(axis=-1)[..., None], 1)
            return np.where(tied, shares, won.value), np.where(tied, won.u * shares, _certain(won))
        width = values.shape[-1]
        first = tied.argmax(axis=-1) if split == "first" else width - 1 - tied[..., ::-1].argmax(axis=-1)
        return np.where(tied, np.arange(width) == first[..., None], won.value), np.where(tied, 0.0, _certain(won))


class Watching(Choices):
    """PyTorch's choice everywhere; it only records the kinks that are reached."""

    widens = False

    def taken(self, kink: Kink, near: Array, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """PyTorch's slope."""
        del kink, near, sides
        return slope

    def split(self, tied: Array, values: Array, won: Lane) -> tuple[Array, Any]:
        """PyTorch's shares."""
        del tied, values
        return won.value, won.error


class Picked(Choices):
    """The whole gradient of a tie to the first input, or to the one that ``picked`` names for its call and window."""

    def __init__(self, picked: Mapping[tuple[int, tuple[int, ...]], int]) -> None:
        super().__init__()
        self.picked = picked

    def taken(self, kink: Kink, near: Array, sides: tuple[Any, Any], slope: Lane) -> Lane:
        """PyTorch's slope."""
        del kink, near, sides
        return slope

    def split(self, tied: Array, values: Array, won: Lane) -> tuple[Array, Any]:
        """The whole gradient to one input."""
        del values
        value = np.where(tied, tied.cumsum(axis=-1) == 1, won.value)
        for (call, window), cell in self.picked.items():
            if call == self._calls:
                value[window] = 0.0
                value[(*window, cell)] = 1.0
        return value, np.where(tied, 0.0, _certain(won))


def _certain(won: Lane) -> Any:
    """The error of PyTorch's shares: an array, or 0."""
    return 0.0 if is_exact(won.error) else won.error

"""Which neurons and samples of a large case stand in the page: all that fit, the wrong ones first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_check.case.network import Case

#: About so many numbers of a case are embedded; beyond it, some neurons and samples.
ROOM = 30_000

_CAPS = ((64, 64), (48, 48), (32, 32), (24, 32), (24, 16), (16, 16), (12, 8), (8, 4), (4, 2), (2, 1))


@dataclass(frozen=True, slots=True)
class Shown:
    """Indices of the inputs, of each layer's neurons and of the samples that stand in the page, ascending."""

    inputs: list[int]
    layers: list[list[int]]
    samples: list[int]
    whole: bool

    def before(self, index: int) -> list[int]:
        """What a layer reads, of that which is shown."""
        return self.layers[index - 1] if index else self.inputs


def choose(case: Case, wrong: list[list[int]], wrong_samples: list[int], room: int = ROOM) -> Shown:
    """``wrong`` holds, for the inputs and then for each layer, the wrong ones, the most telling first."""
    widths = [case.network.inputs, *(layer.units for layer in case.network.layers)]
    samples = len(case.inputs)
    if _numbers(widths, samples) <= room:
        return Shown(list(range(widths[0])), [list(range(n)) for n in widths[1:]], list(range(samples)), whole=True)
    for cap, sample_cap in _CAPS:
        kept = [min(n, cap) for n in widths]
        if _numbers(kept, min(samples, sample_cap)) <= room:
            break
    chosen = [_first(some, n, cap) for some, n in zip(wrong, widths, strict=True)]
    return Shown(chosen[0], chosen[1:], _first(wrong_samples, samples, sample_cap), whole=False)


def _first(wrong: list[int], n: int, cap: int) -> list[int]:
    """The wrong ones, leaving some room for right ones beside them, then the first of all."""
    if n <= cap:
        return list(range(n))
    most = cap - cap // 4
    kept = set(wrong[:most])
    for i in range(n):
        if len(kept) >= cap:
            break
        kept.add(i)
    return sorted(kept)


def _numbers(widths: list[int], samples: int) -> int:
    """What a case of this size puts into the page: parameters and per-sample values, each several times."""
    parameters = sum((fan_in + 1) * units for fan_in, units in itertools.pairwise(widths))
    return 7 * parameters + samples * (11 * sum(widths[1:]) + 4 * widths[0])

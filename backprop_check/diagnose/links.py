"""Wrong wirings of a convolution: other links between inputs and outputs, in the forward or the backward pass."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import SwappedRules
from backprop_check.kinds.kind import size
from backprop_check.kinds.windows import convolving, transposed
from backprop_check.kinds.wiring import Index, Wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backprop_check.case.network import Case


STRAIGHT = ("conv1d", "conv2d")


TRANSPOSED = ("conv_transpose1d", "conv_transpose2d")


CONVOLUTIONS = STRAIGHT + TRANSPOSED


def layers_of(case: Case) -> tuple[Any, ...]:
    """The layers of a case; untyped, because their fields differ."""
    return case.network.layers


class OfConvolution(SwappedRules):
    """The base of mistakes in a convolution."""

    kinds: ClassVar[tuple[str, ...]] = CONVOLUTIONS

    def is_mine(self, rule: Any) -> bool:
        """Whether a rule is the weighted sum of a convolution."""
        return rule.out.role == "z" and rule.spec is not None and rule.spec.kind in self.kinds_of(OfConvolution)


class OtherLinks(OfConvolution):
    """Sums over wrong links; ``where`` they are wrong: ``z`` (forward), ``x``, ``weights`` (gradients)."""

    where: ClassVar[tuple[str, ...]] = ("x",)

    def links(self, rule: Any) -> Wiring:
        """The wrong wiring."""
        raise NotImplementedError

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        """Σ w·x + b along the wrong links, where the mistake is in the forward pass."""
        if "z" not in self.where or not self.is_mine(rule):
            return super().value(rule, s, o)
        (source,), wiring = rule.sources, self.links(rule)
        terms = [(source.x.values[s, wiring.reads[o]], source.weights.values[s, wiring.uses[o]])]
        return self.m.dots(terms, [bias.values[s, of[o]] for bias, of in rule.biases])

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        """∂L/∂out and ∂out/∂i along the wrong links, where the mistake is in the backward pass."""
        if role[0] not in self.where or not self.is_mine(rule):
            return super().share(rule, role, s, i)
        (source,), wiring = rule.sources, self.links(rule)
        if role[0] == "x":
            readers, used = wiring.by_input
            return rule.out.error[s, readers[i]], source.weights.values[s, used[i]]
        units, inputs = wiring.by_weight
        return rule.out.error[s, units[i]], source.x.values[s, inputs[i]]


def wiring_of(rule: Any) -> Wiring:
    """The right wiring of a convolution's sum."""
    wiring: Wiring = rule.sources[0].wiring
    return wiring


def through_others(wiring: Wiring, other: Callable[[int], int]) -> Wiring:
    """The same links, each through the weight ``other(weight)``."""
    uses = [[other(use) for use in row] for row in wiring.uses.rows]
    return Wiring(wiring.inputs, wiring.weights, wiring.reads.rows, uses)


def of_links(wiring: Wiring, links: Iterable[tuple[int, int, int]]) -> Wiring:
    """A wiring with only these links, each (unit, input, weight)."""
    reads: list[list[int]] = [[] for _ in range(len(wiring.reads))]
    uses: list[list[int]] = [[] for _ in range(len(wiring.reads))]
    for o, read, use in links:
        reads[o].append(read)
        uses[o].append(use)
    return Wiring(wiring.inputs, wiring.weights, reads, uses)


@functools.lru_cache(maxsize=256)
def flipped(wiring: Wiring, kernel: tuple[int, ...], axes: tuple[int, ...]) -> Wiring:
    """The wiring with every channel of the kernel reversed along ``axes``."""

    def other(use: int) -> int:
        place, channel = use % size(kernel), use // size(kernel)
        indexes = []
        for length in reversed(kernel):
            place, index = divmod(place, length)
            indexes.append(index)
        indexes.reverse()
        at = channel
        for axis, length in enumerate(kernel):
            at = at * length + (length - 1 - indexes[axis] if axis in axes else indexes[axis])
        return at

    return through_others(wiring, other)


@functools.lru_cache(maxsize=256)
def last_written(wiring: Wiring, area: int, order: str, into: str) -> Wiring:
    """The links that are written last, of those into every input (``into`` is ``x``) or from every output (``z``).

    ``order``: ``channel`` loops over channels, then over positions; ``position`` over positions, then over channels;
    ``window`` sums the channels of a position before it is written; ``whole`` the positions of a channel.
    """
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for o, (reads, uses) in enumerate(zip(wiring.reads.rows, wiring.uses.rows, strict=True)):
        for read, use in zip(reads, uses, strict=True):
            rows.setdefault(read if into == "x" else o, []).append((o, read, use))
    kept = []
    for links in rows.values():

        def key(link: tuple[int, int, int]) -> tuple[int, ...]:
            channel, position = divmod(link[0] if into == "x" else link[1], area)
            return {
                "channel": (channel, position),
                "position": (position, channel),
                "window": (position,),
                "whole": (channel,),
            }[order]

        last = max(map(key, links))
        kept += [link for link in links if key(link) == last]
    return of_links(wiring, kept)


def moved(rule: Any, **other: tuple[int, ...]) -> Wiring:
    """The wiring of another window with the same number of outputs."""
    spec, inputs = rule.spec, rule.inputs
    sizes = spec.output_shape(inputs)[1:]
    build = convolving if spec.kind in STRAIGHT else transposed
    return build(inputs, spec.out_channels, spec.groups, spec.window._replace(**other), sizes)


@functools.lru_cache(maxsize=256)
def of_positions(positions: tuple[int, ...]) -> Index:
    """One position for every unit, as an ``Index``."""
    return Index([[position] for position in positions])


@functools.lru_cache(maxsize=256)
def swapped_channels(wiring: Wiring, depth: int, area: int) -> Wiring:
    """w[i, c] in place of w[c, i] within each group; the groups are square."""

    def other(use: int) -> int:
        channels, place = divmod(use, area)
        c, i = divmod(channels, depth)
        group, own = divmod(c, depth)
        return ((group * depth + i) * depth + own) * area + place

    return through_others(wiring, other)


@functools.lru_cache(maxsize=256)
def one_channel(wiring: Wiring, depth: int, area: int, channel: int) -> Wiring:
    """All input channels through the kernel of channel ``channel``."""

    def other(use: int) -> int:
        channels, place = divmod(use, area)
        return (channels - channels % depth + channel) * area + place

    return through_others(wiring, other)


@functools.lru_cache(maxsize=256)
def of_one_input(wiring: Wiring, depth: int, area: int, kernel: int) -> Wiring:
    """Every weight multiplies the input of its group's first channel."""
    reads = [
        [read - use // kernel % depth * area for read, use in zip(reads, uses, strict=True)]
        for reads, uses in zip(wiring.reads.rows, wiring.uses.rows, strict=True)
    ]
    return Wiring(wiring.inputs, wiring.weights, reads, wiring.uses.rows)

"""BP709 to BP713: pooling."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from backprop_check.diagnose.bug import Bug, SwappedRules, Variant, variant, variants
from backprop_check.diagnose.links import layers_of
from backprop_check.kinds.kind import size
from backprop_check.kinds.windows import divisors
from backprop_check.kinds.wiring import Index, Wiring
from backprop_check.reference.rules import Largest, WeightedSum

if TYPE_CHECKING:
    from backprop_check.case.network import Case

_MAXIMUM = ("max_pool1d", "max_pool2d", "global_max_pool")
_AVERAGE = ("avg_pool1d", "avg_pool2d", "global_avg_pool")


class OfPooling(SwappedRules):
    """The base of mistakes in pooling layers of these ``kinds``."""

    kinds: ClassVar[tuple[str, ...]] = _MAXIMUM

    def is_pool(self, rule: Any) -> bool:
        """Whether a rule is the maximum or average of such a layer."""
        return (
            rule.spec is not None
            and rule.spec.kind in self.kinds_of(OfPooling)
            and rule.out.role == "a"
            and isinstance(rule, Largest | WeightedSum)
        )


def _wiring(rule: Any) -> Wiring:
    wiring: Wiring = rule.wiring if isinstance(rule, Largest) else rule.sources[0].wiring
    return wiring


# BP709, BP711: who gets the gradient of a maximum -------------------------------------------------


class GradientToAll(OfPooling):
    """Every input of the window gets δ (or an equal share of it)."""

    __shared: ClassVar[bool] = False

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not self.is_pool(rule):
            return super().share(rule, role, s, i)
        errors = rule.out.error[s, _wiring(rule).by_input[0][i]]
        if self.__shared:
            kernel = getattr(rule.spec, "kernel_size", rule.inputs[1:])
            area = self.m.number(float(size(kernel)))
            errors = self.m.vector(lambda error: error / area, errors)
        return errors, None


class TiesCounted(OfPooling):
    """Every input that is largest gets the whole δ: the shares of a tie add up to more than 1."""

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not self.is_pool(rule):
            return super().share(rule, role, s, i)
        m, (readers, used) = self.m, _wiring(rule).by_input
        won, largest = rule.winners[s, used[i]], rule.out.values[s, readers[i]]
        return rule.out.error[s, readers[i]], m.vector(self._tied, won, largest, rule.x.values[s, i])

    def _tied(self, won: Any, largest: Any, x: Any) -> Any:
        """1 where x is largest, whether it is the first or not; else 0."""
        return self.m.where_positive(self.m.exact(largest - x), won, self.m.number(1.0))


# BP710: windows that overlap ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _columns(index: Index) -> tuple[Index, ...]:
    """The last position of every row, the last but one, …, each as an index with one position or none per row."""
    longest = max(map(len, index.rows), default=0)
    return tuple(Index([[row[-t]] if len(row) >= t else [] for row in index.rows]) for t in range(1, longest + 1))


class LastWinnerCounts(OfPooling):
    """dx[largest] = δ in place of +=: of the windows in which an input is largest, only the last one counts."""

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not self.is_pool(rule):
            return super().share(rule, role, s, i)
        m, (readers, used) = self.m, _wiring(rule).by_input
        total, open_yet = m.number(0.0), m.number(1.0)
        for reader, use in zip(_columns(readers), _columns(used), strict=True):
            won = m.total(rule.winners[s, use[i]])
            total = total + m.total(rule.out.error[s, reader[i]]) * won * open_yet
            open_yet = open_yet * (m.number(1.0) - won)
        return m.one(total), None

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _overlaps(case, cls.kinds)


class LastWindowCounts(OfPooling):
    """dx[window] = δ times the slopes of the whole window: only the last window that contains an input counts."""

    kinds: ClassVar[tuple[str, ...]] = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if not self.is_pool(rule):
            return super().share(rule, role, s, i)
        readers, used = (_columns(index) for index in _wiring(rule).by_input)
        if not readers:
            return super().share(rule, role, s, i)
        slopes = rule.winners if isinstance(rule, Largest) else rule.sources[0].weights.values
        return rule.out.error[s, readers[0][i]], slopes[s, used[0][i]]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return _overlaps(case, cls.kinds)


def _overlaps(case: Case, kinds: tuple[str, ...]) -> bool:
    return any(
        layer.kind in kinds
        and hasattr(layer, "window")
        and any(reach > s for reach, s in zip(layer.window.reach(), layer.window.stride, strict=True))
        for layer in layers_of(case)
    )


# BP712, BP713: what an average is divided by ------------------------------------------------------


class OtherDivisor(OfPooling):
    """Every window's sum is divided by another number, ``where``: forward (``z``), backward (``x``)."""

    kinds: ClassVar[tuple[str, ...]] = _AVERAGE
    __where: ClassVar[tuple[str, ...]] = ("z", "x")

    def divisors(self, rule: Any) -> list[float]:
        """The wrong divisor of every position."""
        return [1.0] * _wiring(rule).weights

    def _shares(self, rule: Any) -> Any:
        return self.m.given_row([1.0 / divisor for divisor in self.divisors(rule)])

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        if "z" not in self.__where or not self.is_pool(rule):
            return super().value(rule, s, o)
        wiring = _wiring(rule)
        terms = [(rule.sources[0].x.values[s, wiring.reads[o]], self._shares(rule)[s, wiring.uses[o]])]
        return self.m.dots(terms, [])

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        if role[0] != "x" or "x" not in self.__where or not self.is_pool(rule):
            return super().share(rule, role, s, i)
        readers, used = _wiring(rule).by_input
        return rule.out.error[s, readers[i]], self._shares(rule)[s, used[i]]


class EdgeDivisor(OtherDivisor):
    """Another number of positions at the edge: ``inside``, ``padded`` or the ``whole`` window."""

    kinds: ClassVar[tuple[str, ...]] = ("avg_pool1d", "avg_pool2d")
    __counts: ClassVar[str] = "whole"
    override: ClassVar[bool] = False
    """Whether a ``divisor_override`` is used."""

    def divisors(self, rule: Any) -> list[float]:
        spec, sizes = rule.spec, rule.spec.output_shape(rule.inputs)[1:]
        given = getattr(spec, "divisor_override", None)
        if self.override and given is not None:
            return [float(given)] * _wiring(rule).weights
        if self.__counts == "whole":
            return [float(size(spec.kernel_size))] * _wiring(rule).weights
        found = divisors(spec.window, rule.inputs[1:], sizes, padding_counts=self.__counts == "padded")
        return [float(each) for each in found]

    @classmethod
    def matters(cls, case: Case) -> bool:
        return any(
            layer.kind in cls.kinds
            and (
                max(layer.padding) > 0
                or layer.ceil_mode
                or (not cls.override and getattr(layer, "divisor_override", None) is not None)
            )
            for layer in layers_of(case)
        )


_BACK = ("x",)


def _apart(stages: type[OfPooling], label: str, **attributes: Any) -> list[Variant]:
    """The mistake in all kinds, and in one only: windows and whole channels are often separate code."""
    of_windows, of_channels = stages.kinds[:-1], stages.kinds[-1:]
    return [
        variant(stages, label, **attributes),
        variant(stages, f"{label}, not in global pooling", usual=False, kinds=of_windows, **attributes),
        variant(stages, f"{label}, in global pooling only", usual=False, kinds=of_channels, **attributes),
    ]


BUGS = (
    Bug(
        code="BP709",
        name="pool-gradient-to-all",
        sentence="Maximum pooling sends δ back to every input of the window; only the largest had a part in the output.",
        right="∂L/∂x[i] = δ of every window whose largest i is",
        wrong="∂L/∂x[i] = δ of every window that i is in",
        stays_right="the forward pass; every gradient of the layers behind",
        fix="remember which input was largest, and give δ to it alone",
        example="dx[window] += delta[o]          # BP709\ndx[largest_of[o]] += delta[o]   # right\n",
        confused_with=("BP710", "BP711"),
        variants=variants(
            *_apart(GradientToAll, "each gets all of δ"),
            *_apart(GradientToAll, "each gets δ divided by the window's size, as of an average", shared=True),
        ),
    ),
    Bug(
        code="BP710",
        name="pool-overlap-overwritten",
        sentence="Where windows overlap, an input can be part of several outputs, but only the last window counts: = was"
        " written instead of +=.",
        right="∂L/∂x[i] = Σ over all windows of their shares",
        wrong="∂L/∂x[i] = the share of the last window",
        stays_right="the forward pass; windows that do not overlap",
        fix="begin with zeros and add: dx[largest_of[o]] += delta[o]",
        example="dx[largest_of[o]] = delta[o]   # BP710\ndx[largest_of[o]] += delta[o]  # right\n",
        confused_with=("BP703", "BP709"),
        seen="FluxML/Flux.jl#1197",
        variants=variants(
            variant(LastWinnerCounts, "the last window whose largest it is"),
            variant(LastWindowCounts, "the last window that it is in"),
        ),
    ),
    Bug(
        code="BP711",
        name="pool-ties-counted",
        sentence="Several inputs of a window are the largest, and each of them gets all of δ, so that δ is counted several"
        " times.",
        right="of several that are largest one gets δ, or each a share, and the shares add up to 1",
        wrong="all x[i] = max get δ",
        stays_right="the forward pass; windows with one largest: nearly all, but after a ReLU zeros are often tied",
        fix="take the position of one maximum (argmax), not the mask x == max; or divide the mask by its sum",
        example="dx[window] += delta * (x[window] == x[window].max())  # BP711\n"
        "dx[window.flat[x[window].argmax()]] += delta          # right\n",
        confused_with=("BP709",),
        seen="Theano/Theano#5248",
        variants=variants(*_apart(TiesCounted, "each gets all of δ")),
    ),
    Bug(
        code="BP712",
        name="average-pool-divisor-missing",
        sentence="Average pooling sums up its window and does not divide.",
        right="a = (1/n) Σ x, ∂L/∂x = δ/n",
        wrong="a = Σ x, or ∂L/∂x = δ",
        stays_right="with the mistake on the way back only: the forward pass",
        fix="divide by the number of positions, forward and backward",
        example="dx[window] += delta[o]               # BP712\ndx[window] += delta[o] / window.size  # right\n",
        confused_with=("BP713",),
        variants=variants(
            *_apart(OtherDivisor, "on the way back", where=_BACK),
            *_apart(OtherDivisor, "forward and backward"),
            *_apart(OtherDivisor, "forward", where=("z",)),
        ),
    ),
    Bug(
        code="BP713",
        name="average-pool-edge-divisor",
        sentence="At the edge, where windows reach into the padding or beyond, an average is divided by the wrong number.",
        right="count_include_pad: the positions on the padded input; else those on the input; never what ceil_mode adds",
        wrong="the whole window, or the positions on the input (or on the padded one), whatever was asked for",
        stays_right="every window that lies on the input",
        fix="count the positions as count_include_pad says, cut off at the end of the padded input",
        example="a[o] = total / (K * K)                      # BP713\na[o] = total / positions_inside(o)          # right\n",
        confused_with=("BP712",),
        seen="tracel-ai/burn#5604",
        variants=variants(
            *(
                variant(EdgeDivisor, f"{label}{there}", usual=usual, counts=counts, where=where, override=override)
                for override in (False, True)
                for where, there, usual in ((("z", "x"), "", True), (_BACK, ", on the way back", False),
                                            (("z",), ", forward only", False))
                for counts, label in (("whole", "by the whole window"), ("inside", "by the positions on the input"),
                                      ("padded", "by the positions on the padded input"))
            )
        ),
    ),
)  # fmt: skip

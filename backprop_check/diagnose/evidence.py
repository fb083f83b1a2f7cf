"""Evidence: the reported values of a case, and whether the stages of a bug reproduce or refute them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.compare.trace import Slot
from backprop_check.diagnose.bug import Swapped, swapped_quantities
from backprop_check.diagnose.given import Local, given, given_at_kinks
from backprop_check.diagnose.kinks import local_of, without_freedom
from backprop_check.kinds.kind import quantity_of, size

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from backprop_check.case.network import Case
    from backprop_check.compare.trace import Array, Mask
    from backprop_check.diagnose.effort import Part
    from backprop_check.reference import Stages


#: The number of passing cases that are checked for whether they refute a name.
WITNESSES = 150

#: A name explains a value only if its bound is at most this fraction of the array's largest number, or of the value to
#: explain (which may cancel to 0). A wider bound would also admit the numbers of other formulas.
_SHARP = 2.0**-8

#: Quantities that a port may compute apart from its backward pass; right or wrong, they do not decide about a name.
_LENIENT = {"input_gradient"}

#: Failing cases with a smaller ``size`` decide little; larger ones are tried first.
_DECISIVE = 60


@dataclass(eq=False)
class Evidence:
    """One case and the values that were reported for it, by slot."""

    case: Case
    actual: Mapping[Slot, Array]
    dtype: str = "float64"
    profile: str = "textbook"
    ignored: Mapping[Slot, Mask] = field(default_factory=dict)
    """Masks of the values that need no explanation: unstable ones."""
    kinks: str = "any"
    """The slopes accepted at kinks: with "any", a value at a kink speaks neither for nor against a bug."""
    effort: Part | None = None
    """Counts the passes over the case."""
    _right: Local | None = None
    _tried: dict[type[Stages], Local] = field(default_factory=dict)
    _refuted: set[type[Stages]] = field(default_factory=set)

    @property
    def right(self) -> Local:
        """The values of the right stages on the reported inputs."""
        if self._right is None:
            self._right = local_of(self.case, self.actual, self.dtype, self.profile, self.kinks)
        return self._right

    @functools.cached_property
    def plain(self) -> Local:
        """The same with PyTorch's choices at kinks; descriptions of errors compare with these values."""
        return given(self.case, self.actual, self.dtype, self.profile)

    @property
    def size(self) -> int:
        """The amount of work of the case: samples · (weights + 4 · units)."""
        network = self.case.network
        weights = sum(
            size(shape)
            for layer, read in zip(network.layers, network.input_shapes, strict=True)
            for shape in layer.parameter_shapes(read).values()
            if len(shape) > 1
        )
        return len(self.case.inputs) * (weights + 4 * sum(network.widths))

    @property
    def has_roots(self) -> bool:
        """Whether anything is wrong given its own inputs."""
        return not self._all_fit(self.right)

    @functools.cached_property
    def roots(self) -> dict[Slot, Mask]:
        """Masks of the values that are wrong given their own inputs, by slot; only slots that have some."""
        masks = {slot: ~self._fit(self.right, slot, array) for slot, array in self.actual.items()}
        return {slot: mask for slot, mask in masks.items() if mask.any()}

    @property
    def simplicity(self) -> tuple[bool, bool, bool, int]:
        """A sort key, simplest case first: one step, no zero weights (hide errors), not too small, then by size."""
        arrays = (array for layer in self.case.network.layers for array in layer.arrays().values())
        hiding = any((np.asarray(array) == 0).any() for array in arrays if np.ndim(array) > 1)
        return self.case.steps > 1, hiding, self.size < _DECISIVE, self.size

    @functools.cached_property
    def wrong_kinds(self) -> frozenset[tuple[str, object]]:
        """The quantities that are wrong given their own inputs, each with its place: at the output or not, at
        which kinds.
        """
        network = self.case.network
        last = len(network.layers) - 1

        def where(layer: int | None) -> object:
            source = -1 if layer is None else layer
            near = (at for at, sources in enumerate(network.sources) if at == layer or source in sources)
            return layer == last, frozenset(network.layers[at].kind for at in near)

        return frozenset(
            (slot.quantity, where(slot.layer))
            for slot, array in self.actual.items()
            if not self._fit(self.right, slot, array).all()
        )

    def under(self, stages: type[Swapped]) -> Local:
        """The values of swapped stages on the reported inputs."""
        if stages not in self._tried:
            if self.effort is not None:
                self.effort.spend(self.case)
            local = given_at_kinks(self.case, self.actual, self.dtype, self.profile, stages, self.kinks)
            assert local is not None
            self._tried[stages] = without_freedom(local, self.right)
        return self._tried[stages]

    def _soon_refuted(self, stages: type[Swapped]) -> bool:
        """Whether a pass with swapped stages gives a value that was not reported; most passes stop at the first one."""
        if stages not in self._refuted and stages not in self._tried:
            local = given_at_kinks(self.case, self.actual, self.dtype, self.profile, stages, self.kinks, self._deciding)
            if self.effort is not None:
                self.effort.spend(self.case, 0.5 if local is None else 1)
            if local is None:
                self._refuted.add(stages)
            else:
                self._tried[stages] = without_freedom(local, self.right)
        return stages in self._refuted

    @functools.cached_property
    def _deciding(self) -> frozenset[Slot]:
        """The slots in which a single number refutes a bug: those without values that need no explanation."""
        return frozenset(slot for slot in self.actual if slot not in self.ignored and slot.quantity not in _LENIENT)

    def _fit(self, local: Local, slot: Slot, array: Array) -> Mask:
        """Where a value agrees with ``local``, or decides nothing because it is not finite, unstable or has no
        bound.
        """
        # A bug's number without a bound decides nothing, unless the value there is wrong and needs an explanation.
        unbounded = ~np.isfinite(local.allowed[slot]) & self.right.fits(slot, array)
        fits: Mask = local.fits(slot, array) | ~np.isfinite(array) | unbounded
        if slot in self.ignored:
            fits = fits | self.ignored[slot]
        return fits

    def agrees_with(self, local: Local) -> bool:
        """Whether every reported number is one of ``local``, which was computed from the case alone."""
        return self._all_fit(local)

    def _all_fit(self, local: Local) -> bool:
        for slot, array in self.actual.items():
            fits = self._fit(local, slot, array)
            if slot.quantity in _LENIENT:
                fits = fits | self._fit(self.right, slot, array)
            if not fits.all():
                return False
        return True

    @functools.cached_property
    def _wrong(self) -> frozenset[str] | None:
        """The quantities that are wrong given their own inputs, if all inputs were reported; otherwise None."""
        layers = self.case.network.layers
        full = all(layer.one_sum and not layer.combine and not layer.shares for layer in layers) and all(
            Slot(quantity, index) in self.actual
            for index, layer in enumerate(layers)
            for quantity in ("z", "a", "delta", *(f"{quantity_of(name)}_gradient" for name in layer.arrays()))
        )
        # A second step reports only its results, in which an error of any stage may show.
        later = {"loss", "updated_weight", "updated_bias"} if self.case.steps > 1 else set()
        return frozenset(name for name, _ in self.wrong_kinds if name not in _LENIENT | later) if full else None

    def reproduced_by(self, stages: type[Swapped]) -> bool:
        """Whether these stages give every reported number, and explain the wrong ones with a sharp bound.

        Where the bound is too wide (1 − p has lost its digits), they must give the number from exactly the reported
        values.
        """
        if self._wrong is not None and not self._wrong <= swapped_quantities(stages):
            return False
        if not stages.matters(self.case) or self._soon_refuted(stages) or not self._all_fit(self.under(stages)):
            return False
        if self._explains(self.under(stages)):
            return True
        # The bug may move a value to a kink, where the bound is wide; PyTorch's choice there has a sharp bound.
        return any(
            self._explains(given(self.case, self.actual, self.dtype, self.profile, stages, as_reported=exactly))
            for exactly in (True, False)
        )

    def _explains(self, local: Local) -> bool:
        """Whether ``local`` gives every value that is wrong given its own inputs, with a sharp bound."""
        for slot, array in self.actual.items():
            wrong = ~self._fit(self.right, slot, array)
            if not wrong.any():
                continue
            with np.errstate(invalid="ignore", over="ignore"):
                size = np.max(abs(local.values[slot]), initial=0.0, where=np.isfinite(local.values[slot]))
                gap = abs(array - self.right.values[slot])
                sharp = local.allowed[slot] <= _SHARP * np.fmax(size, np.where(np.isfinite(gap), gap, 0.0) * _SHARP)
            if not (local.fits(slot, array) & sharp)[wrong].all():
                return False
        return True

    def follows_from(self, stages: type[Swapped]) -> bool:
        """Whether these stages, computed from the case alone, give every reported number.

        This finds the name where small errors add up although no single stage is wrong beyond its bound.
        """
        if not stages.matters(self.case):
            return False
        local = _at_kinks(self.case, self.dtype, self.profile, stages, self.kinks)
        return all(self._fit(local, slot, array).all() for slot, array in self.actual.items())

    def undecided_by(self, stages: type[Swapped]) -> bool:
        """Whether these stages differ from the reported values only where they give no finite number, such as 0/0.

        There an implementation may have its own guard, so the case speaks neither for nor against the bug.
        """
        if not stages.matters(self.case) or self._soon_refuted(stages):
            return False
        local = self.under(stages)
        return all(
            (self._fit(local, slot, array) | ~np.isfinite(local.values[slot])).all()
            for slot, array in self.actual.items()
            if slot.quantity not in _LENIENT
        )

    def allows(self, stages: type[Swapped]) -> bool:
        """Whether the case does not speak against these stages: they give every reported number, or it decides nothing.

        Where the mistake does not matter for the case, the right stages must give every reported number.
        """
        if not stages.matters(self.case):
            return self._all_fit(self.right)
        return self.reproduced_by(stages) or self.undecided_by(stages)

    def refutes(self, stages: type[Swapped]) -> bool:
        """Whether these stages predict a difference that was not reported."""
        if not stages.matters(self.case):
            return False
        local = self.under(stages)
        for slot, array in self.actual.items():
            if slot.quantity in _LENIENT:
                continue
            if (_differ(local, self.right, slot) & ~self._fit(local, slot, array)).any():
                return True
        return False

    def touched_by(self, stages: type[Swapped]) -> bool:
        """Whether these stages explain any number that the right ones do not."""
        if self._wrong is not None and self.case.steps == 1 and not self._wrong & swapped_quantities(stages):
            return False
        if not stages.matters(self.case):
            return False
        local = self.under(stages)
        return any(
            (~self._fit(self.right, slot, array) & local.fits(slot, array)).any() for slot, array in self.actual.items()
        )


def _differ(one: Local, other: Local, slot: Slot) -> Mask:
    x, y = one.values[slot], other.values[slot]
    with np.errstate(invalid="ignore", over="ignore"):
        different = ~(abs(x - y) <= one.allowed[slot] + other.allowed[slot])
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(one.allowed[slot]) & np.isfinite(other.allowed[slot])
    result: Mask = different & known
    return result


def _at_kinks(case: Case, dtype: str, profile: str, stages: type[Stages], kinks: str) -> Local:
    """The values of stages for a case of which nothing was reported."""
    found = given_at_kinks(case, {}, dtype, profile, stages, kinks)
    assert found is not None  # only reported values can refute
    return found


def differ_anywhere(
    case: Case,
    one: type[Swapped],
    other: type[Swapped] | None,
    dtype: str,
    profile: str,
    lenient: Container[str] = _LENIENT,
    kinks: str = "any",
) -> bool:
    """Whether two sets of stages (None: the right ones) give any different number for a case."""
    x, y = (
        _at_kinks(case, dtype, profile, each if each and each.matters(case) else Swapped, kinks)
        for each in (one, other)
    )
    return any(bool(_differ(x, y, slot).any()) for slot in x.values if slot.quantity not in lenient)


class Passing:
    """Passing cases: each shows that the implementation does not have a bug that would have changed it.

    ``kinks`` as in ``Evidence``.
    """

    def __init__(self, kinks: str = "any") -> None:
        self.kinks = kinks
        self._kept: list[tuple[Case, frozenset[Slot], str, str]] = []
        self._right: dict[int, Local] = {}
        self._count: dict[str, int] = {}

    def add(self, case: Case, reported: Iterable[Slot], dtype: str, profile: str) -> None:
        """Keep a passing case, if it is small and there is room."""
        small = len(case.inputs) * case.network.input_units <= 256  # noqa: PLR2004
        if small and self.wants_more(case.about):
            self._count[case.about] = self._count.get(case.about, 0) + 1
            self._kept.append((case, frozenset(reported), dtype, profile))

    def examples(self, most: int) -> list[tuple[Case, str, str]]:
        """Up to ``most`` of the cases, the smaller first, each with its number type and profile."""
        kept = sorted(self._kept, key=lambda each: len(each[0].inputs) * each[0].network.products)
        return [(case, dtype, profile) for case, _, dtype, profile in kept[:most]]

    def wants_more(self, about: str) -> bool:
        """Whether there is room for another case about dense layers, training or other layers."""
        return self._count.get(about, 0) < WITNESSES

    def refute(self, stages: type[Swapped], effort: Part) -> bool:
        """Whether any of the cases would have failed with these stages."""
        for number, (case, reported, dtype, profile) in enumerate(self._kept):
            if not stages.matters(case):
                continue
            if number not in self._right:
                effort.spend(case)
                self._right[number] = _at_kinks(case, dtype, profile, Swapped, self.kinks)
            effort.spend(case)
            local = _at_kinks(case, dtype, profile, stages, self.kinks)
            if any(
                _differ(local, self._right[number], slot).any()
                for slot in reported
                if slot in local.values and slot.quantity not in _LENIENT
            ):
                return True
        return False

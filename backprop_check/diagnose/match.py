"""Matching: which swapped stages reproduce an implementation's numbers.

A name holds for a failing case where every number that was reported is what the swapped reference gives, within
its bound, on the inputs that were reported. It is refuted by any case, failing or passing, where the swapped
reference predicts another number than the one that came.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backprop_check.diagnose.bug import Swapped, activations_of, swapped_quantities
from backprop_check.diagnose.catalogue import all_variants
from backprop_check.diagnose.effort import Effort, Part
from backprop_check.diagnose.given import Local, given, given_unless_refuted
from backprop_check.diagnose.kinks import local_of, without_freedom
from backprop_check.diagnose.restrict import Place, both, fit_together, only, places
from backprop_check.numbers.choices import choices_for
from backprop_check.trace import Slot

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from backprop_check.diagnose.bug import Bug, Variant
    from backprop_check.network import Case
    from backprop_check.reference import Stages
    from backprop_check.trace import Array, Mask

#: So many passing cases are asked whether they refute a name.
WITNESSES = 150

#: So many variants that no probe refutes are tried in pairs before anything else.
_TOGETHER = 12

#: Cases that candidates are looked for with: so many, and none of less work than this where there are others.
_PROBES = 5
_TELLING = 60

#: A condition (an activation, a loss) is named where so many failing cases meet it.
_FOR_A_CONDITION = 3

#: Of the failing cases this share at most may be undecided by a name.
_OPEN = 0.1

#: A search says after so many mistakes how far it is.
_TOLD = 20

#: What is left out where the work is spent, in the order in which it would have been tried.
_USUAL, _RARE = "some of the usual mistakes", "rarer ways to make the known mistakes"
_IN_PLACES, _IN_PAIRS = "mistakes in one place only", "two mistakes at once"

#: A name gives a value where its bound is at most this part of the largest number of the array, or of what is to be
#: explained (a number that cancels to 0). A wider bound admits the numbers of other formulas too.
_SHARP = 2.0**-8

#: Values that a port may compute apart from the rest of its backward pass: right or wrong alike, they decide nothing.
_LENIENT = {"input_gradient"}


@dataclass(eq=False)
class Evidence:
    """One case and what was reported for it."""

    case: Case
    actual: Mapping[Slot, Array]
    dtype: str = "float64"
    profile: str = "textbook"
    ignored: Mapping[Slot, Mask] = field(default_factory=dict)
    """Where values are not to be explained: unstable ones."""
    kinks: str = "any"
    """Which choices at kinks are right: with "any" what a value at a kink is speaks neither for nor against a bug."""
    effort: Part | None = None
    """Where the passes over the case are counted."""
    _right: Local | None = None
    _tried: dict[type[Stages], Local] = field(default_factory=dict)
    _refuted: set[type[Stages]] = field(default_factory=set)

    @property
    def right(self) -> Local:
        """What the right stages give on the reported inputs."""
        if self._right is None:
            self._right = local_of(self.case, self.actual, self.dtype, self.profile, self.kinks)
        return self._right

    @functools.cached_property
    def plain(self) -> Local:
        """The same with PyTorch's choices at kinks: what is compared with in words."""
        return given(self.case, self.actual, self.dtype, self.profile)

    @property
    def size(self) -> int:
        """How much work the case is."""
        network = self.case.network
        if not network.is_chain:
            width: int = sum(network.widths)
            return len(self.case.inputs) * 4 * width
        return len(self.case.inputs) * sum(
            layer.units * (len(layer.parameters.weights[0]) + 4) for layer in network.layers
        )

    @property
    def has_roots(self) -> bool:
        """Whether anything is wrong given its own inputs."""
        return not self._all_fit(self.right)

    @property
    def plainness(self) -> tuple[bool, bool, bool, int]:
        """The plainer a case the lower: one step, no weights of 0 (which hide much), large enough to tell, small."""
        layers = self.case.network.layers
        chain = self.case.network.is_chain
        hiding = chain and any(w == 0 for layer in layers for row in layer.parameters.weights for w in row)
        return self.case.steps > 1, hiding, self.size < _TELLING, self.size

    @functools.cached_property
    def wrong_kinds(self) -> frozenset[tuple[str, object]]:
        """Which quantities are wrong given their own inputs: at the output or before, or at what kinds of layers."""
        network = self.case.network
        last = len(network.layers) - 1

        def where(layer: int | None) -> object:
            if network.is_chain:
                return layer == last
            source = -1 if layer is None else layer
            near = (at for at, sources in enumerate(network.sources) if at == layer or source in sources)
            return frozenset(network.layers[at].kind for at in near)

        return frozenset(
            (slot.quantity, where(slot.layer))
            for slot, array in self.actual.items()
            if not self._fit(self.right, slot, array).all()
        )

    def under(self, stages: type[Swapped]) -> Local:
        """What swapped stages give on the reported inputs."""
        if stages not in self._tried:
            if self.effort is not None:
                self.effort.spend(self.case)
            choices = choices_for(self.kinks)
            local = given(self.case, self.actual, self.dtype, self.profile, stages, choices)
            self._tried[stages] = without_freedom(local, self.right)
        return self._tried[stages]

    def _soon_refuted(self, stages: type[Swapped]) -> bool:
        """Whether a pass with swapped stages comes to a number that was not reported: most end at their first."""
        if stages not in self._refuted and stages not in self._tried:
            choices = choices_for(self.kinks)
            local = given_unless_refuted(
                self.case, self.actual, self.dtype, self.profile, stages, choices, self._deciding
            )
            if self.effort is not None:
                self.effort.spend(self.case, 0.5 if local is None else 1)
            if local is None:
                self._refuted.add(stages)
            else:
                self._tried[stages] = without_freedom(local, self.right)
        return stages in self._refuted

    @functools.cached_property
    def _deciding(self) -> frozenset[Slot]:
        """The slots of which a single number refutes: all but those of which some are not to be explained."""
        return frozenset(slot for slot in self.actual if slot not in self.ignored and slot.quantity not in _LENIENT)

    def _fit(self, local: Local, slot: Slot, array: Array) -> Mask:
        """Where a value is what ``local`` says, or can decide nothing: not finite, unstable, beyond any bound."""
        # Where a bug's number has no bound it decides nothing, unless it is to explain what is wrong there.
        unbounded = ~np.isfinite(local.allowed[slot]) & self.right.fits(slot, array)
        fits: Mask = local.fits(slot, array) | ~np.isfinite(array) | unbounded
        if slot in self.ignored:
            fits = fits | self.ignored[slot]
        return fits

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
        """The quantities that are wrong given their own inputs, where all inputs were reported; else None."""
        full = self.case.network.is_chain and all(
            Slot(quantity, index) in self.actual
            for index in range(len(self.case.network.layers))
            for quantity in ("z", "a", "delta", "weight_gradient", "bias_gradient")
        )
        # In a second step nothing but the result is reported: any stage may show there.
        later = {"loss", "updated_weight", "updated_bias"} if self.case.steps > 1 else set()
        return frozenset(name for name, _ in self.wrong_kinds if name not in _LENIENT | later) if full else None

    def reproduced_by(self, stages: type[Swapped]) -> bool:
        """Whether these stages give every number that was reported, and say sharply what is wrong.

        Where their bound says little (1 − p has lost its digits), they must give the number from exactly what was
        reported.
        """
        if self._wrong is not None and not self._wrong <= swapped_quantities(stages):
            return False
        if not stages.concerns(self.case) or self._soon_refuted(stages) or not self._all_fit(self.under(stages)):
            return False
        if self._explains(self.under(stages)):
            return True
        choices = choices_for(self.kinks)
        exact = given(self.case, self.actual, self.dtype, self.profile, stages, choices, as_reported=True)
        return self._explains(exact)

    def _explains(self, local: Local) -> bool:
        """Whether every value that is wrong given its own inputs is what ``local`` says, with a bound that tells."""
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
        """Whether these stages, worked out from the case alone, give every number that was reported.

        So what is wrong only because small errors pile up, with no stage of its own that is wrong, finds its name.
        """
        if not stages.concerns(self.case):
            return False
        local = given(self.case, {}, self.dtype, self.profile, stages, choices_for(self.kinks))
        return all(self._fit(local, slot, array).all() for slot, array in self.actual.items())

    def undecided_by(self, stages: type[Swapped]) -> bool:
        """Whether all that these stages do not give is where they give no finite number, such as 0/0.

        There a port may have a guard of its own: the case speaks neither for nor against them.
        """
        if not stages.concerns(self.case) or self._soon_refuted(stages):
            return False
        local = self.under(stages)
        return all(
            (self._fit(local, slot, array) | ~np.isfinite(local.values[slot])).all()
            for slot, array in self.actual.items()
            if slot.quantity not in _LENIENT
        )

    def allows(self, stages: type[Swapped]) -> bool:
        """Whether these stages (the right ones, where they do not matter) give every number that was reported.

        Or whether the case decides nothing.
        """
        if not stages.concerns(self.case):
            return self._all_fit(self.right)
        return self.reproduced_by(stages) or self.undecided_by(stages)

    def refutes(self, stages: type[Swapped]) -> bool:
        """Whether these stages predict a difference that did not come."""
        if not stages.concerns(self.case):
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
        if not stages.concerns(self.case):
            return False
        local = self.under(stages)
        return any(
            (~self._fit(self.right, slot, array) & local.fits(slot, array)).any() for slot, array in self.actual.items()
        )


def _differ(one: Local, other: Local, slot: Slot) -> Mask:
    x, y = one.values[slot], other.values[slot]
    with np.errstate(invalid="ignore", over="ignore"):
        apart = ~(abs(x - y) <= one.allowed[slot] + other.allowed[slot])
        known = np.isfinite(x) & np.isfinite(y) & np.isfinite(one.allowed[slot]) & np.isfinite(other.allowed[slot])
    result: Mask = apart & known
    return result


def differ_anywhere(
    case: Case,
    one: type[Swapped],
    other: type[Swapped] | None,
    dtype: str,
    profile: str,
    lenient: Container[str] = _LENIENT,
    kinks: str = "any",
) -> bool:
    """Whether two kinds of stages (None: the right ones) give anything different for a case."""
    x, y = (
        given(case, {}, dtype, profile, each if each and each.concerns(case) else Swapped, choices_for(kinks))
        for each in (one, other)
    )
    return any(bool(_differ(x, y, slot).any()) for slot in x.values if slot.quantity not in lenient)


class Passing:
    """Passing cases: each says what it would have looked like with a bug. ``kinks`` as in ``Evidence``."""

    def __init__(self, kinks: str = "any") -> None:
        self.kinks = kinks
        self._kept: list[tuple[Case, frozenset[Slot], str, str]] = []
        self._right: dict[int, Local] = {}
        self._count: dict[str, int] = {}

    def add(self, case: Case, reported: Iterable[Slot], dtype: str, profile: str) -> None:
        """Keep one; a bounded number of them, of moderate size."""
        small = len(case.inputs) * case.network.input_units <= 256  # noqa: PLR2004
        if small and self.wants_more(case.about):
            self._count[case.about] = self._count.get(case.about, 0) + 1
            self._kept.append((case, frozenset(reported), dtype, profile))

    def wants_more(self, about: str) -> bool:
        """Whether a further one could be kept. What comes late in a run has room of its own."""
        return self._count.get(about, 0) < WITNESSES

    def refute(self, stages: type[Swapped], effort: Part) -> bool:
        """Whether any of them would have failed with these stages."""
        for number, (case, reported, dtype, profile) in enumerate(self._kept):
            if not stages.concerns(case):
                continue
            if number not in self._right:
                effort.spend(case)
                self._right[number] = given(case, {}, dtype, profile, choices=choices_for(self.kinks))
            effort.spend(case)
            local = given(case, {}, dtype, profile, stages, choices_for(self.kinks))
            if any(
                _differ(local, self._right[number], slot).any()
                for slot in reported
                if slot in local.values and slot.quantity not in _LENIENT
            ):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Match:
    """Stages that reproduce cases, and the bugs they are made of (with variant and place)."""

    stages: type[Swapped]
    parts: tuple[tuple[Bug, Variant, Place], ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """The bugs' codes."""
        return tuple(bug.code for bug, _, _ in self.parts)

    def stages_of(self, code: str) -> type[Swapped]:
        """The stages of one of its bugs alone."""
        variant, place = next((variant, place) for bug, variant, place in self.parts if bug.code == code)
        return variant.stages if place == Place() else only(variant.stages, place)

    def rank(self) -> tuple[int, int, int, str]:
        """The simpler the better: fewer bugs, everywhere, the usual variant; then by code."""
        places = sum(place != Place() for _, _, place in self.parts)
        odd = sum(not variant.usual for _, variant, _ in self.parts)
        return len(self.parts), places, odd, " ".join(self.codes)


def _under(match: Match, place: Place) -> Match | None:
    """A match that holds everywhere, restricted to a place; None where that cannot be."""
    ((bug, variant, _),) = match.parts
    if variant.stages.pass_function is not None and not place.of_cases:
        return None
    return Match(only(variant.stages, place), ((bug, variant, place),))


def _usual(found: Sequence[Match]) -> bool:
    return any(variant.usual for match in found for _, variant, _ in match.parts)


class Search:
    """Looks for the names of a run's failures, within so much work.

    ``left_out`` says in words what was not tried because the work was spent before.
    """

    def __init__(self, failing: Sequence[Evidence], passing: Passing, effort: Part | None = None) -> None:
        self.failing = sorted(failing, key=lambda each: each.size)
        self.passing = passing
        self.effort = Effort().part(None) if effort is None else effort
        self.left_out: list[str] = []
        for each in self.failing:
            each.effort = self.effort

    def _spent(self, what: str, share: float = 1.0) -> bool:
        """Whether so much of the work is spent; then ``what`` is among what was left out."""
        if not self.effort.beyond(share):
            return False
        if what not in self.left_out:
            self.left_out.append(what)
        return True

    def names(self) -> list[Match]:
        """Every way to explain all failing cases, the simplest kind only; empty where there is none.

        A place is named only as far as it is known.
        """
        return [self._as_known(match) for match in self._names()]

    def _as_known(self, match: Match) -> Match:
        """The match with a place that cases on both sides of it bear witness to.

        Within it enough cases must fail, where it is something that a case asks for: of a single one everything that
        it asks for could be the condition. Outside of it a case must be right that the bug would have made wrong.
        """
        if len(match.parts) != 1 or match.parts[0][2] == Place():
            return match
        ((bug, variant, place),) = match.parts
        within = sum(each.reproduced_by(match.stages) for each in self.failing)
        if not place.is_condition or within >= _FOR_A_CONDITION:
            return match
        elsewhere = any(each.refutes(variant.stages) for each in self.failing) or self.passing.refute(
            variant.stages, self.effort
        )
        return Match(match.stages, ((bug, variant, Place(unknown=True) if elsewhere else Place()),))

    def _names(self) -> list[Match]:
        if not self.failing:
            return []
        probes = self._probes()
        everywhere = list(self._everywhere(probes[0]))
        found = [match for match in everywhere if self.holds(match, probes)]
        conditioned = [
            match for place in self._conditions() for each in everywhere if (match := _under(each, place)) is not None
        ]
        found += [match for match in conditioned if self.holds(match, probes)] if not _usual(found) else []
        if found:
            return sorted(found, key=Match.rank)
        partial = self._partial(probes)
        unrefuted = [pair for pair in partial if not any(each.refutes(pair[1].stages) for each in probes)]
        found = self._pairs(probes, unrefuted[:_TOGETHER])
        found = found or self._in_places(probes)
        return sorted(found or self._pairs(probes, partial), key=Match.rank)

    def _conditions(self) -> list[Place]:
        """What all failing cases have in common: a loss, an optimizer, an activation."""
        losses = {each.case.loss.kind for each in self.failing}
        optimizers = {each.case.optimizer.kind if each.case.optimizer else "" for each in self.failing}
        common = set.intersection(*(activations_of(each.case) for each in self.failing))
        found = [Place(loss=loss) for loss in losses if len(losses) == 1]
        return [
            *found,
            *(Place(optimizer=kind) for kind in optimizers if kind and len(optimizers) == 1),
            *(Place(activation=activation) for activation in sorted(common)),
            Place(hidden=True),
            Place(layer=-1),
        ]

    def holds(self, match: Match, probes: Sequence[Evidence] = ()) -> bool:
        """Whether it reproduces every failing case and no case refutes it."""
        open_cases = 0
        for each in dict.fromkeys((*probes, *self.failing)):
            if not each.reproduced_by(match.stages):
                if not each.undecided_by(match.stages):
                    return False
                open_cases += 1
        return open_cases <= _OPEN * len(self.failing) and not self.passing.refute(match.stages, self.effort)

    def largest_part(self) -> Match | None:
        """The name that explains most of the failing cases (two at least) and that no case refutes."""
        best, most = None, 1
        for probe in self._probes():
            for match in self._everywhere(probe):
                if self._spent(_RARE):
                    return best
                count = sum(each.reproduced_by(match.stages) for each in self.failing)
                if count <= most or any(each.refutes(match.stages) for each in self.failing):
                    continue
                if not self.passing.refute(match.stages, self.effort):
                    best, most = match, count
        return best

    def _probes(self) -> list[Evidence]:
        """A few failing cases that differ in what is wrong: small ones, but not so small that they tell little."""
        by_kind: dict[object, Evidence] = {}
        for each in sorted(self.failing, key=lambda each: each.plainness):
            by_kind.setdefault(each.wrong_kinds, each)
        kinds = sorted(by_kind.values(), key=lambda each: (each.plainness[:2], -len(each.wrong_kinds), each.plainness))
        return kinds[:_PROBES]

    def _everywhere(self, probe: Evidence) -> Iterator[Match]:
        for number, (bug, variant) in enumerate(all_variants()):
            if self._spent(_USUAL if variant.usual else _RARE):
                return
            if number % _TOLD == 0:
                self.effort.tell(f"looking for the cause among {len(all_variants())} known mistakes")
            if probe.reproduced_by(variant.stages):
                yield Match(variant.stages, ((bug, variant, Place()),))

    def _partial(self, probes: Sequence[Evidence]) -> list[tuple[Bug, Variant]]:
        """The variants that explain something: of all those in the first case, of the usual ones in another."""
        others = [each for each in probes[1:] if each.case.steps == 1 and not each.wrong_kinds <= probes[0].wrong_kinds]
        return [
            (bug, variant)
            for bug, variant in all_variants()
            if not self._spent(_USUAL if variant.usual else _RARE)
            and (
                probes[0].touched_by(variant.stages)
                or (variant.usual and any(each.touched_by(variant.stages) for each in others[:2]))
            )
        ]

    def _in_places(self, probes: Sequence[Evidence]) -> list[Match]:
        """In one layer, one neuron, one activation, with one loss."""
        probe = probes[0]
        likely = [pair for pair in all_variants() if probe.touched_by(pair[1].stages)]
        if not any(slot.quantity == "delta" for slot in probe.actual):
            # With gradients alone, what goes wrong in one place shows in all before it.
            likely += [pair for pair in all_variants() if pair[1].usual and pair not in likely]
        share = (1.0 + self.effort.share) / 2  # half of what is left is for pairs
        for place in dict.fromkeys(place for each in probes for place in places(each.case)):
            found: list[Match] = []
            for bug, variant in likely:
                if self._spent(_IN_PLACES, share):
                    return found
                if variant.stages.pass_function is not None and not place.of_cases:
                    continue
                match = Match(only(variant.stages, place), ((bug, variant, place),))
                if probe.reproduced_by(match.stages) and self.holds(match, probes):
                    found.append(match)
            if found:
                return found
        return []

    def _pairs(self, probes: Sequence[Evidence], partial: Sequence[tuple[Bug, Variant]]) -> list[Match]:
        """Two bugs at once."""
        found: list[Match] = []
        for (a, x), (b, y) in itertools.combinations(partial, 2):
            if self._spent(_IN_PAIRS):
                return found
            if a is b or not fit_together(x.stages, y.stages):
                continue
            for upper, lower in ((x, y), (y, x)):
                match = Match(both(upper.stages, lower.stages), ((a, x, Place()), (b, y, Place())))
                try:
                    fits = probes[0].reproduced_by(match.stages) and self.holds(match, probes)
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                    continue  # two mistakes that cannot be made together explain nothing
                if fits:
                    found.append(match)
                    break
        return found

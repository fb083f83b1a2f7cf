"""A mistake in one place only (one layer, the hidden layers, one neuron), and two mistakes at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from backprop_check.diagnose.bug import Swapped, SwappedRules, swapped_quantities
from backprop_check.kinds.dense import Dense
from backprop_check.reference.rules import WeightedSum, read_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backprop_check.case.network import Case
    from backprop_check.kinds import Kind
    from backprop_check.reference import Stages
    from backprop_check.reference.optimizers import Learning
    from backprop_check.reference.passes import LayerPass


#: So many neurons of a layer are tried.
_NEURONS = 4

#: Classes that were made: matching remembers what a class gives.
_MADE: dict[object, type[Swapped]] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mistake is: a ``layer`` (−1 is the output), the hidden ones, a ``neuron`` of it or of every layer.

    Or where the case has an ``activation``, a ``loss`` or an ``optimizer``, in layers of one ``kind``, or in
    ``networks`` of one form: ``chain`` (dense layers, one after the other) or ``wired`` (any other). ``unknown`` is a
    condition that too few failing cases determine.
    """

    layer: int | None = None
    neuron: int | None = None
    hidden: bool = False
    activation: str = ""
    loss: str = ""
    kind: str = ""
    optimizer: str = ""
    networks: str = ""
    unknown: bool = False

    @property
    def is_condition(self) -> bool:
        """Whether it is a property of the case or of layers, not a position in the network."""
        return self.of_cases or bool(self.activation or self.kind)

    @property
    def of_cases(self) -> bool:
        """Whether it concerns whole cases: those with a loss, with an optimizer, or of one form of network."""
        return bool(self.loss or self.optimizer or self.networks)

    def has_case(self, case: Case) -> bool:
        """Whether a case is one of those."""
        if self.loss and case.loss.kind != self.loss:
            return False
        if self.optimizer and (case.optimizer is None or case.optimizer.kind != self.optimizer):
            return False
        return not self.networks or (self.networks == "chain") != bool(case.network.families)

    def has_layer(self, index: int, layer: Kind | None, last: int) -> bool:
        """Whether layer ``index`` is in it (or has a neuron in it), ``last`` being the output; ``layer`` is None
        for the input.
        """
        if layer is None or (self.kind and layer.kind != self.kind):
            return False
        if self.activation and layer.activation != self.activation:
            return False
        if self.hidden:
            return index != last
        return self.layer in (None, index) or (self.layer == -1 and index == last)

    def words(self) -> str:
        """The place in words: ``in hidden1 only``."""
        if self.unknown:
            return (
                "not everywhere: other cases that would show it are right, and what sets the failing ones apart "
                "cannot be told from so few"
            )
        if self.loss:
            return f"with the loss {self.loss.replace('_', ' ')} only"
        if self.optimizer:
            return f"with the optimizer {self.optimizer} only"
        if self.networks == "chain":
            return "where all layers are dense, one after the other, only"
        if self.networks:
            return "where layers are not all dense, one after the other, only"
        if self.kind:
            return f"in {self.kind.replace('_', ' ')} layers only"
        if self.activation:
            return f"in {self.activation.replace('_', ' ')} layers only"
        neuron = "" if self.neuron is None else f"neuron {self.neuron} of "
        if self.hidden:
            return f"in {neuron}the hidden layers only"
        if self.layer is None:
            return f"in {neuron}every layer only" if neuron else ""
        return f"in {neuron}{'the output layer' if self.layer == -1 else f'layer {self.layer}'} only"


def places(case: Case) -> Iterator[Place]:
    """The places of a network, larger ones first."""
    layers = case.network.layers
    yield Place(loss=case.loss.kind)
    if case.optimizer is not None:
        yield Place(optimizer=case.optimizer.kind)
    yield Place(networks="wired" if case.network.families else "chain")
    kinds, activations = sorted({layer.kind for layer in layers}), sorted({layer.activation for layer in layers})
    yield from (Place(kind=kind) for kind in kinds if len(kinds) > 1)
    yield from (Place(activation=activation) for activation in activations)
    if len(layers) > 1:
        yield Place(layer=-1)
        yield Place(hidden=True)
        yield from (Place(layer=index) for index in range(len(layers) - 1))
    # Where layers are lists of neurons a mistake may be in one of them.
    widths = [width for width, layer in zip(case.network.widths, layers, strict=True) if isinstance(layer, Dense)]
    if len(widths) == len(layers) and max(widths) > 1:
        yield from (Place(neuron=neuron) for neuron in range(min(max(widths), _NEURONS)))
        for index, width in enumerate(widths):
            at = -1 if index == len(layers) - 1 else index
            yield from (Place(layer=at, neuron=neuron) for neuron in range(min(width, _NEURONS)))


def only(wrong: type[Swapped], place: Place) -> type[Swapped]:
    """``wrong`` in ``place``, the right mathematics everywhere else."""
    if (wrong, place) not in _MADE:
        _MADE[wrong, place] = _only(wrong, place)
    return _MADE[wrong, place]


def _only(wrong: type[Swapped], place: Place) -> type[Swapped]:

    def matters(case: Case) -> bool:
        if not place.has_case(case):
            return False
        if place.kind and all(layer.kind != place.kind for layer in case.network.layers):
            return False
        if place.activation and all(layer.activation != place.activation for layer in case.network.layers):
            return False
        return wrong.matters(case)

    gives = swapped_quantities(wrong)
    parts = {"matters": staticmethod(matters), "gives": gives}
    if place.of_cases:
        return type(f"{wrong.__name__}Only", (wrong,), parts)
    parts |= {"kind": wrong, "place": place, "fused": wrong.fused}
    return type(f"{wrong.__name__}Only", (_Only,), parts)


class _Only(Swapped):
    """The rules, and the stages of loss and update, replaced in some layers (or in one neuron of them)."""

    kind: type[Swapped]
    place: Place

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.wrong, self.right = self.kind(m), Swapped(m)
        self._layers: tuple[Kind, ...] = ()

    def over(self, m: Any) -> Self:
        other = super().over(m)
        other.wrong, other.right = self.wrong.over(m), self.right.over(m)
        return other

    def prepare(self, p: Any) -> None:
        network = p.case.network
        self._layers = network.layers
        right = p.inputs.values
        self.wrong.prepare(p)
        if not any(self._has(layer) for layer, sources in enumerate(network.sources) if -1 in sources):
            p.inputs.values = right

    def _has(self, layer: int) -> bool:
        """Whether a layer, by its number, is in the place; the network's input is not."""
        spec = self._layers[layer] if 0 <= layer < len(self._layers) else None
        return self.place.has_layer(layer, spec, len(self._layers) - 1)

    def _one(self, layer: int, neuron: Sequence[bool] | None, i: Any, wrong: Callable[[], Any], right: Any) -> Any:
        """The wrong value in the layers of the place, or only for its neuron if it has one; else the right value."""
        if not self._has(layer):
            return right()
        if self.place.neuron is None or neuron is None:
            return wrong()
        return self.m.where(i, neuron, wrong(), right())

    def _neuron(self, units: int, each: int = 1) -> list[bool]:
        """True for the neuron's own numbers, of ``units`` with ``each`` numbers each."""
        return [i // each == self.place.neuron for i in range(units * each)]

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        self._layers = c.case.network.layers
        return (self.wrong if self._has(c.layer) else self.right).equations(c, layer, x, parameters, inputs)

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        return self._one(
            rule.layer,
            self._neuron(rule.out.units),
            o,
            lambda: self.wrong.value(rule, s, o),
            lambda: self.right.value(rule, s, o),
        )

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        right = functools.partial(self.right.share, rule, role, s, i)
        table = read_by(rule, role)
        # What comes back to a neuron is that neuron's own business, though it comes from the layer behind it.
        of_neuron = self.place.neuron is not None and role[0] == "x" and isinstance(rule, WeightedSum)
        made_by = None if table is None else table.made_by
        layer = rule.layer if not of_neuron else -1 if made_by is None else made_by.layer
        if not self._has(layer):
            return right()
        wrong = self.wrong.share(rule, role, s, i)
        if self.place.neuron is None or table is None:
            return wrong
        each = table.units // rule.out.units if role[0] == "weights" else 1
        neuron = self._neuron(table.units // each, each)
        g = self.m.where(i, neuron, self.m.dots([wrong], []), self.m.dots([right()], []))
        return self.m.one(g), None

    def _at_output(self) -> Swapped:
        return self.wrong if self._has(len(self._layers) - 1) else self.right

    def _of_loss(self) -> Swapped:
        return self._at_output() if self.place.neuron is None else self.right

    def smoothed(self, t: Any, epsilon: Any, classes: int) -> Any:
        return self.right.smoothed(t, epsilon, classes)

    def loss_term(self, p: Any, s: Any, k: Any) -> Any:
        return self._of_loss().loss_term(p, s, k)

    def sample_loss(self, p: Any, terms: Any, s: Any) -> Any:
        return self._of_loss().sample_loss(p, terms, s)

    def batch_loss(self, p: Any, total: Any) -> Any:
        return self._of_loss().batch_loss(p, total)

    def penalty(self, p: Any) -> Any:
        return self._at_output().penalty(p)

    def output_error(self, p: Any, s: Any, k: Any) -> Any:
        return self._one(
            len(self._layers) - 1,
            self._neuron(p.layers[-1].units),
            k,
            lambda: self.wrong.output_error(p, s, k),
            lambda: self.right.output_error(p, s, k),
        )

    def matched_error(self, p: Any, rule: Any, s: Any, i: Any, composed: Callable[[], Any]) -> Any:
        return self._one(
            rule.layer,
            self._neuron(rule.out.units),
            i,
            lambda: self.wrong.matched_error(p, rule, s, i, composed),
            lambda: self.right.matched_error(p, rule, s, i, composed),
        )

    def before_update(self, p: Learning) -> None:
        self.wrong.before_update(p)
        self.right.before_update(p)

    def penalized_number(self, p: Any, l: LayerPass, name: str, i: Any, gradient: Any) -> Any:
        return self._of_parameter("penalized_number", l, name, i, p, l, name, i, gradient)

    def updated_number(self, l: LayerPass, name: str, i: Any, learning_rate: float) -> Any:
        return self._of_parameter("updated_number", l, name, i, l, name, i, learning_rate)

    def _of_parameter(self, stage: str, l: LayerPass, name: str, i: Any, *arguments: Any) -> Any:
        each = l.parameters[name].units // l.units if name == "weights" else 1
        return self._one(
            l.index,
            self._neuron(l.parameters[name].units // each, each),
            i,
            lambda: getattr(self.wrong, stage)(*arguments),
            lambda: getattr(self.right, stage)(*arguments),
        )


def both(first: type[Swapped], second: type[Swapped]) -> type[Swapped]:
    """Two mistakes at once; where both replace the same stage, the first comes before the second.

    For a case in which only one of them matters, only that one is used.
    """
    if (first, second) not in _MADE:
        _MADE[first, second] = _both(first, second)
    return _MADE[first, second]


def fit_together(first: type[Swapped], second: type[Swapped]) -> bool:
    """Whether two mistakes can be combined: they are not two ways of making the same one."""
    return _own_bases(first).isdisjoint(_own_bases(second)) and not (first.strings_pass() and second.strings_pass())


def _own_bases(stages: type[Swapped]) -> set[type]:
    """The classes of a mistake, without those that only say what several mistakes are about and replace nothing."""
    own = stages.__mro__[: stages.__mro__.index(Swapped)]
    swapping = {"value", "share", "equations", "swapped"}
    return {
        each
        for each in own
        if not vars(each).get("common", False) and (not issubclass(each, SwappedRules) or swapping & vars(each).keys())
    }


def _both(first: type[Swapped], second: type[Swapped]) -> type[Swapped]:
    if not fit_together(first, second):
        return first

    def matters(case: Case) -> bool:
        return first.matters(case) or second.matters(case)

    def for_case(case: Case) -> type[Stages]:
        if not (first.matters(case) and second.matters(case)):
            return (first if first.matters(case) else second).for_case(case)
        return whole

    parts = {
        "matters": staticmethod(matters),
        "for_case": staticmethod(for_case),
        "gives": swapped_quantities(first) | swapped_quantities(second),
    }
    whole = type(f"{first.__name__}And{second.__name__}", (first, second), parts)
    return whole

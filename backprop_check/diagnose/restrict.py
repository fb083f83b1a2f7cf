"""A wrong stage in one place only (one layer, the hidden layers, one neuron), and two wrong stages at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from backprop_check.diagnose.bug import Swapped, SwappedRules, swapped_quantities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.kinds import Kind
    from backprop_check.network import Case
    from backprop_check.reference import LayerPass, Pass, Stages
    from backprop_check.reference.optimizers import Learning


#: Classes that were made: matching remembers what a class gives.
_MADE: dict[object, type[Swapped]] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where: a ``layer`` (−1 is the output), the hidden ones, a ``neuron`` of it or of every layer.

    Or where the case asks for an ``activation``, a ``loss`` or an ``optimizer``, in layers of one ``kind``, or in
    ``networks`` of one form: ``chain`` (dense layers, one after the other) or ``wired`` (any other). ``unknown`` is
    some condition that the failing cases are too few to tell.
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
        """Whether it is what a case asks for, and no position in its network."""
        return self.of_cases or bool(self.activation or self.kind)

    @property
    def of_cases(self) -> bool:
        """Whether it is whole cases: those with a loss, with an optimizer, or of one form of network."""
        return bool(self.loss or self.optimizer or self.networks)

    def has_case(self, case: Case) -> bool:
        """Whether a case is one of those."""
        if self.loss and case.loss.kind != self.loss:
            return False
        if self.optimizer and (case.optimizer is None or case.optimizer.kind != self.optimizer):
            return False
        return not self.networks or (self.networks == "chain") == case.network.is_chain

    def has(self, l: LayerPass | None) -> bool:
        """Whether the layer is (or has a neuron) in it; None stands for the network's inputs."""
        if l is None:
            return False
        if self.activation and l.asked != self.activation:
            return False
        if self.hidden:
            return l.next is not None
        return self.layer is None or l.index == self.layer or (self.layer == -1 and l.next is None)

    def has_layer(self, index: int, layer: Kind | None, last: int) -> bool:
        """The same for layer ``index`` of any network, ``last`` being the output; None stands for no layer."""
        if layer is None or (self.kind and layer.kind != self.kind):
            return False
        if self.activation and layer.activation != self.activation:
            return False
        if self.hidden:
            return index != last
        return self.layer in (None, index) or (self.layer == -1 and index == last)

    def words(self) -> str:
        """For people: ``in hidden1 only``."""
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
    """Those of a network, the larger first."""
    layers = case.network.layers
    yield Place(loss=case.loss.kind)
    if case.optimizer is not None:
        yield Place(optimizer=case.optimizer.kind)
    yield Place(networks="chain" if case.network.is_chain else "wired")
    if not case.network.is_chain:
        kinds, activations = sorted({layer.kind for layer in layers}), sorted({layer.activation for layer in layers})
        yield from (Place(kind=kind) for kind in kinds if len(kinds) > 1)
        yield from (Place(activation=activation) for activation in activations)
        if len(layers) > 1:
            yield Place(layer=-1)
            yield Place(hidden=True)
            yield from (Place(layer=index) for index in range(len(layers) - 1))
        return
    for activation in sorted({layer.activation for layer in layers}):
        yield Place(activation=activation)
    if len(layers) > 1:
        yield Place(layer=-1)
        yield Place(hidden=True)
        for index in range(len(layers) - 1):
            yield Place(layer=index)
    widest = max(layer.units for layer in layers)
    if widest > 1:
        for neuron in range(min(widest, 4)):
            yield Place(neuron=neuron)
        for index in range(len(layers)):
            for neuron in range(min(layers[index].units, 4)):
                yield Place(layer=-1 if index == len(layers) - 1 else index, neuron=neuron)


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
    if wrong.networks == "wired" and not place.of_cases:
        return type(
            f"{wrong.__name__}Only",
            (_OnlyWired,),
            {
                "kind": wrong,
                "place": place,
                "matters": staticmethod(matters),
                "gives": gives,
                "fused": wrong.fused,
            },
        )
    if place.of_cases:
        return type(f"{wrong.__name__}Only", (wrong,), {"matters": staticmethod(matters), "gives": gives})
    return type(
        f"{wrong.__name__}Only",
        (_Only,),
        {"kind": wrong, "place": place, "matters": staticmethod(matters), "gives": gives},
    )


class _Only(Swapped):
    kind: type[Swapped]
    place: Place

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self._wrong, self._right = self.kind(m), Swapped(m)

    def prepare(self, p: Pass) -> None:
        right = [(l.activation, l.alpha, l.previous, l.weights) for l in p.layers]
        targets = p.targets
        self._wrong.prepare(p)
        for l, (activation, alpha, previous, weights) in zip(p.layers, right, strict=True):
            if not self.place.has(l):
                l.activation, l.alpha, l.previous, l.weights = activation, alpha, previous, weights
        if not self._at_output(p):
            p.targets = targets

    def _at_output(self, p: Pass) -> bool:
        return self.place.has(p.layers[-1])

    def _value(self, stage: str, at: LayerPass | None, neuron: Any, *arguments: Any) -> Any:
        """A stage that gives one neuron's value."""
        right = getattr(self._right, stage)(*arguments)
        if not self.place.has(at):
            return right
        wrong = getattr(self._wrong, stage)(*arguments)
        return wrong if self.place.neuron is None else self.m.choose(neuron, self.place.neuron, wrong, right)

    def _row(self, stage: str, l: LayerPass, s: Any, filled: str, *arguments: Any) -> None:
        """A stage that fills a layer's row of the table ``filled``."""
        getattr(self._wrong, stage)(*arguments)
        if self.place.has(l) and self.place.neuron is None:
            return
        wrong = [getattr(l, filled)[s, j] for j in self.m.each(l.units)]
        getattr(self._right, stage)(*arguments)
        if self.place.has(l):
            table = getattr(l, filled)
            for j, value in zip(self.m.each(l.units), wrong, strict=True):
                table[s, j] = self.m.choose(j, self.place.neuron, value, table[s, j])

    def weighted_sum(self, l: LayerPass, s: Any, j: Any) -> Any:
        return self._value("weighted_sum", l, j, l, s, j)

    def activate(self, l: LayerPass, s: Any) -> None:
        self._row("activate", l, s, "a", l, s)

    def loss_term(self, p: Pass, s: Any, k: Any) -> Any:
        return (self._wrong if self._of_loss(p) else self._right).loss_term(p, s, k)

    def sample_loss(self, p: Pass, terms: Any, s: Any) -> Any:
        return (self._wrong if self._of_loss(p) else self._right).sample_loss(p, terms, s)

    def batch_loss(self, p: Pass, total: Any) -> Any:
        return (self._wrong if self._of_loss(p) else self._right).batch_loss(p, total)

    def _of_loss(self, p: Pass) -> bool:
        return self._at_output(p) and self.place.neuron is None

    def is_fused(self, p: Pass, l: LayerPass) -> bool:
        return self._right.is_fused(p, l) and (not self.place.has(l) or self._wrong.is_fused(p, l))

    def output_error(self, p: Pass, s: Any, k: Any) -> Any:
        return self._value("output_error", p.layers[-1], k, p, s, k)

    def error_behind(self, l: LayerPass, s: Any, k: Any) -> Any:
        return self._value("error_behind", l.before, k, l, s, k)

    def delta(self, p: Pass, l: LayerPass, s: Any) -> None:
        self._row("delta", l, s, "delta", p, l, s)

    def weight_gradient(self, l: LayerPass, j: Any, i: Any) -> Any:
        return self._value("weight_gradient", l, j, l, j, i)

    def bias_gradient(self, l: LayerPass, j: Any) -> Any:
        return self._value("bias_gradient", l, j, l, j)

    def before_update(self, p: Learning) -> None:
        self._wrong.before_update(p)
        self._right.before_update(p)

    def penalized_weight(self, p: Pass, l: LayerPass, j: Any, i: Any, gradient: Any) -> Any:
        return self._value("penalized_weight", l, j, p, l, j, i, gradient)

    def penalized_bias(self, p: Pass, l: LayerPass, j: Any, gradient: Any) -> Any:
        return self._value("penalized_bias", l, j, p, l, j, gradient)

    def penalty(self, p: Any) -> Any:
        return (self._wrong if self._at_output(p) else self._right).penalty(p)

    def updated_weight(self, l: LayerPass, j: Any, i: Any, learning_rate: float) -> Any:
        return self._value("updated_weight", l, j, l, j, i, learning_rate)

    def updated_bias(self, l: LayerPass, j: Any, learning_rate: float) -> Any:
        return self._value("updated_bias", l, j, l, j, learning_rate)


class _OnlyWired(Swapped):
    """The rules of some layers swapped."""

    networks = "wired"
    kind: type[Swapped]
    place: Place

    def __init__(self, m: Any) -> None:
        super().__init__(m)
        self.wrong, self.right = self.kind(m), Swapped(m)
        self._last = -1

    def over(self, m: Any) -> Self:
        other = super().over(m)
        other.wrong, other.right = self.wrong.over(m), self.right.over(m)
        return other

    def _of(self, layer: int, spec: Kind | None) -> Swapped:
        """The stages that a layer is worked out with."""
        return self.wrong if self.place.has_layer(layer, spec, self._last) else self.right

    def equations(self, c: Any, layer: Any, x: Any, parameters: Any, inputs: tuple[int, ...]) -> Any:
        self._last = len(c.case.network.layers) - 1
        return self._of(c.layer, layer).equations(c, layer, x, parameters, inputs)

    def value(self, rule: Any, s: Any, o: Any) -> Any:
        return self._of(rule.layer, rule.spec).value(rule, s, o)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> tuple[Any, Any]:
        return self._of(rule.layer, rule.spec).share(rule, role, s, i)


def both(first: type[Swapped], second: type[Swapped]) -> type[Swapped]:
    """Two wrong stages at once; where both replace the same one, the first stands before the second.

    For a case where only one of them matters, only that one takes part.
    """
    if (first, second) not in _MADE:
        _MADE[first, second] = _both(first, second)
    return _MADE[first, second]


def fit_together(first: type[Swapped], second: type[Swapped]) -> bool:
    """Whether two bugs can be had at once: not two ways of making the same mistake."""
    return _own_bases(first).isdisjoint(_own_bases(second)) and None in (first.pass_function, second.pass_function)


def _own_bases(stages: type[Swapped]) -> set[type]:
    """Its classes, but for those that say what several mistakes in rules are about, and swap nothing themselves."""
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
        return first.concerns(case) or second.concerns(case)

    def for_case(case: Case) -> type[Stages]:
        if not (first.concerns(case) and second.concerns(case)):
            return (first if first.concerns(case) else second).for_case(case)
        return whole

    parts = {
        "matters": staticmethod(matters),
        "for_case": staticmethod(for_case),
        "gives": swapped_quantities(first) | swapped_quantities(second),
        "networks": "any",
    }
    whole = type(f"{first.__name__}And{second.__name__}", (first, second), parts)
    return whole

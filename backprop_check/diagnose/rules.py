"""What named bugs of several families ask of a rule, and do to what flows back through it.

A share is what ``Rule.share`` gives: two vectors, ∂L/∂out and ∂out/∂i (None: 1 each), whose products are added.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from backprop_check.diagnose.bug import SwappedRules, activations_of
from backprop_check.reference.circuit import Function, Given, Softmax, WeightedSum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backprop_check.network import Case
    from backprop_check.reference.circuit import Rule, Table

Share = tuple[Any, Any]
Terms = list[tuple[Any, Any]]


def several_layers(case: Case) -> bool:
    """Whether a network has hidden layers."""
    return len(case.network.layers) > 1


def several_samples(case: Case) -> bool:
    """Whether a batch has more than one sample."""
    return len(case.inputs) > 1


def is_activation(rule: Rule) -> bool:
    """Whether a rule is a layer's activation (and no function inside of it, such as a gate's)."""
    return rule.out.role == "a" and isinstance(rule, Function | Softmax)


def is_output(rule: Rule) -> bool:
    """Whether what the rule makes is the network's output: the loss reads it. On the way back only."""
    return any(isinstance(reader, Given) for reader, _ in rule.out.readers)


def is_last(rule: Rule) -> bool:
    """Whether a rule is of the network's last layer; in both directions."""
    return rule.layer == len(rule.case.network.layers) - 1


def is_dense(rule: Rule) -> bool:
    """Whether a rule is a dense layer's z = Σ w x + b."""
    if not isinstance(rule, WeightedSum) or rule.spec is None or rule.spec.kind != "dense":
        return False
    weights = rule.sources[0].weights
    return rule.out.role != "combined" and weights is not None and weights.parameter


def is_learnt(table: Table | None) -> TypeGuard[Table]:
    """Whether a table is a parameter, which has a gradient of its own."""
    return table is not None and table.parameter and not (table.fixed or table.across)


def parameter_beside(rule: Rule, role: tuple[str, int], what: str, kinds: tuple[str, ...]) -> Table | None:
    """The parameter by which a layer of these kinds multiplies, where its sum is read in the role ``what``."""
    if role[0] != what or not isinstance(rule, WeightedSum) or rule.spec.kind not in kinds:
        return None
    w = rule.sources[role[1]].weights
    return w if w is not None and w.parameter else None


def terms(rule: WeightedSum, s: Any, o: Any) -> Terms:
    """What unit o of a weighted sum adds up, its biases apart: for every source a vector of x and one of weights."""
    return [
        (
            source.x.values[s, source.wiring.reads[o]],
            None if source.weights is None else source.weights.values[s, source.wiring.uses[o]],
        )
        for source in rule.sources
    ]


def nothing(m: Any, share: Share) -> Share:
    """The same share, with slopes of 0."""
    return share[0], m.vector(lambda x: 0.0 * x, share[0])


def times(m: Any, factor: float, share: Share) -> Share:
    """The same share, times a number."""
    g, slopes = share
    return m.vector(lambda x: m.number(factor) * x, g), slopes


@contextmanager
def instead(of: Any, **other: Any) -> Iterator[None]:
    """Another ``values`` or ``error`` of a table, or ``targets`` of a pass, for as long as the block runs."""
    right = {name: getattr(of, name) for name in other}
    try:
        vars(of).update(other)
        yield
    finally:
        vars(of).update(right)


class OfActivation(SwappedRules):
    """Something wrong with the activations ``names``, in whatever layer."""

    names: ClassVar[frozenset[str]] = frozenset()

    def here(self, rule: Rule) -> bool:
        """Whether a rule is one of them."""
        return isinstance(rule, Function) and is_activation(rule) and rule.name in self.names

    def taken_slope(self, rule: Any, s: Any, i: Any) -> Any:
        """What is taken for φ′."""
        return rule.slope(self.m, s, i)

    def share(self, rule: Any, role: tuple[str, int], s: Any, i: Any) -> Share:
        """∂L/∂a and what is taken for φ′."""
        if not self.here(rule):
            return super().share(rule, role, s, i)
        return self.m.one(rule.out.error[s, i]), self.m.one(self.taken_slope(rule, s, i))

    @classmethod
    def matters(cls, case: Case) -> bool:
        """Whether a layer has one of them."""
        return bool(activations_of(case) & cls.names)

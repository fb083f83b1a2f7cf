"""What an implementation supports, and the kinds of layers for which cases can be generated within that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_check.case.training import FEATURES, OPTIMIZERS
from backprop_check.cases.draw import HIDDEN, PAIRS
from backprop_check.functions.activations import ELEMENTWISE
from backprop_check.functions.names import ACTIVATIONS, ALL_ACTIVATIONS, ALL_LOSSES, LOSS_FEATURES, LOSSES, NEEDS_OUTPUT
from backprop_check.kinds import FAMILIES, KINDS
from backprop_check.kinds import FEATURES as LAYER_FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backprop_check.case.network import Case
    from backprop_check.kinds import Kind
    from backprop_check.protocol import Supports


@dataclass(frozen=True, slots=True)
class Within:
    """What an implementation supports; its generated cases keep within it. The defaults are those of ``LEVEL_1``.

    ``claimed`` is false for a suite as a whole, regardless of any claims.
    """

    activations: tuple[str, ...] = ACTIVATIONS
    losses: tuple[str, ...] = LOSSES
    batch: bool = True
    updates: bool = True
    optimizers: tuple[str, ...] = ("sgd",)
    features: tuple[str, ...] = ()
    layers: tuple[str, ...] = ("dense",)
    claimed: bool = True

    def has(self, case: Case) -> bool:
        """Whether a case is within what is supported."""
        layers, optimizer = case.network.layers, case.optimizer
        return (
            {layer.kind for layer in layers} <= set(self.layers)
            and {layer.activation for layer in layers if layer.activations} <= set(self.activations)
            and case.loss.kind in self.losses
            and (self.batch or len(case.inputs) == 1)
            and (optimizer is None or (self.updates if optimizer.kind == "sgd" else optimizer.kind in self.optimizers))
            and set(case.features) <= set(self.features)
        )

    def has_chains(self) -> bool:
        """Whether any chain of dense layers is supported; then all generated cases are."""
        return "dense" in self.layers and bool(self.pairs())

    def trains(self) -> bool:
        """Whether any training beyond plain gradient descent is supported."""
        able = any(kind != "sgd" for kind in self.optimizers) or bool(set(self.features) & set(FEATURES))
        return able and bool(self.pairs()) and bool(self.optimizers)

    def pairs(self) -> list[tuple[str, str]]:
        """The supported pairs of output activation and loss."""
        return [pair for pair in PAIRS if pair[0] in self.activations and pair[1] in self.losses]

    def hidden(self) -> list[str]:
        """The supported activations of layers before the last."""
        return [name for name in HIDDEN if name in self.activations]

    def any_output(self) -> list[str]:
        """The supported losses that suit any layer's output."""
        return [loss for loss in self.losses if loss not in NEEDS_OUTPUT]


#: What an implementation that claims nothing is taken to support: chains of dense layers and plain gradient descent.
LEVEL_1 = Within()

#: Chains of dense layers with every optimizer and every feature of training.
ALL_TRAINING = Within(optimizers=OPTIMIZERS, features=FEATURES)

#: Everything: the complete suites beyond level 1, regardless of any claims.
ALL = Within(
    losses=ALL_LOSSES,
    optimizers=OPTIMIZERS,
    features=(*FEATURES, *LAYER_FEATURES, *LOSS_FEATURES),
    layers=tuple(KINDS),
    claimed=False,
)


def supported(supports: Supports) -> Within:
    """What an implementation supports, from its claims."""
    activations, losses = supports.activations, supports.losses
    return Within(
        activations=LEVEL_1.activations if activations is None else _those_of(ALL_ACTIVATIONS, activations),
        losses=LEVEL_1.losses if losses is None else _those_of(ALL_LOSSES, losses),
        batch=supports.batch,
        updates=supports.optimizers is None or "sgd" in supports.optimizers,
        optimizers=("sgd",) if supports.optimizers is None else _known(OPTIMIZERS, supports.optimizers),
        features=_known(ALL.features, supports.features or ()),
        layers=_known(ALL.layers, supports.layers or ("dense",)),
    )


def _known(names: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that are claimed, in the order of ``names``."""
    return tuple(name for name in names if name in claimed)


def _those_of(names: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """The same in the order of the claim, on which some cases depend."""
    return tuple(name for name in claimed if name in names)


def families(within: Within) -> list[str]:
    """The families of which at least one kind of layer is supported."""
    return [family for family in FAMILIES if kinds_of(family, within)]


def kinds_of(family: str, within: Within) -> list[type[Kind]]:
    """The supported kinds of a family; those of ``graph`` are all supported kinds."""
    if family == "graph" and "graph" not in within.features:
        return []
    return [
        kind
        for name, kind in KINDS.items()
        if family in ("graph", kind.family) and name in within.layers and set(kind.needs) <= set(within.features)
    ]


def drawable(family: str, within: Within) -> list[type[Kind]]:
    """The kinds of a family for which ``family_case`` can generate cases ``within`` what is supported.

    An activation of the layer must be supported, and an end of the network: a dense layer with a pair of activation and
    loss, or (except for the family ``graph``, whose layers are mostly dense) a loss that suits the layer's own output.
    """
    kinds = kinds_of(family, within)
    if family == "graph":
        return kinds if within.has_chains() and within.hidden() else []
    ends = within.has_chains() or within.any_output()
    return [kind for kind in kinds if ends and _has_activation(kind, within)]


def _has_activation(kind: type[Kind], within: Within) -> bool:
    """Whether a generated layer of this kind can have a supported activation, or needs none."""
    possible = {*kind.drawn_activations, *(name for name in ELEMENTWISE if name in kind.activations)}
    return not kind.activations or not possible.isdisjoint(within.activations)

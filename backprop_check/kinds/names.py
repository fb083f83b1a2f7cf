"""The vocabulary: activations and losses, as ``functions`` defines them, what goes with what, and the levels."""

from __future__ import annotations

from backprop_check.functions.activations import ELEMENTWISE, LAYERWISE
from backprop_check.functions.losses import LOSSES as _LOSSES

#: Those of level 1: an implementation that does not list its activations or losses is asked for these only.
ACTIVATIONS = (*(name for name, one in ELEMENTWISE.items() if not one.later), *LAYERWISE)
LOSSES = tuple(name for name, loss in _LOSSES.items() if not loss.later)

LATER_ACTIVATIONS = tuple(name for name, one in ELEMENTWISE.items() if one.later)
LATER_LOSSES = tuple(name for name, loss in _LOSSES.items() if loss.later)
ALL_ACTIVATIONS = (*ACTIVATIONS, *LATER_ACTIVATIONS)
ALL_LOSSES = (*LOSSES, *LATER_LOSSES)

#: What a port may claim in ``supports.features`` of losses: a field that it must know.
LOSS_FEATURES = ("label_smoothing",)

#: The output activations a loss needs; every other loss takes any.
NEEDS_OUTPUT = {name: loss.needs for name, loss in _LOSSES.items() if loss.needs}

#: α and Huber's threshold where a case does not give them, as PyTorch has them.
DEFAULT_ALPHA = {name: one.alpha for name, one in ELEMENTWISE.items() if one.alpha is not None}
DEFAULT_THRESHOLD = 1.0

#: The suites beyond chains of dense layers, in the order in which they are learnt: how layers are wired, then what
#: kinds of layers there are.
FAMILIES = ("graph", "convolution", "recurrent", "normalisation", "attention")

#: The levels of README's table, in its order: the first is number 1.
LEVELS = ("dense", "training", *FAMILIES)
